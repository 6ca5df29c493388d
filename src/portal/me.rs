//! Self-service: what a user has, and what the user may change of it, after a login with password and second factor.
//!
//! ```text
//! GET /me ─ POST /me/login ─ Front ─┬─ a question: POST /me/login with its State
//!                                   └─ let in: seat ─ GET /me ─ POST /me/… ─► store, with the user in the trail
//! ```
//! Invariants: a seat is taken by [`Said::Accepted`] with a second factor alone; what gives more rights wants one of late; what a
//! user takes away may be taken away at any time; whoever was blocked meanwhile sits no more.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post};
use maud::{Markup, html};

use super::enrol::listed;
use super::people::{People, Right, Seat, person, read, words};
use super::sight::Sight;
use super::web::form::{self, Form};
use super::web::session::Held;
use super::web::throttle::network;
use super::web::{Page, Visitor, Words, see_other, with_cookie};
use super::{desk, factor};
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::text::{hex, unhex};
use crate::engine::account::Account;
use crate::engine::delivery::Notice;
use crate::engine::special::{FRAUD_BLOCK, Special};
use crate::server::front::{Door, Knock, Question, Said};
use crate::store::admin::{Admin, AdminFault, AuditFilter, AuditRow, TokenDetails, TokenFilter, UserDetails};
use crate::store::people;
use crate::store::user_act::UserAct;

/// The routes.
pub(super) fn routes(people: People) -> Router {
    Router::new()
        .route("/me", get(own))
        .route("/me/again", get(again))
        .route("/me/login", post(login))
        .route("/me/logout", post(logout))
        .route("/me/device", post(revoke_device))
        .route("/me/token", post(disable_token))
        .route("/me/settings", post(settings))
        .route("/me/codes", post(codes))
        .route("/me/report", post(report))
        .with_state(people)
}

/// How many logins are shown.
const LOGINS: usize = 10;
/// How many rows of the trail they are looked for in.
const ROWS: usize = 100;
/// Why a user is blocked who said so on a page.
const NOT_ME: &str = "somebody else's login, the user said on the portal";

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
    let shown = Page::new(title, body).show_as(words, status);
    match slip.cookie {
        Some(cookie) => with_cookie(shown, cookie),
        None => shown,
    }
}

/// `GET /me/again`
async fn again(State(people): State<People>, visitor: Visitor) -> Response<Body> {
    let held = match people.logged_in(&visitor) {
        Ok(held) => held,
        Err(elsewhere) => return see_other(elsewhere),
    };
    let notice = visitor.words.say("me.again");
    let step = Step::Password { user: held.data.user.as_str(), notice: Some(notice) };
    login_page(&people, &visitor, &step, StatusCode::OK)
}

