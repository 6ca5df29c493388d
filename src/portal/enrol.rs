//! The pages on which users set up a second factor themselves.
//!
//! ```text
//! GET /enrol/SECRET ─ POST ─┐
//! GET /enrol ─ POST code ───┼─► seat ─ GET /setup ─ GET /setup/totp ─ POST code ─► token, recovery codes shown once
//! /me after a login ────────┘
//! ```
//! Opening a link changes nothing, since mail programs do that by themselves; the button beneath takes a seat, and the first
//! factor that is confirmed uses the invitation up. Invariants: nothing is active before a code of it was shown; wrong links and
//! codes are counted by network and by user; a link that is wrong, used or over looks the same.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::routing::get;
use maud::{Markup, html};

use super::kept::Kept;
use super::people::{Pending, People, Right, Seat, words};
use super::person::{Person, SetsUp, unusable};
use super::web::form;
use super::web::sent::{Sat, Sent, Visited};
use super::web::session::Held;
use super::web::throttle::network;
use super::web::{Page, Visitor, Words, see_other, with_cookie};
use crate::engine::account::Account;
use crate::factor::invite::Invitation;

/// The routes.
pub(super) fn routes(people: People) -> Router {
    Router::new()
        .route("/enrol/{secret}", get(invited).post(begin))
        .route("/setup", get(choose))
        .route("/setup/totp", get(totp).post(confirm))
        .route("/setup/qr.svg", get(picture))
        .with_state(people)
}

/// `GET /enrol/SECRET`
async fn invited(
    State(people): State<People>,
    Path(secret): Path<String>,
    visitor: Visitor,
) -> Response<Body> {
    let (invitation, account) = match open(&people, &visitor, &secret).await {
        Ok(opened) => opened,
        Err(refused) => return refused,
    };
    let words = words(&visitor, &account);
    let slip = visitor.slip(&people.web);
    let title = words.say("enrol.title");
    let body = html! {
        h1 { (title) }
        p { (words.with("enrol.invited", &[("user", invitation.user().as_str())])) }
        form method="post" {
            (form::token(&slip.token))
            button type="submit" { (words.say("enrol.begin")) }
        }
    };
    slip.on(Page::new(title, body).show(words))
}

/// `POST /enrol/SECRET`
async fn begin(
    State(people): State<People>,
    Path(secret): Path<String>,
    Visited { visitor, .. }: Visited,
) -> Response<Body> {
    let (invitation, _) = match open(&people, &visitor, &secret).await {
        Ok(opened) => opened,
        Err(refused) => return refused,
    };
    let user = invitation.user();
    let seat = Seat::new(user, Right::Invited(invitation.hash()), people.web.now(), None);
    let (_, cookie) = people.seats.begin(&visitor, user.as_str(), seat);
    with_cookie(see_other("/setup"), cookie)
}

/// The invitation that a link names, if it may be used at this moment.
async fn open(
    people: &People,
    visitor: &Visitor,
    secret: &str,
) -> Result<(Invitation, Account), Response<Body>> {
    let (address, now) = (network(visitor.address), people.web.now());
    if people.guesses.is_spent(address, now) {
        return Err(people.web.fault(visitor.words, StatusCode::TOO_MANY_REQUESTS));
    }
    let gone = || {
        people.guesses.count(address, now);
        unusable(visitor.words)
    };
    let invitation = Invitation::parse(secret).ok_or_else(gone)?;
    let account = people.account(invitation.user()).await.map_err(|fault| people.failed(visitor, &fault))?;
    let unix = people.web.unix();
    let is_open = |account: &Account| {
        let special = account.special.as_deref();
        special.and_then(|special| special.invited(unix)).is_some_and(|invite| invitation.is(&invite.hash))
    };
    let account = account.filter(is_open).ok_or_else(gone)?;
    Ok((invitation, account))
}

/// `GET /setup`
async fn choose(Sat(person): Sat<Person<SetsUp>>) -> Response<Body> {
    let Person { people, held, account, words, .. } = person;
    let title = words.say("enrol.title");
    let body = html! {
        h1 { (title) }
        p { (words.with("enrol.choose", &[("user", account.name.as_str())])) }
        .actions {
            a.button href="/setup/totp" { (words.say("enrol.app")) }
            @if people.answers.web_push().is_some() {
                a.button.quiet href="/setup/phone" { (words.say("enrol.phone")) }
            }
            @if people.passkeys.are_on() { a.button.quiet href="/setup/passkey" { (words.say("enrol.passkey")) } }
        }
        @if held.data.right == Right::LoggedIn { p { a href="/me" { (words.say("enrol.back")) } } }
    };
    Page::new(title, body).show(words)
}

/// `GET /setup/totp`
async fn totp(Sat(person): Sat<Person<SetsUp>>) -> Response<Body> {
    let Person { people, held, words, .. } = person;
    let pending = held.data.pending.clone().unwrap_or_else(|| {
        let pending = Arc::new(Pending::new(&people.web));
        people.seats.change(&held, |seat| seat.pending = Some(Arc::clone(&pending)));
        pending
    });
    Page::new(words.say("enrol.app-title"), scan(words, &held, &pending, None)).show(words)
}

fn scan(words: Words, held: &Held<Seat>, pending: &Pending, wrong: Option<&str>) -> Markup {
    let letters = pending.letters();
    html! {
        h1 { (words.say("enrol.app-title")) }
        p { (words.say("enrol.scan")) }
        img.qr src="/setup/qr.svg" width="240" height="240" alt=(words.say("enrol.picture"));
        p { (words.say("enrol.letters")) }
        p { code.code #letters { (letters) } }
        form method="post" action="/setup/totp" {
            (form::token(held.token()))
            @if let Some(wrong) = wrong { p.notice.bad role="alert" #wrong { (wrong) } }
            label for="code" { (words.say("enrol.code")) }
            input #code name="code" inputmode="numeric" autocomplete="one-time-code" required autofocus
                aria-describedby=[wrong.map(|_| "wrong")];
            button type="submit" { (words.say("enrol.confirm")) }
        }
    }
}

/// `GET /setup/qr.svg`
async fn picture(Sat(person): Sat<Person<SetsUp>>) -> Response<Body> {
    let Seat { pending, user, .. } = &person.held.data;
    let drawn = pending.as_ref().and_then(|pending| pending.picture(issuer(&person.people), user));
    let Some(drawn) = drawn else { return person.fault(StatusCode::NOT_FOUND) };
    let mut response = Response::new(Body::from(drawn));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
    response
}

/// What the app shows beside the user's name.
fn issuer(people: &People) -> &str {
    let host = people.web.public_url().split("://").nth(1).unwrap_or("radmfa");
    host.split(':').next().unwrap_or(host)
}

/// `POST /setup/totp`
async fn confirm(sent: Sent<Person<SetsUp>>) -> Response<Body> {
    let Person { people, held, words, .. } = &sent.by;
    let words = *words;
    let Some(pending) = held.data.pending.clone() else { return see_other("/setup") };
    if !people.confirmations.admits(&held.data.user, people.web.now()) {
        return sent.by.fault(StatusCode::TOO_MANY_REQUESTS);
    }
    let now = people.web.unix();
    let Some(step) = pending.step_of(sent.form.text("code"), now) else {
        let body = scan(words, held, &pending, Some(words.say("enrol.wrong")));
        return Page::new(words.say("enrol.app-title"), body)
            .show_as(words, StatusCode::UNPROCESSABLE_ENTITY);
    };
    sent.keep(Kept::App, move |admin, user, right| pending.keep(admin, user, right, (step, now))).await
}
