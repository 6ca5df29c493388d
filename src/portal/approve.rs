//! `/a/TOKEN`: what a notification opens on the phone. It shows who asks for what, and takes the answer.
//!
//! ```text
//! GET  ─ token ─ question ─ page (a look changes nothing: previews of links look, too)
//! POST ─ token ─ form of that page ─ Answers ─ what became of it ─ page
//! POST ─ token of one act (a button in a notification) ─ Answers
//! ```
//! The token (`delivery/actions.rs`) says which question of which device it is for; a question is answered once. Invariants: nobody
//! without a token learns anything; whoever tries tokens is slowed down and keeps nobody with a good one out; the number that the
//! gateway shows is on no page.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post};
use maud::{Markup, html};

use super::passkey::{self, Asserted, Passkeys};
use super::web::throttle::{Throttle, network};
use super::web::{Page, Visitor, Web, Words, form};
use super::{fate, reply};
use crate::base::time::UnixTime;
use crate::delivery::actions::Act;
use crate::engine::asking::{Matching, Reference};
use crate::engine::question::UserAnswer;
use crate::engine::reason::Reason;
use crate::engine::step::Answer;
use crate::server::answers::{Answers, Outcome};
use crate::server::phones::Shown;

/// So many tokens that are none may come from one network …
const TRIES: u32 = 30;
/// … within so long.
const TRIES_WITHIN: Duration = Duration::from_mins(10);

/// What the pages of this file share.
#[derive(Clone)]
struct Desk {
    web: Web,
    passkeys: Passkeys,
    answers: Answers,
    tries: Arc<Throttle>,
}

pub(super) fn routes(web: &Web, answers: &Answers, passkeys: Passkeys) -> Router {
    let tries = Arc::new(Throttle::new(TRIES, TRIES_WITHIN));
    let desk = Desk { web: web.clone(), passkeys, answers: answers.clone(), tries };
    Router::new()
        .route("/a/{token}", get(look).post(answer))
        .route("/a/{token}/passkey", post(challenge))
        .with_state(desk)
}

/// A token, as far as anybody made it.
enum Good {
    /// For the page.
    Page(Reference),
    /// For one act.
    Act(Reference, Answer),
}

impl Desk {
    /// What a token is good for; whoever has none of ours is told nothing.
    fn read(&self, token: &str, visitor: &Visitor) -> Result<Good, StatusCode> {
        match self.answers.action(token) {
            Some((reference, Act::Open)) => Ok(Good::Page(reference)),
            Some((reference, Act::Approve)) => Ok(Good::Act(reference, Answer::Approved(None))),
            Some((reference, Act::Deny)) => Ok(Good::Act(reference, Answer::Denied)),
            None if self.tries.admits(network(visitor.address), self.web.now()) => Err(StatusCode::NOT_FOUND),
            None => Err(StatusCode::TOO_MANY_REQUESTS),
        }
    }

    /// The user's own language, or else the browser's.
    async fn words(&self, shown: &Shown, visitor: &Visitor) -> Words {
        let own = match self.answers.user(shown.user.clone()).await {
            UserAnswer::Found(account) => account.contact.and_then(|contact| contact.language.clone()),
            UserAnswer::Unknown { .. } | UserAnswer::Unavailable => None,
        };
        Words::for_user(own.as_deref(), &visitor.headers)
    }
}

