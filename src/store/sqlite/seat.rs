//! One user in memory, as small as it goes: what a login asks for, the seeds still sealed.
//!
//! With a million users every pointer followed is a wait for memory, so a user with one token, which is almost
//! everybody, lies in one allocation, name included.

use std::collections::VecDeque;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::name::{GroupName, UserName};
use crate::base::time::UnixTime;
use crate::engine::account::{Account, Contact, Token, TokenId, UserId};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::special::Special;
use crate::factor::oath::{Drift, Parameters};
use crate::store::fold::{Facts, TokenFacts};
use crate::store::keyring::Keyring;
use crate::store::seal::Purpose;
use crate::store::user_act::hash_keys;

/// A user.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) id: UserId,
    pub(super) disabled: bool,
    pub(super) failures: u32,
    pub(super) last_failure: UnixTime,
    pub(super) password_hash: Option<Arc<str>>,
    pub(super) contact: Option<Arc<Contact>>,
    pub(super) tokens: Tokens,
    pub(super) rare: Option<Box<Rare>>,
}

/// What few users have.
#[derive(Clone, Debug, Default)]
pub(super) struct Rare {
    pub(super) groups: Option<Arc<[GroupName]>>,
    pub(super) special: Option<Arc<Special>>,
}

impl Rare {
    /// In its box, where there is anything.
    pub(super) fn boxed(self) -> Option<Box<Rare>> {
        (self.groups.is_some() || self.special.is_some()).then(|| Box::new(self))
    }
}

/// A token of the user.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) id: TokenId,
    pub(super) enabled: bool,
    pub(super) parameters: Parameters,
    pub(super) last_step: Option<u64>,
    pub(super) drift: Option<Drift>,
    pub(super) expires: Expiry,
    pub(super) starts: Expiry,
    /// UTF-8.
    pub(super) serial: Short<22>,
    pub(super) sealed: Short<62>,
}

impl Held {
    pub(super) fn serial(&self) -> &str {
        #[expect(clippy::expect_used, reason = "made from a text in `rows`")]
        std::str::from_utf8(&self.serial).expect("a serial is UTF-8")
    }
}

/// A moment by the minute, in less room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry(u32);

impl Expiry {
    const NEVER: u32 = u32::MAX;
    const MINUTE: u64 = 60_000;

    /// The full minute before it.
    pub(super) fn of(moment: Option<UnixTime>) -> Expiry {
        Expiry(
            moment.and_then(|moment| u32::try_from(moment.0 / Expiry::MINUTE).ok()).unwrap_or(Expiry::NEVER),
        )
    }

    pub(super) fn moment(self) -> Option<UnixTime> {
        (self.0 != Expiry::NEVER).then(|| UnixTime(u64::from(self.0) * Expiry::MINUTE))
    }
}

/// The tokens of a user: one in place, any other number elsewhere.
#[derive(Clone, Debug)]
pub(super) enum Tokens {
    One(Held),
    Some(Box<[Held]>),
}

impl Default for Tokens {
    fn default() -> Tokens {
        Tokens::Some(Box::default())
    }
}

impl From<Vec<Held>> for Tokens {
    fn from(tokens: Vec<Held>) -> Tokens {
        match <[Held; 1]>::try_from(tokens) {
            Ok([held]) => Tokens::One(held),
            Err(tokens) => Tokens::Some(tokens.into()),
        }
    }
}

impl Deref for Tokens {
    type Target = [Held];

    fn deref(&self) -> &[Held] {
        match self {
            Tokens::One(held) => std::slice::from_ref(held),
            Tokens::Some(held) => held,
        }
    }
}

impl DerefMut for Tokens {
    fn deref_mut(&mut self) -> &mut [Held] {
        match self {
            Tokens::One(held) => std::slice::from_mut(held),
            Tokens::Some(held) => held,
        }
    }
}

/// Octets: up to `N` in place, more elsewhere.
#[derive(Clone, Debug)]
pub(super) enum Short<const N: usize> {
    Here(u8, [u8; N]),
    There(Box<[u8]>),
}

impl<const N: usize> From<&[u8]> for Short<N> {
    fn from(octets: &[u8]) -> Short<N> {
        let mut here = [0; N];
        match (u8::try_from(octets.len()), here.get_mut(..octets.len())) {
            (Ok(length), Some(place)) => {
                place.copy_from_slice(octets);
                Short::Here(length, here)
            }
            _ => Short::There(octets.into()),
        }
    }
}

impl<const N: usize> Deref for Short<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Short::Here(length, octets) => octets.get(..usize::from(*length)).unwrap_or_default(),
            Short::There(octets) => octets,
        }
    }
}

