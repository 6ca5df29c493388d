//! Remembered factors: begun by rows, ended by admins.

use std::sync::Arc;
use std::time::Duration;

use super::{Bench, commit, enrol, find, name, outcome, row, token};
use crate::base::name::Label;
use crate::base::time::UnixTime;
use crate::engine::account::{Account, TokenId};
use crate::engine::record::{Conflict, Guard, LoginId, Method, Record, Row, Tally};
use crate::engine::remember::Session;
use crate::store::admin::{Admin, AdminFault, Replacement, UserFields, UserRow};
use crate::store::user_act::UserAct;

type Change = Box<dyn Fn(&mut dyn Admin)>;

fn session(id: u64, station: &str, method: Method, token: Option<TokenId>) -> Arc<Session> {
    let since = UnixTime(1_800_000_000_000);
    Arc::new(Session {
        id: LoginId::from_number(id),
        client: Label::new("nas").unwrap(),
        station: station.into(),
        since,
        until: since + Duration::from_hours(24 * 90),
        method,
        token,
        pin: false,
        passkey: false,
    })
}

fn begins(account: &Account, session: Arc<Session>) -> Record {
    let row = Row { remembers: Some(session), ..row(account, Tally::Clear, None) };
    Record { guards: vec![Guard::UserActive { user: account.id }], row: Arc::new(row) }
}

fn rests_on(account: &Account, id: u64) -> Record {
    let guards = vec![Guard::Remembered(LoginId::from_number(id))];
    Record { guards, row: Arc::new(row(account, Tally::Keep, None)) }
}

fn sessions(bench: &impl Bench, user: &str) -> Vec<u64> {
    let special = find(bench, user).special;
    special.iter().flat_map(|special| &special.sessions).map(|session| session.id.number()).collect()
}

pub(in crate::store) fn a_remembered_factor_outlives_a_restart_and_is_ended_once<B: Bench>() {
    let bench = B::new();
    let (alice, bob) = (enrol(&bench, "alice"), enrol(&bench, "bob"));
    let mut admin = bench.admin();
    assert!(admin.remembered().unwrap().is_empty());
    let token = Some(alice.tokens[0].id);
    let kept = session(1, "desk", Method::Totp, token);
    assert_eq!(commit(&bench, rests_on(&alice, 1)), Err(Some(Conflict::SessionEnded)));
    assert!(commit(&bench, begins(&alice, Arc::clone(&kept))).is_ok());
    assert!(outcome(admin.append(&begins(&alice, session(2, "home", Method::Totp, token)))).is_ok());
    assert!(commit(&bench, rests_on(&alice, 1)).is_ok());
    assert_eq!(commit(&bench, rests_on(&bob, 1)), Err(Some(Conflict::SessionEnded)), "it is hers");
    assert_eq!(find(&bench, "alice").special.unwrap().sessions[0], *kept);

    let bench = bench.restart();
    assert_eq!(sessions(&bench, "alice"), [1, 2]);
    let mut admin = bench.admin();
    let listed = admin.remembered().unwrap();
    assert_eq!(listed.iter().map(|(user, _)| user.as_str()).collect::<Vec<_>>(), ["alice"]);
    assert_eq!(listed[0].1.sessions.len(), 2);

    let end = |which: Option<u64>| UserAct::EndSessions {
        which: which.map(LoginId::from_number),
        why: Some("lost"),
    };
    admin.act_for(&alice.name, &end(Some(1))).unwrap();
    assert!(matches!(admin.act_for(&alice.name, &end(Some(1))), Err(AdminFault::Missing(_))));
    assert_eq!(sessions(&bench, "alice"), [2]);
    assert_eq!(commit(&bench, rests_on(&alice, 1)), Err(Some(Conflict::SessionEnded)));
    admin.act_for(&alice.name, &end(None)).unwrap();
    assert_eq!(commit(&bench, rests_on(&alice, 2)), Err(Some(Conflict::SessionEnded)));
    let bench = bench.restart();
    assert!(sessions(&bench, "alice").is_empty());
    assert!(bench.admin().remembered().unwrap().is_empty());
}

