//! The bodies of the fuzz targets over mutated seeds, with nothing but the toolchain at hand.
//!
//! Each runs for `RADMFA_FUZZ_SECONDS` (default 2). A failure prints the seed of its input; `RADMFA_FUZZ_SEED` tries that
//! one alone.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test, bounded by the real clock; the bodies are shared with the fuzz targets"
)]

use std::collections::BTreeSet;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use radmfa::base::system::{Fixed, random};
use radmfa::base::text::hex;
use radmfa::base::time::{Tick, UnixTime};

#[path = "../fuzz/bodies.rs"]
mod bodies;

fn number_of(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

fn fuzz(target: &str) {
    let target = bodies::TARGETS.iter().find(|other| other.name == target).unwrap();
    let seeds = (target.seeds)();
    for seed in &seeds {
        (target.body)(seed);
    }
    if let Some(seed) = number_of("RADMFA_FUZZ_SEED") {
        return attempt(target, &seeds, seed);
    }
    let end = Instant::now() + Duration::from_secs(number_of("RADMFA_FUZZ_SECONDS").unwrap_or(2));
    let mut seed = 0;
    while Instant::now() < end {
        for _ in 0..16 {
            attempt(target, &seeds, seed);
            seed += 1;
        }
    }
    eprintln!("{}: {seed} inputs", target.name);
}

fn attempt(target: &bodies::Target, seeds: &[Vec<u8>], seed: u64) {
    let input = mutated(seeds, seed);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.body)(&input))) {
        eprintln!("{} fails; RADMFA_FUZZ_SEED={seed} gives: {}", target.name, hex(&input));
        resume_unwind(panic);
    }
}

/// One of the seeds, spliced with another and changed in up to eight ways: the same for the same number.
fn mutated(seeds: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut dice =
        Dice(Fixed { mono: Tick(0), unix: UnixTime::default(), seed: seed.wrapping_mul(0x9E37_79B9) });
    let mut input = seeds[dice.below(seeds.len())].clone();
    if dice.below(3) == 0 {
        let other = &seeds[dice.below(seeds.len())];
        input.truncate(dice.below(input.len() + 1));
        input.extend_from_slice(&other[dice.below(other.len() + 1)..]);
    }
    for _ in 0..dice.below(9) {
        let place = dice.below(input.len().max(1));
        match dice.below(7) {
            0 if place < input.len() => input[place] ^= 1 << dice.below(8),
            1 if place < input.len() => input[place] = dice.octet(),
            2 if place < input.len() => input[place] = [0, 1, 2, 16, 127, 128, 253, 255][dice.below(8)],
            3 if place < input.len() => drop(input.remove(place)),
            4 => (0..dice.below(24)).for_each(|_| input.push(dice.octet())),
            5 if place < input.len() => {
                let end = (place + dice.below(24)).min(input.len());
                let copy = input[place..end].to_vec();
                input.splice(place..place, copy);
            }
            _ => input.insert(place.min(input.len()), dice.octet()),
        }
    }
    // A length that fits, more often than chance would have it.
    if input.len() >= 20 && dice.below(2) == 0 {
        let length = u16::try_from(input.len()).unwrap_or(u16::MAX).to_be_bytes();
        input[2..4].copy_from_slice(&length);
    }
    input
}

struct Dice(Fixed);

impl Dice {
    fn octet(&mut self) -> u8 {
        let [octet] = random(&mut self.0);
        octet
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(u32::from_be_bytes(random(&mut self.0))).unwrap() % count
    }
}

#[test]
fn any_datagram_can_be_taken() {
    fuzz("packet");
}

#[test]
fn any_state_can_be_taken() {
    fuzz("state");
}

#[test]
fn any_upstream_reply_can_be_taken() {
    fuzz("upstream_reply");
}

#[test]
fn any_dictionary_can_be_taken() {
    fuzz("dictionary");
}

#[test]
fn any_key_container_can_be_taken() {
    fuzz("pskc");
}

#[test]
fn any_token_file_can_be_taken() {
    fuzz("token_csv");
}

#[test]
fn whatever_is_sent_to_pages_can_be_taken() {
    fuzz("pages");
}

#[test]
fn whatever_a_passkey_is_said_to_have_signed_can_be_taken() {
    assert!(bodies::makes_a_passkey(&bodies::attested()), "what is mutated is right to begin with");
    fuzz("webauthn");
}

#[test]
fn any_engine_script_can_be_run() {
    fuzz("engine_script");
}

#[test]
fn every_target_is_run_by_a_test_here_and_under_libfuzzer() {
    let here = include_str!("fuzz_bodies.rs");
    let there = include_str!("../fuzz/Cargo.toml");
    for target in bodies::TARGETS {
        assert!(here.contains(&format!("fuzz(\"{}\")", target.name)), "{}", target.name);
        assert!(there.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
    }
}

#[test]
fn the_targets_are_built_of_what_the_product_is_built_of() {
    let versions = |lock: &str| -> BTreeSet<(String, String)> {
        let lock: toml::Table = lock.parse().unwrap();
        let text = |package: &toml::Value, key: &str| package[key].as_str().unwrap().to_owned();
        let packages = lock["package"].as_array().unwrap().iter();
        packages.map(|package| (text(package, "name"), text(package, "version"))).collect()
    };
    let product = versions(include_str!("../Cargo.lock"));
    let targets = versions(include_str!("../fuzz/Cargo.lock"));
    let others: Vec<_> = targets.difference(&product).map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        others,
        ["arbitrary", "jobserver", "libfuzzer-sys", "radmfa-fuzz"],
        "cp Cargo.lock fuzz/, then cargo metadata in fuzz/"
    );
}

#[test]
fn an_input_follows_from_its_number_alone() {
    let seeds = vec![vec![1; 30], vec![2; 40]];
    assert_eq!(mutated(&seeds, 7), mutated(&seeds, 7));
    assert!((0..20).any(|seed| mutated(&seeds, seed) != mutated(&seeds, 7)));
}
