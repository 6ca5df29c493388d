//! Passkeys: kept with their user, counted under the lock.

use super::*;
use crate::store::admin::AdminFault;
use crate::store::user_act::passkeys::{COPIED, PasskeyAct};

pub(in crate::store) fn a_passkey_is_kept_counts_on_and_is_taken_away<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    let mut admin = bench.admin();
    let add = |name, credential| {
        let key = r#"{"key":"x","type_":"ES256"}"#;
        UserAct::Passkey(PasskeyAct::Add { name, credential, key, counter: 7, synced: true })
    };
    admin.act_for(&alice.name, &add("key", &[1; 64])).unwrap();
    assert!(matches!(admin.act_for(&alice.name, &add("key", &[2; 64])), Err(AdminFault::Exists(_))));
    let kept = |bench: &B| find(bench, "alice").special.unwrap().passkeys.clone();
    let first = kept(&bench);
    assert_eq!((first[0].counter, first[0].synced, first[0].used), (7, true, None));
    let bench = bench.restart();
    assert_eq!(kept(&bench), first);
    let mut admin = bench.admin();
    let used = |counter| {
        let (passkey, what) = (first[0].id, "a test");
        UserAct::Passkey(PasskeyAct::Use { passkey, counter, synced: true, what })
    };
    admin.act_for(&alice.name, &used(8)).unwrap();
    let again = admin.act_for(&alice.name, &used(8));
    assert!(matches!(&again, Err(AdminFault::Invalid(what)) if what == COPIED), "{again:?}");
    let bench = bench.restart();
    assert_eq!(kept(&bench)[0].counter, 8);
    assert!(kept(&bench)[0].used.is_some());
    let mut admin = bench.admin();
    let remove = UserAct::Passkey(PasskeyAct::Remove { passkey: "key" });
    admin.act_for(&alice.name, &remove).unwrap();
    assert!(kept(&bench).is_empty());
    assert!(matches!(admin.act_for(&alice.name, &remove), Err(AdminFault::Missing(_))));
    let filter = AuditFilter { user: Some(alice.name), ..AuditFilter::default() };
    let rows = admin.audit(&filter).unwrap();
    let reasons: Vec<&str> = rows.iter().map(|row| row.reason.as_str()).collect();
    assert_eq!(reasons[..3], ["passkey-removed", "passkey-used", "passkey-added"], "newest first");
}
