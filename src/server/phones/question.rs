//! The questions that were asked: by what each may be answered, and what became of it.
//!
//! Invariants: an answer to a push is taken once; one that comes late changes nothing and is recorded once; what is over is known for ten
//! minutes, and no more than 20,000 of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::super::affinity::RoundId;
use super::fatigue::is_strike;
use crate::base::messages::Language;
use crate::base::name::{Label, UserName};
use crate::base::phone::Phone;
use crate::base::time::{Tick, UnixTime};
use crate::engine::asking::{Asks, Matching, Question, Reference};
use crate::engine::delivery::{Delivery, Kind};
use crate::engine::login::Facts;
use crate::engine::reason::Reason;
use crate::engine::record::LoginId;

/// For so long after its end a question is still known, to tell a late answer from a forged one.
const KNOWN_AFTER: Duration = Duration::from_mins(10);
/// So many ended questions are known at most; the oldest go first.
const OVER_MAX: usize = 20_000;
/// So many approvals of one question that were not believed are recorded.
const UNPROVED_MAX: u8 = 5;

/// Every question, of whomever.
#[derive(Debug, Default)]
pub(super) struct Questions {
    all: HashMap<Reference, Open>,
    /// Of calls and text messages: by the number that they went to.
    numbers: HashMap<Box<str>, Vec<Reference>>,
    over: VecDeque<(Tick, Reference)>,
    /// Of those: by the round whose State the user still has.
    rounds: HashMap<RoundId, Reference>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    /// Answered, or its login has gone on; whether a late answer was recorded.
    Over {
        recorded: bool,
    },
}

/// A login that was refused for what its phone said.
pub(in crate::server) struct Denied {
    /// Its number.
    pub(in crate::server) login: LoginId,
    /// Why, as far as that is known.
    pub(in crate::server) why: Option<Reason>,
    /// What its prompt was in, where that is not the client's language.
    language: Option<Language>,
}

impl Denied {
    /// Speaks of it in the facts of a request that came after it.
    pub(in crate::server) fn put_into(&self, facts: &mut Facts) {
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

/// What an answer finds.
#[derive(Debug)]
pub(in crate::server) enum Found {
    /// The login that waits for it.
    Live(RoundId),
    /// A login that does not wait for it any more; what is known of it, the first time.
    Over(Option<Arc<Facts>>),
    /// Nothing.
    Nothing,
}

impl Questions {
    /// One leaves, for the login of `round`.
    pub(super) fn open(
        &mut self,
        round: RoundId,
        delivery: &Delivery,
        question: &Question,
        facts: Arc<Facts>,
    ) {
        let number = match delivery.kind {
            Kind::Sms | Kind::Voice => Phone::parse(&delivery.to).ok().map(|phone| phone.number().into()),
            Kind::Push | Kind::Email => None,
        };
        if let Some(number) = &number {
            self.numbers.entry(Box::clone(number)).or_default().push(question.reference);
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
        self.all.insert(question.reference, open);
    }

    /// Its login goes on under `after`.
    pub(super) fn moved(&mut self, reference: Reference, after: RoundId) {
        if let Some(open) = self.all.get_mut(&reference) {
            let before = std::mem::replace(&mut open.round, after);
            // Somebody looks for a question that is over by the round that the gateway will name.
            if self.rounds.remove(&before).is_some() {
                self.rounds.insert(after, reference);
            }
        }
    }

    /// So much is known of what became of its login.
    pub(super) fn became(&mut self, reference: Reference, fate: Reason) {
        if let Some(open) = self.all.get_mut(&reference) {
            open.fate = Some(fate);
        }
    }

    /// Nobody waits for the answer to this any more; whose question it was, where anybody did until now.
    pub(super) fn end(&mut self, reference: Reference, now: Tick) -> Option<UserName> {
        let open = self.all.get_mut(&reference).filter(|open| open.state == State::Live)?;
        open.state = State::Over { recorded: false };
        self.rounds.insert(open.round, reference);
        let user = open.facts.user.clone();
        // What is not needed to record a late answer would be kept for minutes.
        if open.facts.ruling.is_some() {
            Arc::make_mut(&mut open.facts).ruling = None;
        }
        self.over.push_back((now, reference));
        self.forget(now);
        user
    }

    /// An answer came.
    pub(super) fn hear(&mut self, reference: Reference) -> Found {
        let Some(open) = self.all.get_mut(&reference) else { return Found::Nothing };
        match &mut open.state {
            State::Live => Found::Live(open.round),
            State::Over { recorded } => {
                let first = !std::mem::replace(recorded, true);
                Found::Over(first.then(|| Arc::clone(&open.facts)))
            }
        }
    }

    pub(super) fn refused(&self, round: RoundId) -> Option<Denied> {
        let open = self.all.get(self.rounds.get(&round)?)?;
        let denied = || Denied { login: open.facts.id, why: open.fate, language: open.language };
        // What ended otherwise has an answer of its own.
        open.fate.is_none_or(is_strike).then(denied)
    }

    pub(super) fn look(&self, reference: Reference) -> Option<Sight> {
        let open = self.all.get(&reference)?;
        Some(Sight {
            kind: open.kind,
            channel: open.channel.clone(),
            device: open.device,
            user: open.facts.user.clone(),
        })
    }

    pub(super) fn show(&self, reference: Reference) -> Option<Shown> {
        let open = self.all.get(&reference)?;
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

    pub(super) fn unproved(&mut self, reference: Reference) -> Option<Arc<Facts>> {
        let open = self.all.get_mut(&reference).filter(|open| open.state == State::Live)?;
        open.unproved = open.unproved.checked_add(1).filter(|count| *count <= UNPROVED_MAX)?;
        Some(Arc::clone(&open.facts))
    }

    pub(super) fn to_number(&self, number: &str) -> Vec<Reference> {
        let all = self.numbers.get(number).map(Vec::as_slice).unwrap_or_default();
        let live =
            |reference: &&Reference| self.all.get(reference).is_some_and(|open| open.state == State::Live);
        let found: Vec<Reference> = all.iter().filter(live).copied().collect();
        if found.is_empty() { all.last().copied().into_iter().collect() } else { found }
    }

    /// Forgets what is long over.
    pub(super) fn forget(&mut self, now: Tick) {
        let old = |(since, _): &(Tick, Reference)| now.since(*since) >= KNOWN_AFTER;
        while self.over.len() > OVER_MAX || self.over.front().is_some_and(old) {
            let Some((_, reference)) = self.over.pop_front() else { return };
            let Some(open) = self.all.remove(&reference) else { continue };
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
