//! A new sealing key for a database that is used.

use super::*;
use crate::store::admin::UserFields;
use crate::store::rekey::Report;

const NEW: [u8; 32] = [9; 32];

fn with_key(url: &str, server: &str, key: [u8; 32]) -> Settings {
    Settings { key: KeySource::Given(SealKey::parse(&key).unwrap()), ..settings(url, server) }
}

fn rekey(url: &str, key: [u8; 32], progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<Report, String> {
    let new = SealKey::parse(&key).unwrap();
    let clock = RealClock::shared();
    super::super::rekey::rekey(&settings(url, "desk"), &address(url), &new, clock, entropy(), progress)
        .map_err(|fault| fault.to_string())
}

fn said(opened: Result<PostgresAdmin, StoreFault>) -> String {
    opened.err().map(|fault| fault.to_string()).unwrap_or_default()
}

fn opened_with(url: &str, key: [u8; 32]) -> Result<PostgresAdmin, StoreFault> {
    open_admin(&with_key(url, "desk", key), &address(url), RealClock::shared(), entropy())
}

#[test]
fn a_new_key_seals_everything_while_a_server_runs_and_the_one_before_opens_nothing_any_more() {
    let bench = InDatabase::new();
    let alice = enrol(&bench, "alice");
    commit(&bench, spend(&alice, 1)).unwrap();
    let report = rekey(&bench.url, NEW, &mut |_, _| true).unwrap();
    assert!(!report.resumed && report.shared, "{report:?}");
    assert_eq!((report.resealed, report.damaged.len()), (1, 0));
    let refused = said(opened_with(&bench.url, [7; 32]));
    assert!(refused.contains("the one from before `store rekey`"), "{refused}");
    // The server that runs has the old key, and takes what was sealed with the new one.
    let mut desk = opened_with(&bench.url, NEW).unwrap();
    desk.add_user(&name("bob"), &UserFields::default()).unwrap();
    desk.add_token(&token("T-bob", Some("bob"))).unwrap();
    for (who, step) in [("alice", 2), ("bob", 1)] {
        let found = find(&bench, who);
        assert!(found.tokens[0].seed.is_some(), "{who}");
        commit(&bench, spend(&found, step)).unwrap();
    }
    let verified = desk.trail().verify(&[], &mut |_, _| ()).unwrap();
    assert_eq!(verified.broken, None);
    assert!(desk.audit(&AuditFilter::default()).unwrap().iter().any(|row| row.reason == "store-rekeyed"));
    // One that starts has the new key, and what the old one had sealed or signed is good.
    drop(bench.store);
    let (url, clock) = (bench.url, RealClock::shared());
    let parts = parts(&with_key(&url, "mfa-a", NEW), &address(&url), Arc::clone(&clock), entropy()).unwrap();
    let again = InDatabase { url, server: "mfa-a", clock, store: Some(parts.store) };
    assert!(find(&again, "alice").tokens[0].seed.is_some());
    assert!(commit(&again, spend(&alice, 3)).is_ok());
}

#[test]
fn a_rekey_that_is_ended_leaves_the_store_as_it_was_and_is_gone_on_with() {
    let bench = InDatabase::new();
    let mut admin = bench.admin();
    for number in 0..600 {
        admin.add_token(&token(&format!("T{number:03}"), None)).unwrap();
    }
    let url = bench.url.clone();
    drop((admin, bench));
    let stopped = rekey(&url, NEW, &mut |done, total| {
        assert_eq!((done, total), (250, 600));
        false
    });
    assert!(stopped.is_err_and(|said| said.contains("stopped")));
    let refused = rekey(&url, [11; 32], &mut |_, _| true).unwrap_err();
    assert!(refused.contains("is under way; finish that first"), "{refused}");
    assert!(said(opened_with(&url, NEW)).contains("another key"), "the store wants the old one to the end");
    let mut between = opened_with(&url, [7; 32]).unwrap();
    let read = |admin: &mut PostgresAdmin| {
        let serials: Vec<Arc<str>> = (0..600).map(|number| format!("T{number:03}").into()).collect();
        let mut seeds = 0;
        admin
            .export(&serials, &mut |_, _| {
                seeds += 1;
                true
            })
            .unwrap();
        seeds
    };
    assert_eq!(read(&mut between), 600, "whichever key a seed is sealed with");
    let report = rekey(&url, NEW, &mut |_, _| true).unwrap();
    assert!(report.resumed && !report.shared && report.damaged.is_empty(), "{report:?}");
    assert_eq!(report.resealed, 350);
    let mut after = opened_with(&url, NEW).unwrap();
    assert_eq!(read(&mut after), 600);
    let again = super::super::rekey::rekey(
        &with_key(&url, "desk", NEW),
        &address(&url),
        &SealKey::parse(&[7; 32]).unwrap(),
        RealClock::shared(),
        entropy(),
        &mut |_, _| true,
    );
    assert!(
        again.is_err_and(|fault| fault.to_string().contains("had before")),
        "an old key is none to go back to"
    );
}
