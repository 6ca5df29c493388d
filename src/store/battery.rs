//! One battery of tests for every store. A store joins with a [`Bench`] and the `battery!` macro.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::Logins;
use super::admin::{Admin, AdminFault, AuditFilter, NewToken, TokenFilter, UserFields, UserFilter};
use super::pending::Pending;
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::system::{Clock, Entropy, Fixed};
use crate::base::time::{Tick, UnixTime};
use crate::engine::account::{Account, TokenId};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Conflict, Guard, LoginId, Method, Record, Row, Tally, Verdict};
use crate::factor::oath::{Digits, Parameters};

/// A store under test: one running server and any number of commands beside it.
pub(super) trait Bench: Sized {
    /// With an empty store.
    fn new() -> Self;
    /// The running server's face.
    fn logins(&self) -> &dyn Logins;
    /// A command's face, opened anew.
    fn admin(&self) -> Box<dyn Admin>;
    /// The server ends and starts again, if the store survives that.
    fn restart(self) -> Self;
}

/// The real clocks, which only tests may read for themselves.
pub(super) struct RealClock(std::time::Instant);

impl RealClock {
    #[allow(clippy::disallowed_methods, reason = "a store is tested on the real clock")]
    pub(super) fn shared() -> Arc<dyn Clock> {
        Arc::new(RealClock(std::time::Instant::now()))
    }
}

impl Clock for RealClock {
    fn mono(&self) -> Tick {
        Tick(u64::try_from(self.0.elapsed().as_nanos()).unwrap())
    }

    #[allow(clippy::disallowed_methods, reason = "a store is tested on the real clock")]
    fn unix(&self) -> UnixTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        UnixTime(u64::try_from(since.as_millis()).unwrap())
    }
}

/// Guessable octets, another sequence each time.
pub(super) fn entropy() -> Box<dyn Entropy + Send> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static SEED: AtomicU64 = AtomicU64::new(1);
    Box::new(Fixed {
        mono: Tick(0),
        unix: UnixTime(0),
        seed: SEED.fetch_add(0x1234_5678_9abc, Ordering::Relaxed),
    })
}

/// The answer, waited for.
pub(super) fn wait<T>(pending: Pending<T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(pending.get())
}

pub(super) fn name(text: &str) -> UserName {
    UserName::canonical(text.as_bytes()).unwrap()
}

pub(super) fn token(serial: &str, user: Option<&str>) -> NewToken {
    NewToken {
        serial: serial.into(),
        user: user.map(name),
        seed: Secret::new(format!("seed of {serial} 1234567890").as_bytes()),
        parameters: Parameters::default(),
    }
}

/// A user `text` with one token, `T-text`.
pub(super) fn enrol(bench: &impl Bench, text: &str) -> Account {
    let mut admin = bench.admin();
    admin.add_user(&name(text), &UserFields::default()).unwrap();
    admin.add_token(&token(&format!("T-{text}"), Some(text))).unwrap();
    find(bench, text)
}

pub(super) fn ask(bench: &impl Bench, text: &str) -> UserAnswer {
    wait(bench.logins().find(&UserQuery { user: name(text), seeds: true, look_alikes: true }))
}

pub(super) fn find(bench: &impl Bench, text: &str) -> Account {
    match ask(bench, text) {
        UserAnswer::Found(account) => account,
        other => panic!("{text}: {other:?}"),
    }
}

pub(super) fn row(account: &Account, tally: Tally, spent: Option<(TokenId, u64)>) -> Row {
    let accepted = spent.is_some();
    Row {
        time: UnixTime(1_800_000_000_000),
        login: LoginId::from_number(42),
        client: Label::new("nas").unwrap(),
        source: SocketAddr::from(([192, 0, 2, 1], 1645)),
        user: Some(account.name.clone()),
        user_id: Some(account.id),
        station: Some("198.51.100.7".into()),
        verdict: if accepted { Verdict::Accepted } else { Verdict::Rejected },
        reason: if accepted { Reason::CodeAccepted } else { Reason::CodeWrong },
        method: Method::Totp,
        protocol: "pap",
        device: account.tokens.first().map(|token| Arc::clone(&token.serial)),
        spent,
        tally,
        took: Duration::from_millis(1234),
    }
}

/// A right code of the account's first token at `step`.
pub(super) fn spend(account: &Account, step: u64) -> Record {
    let token = account.tokens[0].id;
    let guards = vec![Guard::UserActive { user: account.id }, Guard::StepUnspent { token, step }];
    Record { guards, row: Arc::new(row(account, Tally::Clear, Some((token, step)))) }
}

/// A wrong code, counted while fewer than `limit` stand.
pub(super) fn fail(account: &Account, limit: u32) -> Record {
    let guards = vec![Guard::FailuresBelow { user: account.id, limit }];
    Record { guards, row: Arc::new(row(account, Tally::Count, None)) }
}

pub(super) fn commit(bench: &impl Bench, record: Record) -> Result<u64, Option<Conflict>> {
    outcome(wait(bench.logins().commit(record)))
}

