//! `/setup/passkey`: a passkey is made, by whoever may set something up (an invitation, or a login of late).

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post};
use maud::html;
use webauthn_rs::prelude::{RegisterPublicKeyCredential, Uuid};

use super::keys::{self, Parts};
use super::{Registration, challenge, failed, no_challenge};
use crate::engine::passkey::PASSKEYS_MAX;
use crate::portal::desk;
use crate::portal::enrol::{listed, seated};
use crate::portal::factor;
use crate::portal::people::{People, person, read};
use crate::portal::web::form::{self, Form};
use crate::portal::web::{Page, Visitor, see_other, with_cookie};
use crate::store::admin::AdminFault;
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
async fn show(State(people): State<People>, visitor: Visitor) -> Response<Body> {
    let (held, account, words) = match seated(&people, &visitor).await {
        Ok(seated) => seated,
        Err(elsewhere) => return elsewhere,
    };
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
async fn begin(State(people): State<People>, visitor: Visitor, request: Request<Body>) -> Response<Body> {
    let (held, account, _) = match seated(&people, &visitor).await {
        Ok(seated) => seated,
        Err(elsewhere) => return elsewhere,
    };
    let form = match Form::of_session(&people.web, &held, request).await {
        Ok(form) => form,
        Err(refusal) => return refusal.show(&people.web, &visitor),
    };
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
    let name: String = form.text("name").chars().take(NAME_MAX).collect();
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
async fn done(State(people): State<People>, visitor: Visitor, request: Request<Body>) -> Response<Body> {
    let (held, account, words) = match seated(&people, &visitor).await {
        Ok(seated) => seated,
        Err(elsewhere) => return elsewhere,
    };
    let form = match Form::of_session(&people.web, &held, request).await {
        Ok(form) => form,
        Err(refusal) => return refusal.show(&people.web, &visitor),
    };
    let inner = &*people.passkeys.0;
    let taken = inner.registrations.take(form.text("ceremony"), held.token(), people.web.now());
    let begun = taken.filter(|begun| begun.user == held.data.user);
    let made = begun.and_then(|begun| {
        let signed: RegisterPublicKeyCredential = serde_json::from_str(form.text("credential")).ok()?;
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
    let (user, right) = (held.data.user.clone(), held.data.right);
    let usual = words.say("passkey.usual");
    let who = person(&user);
    let kept = people.desk.act(&who, None, {
        let user = user.clone();
        move |admin| {
            factor::take(admin, &user, right)?;
            let before = read(admin, &user)?;
            let special = before.as_ref().and_then(|account| account.special.as_deref());
            let wanted = if name.is_empty() { usual } else { &name };
            let act = PasskeyAct::Add {
                name: &free_name(special, wanted),
                credential: &credential,
                key: &key,
                counter,
                synced,
            };
            admin.act_for(&user, &UserAct::Passkey(act))?;
            let codes = factor::first_codes(admin, &user)?;
            Ok((codes, read(admin, &user)?))
        }
    });
    let (codes, enrolled) = match kept.await {
        Ok((codes, enrolled)) => (codes, enrolled.unwrap_or_else(|| account.clone())),
        // Somebody was quicker, or an admin has taken the invitation back.
        Err(desk::Fault::Store(AdminFault::Missing(_))) => {
            return with_cookie(see_other("/me"), people.end(&held));
        }
        Err(desk::Fault::Store(AdminFault::Invalid(_) | AdminFault::Exists(_))) => {
            return people.web.fault(words, StatusCode::BAD_REQUEST);
        }
        Err(fault) => return people.failed(&visitor, &fault),
    };
    factor::tell(&people.answers, right, &account);
    let seat = held.data.enrolled(&enrolled, people.web.now());
    let Some((_, cookie)) = people.seats.rise(&held, seat) else { return see_other("/me") };
    let title = words.say("passkey.done-title");
    let body = html! {
        h1 { (title) }
        p.notice.good role="status" { (words.say("passkey.done")) }
        @if let Some(codes) = &codes { (listed(words, codes)) }
        .actions { a.button href="/me" { (words.say("enrol.finish")) } a.button.quiet href="/setup" { (words.say("enrol.more")) } }
    };
    with_cookie(Page::new(title, body).show(words), cookie)
}
