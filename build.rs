//! Lists the languages of the pages: each file of `messages/` is one (`src/portal/web/words.rs`), so that another language is one file
//! more.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=messages");
    let place =
        |name: &str| env::var_os(name).ok_or_else(|| io::Error::other(format!("cargo sets no {name}")));
    let messages = Path::new(&place("CARGO_MANIFEST_DIR")?).join("messages");
    fs::write(Path::new(&place("OUT_DIR")?).join("languages.rs"), languages(&messages)?)
}

/// The languages in `folder` as a Rust expression, a list of code and text: English first, others by their codes. A file is one where its
/// name is a language's code (RFC 5646) in lower case with `.toml` behind it.
pub(crate) fn languages(folder: &Path) -> io::Result<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(path) = path.to_str() else { continue };
        let code = path.rsplit('/').next().and_then(|name| name.strip_suffix(".toml"));
        let plain = |code: &&str| {
            (2..=8).contains(&code.len()) && code.bytes().all(|octet| octet.is_ascii_lowercase())
        };
        if let Some(code) = code.filter(plain) {
            found.push((code != "en", code.to_owned(), path.to_owned()));
        }
    }
    found.sort();
    let lines = found.iter().map(|(_, code, path)| format!("    ({code:?}, include_str!({path:?})),\n"));
    Ok(format!("&[\n{}]\n", lines.collect::<String>()))
}
