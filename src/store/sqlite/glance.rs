//! What a store says of itself without its key: for `store info`, and before and after a backup.
//!
//! Nothing is migrated and nothing written.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};

use super::draft::tail;
use super::file::{connect, explain, missing, size, version};
use super::hold::{Hold, holders, lock_path};
use super::rows::{CHAIN, nat};
use super::{keyfile, keys, schema};
use crate::store::StoreFault;
use crate::store::keyring::print_fingerprint;

/// The version of stores that this program writes.
pub const VERSION: i64 = schema::VERSION;

/// A store opened without its key. Read only, by agreement.
pub(super) struct Glance {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    _hold: Hold,
}

impl Glance {
    pub(super) fn at(path: &Path) -> Result<Glance, StoreFault> {
        if size(path)?.is_none_or(|octets| octets == 0) {
            return Err(missing(path));
        }
        let hold = Hold::shared(path)?;
        let connection = connect(path, 256)?;
        if version(path, &connection)? == 0 {
            return Err(missing(path));
        }
        Ok(Glance { path: path.to_owned(), connection, _hold: hold })
    }
}

/// What is in a store, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Users.
    pub users: u64,
    /// Tokens.
    pub tokens: u64,
    /// The first and the last number of the trail's rows; 0 in an empty one.
    pub rows: [u64; 2],
    /// The schema's version.
    pub version: i64,
    /// The printed fingerprint of the key that the store wants.
    pub fingerprint: String,
}

impl Counts {
    /// How many rows the trail has.
    #[must_use]
    pub fn trail(&self) -> u64 {
        let [first, last] = self.rows;
        if first == 0 { 0 } else { last - first + 1 }
    }

    /// Counts what `connection` has. Call it in a transaction.
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Counts> {
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get(0).map(nat));
        let end = |order: &str| {
            let sql = format!("SELECT seq FROM event WHERE chain = ?1 ORDER BY seq {order} LIMIT 1");
            let found = connection.query_row(&sql, [CHAIN], |row| row.get(0).map(nat)).optional();
            found.map(Option::unwrap_or_default)
        };
        Ok(Counts {
            users: count("SELECT count(*) FROM user")?,
            tokens: count("SELECT count(*) FROM token")?,
            rows: [end("ASC")?, end("DESC")?],
            version: connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
            fingerprint: print_fingerprint(&keys::current(connection)?),
        })
    }
}

/// What `store info` shows.
#[derive(Clone, Debug)]
pub struct Info {
    /// What is in it.
    pub counts: Counts,
    /// The version that this program makes of it when it opens it.
    pub version_here: i64,
    /// Octets of the database, of its write-ahead log, and of what is free inside.
    pub octets: [u64; 3],
    /// The key file beside the store, where its key is the one that the store wants.
    pub key: Option<PathBuf>,
    /// How many earlier keys the store remembers.
    pub earlier_keys: usize,
    /// A rekey was begun and is not finished.
    pub rekey: bool,
    /// The hash of the newest row of the trail, in hexadecimal; `None` in an empty or unhashed one.
    pub head: Option<String>,
    /// The processes that have it open.
    pub holders: Vec<String>,
}

/// Looks at the store at `path`.
pub fn info(path: &Path) -> Result<Info, StoreFault> {
    let glance = Glance::at(path)?;
    look(&glance).map_err(|error| explain(path, &error))
}

fn look(glance: &Glance) -> rusqlite::Result<Info> {
    let Glance { path, connection, .. } = glance;
    let transaction = connection.unchecked_transaction()?;
    let counts = Counts::of(&transaction)?;
    let pragma = |name: &str| transaction.pragma_query_value(None, name, |row| row.get(0).map(nat));
    let page = pragma("page_size")?;
    let log = std::fs::metadata(tail(path, "-wal")).map_or(0, |found| found.len());
    let head: Option<Option<Vec<u8>>> = transaction
        .query_row("SELECT mac FROM event WHERE chain = ?1 ORDER BY seq DESC LIMIT 1", [CHAIN], |row| {
            row.get(0)
        })
        .optional()?;
    let wanted = keys::current(&transaction)?;
    let earlier = keys::wrapped(&transaction)?;
    Ok(Info {
        version_here: schema::VERSION,
        octets: [pragma("page_count")? * page, log, pragma("freelist_count")? * page],
        key: keyfile::find(path, &wanted).map(|(path, _)| path),
        earlier_keys: earlier.iter().filter(|key| key.fingerprint != counts.fingerprint).count(),
        rekey: keys::next(&transaction)?.is_some(),
        head: head.flatten().map(|mac| crate::base::text::hex(&mac)),
        holders: holders(&lock_path(path)),
        counts,
    })
}
