//! A login that waits for somebody: plain data, no task, no timer of its own.

mod encoding;
#[cfg(test)]
mod tests;

pub use encoding::{Opened, Resolved, Ruled, Taker, Unreadable};

use super::await_primary::AwaitPrimary;
use super::await_user::{AwaitUser, Looking};
use super::codes::Ahead;
use super::in_vain::{self, VainRound};
use super::login::{Facts, refuse};
use super::proof::PrimaryPassed;
use super::question::{PrimaryCheck, UserQuery};
use super::reason::Reason;
use super::record::LoginId;
use super::sending::{Dispatch, SentCode};
use super::step::{Entered, Entry, Env, Event, Receipt, Step, Wait};
use crate::base::name::{Label, UserName};
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
    pub(super) sent: Option<SentCode>,
    /// Messages sent in this login.
    pub(super) sends: u8,
    /// How often the user asked for something else.
    pub(super) changes: u8,
}

impl CodeRound {
    /// The first round after the right password.
    pub(super) fn new(password: PrimaryPassed, held: AttributeList, tries: u8) -> CodeRound {
        CodeRound { password, held, tries, ahead: None, guesses: 1, sent: None, sends: 0, changes: 0 }
    }
}

impl Parked {
    /// Which login this is.
    pub fn login(&self) -> LoginId {
        self.facts.id
    }

    /// The client it belongs to.
    pub fn client(&self) -> &Label {
        &self.facts.client
    }

    /// Whose login it is.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// Wakes the login with `event`.
    pub fn resume(self: Box<Self>, event: Event, until: Tick, env: &mut Env<'_>) -> (Receipt, Step) {
        if let Stage::Sending(dispatch) = self.stage {
            return dispatch.resume(self.facts, &event, until, env);
        }
        match event {
            Event::Entry(entry) => (Receipt::Taken, self.enter(entry, env)),
            Event::Expired => {
                let Parked { mut facts, stage, since, .. } = *self;
                facts.durations.typing += env.mono.since(since);
                let reason = match stage {
                    Stage::AskedInVain(round) => round.reason,
                    Stage::PrimaryAsks { .. } | Stage::AskedCode(_) | Stage::Sending(_) => Reason::Abandoned,
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
        (facts.source, facts.local) = (entry.source, entry.local);
        facts.answer_by = entry.answer_by;
        facts.protocol = entry.entered.protocol();
        let typed = match entry.entered {
            Entered::Password(typed) => typed,
            Entered::Undecodable => return refuse(&facts, Reason::PasswordUndecodable, env),
            Entered::Unsupported(_) => return refuse(&facts, Reason::CredentialNotSupported, env),
        };
        match stage {
            Stage::AskedCode(round) => {
                let query = UserQuery { user: user.clone(), seeds: true, look_alikes: false };
                Step::FindUser(
                    query,
                    AwaitUser { facts, user, looking: Looking::AtCode { code: typed, round } },
                )
            }
            // The requests of such a login are held, and it takes no other: `resume` has seen to that.
            Stage::Sending(_) => refuse(&facts, Reason::InternalError, env),
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
