//! "Let me in": a user arms the next login at a client that wants to be armed first (`arm`), and takes it back.
//!
//! Invariants: an arming stands for the second factor, so it wants one of late, and one that the client would take; a user arms their own
//! logins alone, where the configuration says so for them.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::{Markup, html};

use super::{Fresh, Own};
use crate::base::name::Label;
use crate::engine::account::Account;
use crate::engine::arming::ArmedBy;
use crate::engine::record::Method;
use crate::portal::people::{People, Seat};
use crate::portal::web::form;
use crate::portal::web::page::moment;
use crate::portal::web::session::Held;
use crate::portal::web::{Visitor, Words};
use crate::server::people::People as Asked;
use crate::store::user_act::{DOORS, UserAct};

/// A client at which the user's logins are armed first.
struct Armable {
    client: Label,
    span: Duration,
    /// Whether it lets in on the factor of whoever sits there. The engine asks again when the login comes.
    taken: bool,
}

/// Those that there are, in the order of their names, for whoever has shown what `by` says.
fn clients(known: &Asked, account: &Account, by: ArmedBy) -> Vec<Armable> {
    let mut found: Vec<Armable> = Vec::new();
    let concern = |asked: &&crate::server::people::Asked| {
        !asked.login.arm.is_zero() && !DOORS.contains(&asked.client.as_str()) && asked.concerns(account)
    };
    for asked in known.asked.iter().filter(concern) {
        let taken = by.is_taken(&asked.login);
        match found.iter_mut().find(|known| known.client == asked.client) {
            // Which rule holds may hang on the station, which nobody knows yet.
            Some(known) => {
                known.span = known.span.max(asked.login.arm);
                known.taken |= taken;
            }
            None => found.push(Armable { client: asked.client.clone(), span: asked.login.arm, taken }),
        }
    }
    found.sort_by(|one, other| one.client.as_str().cmp(other.client.as_str()));
    found
}

/// Who arms from this seat, and with what.
fn by(held: &Held<Seat>, visitor: &Visitor) -> ArmedBy {
    ArmedBy::User { method: held.data.method.unwrap_or(Method::None), from: Some(visitor.address) }
}

/// The part of the page; empty where nothing is to be armed.
pub(super) fn section(
    words: Words,
    (held, visitor): (&Held<Seat>, &Visitor),
    account: &Account,
    people: &People,
) -> Markup {
    let known = people.answers.people();
    let clients = clients(&known, account, by(held, visitor));
    let called = |client: &Label| known.called(client.as_str()).to_owned();
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
                @for Armable { client, span, taken } in &clients {
                    @if let Some(until) = until(client) {
                        form.row method="post" action="/me/disarm" {
                            (form::token(held.token()))
                            input type="hidden" name="client" value=(client);
                            p.notice.good role="status" {
                                (words.with("me.armed", &[
                                    ("client", &called(client)),
                                    ("seconds", &until.since(now).as_secs().max(1).to_string()),
                                    ("until", &moment(until)),
                                ]))
                            }
                            button.quiet type="submit" aria-label=(words.with("me.disarm-at", &[("client", &called(client))])) {
                                (words.say("me.disarm"))
                            }
                        }
                    } @else if !taken {
                        p.notice {
                            (words.with("me.arm-otherwise", &[("client", &called(client))])) " "
                            a href="/me/again" { (words.say("me.arm-again")) }
                        }
                    } @else {
                        form method="post" action="/me/arm" {
                            (form::token(held.token()))
                            input type="hidden" name="client" value=(client);
                            button type="submit" {
                                (words.with("me.arm", &[
                                    ("client", &called(client)),
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
    let by = by(&sent.by.held, &sent.by.visitor);
    let found = clients(&sent.by.people.answers.people(), &sent.by.account, by);
    let found = found.into_iter().find(|known| known.taken && known.client.as_str() == wanted);
    let Some(Armable { client, span, .. }) = found else {
        return sent.by.fault(StatusCode::BAD_REQUEST);
    };
    sent.done(move |admin, user| admin.act_for(user, &UserAct::Arm { client, span, by })).await
}

/// `POST /me/disarm`
pub(super) async fn disarm(sent: Own) -> Response<Body> {
    let Ok(client) = Label::new(sent.form.text("client")) else {
        return sent.by.fault(StatusCode::BAD_REQUEST);
    };
    sent.done(move |admin, user| admin.act_for(user, &UserAct::Disarm { client })).await
}
