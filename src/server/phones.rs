//! Questions that were asked on phones: which login each belongs to, who is being asked, and whose answers come late.
//!
//! ```text
//! engine: Commit ── claim (one a user) ── Deliver ── open ─┬─ hear: the login is woken
//!                                                          └─ the login goes on without it, or ends: kept for a while as over
//! ```
//! Invariants: one user is asked about one login at a time; an answer to a push is taken once; an answer that comes late changes
//! nothing and is recorded, once for each question; who ignored or denied three pushes in ten minutes is sent none for a while.
//! Nothing here is touched by logins that ask nobody.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::affinity::RoundId;
use super::intents::JOINED;
use super::slot::Original;
use crate::base::messages::Language;
use crate::base::name::{Label, UserName};
use crate::base::phone::Phone;
use crate::base::time::{Tick, UnixTime};
use crate::engine::asking::{Asks, Matching, Question, Reference};
use crate::engine::delivery::{Delivery, Kind};
use crate::engine::login::Facts;
use crate::engine::reason::Reason;
use crate::engine::record::LoginId;

/// So many pushes that were ignored or denied …
pub(super) const STRIKES: usize = 3;
/// … within so long …
pub(super) const STRIKES_WITHIN: Duration = Duration::from_mins(10);
/// … stop them for so long.
pub(super) const PAUSE: Duration = Duration::from_mins(15);
/// So many of a user's logins that asked are known to tell their copies.
const LATELY_MAX: usize = 4;
/// For so long after its end a question is still known, to tell a late answer from a forged one.
const KNOWN_AFTER: Duration = Duration::from_mins(10);
/// So many ended questions are known at most; the oldest go first.
const OVER_MAX: usize = 20_000;

/// So many approvals of one question that were not believed are recorded.
const UNPROVED_MAX: u8 = 5;

/// How often everybody who is asked is looked through; what counts is judged by its time anyway.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Every question, and everybody who is asked.
#[derive(Debug, Default)]
pub(super) struct Phones {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    users: HashMap<UserName, Person>,
    questions: HashMap<Reference, Open>,
    /// Of calls and text messages: by the number that they went to.
    numbers: HashMap<Box<str>, Vec<Reference>>,
    over: VecDeque<(Tick, Reference)>,
    /// Of those: by the round whose State the user still has.
    rounds: HashMap<RoundId, Reference>,
    /// When everybody was looked through for who is nobody any more.
    looked: Option<Tick>,
}

/// Somebody who is asked, or was of late.
#[derive(Debug, Default)]
struct Person {
    /// The login that they are asked about.
    asked: Option<RoundId>,
    /// The question that they were asked last, while anybody waits for the answer.
    question: Option<Reference>,
    /// Most who are being asked have none.
    past: Option<Box<Past>>,
}

/// What there was of late between a user and the phone.
#[derive(Debug, Default)]
struct Past {
    /// When pushes were ignored or denied, oldest first.
    strikes: VecDeque<Tick>,
    paused_until: Option<Tick>,
    /// The requests of logins that they were asked about, and when those asked no more: for as long as a copy of one may be
    /// under way. At most [`LATELY_MAX`].
    lately: Vec<(Original, Tick)>,
}

/// A question.
#[derive(Debug)]
struct Open {
    round: RoundId,
    kind: Kind,
    number: Option<Box<str>>,
    channel: Option<Label>,
    device: Option<i64>,
    /// Of a push: what is shown beside who asks.
    approval: Option<Approval>,
    /// Shared with its slot, while that is there.
    facts: Arc<Facts>,
    /// What its prompt was in, where that is not the client's language.
    language: Option<Language>,
    state: State,
    fate: Option<Reason>,
    /// Approvals that were not believed, as far as they were recorded.
    unproved: u8,
}

/// What whoever is to approve is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Approval {
    matching: Matching,
    choices: Option<[u8; 3]>,
    passkey: bool,
    asked: UnixTime,
    expires: UnixTime,
}

