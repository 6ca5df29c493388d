//! The cryptography of PSKC (RFC 6030 §6): AES in CBC mode, HMACs, PBKDF2.
//!
//! CBC alone tells nothing of changes, so nothing but the MAC's own key is decrypted before its MAC was found right.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use crate::base::secret::{Secret, same};
use crate::factor::oath::Algorithm;

/// An AES block, and so an initialisation vector, in octets.
const BLOCK: usize = 16;

/// A cipher by the length of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes128,
    Aes192,
    Aes256,
}

impl Cipher {
    const ALL: [Cipher; 3] = [Cipher::Aes128, Cipher::Aes192, Cipher::Aes256];

    /// From the URI of `xenc:EncryptionMethod`.
    pub(super) fn parse(uri: &str) -> Option<Cipher> {
        Cipher::ALL.into_iter().find(|cipher| cipher.uri() == uri)
    }

    pub(super) fn uri(self) -> &'static str {
        match self {
            Cipher::Aes128 => "http://www.w3.org/2001/04/xmlenc#aes128-cbc",
            Cipher::Aes192 => "http://www.w3.org/2001/04/xmlenc#aes192-cbc",
            Cipher::Aes256 => "http://www.w3.org/2001/04/xmlenc#aes256-cbc",
        }
    }

    /// The length of its key, in octets.
    pub(super) fn key_length(self) -> usize {
        match self {
            Cipher::Aes128 => 16,
            Cipher::Aes192 => 24,
            Cipher::Aes256 => 32,
        }
    }

    /// What `sealed`, an initialisation vector and whole blocks, holds under `key`; `None` where the key, a length or the
    /// padding is wrong.
    pub(super) fn open(self, key: &[u8], sealed: &[u8]) -> Option<Secret> {
        let (vector, blocks) = sealed.split_at_checked(BLOCK)?;
        let mut buffer = Zeroizing::new(blocks.to_vec());
        let opened = match self {
            Cipher::Aes128 => cbc::Decryptor::<Aes128>::new_from_slices(key, vector)
                .ok()?
                .decrypt_padded::<Pkcs7>(&mut buffer),
            Cipher::Aes192 => cbc::Decryptor::<Aes192>::new_from_slices(key, vector)
                .ok()?
                .decrypt_padded::<Pkcs7>(&mut buffer),
            Cipher::Aes256 => cbc::Decryptor::<Aes256>::new_from_slices(key, vector)
                .ok()?
                .decrypt_padded::<Pkcs7>(&mut buffer),
        };
        opened.ok().map(Secret::new)
    }

    /// `plain` under `key`, after `vector`; `None` where the key's length is wrong.
    pub(super) fn seal(self, key: &[u8], vector: [u8; BLOCK], plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = vec![0; BLOCK + plain.len() - plain.len() % BLOCK + BLOCK];
        let (head, blocks) = sealed.split_at_mut(BLOCK);
        head.copy_from_slice(&vector);
        let done = match self {
            Cipher::Aes128 => cbc::Encryptor::<Aes128>::new_from_slices(key, &vector)
                .ok()?
                .encrypt_padded_b2b::<Pkcs7>(plain, blocks)
                .is_ok(),
            Cipher::Aes192 => cbc::Encryptor::<Aes192>::new_from_slices(key, &vector)
                .ok()?
                .encrypt_padded_b2b::<Pkcs7>(plain, blocks)
                .is_ok(),
            Cipher::Aes256 => cbc::Encryptor::<Aes256>::new_from_slices(key, &vector)
                .ok()?
                .encrypt_padded_b2b::<Pkcs7>(plain, blocks)
                .is_ok(),
        };
        done.then_some(sealed)
    }
}

/// The hash of an HMAC from its URI; the fragment alone counts, since files differ in the rest.
pub(super) fn hash(uri: &str) -> Option<Algorithm> {
    match uri.rsplit('#').next().unwrap_or_default() {
        "hmac-sha1" => Some(Algorithm::Sha1),
        "hmac-sha256" => Some(Algorithm::Sha256),
        "hmac-sha512" => Some(Algorithm::Sha512),
        _ => None,
    }
}

/// The URI of an HMAC.
pub(super) fn hash_uri(hash: Algorithm) -> &'static str {
    match hash {
        Algorithm::Sha1 => "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
        Algorithm::Sha256 => "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
        Algorithm::Sha512 => "http://www.w3.org/2001/04/xmldsig-more#hmac-sha512",
    }
}

/// The HMAC of `data`.
pub(super) fn mac(hash: Algorithm, key: &[u8], data: &[u8]) -> Vec<u8> {
    fn with<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "an HMAC takes keys of every length")]
        let mac = <M as KeyInit>::new_from_slice(key).expect("any length");
        mac.chain_update(data).finalize().into_bytes().to_vec()
    }
    match hash {
        Algorithm::Sha1 => with::<Hmac<Sha1>>(key, data),
        Algorithm::Sha256 => with::<Hmac<Sha256>>(key, data),
        Algorithm::Sha512 => with::<Hmac<Sha512>>(key, data),
    }
}

/// Whether `claimed` is the HMAC of `data`, whole.
pub(super) fn mac_fits(hash: Algorithm, key: &[u8], data: &[u8], claimed: &[u8]) -> bool {
    same(&mac(hash, key, data), claimed)
}

/// PBKDF2 (RFC 8018 §5.2) with an HMAC: `length` octets.
pub(super) fn derive(
    hash: Algorithm,
    passphrase: &[u8],
    salt: &[u8],
    iterations: u32,
    length: usize,
) -> Secret {
    let mut key = Zeroizing::new(vec![0; length]);
    match hash {
        Algorithm::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(passphrase, salt, iterations, &mut key),
        Algorithm::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(passphrase, salt, iterations, &mut key),
        Algorithm::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(passphrase, salt, iterations, &mut key),
    }
    Secret::new(key.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::text::hex;

    #[test]
    fn what_is_sealed_opens_under_its_key_alone() {
        for cipher in Cipher::ALL {
            let key = vec![7; cipher.key_length()];
            for length in [0, 1, 15, 16, 17, 64] {
                let plain = vec![9; length];
                let sealed = cipher.seal(&key, [3; 16], &plain).unwrap();
                assert_eq!(cipher.open(&key, &sealed).unwrap().expose(), plain);
                assert!(
                    cipher.open(&[7; 5], &sealed).is_none() && cipher.open(&key, &sealed[..20]).is_none()
                );
            }
            assert_eq!(Cipher::parse(cipher.uri()), Some(cipher));
        }
    }

    #[test]
    fn pbkdf2_gives_what_rfc_6070_says() {
        let key = derive(Algorithm::Sha1, b"password", b"salt", 4096, 20);
        assert_eq!(hex(key.expose()), "4b007901b765489abead49d926f721d065a429c1");
    }

    #[test]
    fn a_mac_that_was_cut_does_not_fit() {
        let whole = mac(Algorithm::Sha256, b"key", b"data");
        assert!(mac_fits(Algorithm::Sha256, b"key", b"data", &whole));
        assert!(!mac_fits(Algorithm::Sha256, b"key", b"data", &whole[..31]));
        assert!(!mac_fits(Algorithm::Sha256, b"key", b"data", &[]));
    }
}
