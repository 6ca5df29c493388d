//! The alarms that are of no single user: what a server sees in the rows of many logins.
//!
//! One row in the trail, of the login that brought the alarm about, and one line in the log; then it is quiet for a while, whatever
//! happens. The alarm about somebody who guesses one user's codes is the engine's own (`engine/alarm.rs`).

mod budget;
pub(super) mod sprays;

pub(super) use budget::Budget;
pub(super) use sprays::Sprays;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::time::Tick;
use crate::engine::reason::Reason;
use crate::engine::record::{Method, Record, Row, Tally, Verdict};

/// The time after an alarm in which there is no other.
#[derive(Debug, Default)]
struct Quiet {
    until: AtomicU64,
}

impl Quiet {
    fn lasts(&self, now: Tick) -> bool {
        now.0 < self.until.load(Ordering::Relaxed)
    }

    /// Begins for so long; of several workers that would, one is told true, and raises the alarm.
    fn begin(&self, now: Tick, lasting: Duration) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        let next = (now + lasting).0;
        now.0 >= until
            && self.until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// The record of an alarm: of the login that brought it about, and of no user.
fn alarm(row: &Row, reason: Reason) -> Record {
    let row = Row {
        user: None,
        user_id: None,
        contact: None,
        station: None,
        verdict: Verdict::Noted,
        reason,
        method: Method::None,
        device: None,
        spent: None,
        drift: None,
        sends: None,
        consumed: None,
        remembers: None,
        tally: Tally::Keep,
        took: Duration::ZERO,
        ..row.clone()
    };
    Record { guards: Vec::new(), row: Arc::new(row) }
}
