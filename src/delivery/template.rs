//! Text with places to be filled: `{to}|{text}`.
//!
//! A place is a known word between braces; any other brace stands for itself, so JSON can be written as it is. A word
//! between braces that is not known is a mistake, found when the configuration is read. What is filled in is escaped for
//! where it goes; what the admin wrote around it is not touched.

use std::borrow::Cow;
use std::fmt::Write as _;

use zeroize::Zeroizing;

/// What a place stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The number with its `+`, without extension; or the mail address.
    To,
    /// The number's digits alone.
    ToDigits,
    /// The extension's digits, or nothing.
    Extension,
    /// The sender.
    From,
    /// The whole text.
    Text,
    /// The whole text as XML has it, for instructions to a voice service.
    TextXml,
    /// The subject of a mail.
    Subject,
    /// The code; in a text that is spoken, digit by digit.
    Code,
    /// The client that the user logs in to.
    App,
    /// The server's name.
    Server,
    /// How many minutes the code is good for, rounded down, at least 1.
    Minutes,
    /// The user's first name, or nothing.
    First,
    /// The language of the text.
    Language,
    /// `text` where the text fits GSM-7, else `unicode`.
    Alphabet,
    /// `0` where the text fits GSM-7, else `2`.
    Coding,
    /// The login's name at the provider.
    Username,
    /// The password at the provider.
    Password,
    /// The token at the provider.
    Token,
    /// What names the delivery, the same if it is sent again to the same provider.
    Id,
    /// Where the answer to a question is sent, such as the key that was pressed in a call.
    Callback,
    /// What names the question in its answer.
    Reference,
}

/// Every place with its word.
const WORDS: &[(&str, Slot)] = &[
    ("to", Slot::To),
    ("to-digits", Slot::ToDigits),
    ("extension", Slot::Extension),
    ("from", Slot::From),
    ("text", Slot::Text),
    ("text-xml", Slot::TextXml),
    ("subject", Slot::Subject),
    ("code", Slot::Code),
    ("app", Slot::App),
    ("server", Slot::Server),
    ("minutes", Slot::Minutes),
    ("first", Slot::First),
    ("language", Slot::Language),
    ("alphabet", Slot::Alphabet),
    ("coding", Slot::Coding),
    ("username", Slot::Username),
    ("password", Slot::Password),
    ("token", Slot::Token),
    ("id", Slot::Id),
    ("callback", Slot::Callback),
    ("reference", Slot::Reference),
];

/// The places of a text for people.
pub const IN_TEXTS: &[Slot] = &[Slot::Code, Slot::App, Slot::Server, Slot::Minutes, Slot::First];

/// The places of a request to a provider.
pub const IN_REQUESTS: &[Slot] = &[
    Slot::To,
    Slot::ToDigits,
    Slot::Extension,
    Slot::From,
    Slot::Text,
    Slot::TextXml,
    Slot::Subject,
    Slot::Code,
    Slot::App,
    Slot::Server,
    Slot::Minutes,
    Slot::First,
    Slot::Language,
    Slot::Alphabet,
    Slot::Coding,
    Slot::Username,
    Slot::Password,
    Slot::Token,
    Slot::Id,
    Slot::Callback,
    Slot::Reference,
];

/// How what is filled in is made safe for where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As it is.
    Raw,
    /// `application/x-www-form-urlencoded`, and parts of a URL: everything but RFC 3986's unreserved characters becomes
    /// `%XX`.
    Percent,
    /// Within a JSON string.
    Json,
    /// Within XML's text or an attribute.
    Xml,
}

/// A text with places, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    written: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Slot(Slot),
}

/// A word between braces that is no place, or none here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {{{word}}} here")]
pub struct TemplateFault {
    /// It.
    pub word: String,
    /// What there is.
    pub known: Vec<&'static str>,
}

