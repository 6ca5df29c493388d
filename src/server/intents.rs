//! The second layer of duplicate detection: the same login again, in another packet.
//!
//! Some gateways try again from a new port with a new identifier and authenticator, some proxies likewise. What they mean
//! is one login, and it must not bring the user two messages. So a login that is about to send something claims its intent:
//! client, canonical user, Calling-Station-Id, Acct-Session-Id where there is one, and the password, all under a MAC. A login
//! that finds its intent claimed joins the one that has it. A first request that brings its code claims it at once, so that
//! a second try of the same request gets the verdict of the first instead of finding the code used. Invariant: at most one
//! live login sends for one intent.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::affinity::RoundId;
use crate::base::time::Tick;

/// An intent, as a MAC that tells nobody what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Intent(pub(super) [u8; 16]);

/// For so long after its first request a login is joined, if its gateway is not patient for longer: whoever comes later
/// means another login.
pub(super) const JOINED: Duration = Duration::from_secs(30);

/// What begins so soon after a login of its intent ended is a copy that crossed the answer on its way.
pub(super) const CROSSED: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub(super) struct Intents {
    live: DashMap<Intent, Claim>,
    /// Of those that ended, until when they are remembered: logins that are held for minutes are not walked over for them.
    ended: Mutex<BinaryHeap<Reverse<(Tick, Intent)>>>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    round: RoundId,
    until: Tick,
    /// When the login ended that had it.
    ended: Option<Tick>,
}

/// What a login that claims an intent finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nobody else has it.
    Free,
    /// The login of this round has it.
    Of(RoundId),
    /// A login had it that ended after this one began, or just before: this one is a copy that was slow to get here, or had
    /// left its gateway before that heard of the end.
    Over,
}

impl Intents {
    /// Claims `intent` for the login of `round`, which began at `began`, until `until`; or says who has it.
    pub(super) fn claim(&self, intent: Intent, round: RoundId, began: Tick, now: Tick, until: Tick) -> Found {
        let claim = Claim { round, until, ended: None };
        match self.live.entry(intent) {
            Entry::Occupied(mut place) => {
                let Claim { round: other, until, ended } = *place.get();
                match ended {
                    None if now < until && other != round => Found::Of(other),
                    Some(ended) if now < until && began <= ended + CROSSED => Found::Over,
                    _ => {
                        place.insert(claim);
                        Found::Free
                    }
                }
            }
            Entry::Vacant(place) => {
                place.insert(claim);
                Found::Free
            }
        }
    }

    /// Which login has `intent`.
    pub(super) fn holder(&self, intent: Intent, now: Tick) -> Option<RoundId> {
        self.live
            .get(&intent)
            .filter(|claim| claim.ended.is_none() && now < claim.until)
            .map(|claim| claim.round)
    }

    /// The login that had `before` goes on under `after`.
    pub(super) fn moved(&self, intent: Intent, before: RoundId, after: RoundId) {
        if let Some(mut claim) = self.live.get_mut(&intent)
            && claim.round == before
        {
            claim.round = after;
        }
    }

    /// The login of `round` has ended. It is remembered for those that began before.
    pub(super) fn release(&self, intent: Intent, round: RoundId, now: Tick) {
        if let Some(mut claim) = self.live.get_mut(&intent)
            && claim.round == round
        {
            claim.ended = Some(now);
            let until = claim.until;
            drop(claim);
            self.ended().push(Reverse((until, intent)));
        }
    }

    /// The login of `round` turned out to be part of another server's.
    pub(super) fn forget(&self, intent: Intent, round: RoundId) {
        self.live.remove_if(&intent, |_, claim| claim.round == round);
    }

    /// Forgets logins that ended long ago.
    pub(super) fn sweep(&self, now: Tick) {
        let mut ended = self.ended();
        while let Some(first) = ended.peek_mut().filter(|first| first.0.0 <= now) {
            let Reverse((_, intent)) = PeekMut::pop(first);
            // Another login may have it by now.
            self.live.remove_if(&intent, |_, claim| claim.ended.is_some() && now >= claim.until);
        }
    }

    fn ended(&self) -> MutexGuard<'_, BinaryHeap<Reverse<(Tick, Intent)>>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_one_login_s_until_it_ends_or_its_time_is_over() {
        let intents = Intents::default();
        let at = |seconds| Tick(1 << 40) + Duration::from_secs(seconds);
        let (intent, later) = (Intent([1; 16]), at(10));
        let rounds = [1, 2, 3].map(|octet| RoundId([octet; 16]));
        assert_eq!(intents.claim(intent, rounds[0], at(0), at(0), later), Found::Free);
        assert_eq!(intents.claim(intent, rounds[0], at(0), at(0), later), Found::Free);
        assert_eq!(intents.claim(intent, rounds[1], at(0), at(1), later), Found::Of(rounds[0]));
        intents.moved(intent, rounds[0], rounds[2]);
        assert_eq!(intents.claim(intent, rounds[1], at(0), at(1), later), Found::Of(rounds[2]));
        assert_eq!((intents.holder(intent, at(1)), intents.holder(intent, later)), (Some(rounds[2]), None));
        intents.release(intent, rounds[0], at(2));
        assert_eq!(intents.claim(intent, rounds[1], at(0), later, at(11)), Found::Free);
    }

    #[test]
    fn a_copy_that_comes_to_send_after_its_login_ended_sends_nothing_and_a_new_login_does() {
        let intents = Intents::default();
        let at = |seconds| Tick(1 << 40) + Duration::from_secs(seconds);
        let intent = Intent([1; 16]);
        let rounds = [1, 2].map(|octet| RoundId([octet; 16]));
        assert_eq!(intents.claim(intent, rounds[0], at(0), at(1), at(30)), Found::Free);
        intents.release(intent, rounds[0], at(5));
        intents.sweep(at(6));
        assert_eq!(intents.holder(intent, at(6)), None);
        assert_eq!(intents.claim(intent, rounds[1], at(2), at(7), at(32)), Found::Over);
        assert_eq!(intents.claim(intent, rounds[1], at(7), at(7), at(37)), Found::Over);
        assert_eq!(intents.claim(intent, rounds[1], at(9), at(9), at(39)), Found::Free);
        intents.release(intent, rounds[1], at(10));
        intents.sweep(at(39));
        assert!(intents.live.is_empty());
    }
}
