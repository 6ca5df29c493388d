//! Many servers in one process, on clocks that lie apart, over a network that loses, delays, repeats and reorders, with
//! gateways that ask again in every way they do, users who type what is right, wrong, late or used, and thieves beside them.
//!
//! ```text
//! users ─ gateways ─ network ─ server: clients, wire, duplicates, Node ─ network ─ peers: the real relay
//!                                   └─ the store in memory, one for all or one each, slow or away at times
//! ```
//! Invariants, checked on every run: never two Accepts for one code or for one phone's answer, never an Accept without
//! password, factor and row, never a factor that the rules do not ask for, never a second message or question for one login,
//! one reply to one request and before its gateway gives up, no code at the primary, and every login ends. Chance comes from a seed: a run that
//! fails prints it, and `RADMFA_SIMULATION_SEED` plays it again, event by event. `RADMFA_SIMULATION_SECONDS` (3) says how
//! long new seeds are tried.

mod broken;
mod check;
mod dice;
mod gateways;
mod people;
mod person;
mod phones;
mod plan;
mod server;
mod world;

use std::collections::BTreeMap;

use check::Fault;
use world::World;

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nothing,
    StoreForgetsSteps,
    StoreLosesRows,
    StoreGivesLoginsTwice,
    StoreForgetsClaims,
    PrimaryTakesAnything,
    PolicyExempts,
    AnswersGetLost,
    GatewaysSayMoreEachTime,
    GatewaysSayTheSame,
    GatewaysGiveUpSooner,
    AnswersAreNotProven,
    StoreForgetsRevocations,
    RulesReachTooFar,
    RulesGetLost,
    AppendIsOff,
}

/// What came of a seed.
struct Played {
    faults: Vec<Fault>,
    counts: BTreeMap<&'static str, u64>,
    digest: u64,
}

fn play(seed: u64, broken: Broken, told: bool) -> Played {
    let mut world = World::new(seed, broken, told);
    world.run();
    Played { faults: world.ledger.faults, counts: world.ledger.counts, digest: world.digest }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "bounded by the real clock, and told to whoever tests"
)]
mod tests {
    use std::env;
    use std::time::{Duration, Instant};

    use super::*;

    fn number_of(variable: &str) -> Option<u64> {
        env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
    }

    #[test]
    fn whatever_happens_no_code_works_twice_and_nobody_is_let_in_without_password_factor_and_row() {
        if let Some(seed) = number_of("RADMFA_SIMULATION_SEED") {
            let played = play(seed, Broken::Nothing, true);
            assert!(played.faults.is_empty(), "seed {seed}: {:#?}", played.faults);
            return;
        }
        let end = Instant::now() + Duration::from_secs(number_of("RADMFA_SIMULATION_SECONDS").unwrap_or(3));
        let mut seed = number_of("RADMFA_SIMULATION_FROM").unwrap_or(0);
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        while Instant::now() < end || seed < 60 {
            let played = play(seed, Broken::Nothing, false);
            assert!(
                played.faults.is_empty(),
                "RADMFA_SIMULATION_SEED={seed} plays this again: {:#?}",
                played.faults
            );
            played.counts.into_iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
            seed += 1;
        }
        eprintln!("{seed} seeds: {counts:?}");
        // An idle world is no safe one.
        for what in [
            "accepts heard",
            "told reject",
            "handed over",
            "messages",
            "code-reused",
            "abandoned",
            "issued-by-another-server",
            "taken up elsewhere",
            "raced",
            "joined elsewhere",
            "dropped as pending",
            "accepts by phone",
            "accepts at once",
            "approved",
            "denied",
            "answered wrong",
            "late answers",
            "forged",
            "revoked",
            "held",
            "exempt",
            "fraud-reported",
            "login-pending",
        ] {
            assert!(counts.contains_key(what), "in {seed} seeds nothing was {what}: {counts:?}");
        }
    }

    #[test]
    fn a_seed_plays_again_exactly() {
        for seed in 0..10 {
            let (one, other) = (play(seed, Broken::Nothing, false), play(seed, Broken::Nothing, false));
            assert_eq!((one.digest, one.counts), (other.digest, other.counts), "seed {seed}");
            assert_ne!(one.digest, play(seed + 1, Broken::Nothing, false).digest);
        }
    }

    /// Some seed among the first ones shows what is broken, for what it is.
    fn is_found(broken: Broken, kind: &str) {
        let found = (0..400).find_map(|seed| {
            let faults = play(seed, broken, false).faults;
            faults.into_iter().find(|fault| fault.kind == kind).map(|fault| (seed, fault))
        });
        let (seed, fault) = found.unwrap_or_else(|| panic!("{broken:?} is not found as {kind}"));
        eprintln!("{broken:?}: seed {seed}: {}", fault.what);
    }

    #[test]
    fn a_store_that_forgets_spent_steps_is_found() {
        is_found(Broken::StoreForgetsSteps, "twice");
    }

    #[test]
    fn a_store_that_loses_rows_is_found() {
        is_found(Broken::StoreLosesRows, "row");
    }

    #[test]
    fn a_store_that_gives_a_login_to_two_servers_is_found() {
        is_found(Broken::StoreGivesLoginsTwice, "twice");
    }

    #[test]
    fn a_store_that_forgets_who_sends_is_found() {
        is_found(Broken::StoreForgetsClaims, "message");
    }

    #[test]
    fn a_primary_that_takes_any_password_is_found() {
        is_found(Broken::PrimaryTakesAnything, "password");
    }

    #[test]
    fn a_policy_that_asks_for_no_factor_is_found() {
        is_found(Broken::PolicyExempts, "factor");
    }

    #[test]
    fn a_login_that_never_ends_is_found() {
        is_found(Broken::AnswersGetLost, "end");
    }

    #[test]
    fn a_second_message_for_one_login_is_found() {
        is_found(Broken::GatewaysSayMoreEachTime, "message");
    }

    #[test]
    fn an_answer_that_nobody_proved_is_found() {
        is_found(Broken::AnswersAreNotProven, "answer");
    }

    #[test]
    fn a_device_that_answers_after_it_was_revoked_is_found() {
        is_found(Broken::StoreForgetsRevocations, "answer");
    }

    #[test]
    fn a_stranger_who_gets_the_verdict_of_somebody_else_s_phone_is_found() {
        is_found(Broken::GatewaysSayTheSame, "verdict");
    }

    #[test]
    fn a_request_that_is_held_for_too_long_is_found() {
        is_found(Broken::GatewaysGiveUpSooner, "patience");
    }

    #[test]
    fn a_second_question_for_one_login_is_found() {
        is_found(Broken::GatewaysSayMoreEachTime, "question");
    }

    #[test]
    fn a_rule_that_reaches_too_far_is_found() {
        is_found(Broken::RulesReachTooFar, "factor");
    }

    #[test]
    fn a_rule_that_gets_lost_is_found() {
        is_found(Broken::RulesGetLost, "factor");
    }

    #[test]
    fn a_code_that_the_primary_sees_is_found() {
        is_found(Broken::AppendIsOff, "leak");
    }

    #[test]
    fn a_second_try_that_is_refused_where_the_first_is_let_in_is_found() {
        is_found(Broken::GatewaysSayMoreEachTime, "copy");
    }
}
