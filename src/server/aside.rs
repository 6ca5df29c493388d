//! A table whose entries mostly come and go within moments, while a few lie still for minutes.
//!
//! Those are set aside into a second table, so that a hundred thousand requests which are held neither drive the others out of
//! the processor's caches nor make their table large: whoever comes and goes pays for a look at a counter, or a second probe.
//!
//! Invariants: a key is in one of the two, and goes from the first to the second alone. Whoever looks for it locks its place in the
//! first, and looks into the second where it is not there; whoever moves it holds its place in the first until it can be found in the
//! second. So it is never in neither, and locks are taken in one order. As with one table, nobody who holds an entry may ask for
//! another.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::{Entry, VacantEntry};
use dashmap::mapref::one::{MappedRef, MappedRefMut};

/// The table. A value is `Some` but for the moment in which it moves, which nobody sees.
pub(super) struct Aside<K, V, S> {
    moving: DashMap<K, Option<V>, S>,
    still: DashMap<K, Option<V>, S>,
    /// How many lie still: as long as none does, nobody looks.
    stills: AtomicUsize,
}

/// A value, locked.
pub(super) type Seen<'a, K, V> = MappedRef<'a, K, Option<V>, V>;
/// A value, locked for whoever changes it.
pub(super) type Held<'a, K, V> = MappedRefMut<'a, K, Option<V>, V>;

/// What is under a key, locked.
pub(super) enum Place<'a, K, V> {
    Taken(Held<'a, K, V>),
    Free(Free<'a, K, V>),
}

/// A key that nobody else takes meanwhile.
pub(super) struct Free<'a, K, V>(VacantEntry<'a, K, Option<V>>);

impl<K: Eq + Hash, V> Free<'_, K, V> {
    pub(super) fn insert(self, value: V) {
        self.0.insert(Some(value));
    }
}

impl<K: Eq + Hash, V, S: BuildHasher + Clone + Default> Default for Aside<K, V, S> {
    fn default() -> Self {
        Aside { moving: DashMap::default(), still: DashMap::default(), stills: AtomicUsize::new(0) }
    }
}

