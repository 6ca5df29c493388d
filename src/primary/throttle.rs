//! Who has to wait before another local password is looked at: whoever sent too many wrong ones.
//!
//! Counted by user and station (Calling-Station-Id), so that somebody who guesses makes nobody else wait. [`FREE`] wrong
//! passwords cost nothing; after that each one doubles the wait. A verdict that comes out while its user has to wait
//! counts for nothing, right or wrong: passwords tried side by side learn no more than those tried in turn.
//!
//! Invariants: at most [`ENTRIES_MAX`] entries of a few octets each, whatever is sent; who has not been wrong has none.
//! Only a password that was really compared makes an entry, so a flood displaces others no faster than it hashes.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::name::UserName;
use crate::base::time::Tick;

/// Wrong passwords before the first wait.
const FREE: u32 = 5;
/// The first wait, and the longest.
const WAIT: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_mins(5);
/// How long wrong passwords are remembered after the last one. Forgotten sooner, the free ones would come round more
/// often than the longest wait lets any through.
const REMEMBERED: Duration = Duration::from_hours(1);
/// The most users at stations that are remembered; the one whose last wrong password is oldest goes first.
const ENTRIES_MAX: usize = 65_536;
/// How many passwords of one user at one station are looked at or wait for it at once: a quarter of the queue.
const AT_ONCE_MAX: u32 = 32;

/// What is known of all who were wrong lately.
pub(super) struct Throttle {
    table: Mutex<Table>,
    hasher: RandomState,
}

#[derive(Default)]
struct Table {
    entries: HashMap<Key, Entry>,
    /// The same entries by their last wrong password.
    order: BTreeSet<(Tick, Key)>,
    /// Attempts that have begun and not ended, by key; as many as the queue has places at most.
    under_way: HashMap<Key, u32>,
}

/// A user at a station. A keyed hash of both: names and stations are what a client writes, up to 253 octets each, and
/// nobody outside can make two of them meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key(u64);

#[derive(Clone, Copy)]
struct Entry {
    wrong: u32,
    last: Tick,
}

impl Entry {
    /// When the next password is looked at.
    fn until(&self) -> Tick {
        match self.wrong.checked_sub(FREE) {
            None => self.last,
            Some(waits) => self.last + WAIT.saturating_mul(2_u32.saturating_pow(waits)).min(WAIT_MAX),
        }
    }
}

/// Why a password is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many were wrong, and the wait is not over.
    Wait,
    /// Too many of the same user and station are being looked at.
    Crowd,
}

impl Throttle {
    pub(super) fn new() -> Throttle {
        Throttle { table: Mutex::default(), hasher: RandomState::new() }
    }

    /// Begins to look at a password of `user` that came from `station`.
    pub(super) fn begin(
        &self,
        user: &UserName,
        station: Option<&[u8]>,
        now: Tick,
    ) -> Result<Attempt<'_>, Refusal> {
        let key = Key(self.hasher.hash_one((user.as_str(), station)));
        let mut table = self.lock();
        if table.must_wait(key, now) {
            return Err(Refusal::Wait);
        }
        let under_way = table.under_way.entry(key).or_insert(0);
        if *under_way >= AT_ONCE_MAX {
            return Err(Refusal::Crowd);
        }
        *under_way += 1;
        Ok(Attempt { throttle: self, key })
    }

    /// Forgets the wrong passwords of `user` at `station` if the last one came before `moment`.
    pub(super) fn forgive(&self, user: &UserName, station: Option<&[u8]>, moment: Tick) {
        let key = Key(self.hasher.hash_one((user.as_str(), station)));
        let mut table = self.lock();
        if table.entries.get(&key).is_some_and(|entry| entry.last < moment) {
            table.remove(key);
        }
    }

    /// Every change under the lock leaves the table whole.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A password that is being looked at; dropped without a verdict, it counts for nothing.
pub(super) struct Attempt<'a> {
    throttle: &'a Throttle,
    key: Key,
}

