//! The alarm about somebody who guesses patiently: failures over thirty days, which no success ends.
//!
//! The store counts them with the rows that count; this asks for one more row when the figure is reached, and the login
//! goes on as if nothing had happened, whatever becomes of that row.

use std::sync::Arc;

use super::await_commit::{AwaitCommit, Then};
use super::reason::Reason;
use super::record::{Record, Recorded, Row, Tally, Verdict};
use super::step::Step;

/// What waits for the alarm's row: the row before it, which stands, and what follows that.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) row: Arc<Row>,
    pub(super) then: Then,
    pub(super) recorded: Recorded,
}

/// Whether the row just recorded is the failure that reaches the figure.
pub(super) fn is_due(row: &Row, then: &Then, recorded: &Recorded) -> bool {
    let figure = match then {
        Then::AskAgain { facts, .. } => facts.policy.lockout.alarm,
        Then::Reject { alarm, .. } => *alarm,
        _ => 0,
    };
    row.tally == Tally::Count && figure > 0 && recorded.failures() == figure
}

/// Commits the alarm's row.
pub(super) fn raise(behind: Behind) -> Step {
    let row = Arc::new(Row {
        verdict: Verdict::Noted,
        reason: Reason::GuessingSuspected,
        device: None,
        spent: None,
        drift: None,
        sends: None,
        consumed: None,
        tally: Tally::Keep,
        ..Row::clone(&behind.row)
    });
    let then = Then::Alarmed(Box::new(behind));
    Step::Commit(Record { guards: Vec::new(), row: Arc::clone(&row) }, AwaitCommit { row, then })
}
