//! The sealing of what servers say to each other.
//!
//! ChaCha20-Poly1305 (RFC 8439). From the peers' shared secret comes a key for each purpose and direction, bound to both
//! servers' names: HMAC-SHA-256. Under it each message has a key of its own, made from 128 fresh random bits that go
//! before it, so that the cipher's nonce is always zero and no number of messages wears a key out. What is sealed for one
//! purpose, direction or pair of names opens for no other.

use chacha20poly1305::aead::{Aead, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key as CipherKey, Nonce as CipherNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::system::{Entropy, random};

/// 128 random bits that name a message once and for all.
pub(super) type Nonce = [u8; NONCE];

const NONCE: usize = 16;
/// How many octets sealing adds.
pub(super) const OVERHEAD: usize = NONCE + 16;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A request that is passed on to the server that has its login.
    Ask,
    /// That server's answer.
    Answer,
    /// Who are you?
    Hello,
    /// The answer to that.
    Greeting,
    /// A checkpoint of the audit trail, or the question for those that were told.
    Witness,
    /// The answer to that.
    Witnessed,
}

/// A key for one purpose and direction.
#[derive(Clone)]
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    /// For what `from` says to `to`.
    pub(super) fn between(secret: &Secret, purpose: Purpose, from: &Label, to: &Label) -> Key {
        Key::derive(secret, purpose, from.as_str(), to.as_str())
    }

    /// For what servers say before they know each other's names.
    pub(super) fn of_strangers(secret: &Secret, purpose: Purpose) -> Key {
        Key::derive(secret, purpose, "", "")
    }

    fn derive(secret: &Secret, purpose: Purpose, from: &str, to: &str) -> Key {
        let purpose: &[u8] = match purpose {
            Purpose::Ask => b"radmfa/1/peer/ask\0",
            Purpose::Answer => b"radmfa/1/peer/answer\0",
            Purpose::Hello => b"radmfa/1/peer/hello\0",
            Purpose::Greeting => b"radmfa/1/peer/greeting\0",
            Purpose::Witness => b"radmfa/1/peer/witness\0",
            Purpose::Witnessed => b"radmfa/1/peer/witnessed\0",
        };
        // A label holds no NUL, so the two cannot be shifted into each other.
        let derived = keyed(secret.expose())
            .chain_update(purpose)
            .chain_update(from)
            .chain_update([0])
            .chain_update(to)
            .finalize()
            .into_bytes();
        Key(keyed(&derived))
    }

    /// Seals `plain`, bound to `context`; the nonce that it went under comes first in it.
    pub(super) fn seal(
        &self,
        context: &[u8],
        plain: &[u8],
        entropy: &mut (impl Entropy + ?Sized),
    ) -> (Nonce, Vec<u8>) {
        let nonce: Nonce = random(entropy);
        #[expect(clippy::expect_used, reason = "fails beyond 256 GiB only (RFC 8439 §2.8)")]
        let sealed = self
            .cipher(&nonce)
            .encrypt(&CipherNonce::default(), Payload { msg: plain, aad: context })
            .expect("a packet can be sealed");
        (nonce, [&nonce[..], &sealed].concat())
    }

    /// Opens what [`Key::seal`] made in the same `context`, and says under which nonce.
    pub(super) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<(Nonce, Zeroizing<Vec<u8>>)> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: context };
        let plain = self.cipher(nonce).decrypt(&CipherNonce::default(), payload).ok()?;
        Some((*nonce, Zeroizing::new(plain)))
    }

    fn cipher(&self, nonce: &Nonce) -> ChaCha20Poly1305 {
        let mut key: CipherKey = CipherKey::default();
        let derived = self.0.clone().chain_update(nonce).finalize().into_bytes();
        key.iter_mut().zip(derived).for_each(|(target, octet)| *target = octet);
        ChaCha20Poly1305::new(&key)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    Hmac::new_from_slice(key).expect("HMAC takes any key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::{Tick, UnixTime};

    fn entropy() -> Fixed {
        Fixed { mono: Tick(0), unix: UnixTime(0), seed: 7 }
    }

    fn key(secret: &str, purpose: Purpose, from: &str, to: &str) -> Key {
        let name = |text| Label::new(text).unwrap();
        Key::between(&Secret::from(secret), purpose, &name(from), &name(to))
    }

    #[test]
    fn a_message_opens_for_its_own_secret_purpose_direction_and_context_alone() {
        let (nonce, sealed) = key("s", Purpose::Ask, "a", "b").seal(b"context", b"plain", &mut entropy());
        assert_eq!(sealed.len(), 5 + OVERHEAD);
        let opens = |key: &Key, context: &[u8]| key.open(context, &sealed);
        let (opened, plain) = opens(&key("s", Purpose::Ask, "a", "b"), b"context").unwrap();
        assert_eq!((opened, plain.as_slice()), (nonce, &b"plain"[..]));
        for wrong in &[
            key("t", Purpose::Ask, "a", "b"),
            key("s", Purpose::Answer, "a", "b"),
            key("s", Purpose::Ask, "b", "a"),
            key("s", Purpose::Ask, "a", "c"),
            key("s", Purpose::Ask, "aa", "b"),
        ] {
            assert!(opens(wrong, b"context").is_none());
        }
        assert!(opens(&key("s", Purpose::Ask, "a", "b"), b"other").is_none());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let key = key("s", Purpose::Ask, "a", "b");
        let (_, sealed) = key.seal(b"", b"plain", &mut entropy());
        for place in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[place] ^= 1 << bit;
                assert!(key.open(b"", &changed).is_none(), "octet {place}");
            }
            assert!(key.open(b"", &sealed[..place]).is_none(), "{place} octets");
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_the_same_way_twice() {
        let key = key("s", Purpose::Ask, "a", "b");
        let mut entropy = entropy();
        let (one, other) = (key.seal(b"", b"plain", &mut entropy), key.seal(b"", b"plain", &mut entropy));
        assert_ne!(one.0, other.0);
        assert_ne!(one.1[NONCE..], other.1[NONCE..]);
    }
}
