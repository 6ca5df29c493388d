//! What logins may expect of every store.

use super::*;

pub(in crate::store) fn a_step_is_spent_once_and_takes_the_earlier_ones_with_it<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    assert_eq!(alice.tokens[0].last_step, None);
    assert!(commit(&bench, spend(&alice, 100)).is_ok());
    assert_eq!(commit(&bench, spend(&alice, 100)), Err(Some(Conflict::StepSpent)));
    assert_eq!(commit(&bench, spend(&alice, 99)), Err(Some(Conflict::StepSpent)));
    assert_eq!(find(&bench, "alice").tokens[0].last_step, Some(100));
    assert!(commit(&bench, spend(&alice, 101)).is_ok());
}

pub(in crate::store) fn a_token_that_is_gone_off_or_elsewhere_spends_nothing<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    let bob = enrol(&bench, "bob");
    let mut stolen = spend(&bob, 5);
    stolen.guards[1] = Guard::StepUnspent { token: alice.tokens[0].id, step: 5 };
    assert_eq!(commit(&bench, stolen), Err(Some(Conflict::TokenGone)));
    let mut admin = bench.admin();
    admin.enable_token("T-alice", false).unwrap();
    assert_eq!(commit(&bench, spend(&alice, 5)), Err(Some(Conflict::TokenGone)));
    admin.enable_token("T-alice", true).unwrap();
    admin.assign_token("T-alice", None).unwrap();
    assert_eq!(commit(&bench, spend(&alice, 5)), Err(Some(Conflict::TokenGone)));
    admin.remove_token("T-bob").unwrap();
    assert_eq!(commit(&bench, spend(&bob, 5)), Err(Some(Conflict::TokenGone)));
}

pub(in crate::store) fn failures_count_up_to_their_limit_and_a_success_clears_them<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    for _ in 0..3 {
        assert!(commit(&bench, fail(&alice, 3)).is_ok());
    }
    assert_eq!(commit(&bench, fail(&alice, 3)), Err(Some(Conflict::TooManyFailures)));
    let now = find(&bench, "alice");
    assert_eq!((now.failures, now.last_failure), (3, UnixTime(1_800_000_000_000)));
    assert!(commit(&bench, spend(&alice, 1)).is_ok());
    assert_eq!(find(&bench, "alice").failures, 0);
    assert!(commit(&bench, fail(&alice, 3)).is_ok());
    assert_eq!(find(&bench, "alice").failures, 1);
}

pub(in crate::store) fn a_user_who_is_disabled_or_removed_is_refused_at_the_append<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    let mut admin = bench.admin();
    admin.set_user(&alice.name, &mut |fields| fields.disabled = true).unwrap();
    assert_eq!(commit(&bench, spend(&alice, 1)), Err(Some(Conflict::UserInactive)));
    admin.set_user(&alice.name, &mut |fields| fields.disabled = false).unwrap();
    admin.remove_user(&alice.name).unwrap();
    assert_eq!(commit(&bench, spend(&alice, 1)), Err(Some(Conflict::UserInactive)));
    assert_eq!(commit(&bench, fail(&alice, 9)), Err(Some(Conflict::UserInactive)));
    admin.add_user(&alice.name, &UserFields::default()).unwrap();
    assert_eq!(
        commit(&bench, fail(&alice, 9)),
        Err(Some(Conflict::UserInactive)),
        "another user of the same name is another user"
    );
}

pub(in crate::store) fn racing_records_are_judged_one_after_the_other<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    let bob = enrol(&bench, "bob");
    let same: Vec<_> = (0..50).map(|_| bench.logins().commit(spend(&alice, 7))).collect();
    let guesses: Vec<_> = (0..50).map(|_| bench.logins().commit(fail(&bob, 5))).collect();
    let done = |all: Vec<Result<u64, Option<Conflict>>>| all.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(done(same.into_iter().map(|one| outcome(wait(one))).collect()), 1);
    assert_eq!(done(guesses.into_iter().map(|one| outcome(wait(one))).collect()), 5);
    assert_eq!(find(&bench, "bob").failures, 5);
}

pub(in crate::store) fn a_guard_refuses_its_own_record_and_the_chain_has_no_gap<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    let steps = [1_u64, 1, 2, 1, 3, 2, 4];
    let answers: Vec<_> = steps.iter().map(|step| bench.logins().commit(spend(&alice, *step))).collect();
    let sequences: Vec<_> = answers.into_iter().filter_map(|one| outcome(wait(one)).ok()).collect();
    let first = sequences[0];
    assert_eq!(sequences, [first, first + 1, first + 2, first + 3]);
    let mut stranger = row(&alice, Tally::Keep, None);
    (stranger.user, stranger.user_id) = (None, None);
    assert_eq!(commit(&bench, Record { guards: vec![], row: stranger.into() }), Ok(first + 4));
}

