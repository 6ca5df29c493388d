//! What commands may ask of every store.

use super::*;
use crate::base::name::GroupName;
use crate::engine::delivery::Kind;
use crate::engine::methods::Factor;

fn group(text: &str) -> GroupName {
    GroupName::canonical(text.as_bytes()).unwrap()
}

pub(in crate::store) fn users_are_added_changed_listed_and_removed<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    let fields = UserFields {
        display_name: Some("Carol Ö.".into()),
        first_name: Some("Carol".into()),
        last_name: Some("Ö.".into()),
        mail: Some("carol@example.org".into()),
        phone: Some("+49 30 1234".into()),
        extension: Some("77".into()),
        method: Some("sms".into()),
        language: Some("de".into()),
        password_hash: Some("$argon2id$…".into()),
        disabled: true,
        groups: Some([group("admins"), group("vpn users")].into()),
    };
    let id = admin.add_user(&name("carol"), &fields).unwrap();
    admin.add_user(&name("alice"), &UserFields::default()).unwrap();
    admin.add_user(&name("bob"), &UserFields::default()).unwrap();
    assert!(matches!(admin.add_user(&name("BOB"), &fields), Err(AdminFault::Exists(_))));
    let carol = admin.user(&name("carol")).unwrap();
    assert_eq!((carol.id, &carol.fields), (id, &fields));
    let listed = |admin: &mut dyn Admin, filter: &UserFilter| -> Vec<String> {
        admin.users(filter).unwrap().iter().map(|user| user.name.to_string()).collect()
    };
    assert_eq!(listed(&mut *admin, &UserFilter::default()), ["alice", "bob", "carol"]);
    let page = UserFilter { after: Some(name("alice")), limit: 1, ..UserFilter::default() };
    assert_eq!(listed(&mut *admin, &page), ["bob"]);
    let part = UserFilter { contains: Some("ar".into()), ..UserFilter::default() };
    assert_eq!(listed(&mut *admin, &part), ["carol"]);
    let member = |text| UserFilter { group: Some(group(text)), ..UserFilter::default() };
    assert_eq!(listed(&mut *admin, &member("VPN Users")), ["carol"]);
    assert!(listed(&mut *admin, &member("vpn")).is_empty(), "a part of a group's name is no group");
    assert_eq!(find(&bench, "carol").groups.as_deref(), Some(&[group("admins"), group("vpn users")][..]));
    assert_eq!(find(&bench, "alice").groups, None);
    admin.set_user(&name("carol"), &mut |fields| fields.phone = None).unwrap();
    let changed = admin.user(&name("carol")).unwrap().fields;
    assert_eq!(changed, UserFields { phone: None, ..fields });
    let account = find(&bench, "carol");
    let contact = account.contact.unwrap();
    assert_eq!((contact.asked_first, contact.phone.as_deref()), (Some(Factor::Sent(Kind::Sms)), None));
    assert_eq!(contact.language.as_deref(), Some("de"), "a login is told what commands are");
    assert_eq!((account.disabled, account.password_hash), (true, Some("$argon2id$…".into())));
    admin.set_user(&name("carol"), &mut |fields| fields.set_groups(vec![group("b")]).unwrap()).unwrap();
    assert_eq!(find(&bench, "carol").groups.as_deref(), Some(&[group("b")][..]));
    admin.remove_user(&name("bob")).unwrap();
    assert_eq!(listed(&mut *admin, &UserFilter::default()), ["alice", "carol"]);
    for gone in [admin.user(&name("bob")).map(drop), admin.remove_user(&name("bob")).map(drop)] {
        assert!(matches!(gone, Err(AdminFault::Missing(_))));
    }
    let again = admin.add_user(&name("bob"), &UserFields::default()).unwrap();
    assert!(again > id, "numbers are not used again");
}

