//! The secret that two RADIUS peers share, ready for use: hashes that begin with it are fed once, then copied.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

use crate::base::secret::Secret;

/// An MD5 digest, a Message-Authenticator, a Request or Response Authenticator: all are 16 octets.
pub(super) type Digest16 = [u8; 16];

/// A shared secret with its keyed hash states. `Debug` prints `…`; equality takes constant time.
#[derive(Clone)]
pub struct SharedSecret {
    octets: Secret,
    /// HMAC-MD5 keyed with it: two of the four or five blocks of a Message-Authenticator.
    keyed: Hmac<Md5>,
    /// MD5 that has read it: each block of a hidden password begins so.
    fed: Md5,
}

impl SharedSecret {
    /// Any length is taken; whether it is too short to be safe is for the configuration to say.
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "HMAC takes any key (RFC 2104 §2)")]
    pub fn new(octets: Secret) -> SharedSecret {
        let keyed = Hmac::new_from_slice(octets.expose()).expect("HMAC takes a key of any length");
        let fed = Md5::new_with_prefix(octets.expose());
        SharedSecret { octets, keyed, fed }
    }

    /// The secret itself.
    pub fn secret(&self) -> &Secret {
        &self.octets
    }

    /// HMAC-MD5 of `pieces` (RFC 3579 §3.2).
    pub(super) fn hmac(&self, pieces: &[&[u8]]) -> Digest16 {
        let mut mac = self.keyed.clone();
        for piece in pieces {
            mac.update(piece);
        }
        mac.finalize().into_bytes().into()
    }

    /// MD5 of the secret, then `pieces` (RFC 2865 §5.2).
    pub(super) fn md5_before(&self, pieces: &[&[u8]]) -> Digest16 {
        let mut hash = self.fed.clone();
        for piece in pieces {
            hash.update(piece);
        }
        hash.finalize().into()
    }

    /// MD5 of `pieces`, then the secret (RFC 2865 §3).
    pub(super) fn md5_after(&self, pieces: &[&[u8]]) -> Digest16 {
        let mut hash = Md5::new();
        for piece in pieces {
            hash.update(piece);
        }
        hash.update(self.octets.expose());
        hash.finalize().into()
    }
}

impl PartialEq for SharedSecret {
    fn eq(&self, other: &SharedSecret) -> bool {
        self.octets == other.octets
    }
}

impl Eq for SharedSecret {}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}
