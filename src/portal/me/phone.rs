//! Phone check: a code goes to the telephone on file and is typed in, so that its owner and we know that what is sent there is read.
//!
//! It changes nothing, and lets nobody in. No page changes the number: whoever had somebody's session for a minute could have the codes of
//! tomorrow sent to themselves. Invariants: a code goes to the number on file alone, not while that is held after a change, three in an hour
//! at most, two hundred for everybody; it is compared with what is typed three times, in five minutes, in the memory of this server.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::{Markup, html};

use super::Own;
use crate::base::name::UserName;
use crate::base::phone::redact;
use crate::base::secret::{Secret, same};
use crate::base::time::Tick;
use crate::engine::account::Account;
use crate::engine::delivery::{Kind, Message};
use crate::engine::reason::Reason;
use crate::portal::factor;
use crate::portal::people::{People, Seat};
use crate::portal::person::Person;
use crate::portal::web::form;
use crate::portal::web::session::Held;
use crate::portal::web::{Page, Words, see_other};
use crate::store::act::Act;

/// How long a code is waited for.
const LIFETIME: Duration = Duration::from_mins(5);
/// How often one may be typed.
const TRIES: u8 = 3;
/// How many are waited for, of different users.
const WAITING: usize = 1000;
/// By which ways, best first.
const WAYS: [Kind; 2] = [Kind::Sms, Kind::Voice];

/// The codes that are waited for.
#[derive(Default)]
pub(in crate::portal) struct Checks(Mutex<HashMap<UserName, Check>>);

struct Check {
    code: Secret,
    until: Tick,
    tries: u8,
}

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Typed {
    Right,
    Wrong,
    /// Nothing is waited for any more.
    Over,
}

impl Checks {
    fn begin(&self, user: &UserName, code: Secret, now: Tick) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= WAITING {
            table.retain(|_, check| now < check.until);
        }
        if table.len() < WAITING || table.contains_key(user) {
            table.insert(user.clone(), Check { code, until: now + LIFETIME, tries: TRIES });
        }
    }

    fn take(&self, user: &UserName, typed: &str, now: Tick) -> Typed {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(check) = table.get_mut(user).filter(|check| now < check.until) else { return Typed::Over };
        let typed: String = typed.chars().filter(|letter| !letter.is_whitespace()).collect();
        let right = same(check.code.expose(), typed.as_bytes());
        check.tries = check.tries.saturating_sub(1);
        let over = check.tries == 0;
        if right || over {
            table.remove(user);
        }
        match (right, over) {
            (true, _) => Typed::Right,
            (false, true) => Typed::Over,
            (false, false) => Typed::Wrong,
        }
    }
}

/// The part of the page; empty where no phone is on file.
pub(super) fn section(words: Words, held: &Held<Seat>, account: &Account, people: &People) -> Markup {
    let phone = account.contact.as_deref().and_then(|contact| contact.phone.as_deref());
    let until = account.special.as_deref().and_then(|special| special.holds_phone(people.web.unix()));
    html! {
        @if let Some(phone) = phone {
            section.card aria-labelledby="phone" {
                h2 #phone { (words.say("me.phone-title")) }
                p { (words.with("me.phone-is", &[("phone", &redact(phone))])) }
                @if let Some(until) = until {
                    p.notice.warn { (words.with("me.phone-held", &[("until", &until.to_string())])) }
                } @else {
                    form method="post" action="/me/phone" {
                        (form::token(held.token()))
                        button.quiet type="submit" { (words.say("me.phone-check")) }
                    }
                }
            }
        }
    }
}

/// `POST /me/phone`: sends a code.
pub(super) async fn send(sent: Own) -> Response<Body> {
    let Person { people, held, account, words, .. } = &sent.by;
    let (words, unix) = (*words, people.web.unix());
    if account.special.as_deref().is_some_and(|special| special.holds_phone(unix).is_some()) {
        return see_other("/me");
    }
    let unsent = || told(words, "me.phone-unsent", StatusCode::UNPROCESSABLE_ENTITY);
    let Some(kind) = WAYS.into_iter().find(|kind| people.answers.reaches(*kind, account)) else {
        return unsent();
    };
    let now = people.web.now();
    if !people.checks_sent.admits(&held.data.user, now) || !people.all_checks_sent.admits((), now) {
        return people.web.fault(words, StatusCode::TOO_MANY_REQUESTS);
    }
    let whose = account.clone();
    let sending = sent.act(move |admin, _| factor::note(admin, &whose, Act::new(Reason::CodeSent), unix));
    if let Err(fault) = sending.await {
        return sent.by.failed(&fault);
    }
    let number = u64::from_be_bytes(people.web.random()) % 1_000_000;
    let code = Secret::from(format!("{number:06}").as_str());
    let message = Message::Code { code: code.clone(), lifetime: LIFETIME };
    people.checks.begin(&held.data.user, code, now);
    match people.answers.bring(&[kind], message, account).await {
        Some(_) => Page::new(words.say("me.phone-title"), typing(words, held, None)).show(words),
        None => unsent(),
    }
}

