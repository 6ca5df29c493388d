//! The trail of a store file, read in order, checkpointed, pruned and erased from. Each change is a short transaction.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::admin::{SqliteAdmin, Trouble};
use super::rows::{self, CHAIN, int, nat};
use super::tables::{log_change, serials_of, user_id};
use super::writer::write_states;
use super::{rollup, verify};
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::engine::account::UserId;
use crate::engine::reason::Reason;
use crate::store::act::Act;
use crate::store::admin::{AdminFault, AuditRow};
use crate::store::chain::{self, GENESIS, Mac};
use crate::store::packed;
use crate::store::trail::{Anchor, Checkpoint, Erased, Trail, Verified};

/// Rows looked at in one transaction.
const STEP: usize = 2_000;

impl Trail for SqliteAdmin {
    fn page(&mut self, after: u64, limit: usize) -> Result<Vec<AuditRow>, AdminFault> {
        let rows = || -> rusqlite::Result<Vec<AuditRow>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT seq, body, person FROM event WHERE chain = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map([CHAIN, int(after), limit], rows::audit_row)?;
            rows.collect()
        };
        self.blame(rows().map_err(Trouble::Sql))
    }

    fn before(&mut self, time: UnixTime) -> Result<u64, AdminFault> {
        let found = before(&self.connection, time.0.saturating_sub(DISORDER_MS));
        self.blame(found.map_err(Trouble::Sql))
    }

    fn newest(&mut self) -> Result<u64, AdminFault> {
        let newest = ends(&self.connection);
        self.blame(newest.map(|[_, newest]| newest).map_err(Trouble::Sql))
    }

    fn verify(
        &mut self,
        others: &[Checkpoint],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verified, AdminFault> {
        if others.iter().any(|other| !other.is_ours(&self.file.key)) {
            let what = "a checkpoint that was given is forged, or another store's".to_owned();
            return Err(AdminFault::Invalid(what));
        }
        self.blame(verify::run(&self.connection, &self.file.key, others, progress).map_err(Trouble::Sql))
    }

    fn made(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.is_ours(&self.file.key)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, AdminFault> {
        let (now, key) = (self.clock.unix(), self.file.key.clone());
        let made = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let (count, head) = rows::head(&transaction)?;
            let last = "SELECT max(seq) FROM checkpoint WHERE chain = ?1";
            let last: Option<i64> = transaction.query_row(last, [CHAIN], |row| row.get(0))?;
            if count == 0 || last == Some(int(count)) {
                return Ok(None);
            }
            let made = Checkpoint::new(&key, count, now, head);
            transaction.execute(
                "REPLACE INTO checkpoint (chain, seq, time, head, sign) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![CHAIN, int(count), int(now.0), made.head, made.signature()],
            )?;
            transaction.commit()?;
            Ok(Some(made))
        })();
        self.blame(made.map_err(Trouble::Sql))
    }

    fn prune(&mut self, time: UnixTime, most: usize) -> Result<usize, AdminFault> {
        let pruned = self.try_prune(time, most);
        self.blame(pruned)
    }

    fn erase_user(
        &mut self,
        name: &UserName,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Erased, AdminFault> {
        let erased = self.try_erase(name, progress);
        self.blame(erased)
    }

    fn forwarded(&mut self) -> Result<Option<u64>, AdminFault> {
        let sql = "SELECT value FROM meta WHERE name = 'forwarded'";
        let found = self.connection.query_row(sql, [], |row| row.get(0).map(nat)).optional();
        self.blame(found.map_err(Trouble::Sql))
    }

    fn set_forwarded(&mut self, sequence: u64) -> Result<(), AdminFault> {
        let sql = "REPLACE INTO meta (name, value) VALUES ('forwarded', ?1)";
        let kept = self.connection.execute(sql, [int(sequence)]);
        self.blame(kept.map(drop).map_err(Trouble::Sql))
    }
}

