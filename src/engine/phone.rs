//! A login whose user is asked on the phone: by a push, a call that waits for a key, or a text message to be answered.
//!
//! ```text
//! ask ── Commit (budget) ── Wait, nothing told, question started ──┬─ no challenge: held until the phone has spoken
//!                                                                   └─ challenge ──┬─ a code, judged as ever
//!      Phone ─ FindUser ─ judged ── Commit ── Decided                              └─ nothing: held for the answer
//! ```
//! A request is held as long as its gateway waits, and no longer. The user is read anew for every answer, so a device that was
//! revoked meanwhile approves nothing. Invariants: the number that a gateway shows leaves in no question; an answer is judged
//! for the login that asked; a denial ends it, whatever is typed at the gateway.

mod ask;
mod find;

use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::asking::Reference;
use super::await_commit::{AwaitCommit, Then};
use super::await_user::{AwaitUser, Looking, ask_for_code};
use super::delivery::Kind;
use super::lockout::{self, Standing};
use super::login::{Facts, refuse, refuse_row};
use super::methods::{self, Factor, Offer};
use super::parked::{CodeRound, Parked, Stage};
use super::policy::{HELD_LEAST, LoginPolicy};
use super::prompt;
use super::proof::FactorPassed;
use super::question::UserQuery;
use super::reason::Reason;
use super::record::{Guard, Record, Row, Tally, Verdict};
use super::remember::{self, Session};
use super::sending::{self, Addressee};
use super::step::{Answer, Env, Step, Wait};
use super::words::Line;
use crate::base::messages::Language;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::time::Tick;
use crate::wire::AttributeList;
pub(super) use ask::{Way, ask};
use find::Finding;
/// A question that was asked, or is about to be.
#[derive(Debug)]
pub(super) struct Asked {
    reference: Reference,
    kind: Kind,
    /// Where it went: whoever has it no more does not answer for the user.
    to: Arc<str>,
    /// Which device, and its name.
    device: Option<(i64, Arc<str>)>,
    expects: Expects,
    /// A passkey is wanted, too.
    passkey: bool,
    until: Tick,
    /// The answer was right; the user has yet to say so at the prompt.
    approved: bool,
    /// Whether a request was held when the answer came that is being judged.
    held: bool,
    /// An answer was wrong, and another is waited for without a word at the gateway.
    again: bool,
    /// What is left to ask for where nobody answers, best first.
    rest: Vec<Offer>,
}

/// What answer is right.
#[derive(Debug)]
enum Expects {
    Approval,
    /// The number that the gateway shows, typed on the phone or `chosen` there among three.
    Number {
        shown: u8,
        chosen: bool,
    },
    Code {
        code: Secret,
        pin: bool,
    },
    Key {
        pin: bool,
        fraud: Option<u8>,
    },
}