fn typing(words: Words, held: &Held<Seat>, wrong: Option<&str>) -> Markup {
    html! {
        h1 { (words.say("me.phone-title")) }
        p { (words.say("me.phone-sent")) }
        form method="post" action="/me/phone/code" {
            (form::token(held.token()))
            @if let Some(wrong) = wrong { p.notice.bad role="alert" #wrong { (wrong) } }
            label for="code" { (words.say("me.phone-code")) }
            input #code name="code" inputmode="numeric" autocomplete="one-time-code" required autofocus
                aria-describedby=[wrong.map(|_| "wrong")];
            button type="submit" { (words.say("me.ok")) }
        }
        p { a href="/me" { (words.say("enrol.back")) } }
    }
}

/// `POST /me/phone/code`: the code comes back.
pub(super) async fn check(sent: Own) -> Response<Body> {
    let Person { people, held, account, words, .. } = &sent.by;
    let words = *words;
    if !people.confirmations.admits(&held.data.user, people.web.now()) {
        return people.web.fault(words, StatusCode::TOO_MANY_REQUESTS);
    }
    match people.checks.take(&held.data.user, sent.form.text("code"), people.web.now()) {
        Typed::Wrong => {
            let body = typing(words, held, Some(words.say("me.phone-wrong")));
            Page::new(words.say("me.phone-title"), body).show_as(words, StatusCode::UNPROCESSABLE_ENTITY)
        }
        Typed::Over => told(words, "me.phone-over", StatusCode::UNPROCESSABLE_ENTITY),
        Typed::Right => {
            let (whose, unix) = (account.clone(), people.web.unix());
            let phone = account.contact.as_deref().and_then(|contact| contact.phone.as_deref());
            let act = Act::new(Reason::PhoneChecked).note(redact(phone.unwrap_or_default()));
            match sent.act(move |admin, _| factor::note(admin, &whose, act, unix)).await {
                Ok(()) => told(words, "me.phone-works", StatusCode::OK),
                Err(fault) => sent.by.failed(&fault),
            }
        }
    }
}

fn told(words: Words, key: &'static str, status: StatusCode) -> Response<Body> {
    let title = words.say("me.phone-title");
    let body = html! {
        h1 { (title) }
        p.notice.good[status == StatusCode::OK].bad[status != StatusCode::OK] role="status" { (words.say(key)) }
        .actions { a.button href="/me" { (words.say("enrol.back")) } }
    };
    Page::new(title, body).show_as(words, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_taken_once_from_its_user_within_three_tries_and_five_minutes() {
        const NOW: Tick = Tick(1 << 40);
        let user = |name: &str| UserName::canonical(name.as_bytes()).unwrap();
        let checks = Checks::default();
        let begin = |name: &str| checks.begin(&user(name), Secret::from("123456"), NOW);
        let take = |name: &str, typed: &str| checks.take(&user(name), typed, NOW);
        begin("u1");
        assert_eq!(take("u2", "123456"), Typed::Over);
        assert_eq!(
            [take("u1", "654321"), take("u1", "12 34 56"), take("u1", "123456")],
            [Typed::Wrong, Typed::Right, Typed::Over]
        );
        begin("u1");
        assert_eq!(
            ["", "1", "2", "123456"].map(|typed| take("u1", typed)),
            [Typed::Wrong, Typed::Wrong, Typed::Over, Typed::Over]
        );
        begin("u1");
        assert_eq!(checks.take(&user("u1"), "123456", NOW + LIFETIME), Typed::Over);
        for number in 0..WAITING {
            begin(&format!("x{number}"));
        }
        begin("one-more");
        assert_eq!(take("one-more", "123456"), Typed::Over);
        checks.begin(&user("later"), Secret::from("123456"), NOW + LIFETIME);
        assert_eq!(checks.0.lock().unwrap().len(), 1);
    }
}
