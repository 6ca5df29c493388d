//! Seeds as people write them: Base32 (RFC 4648 §6), strict about what it stands for and lenient about how it looks.

use base32::Alphabet;

use crate::base::secret::Secret;

/// The shortest seed taken, in octets (RFC 4226 §4 asks for 16 and recommends 20; tokens in the field have 10).
pub const SEED_MIN: usize = 10;
/// The longest seed taken, in octets: a block of SHA-1 or SHA-256.
pub const SEED_MAX: usize = 64;
/// What a new seed has: the length of HMAC-SHA-1's output (RFC 4226 §4 R6).
pub const SEED_NEW: usize = 20;

const RFC4648: Alphabet = Alphabet::Rfc4648 { padding: false };

/// Why a text is no seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedFault {
    /// Characters beyond `A-Z 2-7`, a length that no octets have, or stray bits at the end.
    #[error("the secret is not Base32 (letters A to Z and digits 2 to 7), or part of it is missing")]
    NotBase32,
    /// Outside [`SEED_MIN`] to [`SEED_MAX`].
    #[error("the secret has {0} octets; {SEED_MIN} to {SEED_MAX} are taken")]
    Length(usize),
}

/// Reads a seed. Spaces, hyphens and padding are dropped, case does not matter.
pub fn parse(text: &str) -> Result<Secret, SeedFault> {
    let mut plain = String::with_capacity(text.len());
    plain.extend(
        text.chars().filter(|c| !matches!(c, ' ' | '-' | '=' | '\t')).map(|c| c.to_ascii_uppercase()),
    );
    // The crate takes impossible lengths and non-zero trailing bits, so what it read must write back the same.
    let octets = base32::decode(RFC4648, &plain)
        .filter(|octets| base32::encode(RFC4648, octets) == plain)
        .ok_or(SeedFault::NotBase32)?;
    zeroize::Zeroize::zeroize(&mut plain);
    check(Secret::new(octets))
}

/// A seed whose octets are there already.
pub fn check(octets: Secret) -> Result<Secret, SeedFault> {
    let length = octets.len();
    if (SEED_MIN..=SEED_MAX).contains(&length) { Ok(octets) } else { Err(SeedFault::Length(length)) }
}

/// Writes a seed without padding, as authenticator apps take it.
#[must_use]
pub fn print(seed: &Secret) -> String {
    base32::encode(RFC4648, seed.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_do_not_matter() {
        let plain = parse("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap();
        assert_eq!(plain.expose(), b"12345678901234567890");
        assert_eq!(parse("gezd gnbv-gy3t qojq gezd gnbv gy3t qojq").unwrap(), plain);
        assert_eq!(print(&plain), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(parse("GEZDGNBVGY3TQOJQGEZDGNBVGY======").is_ok());
    }

    #[test]
    fn what_is_no_base32_is_refused() {
        // "B" at the end leaves stray bits; 17 characters are no whole number of octets.
        for text in ["", "GEZDGNBVGY3TQOJ1", "GEZDGNBVGY3TQOJQA", "GEZDGNBVGY3TQOJQGB", "GEZDGNBVGY3TQOJQé"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("GEZDGNBVGY3TQ").unwrap_err(), SeedFault::Length(8));
    }
}
