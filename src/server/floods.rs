//! Refusals that come in floods: beyond a number a minute they are counted, not recorded one by one, so that nobody fills
//! the disk with failed logins.
//!
//! Only refusals from before the password was right are taken ([`Floods::swallows`]): they count against nobody, and
//! their requests may be forged. Bounded: what strangers send in must not grow memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::name::{Label, UserName};
use crate::base::system::Clock;
use crate::base::time::Tick;
use crate::engine::reason::Reason;
use crate::engine::record::{Record, Tally, Verdict};

/// How long a count lasts.
const WINDOW: Duration = Duration::from_mins(1);
/// Refusals of one user at one client for one reason that are recorded in a window.
const OF_A_USER: u32 = 20;
/// Refusals at one client for one reason that are recorded in a window, whoever the users say they are.
const OF_A_CLIENT: u32 = 600;
/// Users that are counted apart; those beyond share their client's count alone.
const USERS_MAX: usize = 4096;

/// The counts of the present window.
#[derive(Default)]
pub struct Floods {
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    began: Tick,
    users: HashMap<(Label, Option<UserName>, Reason), u32>,
    clients: HashMap<(Label, Reason), Seen>,
}

#[derive(Default)]
struct Seen {
    recorded: u32,
    swallowed: u32,
}

impl Floods {
    /// Whether this record is one too many of a flood, and is counted here in place of the trail.
    pub fn swallows(&self, record: &Record, clock: &dyn Clock) -> bool {
        let row = &record.row;
        let early = row.verdict == Verdict::Rejected && row.user_id.is_none() && row.tally == Tally::Keep;
        if !early || !record.guards.is_empty() {
            return false;
        }
        let mut window = self.turn(clock.mono());
        let Window { users, clients, .. } = &mut *window;
        let seen = clients.entry((row.client.clone(), row.reason)).or_default();
        let key = (row.client.clone(), row.user.clone(), row.reason);
        let mut flood = false;
        if users.len() < USERS_MAX || users.contains_key(&key) {
            let count = users.entry(key).or_default();
            *count = count.saturating_add(1);
            flood = *count > OF_A_USER;
        }
        // One user's flood leaves the client's share to the others.
        if !flood {
            seen.recorded = seen.recorded.saturating_add(1);
            flood = seen.recorded > OF_A_CLIENT;
        }
        seen.swallowed += u32::from(flood);
        flood
    }

    /// Begins a new window when the present one is over, and says what was only counted in it.
    pub fn sweep(&self, now: Tick) {
        drop(self.turn(now));
    }

    fn turn(&self, now: Tick) -> MutexGuard<'_, Window> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(window.began) >= WINDOW {
            window.began = now;
            window.users.clear();
            for ((client, reason), Seen { swallowed, .. }) in window.clients.drain() {
                if swallowed > 0 {
                    tracing::warn!(
                        %client, reason = reason.code(), count = swallowed,
                        "a flood of refusals within a minute: so many were counted and not recorded one by one"
                    );
                }
            }
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::UnixTime;
    use crate::engine::record::{Durations, LoginId, Method, Row};

    fn refusal(user: &str) -> Record {
        let row = Row {
            time: UnixTime(0),
            login: LoginId::from_number(1),
            server: Label::new("here").unwrap(),
            local: ([127, 0, 0, 1], 1812).into(),
            client: Label::new("nas").unwrap(),
            source: ([127, 0, 0, 1], 1).into(),
            user: UserName::canonical(user.as_bytes()).ok(),
            user_id: None,
            contact: None,
            station: None,
            verdict: Verdict::Rejected,
            reason: Reason::StateForged,
            method: Method::None,
            protocol: "pap",
            device: None,
            spent: None,
            drift: None,
            sends: None,
            tally: Tally::Keep,
            took: Duration::ZERO,
            durations: Durations::default(),
            count: 1,
            actor: None,
            note: None,
        };
        Record { guards: Vec::new(), row: Arc::new(row) }
    }

    fn recorded(floods: &Floods, records: impl Iterator<Item = Record>, now: Tick) -> usize {
        let clock = Fixed { mono: now, unix: UnixTime(0), seed: 0 };
        records.filter(|record| !floods.swallows(record, &clock)).count()
    }

    const START: Tick = Tick(1_000_000_000_000);

    #[test]
    fn one_user_s_refusals_are_recorded_twenty_times_a_minute() {
        let floods = Floods::default();
        assert_eq!(recorded(&floods, (0..1000).map(|_| refusal("alice")), START), 20);
        assert_eq!(recorded(&floods, (0..5).map(|_| refusal("bob")), START), 5);
        assert_eq!(recorded(&floods, (0..1000).map(|_| refusal("alice")), START + WINDOW), 20);
    }

    #[test]
    fn made_up_users_share_their_client_s_count_and_grow_nothing() {
        let floods = Floods::default();
        let crowd = (0..100_000).map(|number| refusal(&format!("user{number}")));
        assert_eq!(recorded(&floods, crowd, START), 600);
        assert_eq!(floods.window.lock().unwrap().users.len(), USERS_MAX);
    }

    #[test]
    fn what_counts_against_a_user_is_never_swallowed() {
        let floods = Floods::default();
        let counted = |tally, verdict| {
            let mut record = refusal("alice");
            let row = Arc::make_mut(&mut record.row);
            (row.tally, row.verdict) = (tally, verdict);
            record
        };
        assert_eq!(recorded(&floods, (0..100).map(|_| counted(Tally::Count, Verdict::Rejected)), START), 100);
        assert_eq!(recorded(&floods, (0..100).map(|_| counted(Tally::Keep, Verdict::Accepted)), START), 100);
    }
}
