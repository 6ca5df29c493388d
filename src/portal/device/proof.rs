//! What a device's signature stands over, and whether it is one (ECDSA over P-256 with SHA-256, as `WebCrypto` makes it).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};

/// What is signed: a purpose and what belongs to it, a line each.
pub(super) struct Signed<'a>(pub(super) &'a [&'a str]);

impl Signed<'_> {
    /// The octets; `None` where a line holds a line break, so that one text stands for one thing alone.
    fn octets(&self) -> Option<Vec<u8>> {
        let plain = self.0.iter().all(|line| !line.contains('\n'));
        plain.then(|| self.0.join("\n").into_bytes())
    }
}

/// Whether `text` could be a signature at all, without looking whose: base64url of 64 octets, two numbers of the curve's order.
pub(super) fn is_signature(text: &str) -> bool {
    // A longer text is not even read.
    text.len() == 86
        && URL_SAFE_NO_PAD.decode(text).is_ok_and(|octets| Signature::from_slice(&octets).is_ok())
}

/// Whether `signature`, base64url of 64 octets, is that of `key` over `signed`.
pub(super) fn signed_by(key: &[u8], signed: &Signed<'_>, signature: &str) -> bool {
    let check = || {
        let key = VerifyingKey::from_sec1_bytes(key).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let signature = Signature::from_slice(&signature).ok()?;
        key.verify(&signed.octets()?, &signature).ok()
    };
    check().is_some()
}

/// A point of the curve that is nobody's key: its generator (FIPS 186-5, P-256).
#[rustfmt::skip]
pub(super) const NOBODY: [u8; 65] = [
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40,
    0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2,
    0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e,
    0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51,
    0xf5,
];

/// A public key as browsers give it: base64url of 65 octets, a point of the curve.
#[must_use]
pub fn public_key(text: &str) -> Option<[u8; 65]> {
    let key: [u8; 65] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    VerifyingKey::from_sec1_bytes(&key).is_ok().then_some(key)
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::Signer as _;

    use super::*;

    #[test]
    fn a_signature_is_good_for_its_lines_and_its_key_alone() {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let public = key.verifying_key().to_sec1_bytes();
        let signature: Signature = key.sign(b"radmfa answer\nu1\n9");
        let text = URL_SAFE_NO_PAD.encode(signature.to_bytes());
        let good = |lines: &[&str], text: &str| signed_by(&public, &Signed(lines), text);
        assert!(good(&["radmfa answer", "u1", "9"], &text));
        assert!(!good(&["radmfa answer\nu1", "9"], &text), "another cut of the same text");
        assert!(!good(&["radmfa answer", "u1", "8"], &text));
        assert!(!good(&["radmfa answer", "u1", "9"], ""));
        assert!(!good(&["radmfa answer", "u1", "9"], &URL_SAFE_NO_PAD.encode([0; 64])));
        let other = SigningKey::from_slice(&[8; 32]).unwrap().verifying_key().to_sec1_bytes();
        assert!(!signed_by(&other, &Signed(&["radmfa answer", "u1", "9"]), &text));
        assert!(!signed_by(&[], &Signed(&["radmfa answer", "u1", "9"]), &text));
        assert_eq!(
            public_key(&URL_SAFE_NO_PAD.encode(&public)).map(|key| key.to_vec()),
            Some(public.to_vec())
        );
        assert_eq!(public_key(&URL_SAFE_NO_PAD.encode([4; 65])), None);
        assert_eq!(public_key(""), None);
        assert!(is_signature(&text));
        let (cut, longer, zero) = (&text[1..], format!("{text}A"), URL_SAFE_NO_PAD.encode([0; 64]));
        for none in ["", "AAAA", cut, &longer, &format!("+{cut}"), &zero] {
            assert!(!is_signature(none), "{none}");
        }
    }
}