pub(in crate::store) fn seeds_are_given_when_asked_for_and_only_then<B: Bench>() {
    let bench = B::new();
    enrol(&bench, "alice");
    for _ in 0..2 {
        assert_eq!(find(&bench, "alice").tokens[0].seed.as_ref().unwrap(), &token("T-alice", None).seed);
        let query = UserQuery { user: name("alice"), seeds: false, look_alikes: false };
        match wait(bench.logins().find(&query)) {
            UserAnswer::Found(account) => assert!(account.tokens[0].seed.is_none()),
            other => panic!("{other:?}"),
        }
    }
}

pub(in crate::store) fn a_raised_address_stays_raised_until_an_admin_relaxes_it<B: Bench>() {
    let bench = B::new();
    let nas = Label::new("nas").unwrap();
    let (one, two): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "2001:db8::2".parse().unwrap());
    for address in [one, two, one] {
        assert!(wait(bench.logins().raise(&nas, address)));
    }
    let bench = bench.restart();
    let mut raised = bench.logins().raised().unwrap();
    raised.sort();
    assert_eq!(raised, [(nas.clone(), one), (nas.clone(), two)]);
    let mut admin = bench.admin();
    assert_eq!(admin.postures().unwrap().len(), 2);
    assert_eq!(admin.relax(&nas, Some(one)).unwrap(), 1);
    assert_eq!(admin.relax(&Label::new("other").unwrap(), None).unwrap(), 0);
    assert_eq!(bench.logins().raised().unwrap(), [(nas.clone(), two)]);
    assert_eq!(admin.relax(&nas, None).unwrap(), 1);
    assert!(bench.logins().raised().unwrap().is_empty());
}

pub(in crate::store) fn a_stranger_resembles_a_user_who_owns_a_token<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    admin.add_user(&name("alice"), &UserFields::default()).unwrap();
    assert!(matches!(ask(&bench, "álice"), UserAnswer::Unknown { resembles: false }));
    admin.add_token(&token("T1", Some("alice"))).unwrap();
    for look in ["álice", "CORP\\alice", "alice@example.org", "alice."] {
        assert!(matches!(ask(&bench, look), UserAnswer::Unknown { resembles: true }), "{look}");
    }
    let query = UserQuery { user: name("álice"), seeds: false, look_alikes: false };
    assert!(matches!(wait(bench.logins().find(&query)), UserAnswer::Unknown { resembles: false }));
    assert!(matches!(ask(&bench, "malory"), UserAnswer::Unknown { resembles: false }));
}

pub(in crate::store) fn a_known_user_without_a_token_resembles_one_who_owns_it<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    let resembles = |look: &str| match ask(&bench, look) {
        UserAnswer::Found(account) => account.resembles_another,
        other => panic!("{other:?}"),
    };
    admin.add_user(&name("alice"), &UserFields::default()).unwrap();
    admin.add_user(&name("alice@corp"), &UserFields::default()).unwrap();
    for _ in 0..2 {
        assert!(!resembles("alice@corp"));
    }
    admin.add_token(&token("T1", Some("alice"))).unwrap();
    for _ in 0..2 {
        assert!(resembles("alice@corp"));
        assert!(!resembles("alice"), "who owns the token resembles nobody");
    }
    admin.remove_token("T1").unwrap();
    for _ in 0..2 {
        assert!(resembles("alice@corp"), "who had a token is asked for one");
    }
}

pub(in crate::store) fn a_stranger_resembles_whoever_may_be_asked_for_a_factor_also_after_a_restart<
    B: Bench,
>() {
    let mut bench = B::new();
    let mut admin = bench.admin();
    let fields = |phone: Option<&str>, mail: Option<&str>| UserFields {
        phone: phone.map(str::to_owned),
        mail: mail.map(str::to_owned),
        ..UserFields::default()
    };
    admin.add_user(&name("phoned"), &fields(Some("+36301234567"), None)).unwrap();
    admin.add_user(&name("mailed"), &fields(None, Some("m@example.com"))).unwrap();
    for user in ["pushed", "bare", "bare@corp", "phoned@corp"] {
        admin.add_user(&name(user), &UserFields::default()).unwrap();
    }
    let channel = Label::new("hook").unwrap();
    let device = UserAct::AddDevice { name: "phone", channel, address: "a", key: None };
    admin.act_for(&name("pushed"), &device).unwrap();
    drop(admin);
    for _ in 0..2 {
        for (user, expected) in [("phoned.", true), ("mailed.", true), ("pushed.", true), ("bare.", false)] {
            for _ in 0..2 {
                match ask(&bench, user) {
                    UserAnswer::Unknown { resembles } => assert_eq!(resembles, expected, "{user}"),
                    other => panic!("{other:?}"),
                }
            }
        }
        // Whoever an admin has called so is somebody else, not a stranger.
        for user in ["phoned@corp", "bare@corp"] {
            match ask(&bench, user) {
                UserAnswer::Found(account) => assert!(!account.resembles_another, "{user}"),
                other => panic!("{other:?}"),
            }
        }
        bench = bench.restart();
    }
}