pub(in crate::store) fn tokens_are_added_given_taken_switched_and_removed<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    admin.add_user(&name("alice"), &UserFields::default()).unwrap();
    admin.add_user(&name("bob"), &UserFields::default()).unwrap();
    let special = Parameters { digits: Digits::new(8).unwrap(), ..Parameters::default() };
    admin.add_token(&NewToken { parameters: special, ..token("S2", None) }).unwrap();
    admin.add_token(&token("S1", Some("alice"))).unwrap();
    assert!(matches!(admin.add_token(&token("S1", None)), Err(AdminFault::Exists(_))));
    assert!(matches!(admin.add_token(&token("S3", Some("eve"))), Err(AdminFault::Missing(_))));
    assert!(matches!(admin.add_token(&token("", None)), Err(AdminFault::Invalid(_))));
    assert!(matches!(admin.assign_token("S2", Some(&name("eve"))), Err(AdminFault::Missing(_))));
    admin.assign_token("S2", Some(&name("alice"))).unwrap();
    let serials = |account: &Account| account.tokens.iter().map(|t| t.serial.to_string()).collect::<Vec<_>>();
    assert_eq!(serials(&find(&bench, "alice")), ["S2", "S1"], "oldest first");
    assert_eq!(find(&bench, "alice").tokens[0].parameters, special);
    admin.assign_token("S1", Some(&name("bob"))).unwrap();
    admin.enable_token("S1", false).unwrap();
    assert_eq!(serials(&find(&bench, "alice")), ["S2"]);
    assert!(!find(&bench, "bob").tokens[0].enabled);
    let details = admin.token("S1").unwrap();
    assert_eq!((details.user, details.enabled, details.last_step), (Some(name("bob")), false, None));
    assert_eq!(admin.remove_user(&name("alice")).unwrap(), ["S2".into()]);
    let listed = |admin: &mut dyn Admin, filter: &TokenFilter| -> Vec<String> {
        admin.tokens(filter).unwrap().iter().map(|token| token.serial.to_string()).collect()
    };
    let all = TokenFilter::default();
    assert_eq!(listed(&mut *admin, &all), ["S1", "S2"]);
    assert_eq!(listed(&mut *admin, &TokenFilter { unassigned: true, ..all.clone() }), ["S2"]);
    assert_eq!(listed(&mut *admin, &TokenFilter { user: Some(name("bob")), ..all.clone() }), ["S1"]);
    assert_eq!(listed(&mut *admin, &TokenFilter { contains: Some("2".into()), ..all.clone() }), ["S2"]);
    assert_eq!(listed(&mut *admin, &TokenFilter { after: Some("S1".into()), ..all.clone() }), ["S2"]);
    assert_eq!(listed(&mut *admin, &TokenFilter { limit: 1, ..all }), ["S1"]);
    admin.remove_token("S2").unwrap();
    assert!(matches!(admin.token("S2"), Err(AdminFault::Missing(_))));
    assert!(matches!(admin.remove_token("S2"), Err(AdminFault::Missing(_))));
}

pub(in crate::store) fn a_token_keeps_its_spent_steps_when_it_changes_hands<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    commit(&bench, spend(&alice, 50)).unwrap();
    let mut admin = bench.admin();
    admin.add_user(&name("bob"), &UserFields::default()).unwrap();
    admin.assign_token("T-alice", Some(&name("bob"))).unwrap();
    assert_eq!(admin.token("T-alice").unwrap().last_step, Some(50));
    let bob = find(&bench, "bob");
    assert_eq!(bob.tokens[0].last_step, Some(50));
    assert_eq!(commit(&bench, spend(&bob, 50)), Err(Some(Conflict::StepSpent)));
}

pub(in crate::store) fn a_token_keeps_its_spent_steps_when_its_user_is_removed<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    commit(&bench, spend(&alice, 50)).unwrap();
    let bench = bench.restart();
    let mut admin = bench.admin();
    admin.remove_user(&alice.name).unwrap();
    assert_eq!(admin.token("T-alice").unwrap().last_step, Some(50));
    admin.add_user(&alice.name, &UserFields::default()).unwrap();
    admin.assign_token("T-alice", Some(&alice.name)).unwrap();
    let again = find(&bench, "alice");
    assert_eq!(commit(&bench, spend(&again, 50)), Err(Some(Conflict::StepSpent)));
    assert!(commit(&bench, spend(&again, 51)).is_ok());
}

pub(in crate::store) fn a_removed_token_that_comes_back_has_its_spent_steps<B: Bench>() {
    let mut bench = B::new();
    let mut alice = enrol(&bench, "alice");
    let same = token("T-alice", Some("alice"));
    // Spent just now, and known from before a restart; and once more without a step in between.
    for (step, spent) in [(50, true), (51, true), (51, false)] {
        if spent {
            commit(&bench, spend(&alice, step)).unwrap();
        }
        for import in [false, true] {
            let mut admin = bench.admin();
            admin.remove_token("T-alice").unwrap();
            if import {
                let back = std::slice::from_ref(&same);
                assert!(admin.import(back, false, &mut |_| false).unwrap().abandoned);
                let report =
                    admin.import(&[token("T-new", None), same.clone()], false, &mut |_| true).unwrap();
                assert!(report.conflicts.is_empty() && report.added > 0);
            } else {
                admin.add_token(&same).unwrap();
            }
            assert_eq!(admin.token("T-alice").unwrap().last_step, Some(step));
            let back = find(&bench, "alice");
            assert_ne!(back.tokens[0].id, alice.tokens[0].id);
            for replayed in [step, step - 1] {
                assert_eq!(commit(&bench, spend(&back, replayed)), Err(Some(Conflict::StepSpent)));
            }
            alice = back;
        }
        bench = bench.restart();
        assert_eq!(find(&bench, "alice").tokens[0].last_step, Some(step));
    }
    assert_eq!(bench.admin().token("T-new").unwrap().last_step, None);
    assert!(commit(&bench, spend(&alice, 52)).is_ok());
}

