//! What people read, by language: `messages/*.toml`, embedded.
//!
//! A key is `table.name`; `{words}` in braces are filled in. Each layer reads the tables of its own: prompts of gateways (`engine/words.rs`),
//! what is sent (`delivery/text.rs`), pages (`portal/web/words.rs`). A further language is a file with the same keys, and no more: the build
//! lists what is there (`build.rs`).

use std::collections::HashMap;
use std::sync::LazyLock;

/// Language as in RFC 5646, in lower case; the file. The first is English.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/languages.rs"));

static TEXTS: LazyLock<Vec<HashMap<String, String>>> =
    LazyLock::new(|| FILES.iter().map(|(_, file)| read(file)).collect());

/// A language that there are texts in. English by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Language(u8);

impl Language {
    /// For whoever reads no other.
    pub const ENGLISH: Language = Language(0);

    /// Every language, English first.
    pub fn all() -> impl Iterator<Item = Language> {
        (0..=u8::MAX).zip(FILES).map(|(place, _)| Language(place))
    }

    /// The language of a tag such as `hu` or `en-GB` (RFC 5646), whatever its region; `None` where there are no texts in it.
    #[must_use]
    pub fn find(tag: &str) -> Option<Language> {
        Language::exactly(tag.trim().split(['-', '_']).next().unwrap_or_default())
    }

    /// The language called `code`, which names no region; `None` where there are no texts in it.
    #[must_use]
    pub fn exactly(code: &str) -> Option<Language> {
        let place = FILES.iter().position(|(known, _)| known.eq_ignore_ascii_case(code))?;
        u8::try_from(place).ok().map(Language)
    }

    /// Its code, in lower case.
    #[must_use]
    pub fn code(self) -> &'static str {
        FILES.get(self.place()).map_or("", |(code, _)| code)
    }

    /// Its place among all, from 0 on.
    #[must_use]
    pub fn place(self) -> usize {
        self.0.into()
    }

    /// The text of a key.
    #[must_use]
    pub fn text(self, key: &str) -> Option<&'static str> {
        TEXTS.get(self.place())?.get(key).map(String::as_str)
    }

    /// The text of a key; of one that is not known, the key.
    #[must_use]
    pub fn say(self, key: &'static str) -> &'static str {
        self.text(key).unwrap_or(key)
    }
}

/// `text` with its `{words}` filled in; what is filled in is not read again, and a word that nothing is given for stands.
#[must_use]
pub fn fill(text: &str, filled: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        match filled.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => out.push_str(value),
            None => out.extend(["{", name, "}"]),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn read(file: &str) -> HashMap<String, String> {
    let mut texts = HashMap::new();
    #[expect(clippy::expect_used, reason = "the file is part of the program, and a test reads it")]
    let table: toml::Table = file.parse().expect("an embedded file of messages");
    for (name, value) in &table {
        match value {
            toml::Value::Table(inner) => {
                let keys = inner.iter().filter_map(|(key, value)| Some((key, value.as_str()?)));
                texts.extend(keys.map(|(key, text)| (format!("{name}.{key}"), text.to_owned())));
            }
            other => texts.extend(other.as_str().map(|text| (name.clone(), text.to_owned()))),
        }
    }
    texts
}

/// The keys that there are in a language, for tests of those who read them.
#[cfg(test)]
pub(crate) fn keys(language: Language) -> Vec<&'static str> {
    let mut keys: Vec<_> = TEXTS[language.place()].keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The `{words}` of a text.
    fn slots(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
    }

    /// What reasons mean is written in English where they are declared (`engine/reason.rs`), and nowhere else.
    fn is_reason(key: &str) -> bool {
        key.starts_with("reason.")
    }

    #[test]
    fn every_language_has_the_same_keys_with_the_same_words_to_fill_in() {
        let english: BTreeSet<_> = keys(Language::ENGLISH).into_iter().collect();
        assert!(english.len() > 300 && !english.iter().any(|key| is_reason(key)));
        for language in Language::all().skip(1) {
            let here: BTreeSet<_> = keys(language).into_iter().filter(|key| !is_reason(key)).collect();
            let apart: Vec<_> = english.symmetric_difference(&here).collect();
            assert!(apart.is_empty(), "not in both en and {}: {apart:?}", language.code());
            for key in here {
                let (text, original) = (language.say(key), Language::ENGLISH.say(key));
                assert_eq!(slots(text), slots(original), "{key} in {}", language.code());
                assert!(!text.trim().is_empty(), "{key} in {} is empty", language.code());
            }
        }
    }

    #[test]
    fn a_language_is_found_by_its_tag_and_one_that_is_not_there_is_not() {
        assert_eq!(Language::ENGLISH.code(), "en");
        assert_eq!(Language::default(), Language::ENGLISH);
        for tag in ["hu", "HU", "hu-HU", "hu_HU", " hu "] {
            assert_eq!(Language::find(tag).map(Language::code), Some("hu"), "{tag}");
        }
        for tag in ["", "-", "xx", "hun", "h", "*"] {
            assert_eq!(Language::find(tag), None, "{tag}");
        }
        assert_eq!(Language::exactly("en-gb"), None);
        assert_eq!(Language::all().count(), FILES.len());
        for language in Language::all() {
            assert_eq!(Language::exactly(language.code()), Some(language));
        }
    }

    #[test]
    fn what_is_filled_in_is_not_read_again() {
        assert_eq!(fill("{a} and {b}{", &[("a", "{b}"), ("b", "2")]), "{b} and 2{");
        assert_eq!(fill("{a}", &[]), "{a}");
        assert_eq!(Language::ENGLISH.say("no.such"), "no.such");
    }
}
