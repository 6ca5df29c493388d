//! `/setup/passkey`: a passkey is made, by whoever may set something up (an invitation, or a login of late).

use axum::Router;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use maud::html;
use webauthn_rs::prelude::{RegisterPublicKeyCredential, Uuid};

use super::keys::{self, Parts};
use super::{Registration, challenge, failed, no_challenge};
use crate::engine::passkey::PASSKEYS_MAX;
use crate::portal::factor;
use crate::portal::kept::Kept;
use crate::portal::people::{People, read};
use crate::portal::person::{Person, SetsUp};
use crate::portal::web::form;
use crate::portal::web::sent::{Sat, Sent};
use crate::portal::web::{Page, see_other};
use crate::store::user_act::UserAct;
use crate::store::user_act::passkeys::{PasskeyAct, free_name};

/// The longest name of a passkey, in characters.
const NAME_MAX: usize = 32;

pub(super) fn routes(people: People) -> Router {
    Router::new()
        .route("/setup/passkey", get(show).post(done))
        .route("/setup/passkey/begin", post(begin))
        .with_state(people)
}

/// `GET /setup/passkey`
async fn show(Sat(person): Sat<Person<SetsUp>>) -> Response<Body> {
    let Person { people, held, account, words, .. } = person;
    if !people.passkeys.are_on() {
        return see_other("/setup");
    }
    let say = |key| words.say(key);
    let usual = free_name(account.special.as_deref(), say("passkey.usual"));
    let title = say("passkey.title");
    let body = html! {
        h1 { (title) }
        p { (say("passkey.text")) }
        noscript { p.notice.bad { (say("device.script")) } }
        form method="post" action="/setup/passkey" data-passkey="create" data-begin="/setup/passkey/begin"
            data-unable=(say("passkey.unable")) data-working=(say("passkey.working")) data-refused=(say("passkey.not-made"))
            data-failed=(say("passkey.failed")) data-full=(say("passkey.full")) {
            (form::token(held.token()))
            label for="name" { (say("passkey.name")) }
            input #name name="name" maxlength=(NAME_MAX) value=(usual) autocomplete="off";
            p data-status role="status" aria-live="polite" tabindex="-1" {}
            div.actions { button type="submit" { (say("passkey.add")) } }
        }
        p { a href="/setup" { (say("passkey.other")) } }
    };
    Page::new(title, body).script("/assets/passkey.js").show(words)
}

/// `POST /setup/passkey/begin`
async fn begin(sent: Sent<Person<SetsUp>>) -> Response<Body> {
    let Person { people, held, account, .. } = &sent.by;
    let user = held.data.user.clone();
    let inner = &*people.passkeys.0;
    let Some(party) = &inner.party else { return no_challenge(StatusCode::NOT_FOUND, "not-found") };
    if !people.confirmations.admits(&user, people.web.now()) {
        return no_challenge(StatusCode::TOO_MANY_REQUESTS, "too-many");
    }
    if account.passkeys().count() >= PASSKEYS_MAX {
        return no_challenge(StatusCode::CONFLICT, "full");
    }
    let secret = match people.passkeys.secret().await {
        Ok(secret) => secret,
        Err(fault) => return failed(&fault),
    };
    let name: String = sent.form.text("name").chars().take(NAME_MAX).collect();
    let handle = Uuid::from_bytes(keys::handle(&secret, user.as_str()));
    let known = account.passkeys().map(|passkey| passkey.credential.to_vec()).collect();
    let shown = account.contact.as_deref().and_then(|contact| contact.display.as_deref());
    let shown = shown.unwrap_or(user.as_str());
    match party.start_passkey_registration(handle, user.as_str(), shown, Some(known)) {
        Ok((options, state)) => {
            let what = Registration { user, name, state };
            let name = inner.registrations.begin(held.token(), what, inner.web.random(), inner.web.now());
            challenge(&name, &options)
        }
        Err(fault) => {
            tracing::error!(%fault, "no challenge could be made for a passkey");
            no_challenge(StatusCode::INTERNAL_SERVER_ERROR, "failed")
        }
    }
}

/// `POST /setup/passkey`
async fn done(sent: Sent<Person<SetsUp>>) -> Response<Body> {
    let Person { people, held, words, .. } = &sent.by;
    let words = *words;
    let inner = &*people.passkeys.0;
    let taken = inner.registrations.take(sent.form.text("ceremony"), held.token(), people.web.now());
    let begun = taken.filter(|begun| begun.user == held.data.user);
    let made = begun.and_then(|begun| {
        let signed: RegisterPublicKeyCredential = serde_json::from_str(sent.form.text("credential")).ok()?;
        let made = inner.party.as_ref()?.finish_passkey_registration(&signed, &begun.state);
        let made = made.inspect_err(|fault| tracing::info!(%fault, "a passkey was not taken")).ok()?;
        Some((begun.name, keys::parts(&made)?))
    });
    let Some((name, Parts { credential, key, counter, synced })) = made else {
        let title = words.say("passkey.title");
        let body = html! {
            h1 { (title) }
            p.notice.bad role="alert" { (words.say("passkey.not-made")) }
            div.actions { a.button href="/setup/passkey" { (words.say("passkey.again")) } }
        };
        return Page::new(title, body).show_as(words, StatusCode::UNPROCESSABLE_ENTITY);
    };
    let usual = words.say("passkey.usual");
    sent.keep(Kept::Passkey, move |admin, user, right| {
        factor::take(admin, user, right)?;
        let before = read(admin, user)?;
        let special = before.as_ref().and_then(|account| account.special.as_deref());
        let wanted = if name.is_empty() { usual } else { &name };
        let act = PasskeyAct::Add {
            name: &free_name(special, wanted),
            credential: &credential,
            key: &key,
            counter,
            synced,
        };
        admin.act_for(user, &UserAct::Passkey(act))
    })
    .await
}
