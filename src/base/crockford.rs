//! Crockford's Base32: numbers and codes that people read out and type. No letter looks like a digit in it.

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
