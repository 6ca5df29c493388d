//! Makes text from the network safe to show, and reads it back.
//!
//! Values come from whoever talks to a gateway: a User-Name with an ANSI sequence would write on the
//! admin's terminal, one with a bidirectional override would show another name than it holds.

use std::fmt::Write as _;

use crate::base::text::is_unprintable;

/// Escapes whatever does not show as itself: controls, invalid UTF-8, bidirectional and invisible characters,
/// the backslash and the double quote. [`unescape`] gives the same octets back.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push(&mut text, character);
        }
        for byte in chunk.invalid() {
            push_byte(&mut text, *byte);
        }
    }
    text
}

/// Reads what [`escape`] wrote; a plain text without a backslash is taken as it is.
///
/// # Errors
/// A backslash that begins none of `\\ \" \n \r \t \xHH \u{HEX}`: the octet where it stands.
pub fn unescape(text: &str) -> Result<Vec<u8>, usize> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(place);
        bytes.extend_from_slice(plain.as_bytes());
        rest = unescape_one(escaped, &mut bytes).ok_or(text.len() - escaped.len())?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Reads the one escape that `text` begins with and returns what follows it.
fn unescape_one<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let mut characters = text.chars();
    characters.next()?;
    let simple = match characters.next()? {
        'x' => {
            let digits = characters.as_str().get(..2)?;
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex(digits))?);
            return characters.as_str().get(2..);
        }
        'u' => {
            let (digits, rest) = characters.as_str().strip_prefix('{')?.split_once('}')?;
            let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex(digits))?;
            let character = char::from_u32(code)?;
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(rest);
        }
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        '\\' => b'\\',
        '"' => b'"',
        _ => return None,
    };
    bytes.push(simple);
    Some(characters.as_str())
}

/// `from_str_radix` takes a sign, which is no digit here.
fn is_hex(digits: &str) -> bool {
    digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn push(text: &mut String, character: char) {
    match character {
        '\\' => text.push_str("\\\\"),
        '"' => text.push_str("\\\""),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        '\0'..=' ' | '\x7f' if character != ' ' => push_byte(text, character as u8),
        hidden if is_unprintable(hidden) => push_code(text, hidden),
        plain => text.push(plain),
    }
}

fn push_byte(text: &mut String, byte: u8) {
    write!(text, "\\x{byte:02x}").unwrap_or_default();
}

fn push_code(text: &mut String, character: char) {
    write!(text, "\\u{{{:x}}}", u32::from(character)).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_terminal_sees_no_control_and_no_direction_change() {
        assert_eq!(escape(b"a\x1b[31mb"), "a\\x1b[31mb");
        assert_eq!(escape("al\u{202e}ice".as_bytes()), "al\\u{202e}ice");
        assert_eq!(escape(b"\xff\x00\x7f"), "\\xff\\x00\\x7f");
        assert_eq!(escape("\u{85}".as_bytes()), "\\u{85}");
        assert_eq!(escape("Grüße \"x\\y\"".as_bytes()), "Grüße \\\"x\\\\y\\\"");
    }

    #[test]
    fn an_unknown_escape_names_its_place() {
        for text in ["ab\\q", "ab\\", "ab\\x1", "ab\\x+1", "ab\\u{110000}", "ab\\u{", "ab\\u{+1}", "ab\\xé"]
        {
            assert_eq!(unescape(text), Err(2), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_escaped_reads_back(bytes: Vec<u8>) {
            let text = escape(&bytes);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert_eq!(unescape(&text), Ok(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = unescape(&text);
        }
    }
}
