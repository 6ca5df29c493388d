//! Message encryption (RFC 8291, `aes128gcm` of RFC 8188): what the push service carries and cannot read.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes128Gcm, Nonce};
use hkdf::Hkdf;
use p256::{PublicKey, SecretKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::subscription::Subscription;

/// The record's size as it is announced (RFC 8188 §2.1); a message is one record.
const RECORD: u32 = 4096;
/// The longest message, in octets: a push service need take no more than 4096 of header, message, delimiter and tag (RFC 8030 §7.2).
pub const PLAIN_MAX: usize = 3993;
/// What ends the last record (RFC 8188 §2).
const LAST: u8 = 2;

/// Encrypts `plain` for the browser of `to`, under `own`, a key that is used once, and `salt`, random. `None` where the message is too
/// long, or the browser's key no point of the curve.
#[must_use]
pub fn encrypt(plain: &[u8], to: &Subscription, own: &SecretKey, salt: [u8; 16]) -> Option<Vec<u8>> {
    if plain.len() > PLAIN_MAX {
        return None;
    }
    let theirs = PublicKey::from_sec1_bytes(&to.key).ok()?;
    let public = own.public_key().to_sec1_bytes();
    let shared = own.diffie_hellman(&theirs);
    let (key, nonce) = derive(shared.raw_secret_bytes(), to, &public, &salt)?;
    let mut padded = Zeroizing::new(Vec::with_capacity(plain.len() + 1));
    padded.extend_from_slice(plain);
    padded.push(LAST);
    let cipher = Aes128Gcm::new_from_slice(&*key).ok()?;
    let sealed = cipher.encrypt(&Nonce::from(nonce), padded.as_slice()).ok()?;
    let length = u8::try_from(public.len()).ok()?;
    Some([&salt[..], &RECORD.to_be_bytes(), &[length], &public, &sealed].concat())
}

/// The content encryption key and the nonce of the one record (RFC 8291 §3.4).
fn derive(
    shared: &[u8],
    to: &Subscription,
    public: &[u8],
    salt: &[u8; 16],
) -> Option<(Zeroizing<[u8; 16]>, [u8; 12])> {
    let info = [b"WebPush: info\0".as_slice(), &to.key, public].concat();
    let mut input = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(&to.auth), shared).expand(&info, &mut *input).ok()?;
    let keys = Hkdf::<Sha256>::new(Some(salt), &*input);
    let (mut key, mut nonce) = (Zeroizing::new([0; 16]), [0; 12]);
    keys.expand(b"Content-Encoding: aes128gcm\0", &mut *key).ok()?;
    keys.expand(b"Content-Encoding: nonce\0", &mut nonce).ok()?;
    Some((key, nonce))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn octets(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn browser() -> Subscription {
        Subscription::new(
            "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "BTBZMqHH6r4Tts7J_aSIgg",
        )
        .unwrap()
    }

    #[test]
    fn the_example_of_rfc_8291_comes_out_octet_for_octet() {
        let own = SecretKey::from_slice(&octets("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")).unwrap();
        let salt: [u8; 16] = octets("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let sealed = encrypt(b"When I grow up, I want to be a watermelon", &browser(), &own, salt).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(sealed),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl\
             7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn a_message_that_no_service_need_take_is_not_made() {
        let own = SecretKey::from_slice(&[7; 32]).unwrap();
        let sealed = encrypt(&[b'x'; PLAIN_MAX], &browser(), &own, [1; 16]).unwrap();
        assert_eq!(sealed.len(), 4096);
        assert_eq!(encrypt(&[b'x'; PLAIN_MAX + 1], &browser(), &own, [1; 16]), None);
    }
}