/// `POST /me/login`
async fn login(State(people): State<People>, visitor: Visitor, request: Request<Body>) -> Response<Body> {
    let form = match Form::of_visitor(&people.web, &visitor, request).await {
        Ok(form) => form,
        Err(refusal) => return refusal.show(&people.web, &visitor),
    };
    if !people.logins.admits(network(visitor.address), people.web.now()) {
        return people.web.fault(visitor.words, StatusCode::TOO_MANY_REQUESTS);
    }
    let user = form.text("user").to_owned();
    let state = form.text("state");
    let state = (!state.is_empty()).then(|| Secret::new(unhex(state).unwrap_or_default()));
    let typed = if state.is_some() { Secret::from(form.text("code")) } else { form.secret("password") };
    let knock = Knock { door: Door::Portal, user: user.clone(), typed, state, from: visitor.address };
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
            let seat = Seat {
                user: accepted.user().clone(),
                right: Right::LoggedIn,
                proved: people.web.now(),
                pending: None,
                made: None,
                sight: Some(Arc::new(Sight::of(&account))),
            };
            let (_, cookie) = people.seats.begin(&visitor, accepted.user().as_str(), seat);
            with_cookie(see_other("/me"), cookie)
        }
        Said::Accepted(_) => {
            let notice = visitor.words.say("me.no-factor");
            let step = Step::Password { user: &user, notice: Some(notice) };
            login_page(&people, &visitor, &step, StatusCode::FORBIDDEN)
        }
        Said::Refused(text) => {
            let reference = text.split("Reference ").nth(1).map(|rest| rest.trim_end_matches('.'));
            let notice = match reference {
                Some(reference) => visitor.words.with("me.refused-reference", &[("reference", reference)]),
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
    let filter = AuditFilter { user: Some(user.clone()), limit: ROWS, ..AuditFilter::default() };
    let is_login = |row: &AuditRow| {
        row.actor.is_none()
            && !row.source.is_empty()
            && matches!(row.verdict.as_str(), "accepted" | "rejected")
    };
    let logins = admin.audit(&filter)?.into_iter().filter(is_login).take(LOGINS).collect();
    Ok(Some(View { account, details, tokens, logins }))
}

/// `GET /me`
async fn own(State(people): State<People>, visitor: Visitor) -> Response<Body> {
    let Ok(held) = people.logged_in(&visitor) else {
        let step = Step::Password { user: "", notice: None };
        let shown = login_page(&people, &visitor, &step, StatusCode::OK);
        // Whoever has set up a factor and comes here is finished with it.
        return match people.seats.find(&visitor).filter(|held| held.data.right == Right::Enrolled) {
            Some(held) => with_cookie(shown, people.end(&held)),
            None => shown,
        };
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
    let body = html! {
        h1 { (title) }
        p { (words.with("me.hello", &[("user", view.details.fields.display_name.as_deref().unwrap_or(view.account.name.as_str()))])) }
        (methods(words, &held, &view))
        (preferences(words, &held, &view))
        (logins(words, &held, &view))
        form method="post" action="/me/logout" {
            (form::token(held.token()))
            button.quiet type="submit" { (words.say("me.logout")) }
        }
    };
    Page::new(title, body).show(words)
}

fn methods(words: Words, held: &Held<Seat>, view: &View) -> Markup {
    let special = view.account.special.as_deref();
    let devices: Vec<_> = special.iter().flat_map(|special| special.active_devices()).collect();
    let left = special.map_or(0, Special::recovery_left).to_string();
    html! {
        section.card aria-labelledby="methods" {
            h2 #methods { (words.say("me.methods")) }
            @if view.tokens.is_empty() && devices.is_empty() { p { (words.say("me.nothing")) } }
            @for token in view.tokens.iter().filter(|token| token.enabled) {
                form.row method="post" action="/me/token" {
                    (form::token(held.token()))
                    input type="hidden" name="serial" value=(token.serial);
                    p { (words.say("me.app")) " " code { (token.fields.label.as_deref().unwrap_or(&token.serial)) } }
                    button.danger type="submit" aria-label=(words.with("me.remove-what", &[("what", &token.serial)])) { (words.say("me.remove")) }
                }
            }
            @for device in devices {
                form.row method="post" action="/me/device" {
                    (form::token(held.token()))
                    input type="hidden" name="device" value=(device.id);
                    p { (words.say("me.device")) " " code { (device.name) } }
                    button.danger type="submit" aria-label=(words.with("me.remove-what", &[("what", &device.name)])) { (words.say("me.remove")) }
                }
            }
            p { (words.with("me.codes-left", &[("count", &left)])) }
            .actions {
                a.button href="/setup" { (words.say("me.add")) }
            }
            form method="post" action="/me/codes" {
                (form::token(held.token()))
                button.quiet type="submit" { (words.say("me.new-codes")) }
            }
        }
    }
}

const METHODS: [(&str, &str); 5] = [
    ("totp", "me.method-totp"),
    ("push", "me.method-push"),
    ("sms", "me.method-sms"),
    ("call", "me.method-call"),
    ("mail", "me.method-mail"),
];

fn preferences(words: Words, held: &Held<Seat>, view: &View) -> Markup {
    let fields = &view.details.fields;
    let chosen = |known: &str, own: &Option<String>| own.as_deref() == Some(known);
    html! {
        section.card aria-labelledby="preferences" {
            h2 #preferences { (words.say("me.preferences")) }
            form method="post" action="/me/settings" {
                (form::token(held.token()))
                label for="method" { (words.say("me.method")) }
                select #method name="method" {
                    option value="" { (words.say("me.default")) }
                    @for (value, key) in METHODS { option value=(value) selected[chosen(value, &fields.method)] { (words.say(key)) } }
                }
                label for="language" { (words.say("me.language")) }
                select #language name="language" {
                    option value="" { (words.say("me.default")) }
                    @for (code, name) in Words::languages() { option value=(code) selected[chosen(code, &fields.language)] { (name) } }
                }
                button type="submit" { (words.say("me.save")) }
            }
        }
    }
}