impl Seat {
    pub(super) fn special(&self) -> Option<&Arc<Special>> {
        self.rare.as_ref()?.special.as_ref()
    }

    pub(super) fn owns_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Whether somebody else might be taken for this user: at least where there is anything to be asked for.
    pub(super) fn may_be_resembled(&self) -> bool {
        self.owns_tokens() || self.contact.is_some() || self.special().is_some()
    }

    /// What a login is told. A seed that does not open is damage: nothing may rest on this user then.
    pub(super) fn answer(&self, query: &UserQuery, key: &Keyring, clock_suspect: bool) -> UserAnswer {
        let mut tokens = Vec::with_capacity(self.tokens.len());
        for held in self.tokens.iter() {
            let seed = if query.seeds {
                let Ok(seed) = key.open(Purpose::TokenSeed, held.serial(), &held.sealed) else {
                    tracing::error!(serial = held.serial(), "the sealed seed of a token is damaged");
                    return UserAnswer::Unavailable;
                };
                Some(seed)
            } else {
                None
            };
            tokens.push(Token {
                id: held.id,
                serial: held.serial().into(),
                enabled: held.enabled,
                parameters: held.parameters,
                last_step: held.last_step,
                drift: held.drift,
                expires: held.expires.moment(),
                starts: held.starts.moment(),
                seed,
            });
        }
        UserAnswer::Found(Account {
            id: self.id,
            name: query.user.clone(),
            disabled: self.disabled,
            password_hash: self.password_hash.clone(),
            contact: self.contact.clone(),
            failures: self.failures,
            last_failure: self.last_failure,
            tokens,
            groups: self.rare.as_ref().and_then(|rare| rare.groups.clone()),
            keys: self
                .special()
                .filter(|special| query.seeds && special.has_hashes())
                .map(|_| Box::new(hash_keys(key))),
            special: self.special().cloned(),
            resembles_another: false,
            clock_suspect,
        })
    }

    /// What guards look at.
    pub(super) fn facts(&self) -> Facts {
        let tokens = self
            .tokens
            .iter()
            .map(|held| TokenFacts {
                id: held.id,
                enabled: held.enabled,
                last_step: held.last_step,
                drift: held.drift,
            })
            .collect();
        Facts {
            user: self.id,
            disabled: self.disabled,
            failures: self.failures,
            last_failure: self.last_failure,
            tokens,
            special: self.special().cloned(),
        }
    }

    /// Takes over what rows have changed.
    pub(super) fn follow(&mut self, facts: &Facts) {
        (self.failures, self.last_failure) = (facts.failures, facts.last_failure);
        for (held, facts) in self.tokens.iter_mut().zip(&facts.tokens) {
            (held.last_step, held.drift) = (facts.last_step, facts.drift);
        }
        match &mut self.rare {
            Some(rare) => rare.special.clone_from(&facts.special),
            // Rows make something special of those whose factor they remember, or who report fraud.
            None => self.rare = Rare { special: facts.special.clone(), groups: None }.boxed(),
        }
    }
}

/// Users in memory: at most `limit`, the least lately asked for go first (the clock algorithm).
///
/// A user's key is a hash of the name, keyed so that nobody can find two names with one; should two meet all the same,
/// each pushes the other out.
pub(super) struct Cache {
    slots: dashmap::DashMap<u64, Box<Slot>, BuildHasherDefault<AsIs>>,
    hasher: RandomState,
    /// Every key of `slots` once, in the order in which the hand visits them.
    ring: Mutex<VecDeque<u64>>,
    limit: usize,
    /// Slots of an earlier epoch count as absent: this empties the cache without touching it.
    epoch: AtomicU32,
}

/// What [`Cache::read`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// The user, up to date.
    Here(T),
    /// Out of date, or somebody else with the same hash.
    Unsure,
    /// No trace of the user.
    Nobody,
}

impl<T> Found<T> {
    /// What was seen of a user who is here.
    pub(super) fn here(self) -> Option<T> {
        match self {
            Found::Here(seen) => Some(seen),
            Found::Unsure | Found::Nobody => None,
        }
    }
}

struct Slot {
    name: Short<30>,
    epoch: u32,
    touched: AtomicBool,
    seat: Seat,
}

/// The epoch of a slot that is out of date.
const STALE: u32 = 0;

/// The key is a hash already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, octets: &[u8]) {
        // No key is anything but a u64; right for any, if slow.
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }
}

impl Cache {
    pub(super) fn new(limit: usize) -> Cache {
        Cache {
            slots: dashmap::DashMap::default(),
            hasher: RandomState::new(),
            ring: Mutex::default(),
            limit: limit.max(1),
            epoch: AtomicU32::new(STALE + 1),
        }
    }

