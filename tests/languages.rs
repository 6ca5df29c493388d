//! A language of the pages is a file of `messages/`, and nothing else.

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

use std::fs;
use std::path::Path;

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
