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
use crate::engine::record::{
    CommitAnswer, Conflict, Consumed, Durations, Guard, LoginId, Method, Record, Row, Tally, Verdict,
};
use crate::factor::oath::{Digits, Moving, Parameters};
use crate::factor::recovery::RecoveryCode;
use crate::store::user_act::UserAct;

mod commands;
mod files;
mod logins;
mod parking;
mod passkeys;
mod reports;
mod roles;
mod sends;
mod sessions;
mod tokens;

pub(super) use commands::*;
pub(super) use files::*;
pub(super) use logins::*;
pub(super) use parking::*;
pub(super) use passkeys::*;
pub(super) use reports::*;
pub(super) use roles::*;
pub(super) use sends::*;
pub(super) use sessions::*;
pub(super) use tokens::*;

/// A store under test: one running server and any number of commands beside it.
pub(super) trait Bench: Sized {
    /// With an empty store.
    fn new() -> Self;
    /// The running server's face.
    fn logins(&self) -> &dyn Logins;
    /// A command's face, opened anew.
    fn admin(&self) -> Box<dyn Admin>;
    /// The tokens' clocks are looked at now, where a store does so only now and then.
    fn look_at_clocks(&self) {}
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

/// A moment after which everything was done before this call, and nothing after it.
pub(super) fn tick() -> UnixTime {
    let clock = RealClock::shared();
    let until = |after: UnixTime| {
        while clock.unix() <= after {
            std::thread::yield_now();
        }
        clock.unix()
    };
    let moment = until(clock.unix());
    until(moment);
    moment
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
    let seed = Secret::new(format!("seed of {serial} 1234567890").as_bytes());
    NewToken::new(serial, user.map(name), seed, Parameters::default())
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
        server: Label::new("mfa-a").unwrap(),
        local: SocketAddr::from(([192, 0, 2, 9], 1812)),
        client: Label::new("nas").unwrap(),
        source: SocketAddr::from(([192, 0, 2, 1], 1645)),
        user: Some(account.name.clone()),
        user_id: Some(account.id),
        contact: account.contact.clone(),
        station: Some("198.51.100.7".into()),
        verdict: if accepted { Verdict::Accepted } else { Verdict::Rejected },
        reason: if accepted { Reason::CodeAccepted } else { Reason::CodeWrong },
        method: Method::Totp,
        protocol: "pap",
        device: account.tokens.first().map(|token| Arc::clone(&token.serial)),
        spent,
        drift: None,
        sends: None,
        consumed: None,
        remembers: None,
        tally,
        took: Duration::from_millis(1234),
        durations: Durations {
            primary: Duration::from_millis(20),
            typing: Duration::from_millis(1200),
            sending: Duration::from_millis(300),
        },
        count: 1,
        actor: None,
        note: None,
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
        CommitAnswer::Counted | CommitAnswer::Unavailable => Err(None),
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
            a_token_keeps_its_spent_steps_when_its_user_is_removed
            a_removed_token_that_comes_back_has_its_spent_steps
            steps_of_another_interval_or_serial_are_not_carried_over
            a_counter_token_begins_where_it_is_told_and_never_again_before_its_last_use
            what_is_known_of_a_token_is_kept
            a_token_begins_with_the_clock_and_the_start_that_its_file_says
            whoever_lost_a_token_is_no_newcomer
            a_token_in_stock_is_looked_at_and_what_it_showed_is_used_up
            a_renamed_token_works_on_and_its_spent_steps_stay_under_both_numbers
            a_token_in_stock_or_a_new_one_takes_a_lost_one_s_place
            drift_follows_the_rows_through_restarts_and_snapshots
            drift_is_not_to_be_learned_while_most_tokens_are_off
            an_unlock_clears_the_failures_and_leaves_a_row
            what_works_once_is_used_once_and_a_restart_does_not_bring_it_back
            a_block_holds_at_the_append_until_its_time_is_over
            a_remembered_factor_outlives_a_restart_and_is_ended_once
            what_an_admin_changes_ends_what_is_remembered_for_good
            a_file_of_users_ends_what_is_remembered_of_those_it_changes
            a_budget_of_all_is_said_to_be_low_at_four_fifths_and_leaves_one_to_who_had_none
            a_role_is_given_listed_taken_away_and_recorded
            a_passkey_is_kept_counts_on_and_is_taken_away
            a_changed_number_is_held_for_its_time
            a_token_of_a_program_is_found_by_its_secret_until_its_time_or_its_end
            the_trail_reads_newest_first_and_outlives_its_users
            a_raised_address_stays_raised_until_an_admin_relaxes_it
            an_import_makes_users_and_tokens_and_once_more_changes_nothing
            an_import_with_a_conflict_names_it_and_changes_nothing
            a_dry_run_and_an_abandoned_import_change_nothing
            users_of_a_file_are_made_changed_where_told_to_and_the_same_again_changes_nothing
            each_seed_that_leaves_has_its_row_in_the_trail_first
            a_stranger_resembles_a_user_who_owns_a_token
            a_known_user_without_a_token_resembles_one_who_owns_it
            a_stranger_resembles_whoever_may_be_asked_for_a_factor_also_after_a_restart
            a_command_s_change_is_seen_at_the_next_login
            a_command_appends_under_the_same_guards_and_no_chain_has_a_gap
            a_restart_forgets_nothing
            sums_are_what_the_rows_add_up_to
            sums_over_months_are_what_the_rows_add_up_to
            rows_come_newest_first_a_page_at_a_time
            who_was_erased_is_in_no_report
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

/// Makes the tests of a store that servers share.
macro_rules! shared_battery {
    ($bench:ty) => {
        $crate::store::battery::battery!($bench,
            a_login_that_waits_is_taken_up_once_and_as_it_was
            a_login_whose_time_is_over_is_gone
            of_many_who_ask_for_a_login_one_gets_it
            an_intent_is_one_login_s_and_who_joins_it_hears_what_was_told
            an_intent_is_over_for_who_began_before_its_login_ended_and_free_for_others
            a_claim_whose_time_is_over_is_nobody_s
        );
    };
}
pub(super) use shared_battery;
