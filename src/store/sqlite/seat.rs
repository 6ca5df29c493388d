//! One user in memory, as small as it goes: what a login asks for, the seeds still sealed.

use std::sync::Arc;

use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::engine::account::{Account, Token, TokenId, UserId};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::factor::oath::Parameters;
use crate::store::fold::{Facts, TokenFacts};
use crate::store::seal::{Purpose, SealKey};

/// A user.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) id: UserId,
    pub(super) disabled: bool,
    pub(super) failures: u32,
    pub(super) last_failure: UnixTime,
    pub(super) password_hash: Option<Arc<str>>,
    pub(super) tokens: Box<[Held]>,
}

/// A token of the user.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) id: TokenId,
    pub(super) serial: Arc<str>,
    pub(super) enabled: bool,
    pub(super) parameters: Parameters,
    pub(super) last_step: Option<u64>,
    pub(super) sealed: Box<[u8]>,
}

impl Seat {
    pub(super) fn owns_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// What a login is told. A seed that does not open is damage: nothing may rest on this user then.
    pub(super) fn answer(&self, query: &UserQuery, key: &SealKey) -> UserAnswer {
        let mut tokens = Vec::with_capacity(self.tokens.len());
        for held in &self.tokens {
            let seed = if query.seeds {
                let Ok(seed) = key.open(Purpose::TokenSeed, &held.serial, &held.sealed) else {
                    tracing::error!(serial = &*held.serial, "the sealed seed of a token is damaged");
                    return UserAnswer::Unavailable;
                };
                Some(seed)
            } else {
                None
            };
            tokens.push(Token {
                id: held.id,
                serial: Arc::clone(&held.serial),
                enabled: held.enabled,
                parameters: held.parameters,
                last_step: held.last_step,
                seed,
            });
        }
        UserAnswer::Found(Account {
            id: self.id,
            name: query.user.clone(),
            disabled: self.disabled,
            password_hash: self.password_hash.clone(),
            failures: self.failures,
            last_failure: self.last_failure,
            tokens,
            resembles_another: false,
        })
    }

    /// What guards look at.
    pub(super) fn facts(&self) -> Facts {
        let tokens = self
            .tokens
            .iter()
            .map(|held| TokenFacts { id: held.id, enabled: held.enabled, last_step: held.last_step })
            .collect();
        Facts {
            user: self.id,
            disabled: self.disabled,
            failures: self.failures,
            last_failure: self.last_failure,
            tokens,
        }
    }

    /// Takes over what rows have changed.
    pub(super) fn follow(&mut self, facts: &Facts) {
        (self.failures, self.last_failure) = (facts.failures, facts.last_failure);
        for (held, facts) in self.tokens.iter_mut().zip(&facts.tokens) {
            held.last_step = facts.last_step;
        }
    }
}

/// Users in memory: at most `limit`, the least lately asked for go first (the clock algorithm).
pub(super) struct Cache {
    slots: dashmap::DashMap<UserName, Slot>,
    /// Every key of `slots` once, in the order in which the hand visits them.
    ring: std::sync::Mutex<std::collections::VecDeque<UserName>>,
    limit: usize,
    /// Slots of an earlier epoch count as absent: this empties the cache without touching it.
    epoch: std::sync::atomic::AtomicU32,
}

struct Slot {
    seat: Box<Seat>,
    epoch: u32,
    touched: std::sync::atomic::AtomicBool,
}

/// The epoch of a slot that is out of date.
const STALE: u32 = 0;

impl Cache {
    pub(super) fn new(limit: usize) -> Cache {
        Cache {
            slots: dashmap::DashMap::new(),
            ring: std::sync::Mutex::default(),
            limit: limit.max(1),
            epoch: std::sync::atomic::AtomicU32::new(STALE + 1),
        }
    }

    /// Looks at a user that is here and up to date.
    pub(super) fn read<T>(&self, user: &UserName, look: impl FnOnce(&Seat) -> T) -> Option<T> {
        use std::sync::atomic::Ordering::Relaxed;
        let slot = self.slots.get(user).filter(|slot| slot.epoch == self.epoch())?;
        if !slot.touched.load(Relaxed) {
            slot.touched.store(true, Relaxed);
        }
        Some(look(&slot.seat))
    }

    /// Changes a user that is here and up to date.
    pub(super) fn change(&self, user: &UserName, change: impl FnOnce(&mut Seat)) {
        if let Some(mut slot) = self.slots.get_mut(user).filter(|slot| slot.epoch == self.epoch()) {
            change(&mut slot.seat);
        }
    }

    /// Takes a user in, pushing another out if it has to.
    pub(super) fn put(&self, user: &UserName, seat: Seat) {
        use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
        let slot = Slot { seat: Box::new(seat), epoch: self.epoch(), touched: AtomicBool::new(false) };
        let mut ring = self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.slots.insert(user.clone(), slot).is_some() {
            return;
        }
        ring.push_back(user.clone());
        while ring.len() > self.limit {
            let Some(oldest) = ring.pop_front() else { break };
            let spare = self
                .slots
                .get(&oldest)
                .is_some_and(|slot| slot.epoch == self.epoch() && slot.touched.swap(false, Relaxed));
            if spare {
                ring.push_back(oldest);
            } else {
                self.slots.remove(&oldest);
            }
        }
    }

    /// Whether another user would push one out.
    pub(super) fn is_full(&self) -> bool {
        self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len() >= self.limit
    }

    /// The user is out of date.
    pub(super) fn drop_user(&self, user: &str) {
        if let Some(mut slot) = self.slots.get_mut(user) {
            slot.epoch = STALE;
        }
    }

    /// Everybody is out of date.
    pub(super) fn drop_all(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        let next = self.epoch.load(Relaxed).wrapping_add(1);
        self.epoch.store(if next == STALE { STALE + 1 } else { next }, Relaxed);
    }

    fn epoch(&self) -> u32 {
        self.epoch.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(id: i64) -> Seat {
        Seat {
            id: UserId(id),
            disabled: false,
            failures: 0,
            last_failure: UnixTime(0),
            password_hash: None,
            tokens: Box::new([]),
        }
    }

    fn name(number: i64) -> UserName {
        UserName::canonical(format!("u{number}").as_bytes()).unwrap()
    }

    #[test]
    fn a_full_cache_keeps_whom_it_was_asked_for() {
        let cache = Cache::new(3);
        for number in 0..3 {
            cache.put(&name(number), seat(number));
        }
        assert!(cache.is_full());
        assert!(cache.read(&name(0), |_| ()).is_some());
        cache.put(&name(3), seat(3));
        let here: Vec<_> = (0..4).filter(|number| cache.read(&name(*number), |_| ()).is_some()).collect();
        assert_eq!(here, [0, 2, 3]);
    }

    #[test]
    fn what_is_out_of_date_is_not_given_out_and_takes_no_second_place() {
        let cache = Cache::new(2);
        for _ in 0..10 {
            cache.put(&name(1), seat(1));
            cache.drop_user("u1");
            assert!(cache.read(&name(1), |_| ()).is_none());
        }
        cache.put(&name(2), seat(2));
        cache.put(&name(1), seat(1));
        assert!(cache.read(&name(1), |_| ()).is_some() && cache.read(&name(2), |_| ()).is_some());
        cache.drop_all();
        assert!(cache.read(&name(1), |_| ()).is_none());
    }
}
