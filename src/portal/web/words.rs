//! What pages say, by language: `messages/*.toml`, embedded.
//!
//! A key is `table.name`; `{words}` in braces are filled in. A further language is a file with the same keys, and no more: the build
//! lists what is there (`build.rs`). The texts are ours, so they may hold no markup: what is filled in is escaped with them, by the page.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

/// Language as in RFC 5646, in lower case; the file. The first is for whoever reads none of them.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/languages.rs"));

static LANGUAGES: LazyLock<Vec<Language>> = LazyLock::new(|| FILES.iter().map(read).collect());

#[derive(Debug)]
struct Language {
    code: &'static str,
    texts: HashMap<String, String>,
}

/// The words of one language.
#[derive(Clone, Copy, Debug)]
pub struct Words(&'static Language);

impl Words {
    /// The first of `wanted` (tags such as `hu` or `en-GB`) that there are words for, or else English.
    pub fn choose<'a>(wanted: impl IntoIterator<Item = &'a str>) -> Words {
        let known = |tag: &str| {
            let primary = tag.trim().split(['-', '_']).next().unwrap_or_default();
            LANGUAGES.iter().find(|language| language.code.eq_ignore_ascii_case(primary))
        };
        Words(wanted.into_iter().find_map(known).unwrap_or_else(english))
    }

    /// By the browser's Accept-Language.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Words {
        Words::for_user(None, headers)
    }

    /// By the user's own language, or else the browser's.
    #[must_use]
    pub fn for_user(own: Option<&str>, headers: &HeaderMap) -> Words {
        let asked = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut tags: Vec<(&str, f32)> = asked.split(',').take(16).map(weighed).collect();
        tags.retain(|(_, weight)| *weight > 0.0);
        // Those of one weight stay in their order.
        tags.sort_by(|left, right| right.1.total_cmp(&left.1));
        Words::choose(own.into_iter().chain(tags.into_iter().map(|(tag, _)| tag)))
    }

    /// The language's code: what `lang` of a page is.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code
    }

    /// Every language: its code and its own name.
    pub fn languages() -> impl Iterator<Item = (&'static str, &'static str)> {
        LANGUAGES.iter().map(|language| (language.code, Words(language).say("language")))
    }

    /// The text of a key; of one that is not known, the key.
    #[must_use]
    pub fn say(self, key: &'static str) -> &'static str {
        self.0.texts.get(key).map_or(key, String::as_str)
    }

    /// The text of a key with its `{words}` filled in, once each: what is filled in is not read again.
    #[must_use]
    pub fn with(self, key: &'static str, filled: &[(&str, &str)]) -> String {
        let mut text = String::new();
        let mut rest = self.say(key);
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let Some((name, behind)) = after.split_once('}') else {
                text.push('{');
                rest = after;
                continue;
            };
            match filled.iter().find(|(known, _)| *known == name) {
                Some((_, value)) => text.push_str(value),
                None => text.extend(["{", name, "}"]),
            }
            rest = behind;
        }
        text.push_str(rest);
        text
    }
}

fn english() -> &'static Language {
    #[expect(clippy::expect_used, reason = "the first of a list that is not empty")]
    LANGUAGES.first().expect("English")
}

fn weighed(part: &str) -> (&str, f32) {
    let (tag, parameters) = part.split_once(';').unwrap_or((part, ""));
    let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |text| text.trim().parse().ok());
    (tag.trim(), weight.filter(|weight: &f32| weight.is_finite()).unwrap_or(0.0))
}

fn read((code, file): &(&'static str, &'static str)) -> Language {
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
    Language { code, texts }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The `{words}` of a text.
    fn slots(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
    }

    fn sources(folder: &Path, into: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_language_has_the_same_keys_with_the_same_words_to_fill_in() {
        let english = &LANGUAGES[0];
        for language in &LANGUAGES[1..] {
            let keys = |language: &Language| language.texts.keys().cloned().collect::<BTreeSet<_>>();
            let (left, right) = (keys(english), keys(language));
            let apart: Vec<_> = left.symmetric_difference(&right).collect();
            assert!(apart.is_empty(), "not in both en and {}: {apart:?}", language.code);
            for (key, text) in &language.texts {
                assert_eq!(slots(text), slots(&english.texts[key]), "{key} in {}", language.code);
                assert!(!text.trim().is_empty(), "{key} in {} is empty", language.code);
            }
        }
    }

    #[test]
    fn every_key_is_used_and_every_key_that_is_used_is_there() {
        let mut all = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/portal"), &mut all);
        for key in LANGUAGES[0].texts.keys() {
            assert!(all.contains(&format!("\"{key}\"")), "no page says {key}");
        }
        let mut used = 0;
        for call in [".say", ".with"] {
            for after in all.split(&format!("{call}(")).skip(1) {
                let Some(rest) = after.trim_start().strip_prefix('"') else { continue };
                let key = rest.split('"').next().unwrap();
                used += 1;
                assert!(
                    LANGUAGES[0].texts.contains_key(key) || key == "no.such",
                    "there is no message {key}"
                );
            }
        }
        assert!(used > 5, "this test looks for the wrong calls");
    }

    #[test]
    fn what_is_filled_in_is_not_read_again() {
        let words = Words::choose(["en"]);
        let filled = words.with("fault.foreign", &[("url", "{url}{other}")]);
        assert!(filled.contains("at {url}{other} and"), "{filled}");
        assert!(words.with("fault.foreign", &[]).contains("{url}"));
        assert_eq!(words.say("no.such"), "no.such");
    }

    #[test]
    fn the_own_language_goes_before_the_browsers_and_english_is_for_everybody_else() {
        let chosen = |own: Option<&str>, accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, accept.parse().unwrap());
            Words::for_user(own, &headers).code()
        };
        assert_eq!(chosen(Some("hu"), "en"), "hu");
        assert_eq!(chosen(Some("xx"), "hu"), "hu");
        assert_eq!(chosen(None, "hu-HU,hu;q=0.9,en;q=0.8"), "hu");
        assert_eq!(chosen(None, "en;q=0.2, hu;q=0.9"), "hu");
        assert_eq!(chosen(None, "hu;q=0, en"), "en");
        for rubbish in ["", "*", "xx", ";;;,,,", "hu;q=NaN", "q=1"] {
            assert_eq!(chosen(None, rubbish), "en", "{rubbish}");
        }
        assert_eq!(Words::languages().next(), Some(("en", "English")));
    }
}
