//! The code that leads somebody who has just shown the right password to the page where a second factor is set up.
//!
//! Eight digits of Crockford's Base32, 40 random bits, printed as `ABCD-EFGH`. It is good for minutes and for few tries, counted by
//! whoever keeps it. Typed ones are forgiven case, spaces, hyphens and look-alike letters.

use std::fmt;

use crate::base::crockford::Digits;
use crate::base::secret::same;
use crate::base::system::Entropy;

/// Digits of a code, five bits each.
pub const DIGITS: usize = 8;

/// A code. Prints itself by [`fmt::Display`] alone.
#[derive(Clone)]
pub struct EnrolCode(Digits<DIGITS>);

impl EnrolCode {
    /// A new one.
    pub fn generate(entropy: &mut (impl Entropy + ?Sized)) -> EnrolCode {
        EnrolCode(Digits::generate(entropy))
    }

    /// What somebody typed; `None` where it cannot be a code.
    #[must_use]
    pub fn parse(typed: &str) -> Option<EnrolCode> {
        Digits::parse(typed.as_bytes()).map(EnrolCode)
    }

    /// Whether they are the same. Takes the same time wherever they differ.
    #[must_use]
    pub fn is(&self, other: &EnrolCode) -> bool {
        same(self.0.octets(), other.0.octets())
    }
}

impl fmt::Display for EnrolCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for EnrolCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EnrolCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::{Tick, UnixTime};

    #[test]
    fn a_code_reads_back_from_its_print_however_it_is_typed_and_is_no_other() {
        let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 7 };
        for _ in 0..100 {
            let code = EnrolCode::generate(&mut entropy);
            let printed = code.to_string();
            assert_eq!((printed.len(), printed.as_bytes()[4]), (DIGITS + 1, b'-'));
            let alike = printed.replace('1', "l").replace('0', "O");
            for typed in [&printed, &printed.to_lowercase(), &printed.replace('-', " "), &alike] {
                assert!(EnrolCode::parse(typed).unwrap().is(&code), "{typed}");
            }
            assert!(!EnrolCode::generate(&mut entropy).is(&code));
            assert_eq!(format!("{code:?}"), "EnrolCode(…)");
        }
        for typed in ["", "ABCD", "ABCD-EFG", "ABCD-EFGHJ", "ABCD-EFGU", "ABCD-EFGé"] {
            assert!(EnrolCode::parse(typed).is_none(), "{typed}");
        }
    }
}
