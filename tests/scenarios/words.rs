//! One line of a scenario, cut into words.

use std::time::Duration;

use radmfa::base::text::unhex;
use radmfa::wire::AttributeList;

/// A word: `accept`, `"a text\r\n"`, `Class=0x01`, `station="a b"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// What stands before `=`.
    pub key: Option<String>,
    pub value: Vec<u8>,
    pub quoted: bool,
}

impl Word {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }

    /// Whether it is this bare word.
    pub fn is(&self, word: &str) -> bool {
        self.key.is_none() && !self.quoted && self.value == word.as_bytes()
    }
}

/// The words of a line; none of an empty line or a comment.
pub fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut found = Vec::new();
    let mut letters = line.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        if letters.peek().is_none_or(|letter| *letter == '#') {
            return Ok(found);
        }
        let mut word = Word { key: None, value: Vec::new(), quoted: false };
        while let Some(letter) = letters.next_if(|letter| !letter.is_whitespace()) {
            match letter {
                '"' => {
                    word.quoted = true;
                    quoted(&mut letters, &mut word.value)?;
                }
                '=' if word.key.is_none() && !word.quoted && !word.value.is_empty() => {
                    word.key = Some(word.text());
                    word.value.clear();
                }
                _ => word.value.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        found.push(word);
    }
}

fn quoted(letters: &mut impl Iterator<Item = char>, value: &mut Vec<u8>) -> Result<(), String> {
    loop {
        let letter = letters.next().ok_or("a quotation mark is missing")?;
        let octet = match letter {
            '"' => return Ok(()),
            '\\' => match letters.next().ok_or("a line ends in a backslash")? {
                'r' => b'\r',
                'n' => b'\n',
                '0' => 0,
                'x' => {
                    let digits: String = letters.take(2).collect();
                    *unhex(&digits)
                        .and_then(|octets| octets.first().copied())
                        .as_ref()
                        .ok_or("\\x takes two digits")?
                }
                other => {
                    value.extend(other.encode_utf8(&mut [0; 4]).bytes());
                    continue;
                }
            },
            other => {
                value.extend(other.encode_utf8(&mut [0; 4]).bytes());
                continue;
            }
        };
        value.push(octet);
    }
}

/// `90s`, `119.9s`, `250ms`, `5m`, `1h`.
pub fn span(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{text}` is no span of time")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("`{text}` is no span of time"))?;
    Ok(Duration::from_nanos((number * seconds * 1e9).round() as u64))
}

/// A value of an attribute: `0x0102`, `"text"`, or an integer of four octets.
pub fn value(word: &Word) -> Result<Vec<u8>, String> {
    if word.quoted {
        return Ok(word.value.clone());
    }
    let text = word.text();
    if let Some(digits) = text.strip_prefix("0x") {
        return unhex(digits).ok_or_else(|| format!("`{text}` is no hexadecimal"));
    }
    let number: u32 = text.parse().map_err(|_| format!("`{text}` is no value"))?;
    Ok(number.to_be_bytes().to_vec())
}

/// The attributes that scenarios speak of.
pub fn attribute(name: &str) -> Option<u8> {
    Some(match name {
        "Service-Type" => 6,
        "Framed-IP-Address" => 8,
        "Filter-Id" => 11,
        "Reply-Message" => 18,
        "Class" => 25,
        "Vendor-Specific" => 26,
        "Session-Timeout" => 27,
        "Idle-Timeout" => 28,
        "Prompt" => 76,
        _ => return None,
    })
}

/// Those of `words` that are attributes, in order.
pub fn attributes(words: &[Word]) -> Result<Vec<(u8, Vec<u8>)>, String> {
    words
        .iter()
        .filter_map(|word| attribute(word.key.as_deref()?).map(|number| Ok((number, value(word)?))))
        .collect()
}

/// Attributes as the primary sends them.
pub fn list(attributes: &[(u8, Vec<u8>)]) -> AttributeList {
    let mut list = AttributeList::new();
    for (number, value) in attributes {
        list.push(*number, value).unwrap();
    }
    list
}

#[test]
fn words_are_cut_at_spaces_outside_quotation_marks() {
    let found = words(r#"> "a b" station="c \"d\x1b" Class=0x01 code # rest"#).unwrap();
    let plain = |value: &[u8], key: Option<&str>, quoted| Word {
        key: key.map(str::to_owned),
        value: value.to_vec(),
        quoted,
    };
    assert_eq!(
        found,
        [
            plain(b">", None, false),
            plain(b"a b", None, true),
            plain(b"c \"d\x1b", Some("station"), true),
            plain(b"0x01", Some("Class"), false),
            plain(b"code", None, false),
        ]
    );
    assert!(words(r#"> "open"#).is_err());
}
