//! How many messages may be sent: the one arithmetic that every store judges by.

use std::time::Duration;

use crate::base::time::UnixTime;
use crate::engine::delivery::Kind;
use crate::engine::policy::SendLimits;

/// The longest time that any limit looks back.
pub(super) const DAY: Duration = Duration::from_hours(24);

/// Texts and calls count together, mails apart.
pub(super) fn class(kind: Kind) -> i64 {
    match kind {
        Kind::Sms | Kind::Voice => 0,
        Kind::Email => 1,
        Kind::Push => 2,
    }
}

/// Messages of one class sent of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sends {
    /// To the user, within [`SendLimits::within`].
    pub(super) lately: u32,
    /// To the user, within a day.
    pub(super) today: u32,
    /// When the newest of those was.
    pub(super) newest: Option<UnixTime>,
    /// To everybody, within a day.
    pub(super) all: u32,
}

impl Sends {
    /// What may become of one more at `now`.
    pub(super) fn leave_one(&self, kind: Kind, limits: &SendLimits, now: UnixTime) -> Leave {
        let too_soon = self.newest.is_some_and(|newest| now.since(newest) < limits.gap);
        if too_soon || self.lately >= limits.count || self.today >= limits.per_day {
            return Leave::Nothing;
        }
        match limits.budget.filter(|_| class(kind) == 0) {
            Some(budget) if self.all >= budget && self.today > 0 => Leave::Nothing,
            Some(budget) if self.all.saturating_add(1) >= alarm(budget) => Leave::OneOfTheLast,
            Some(_) | None => Leave::One,
        }
    }
}

/// Whether one more message may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It may not.
    Nothing,
    /// It may.
    One,
    /// It may, and with it four fifths of the budget of all are spent, or more.
    OneOfTheLast,
}

/// The count at which an admin should hear of it: four fifths of the budget.
fn alarm(budget: u32) -> u32 {
    (u64::from(budget) * 4).div_ceil(5).try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_000_000);

    fn sends(lately: u32, today: u32, seconds: u64, all: u32) -> Sends {
        Sends { lately, today, newest: (today > 0).then(|| NOW - Duration::from_secs(seconds)), all }
    }

    #[test]
    fn five_in_five_minutes_twenty_a_day_and_thirty_seconds_apart() {
        let limits = SendLimits::default();
        let may = |sends: Sends| sends.leave_one(Kind::Sms, &limits, NOW) == Leave::One;
        assert!(may(sends(0, 0, 0, 0)) && may(sends(4, 19, 30, 0)));
        assert!(!may(sends(5, 5, 60, 0)));
        assert!(!may(sends(0, 20, 3600, 0)));
        assert!(!may(sends(1, 1, 29, 0)));
    }

    #[test]
    fn a_spent_budget_leaves_one_to_who_had_none_and_says_nothing_of_mails() {
        let limits = SendLimits { budget: Some(10), ..SendLimits::default() };
        let left = |sends: Sends, kind| sends.leave_one(kind, &limits, NOW);
        assert_eq!(left(sends(0, 1, 60, 6), Kind::Voice), Leave::One);
        assert_eq!(left(sends(0, 1, 60, 7), Kind::Voice), Leave::OneOfTheLast);
        assert_eq!(left(sends(0, 1, 60, 9), Kind::Voice), Leave::OneOfTheLast);
        assert_eq!(left(sends(0, 1, 60, 10), Kind::Voice), Leave::Nothing);
        assert_eq!(left(sends(0, 0, 0, 10), Kind::Sms), Leave::OneOfTheLast);
        assert_eq!(left(sends(0, 1, 60, 10), Kind::Email), Leave::One);
        assert_eq!([alarm(10), alarm(1), alarm(0), alarm(u32::MAX)], [8, 1, 0, 3_435_973_836]);
    }
}
