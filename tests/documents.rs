//! Holds the documents to the program: every key, profile, reason and drop reason that there is stands in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use radmfa::config::schema::TOP;
use radmfa::engine::reason::Reason;
use radmfa::portal::metrics::FAMILIES;
use radmfa::server::profile::PROFILES;
use radmfa::wire::DropReason;

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name)
}

/// The part of `text` from the heading that begins with `heading` to the next heading.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, after) =
        text.split_once(&format!("\n{heading}")).unwrap_or_else(|| panic!("no heading {heading}"));
    after.split_once("\n#").map_or(after, |(section, _)| section)
}

#[test]
fn the_readme_has_a_row_for_every_flag_variable_and_key() {
    let readme = document("README.md");
    let top = section(&readme, "### Top level");
    for known in TOP {
        let name = known.key.name;
        let row = top.lines().find(|line| line.starts_with(&format!("| `{name}`")));
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        assert!(row.contains(known.variable), "{row}");
        // What a rule has in common with clients stands with those.
        let keys = if name == "rule" { &known.keys[..1] } else { known.keys };
        for key in keys.iter().flat_map(|keys| keys.iter()) {
            let (heading, cell) = match name {
                "client" => ("### `[[client]]`", format!("| `{}`", key.name)),
                "rule" => ("### `[[rule]]`", format!("| `{}`", key.name)),
                "primary" => ("### `[[primary]]`", format!("| `{}`", key.name)),
                "channel" => ("### `[[channel]]`", format!("| `{}`", key.name)),
                "sms" | "voice" | "email" => ("### `[sms]`", format!("| `{name}.{}`", key.name)),
                "text" => ("### `[[text]]`", format!("| `{}`", key.name)),
                "peer" => ("### `[[peer]]`", format!("| `{}`", key.name)),
                _ => ("### `[lockout]`", format!("| `{name}.{}`", key.name)),
            };
            let row = section(&readme, heading).lines().find(|line| line.starts_with(&cell));
            let row = row.unwrap_or_else(|| panic!("no row for {name}.{}", key.name));
            // Bounds are written alike in both: `1 to 20`, `30s to 15m`.
            for bounds in bounds(key.help) {
                assert!(row.contains(&bounds), "{row} lacks {bounds}");
            }
        }
    }
}

/// Every `A to B` of a help text whose ends are numbers or durations.
fn bounds(help: &str) -> Vec<String> {
    let words: Vec<&str> =
        help.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric())).collect();
    let numeric = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    words
        .windows(3)
        .filter_map(|window| match window {
            [low, "to", high] if numeric(low) && numeric(high) => Some(format!("{low} to {high}")),
            _ => None,
        })
        .collect()
}

#[test]
fn the_messages_have_every_reason_and_every_drop_reason_with_its_sentence() {
    let messages = document("docs/reference/messages.md");
    let reasons = Reason::ALL.iter().map(|reason| (reason.code(), reason.sentence().to_owned()));
    let drops = DropReason::ALL.iter().map(|reason| (reason.code(), reason.to_string()));
    for (code, sentence) in reasons.chain(drops) {
        assert!(messages.contains(&format!("| `{code}` | {sentence} |")), "{code}: {sentence}");
    }
}

#[test]
fn the_gateways_have_every_profile_with_what_it_sets() {
    let gateways = document("docs/guide/gateways.md");
    for profile in PROFILES {
        let row = gateways.lines().find(|line| line.starts_with(&format!("| `{}` |", profile.name)));
        let row = row.unwrap_or_else(|| panic!("no row for {}", profile.name));
        let patience = match profile.patience_ms {
            ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
            ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
            ms => format!("{ms}ms"),
        };
        let challenge = if profile.challenge { "| yes |" } else { "| **no** |" };
        for cell in [challenge, profile.products, profile.advice, &format!("| {patience} |")] {
            assert!(row.contains(cell), "{row} lacks {cell}");
        }
    }
}

#[test]
fn the_page_of_metrics_has_every_family_with_its_kind_its_labels_and_what_it_says() {
    let page = document("docs/reference/metrics.md");
    let mut wanted: Vec<String> = Vec::new();
    for family in &FAMILIES {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        wanted.push(format!(
            "| `{}` | {} | {} | {} |",
            family.name,
            family.kind,
            labels.join(", "),
            family.help
        ));
    }
    let found: Vec<&str> = page.lines().filter(|line| line.starts_with("| `radmfa_")).collect();
    assert_eq!(found, wanted);
}

/// The page of reasons as it is generated.
fn reasons() -> String {
    let mut page = String::from(
        "# Reasons\n\nWhy an authentication ended as it did, or what an admin did: the complete list of this version. A code never \
         changes its\nmeaning. Generated from `src/engine/reason.rs`: `UPDATE_DOCS=1 cargo test --test documents` writes it anew.\n\n\
         | code | what it means |\n|---|---|\n",
    );
    for reason in Reason::ALL {
        let _infallible = writeln!(page, "| `{}` | {} |", reason.code(), reason.sentence());
    }
    page
}

#[test]
fn the_page_of_reasons_is_what_the_program_says() {
    let page = reasons();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reasons.md"), &page).unwrap();
    }
    let hint = "docs/reasons.md is stale: UPDATE_DOCS=1 cargo test --test documents";
    assert_eq!(document("docs/reasons.md"), page, "{hint}");
}
