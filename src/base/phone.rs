//! Telephone numbers as E.164 has them, and addresses cut down so that a stranger learns little from them.
//!
//! Strict on purpose: a number that is written without its country would be sent to whoever owns it somewhere else.

use std::fmt;
use std::sync::Arc;

/// The digits of an international number, country code included: at most 15 (E.164 §6.1); fewer than 7 are nobody's
/// telephone.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// The digits of an extension.
const EXTENSION_MAX: usize = 10;
/// The longest text that is looked at, in octets.
const WRITTEN_MAX: usize = 64;

/// An international number with its country code, perhaps with the extension that a switchboard asks for.
///
/// Prints as `+36301234567`, or `+3612345678x12`, which [`Phone::parse`] reads back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Phone {
    /// `+` and 7 to 15 digits.
    number: Arc<str>,
    /// 1 to 10 digits.
    extension: Option<Arc<str>>,
}

/// Why a text is no number that can be called from anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneFault {
    /// It begins with neither `+` nor `00`.
    #[error("a number begins with + and the country code, such as +36301234567")]
    NoCountry,
    /// Fewer than 7 or more than 15 digits, or a country code that begins with 0.
    #[error("a number has 7 to 15 digits, the country code included")]
    Length,
    /// Something else than digits, and what people put between them.
    #[error("a number has digits, and between them only spaces, hyphens, dots, slashes and brackets")]
    Characters,
    /// An extension that is no 1 to 10 digits.
    #[error("an extension has 1 to 10 digits after x, such as +3612345678x12")]
    Extension,
}

impl Phone {
    /// Reads a number as people write it: `+36 (30) 123-4567`, `0036 30/1234567`, with an extension after `x`, `ext`,
    /// `ext.` or `;ext=` (RFC 3966).
    pub fn parse(written: &str) -> Result<Phone, PhoneFault> {
        let written = written.trim();
        if written.len() > WRITTEN_MAX {
            return Err(PhoneFault::Length);
        }
        let lower = written.to_ascii_lowercase();
        let (number, extension) = match lower.split_once([';', 'x', 'e']) {
            None => (lower.as_str(), None),
            Some((number, _)) => {
                // What follows the number, with its mark.
                let rest = lower.get(number.len()..).unwrap_or_default();
                let digits = [";ext=", "ext.", "ext", "x"].iter().find_map(|mark| rest.strip_prefix(mark));
                (number, Some(digits.ok_or(PhoneFault::Characters)?.trim()))
            }
        };
        let number = number.trim();
        let rest =
            number.strip_prefix('+').or_else(|| number.strip_prefix("00")).ok_or(PhoneFault::NoCountry)?;
        let mut digits = String::with_capacity(16);
        digits.push('+');
        for character in rest.chars() {
            match character {
                '0'..='9' => digits.push(character),
                ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' => {}
                _ => return Err(PhoneFault::Characters),
            }
        }
        if !DIGITS.contains(&(digits.len() - 1)) || digits.starts_with("+0") {
            return Err(PhoneFault::Length);
        }
        let extension = match extension {
            Some(digits)
                if (1..=EXTENSION_MAX).contains(&digits.len())
                    && digits.bytes().all(|octet| octet.is_ascii_digit()) =>
            {
                Some(digits.into())
            }
            Some(_) => return Err(PhoneFault::Extension),
            None => None,
        };
        Ok(Phone { number: digits.into(), extension })
    }

    /// `+` and the digits, without the extension.
    pub fn number(&self) -> &str {
        &self.number
    }

    /// The digits alone, country code first, as some providers want them.
    pub fn digits(&self) -> &str {
        self.number.trim_start_matches('+')
    }

    /// The digits of the extension.
    pub fn extension(&self) -> Option<&str> {
        self.extension.as_deref()
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.number)?;
        match &self.extension {
            Some(extension) => write!(formatter, "x{extension}"),
            None => Ok(()),
        }
    }
}

/// What may be shown of a number or mail address to somebody who has only given a password: `···42`,
/// `m···@example.com`. Of anything else nothing.
#[must_use]
pub fn redact(address: &str) -> String {
    if let Ok(phone) = Phone::parse(address) {
        let digits = phone.digits();
        let tail = digits.get(digits.len().saturating_sub(2)..).unwrap_or_default();
        return format!("···{tail}");
    }
    match address.rsplit_once('@') {
        Some((local, domain)) if !domain.is_empty() => {
            let first: String = local.chars().take(1).collect();
            format!("{first}···@{domain}")
        }
        _ => "···".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<String, PhoneFault> {
        Phone::parse(text).map(|phone| phone.to_string())
    }

    #[test]
    fn a_number_is_read_however_people_group_it() {
        for text in ["+36301234567", " +36 30 123 4567 ", "+36-30/123.4567", "0036 (30) 1234567"] {
            assert_eq!(read(text).unwrap(), "+36301234567", "{text}");
        }
        for text in ["+3612345678x12", "+36 1 2345678 ext. 12", "+3612345678 EXT12", "+3612345678;ext=12"] {
            assert_eq!(read(text).unwrap(), "+3612345678x12", "{text}");
        }
    }

    #[test]
    fn what_is_no_international_number_is_refused_with_its_reason() {
        assert_eq!(read("06301234567"), Err(PhoneFault::NoCountry));
        assert_eq!(read(""), Err(PhoneFault::NoCountry));
        assert_eq!(read("+12345"), Err(PhoneFault::Length));
        assert_eq!(read("+1234567890123456"), Err(PhoneFault::Length));
        assert_eq!(read("+0612345678"), Err(PhoneFault::Length));
        assert_eq!(read("+36 30 CALL ME"), Err(PhoneFault::Characters));
        assert_eq!(read("+36301234567,,12"), Err(PhoneFault::Characters));
        assert_eq!(read("+36301234567;rm -rf"), Err(PhoneFault::Characters));
        assert_eq!(read("+3630123456\n7"), Err(PhoneFault::Characters));
        assert_eq!(read("+36301234567x"), Err(PhoneFault::Extension));
        assert_eq!(read("+36301234567x12345678901"), Err(PhoneFault::Extension));
    }

    #[test]
    fn little_of_an_address_is_shown() {
        assert_eq!(redact("+36 30 123 4542"), "···42");
        assert_eq!(redact("+3612345642x77"), "···42");
        assert_eq!(redact("mary@example.com"), "m···@example.com");
        assert_eq!(redact("nothing of the kind"), "···");
    }

    proptest! {
        #[test]
        fn what_was_read_is_read_again_alike(text in "(\\+|00)[1-9][0-9 ./()-]{4,20}(x[0-9]{1,12})?|.*") {
            if let Ok(phone) = Phone::parse(&text) {
                prop_assert_eq!(Phone::parse(&phone.to_string()), Ok(phone));
            }
        }
    }
}
