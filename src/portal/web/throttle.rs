//! How often something may be tried: by address, by user, by whatever it concerns.
//!
//! Counted in windows that begin with the first attempt. Invariants: at most `ENTRIES_MAX` entries of a few octets each; where
//! the table is full the oldest window goes.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::time::Tick;

/// The most entries.
const ENTRIES_MAX: usize = 65_536;

/// So many attempts within so long.
#[derive(Debug)]
pub struct Throttle {
    most: u32,
    within: Duration,
    table: Mutex<Table>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<u64, Window>,
    /// The same by their beginnings.
    order: BTreeSet<(Tick, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Tick,
    count: u32,
}

impl Throttle {
    /// `most` attempts within `within`, for each key.
    #[must_use]
    pub fn new(most: u32, within: Duration) -> Throttle {
        Throttle { most, within, table: Mutex::default(), hasher: RandomState::new() }
    }

    /// Counts an attempt; whether it may be made.
    #[must_use]
    pub fn admits(&self, key: impl Hash, now: Tick) -> bool {
        self.count(key, now) <= self.most
    }

    /// Counts something that went wrong; so many there were within the window.
    pub fn count(&self, key: impl Hash, now: Tick) -> u32 {
        let key = self.hasher.hash_one(key);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.forget(now, self.within);
        if let Some(window) = table.entries.get_mut(&key) {
            window.count = window.count.saturating_add(1);
            return window.count;
        }
        while table.entries.len() >= ENTRIES_MAX {
            let Some((_, oldest)) = table.order.pop_first() else { break };
            table.entries.remove(&oldest);
        }
        table.entries.insert(key, Window { since: now, count: 1 });
        table.order.insert((now, key));
        1
    }

    /// Whether there were too many, without counting: for where only what goes wrong counts.
    #[must_use]
    pub fn is_spent(&self, key: impl Hash, now: Tick) -> bool {
        let key = self.hasher.hash_one(key);
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table
            .entries
            .get(&key)
            .is_some_and(|window| window.count >= self.most && now.since(window.since) < self.within)
    }
}

impl Table {
    fn forget(&mut self, now: Tick, within: Duration) {
        while let Some((since, key)) = self.order.first().copied() {
            if now.since(since) < within {
                return;
            }
            self.order.pop_first();
            self.entries.remove(&key);
        }
    }
}

/// What counts as one address: of IPv6 the network that a subscriber has.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> Tick {
        Tick(1 << 40) + Duration::from_secs(seconds)
    }

    #[test]
    fn each_key_has_its_attempts_and_they_come_back_when_the_window_is_over() {
        let throttle = Throttle::new(2, Duration::from_mins(1));
        assert!(throttle.admits("a", after(0)) && throttle.admits("a", after(1)));
        assert!(throttle.is_spent("a", after(2)) && !throttle.is_spent("b", after(2)));
        assert!(!throttle.admits("a", after(59)));
        assert!(throttle.admits("b", after(59)));
        assert!(!throttle.is_spent("a", after(60)));
        assert!(throttle.admits("a", after(60)));
    }

    #[test]
    fn a_full_table_forgets_the_oldest_window_alone() {
        let throttle = Throttle::new(1, Duration::from_mins(100));
        for key in 0..=ENTRIES_MAX {
            assert!(throttle.admits(key, after(u64::from(key > 0))));
        }
        assert_eq!(throttle.table.lock().unwrap().entries.len(), ENTRIES_MAX);
        assert!(!throttle.is_spent(0, after(2)), "the first is forgotten");
        assert!(throttle.is_spent(ENTRIES_MAX, after(2)));
    }

    #[test]
    fn a_subscriber_has_one_address_however_many_the_network_has() {
        let net = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(net("2001:db8:1:2:3:4:5:6"), net("2001:db8:1:2:ffff::1"));
        assert_ne!(net("2001:db8:1:2::1"), net("2001:db8:1:3::1"));
        assert_eq!(net("192.0.2.1"), "192.0.2.1");
    }
}
