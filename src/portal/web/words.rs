//! What pages say, by language: `messages/*.toml` ([`crate::base::messages`]).
//!
//! The texts are ours, so they may hold no markup: what is filled in is escaped with them, by the page.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

use crate::base::messages::{Language, fill};
use crate::engine::reason::Reason;

/// The words of one language.
#[derive(Clone, Copy, Debug)]
pub struct Words(Language);

impl Words {
    /// The first of `wanted` (tags such as `hu` or `en-GB`) that there are words for, or else English.
    pub fn choose<'a>(wanted: impl IntoIterator<Item = &'a str>) -> Words {
        Words(wanted.into_iter().find_map(Language::find).unwrap_or_default())
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

    /// The language.
    #[must_use]
    pub fn language(self) -> Language {
        self.0
    }

    /// The language's code: what `lang` of a page is.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Every language: its code and its own name.
    pub fn languages() -> impl Iterator<Item = (&'static str, &'static str)> {
        Language::all().map(|language| (language.code(), language.say("language")))
    }

    /// The text of a key; of one that is not known, the key.
    #[must_use]
    pub fn say(self, key: &'static str) -> &'static str {
        self.0.say(key)
    }

    /// The text of a key with its `{words}` filled in, once each: what is filled in is not read again.
    #[must_use]
    pub fn with(self, key: &'static str, filled: &[(&str, &str)]) -> String {
        fill(self.say(key), filled)
    }

    /// What the reason of this code means. In English that stands where reasons are declared.
    #[must_use]
    pub fn reason(self, code: &str) -> Option<&'static str> {
        let reason = Reason::parse(code)?;
        Some(self.0.text(&format!("reason.{code}")).unwrap_or(reason.sentence()))
    }
}

fn weighed(part: &str) -> (&str, f32) {
    let (tag, parameters) = part.split_once(';').unwrap_or((part, ""));
    let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |text| text.trim().parse().ok());
    (tag.trim(), weight.filter(|weight: &f32| weight.is_finite()).unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::base::messages::keys;

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
    fn every_reason_is_explained_in_every_language_and_nothing_else_is() {
        for language in Language::all().skip(1) {
            let known: BTreeSet<_> =
                Reason::ALL.iter().map(|reason| format!("reason.{}", reason.code())).collect();
            let said = keys(language).into_iter().filter(|key| key.starts_with("reason."));
            let said: BTreeSet<_> = said.map(str::to_owned).collect();
            let apart: Vec<_> = known.symmetric_difference(&said).collect();
            assert!(apart.is_empty(), "{}: docs/reasons.md has the English: {apart:?}", language.code());
            for reason in Reason::ALL {
                let meaning = Words(language).reason(reason.code()).unwrap();
                assert!(meaning.ends_with('.') && !meaning.contains('{'), "{meaning}");
                assert_ne!(meaning, reason.sentence());
            }
        }
        assert_eq!(Words::choose([]).reason("code-wrong"), Some(Reason::CodeWrong.sentence()));
        assert_eq!(Words::choose(["hu"]).reason("no-such"), None);
    }

    #[test]
    fn every_key_is_used_and_every_key_that_is_used_is_there() {
        let mut all = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/portal"), &mut all);
        let elsewhere = |key: &&str| ["prompt.", "sent.", "ntfy."].iter().any(|table| key.starts_with(table));
        for key in keys(Language::ENGLISH).into_iter().filter(|key| !elsewhere(key)) {
            assert!(all.contains(&format!("\"{key}\"")), "no page says {key}");
        }
        let mut used = 0;
        for call in [".say", ".with"] {
            for after in all.split(&format!("{call}(")).skip(1) {
                let Some(rest) = after.trim_start().strip_prefix('"') else { continue };
                let key = rest.split('"').next().unwrap();
                used += 1;
                assert!(
                    Language::ENGLISH.text(key).is_some() || key == "no.such",
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
