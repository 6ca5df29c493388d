//! "Let me in": a user arms the next login at a client that wants to be armed first (`arm`), and takes it back.
//!
//! Invariants: an arming stands for the second factor, so it wants one of late; a user arms their own logins alone, where the
//! configuration says so for them.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::{Markup, html};

use super::{Fresh, Own};
use crate::base::name::Label;
use crate::engine::account::Account;
use crate::portal::people::{People, Seat};
use crate::portal::web::Words;
use crate::portal::web::form;
use crate::portal::web::session::Held;
use crate::server::people::People as Asked;
use crate::store::user_act::{DOORS, UserAct};

/// The clients at which the user's logins are armed first, in the order of their names, and for how long.
fn clients(known: &Asked, account: &Account) -> Vec<(Label, Duration)> {
    let mut found: Vec<(Label, Duration)> = Vec::new();
    let concern = |asked: &&crate::server::people::Asked| {
        !asked.login.arm.is_zero() && !DOORS.contains(&asked.client.as_str()) && asked.concerns(account)
    };
    for asked in known.asked.iter().filter(concern) {
        match found.iter_mut().find(|(client, _)| *client == asked.client) {
            // Which rule holds may hang on the station, which nobody knows yet.
            Some((_, span)) => *span = (*span).max(asked.login.arm),
            None => found.push((asked.client.clone(), asked.login.arm)),
        }
    }
    found.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    found
}

/// The part of the page; empty where nothing is to be armed.
pub(super) fn section(words: Words, held: &Held<Seat>, account: &Account, people: &People) -> Markup {
    let clients = clients(&people.answers.people(), account);
    let now = people.web.unix();
    let until = |client: &Label| {
        let special = account.special.as_deref()?;
        let armed = special.armed.iter().find(|armed| armed.client == *client && now < armed.until)?;
        Some(armed.until)
    };
    html! {
        @if !clients.is_empty() {
            section.card aria-labelledby="arming" {
                h2 #arming { (words.say("me.arm-title")) }
                p { (words.say("me.arm-why")) }
                @for (client, span) in &clients {
                    @if let Some(until) = until(client) {
                        form.row method="post" action="/me/disarm" {
                            (form::token(held.token()))
                            input type="hidden" name="client" value=(client);
                            p.notice.good role="status" {
                                (words.with("me.armed", &[
                                    ("client", client.as_str()),
                                    ("seconds", &until.since(now).as_secs().max(1).to_string()),
                                    ("until", &until.to_string()),
                                ]))
                            }
                            button.quiet type="submit" aria-label=(words.with("me.disarm-at", &[("client", client.as_str())])) {
                                (words.say("me.disarm"))
                            }
                        }
                    } @else {
                        form method="post" action="/me/arm" {
                            (form::token(held.token()))
                            input type="hidden" name="client" value=(client);
                            button type="submit" {
                                (words.with("me.arm", &[
                                    ("client", client.as_str()),
                                    ("seconds", &span.as_secs().to_string()),
                                ]))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `POST /me/arm`
pub(super) async fn arm(sent: Fresh) -> Response<Body> {
    let wanted = sent.form.text("client");
    let found = clients(&sent.by.people.answers.people(), &sent.by.account);
    let Some((client, span)) = found.into_iter().find(|(client, _)| client.as_str() == wanted) else {
        return sent.by.fault(StatusCode::BAD_REQUEST);
    };
    sent.done(move |admin, user| admin.act_for(user, &UserAct::Arm { client, span })).await
}

/// `POST /me/disarm`
pub(super) async fn disarm(sent: Own) -> Response<Body> {
    let Ok(client) = Label::new(sent.form.text("client")) else {
        return sent.by.fault(StatusCode::BAD_REQUEST);
    };
    sent.done(move |admin, user| admin.act_for(user, &UserAct::Disarm { client })).await
}
