//! A login that waits for somebody: plain data, no task, no timer of its own.

mod encoding;
#[cfg(test)]
mod tests;

pub use encoding::{Opened, Resolved, Ruled, Taker, Unreadable};

use super::asking::Reference;
use super::await_primary::AwaitPrimary;
use super::await_user::{AwaitUser, Looking};
use super::codes::Ahead;
use super::in_vain::{self, VainRound};
use super::login::{Facts, refuse};
use super::phone::{self, Asked, Pressed};
use super::proof::PrimaryPassed;
use super::question::{PrimaryCheck, UserQuery};
use super::reason::Reason;
use super::record::LoginId;
use super::sending::{Dispatch, SentCode};
use super::step::{Entered, Entry, Env, Event, Receipt, Step, Wait};
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::time::Tick;
use crate::wire::AttributeList;

/// A login that waits. It holds no seed; the next step reads the user again.
#[derive(Debug)]
pub struct Parked {
    pub(super) facts: Box<Facts>,
    pub(super) user: UserName,
    pub(super) stage: Stage,
    /// Since when.
    pub(super) since: Tick,
}

/// What it waits for.
#[derive(Debug)]
pub(super) enum Stage {
    /// An answer to the primary's own challenge.
    PrimaryAsks { state: Box<[u8]>, rounds: u8 },
    /// A code.
    AskedCode(CodeRound),
    /// A message to be on its way; the request is held.
    Sending(Box<Dispatch>),
    /// An answer from the phone; the request is held.
    Held(CodeRound),
    /// A code that will not be looked at.
    AskedInVain(VainRound),
}

/// What a login carries from code to code.
#[derive(Debug)]
pub(super) struct CodeRound {
    pub(super) password: PrimaryPassed,
    /// The attributes of the primary's Accept, held until the code was right.
    pub(super) held: AttributeList,
    /// Codes that may still be tried, at least 1 while parked.
    pub(super) tries: u8,
    /// The last code was one of a counter token far ahead: which token, and the counter after it.
    pub(super) ahead: Option<Ahead>,
    /// How many guesses the last code was ([`Account::guesses`](super::account::Account::guesses)).
    pub(super) guesses: u32,
    /// The code that was sent, if one was.
    pub(super) sent: Option<Box<SentCode>>,
    /// What was asked on the phone, if anything was.
    pub(super) asked: Option<Box<Asked>>,
    /// Messages sent in this login.
    pub(super) sends: u8,
    /// How often the user asked for something else.
    pub(super) changes: u8,
    /// The right code lets nobody in, but leads to a first factor ([`super::enrol`]).
    pub(super) enrols: bool,
}

impl CodeRound {
    /// The first round after the right password.
    pub(super) fn new(password: PrimaryPassed, held: AttributeList, tries: u8) -> CodeRound {
        CodeRound {
            password,
            held,
            tries,
            ahead: None,
            guesses: 1,
            sent: None,
            asked: None,
            sends: 0,
            changes: 0,
            enrols: false,
        }
    }
}

impl Parked {
    /// Which login this is.
    pub fn login(&self) -> LoginId {
        self.facts.id
    }

    /// What is known of it.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Ends it where it is: it cannot wait.
    pub fn refuse(&self, reason: Reason, env: &mut Env<'_>) -> Step {
        refuse(&self.facts, reason, env)
    }

    /// The client it belongs to.
    pub fn client(&self) -> &Label {
        &self.facts.client
    }

    /// Whose login it is.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// The question whose answer it waits for, if it waits for one.
    pub fn asks(&self) -> Option<Reference> {
        match &self.stage {
            Stage::Sending(dispatch) => dispatch.asks().map(|(reference, _)| reference),
            Stage::AskedCode(round) | Stage::Held(round) => {
                round.asked.as_ref().map(|asked| asked.reference())
            }
            Stage::PrimaryAsks { .. } | Stage::AskedInVain(_) => None,
        }
    }

    /// The question that was answered right, where the user has yet to go on at the prompt.
    pub fn approved(&self) -> Option<Reference> {
        let Stage::AskedCode(round) = &self.stage else { return None };
        round.asked.as_ref().filter(|asked| asked.is_approved()).map(|asked| asked.reference())
    }

    /// Wakes the login with `event`.
    pub fn resume(self: Box<Self>, event: Event, until: Tick, env: &mut Env<'_>) -> (Receipt, Step) {
        let held = match (&self.stage, &event) {
            (Stage::Sending(_) | Stage::Held(_), _) => true,
            (Stage::AskedCode(round), Event::Phone(_)) => round.asked.is_some(),
            _ => false,
        };
        if held { self.hear(event, until, env) } else { self.wake(event, until, env) }
    }