/// A login that was refused for what its phone said.
pub(super) struct Denied {
    /// Its number.
    pub(super) login: LoginId,
    /// Why, as far as that is known.
    pub(super) why: Option<Reason>,
    /// What its prompt was in, where that is not the client's language.
    pub(super) language: Option<Language>,
}

impl Denied {
    /// Speaks of it in the facts of a request that came after it.
    pub(super) fn put_into(&self, facts: &mut Facts) {
        facts.id = self.login;
        facts.language = self.language.unwrap_or(facts.language);
    }
}

/// A question as whoever may answer it is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whose login.
    pub user: UserName,
    /// At which client, as users know it.
    pub client: Arc<str>,
    /// From where, escaped for print.
    pub station: Option<Arc<str>>,
    /// The server that asks.
    pub server: Label,
    /// How it is tied to the prompt.
    pub matching: Matching,
    /// Three numbers, where one is chosen.
    pub choices: Option<[u8; 3]>,
    /// Whether it is approved with a passkey alone.
    pub passkey: bool,
    /// When it was asked.
    pub asked: UnixTime,
    /// Until when an answer is waited for.
    pub expires: UnixTime,
    /// Whether it may still be answered.
    pub open: bool,
    /// What became of its login, as far as that is known: [`Reason::PhoneApproved`] also where the user has yet to go on at the
    /// prompt.
    pub fate: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    /// Answered, or its login has gone on; whether a late answer was recorded.
    Over {
        recorded: bool,
    },
}

/// Whether a login may ask its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It may.
    Yours,
    /// This one's user is being asked about it.
    Of(RoundId),
    /// Pushes have been ignored or denied too often.
    Paused,
}

/// What an answer finds.
#[derive(Debug)]
pub(super) enum Found {
    /// The login that waits for it.
    Live(RoundId),
    /// A login that does not wait for it any more; what is known of it, the first time.
    Over(Option<Arc<Facts>>),
    /// Nothing.
    Nothing,
}

/// What whoever brings an answer may know of its question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// How it was asked.
    pub kind: Kind,
    /// The channel that reaches the device; `None` for calls and text messages, which any channel may have brought.
    pub channel: Option<Label>,
    /// The device's number in the store.
    pub device: Option<i64>,
    /// Whose it is.
    pub user: Option<UserName>,
}

impl Phones {
    /// A login of `user` is about to ask by `kind`.
    pub(super) fn claim(&self, user: &UserName, round: RoundId, kind: Kind, now: Tick) -> Claim {
        let mut inner = self.lock();
        let person = inner.users.entry(user.clone()).or_default();
        match person.asked {
            Some(other) if other != round => return Claim::Of(other),
            _ => {}
        }
        let paused_until = person.past.as_ref().and_then(|past| past.paused_until);
        if kind == Kind::Push && paused_until.is_some_and(|until| now < until) {
            return Claim::Paused;
        }
        person.asked = Some(round);
        Claim::Yours
    }

    /// A question leaves.
    pub(super) fn open(&self, round: RoundId, delivery: &Delivery, question: &Question, facts: Arc<Facts>) {
        let number = match delivery.kind {
            Kind::Sms | Kind::Voice => Phone::parse(&delivery.to).ok().map(|phone| phone.number().into()),
            Kind::Push | Kind::Email => None,
        };
        let mut inner = self.lock();
        if let Some(person) = facts.user.as_ref().and_then(|user| inner.users.get_mut(user)) {
            person.question = Some(question.reference);
        }
        if let Some(number) = &number {
            inner.numbers.entry(Box::clone(number)).or_default().push(question.reference);
        }
        let open = Open {
            round,
            kind: delivery.kind,
            number,
            channel: question.device.as_ref().map(|device| device.channel.clone()),
            device: question.device.as_ref().map(|device| device.id),
            approval: match question.asks {
                Asks::Approval { matching, choices } => {
                    let (asked, expires) = (question.expires - question.lifetime, question.expires);
                    Some(Approval { matching, choices, passkey: question.passkey, asked, expires })
                }
                Asks::CodeBack { .. } | Asks::Key { .. } => None,
            },
            language: facts.language_of(delivery.language.as_deref()),
            facts,
            state: State::Live,
            fate: None,
            unproved: 0,
        };
        inner.questions.insert(question.reference, open);
    }