/// `GET /a/TOKEN`
async fn look(State(desk): State<Desk>, Path(token): Path<String>, visitor: Visitor) -> Response<Body> {
    let reference = match desk.read(&token, &visitor) {
        Ok(Good::Page(reference)) => reference,
        // A button's address is for the button.
        Ok(Good::Act(..)) => return desk.web.fault(visitor.words, StatusCode::NOT_FOUND),
        Err(status) => return desk.web.fault(visitor.words, status),
    };
    let Some(shown) = desk.answers.show(reference) else {
        return result(visitor.words, Told::Late);
    };
    let words = desk.words(&shown, &visitor).await;
    let left = shown.expires.since(desk.web.unix());
    if !shown.open || left.is_zero() {
        return result(words, Told::of_over(shown.fate));
    }
    let slip = visitor.slip(&desk.web);
    let body = html! {
        h1 { (words.say("approve.title")) }
        (facts(words, &shown, desk.web.unix()))
        @if shown.passkey {
            form method="post" data-passkey="approve" data-begin={ "/a/" (token) "/passkey" } data-unable=(words.say("passkey.unable"))
                data-working=(words.say("passkey.working")) data-refused=(words.say("passkey.not-shown"))
                data-failed=(words.say("passkey.failed")) data-none=(words.say("approve.no-passkey")) {
                (form::token(&slip.token))
                (passkey::status(words))
                (fields(words, &shown))
            }
        } @else {
            form method="post" {
                (form::token(&slip.token))
                (fields(words, &shown))
            }
        }
    };
    // When nobody waits for the answer any more the page says so by itself; before that it would take away what is typed.
    let page =
        Page::new(words.say("approve.title"), body).refresh(left.as_secs() + 2).script("/assets/left.js");
    let page = if shown.passkey { page.script("/assets/passkey.js") } else { page };
    slip.on(page.show(words))
}

