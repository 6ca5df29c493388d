//! Scenarios: text files under `tests/scenarios/` that say what is sent, what is expected and how much time passes.
//!
//! They drive the server's own Node over the store in memory, packets and all, on an injected clock.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test; the world is shared with others that use more of it"
)]

use std::fs;
use std::path::Path;

#[path = "scenarios/people.rs"]
mod people;
#[path = "scenarios/phones.rs"]
mod phones;
#[path = "scenarios/script.rs"]
mod script;
#[path = "scenarios/words.rs"]
mod words;
#[path = "scenarios/world.rs"]
mod world;

#[test]
fn every_scenario_goes_as_it_is_written() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut faults = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        count += 1;
        if let Err(fault) = script::run(&fs::read_to_string(&path).unwrap()) {
            faults.push(format!("{}: {fault}", path.file_name().unwrap().display()));
        }
    }
    faults.sort();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(count >= 20, "only {count} scenarios were found");
}

/// What a scenario's first lines have in common here.
const START: &str = "client nas\nuser alice\ntoken T1 alice GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n";

#[test]
fn a_scenario_that_goes_otherwise_is_caught_at_its_line() {
    let cases = [
        ("> alice password \"pin\" primary=accept\n< accept", "line 5: the reply is Access-Challenge"),
        ("> alice password \"pin\" primary=accept", "a reply that no line expects"),
        ("> alice password \"pin\" primary=reject\n< reject", "an audit row that no line expects"),
        ("> alice password \"pin\"", "the primary was asked about alice, unexpectedly"),
        ("> alice password \"pin\" primary=reject\n< reject\naudit: rejected code-wrong alice", "the row is"),
        ("< reject", "line 4: there is no reply"),
        ("dance", "`dance` begins no line"),
        ("> alice password \"pin\" primary=reject secret=other", "the Message-Authenticator is wrong"),
        ("repeat 2\nlogins 0\nlogins 1\nend", "round 1, line 6: 0 logins"),
    ];
    for (lines, expected) in cases {
        let fault = script::run(&format!("{START}{lines}")).unwrap_err();
        assert!(fault.contains(expected), "{lines}\ngave: {fault}");
    }
}