impl Asked {
    pub(super) fn reference(&self) -> Reference {
        self.reference
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn is_approved(&self) -> bool {
        self.approved
    }

    pub(super) fn to(&self) -> &Arc<str> {
        &self.to
    }

    /// What a right answer is.
    fn right(&self) -> remember::Right {
        let pin = matches!(self.expects, Expects::Code { pin: true, .. } | Expects::Key { pin: true, .. });
        remember::Right { method: methods::method(self.kind), token: None, pin, passkey: self.passkey }
    }

    pub(super) fn device(&self) -> Option<Arc<str>> {
        self.device.as_ref().map(|(_, name)| Arc::clone(name))
    }

    /// What is asked for where nobody answers.
    pub(super) fn follow(&mut self, mut rest: Vec<Offer>) {
        // It waits for minutes, beside many others.
        rest.shrink_to_fit();
        self.rest = rest;
    }

    /// How long from `now` on it may be answered.
    pub(super) fn left(&self, now: Tick) -> Duration {
        self.until.since(now)
    }

    /// Whether another answer is waited for without a word at the gateway.
    pub(super) fn waits_on(&self) -> bool {
        self.again
    }

    /// Whether what was asked is the user's still.
    fn is_owned_by(&self, account: &Account) -> bool {
        match &self.device {
            Some((id, _)) => {
                let special = account.special.as_ref();
                special.is_some_and(|special| special.active_devices().any(|device| device.id == *id))
            }
            None => account.contact.as_ref().and_then(|contact| contact.phone.as_deref()) == Some(&*self.to),
        }
    }
}

/// The question is with the user: from here on the request is held, or the prompt shown.
pub(super) fn delivered(
    facts: Box<Facts>,
    user: UserName,
    mut round: CodeRound,
    asked: Box<Asked>,
    env: &mut Env<'_>,
) -> Step {
    let line = line(&asked, &facts.policy.login, facts.language());
    round.sent = None;
    round.asked = Some(asked);
    if facts.policy.admission.challenge {
        ask_for_code(facts, user, round, &line, env)
    } else {
        hold(facts, user, round, env)
    }
}

/// What the prompt says.
fn line(asked: &Asked, policy: &LoginPolicy, language: Language) -> String {
    let (with_code, alone) = match &asked.expects {
        Expects::Number { chosen: false, .. } => (Line::Number, Line::NumberOnly),
        Expects::Number { chosen: true, .. } => (Line::Choice, Line::ChoiceOnly),
        Expects::Approval => (Line::Approve, Line::ApproveOnly),
        Expects::Code { .. } => (Line::Reply, Line::ReplyOnly),
        Expects::Key { .. } => (Line::Press, Line::PressOnly),
    };
    let line = if policy.takes_codes() { with_code } else { alone };
    match &asked.expects {
        Expects::Number { shown, .. } => line.with(language, &[("number", &shown.to_string())]),
        Expects::Approval => line.say(language).to_owned(),
        Expects::Code { .. } | Expects::Key { .. } => line.to(language, &asked.to, ""),
    }
}

fn hold(facts: Box<Facts>, user: UserName, round: CodeRound, env: &Env<'_>) -> Step {
    let left = round.asked.as_ref().map_or(env.mono, |asked| asked.until);
    let wait = Wait { tell: None, start: None, until: facts.answer_by.min(left) };
    let stage = Stage::Held(round);
    Step::Wait(wait, Box::new(Parked { facts, user, stage, since: env.mono }))
}

/// Waits on at a prompt that was told, without a word.
fn prompted(facts: Box<Facts>, user: UserName, round: CodeRound, env: &Env<'_>) -> Step {
    let until = round.asked.as_ref().map_or(env.mono, |asked| asked.until);
    let stage = Stage::AskedCode(round);
    let wait = Wait { tell: None, start: None, until };
    Step::Wait(wait, Box::new(Parked { facts, user, stage, since: env.mono }))
}

/// Waits on after an answer that was wrong.
pub(super) fn wait_on(facts: Box<Facts>, user: UserName, mut round: CodeRound, env: &Env<'_>) -> Step {
    let held = round.asked.as_mut().is_some_and(|asked| {
        asked.again = false;
        asked.held
    });
    if held { hold(facts, user, round, env) } else { prompted(facts, user, round, env) }
}

/// What an entry is where the user was asked on the phone.
pub(super) enum Pressed {
    /// Wait for the phone, or go on if it has spoken.
    On,
    /// Ask on the next device: this one is somewhere else.
    Another,
    /// A code, or a word for another method.
    Typed,
}

/// Nothing, or the word for what is waited for anyway, is no code. Where the phone has approved, whatever is typed says go on.
pub(super) fn pressed(round: &CodeRound, typed: &Secret) -> Option<Pressed> {
    let asked = round.asked.as_ref()?;
    let text = typed.expose().trim_ascii();
    let word = std::str::from_utf8(text).ok().and_then(Factor::parse);
    let pushes = word == Some(Factor::Sent(Kind::Push)) && asked.kind == Kind::Push;
    if pushes && !asked.approved && asked.rest.iter().any(|offer| offer.device.is_some()) {
        return Some(Pressed::Another);
    }
    let waits = text.is_empty() || text.eq_ignore_ascii_case(b"ok") || word == Some(Factor::Sent(asked.kind));
    Some(if waits || asked.approved { Pressed::On } else { Pressed::Typed })
}

/// The user says at the prompt that the phone has spoken, or will.
pub(super) fn go_on(facts: Box<Facts>, user: UserName, mut round: CodeRound, env: &mut Env<'_>) -> Step {
    let Some(asked) = round.asked.as_mut() else { return refuse(&facts, Reason::InternalError, env) };
    asked.held = true;
    if asked.approved {
        return look(facts, user, round, None);
    }
    if env.mono >= asked.until {
        return no_answer(&facts, &round, env);
    }
    hold(facts, user, round, env)
}

/// An answer came from the phone; `held` says whether a request waits for it.
pub(super) fn heard(
    mut facts: Box<Facts>,
    user: UserName,
    mut round: CodeRound,
    answer: Answer,
    (held, since): (bool, Tick),
    env: &mut Env<'_>,
) -> Step {
    let Some(asked) = round.asked.as_mut() else { return refuse(&facts, Reason::InternalError, env) };
    facts.durations.typing += env.mono.since(since);
    // Too late, though nobody has looked at the clock yet.
    if env.mono >= asked.until {
        return no_answer(&facts, &round, env);
    }
    if asked.approved && !matches!(answer, Answer::Denied | Answer::Fraud) {
        return prompted(facts, user, round, env);
    }
    asked.held = held;
    look(facts, user, round, Some(answer))
}

fn look(facts: Box<Facts>, user: UserName, round: CodeRound, answer: Option<Answer>) -> Step {
    let query = UserQuery { user: user.clone(), seeds: true, look_alikes: false };
    Step::FindUser(query, AwaitUser { facts, user, looking: Looking::AtAnswer { answer, round } })
}

/// Asks for what comes after this device, or what else nobody answers: the user is read anew for it.
pub(super) fn look_for_another(facts: Box<Facts>, user: UserName, round: CodeRound) -> Step {
    let query = UserQuery { user: user.clone(), seeds: true, look_alikes: false };
    Step::FindUser(query, AwaitUser { facts, user, looking: Looking::ForAnother(round) })
}

/// The next of what was left, as far as the user has it still; where nothing is, the answer is waited for, or its time is over.
pub(super) fn another(
    facts: Box<Facts>,
    user: UserName,
    account: &Account,
    mut round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    let Some(asked) = round.asked.as_mut() else { return refuse(&facts, Reason::InternalError, env) };
    let late = env.mono >= asked.until;
    asked.held = true;
    let rest = std::mem::take(&mut asked.rest);
    let mut offers = methods::offers(account, &facts.policy, env.unix);
    offers.retain(|offer| rest.contains(offer));
    round.changes = round.changes.saturating_add(1);
    if round.changes > sending::CHANGES_MAX {
        return refuse(&facts, Reason::TooManyRounds, env);
    }
    if offers.is_empty() {
        return if late { no_answer(&facts, &round, env) } else { hold(facts, user, round, env) };
    }
    sending::next(facts, user, Addressee::of(account, env.unix), offers, round, Some(Reason::NoAnswer), env)
}

/// The gateway waits no longer, or nobody answered in time.
pub(super) fn over(facts: Box<Facts>, user: UserName, mut round: CodeRound, env: &mut Env<'_>) -> Step {
    let late = round.asked.as_ref().is_none_or(|asked| env.mono >= asked.until);
    let more = round.asked.as_ref().is_some_and(|asked| !asked.rest.is_empty());
    let time = facts.policy.admission.challenge || facts.answer_by.since(env.mono) >= HELD_LEAST;
    if late && more && time {
        return look_for_another(facts, user, round);
    }
    if late || !facts.policy.admission.challenge {
        return no_answer(&facts, &round, env);
    }
    round.changes = round.changes.saturating_add(1);
    if round.changes > sending::CHANGES_MAX {
        return refuse(&facts, Reason::TooManyRounds, env);
    }
    // The gateway's patience ends before the user's.
    let line = if facts.policy.login.takes_codes() { Line::Waiting } else { Line::WaitingOnly };
    let text = line.say(facts.language());
    ask_for_code(facts, user, round, text, env)
}

fn no_answer(facts: &Facts, round: &CodeRound, env: &mut Env<'_>) -> Step {
    let asked = round.asked.as_ref();
    let row = Row {
        method: asked.map_or(super::record::Method::None, |asked| methods::method(asked.kind)),
        device: asked.and_then(|asked| asked.device()),
        ..facts.row(Verdict::Rejected, Reason::NoAnswer, env)
    };
    refuse_row(facts, row)
}

/// Judges an answer, or lets a login go on that was approved (`answer` is then `None`).
pub(super) fn judge(
    facts: Box<Facts>,
    user: UserName,
    account: &Account,
    answer: Option<&Answer>,
    mut round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    let Some(asked) = round.asked.as_mut() else { return refuse(&facts, Reason::InternalError, env) };
    let finding = answer.map_or(Finding::Right, |answer| asked.find(answer, account));
    let owned = asked.is_owned_by(account);
    round.guesses = 1;
    let lockout = &facts.policy.lockout;
    let standing = lockout::standing(
        lockout,
        account.guesses(env.unix),
        account.failures,
        account.last_failure,
        env.unix,
    );
    let (reason, tally, final_word) = match (finding, standing) {
        // Who says no is believed, whatever device it is.
        (Finding::Fraud, _) if owned => (Reason::FraudReported, Tally::Keep, true),
        (Finding::Denied, _) => (Reason::PhoneDenied, Tally::Keep, true),
        _ if !owned => (Reason::DeviceNotActive, Tally::Keep, true),
        (Finding::NoPasskey, _) => (Reason::PasskeyRequired, Tally::Keep, true),
        (_, Standing::Waits(_)) => (Reason::BackOff, Tally::Keep, true),
        (_, Standing::Locked) => (Reason::Locked, Tally::Keep, true),
        (Finding::Right, Standing::Free) => {
            return approve(facts, user, account, answer.is_some(), round, env);
        }
        (Finding::OtherNumber | Finding::Fraud, _) => (Reason::NumberWrong, Tally::Count, true),
        (Finding::WrongCode, _) => (Reason::CodeWrong, Tally::Count, false),
        (Finding::WrongPin, _) => (Reason::PinWrong, Tally::Count, false),
    };
    let row = Row {
        user_id: Some(account.id),
        contact: account.contact.clone(),
        method: methods::method(asked.kind),
        device: asked.device(),
        tally,
        ..facts.row(Verdict::Rejected, reason, env)
    };
    asked.again = true;
    round.tries = round.tries.saturating_sub(1);
    let counted = (tally == Tally::Count).then_some(account.id);
    let limit = lockout::guard_limit(lockout, 1, account.failures);
    let guards = counted.map(|user| Guard::FailuresBelow { user, limit }).into_iter().collect();
    let (row, then) = if final_word || round.tries == 0 {
        let alarm = if counted.is_some() { lockout.alarm } else { 0 };
        let message = prompt::refusal(&facts);
        (row, Then::Reject { message, attributes: AttributeList::default(), alarm })
    } else {
        (Row { verdict: Verdict::Retried, ..row }, Then::AskAgain { facts, user, round })
    };
    let row = Arc::new(row);
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}

/// The answer is right: the login is let in, or at a prompt waits until the user goes on there.
fn approve(
    facts: Box<Facts>,
    user: UserName,
    account: &Account,
    just_heard: bool,
    mut round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    let Some(asked) = round.asked.as_mut() else { return refuse(&facts, Reason::InternalError, env) };
    if just_heard && !asked.held {
        asked.approved = true;
        return prompted(facts, user, round, env);
    }
    let limit = lockout::guard_limit(&facts.policy.lockout, 1, account.failures);
    let guards =
        vec![Guard::UserActive { user: account.id }, Guard::FailuresBelow { user: account.id, limit }];
    let session = remember::begin(&facts, asked.right(), env);
    let row = Arc::new(Row {
        user_id: Some(account.id),
        contact: account.contact.clone(),
        method: methods::method(asked.kind),
        device: asked.device(),
        note: session.as_deref().map(Session::note),
        remembers: session,
        tally: Tally::Clear,
        ..facts.row(Verdict::Accepted, Reason::PhoneApproved, env)
    });
    let then = Then::AcceptCode { facts, user, round, factor: FactorPassed::by_phone() };
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}