pub(in crate::store) fn steps_of_another_interval_or_serial_are_not_carried_over<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    commit(&bench, spend(&alice, 50)).unwrap();
    let mut admin = bench.admin();
    admin.remove_token("T-alice").unwrap();
    let slow = Parameters { moving: Moving::Time { interval: 60 }, ..Parameters::default() };
    admin.add_token(&NewToken { parameters: slow, ..token("T-alice", Some("alice")) }).unwrap();
    admin.add_token(&token("T-other", None)).unwrap();
    // A minute's steps are numbered half as high as those of 30 s: none would be accepted for decades.
    assert!(commit(&bench, spend(&find(&bench, "alice"), 25)).is_ok());
    assert_eq!(admin.token("T-other").unwrap().last_step, None);
    admin.remove_token("T-alice").unwrap();
    admin.add_token(&token("T-alice", None)).unwrap();
    assert_eq!(admin.token("T-alice").unwrap().last_step, Some(50));
}

pub(in crate::store) fn an_unlock_clears_the_failures_and_leaves_a_row<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    for _ in 0..5 {
        commit(&bench, fail(&alice, 5)).unwrap();
    }
    let mut admin = bench.admin();
    assert_eq!(admin.user(&alice.name).unwrap().failures, 5);
    admin.unlock(&alice.name).unwrap();
    assert_eq!(find(&bench, "alice").failures, 0);
    assert_eq!(admin.user(&alice.name).unwrap().failures, 0);
    let unlocked = |bench: &B| find(bench, "alice").special.is_some_and(|special| special.unlocked.is_some());
    assert!(unlocked(&bench), "wrong passwords from before are forgiven");
    let rows = admin.audit(&AuditFilter::default()).unwrap();
    let unlocked = rows.iter().find(|row| row.reason == "unlocked").unwrap();
    assert_eq!((unlocked.verdict.as_str(), unlocked.user.as_deref()), ("noted", Some("alice")));
    assert!(commit(&bench, fail(&alice, 5)).is_ok());
    assert!(matches!(admin.unlock(&name("eve")), Err(AdminFault::Missing(_))));
}

pub(in crate::store) fn the_trail_reads_newest_first_and_outlives_its_users<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    assert_eq!(admin.newest_row_time().unwrap(), None);
    let alice = enrol(&bench, "alice");
    let bob = enrol(&bench, "bob");
    let at = |record: Record, time, login| {
        let row = Row { time, login: LoginId::from_number(login), ..Row::clone(&record.row) };
        Record { row: Arc::new(row), ..record }
    };
    let times = [tick(), tick()];
    let first = commit(&bench, at(spend(&alice, 1), times[0], 42)).unwrap();
    let late = Record { guards: vec![], row: row(&bob, Tally::Count, None).into() };
    let second = commit(&bench, at(late, times[1], 43)).unwrap();
    let since = Some(times[1]);
    let lately = admin.audit(&AuditFilter { since, ..AuditFilter::default() }).unwrap();
    assert_eq!(lately.iter().map(|row| row.sequence).collect::<Vec<_>>(), [second]);
    assert_eq!(admin.newest_row_time().unwrap(), Some(times[1]));
    admin.remove_user(&alice.name).unwrap();
    admin.remove_token("T-alice").unwrap();
    let all = admin.audit(&AuditFilter::default()).unwrap();
    let reasons: Vec<&str> = all.iter().map(|row| row.reason.as_str()).collect();
    let made = ["token-added", "user-added", "token-added", "user-added"];
    assert_eq!(reasons[..2], ["token-removed", "user-removed"]);
    assert_eq!(reasons[4..], made);
    assert_eq!([all[2].sequence, all[3].sequence], [second, first]);
    let removed = all[1].sequence;
    let oldest = &all[3];
    assert_eq!(oldest.time, times[0]);
    assert_eq!(oldest.login, LoginId::from_number(42));
    assert_eq!((oldest.client.as_str(), oldest.source.as_str()), ("nas", "192.0.2.1:1645"));
    assert_eq!(oldest.user.as_deref(), Some("alice"));
    assert_eq!(oldest.station.as_deref(), Some("198.51.100.7"));
    assert_eq!((oldest.verdict.as_str(), oldest.reason.as_str()), ("accepted", "code-accepted"));
    assert_eq!((oldest.method.as_str(), oldest.protocol.as_str()), ("totp", "pap"));
    assert_eq!((oldest.device.as_deref(), oldest.took), (Some("T-alice"), Duration::from_millis(1234)));
    let sequences = |filter: AuditFilter, admin: &mut dyn Admin| -> Vec<u64> {
        admin.audit(&filter).unwrap().iter().map(|row| row.sequence).collect()
    };
    let all = AuditFilter::default;
    assert_eq!(sequences(AuditFilter { limit: 1, ..all() }, &mut *admin), [removed + 1]);
    let alices = sequences(AuditFilter { user: Some(name("alice")), ..all() }, &mut *admin);
    assert_eq!(alices, [removed, first, 2, 1]);
    let login = Some(LoginId::from_number(42));
    assert_eq!(sequences(AuditFilter { login, ..all() }, &mut *admin), [first]);
}

