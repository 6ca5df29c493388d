//! What tokens may expect of every store.

use super::*;
use crate::factor::oath::Drift;
use crate::store::admin::{Replacement, TokenFields};

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
        starts: Some(UnixTime(1_700_000_000_000)),
        expires: Some(UnixTime(1_900_000_000_000)),
        drift: Some(Drift::of_steps(-3)),
    };
    admin.add_token(&NewToken { fields: fields.clone(), ..token("K1", None) }).unwrap();
    admin.import(&[token("K2", None)], false, &mut |_| true).unwrap();
    assert_eq!(admin.token("K1").unwrap().fields, fields);
    assert_eq!(admin.tokens(&TokenFilter::default()).unwrap()[1].fields, TokenFields::default());
    let other = TokenFields { label: None, ..fields.clone() };
    admin.set_token("K1", &mut |known| known.label = None).unwrap();
    assert_eq!(admin.token("K1").unwrap().fields, other);
    admin.set_token("K1", &mut |known| *known = fields.clone()).unwrap();
    assert!(matches!(admin.set_token("K9", &mut |_| ()), Err(AdminFault::Missing(_))));
    let report = admin.import(&[token("K1", None)], false, &mut |_| true).unwrap();
    assert_eq!((report.unchanged, admin.token("K1").unwrap().fields), (1, fields));
}

pub(in crate::store) fn a_token_begins_with_the_clock_and_the_start_that_its_file_says<B: Bench>() {
    let bench = B::new();
    let (starts, said) = (Some(UnixTime(60_000)), Some(Drift::of_steps(-3)));
    let fields = TokenFields { starts, drift: said, ..TokenFields::default() };
    let file = [NewToken { fields, ..token("F1", Some("alice")) }];
    bench.admin().import(&file, false, &mut |_| true).unwrap();
    let seen = |bench: &B| {
        let token = find(bench, "alice").tokens.remove(0);
        (token.starts, token.drift, bench.admin().token("F1").unwrap().drift)
    };
    assert_eq!(seen(&bench), (starts, said, said));
    let bench = bench.restart();
    assert_eq!(seen(&bench), (starts, said, said));
    // What its codes teach goes before it.
    let learned = Some(Drift::of_steps(2));
    commit(&bench, drifted(&find(&bench, "alice"), 10, learned)).unwrap();
    assert_eq!(seen(&bench), (starts, learned, learned));
    assert_eq!(seen(&bench.restart()), (starts, learned, learned));
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
    assert!(outcome(admin.append(&drifted(&alice, 13, two))).is_ok());
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
    assert!(bench.admin().clock_suspect().unwrap());
    for user in &users {
        commit(&bench, drifted(user, 11, Some(Drift::of_steps(1)))).unwrap();
    }
    bench.look_at_clocks();
    until(false);
    assert!(!bench.admin().clock_suspect().unwrap());
}

pub(in crate::store) fn whoever_lost_a_token_is_no_newcomer<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    for user in ["alice", "bob", "carol", "dora"] {
        admin.add_user(&name(user), &UserFields::default()).unwrap();
    }
    admin.add_token(&token("T-alice", Some("alice"))).unwrap();
    admin.add_token(&token("T-bob", Some("bob"))).unwrap();
    admin.add_token(&token("T-carol", Some("carol"))).unwrap();
    // Given to whoever has it already is taken from nobody.
    admin.assign_token("T-carol", Some(&name("carol"))).unwrap();
    admin.enable_token("T-carol", false).unwrap();
    admin.remove_token("T-alice").unwrap();
    admin.assign_token("T-bob", None).unwrap();
    let bench = bench.restart();
    let withdrawn = |user| find(&bench, user).special.is_some_and(|special| special.withdrawn);
    assert_eq!(["alice", "bob", "carol", "dora"].map(withdrawn), [true, true, false, false]);
    let enrolled = |user| find(&bench, user).is_enrolled();
    assert_eq!(["alice", "bob", "carol", "dora"].map(enrolled), [true, true, true, false]);
}

pub(in crate::store) fn a_token_in_stock_is_looked_at_and_what_it_showed_is_used_up<B: Bench>() {
    let bench = B::new();
    enrol(&bench, "alice");
    let mut admin = bench.admin();
    let stock = token("S1", None);
    admin.add_token(&stock).unwrap();
    let mut seen = None;
    let look = |admin: &mut dyn Admin, serial: &str, step, seen: &mut Option<_>| {
        admin.verify_stock(serial, &mut |token, seed| {
            *seen = Some((token.last_step, *seed == stock.seed));
            step
        })
    };
    look(&mut *admin, "S1", None, &mut seen).unwrap();
    assert_eq!((seen, admin.token("S1").unwrap().last_step), (Some((None, true)), None), "nothing was shown");
    look(&mut *admin, "S1", Some(50), &mut seen).unwrap();
    look(&mut *admin, "S1", Some(49), &mut seen).unwrap();
    assert_eq!(seen, Some((Some(50), true)));
    for (serial, fault) in [("T-alice", "belongs to somebody"), ("S9", "there is no token S9")] {
        let said = look(&mut *admin, serial, Some(1), &mut seen).unwrap_err().to_string();
        assert!(said.contains(fault), "{said}");
    }
    let rows = admin.audit(&AuditFilter::default()).unwrap();
    let verified = rows.iter().filter(|row| row.reason == "token-verified");
    assert!(verified.clone().count() == 2 && verified.clone().all(|row| row.user.is_none()), "{rows:?}");
    // Its owner shows it something newer.
    admin.assign_token("S1", Some(&name("alice"))).unwrap();
    let bench = bench.restart();
    let alice = find(&bench, "alice");
    let held = alice.tokens.iter().find(|token| &*token.serial == "S1").unwrap();
    assert_eq!(held.last_step, Some(50));
}

