//! The way in for people, and who sits at the pages.
//!
//! Invariants: a seat is taken by a login with a second factor alone, of somebody who has a role and is let in at that moment; the role is
//! read anew for each request; whoever lost it, was disabled or blocked, or lost the password or a factor since, sits no more.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode};
use maud::html;

use super::office::Office;
use super::who::Caller;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::text::{hex, unhex};
use crate::engine::role::Role;
use crate::portal::sight::Sight;
use crate::portal::web::form;
use crate::portal::web::sent::{Site, Sits, Visited};
use crate::portal::web::session::{Held, Sessions};
use crate::portal::web::throttle::{Throttle, network};
use crate::portal::web::{Page, Visitor, Web, Words, see_other, with_cookie};
use crate::server::front::{Door, Front, Knock, Question, Said};
use crate::server::hindrance::account;

/// Attempts to log in from one network …
const ATTEMPTS: u32 = 30;
/// … within so long.
const ATTEMPTS_WITHIN: Duration = Duration::from_mins(5);

/// What the pages share.
#[derive(Clone)]
pub(super) struct Seats(Arc<Inner>);

pub(super) struct Inner {
    pub(super) web: Web,
    pub(super) office: Office,
    front: Front,
    sessions: Sessions<Sitting>,
    attempts: Throttle,
}

impl std::ops::Deref for Seats {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What is kept of a login.
#[derive(Clone)]
pub(super) struct Sitting {
    user: UserName,
    /// What the user had then.
    sight: Arc<Sight>,
}

/// Somebody who may sit there at this moment.
struct Standing {
    role: Role,
    language: Option<String>,
    sight: Sight,
}

/// Somebody who sits there.
pub(super) struct Seated {
    pub(super) seats: Seats,
    pub(super) caller: Caller,
    pub(super) held: Held<Sitting>,
    pub(super) words: Words,
}

impl Site for Seats {
    type Seat = Sitting;
    const DOOR: &'static str = "/";

    fn web(&self) -> &Web {
        &self.web
    }

    fn sessions(&self) -> &Sessions<Sitting> {
        &self.sessions
    }

    fn stranger(&self, visitor: &Visitor) -> Response<Body> {
        self.login_page(visitor, &Step::Password { user: "", notice: None }, StatusCode::OK)
    }

    fn leave(&self, held: &Held<Sitting>) -> HeaderValue {
        self.sessions.end(held)
    }
}

impl Sits<Seats> for Seated {
    async fn sits(seats: &Seats, visitor: Visitor, held: Held<Sitting>) -> Result<Seated, Response<Body>> {
        match seats.standing(&held.data.user).await {
            Ok(Some(standing)) if held.data.sight.holds(&standing.sight) => {
                let words = Words::for_user(standing.language.as_deref(), &visitor.headers);
                let caller = Caller::user(&held.data.user, standing.role);
                Ok(Seated { seats: seats.clone(), caller, held, words })
            }
            // Logins with what is there now stay.
            Ok(Some(_)) => Err(with_cookie(see_other("/"), seats.leave(&held))),
            Ok(None) => {
                let cookie = seats.leave(&held);
                seats.sessions.end_all_of(&held.subject, None);
                Err(with_cookie(see_other("/"), cookie))
            }
            Err(()) => Err(seats.web.fault(visitor.words, StatusCode::SERVICE_UNAVAILABLE)),
        }
    }
}

impl Seated {
    /// An error page.
    pub(super) fn fault(&self, status: StatusCode) -> Response<Body> {
        self.seats.web.fault(self.words, status)
    }
}

impl Seats {
    pub(super) fn new(web: &Web, office: Office, front: Front) -> Seats {
        let attempts = Throttle::new(ATTEMPTS, ATTEMPTS_WITHIN);
        Seats(Arc::new(Inner { web: web.clone(), office, front, sessions: Sessions::new(web), attempts }))
    }

