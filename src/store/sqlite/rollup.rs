//! Roll-ups of the trail and indexes into it, made behind the logins, for the reports that read them
//! ([`super::reports`]).
//!
//! `rollup` has counts by hour, client, method, verdict, reason and protocol, with the first and the last row that each
//! counts; `rollup_user` by day and user; `rollup_span` the same by [`SPAN`] days, so that a year of everybody is not
//! read day by day; `rollup_active` how many users were let in on a day, at a client, with a method, or at any
//! and with any (`''`); `trail_user` and `trail_login` lead to rows. `meta.reported` says up to which row
//! all of them say everything. Whoever makes them, a server's keeper or a report, takes a step in one short transaction,
//! and only from where the last one ended.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::rows::{self, CHAIN, int, nat};
use super::trail::ends;
use crate::store::admin::AuditRow;
use crate::store::report::DAY;
use crate::store::rollup::{SPAN, Sums, cells};

/// Rows rolled up in one transaction, which holds the write lock for some milliseconds.
const STEP: i64 = 1_000;

/// The tables; with them a store has everything rolled up that it has: nothing.
pub(super) const TABLES: &str = "
     CREATE TABLE rollup (
         hour INTEGER NOT NULL, client TEXT NOT NULL, method TEXT NOT NULL, verdict TEXT NOT NULL,
         reason TEXT NOT NULL, protocol TEXT NOT NULL,
         count INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
         PRIMARY KEY (hour, client, method, verdict, reason, protocol)
     ) WITHOUT ROWID;
     CREATE TABLE rollup_user (
         day INTEGER NOT NULL, user TEXT NOT NULL, client TEXT NOT NULL, method TEXT NOT NULL,
         verdict TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
         PRIMARY KEY (day, user, client, method, verdict, reason)
     ) WITHOUT ROWID;
     CREATE TABLE rollup_span (
         span INTEGER NOT NULL, user TEXT NOT NULL, client TEXT NOT NULL, method TEXT NOT NULL,
         verdict TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
         PRIMARY KEY (span, user, client, method, verdict, reason)
     ) WITHOUT ROWID;
     CREATE TABLE rollup_active (
         day INTEGER NOT NULL, client TEXT NOT NULL, method TEXT NOT NULL, users INTEGER NOT NULL,
         PRIMARY KEY (day, client, method)
     ) WITHOUT ROWID;
     CREATE TABLE trail_user (user TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (user, seq)) WITHOUT ROWID;
     CREATE TABLE trail_login (login INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (login, seq)) WITHOUT ROWID;";

/// Takes one step; how many rows it rolled up, fewer than it could where it has reached the newest.
pub(super) fn step(connection: &mut Connection) -> rusqlite::Result<Progress> {
    let [first, newest] = ends(connection)?;
    let (reported, erasures) = (number(connection, "reported")?, number(connection, "erasures")?);
    let from = reported.max(first.saturating_sub(1));
    let found = read(connection, from)?;
    let Some(last) = found.last().map(|row| row.sequence) else {
        return Ok(Progress { done: newest, newest, ours: true });
    };
    let mut sums = Sums::default();
    for row in &found {
        sums.add(row);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut ours = false;
    // Somebody else may have taken the same step meanwhile, or have erased somebody who stands in what was read.
    if number(&transaction, "reported")? == reported && number(&transaction, "erasures")? == erasures {
        keep(&sums, &transaction)?;
        let mut user = transaction.prepare_cached("INSERT OR IGNORE INTO trail_user VALUES (?1, ?2)")?;
        let mut login = transaction.prepare_cached("INSERT OR IGNORE INTO trail_login VALUES (?1, ?2)")?;
        let mut users: Vec<_> =
            found.iter().filter_map(|row| Some((row.user.as_deref()?, row.sequence))).collect();
        users.sort_unstable();
        for (name, seq) in users {
            user.execute(params![name, int(seq)])?;
        }
        for row in &found {
            login.execute([int(row.login.number()), int(row.sequence)])?;
        }
        let sql = "REPLACE INTO meta (name, value) VALUES ('reported', ?1)";
        transaction.prepare_cached(sql)?.execute([int(last)])?;
        drop((user, login));
        transaction.commit()?;
        ours = true;
    }
    Ok(Progress { done: last, newest, ours })
}

/// How far the roll-ups have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) done: u64,
    pub(super) newest: u64,
    /// Nobody else took the step meanwhile.
    pub(super) ours: bool,
}

/// The last row that is rolled up.
pub(super) fn reported(connection: &Connection) -> rusqlite::Result<u64> {
    number(connection, "reported")
}

/// A number that `meta` keeps; 0 where there is none yet.
fn number(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT value FROM meta WHERE name = ?1";
    let found = connection.prepare_cached(sql)?.query_row([name], |row| row.get(0).map(nat)).optional()?;
    Ok(found.unwrap_or(0))
}

fn read(connection: &Connection, after: u64) -> rusqlite::Result<Vec<AuditRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, body, person FROM event WHERE chain = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    statement.query_map([CHAIN, int(after), STEP], rows::audit_row)?.collect()
}

