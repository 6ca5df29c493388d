//! The pages: who is logging in, users, reports, gateways, the trail.

use axum::Router;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use maud::{Markup, html};

use super::office::Fault;
use super::read::{self, AuditLine, LoginLine, SumLine, UserLine};
use super::seats::{Seated, Seats, login};
use super::{chart, said, user_page};
use crate::base::name::UserName;
use crate::portal::desk;
use crate::portal::request;
use crate::portal::web::form;
use crate::portal::web::page::Column::{Figures, Of};
use crate::portal::web::page::{second, table};
use crate::portal::web::sent::{Sat, logout};
use crate::portal::web::{Page, Words};
use crate::store::admin::{Admin, AdminFault};
use crate::store::report::{By, Filter};

/// Lines of a page.
const LINES: usize = 50;
/// How far reports look back.
const DAYS: u64 = 30;

/// The routes.
pub(super) fn routes(seats: Seats) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/login", post(login))
        .route("/logout", post(logout::<Seats>))
        .route("/users", get(users))
        .route("/user", get(user_page::show).post(user_page::act))
        .route("/reports", get(reports))
        .route("/clients", get(clients))
        .route("/audit", get(audit))
        .with_state(seats)
}

/// What a query says.
pub(super) struct Asked(Vec<(String, String)>);

impl Asked {
    pub(super) fn of(query: Option<&str>) -> Asked {
        Asked(request::form(query.unwrap_or_default().as_bytes()))
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }
}

/// A page of somebody who sits there.
pub(super) fn page(seated: &Seated, here: &str, title: &str, body: &Markup) -> Page {
    let words = seated.words;
    let links = [
        ("/", words.say("admin.overview")),
        ("/users", words.say("admin.users")),
        ("/reports", words.say("admin.reports")),
        ("/clients", words.say("admin.clients")),
        ("/audit", words.say("admin.audit")),
    ];
    let nav = html! {
        @for (path, text) in links {
            @if path == here { a href=(path) aria-current="page" { (text) } } @else { a href=(path) { (text) } }
        }
    };
    let role = said::role(words, seated.caller.role);
    let body = html! {
        (body)
        form method="post" action="/logout" {
            (form::token(seated.held.token()))
            p.faint { (words.with("admin.seated", &[("user", &seated.caller.name), ("role", role)])) }
            div.actions { button.quiet type="submit" { (words.say("admin.logout")) } }
        }
    };
    Page::new(title, body).nav(nav).wide()
}

impl Seated {
    /// Reads what a page shows; or the page that says why it cannot be read.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Admin) -> Result<T, AdminFault> + Send + 'static,
    ) -> Result<T, Response<Body>> {
        self.seats.office.read(&self.caller, work).await.map_err(|fault| {
            self.fault(match fault {
                Fault::Refused(_) => StatusCode::FORBIDDEN,
                Fault::Desk(desk::Fault::Store(AdminFault::Missing(_))) => StatusCode::NOT_FOUND,
                Fault::Invalid(_) | Fault::Desk(desk::Fault::Store(_)) => StatusCode::BAD_REQUEST,
                Fault::Desk(_) => StatusCode::SERVICE_UNAVAILABLE,
            })
        })
    }
}

async fn overview(Sat(seated): Sat<Seated>) -> Response<Body> {
    let words = seated.words;
    let logins = read::logins(&seated.seats.office.pulse, None);
    let body = html! {
        h1 { (words.say("admin.overview")) }
        (search(words, ""))
        h2 { (words.say("admin.live")) }
        (login_table(words, &logins))
    };
    // A page that nobody looks at keeps nobody logged in.
    page(&seated, "/", words.say("admin.overview"), &body).by_itself(30, "/").show(words)
}

fn search(words: Words, asked: &str) -> Markup {
    html! {
        form method="get" action="/users" role="search" {
            label for="q" { (words.say("admin.search")) }
            input #q name="q" type="search" maxlength="200" value=(asked);
            div.actions { button type="submit" { (words.say("admin.find")) } }
        }
    }
}