pub(super) fn outcome(answer: CommitAnswer) -> Result<u64, Option<Conflict>> {
    match answer {
        CommitAnswer::Done(recorded) => Ok(recorded.sequence()),
        CommitAnswer::Refused(conflict) => Err(Some(conflict)),
        CommitAnswer::Unavailable => Err(None),
    }
}

macro_rules! battery {
    ($bench:ty) => {
        $crate::store::battery::battery!($bench,
            a_step_is_spent_once_and_takes_the_earlier_ones_with_it
            a_token_that_is_gone_off_or_elsewhere_spends_nothing
            failures_count_up_to_their_limit_and_a_success_clears_them
            a_user_who_is_disabled_or_removed_is_refused_at_the_append
            racing_records_are_judged_one_after_the_other
            a_guard_refuses_its_own_record_and_the_chain_has_no_gap
            seeds_are_given_when_asked_for_and_only_then
            users_are_added_changed_listed_and_removed
            tokens_are_added_given_taken_switched_and_removed
            a_token_keeps_its_spent_steps_when_it_changes_hands
            an_unlock_clears_the_failures_and_leaves_a_row
            the_trail_reads_newest_first_and_outlives_its_users
            a_raised_address_stays_raised_until_an_admin_relaxes_it
            an_import_makes_users_and_tokens_and_once_more_changes_nothing
            an_import_with_a_conflict_names_it_and_changes_nothing
            a_dry_run_and_an_abandoned_import_change_nothing
            a_stranger_resembles_a_user_who_owns_a_token
            a_command_s_change_is_seen_at_the_next_login
            a_command_appends_to_the_same_chain_under_the_same_guards
            a_restart_forgets_nothing
            any_sequence_of_rows_folds_to_the_same_state_after_a_restart
        );
    };
    ($bench:ty, $($name:ident)+) => { $(
        #[test]
        fn $name() {
            $crate::store::battery::$name::<$bench>();
        }
    )+ };
}
pub(super) use battery;

pub(super) fn a_step_is_spent_once_and_takes_the_earlier_ones_with_it<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    assert_eq!(alice.tokens[0].last_step, None);
    assert!(commit(&bench, spend(&alice, 100)).is_ok());
    assert_eq!(commit(&bench, spend(&alice, 100)), Err(Some(Conflict::StepSpent)));
    assert_eq!(commit(&bench, spend(&alice, 99)), Err(Some(Conflict::StepSpent)));
    assert_eq!(find(&bench, "alice").tokens[0].last_step, Some(100));
    assert!(commit(&bench, spend(&alice, 101)).is_ok());
}

