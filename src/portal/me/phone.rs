//! Phone check: a code goes to the telephone on file and is typed in, so that its owner and we know that what is sent there is read. Whoever
//! has none on file may give one in the same way, where the configuration lets users (`add-phone`).
//!
//! It lets nobody in, and no page changes a number: whoever had somebody's session for a minute could have the codes of tomorrow sent to
//! themselves. Invariants: a number that is on file stays, and none is put there before a code that went to it was typed, after a second
//! factor of late; nothing goes to a number that is held after a change; three in an hour at most, within the limits of all messages
//! (`server/sends.rs`); a code is compared with what is typed three times, in five minutes, in the memory of this server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::{Markup, html};

use super::{Fresh, Own};
use crate::base::name::UserName;
use crate::base::phone::{Phone, redact};
use crate::base::secret::{Secret, same};
use crate::base::time::Tick;
use crate::engine::account::Account;
use crate::engine::delivery::{Kind, Message, Notice};
use crate::engine::reason::Reason;
use crate::portal::desk;
use crate::portal::factor;
use crate::portal::people::{People, Seat, read};
use crate::portal::person::Person;
use crate::portal::web::form;
use crate::portal::web::page::moment;
use crate::portal::web::sent::Sent;
use crate::portal::web::session::Held;
use crate::portal::web::{Page, Words, see_other};
use crate::server::sends::Leave;
use crate::store::act::Act;
use crate::store::admin::{Admin, AdminFault};

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
    /// The number that is put on file by it.
    new: Option<Phone>,
    until: Tick,
    tries: u8,
}

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Typed {
    /// The number that it was sent to, where that is new.
    Right(Option<Phone>),
    Wrong,
    /// Nothing is waited for any more.
    Over,
}

impl Checks {
    fn begin(&self, user: &UserName, code: Secret, new: Option<Phone>, now: Tick) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= WAITING {
            table.retain(|_, check| now < check.until);
        }
        if table.len() < WAITING || table.contains_key(user) {
            table.insert(user.clone(), Check { code, new, until: now + LIFETIME, tries: TRIES });
        }
    }

    fn take(&self, user: &UserName, typed: &str, now: Tick) -> Typed {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(check) = table.get_mut(user).filter(|check| now < check.until) else { return Typed::Over };
        let typed: String = typed.chars().filter(|letter| !letter.is_whitespace()).collect();
        let right = same(check.code.expose(), typed.as_bytes());
        check.tries = check.tries.saturating_sub(1);
        if !right && check.tries > 0 {
            return Typed::Wrong;
        }
        let taken = table.remove(user);
        if right { Typed::Right(taken.and_then(|check| check.new)) } else { Typed::Over }
    }
}

/// The part of the page; empty where no phone is on file and none may be given.
pub(super) fn section(words: Words, held: &Held<Seat>, account: &Account, people: &People) -> Markup {
    let phone = on_file(account);
    let until = account.special.as_deref().and_then(|special| special.holds_phone(people.web.unix()));
    let may_add = people.adds_phones && people.answers.has_way(&WAYS);
    html! {
        @if phone.is_some() || may_add {
            section.card aria-labelledby="phone" {
                h2 #phone { (words.say("me.phone-title")) }
                @if let Some(phone) = phone {
                    p { (words.with("me.phone-is", &[("phone", &redact(phone))])) }
                    @if let Some(until) = until {
                        p.notice.warn { (words.with("me.phone-held", &[("until", &moment(until))])) }
                    } @else {
                        form method="post" action="/me/phone" {
                            (form::token(held.token()))
                            button.quiet type="submit" { (words.say("me.phone-check")) }
                        }
                    }
                } @else {
                    p #phone-why { (words.say("me.phone-none")) }
                    form method="post" action="/me/phone/add" {
                        (form::token(held.token()))
                        label for="new-phone" { (words.say("me.phone-new")) }
                        input #new-phone name="phone" type="tel" autocomplete="tel" maxlength="32" placeholder="+36301234567"
                            required aria-describedby="phone-why";
                        button type="submit" { (words.say("me.phone-add")) }
                    }
                }
            }
        }
    }
}

fn on_file(account: &Account) -> Option<&str> {
    account.contact.as_deref().and_then(|contact| contact.phone.as_deref())
}

/// `POST /me/phone`: sends a code to the number on file.
pub(super) async fn send(sent: Own) -> Response<Body> {
    let Person { people, account, .. } = &sent.by;
    let held = account.special.as_deref().and_then(|special| special.holds_phone(people.web.unix()));
    if on_file(account).is_none() || held.is_some() {
        return see_other("/me");
    }
    bring(&sent, account, None).await
}

