//! A login whose record is being made durable.

use std::sync::Arc;

use super::alarm::{self, Behind};
use super::asking::Reference;
use super::await_user::{ask_again, fail};
use super::delivery::Kind;
use super::enrol::{self, Lead};
use super::login::{Facts, refuse};
use super::parked::CodeRound;
use super::proof::{FactorPassed, Outcome, PrimaryPassed, Reject, SecondFactor};
use super::reason::Reason;
use super::record::{CommitAnswer, Conflict, Consumed, Record, Recorded, Row, Tally, Verdict};
use super::sending::Dispatch;
use super::step::{Env, Step};
use super::{phone, prompt};
use crate::base::name::UserName;
use crate::base::time::{Tick, UnixTime};
use crate::wire::AttributeList;

/// Takes the store's answer to a commit.
#[derive(Debug)]
pub struct AwaitCommit {
    pub(super) row: Arc<Row>,
    pub(super) then: Then,
}

/// What follows once the record stands.
#[derive(Debug)]
pub(super) enum Then {
    /// Accept: no code was asked for.
    Accept { facts: Box<Facts>, password: PrimaryPassed, factor: SecondFactor, held: AttributeList },
    /// Accept: the code was right.
    AcceptCode { facts: Box<Facts>, user: UserName, round: CodeRound, factor: FactorPassed },
    /// Ask for another code.
    AskAgain { facts: Box<Facts>, user: UserName, round: CodeRound },
    /// Send something.
    Send { facts: Box<Facts>, dispatch: Box<Dispatch> },
    /// Nobody would send it: ask for something else.
    SendNext { facts: Box<Facts>, dispatch: Box<Dispatch> },
    /// Show how a first factor is set up.
    Lead { facts: Box<Facts>, user: UserName, lead: Box<Lead>, text: String },
    /// Reject.
    Reject {
        message: String,
        attributes: AttributeList,
        /// How many failures of late raise the alarm; 0 where this is none.
        alarm: u32,
    },
    /// The alarm was raised; go on.
    Alarmed(Box<Behind>),
}

impl AwaitCommit {
    /// The question on the phone that is recorded before it leaves, by which way, and whose user is asked.
    pub fn asks(&self) -> Option<(Reference, Kind)> {
        match &self.then {
            Then::Send { dispatch, .. } => dispatch.asks(),
            _ => None,
        }
    }

    /// When an admin last unlocked whom it asks: what the user ignored or denied before that does not count.
    pub fn forgiven(&self) -> Option<UnixTime> {
        let Then::Send { dispatch, .. } = &self.then else { return None };
        dispatch.forgiven()
    }

    /// What an Accept will carry, where the record is for one. A driver that cannot send it says so before it commits:
    /// [`AwaitCommit::too_large`].
    pub fn to_send(&self) -> Option<&AttributeList> {
        match &self.then {
            Then::Accept { held, .. } => Some(held),
            Then::AcceptCode { round, .. } => Some(&round.held),
            Then::AskAgain { .. }
            | Then::Reject { .. }
            | Then::Send { .. }
            | Then::SendNext { .. }
            | Then::Lead { .. }
            | Then::Alarmed(_) => None,
        }
    }

    /// When the request has to be answered, where the record is for an Accept.
    pub fn accept_by(&self) -> Option<Tick> {
        match &self.then {
            Then::Accept { facts, .. } | Then::AcceptCode { facts, .. } => Some(facts.answer_by),
            Then::AskAgain { .. }
            | Then::Reject { .. }
            | Then::Send { .. }
            | Then::SendNext { .. }
            | Then::Lead { .. }
            | Then::Alarmed(_) => None,
        }
    }

    /// Goes on without the record: nobody waits for its Accept, so nothing is spent.
    pub fn too_late(self, env: &mut Env<'_>) -> Step {
        let AwaitCommit { row, then } = self;
        match then {
            Then::Accept { facts, .. } | Then::AcceptCode { facts, .. } => {
                refuse(&facts, Reason::RelayedTooLate, env)
            }
            then => unavailable(row, then),
        }
    }