    /// The login of `before` goes on under `after`.
    pub(super) fn moved(
        &self,
        user: &UserName,
        reference: Option<Reference>,
        before: RoundId,
        after: RoundId,
    ) {
        let mut inner = self.lock();
        if let Some(person) = inner.users.get_mut(user).filter(|person| person.asked == Some(before)) {
            person.asked = Some(after);
        }
        if let Some(open) = reference.and_then(|reference| inner.questions.get_mut(&reference)) {
            open.round = after;
        }
    }

    /// Nobody waits for the answer to this any more.
    pub(super) fn end(&self, reference: Reference, now: Tick) {
        self.lock().end(reference, now);
    }

    /// The login of `round`, which began with `first`, asks nobody any more.
    pub(super) fn release(&self, user: &UserName, round: RoundId, first: Option<Original>, now: Tick) {
        let mut inner = self.lock();
        if let Some(person) = inner.users.get_mut(user).filter(|person| person.asked == Some(round)) {
            person.asked = None;
            person.question = None;
            if let Some(first) = first {
                let lately = &mut person.past.get_or_insert_default().lately;
                lately.truncate(LATELY_MAX - 1);
                lately.insert(0, (first, now));
            }
            if person.is_nobody() {
                inner.users.remove(user);
            }
        }
    }

    /// So much is known of what became of the login that asked `reference`.
    pub(super) fn became(&self, reference: Reference, fate: Reason) {
        if let Some(open) = self.lock().questions.get_mut(&reference) {
            open.fate = Some(fate);
        }
    }

    /// A login ended that had asked by `kind`, for `reason`.
    pub(super) fn ended(&self, user: &UserName, kind: Kind, reason: Reason, now: Tick) {
        let mut inner = self.lock();
        let person = inner.users.entry(user.clone()).or_default();
        match reason {
            Reason::PhoneApproved => {
                if let Some(past) = &mut person.past {
                    past.strikes.clear();
                    past.paused_until = None;
                }
            }
            Reason::PhoneDenied
            | Reason::NumberWrong
            | Reason::FraudReported
            | Reason::NoAnswer
            | Reason::Abandoned
                if kind == Kind::Push =>
            {
                let Past { strikes, paused_until, .. } = &mut **person.past.get_or_insert_default();
                strikes.retain(|strike| now.since(*strike) < STRIKES_WITHIN);
                strikes.push_back(now);
                if strikes.len() >= STRIKES {
                    strikes.clear();
                    *paused_until = Some(now + PAUSE);
                }
            }
            _ => {}
        }
        if person.is_nobody() {
            inner.users.remove(user);
        }
    }

    /// The requests of logins that `user` was asked about of late, and when those asked no more.
    pub(super) fn lately(&self, user: &UserName) -> Vec<(Original, Tick)> {
        let inner = self.lock();
        let past = inner.users.get(user).and_then(|person| person.past.as_ref());
        past.map(|past| past.lately.clone()).unwrap_or_default()
    }

    /// The login that had `round` and was refused for what its phone said.
    pub(super) fn refused(&self, round: RoundId) -> Option<Denied> {
        let inner = self.lock();
        let open = inner.questions.get(inner.rounds.get(&round)?)?;
        let denied = || Denied { login: open.facts.id, why: open.fate, language: open.language };
        (open.fate != Some(Reason::PhoneApproved)).then(denied)
    }

    /// What may be known of a question.
    pub(super) fn look(&self, reference: Reference) -> Option<Sight> {
        let inner = self.lock();
        let open = inner.questions.get(&reference)?;
        Some(Sight {
            kind: open.kind,
            channel: open.channel.clone(),
            device: open.device,
            user: open.facts.user.clone(),
        })
    }