    /// Of somebody who has a role and may log in at this moment.
    async fn standing(&self, user: &UserName) -> Result<Option<Standing>, ()> {
        let (user, now) = (user.clone(), self.office.pulse.now());
        let read = self.office.desk.read(move |admin| account(admin, &user)).await;
        let account = match read {
            Ok(account) => account,
            Err(crate::portal::desk::Fault::Store(crate::store::admin::AdminFault::Missing(_))) => {
                return Ok(None);
            }
            Err(_) => return Err(()),
        };
        if account.barred(now).is_some() {
            return Ok(None);
        }
        let language =
            account.contact.as_ref().and_then(|contact| contact.language.as_deref().map(str::to_owned));
        let (role, sight) = (account.special.as_ref().and_then(|special| special.role), Sight::of(&account));
        Ok(role.map(|role| Standing { role, language, sight }))
    }

    fn login_page(&self, visitor: &Visitor, step: &Step<'_>, status: StatusCode) -> Response<Body> {
        let words = visitor.words;
        let slip = visitor.slip(&self.web);
        let title = words.say("admin.login-title");
        let body = html! {
            h1 { (title) }
            @match step {
                Step::Password { user, notice } => {
                    @if let Some(notice) = notice { p.notice.bad role="alert" { (notice) } }
                    form method="post" action="/login" {
                        (form::token(&slip.token))
                        label for="user" { (words.say("admin.user")) }
                        input #user name="user" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="253" required value=(user);
                        label for="password" { (words.say("admin.password")) }
                        input #password name="password" type="password" autocomplete="current-password" maxlength="128" required;
                        div.actions { button type="submit" { (words.say("admin.login")) } }
                    }
                }
                Step::Question { user, question } => {
                    p.notice role="status" { (question.text) }
                    form method="post" action="/login" {
                        (form::token(&slip.token))
                        input type="hidden" name="user" value=(user);
                        input type="hidden" name="state" value=(hex(question.state.expose()));
                        label for="code" { (words.say("admin.code")) }
                        input #code name="code" autocomplete="one-time-code" maxlength="128" autofocus;
                        div.actions { button type="submit" { (words.say("admin.ok")) } }
                    }
                    p { a href="/" { (words.say("admin.restart")) } }
                }
            }
        };
        slip.on(Page::new(title, body).show_as(words, status))
    }
}

/// The login forms, one after the other.
enum Step<'a> {
    Password { user: &'a str, notice: Option<&'a str> },
    Question { user: &'a str, question: &'a Question },
}

/// `POST /login`
pub(super) async fn login(State(seats): State<Seats>, Visited { visitor, form }: Visited) -> Response<Body> {
    if !seats.attempts.admits(network(visitor.address), seats.web.now()) {
        return seats.web.fault(visitor.words, StatusCode::TOO_MANY_REQUESTS);
    }
    let user = form.text("user").to_owned();
    let state = form.text("state");
    let state = (!state.is_empty()).then(|| Secret::new(unhex(state).unwrap_or_default()));
    let typed = if state.is_some() { Secret::from(form.text("code")) } else { form.secret("password") };
    let knock = Knock {
        door: Door::Admin,
        user: user.clone(),
        typed,
        state,
        from: visitor.address,
        language: visitor.words.language(),
    };
    let refused = |notice: &str| {
        let step = Step::Password { user: &user, notice: Some(notice) };
        seats.login_page(&visitor, &step, StatusCode::FORBIDDEN)
    };
    match seats.front.knock(knock).await {
        Said::Accepted(accepted) => match seats.standing(accepted.user()).await {
            Ok(Some(standing)) if accepted.has_factor() => {
                let sitting = Sitting { user: accepted.user().clone(), sight: Arc::new(standing.sight) };
                let (_, cookie) = seats.sessions.begin(&visitor, accepted.user().as_str(), sitting);
                with_cookie(see_other("/"), cookie)
            }
            // Whoever has no role learns no more than whoever has the wrong password.
            Ok(_) => refused(visitor.words.say("admin.refused")),
            Err(()) => seats.web.fault(visitor.words, StatusCode::SERVICE_UNAVAILABLE),
        },
        Said::Refused(_) => refused(visitor.words.say("admin.refused")),
        Said::Asked(question) => {
            seats.login_page(&visitor, &Step::Question { user: &user, question: &question }, StatusCode::OK)
        }
        Said::Unavailable => seats.web.fault(visitor.words, StatusCode::SERVICE_UNAVAILABLE),
    }
}