/// Adds what some rows add up to.
fn keep(sums: &Sums<'_>, connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO rollup VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET
             count = count + excluded.count, first = min(first, excluded.first), last = max(last, excluded.last)",
    )?;
    for ((hour, [client, method, verdict, reason, protocol]), (count, first, last)) in &sums.hours {
        let (hour, count, first, last) = (int(*hour), int(*count), int(*first), int(*last));
        statement.execute(params![hour, client, method, verdict, reason, protocol, count, first, last])?;
    }
    keep_active(sums, connection)?;
    let add = |table: &str, unit: u64| -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(&format!(
            "INSERT INTO {table} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET count = count + excluded.count"
        ))?;
        for ((time, [user, client, method, verdict, reason]), count) in &sums.by_days(unit) {
            statement.execute(params![int(*time), user, client, method, verdict, reason, int(*count)])?;
        }
        Ok(())
    };
    add("rollup_user", 1)?;
    add("rollup_span", SPAN)
}

/// Counts users who were let in for the first time that day, there, so. To be called before these rows are in
/// `rollup_user`, which says where a user was let in before.
fn keep_active(sums: &Sums<'_>, connection: &Connection) -> rusqlite::Result<()> {
    let mut count = connection.prepare_cached(
        "INSERT INTO rollup_active VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET users = users + excluded.users",
    )?;
    let mut first: BTreeMap<(u64, &str, &str), i64> = BTreeMap::new();
    let ways = sums.ways();
    for ((day, user), ways) in &ways {
        let known = ways_in(connection, *day, user)?;
        let known: HashSet<(&str, &str)> = known.iter().map(|(c, m)| (c.as_str(), m.as_str())).collect();
        let before = cells(&known);
        for (client, method) in cells(ways) {
            if !before.contains(&(client, method)) {
                *first.entry((*day, client, method)).or_default() += 1;
            }
        }
    }
    for ((day, client, method), users) in first {
        count.execute(params![int(day), client, method, users])?;
    }
    Ok(())
}

/// At which client and with which method `user` was let in on `day`, as `rollup_user` says.
fn ways_in(connection: &Connection, day: u64, user: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT client, method FROM rollup_user WHERE day = ?1 AND user = ?2 AND verdict = 'accepted'",
    )?;
    statement.query_map(params![int(day), user], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Every day that anything is rolled up of.
pub(super) fn days(connection: &Connection) -> rusqlite::Result<Option<[u64; 2]>> {
    let sql = "SELECT (SELECT min(hour) FROM rollup), (SELECT max(hour) FROM rollup)";
    let ends = connection
        .prepare_cached(sql)?
        .query_row([], |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get::<_, Option<i64>>(1)?)))?;
    Ok(ends.map(|(first, last)| [nat(first) / 24, nat(last) / 24]))
}

/// Takes a user out of everything that is told apart by users.
pub(super) fn forget(connection: &mut Connection, user: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some([first, last]) = days(&transaction)? {
        let mut less = transaction.prepare_cached(
            "UPDATE rollup_active SET users = users - 1 WHERE day = ?1 AND client = ?2 AND method = ?3",
        )?;
        let mut of_day =
            transaction.prepare_cached("DELETE FROM rollup_user WHERE day = ?1 AND user = ?2")?;
        let mut of_span =
            transaction.prepare_cached("DELETE FROM rollup_span WHERE span = ?1 AND user = ?2")?;
        // Day by day, since that is how the tables are sorted: nothing is read but what is this user's.
        for day in first..=last {
            let ways = ways_in(&transaction, day, user)?;
            let ways: HashSet<(&str, &str)> = ways.iter().map(|(c, m)| (c.as_str(), m.as_str())).collect();
            for (client, method) in cells(&ways) {
                less.execute(params![int(day), client, method])?;
            }
            of_day.execute(params![int(day), user])?;
        }
        for span in first / SPAN..=last / SPAN {
            of_span.execute(params![int(span), user])?;
        }
    }
    transaction.execute("DELETE FROM trail_user WHERE user = ?1", [user])?;
    let sql = "INSERT INTO meta VALUES ('erasures', 1) ON CONFLICT DO UPDATE SET value = value + 1";
    transaction.execute(sql, [])?;
    transaction.commit()
}

/// Takes out what leads to rows that were pruned, and counts of those alone.
pub(super) fn prune(connection: &Connection, pruned: &[AuditRow]) -> rusqlite::Result<()> {
    let Some(last) = pruned.last() else { return Ok(()) };
    let mut user = connection.prepare_cached("DELETE FROM trail_user WHERE user = ?1 AND seq = ?2")?;
    let mut login = connection.prepare_cached("DELETE FROM trail_login WHERE login = ?1 AND seq = ?2")?;
    for row in pruned {
        login.execute([int(row.login.number()), int(row.sequence)])?;
        if let Some(name) = &row.user {
            user.execute(params![name, int(row.sequence)])?;
        }
    }
    connection.execute("DELETE FROM rollup WHERE last <= ?1", [int(last.sequence)])?;
    let day = last.time.0 / DAY;
    connection.execute("DELETE FROM rollup_active WHERE day < ?1", [int(day)])?;
    connection.execute("DELETE FROM rollup_span WHERE span < ?1", [int(day / SPAN)])?;
    connection.execute("DELETE FROM rollup_user WHERE day < ?1", [int(day)]).map(drop)
}
