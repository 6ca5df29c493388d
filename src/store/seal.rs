//! Sealing: what must not be read from a stolen database is encrypted and bound to where it belongs.
//!
//! ChaCha20-Poly1305 (RFC 8439) under one key of the store, which lives outside the database. A sealed value is
//! nonce (12 octets, random) ‖ ciphertext ‖ tag (16). The associated data binds a value to its [`Purpose`] and to
//! the name of the thing it belongs to, so that a value moved to another row does not open. Random nonces bound
//! one key to about 2³² values (collision odds 2⁻³³); a store holds millions.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::base::secret::Secret;
use crate::base::system::{Entropy, random};

/// Octets of a sealing key.
pub const SEAL_KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// What a sealed value is; part of what it is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The seed of an OATH token, bound to the serial number.
    TokenSeed,
    /// Another sealing key, bound to its fingerprint ([`super::keyring`]).
    SealKey,
    /// A login that waits for its user, bound to its server and round ([`super::parking`]).
    ParkedLogin,
    /// The challenge of such a login, bound to its intent.
    ToldChallenge,
    /// What pushes to browsers are signed with (`server/push_key.rs`).
    PushKey,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Purpose::TokenSeed => b"radmfa/1/token-seed\0",
            Purpose::SealKey => b"radmfa/1/sealing-key\0",
            Purpose::ParkedLogin => b"radmfa/1/parked-login\0",
            Purpose::ToldChallenge => b"radmfa/1/told-challenge\0",
            Purpose::PushKey => b"radmfa/1/push-key\0",
        }
    }
}

/// A sealed value was not made with this key for this purpose and owner, or was changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value is damaged or was moved")]
pub struct Damaged;

/// The key that everything in one store is sealed with.
#[derive(Clone)]
pub struct SealKey {
    cipher: ChaCha20Poly1305,
    key: Secret,
}

impl SealKey {
    /// A key of exactly [`SEAL_KEY_LEN`] octets, or their hexadecimal digits with space around; `None` for anything
    /// else.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Option<SealKey> {
        if octets.len() == SEAL_KEY_LEN {
            return SealKey::new(Secret::new(octets));
        }
        let text = std::str::from_utf8(octets).ok()?.trim();
        SealKey::new(Secret::new(crate::base::text::unhex(text)?))
    }

    /// A new random key.
    pub fn generate(entropy: &mut (impl Entropy + ?Sized)) -> SealKey {
        let octets = zeroize::Zeroizing::new(random::<SEAL_KEY_LEN>(entropy));
        SealKey { cipher: ChaCha20Poly1305::new((&*octets).into()), key: Secret::new(*octets) }
    }

    fn new(key: Secret) -> Option<SealKey> {
        let cipher = ChaCha20Poly1305::new_from_slice(key.expose()).ok()?;
        Some(SealKey { cipher, key })
    }

    /// The key's hexadecimal digits, for the file it is kept in.
    #[must_use]
    pub fn print(&self) -> zeroize::Zeroizing<String> {
        zeroize::Zeroizing::new(crate::base::text::hex(self.key.expose()))
    }

    /// What tells this key from others and nothing more: 16 octets of a hash, kept beside the data so that a wrong key
    /// is refused as such and not mistaken for damage.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 16] {
        let digest =
            Sha256::new().chain_update(b"radmfa/1/seal-key\0").chain_update(self.key.expose()).finalize();
        let mut short = [0; 16];
        short.iter_mut().zip(digest).for_each(|(target, octet)| *target = octet);
        short
    }

    /// A key of 32 octets for another `use_`, from which neither this key nor another use's can be computed:
    /// HMAC-SHA-256 under this key.
    #[must_use]
    pub fn derive(&self, use_: &str) -> Secret {
        let derived = keyed(self.key.expose())
            .chain_update(b"radmfa/1/derive\0")
            .chain_update(use_)
            .finalize()
            .into_bytes();
        Secret::new(derived.as_slice())
    }

    /// Seals `plain`, the value of `owner`.
    ///
    /// # Panics
    /// Beyond 256 GiB of plain text, which no caller has.
    pub fn seal(
        &self,
        purpose: Purpose,
        owner: &str,
        plain: &Secret,
        entropy: &mut (impl Entropy + ?Sized),
    ) -> Box<[u8]> {
        let nonce = Nonce::from(random::<NONCE_LEN>(entropy));
        let aad = bind(purpose, owner);
        #[expect(clippy::expect_used, reason = "fails beyond 256 GiB only (RFC 8439 §2.8)")]
        let sealed = self
            .cipher
            .encrypt(&nonce, Payload { msg: plain.expose(), aad: &aad })
            .expect("a value of a few octets can be sealed");
        let mut whole = Vec::with_capacity(NONCE_LEN + sealed.len());
        whole.extend_from_slice(&nonce);
        whole.extend_from_slice(&sealed);
        whole.into()
    }

    /// Opens what [`SealKey::seal`] made for the same purpose and owner.
    pub fn open(&self, purpose: Purpose, owner: &str, sealed: &[u8]) -> Result<Secret, Damaged> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Damaged)?;
        if body.len() < TAG_LEN {
            return Err(Damaged);
        }
        let aad = bind(purpose, owner);
        let plain =
            self.cipher.decrypt(nonce.into(), Payload { msg: body, aad: &aad }).map_err(|_| Damaged)?;
        Ok(Secret::new(plain))
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SealKey(…)")
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    Hmac::new_from_slice(key).expect("HMAC takes any key")
}

