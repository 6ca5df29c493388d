//! What imports of users and exports of tokens may expect of every store.

use super::*;
use crate::store::admin::UserRow;

fn row(user: &str, mail: Option<&str>, enabled: Option<bool>) -> UserRow {
    let fields = UserFields { mail: mail.map(str::to_owned), ..UserFields::default() };
    UserRow { name: name(user), fields, enabled }
}

fn mail_of(admin: &mut dyn Admin, user: &str) -> Option<String> {
    admin.user(&name(user)).unwrap().fields.mail
}

pub(in crate::store) fn users_of_a_file_are_made_changed_where_told_to_and_the_same_again_changes_nothing<
    B: Bench,
>() {
    let bench = B::new();
    let mut admin = bench.admin();
    let before = UserFields {
        mail: Some("old@example.com".into()),
        phone: Some("+4930111".into()),
        extension: Some("7".into()),
        password_hash: Some("$argon2id$…".into()),
        ..UserFields::default()
    };
    admin.add_user(&name("alice"), &before).unwrap();
    let rows = [
        row("bob", Some("bob@example.com"), Some(false)),
        row("alice", Some("new@example.com"), None),
        row("bob", Some("bob@example.com"), Some(false)),
        row("carol", None, None),
    ];
    let refused = admin.import_users(&rows, false, false, &mut |_| true).unwrap();
    assert_eq!(refused.conflicts.iter().map(|conflict| conflict.row).collect::<Vec<_>>(), [1]);
    assert!(admin.user(&name("bob")).is_err(), "all or none");
    let dry = admin.import_users(&rows, true, true, &mut |_| true).unwrap();
    assert_eq!((dry.users_made, dry.users_changed), (2, 1));
    let left = admin.import_users(&rows, true, false, &mut |_| false).unwrap();
    assert!(left.abandoned && admin.user(&name("bob")).is_err());
    assert_eq!(mail_of(&mut *admin, "alice").as_deref(), Some("old@example.com"));

    let mut heard = 0;
    let mut progress = |done| {
        heard = done;
        true
    };
    let report = admin.import_users(&rows, true, false, &mut progress).unwrap();
    assert_eq!((report.users_made, report.users_changed, report.conflicts.len()), (2, 1, 0));
    assert_eq!(heard, rows.len());
    let alice = admin.user(&name("alice")).unwrap().fields;
    assert_eq!(alice, UserFields { mail: Some("new@example.com".into()), ..before }, "the rest stays");
    assert!(admin.user(&name("bob")).unwrap().fields.disabled);
    assert!(find(&bench, "bob").disabled, "a login sees it");
    let again = admin.import_users(&rows, false, false, &mut |_| true).unwrap();
    assert_eq!((again.users_made, again.users_changed, again.conflicts.len()), (0, 0, 0));
    let newest = admin.audit(&AuditFilter { limit: 1, ..AuditFilter::default() }).unwrap();
    assert_eq!(newest[0].reason, Reason::UsersImported.code());

    // A number that is said takes the extension of the old one away.
    let mut moved = row("alice", None, Some(true));
    moved.fields.phone = Some("+4930222".into());
    admin.import_users(&[moved], true, false, &mut |_| true).unwrap();
    let alice = admin.user(&name("alice")).unwrap().fields;
    assert_eq!((alice.phone.as_deref(), alice.extension), (Some("+4930222"), None));
    let twice = [row("dave", Some("a@example.com"), None), row("dave", Some("b@example.com"), None)];
    let refused = admin.import_users(&twice, true, false, &mut |_| true).unwrap();
    assert_eq!(refused.conflicts.iter().map(|conflict| conflict.row).collect::<Vec<_>>(), [1]);
}

pub(in crate::store) fn each_seed_that_leaves_has_its_row_in_the_trail_first<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    admin.add_user(&name("alice"), &UserFields::default()).unwrap();
    admin.add_token(&token("A1", Some("alice"))).unwrap();
    admin.add_token(&token("S1", None)).unwrap();
    let exported = |admin: &mut dyn Admin| -> Vec<Option<String>> {
        let rows = admin.audit(&AuditFilter::default()).unwrap();
        let reason = Reason::TokenExported.code();
        rows.iter().filter(|row| row.reason == reason).map(|row| row.device.clone()).collect()
    };
    let serials: [Arc<str>; 2] = ["A1".into(), "S1".into()];
    let mut left = Vec::new();
    admin
        .export(&serials, &mut |token, seed| {
            left.push((token.serial.to_string(), token.user.clone(), seed.clone()));
            true
        })
        .unwrap();
    let seed = |serial: &str| token(serial, None).seed;
    assert_eq!(
        left,
        [("A1".to_owned(), Some(name("alice")), seed("A1")), ("S1".to_owned(), None, seed("S1"))]
    );
    assert_eq!(exported(&mut *admin), [Some("S1".to_owned()), Some("A1".to_owned())]);
    assert!(admin.export(&["T9".into()], &mut |_, _| true).is_err());
    assert_eq!(exported(&mut *admin).len(), 2);
}