impl<K: Copy + Eq + Hash, V, S: BuildHasher + Clone> Aside<K, V, S> {
    pub(super) fn get(&self, key: &K) -> Option<Seen<'_, K, V>> {
        let found = self.moving.get(key).or_else(|| self.still()?.get(key))?;
        found.try_map(Option::as_ref).ok()
    }

    pub(super) fn get_mut(&self, key: &K) -> Option<Held<'_, K, V>> {
        let found = self.moving.get_mut(key).or_else(|| self.still()?.get_mut(key))?;
        found.try_map(Option::as_mut).ok()
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// What is under `key`, or the right to put something there.
    pub(super) fn place(&self, key: K) -> Place<'_, K, V> {
        let taken = match self.moving.entry(key) {
            Entry::Occupied(taken) => taken.into_ref(),
            Entry::Vacant(free) => match self.still().and_then(|still| still.get_mut(&key)) {
                Some(taken) => taken,
                None => return Place::Free(Free(free)),
            },
        };
        #[expect(clippy::expect_used, reason = "whoever moves a value has its place locked until it is gone")]
        Place::Taken(taken.map(|value| value.as_mut().expect("a value that can be found is there")))
    }

    /// Puts `value` under a new key.
    pub(super) fn insert(&self, key: K, value: V) {
        self.moving.insert(key, Some(value));
    }

    pub(super) fn remove(&self, key: &K) -> Option<V> {
        self.remove_if(key, |_| true)
    }

    /// Takes out what is under `key`, should it be such a one.
    pub(super) fn remove_if(&self, key: &K, is: impl Fn(&V) -> bool) -> Option<V> {
        let is = |_: &K, value: &Option<V>| value.as_ref().is_some_and(&is);
        let (_, value) = self.moving.remove_if(key, is).or_else(|| {
            let removed = self.still()?.remove_if(key, is);
            self.stills.fetch_sub(usize::from(removed.is_some()), Ordering::Relaxed);
            removed
        })?;
        value
    }

    /// Takes out all that are such.
    pub(super) fn remove_all(&self, mut are: impl FnMut(&V) -> bool) {
        self.moving.retain(|_, value| !value.as_ref().is_some_and(&mut are));
        self.still.retain(|_, value| {
            let goes = value.as_ref().is_some_and(&mut are);
            self.stills.fetch_sub(usize::from(goes), Ordering::Relaxed);
            !goes
        });
    }

    /// Sets aside what is under `key`: it will lie still.
    pub(super) fn set_aside(&self, key: &K) {
        self.moving.remove_if_mut(key, |_, value| {
            // Counted before its place is let go, so that whoever misses it here looks there.
            self.stills.fetch_add(1, Ordering::Relaxed);
            self.still.insert(*key, value.take());
            true
        });
    }

    /// Goes through all, in no order. One that moves meanwhile may be met twice.
    pub(super) fn each(&self, mut act: impl FnMut(&K, &V)) {
        for entry in self.moving.iter().chain(self.still.iter()) {
            if let Some(value) = entry.value() {
                act(entry.key(), value);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.moving.len() + self.still.len()
    }

    /// The second table, while anything is in it.
    fn still(&self) -> Option<&DashMap<K, Option<V>, S>> {
        (self.stills.load(Ordering::Relaxed) > 0).then_some(&self.still)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::hash::RandomState;
    use std::sync::atomic::AtomicU32;

    use proptest::prelude::*;

    use super::*;

    type Table = Aside<u8, u32, RandomState>;

    #[derive(Clone, Debug)]
    enum Act {
        Put(u8, u32),
        Change(u8, u32),
        Remove(u8),
        RemoveOdd(u8),
        SetAside(u8),
        RemoveAllOdd,
    }

    fn act() -> impl Strategy<Value = Act> {
        let (key, value) = (0..12_u8, 0..100_u32);
        prop_oneof![
            (key.clone(), value.clone()).prop_map(|(key, value)| Act::Put(key, value)),
            (key.clone(), value).prop_map(|(key, value)| Act::Change(key, value)),
            key.clone().prop_map(Act::Remove),
            key.clone().prop_map(Act::RemoveOdd),
            key.prop_map(Act::SetAside),
            Just(Act::RemoveAllOdd),
        ]
    }

    proptest! {
        #[test]
        fn it_is_one_table_to_whoever_uses_it(acts in proptest::collection::vec(act(), 0..200)) {
            let (table, mut model) = (Table::default(), BTreeMap::new());
            for act in acts {
                match act {
                    Act::Put(key, value) => match table.place(key) {
                        Place::Taken(held) => prop_assert_eq!(Some(&*held), model.get(&key)),
                        Place::Free(free) => {
                            free.insert(value);
                            prop_assert!(model.insert(key, value).is_none());
                        }
                    },
                    Act::Change(key, value) => {
                        let held = table.get_mut(&key).map(|mut held| *held = value);
                        prop_assert_eq!(held.is_some(), model.get_mut(&key).map(|old| *old = value).is_some());
                    }
                    Act::Remove(key) => prop_assert_eq!(table.remove(&key), model.remove(&key)),
                    Act::RemoveOdd(key) => {
                        let odd = model.get(&key).is_some_and(|value| value % 2 == 1);
                        let removed = if odd { model.remove(&key) } else { None };
                        prop_assert_eq!(table.remove_if(&key, |value| value % 2 == 1), removed);
                    }
                    Act::SetAside(key) => table.set_aside(&key),
                    Act::RemoveAllOdd => {
                        table.remove_all(|value| value % 2 == 1);
                        model.retain(|_, value| *value % 2 == 0);
                    }
                }
                let mut all = BTreeMap::new();
                table.each(|key, value| assert!(all.insert(*key, *value).is_none(), "{key} is in both"));
                prop_assert_eq!(&all, &model);
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.stills.load(Ordering::Relaxed), table.still.len());
                for key in 0..12 {
                    prop_assert_eq!(table.get(&key).map(|value| *value), model.get(&key).copied());
                    prop_assert_eq!(table.contains_key(&key), model.contains_key(&key));
                }
            }
        }
    }

    #[test]
    fn what_is_set_aside_is_never_missed_by_whoever_looks_meanwhile() {
        const LAST: u32 = 20_000;
        let (table, latest) = (Aside::<u32, u32, RandomState>::default(), AtomicU32::new(0));
        table.insert(0, 7);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut key = 0;
                    while key < LAST {
                        key = latest.load(Ordering::Acquire);
                        assert_eq!(table.get(&key).as_deref(), Some(&7));
                        assert!(matches!(table.place(key), Place::Taken(_)));
                        assert!(table.get_mut(&key).is_some());
                    }
                });
            }
            for key in 1..=LAST {
                table.insert(key, 7);
                latest.store(key, Ordering::Release);
                table.set_aside(&key);
            }
        });
        assert_eq!(table.still.len(), LAST as usize);
    }
}