fn logins(words: Words, held: &Held<Seat>, view: &View) -> Markup {
    html! {
        section.card aria-labelledby="logins" {
            h2 #logins { (words.say("me.logins")) }
            .scroll tabindex="0" {
                table {
                    thead { tr {
                        th scope="col" { (words.say("me.when")) }
                        th scope="col" { (words.say("me.where")) }
                        th scope="col" { (words.say("me.from")) }
                        th scope="col" { (words.say("me.result")) }
                    } }
                    tbody {
                        @for row in &view.logins {
                            tr {
                                td { (row.time) }
                                td { (row.client) }
                                td { (row.station.as_deref().unwrap_or("")) }
                                td { @if row.verdict == "accepted" { (words.say("me.let-in")) } @else { (words.say("me.not-let-in")) } }
                            }
                        }
                    }
                }
            }
            details {
                summary { (words.say("me.not-me")) }
                p { (words.say("me.not-me-means")) }
                form method="post" action="/me/report" {
                    (form::token(held.token()))
                    button.danger type="submit" { (words.say("me.block")) }
                }
            }
        }
    }
}

/// Who sits here, and the form that was sent.
async fn sent(
    people: &People,
    visitor: &Visitor,
    request: Request<Body>,
) -> Result<(Held<Seat>, Form), Response<Body>> {
    let held = people.logged_in(visitor).map_err(see_other)?;
    let form = Form::of_session(&people.web, &held, request).await;
    let form = form.map_err(|refusal| refusal.show(&people.web, visitor))?;
    let account = people.account_of(&held).await.map_err(|fault| people.failed(visitor, &fault))?;
    if account.is_none() {
        return Err(with_cookie(see_other("/me"), people.end(&held)));
    }
    Ok((held, form))
}

/// Does something for whoever sits here, and shows their page again.
async fn done(
    people: &People,
    visitor: &Visitor,
    held: &Held<Seat>,
    work: impl FnOnce(&mut dyn Admin, &UserName) -> Result<(), AdminFault> + Send + 'static,
) -> Response<Body> {
    let (user, who) = (held.data.user.clone(), person(&held.data.user));
    let done = people.desk.act(&who, None, move |admin| {
        let before = read(admin, &user)?;
        work(admin, &user)?;
        Ok((before, read(admin, &user)?))
    });
    match done.await {
        // What the user takes away ends no seat but the others.
        Ok((Some(before), Some(after))) => {
            let (before, after) = (Sight::of(&before), Sight::of(&after));
            people.seats.change(held, |seat| {
                seat.sight = seat.sight.as_ref().map(|sight| Arc::new(sight.less(&before, &after)));
            });
            see_other("/me")
        }
        // What is gone already need not be taken away.
        Ok(_) | Err(desk::Fault::Store(AdminFault::Missing(_))) => see_other("/me"),
        Err(desk::Fault::Store(AdminFault::Invalid(_))) => {
            people.web.fault(visitor.words, StatusCode::BAD_REQUEST)
        }
        Err(fault) => people.failed(visitor, &fault),
    }
}

/// `POST /me/logout`
async fn logout(State(people): State<People>, visitor: Visitor, request: Request<Body>) -> Response<Body> {
    match sent(&people, &visitor, request).await {
        Ok((held, _)) => with_cookie(see_other("/me"), people.end(&held)),
        Err(elsewhere) => elsewhere,
    }
}

/// `POST /me/device`
async fn revoke_device(
    State(people): State<People>,
    visitor: Visitor,
    request: Request<Body>,
) -> Response<Body> {
    let (held, form) = match sent(&people, &visitor, request).await {
        Ok(sent) => sent,
        Err(elsewhere) => return elsewhere,
    };
    let device = form.text("device").to_owned();
    let revoke = move |admin: &mut dyn Admin, user: &UserName| {
        admin.act_for(user, &UserAct::RevokeDevice { device: &device })
    };
    done(&people, &visitor, &held, revoke).await
}

