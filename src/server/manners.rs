//! How a gateway asks: whether it sends Proxy-State, leaves out Message-Authenticator, and how soon it sends a packet again.
//!
//! For `radmfa report clients`. Only packets that were verified count. A login pays a comparison; what is new is noted, and
//! the auditor's thread writes it into the store now and then. One small record for each client, and no more.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::name::Label;
use crate::base::time::UnixTime;

/// A moment is noted anew when the last one is so long ago.
const ANEW: u64 = 60_000;
/// Intervals that are remembered, to say what is usual.
const INTERVALS: usize = 15;
/// A copy that comes sooner is the network's and not the gateway's.
const SOONEST: Duration = Duration::from_millis(100);

/// What is known of one client.
#[derive(Debug, Default)]
pub struct Manner {
    /// When a Proxy-State, and a request without Message-Authenticator, came last; 0: never.
    proxy_state: AtomicU64,
    unsigned: AtomicU64,
    repeats: Mutex<Repeats>,
}

#[derive(Clone, Debug, Default)]
struct Repeats {
    count: u64,
    /// The latest ones, in milliseconds, in turn.
    intervals: Vec<u32>,
}

/// The same, to be kept and read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Habit {
    /// When a Proxy-State came last, in milliseconds since 1970; 0: never.
    pub proxy_state: u64,
    /// When a request came last without Message-Authenticator.
    pub unsigned: u64,
    /// How many packets came again.
    pub repeats: u64,
    /// After how many milliseconds, the latest few.
    pub intervals: Vec<u32>,
}

/// The name under which a store notes how `client` asks.
#[must_use]
pub fn memo(client: &Label) -> String {
    format!("habit/{client}")
}

impl Manner {
    /// A verified packet came.
    pub(super) fn note(&self, has_proxy_state: bool, is_signed: bool, now: UnixTime) {
        if has_proxy_state {
            mark(&self.proxy_state, now);
        }
        if !is_signed {
            mark(&self.unsigned, now);
        }
    }

    /// A packet came again, so long after it, or its last copy, came.
    pub(super) fn repeated(&self, after: Duration) {
        if after < SOONEST {
            return;
        }
        let mut repeats = self.repeats();
        let place = usize::try_from(repeats.count).unwrap_or(0) % INTERVALS;
        let after = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
        match repeats.intervals.get_mut(place) {
            Some(interval) => *interval = after,
            None => repeats.intervals.push(after),
        }
        repeats.count += 1;
    }

    /// What is known now.
    pub(super) fn habit(&self) -> Habit {
        let Repeats { count, intervals } = self.repeats().clone();
        let (proxy_state, unsigned) = (self.proxy_state.load(Relaxed), self.unsigned.load(Relaxed));
        Habit { proxy_state, unsigned, repeats: count, intervals }
    }

    /// Goes on from what was known before.
    pub(super) fn resume(&self, habit: &Habit) {
        self.proxy_state.fetch_max(habit.proxy_state, Relaxed);
        self.unsigned.fetch_max(habit.unsigned, Relaxed);
        let mut repeats = self.repeats();
        repeats.count += habit.repeats;
        let room = INTERVALS - repeats.intervals.len().min(INTERVALS);
        repeats.intervals.extend(habit.intervals.iter().take(room));
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mark(moment: &AtomicU64, now: UnixTime) {
    if now.0.saturating_sub(moment.load(Relaxed)) >= ANEW {
        moment.store(now.0, Relaxed);
    }
}

impl Habit {
    /// What a store notes of a client under [`memo`]; nothing is known where that cannot be read.
    #[must_use]
    pub fn read(memo: Option<&str>) -> Habit {
        memo.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// The same as a store notes it.
    #[must_use]
    pub fn memo(&self) -> String {
        // Numbers always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// After which time a packet is usually sent again: the middle one of the latest few.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        let mut sorted = self.intervals.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).map(|millis| Duration::from_millis((*millis).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_interval_is_the_middle_one_and_the_network_s_copies_do_not_count() {
        let manner = Manner::default();
        assert_eq!(manner.habit().interval(), None);
        for millis in [5_000, 1, 5_010, 60_000, 99, 4_990] {
            manner.repeated(Duration::from_millis(millis));
        }
        let habit = manner.habit();
        assert_eq!((habit.repeats, habit.interval()), (4, Some(Duration::from_millis(5_010))));
        for _ in 0..1_000 {
            manner.repeated(Duration::from_secs(3));
        }
        let habit = manner.habit();
        assert_eq!((habit.intervals.len(), habit.interval()), (INTERVALS, Some(Duration::from_secs(3))));
    }

    #[test]
    fn what_was_seen_is_noted_once_a_minute_and_survives_a_reload() {
        let manner = Manner::default();
        let at = |seconds: u64| UnixTime::from_secs(1_800_000_000 + seconds);
        manner.note(false, true, at(0));
        assert_eq!(manner.habit(), Habit::default());
        manner.note(true, false, at(1));
        manner.note(true, false, at(60));
        assert_eq!((manner.habit().proxy_state, manner.habit().unsigned), (at(1).0, at(1).0));
        manner.note(true, true, at(61));
        assert_eq!((manner.habit().proxy_state, manner.habit().unsigned), (at(61).0, at(1).0));
        manner.repeated(Duration::from_secs(2));
        let after = Manner::default();
        after.resume(&manner.habit());
        assert_eq!(after.habit(), manner.habit());
        assert_eq!(Habit::read(Some(&after.habit().memo())), manner.habit());
        assert_eq!(Habit::read(Some("[]")), Habit::default());
    }
}
