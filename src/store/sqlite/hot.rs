//! The fold of the rows after the watermark: what the state tables do not say yet.
//!
//! Rows are folded in the order of their sequence, each exactly once, whoever brings them: the writer its own after
//! their commit, anybody else those found in the database. Values are absolute: where this has one for a user or
//! token, the state tables' are out of date.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rusqlite::{Connection, OptionalExtension as _};

use super::rows::{self, CHAIN, int, nat};
use super::seat::Seat;
use crate::base::time::UnixTime;
use crate::engine::record::Tally;
use crate::factor::oath::Drift;
use crate::store::chain::{GENESIS, Mac};
use crate::store::fold::tally;
use crate::store::packed::{self, Effects};

/// A map by the store's own numbers of users or tokens.
pub(super) type ById<T> = HashMap<i64, T, BuildHasherDefault<IdHasher>>;

/// Spreads numbers that the store itself counted up; nobody else can choose them, so no key is needed.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_i64(&mut self, id: i64) {
        // 2⁶⁴ by the golden ratio: consecutive numbers differ in their upper bits, too, which tables look at.
        self.0 = id.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, octets: &[u8]) {
        // No key is anything but an i64; right for any.
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The fold.
#[derive(Debug, Default)]
pub(super) struct Hot {
    /// The newest row folded; the next one appended has the next number.
    pub(super) head: u64,
    /// What it links the next one to.
    pub(super) mac: Mac,
    /// Start-up folds from here.
    pub(super) watermark: u64,
    pub(super) users: ById<Count>,
    pub(super) tokens: ById<Spent>,
}

/// Failures of a user after row `seq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) failures: u32,
    pub(super) last_failure: UnixTime,
    pub(super) seq: u64,
}

/// The last step of a token after row `seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) step: u64,
    /// `None` where no row after the watermark says anything of it.
    pub(super) drift: Option<Drift>,
    pub(super) seq: u64,
}

impl Hot {
    /// The fold as the database has it now. Call it in a transaction.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Hot> {
        let watermark = rows::watermark(connection)?;
        let mut hot = Hot { head: watermark, watermark, ..Hot::default() };
        let mut statement =
            connection.prepare_cached("SELECT mac FROM event WHERE chain = ?1 AND seq = ?2")?;
        let mac = statement.query_row([CHAIN, int(watermark)], |row| rows::mac(row, 0)).optional()?;
        hot.mac = mac.unwrap_or(GENESIS);
        hot.extend(connection, |_| {})?;
        Ok(hot)
    }

    /// Folds every row after the head, and names their users to `touched`. Call it in a transaction.
    pub(super) fn extend(
        &mut self,
        connection: &Connection,
        mut touched: impl FnMut(&str),
    ) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "SELECT seq, body, person, mac FROM event WHERE chain = ?1 AND seq > ?2 ORDER BY seq",
        )?;
        let mut found = statement.query([CHAIN, int(self.head)])?;
        while let Some(row) = found.next()? {
            let seq = nat(row.get(0)?);
            let effect = packed::effects(row.get_ref(1)?.as_blob()?).map_err(|_| rows::odd(1))?;
            let base = match effect.user {
                Some(user) if effect.tally != Tally::Keep && !self.users.contains_key(&user) => {
                    state_of(connection, user)?
                }
                _ => Count::default(),
            };
            self.fold(seq, &effect, base);
            self.mac = rows::mac(row, 3)?;
            if let Ok(Some(user)) = packed::user(row.get_ref(2)?.as_blob()?) {
                touched(user);
            }
        }
        Ok(())
    }

    /// Folds row `seq` unless it is folded already; `base` is what the user's failures were before it, where this has
    /// nothing newer.
    pub(super) fn fold(&mut self, seq: u64, effect: &Effects, base: Count) {
        if seq <= self.head {
            return;
        }
        self.head = seq;
        // Most rows clear what is clear already: nothing to remember, nothing to write down.
        let idle = effect.tally == Tally::Clear && base.failures == 0;
        let user = effect.user.filter(|user| match effect.tally {
            Tally::Keep => false,
            _ => !idle || self.users.contains_key(user),
        });
        if let Some(user) = user {
            let count = self.users.entry(user).or_insert(base);
            // A snapshot that was cut short may know rows after the watermark already.
            if seq > count.seq {
                tally(effect.tally, effect.time, &mut count.failures, &mut count.last_failure);
                count.seq = seq;
            }
        }
        if let Some((token, step)) = effect.spent {
            let spent = self.tokens.entry(token).or_insert(Spent { step, drift: None, seq });
            *spent = Spent { step: spent.step.max(step), drift: effect.drift.or(spent.drift), seq };
        }
    }

    /// Puts what the state tables do not say yet onto `seat`, as just read from them.
    pub(super) fn overlay(&self, seat: &mut Seat) {
        if let Some(count) = self.users.get(&seat.id.0) {
            (seat.failures, seat.last_failure) = (count.failures, count.last_failure);
        }
        for held in seat.tokens.iter_mut() {
            if let Some(spent) = self.tokens.get(&held.id.0) {
                held.last_step = held.last_step.max(Some(spent.step));
                held.drift = spent.drift.or(held.drift);
            }
        }
    }

    /// How many rows start-up would have to fold.
    pub(super) fn length(&self) -> u64 {
        self.head - self.watermark
    }

    /// The state tables say everything up to `watermark` now.
    pub(super) fn settle(&mut self, watermark: u64) {
        self.watermark = watermark;
        self.users.retain(|_, count| count.seq > watermark);
        self.tokens.retain(|_, spent| spent.seq > watermark);
        if self.users.len() < self.users.capacity() / 8 {
            self.users.shrink_to_fit();
        }
        if self.tokens.len() < self.tokens.capacity() / 8 {
            self.tokens.shrink_to_fit();
        }
    }
}

fn state_of(connection: &Connection, user: i64) -> rusqlite::Result<Count> {
    let mut statement =
        connection.prepare_cached("SELECT failures, last_failure, seq FROM user_state WHERE user = ?1")?;
    let found = statement.query_row([user], |row| {
        Ok(Count { failures: row.get(0)?, last_failure: UnixTime(nat(row.get(1)?)), seq: nat(row.get(2)?) })
    });
    Ok(found.optional()?.unwrap_or_default())
}
