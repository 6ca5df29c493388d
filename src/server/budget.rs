//! The alarm about the day's messages: most of the texts and calls that may be sent to all users have been sent.
//!
//! The store counts, and marks each row that sends one of the last; one row in the trail and one line in the log say so, then
//! this server is quiet for a day. Where servers share a store each says it for itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::time::Tick;
use crate::engine::reason::Reason;
use crate::engine::record::{Method, Record, Recorded, Row, Tally, Verdict};

/// For so long after an alarm there is no other: the time that the budget is for.
const QUIET: Duration = Duration::from_hours(24);

/// When the alarm may be raised again.
#[derive(Debug, Default)]
pub struct Budget {
    quiet_until: AtomicU64,
}

impl Budget {
    /// Looks at a row that was `recorded`; answers the alarm's record where it is due.
    pub fn look(&self, row: &Row, recorded: &Recorded, now: Tick) -> Option<Record> {
        let quiet_until = self.quiet_until.load(Ordering::Relaxed);
        if !recorded.is_budget_low() || now.0 < quiet_until {
            return None;
        }
        let next = (now + QUIET).0;
        // Of several workers one says it.
        let first =
            self.quiet_until.compare_exchange(quiet_until, next, Ordering::Relaxed, Ordering::Relaxed);
        first.ok().map(|_| alarm(row))
    }
}

/// Of the login that brought it about, and of no user.
fn alarm(row: &Row) -> Record {
    let row = Row {
        user: None,
        user_id: None,
        contact: None,
        station: None,
        verdict: Verdict::Noted,
        reason: Reason::BudgetLow,
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
    Record { guards: Vec::new(), row: std::sync::Arc::new(row) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::Label;
    use crate::base::time::UnixTime;
    use crate::engine::record::LoginId;
    use crate::store::memory::certified;

    #[test]
    fn the_alarm_is_raised_once_a_day_and_is_of_no_user() {
        let [here, nas] = ["here", "nas"].map(|name| Label::new(name).unwrap());
        let row = Row::bare(UnixTime(0), LoginId::from_number(1), here, nas, Reason::CodeSent);
        let budget = Budget::default();
        let at = |hours| Tick(1 << 40) + Duration::from_hours(hours);
        let (usual, low) = (certified(false), certified(true));
        assert!(budget.look(&row, &usual, at(0)).is_none());
        let record = budget.look(&row, &low, at(1)).unwrap();
        assert_eq!((record.row.reason, record.row.verdict), (Reason::BudgetLow, Verdict::Noted));
        assert_eq!((&record.row.user, record.row.sends), (&None, None));
        assert!(budget.look(&row, &low, at(1)).is_none() && budget.look(&row, &low, at(24)).is_none());
        assert!(budget.look(&row, &low, at(25)).is_some());
    }
}
