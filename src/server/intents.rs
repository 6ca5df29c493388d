//! The second layer of duplicate detection: the same login again, in another packet.
//!
//! Some gateways try again from a new port with a new identifier and authenticator, some proxies likewise. What they mean
//! is one login, and it must not bring the user two messages. So a login that is about to send something claims its intent:
//! client, canonical user, Calling-Station-Id, Acct-Session-Id where there is one, and the password, all under a MAC. A login
//! that finds its intent claimed joins the one that has it. A first request that brings its code claims it at once, so that
//! a second try of the same request gets the verdict of the first instead of finding the code used. Invariant: at most one
//! live login sends for one intent.

use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::affinity::RoundId;
use crate::base::time::Tick;

/// An intent, as a MAC that tells nobody what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Intent(pub(super) [u8; 16]);

/// For so long after its first request a login is joined, if its gateway is not patient for longer: whoever comes later
/// means another login.
pub(super) const JOINED: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Intents {
    live: DashMap<Intent, Claim>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    round: RoundId,
    until: Tick,
}

impl Intents {
    /// Claims `intent` for the login of `round` until `until`; or answers which login has it.
    pub(super) fn claim(&self, intent: Intent, round: RoundId, now: Tick, until: Tick) -> Option<RoundId> {
        match self.live.entry(intent) {
            Entry::Occupied(place) if now < place.get().until && place.get().round != round => {
                Some(place.get().round)
            }
            Entry::Occupied(mut place) => {
                place.insert(Claim { round, until });
                None
            }
            Entry::Vacant(place) => {
                place.insert(Claim { round, until });
                None
            }
        }
    }

    /// Which login has `intent`.
    pub(super) fn holder(&self, intent: Intent, now: Tick) -> Option<RoundId> {
        self.live.get(&intent).filter(|claim| now < claim.until).map(|claim| claim.round)
    }

    /// The login that had `before` goes on under `after`.
    pub(super) fn moved(&self, intent: Intent, before: RoundId, after: RoundId) {
        if let Some(mut claim) = self.live.get_mut(&intent)
            && claim.round == before
        {
            claim.round = after;
        }
    }

    /// The login of `round` has ended.
    pub(super) fn release(&self, intent: Intent, round: RoundId) {
        self.live.remove_if(&intent, |_, claim| claim.round == round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_one_login_s_until_it_ends_or_its_time_is_over() {
        let intents = Intents::default();
        let (intent, later) = (Intent([1; 16]), Tick(0) + Duration::from_secs(10));
        let rounds = [1, 2, 3].map(|octet| RoundId([octet; 16]));
        assert_eq!(intents.claim(intent, rounds[0], Tick(0), later), None);
        assert_eq!(intents.claim(intent, rounds[0], Tick(0), later), None);
        assert_eq!(intents.claim(intent, rounds[1], Tick(0), later), Some(rounds[0]));
        intents.moved(intent, rounds[0], rounds[2]);
        assert_eq!(intents.claim(intent, rounds[1], Tick(0), later), Some(rounds[2]));
        assert_eq!((intents.holder(intent, Tick(0)), intents.holder(intent, later)), (Some(rounds[2]), None));
        intents.release(intent, rounds[0]);
        assert_eq!(intents.claim(intent, rounds[1], later, later + Duration::from_secs(1)), None);
        intents.release(intent, rounds[1]);
        assert_eq!(intents.claim(intent, rounds[0], later, later), None);
    }
}
