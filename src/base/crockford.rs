//! Crockford's Base32: numbers and codes that people read out and type. No letter looks like a digit in it.

use std::fmt;

use zeroize::Zeroize as _;

use super::system::{Entropy, random};

/// The digits, by value.
pub const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The digit for the lower five bits of `value`.
#[must_use]
pub fn digit(value: u8) -> u8 {
    ALPHABET.get(usize::from(value & 31)).copied().unwrap_or(b'0')
}

/// The digit as [`digit`] writes it that somebody may have meant: either case, and O for 0, I or L for 1. `None` for
/// what is no digit.
#[must_use]
pub fn meant(octet: u8) -> Option<u8> {
    let upper = match octet.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    ALPHABET.contains(&upper).then_some(upper)
}

/// What may stand between digits.
#[must_use]
pub fn is_space(octet: u8) -> bool {
    matches!(octet, b'-' | b' ')
}

/// `N` random digits, five bits each, printed four at a time; wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Digits<const N: usize>([u8; N]);

impl<const N: usize> Digits<N> {
    /// New ones.
    pub fn generate(entropy: &mut (impl Entropy + ?Sized)) -> Digits<N> {
        let mut octets = random::<N>(entropy);
        // 256 is a multiple of 32, so every digit is as likely as another.
        for octet in &mut octets {
            *octet = digit(*octet);
        }
        Digits(octets)
    }

    /// What somebody typed, forgiven case, look-alikes and what stands between; `None` where it is not `N` digits.
    #[must_use]
    pub fn parse(typed: &[u8]) -> Option<Digits<N>> {
        let mut digits = Digits([0; N]);
        let mut places = digits.0.iter_mut();
        for octet in typed.iter().filter(|octet| !is_space(**octet)) {
            *places.next()? = meant(*octet)?;
        }
        places.next().is_none().then_some(digits)
    }

    /// The digits in ASCII, without anything between.
    #[must_use]
    pub fn octets(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Display for Digits<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for (place, octet) in self.0.iter().enumerate() {
            if place > 0 && place % 4 == 0 {
                formatter.write_char('-')?;
            }
            formatter.write_char(char::from(*octet))?;
        }
        Ok(())
    }
}

impl<const N: usize> Drop for Digits<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_is_meant_by_itself_in_either_case() {
        for value in 0..32 {
            assert_eq!(meant(digit(value)), Some(digit(value)));
            assert_eq!(meant(digit(value).to_ascii_lowercase()), Some(digit(value)));
        }
        assert_eq!((digit(0), digit(31), digit(32)), (b'0', b'Z', b'0'));
    }

    #[test]
    fn look_alikes_are_forgiven_and_others_are_not() {
        assert_eq!((meant(b'o'), meant(b'I'), meant(b'l')), (Some(b'0'), Some(b'1'), Some(b'1')));
        assert_eq!((meant(b'u'), meant(b'-'), meant(0xc3)), (None, None, None));
    }
}