impl SqliteAdmin {
    fn try_prune(&mut self, time: UnixTime, most: usize) -> Result<usize, Trouble> {
        let (now, key) = (self.clock.unix(), self.file.key.clone());
        let [first, newest] = ends(&self.connection)?;
        if first == 0 || first == newest || !is_before(&self.connection, first, time)? {
            return Ok(0);
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if rows::watermark(&transaction)? <= first {
            settle(&transaction)?;
        }
        let anchor = anchor(&transaction)?;
        if anchor.is_some_and(|anchor| !anchor.is_ours(&key)) {
            let what = "the trail's anchor is forged, so nothing is pruned: see `radmfa audit verify`";
            return Err(AdminFault::Invalid(what.to_owned()).into());
        }
        let (mut sequence, mut mac) = start(anchor.as_ref());
        let mut pruned = Vec::new();
        {
            let mut statement = transaction.prepare_cached(
                "SELECT seq, body, person, mac FROM event WHERE chain = ?1 AND seq < ?2 ORDER BY seq LIMIT ?3",
            )?;
            // The newest row stays, and so does the one that start-up folds from.
            let end = int(rows::watermark(&transaction)?.min(newest));
            let mut found = statement.query([CHAIN, end, i64::try_from(most).unwrap_or(i64::MAX)])?;
            while let Some(row) = found.next()? {
                let octets = |column| -> rusqlite::Result<&[u8]> { Ok(row.get_ref(column)?.as_blob()?) };
                let (seq, body) = (nat(row.get(0)?), octets(1)?);
                let linked = chain::link(&mac, seq, body, &packed::commitment(octets(2)?));
                if seq != sequence + 1 || linked != rows::mac(row, 3)? {
                    let what = format!(
                        "the trail is broken at row {seq}, so nothing is pruned: see `radmfa audit verify`"
                    );
                    return Err(AdminFault::Invalid(what).into());
                }
                if packed::time(body).map_err(|_| rows::odd(1))? >= time {
                    break;
                }
                (sequence, mac) = (seq, linked);
                pruned.push(rows::audit_row(row)?);
            }
        }
        let count = pruned.len();
        if count > 0 {
            rollup::prune(&transaction, &pruned)?;
            let anchor = Anchor::new(&key, sequence, mac, now);
            transaction
                .execute("DELETE FROM event WHERE chain = ?1 AND seq <= ?2", [CHAIN, int(sequence)])?;
            transaction
                .execute("DELETE FROM checkpoint WHERE chain = ?1 AND seq < ?2", [CHAIN, int(sequence)])?;
            transaction.execute(
                "REPLACE INTO anchor (chain, seq, mac, time, sign) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![CHAIN, int(sequence), anchor.mac, int(anchor.time.0), anchor.sign],
            )?;
        }
        transaction.commit()?;
        Ok(count)
    }

    fn try_erase(&mut self, name: &UserName, progress: &mut dyn FnMut(u64, u64)) -> Result<Erased, Trouble> {
        // What is taken out is written over, not only let go.
        self.connection.pragma_update(None, "secure_delete", true)?;
        let [first, newest] = ends(&self.connection)?;
        let total = newest - first.saturating_sub(1).min(newest);
        let known = user_id(&self.connection, name)?;
        let mut erased = Erased::default();
        let mut after = first.saturating_sub(1);
        if known.is_some() {
            erased.tokens = self.remove_erased(name)?;
        }
        while after < newest {
            let (last, found) = whose(&self.connection, name, after, newest)?;
            if !found.is_empty() {
                let transaction =
                    self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let mut statement = transaction
                    .prepare_cached("UPDATE event SET person = ?3 WHERE chain = ?1 AND seq = ?2")?;
                for (seq, left) in &found {
                    erased.rows += 1;
                    statement.execute(params![CHAIN, int(*seq), left])?;
                }
                drop(statement);
                transaction.commit()?;
            }
            after = last;
            progress(total - (newest - after), total);
        }
        if known.is_none() && erased.rows == 0 {
            return Err(AdminFault::no_user(name).into());
        }
        if known.is_none() {
            // With the user, the row was written as the user went.
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            self.pen.act(&transaction, Act::new(Reason::UserErased))?;
            transaction.commit()?;
        }
        rollup::forget(&mut self.connection, name.as_str())?;
        self.connection.execute("UPDATE change SET user = NULL WHERE user = ?1", [name.as_str()])?;
        // The log still has the old pages; a reader in the way leaves them to the next checkpoint.
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        self.connection.pragma_update(None, "secure_delete", false)?;
        Ok(erased)
    }

    /// Removes the user; the row about it names nobody.
    fn remove_erased(&mut self, name: &UserName) -> Result<Vec<Arc<str>>, Trouble> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let id = user_id(&transaction, name)?.ok_or_else(|| AdminFault::no_user(name))?;
        let tokens = serials_of(&transaction, id)?;
        super::tables::delete_user(&transaction, id)?;
        self.pen.act(&transaction, Act::new(Reason::UserErased).on_number(UserId(id)))?;
        log_change(&transaction, Some(name))?;
        transaction.commit()?;
        std::thread::sleep(super::view::FRESH);
        Ok(tokens)
    }
}

