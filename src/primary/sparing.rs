//! Which passwords are not passed on to a directory, so that whoever guesses through us locks nobody's account there.
//!
//! A directory counts wrong passwords by user and locks the account at a threshold. So wrong ones are counted here by the
//! same rule, and below the threshold nothing more is passed on until the directory has forgotten: a window after the
//! last wrong one that it saw. Of that number stations that the user never logged in from get a part alone, so that a
//! stranger's guesses leave the user's own stations some. The right password clears the count, as it does there.
//!
//! Passwords under way count as if they were wrong, so that many side by side get no further than in turn. Invariants: a
//! bounded table, where whoever has not been wrong lately has no entry; names and stations are kept as keyed hashes. What
//! is familiar is remembered without a lock and may be forgotten, which makes a station a stranger's at worst.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::name::UserName;
use crate::base::system::Clock;
use crate::base::time::Tick;
use crate::engine::question::PrimaryAnswer;

/// How many wrong passwords of one user a directory gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// In all, 1 to 100.
    pub wrong: u32,
    /// From stations that the user never logged in from, at most as many.
    pub unfamiliar: u32,
    /// How long after the last one the directory has forgotten, 1 min to 1 d.
    pub window: Duration,
}

impl Default for Allowance {
    /// Below a threshold of five: four, three of them from strange stations, and half an hour.
    fn default() -> Allowance {
        Allowance { wrong: 4, unfamiliar: 3, window: Duration::from_mins(30) }
    }
}

/// The most that an allowance can be.
const ALLOWANCE_MAX: u32 = 100;
/// The most users with wrong passwords that are remembered; the one whose last is oldest goes first.
const ENTRIES_MAX: usize = 262_144;
/// Places for familiar stations.
const FAMILIAR: usize = 1 << 17;

/// What one primary's servers were told lately.
pub(super) struct Sparing {
    hasher: foldhash::quality::RandomState,
    table: Mutex<Table>,
    /// Hashes of user and station, each at the place that it names.
    familiar: Box<[AtomicU64]>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<u64, Entry>,
    /// Those with wrong passwords, by the last one.
    order: BTreeSet<(Tick, u64)>,
}

/// Of one user.
#[derive(Clone, Copy, Default)]
struct Entry {
    wrong: u32,
    unfamiliar: u32,
    last: Tick,
    under_way: u32,
    under_way_unfamiliar: u32,
}

/// The password is not passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Withheld;

impl std::fmt::Debug for Sparing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sparing").field("users", &self.lock().entries.len()).finish_non_exhaustive()
    }
}