    /// Goes on without the record: its Accept fits into no packet, so nothing is spent.
    pub fn too_large(self, env: &mut Env<'_>) -> Step {
        let AwaitCommit { row, then } = self;
        match then {
            Then::Accept { facts, .. } | Then::AcceptCode { facts, .. } => {
                refuse(&facts, Reason::ReplyTooLarge, env)
            }
            then => unavailable(row, then),
        }
    }

    /// Goes on with `answer`.
    pub fn resume(self, answer: CommitAnswer, env: &mut Env<'_>) -> Step {
        let AwaitCommit { row, then } = self;
        // Whatever became of the alarm's own row.
        if let Then::Alarmed(behind) = then {
            let Behind { row, then, recorded } = *behind;
            return stands(row, then, recorded, env);
        }
        match answer {
            CommitAnswer::Done(recorded) if alarm::is_due(&row, &then, &recorded) => {
                alarm::raise(Behind { row, then, recorded })
            }
            CommitAnswer::Done(recorded) => stands(row, then, recorded, env),
            CommitAnswer::Refused(conflict) => refused(&row, then, conflict, env),
            CommitAnswer::Counted => counted(row, then, env),
            CommitAnswer::Unavailable => unavailable(row, then),
        }
    }
}

fn stands(row: Arc<Row>, then: Then, recorded: Recorded, env: &mut Env<'_>) -> Step {
    match then {
        Then::Accept { password, factor, held, .. } => {
            Step::Decided(Outcome::accept(password, factor, recorded, row, held))
        }
        Then::AcceptCode { round: CodeRound { password, held, .. }, factor, .. } => {
            Step::Decided(Outcome::accept(password, SecondFactor::Passed(factor), recorded, row, held))
        }
        Then::AskAgain { facts, user, round }
            if round.asked.as_ref().is_some_and(|asked| asked.waits_on()) =>
        {
            phone::wait_on(facts, user, round, env)
        }
        Then::AskAgain { facts, user, round } => ask_again(facts, user, round, env),
        Then::Send { facts, dispatch } => dispatch.start(facts, env),
        Then::SendNext { facts, dispatch } => dispatch.refused(facts, Reason::DeliveryFailed, env),
        Then::Lead { facts, user, lead, text } => {
            enrol::tell(facts, user, (lead, text), (row, recorded.sequence()), env)
        }
        Then::Reject { message, attributes, .. } => {
            reject(message, attributes, row, Some(recorded.sequence()))
        }
        // Taken out where the answer came in.
        Then::Alarmed(behind) => stands(behind.row, behind.then, behind.recorded, env),
    }
}

