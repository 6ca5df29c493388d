//! The tables, and how a store of an older version becomes one of this version.
//!
//! `event` is the trail and the truth: appended to, never changed (but for what `user erase` takes out), without any
//! index but its key; its columns are what [`crate::store::packed`] and [`crate::store::chain`] make. `user_state` and
//! `token_state` are what rows up to a point add up to, written behind; rows after `meta.watermark` are folded
//! on top of them. `removed` keeps the last steps of tokens that are gone, for those that come back under the same
//! serial. `sent` has the messages of the last day. An `interval` of 0 is a counter. A row of a `batch` that is still listed belongs to an import under way and is invisible.

use rusqlite::{Connection, TransactionBehavior};

use super::{convert, rollup};
use crate::base::system::Entropy;

/// The number of this schema, in `user_version`.
pub(super) const VERSION: i64 = 2;

/// `application_id`: "rdmf", so that a file of another program is told from ours.
pub(super) const APPLICATION: i64 = 0x7264_6d66;

pub(super) const MIGRATIONS: &[&str] = &[
    // 1
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
     CREATE TABLE user (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         name TEXT NOT NULL UNIQUE,
         skeleton TEXT NOT NULL,
         display_name TEXT, first_name TEXT, last_name TEXT, mail TEXT, phone TEXT,
         password_hash TEXT,
         disabled INTEGER NOT NULL DEFAULT 0,
         created INTEGER NOT NULL,
         batch INTEGER
     );
     CREATE INDEX user_skeleton ON user (skeleton);
     CREATE TABLE user_state (
         user INTEGER PRIMARY KEY,
         failures INTEGER NOT NULL,
         last_failure INTEGER NOT NULL,
         seq INTEGER NOT NULL
     );
     CREATE TABLE token (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         serial TEXT NOT NULL UNIQUE,
         user INTEGER,
         enabled INTEGER NOT NULL DEFAULT 1,
         algorithm TEXT NOT NULL,
         digits INTEGER NOT NULL,
         interval INTEGER NOT NULL,
         seed BLOB NOT NULL,
         created INTEGER NOT NULL,
         batch INTEGER
     );
     CREATE INDEX token_user ON token (user);
     CREATE TABLE token_state (token INTEGER PRIMARY KEY, last_step INTEGER NOT NULL);
     CREATE TABLE removed (
         serial TEXT NOT NULL, interval INTEGER NOT NULL, last_step INTEGER NOT NULL,
         PRIMARY KEY (serial, interval)
     ) WITHOUT ROWID;
     CREATE TABLE event (
         chain INTEGER NOT NULL,
         seq INTEGER NOT NULL,
         time INTEGER NOT NULL,
         login INTEGER NOT NULL,
         client TEXT NOT NULL,
         source TEXT NOT NULL,
         user TEXT,
         user_id INTEGER,
         station TEXT,
         verdict TEXT NOT NULL,
         reason TEXT NOT NULL,
         method TEXT NOT NULL,
         protocol TEXT NOT NULL,
         device TEXT,
         token INTEGER,
         step INTEGER,
         tally INTEGER NOT NULL,
         took INTEGER NOT NULL,
         mac BLOB,
         PRIMARY KEY (chain, seq)
     ) WITHOUT ROWID;
     CREATE TABLE posture (
         client TEXT NOT NULL, address TEXT NOT NULL, raised INTEGER NOT NULL,
         PRIMARY KEY (client, address)
     ) WITHOUT ROWID;
     CREATE TABLE change (seq INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT);
     CREATE TABLE batch (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         owner TEXT NOT NULL,
         beat INTEGER NOT NULL,
         first_user INTEGER NOT NULL,
         first_token INTEGER NOT NULL,
         doomed INTEGER NOT NULL DEFAULT 0
     );",
    // 2, with `convert::events`
    "ALTER TABLE event RENAME TO event_1;
     CREATE TABLE event (
         chain INTEGER NOT NULL,
         seq INTEGER NOT NULL,
         body BLOB NOT NULL,
         person BLOB NOT NULL,
         mac BLOB NOT NULL,
         PRIMARY KEY (chain, seq)
     ) WITHOUT ROWID;
     CREATE TABLE anchor (
         chain INTEGER PRIMARY KEY, seq INTEGER NOT NULL, mac BLOB NOT NULL, time INTEGER NOT NULL, sign BLOB NOT NULL
     );
     CREATE TABLE checkpoint (
         chain INTEGER NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL, head BLOB NOT NULL, sign BLOB NOT NULL,
         PRIMARY KEY (chain, seq)
     ) WITHOUT ROWID;
     ALTER TABLE user ADD COLUMN language TEXT;
     ALTER TABLE user ADD COLUMN member_of TEXT;
     ALTER TABLE token ADD COLUMN label TEXT;
     ALTER TABLE token ADD COLUMN manufacturer TEXT;
     ALTER TABLE token ADD COLUMN model TEXT;
     ALTER TABLE token ADD COLUMN expires INTEGER;
     ALTER TABLE token ADD COLUMN starts INTEGER;
     ALTER TABLE token ADD COLUMN drift_said INTEGER;
     ALTER TABLE token_state ADD COLUMN drift INTEGER;
     CREATE TABLE sent (user INTEGER NOT NULL, class INTEGER NOT NULL, time INTEGER NOT NULL);
     CREATE INDEX sent_user ON sent (user, time);
     CREATE INDEX sent_time ON sent (time);
     ALTER TABLE user ADD COLUMN extension TEXT;
     ALTER TABLE user ADD COLUMN method TEXT;
     CREATE TABLE user_update (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         batch INTEGER NOT NULL,
         user INTEGER NOT NULL,
         display_name TEXT, first_name TEXT, last_name TEXT, mail TEXT, phone TEXT, extension TEXT, language TEXT,
         method TEXT,
         disabled INTEGER
     );
     ALTER TABLE user ADD COLUMN special TEXT;
     CREATE TABLE failure_day (
         user INTEGER NOT NULL, day INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (user, day)
     ) WITHOUT ROWID;",
];

/// Brings an empty or older database up to [`VERSION`]. A new one keeps `fingerprint` to know its key again.
pub(super) fn migrate(
    connection: &mut Connection,
    fingerprint: &[u8],
    entropy: &mut dyn Entropy,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (number, sql) in (1_i64..).zip(MIGRATIONS).skip(usize::try_from(version).unwrap_or(usize::MAX)) {
        transaction.execute_batch(sql)?;
        if number == 2 {
            transaction.execute_batch(rollup::TABLES)?;
            convert::events(&transaction, entropy)?;
        }
        transaction.pragma_update(None, "user_version", number)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.execute("INSERT INTO meta VALUES ('seal-key', ?1) ON CONFLICT DO NOTHING", [fingerprint])?;
    transaction.execute("INSERT INTO meta VALUES ('watermark', 0) ON CONFLICT DO NOTHING", [])?;
    transaction.commit()
}
