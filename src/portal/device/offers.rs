//! Who may make a browser a device: a secret each, which works once and not for long. The page that enrols hands it out.
//!
//! Invariant: a user has one offer at most, the newest, so nobody pushes out anybody else's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::base::name::UserName;
use crate::base::text::hex;
use crate::base::time::Tick;
use crate::portal::people::Right;
use crate::portal::sight::Sight;

/// How long a secret is good for.
const LIFETIME: Duration = Duration::from_mins(10);
/// How many are remembered; the oldest go first.
const OFFERS_MAX: usize = 10_000;

/// Who may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::portal) struct Offer {
    /// Whose device it becomes.
    pub(in crate::portal) user: UserName,
    /// Why: an invitation is used up with it.
    pub(in crate::portal) right: Right,
    /// What has to be there still; `None` for an invitation, which is looked at itself.
    pub(in crate::portal) sight: Option<Arc<Sight>>,
    /// What came of it: the seat that the offer was made for looks here.
    pub(in crate::portal) made: Made,
}

/// The store's number of the device that came of an offer, once there is one.
pub(in crate::portal) type Made = Arc<OnceLock<i64>>;

/// The secrets that are out.
#[derive(Clone, Debug, Default)]
pub(in crate::portal) struct Offers {
    inner: Arc<Mutex<Known>>,
}

/// By the secret's hash: who, and since when.
type Known = HashMap<[u8; 32], (Offer, Tick)>;

impl Offers {
    /// A secret for `offer`, of `random` octets: to be put into the page, and into nothing else.
    #[must_use]
    pub(in crate::portal) fn make(&self, offer: Offer, random: [u8; 16], now: Tick) -> String {
        let secret = hex(&random);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.retain(|_, (other, since)| now.since(*since) < LIFETIME && other.user != offer.user);
        if inner.len() >= OFFERS_MAX {
            let oldest = inner.iter().min_by_key(|(_, (_, since))| *since).map(|(hash, _)| *hash);
            oldest.map(|hash| inner.remove(&hash));
        }
        inner.insert(hash(&secret), (offer, now));
        secret
    }

    /// What was offered to `user` is so no more.
    pub(in crate::portal) fn forget(&self, user: &UserName) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.retain(|_, (offer, _)| offer.user != *user);
    }

    /// Uses a secret up; `None` where it was used, is too old, or never was one.
    pub(super) fn take(&self, secret: &str, now: Tick) -> Option<Offer> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (offer, since) = inner.remove(&hash(secret))?;
        (now.since(since) < LIFETIME).then_some(offer)
    }
}

/// What is kept of a secret: looking for it takes no time that tells anything of those that are there.
fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(name: &str) -> Offer {
        Offer {
            user: UserName::canonical(name.as_bytes()).unwrap(),
            right: Right::LoggedIn,
            sight: None,
            made: Made::default(),
        }
    }

    #[test]
    fn a_secret_works_once_and_not_for_long() {
        let (offers, start) = (Offers::default(), Tick(1 << 40));
        let secret = offers.make(offer("u1"), [1; 16], start);
        assert_eq!(offers.take("", start), None);
        assert_eq!(offers.take(&secret.to_uppercase().replace('0', "O"), start), None);
        assert_eq!(offers.take(&secret, start), Some(offer("u1")));
        assert_eq!(offers.take(&secret, start), None);
        let secret = offers.make(offer("u1"), [2; 16], start);
        assert_eq!(offers.take(&secret, start + LIFETIME), None);
    }

    #[test]
    fn the_oldest_go_first_when_there_are_too_many() {
        let offers = Offers::default();
        let at = |number: u64| Tick((1 << 40) + number);
        let secrets: Vec<String> = (0..=u64::try_from(OFFERS_MAX).unwrap())
            .map(|number| {
                offers.make(offer(&format!("u{number}")), u128::from(number).to_be_bytes(), at(number))
            })
            .collect();
        assert_eq!(offers.take(&secrets[0], at(20_000)), None);
        assert_eq!(offers.take(&secrets[1], at(20_000)), Some(offer("u1")));
    }

    #[test]
    fn a_user_has_the_newest_offer_alone_and_none_after_leaving() {
        let (offers, start) = (Offers::default(), Tick(1 << 40));
        let other = offers.make(offer("u2"), [1; 16], start);
        let [first, second, third] = [2, 3, 4].map(|random| offers.make(offer("u1"), [random; 16], start));
        assert_eq!(offers.take(&first, start), None);
        assert_eq!(offers.take(&second, start), None);
        offers.forget(&offer("u1").user);
        assert_eq!(offers.take(&third, start), None);
        assert_eq!(offers.take(&other, start), Some(offer("u2")));
    }
}
