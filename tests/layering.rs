//! Holds the one arrow of the design and the makers of proofs.
//!
//! Read as text, on purpose: a scanner that drops comments and literals and then looks for paths is small enough to be
//! trusted, and code that is compiled only for tests has to keep to the arrow as well.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Left never knows right; what stands in one row does not know its neighbour either.
const ARROW: &[&[&str]] = &[
    &["base"],
    &["dictionary"],
    &["wire"],
    &["factor"],
    &["engine"],
    &["store"],
    &["udp"],
    &["primary", "delivery"],
    &["server"],
    &["portal"],
    &["config"],
    &["cli"],
    &["main"],
];

/// What makes a proof, and the only places that may.
const MAKERS: &[(&str, &[&str])] = &[
    ("Recorded::certify", &["store/"]),
    ("Outcome::accept", &["engine/await_commit.rs"]),
    ("PrimaryPassed::by_answer", &["engine/await_primary.rs", "engine/parked/tests.rs"]),
    ("PrimaryPassed::by_parked", &["engine/parked/encoding.rs"]),
    ("Opened::certify", &["store/", "engine/parked/tests.rs"]),
    ("FactorPassed::by_code", &["engine/await_user.rs", "engine/recovery.rs", "engine/sending.rs"]),
    ("PrimaryPassed::by_gateway", &["engine/login.rs"]),
    ("FactorPassed::by_phone", &["engine/phone.rs"]),
    ("FactorPassed::by_arming", &["engine/arming.rs"]),
    ("Assertion::by_signature", &["portal/passkey/mod.rs", "engine/passkey.rs"]),
    ("Assertion {", &["engine/passkey.rs"]),
    ("Waiver {", &["engine/policy.rs"]),
    ("PrimaryPassed {", &["engine/proof.rs"]),
    ("FactorPassed {", &["engine/proof.rs"]),
    ("Accept { attributes", &["engine/proof.rs"]),
    ("Recorded {", &["engine/record.rs"]),
    ("Outcome::relayed", &["engine/await_peer.rs"]),
    ("Relayed::by_owner", &["engine/await_peer.rs"]),
    ("Relayed { code", &["engine/proof.rs"]),
    ("PeerAnswer::Accepted", &["engine/await_peer.rs", "server/peers/"]),
];

