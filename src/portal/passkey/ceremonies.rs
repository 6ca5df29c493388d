//! Challenges that were handed out: each good for five minutes, for the browser that asked for it, and once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::secret::same;
use crate::base::text::{hex, unhex};
use crate::base::time::Tick;

/// For so long a challenge may be answered.
pub(super) const LIFETIME: Duration = Duration::from_mins(5);
/// The most challenges of one kind; the oldest goes for another one.
const MOST: usize = 10_000;

type Key = [u8; 16];

/// Challenges of one kind; `T` is what has to be known when one is answered.
pub(super) struct Ceremonies<T> {
    table: Mutex<Table<T>>,
}

struct Table<T> {
    entries: HashMap<Key, Entry<T>>,
    order: VecDeque<(Tick, Key)>,
}

struct Entry<T> {
    /// The token of the forms of whoever asked: of their session, or of the cookie that tells their browser from others.
    of: Box<str>,
    what: T,
}

impl<T> Default for Ceremonies<T> {
    fn default() -> Ceremonies<T> {
        Ceremonies { table: Mutex::new(Table { entries: HashMap::new(), order: VecDeque::new() }) }
    }
}

impl<T> Ceremonies<T> {
    /// Keeps `what` for whoever has `of`, under fresh random octets; what it is called from here on.
    pub(super) fn begin(&self, of: &str, what: T, key: Key, now: Tick) -> String {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.forget(now);
        while table.order.len() >= MOST {
            let Some((_, oldest)) = table.order.pop_front() else { break };
            table.entries.remove(&oldest);
        }
        table.order.push_back((now, key));
        table.entries.insert(key, Entry { of: of.into(), what });
        hex(&key)
    }

    /// Takes it out; `None` where it was taken already, is too old, or is somebody else's (who then has it still).
    pub(super) fn take(&self, name: &str, of: &str, now: Tick) -> Option<T> {
        let key: Key = unhex(name)?.try_into().ok()?;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.forget(now);
        let theirs = table.entries.get(&key).is_some_and(|entry| same(entry.of.as_bytes(), of.as_bytes()));
        if theirs { table.entries.remove(&key).map(|entry| entry.what) } else { None }
    }
}

impl<T> Table<T> {
    fn forget(&mut self, now: Tick) {
        while let Some((since, key)) = self.order.front().copied() {
            if now.since(since) < LIFETIME {
                return;
            }
            self.order.pop_front();
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> Tick {
        Tick(1 << 40) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_challenge_is_good_once_for_whoever_asked_and_for_five_minutes() {
        let table = Ceremonies::default();
        let name = table.begin("anna", 7, [1; 16], after(0));
        assert_eq!(table.take(&name, "bela", after(1)), None, "somebody else's");
        assert_eq!(table.take(&name, "anna", after(299)), Some(7));
        assert_eq!(table.take(&name, "anna", after(299)), None, "twice");
        let late = table.begin("anna", 8, [2; 16], after(0));
        assert_eq!(table.take(&late, "anna", after(300)), None, "too late");
        for wrong in ["", "00", "zz", &"0".repeat(32)] {
            assert_eq!(table.take(wrong, "anna", after(0)), None, "{wrong}");
        }
    }

    #[test]
    fn a_full_table_forgets_the_oldest_challenge_alone() {
        let table = Ceremonies::default();
        let key = |number: usize| (number as u128).to_be_bytes();
        let names: Vec<String> =
            (0..=MOST).map(|number| table.begin("anna", number, key(number), after(0))).collect();
        assert_eq!(table.table.lock().unwrap().entries.len(), MOST);
        assert_eq!(table.take(&names[0], "anna", after(0)), None);
        assert_eq!(table.take(&names[1], "anna", after(0)), Some(1));
    }
}