    /// What whoever may answer a push is shown; `None` where there is no such question, or it is none to approve.
    pub(super) fn show(&self, reference: Reference) -> Option<Shown> {
        let inner = self.lock();
        let open = inner.questions.get(&reference)?;
        let Approval { matching, choices, passkey, asked, expires } = open.approval?;
        Some(Shown {
            user: open.facts.user.clone()?,
            client: open.facts.policy.called(&open.facts.client).into(),
            station: open.facts.station.clone(),
            server: open.facts.server.clone(),
            matching,
            choices,
            passkey,
            asked,
            expires,
            open: open.state == State::Live,
            fate: open.fate,
        })
    }

    /// An approval of a push was not believed: what is known of its login, while that waits and not too often.
    pub(super) fn unproved(&self, reference: Reference) -> Option<Arc<Facts>> {
        let mut inner = self.lock();
        let open = inner.questions.get_mut(&reference).filter(|open| open.state == State::Live)?;
        open.unproved = open.unproved.checked_add(1).filter(|count| *count <= UNPROVED_MAX)?;
        Some(Arc::clone(&open.facts))
    }

    /// The question that `user` is being asked.
    pub(super) fn question_of(&self, user: &UserName) -> Option<Reference> {
        self.lock().users.get(user)?.question
    }

    /// The questions that went to `number` and may be answered; where there is none, one whose answer is late.
    pub(super) fn to_number(&self, number: &str) -> Vec<Reference> {
        let inner = self.lock();
        let all = inner.numbers.get(number).map(Vec::as_slice).unwrap_or_default();
        let live = |reference: &&Reference| {
            inner.questions.get(reference).is_some_and(|open| open.state == State::Live)
        };
        let found: Vec<Reference> = all.iter().filter(live).copied().collect();
        if found.is_empty() { all.last().copied().into_iter().collect() } else { found }
    }

    /// An answer came; where it is `last`, no other is taken.
    pub(super) fn hear(&self, reference: Reference, last: bool, now: Tick) -> Found {
        let mut inner = self.lock();
        let Some(open) = inner.questions.get_mut(&reference) else { return Found::Nothing };
        match &mut open.state {
            State::Live => {
                let round = open.round;
                if last {
                    inner.end(reference, now);
                }
                Found::Live(round)
            }
            State::Over { recorded } => {
                let first = !std::mem::replace(recorded, true);
                Found::Over(first.then(|| Arc::clone(&open.facts)))
            }
        }
    }