    /// What happens while a message is on its way, or the phone is waited for.
    fn hear(self, event: Event, until: Tick, env: &mut Env<'_>) -> (Receipt, Step) {
        let Parked { mut facts, user, stage, since } = self;
        match (stage, event) {
            (Stage::Sending(dispatch), event) => dispatch.resume(facts, event, (since, until), env),
            (Stage::Held(round), Event::Phone(answer)) => {
                (Receipt::Taken, phone::heard(facts, user, round, answer, (true, since), env))
            }
            (Stage::AskedCode(round), Event::Phone(answer)) => {
                (Receipt::Taken, phone::heard(facts, user, round, answer, (false, since), env))
            }
            (Stage::Held(round), Event::Expired) => {
                facts.durations.typing += env.mono.since(since);
                (Receipt::Taken, phone::over(facts, user, round, env))
            }
            (stage, _) => {
                let parked = Box::new(Parked { facts, user, stage, since });
                (Receipt::NotAwaited, Step::Wait(Wait { tell: None, start: None, until }, parked))
            }
        }
    }

    fn wake(self: Box<Self>, event: Event, until: Tick, env: &mut Env<'_>) -> (Receipt, Step) {
        match event {
            Event::Entry(entry) => (Receipt::Taken, self.enter(entry, env)),
            Event::Expired => {
                let Parked { mut facts, stage, since, .. } = *self;
                facts.durations.typing += env.mono.since(since);
                let reason = match stage {
                    Stage::AskedInVain(round) => round.reason,
                    _ => Reason::Abandoned,
                };
                (Receipt::Taken, refuse(&facts, reason, env))
            }
            Event::Phone(_) | Event::Delivered(..) => {
                (Receipt::NotAwaited, Step::Wait(Wait { tell: None, start: None, until }, self))
            }
        }
    }

    fn enter(self, entry: Entry, env: &mut Env<'_>) -> Step {
        let Parked { mut facts, user, stage, since } = self;
        facts.durations.typing += env.mono.since(since);
        // The question was in the user's language already, so a refusal tells no more.
        facts.language = facts.language();
        (facts.source, facts.local) = (entry.source, entry.local);
        facts.answer_by = entry.answer_by;
        facts.protocol = entry.entered.protocol();
        let typed = match entry.entered {
            Entered::Password(typed) => typed,
            Entered::Undecodable => return refuse(&facts, Reason::PasswordUndecodable, env),
            // OK pressed at an empty prompt, by a gateway that sends nothing then.
            Entered::Unsupported("none") if matches!(&stage, Stage::AskedCode(round) if round.asked.is_some()) => {
                Secret::new([])
            }
            Entered::Unsupported(_) => return refuse(&facts, Reason::CredentialNotSupported, env),
        };
        match stage {
            Stage::AskedCode(round) if matches!(phone::pressed(&round, &typed), Some(Pressed::On)) => {
                phone::go_on(facts, user, round, env)
            }
            Stage::AskedCode(round) if matches!(phone::pressed(&round, &typed), Some(Pressed::Another)) => {
                phone::look_for_another(facts, user, round)
            }
            Stage::AskedCode(round) => {
                let query = UserQuery { user: user.clone(), seeds: true, look_alikes: false };
                Step::FindUser(
                    query,
                    AwaitUser { facts, user, looking: Looking::AtCode { code: typed, round } },
                )
            }
            // The requests of such a login are held, and it takes no other: `resume` has seen to that.
            Stage::Sending(_) | Stage::Held(_) => refuse(&facts, Reason::InternalError, env),
            Stage::AskedInVain(round) => in_vain::entered(facts, user, round, env),
            // An upstream that binds with what it gets would take an empty answer for an anonymous one.
            Stage::PrimaryAsks { .. } if typed.is_empty() => refuse(&facts, Reason::EmptyPassword, env),
            Stage::PrimaryAsks { state, rounds } => {
                let check = PrimaryCheck {
                    primary: facts.policy.admission.primary.clone(),
                    user: user.clone(),
                    password: typed,
                    packet: entry.packet,
                    state: Some(state),
                    answer_by: entry.answer_by,
                };
                Step::CheckPrimary(check, AwaitPrimary { facts, user, rounds, asked: env.mono, behind: None })
            }
        }
    }
}
