//! Failures counted against a user: when a code is looked at, and when it is not.

use std::time::Duration;

use super::policy::Lockout;
use crate::base::time::UnixTime;

/// Whether a user's next code is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Free,
    /// Not before this moment.
    Waits(UnixTime),
    /// Not before an admin unlocks the user.
    Locked,
}

/// The standing of a user with `failures` in a row, the last at `last`, at `now`.
///
/// The wait after the n-th failure is `wait · 2^(n − free)`, at most `wait_max`. A clock stepped back before `last`
/// does not shorten it.
#[must_use]
pub fn standing(lockout: &Lockout, failures: u32, last: UnixTime, now: UnixTime) -> Standing {
    if failures >= lockout.limit {
        return Standing::Locked;
    }
    let Some(beyond) = failures.checked_sub(lockout.free) else {
        return Standing::Free;
    };
    let wait = 2_u32
        .checked_pow(beyond)
        .and_then(|factor| lockout.wait.checked_mul(factor))
        .unwrap_or(Duration::MAX)
        .min(lockout.wait_max);
    let until = last + wait;
    if now >= until { Standing::Free } else { Standing::Waits(until) }
}

/// The count of failures at which a code that was looked at with `failures` on the books must not be accepted any
/// more: guesses made side by side cannot outrun the count.
#[must_use]
pub fn guard_limit(lockout: &Lockout, failures: u32) -> u32 {
    lockout.free.max(failures.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixTime = UnixTime::from_secs(1_000_000);

    fn wait_after(failures: u32) -> Option<u64> {
        match standing(&Lockout::default(), failures, START, START) {
            Standing::Waits(until) => Some(until.since(START).as_secs()),
            Standing::Free => Some(0),
            Standing::Locked => None,
        }
    }

    #[test]
    fn the_wait_doubles_from_a_minute_to_an_hour_and_ends_in_a_lock() {
        assert_eq!(wait_after(4), Some(0));
        assert_eq!(wait_after(5), Some(60));
        assert_eq!(wait_after(6), Some(120));
        assert_eq!(wait_after(10), Some(1920));
        assert_eq!(wait_after(11), Some(3600));
        assert_eq!(wait_after(49), Some(3600));
        assert_eq!(wait_after(50), None);
    }

    #[test]
    fn a_wait_ends_when_its_time_is_over() {
        let lockout = Lockout::default();
        assert_eq!(standing(&lockout, 5, START, START + Duration::from_mins(1)), Standing::Free);
        assert_eq!(
            standing(&lockout, 5, START, START - Duration::from_mins(15)),
            Standing::Waits(START + Duration::from_mins(1))
        );
    }
}