    /// Forgets what is long over.
    pub(super) fn sweep(&self, now: Tick) {
        let mut inner = self.lock();
        inner.forget(now);
        if inner.looked.is_some_and(|looked| now.since(looked) < LOOK_EVERY) {
            return;
        }
        inner.looked = Some(now);
        inner.users.retain(|_, person| {
            if let Some(past) = &mut person.past {
                past.strikes.retain(|strike| now.since(*strike) < STRIKES_WITHIN);
                past.paused_until.take_if(|until| *until <= now);
                // A copy that began in time may take as long as a login to get here.
                past.lately.retain(|(_, ended)| now <= *ended + JOINED);
            }
            person.past.take_if(|past| past.is_over());
            !person.is_nobody()
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Person {
    fn is_nobody(&self) -> bool {
        self.asked.is_none() && self.past.as_ref().is_none_or(|past| past.is_over())
    }
}

impl Past {
    fn is_over(&self) -> bool {
        self.strikes.is_empty() && self.paused_until.is_none() && self.lately.is_empty()
    }
}

impl Inner {
    fn end(&mut self, reference: Reference, now: Tick) {
        let Some(open) = self.questions.get_mut(&reference).filter(|open| open.state == State::Live) else {
            return;
        };
        open.state = State::Over { recorded: false };
        self.rounds.insert(open.round, reference);
        let user = open.facts.user.clone();
        if let Some(person) = user.and_then(|user| self.users.get_mut(&user))
            && person.question == Some(reference)
        {
            person.question = None;
        }
        let Some(open) = self.questions.get_mut(&reference) else { return };
        // What is not needed to record a late answer would be kept for minutes.
        if open.facts.ruling.is_some() {
            Arc::make_mut(&mut open.facts).ruling = None;
        }
        self.over.push_back((now, reference));
        self.forget(now);
    }

    fn forget(&mut self, now: Tick) {
        let old = |(since, _): &(Tick, Reference)| now.since(*since) >= KNOWN_AFTER;
        while self.over.len() > OVER_MAX || self.over.front().is_some_and(old) {
            let Some((_, reference)) = self.over.pop_front() else { return };
            let Some(open) = self.questions.remove(&reference) else { continue };
            // A login that asked again has the round of its newest question.
            if self.rounds.get(&open.round) == Some(&reference) {
                self.rounds.remove(&open.round);
            }
            let Some(number) = open.number else { continue };
            if let Some(others) = self.numbers.get_mut(&number) {
                others.retain(|other| *other != reference);
                if others.is_empty() {
                    self.numbers.remove(&number);
                }
            }
        }
    }
}

/// What a slot keeps of the question that its login asks.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) user: UserName,
    pub(super) kind: Kind,
    pub(super) reference: Option<Reference>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: [RoundId; 3] = [RoundId([1; 16]), RoundId([2; 16]), RoundId([3; 16])];

    fn name(text: &str) -> UserName {
        UserName::canonical(text.as_bytes()).unwrap()
    }

    fn after(seconds: u64) -> Tick {
        Tick(1 << 40) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_user_is_asked_about_one_login_at_a_time() {
        let (phones, user) = (Phones::default(), name("u1"));
        assert_eq!(phones.claim(&user, ROUNDS[0], Kind::Push, after(0)), Claim::Yours);
        assert_eq!(phones.claim(&user, ROUNDS[0], Kind::Sms, after(0)), Claim::Yours, "its next device");
        assert_eq!(phones.claim(&user, ROUNDS[1], Kind::Voice, after(0)), Claim::Of(ROUNDS[0]));
        assert_eq!(phones.claim(&name("u2"), ROUNDS[1], Kind::Push, after(0)), Claim::Yours);
        phones.moved(&user, None, ROUNDS[0], ROUNDS[2]);
        assert_eq!(phones.claim(&user, ROUNDS[1], Kind::Push, after(0)), Claim::Of(ROUNDS[2]));
        phones.release(&user, ROUNDS[0], None, after(0));
        assert_eq!(phones.claim(&user, ROUNDS[1], Kind::Push, after(0)), Claim::Of(ROUNDS[2]));
        phones.release(&user, ROUNDS[2], None, after(0));
        assert_eq!(phones.claim(&user, ROUNDS[1], Kind::Push, after(0)), Claim::Yours);
    }

    #[test]
    fn three_pushes_ignored_or_denied_in_ten_minutes_stop_them_for_a_while() {
        let (phones, user) = (Phones::default(), name("u1"));
        let claim = |seconds| {
            let claim = phones.claim(&user, ROUNDS[0], Kind::Push, after(seconds));
            phones.release(&user, ROUNDS[0], None, after(0));
            claim
        };
        let ended = |reason, seconds| phones.ended(&user, Kind::Push, reason, after(seconds));
        ended(Reason::PhoneDenied, 0);
        ended(Reason::NoAnswer, 1);
        ended(Reason::CodeAccepted, 2);
        ended(Reason::Abandoned, 601);
        assert_eq!(claim(602), Claim::Yours, "the first two are long ago");
        ended(Reason::NumberWrong, 603);
        assert_eq!(claim(604), Claim::Yours);
        ended(Reason::PhoneDenied, 605);
        assert_eq!(claim(606), Claim::Paused);
        assert_eq!(phones.claim(&user, ROUNDS[0], Kind::Sms, after(606)), Claim::Yours, "a text is no push");
        phones.release(&user, ROUNDS[0], None, after(0));
        assert_eq!(claim(605 + 15 * 60), Claim::Yours);
        ended(Reason::PhoneDenied, 2000);
        ended(Reason::PhoneDenied, 2001);
        ended(Reason::PhoneApproved, 2002);
        ended(Reason::PhoneDenied, 2003);
        assert_eq!(claim(2004), Claim::Yours, "an approval begins anew");
        phones.sweep(after(10_000));
        assert!(phones.lock().users.is_empty());
    }
}
