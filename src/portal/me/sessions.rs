//! Second factors that are remembered (`remember`), as their user sees and ends them.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::{Markup, html};

use super::Own;
use crate::base::time::UnixTime;
use crate::engine::account::Account;
use crate::engine::record::LoginId;
use crate::portal::people::Seat;
use crate::portal::web::Words;
use crate::portal::web::form;
use crate::portal::web::page::moment;
use crate::portal::web::session::Held;
use crate::server::people::People as Known;
use crate::store::user_act::UserAct;

/// The part of the page; empty where nothing is remembered.
pub(super) fn section(
    words: Words,
    held: &Held<Seat>,
    account: &Account,
    known: &Known,
    now: UnixTime,
) -> Markup {
    let special = account.special.as_deref();
    let sessions: Vec<_> = special
        .iter()
        .flat_map(|special| special.sessions.iter())
        .filter(|session| now < session.until)
        .collect();
    html! {
        @if !sessions.is_empty() {
            section.card aria-labelledby="sessions" {
                h2 #sessions { (words.say("me.sessions-title")) }
                p { (words.say("me.sessions-why")) }
                @for session in &sessions {
                    form.row method="post" action="/me/sessions" {
                        (form::token(held.token()))
                        input type="hidden" name="login" value=(session.id);
                        p { (words.with("me.session", &[
                            ("client", known.called(session.client.as_str())),
                            ("station", &session.station),
                            ("until", &moment(session.until)),
                        ])) }
                        button.quiet type="submit" aria-label=(words.with("me.session-end-at", &[("client", known.called(session.client.as_str()))])) {
                            (words.say("me.session-end"))
                        }
                    }
                }
                form method="post" action="/me/sessions" {
                    (form::token(held.token()))
                    button.quiet type="submit" { (words.say("me.sessions-end")) }
                }
            }
        }
    }
}

/// `POST /me/sessions`
pub(super) async fn end(sent: Own) -> Response<Body> {
    let which = match sent.form.text("login") {
        "" => None,
        text => match LoginId::parse(text) {
            Some(login) => Some(login),
            None => return sent.by.fault(StatusCode::BAD_REQUEST),
        },
    };
    sent.done(move |admin, user| admin.act_for(user, &UserAct::EndSessions { which, why: None })).await
}
