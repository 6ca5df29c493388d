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

use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::asking::{Asks, CallWay, Matching, PushWay, Question, Reference, TextWay, To};
use super::await_commit::{AwaitCommit, Then};
use super::await_user::{AwaitUser, Looking, ask_for_code};
use super::delivery::{DeliveryId, Kind};
use super::lockout::{self, Standing};
use super::login::{Facts, refuse, refuse_row};
use super::methods::{self, Factor, Offer};
use super::parked::{CodeRound, Parked, Stage};
use super::policy::SendLimits;
use super::prompt;
use super::proof::FactorPassed;
use super::question::UserQuery;
use super::reason::Reason;
use super::record::{Guard, Record, Row, Tally, Verdict};
use super::remember::{self, Session};
use super::sending::{self, Addressee, Dispatch, Outgoing, next};
use super::special::Device;
use super::step::{Answer, Env, Step, Wait};
use crate::base::name::UserName;
use crate::base::phone::redact;
use crate::base::secret::{Secret, same};
use crate::base::system::{Entropy, random};
use crate::base::time::Tick;
use crate::wire::AttributeList;

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
    until: Tick,
    /// The answer was right; the user has yet to say so at the prompt.
    approved: bool,
    /// Whether a request was held when the answer came that is being judged.
    held: bool,
    /// An answer was wrong, and another is waited for without a word at the gateway.
    again: bool,
}

/// What answer is right.
#[derive(Debug)]
enum Expects {
    Approval,
    Number(u8),
    Code { code: Secret, pin: bool },
    Key { pin: bool, fraud: Option<u8> },
}

/// What an answer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Right,
    Denied,
    Fraud,
    OtherNumber,
    WrongCode,
    WrongPin,
}

