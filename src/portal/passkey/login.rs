//! `/me/passkey`: a login at the portal by a passkey alone, which is password and second factor at once. The name comes first.
//!
//! Invariants: whoever types a name learns nothing of it, not even whether anybody is called so; who is disabled, blocked, locked or has to
//! wait is kept out; a seat is taken after the row is durable.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use axum::routing::post;
use maud::{Markup, html};

use super::{Login, Unnoted, challenge, check, failed, keys, no_challenge};
use crate::base::name::UserName;
use crate::engine::account::Account;
use crate::engine::passkey::Assertion;
use crate::engine::reason::Reason;
use crate::engine::record::Method;
use crate::portal::people::{People, Right, Seat, read};
use crate::portal::sight::Sight;
use crate::portal::web::form;
use crate::portal::web::sent::Visited;
use crate::portal::web::throttle::network;
use crate::portal::web::{Page, Words, see_other, with_cookie};
use crate::server::passkeys::{ByPasskey, Entry};

pub(super) fn routes(people: People) -> Router {
    Router::new()
        .route("/me/passkey", post(finish))
        .route("/me/passkey/begin", post(begin))
        .with_state(people)
}

/// The way in by a passkey, on the page that asks for name and password; nothing where there are none.
pub(in crate::portal) fn form(people: &People, words: Words, token: &str) -> Markup {
    let say = |key| words.say(key);
    html! {
        @if people.passkeys.are_on() {
            form #by-passkey method="post" action="/me/passkey" hidden data-passkey="get" data-begin="/me/passkey/begin"
                data-user="user" data-unable=(say("passkey.unable")) data-working=(say("passkey.working"))
                data-refused=(say("passkey.not-shown")) data-failed=(say("passkey.failed")) {
                (form::token(token))
                p data-status role="status" aria-live="polite" tabindex="-1" {}
                button.quiet type="submit" { (say("passkey.login")) }
            }
        }
    }
}

/// `POST /me/passkey/begin`
async fn begin(State(people): State<People>, Visited { visitor, form }: Visited) -> Response<Body> {
    let inner = &*people.passkeys.0;
    let Some(party) = &inner.party else { return no_challenge(StatusCode::NOT_FOUND, "not-found") };
    if !inner.starts.admits(network(visitor.address), inner.web.now()) {
        return no_challenge(StatusCode::TOO_MANY_REQUESTS, "too-many");
    }
    let Some(of) = visitor.slip_token(&people.web) else {
        return no_challenge(StatusCode::FORBIDDEN, "forbidden");
    };
    let secret = match people.passkeys.secret().await {
        Ok(secret) => secret,
        Err(fault) => return failed(&fault),
    };
    let typed = form.text("user");
    let user = UserName::canonical(typed.as_bytes()).ok();
    let account = match &user {
        Some(user) => {
            let user = user.clone();
            match people.desk.read(move |admin| read(admin, &user)).await {
                Ok(account) => account,
                Err(fault) => return failed(&fault),
            }
        }
        None => None,
    };
    let own: Vec<_> = account.iter().flat_map(Account::passkeys).filter_map(keys::whole).collect();
    let name = user.as_ref().map_or(typed, UserName::as_str);
    let asked = if own.is_empty() { keys::decoys(&secret, name) } else { own };
    match party.start_passkey_authentication(&asked) {
        Ok((options, state)) => {
            let name = inner.logins.begin(&of, Login { user, state }, inner.web.random(), inner.web.now());
            challenge(&name, &options)
        }
        Err(fault) => {
            tracing::error!(%fault, "no challenge could be made for a login");
            no_challenge(StatusCode::INTERNAL_SERVER_ERROR, "failed")
        }
    }
}

/// `POST /me/passkey`
async fn finish(State(people): State<People>, Visited { visitor, form }: Visited) -> Response<Body> {
    if !people.logins.admits(network(visitor.address), people.web.now()) {
        return people.web.fault(visitor.words, StatusCode::TOO_MANY_REQUESTS);
    }
    let inner = &*people.passkeys.0;
    let of = visitor.slip_token(&people.web).unwrap_or_default();
    // Whatever the browser says it is for, the name is the one that the challenge was made for.
    let Some(Login { user: Some(user), state }) =
        inner.logins.take(form.text("ceremony"), &of, people.web.now())
    else {
        return refused(visitor.words, None);
    };
    let found = {
        let user = user.clone();
        people.desk.read(move |admin| read(admin, &user)).await
    };
    let account = match found {
        Ok(account) => account,
        Err(fault) => return people.failed(&visitor, &fault),
    };
    let entry = Entry { user: &user, account: account.as_ref(), from: visitor.address };
    let assertion = match shown(&people, account.as_ref(), &state, form.text("credential"), &entry).await {
        Ok(assertion) => Ok(assertion),
        Err(Unnoted::Refused(reason)) => Err(reason),
        Err(Unnoted::Failed(fault)) => return people.failed(&visitor, &fault),
    };
    match inner.answers.enter(&entry, assertion, inner.web.random()).await {
        ByPasskey::In(account) => {
            let seat = Seat::new(&user, Right::LoggedIn, people.web.now(), Some(Sight::of(account)));
            let seat = Seat { method: Some(Method::Passkey), ..seat };
            let (_, cookie) = people.seats.begin(&visitor, user.as_str(), seat);
            with_cookie(see_other("/me"), cookie)
        }
        ByPasskey::Refused(login) => refused(visitor.words, Some(&login.to_string())),
        ByPasskey::Unavailable => people.web.fault(visitor.words, StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// What was shown, once the store knows that it was; nothing is written for whoever is kept out anyway.
async fn shown(
    people: &People,
    account: Option<&Account>,
    state: &webauthn_rs::prelude::PasskeyAuthentication,
    signed: &str,
    entry: &Entry<'_>,
) -> Result<Assertion, Unnoted> {
    let passkeys = &people.passkeys;
    let party = passkeys.0.party.as_ref().ok_or(Unnoted::Refused(Reason::PasskeyWrong))?;
    let signed = check(party, state, signed, account, None).map_err(Unnoted::Refused)?;
    let owner = account.map_or(entry.user, |account| &account.name);
    passkeys.0.answers.may_enter(entry, &signed.assertion).map_err(Unnoted::Refused)?;
    passkeys.note(owner, &signed, "to log in here".to_owned()).await?;
    Ok(signed.assertion)
}

fn refused(words: Words, reference: Option<&str>) -> Response<Body> {
    let title = words.say("me.login-title");
    let body = html! {
        h1 { (title) }
        p.notice.bad role="alert" {
            @match reference {
                Some(reference) => { (words.with("me.refused-reference", &[("reference", reference)])) }
                None => { (words.say("me.refused")) }
            }
        }
        div.actions { a.button href="/me" { (words.say("me.restart")) } }
    };
    Page::new(title, body).show_as(words, StatusCode::FORBIDDEN)
}
