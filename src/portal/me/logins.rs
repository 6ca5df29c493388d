//! Recent logins, and what their user says to one that was somebody else's.

use axum::body::Body;
use axum::http::Response;
use maud::{Markup, html};

use super::{Own, View};
use crate::base::name::UserName;
use crate::engine::delivery::Notice;
use crate::engine::reason::Reason;
use crate::engine::special::FRAUD_BLOCK;
use crate::portal::factor;
use crate::portal::people::{Seat, read};
use crate::portal::person::Person;
use crate::portal::web::form;
use crate::portal::web::page::moment;
use crate::portal::web::session::Held;
use crate::portal::web::{Page, Words, with_cookie};
use crate::server::people::People as Known;
use crate::store::act::Act;
use crate::store::admin::{Admin, AdminFault, AuditFilter, AuditRow};
use crate::store::user_act::UserAct;

/// How many logins are shown.
const LOGINS: usize = 10;
/// How many rows of the trail they are looked for in.
const ROWS: usize = 100;
/// Why a user is blocked who said so on a page.
const NOT_ME: &str = "somebody else's login, the user said on the portal";

/// The newest of `user`.
pub(super) fn newest(admin: &mut dyn Admin, user: &UserName) -> Result<Vec<AuditRow>, AdminFault> {
    let filter = AuditFilter { user: Some(user.clone()), limit: ROWS, ..AuditFilter::default() };
    let is_login = |row: &AuditRow| {
        row.actor.is_none()
            && !row.source.is_empty()
            && matches!(row.verdict.as_str(), "accepted" | "rejected")
    };
    Ok(admin.audit(&filter)?.into_iter().filter(is_login).take(LOGINS).collect())
}

/// The part of the page.
pub(super) fn section(words: Words, held: &Held<Seat>, view: &View, known: &Known) -> Markup {
    html! {
        section.card aria-labelledby="logins" {
            h2 #logins { (words.say("me.logins")) }
            @if !view.logins.is_empty() { p { (words.say("me.was-it-you")) } }
            // No table: on a phone its last column would be out of sight, and that is the one that matters.
            ul.lines {
                @for row in &view.logins { li {
                    p { strong { @if row.verdict == "accepted" { (words.say("me.let-in")) } @else { (words.say("me.not-let-in")) } }
                        " " (moment(row.time)) }
                    p.faint { (known.called(&row.client)) @if let Some(station) = &row.station { ", " (station) } }
                    details {
                        summary { (words.say("me.not-me")) }
                        p { (words.say("me.not-me-means")) }
                        form method="post" action="/me/report" {
                            (form::token(held.token()))
                            input type="hidden" name="login" value=(row.login);
                            button.danger type="submit" { (words.say("me.block")) }
                        }
                    }
                } }
            }
        }
    }
}

/// `POST /me/report`
pub(super) async fn report(sent: Own) -> Response<Body> {
    let Person { people, held, words, .. } = &sent.by;
    let (login, unix) = (sent.form.text("login").to_owned(), people.web.unix());
    let blocked = sent.act(move |admin, user| {
        let account = read(admin, user)?;
        if let Some(account) = &account {
            // Whatever the form says: one of their own, or none in particular.
            let which = newest(admin, user)?.into_iter().find(|row| row.login.to_string() == login);
            let note = which.map_or_else(String::new, |row| {
                let station = row.station.map(|station| format!(" from {station}")).unwrap_or_default();
                format!("{} at {}{station}", row.login, row.client)
            });
            factor::note(admin, account, Act::new(Reason::LoginDisowned).note(note), unix)?;
        }
        admin.act_for(user, &UserAct::Block { span: FRAUD_BLOCK, why: NOT_ME })?;
        Ok(account)
    });
    let account = match blocked.await {
        Ok(account) => account,
        Err(fault) => return sent.by.failed(&fault),
    };
    tracing::error!(user = %crate::base::text::escape(held.data.user.as_str().as_bytes()), reason = Reason::LoginDisowned.code(),
        "a user said on the portal that a login was somebody else's; the user is blocked");
    if let Some(account) = &account {
        people.answers.notify(Notice::Reported, account);
    }
    people.seats.end_all_of(held.data.user.as_str(), None);
    let title = words.say("me.blocked-title");
    let body = html! {
        h1 { (title) }
        p.notice.warn role="status" { (words.say("me.blocked")) }
    };
    with_cookie(Page::new(title, body).show(*words), people.end(held))
}