pub(super) fn login_table(words: Words, logins: &[LoginLine]) -> Markup {
    if logins.is_empty() {
        return html! { p.faint { (words.say("admin.no-logins")) } };
    }
    let columns = [
        Of("admin.user"),
        Of("admin.client"),
        Of("admin.station"),
        Figures("admin.seconds"),
        Of("admin.state"),
        Of("admin.number"),
    ];
    let rows = html! {
        @for login in logins { tr {
            td { @if let Some(user) = &login.user { (user_link(user)) } }
            td { (login.client) }
            td { (login.station.as_deref().unwrap_or_default()) }
            td.figure { (login.seconds) }
            td { (said::state(words, login.state)) }
            td.code { (login.login) }
        } }
    };
    table(words, columns, None, &rows)
}

/// A link to the page of a user.
pub(super) fn user_link(name: &str) -> Markup {
    html! { a href={ "/user?name=" (encoded(name)) } { (name) } }
}

/// As a value in a query.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut whole, octet| {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            whole.push(char::from(octet));
        } else {
            let _infallible = write!(whole, "%{octet:02X}");
        }
        whole
    })
}

async fn users(Sat(seated): Sat<Seated>, RawQuery(query): RawQuery) -> Response<Body> {
    let words = seated.words;
    let asked = Asked::of(query.as_deref());
    let (contains, after) =
        (asked.text("q").to_owned(), UserName::canonical(asked.text("after").as_bytes()).ok());
    let wanted = Some(contains.clone()).filter(|text| !text.is_empty());
    let read = seated.read(move |admin| read::users(admin, wanted, after, LINES + 1));
    let mut found = match read.await {
        Ok(found) => found,
        Err(trouble) => return trouble,
    };
    let more = found.len() > LINES;
    found.truncate(LINES);
    let next = found.last().filter(|_| more).map(|user| user.name.clone());
    let body = html! {
        h1 { (words.say("admin.users")) }
        (search(words, &contains))
        @if found.is_empty() { p.notice { (words.say("admin.nobody")) } } @else { (user_table(words, &found)) }
        @if let Some(next) = next {
            p { a href={ "/users?q=" (encoded(&contains)) "&after=" (encoded(&next)) } { (words.say("admin.more")) } }
        }
    };
    page(&seated, "/users", words.say("admin.users"), &body).show(words)
}

fn user_table(words: Words, users: &[UserLine]) -> Markup {
    let columns = [
        Of("admin.user"),
        Of("admin.name"),
        Of("admin.tokens"),
        Figures("admin.wrong-codes"),
        Of("admin.disabled"),
    ];
    let rows = html! {
        @for user in users { tr {
            th scope="row" { (user_link(&user.name)) }
            td { (user.display_name.as_deref().unwrap_or_default()) }
            td { (user.tokens.join(", ")) }
            td.figure { (user.wrong_codes) }
            td { @if user.disabled { (words.say("admin.yes")) } }
        } }
    };
    table(words, columns, None, &rows)
}

async fn reports(Sat(seated): Sat<Seated>) -> Response<Body> {
    let words = seated.words;
    let since = Some(seated.seats.office.pulse.now() - std::time::Duration::from_hours(24 * DAYS));
    let filter = Filter { since, ..Filter::default() };
    let read = seated.read(move |admin| {
        let days = read::sums(admin, &filter, By::Day)?;
        let clients = read::sums(admin, &filter, By::Client)?;
        let mut reasons = read::sums(admin, &filter, By::Reason)?;
        reasons.retain(|line| line.rejected + line.retried > 0);
        reasons.sort_by_key(|line: &SumLine| std::cmp::Reverse(line.rejected + line.retried));
        Ok((days, clients, reasons))
    });
    let (days, clients, reasons) = match read.await {
        Ok(read) => read,
        Err(trouble) => return trouble,
    };
    let body = html! {
        h1 { (words.say("admin.reports")) }
        h2 { (words.say("admin.by-day")) }
        (chart::days(words, words.say("admin.by-day"), &days))
        h2 { (words.say("admin.by-client")) }
        (chart::lines(words, words.say("admin.by-client"), &clients, chart::PLAIN))
        h2 { (words.say("admin.by-reason")) }
        (chart::lines(words, words.say("admin.by-reason"), &reasons, chart::REASONS))
    };
    page(&seated, "/reports", words.say("admin.reports"), &body).show(words)
}

