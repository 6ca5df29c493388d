//! A text cut into the messages that carry it: GSM-7 or UCS-2, one, or several that a phone puts together again.
//!
//! GSM-7 goes unpacked, a septet an octet, as `data_coding` 0 asks for; UCS-2 as big-endian units under `data_coding` 8.
//! A part's header of user data is that of TS 23.040 §9.2.3.24.1: reference, how many, which one.

use super::super::gsm::{Alphabet, measure, septets};

/// `data_coding` (SMPP 3.4 §5.2.19): the default alphabet.
const GSM: u8 = 0;
/// UCS-2.
const UCS2: u8 = 8;

/// One or more parts of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) data_coding: u8,
    /// Each without its header of user data.
    pub(super) parts: Vec<Vec<u8>>,
}

/// `text` in parts, or whole where `whole` is said.
pub(super) fn split(text: &str, whole: bool) -> Parts {
    let alphabet = measure(text).alphabet;
    let letters: Vec<Vec<u8>> = text
        .chars()
        .map(|letter| match (alphabet, septets(letter)) {
            (Alphabet::Gsm7, Some((true, septet))) => vec![0x1B, septet],
            (Alphabet::Gsm7, Some((false, septet))) => vec![septet],
            _ => letter.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        })
        .collect();
    let (data_coding, alone, most) = match alphabet {
        Alphabet::Gsm7 => (GSM, 160, 153),
        Alphabet::Ucs2 => (UCS2, 140, 134),
    };
    let length: usize = letters.iter().map(Vec::len).sum();
    if whole || length <= alone {
        return Parts { data_coding, parts: vec![letters.concat()] };
    }
    let mut parts = vec![Vec::new()];
    for letter in letters {
        match parts.last_mut() {
            Some(part) if part.len() + letter.len() <= most => part.extend(letter),
            _ => parts.push(letter),
        }
    }
    Parts { data_coding, parts }
}

/// The header of user data of part `number` (from 1) of `count`, and the part.
pub(super) fn with_header(reference: u8, count: usize, number: usize, part: &[u8]) -> Vec<u8> {
    let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    [&[5, 0, 3, reference, byte(count), byte(number)], part].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_one_message_and_a_long_one_is_cut_between_letters() {
        assert_eq!(split("a@€", false), Parts { data_coding: GSM, parts: vec![vec![0x61, 0, 0x1B, 0x65]] });
        assert_eq!(split("ő", false), Parts { data_coding: UCS2, parts: vec![vec![0x01, 0x51]] });
        let long = split(&"€".repeat(100), false);
        let lengths: Vec<usize> = long.parts.iter().map(Vec::len).collect();
        assert_eq!(lengths, [152, 48]);
        let long = split(&format!("{}🙂", "ő".repeat(70)), false);
        let lengths: Vec<usize> = long.parts.iter().map(Vec::len).collect();
        assert_eq!(lengths, [134, 10]);
        assert_eq!(split(&"a".repeat(500), true).parts.len(), 1);
        assert_eq!(with_header(9, 2, 1, b"x"), [5, 0, 3, 9, 2, 1, b'x']);
    }

    #[test]
    fn as_many_parts_are_made_as_are_counted() {
        for text in ["a".repeat(400), "€".repeat(153), "ő".repeat(135), "é".repeat(160)] {
            assert_eq!(split(&text, false).parts.len(), measure(&text).parts, "{text}");
        }
    }
}