impl Template {
    /// Reads `written`, in which the places of `allowed` may stand.
    pub fn parse(written: &str, allowed: &[Slot]) -> Result<Template, TemplateFault> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = written;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            let word = after.split_once('}').map(|(word, _)| word).filter(|word| is_word(word));
            rest = after;
            let Some(word) = word else {
                literal.push('{');
                continue;
            };
            let slot = WORDS.iter().find(|(known, slot)| *known == word && allowed.contains(slot));
            let Some((_, slot)) = slot else {
                return Err(TemplateFault {
                    word: word.to_owned(),
                    known: WORDS
                        .iter()
                        .filter(|(_, slot)| allowed.contains(slot))
                        .map(|(word, _)| *word)
                        .collect(),
                });
            };
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Slot(*slot));
            rest = after.split_once('}').map_or("", |(_, after)| after);
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Template { written: written.to_owned(), pieces })
    }

    /// The text as the admin wrote it.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Whether `slot` stands in it.
    pub fn has(&self, slot: Slot) -> bool {
        self.pieces.contains(&Piece::Slot(slot))
    }

    /// What stands before the first place.
    pub fn head(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Literal(literal)) => literal,
            _ => "",
        }
    }

    /// The text with every place filled and escaped. Wiped when dropped, since it may hold a code or a password.
    pub fn fill<'a>(&self, escape: Escape, value: impl Fn(Slot) -> Cow<'a, str>) -> Zeroizing<String> {
        // Room at the start: a string that grows leaves unwiped copies behind.
        let mut text = Zeroizing::new(String::with_capacity(self.written.len() + 1024));
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Slot(slot) => escape.push(&mut text, &value(*slot)),
            }
        }
        text
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-')
}

impl Escape {
    /// Adds `value`, escaped, to `text`.
    pub fn push(self, text: &mut String, value: &str) {
        match self {
            Escape::Raw => text.push_str(value),
            Escape::Percent => {
                for octet in value.bytes() {
                    if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
                        text.push(char::from(octet));
                    } else {
                        let _infallible = write!(text, "%{octet:02X}");
                    }
                }
            }
            Escape::Json => {
                for character in value.chars() {
                    match character {
                        '"' | '\\' => text.extend(['\\', character]),
                        '\n' => text.push_str("\\n"),
                        _ if character.is_control() => {
                            let _infallible = write!(text, "\\u{:04x}", u32::from(character));
                        }
                        _ => text.push(character),
                    }
                }
            }
            Escape::Xml => {
                for character in value.chars() {
                    match character {
                        '&' => text.push_str("&amp;"),
                        '<' => text.push_str("&lt;"),
                        '>' => text.push_str("&gt;"),
                        '"' => text.push_str("&quot;"),
                        '\'' => text.push_str("&apos;"),
                        _ => text.push(character),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(written: &str, escape: Escape, value: &str) -> String {
        let template = Template::parse(written, IN_REQUESTS).unwrap();
        template.fill(escape, |_| value.to_owned().into()).to_string()
    }

    #[test]
    fn only_known_words_between_braces_are_places() {
        assert_eq!(fill("{to}|{text}", Escape::Raw, "x"), "x|x");
        assert_eq!(fill(r#"{"a":{"b":"{to}"},"c":[{}]}"#, Escape::Json, "x"), r#"{"a":{"b":"x"},"c":[{}]}"#);
        assert_eq!(fill("{ {TO} {to", Escape::Raw, "x"), "{ {TO} {to");
        let fault = Template::parse("code {cdoe}", IN_TEXTS).unwrap_err();
        assert_eq!(fault.to_string(), "there is no {cdoe} here");
        assert_eq!(fault.known, ["code", "app", "server", "minutes", "first"]);
        assert!(Template::parse("{password}", IN_TEXTS).is_err());
    }

    #[test]
    fn what_is_filled_in_is_escaped_and_what_is_around_it_is_not() {
        assert_eq!(fill("a=1&b={text}", Escape::Percent, "x&y=z é"), "a=1&b=x%26y%3Dz%20%C3%A9");
        assert_eq!(fill("<Say>{text}</Say>", Escape::Xml, "<&\"'>"), "<Say>&lt;&amp;&quot;&apos;&gt;</Say>");
    }

    proptest! {
        #[test]
        fn json_stays_json_whatever_is_filled_in(value in "\\PC*|.*") {
            let filled = fill(r#"{"to":"{to}"}"#, Escape::Json, &value);
            let read: serde_json::Value = serde_json::from_str(&filled).unwrap();
            prop_assert_eq!(read["to"].as_str(), Some(value.as_str()));
        }

        #[test]
        fn a_percent_encoded_value_holds_nothing_that_divides(value in "\\PC*|.*") {
            let filled = fill("{to}", Escape::Percent, &value);
            prop_assert!(!filled.contains(['&', '=', '/', '?', '#', ' ', '+', '\r', '\n', '@', ':']));
        }

        #[test]
        fn no_text_makes_the_reader_panic(written in "[{}a-z\\-]{0,20}|.*") {
            if let Ok(template) = Template::parse(&written, IN_REQUESTS) {
                prop_assert_eq!(template.written(), written);
            }
        }
    }
}
