//! The keys of one store: the one that seals, and those that things were sealed with before, or are being sealed with
//! now, in `store rekey`.
//!
//! A store keeps each earlier key sealed under the one that followed it, and while it is being rekeyed the next one
//! sealed under the one before, so that whoever holds either has both. A running server learns the new key that way.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::seal::{Damaged, Purpose, SealKey};
use crate::base::secret::Secret;
use crate::base::system::Entropy;

/// The keys of a store. Copies share what is learnt.
#[derive(Clone, Debug)]
pub struct Keyring {
    current: SealKey,
    others: Arc<ArcSwap<Vec<SealKey>>>,
}

/// A key that a store keeps, sealed under another.
pub(crate) struct Wrapped {
    /// The printed fingerprint of the key inside.
    pub(crate) fingerprint: String,
    pub(crate) sealed: Vec<u8>,
}

impl Keyring {
    /// A ring of one.
    #[must_use]
    pub fn new(current: SealKey) -> Keyring {
        Keyring { current, others: Arc::default() }
    }

    /// The key that seals.
    #[must_use]
    pub fn current(&self) -> &SealKey {
        &self.current
    }

    /// The key with this fingerprint, where it is on the ring.
    #[must_use]
    pub fn find(&self, fingerprint: &[u8]) -> Option<SealKey> {
        let others = self.others.load();
        std::iter::once(&self.current)
            .chain(others.iter())
            .find(|key| key.fingerprint() == fingerprint)
            .cloned()
    }

    /// Seals with the current key ([`SealKey::seal`]).
    pub fn seal(
        &self,
        purpose: Purpose,
        owner: &str,
        plain: &Secret,
        entropy: &mut (impl Entropy + ?Sized),
    ) -> Box<[u8]> {
        self.current.seal(purpose, owner, plain, entropy)
    }

    /// Opens what any key of the ring has sealed ([`SealKey::open`]).
    pub fn open(&self, purpose: Purpose, owner: &str, sealed: &[u8]) -> Result<Secret, Damaged> {
        match self.current.open(purpose, owner, sealed) {
            Err(Damaged) => {
                let others = self.others.load();
                others.iter().find_map(|key| key.open(purpose, owner, sealed).ok()).ok_or(Damaged)
            }
            opened => opened,
        }
    }

    /// The current key's key for another use ([`SealKey::derive`]).
    #[must_use]
    pub fn derive(&self, use_: &str) -> Secret {
        self.current.derive(use_)
    }

    /// What [`Keyring::derive`] made or makes for `use_` under the ring's other keys: to check what was made before a
    /// rekey, or by somebody who is ahead in one.
    #[must_use]
    pub fn derive_others(&self, use_: &str) -> Vec<Secret> {
        self.others.load().iter().map(|key| key.derive(use_)).collect()
    }

    /// The fingerprint of the current key.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 16] {
        self.current.fingerprint()
    }

    /// Takes in every key that a key of the ring opens, directly or through others.
    pub(crate) fn learn(&self, wrapped: &[Wrapped]) {
        let mut known: Vec<SealKey> = self.others.load().iter().cloned().collect();
        let mut left: Vec<&Wrapped> = wrapped.iter().collect();
        loop {
            let before = known.len();
            left.retain(|wrapped| {
                let keys = std::iter::once(&self.current).chain(&known);
                let opened = keys.clone().find_map(|key| key.unwrap(wrapped));
                let Some(opened) = opened else { return true };
                if keys.map(SealKey::fingerprint).all(|known| known != opened.fingerprint()) {
                    known.push(opened);
                }
                false
            });
            if known.len() == before {
                break;
            }
        }
        self.others.store(Arc::new(known));
    }
}

impl SealKey {
    /// Seals `other` under this key, for the store to keep.
    pub(crate) fn wrap(&self, other: &SealKey, entropy: &mut (impl Entropy + ?Sized)) -> Wrapped {
        let fingerprint = print_fingerprint(&other.fingerprint());
        let plain = Secret::new(other.print().as_bytes());
        let sealed = self.seal(Purpose::SealKey, &fingerprint, &plain, entropy).into_vec();
        Wrapped { fingerprint, sealed }
    }

    fn unwrap(&self, wrapped: &Wrapped) -> Option<SealKey> {
        let opened = self.open(Purpose::SealKey, &wrapped.fingerprint, &wrapped.sealed).ok()?;
        SealKey::parse(opened.expose())
    }
}

/// A fingerprint as people compare it: 32 hexadecimal digits.
#[must_use]
pub fn print_fingerprint(fingerprint: &[u8]) -> String {
    crate::base::text::hex(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::{Tick, UnixTime};

    #[test]
    fn a_ring_opens_what_earlier_and_later_keys_sealed_and_seals_with_its_own() {
        let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 };
        let [a, b, c] = [0; 3].map(|_| SealKey::generate(&mut entropy));
        let seed = Secret::from("12345678901234567890");
        let sealed = a.seal(Purpose::TokenSeed, "T1", &seed, &mut entropy);
        let kept = [c.wrap(&b, &mut entropy), b.wrap(&a, &mut entropy)];

        let ring = Keyring::new(c.clone());
        let copy = ring.clone();
        assert_eq!(ring.open(Purpose::TokenSeed, "T1", &sealed), Err(Damaged));
        ring.learn(&kept);
        assert_eq!(copy.open(Purpose::TokenSeed, "T1", &sealed), Ok(seed.clone()), "copies learn too");
        assert_eq!(ring.open(Purpose::TokenSeed, "T2", &sealed), Err(Damaged));
        assert_eq!(ring.derive("state"), c.derive("state"));
        assert_eq!(ring.derive_others("state"), [b.derive("state"), a.derive("state")]);
        assert!(ring.find(&a.fingerprint()).is_some());
        let fresh = ring.seal(Purpose::TokenSeed, "T1", &seed, &mut entropy);
        assert_eq!(c.open(Purpose::TokenSeed, "T1", &fresh), Ok(seed.clone()));

        let stranger = Keyring::new(SealKey::generate(&mut entropy));
        stranger.learn(&kept);
        assert_eq!(stranger.open(Purpose::TokenSeed, "T1", &sealed), Err(Damaged));
        assert!(!format!("{ring:?}").contains(&*a.print()));
    }
}
