//! Refusals that come in floods: beyond a number a minute they become one counted row, so that nobody fills the disk with
//! failed logins.
//!
//! Only refusals that count against nobody are taken ([`Floods::swallows`]): the requests of most of them may be forged.
//! At the end of its minute a flood is one row for a user, a station or a client, with the number of those that it stands
//! for. Bounded: what strangers send in must grow neither memory nor the trail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::name::{Label, UserName};
use crate::base::system::Clock;
use crate::base::time::{Tick, UnixTime};
use crate::engine::reason::Reason;
use crate::engine::record::{Durations, Record, Row, Tally, Verdict};

/// How long a count lasts.
const WINDOW: Duration = Duration::from_mins(1);
/// Refusals of one user, or from one station, at one client for one reason that are recorded in a window.
const OF_ONE: u32 = 20;
/// Refusals at one client for one reason that are recorded in a window, whoever the users say they are.
const OF_A_CLIENT: u32 = 600;
/// Users and stations that are counted apart; those beyond share their client's count alone.
const APART_MAX: usize = 8192;
/// Rows of users and stations of one client in a window; what is beyond goes into the client's own.
const ROWS_MAX: usize = 50;

/// The counts of the present window.
#[derive(Default)]
pub struct Floods {
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    began: Tick,
    apart: HashMap<(Label, Whom, Reason), Seen>,
    clients: HashMap<(Label, Reason), Seen>,
    /// Floods of windows that are over, for the next sweep to take.
    over: Vec<Flood>,
}

/// Whose refusals are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whom {
    User(Option<UserName>),
    Station(Arc<str>),
}

#[derive(Default)]
struct Seen {
    count: u32,
    swallowed: u32,
    /// The first that was swallowed.
    first: Option<Arc<Row>>,
}

struct Flood {
    count: u32,
    /// `None`: of the whole client.
    whom: Option<Whom>,
    first: Arc<Row>,
}

impl Seen {
    /// Counts one more; true beyond `limit`, and then it is swallowed here.
    fn is_flood(&mut self, row: &Arc<Row>, limit: u32) -> bool {
        self.count = self.count.saturating_add(1);
        let flood = self.count > limit;
        if flood {
            self.swallowed = self.swallowed.saturating_add(1);
            self.first.get_or_insert_with(|| Arc::clone(row));
        }
        flood
    }
}

impl Floods {
    /// Whether this record is one too many of a flood, and is counted here in place of the trail.
    pub fn swallows(&self, record: &Record, clock: &dyn Clock) -> bool {
        let row = &record.row;
        let refused = matches!(row.verdict, Verdict::Rejected | Verdict::Retried);
        if !refused || row.tally != Tally::Keep || row.spent.is_some() || !record.guards.is_empty() {
            return false;
        }
        let mut window = self.turn(clock.mono());
        let Window { apart, clients, .. } = &mut *window;
        let station = row.station.as_ref().map(|station| Whom::Station(Arc::clone(station)));
        for whom in [Some(Whom::User(row.user.clone())), station].into_iter().flatten() {
            let key = (row.client.clone(), whom, row.reason);
            if (apart.len() < APART_MAX || apart.contains_key(&key))
                && apart.entry(key).or_default().is_flood(row, OF_ONE)
            {
                return true;
            }
        }
        // The flood of one leaves the client's share to the others.
        clients.entry((row.client.clone(), row.reason)).or_default().is_flood(row, OF_A_CLIENT)
    }

    /// Begins a new window when the present one is over; the rows of floods that have ended, written at `clock`'s time.
    pub fn sweep(&self, clock: &dyn Clock) -> Vec<Row> {
        let over = std::mem::take(&mut self.turn(clock.mono()).over);
        over.into_iter().map(|flood| flood.row(clock.unix())).collect()
    }

    /// The same, whether or not the window is over: for a server that stops.
    pub fn flush(&self, clock: &dyn Clock) -> Vec<Row> {
        self.lock().end(clock.mono());
        self.sweep(clock)
    }

    fn turn(&self, now: Tick) -> MutexGuard<'_, Window> {
        let mut window = self.lock();
        if now.since(window.began) >= WINDOW {
            window.end(now);
        }
        window
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn end(&mut self, now: Tick) {
        self.began = now;
        let mut floods: Vec<_> = self.apart.drain().filter(|(_, seen)| seen.swallowed > 0).collect();
        floods.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.swallowed));
        let mut rows: HashMap<Label, usize> = HashMap::new();
        for ((client, whom, reason), seen) in floods {
            let Some(first) = seen.first else { continue };
            let rows = rows.entry(client.clone()).or_default();
            *rows += 1;
            if *rows <= ROWS_MAX {
                self.over.push(Flood { count: seen.swallowed, whom: Some(whom), first });
            } else {
                let all = self.clients.entry((client, reason)).or_default();
                all.swallowed = all.swallowed.saturating_add(seen.swallowed);
                all.first.get_or_insert(first);
            }
        }
        for (_, seen) in self.clients.drain() {
            if let Some(first) = seen.first {
                self.over.push(Flood { count: seen.swallowed, whom: None, first });
            }
        }
    }
}

