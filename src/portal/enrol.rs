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
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use maud::{Markup, html};

use super::desk;
use super::factor;
use super::people::{Pending, People, Right, Seat, person, read, words};
use super::web::form::{self, Form};
use super::web::session::Held;
use super::web::throttle::network;
use super::web::{Page, Visitor, Words, see_other, with_cookie};
use crate::engine::account::Account;
use crate::factor::invite::Invitation;
use crate::store::admin::AdminFault;

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
    let shown = Page::new(title, body).show(words);
    match slip.cookie {
        Some(cookie) => with_cookie(shown, cookie),
        None => shown,
    }
}

/// `POST /enrol/SECRET`
async fn begin(
    State(people): State<People>,
    Path(secret): Path<String>,
    visitor: Visitor,
    request: Request<Body>,
) -> Response<Body> {
    if let Err(refusal) = Form::of_visitor(&people.web, &visitor, request).await {
        return refusal.show(&people.web, &visitor);
    }
    let (invitation, _) = match open(&people, &visitor, &secret).await {
        Ok(opened) => opened,
        Err(refused) => return refused,
    };
    let seat = Seat {
        user: invitation.user().clone(),
        right: Right::Invited(invitation.hash()),
        proved: people.web.now(),
        pending: None,
        made: None,
        sight: None,
    };
    let (_, cookie) = people.seats.begin(&visitor, invitation.user().as_str(), seat);
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

pub(super) fn unusable(words: Words) -> Response<Body> {
    let title = words.say("enrol.gone-title");
    let body = html! {
        h1 { (title) }
        p.notice.bad role="alert" { (words.say("enrol.gone")) }
    };
    Page::new(title, body).show_as(words, StatusCode::NOT_FOUND)
}

/// Who sits here and what the store knows of them; or where to go.
pub(super) async fn seated(
    people: &People,
    visitor: &Visitor,
) -> Result<(Held<Seat>, Account, Words), Response<Body>> {
    let held = people.may_add(visitor).map_err(see_other)?;
    let found = people.account_of(&held).await.map_err(|fault| people.failed(visitor, &fault))?;
    let Some(account) = found else {
        let gone =
            if held.data.right == Right::LoggedIn { see_other("/me") } else { unusable(visitor.words) };
        return Err(with_cookie(gone, people.end(&held)));
    };
    let words = words(visitor, &account);
    Ok((held, account, words))
}

/// `GET /setup`
async fn choose(State(people): State<People>, visitor: Visitor) -> Response<Body> {
    let (held, account, words) = match seated(&people, &visitor).await {
        Ok(seated) => seated,
        Err(elsewhere) => return elsewhere,
    };
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
async fn totp(State(people): State<People>, visitor: Visitor) -> Response<Body> {
    let (held, _, words) = match seated(&people, &visitor).await {
        Ok(seated) => seated,
        Err(elsewhere) => return elsewhere,
    };
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
async fn picture(State(people): State<People>, visitor: Visitor) -> Response<Body> {
    let seat = people.may_add(&visitor).ok().map(|held| held.data);
    let drawn = seat.and_then(|seat| seat.pending?.picture(issuer(&people), &seat.user));
    let Some(drawn) = drawn else { return people.web.fault(visitor.words, StatusCode::NOT_FOUND) };
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
async fn confirm(State(people): State<People>, visitor: Visitor, request: Request<Body>) -> Response<Body> {
    let (held, account, words) = match seated(&people, &visitor).await {
        Ok(seated) => seated,
        Err(elsewhere) => return elsewhere,
    };
    let form = match Form::of_session(&people.web, &held, request).await {
        Ok(form) => form,
        Err(refusal) => return refusal.show(&people.web, &visitor),
    };
    let Some(pending) = held.data.pending.clone() else { return see_other("/setup") };
    let user = held.data.user.clone();
    if !people.confirmations.admits(&user, people.web.now()) {
        return people.web.fault(words, StatusCode::TOO_MANY_REQUESTS);
    }
    let now = people.web.unix();
    let Some(step) = pending.step_of(form.text("code"), now) else {
        let body = scan(words, &held, &pending, Some(words.say("enrol.wrong")));
        return Page::new(words.say("enrol.app-title"), body)
            .show_as(words, StatusCode::UNPROCESSABLE_ENTITY);
    };
    let right = held.data.right;
    let who = person(&user);
    let done = {
        let user = user.clone();
        people.desk.act(&who, None, move |admin| {
            pending.keep(admin, &user, right, (step, now))?;
            let codes = factor::first_codes(admin, &user)?;
            Ok((codes, read(admin, &user)?))
        })
    };
    let (codes, enrolled) = match done.await {
        Ok((codes, enrolled)) => (codes, enrolled.unwrap_or_else(|| account.clone())),
        // The same form, sent twice: the other has the codes, and goes on with the seat.
        Err(desk::Fault::Store(AdminFault::Exists(_))) => return already(words),
        // Somebody was quicker, or an admin has taken it back.
        Err(desk::Fault::Store(AdminFault::Missing(_))) => {
            return match people.account(&held.data.user).await {
                Ok(Some(account)) if account.is_enrolled() => already(words),
                _ => unusable(words),
            };
        }
        Err(fault) => return people.failed(&visitor, &fault),
    };
    factor::tell(&people.answers, right, &account);
    let seat = held.data.enrolled(&enrolled, people.web.now());
    let Some((_, cookie)) = people.seats.rise(&held, seat) else { return see_other("/me") };
    with_cookie(finished(words, codes.as_deref()), cookie)
}

fn already(words: Words) -> Response<Body> {
    let title = words.say("enrol.already-title");
    let body = html! {
        h1 { (title) }
        p.notice role="status" { (words.say("enrol.already")) }
        .actions { a.button href="/me" { (words.say("enrol.finish")) } }
    };
    Page::new(title, body).show_as(words, StatusCode::CONFLICT)
}

fn finished(words: Words, codes: Option<&[String]>) -> Response<Body> {
    let title = words.say("enrol.done-title");
    let body = html! {
        h1 { (title) }
        p.notice.good role="status" { (words.say("enrol.done")) }
        @if let Some(codes) = codes { (listed(words, codes)) }
        .actions { a.button href="/me" { (words.say("enrol.finish")) } a.button.quiet href="/setup" { (words.say("enrol.more")) } }
    };
    Page::new(title, body).show(words)
}

/// Recovery codes, shown this once.
pub(super) fn listed(words: Words, codes: &[String]) -> Markup {
    html! {
        h2 { (words.say("enrol.codes-title")) }
        p { (words.say("enrol.codes")) }
        ul.codes { @for code in codes { li { code { (code) } } } }
    }
}
