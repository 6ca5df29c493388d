//! Passwords that radmfa keeps itself, as argon2id hashes in the store.
//!
//! A hash costs some 20 ms and 19 MiB on purpose. So it is computed off the runtime, two at a time at most in the whole
//! process, and those that wait are bounded: a flood of logins costs two cores' attention at worst, never the memory.
//! A user at a station who sent too many wrong ones is rejected unlooked at for a while (`throttle.rs`).
//!
//! Somebody whom the store does not know, or who has no local password, costs the same as a wrong password does while a
//! turn is free, and otherwise nothing: made-up names keep nobody waiting for longer than one hash takes. How soon an
//! answer is there tells nobody which it was, since no Reject leaves before its time.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::throttle::{Refusal, Throttle};
use super::unlocked;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::system::{Clock, Entropy, random};
use crate::base::time::Tick;
use crate::engine::question::{PrimaryAnswer, PrimaryCheck, UserAnswer, UserQuery};
use crate::store::Logins;
use crate::wire::{AccessRequest, AttributeList};

/// 19 MiB of memory, two passes, one lane: what the OWASP Password Storage Cheat Sheet asks of argon2id at least.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Octets of salt (RFC 9106 §3.1) and of the hash.
const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;

/// How many hashes are computed at once.
const AT_ONCE: usize = 2;
/// How many logins may wait for their turn; more are turned away. Some two seconds' work.
const WAITING_MAX: usize = 128;
/// How often it is said that some were turned away: not once for each of a flood.
const SAID_EVERY: Duration = Duration::from_mins(1);

/// What is compared when there is nothing to compare with. Its password is unknown to anybody, this process included.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$bm9ib2R5J3Mgb3duIHNhbA$\
         n8J1yJZ0cU0m3Wq8YkQ7rA5tF2hVx9LbEoGdPi6SuNI"
    )
});

/// The hash of `password` as a PHC string, under a fresh salt.
#[expect(clippy::missing_panics_doc, reason = "it cannot")]
pub fn hash_password(password: &Secret, entropy: &mut dyn Entropy) -> String {
    let salt: [u8; SALT_LEN] = random(entropy);
    #[expect(
        clippy::expect_used,
        reason = "a salt of 16 octets suits argon2, and a password is far below 4 GiB"
    )]
    let hash = hasher().hash_password_with_salt(password.expose(), &salt).expect("argon2 takes this salt");
    hash.to_string()
}

/// Whether `password` is the one that `hash`, a PHC string, was made of. A string that is no argon2 hash matches
/// nothing. Blocks for some 20 ms.
pub fn verify_password(password: &Secret, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| hasher().verify_password(password.expose(), &hash).is_ok())
}

/// Whether `hash` is one that [`verify_password`] can compare with.
pub fn is_password_hash(hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Algorithm::new(hash.algorithm).is_ok() && Params::try_from(&hash).is_ok() && hash.hash.is_some()
    })
}

fn hasher() -> Argon2<'static> {
    #[expect(clippy::expect_used, reason = "constants within the bounds of RFC 9106 §3.1")]
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_LEN)).expect("parameters within bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Whose turn it is to hash, for the whole process.
pub(super) struct Turns {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    throttle: Throttle,
    said_full: Said,
    said_throttled: Said,
}

impl Turns {
    pub(super) fn new() -> Turns {
        Turns {
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: AtomicUsize::new(0),
            throttle: Throttle::new(),
            said_full: Said::default(),
            said_throttled: Said::default(),
        }
    }

    /// Waits for a turn; `None` when too many wait already.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        let _place = Place::take(&self.waiting)?;
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// A turn if one is free and nobody waits for it.
    fn take_idle(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is fair: a permit that somebody waits for is never free.
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }
}

/// When something was last said; 0 before the first time.
#[derive(Default)]
struct Said(AtomicU64);

impl Said {
    /// Whether to say it at `now`; true once in [`SAID_EVERY`].
    fn may_say(&self, now: Tick) -> bool {
        let last = self.0.load(Relaxed);
        (last == 0 || now.since(Tick(last)) >= SAID_EVERY)
            && self.0.compare_exchange(last, now.0, Relaxed, Relaxed).is_ok()
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} waiting", self.waiting.load(Relaxed))
    }
}

/// A place in the queue, left when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Place<'a>> {
        let place = Place(waiting);
        (waiting.fetch_add(1, Relaxed) < WAITING_MAX).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Compares passwords with the hashes in the store.
pub(super) struct Local {
    logins: Arc<dyn Logins>,
    turns: Arc<Turns>,
    clock: Arc<dyn Clock>,
}

impl Local {
    pub(super) fn new(logins: Arc<dyn Logins>, turns: Arc<Turns>, clock: Arc<dyn Clock>) -> Local {
        Local { logins, turns, clock }
    }

    pub(super) async fn check(&self, check: PrimaryCheck) -> PrimaryAnswer {
        let patience = check.answer_by.since(self.clock.mono());
        tokio::time::timeout(patience, self.compare(check)).await.unwrap_or(PrimaryAnswer::Unavailable)
    }

