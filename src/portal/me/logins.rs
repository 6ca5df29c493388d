//! Recent logins, and what their user says to one that was somebody else's.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use maud::{Markup, html};

use super::{View, sent};
use crate::base::name::UserName;
use crate::engine::delivery::Notice;
use crate::engine::reason::Reason;
use crate::engine::special::FRAUD_BLOCK;
use crate::portal::factor;
use crate::portal::people::{People, Seat, person, read};
use crate::portal::web::form;
use crate::portal::web::session::Held;
use crate::portal::web::{Page, Visitor, Words, with_cookie};
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
pub(super) fn section(words: Words, held: &Held<Seat>, view: &View) -> Markup {
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
                        th scope="col" { (words.say("me.was-it-you")) }
                    } }
                    tbody {
                        @for row in &view.logins {
                            tr {
                                td { (row.time) }
                                td { (row.client) }
                                td { (row.station.as_deref().unwrap_or("")) }
                                td { @if row.verdict == "accepted" { (words.say("me.let-in")) } @else { (words.say("me.not-let-in")) } }
                                td {
                                    details {
                                        summary { (words.say("me.not-me")) }
                                        p { (words.say("me.not-me-means")) }
                                        form method="post" action="/me/report" {
                                            (form::token(held.token()))
                                            input type="hidden" name="login" value=(row.login);
                                            button.danger type="submit" { (words.say("me.block")) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `POST /me/report`
pub(super) async fn report(
    State(people): State<People>,
    visitor: Visitor,
    request: Request<Body>,
) -> Response<Body> {
    let (held, form) = match sent(&people, &visitor, request).await {
        Ok(sent) => sent,
        Err(elsewhere) => return elsewhere,
    };
    let user = held.data.user.clone();
    let who = person(&user);
    let (login, unix) = (form.text("login").to_owned(), people.web.unix());
    let blocked = people.desk.act(&who, None, move |admin| {
        let account = read(admin, &user)?;
        if let Some(account) = &account {
            // Whatever the form says: one of their own, or none in particular.
            let which = newest(admin, &user)?.into_iter().find(|row| row.login.to_string() == login);
            let note = which.map_or_else(String::new, |row| {
                let station = row.station.map(|station| format!(" from {station}")).unwrap_or_default();
                format!("{} at {}{station}", row.login, row.client)
            });
            factor::note(admin, account, Act::new(Reason::LoginDisowned).note(note), unix)?;
        }
        admin.act_for(&user, &UserAct::Block { span: FRAUD_BLOCK, why: NOT_ME })?;
        Ok(account)
    });
    let account = match blocked.await {
        Ok(account) => account,
        Err(fault) => return people.failed(&visitor, &fault),
    };
    tracing::error!(user = %crate::base::text::escape(held.data.user.as_str().as_bytes()), reason = Reason::LoginDisowned.code(),
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
