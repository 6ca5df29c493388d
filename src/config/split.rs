//! The text of a flag taken apart: `key=value` pairs between commas, quoted where a value holds one.
//!
//! ```text
//! name=asa-hq,address=10.1.0.4,prompt="Code, please:"
//! ```
//! A value that begins with `"` ends at the next one (`\"` and `\\` stand for themselves); one that begins with `'` ends
//! at the next `'` and knows no escapes. Any other value ends at the comma, and spaces around it do not count. A piece
//! without a key is a bare value.

/// One `key=value`, or a value alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The word before `=`.
    pub key: Option<String>,
    /// The value, quotes undone.
    pub value: String,
}

/// Why a flag's text cannot be taken apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {at}")]
pub struct SplitFault {
    /// What is wrong.
    pub what: &'static str,
    /// Where, in characters from 1.
    pub at: usize,
}

/// Takes `text` apart. Without `keyed` the pieces are values alone and `=` is an ordinary character.
pub fn split(text: &str, keyed: bool) -> Result<Vec<Piece>, SplitFault> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let here = rest.trim_start();
        let fault = |what, from: &str| SplitFault {
            what,
            at: text.chars().count().saturating_sub(from.chars().count()) + 1,
        };
        let (key, value) = if keyed { take_key(here) } else { (None, here) };
        let (value, after) = if let Some(quote @ ('"' | '\'')) = value.chars().next() {
            let (value, after) =
                take_quoted(value, quote).ok_or_else(|| fault("a quote that is never closed", value))?;
            let after = after.trim_start();
            let next = after.strip_prefix(',');
            if next.is_none() && !after.is_empty() {
                return Err(fault("something after a closing quote, without a comma", after));
            }
            (value, next)
        } else {
            let (value, after) =
                value.split_once(',').map_or((value, None), |(value, after)| (value, Some(after)));
            let value = value.trim_end();
            if key.is_none() && value.is_empty() {
                return Err(fault("nothing where a value should be", here));
            }
            (value.to_owned(), after)
        };
        pieces.push(Piece { key: key.map(str::to_owned), value });
        match after {
            Some(next) => rest = next,
            None => return Ok(pieces),
        }
    }
}

/// `value` so that [`split`] reads it back: as it is where it can be, else between double quotes.
#[must_use]
pub fn quote(value: &str) -> String {
    let bare = !value.is_empty()
        && !value.contains(',')
        && !value.starts_with(['"', '\''])
        && value.trim().len() == value.len();
    if bare {
        return value.to_owned();
    }
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// The key before `=`, where what stands before it looks like one, and what follows.
fn take_key(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((key, value)) if is_key(key.trim_end()) => (Some(key.trim_end()), value.trim_start()),
        _ => (None, text),
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
}

/// The value between quotes at the beginning of `text`, and what follows; `None` when the quote is never closed.
fn take_quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if quote == '"' => {
                let (_, escaped) = characters.next()?;
                if !matches!(escaped, '"' | '\\') {
                    value.push('\\');
                }
                value.push(escaped);
            }
            _ if character == quote => return Some((value, text.get(at + character.len_utf8()..)?)),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let pieces = split(text, true).unwrap();
        pieces.into_iter().map(|piece| (piece.key.unwrap_or_else(|| "-".into()), piece.value)).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.into(), value.into())
    }

    #[test]
    fn pairs_stand_between_commas() {
        assert_eq!(pairs("name=nas, address = 10.0.0.1"), [pair("name", "nas"), pair("address", "10.0.0.1")]);
        assert_eq!(pairs("secret=a=b"), [pair("secret", "a=b")]);
        assert_eq!(pairs("reference="), [pair("reference", "")]);
        assert_eq!(pairs("127.0.0.1:8443,x=1"), [pair("-", "127.0.0.1:8443"), pair("x", "1")]);
    }

    #[test]
    fn quotes_keep_commas_together() {
        assert_eq!(pairs(r#"a="x, \"y\"",b='z\,'"#), [pair("a", r#"x, "y""#), pair("b", r"z\,")]);
        assert_eq!(pairs(r#"a=say "x""#), [pair("a", r#"say "x""#)]);
        assert_eq!(pairs(r#"a="",b=1"#), [pair("a", ""), pair("b", "1")]);
    }

    #[test]
    fn what_cannot_be_taken_apart_is_said_with_its_place() {
        let said = |text| split(text, true).unwrap_err().to_string();
        assert_eq!(said("a=1,b=\"x"), "a quote that is never closed at character 7");
        assert_eq!(said("a='x'y"), "something after a closing quote, without a comma at character 6");
        assert_eq!(said("a=1,,b=2"), "nothing where a value should be at character 5");
        assert_eq!(said("a=1,"), "nothing where a value should be at character 5");
        assert_eq!(said(""), "nothing where a value should be at character 1");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_splitter_panic(text in ".*", keyed: bool) {
            match split(&text, keyed) {
                Ok(pieces) => prop_assert!(!pieces.is_empty()),
                Err(fault) => prop_assert!(fault.at >= 1 && fault.at <= text.chars().count() + 1),
            }
        }

        #[test]
        fn what_is_quoted_is_read_back(values in prop::collection::vec("[a-z ,\"'\\\\=\\PC]{0,12}", 1..5)) {
            let text: Vec<String> = values.iter().map(|value| format!("key={}", quote(value))).collect();
            let read = split(&text.join(","), true).unwrap();
            prop_assert_eq!(read.into_iter().map(|piece| piece.value).collect::<Vec<_>>(), values);
        }
    }
}
