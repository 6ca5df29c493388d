//! The page that a gateway's prompt leads to (`unenrolled = "enrol"`): it takes the code that stood there, once, and goes on as an
//! invitation does.
//!
//! ```text
//! VPN: right password ─ "… at HOST/enrol with the code ABCD-EFGH" ─ GET /enrol ─ POST user, code ─► seat ─ /setup
//! ```
//! Invariants: a code is good for the user whom it was shown to, at the server that showed it, once, for ten minutes and five tries
//! ([`Answers::enrols`](crate::server::answers::Answers::enrols)); wrong ones are counted by network and overall; whoever has set up a
//! factor meanwhile, or ever had one, gets no seat by it, and sets nothing up from a seat taken before.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use axum::routing::get;
use maud::html;

use super::desk;
use super::factor;
use super::people::{People, Right, Seat, person};
use super::web::form;
use super::web::sent::Visited;
use super::web::throttle::network;
use super::web::{Page, Visitor, see_other, with_cookie};
use crate::base::name::UserName;
use crate::factor::enrol_code::EnrolCode;
use crate::store::admin::AdminFault;

/// The routes.
pub(super) fn routes(people: People) -> Router {
    Router::new().route("/enrol", get(ask).post(take)).with_state(people)
}

/// `GET /enrol`
async fn ask(State(people): State<People>, visitor: Visitor) -> Response<Body> {
    page(&people, &visitor, "", None)
}

fn page(people: &People, visitor: &Visitor, user: &str, wrong: Option<&str>) -> Response<Body> {
    let words = visitor.words;
    let slip = visitor.slip(&people.web);
    let title = words.say("enrol.title");
    let body = html! {
        h1 { (title) }
        p { (words.say("enrol.led")) }
        form method="post" action="/enrol" {
            (form::token(&slip.token))
            @if let Some(wrong) = wrong { p.notice.bad role="alert" #wrong { (wrong) } }
            label for="user" { (words.say("me.user")) }
            input #user name="user" autocomplete="username" autocapitalize="none" spellcheck="false" required value=(user);
            label for="code" { (words.say("enrol.led-code")) }
            input #code name="code" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="16" required
                aria-describedby=[wrong.map(|_| "wrong")];
            button type="submit" { (words.say("enrol.begin")) }
        }
    };
    let status = if wrong.is_some() { StatusCode::FORBIDDEN } else { StatusCode::OK };
    slip.on(Page::new(title, body).show_as(words, status))
}

/// `POST /enrol`
async fn take(State(people): State<People>, Visited { visitor, form }: Visited) -> Response<Body> {
    let (address, now) = (network(visitor.address), people.web.now());
    if people.guesses.is_spent(address, now) || people.astray.is_spent((), now) {
        return people.web.fault(visitor.words, StatusCode::TOO_MANY_REQUESTS);
    }
    let wrong = || {
        people.guesses.count(address, now);
        people.astray.count((), now);
        page(&people, &visitor, form.text("user"), Some(visitor.words.say("enrol.led-wrong")))
    };
    let user = UserName::canonical(form.text("user").as_bytes()).ok();
    let (Some(user), Some(code)) = (user, EnrolCode::parse(form.text("code"))) else { return wrong() };
    if !people.answers.enrols(&user, &code) {
        return wrong();
    }
    let (who, name, unix) = (person(&user), user.clone(), people.web.unix());
    let done = people.desk.act(&who, None, move |admin| factor::led(admin, &name, unix)).await;
    match done {
        Ok(()) => {}
        // Whoever has a factor by now, or may not log in.
        Err(desk::Fault::Store(AdminFault::Missing(_))) => return wrong(),
        Err(fault) => return people.failed(&visitor, &fault),
    }
    let seat = Seat::new(&user, Right::Led, now, None);
    let (_, cookie) = people.seats.begin(&visitor, user.as_str(), seat);
    with_cookie(see_other("/setup"), cookie)
}