impl Flood {
    /// The row, and the line in the log.
    fn row(self, now: UnixTime) -> Row {
        let Flood { count, whom, first } = self;
        let row = Row {
            time: now,
            verdict: Verdict::Rejected,
            contact: None,
            took: Duration::ZERO,
            durations: Durations::default(),
            count,
            ..Row::clone(&first)
        };
        let row = match whom {
            Some(Whom::User(_)) => Row { station: None, ..row },
            Some(Whom::Station(_)) => Row { user: None, user_id: None, device: None, ..row },
            None => Row { user: None, user_id: None, device: None, station: None, ..row },
        };
        tracing::warn!(
            client = %row.client, reason = row.reason.code(), count,
            "a flood of refusals within a minute: so many were counted in one row of the trail"
        );
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::engine::record::LoginId;

    fn refusal(user: &str) -> Record {
        let [here, nas] = ["here", "nas"].map(|name| Label::new(name).unwrap());
        let row = Row {
            user: UserName::canonical(user.as_bytes()).ok(),
            verdict: Verdict::Rejected,
            ..Row::bare(UnixTime(0), LoginId::from_number(1), here, nas, Reason::StateForged)
        };
        Record { guards: Vec::new(), row: Arc::new(row) }
    }

    fn recorded(floods: &Floods, records: impl Iterator<Item = Record>, now: Tick) -> usize {
        let clock = Fixed { mono: now, unix: UnixTime(0), seed: 0 };
        records.filter(|record| !floods.swallows(record, &clock)).count()
    }

    const START: Tick = Tick(1_000_000_000_000);

    #[test]
    fn one_user_s_refusals_are_recorded_twenty_times_a_minute_and_the_rest_in_one_row() {
        let floods = Floods::default();
        assert_eq!(recorded(&floods, (0..1000).map(|_| refusal("alice")), START), 20);
        assert_eq!(recorded(&floods, (0..5).map(|_| refusal("bob")), START), 5);
        let clock = |mono| Fixed { mono, unix: UnixTime(9), seed: 0 };
        assert!(floods.sweep(&clock(START)).is_empty(), "the minute is not over");
        assert_eq!(recorded(&floods, (0..1000).map(|_| refusal("alice")), START + WINDOW), 20);
        let rows = floods.sweep(&clock(START + WINDOW));
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].count, rows[0].user.as_ref().unwrap().as_str()), (980, "alice"));
        assert_eq!((rows[0].reason, rows[0].verdict), (Reason::StateForged, Verdict::Rejected));
        assert!(floods.sweep(&clock(START + WINDOW)).is_empty(), "once");
        assert_eq!(floods.flush(&clock(START + WINDOW))[0].count, 980, "what a stop would lose");
    }

    #[test]
    fn one_station_s_refusals_are_counted_together_whatever_names_it_tries() {
        let floods = Floods::default();
        let spray = (0..1000).map(|number| {
            let mut record = refusal(&format!("user{number}"));
            Arc::make_mut(&mut record.row).station = Some("198.51.100.7".into());
            record
        });
        assert_eq!(recorded(&floods, spray, START), 20);
        let rows = floods.flush(&Fixed { mono: START, unix: UnixTime(9), seed: 0 });
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].count, rows[0].station.as_deref()), (980, Some("198.51.100.7")));
        assert_eq!(rows[0].user, None);
    }

    #[test]
    fn made_up_users_share_their_client_s_count_and_grow_nothing() {
        let floods = Floods::default();
        let crowd = (0..100_000).map(|number| refusal(&format!("user{number}")));
        assert_eq!(recorded(&floods, crowd, START), 600);
        assert_eq!(floods.window.lock().unwrap().apart.len(), APART_MAX);
        let rows = floods.flush(&Fixed { mono: START, unix: UnixTime(9), seed: 0 });
        assert_eq!((rows.len(), rows[0].count, &rows[0].user), (1, 99_400, &None));
    }

    #[test]
    fn many_floods_at_once_are_no_more_than_so_many_rows() {
        let floods = Floods::default();
        for number in 0..200 {
            recorded(&floods, (0..30).map(|_| refusal(&format!("user{number}"))), START);
        }
        let rows = floods.flush(&Fixed { mono: START, unix: UnixTime(9), seed: 0 });
        assert_eq!(rows.len(), ROWS_MAX + 1);
        let total: u32 = rows.iter().map(|row| row.count).sum();
        assert!(total >= 200 * 10, "every refusal is in a row or counted in one: {total}");
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
