//! Logging in: the forms, one after the other, and the seat.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use maud::html;

use crate::base::secret::Secret;
use crate::base::text::{hex, unhex};
use crate::portal::passkey;
use crate::portal::people::{People, Right, Seat};
use crate::portal::person::{LoggedIn, Person};
use crate::portal::sight::Sight;
use crate::portal::web::form;
use crate::portal::web::sent::{Sat, Visited};
use crate::portal::web::throttle::network;
use crate::portal::web::{Page, Visitor, see_other, with_cookie};
use crate::server::front::{Door, Knock, Question, Said};

/// The login forms, one after the other.
enum Step<'a> {
    Password { user: &'a str, notice: Option<&'a str> },
    Question { user: &'a str, question: &'a Question },
}

fn login_page(people: &People, visitor: &Visitor, step: &Step<'_>, status: StatusCode) -> Response<Body> {
    let words = visitor.words;
    let slip = visitor.slip(&people.web);
    let title = words.say("me.login-title");
    let body = html! {
        h1 { (title) }
        @match step {
            Step::Password { user, notice } => {
                @if let Some(notice) = notice { p.notice.bad role="alert" #notice { (notice) } }
                form method="post" action="/me/login" {
                    (form::token(&slip.token))
                    label for="user" { (words.say("me.user")) }
                    input #user name="user" autocomplete="username" autocapitalize="none" spellcheck="false" required value=(user);
                    label for="password" { (words.say("me.password")) }
                    input #password name="password" type="password" autocomplete="current-password" required;
                    button type="submit" { (words.say("me.login")) }
                }
                (passkey::login_form(people, words, &slip.token))
            }
            Step::Question { user, question } => {
                p.notice role="status" { (question.text) }
                form method="post" action="/me/login" {
                    (form::token(&slip.token))
                    input type="hidden" name="user" value=(user);
                    input type="hidden" name="state" value=(hex(question.state.expose()));
                    label for="code" { (words.say("me.code")) }
                    input #code name="code" autocomplete="one-time-code" autofocus;
                    button type="submit" { (words.say("me.ok")) }
                }
                p { a href="/me" { (words.say("me.restart")) } }
            }
        }
    };
    slip.on(Page::new(title, body).script("/assets/passkey.js").show_as(words, status))
}

/// The page that asks for a name and a password.
pub(super) fn first(people: &People, visitor: &Visitor) -> Response<Body> {
    login_page(people, visitor, &Step::Password { user: "", notice: None }, StatusCode::OK)
}

/// `GET /me/again`
pub(super) async fn again(Sat(person): Sat<Person<LoggedIn>>) -> Response<Body> {
    let Person { people, visitor, held, .. } = person;
    let notice = visitor.words.say("me.again");
    let step = Step::Password { user: held.data.user.as_str(), notice: Some(notice) };
    login_page(&people, &visitor, &step, StatusCode::OK)
}

/// `POST /me/login`
pub(super) async fn login(
    State(people): State<People>,
    Visited { visitor, form }: Visited,
) -> Response<Body> {
    if !people.logins.admits(network(visitor.address), people.web.now()) {
        return people.web.fault(visitor.words, StatusCode::TOO_MANY_REQUESTS);
    }
    let user = form.text("user").to_owned();
    let state = form.text("state");
    let state = (!state.is_empty()).then(|| Secret::new(unhex(state).unwrap_or_default()));
    let typed = if state.is_some() { Secret::from(form.text("code")) } else { form.secret("password") };
    let knock = Knock {
        door: Door::Portal,
        user: user.clone(),
        typed,
        state,
        from: visitor.address,
        language: visitor.words.language(),
    };
    match people.front.knock(knock).await {
        Said::Accepted(accepted) if accepted.has_factor() => {
            let account = match people.account(accepted.user()).await {
                Ok(account) => account,
                Err(fault) => return people.failed(&visitor, &fault),
            };
            let Some(account) = account else {
                let step = Step::Password { user: &user, notice: Some(visitor.words.say("me.refused")) };
                return login_page(&people, &visitor, &step, StatusCode::FORBIDDEN);
            };
            let sight = Some(Sight::of(&account));
            let seat = Seat::new(accepted.user(), Right::LoggedIn, people.web.now(), sight);
            let seat = Seat { method: Some(accepted.method()), ..seat };
            let (_, cookie) = people.seats.begin(&visitor, accepted.user().as_str(), seat);
            with_cookie(see_other("/me"), cookie)
        }
        Said::Accepted(_) => {
            let notice = visitor.words.say("me.no-factor");
            let step = Step::Password { user: &user, notice: Some(notice) };
            login_page(&people, &visitor, &step, StatusCode::FORBIDDEN)
        }
        Said::Refused(reference) => {
            let notice = match reference.map(|reference| reference.to_string()) {
                Some(reference) => visitor.words.with("me.refused-reference", &[("reference", &reference)]),
                None => visitor.words.say("me.refused").to_owned(),
            };
            let step = Step::Password { user: &user, notice: Some(&notice) };
            login_page(&people, &visitor, &step, StatusCode::FORBIDDEN)
        }
        Said::Asked(question) => {
            let step = Step::Question { user: &user, question: &question };
            login_page(&people, &visitor, &step, StatusCode::OK)
        }
        Said::Unavailable => {
            let step = Step::Password { user: &user, notice: Some(visitor.words.say("me.unavailable")) };
            login_page(&people, &visitor, &step, StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}
