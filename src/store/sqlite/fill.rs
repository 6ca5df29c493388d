//! A new store file, filled with what another store holds: the other way round from [`super::drain`].
//!
//! It is filled beside its place in one transaction, and takes its name when all of it is there, counted and on the disk:
//! until then there is no store. Its trail is a chain of its own: rows keep what they say and are linked anew, in the order
//! in which they are brought.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::Settings;
use super::admin::{SqliteAdmin, Trouble};
use super::draft::Draft;
use super::file::{KeySource, fault, no_access, size};
use super::keyfile::{self, sync_directory};
use super::keys::EARLIER;
use super::rows::{CHAIN, int};
use crate::base::system::{Clock, Entropy};
use crate::store::act::Act;
use crate::store::admin::AdminFault;
use crate::store::chain::{self, GENESIS, Mac};
use crate::store::keyring::{Keyring, Wrapped};
use crate::store::packed;
use crate::store::trail::Trail as _;

/// A store file on its way.
pub(in crate::store) struct Sink {
    admin: SqliteAdmin,
    // Removed after it is closed.
    draft: Draft,
    path: PathBuf,
    head: u64,
    mac: Mac,
}

impl Sink {
    /// Begins a store at the path that `settings` name, where none may be.
    pub(in crate::store) fn begin(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        mut entropy: Box<dyn Entropy + Send>,
    ) -> Result<Sink, AdminFault> {
        let path = settings.path.clone();
        if size(&path)?.is_some() {
            let hint = "a copy goes into a new file: take another path, or move that one away";
            return Err(fault(&path, "is there already", hint).into());
        }
        let key = match &settings.key {
            KeySource::Given(key) => key.clone(),
            KeySource::Beside => keyfile::beside(&path, true, &mut *entropy)?,
        };
        let draft = Draft::of(&path).map_err(|error| no_access(&path, &error))?;
        let settings = Settings {
            path: draft.path().to_owned(),
            key: KeySource::Given(key),
            create: true,
            ..settings.clone()
        };
        let admin = SqliteAdmin::open(&settings, clock, entropy)?;
        let begun = admin.connection.execute_batch("BEGIN IMMEDIATE").map_err(Trouble::Sql);
        admin.blame(begun)?;
        Ok(Sink { admin, draft, path, head: 0, mac: GENESIS })
    }

    /// The key that seals, and randomness to do so.
    pub(in crate::store) fn seal(&mut self) -> (&Keyring, &mut (dyn Entropy + Send)) {
        (&self.admin.file.key, &mut *self.admin.pen.entropy)
    }

    /// The number of the newest row.
    pub(in crate::store) fn head(&self) -> u64 {
        self.head
    }

    /// Writes one row by `sql`.
    pub(in crate::store) fn put(&self, sql: &str, row: &[Value]) -> Result<(), AdminFault> {
        let put = self
            .admin
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params_from_iter(row)));
        self.admin.blame(put.map(drop).map_err(Trouble::Sql))
    }

    /// How many rows a table has.
    pub(in crate::store) fn count(&self, table: &str) -> Result<u64, AdminFault> {
        let sql = format!("SELECT count(*) FROM {table}");
        let count = self.admin.connection.query_row(&sql, [], |row| row.get(0).map(super::rows::nat));
        self.admin.blame(count.map_err(Trouble::Sql))
    }

    /// Appends a row of the trail as it is, behind those before.
    pub(in crate::store) fn append(&mut self, body: Vec<u8>, person: Vec<u8>) -> Result<(), AdminFault> {
        let seq = self.head + 1;
        let mac = chain::link(&self.mac, seq, &body, &packed::commitment(&person));
        let row = [
            Value::Integer(CHAIN),
            Value::Integer(int(seq)),
            Value::Blob(body),
            Value::Blob(person),
            Value::Blob(mac.to_vec()),
        ];
        self.put("INSERT INTO event (chain, seq, body, person, mac) VALUES (?1, ?2, ?3, ?4, ?5)", &row)?;
        (self.head, self.mac) = (seq, mac);
        Ok(())
    }

    /// Keeps keys that something may still be hashed under.
    pub(in crate::store) fn keep(&self, keys: &[Wrapped]) -> Result<(), AdminFault> {
        for key in keys {
            let name = Value::Text(format!("{EARLIER}{}", key.fingerprint));
            self.put("INSERT OR IGNORE INTO meta VALUES (?1, ?2)", &[name, Value::Blob(key.sealed.clone())])?;
        }
        Ok(())
    }

    /// Sees that no number of a table's is given out again up to `last`.
    pub(in crate::store) fn last_number(&self, table: &str, last: i64) -> Result<(), AdminFault> {
        let row = [Value::Text(table.to_owned()), Value::Integer(last)];
        self.put("DELETE FROM sqlite_sequence WHERE name = ?1", &row[..1])?;
        self.put("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", &row)
    }

    /// Has the trail say where all of it is from, and gives the store its name.
    pub(in crate::store) fn finish(mut self, act: Act) -> Result<(), AdminFault> {
        let watermark = Value::Integer(int(self.head));
        self.put("UPDATE meta SET value = ?1 WHERE name = 'watermark'", &[watermark])?;
        let committed = self.admin.connection.execute_batch("COMMIT").map_err(Trouble::Sql);
        self.admin.blame(committed)?;
        self.admin.note(act)?;
        let verified = self.admin.verify(&[], &mut |_, _| ())?;
        if let Some(broken) = verified.broken {
            return Err(AdminFault::Invalid(format!("the copy's trail is broken: {}", broken.what)));
        }
        let Sink { admin, draft, path, .. } = self;
        let log =
            admin.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        admin.blame(log.map_err(Trouble::Sql))?;
        drop(admin);
        let named = File::open(draft.path())
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::hard_link(draft.path(), &path))
            .and_then(|()| sync_directory(&path));
        Ok(named.map_err(|error| no_access(&path, &error))?)
    }
}
