//! The alarm about somebody who tries many users: failed logins of more users within a window than honest people bring
//! about.
//!
//! Wrong passwords and wrong codes alike, of whomever: names that are no users' count as well, since whoever sprays does
//! not know. One row in the trail and one line in the log, then quiet for a window. Bounded: as many names as the alarm
//! takes, hashed, and none while it is quiet.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use super::{Quiet, alarm};
use crate::base::system::Clock;
use crate::base::time::Tick;
use crate::engine::policy::Lockout;
use crate::engine::reason::Reason;
use crate::engine::record::{Record, Row, Verdict};

/// Who failed lately.
#[derive(Default)]
pub(in crate::server) struct Sprays {
    hasher: RandomState,
    /// When each user failed last, by a keyed hash of the name.
    failed: Mutex<HashMap<u64, Tick>>,
    quiet: Quiet,
}

impl Sprays {
    /// Looks at what is about to be recorded; answers the alarm's record where this failure reaches the figure.
    pub(in crate::server) fn look(&self, row: &Row, lockout: &Lockout, clock: &dyn Clock) -> Option<Record> {
        if !is_failure(row) || lockout.spray_users == 0 {
            return None;
        }
        let now = clock.mono();
        let user = self.hasher.hash_one(row.user.as_ref()?.as_str());
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if self.quiet.lasts(now) {
            return None;
        }
        failed.insert(user, now);
        let figure = usize::try_from(lockout.spray_users).unwrap_or(usize::MAX);
        if failed.len() < figure {
            return None;
        }
        failed.retain(|_, last| now.since(*last) < lockout.spray_window);
        if failed.len() < figure {
            return None;
        }
        *failed = HashMap::new();
        self.quiet.begin(now, lockout.spray_window).then(|| alarm(row, Reason::SpraySuspected))
    }
}

/// Whether a row is a failure that counts here.
pub(in crate::server) fn is_failure(row: &Row) -> bool {
    let wrong = matches!(
        row.reason,
        Reason::PrimaryRejected
            | Reason::PasswordWithheld
            | Reason::CodeWrong
            | Reason::CodeReused
            | Reason::CodeAhead
            | Reason::PinWrong
            | Reason::BackOff
            | Reason::Locked
    );
    wrong && matches!(row.verdict, Verdict::Rejected | Verdict::Retried)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::name::{Label, UserName};
    use crate::base::system::Fixed;
    use crate::base::time::UnixTime;
    use crate::engine::record::LoginId;

    const START: Tick = Tick(1_000_000_000_000);

    fn lockout() -> Lockout {
        Lockout { spray_users: 10, spray_window: Duration::from_mins(10), ..Lockout::default() }
    }

    fn failure(user: usize, reason: Reason) -> Row {
        let [here, nas] = ["here", "nas"].map(|name| Label::new(name).unwrap());
        Row {
            user: UserName::canonical(format!("user{user}").as_bytes()).ok(),
            verdict: Verdict::Rejected,
            ..Row::bare(UnixTime(0), LoginId::from_number(1), here, nas, reason)
        }
    }

    fn look(sprays: &Sprays, row: &Row, lockout: &Lockout, now: Tick) -> Option<Record> {
        sprays.look(row, lockout, &Fixed { mono: now, unix: UnixTime(0), seed: 0 })
    }

    /// How many alarms the failures of these users raise.
    fn alarms(sprays: &Sprays, users: std::ops::Range<usize>, now: Tick) -> usize {
        let reasons = [Reason::PrimaryRejected, Reason::CodeWrong, Reason::PinWrong];
        let rows = users.map(|user| failure(user, reasons[user % 3]));
        rows.filter(|row| look(sprays, row, &lockout(), now).is_some()).count()
    }

    #[test]
    fn many_users_within_a_window_raise_one_alarm_a_window() {
        let sprays = Sprays::default();
        assert_eq!(alarms(&sprays, 0..9, START), 0);
        assert_eq!(alarms(&sprays, 0..9, START), 0, "the same users again");
        assert_eq!(alarms(&sprays, 9..1000, START), 1);
        assert_eq!(alarms(&sprays, 0..1000, START + Duration::from_secs(599)), 0, "quiet");
        assert_eq!(alarms(&sprays, 0..1000, START + Duration::from_mins(10)), 1);
    }

    #[test]
    fn users_who_failed_long_ago_do_not_count() {
        let sprays = Sprays::default();
        for user in 0..100 {
            let now = START + Duration::from_secs(67) * u32::try_from(user).unwrap();
            assert_eq!(alarms(&sprays, user..user + 1, now), 0, "nine in ten minutes at most");
        }
        assert!(sprays.failed.lock().unwrap().len() <= 10);
    }

    #[test]
    fn nothing_but_failures_counts_and_none_does_where_it_is_switched_off() {
        let sprays = Sprays::default();
        let accepted = |user| Row { verdict: Verdict::Accepted, ..failure(user, Reason::CodeAccepted) };
        let away = |user| failure(user, Reason::PrimaryUnavailable);
        assert!(
            (0..100).flat_map(|user| [accepted(user), away(user)]).all(|row| look(
                &sprays,
                &row,
                &lockout(),
                START
            )
            .is_none())
        );
        let off = Lockout { spray_users: 0, ..lockout() };
        assert!((0..100).all(|user| look(&sprays, &failure(user, Reason::CodeWrong), &off, START).is_none()));
    }

    #[test]
    fn the_alarm_is_of_no_user() {
        let sprays = Sprays::default();
        let found: Vec<_> = (0..10)
            .filter_map(|user| look(&sprays, &failure(user, Reason::CodeWrong), &lockout(), START))
            .collect();
        let [record] = &found[..] else { panic!("{} alarms", found.len()) };
        assert_eq!((record.row.verdict, record.row.reason), (Verdict::Noted, Reason::SpraySuspected));
        assert_eq!((&record.row.user, record.row.client.as_str()), (&None, "nas"));
    }
}
