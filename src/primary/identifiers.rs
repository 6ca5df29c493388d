//! The 256 identifiers of one source port (RFC 2865 §3).
//!
//! Invariant: an identifier is with one request at a time, and those come back round robin. One whose request was
//! answered at once is free at once; where an answer may still be under way it rests for [`REST`] first. (Were such
//! an answer to come later still, it would not authenticate: each request has a random authenticator of its own.)

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::time::Tick;

/// How long an identifier rests after a request that had no answer, or perhaps two.
pub(super) const REST: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Identifiers {
    /// Free ones, the one that was used longest ago in front.
    free: VecDeque<u8>,
    /// Resting ones, and until when; in the order in which they came.
    resting: VecDeque<(Tick, u8)>,
}

impl Identifiers {
    pub(super) fn new() -> Identifiers {
        Identifiers { free: (0..=255).collect(), resting: VecDeque::new() }
    }

    /// The one that was used longest ago; `None` when all are in use or rest.
    pub(super) fn take(&mut self, now: Tick) -> Option<u8> {
        while let Some((_, identifier)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            self.free.push_back(identifier);
        }
        self.free.pop_front()
    }

    /// Takes it back after the one answer to it.
    pub(super) fn free(&mut self, identifier: u8) {
        self.free.push_back(identifier);
    }

    /// Takes it back although an answer may still come.
    pub(super) fn rest(&mut self, identifier: u8, now: Tick) {
        self.resting.push_back((now + REST, identifier));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_256_is_given_out_once_and_then_the_oldest_again() {
        let mut identifiers = Identifiers::new();
        let first: Vec<u8> = std::iter::from_fn(|| identifiers.take(Tick(0))).collect();
        assert_eq!(first.len(), 256);
        identifiers.free(9);
        identifiers.free(3);
        assert_eq!(identifiers.take(Tick(0)), Some(9));
        assert_eq!(identifiers.take(Tick(0)), Some(3));
        assert_eq!(identifiers.take(Tick(0)), None);
    }

    #[test]
    fn one_without_an_answer_is_not_reused_while_that_could_come() {
        let mut identifiers = Identifiers::new();
        while identifiers.take(Tick(0)).is_some() {}
        identifiers.rest(7, Tick(0));
        assert_eq!(identifiers.take(Tick(0) + REST * 9 / 10), None);
        assert_eq!(identifiers.take(Tick(0) + REST), Some(7));
    }
}