pub(in crate::store) fn a_renamed_token_works_on_and_its_spent_steps_stay_under_both_numbers<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    commit(&bench, spend(&alice, 50)).unwrap();
    let mut admin = bench.admin();
    admin.add_token(&token("T-bob", None)).unwrap();
    for (new, fault) in [("T-bob", "is there already"), (" x", "printable"), ("", "printable")] {
        let said = admin.rename_token("T-alice", &new.into()).unwrap_err().to_string();
        assert!(said.contains(fault), "{said}");
    }
    assert!(matches!(admin.rename_token("T-eve", &"T-new".into()), Err(AdminFault::Missing(_))));
    admin.rename_token("T-alice", &"T-new".into()).unwrap();
    let renamed = find(&bench, "alice");
    assert_eq!((&*renamed.tokens[0].serial, renamed.tokens[0].id), ("T-new", alice.tokens[0].id));
    assert_eq!(renamed.tokens[0].seed, alice.tokens[0].seed, "its seed opens under the new number");
    assert_eq!(commit(&bench, spend(&renamed, 50)), Err(Some(Conflict::StepSpent)));
    commit(&bench, spend(&renamed, 51)).unwrap();
    assert_eq!(admin.user(&name("alice")).unwrap().tokens, ["T-new".into()]);
    assert!(matches!(admin.token("T-alice"), Err(AdminFault::Missing(_))));
    // The same device imported again under its old number: what it had shown by then stays used.
    admin.add_token(&token("T-alice", None)).unwrap();
    assert_eq!(admin.token("T-alice").unwrap().last_step, Some(50));
    // And one that takes over a number takes over what was spent under it.
    admin.remove_token("T-alice").unwrap();
    admin.rename_token("T-bob", &"T-alice".into()).unwrap();
    assert_eq!(admin.token("T-alice").unwrap().last_step, Some(50));
    let bench = bench.restart();
    assert_eq!(find(&bench, "alice").tokens[0].last_step, Some(51));
}

pub(in crate::store) fn a_token_in_stock_or_a_new_one_takes_a_lost_one_s_place<B: Bench>() {
    let bench = B::new();
    enrol(&bench, "alice");
    enrol(&bench, "bob");
    let mut admin = bench.admin();
    let expired = TokenFields { expires: Some(UnixTime(60_000)), ..TokenFields::default() };
    admin.add_token(&NewToken { fields: expired, ..token("S-old", None) }).unwrap();
    admin.add_token(&token("S-off", None)).unwrap();
    admin.enable_token("S-off", false).unwrap();
    admin.add_token(&token("S1", None)).unwrap();
    let stock = |serial: &str| Replacement::Stock(serial.into());
    for (lost, by, fault) in [
        ("T-alice", stock("T-bob"), "belongs to bob"),
        ("T-alice", stock("S-old"), "has expired"),
        ("T-alice", stock("S-off"), "is disabled"),
        ("T-alice", stock("T-alice"), "its own place"),
        ("T-alice", stock("S9"), "there is no token S9"),
        ("T-eve", stock("S1"), "there is no token T-eve"),
        ("S1", stock("S-off"), "belongs to nobody"),
        ("T-alice", Replacement::Made(Box::new(token("T-bob", None))), "is there already"),
    ] {
        let said = admin.replace_token(lost, &by).unwrap_err().to_string();
        assert!(said.contains(fault), "{said}");
        assert!(find(&bench, "alice").tokens[0].enabled, "{fault}: nothing is changed");
    }
    assert_eq!(admin.replace_token("T-alice", &stock("S1")).unwrap(), name("alice"));
    let held = |bench: &B| -> Vec<(String, bool)> {
        find(bench, "alice").tokens.iter().map(|token| (token.serial.to_string(), token.enabled)).collect()
    };
    assert_eq!(held(&bench), [("T-alice".into(), false), ("S1".into(), true)]);
    let made = token("M1", Some("bob"));
    admin.replace_token("S1", &Replacement::Made(Box::new(made.clone()))).unwrap();
    let all = [("T-alice".into(), false), ("S1".into(), false), ("M1".into(), true)];
    assert_eq!(held(&bench), all);
    assert_eq!(find(&bench, "alice").tokens[2].seed, Some(made.seed));
    assert_eq!(held(&bench.restart()), all);
}
