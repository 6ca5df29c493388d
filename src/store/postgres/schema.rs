//! The tables, and how an empty or older database becomes one of this version.
//!
//! Only what `CockroachDB` and `YugabyteDB` take too. `radmfa` has one row: version and key. `chain` has one row for each server
//! that ever ran on the store, and the first for all commands: how far its part of the trail goes, and who appends to it.
//! `event` is the trail: appended to, never changed (but for what `user erase` takes out); a row's `number` is its
//! chain's times [`CHAIN_ROWS`] and its place there. `account` and `token` hold what rows add up to, written with the row
//! that changes it. `counter` gives out numbers that are never used again. `removed` keeps the last steps of tokens that are
//! gone, for those that come back under the same serial; a `period` of 0 is a counter. `parked` has logins that wait for their
//! users, for any server to take, and `claim` what they mean to send. What reports read is in [`rollup::TABLES`].

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::rollup;

/// The number of this schema.
pub(super) const VERSION: i32 = 1;

/// Rows that a chain may have.
pub(super) const CHAIN_ROWS: i64 = 1_000_000_000_000;
/// The chain of all commands.
pub(super) const COMMANDS: i64 = 0;

const MIGRATIONS: &[&str] = &[
    // 1
    r#"CREATE TABLE radmfa (one INTEGER PRIMARY KEY, version INTEGER NOT NULL, seal_key BYTEA NOT NULL);
     CREATE TABLE meta (name TEXT PRIMARY KEY, value BYTEA NOT NULL);
     CREATE TABLE counter (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
     INSERT INTO counter VALUES ('account', 0), ('token', 0), ('sent', 0);
     CREATE TABLE chain (
         chain BIGINT PRIMARY KEY,
         name TEXT NOT NULL UNIQUE,
         id BIGINT NOT NULL UNIQUE,
         incarnation BYTEA,
         beat BIGINT NOT NULL,
         head BIGINT NOT NULL,
         mac BYTEA NOT NULL,
         forwarded BIGINT,
         forwarded_commands BIGINT
     );
     CREATE TABLE account (
         id BIGINT PRIMARY KEY,
         name TEXT COLLATE "C" NOT NULL UNIQUE,
         skeleton TEXT COLLATE "C" NOT NULL,
         display_name TEXT, first_name TEXT, last_name TEXT, mail TEXT, phone TEXT, extension TEXT, language TEXT,
         method TEXT, member_of TEXT, password_hash TEXT, special TEXT,
         recoverable BOOLEAN NOT NULL DEFAULT FALSE,
         disabled BOOLEAN NOT NULL DEFAULT FALSE,
         failures INTEGER NOT NULL DEFAULT 0,
         last_failure BIGINT NOT NULL DEFAULT 0,
         created BIGINT NOT NULL
     );
     CREATE INDEX account_skeleton ON account (skeleton);
     CREATE TABLE token (
         id BIGINT PRIMARY KEY,
         serial TEXT COLLATE "C" NOT NULL UNIQUE,
         account BIGINT,
         enabled BOOLEAN NOT NULL DEFAULT TRUE,
         algorithm TEXT NOT NULL,
         digits INTEGER NOT NULL,
         period INTEGER NOT NULL,
         seed BYTEA NOT NULL,
         last_step BIGINT,
         drift INTEGER,
         label TEXT, manufacturer TEXT, model TEXT, starts BIGINT, expires BIGINT, drift_said INTEGER,
         created BIGINT NOT NULL
     );
     CREATE INDEX token_account ON token (account);
     CREATE TABLE removed (
         serial TEXT COLLATE "C" NOT NULL, period INTEGER NOT NULL, last_step BIGINT NOT NULL, PRIMARY KEY (serial, period)
     );
     CREATE TABLE event (
         number BIGINT PRIMARY KEY,
         time BIGINT NOT NULL,
         login BIGINT NOT NULL,
         name TEXT COLLATE "C",
         body BYTEA NOT NULL,
         person BYTEA NOT NULL,
         mac BYTEA NOT NULL
     );
     CREATE INDEX event_time ON event (time, number);
     CREATE INDEX event_login ON event (login);
     CREATE INDEX event_name ON event (name, time, number);
     CREATE TABLE checkpoint (
         number BIGINT PRIMARY KEY, time BIGINT NOT NULL, head BYTEA NOT NULL, sign BYTEA NOT NULL
     );
     CREATE TABLE anchor (
         chain BIGINT PRIMARY KEY, number BIGINT NOT NULL, mac BYTEA NOT NULL, time BIGINT NOT NULL,
         sign BYTEA NOT NULL
     );
     CREATE TABLE failure_day (
         account BIGINT NOT NULL, day BIGINT NOT NULL, count BIGINT NOT NULL, PRIMARY KEY (account, day)
     );
     CREATE TABLE sent (
         account BIGINT NOT NULL, class BIGINT NOT NULL, time BIGINT NOT NULL
     );
     CREATE INDEX sent_account ON sent (account, time);
     CREATE INDEX sent_time ON sent (time);
     CREATE TABLE posture (
         client TEXT COLLATE "C" NOT NULL, address TEXT NOT NULL, raised BIGINT NOT NULL, PRIMARY KEY (client, address)
     );
     CREATE TABLE parked (
         spot BYTEA PRIMARY KEY, since BIGINT NOT NULL, until BIGINT NOT NULL, sealed BYTEA NOT NULL, intent BYTEA
     );
     CREATE INDEX parked_until ON parked (until);
     CREATE TABLE claim (intent BYTEA PRIMARY KEY, login BIGINT NOT NULL, until BIGINT NOT NULL, told BYTEA, ended BIGINT);
     CREATE INDEX claim_until ON claim (until);
     INSERT INTO chain (chain, name, id, beat, head, mac)
         VALUES (0, '', -1, 0, 0, decode('0000000000000000000000000000000000000000000000000000000000000000', 'hex'));"#,
];

/// What a database is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It has no table of ours.
    Nothing,
    /// A store of this version, sealed with the key of this fingerprint.
    Store(i32, Vec<u8>),
}