    /// Looks at a user that is here and up to date.
    pub(super) fn read<T>(&self, user: &UserName, look: impl FnOnce(&Seat) -> T) -> Found<T> {
        let Some(slot) = self.slots.get(&self.key(user.as_str())) else { return Found::Nobody };
        if !self.holds(&slot, user) {
            return Found::Unsure;
        }
        if !slot.touched.load(Ordering::Relaxed) {
            slot.touched.store(true, Ordering::Relaxed);
        }
        Found::Here(look(&slot.seat))
    }

    /// Changes a user that is here and up to date.
    pub(super) fn change(&self, user: &UserName, change: impl FnOnce(&mut Seat)) {
        let slot = self.slots.get_mut(&self.key(user.as_str()));
        if let Some(mut slot) = slot.filter(|slot| self.holds(slot, user)) {
            change(&mut slot.seat);
        }
    }

    /// Takes a user in; true if another was pushed out for it.
    pub(super) fn put(&self, user: &UserName, seat: Seat) -> bool {
        let name = Short::from(user.as_str().as_bytes());
        let slot = Box::new(Slot { name, epoch: self.epoch(), touched: AtomicBool::new(false), seat });
        let key = self.key(user.as_str());
        let mut ring = self.ring();
        if self.slots.insert(key, slot).is_some() {
            return false;
        }
        ring.push_back(key);
        let mut pushed_out = false;
        while ring.len() > self.limit {
            let Some(oldest) = ring.pop_front() else { break };
            let spare = self.slots.get(&oldest).is_some_and(|slot| {
                slot.epoch == self.epoch() && slot.touched.swap(false, Ordering::Relaxed)
            });
            if spare {
                ring.push_back(oldest);
            } else {
                self.slots.remove(&oldest);
                pushed_out = true;
            }
        }
        pushed_out
    }

    /// Whether another user would push one out.
    pub(super) fn is_full(&self) -> bool {
        self.ring().len() >= self.limit
    }

    /// The user is out of date.
    pub(super) fn drop_user(&self, user: &str) {
        if let Some(mut slot) = self.slots.get_mut(&self.key(user)) {
            slot.epoch = STALE;
        }
    }

    /// Everybody is out of date.
    pub(super) fn drop_all(&self) {
        let next = self.epoch.load(Ordering::Relaxed).wrapping_add(1);
        self.epoch.store(if next == STALE { STALE + 1 } else { next }, Ordering::Relaxed);
    }

    fn key(&self, user: &str) -> u64 {
        self.hasher.hash_one(user)
    }

    fn holds(&self, slot: &Slot, user: &UserName) -> bool {
        slot.epoch == self.epoch() && *slot.name == *user.as_str().as_bytes()
    }

    fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
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
            contact: None,
            tokens: Tokens::default(),
            rare: None,
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
        assert!(cache.read(&name(0), |_| ()).here().is_some());
        cache.put(&name(3), seat(3));
        let here: Vec<_> =
            (0..4).filter(|number| cache.read(&name(*number), |_| ()).here().is_some()).collect();
        assert_eq!(here, [0, 2, 3]);
    }

    #[test]
    fn what_is_out_of_date_is_not_given_out_and_takes_no_second_place() {
        let cache = Cache::new(2);
        for _ in 0..10 {
            cache.put(&name(1), seat(1));
            cache.drop_user("u1");
            assert_eq!(cache.read(&name(1), |_| ()), Found::Unsure);
        }
        cache.put(&name(2), seat(2));
        cache.put(&name(1), seat(1));
        assert_eq!(
            (cache.read(&name(1), |_| ()), cache.read(&name(3), |_| ())),
            (Found::Here(()), Found::Nobody)
        );
        cache.drop_all();
        assert_eq!(cache.read(&name(1), |_| ()), Found::Unsure);
    }

    #[test]
    fn octets_that_fit_are_in_place_and_others_whole_too() {
        for length in [0, 1, 21, 22, 23, 300] {
            let octets = vec![7; length];
            let short = Short::<22>::from(&*octets);
            assert_eq!(*short, *octets);
            assert_eq!(matches!(short, Short::Here(..)), length <= 22);
        }
    }

    #[test]
    fn a_user_with_one_token_takes_little_room() {
        // A million of them: with table and ring some 270 octets each.
        assert!(size_of::<Slot>() <= 232, "{}", size_of::<Slot>());
    }

    #[test]
    fn a_name_with_the_hash_of_another_is_not_answered_for() {
        let cache = Cache::new(2);
        cache.put(&name(1), seat(1));
        let slot = cache.slots.get(&cache.key("u1")).unwrap();
        assert!(cache.holds(&slot, &name(1)) && !cache.holds(&slot, &name(2)));
    }
}
