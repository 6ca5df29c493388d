//! The code that leads somebody who has just shown the right password to the page where a second factor is set up.
//!
//! Eight digits of Crockford's Base32, 40 random bits, printed as `ABCD-EFGH`. It is good for minutes and for few tries, counted by
//! whoever keeps it. Typed ones are forgiven case, spaces, hyphens and look-alike letters.

use std::fmt;

use zeroize::Zeroize;

use crate::base::crockford;
use crate::base::secret::same;
use crate::base::system::{Entropy, random};

/// Digits of a code, five bits each.
pub const DIGITS: usize = 8;

/// A code. Prints itself by [`fmt::Display`] alone.
#[derive(Clone)]
pub struct EnrolCode([u8; DIGITS]);

impl EnrolCode {
    /// A new one.
    pub fn generate(entropy: &mut (impl Entropy + ?Sized)) -> EnrolCode {
        let mut octets = random::<DIGITS>(entropy);
        // 256 is a multiple of 32, so every digit is as likely as another.
        for octet in &mut octets {
            *octet = crockford::digit(*octet);
        }
        EnrolCode(octets)
    }

    /// What somebody typed; `None` where it cannot be a code.
    #[must_use]
    pub fn parse(typed: &str) -> Option<EnrolCode> {
        let mut code = EnrolCode([0; DIGITS]);
        let mut places = code.0.iter_mut();
        for octet in typed.bytes().filter(|octet| !matches!(octet, b'-' | b' ')) {
            *places.next()? = crockford::meant(octet)?;
        }
        places.next().is_none().then_some(code)
    }

    /// Whether they are the same. Takes the same time wherever they differ.
    #[must_use]
    pub fn is(&self, other: &EnrolCode) -> bool {
        same(&self.0, &other.0)
    }
}

impl fmt::Display for EnrolCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for (place, octet) in self.0.iter().enumerate() {
            if place == DIGITS / 2 {
                formatter.write_char('-')?;
            }
            formatter.write_char(char::from(*octet))?;
        }
        Ok(())
    }
}

impl fmt::Debug for EnrolCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EnrolCode(…)")
    }
}

impl Drop for EnrolCode {
    fn drop(&mut self) {
        self.0.zeroize();
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