/// A clock that was set back by less disorders nothing that is looked for by time.
const DISORDER_MS: u64 = 3_600_000;

/// The first and the newest row's number; both 0 where there is none.
pub(super) fn ends(connection: &Connection) -> rusqlite::Result<[u64; 2]> {
    let sql = "SELECT coalesce(min(seq), 0), coalesce((SELECT max(seq) FROM event WHERE chain = ?1), 0)
        FROM event WHERE chain = ?1";
    connection.prepare_cached(sql)?.query_row([CHAIN], |row| Ok([nat(row.get(0)?), nat(row.get(1)?)]))
}

pub(super) fn anchor(connection: &Connection) -> rusqlite::Result<Option<Anchor>> {
    let sql = "SELECT seq, mac, time, sign FROM anchor WHERE chain = ?1";
    let anchor = connection.prepare_cached(sql)?.query_row([CHAIN], |row| {
        Ok(Anchor {
            sequence: nat(row.get(0)?),
            mac: rows::mac(row, 1)?,
            time: UnixTime(nat(row.get(2)?)),
            sign: rows::mac(row, 3)?,
        })
    });
    anchor.optional()
}

/// A row's number and what is left of its person.
type Left = (u64, Vec<u8>);

/// The rows of `name` after number `after`, with what is left of them; and how far was looked.
fn whose(
    connection: &Connection,
    name: &UserName,
    after: u64,
    newest: u64,
) -> rusqlite::Result<(u64, Vec<Left>)> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, person FROM event WHERE chain = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4",
    )?;
    let step = i64::try_from(STEP).unwrap_or(i64::MAX);
    let mut rows = statement.query([CHAIN, int(after), int(newest), step])?;
    let (mut last, mut count, mut found) = (newest, 0, Vec::new());
    while let Some(row) = rows.next()? {
        let (seq, person) = (nat(row.get(0)?), row.get_ref(1)?.as_blob()?);
        if packed::user(person).map_err(|_| rows::odd(1))? == Some(name.as_str()) {
            found.push((seq, packed::erased(person)));
        }
        count += 1;
        if count == STEP {
            last = seq;
        }
    }
    Ok((last, found))
}

/// Whether row `seq` is older than `time`.
fn is_before(connection: &Connection, seq: u64, time: UnixTime) -> rusqlite::Result<bool> {
    let sql = "SELECT body FROM event WHERE chain = ?1 AND seq = ?2";
    let body = |row: &rusqlite::Row<'_>| packed::time(row.get_ref(0)?.as_blob()?).map_err(|_| rows::odd(0));
    connection.prepare_cached(sql)?.query_row([CHAIN, int(seq)], body).map(|written| written < time)
}

/// Halves its way to the newest row before `time`.
fn before(connection: &Connection, time: u64) -> rusqlite::Result<u64> {
    let [first, newest] = ends(connection)?;
    let (mut low, mut high) = (first.saturating_sub(1), newest);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if is_before(connection, middle, UnixTime(time)).optional()?.unwrap_or(true) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}

/// Has the state tables say what all rows say, so that those may go which nothing else remembered. A server's own
/// snapshots stay good: their values are as new, and it writes none that are older than what it has folded.
pub(super) fn settle(connection: &Connection) -> rusqlite::Result<()> {
    let hot = super::hot::Hot::load(connection)?;
    let users: Vec<_> = hot.users.iter().map(|(user, count)| (*user, *count)).collect();
    let tokens: Vec<_> = hot.tokens.iter().map(|(token, spent)| (*token, *spent)).collect();
    write_states(connection, &users, &tokens)?;
    let sql = "UPDATE meta SET value = max(value, ?1) WHERE name = 'watermark'";
    connection.execute(sql, [int(hot.head)]).map(drop)
}

/// The link in place of an anchor where there is none.
pub(super) fn start(anchor: Option<&Anchor>) -> (u64, Mac) {
    anchor.map_or((0, GENESIS), |anchor| (anchor.sequence, anchor.mac))
}
