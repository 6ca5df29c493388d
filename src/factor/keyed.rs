//! Keyed hashes of what a user knows by heart or keeps on paper: HMAC-SHA-256 under a key that is not in the database, so
//! that a stolen database gives nothing to guess against.

use hmac::{Hmac, KeyInit as _, Mac};
use sha2::Sha256;

use crate::base::secret::{Secret, same};

/// Octets of a hash.
pub const HASH_LEN: usize = 32;

/// A keyed hash, compared in constant time.
#[derive(Clone, Copy)]
pub struct KeyedHash(pub [u8; HASH_LEN]);

impl KeyedHash {
    /// Of `text`, bound to `owner`, the store's number of the user: equal secrets of two users do not show as equal.
    #[must_use]
    pub fn of(key: &Secret, owner: i64, text: &[u8]) -> KeyedHash {
        let mac = keyed(key).chain_update(owner.to_be_bytes()).chain_update(text);
        KeyedHash(mac.finalize().into_bytes().into())
    }
}

fn keyed(key: &Secret) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    Hmac::new_from_slice(key.expose()).expect("HMAC takes any key")
}

impl PartialEq for KeyedHash {
    fn eq(&self, other: &KeyedHash) -> bool {
        same(&self.0, &other.0)
    }
}

impl Eq for KeyedHash {}

impl std::fmt::Debug for KeyedHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KeyedHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_key_owner_and_text() {
        let (key, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let hash = KeyedHash::of(&key, 7, b"2580");
        assert_eq!(hash, KeyedHash::of(&key, 7, b"2580"));
        for different in [
            KeyedHash::of(&other, 7, b"2580"),
            KeyedHash::of(&key, 8, b"2580"),
            KeyedHash::of(&key, 7, b"2581"),
        ] {
            assert_ne!(hash, different);
        }
        assert_eq!(format!("{hash:?}"), "KeyedHash(…)");
    }
}
