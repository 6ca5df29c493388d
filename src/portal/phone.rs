//! The page that makes the browser it is open in a device (`device/`): a phone that pushes go to.
//!
//! ```text
//! GET /setup/phone ─ a secret ─► script: key, subscription ─► /device/api/register ─► POST /setup/phone ─ recovery codes, shown once
//! ```
//! Invariants: the secret is for whoever has the seat, and uses their invitation up where that is why they have it; nothing is active
//! before the browser's own key has signed for it; a seat rises by the device that its own offer has made, once.

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use axum::routing::get;
use maud::html;

use super::device::{Made, Offer};
use super::kept::Kept;
use super::people::{People, Seat};
use super::person::{Person, SetsUp};
use super::web::form;
use super::web::sent::{Sat, Sent};
use super::web::{Page, see_other};

/// The routes.
pub(super) fn routes(people: People) -> Router {
    Router::new().route("/setup/phone", get(show).post(done)).with_state(people)
}

/// `GET /setup/phone`
async fn show(Sat(person): Sat<Person<SetsUp>>) -> Response<Body> {
    let Person { people, held, words, .. } = person;
    if people.answers.web_push().is_none() {
        return see_other("/setup");
    }
    let made = Made::default();
    people.seats.change(&held, |seat| seat.made = Some(Made::clone(&made)));
    let Seat { user, right, sight, .. } = held.data.clone();
    let offer = Offer { user, right, sight, made };
    let secret = people.offers.make(offer, people.web.random(), people.web.now());
    let say = |key| words.say(key);
    let title = say("phone.title");
    let body = html! {
        h1 { (title) }
        p { (say("phone.text")) }
        p.faint { (say("phone.iphone")) }
        noscript { p.notice.bad { (say("device.script")) } }
        label for="device-name" { (say("phone.name")) }
        input #device-name maxlength="32" value=(say("phone.usual")) autocomplete="off";
        .actions {
            button #device-add type="button" hidden data-secret=(secret) data-name=(say("phone.usual"))
                data-unable=(say("phone.unable")) data-working=(say("phone.working")) data-refused=(say("phone.refused"))
                data-failed=(say("phone.failed")) data-push-title=(say("phone.push-title")) data-push-body=(say("phone.push-body"))
                { (say("phone.add")) }
        }
        p #device-add-status role="status" aria-live="polite" tabindex="-1" {}
        form #device-added method="post" action="/setup/phone" {
            (form::token(held.token()))
            input type="hidden" name="device";
        }
    };
    let page = Page::new(title, body).manifest("/device/manifest.webmanifest");
    page.script("/assets/device-lib.js").script("/assets/device-enrol.js").show(words)
}

/// `POST /setup/phone`: the browser is a device now.
async fn done(sent: Sent<Person<SetsUp>>) -> Response<Body> {
    let Person { held, account, .. } = &sent.by;
    let number = sent.form.text("device").parse::<i64>().ok();
    let special = account.special.as_deref();
    // What was registered by this seat's own offer, and not whatever device there is.
    let made =
        held.data.made.as_ref().and_then(|made| made.get().copied()).filter(|made| number == Some(*made));
    let signs = special.is_some_and(|special| {
        special.active_devices().any(|device| Some(device.id) == made && device.key.is_some())
    });
    if !signs {
        return see_other("/setup/phone");
    }
    sent.keep(Kept::Browser, |_, _, _| Ok(())).await
}