/// `POST /a/TOKEN`
async fn answer(
    State(desk): State<Desk>,
    Path(token): Path<String>,
    visitor: Visitor,
    request: Request<Body>,
) -> Response<Body> {
    let (reference, answer, sent) = match desk.read(&token, &visitor) {
        Ok(Good::Page(reference)) => {
            let read = form::Form::of_visitor(&desk.web, &visitor, request).await;
            let form = match read {
                Ok(form) => form,
                Err(refusal) => return refusal.show(&desk.web, &visitor),
            };
            let Some(answer) = said(&form) else {
                return desk.web.fault(visitor.words, StatusCode::BAD_REQUEST);
            };
            (reference, answer, Some(form))
        }
        // The button of a notification has no page: its token is good for this act alone.
        Ok(Good::Act(reference, answer)) => (reference, answer, None),
        Err(status) => return desk.web.fault(visitor.words, status),
    };
    let Some(shown) = desk.answers.show(reference) else {
        return result(visitor.words, Told::Late);
    };
    let words = desk.words(&shown, &visitor).await;
    if !shown.open && shown.fate.is_some() {
        // Recorded as late by the login's own rule, and said as what it is.
        let _late = desk.answers.answer(reference, answer).await;
        return result(words, Told::of_over(shown.fate));
    }
    let answer = match (answer, &sent) {
        (Answer::Approved(number), Some(form)) if shown.passkey => {
            match desk.passkeys.assert(&visitor, form, reference, &shown, number).await {
                Asserted::Answer(answer) => answer,
                Asserted::Refused => return result(words, Told::NoPasskey),
                Asserted::Unavailable => return desk.web.fault(words, StatusCode::SERVICE_UNAVAILABLE),
            }
        }
        (answer, _) => answer,
    };
    let approves = answer.approves();
    let reports = matches!(answer, Answer::Fraud);
    match desk.answers.answer(reference, answer).await {
        Outcome::Taken if approves => match fate::of(&desk.answers, reference).await {
            Some(reason) => result(words, Told::of_taken(reason)),
            None => result(words, Told::Taken),
        },
        Outcome::Taken if reports => result(words, Told::Reported),
        Outcome::Taken => result(words, Told::Denied),
        Outcome::Late => result(words, Told::of_over(shown.fate)),
        Outcome::NotActive => result(words, Told::NotActive),
        Outcome::PasskeyRequired => result(words, Told::NoPasskey),
        Outcome::Unavailable => desk.web.fault(words, StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// `POST /a/TOKEN/passkey`: what a passkey is to sign.
async fn challenge(
    State(desk): State<Desk>,
    Path(token): Path<String>,
    visitor: Visitor,
    request: Request<Body>,
) -> Response<Body> {
    let reference = match desk.read(&token, &visitor) {
        Ok(Good::Page(reference)) => reference,
        Ok(Good::Act(..)) => return desk.web.fault(visitor.words, StatusCode::NOT_FOUND),
        Err(status) => return desk.web.fault(visitor.words, status),
    };
    if let Err(refusal) = form::Form::of_visitor(&desk.web, &visitor, request).await {
        return refusal.show(&desk.web, &visitor);
    }
    match desk.answers.show(reference) {
        Some(shown) => desk.passkeys.ask(&visitor, reference, &shown).await,
        None => reply::outcome(Outcome::Late),
    }
}

/// What was answered: the button that was pressed, and the number where there is one.
fn said(form: &form::Form) -> Option<Answer> {
    // A number that is none is a wrong one, never a question of yes or no.
    let number = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
    if form.has("choice") {
        return Some(Answer::Approved(Some(number(form.text("choice")))));
    }
    match form.text("verdict") {
        "approve" if form.has("number") => Some(Answer::Approved(Some(number(form.text("number"))))),
        "approve" => Some(Answer::Approved(None)),
        "deny" => Some(Answer::Denied),
        "fraud" => Some(Answer::Fraud),
        _ => None,
    }
}

/// Who asks for what, from where and when, and for how long.
pub(super) fn facts(words: Words, shown: &Shown, now: UnixTime) -> Markup {
    let ago = now.since(shown.asked).as_secs().to_string();
    let left = shown.expires.since(now).as_secs().to_string();
    html! {
        dl.facts.card {
            dt { (words.say("approve.who")) } dd { (shown.user.as_str()) }
            dt { (words.say("approve.where")) } dd { (shown.client) }
            dt { (words.say("approve.from")) }
            dd { (shown.station.as_deref().unwrap_or(words.say("approve.unknown"))) }
            dt { (words.say("approve.when")) } dd { (words.with("approve.ago", &[("seconds", &ago)])) }
            dt { (words.say("approve.left")) }
            dd role="timer" { span data-left=(left) { (left) } " " (words.say("approve.seconds")) }
        }
    }
}

/// How it is answered.
pub(super) fn fields(words: Words, shown: &Shown) -> Markup {
    html! {
        @match (shown.matching, shown.choices) {
            (Matching::Choose, Some(choices)) => {
                p #which { (words.say("approve.choose")) }
                div.actions.row.choices role="group" aria-labelledby="which" {
                    @for choice in choices { button name="choice" value=(choice) { (choice) } }
                }
            }
            (Matching::Type | Matching::Choose, _) => {
                label for="number" { (words.say("approve.type")) }
                input.number #number name="number" type="text" inputmode="numeric" pattern="[0-9]{2}" maxlength="2"
                    autocomplete="off" required autofocus aria-describedby="hint";
                p #hint.faint { (words.say("approve.hint")) }
                div.actions { button name="verdict" value="approve" { (words.say("approve.approve")) } }
            }
            (Matching::None, _) => {
                div.actions { button name="verdict" value="approve" { (words.say("approve.approve")) } }
            }
        }
        div.actions {
            button.quiet name="verdict" value="deny" formnovalidate { (words.say("approve.deny")) }
        }
        details.card {
            summary { (words.say("approve.not-me")) }
            p { (words.say("approve.not-me-why")) }
            div.actions {
                button.danger name="verdict" value="fraud" formnovalidate { (words.say("approve.report")) }
            }
        }
    }
}

/// What a person is told about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Approved,
    Taken,
    Denied,
    Reported,
    WrongNumber,
    Late,
    Already,
    NotActive,
    NoPasskey,
    NotLetIn,
}

impl Told {
    /// Of an approval that was taken.
    fn of_taken(reason: Reason) -> Told {
        match reason {
            Reason::PhoneApproved => Told::Approved,
            Reason::NumberWrong => Told::WrongNumber,
            Reason::DeviceNotActive => Told::NotActive,
            Reason::PasskeyRequired => Told::NoPasskey,
            _ => Told::NotLetIn,
        }
    }

    /// Of a question that is not open any more.
    fn of_over(fate: Option<Reason>) -> Told {
        match fate {
            Some(
                Reason::PhoneApproved
                | Reason::PhoneDenied
                | Reason::FraudReported
                | Reason::NumberWrong
                | Reason::DeviceNotActive,
            ) => Told::Already,
            _ => Told::Late,
        }
    }
}

fn result(words: Words, told: Told) -> Response<Body> {
    let (class, title, sentence, status) = match told {
        Told::Approved => ("good", "approve.approved-title", "approve.approved", StatusCode::OK),
        Told::Taken => ("good", "approve.taken-title", "approve.taken", StatusCode::OK),
        Told::Denied => ("warn", "approve.denied-title", "approve.denied", StatusCode::OK),
        Told::Reported => ("warn", "approve.reported-title", "approve.reported", StatusCode::OK),
        Told::WrongNumber => ("bad", "approve.wrong-title", "approve.wrong", StatusCode::OK),
        Told::Late => ("warn", "approve.late-title", "approve.late", StatusCode::CONFLICT),
        Told::Already => ("warn", "approve.already-title", "approve.already", StatusCode::CONFLICT),
        Told::NotActive => ("bad", "approve.inactive-title", "approve.inactive", StatusCode::CONFLICT),
        Told::NoPasskey => ("bad", "approve.passkey-title", "approve.passkey-refused", StatusCode::FORBIDDEN),
        Told::NotLetIn => ("bad", "approve.refused-title", "approve.refused", StatusCode::OK),
    };
    let role = if class == "good" { "status" } else { "alert" };
    let class = format!("notice {class}");
    let body = html! {
        h1 { (words.say(title)) }
        p class=(class) role=(role) { (words.say(sentence)) }
    };
    Page::new(words.say(title), body).show_as(words, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_a_wrong_one_and_never_a_plain_yes() {
        let of = |fields: &[(&str, &str)]| said(&form::Form::made_of(fields));
        let number = |fields: &[(&str, &str)]| match of(fields) {
            Some(Answer::Approved(number)) => number,
            other => panic!("{other:?}"),
        };
        assert_eq!(number(&[("verdict", "approve"), ("number", " 47 ")]), Some(47));
        for wrong in ["", "x", "4 7", "-1", "99999999999999999999", "47.0"] {
            assert_eq!(number(&[("verdict", "approve"), ("number", wrong)]), Some(u32::MAX), "{wrong}");
        }
        assert_eq!(number(&[("choice", "12")]), Some(12));
        assert_eq!(number(&[("choice", "")]), Some(u32::MAX));
        assert_eq!(number(&[("verdict", "approve")]), None);
        assert!(matches!(of(&[("verdict", "deny"), ("number", "47")]), Some(Answer::Denied)));
        assert!(matches!(of(&[("verdict", "fraud"), ("number", "47")]), Some(Answer::Fraud)));
        assert!(of(&[("verdict", "APPROVE")]).is_none() && of(&[]).is_none());
    }

    #[test]
    fn each_way_of_asking_has_its_fields_and_only_those() {
        let words = Words::choose(["en"]);
        let page = |matching, choices| {
            let shown = Shown {
                user: crate::base::name::UserName::canonical(b"u<1>").unwrap(),
                client: "vpn".into(),
                station: Some("<script>alert(1)</script>".into()),
                server: crate::base::name::Label::new("mfa-a").unwrap(),
                matching,
                choices,
                passkey: false,
                asked: UnixTime::from_secs(100),
                expires: UnixTime::from_secs(160),
                open: true,
                fate: None,
            };
            let now = UnixTime::from_secs(107);
            facts(words, &shown, now).into_string() + &fields(words, &shown).into_string()
        };
        let typed = page(Matching::Type, None);
        assert!(typed.contains("name=\"number\"") && !typed.contains("name=\"choice\""), "{typed}");
        assert!(typed.contains("7 s ago") && typed.contains("data-left=\"53\""), "{typed}");
        assert!(!typed.contains("<script>") && typed.contains("&lt;script&gt;"), "{typed}");
        let chosen = page(Matching::Choose, Some([12, 47, 80]));
        assert_eq!(chosen.matches("name=\"choice\"").count(), 3);
        assert!(!chosen.contains("value=\"approve\"") && !chosen.contains("name=\"number\""), "{chosen}");
        let plain = page(Matching::None, None);
        assert!(plain.contains("value=\"approve\"") && !plain.contains("name=\"number\""), "{plain}");
        for every in [typed, chosen, plain] {
            assert!(every.contains("value=\"deny\"") && every.contains("value=\"fraud\""), "{every}");
        }
    }
}
