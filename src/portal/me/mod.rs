//! Self-service: what a user has, and what the user may change of it, after a login with password and second factor.
//!
//! ```text
//! GET /me ─ POST /me/login ─ Front ─┬─ a question: POST /me/login with its State
//!                                   └─ let in: seat ─ GET /me ─ POST /me/… ─► store, with the user in the trail
//! ```
//! Invariants: a seat is taken by [`Said::Accepted`] with a second factor, or by a passkey (`passkey/login.rs`), alone; what gives more rights wants one of late; what a
//! user takes away may be taken away at any time; whoever was blocked meanwhile sits no more.

mod arming;
mod login;
mod logins;
mod methods;
mod phone;
mod sessions;
mod settings;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::routing::{get, post};
use maud::html;

pub(super) use self::phone::Checks;
use super::people::{People, Right, read, words};
use super::person::{LoggedIn, Person, Proved};
use super::web::form;
use super::web::sent::{Sent, logout};
use super::web::{Page, Visitor, see_other, with_cookie};
use crate::base::name::UserName;
use crate::engine::account::Account;
use crate::store::admin::{Admin, AdminFault, AuditRow, TokenDetails, TokenFilter, UserDetails};

/// The routes.
pub(super) fn routes(people: People) -> Router {
    Router::new()
        .route("/me", get(own))
        .route("/me/again", get(login::again))
        .route("/me/login", post(login::login))
        .route("/me/logout", post(logout::<People>))
        .route("/me/arm", post(arming::arm))
        .route("/me/disarm", post(arming::disarm))
        .route("/me/device", post(methods::revoke_device))
        .route("/me/passkey/remove", post(methods::remove_passkey))
        .route("/me/device/name", post(methods::rename_device))
        .route("/me/phone", post(phone::send))
        .route("/me/phone/add", post(phone::add))
        .route("/me/phone/code", post(phone::check))
        .route("/me/sessions", post(sessions::end))
        .route("/me/token", post(methods::disable_token))
        .route("/me/settings", post(settings::settings))
        .route("/me/codes", post(methods::codes))
        .route("/me/report", post(logins::report))
        .with_state(people)
}

/// A form of whoever logged in.
type Own = Sent<Person<LoggedIn>>;
/// The same, with a second factor of late.
type Fresh = Sent<Person<Proved>>;

/// All that is shown.
struct View {
    account: Account,
    details: UserDetails,
    tokens: Vec<TokenDetails>,
    logins: Vec<AuditRow>,
}

fn view(admin: &mut dyn Admin, user: &UserName) -> Result<Option<View>, AdminFault> {
    let Some(account) = read(admin, user)? else { return Ok(None) };
    let details = admin.user(user)?;
    let tokens = admin.tokens(&TokenFilter { user: Some(user.clone()), ..TokenFilter::default() })?;
    let logins = logins::newest(admin, user)?;
    Ok(Some(View { account, details, tokens, logins }))
}

/// `GET /me`
async fn own(State(people): State<People>, visitor: Visitor) -> Response<Body> {
    let held = match people.seats.find(&visitor) {
        Some(held) if held.data.right == Right::LoggedIn => held,
        // Whoever has set up a factor and comes here is finished with it.
        Some(held) if held.data.right == Right::Enrolled => {
            return with_cookie(login::first(&people, &visitor), people.end(&held));
        }
        _ => return login::first(&people, &visitor),
    };
    let user = held.data.user.clone();
    let found = match people.desk.read(move |admin| view(admin, &user)).await {
        Ok(found) => found,
        Err(fault) => return people.failed(&visitor, &fault),
    };
    let Some(view) = found.filter(|view| people.stands(&held, &view.account)) else {
        return with_cookie(see_other("/me"), people.end(&held));
    };
    let words = words(&visitor, &view.account);
    let title = words.say("me.title");
    let known = people.answers.people();
    let body = html! {
        h1 { (title) }
        p { (words.with("me.hello", &[("user", view.details.fields.display_name.as_deref().unwrap_or(view.account.name.as_str()))])) }
        (arming::section(words, (&held, &visitor), &view.account, &people))
        (methods::section(words, &held, &view))
        (phone::section(words, &held, &view.account, &people))
        (sessions::section(words, &held, &view.account, &known, people.web.unix()))
        (settings::section(words, &held, &view))
        (logins::section(words, &held, &view, &known))
        form method="post" action="/me/logout" {
            (form::token(held.token()))
            button.quiet type="submit" { (words.say("me.logout")) }
        }
    };
    Page::new(title, body).show(words)
}
