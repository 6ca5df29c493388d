//! What a store file holds, for whoever copies it elsewhere.
//!
//! Rows of the trail can be read while a server runs on; the rest only with nobody else there, so that it is as of one
//! moment.

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::admin::{SqliteAdmin, Trouble};
use super::rows::{CHAIN, int, nat};
use super::{keys, trail};
use crate::store::StoreFault;
use crate::store::act::Act;
use crate::store::admin::AdminFault;
use crate::store::keyring::{Keyring, Wrapped};

/// A row of the trail as it is kept.
pub(in crate::store) struct Event {
    pub(in crate::store) seq: u64,
    pub(in crate::store) body: Vec<u8>,
    pub(in crate::store) person: Vec<u8>,
    pub(in crate::store) mac: Vec<u8>,
}

/// A store file that is copied.
pub(in crate::store) struct Drain(pub(in crate::store) SqliteAdmin);

impl Drain {
    /// The keys that open what is sealed.
    pub(in crate::store) fn key(&self) -> &Keyring {
        &self.0.file.key
    }

    /// Earlier keys, each sealed under the one that followed it.
    pub(in crate::store) fn wrapped(&self) -> Result<Vec<Wrapped>, AdminFault> {
        self.0.blame(keys::wrapped(&self.0.connection).map_err(Trouble::Sql))
    }

    /// The newest row's number.
    pub(in crate::store) fn newest(&self) -> Result<u64, AdminFault> {
        self.0.blame(trail::ends(&self.0.connection).map(|[_, newest]| newest).map_err(Trouble::Sql))
    }

    /// Up to `limit` rows of the trail after number `after`, in order.
    pub(in crate::store) fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, AdminFault> {
        self.0.blame(events(&self.0.connection, after, limit).map_err(Trouble::Sql))
    }

    /// The link of row `seq`.
    pub(in crate::store) fn link(&self, seq: u64) -> Result<Option<Vec<u8>>, AdminFault> {
        Ok(self.events(seq.saturating_sub(1), 1)?.pop().filter(|row| row.seq == seq).map(|row| row.mac))
    }

    /// Whether nobody else has the store open now, which then nobody can while this lives. The trail has a row of it first.
    pub(in crate::store) fn take_alone(&mut self, act: Act) -> Result<bool, AdminFault> {
        if !self.0.file.hold.try_alone()? {
            self.0.file.hold.share_again(&self.0.file.path)?;
            return Ok(false);
        }
        self.0.note(act)?;
        self.0.change(|transaction, _| {
            let open = "SELECT count(*) FROM batch";
            if transaction.query_row(open, [], |row| row.get::<_, i64>(0))? > 0 {
                let what = "an import into it was not finished: any command clears it up, such as `radmfa user list`";
                return Err(AdminFault::Invalid(what.to_owned()).into());
            }
            Ok(trail::settle(transaction)?)
        })?;
        Ok(true)
    }

    /// Gives every row that `sql` selects to `take`.
    pub(in crate::store) fn each(
        &self,
        sql: &str,
        take: &mut dyn FnMut(Vec<Value>) -> Result<(), StoreFault>,
    ) -> Result<(), AdminFault> {
        let mut taken = Ok(());
        let read = each(&self.0.connection, sql, &mut |row| {
            taken = take(row);
            taken.is_ok()
        });
        self.0.blame(read.map_err(Trouble::Sql))?;
        Ok(taken?)
    }
}

fn events(connection: &Connection, after: u64, limit: usize) -> rusqlite::Result<Vec<Event>> {
    let sql = "SELECT seq, body, person, mac FROM event WHERE chain = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(params![CHAIN, int(after), limit], |row| {
        Ok(Event { seq: nat(row.get(0)?), body: row.get(1)?, person: row.get(2)?, mac: row.get(3)? })
    })?;
    found.collect()
}

fn each(
    connection: &Connection,
    sql: &str,
    take: &mut dyn FnMut(Vec<Value>) -> bool,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>()?;
        if !take(values) {
            break;
        }
    }
    Ok(())
}