async fn clients(Sat(seated): Sat<Seated>) -> Response<Body> {
    let words = seated.words;
    let pulse = &seated.seats.office.pulse;
    let (known, now) = (pulse.clients(), pulse.now());
    let slowest = pulse.channels().list().map(|channel| channel.timeout).max();
    let since = Some(now - std::time::Duration::from_hours(24 * DAYS));
    let read = seated.read(move |admin| read::clients(admin, &known, slowest, since, now));
    let lines = match read.await {
        Ok(lines) => lines,
        Err(trouble) => return trouble,
    };
    let columns = [
        Of("admin.client"),
        Of("admin.signing"),
        Of("admin.protocols"),
        Figures("admin.logins"),
        Of("admin.advice"),
    ];
    let rows = html! {
        @for line in &lines { tr {
            th scope="row" { (line.client) }
            td { (said::signing(words, line.message_authenticator)) }
            td { (said::protocols(words, &line.protocols)) }
            td.figure { (line.logins) }
            td { @for advice in &line.advised { p { (said::advice(words, advice)) } } }
        } }
    };
    let body = html! {
        h1 { (words.say("admin.clients")) }
        (table(words, columns, None, &rows))
    };
    page(&seated, "/clients", words.say("admin.clients"), &body).show(words)
}

async fn audit(Sat(seated): Sat<Seated>, RawQuery(query): RawQuery) -> Response<Body> {
    let words = seated.words;
    let asked = Asked::of(query.as_deref());
    let (user, result) = (asked.text("user").to_owned(), asked.text("result").to_owned());
    let before = asked.text("before").parse::<u64>().ok().filter(|row| i64::try_from(*row).is_ok());
    let filter = Filter {
        user: UserName::canonical(user.as_bytes()).ok(),
        result: Some(result.clone()).filter(|result| !result.is_empty()),
        ..Filter::default()
    };
    let read = seated.read(move |admin| read::audit(admin, &filter, before, LINES));
    let rows = match read.await {
        Ok(rows) => rows,
        Err(trouble) => return trouble,
    };
    let next = rows.last().filter(|_| rows.len() == LINES).map(|row| row.row);
    let results = [
        ("", words.say("admin.any")),
        ("accepted", words.say("admin.accepted")),
        ("rejected", words.say("admin.rejected")),
        ("retried", words.say("admin.retried")),
        ("noted", words.say("admin.noted")),
    ];
    let body = html! {
        h1 { (words.say("admin.audit")) }
        form method="get" action="/audit" role="search" {
            label for="audit-user" { (words.say("admin.user")) }
            input #audit-user name="user" maxlength="253" value=(user);
            label for="result" { (words.say("admin.result")) }
            select #result name="result" {
                @for (value, text) in results { option value=(value) selected[value == result] { (text) } }
            }
            div.actions { button type="submit" { (words.say("admin.find")) } }
        }
        (audit_table(words, &rows))
        @if let Some(next) = next {
            p { a href={ "/audit?user=" (encoded(&user)) "&result=" (encoded(&result)) "&before=" (next) } { (words.say("admin.more")) } }
        }
    };
    page(&seated, "/audit", words.say("admin.audit"), &body).show(words)
}

/// Rows of the trail.
pub(super) fn audit_table(words: Words, rows: &[AuditLine]) -> Markup {
    let columns = [
        Of("admin.time"),
        Of("admin.user"),
        Of("admin.client"),
        Of("admin.reason"),
        Of("admin.method"),
        Of("admin.actor"),
        Of("admin.note"),
    ];
    let rows = html! {
        @for row in rows { tr {
            td.time { (second(&row.time)) }
            td { @if let Some(user) = &row.user { (user_link(user)) } }
            td { (row.client) }
            td title=[words.reason(&row.reason)] { (row.reason) }
            td { (said::method(words, &row.method)) }
            td { (row.actor.as_deref().unwrap_or_default()) }
            td { (row.note.as_deref().unwrap_or_default()) }
        } }
    };
    table(words, columns, None, &rows)
}
