//! The alarm about the day's messages: most of the texts and calls that may be sent to all users have been sent.
//!
//! The store counts, and marks each row that sends one of the last; one row in the trail and one line in the log say so, then
//! this server is quiet for a day. Where servers share a store each says it for itself.

use std::time::Duration;

use super::{Quiet, alarm};
use crate::base::time::Tick;
use crate::engine::reason::Reason;
use crate::engine::record::{Record, Recorded, Row};

/// For so long after an alarm there is no other: the time that the budget is for.
const QUIET_FOR: Duration = Duration::from_hours(24);

/// When the alarm may be raised again.
#[derive(Debug, Default)]
pub(in crate::server) struct Budget {
    quiet: Quiet,
}

impl Budget {
    /// Looks at a row that was `recorded`; answers the alarm's record where it is due.
    pub(in crate::server) fn look(&self, row: &Row, recorded: &Recorded, now: Tick) -> Option<Record> {
        (recorded.is_budget_low() && self.quiet.begin(now, QUIET_FOR)).then(|| alarm(row, Reason::BudgetLow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::Label;
    use crate::base::time::UnixTime;
    use crate::engine::record::{LoginId, Verdict};
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