pub(super) fn a_token_that_is_gone_off_or_elsewhere_spends_nothing<B: Bench>() {
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

pub(super) fn failures_count_up_to_their_limit_and_a_success_clears_them<B: Bench>() {
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

pub(super) fn a_user_who_is_disabled_or_removed_is_refused_at_the_append<B: Bench>() {
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

pub(super) fn racing_records_are_judged_one_after_the_other<B: Bench>() {
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

pub(super) fn a_guard_refuses_its_own_record_and_the_chain_has_no_gap<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    let steps = [1_u64, 1, 2, 1, 3, 2, 4];
    let answers: Vec<_> = steps.iter().map(|step| bench.logins().commit(spend(&alice, *step))).collect();
    let sequences: Vec<_> = answers.into_iter().filter_map(|one| outcome(wait(one)).ok()).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    let mut stranger = row(&alice, Tally::Keep, None);
    (stranger.user, stranger.user_id) = (None, None);
    assert_eq!(commit(&bench, Record { guards: vec![], row: stranger.into() }), Ok(5));
}

pub(super) fn seeds_are_given_when_asked_for_and_only_then<B: Bench>() {
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

pub(super) fn users_are_added_changed_listed_and_removed<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    let fields = UserFields {
        display_name: Some("Carol Ö.".into()),
        first_name: Some("Carol".into()),
        last_name: Some("Ö.".into()),
        mail: Some("carol@example.org".into()),
        phone: Some("+49 30 1234".into()),
        password_hash: Some("$argon2id$…".into()),
        disabled: true,
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
    admin.set_user(&name("carol"), &mut |fields| fields.phone = None).unwrap();
    let changed = admin.user(&name("carol")).unwrap().fields;
    assert_eq!(changed, UserFields { phone: None, ..fields });
    let account = find(&bench, "carol");
    assert_eq!((account.disabled, account.password_hash), (true, Some("$argon2id$…".into())));
    admin.remove_user(&name("bob")).unwrap();
    assert_eq!(listed(&mut *admin, &UserFilter::default()), ["alice", "carol"]);
    for gone in [admin.user(&name("bob")).map(drop), admin.remove_user(&name("bob")).map(drop)] {
        assert!(matches!(gone, Err(AdminFault::Missing(_))));
    }
    let again = admin.add_user(&name("bob"), &UserFields::default()).unwrap();
    assert!(again > id, "numbers are not used again");
}

pub(super) fn tokens_are_added_given_taken_switched_and_removed<B: Bench>() {
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

pub(super) fn a_token_keeps_its_spent_steps_when_it_changes_hands<B: Bench>() {
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

pub(super) fn an_unlock_clears_the_failures_and_leaves_a_row<B: Bench>() {
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
    let newest = admin.audit(&AuditFilter { limit: 1, ..AuditFilter::default() }).unwrap();
    assert_eq!((newest[0].verdict.as_str(), newest[0].reason.as_str()), ("noted", "unlocked"));
    assert_eq!(newest[0].user.as_deref(), Some("alice"));
    assert!(commit(&bench, fail(&alice, 5)).is_ok());
    assert!(matches!(admin.unlock(&name("eve")), Err(AdminFault::Missing(_))));
}

pub(super) fn the_trail_reads_newest_first_and_outlives_its_users<B: Bench>() {
    let bench = B::new();
    let mut admin = bench.admin();
    assert_eq!(admin.newest_row_time().unwrap(), None);
    let alice = enrol(&bench, "alice");
    let bob = enrol(&bench, "bob");
    commit(&bench, spend(&alice, 1)).unwrap();
    let mut late = row(&bob, Tally::Count, None);
    late.time = UnixTime(1_800_000_001_000);
    late.login = LoginId::from_number(43);
    commit(&bench, Record { guards: vec![], row: late.into() }).unwrap();
    admin.remove_user(&alice.name).unwrap();
    admin.remove_token("T-alice").unwrap();
    let all = admin.audit(&AuditFilter::default()).unwrap();
    assert_eq!(all.iter().map(|row| row.sequence).collect::<Vec<_>>(), [2, 1]);
    let oldest = &all[1];
    assert_eq!(oldest.time, UnixTime(1_800_000_000_000));
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
    assert_eq!(sequences(AuditFilter { limit: 1, ..all() }, &mut *admin), [2]);
    assert_eq!(sequences(AuditFilter { user: Some(name("alice")), ..all() }, &mut *admin), [1]);
    let late = Some(UnixTime(1_800_000_000_001));
    assert_eq!(sequences(AuditFilter { since: late, ..all() }, &mut *admin), [2]);
    let login = Some(LoginId::from_number(42));
    assert_eq!(sequences(AuditFilter { login, ..all() }, &mut *admin), [1]);
    assert_eq!(admin.newest_row_time().unwrap(), Some(UnixTime(1_800_000_001_000)));
}

pub(super) fn a_raised_address_stays_raised_until_an_admin_relaxes_it<B: Bench>() {
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

pub(super) fn an_import_makes_users_and_tokens_and_once_more_changes_nothing<B: Bench>() {
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

pub(super) fn an_import_with_a_conflict_names_it_and_changes_nothing<B: Bench>() {
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

pub(super) fn a_dry_run_and_an_abandoned_import_change_nothing<B: Bench>() {
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

pub(super) fn a_stranger_resembles_a_user_who_owns_a_token<B: Bench>() {
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

pub(super) fn a_command_s_change_is_seen_at_the_next_login<B: Bench>() {
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

pub(super) fn a_command_appends_to_the_same_chain_under_the_same_guards<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    assert_eq!(commit(&bench, spend(&alice, 1)), Ok(1));
    let mut admin = bench.admin();
    assert_eq!(outcome(admin.append(&spend(&alice, 1))), Err(Some(Conflict::StepSpent)));
    assert_eq!(outcome(admin.append(&spend(&alice, 2))), Ok(2));
    assert_eq!(outcome(admin.append(&fail(&alice, 5))), Ok(3));
    assert_eq!(commit(&bench, spend(&alice, 2)), Err(Some(Conflict::StepSpent)));
    assert_eq!(find(&bench, "alice").tokens[0].last_step, Some(2));
    assert_eq!(find(&bench, "alice").failures, 1);
    assert_eq!(commit(&bench, fail(&alice, 5)), Ok(4));
    let query = UserQuery { user: alice.name.clone(), seeds: false, look_alikes: false };
    match admin.account(&query) {
        UserAnswer::Found(account) => assert_eq!(account.failures, 2),
        other => panic!("{other:?}"),
    }
}

pub(super) fn a_restart_forgets_nothing<B: Bench>() {
    let bench = B::new();
    let alice = enrol(&bench, "alice");
    commit(&bench, spend(&alice, 10)).unwrap();
    commit(&bench, fail(&alice, 5)).unwrap();
    let bench = bench.restart();
    assert_eq!(commit(&bench, spend(&alice, 10)), Err(Some(Conflict::StepSpent)));
    assert_eq!(find(&bench, "alice").failures, 1);
    assert_eq!(commit(&bench, fail(&alice, 5)), Ok(3));
}

/// What one random row does: a wrong code, a right one at a later step, an admin's unlock, or nothing.
pub(super) fn any_sequence_of_rows_folds_to_the_same_state_after_a_restart<B: Bench>() {
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