/// `POST /me/token`
async fn disable_token(
    State(people): State<People>,
    visitor: Visitor,
    request: Request<Body>,
) -> Response<Body> {
    let (held, form) = match sent(&people, &visitor, request).await {
        Ok(sent) => sent,
        Err(elsewhere) => return elsewhere,
    };
    let serial = form.text("serial").to_owned();
    let disable = move |admin: &mut dyn Admin, user: &UserName| {
        // Whatever the form says: nobody's token but their own.
        if admin.token(&serial)?.user.as_ref() != Some(user) {
            return Err(AdminFault::Missing("token of yours".to_owned()));
        }
        admin.enable_token(&serial, false)
    };
    done(&people, &visitor, &held, disable).await
}

/// `POST /me/settings`
async fn settings(State(people): State<People>, visitor: Visitor, request: Request<Body>) -> Response<Body> {
    let (held, form) = match sent(&people, &visitor, request).await {
        Ok(sent) => sent,
        Err(elsewhere) => return elsewhere,
    };
    let (method, language) = (form.text("method").to_owned(), form.text("language").to_owned());
    let known = METHODS.iter().any(|(known, _)| *known == method) || method.is_empty();
    let spoken = Words::languages().any(|(code, _)| code == language) || language.is_empty();
    if !known || !spoken {
        return people.web.fault(visitor.words, StatusCode::BAD_REQUEST);
    }
    let said = |text: String| (!text.is_empty()).then_some(text);
    let method = said(method).and_then(|method| people::method(&method).ok());
    let language = said(language);
    let change = move |admin: &mut dyn Admin, user: &UserName| {
        admin.set_user(user, &mut |fields| {
            fields.method.clone_from(&method);
            fields.language.clone_from(&language);
        })
    };
    done(&people, &visitor, &held, change).await
}

/// `POST /me/codes`
async fn codes(State(people): State<People>, visitor: Visitor, request: Request<Body>) -> Response<Body> {
    let (held, _) = match sent(&people, &visitor, request).await {
        Ok(sent) => sent,
        Err(elsewhere) => return elsewhere,
    };
    if !people.is_fresh(&held) {
        return see_other("/me/again");
    }
    let user = held.data.user.clone();
    let who = person(&user);
    let made = people.desk.act(&who, None, move |admin| {
        let codes = factor::new_codes(admin, &user)?;
        Ok((codes, read(admin, &user)?))
    });
    let (codes, account) = match made.await {
        Ok(made) => made,
        Err(fault) => return people.failed(&visitor, &fault),
    };
    let Some(account) = account else { return see_other("/me") };
    people.answers.notify(Notice::Enrolled, &account);
    let words = words(&visitor, &account);
    let title = words.say("enrol.codes-title");
    let body = html! {
        h1 { (title) }
        (listed(words, &codes))
        .actions { a.button href="/me" { (words.say("enrol.back")) } }
    };
    Page::new(title, body).show(words)
}

/// `POST /me/report`
async fn report(State(people): State<People>, visitor: Visitor, request: Request<Body>) -> Response<Body> {
    let (held, _) = match sent(&people, &visitor, request).await {
        Ok(sent) => sent,
        Err(elsewhere) => return elsewhere,
    };
    let user = held.data.user.clone();
    let who = person(&user);
    let blocked = people.desk.act(&who, None, move |admin| {
        let account = read(admin, &user)?;
        admin.act_for(&user, &UserAct::Block { span: FRAUD_BLOCK, why: NOT_ME })?;
        Ok(account)
    });
    let account = match blocked.await {
        Ok(account) => account,
        Err(fault) => return people.failed(&visitor, &fault),
    };
    tracing::warn!(user = %crate::base::text::escape(held.data.user.as_str().as_bytes()), reason = "fraud-reported",
        "a user said on the portal that a login was somebody else's; the user is blocked");
    if let Some(account) = &account {
        people.answers.notify(Notice::Reported, account);
    }
    people.seats.end_all_of(held.data.user.as_str(), None);
    let words = visitor.words;
    let title = words.say("me.blocked-title");
    let body = html! {
        h1 { (title) }
        p.notice.warn role="status" { (words.say("me.blocked")) }
    };
    with_cookie(Page::new(title, body).show(words), people.end(&held))
}