fn bind(purpose: Purpose, owner: &str) -> Vec<u8> {
    let mut aad = Vec::with_capacity(purpose.label().len() + owner.len());
    aad.extend_from_slice(purpose.label());
    aad.extend_from_slice(owner.as_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::{Tick, UnixTime};

    fn entropy() -> Fixed {
        Fixed { mono: Tick(0), unix: UnixTime(0), seed: 7 }
    }

    #[test]
    fn a_sealed_seed_opens_for_its_own_token_alone() {
        let key = SealKey::generate(&mut entropy());
        let seed = Secret::from("12345678901234567890");
        let sealed = key.seal(Purpose::TokenSeed, "T1", &seed, &mut entropy());
        assert_eq!(key.open(Purpose::TokenSeed, "T1", &sealed), Ok(seed));
        assert_eq!(key.open(Purpose::TokenSeed, "T2", &sealed), Err(Damaged));
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(key.open(Purpose::TokenSeed, "T1", &changed), Err(Damaged), "octet {place}");
        }
        assert_eq!(key.open(Purpose::TokenSeed, "T1", &sealed[..27]), Err(Damaged));
    }

    #[test]
    fn derived_keys_differ_by_use_and_by_key() {
        let (key, other) = (SealKey::parse(&[7; 32]).unwrap(), SealKey::parse(&[8; 32]).unwrap());
        assert_eq!(key.derive("state"), key.derive("state"));
        assert_eq!(key.derive("state").len(), 32);
        assert_ne!(key.derive("state"), key.derive("audit"));
        assert_ne!(key.derive("state"), other.derive("state"));
        assert_ne!(key.derive("state"), Secret::new([7; 32]));
    }

    #[test]
    fn a_key_reads_back_from_its_file_and_from_raw_octets() {
        let key = SealKey::generate(&mut entropy());
        let printed = format!("{}\n", *key.print());
        assert_eq!(SealKey::parse(printed.as_bytes()).unwrap().fingerprint(), key.fingerprint());
        assert!(SealKey::parse(&[7; 32]).is_some());
        assert!(SealKey::parse(&[7; 31]).is_none());
        assert!(SealKey::parse(b"").is_none());
        assert_ne!(SealKey::parse(&[7; 32]).unwrap().fingerprint(), key.fingerprint());
        assert_eq!(format!("{key:?}"), "SealKey(…)");
    }
}