    async fn compare(&self, check: PrimaryCheck) -> PrimaryAnswer {
        let PrimaryCheck { user, password, packet, .. } = check;
        let query = UserQuery { user, seeds: false, look_alikes: false };
        let mut forgiven = None;
        let hash = match self.logins.find(&query).get().await {
            UserAnswer::Found(account) => {
                forgiven = unlocked(&account, &*self.clock);
                account.password_hash
            }
            UserAnswer::Unknown { .. } => None,
            UserAnswer::Unavailable => return PrimaryAnswer::Unavailable,
        };
        match hash.filter(|hash| is_password_hash(hash)) {
            Some(hash) => {
                // As the client wrote it; a request that cannot be read again has none.
                let request = AccessRequest::view(&*packet).ok();
                let station = request.and_then(|request| request.calling_station_id());
                if let Some(moment) = forgiven {
                    self.turns.throttle.forgive(&query.user, station, moment);
                }
                self.compare_known(&query.user, station, password, hash).await
            }
            None => self.compare_nobody(password).await,
        }
    }

    async fn compare_known(
        &self,
        user: &UserName,
        station: Option<&[u8]>,
        password: Secret,
        hash: Arc<str>,
    ) -> PrimaryAnswer {
        let turns = &*self.turns;
        let attempt = match turns.throttle.begin(user, station, self.clock.mono()) {
            Ok(attempt) => attempt,
            Err(Refusal::Wait) => {
                if turns.said_throttled.may_say(self.clock.mono()) {
                    tracing::warn!(%user, "too many wrong local passwords from one station; it has to wait");
                }
                return rejected();
            }
            Err(Refusal::Crowd) => return self.turn_away(),
        };
        let Some(turn) = turns.take().await else { return self.turn_away() };
        if attempt.is_void(self.clock.mono()) {
            return rejected();
        }
        match hashed(turn, move || verify_password(&password, &hash)).await {
            Some(right) if attempt.settle(right, self.clock.mono()) => {
                PrimaryAnswer::Accepted { attributes: AttributeList::new() }
            }
            Some(_) => rejected(),
            None => PrimaryAnswer::Unavailable,
        }
    }

    async fn compare_nobody(&self, password: Secret) -> PrimaryAnswer {
        if let Some(turn) = self.turns.take_idle() {
            // Whatever the comparison says: nobody has no password.
            hashed(turn, move || verify_password(&password, &NOBODY)).await;
        }
        rejected()
    }

    fn turn_away(&self) -> PrimaryAnswer {
        if self.turns.said_full.may_say(self.clock.mono()) {
            tracing::warn!("too many local passwords wait to be checked; logins are turned away");
        }
        PrimaryAnswer::Unavailable
    }
}

fn rejected() -> PrimaryAnswer {
    PrimaryAnswer::Rejected { attributes: AttributeList::new() }
}

/// What `compare` says, off the runtime; `None` where it cannot run. The turn goes along: when nobody waits any more,
/// the hash is computed to its end nevertheless.
async fn hashed(turn: OwnedSemaphorePermit, compare: impl FnOnce() -> bool + Send + 'static) -> Option<bool> {
    let compared = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        compare()
    });
    compared.await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::UnixTime;

    fn entropy() -> Fixed {
        Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 }
    }

    #[test]
    fn a_password_matches_its_own_hash_alone_and_each_hash_has_its_salt() {
        let mut entropy = entropy();
        let password = Secret::from("correct horse");
        let hash = hash_password(&password, &mut entropy);
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(is_password_hash(&hash));
        assert!(verify_password(&password, &hash));
        assert!(!verify_password(&Secret::from("correct horsf"), &hash));
        assert_ne!(hash_password(&password, &mut entropy), hash);
    }

    #[test]
    fn a_hash_of_other_parameters_still_serves() {
        let params = Params::new(8, 1, 1, None).unwrap();
        let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_with_salt(b"old", b"some old salt")
            .unwrap()
            .to_string();
        assert!(is_password_hash(&hash));
        assert!(verify_password(&Secret::from("old"), &hash));
    }

    #[test]
    fn what_is_no_hash_matches_nothing() {
        for text in
            ["", "x", "$", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ", "$2b$12$abcdefghijklmnopqrstuv"]
        {
            assert!(!is_password_hash(text), "{text}");
            assert!(!verify_password(&Secret::from("x"), text), "{text}");
        }
    }

    #[test]
    fn nobody_costs_what_anybody_costs() {
        let nobody = PasswordHash::new(&NOBODY).unwrap();
        let params = Params::try_from(&nobody).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (MEMORY_KIB, PASSES, LANES));
        assert_eq!(nobody.salt.unwrap().len(), SALT_LEN);
        assert_eq!(nobody.hash.unwrap().len(), HASH_LEN);
    }

    #[test]
    fn a_flood_that_is_turned_away_is_said_once_a_minute() {
        let said = Said::default();
        let at = |seconds| Tick(1) + Duration::from_secs(seconds);
        let said = [0, 0, 59, 60, 61, 119, 120].map(|seconds| said.may_say(at(seconds)));
        assert_eq!(said, [true, false, false, true, false, false, true]);
    }

    #[tokio::test]
    async fn two_have_their_turn_the_others_wait_and_too_many_are_turned_away() {
        let turns = Turns::new();
        let first = turns.take().await.unwrap();
        let second = turns.take().await.unwrap();
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(turns.take())).collect();
        for wait in &mut waiting {
            let pending = std::future::poll_fn(|context| {
                std::task::Poll::Ready(wait.as_mut().poll(context).is_pending())
            });
            assert!(pending.await);
        }
        assert!(turns.take().await.is_none());
        drop(first);
        assert!(waiting.remove(0).await.is_some());
        drop(waiting);
        assert_eq!(turns.waiting.load(Relaxed), 0);
        drop(second);
    }
}