/// The world changed between the judgement and the append.
fn refused(row: &Row, then: Then, conflict: Conflict, env: &mut Env<'_>) -> Step {
    match (then, conflict) {
        (Then::AcceptCode { facts, user, round, .. }, Conflict::StepSpent | Conflict::Consumed) => {
            // The same code raced in two logins, or came a moment ago: a replay, counted as a wrong code.
            let row = Row {
                reason: Reason::CodeReused,
                spent: None,
                drift: None,
                consumed: None,
                remembers: None,
                tally: Tally::Count,
                ..row.clone()
            };
            // Whoever spent it cleared the failures.
            fail(facts, user, row, 0, round)
        }
        (Then::AcceptCode { facts, user, round, .. }, Conflict::TooManyFailures) => {
            let row = Row {
                reason: Reason::BackOff,
                device: None,
                spent: None,
                drift: None,
                consumed: None,
                remembers: None,
                tally: Tally::Keep,
                ..row.clone()
            };
            fail(facts, user, row, 0, round)
        }
        // A wrong code whose user has to wait by now: neither counted nor answered differently.
        (then @ (Then::AskAgain { .. } | Then::Reject { .. }), Conflict::TooManyFailures) => {
            uncounted(row, Reason::BackOff, then)
        }
        (Then::Send { facts, dispatch }, Conflict::SentTooOften) => {
            dispatch.refused(facts, Reason::SendLimit, env)
        }
        (Then::Send { facts, dispatch }, Conflict::LoginPending) => {
            dispatch.refused(facts, Reason::LoginPending, env)
        }
        (Then::Send { facts, dispatch }, Conflict::PushPaused) => {
            dispatch.refused(facts, Reason::PushPaused, env)
        }
        (then @ Then::Reject { .. }, Conflict::UserInactive) => uncounted(row, Reason::UserDisabled, then),
        (Then::AcceptCode { facts, .. }, Conflict::TokenGone) => refuse(&facts, Reason::TokenGone, env),
        (
            Then::AcceptCode { facts, .. }
            | Then::Accept { facts, .. }
            | Then::AskAgain { facts, .. }
            | Then::Send { facts, .. }
            | Then::SendNext { facts, .. }
            | Then::Lead { facts, .. },
            Conflict::UserInactive,
        ) => refuse(&facts, Reason::UserDisabled, env),
        (
            Then::AcceptCode { facts, .. }
            | Then::Accept { facts, .. }
            | Then::AskAgain { facts, .. }
            | Then::Send { facts, .. }
            | Then::SendNext { facts, .. }
            | Then::Lead { facts, .. },
            Conflict::UserBlocked,
        ) => refuse(&facts, Reason::UserBlocked, env),
        (Then::Accept { facts, .. }, Conflict::Consumed) => {
            let armed = matches!(row.consumed, Some(Consumed::Arming(_)));
            refuse(&facts, if armed { Reason::NotArmed } else { Reason::BypassGone }, env)
        }
        (Then::Accept { facts, .. }, Conflict::SessionEnded) => refuse(&facts, Reason::SessionGone, env),
        // Locked meanwhile: neither a bypass nor a remembered factor opens a lock.
        (Then::Accept { facts, .. } | Then::Lead { facts, .. }, Conflict::TooManyFailures) => {
            refuse(&facts, Reason::Locked, env)
        }
        // No other record carries the guard that would have failed.
        (
            Then::Accept { facts, .. }
            | Then::AskAgain { facts, .. }
            | Then::Send { facts, .. }
            | Then::SendNext { facts, .. }
            | Then::Lead { facts, .. },
            _,
        )
        | (
            Then::AcceptCode { facts, .. },
            Conflict::SentTooOften | Conflict::SessionEnded | Conflict::LoginPending | Conflict::PushPaused,
        ) => refuse(&facts, Reason::InternalError, env),
        (Then::Alarmed(behind), conflict) => refused(&behind.row, behind.then, conflict, env),
        (Then::Reject { message, attributes, .. }, _) => {
            reject(message, attributes, Arc::new(row.clone()), None)
        }
    }
}

/// Commits a failure again, without conditions: for `reason`, and counted against nobody.
fn uncounted(row: &Row, reason: Reason, then: Then) -> Step {
    let row =
        Arc::new(Row { reason, device: None, spent: None, drift: None, tally: Tally::Keep, ..row.clone() });
    Step::Commit(Record { guards: Vec::new(), row: Arc::clone(&row) }, AwaitCommit { row, then })
}

/// A refusal beyond the first of a flood: answered as they were, or the answer would tell who is made to wait.
fn counted(row: Arc<Row>, then: Then, env: &mut Env<'_>) -> Step {
    match then {
        Then::AskAgain { facts, user, round } => ask_again(facts, user, round, env),
        // Nothing is accepted, and nothing sent, without a row of its own.
        then => unavailable(row, then),
    }
}

/// Nothing is accepted on a store that cannot say, and nobody may guess on without being counted.
fn unavailable(row: Arc<Row>, then: Then) -> Step {
    match then {
        Then::Reject { message, attributes, .. } => reject(message, attributes, row, None),
        Then::Alarmed(behind) => unavailable(behind.row, behind.then),
        Then::Accept { facts, .. }
        | Then::AcceptCode { facts, .. }
        | Then::AskAgain { facts, .. }
        | Then::Send { facts, .. }
        | Then::SendNext { facts, .. }
        | Then::Lead { facts, .. } => {
            let message = prompt::refusal(&facts);
            let row = Row {
                verdict: Verdict::Rejected,
                reason: Reason::StoreUnavailable,
                spent: None,
                drift: None,
                sends: None,
                consumed: None,
                remembers: None,
                tally: Tally::Keep,
                ..Row::clone(&row)
            };
            reject(message, AttributeList::default(), Arc::new(row), None)
        }
    }
}

fn reject(message: String, attributes: AttributeList, row: Arc<Row>, sequence: Option<u64>) -> Step {
    Step::Decided(Outcome::Reject(Reject { message, attributes, row, sequence, lead: None }))
}