impl Sparing {
    pub(super) fn new() -> Sparing {
        Sparing {
            hasher: foldhash::quality::RandomState::default(),
            table: Mutex::default(),
            familiar: (0..FAMILIAR).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Begins to ask about a password of `user` from `station`, which is `None` where nobody vouches for it.
    pub(super) fn begin(
        &self,
        allowance: &Allowance,
        user: &UserName,
        station: Option<&[u8]>,
        clock: &dyn Clock,
    ) -> Result<Attempt<'_>, Withheld> {
        let key = self.hasher.hash_one(user.as_str());
        let visit = self.hasher.hash_one((key, station)) | 1;
        let familiar = self.place(visit).is_some_and(|place| place.load(Ordering::Relaxed) == visit);
        let mut table = self.lock();
        table.forget(key, allowance.window, clock);
        let entry = table.entries.entry(key).or_default();
        let spent = entry.wrong + entry.under_way >= allowance.wrong;
        let strange = entry.unfamiliar + entry.under_way_unfamiliar >= allowance.unfamiliar;
        if spent || (!familiar && strange) {
            table.tidy(key);
            return Err(Withheld);
        }
        entry.under_way += 1;
        entry.under_way_unfamiliar += u32::from(!familiar);
        Ok(Attempt { sparing: self, key, visit, familiar })
    }

    /// Forgets the wrong passwords of `user` if the last one came before `moment`.
    pub(super) fn forgive(&self, user: &UserName, moment: Tick) {
        let key = self.hasher.hash_one(user.as_str());
        let mut table = self.lock();
        if table.entries.get(&key).is_some_and(|entry| entry.last < moment) {
            table.clear(key);
            table.tidy(key);
        }
    }

    /// Takes over that so many passwords of `user`, from stations that nobody knows, were wrong, the last at `last`.
    pub(super) fn remember(&self, user: &UserName, wrong: u32, last: Tick) {
        let key = self.hasher.hash_one(user.as_str());
        let mut table = self.lock();
        for _ in 0..wrong.min(ALLOWANCE_MAX) {
            table.count(key, false, last);
        }
    }

    fn place(&self, visit: u64) -> Option<&AtomicU64> {
        // The upper bits; the lowest is always set.
        self.familiar.get(usize::try_from(visit >> 40).unwrap_or(0) % FAMILIAR)
    }

    /// Every change under the lock leaves the table whole.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A password that was passed on; dropped without an answer, it counts for nothing.
pub(super) struct Attempt<'a> {
    sparing: &'a Sparing,
    key: u64,
    visit: u64,
    familiar: bool,
}

impl Attempt<'_> {
    /// What became of it.
    pub(super) fn settle(self, answer: &PrimaryAnswer, clock: &dyn Clock) {
        match answer {
            PrimaryAnswer::Accepted { .. } => {
                if let Some(place) = self.sparing.place(self.visit).filter(|_| !self.familiar) {
                    place.store(self.visit, Ordering::Relaxed);
                }
                self.sparing.lock().clear(self.key);
            }
            PrimaryAnswer::Rejected { .. } => {
                self.sparing.lock().count(self.key, self.familiar, clock.mono());
            }
            PrimaryAnswer::Challenged { .. } | PrimaryAnswer::Unavailable | PrimaryAnswer::Withheld => {}
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut table = self.sparing.lock();
        if let Some(entry) = table.entries.get_mut(&self.key) {
            entry.under_way = entry.under_way.saturating_sub(1);
            let strange = u32::from(!self.familiar);
            entry.under_way_unfamiliar = entry.under_way_unfamiliar.saturating_sub(strange);
        }
        table.tidy(self.key);
    }
}

impl Table {
    /// The directory has forgotten by now, if so.
    fn forget(&mut self, key: u64, window: Duration, clock: &dyn Clock) {
        let over = |entry: &Entry| entry.wrong > 0 && clock.mono().since(entry.last) >= window;
        if self.entries.get(&key).is_some_and(over) {
            self.clear(key);
        }
    }

    fn count(&mut self, key: u64, familiar: bool, now: Tick) {
        if self.order.len() >= ENTRIES_MAX
            && let Some((_, oldest)) = self.order.first().copied()
        {
            self.clear(oldest);
            self.tidy(oldest);
        }
        let entry = self.entries.entry(key).or_default();
        self.order.remove(&(entry.last, key));
        entry.wrong = entry.wrong.saturating_add(1);
        entry.unfamiliar = entry.unfamiliar.saturating_add(u32::from(!familiar));
        entry.last = now;
        self.order.insert((now, key));
    }

    fn clear(&mut self, key: u64) {
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.wrong > 0) else { return };
        self.order.remove(&(entry.last, key));
        (entry.wrong, entry.unfamiliar) = (0, 0);
    }

