//! What a running server knows of its store: the users in memory and the fold of the newest rows, kept in step with
//! what other processes write.
//!
//! Invariants: a value is shown only after it is durable; a user that a command changed is read anew before the next
//! login that starts after the command returned. [`FRESH`] makes the second cheap: a look at the `change` log is good
//! for that long, and a command waits that long after its commit before it returns.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::census::Census;
use super::hot::Hot;
use super::keys;
use super::rows::{self, int, nat};
use super::seat::{Cache, Found, Seat};
use super::strangers::Strangers;
use crate::base::name::UserName;
use crate::base::time::Tick;
use crate::engine::account::Account;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::store::keyring::Keyring;

/// For how long a look at the `change` log is good.
pub(super) const FRESH: Duration = Duration::from_millis(2);

pub(super) struct View {
    pub(super) cache: Cache,
    pub(super) strangers: Strangers,
    census: Census,
    /// What a rekey brings is learnt here.
    keys: Keyring,
    shared: Mutex<Shared>,
    /// When the look began that everything here rests on, in ticks; [`NEVER`] before the first.
    looked: AtomicU64,
    /// Our own clock seems to be off: [`clocks`](super::clocks).
    suspect: AtomicBool,
}

const NEVER: u64 = u64::MAX;

/// What changes together.
pub(super) struct Shared {
    pub(super) hot: Hot,
    /// The newest row of `change` that was acted on.
    change: u64,
    /// Goes up whenever a user read before may be out of date without the fold showing it.
    generation: u64,
}

