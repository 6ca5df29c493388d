//! A language is a file of `messages/`, and nothing else; what stands in it is whole, and polite.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../build.rs"]
#[allow(
    dead_code,
    clippy::print_stdout,
    reason = "what runs before the program is compiled, and its one function of use here"
)]
mod build;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use radmfa::engine::reason::Reason;
use radmfa::portal::web::Words;
use support::Scratch;

/// The codes in what the build would compile.
fn codes(folder: &Path) -> Vec<String> {
    let list = build::languages(folder).unwrap();
    let lines = list.lines().filter_map(|line| line.trim().strip_prefix("(\""));
    lines.map(|line| line.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn another_language_is_one_file_more_and_english_stays_the_first() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("messages");
    let compiled: Vec<String> = Words::languages().map(|(code, _)| code.to_owned()).collect();
    assert_eq!(codes(&own), compiled, "what is there is what was compiled");
    let scratch = Scratch::new("languages");
    for entry in fs::read_dir(&own).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, scratch.join(path.file_name().unwrap().to_str().unwrap())).unwrap();
    }
    assert_eq!(codes(scratch.path()), compiled);
    let german = fs::read_to_string(own.join("en.toml")).unwrap().replace("\"English\"", "\"Deutsch\"");
    fs::write(scratch.join("de.toml"), &german).unwrap();
    for other in ["README.md", "en.toml~", ".en.toml.swp", "x.toml", "notes-of-mine.toml"] {
        fs::write(scratch.join(other), "").unwrap();
    }
    let with_german = codes(scratch.path());
    assert_eq!(with_german, ["en", "de", "hu"]);
    let list = build::languages(scratch.path()).unwrap();
    assert!(list.contains(scratch.join("de.toml").to_str().unwrap()), "{list}");
}

fn files() -> impl Iterator<Item = PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("messages");
    fs::read_dir(own).unwrap().map(|entry| entry.unwrap().path())
}

/// Every text of a file by its table and key.
fn texts(file: &Path) -> BTreeMap<(String, String), String> {
    let table: toml::Table = fs::read_to_string(file).unwrap().parse().unwrap();
    let mut texts = BTreeMap::new();
    for (name, value) in table {
        match value {
            toml::Value::String(text) => drop(texts.insert((String::new(), name), text)),
            toml::Value::Table(inner) => texts.extend(
                inner
                    .into_iter()
                    .map(|(key, text)| ((name.clone(), key), text.as_str().expect("a text").to_owned())),
            ),
            other => panic!("{name} is {other}"),
        }
    }
    texts
}

/// The `{words}` of a text that are filled in.
fn places(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
}

#[test]
fn every_language_says_all_that_english_does_with_the_same_places_and_what_reasons_mean() {
    let english = texts(&files().find(|file| file.ends_with("en.toml")).unwrap());
    for table in ["prompt", "sent", "ntfy", "me", "admin"] {
        assert!(english.keys().any(|(name, _)| name == table), "there is no [{table}]");
    }
    let others: Vec<_> = files().filter(|file| !file.ends_with("en.toml")).collect();
    assert!(!others.is_empty());
    for file in others {
        let (reasons, here): (BTreeMap<_, _>, BTreeMap<_, _>) =
            texts(&file).into_iter().partition(|((table, _), _)| table == "reason");
        let lacks: Vec<_> = english.keys().filter(|key| !here.contains_key(key)).collect();
        let more: Vec<_> = here.keys().filter(|key| !english.contains_key(key)).collect();
        assert!(lacks.is_empty() && more.is_empty(), "{}: lacks {lacks:?}, has {more:?}", file.display());
        for (key, text) in &here {
            assert_eq!(places(text), places(&english[key]), "{key:?} in {}", file.display());
        }
        let known: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        let explained: BTreeSet<_> = reasons.keys().map(|(_, code)| &**code).collect();
        assert_eq!(explained, known, "the reasons of {}", file.display());
    }
}

#[test]
fn no_hungarian_text_speaks_to_anybody_as_te() {
    // Forms of the second person, as whole words or ends of words that no other Hungarian word here has.
    const WORDS: [&str; 12] = [
        "te", "téged", "neked", "tőled", "veled", "hozzád", "rólad", "nálad", "kérlek", "vagy-e", "gyere",
        "légy",
    ];
    const ENDS: [&str; 13] = [
        "kódod",
        "kódodat",
        "jelszavad",
        "jelszavadat",
        "jelszavaddal",
        "fiókod",
        "fiókodat",
        "telefonod",
        "telefonszámod",
        "lépsz",
        "jelentkezel",
        "voltál",
        "kérted",
    ];
    let hungarian = texts(&files().find(|file| file.ends_with("hu.toml")).unwrap());
    for (key, text) in hungarian {
        let lower = text.to_lowercase();
        for word in lower.split(|letter: char| !letter.is_alphanumeric() && letter != '-') {
            assert!(!WORDS.contains(&word) && !ENDS.contains(&word), "{key:?}: {word} in: {text}");
            // Commands: "írd be", "nyomd meg", "állítsd be", "szólj", "hívd".
            let commands =
                ["írd", "nyomd", "állítsd", "szólj", "hívd", "add", "nyisd", "válassz", "engedj", "próbáld"];
            assert!(!commands.contains(&word), "{key:?}: {word} in: {text}");
        }
    }
}