    /// Who has nothing to remember has no entry.
    fn tidy(&mut self, key: u64) {
        if self.entries.get(&key).is_some_and(|entry| entry.wrong == 0 && entry.under_way == 0) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::UnixTime;
    use crate::wire::AttributeList;

    const HOME: Option<&[u8]> = Some(b"198.51.100.7");
    const CAFE: Option<&[u8]> = Some(b"203.0.113.9");
    const HALF_HOUR: u64 = 1800;

    fn at(seconds: u64) -> Fixed {
        Fixed { mono: Tick(7) + Duration::from_secs(seconds), unix: UnixTime(0), seed: 0 }
    }

    fn user(text: &str) -> UserName {
        UserName::canonical(text.as_bytes()).unwrap()
    }

    fn begin<'a>(
        sparing: &'a Sparing,
        who: &str,
        station: Option<&[u8]>,
        now: u64,
    ) -> Result<Attempt<'a>, Withheld> {
        sparing.begin(&Allowance::default(), &user(who), station, &at(now))
    }

    /// Whether one password is passed on, which turns out to be `right` or not.
    fn passes(sparing: &Sparing, who: &str, station: Option<&[u8]>, right: bool, now: u64) -> bool {
        let attributes = AttributeList::new();
        let answer = if right {
            PrimaryAnswer::Accepted { attributes }
        } else {
            PrimaryAnswer::Rejected { attributes }
        };
        begin(sparing, who, station, now).map(|attempt| attempt.settle(&answer, &at(now))).is_ok()
    }

    fn wrong(sparing: &Sparing, station: Option<&[u8]>, now: u64) -> bool {
        passes(sparing, "alice", station, false, now)
    }

    #[test]
    fn a_stranger_s_guesses_end_below_the_threshold_and_leave_the_user_some() {
        let sparing = Sparing::new();
        assert!(passes(&sparing, "alice", HOME, true, 0));
        for _ in 0..3 {
            assert!(wrong(&sparing, CAFE, 0));
        }
        assert!(!wrong(&sparing, CAFE, 0) && !wrong(&sparing, None, 0) && !wrong(&sparing, Some(b"x"), 0));
        assert!(!passes(&sparing, "alice", CAFE, true, 0), "not even the right one");
        assert!(wrong(&sparing, HOME, 0), "the fourth is hers");
        assert!(!wrong(&sparing, HOME, 0), "a fifth would lock her account");
        assert!(passes(&sparing, "bob", CAFE, false, 0), "others are not concerned");
    }

    #[test]
    fn the_count_begins_anew_a_window_after_the_last_one_that_was_passed_on() {
        let sparing = Sparing::new();
        for now in [0, 100, 200] {
            assert!(wrong(&sparing, CAFE, now));
        }
        assert!(!wrong(&sparing, CAFE, 1000), "held back, so the directory has not seen it");
        assert!(!wrong(&sparing, CAFE, 200 + HALF_HOUR - 1));
        for _ in 0..3 {
            assert!(wrong(&sparing, CAFE, 200 + HALF_HOUR));
        }
        assert!(!wrong(&sparing, CAFE, 200 + HALF_HOUR));
    }

    #[test]
    fn the_right_password_clears_the_count_and_makes_its_station_familiar() {
        let sparing = Sparing::new();
        for _ in 0..2 {
            assert!(wrong(&sparing, CAFE, 0));
        }
        assert!(passes(&sparing, "alice", CAFE, true, 0));
        assert!(sparing.lock().entries.is_empty() && sparing.lock().order.is_empty());
        for _ in 0..4 {
            assert!(wrong(&sparing, CAFE, 0), "all four from a familiar station");
        }
        assert!(!wrong(&sparing, CAFE, 0));
    }

    #[test]
    fn passwords_side_by_side_get_no_further_than_in_turn() {
        let sparing = Sparing::new();
        let under_way: Vec<_> = (0..10).filter_map(|_| begin(&sparing, "alice", CAFE, 0).ok()).collect();
        assert_eq!(under_way.len(), 3);
        for attempt in under_way {
            attempt.settle(&PrimaryAnswer::Unavailable, &at(0));
        }
        assert!(sparing.lock().entries.is_empty(), "what nobody answered counts for nothing");
        assert!(wrong(&sparing, CAFE, 0));
        assert_eq!(
            (0..10).filter_map(|_| begin(&sparing, "alice", CAFE, 0).ok()).collect::<Vec<_>>().len(),
            2
        );
    }

    #[test]
    fn what_was_wrong_before_a_moment_can_be_forgiven() {
        let sparing = Sparing::new();
        let alice = user("alice");
        for _ in 0..3 {
            assert!(wrong(&sparing, CAFE, 10));
        }
        sparing.forgive(&alice, at(10).mono);
        assert!(!wrong(&sparing, CAFE, 11), "the last one came no sooner");
        sparing.forgive(&alice, at(12).mono);
        assert!(sparing.lock().entries.is_empty() && sparing.lock().order.is_empty());
        for _ in 0..3 {
            assert!(wrong(&sparing, CAFE, 12));
        }
        assert!(!wrong(&sparing, CAFE, 12));
    }

    #[test]
    fn a_flood_does_not_grow_the_table() {
        let sparing = Sparing::new();
        for number in 0..ENTRIES_MAX + 1000 {
            assert!(passes(&sparing, &format!("u{number}"), CAFE, false, 0));
        }
        let table = sparing.lock();
        assert_eq!((table.entries.len(), table.order.len()), (ENTRIES_MAX, ENTRIES_MAX));
    }
}