pub(in crate::store) fn what_an_admin_changes_ends_what_is_remembered_for_good<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    enrol(&bench, "alice");
    enrol(&bench, "bob");
    let edited = |edit: fn(&mut UserFields)| {
        move |admin: &mut dyn Admin| admin.set_user(&name("alice"), &mut |fields| edit(fields)).unwrap()
    };
    let acted =
        |act: UserAct<'static>| move |admin: &mut dyn Admin| admin.act_for(&name("alice"), &act).unwrap();
    let block = UserAct::Block { span: Duration::from_secs(1), why: "lost" };
    // What is done; whether the sessions by the token, a text message and a mail are ended by it.
    let changes: Vec<(&str, Change, [bool; 3])> = vec![
        ("a name", Box::new(edited(|fields| fields.display_name = Some("Alice".into()))), [false; 3]),
        ("a password", Box::new(edited(|fields| fields.password_hash = Some("hash".into()))), [true; 3]),
        (
            "a phone",
            Box::new(edited(|fields| fields.phone = Some("+36301234567".into()))),
            [false, true, false],
        ),
        (
            "a mail",
            Box::new(edited(|fields| fields.mail = Some("a@example.com".into()))),
            [false, false, true],
        ),
        ("disabled", Box::new(edited(|fields| fields.disabled = true)), [true; 3]),
        ("enabled", Box::new(edited(|fields| fields.disabled = false)), [false; 3]),
        ("blocked", Box::new(acted(block)), [true; 3]),
        ("unblocked", Box::new(acted(UserAct::Unblock { why: None })), [false; 3]),
        (
            "off",
            Box::new(|admin: &mut dyn Admin| admin.enable_token("T-alice", false).unwrap()),
            [true, false, false],
        ),
        ("on", Box::new(|admin: &mut dyn Admin| admin.enable_token("T-alice", true).unwrap()), [false; 3]),
        (
            "hers",
            Box::new(|admin: &mut dyn Admin| admin.assign_token("T-alice", None).unwrap()),
            [true, false, false],
        ),
        (
            "back",
            Box::new(|admin: &mut dyn Admin| admin.assign_token("T-alice", Some(&name("alice"))).unwrap()),
            [false; 3],
        ),
        (
            "replaced",
            Box::new(|admin: &mut dyn Admin| {
                let by = Replacement::Made(Box::new(token("N-1", None)));
                admin.replace_token("T-alice", &by).map(drop).unwrap();
            }),
            [true, false, false],
        ),
        (
            "removed",
            Box::new(|admin: &mut dyn Admin| admin.remove_token("T-alice").unwrap()),
            [true, false, false],
        ),
    ];
    let first = find(&bench, "alice").tokens[0].id;
    for (what, change, ends) in changes {
        // Rows of a user who may not log in begin nothing, so the guard is left out.
        let alice = find(&bench, "alice");
        for (id, method, token) in
            [(1, Method::Totp, Some(first)), (2, Method::Sms, None), (3, Method::Email, None)]
        {
            let record = begins(&alice, session(id, &format!("desk {id}"), method, token));
            assert!(commit(&bench, Record { guards: Vec::new(), ..record }).is_ok(), "{what}");
        }
        assert_eq!(sessions(&bench, "alice"), [1, 2, 3], "before {what}");
        change(&mut *admin);
        let left: Vec<u64> = (1..).zip(ends).filter(|(_, ends)| !ends).map(|(id, _)| id).collect();
        assert_eq!(sessions(&bench, "alice"), left, "after {what}");
    }
    assert!(sessions(&bench, "bob").is_empty());
}

pub(in crate::store) fn a_file_of_users_ends_what_is_remembered_of_those_it_changes<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    let mut rows = Vec::new();
    for (user, fields, enabled) in [
        ("u1", UserFields { phone: Some("+36301111111".into()), ..UserFields::default() }, None),
        ("u2", UserFields { phone: Some("+36302222222".into()), ..UserFields::default() }, None),
        ("u3", UserFields { display_name: Some("Three".into()), ..UserFields::default() }, Some(false)),
    ] {
        let account = enrol(&bench, user);
        admin.set_user(&account.name, &mut |known| known.phone = Some("+36301111111".into())).unwrap();
        assert!(commit(&bench, begins(&account, session(1, "desk", Method::Sms, None))).is_ok());
        // Of all three something is new.
        let fields = UserFields { last_name: Some("New".into()), ..fields };
        rows.push(UserRow { name: account.name, fields, enabled });
    }
    let report = admin.import_users(&rows, true, false, &mut |_| true).unwrap();
    assert_eq!((report.users_changed, report.conflicts.len()), (3, 0));
    let left = ["u1", "u2", "u3"].map(|user| sessions(&bench, user).len());
    assert_eq!(left, [1, 0, 0]);
}