/// `POST /me/phone/add`: sends a code to a number that is nobody's yet.
pub(super) async fn add(sent: Fresh) -> Response<Body> {
    let Person { people, account, words, .. } = &sent.by;
    if !people.adds_phones || on_file(account).is_some() {
        return see_other("/me");
    }
    // Who has an extension shares the telephone with others.
    let phone = Phone::parse(sent.form.text("phone")).ok().filter(|phone| phone.extension().is_none());
    let Some(phone) = phone else {
        return told(*words, "me.phone-wrong-number", StatusCode::UNPROCESSABLE_ENTITY);
    };
    let mut with = account.clone();
    let mut contact = with.contact.as_deref().cloned().unwrap_or_default();
    contact.phone = Some(phone.number().into());
    with.contact = Some(Arc::new(contact));
    bring(&sent, &with, Some(phone)).await
}

/// Sends a code to the number of `account`, which is `new` where it is not on file, and asks for it.
async fn bring<G>(sent: &Sent<Person<G>>, account: &Account, new: Option<Phone>) -> Response<Body> {
    let Person { people, held, words, .. } = &sent.by;
    let words = *words;
    let unsent = || told(words, "me.phone-unsent", StatusCode::UNPROCESSABLE_ENTITY);
    let Some(kind) = WAYS.into_iter().find(|kind| people.answers.reaches(*kind, account)) else {
        return unsent();
    };
    let now = people.web.now();
    if !people.checks_sent.admits(&held.data.user, now) {
        return sent.by.fault(StatusCode::TOO_MANY_REQUESTS);
    }
    let to = redact(on_file(account).unwrap_or_default());
    match people.answers.may_send(account, kind, to, people.web.random()).await {
        Leave::Given => {}
        Leave::TooOften => return told(words, "me.phone-too-often", StatusCode::TOO_MANY_REQUESTS),
        Leave::Unavailable => return sent.by.fault(StatusCode::SERVICE_UNAVAILABLE),
    }
    let number = u64::from_be_bytes(people.web.random()) % 1_000_000;
    let code = Secret::from(format!("{number:06}").as_str());
    let message = Message::Code { code: code.clone(), lifetime: LIFETIME };
    people.checks.begin(&held.data.user, code, new, now);
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
        return sent.by.fault(StatusCode::TOO_MANY_REQUESTS);
    }
    let new = match people.checks.take(&held.data.user, sent.form.text("code"), people.web.now()) {
        Typed::Wrong => {
            let body = typing(words, held, Some(words.say("me.phone-wrong")));
            return Page::new(words.say("me.phone-title"), body)
                .show_as(words, StatusCode::UNPROCESSABLE_ENTITY);
        }
        Typed::Over => return told(words, "me.phone-over", StatusCode::UNPROCESSABLE_ENTITY),
        Typed::Right(new) => new,
    };
    let (unix, added) = (people.web.unix(), new.is_some());
    let kept = sent.act(move |admin, user| {
        if let Some(new) = &new {
            give(admin, user, new)?;
        }
        let account = read(admin, user)?.ok_or_else(|| AdminFault::Missing(format!("user {user}")))?;
        let act = Act::new(Reason::PhoneChecked).note(redact(on_file(&account).unwrap_or_default()));
        factor::note(admin, &account, act, unix)
    });
    match kept.await {
        Ok(()) if added => {
            people.answers.notify(Notice::Enrolled, account);
            told(words, "me.phone-added", StatusCode::OK)
        }
        Ok(()) => told(words, "me.phone-works", StatusCode::OK),
        // An admin has given another one meanwhile.
        Err(desk::Fault::Store(AdminFault::Exists(_) | AdminFault::Missing(_))) => see_other("/me"),
        Err(fault) => sent.by.failed(&fault),
    }
}

/// Puts a number on file that is proved to be the user's, where there is none.
fn give(admin: &mut dyn Admin, user: &UserName, phone: &Phone) -> Result<(), AdminFault> {
    if read(admin, user)?.is_some_and(|account| on_file(&account).is_some()) {
        return Err(AdminFault::Exists(format!("telephone number of {user}")));
    }
    admin.set_user(user, &mut |fields| fields.phone = Some(phone.number().to_owned()))
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
        let begin = |name: &str| checks.begin(&user(name), Secret::from("123456"), None, NOW);
        let take = |name: &str, typed: &str| checks.take(&user(name), typed, NOW);
        begin("u1");
        assert_eq!(take("u2", "123456"), Typed::Over);
        assert_eq!(
            [take("u1", "654321"), take("u1", "12 34 56"), take("u1", "123456")],
            [Typed::Wrong, Typed::Right(None), Typed::Over]
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
        checks.begin(&user("later"), Secret::from("123456"), None, NOW + LIFETIME);
        assert_eq!(checks.0.lock().unwrap().len(), 1);
    }
}