impl View {
    /// The view of a server that starts. Call it in a transaction.
    pub(super) fn load(connection: &Connection, limit: usize, keys: Keyring) -> rusqlite::Result<View> {
        let hot = Hot::load(connection)?;
        let shared = Shared { hot, change: newest_change(connection)?, generation: 0 };
        Ok(View {
            cache: Cache::new(limit),
            strangers: Strangers::default(),
            census: Census::default(),
            keys,
            shared: Mutex::new(shared),
            looked: AtomicU64::new(NEVER),
            suspect: AtomicBool::new(false),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing panics while it is held; should it, the fold is complete up to its own head.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last look at the `change` log is still good at `now`.
    pub(super) fn is_fresh(&self, now: Tick) -> bool {
        let looked = self.looked.load(Ordering::Acquire);
        looked != NEVER && now.since(Tick(looked)) < FRESH
    }

    /// Looks at the `change` log. `now` is a moment before this call.
    pub(super) fn look(&self, connection: &Connection, now: Tick) -> rusqlite::Result<Seen> {
        let newest = newest_change(connection)?;
        let mut seen = Seen::Nothing;
        if newest != self.lock().change {
            let transaction = connection.unchecked_transaction()?;
            seen = self.catch_up(&transaction)?;
            transaction.commit()?;
        }
        self.looked.store(now.0, Ordering::Release);
        Ok(seen)
    }

    /// Folds what others appended and drops whom they changed. Call it in a transaction.
    pub(super) fn catch_up(&self, connection: &Connection) -> rusqlite::Result<Seen> {
        let mut shared = self.lock();
        let Shared { hot, change, generation } = &mut *shared;
        // First, so that no error on the way leaves somebody's old reading in place.
        *generation += 1;
        self.strangers.forget();
        hot.extend(connection, |user| self.cache.drop_user(user))?;
        let newest = newest_change(connection)?;
        let mut statement = connection.prepare_cached("SELECT user FROM change WHERE seq > ?1")?;
        let mut changes = statement.query([int(*change)])?;
        let mut count = 0;
        let mut everybody = false;
        while let Some(row) = changes.next()? {
            count += 1;
            match row.get_ref(0)?.as_str_or_null().unwrap_or(None) {
                Some(user) => {
                    self.cache.drop_user(user);
                    everybody |= !self.census.changed(user);
                }
                None => everybody = true,
            }
        }
        // The log is pruned: somebody who was away for long has lost its place in it.
        everybody |= count != newest.saturating_sub(*change);
        if everybody {
            self.census.spoil();
            self.cache.drop_all();
            self.keys.learn(&keys::wrapped(connection)?);
        }
        // Somebody with a newer snapshot may have been here first.
        *change = newest.max(*change);
        Ok(if everybody { Seen::Everybody } else { Seen::Somebody })
    }

    /// The answer to `query`, where memory has it.
    pub(super) fn answer(&self, query: &UserQuery, key: &Keyring) -> Option<UserAnswer> {
        match self.cache.read(&query.user, |seat| seat.answer(query, key, self.clock_suspect())) {
            Found::Here(UserAnswer::Found(account)) if query.look_alikes && account.tokens.is_empty() => {
                let resembles_another = self.resembles(&query.user)?;
                Some(UserAnswer::Found(Account { resembles_another, ..account }))
            }
            Found::Here(answer) => Some(answer),
            found => {
                let nobody = matches!(found, Found::Nobody) && self.census.is_nobody(&query.user);
                if !nobody && !self.strangers.get(&query.user, query.look_alikes)?.unknown {
                    return None;
                }
                let resembles = query.look_alikes && self.resembles(&query.user)?;
                Some(UserAnswer::Unknown { resembles })
            }
        }
    }

    /// Whether somebody who is asked for a factor looks like `user`, who owns no token; `None` where the database has to be asked.
    fn resembles(&self, user: &UserName) -> Option<bool> {
        if self.census.resembles_nobody(user) {
            return Some(false);
        }
        self.strangers.get(user, true)?.resembles
    }

    /// Whether memory holds everybody.
    #[cfg(test)]
    pub(super) fn holds_everybody(&self) -> bool {
        self.census.is_whole()
    }

    /// Whether our own clock seems to be off.
    pub(super) fn clock_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    /// Takes over what a look at the tokens' clocks found; answers what was thought before.
    pub(super) fn suspect_clock(&self, suspect: bool) -> bool {
        self.suspect.swap(suspect, Ordering::Relaxed)
    }

    /// Reads a user from the database and takes it in.
    pub(super) fn read_in(&self, connection: &Connection, user: &UserName) -> rusqlite::Result<Option<Seat>> {
        loop {
            let before = self.lock().generation;
            let transaction = connection.unchecked_transaction()?;
            let seat = rows::seat(&transaction, user)?;
            transaction.commit()?;
            let shared = self.lock();
            if shared.generation != before {
                continue;
            }
            let Some(mut seat) = seat else { return Ok(None) };
            shared.hot.overlay(&mut seat);
            self.take_in(user, seat.clone());
            return Ok(Some(seat));
        }
    }

    /// Takes a user into memory.
    pub(super) fn take_in(&self, user: &UserName, seat: Seat) {
        if self.cache.put(user, seat) {
            self.census.spoil();
        }
    }

    /// Reads up to `count` users after number `after` and takes them in; with the last of them, memory holds everybody.
    /// Answers the last one's number, `None` when there are no more or no room.
    pub(super) fn warm(
        &self,
        connection: &Connection,
        after: i64,
        count: usize,
    ) -> rusqlite::Result<Option<i64>> {
        loop {
            let before = self.lock().generation;
            let transaction = connection.unchecked_transaction()?;
            let seats = rows::seats(&transaction, after, count)?;
            transaction.commit()?;
            let last = seats.last().map(|(_, seat)| seat.id.0);
            let shared = self.lock();
            if shared.generation != before {
                continue;
            }
            if after == 0 {
                self.census.begin();
            }
            for (name, mut seat) in seats {
                if self.cache.is_full() {
                    return Ok(None);
                }
                let Ok(name) = UserName::canonical(name.as_bytes()) else { continue };
                shared.hot.overlay(&mut seat);
                if seat.may_be_resembled() {
                    self.census.owner(&name);
                }
                self.take_in(&name, seat);
            }
            if last.is_none() {
                self.census.end();
            }
            return Ok(last);
        }
    }
}

impl Shared {
    /// Rows up to `watermark` are in the state tables now: whoever read those tables before must read again.
    pub(super) fn settle(&mut self, watermark: u64) {
        self.generation += 1;
        self.hot.settle(watermark);
    }
}

/// What a look at the `change` log found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// No change.
    Nothing,
    /// Changes to some users.
    Somebody,
    /// A change to so many that all are read anew.
    Everybody,
}

pub(super) fn newest_change(connection: &Connection) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT coalesce(max(seq), 0) FROM change")?;
    statement.query_row([], |row| row.get(0).map(nat))
}
