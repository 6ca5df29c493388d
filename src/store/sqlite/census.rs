//! Who there is, once memory holds everybody: then a name that is not in memory is nobody's, and no disk has to be asked.
//!
//! Strangers' names are what a guesser floods a server with, and where users without a token may pass, every login of theirs
//! asks who looks like them. Invariant: while the census is whole, a user is in memory, or among the `changed`, or not
//! there at all; and everybody who might be asked for a factor has the skeleton's hash among `owners`. So a miss is certain, and a
//! hit is only a reason to ask the database.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::base::name::UserName;

/// So many users changed since the census was taken are looked up one by one; with more it is taken anew.
const CHANGED_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Census {
    whole: AtomicBool,
    counted: RwLock<Counted>,
    /// Keyed, so that nobody can find names that meet.
    hasher: RandomState,
}

#[derive(Default)]
struct Counted {
    owners: HashSet<u64>,
    changed: HashSet<Box<str>>,
}

impl Census {
    /// A new one begins: everybody will be counted in.
    pub(super) fn begin(&self) {
        self.whole.store(false, Ordering::Release);
        *self.write() = Counted::default();
    }

    /// Counts in somebody who might be asked for a factor.
    pub(super) fn owner(&self, name: &UserName) {
        let skeleton = self.hash(name);
        self.write().owners.insert(skeleton);
    }

    /// Everybody was counted.
    pub(super) fn end(&self) {
        self.whole.store(true, Ordering::Release);
    }

    /// Somebody left memory: it does not hold everybody any more.
    pub(super) fn spoil(&self) {
        self.whole.store(false, Ordering::Release);
    }

    /// A command changed `name`, or made or removed it. False where so many changed that a new census is due.
    pub(super) fn changed(&self, name: &str) -> bool {
        let skeleton = UserName::canonical(name.as_bytes()).ok().map(|name| self.hash(&name));
        let mut counted = self.write();
        counted.owners.extend(skeleton);
        counted.changed.insert(name.into());
        let few = counted.changed.len() <= CHANGED_MAX;
        drop(counted);
        if !few {
            self.spoil();
        }
        few
    }

    /// Whether it is certain that `name`, which is not in memory, is nobody's.
    pub(super) fn is_nobody(&self, name: &UserName) -> bool {
        self.whole.load(Ordering::Acquire) && !self.read().changed.contains(name.as_str())
    }

    /// Whether it is certain that nobody who might be asked for a factor looks like `name`.
    pub(super) fn resembles_nobody(&self, name: &UserName) -> bool {
        self.whole.load(Ordering::Acquire) && !self.read().owners.contains(&self.hash(name))
    }

    /// Whether everybody was counted, and is in memory.
    #[cfg(test)]
    pub(super) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }

    fn hash(&self, name: &UserName) -> u64 {
        self.hasher.hash_one(name.skeleton())
    }

    fn read(&self) -> RwLockReadGuard<'_, Counted> {
        self.counted.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Counted> {
        self.counted.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UserName {
        UserName::canonical(text.as_bytes()).unwrap()
    }

    #[test]
    fn nothing_is_certain_before_everybody_was_counted() {
        let census = Census::default();
        assert!(!census.is_nobody(&name("mallory")) && !census.resembles_nobody(&name("mallory")));
        census.begin();
        census.owner(&name("alice"));
        assert!(!census.is_nobody(&name("mallory")));
        census.end();
        assert!(census.is_nobody(&name("mallory")) && census.resembles_nobody(&name("mallory")));
        assert!(!census.resembles_nobody(&name("Álice@corp.example")));
        census.spoil();
        assert!(!census.is_nobody(&name("mallory")) && !census.resembles_nobody(&name("mallory")));
    }

    #[test]
    fn who_was_changed_is_looked_up_and_too_many_changes_end_the_census() {
        let census = Census::default();
        census.end();
        assert!(census.changed("bob"));
        assert!(!census.is_nobody(&name("bob")) && !census.resembles_nobody(&name("BOB.")));
        assert!(census.is_nobody(&name("carol")));
        assert!((1..CHANGED_MAX).all(|number| census.changed(&format!("u{number}"))));
        assert!(!census.changed("dave"));
        assert!(!census.is_nobody(&name("carol")));
    }
}
