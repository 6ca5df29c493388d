//! PINs: digits that a user knows and types before a code.
//!
//! A PIN alone opens nothing: it is asked for beside a password and a code, and a wrong one counts as a wrong code. So the
//! rules keep out what somebody tries first, and no more.

use super::keyed::KeyedHash;
use crate::base::secret::Secret;

/// The fewest digits.
pub const DIGITS_MIN: usize = 4;
/// The most digits.
pub const DIGITS_MAX: usize = 16;
/// So many earlier PINs are not taken again.
pub const HISTORY: usize = 5;

/// Why something is not taken as a new PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinFault {
    /// Too few or too many digits, or something else than digits.
    #[error("a PIN has {DIGITS_MIN} to {DIGITS_MAX} digits and nothing else")]
    NotDigits,
    /// `1234`, `9876`, `2468`: each digit as far from the one before.
    #[error("a PIN whose digits run up or down in even steps is the first that somebody tries")]
    Run,
    /// `1111`, `1212`, `123123`: one piece, repeated.
    #[error("a PIN that repeats itself is among the first that somebody tries")]
    Repeat,
}

/// Whether `pin` may be somebody's new PIN.
pub fn check(pin: &Secret) -> Result<(), PinFault> {
    let digits = pin.expose();
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(PinFault::NotDigits);
    }
    let repeats = |period: &usize| digits.iter().zip(digits.iter().skip(*period)).all(|(a, b)| a == b);
    if (1..=digits.len() / 2).any(|period| repeats(&period)) {
        return Err(PinFault::Repeat);
    }
    let step = |pair: (&u8, &u8)| i16::from(*pair.1) - i16::from(*pair.0);
    let mut steps = digits.iter().zip(digits.iter().skip(1)).map(step);
    let first = steps.clone().next().unwrap_or(0);
    // 7890 and 2109 run on past the end of the digits.
    let wraps = |by: i16| steps.clone().all(|step| step.rem_euclid(10) == by);
    if wraps(1) || wraps(9) || steps.all(|step| step == first) {
        return Err(PinFault::Run);
    }
    Ok(())
}

/// The hash of `pin` for the user with the store's number `owner`.
#[must_use]
pub fn hash(key: &Secret, owner: i64, pin: &[u8]) -> KeyedHash {
    KeyedHash::of(key, owner, pin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(pin: &str) -> Result<(), PinFault> {
        check(&Secret::from(pin))
    }

    #[test]
    fn what_somebody_tries_first_is_refused() {
        for run in ["1234", "4321", "7890", "0987", "2109", "2468", "123456", "9876543210", "1357"] {
            assert_eq!(checked(run), Err(PinFault::Run), "{run}");
        }
        for repeat in ["0000", "111111", "1212", "123123", "12121", "12341234"] {
            assert_eq!(checked(repeat), Err(PinFault::Repeat), "{repeat}");
        }
    }

    #[test]
    fn anything_but_four_to_sixteen_digits_is_refused() {
        for odd in ["", "258", "12345678901234567", "25 80", "258a", "２５８０"] {
            assert_eq!(checked(odd), Err(PinFault::NotDigits), "{odd}");
        }
        for good in ["2580", "1235", "2581", "8675309", "1357924680135792", "1221"] {
            assert_eq!(checked(good), Ok(()), "{good}");
        }
    }
}
