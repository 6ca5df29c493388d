//! Recovery codes: what a user keeps on paper for the day the phone is lost.
//!
//! A code is twelve digits of Crockford's Base32, 60 random bits, printed as `K7Q2-MX9T-R4AB`. Typed ones are forgiven
//! case, spaces, hyphens and look-alike letters. Nothing keeps a code: a store has its [`KeyedHash`] alone.

use std::fmt;

use super::keyed::KeyedHash;
use crate::base::crockford::{Digits, is_space};
use crate::base::secret::Secret;
use crate::base::system::Entropy;

/// Digits of a code, five bits each.
pub const DIGITS: usize = 12;
/// Codes that a user is given at once.
pub const SET: usize = 10;

/// A code.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(Digits<DIGITS>);

impl RecoveryCode {
    /// A new one.
    pub fn generate(entropy: &mut (impl Entropy + ?Sized)) -> RecoveryCode {
        RecoveryCode(Digits::generate(entropy))
    }

    /// What somebody typed; `None` where it cannot be a code.
    #[must_use]
    pub fn parse(typed: &[u8]) -> Option<RecoveryCode> {
        Digits::parse(typed).map(RecoveryCode)
    }

    /// Its hash for the user with the store's number `owner`.
    #[must_use]
    pub fn hash(&self, key: &Secret, owner: i64) -> KeyedHash {
        KeyedHash::of(key, owner, self.0.octets())
    }
}

/// Where the code begins at the end of `typed`, if there is room for one: the octets before belong to something else.
#[must_use]
pub fn begins(typed: &[u8]) -> Option<usize> {
    let digits = typed.iter().enumerate().rev().filter(|(_, octet)| !is_space(**octet));
    digits.map(|(place, _)| place).nth(DIGITS - 1)
}

impl fmt::Display for RecoveryCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RecoveryCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::{Tick, UnixTime};

    #[test]
    fn a_code_reads_back_from_its_print_however_it_is_typed() {
        let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 7 };
        for _ in 0..100 {
            let code = RecoveryCode::generate(&mut entropy);
            let printed = code.to_string();
            assert_eq!(printed.len(), DIGITS + 2);
            let alike = printed.replace('1', "l").replace('0', "O");
            for typed in [&printed, &printed.to_lowercase(), &printed.replace('-', " "), &alike] {
                assert_eq!(RecoveryCode::parse(typed.as_bytes()).as_ref(), Some(&code), "{typed}");
            }
        }
        assert_ne!(RecoveryCode::generate(&mut entropy), RecoveryCode::generate(&mut entropy));
    }

    #[test]
    fn what_is_too_short_too_long_or_no_digit_is_no_code() {
        for typed in ["", "123456", "K7Q2-MX9T-R4A", "K7Q2-MX9T-R4ABC", "K7Q2-MX9T-R4AU", "K7Q2MX9TR4Aé"] {
            assert_eq!(RecoveryCode::parse(typed.as_bytes()), None, "{typed}");
        }
    }

    #[test]
    fn what_stands_before_a_code_is_found() {
        assert_eq!(begins(b"2580K7Q2-MX9T-R4AB"), Some(4));
        assert_eq!(begins(b"2580 K7Q2MX9TR4AB "), Some(5));
        assert_eq!(begins(b"K7Q2MX9TR4AB"), Some(0));
        assert_eq!(begins(b"K7Q2MX9TR4A"), None);
    }

    #[test]
    fn a_code_does_not_print_by_accident() {
        assert_eq!(format!("{:?}", RecoveryCode::parse(&[b'0'; DIGITS]).unwrap()), "RecoveryCode(…)");
    }
}