#[test]
fn no_module_knows_one_to_its_right() {
    let mut found = Vec::new();
    for (path, source) in sources() {
        found.extend(against_the_arrow(&path, &source));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn proofs_are_made_where_the_design_says_and_nowhere_else() {
    let mut found = Vec::new();
    let mut made = vec![0; MAKERS.len()];
    for (path, source) in sources() {
        found.extend(foreign_makers(&path, &source));
        for (count, (maker, _)) in made.iter_mut().zip(MAKERS) {
            *count += spots(&bare(&source), maker).len();
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    for (count, (maker, places)) in made.iter().zip(MAKERS) {
        assert!(*count > 0, "`{maker}` is not in {places:?} any more: this test looks for the wrong name");
    }
}

#[test]
fn a_path_against_the_arrow_is_caught_in_every_way_it_can_be_written() {
    let caught = [
        ("wire/reply.rs", "use crate::store::Logins;"),
        ("wire/reply.rs", "fn f(x: &crate::engine::step::Step) {}"),
        ("wire/reply.rs", "use crate::{base::time::Tick, server::node::{Node, Ask}};"),
        ("wire/reply.rs", "pub(in crate::wire) fn f() { crate :: cli :: run() }"),
        ("engine/mod.rs", "use super::store;"),
        ("engine/step.rs", "use super::super::server::node;"),
        ("engine/step.rs", "mod tests { use super::super::super::store::memory; }"),
        ("primary/radius.rs", "use crate::delivery::sms;"),
        ("delivery/sms.rs", "use crate::primary::radius;"),
        ("server/node.rs", "#[cfg(test)] mod tests { use crate::cli::serve; }"),
        ("cli/serve.rs", "use radmfa::main;"),
    ];
    for (path, source) in caught {
        assert_eq!(against_the_arrow(Path::new(path), source).len(), 1, "{path}: {source}");
    }
    let fine = [
        ("engine/step.rs", "use crate::wire::Verified; // not crate::store::Logins"),
        ("engine/step.rs", "/* crate::cli */ /// crate::server::node\nuse super::super::base::time::Tick;"),
        ("engine/step.rs", r#"const TEXT: &str = "crate::server";"#),
        ("store/mod.rs", "use super::engine::record::Record; pub(crate) fn f() {}"),
        ("server/node.rs", "use crate::{base::{secret::Secret}, engine::{store as other}};"),
        ("main.rs", "fn main() { radmfa::cli::run(); }"),
    ];
    for (path, source) in fine {
        assert_eq!(against_the_arrow(Path::new(path), source), Vec::<String>::new(), "{path}: {source}");
    }
}

#[test]
fn a_module_without_a_place_on_the_arrow_is_caught() {
    assert_eq!(against_the_arrow(Path::new("extra/mod.rs"), "").len(), 1);
}

#[test]
fn a_proof_made_elsewhere_is_caught() {
    for (path, source) in [
        ("server/node.rs", "let proof = Recorded::certify(1);"),
        ("engine/await_user.rs", "Step::Decided(Outcome :: accept(a, b, c, d, e))"),
        ("engine/await_user.rs", "PrimaryPassed::by_answer()"),
        ("engine/parked.rs", "FactorPassed::by_code()"),
        ("engine/await_user.rs", "Waiver { why: WaivedBy::Unenrolled }"),
    ] {
        assert_eq!(foreign_makers(Path::new(path), source).len(), 1, "{path}: {source}");
    }
    assert!(foreign_makers(Path::new("server/node.rs"), "// Recorded::certify(1)").is_empty());
    assert!(foreign_makers(Path::new("store/sqlite/writer.rs"), "Recorded::certify(1)").is_empty());
}

/// Every source file under `src`, with its path from there.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&root).unwrap().to_owned(), source));
            }
        }
    }
    assert!(found.len() > 40, "only {} source files were found", found.len());
    found
}

/// The module at the top that a file belongs to.
fn layer_of(path: &Path) -> String {
    path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn rank(module: &str) -> Option<usize> {
    ARROW.iter().position(|row| row.contains(&module))
}

fn against_the_arrow(path: &Path, source: &str) -> Vec<String> {
    let own = layer_of(path);
    if own == "lib" {
        return Vec::new();
    }
    let Some(own_rank) = rank(&own) else {
        return vec![format!("{}: `{own}` has no place on the arrow", path.display())];
    };
    // How many `super` lead from the file itself to the crate.
    let depth = path.iter().count() - usize::from(path.ends_with("mod.rs"));
    let mut found = Vec::new();
    for (module, supers) in named_modules(&bare(source)) {
        // Fewer steps up than the crate's root is away name something else that happens to have this name.
        let reaches_the_root = supers == 0 || supers >= depth;
        if reaches_the_root && module != own && rank(&module).is_some_and(|rank| rank >= own_rank) {
            found.push(format!("{}: names `{module}`, which stands right of `{own}`", path.display()));
        }
    }
    found
}

/// The first segment after each `crate::`, `radmfa::` or chain of `super::`, with the number of `super`; of a group in
/// braces, each first segment.
fn named_modules(code: &str) -> Vec<(String, usize)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut place = 0;
    while place < tokens.len() {
        let mut supers = 0;
        let start = place;
        while tokens[place..].starts_with(&["super".to_owned(), "::".to_owned()]) {
            supers += 1;
            place += 2;
        }
        let rooted = matches!(tokens[place].as_str(), "crate" | "radmfa");
        if supers == 0 && rooted && tokens.get(place + 1).is_some_and(|token| token == "::") {
            place += 2;
        }
        if place == start {
            place += 1;
            continue;
        }
        match tokens.get(place).map(String::as_str) {
            Some("{") => {
                let mut level = 0;
                let mut first = true;
                for token in &tokens[place..] {
                    match token.as_str() {
                        "{" => (level, first) = (level + 1, level == 0),
                        "}" => level -= 1,
                        "," => first = level == 1,
                        word if first => {
                            found.push((word.to_owned(), supers));
                            first = false;
                        }
                        _ => {}
                    }
                    if level == 0 {
                        break;
                    }
                }
            }
            Some(word) => found.push((word.to_owned(), supers)),
            None => break,
        }
    }
    found
}

fn foreign_makers(path: &Path, source: &str) -> Vec<String> {
    let code = bare(source);
    let place = path.to_str().unwrap();
    MAKERS
        .iter()
        .filter(|(_, homes)| !homes.iter().any(|home| place.starts_with(home)))
        .flat_map(|(maker, homes)| {
            spots(&code, maker)
                .into_iter()
                .map(move |_| format!("{place}: `{maker}` belongs to {homes:?} alone"))
        })
        .collect()
}

/// Where the tokens of `words` follow each other in `code`.
fn spots(code: &str, words: &str) -> Vec<usize> {
    let (code, words) = (tokens(code), tokens(words));
    let ends_in_brace = words.last().is_some_and(|word| word == "{");
    code.windows(words.len())
        .enumerate()
        .filter(|(place, window)| {
            // `-> Waiver {` opens a body, and `impl Waiver {` a block.
            let before = place.checked_sub(1).map(|before| code[before].as_str());
            let makes = !(ends_in_brace && matches!(before, Some("->" | "impl" | "struct" | "for")));
            makes && *window == words.as_slice()
        })
        .map(|(place, _)| place)
        .collect()
}

/// Words, `::`, `->` and single marks.
fn tokens(code: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut letters = code.chars().peekable();
    while let Some(letter) = letters.next() {
        let mut token = String::from(letter);
        if letter.is_alphanumeric() || letter == '_' {
            while let Some(more) = letters.next_if(|next| next.is_alphanumeric() || *next == '_') {
                token.push(more);
            }
        } else if let Some(second) =
            letters.next_if(|next| matches!((letter, *next), (':', ':') | ('-', '>')))
        {
            token.push(second);
        }
        if !letter.is_whitespace() {
            found.push(token);
        }
    }
    found
}

/// The code without its comments and without what stands in literals.
fn bare(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(letter) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = raw_string(rest) {
            raw
        } else if letter == '"' {
            quoted(rest, '"')
        } else if is_character(rest) {
            quoted(rest, '\'')
        } else {
            0
        };
        if skip > 0 {
            code.push(' ');
            rest = &rest[skip..];
        } else {
            code.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    code
}

/// The length of the raw string that `text` begins with.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let inner = after[hashes..].strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    let end = inner.find(&closing)?;
    Some(text.len() - inner.len() + end + closing.len())
}

/// The length of the literal between two `mark`s that `text` begins with.
fn quoted(text: &str, mark: char) -> usize {
    let mut escaped = false;
    for (place, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == mark => return place + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether `text` begins with a character literal, and not with a lifetime.
fn is_character(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next() == Some('\'')
        && match letters.next() {
            Some('\\') => true,
            Some(_) => letters.next() == Some('\''),
            None => false,
        }
}
