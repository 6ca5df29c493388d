//! Which relayed requests have come before: each is taken once.
//!
//! A request is taken only within [`SKEW_MAX`] of the time that it says, so a nonce need not be remembered longer than
//! twice that. Only what authenticated under a peer's secret gets here; the memory is bounded all the same, and when it is
//! full nothing new is taken.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foldhash::quality::RandomState;

use super::sealing::Nonce;
use crate::base::time::{Tick, UnixTime};

/// How far two servers' clocks may lie apart.
pub(super) const SKEW_MAX: Duration = Duration::from_mins(2);
/// How long a nonce is remembered, at least.
const KEPT: Duration = Duration::from_mins(4);
/// Nonces in one generation, of two: 1,000 a second for four minutes.
const NONCES_MAX: usize = 240_000;

/// What is remembered.
#[derive(Default)]
pub(crate) struct Replays {
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    began: Tick,
    present: HashSet<Nonce, RandomState>,
    before: HashSet<Nonce, RandomState>,
}

/// What is known of a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing; it is remembered from now on.
    New,
    /// It came before.
    Before,
    /// There is no room to remember it.
    Full,
}

impl Replays {
    /// Looks a nonce up and remembers it.
    pub(super) fn admit(&self, nonce: Nonce, now: Tick) -> Seen {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { began, present, before } = &mut *generations;
        if now.since(*began) >= KEPT {
            // What has not come for a whole generation is too old to be taken by its time.
            let idle = now.since(*began) >= 2 * KEPT;
            *before = std::mem::take(present);
            if idle {
                before.clear();
            }
            *began = now;
        }
        if before.contains(&nonce) || present.contains(&nonce) {
            return Seen::Before;
        }
        if present.len() >= NONCES_MAX {
            return Seen::Full;
        }
        present.insert(nonce);
        Seen::New
    }
}

/// Whether a request of the time `said` is to be taken at `now`.
pub(super) fn is_in_time(said: UnixTime, now: UnixTime) -> bool {
    said.since(now).max(now.since(said)) <= SKEW_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(number: u64) -> Nonce {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        nonce
    }

    #[test]
    fn a_nonce_is_new_once_for_as_long_as_its_time_would_be_taken() {
        let start = Tick(0) + Duration::from_hours(1);
        for offset in [0, 1, 119, 200, 239] {
            let replays = Replays::default();
            replays.admit(nonce(0), start);
            let came = start + Duration::from_secs(offset);
            assert_eq!(replays.admit(nonce(1), came), Seen::New);
            for later in [0, 1, 120, 239, 240] {
                let again = came + Duration::from_secs(later);
                assert_eq!(replays.admit(nonce(1), again), Seen::Before, "{offset} s, {later} s later");
                assert_eq!(replays.admit(nonce(offset * 1000 + later + 2), again), Seen::New);
            }
        }
    }

    #[test]
    fn a_full_memory_takes_nothing_new_and_empties_with_time() {
        let replays = Replays::default();
        let start = Tick(0) + Duration::from_hours(1);
        for number in 0..NONCES_MAX as u64 {
            assert_eq!(replays.admit(nonce(number), start), Seen::New);
        }
        assert_eq!(replays.admit(nonce(u64::MAX), start), Seen::Full);
        assert_eq!(replays.admit(nonce(7), start), Seen::Before);
        let later = start + KEPT;
        assert_eq!(replays.admit(nonce(u64::MAX), later), Seen::New);
        assert_eq!(replays.admit(nonce(7), later), Seen::Before);
        assert_eq!(replays.admit(nonce(7), later + 2 * KEPT), Seen::New);
    }

    #[test]
    fn clocks_may_lie_two_minutes_apart_either_way() {
        let now = UnixTime::from_secs(1_800_000_000);
        for (seconds, taken) in [(0, true), (90, true), (120, true), (121, false), (100_000, false)] {
            assert_eq!(is_in_time(now + Duration::from_secs(seconds), now), taken);
            assert_eq!(is_in_time(now - Duration::from_secs(seconds), now), taken);
        }
    }
}