pub(in crate::store) fn an_import_makes_users_and_tokens_and_once_more_changes_nothing<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    let mut admin = bench.admin();
    let rows: Vec<_> = (0..2000)
        .map(|n| token(&format!("I{n:04}"), Some(&format!("u{:04}", n / 2))))
        .chain([token("I-alice", Some("alice")), token("I-spare", None), token("I0000", Some("u0000"))])
        .collect();
    let mut heard = 0;
    let report = admin
        .import(&rows, false, &mut |done| {
            heard = done;
            true
        })
        .unwrap();
    assert_eq!((report.added, report.unchanged, report.users_made), (2002, 1, 1000));
    assert!(report.conflicts.is_empty() && !report.abandoned);
    assert_eq!(heard, rows.len());
    assert_eq!(find(&bench, "u0999").tokens.len(), 2);
    assert_eq!(find(&bench, "u0999").tokens[1].seed.as_ref(), Some(&rows[1999].seed));
    assert_eq!(find(&bench, "alice").id, alice.id);
    assert_eq!(find(&bench, "alice").tokens.len(), 2);
    assert_eq!(admin.token("I-spare").unwrap().user, None);
    let report = admin.import(&rows, false, &mut |_| true).unwrap();
    assert_eq!((report.added, report.unchanged, report.users_made), (0, 2003, 0));
    assert_eq!(admin.tokens(&TokenFilter::default()).unwrap().len(), 2003);
    admin.remove_token("I1999").unwrap();
    let report = admin.import(&rows, false, &mut |_| true).unwrap();
    assert_eq!((report.added, report.unchanged, report.users_made), (1, 2002, 0));
}

pub(in crate::store) fn an_import_with_a_conflict_names_it_and_changes_nothing<B: Bench>() {
    let bench = B::new();
    enrol(&bench, "alice");
    let mut admin = bench.admin();
    let mut changed = token("N1", Some("new1"));
    changed.seed = Secret::from("another secret");
    let rows = [
        token("N1", Some("new1")),
        token("T-alice", Some("new1")),
        token("N2", Some("new2")),
        changed,
        token(" N3", None),
        token("T-alice", Some("alice")),
    ];
    let report = admin.import(&rows, false, &mut |_| true).unwrap();
    let wrong: Vec<_> = report.conflicts.iter().map(|conflict| conflict.row).collect();
    assert_eq!(wrong[..3], [1, 3, 4], "{:?}", report.conflicts);
    assert!(report.conflicts[0].what.contains("T-alice"));
    assert_eq!(admin.users(&UserFilter::default()).unwrap().len(), 1);
    assert_eq!(admin.tokens(&TokenFilter::default()).unwrap().len(), 1);
}

pub(in crate::store) fn a_dry_run_and_an_abandoned_import_change_nothing<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    let rows: Vec<_> = (0..3000).map(|n| token(&format!("D{n}"), Some(&format!("d{n}")))).collect();
    let report = admin.import(&rows, true, &mut |_| true).unwrap();
    assert_eq!((report.added, report.users_made, report.abandoned), (3000, 3000, false));
    let report = admin.import(&rows, false, &mut |_| false).unwrap();
    assert!(report.abandoned);
    assert!(admin.users(&UserFilter::default()).unwrap().is_empty());
    assert!(admin.tokens(&TokenFilter::default()).unwrap().is_empty());
    assert!(matches!(ask(&bench, "d1"), UserAnswer::Unknown { resembles: false }));
    let report = admin.import(&rows, false, &mut |_| true).unwrap();
    assert_eq!((report.added, report.abandoned), (3000, false));
}

