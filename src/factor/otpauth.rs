//! The `otpauth://` URI that authenticator apps read from a QR code (the Key Uri Format), written and read.

use std::fmt::Write as _;

use super::oath::{Algorithm, COUNTER_MAX, Digits, Moving, Parameters};
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

/// What a URI says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// Who issued the token; empty where it does not say.
    pub issuer: String,
    /// Whose it is: the label without the issuer.
    pub account: String,
    /// The seed.
    pub seed: Secret,
    /// How its codes are made.
    pub parameters: Parameters,
    /// The next counter of a counter token; 0 for others.
    pub counter: u64,
}

/// Reads a URI. What it says beyond codes and names, such as a picture, is skipped; what would make other codes than
/// radmfa does is refused. The fault quotes nothing.
pub fn parse(uri: &str) -> Result<Uri, String> {
    let rest = strip(uri, "otpauth://").ok_or("is no otpauth URI")?;
    let (path, query) = rest.split_once('?').ok_or("has no secret in it")?;
    let (kind, label) = path.split_once('/').ok_or("has no label in it")?;
    let query = query.split('#').next().unwrap_or_default();
    let mut said: [Option<String>; 6] = [const { None }; 6];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
        let Some(slot) = known.and_then(|known| said.get_mut(known)) else { continue };
        if slot.is_some() {
            return Err("says one parameter twice".into());
        }
        *slot = Some(unpercent(value, true)?);
    }
    let [secret, issuer, algorithm, digits, period, counter] = said;
    let secret = zeroize::Zeroizing::new(secret.ok_or("has no secret in it")?);
    let seed = seed::parse(&secret).map_err(|fault| fault.to_string())?;
    let label = unpercent(label, false)?;
    let (before, account) =
        label.split_once(':').map_or(("", label.as_str()), |(before, after)| (before, after));
    let algorithm = match algorithm.as_deref().unwrap_or_default() {
        "" => Algorithm::Sha1,
        name => Algorithm::parse(name).ok_or("the algorithm is not known; SHA1, SHA256 and SHA512 are")?,
    };
    let digits = match digits.as_deref().unwrap_or_default() {
        "" => Digits::SIX,
        text => text.parse().ok().and_then(Digits::new).ok_or("digits take 6, 7 or 8")?,
    };
    let counter = counter.as_deref().unwrap_or_default();
    let (moving, counter) = match kind.to_ascii_lowercase().as_str() {
        "totp" => match period.as_deref().unwrap_or_default() {
            "" | "30" => (Moving::Time { interval: 30 }, 0),
            "60" => (Moving::Time { interval: 60 }, 0),
            _ => return Err("the period takes 30 or 60".into()),
        },
        "hotp" => {
            let counter = if counter.is_empty() { Some(0) } else { counter.parse().ok() };
            let counter = counter.filter(|counter| *counter <= COUNTER_MAX);
            (Moving::Counter, counter.ok_or_else(|| format!("the counter takes 0 to {COUNTER_MAX}"))?)
        }
        _ => return Err("the type is not known; totp and hotp are".into()),
    };
    Ok(Uri {
        issuer: issuer.filter(|issuer| !issuer.is_empty()).unwrap_or_else(|| before.trim().to_owned()),
        account: account.trim().to_owned(),
        seed,
        parameters: Parameters { algorithm, digits, moving },
        counter,
    })
}

const NAMES: [&str; 6] = ["secret", "issuer", "algorithm", "digits", "period", "counter"];

/// `text` after `prefix` in whatever case.
pub(super) fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Undoes percent-encoding; in a query a plus is a space, as forms write it.
pub(super) fn unpercent(text: &str, query: bool) -> Result<String, String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let pair = digit().zip(digit()).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                pair.ok_or("has a percent sign without two hexadecimal digits")?
            }
            b'+' if query => b' ',
            octet => octet,
        });
    }
    String::from_utf8(octets).map_err(|_| "is not UTF-8".into())
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

    #[test]
    fn a_uri_reads_back_what_was_written() {
        let seed = Secret::from("12345678901234567890");
        let counted = Parameters { moving: Moving::Counter, ..Parameters::default() };
        for (parameters, counter) in [(Parameters::default(), 0), (counted, 7)] {
            let read = parse(&uri("Example: VPN & Co", "a@b+c", &seed, &parameters, counter)).unwrap();
            assert_eq!((&*read.issuer, &*read.account), ("Example: VPN & Co", " VPN & Co:a@b+c".trim()));
            assert_eq!((read.seed, read.parameters, read.counter), (seed.clone(), parameters, counter));
        }
    }

    #[test]
    fn a_uri_of_another_hand_is_understood_or_refused_without_its_secret() {
        let plain =
            parse("OTPAUTH://TOTP/Example:alice@example.com?Secret=gezdgnbvgy3tqojqgezdgnbvgy3tqojq&image=x")
                .unwrap();
        assert_eq!((&*plain.issuer, &*plain.account), ("Example", "alice@example.com"));
        assert_eq!(plain.parameters, Parameters::default());
        let secret = "GEZDGNBVGY3TQOJQ";
        for (query, expected) in [
            ("totp/a?issuer=x", "has no secret"),
            ("totp/a", "has no secret"),
            ("totp?secret=x", "has no label"),
            ("motp/a?secret=S", "the type is not known"),
            ("totp/a?secret=S&period=45", "the period takes 30 or 60"),
            ("totp/a?secret=S&digits=5", "digits take"),
            ("totp/a?secret=S&algorithm=MD5", "the algorithm is not known"),
            ("hotp/a?secret=S&counter=-1", "the counter takes"),
            ("totp/a?secret=S&secret=S", "says one parameter twice"),
            ("totp/a?secret=S1", "the secret is not Base32"),
            ("totp/%f?secret=S", "has a percent sign"),
            ("totp/%ff?secret=S", "is not UTF-8"),
        ] {
            let fault =
                parse(&format!("otpauth://{}", query.replace("=S", &format!("={secret}")))).unwrap_err();
            assert!(fault.starts_with(expected) && !fault.contains(secret), "{query}: {fault}");
        }
        assert!(parse("https://example.com").is_err());
    }
}
