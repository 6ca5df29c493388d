//! The `otpauth://` URI that authenticator apps read from a QR code (the Key Uri Format).

use std::fmt::Write as _;

use super::oath::{Moving, Parameters};
use super::seed;
use crate::base::secret::Secret;

/// The URI of a token: label `issuer:account`, and every parameter spelled out. `counter` is the next one of a counter
/// token; it says nothing about others.
#[must_use]
pub fn uri(issuer: &str, account: &str, seed: &Secret, parameters: &Parameters, counter: u64) -> String {
    let (kind, moving) = match parameters.moving {
        Moving::Time { interval } => ("totp", format!("period={interval}")),
        Moving::Counter => ("hotp", format!("counter={counter}")),
    };
    let issuer = percent(issuer);
    format!(
        "otpauth://{kind}/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm={algorithm}&digits={digits}&{moving}",
        account = percent(account),
        secret = seed::print(seed),
        algorithm = parameters.algorithm.name(),
        digits = parameters.digits.count(),
    )
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(octet));
        } else {
            let _infallible = write!(encoded, "%{octet:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uri_spells_out_every_parameter() {
        let seed = Secret::from("12345678901234567890");
        assert_eq!(
            uri("Example VPN", "a@b", &seed, &Parameters::default(), 0),
            "otpauth://totp/Example%20VPN:a%40b?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example%20VPN&algorithm=SHA1&digits=6&period=30"
        );
        let counted = Parameters { moving: Moving::Counter, ..Parameters::default() };
        assert_eq!(
            uri("Ex", "a", &seed, &counted, 7),
            "otpauth://hotp/Ex:a?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Ex&algorithm=SHA1&digits=6&counter=7"
        );
    }
}