fn consuming(account: &Account, thing: Consumed) -> Record {
    let guards = vec![Guard::UserActive { user: account.id }, Guard::Unconsumed(thing)];
    let row = Row { consumed: Some(thing), ..row(account, Tally::Clear, None) };
    Record { guards, row: Arc::new(row) }
}

pub(in crate::store) fn what_works_once_is_used_once_and_a_restart_does_not_bring_it_back<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    let mut admin = bench.admin();
    let codes = [b"K7Q2MX9TR4AB", b"000011112222"].map(|code| RecoveryCode::parse(code).unwrap());
    admin.act_for(&alice.name, &UserAct::Recovery { codes: &codes, why: None }).unwrap();
    let client = Label::new("nas").unwrap();
    let span = Duration::from_mins(5);
    admin.act_for(&alice.name, &UserAct::Bypass { client, station: None, span, why: "lost" }).unwrap();

    let account = find(&bench, "alice");
    let special = account.special.clone().unwrap();
    let keys = account.keys.as_ref().unwrap();
    let of = |code: &RecoveryCode| code.hash(&keys.present.recovery, account.id.0);
    assert_eq!(
        special.recovery.iter().map(|known| known.hash).collect::<Vec<_>>(),
        [of(&codes[0]), of(&codes[1])]
    );
    let things = [Consumed::Recovery(special.recovery[0].id), Consumed::Bypass(special.bypasses[0].id)];
    for thing in things {
        let (first, second) = (consuming(&account, thing), consuming(&account, thing));
        let pending = [bench.logins().commit(first), bench.logins().commit(second)];
        let outcomes: Vec<_> = pending.into_iter().map(|pending| outcome(wait(pending))).collect();
        assert!(
            outcomes[0].is_ok() && outcomes[1] == Err(Some(Conflict::Consumed)),
            "{thing:?}: {outcomes:?}"
        );
        assert_eq!(outcome(admin.append(&consuming(&account, thing))), Err(Some(Conflict::Consumed)));
    }
    let after = |bench: &B| {
        let special = find(bench, "alice").special.unwrap();
        (special.recovery_left(), special.recovery.len(), special.bypasses.len())
    };
    assert_eq!(after(&bench), (1, 2, 0));
    let last = Consumed::Recovery(special.recovery[1].id);
    assert!(outcome(admin.append(&consuming(&account, last))).is_ok(), "a command uses it up like a login");
    assert_eq!(after(&bench), (0, 2, 0));
    let bench = bench.restart();
    assert_eq!(after(&bench), (0, 2, 0));
    assert_eq!(commit(&bench, consuming(&account, last)), Err(Some(Conflict::Consumed)));
}

pub(in crate::store) fn a_block_holds_at_the_append_until_its_time_is_over<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    let mut admin = bench.admin();
    admin.act_for(&alice.name, &UserAct::Block { span: Duration::from_hours(1), why: "away" }).unwrap();
    let block = find(&bench, "alice").special.unwrap().block.clone().unwrap();
    let at = |time| {
        let record = spend(&alice, time);
        let row = Row { time: UnixTime(time), ..(*record.row).clone() };
        Record { row: Arc::new(row), ..record }
    };
    assert_eq!(commit(&bench, at(block.until.0 - 1)), Err(Some(Conflict::UserBlocked)));
    assert!(commit(&bench, at(block.until.0)).is_ok());
    admin.act_for(&alice.name, &UserAct::Unblock { why: None }).unwrap();
    assert!(matches!(
        admin.act_for(&alice.name, &UserAct::Unblock { why: None }),
        Err(AdminFault::Missing(_))
    ));
    assert!(matches!(
        admin.act_for(&name("bob"), &UserAct::Unblock { why: None }),
        Err(AdminFault::Missing(_))
    ));
    assert!(find(&bench, "alice").special.is_none_or(|special| special.block.is_none()));
    let rows = admin.audit(&AuditFilter::default()).unwrap();
    let count = |reason: &str| rows.iter().filter(|row| row.reason == reason).count();
    assert_eq!([count("unblocked"), count("blocked")], [1, 1], "an act that failed leaves no row");
}
