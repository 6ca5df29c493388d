//! What tokens may expect of every store.

use super::*;
use crate::factor::oath::Drift;
use crate::store::admin::TokenFields;

fn counted(serial: &str, user: Option<&str>, counter: u64) -> NewToken {
    let parameters = Parameters { moving: Moving::Counter, ..Parameters::default() };
    NewToken { parameters, counter, ..token(serial, user) }
}

pub(in crate::store) fn a_counter_token_begins_where_it_is_told_and_never_again_before_its_last_use<
    B: Bench,
>() {
    let bench = B::new();
    let mut admin = bench.admin();
    admin.add_user(&name("alice"), &UserFields::default()).unwrap();
    admin.add_token(&counted("H1", Some("alice"), 7)).unwrap();
    admin.add_token(&counted("H0", None, 0)).unwrap();
    let alice = find(&bench, "alice");
    assert_eq!(alice.tokens[0].parameters.moving, Moving::Counter);
    assert_eq!((alice.tokens[0].last_step, admin.token("H0").unwrap().last_step), (Some(6), None));
    assert_eq!(commit(&bench, spend(&alice, 6)), Err(Some(Conflict::StepSpent)));
    assert!(commit(&bench, spend(&alice, 9)).is_ok());
    let bench = bench.restart();
    let mut admin = bench.admin();
    assert_eq!(find(&bench, "alice").tokens[0].last_step, Some(9));
    // The same file again: there already, and the counter goes on from where it was.
    let rows = [counted("H1", Some("alice"), 7), counted("H2", Some("alice"), 100)];
    let report = admin.import(&rows, false, &mut |_| true).unwrap();
    assert_eq!((report.added, report.unchanged, report.conflicts.len()), (1, 1, 0));
    assert_eq!(admin.token("H2").unwrap().last_step, Some(99));
    admin.remove_token("H1").unwrap();
    admin.add_token(&counted("H1", Some("alice"), 0)).unwrap();
    assert_eq!(admin.token("H1").unwrap().last_step, Some(9), "below what was spent under this serial");
    admin.remove_token("H1").unwrap();
    admin.import(&[counted("H1", None, 50)], false, &mut |_| true).unwrap();
    assert_eq!(admin.token("H1").unwrap().last_step, Some(49), "above it");
}

pub(in crate::store) fn what_is_known_of_a_token_is_kept<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    let fields = TokenFields {
        label: Some("Ålice's key ring".into()),
        manufacturer: Some("Feitian".into()),
        model: Some("c200".into()),
        expires: Some(UnixTime(1_900_000_000_000)),
    };
    admin.add_token(&NewToken { fields: fields.clone(), ..token("K1", None) }).unwrap();
    admin.import(&[token("K2", None)], false, &mut |_| true).unwrap();
    assert_eq!(admin.token("K1").unwrap().fields, fields);
    assert_eq!(admin.tokens(&TokenFilter::default()).unwrap()[1].fields, TokenFields::default());
    let report = admin.import(&[token("K1", None)], false, &mut |_| true).unwrap();
    assert_eq!((report.unchanged, admin.token("K1").unwrap().fields), (1, fields));
}

/// A right code of the account's first token that taught something about its clock.
fn drifted(account: &Account, step: u64, drift: Option<Drift>) -> Record {
    let Record { guards, row } = spend(account, step);
    Record { guards, row: Arc::new(Row { drift, ..Row::clone(&row) }) }
}

pub(in crate::store) fn drift_follows_the_rows_through_restarts_and_snapshots<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    assert_eq!(alice.tokens[0].drift, None);
    let two = Some(Drift::of_steps(2));
    commit(&bench, drifted(&alice, 10, two)).unwrap();
    commit(&bench, drifted(&alice, 11, None)).unwrap();
    assert_eq!(find(&bench, "alice").tokens[0].drift, two, "no news leaves it");
    assert_eq!(commit(&bench, drifted(&alice, 11, Some(Drift::default()))), Err(Some(Conflict::StepSpent)));
    let bench = bench.restart();
    assert_eq!(
        (find(&bench, "alice").tokens[0].drift, bench.admin().token("T-alice").unwrap().drift),
        (two, two)
    );
    let back = Some(Drift::from_sixteenths(-3));
    commit(&bench, drifted(&alice, 12, back)).unwrap();
    assert_eq!(find(&bench, "alice").tokens[0].drift, back);
    let mut admin = bench.admin();
    assert_eq!(outcome(admin.append(&drifted(&alice, 13, two))), Ok(4));
    assert_eq!((find(&bench, "alice").tokens[0].drift, admin.token("T-alice").unwrap().drift), (two, two));
}

pub(in crate::store) fn drift_is_not_to_be_learned_while_most_tokens_are_off<B: Bench>() {
    let bench = B::new();
    let users: Vec<_> = (0..6).map(|number| enrol(&bench, &format!("u{number}"))).collect();
    for (place, user) in users.iter().enumerate() {
        let steps = if place < 2 { 0 } else { 2 };
        commit(&bench, drifted(user, 10, Some(Drift::of_steps(steps)))).unwrap();
    }
    let bench = bench.restart();
    let until = |suspect: bool| {
        let clock = RealClock::shared();
        while find(&bench, "u0").clock_suspect != suspect {
            assert!(
                clock.mono().since(Tick(0)) < Duration::from_secs(10),
                "the clock is still taken for {}",
                !suspect
            );
            std::thread::yield_now();
        }
    };
    until(true);
    for user in &users {
        commit(&bench, drifted(user, 11, Some(Drift::of_steps(1)))).unwrap();
    }
    bench.look_at_clocks();
    until(false);
}