/// Looks at a database.
pub(super) async fn look(client: &Client) -> Result<Found, tokio_postgres::Error> {
    let sql = "SELECT count(*) FROM information_schema.tables
        WHERE table_name = 'radmfa' AND table_schema = current_schema()";
    let tables: i64 = client.query_one(sql, &[]).await?.try_get(0)?;
    if tables == 0 {
        return Ok(Found::Nothing);
    }
    let row = client.query_one("SELECT version, seal_key FROM radmfa WHERE one = 1", &[]).await?;
    Ok(Found::Store(row.try_get(0)?, row.try_get(1)?))
}

/// Brings a database up to [`VERSION`]; a new one keeps `fingerprint` to know its key again. Two that begin at once: one makes
/// the tables, and the other finds them made.
pub(super) async fn migrate(
    client: &Client,
    found: &Found,
    fingerprint: &[u8],
) -> Result<(), tokio_postgres::Error> {
    let from = match found {
        Found::Nothing => 0,
        Found::Store(version, _) => *version,
    };
    client.batch_execute("BEGIN").await?;
    let done = steps(client, from, fingerprint).await;
    match done {
        Ok(()) => client.batch_execute("COMMIT").await,
        Err(error) => {
            client.batch_execute("ROLLBACK").await?;
            let raced = [SqlState::DUPLICATE_TABLE, SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_OBJECT];
            match error.code() {
                Some(code) if raced.contains(code) => Ok(()),
                _ => Err(error),
            }
        }
    }
}

async fn steps(client: &Client, from: i32, fingerprint: &[u8]) -> Result<(), tokio_postgres::Error> {
    if from > 0 {
        client.query_one("SELECT version FROM radmfa WHERE one = 1 FOR UPDATE", &[]).await?;
    }
    for sql in MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
        client.batch_execute(sql).await?;
    }
    if from == 0 {
        client.batch_execute(rollup::TABLES).await?;
    }
    if from == 0 {
        client.execute("INSERT INTO radmfa VALUES (1, $1, $2)", &[&VERSION, &fingerprint]).await?;
    } else {
        client.execute("UPDATE radmfa SET version = $1 WHERE one = 1", &[&VERSION]).await?;
    }
    Ok(())
}
