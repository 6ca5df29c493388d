//! Failures counted against a user: when a code is looked at, and when it is not.
//!
//! Somebody who knows the password of a user with several tokens hits one of them with each guess, so such a guess
//! is several: `guesses` ([`Account::guesses`]) of them at once. Whatever the number of
//! tokens, at no moment have more guesses been looked at than a user with one token would have been allowed by then; but
//! one code is always looked at.

use std::time::Duration;

use super::account::Account;
use super::policy::Lockout;
use super::record::Guard;
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

/// The standing of a user with `failures` in a row, each of so many `guesses`, the last at `last`, at `now`.
///
/// The wait after the n-th guess is `wait · 2^(n − free)`, at most `wait_max`; before another code is looked at, the
/// waits that lie before each of its guesses are over, one after the other. A clock stepped back before `last` does not
/// shorten it.
#[must_use]
pub fn standing(lockout: &Lockout, guesses: u32, failures: u32, last: UnixTime, now: UnixTime) -> Standing {
    if failures == 0 {
        return Standing::Free;
    }
    let made = failures.saturating_mul(guesses);
    if made.saturating_add(guesses) > lockout.limit {
        return Standing::Locked;
    }
    let waits = (made..made.saturating_add(guesses)).map(|guess| wait_after(lockout, guess));
    let until = last + waits.fold(Duration::ZERO, Duration::saturating_add);
    if now >= until { Standing::Free } else { Standing::Waits(until) }
}

fn wait_after(lockout: &Lockout, guess: u32) -> Duration {
    let Some(beyond) = guess.checked_sub(lockout.free) else { return Duration::ZERO };
    2_u32
        .checked_pow(beyond)
        .and_then(|factor| lockout.wait.checked_mul(factor))
        .unwrap_or(Duration::MAX)
        .min(lockout.wait_max)
}

/// The count of failures at which a code of so many `guesses` that was looked at with `failures` on the books must not
/// be accepted any more: guesses made side by side cannot outrun the count.
#[must_use]
pub fn guard_limit(lockout: &Lockout, guesses: u32, failures: u32) -> u32 {
    (lockout.free / guesses.max(1)).max(failures.saturating_add(1))
}

/// What has to hold at the append of whoever is let in on the password alone: active, and not locked. A wait does not keep them
/// out.
pub(super) fn guards(lockout: &Lockout, account: &Account, now: UnixTime) -> [Guard; 2] {
    let limit = (lockout.limit / account.guesses(now)).max(1);
    [Guard::UserActive { user: account.id }, Guard::FailuresBelow { user: account.id, limit }]
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixTime = UnixTime::from_secs(1_000_000);

    fn wait_after(failures: u32) -> Option<u64> {
        waits(1, failures)
    }

    fn waits(guesses: u32, failures: u32) -> Option<u64> {
        match standing(&Lockout::default(), guesses, failures, START, START) {
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

    /// How many guesses somebody who never pauses has made after so many seconds.
    fn guesses_made(guesses: u32, seconds: u64) -> u32 {
        let (mut failures, mut clock) = (0, 0);
        while let Some(wait) = waits(guesses, failures) {
            clock += wait;
            if clock > seconds {
                break;
            }
            failures += 1;
        }
        failures * guesses
    }

    #[test]
    fn several_tokens_give_no_more_guesses_than_one_at_any_time() {
        for seconds in (0..200_000).step_by(30) {
            let one = guesses_made(1, seconds);
            for guesses in 2..=5 {
                let several = guesses_made(guesses, seconds);
                assert!(several <= one, "{several} with {guesses} tokens, {one} with one, after {seconds} s");
            }
        }
        assert_eq!([1, 2, 3].map(|guesses| guesses_made(guesses, u64::MAX / 2)), [50, 50, 48]);
        assert_eq!(waits(10, 0), Some(0), "one code is always looked at");
        assert_eq!((waits(2, 1), waits(2, 2)), (Some(0), Some(60)));
    }

    #[test]
    fn codes_looked_at_side_by_side_do_not_outrun_the_count() {
        let limits =
            |guesses: u32| [0, 1, 4, 7].map(|failures| guard_limit(&Lockout::default(), guesses, failures));
        assert_eq!(limits(1), [5, 5, 5, 8]);
        assert_eq!(limits(2), [2, 2, 5, 8]);
        assert_eq!(limits(9), [1, 2, 5, 8]);
    }

    #[test]
    fn a_wait_ends_when_its_time_is_over() {
        let lockout = Lockout::default();
        assert_eq!(standing(&lockout, 1, 5, START, START + Duration::from_mins(1)), Standing::Free);
        assert_eq!(
            standing(&lockout, 1, 5, START, START - Duration::from_mins(15)),
            Standing::Waits(START + Duration::from_mins(1))
        );
    }
}