pub(in crate::store) fn a_command_s_change_is_seen_at_the_next_login<B: Bench>() {
    let bench = B::new();
    for round in 0..20 {
        let user = format!("user{round}");
        assert!(matches!(ask(&bench, &user), UserAnswer::Unknown { .. }));
        enrol(&bench, &user);
        bench.admin().set_user(&name(&user), &mut |fields| fields.disabled = true).unwrap();
        assert!(find(&bench, &user).disabled);
        bench.admin().add_token(&token(&format!("X-{user}"), Some(&user))).unwrap();
        assert_eq!(find(&bench, &user).tokens.len(), 2);
        bench.admin().remove_user(&name(&user)).unwrap();
        assert!(matches!(ask(&bench, &user), UserAnswer::Unknown { .. }));
    }
}

pub(in crate::store) fn a_command_appends_under_the_same_guards_and_no_chain_has_a_gap<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    let server = commit(&bench, spend(&alice, 1)).unwrap();
    let mut admin = bench.admin();
    assert_eq!(outcome(admin.append(&spend(&alice, 1))), Err(Some(Conflict::StepSpent)));
    let command = outcome(admin.append(&spend(&alice, 2))).unwrap();
    assert_eq!(outcome(admin.append(&fail(&alice, 5))), Ok(command + 1));
    assert_eq!(commit(&bench, spend(&alice, 2)), Err(Some(Conflict::StepSpent)));
    assert_eq!(find(&bench, "alice").tokens[0].last_step, Some(2));
    assert_eq!(find(&bench, "alice").failures, 1);
    // Commands have the server's chain, or one of their own.
    let next = if command == server + 1 { command + 2 } else { server + 1 };
    assert_eq!(commit(&bench, fail(&alice, 5)), Ok(next));
    let query = UserQuery { user: alice.name.clone(), seeds: false, look_alikes: false };
    match admin.account(&query) {
        UserAnswer::Found(account) => assert_eq!(account.failures, 2),
        other => panic!("{other:?}"),
    }
}

pub(in crate::store) fn a_restart_forgets_nothing<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    commit(&bench, spend(&alice, 10)).unwrap();
    let last = commit(&bench, fail(&alice, 5)).unwrap();
    let bench = bench.restart();
    assert_eq!(commit(&bench, spend(&alice, 10)), Err(Some(Conflict::StepSpent)));
    assert_eq!(find(&bench, "alice").failures, 1);
    assert_eq!(commit(&bench, fail(&alice, 5)), Ok(last + 1));
}

/// What one random row does: a wrong code, a right one at a later step, an admin's unlock, or nothing.
pub(in crate::store) fn any_sequence_of_rows_folds_to_the_same_state_after_a_restart<B: Bench>() {
    let acts = proptest::collection::vec((0..3_usize, 0..5_u8), 1..60);
    proptest!(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() }, |(acts in acts)| {
        let mut bench = B::new();
        let users: Vec<_> = ["a", "b", "c"].iter().map(|user| enrol(&bench, user)).collect();
        let mut expected = [(0_u32, None::<u64>); 3];
        for (place, (user, act)) in acts.iter().enumerate() {
            let account = &users[*user];
            let state = &mut expected[*user];
            match act {
                0 | 1 => { commit(&bench, fail(account, u32::MAX)).unwrap(); state.0 += 1; }
                2 => {
                    let step = u64::try_from(place).unwrap() + 1;
                    commit(&bench, spend(account, step)).unwrap();
                    *state = (0, Some(step));
                }
                3 => { bench.admin().unlock(&account.name).unwrap(); state.0 = 0; }
                _ => bench = bench.restart(),
            }
        }
        for restarted in [false, true] {
            if restarted {
                bench = bench.restart();
            }
            for (account, state) in users.iter().zip(&expected) {
                let now = find(&bench, account.name.as_str());
                prop_assert_eq!((now.failures, now.tokens[0].last_step), *state);
                let details = bench.admin().user(&account.name).unwrap();
                prop_assert_eq!(details.failures, state.0);
            }
        }
    });
}
