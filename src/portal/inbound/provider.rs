//! What providers sign their own way when they bring what users answered.
//!
//! Twilio: HMAC-SHA1 under the account's token over the URL as it was called and the form's fields in the order of their names.
//! Vonage: a JSON Web Token under the signature secret, HS256, whose claims hold the body's SHA-256 and when it was made.
//! From the providers' public documentation, and tried with the vectors that it gives.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::base::secret::{Secret, same};
use crate::base::text::unhex;
use crate::base::time::UnixTime;

/// Twilio's header.
pub(super) const TWILIO: &str = "x-twilio-signature";
/// A token of Vonage's may be so old, or so far ahead, when it arrives.
const FRESH: Duration = Duration::from_mins(1);
/// No token is longer, in octets.
const TOKEN_MAX: usize = 4096;

/// Whether `signature` is Twilio's over `url` and the `fields` of a form. A name that comes twice counts once for each value.
pub(super) fn is_twilios(token: &Secret, url: &str, fields: &[(String, String)], signature: &str) -> bool {
    let mut sorted: Vec<&(String, String)> = fields.iter().collect();
    sorted.sort();
    sorted.dedup();
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.expose()) else { return false };
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    let given = STANDARD.decode(signature).unwrap_or_default();
    same(&given, &mac.finalize().into_bytes())
}

#[derive(Deserialize)]
struct Head {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iat: u64,
    payload_hash: String,
}

/// Whether `token` is Vonage's for this very `body`, made of late.
pub(super) fn is_vonages(secret: &Secret, token: &str, body: &[u8], now: UnixTime) -> bool {
    if token.len() > TOKEN_MAX {
        return false;
    }
    let Some((signed, signature)) = token.rsplit_once('.') else { return false };
    let Some((head, claims)) = signed.split_once('.') else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose()) else { return false };
    mac.update(signed.as_bytes());
    let given = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    // Nothing in it is read before it is proved.
    if !same(&given, &mac.finalize().into_bytes()) {
        return false;
    }
    let (Some(head), Some(claims)) = (read::<Head>(head), read::<Claims>(claims)) else { return false };
    let at = UnixTime::from_secs(claims.iat);
    let hash = unhex(&claims.payload_hash).unwrap_or_default();
    head.alg == "HS256" && same(&hash, &Sha256::digest(body)) && at.since(now).max(now.since(at)) <= FRESH
}

fn read<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn twilios_own_examples_are_believed_and_no_other() {
        let (token, url) = (Secret::from("12345"), "https://mycompany.com/myapp.php?foo=1&bar=2");
        let signature = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
        let given = [
            ("To", "+18005551212"),
            ("CallSid", "CA1234567890ABCDE"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("Caller", "+14158675309"),
        ];
        assert!(is_twilios(&token, url, &fields(&given), signature));
        let twice = [
            ("Sid", "CA123"),
            ("SidAccount", "AC123"),
            ("Digits", "5678"),
            ("Digits", "1234"),
            ("Digits", "1234"),
        ];
        assert!(is_twilios(&token, url, &fields(&twice), "IK+Dwps556ElfBT0I3Rgjkr1wJU="));
        assert!(!is_twilios(&Secret::from("12346"), url, &fields(&given), signature));
        assert!(!is_twilios(&token, "https://mycompany.com/myapp.php?foo=1", &fields(&given), signature));
        assert!(!is_twilios(&token, url, &fields(&given[1..]), signature));
        for other in ["", "RSOYDt4T1cUTdK1PDd93/VVr8B8", "AAAA", "!"] {
            assert!(!is_twilios(&token, url, &fields(&given), other), "{other}");
        }
    }

    fn token(secret: &str, head: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn a_token_of_vonages_is_for_one_body_of_late_and_signed_as_it_says() {
        const HEAD: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
        let (secret, body) = (Secret::from("signature secret"), br#"{"from":"36301234567","text":"1"}"#);
        let hash = crate::base::text::hex(&Sha256::digest(body));
        let claims =
            |hash: &str| format!(r#"{{"iat":1000,"jti":"x","iss":"Vonage","payload_hash":"{hash}"}}"#);
        let at = UnixTime::from_secs;
        let good = token("signature secret", HEAD, &claims(&hash));
        assert!(is_vonages(&secret, &good, body, at(1000)));
        assert!(is_vonages(&secret, &good, body, at(1060)) && is_vonages(&secret, &good, body, at(940)));
        assert!(!is_vonages(&secret, &good, body, at(1061)) && !is_vonages(&secret, &good, body, at(939)));
        assert!(!is_vonages(&secret, &good, b"{}", at(1000)), "another body");
        assert!(!is_vonages(&Secret::from("another"), &good, body, at(1000)));
        let refused = |token: &str| assert!(!is_vonages(&secret, token, body, at(1000)), "{token}");
        refused(&token("signature secret", r#"{"alg":"none"}"#, &claims(&hash)));
        refused(&token("signature secret", HEAD, r#"{"iat":1000}"#));
        refused(&token("signature secret", HEAD, &claims("")));
        for other in ["", ".", "..", "a.b.c", good.rsplit_once('.').unwrap().0] {
            refused(other);
        }
    }

    /// The example of RFC 7515, appendix A.1: its key signs it, whatever else is wrong with it.
    #[test]
    fn the_signature_is_that_of_a_json_web_token() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key = URL_SAFE_NO_PAD.decode(key).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        assert_eq!(signature, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let token = format!("{signed}.{signature}");
        assert!(
            !is_vonages(&Secret::new(key), &token, b"", UnixTime::from_secs(1_300_819_380)),
            "no body's hash"
        );
    }
}
