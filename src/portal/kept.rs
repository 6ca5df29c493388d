//! A second factor that its owner has just confirmed, of whatever kind: kept, told of, and the page that says so.
//!
//! ```text
//! form ─ one desk turn: the factor, recovery codes for whoever has none ─ notice ─ the seat rises ─ page with the codes, this once
//! ```
//! Invariants: of two who confirm by one invitation one gets in, and of a form that is sent twice one gets the codes.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::{Markup, html};

use super::desk;
use super::factor;
use super::people::{Right, read};
use super::person::{Person, SetsUp, unusable};
use super::web::sent::Sent;
use super::web::{Page, Words, see_other, with_cookie};
use crate::base::name::UserName;
use crate::store::admin::{Admin, AdminFault};

/// What was set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// A code app.
    App,
    /// The browser itself; its owner was told when it registered.
    Browser,
    /// A passkey.
    Passkey,
}

impl Kept {
    /// Title, text, and where to go on: path and words.
    fn said(self) -> [&'static str; 4] {
        match self {
            Kept::App => ["enrol.done-title", "enrol.done", "/me", "enrol.finish"],
            Kept::Browser => ["phone.done-title", "phone.done", "/device", "phone.open"],
            Kept::Passkey => ["passkey.done-title", "passkey.done", "/me", "enrol.finish"],
        }
    }
}

impl Sent<Person<SetsUp>> {
    /// Keeps what `work` makes, with the right that whoever sent this sits there by.
    pub(super) async fn keep(
        &self,
        kept: Kept,
        work: impl FnOnce(&mut dyn Admin, &UserName, Right) -> Result<(), AdminFault> + Send + 'static,
    ) -> Response<Body> {
        let Person { people, held, account, words, .. } = &self.by;
        let (right, words) = (held.data.right, *words);
        let done = self.act(move |admin, user| {
            work(admin, user, right)?;
            Ok((factor::first_codes(admin, user)?, read(admin, user)?))
        });
        let (codes, enrolled) = match done.await {
            Ok((codes, enrolled)) => (codes, enrolled.unwrap_or_else(|| account.clone())),
            // The same form, sent twice: the other has the codes, and goes on with the seat.
            Err(desk::Fault::Store(AdminFault::Exists(_))) => return already(words),
            // Somebody was quicker, or an admin has taken it back.
            Err(desk::Fault::Store(AdminFault::Missing(_))) => {
                return match people.account(&held.data.user).await {
                    Ok(Some(account)) if account.is_enrolled() => already(words),
                    _ => with_cookie(unusable(words), people.end(held)),
                };
            }
            Err(desk::Fault::Store(AdminFault::Invalid(_))) => return self.by.fault(StatusCode::BAD_REQUEST),
            Err(fault) => return self.by.failed(&fault),
        };
        if kept != Kept::Browser {
            factor::tell(&people.answers, right, account);
        }
        let seat = held.data.enrolled(&enrolled, people.web.now());
        let Some((_, cookie)) = people.seats.rise(held, seat) else { return see_other("/me") };
        let [title, text, path, onward] = kept.said();
        let (title, text, onward) = (words.say(title), words.say(text), words.say(onward));
        let body = html! {
            h1 { (title) }
            p.notice.good role="status" { (text) }
            @if let Some(codes) = &codes { (listed(words, codes)) }
            .actions { a.button href=(path) { (onward) } a.button.quiet href="/setup" { (words.say("enrol.more")) } }
        };
        with_cookie(Page::new(title, body).show(words), cookie)
    }
}

fn already(words: Words) -> Response<Body> {
    let title = words.say("enrol.already-title");
    let body = html! {
        h1 { (title) }
        p.notice role="status" { (words.say("enrol.already")) }
        .actions { a.button href="/me" { (words.say("enrol.finish")) } }
    };
    Page::new(title, body).show_as(words, StatusCode::CONFLICT)
}

/// Recovery codes, shown this once.
pub(super) fn listed(words: Words, codes: &[String]) -> Markup {
    html! {
        h2 { (words.say("enrol.codes-title")) }
        p { (words.say("enrol.codes")) }
        ul.codes { @for code in codes { li { code { (code) } } } }
    }
}
