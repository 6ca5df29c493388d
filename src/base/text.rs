//! Text that an attacker may have written, made fit for a log line or a terminal (protocol: log injection).

use std::fmt::Write as _;

/// `octets` as text in which control, escape and bidirectional characters, and octets that are no UTF-8, stand as
/// `\u{…}` or `\x..`. The result is one line, and a backslash in it is always doubled, so it can be read back.
#[must_use]
pub fn escape(octets: &[u8]) -> String {
    // Almost everything is plain, and a station's name is escaped at every login.
    let plain = |octet: &u8| matches!(octet, b' '..=b'~') && *octet != b'\\';
    if octets.iter().all(plain)
        && let Ok(text) = std::str::from_utf8(octets)
    {
        return text.to_owned();
    }
    let mut line = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => line.push_str("\\\\"),
                _ if is_unprintable(character) => {
                    let _infallible = write!(line, "\\u{{{:x}}}", u32::from(character));
                }
                _ => line.push(character),
            }
        }
        for octet in chunk.invalid() {
            let _infallible = write!(line, "\\x{octet:02x}");
        }
    }
    line
}

/// Characters that change what a terminal or a reader sees, or that cannot be seen: controls, line and paragraph
/// separators, bidirectional marks, and all that Unicode calls default-ignorable, with the blanks that are no space.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{1806}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFFC}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}')
}

/// `text` on one line, whatever could move a cursor replaced.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_unprintable(c) { '?' } else { c }).collect()
}

/// `1,234,567`.
#[must_use]
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 token`, `2 tokens`.
#[must_use]
pub fn count(number: usize, thing: &str) -> String {
    let grouped = grouped(number);
    if number == 1 { format!("{grouped} {thing}") } else { format!("{grouped} {thing}s") }
}

/// Lower-case hexadecimal digits of `octets`.
#[must_use]
pub fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().saturating_mul(2));
    for octet in octets {
        let _infallible = write!(text, "{octet:02x}");
    }
    text
}

/// The octets that an even number of hexadecimal digits stands for; `None` for anything else.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() / 2);
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    for &[high, low] in pairs {
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        octets.push((nibble(high)? << 4) | nibble(low)?);
    }
    odd.is_empty().then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_are_spelled_out() {
        assert_eq!(escape(b"eve\r\n\x1b[31m\0"), r"eve\u{d}\u{a}\u{1b}[31m\u{0}");
        assert_eq!(escape("a\u{202e}b".as_bytes()), r"a\u{202e}b");
        assert_eq!(escape(b"\xff\\"), r"\xff\\");
        assert_eq!(escape("Zoë".as_bytes()), "Zoë");
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(unhex(&hex(&[0, 15, 255])), Some(vec![0, 15, 255]));
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("zz"), None);
    }
}