impl Asked {
    pub(super) fn reference(&self) -> Reference {
        self.reference
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn to(&self) -> &Arc<str> {
        &self.to
    }

    pub(super) fn device(&self) -> Option<Arc<str>> {
        self.device.as_ref().map(|(_, name)| Arc::clone(name))
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

    fn find(&self, answer: &Answer, account: &Account) -> Finding {
        match (answer, &self.expects) {
            (Answer::Fraud, _) => Finding::Fraud,
            (Answer::Approved(_), Expects::Approval) => Finding::Right,
            (Answer::Approved(number), Expects::Number(shown)) => {
                if *number == Some(u32::from(*shown)) {
                    Finding::Right
                } else {
                    Finding::OtherNumber
                }
            }
            (Answer::Typed(text), Expects::Code { code, pin }) => code_back(text, code, *pin, account),
            (Answer::Typed(keys), Expects::Key { pin, fraud }) => key(keys, *pin, *fraud, account),
            // Or a contract that was not kept: nobody has said yes.
            (Answer::Denied, _)
            | (Answer::Approved(_), Expects::Code { .. } | Expects::Key { .. })
            | (Answer::Typed(_), Expects::Approval | Expects::Number(_)) => Finding::Denied,
        }
    }
}

/// What was sent back: the code, spaces aside, and the PIN behind it where it is wanted. Both are compared, whichever is
/// wrong.
fn code_back(text: &Secret, code: &Secret, pin: bool, account: &Account) -> Finding {
    let digits: Vec<u8> =
        text.expose().iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    let digits = Secret::new(digits);
    let (head, tail) = digits.expose().split_at_checked(code.len()).unwrap_or((digits.expose(), &[]));
    let right = same(head, code.expose());
    let pin_right = if pin { is_pin(tail, account) } else { tail.is_empty() };
    match (right, pin_right) {
        (true, true) => Finding::Right,
        (true, false) if pin => Finding::WrongPin,
        _ => Finding::WrongCode,
    }
}

/// What was keyed in: the digit that reports fraud, alone, or the PIN where it is wanted; a `#` at the end is no part of it.
fn key(keys: &Secret, pin: bool, fraud: Option<u8>, account: &Account) -> Finding {
    let keys = keys.expose().trim_ascii();
    let plain = keys.strip_suffix(b"#").unwrap_or(keys);
    if let (Some(fraud), [digit]) = (fraud, plain)
        && *digit == b'0' + fraud
    {
        return Finding::Fraud;
    }
    if pin {
        return if is_pin(plain, account) { Finding::Right } else { Finding::WrongPin };
    }
    if keys == b"#" { Finding::Right } else { Finding::WrongCode }
}

fn is_pin(typed: &[u8], account: &Account) -> bool {
    let known = account.special.as_ref().and_then(|special| special.pin.as_ref());
    match (known, &account.keys) {
        (Some(known), Some(keys)) => keys.is_pin(&known.hash, account.id.0, typed),
        _ => false,
    }
}

/// How a question is asked: by which way, and of whom.
pub(super) struct Way {
    pub(super) kind: Kind,
    pub(super) to: Arc<str>,
    pub(super) device: Option<Box<Device>>,
}

/// Makes a question and records that it is asked; where there may be none, the next offer is made.
pub(super) fn ask(
    facts: Box<Facts>,
    user: UserName,
    to: Addressee,
    way: Way,
    rest: Vec<Offer>,
    round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    let Some(sending) = facts.policy.sending.clone() else {
        return next(facts, user, to, rest, round, Some(Reason::DeliveryFailed), env);
    };
    match to.standing(&facts.policy.lockout, env.unix) {
        Standing::Free => {}
        // Whoever has to wait is not to be called from sleep by somebody who guesses.
        Standing::Waits(_) => return next(facts, user, to, rest, round, Some(Reason::BackOff), env),
        Standing::Locked => return next(facts, user, to, rest, round, Some(Reason::Locked), env),
    }
    let asking = sending.asking.as_deref();
    let made = match way.kind {
        Kind::Push => asking.and_then(|asking| asking.push).map(|push| approval(push, &facts, env.entropy)),
        Kind::Sms => asking.and_then(|asking| asking.sms).map(|text| code(text, env.entropy)),
        Kind::Voice => asking.and_then(|asking| asking.voice).map(keys),
        Kind::Email => None,
    };
    let Some((expects, asks, lifetime)) = made else {
        return next(facts, user, to, rest, round, Some(Reason::DeliveryFailed), env);
    };
    let limits = match asking.and_then(|asking| asking.push) {
        Some(push) if way.kind == Kind::Push => of_pushes(push),
        _ => sending.limits,
    };
    let Way { kind, to: address, device } = way;
    let asked = Asked {
        reference: Reference(random(env.entropy)),
        kind,
        to: address,
        device: device.as_ref().map(|device| (device.id, Arc::clone(&device.name))),
        expects,
        until: env.mono + lifetime,
        approved: false,
        held: true,
        again: false,
    };
    let question = Box::new(Question {
        reference: asked.reference,
        device: device.map(|device| To { id: device.id, channel: device.channel, name: device.name }),
        asks,
        station: facts.station.clone(),
        lifetime,
        expires: env.unix + lifetime,
    });
    let row = Arc::new(Row {
        user_id: Some(to.id),
        contact: to.contact.clone(),
        method: methods::method(kind),
        device: asked.device(),
        sends: Some(kind),
        ..facts.row(Verdict::Noted, Reason::PhoneAsked, env)
    });
    let guards = vec![Guard::UserActive { user: to.id }, Guard::MaySend { user: to.id, kind, limits }];
    let id = DeliveryId(u32::from_be_bytes(random(env.entropy)));
    let outgoing = Outgoing::Question(Box::new(asked), question);
    let dispatch = Box::new(Dispatch::new(id, user, to, round, outgoing, rest));
    let then = Then::Send { facts, dispatch };
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}

/// One to a user every few seconds at most: a device that did not answer is followed by the next at once.
fn of_pushes(push: PushWay) -> SendLimits {
    SendLimits {
        count: push.per_hour,
        within: Duration::from_hours(1),
        per_day: push.per_hour.saturating_mul(24),
        gap: Duration::ZERO,
        budget: None,
    }
}

fn approval(push: PushWay, facts: &Facts, entropy: &mut dyn Entropy) -> (Expects, Asks, Duration) {
    // A line that is the same for everybody shows no number.
    let shown = facts.policy.admission.challenge && !facts.policy.admission.uniform_prompt;
    let matching = if shown { push.matching } else { Matching::None };
    let number = two_digits(entropy);
    let (expects, choices) = match matching {
        Matching::Type => (Expects::Number(number), None),
        Matching::Choose => (Expects::Number(number), Some(among(number, entropy))),
        Matching::None => (Expects::Approval, None),
    };
    (expects, Asks::Approval { matching, choices }, push.lifetime)
}

fn code(text: TextWay, entropy: &mut dyn Entropy) -> (Expects, Asks, Duration) {
    let code = sending::make_code(entropy);
    let expects = Expects::Code { code: code.clone(), pin: text.pin };
    (expects, Asks::CodeBack { code, pin: text.pin }, text.lifetime)
}

fn keys(call: CallWay) -> (Expects, Asks, Duration) {
    let CallWay { lifetime, pin, fraud } = call;
    (Expects::Key { pin, fraud }, Asks::Key { pin, fraud }, lifetime)
}

/// 10 to 99, each as likely as any other.
fn two_digits(entropy: &mut dyn Entropy) -> u8 {
    loop {
        let [octet] = random::<1>(entropy);
        if octet < 180 {
            break 10 + octet % 90;
        }
    }
}

/// `number` and two others, all different, in no order.
fn among(number: u8, entropy: &mut dyn Entropy) -> [u8; 3] {
    let mut other = |taken: &[u8]| loop {
        let drawn = two_digits(entropy);
        if !taken.contains(&drawn) {
            break drawn;
        }
    };
    let second = other(&[number]);
    let third = other(&[number, second]);
    let place = loop {
        let [octet] = random::<1>(entropy);
        if octet < 255 {
            break octet % 3;
        }
    };
    match place {
        0 => [number, second, third],
        1 => [second, number, third],
        _ => [second, third, number],
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
    let line = line(&asked);
    round.sent = None;
    round.asked = Some(asked);
    if facts.policy.admission.challenge {
        ask_for_code(facts, user, round, &line, env)
    } else {
        hold(facts, user, round, env)
    }
}

/// What the prompt says.
fn line(asked: &Asked) -> String {
    const ON: &str = "then press OK here. Or type a code:";
    match &asked.expects {
        Expects::Number(number) => format!("Type {number} on your phone, {ON}"),
        Expects::Approval => format!("Approve on your phone, {ON}"),
        Expects::Code { .. } => format!("Answer our text to {}, {ON}", redact(&asked.to)),
        Expects::Key { .. } => format!("We call {}. Press #, {ON}", redact(&asked.to)),
    }
}

/// Shown again where the gateway's patience ends before the user's.
const NO_ANSWER_YET: &str = "No answer from your phone yet. Press OK to wait on, or type a code:";

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
    /// A code, or a word for another method.
    Typed,
}

/// Nothing, or the word for what is waited for anyway, is no code. Where the phone has approved, whatever is typed says go on.
pub(super) fn pressed(round: &CodeRound, typed: &Secret) -> Option<Pressed> {
    let asked = round.asked.as_ref()?;
    let text = typed.expose().trim_ascii();
    let word = std::str::from_utf8(text).ok().and_then(Factor::parse);
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

/// The gateway waits no longer, or nobody answered in time.
pub(super) fn over(facts: Box<Facts>, user: UserName, mut round: CodeRound, env: &mut Env<'_>) -> Step {
    let late = round.asked.as_ref().is_none_or(|asked| env.mono >= asked.until);
    if late || !facts.policy.admission.challenge {
        return no_answer(&facts, &round, env);
    }
    round.changes = round.changes.saturating_add(1);
    if round.changes > sending::CHANGES_MAX {
        return refuse(&facts, Reason::TooManyRounds, env);
    }
    ask_for_code(facts, user, round, NO_ANSWER_YET, env)
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
    let session = remember::begin(&facts, methods::method(asked.kind), None, env);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::UnixTime;

    fn entropy() -> Fixed {
        Fixed { mono: Tick(0), unix: UnixTime(0), seed: 7 }
    }

    #[test]
    fn numbers_have_two_digits_and_choices_are_three_with_the_right_one_anywhere() {
        let mut entropy = entropy();
        let mut places = [0; 3];
        for _ in 0..600 {
            let number = two_digits(&mut entropy);
            assert!((10..=99).contains(&number));
            let choices = among(number, &mut entropy);
            let place = choices.iter().position(|choice| *choice == number).unwrap();
            places[place] += 1;
            let different: std::collections::HashSet<u8> = choices.into_iter().collect();
            assert_eq!(different.len(), 3);
        }
        assert!(places.iter().all(|count| *count > 100), "{places:?}");
    }

    #[test]
    fn the_digit_that_reports_fraud_is_none_where_it_is_off_or_part_of_more() {
        use super::super::account::{Account, UserId};
        let account = Account {
            id: UserId(1),
            name: UserName::canonical(b"u1").unwrap(),
            disabled: false,
            password_hash: None,
            contact: None,
            failures: 0,
            last_failure: UnixTime(0),
            tokens: Vec::new(),
            groups: None,
            special: None,
            keys: None,
            resembles_another: false,
            clock_suspect: false,
        };
        let said = |keys: &str, fraud| key(&Secret::from(keys), false, fraud, &account);
        assert_eq!(said("#", Some(0)), Finding::Right);
        assert_eq!(said(" # ", Some(0)), Finding::Right);
        assert_eq!(said("0", Some(0)), Finding::Fraud);
        assert_eq!(said("0#", Some(0)), Finding::Fraud);
        assert_eq!(said("0#", Some(9)), Finding::WrongCode);
        assert_eq!(said("0", None), Finding::WrongCode);
        for other in ["", "1", "00", "0 #", "*", "##"] {
            assert_eq!(said(other, Some(0)), Finding::WrongCode, "{other}");
        }
        let back = |text: &str| code_back(&Secret::from(text), &Secret::from("123456"), false, &account);
        assert_eq!(back(" 123 456\n"), Finding::Right);
        for other in ["", "12345", "1234567", "123457"] {
            assert_eq!(back(other), Finding::WrongCode, "{other}");
        }
        let pinned = |text: &str| code_back(&Secret::from(text), &Secret::from("123456"), true, &account);
        assert_eq!(pinned("1234562580"), Finding::WrongPin, "a user without a PIN has no right one");
    }
}