impl Attempt<'_> {
    /// Whether others have been wrong since this began, so that its verdict would count for nothing.
    pub(super) fn is_void(&self, now: Tick) -> bool {
        self.throttle.lock().must_wait(self.key, now)
    }

    /// The password turned out to be `right` or not; answers whether it passes.
    #[must_use]
    pub(super) fn settle(self, right: bool, now: Tick) -> bool {
        let mut table = self.throttle.lock();
        if table.must_wait(self.key, now) {
            return false;
        }
        if right {
            table.remove(self.key);
        } else {
            table.count(self.key, now);
        }
        right
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut table = self.throttle.lock();
        if let Some(under_way) = table.under_way.get_mut(&self.key) {
            *under_way -= 1;
            if *under_way == 0 {
                table.under_way.remove(&self.key);
            }
        }
    }
}

impl Table {
    fn must_wait(&self, key: Key, now: Tick) -> bool {
        self.entries.get(&key).is_some_and(|entry| now < entry.until())
    }

    fn count(&mut self, key: Key, now: Tick) {
        self.expire(now);
        let before = self.remove(key).map_or(0, |entry| entry.wrong);
        if self.entries.len() >= ENTRIES_MAX
            && let Some((_, oldest)) = self.order.first().copied()
        {
            self.remove(oldest);
        }
        self.entries.insert(key, Entry { wrong: before.saturating_add(1), last: now });
        self.order.insert((now, key));
    }

    fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.order.remove(&(entry.last, key));
        Some(entry)
    }

    fn expire(&mut self, now: Tick) {
        while let Some((last, key)) = self.order.first().copied()
            && now.since(last) >= REMEMBERED
        {
            self.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick(7) + Duration::from_secs(seconds)
    }

    fn user(text: &str) -> UserName {
        UserName::canonical(text.as_bytes()).unwrap()
    }

    /// What becomes of one password: whether it passes, or why it is not looked at.
    fn attempt(
        throttle: &Throttle,
        who: &str,
        station: Option<&str>,
        right: bool,
        now: Tick,
    ) -> Result<bool, Refusal> {
        let station = station.map(str::as_bytes);
        throttle.begin(&user(who), station, now).map(|attempt| attempt.settle(right, now))
    }

    fn wrong(throttle: &Throttle, now: Tick) -> Result<bool, Refusal> {
        attempt(throttle, "alice", Some("198.51.100.7"), false, now)
    }

    fn right(throttle: &Throttle, now: Tick) -> Result<bool, Refusal> {
        attempt(throttle, "alice", Some("198.51.100.7"), true, now)
    }

    #[test]
    fn what_was_wrong_before_a_moment_can_be_forgiven() {
        let throttle = Throttle::new();
        for _ in 0..5 {
            assert_eq!(wrong(&throttle, at(0)), Ok(false));
        }
        let forgive = |moment| throttle.forgive(&user("alice"), Some(b"198.51.100.7"), moment);
        forgive(at(0));
        assert_eq!(right(&throttle, at(1)), Err(Refusal::Wait), "the last one came no sooner");
        forgive(at(1));
        assert_eq!(right(&throttle, at(1)), Ok(true));
        assert!(throttle.lock().order.is_empty());
    }

    #[test]
    fn five_wrong_passwords_are_free_then_each_doubles_the_wait_up_to_five_minutes() {
        let throttle = Throttle::new();
        for _ in 0..5 {
            assert_eq!(wrong(&throttle, at(0)), Ok(false));
        }
        let mut now = at(0);
        for wait in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
            let over = now + Duration::from_secs(wait);
            assert_eq!(right(&throttle, Tick(over.0 - 1)), Err(Refusal::Wait), "{wait}");
            assert_eq!(wrong(&throttle, over), Ok(false), "{wait}");
            now = over;
        }
    }

    #[test]
    fn a_right_password_after_the_wait_clears() {
        let throttle = Throttle::new();
        for _ in 0..5 {
            assert_eq!(wrong(&throttle, at(0)), Ok(false));
        }
        assert_eq!(right(&throttle, at(1)), Err(Refusal::Wait));
        assert_eq!(right(&throttle, at(2)), Ok(true));
        for _ in 0..5 {
            assert_eq!(wrong(&throttle, at(2)), Ok(false));
        }
        assert_eq!(wrong(&throttle, at(2)), Err(Refusal::Wait));
    }

    #[test]
    fn other_stations_and_other_users_do_not_wait() {
        let throttle = Throttle::new();
        for _ in 0..5 {
            assert_eq!(wrong(&throttle, at(0)), Ok(false));
        }
        for (who, station) in [
            ("alice", Some("198.51.100.8")),
            ("alice", Some("")),
            ("alice", None),
            ("bob", Some("198.51.100.7")),
        ] {
            assert_eq!(attempt(&throttle, who, station, true, at(0)), Ok(true), "{who} {station:?}");
        }
        assert_eq!(attempt(&throttle, "ALICE", Some("198.51.100.7"), true, at(0)), Err(Refusal::Wait));
    }

    #[test]
    fn wrong_passwords_are_forgotten_an_hour_after_the_last() {
        let throttle = Throttle::new();
        for _ in 0..4 {
            assert_eq!(wrong(&throttle, at(0)), Ok(false));
        }
        assert_eq!(wrong(&throttle, at(3_599)), Ok(false));
        assert_eq!(wrong(&throttle, at(3_600)), Err(Refusal::Wait), "the first four still count");
        for _ in 0..5 {
            assert_eq!(wrong(&throttle, at(3_599 + 3_600)), Ok(false));
        }
        assert_eq!(wrong(&throttle, at(3_599 + 3_600)), Err(Refusal::Wait));
    }

    #[test]
    fn of_passwords_tried_side_by_side_no_more_count_than_of_those_tried_in_turn() {
        let throttle = Throttle::new();
        let alice = user("alice");
        let begin = || throttle.begin(&alice, None, at(0));
        let mut attempts: Vec<_> = (0..AT_ONCE_MAX).map(|_| begin().ok().unwrap()).collect();
        assert_eq!(begin().err(), Some(Refusal::Crowd));
        assert!(throttle.begin(&user("bob"), None, at(0)).is_ok());
        let last = attempts.pop().unwrap();
        for attempt in attempts.drain(..5) {
            assert!(!attempt.is_void(at(0)));
            assert!(!attempt.settle(false, at(0)));
        }
        assert!(last.is_void(at(0)));
        assert!(!last.settle(true, at(0)), "the sixth learns nothing, though it is right");
        for attempt in attempts {
            assert!(!attempt.settle(false, at(0)));
        }
        assert!(throttle.lock().under_way.is_empty());
        assert_eq!(attempt(&throttle, "alice", None, true, at(2)), Ok(true), "those lengthened no wait");
    }

    #[test]
    fn right_passwords_side_by_side_all_pass_and_an_attempt_given_up_counts_for_nothing() {
        let throttle = Throttle::new();
        let alice = user("alice");
        let attempts: Vec<_> = (0..20).map(|_| throttle.begin(&alice, None, at(0)).ok().unwrap()).collect();
        assert!(attempts.into_iter().all(|attempt| attempt.settle(true, at(0))));
        for _ in 0..20 {
            drop(throttle.begin(&alice, None, at(0)).ok().unwrap());
        }
        let table = throttle.lock();
        assert!(table.entries.is_empty() && table.under_way.is_empty());
    }

    #[test]
    fn a_flood_does_not_grow_the_table_and_displaces_the_oldest_first() {
        let throttle = Throttle::new();
        for _ in 0..5 {
            assert_eq!(wrong(&throttle, at(0)), Ok(false));
        }
        let flood = |from: usize, count: usize, now| {
            for station in from..from + count {
                let station = station.to_string();
                assert_eq!(attempt(&throttle, "mallory", Some(&station), false, now), Ok(false));
            }
        };
        flood(0, ENTRIES_MAX - 1, at(1));
        assert_eq!(right(&throttle, at(1)), Err(Refusal::Wait), "there is room for all");
        flood(ENTRIES_MAX, 1, at(1));
        assert_eq!(right(&throttle, at(1)), Ok(true), "the oldest went");
        flood(ENTRIES_MAX * 2, 100, at(1));
        let sizes = |table: &Table| (table.entries.len(), table.order.len());
        assert_eq!(sizes(&throttle.lock()), (ENTRIES_MAX, ENTRIES_MAX));
        flood(0, 1, at(3_601));
        assert_eq!(sizes(&throttle.lock()), (1, 1), "the others have expired");
    }
}
