//! Roll-ups of the trail and indexes into it, made behind the logins, and the reports that read them.
//!
//! `rollup` has counts by hour, client, method, verdict, reason and protocol, with the first and the last row that each
//! counts; `rollup_user` by day and user; `trail_user` and `trail_login` lead to rows. `meta.reported` says up to which row
//! all of them say everything. Whoever makes them, a server's keeper or a report, takes a step in one short transaction,
//! and only from where the last one ended.

use std::collections::HashMap;
use std::fmt::Write as _;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params, params_from_iter};

use super::admin::{SqliteAdmin, Trouble};
use super::rows::{self, CHAIN, int, nat};
use super::trail::ends;
use crate::store::admin::{AdminFault, AuditRow};
use crate::store::report::{By, DAY, Filter, HOUR, Reports, Sum, country, moment};

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
     CREATE TABLE trail_user (user TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (user, seq)) WITHOUT ROWID;
     CREATE TABLE trail_login (login INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (login, seq)) WITHOUT ROWID;";

/// Takes one step; how many rows it rolled up, fewer than it could where it has reached the newest.
pub(super) fn step(connection: &mut Connection) -> rusqlite::Result<Progress> {
    let [first, newest] = ends(connection)?;
    let reported = reported(connection)?;
    let from = reported.max(first.saturating_sub(1));
    let found = read(connection, from)?;
    let Some(last) = found.last().map(|row| row.sequence) else {
        return Ok(Progress { done: newest, newest });
    };
    let mut sums = Sums::default();
    for row in &found {
        sums.add(row);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Somebody else may have taken the same step meanwhile.
    if self::reported(&transaction)? == reported {
        sums.keep(&transaction)?;
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
    }
    Ok(Progress { done: last, newest })
}

/// How far the roll-ups have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) done: u64,
    pub(super) newest: u64,
}

fn reported(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT value FROM meta WHERE name = 'reported'";
    let found = connection.prepare_cached(sql)?.query_row([], |row| row.get(0).map(nat)).optional()?;
    Ok(found.unwrap_or(0))
}

fn read(connection: &Connection, after: u64) -> rusqlite::Result<Vec<AuditRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, body, person FROM event WHERE chain = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    statement.query_map([CHAIN, int(after), STEP], rows::audit_row)?.collect()
}

/// Hour or day, and what else a count is told apart by.
type Key<'a> = (u64, [&'a str; 5]);

#[derive(Default)]
struct Sums<'a> {
    hours: HashMap<Key<'a>, (u64, u64, u64)>,
    users: HashMap<Key<'a>, u64>,
}

impl<'a> Sums<'a> {
    fn add(&mut self, row: &'a AuditRow) {
        let key = [&*row.client, &*row.method, &*row.verdict, &*row.reason, &*row.protocol];
        let hour = self.hours.entry((row.time.0 / HOUR, key)).or_insert((0, row.sequence, row.sequence));
        *hour = (hour.0 + u64::from(row.count), hour.1, row.sequence);
        if let Some(user) = &row.user {
            let key = [user, &*row.client, &*row.method, &*row.verdict, &*row.reason];
            *self.users.entry((row.time.0 / DAY, key)).or_default() += u64::from(row.count);
        }
    }

    fn keep(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO rollup VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET
                 count = count + excluded.count, first = min(first, excluded.first), last = max(last, excluded.last)",
        )?;
        for ((hour, [client, method, verdict, reason, protocol]), (count, first, last)) in &self.hours {
            let (hour, count, first, last) = (int(*hour), int(*count), int(*first), int(*last));
            statement
                .execute(params![hour, client, method, verdict, reason, protocol, count, first, last])?;
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO rollup_user VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        for ((day, [user, client, method, verdict, reason]), count) in &self.users {
            statement.execute(params![int(*day), user, client, method, verdict, reason, int(*count)])?;
        }
        Ok(())
    }
}

/// Takes a user out of everything that is told apart by users.
pub(super) fn forget(connection: &Connection, user: &str) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM rollup_user WHERE user = ?1", [user])?;
    connection.execute("DELETE FROM trail_user WHERE user = ?1", [user]).map(drop)
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
    let day = int(last.time.0 / DAY);
    connection.execute("DELETE FROM rollup_user WHERE day < ?1", [day]).map(drop)
}

impl Reports for SqliteAdmin {
    fn catch_up(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), AdminFault> {
        loop {
            let stepped = step(&mut self.connection).map_err(Trouble::Sql);
            let Progress { done, newest } = self.blame(stepped)?;
            progress(done, newest);
            if done >= newest {
                return Ok(());
            }
        }
    }

    fn rows(
        &mut self,
        filter: &Filter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditRow>, AdminFault> {
        let mut found = Vec::new();
        let looked = find(&self.connection, filter, before.unwrap_or(u64::MAX), limit, &mut found);
        self.blame(looked.map_err(Trouble::Sql))?;
        Ok(found)
    }

    fn sums(&mut self, filter: &Filter, by: By) -> Result<Vec<Sum>, AdminFault> {
        let sums = if by.tells_users(filter) {
            user_sums(&self.connection, filter, by)
        } else {
            hour_sums(&self.connection, filter, by)
        };
        self.blame(sums.map_err(Trouble::Sql))
    }

    fn enabled_users(&mut self) -> Result<u64, AdminFault> {
        let sql = concat!("SELECT count(*) FROM user WHERE disabled = 0 AND ", rows::visible!("batch"));
        let count = self.connection.query_row(sql, [], |row| row.get(0).map(nat));
        self.blame(count.map_err(Trouble::Sql))
    }
}

/// Fills `found` with rows that fit, newest first.
fn find(
    connection: &Connection,
    filter: &Filter,
    before: u64,
    limit: usize,
    found: &mut Vec<AuditRow>,
) -> rusqlite::Result<()> {
    let by_key = |sql: &str, key: Value, found: &mut Vec<AuditRow>| -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![key, CHAIN, int(before)])?;
        while let Some(row) = rows.next()?.filter(|_| found.len() < limit) {
            found.extend(Some(rows::audit_row(row)?).filter(|row| filter.takes(row)));
        }
        Ok(())
    };
    if let Some(login) = filter.login {
        let sql = "SELECT event.seq, body, person FROM trail_login CROSS JOIN event ON chain = ?2 AND event.seq = trail_login.seq
             WHERE login = ?1 AND trail_login.seq < ?3 ORDER BY trail_login.seq DESC";
        return by_key(sql, int(login.number()).into(), found);
    }
    if let Some(user) = &filter.user {
        let sql = "SELECT event.seq, body, person FROM trail_user CROSS JOIN event ON chain = ?2 AND event.seq = trail_user.seq
             WHERE user = ?1 AND trail_user.seq < ?3 ORDER BY trail_user.seq DESC";
        return by_key(sql, user.as_str().to_owned().into(), found);
    }
    for (first, last) in ranges(connection, filter)? {
        scan(connection, filter, (first, last.min(before.saturating_sub(1))), limit, found)?;
        if found.len() >= limit {
            break;
        }
    }
    Ok(())
}

/// Between which rows some may fit, newest first: the hours that have any.
fn ranges(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<(u64, u64)>> {
    let (condition, values) = conditions(filter, "hour", HOUR);
    let sql = format!(
        "SELECT min(first), max(last) FROM rollup WHERE {condition} GROUP BY hour ORDER BY hour DESC"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let ranges = statement
        .query_map(params_from_iter(values), |row| Ok((nat(row.get(0)?), nat(row.get(1)?))))?
        .collect::<Result<Vec<_>, _>>()?;
    // Hours overlap where clocks differ: no row may come twice.
    let mut lowest = u64::MAX;
    let mut apart = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        apart.push((first, last.min(lowest.saturating_sub(1))));
        lowest = lowest.min(first);
    }
    Ok(apart)
}

fn scan(
    connection: &Connection,
    filter: &Filter,
    (first, last): (u64, u64),
    limit: usize,
    found: &mut Vec<AuditRow>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, body, person FROM event WHERE chain = ?1 AND seq >= ?2 AND seq <= ?3 ORDER BY seq DESC",
    )?;
    let mut rows = statement.query([CHAIN, int(first), int(last)])?;
    while let Some(row) = rows.next()?.filter(|_| found.len() < limit) {
        found.extend(Some(rows::audit_row(row)?).filter(|row| filter.takes(row)));
    }
    Ok(())
}

/// A filter as a condition on a roll-up whose time is in `column`, in units of so many milliseconds.
fn conditions(filter: &Filter, column: &str, unit: u64) -> (String, Vec<Value>) {
    let Filter { since, until, client, method, result, .. } = filter.rounded(unit);
    let mut condition = "1".to_owned();
    let mut values: Vec<Value> = Vec::new();
    let mut want = |what: &str, value: Value| {
        values.push(value);
        let _infallible = write!(condition, " AND {what} ?{}", values.len());
    };
    if let Some(since) = since {
        want(&format!("{column} >="), int(since.0 / unit).into());
    }
    if let Some(until) = until {
        want(&format!("{column} <"), int(until.0 / unit).into());
    }
    for (column, wanted) in [("client =", client), ("method =", method), ("verdict =", result)] {
        if let Some(wanted) = wanted {
            want(column, wanted.into());
        }
    }
    if let Some(user) = filter.user.as_ref().filter(|_| column == "day") {
        want("user =", user.as_str().to_owned().into());
    }
    (condition, values)
}

/// The columns of a [`Sum`] after its key.
const COUNTS: &str = "coalesce(sum(count) FILTER (WHERE verdict = 'accepted'), 0),
     coalesce(sum(count) FILTER (WHERE verdict = 'rejected'), 0),
     coalesce(sum(count) FILTER (WHERE verdict = 'retried'), 0),
     coalesce(sum(count) FILTER (WHERE verdict IN ('accepted', 'rejected')
         AND method NOT IN ('none', 'waived', 'bypass')), 0)";

fn sum_of(row: &rusqlite::Row<'_>, key: String, users: Option<u64>) -> rusqlite::Result<Sum> {
    Ok(Sum {
        key,
        accepted: nat(row.get(1)?),
        rejected: nat(row.get(2)?),
        retried: nat(row.get(3)?),
        factors: nat(row.get(4)?),
        users,
    })
}

/// Sums in which users are not told apart but where they are counted.
fn hour_sums(connection: &Connection, filter: &Filter, by: By) -> rusqlite::Result<Vec<Sum>> {
    let key = match by {
        By::Client => "client",
        By::Method => "method",
        By::Day => "hour / 24",
        By::Hour => "hour",
        By::Reason => "reason",
        By::Protocol | By::User | By::Country => "protocol",
    };
    let (condition, values) = conditions(filter, "hour", HOUR);
    let sql = format!(
        "SELECT {key} AS key, {COUNTS} FROM rollup WHERE verdict <> 'noted' AND {condition} GROUP BY key ORDER BY key"
    );
    let users =
        if matches!(by, By::Hour | By::Protocol) { None } else { Some(active(connection, filter, by)?) };
    let mut statement = connection.prepare_cached(&sql)?;
    let sums = statement.query_map(params_from_iter(values), |row| {
        let key = match by {
            By::Day => moment(nat(row.get(0)?), DAY),
            By::Hour => moment(nat(row.get(0)?), HOUR),
            _ => row.get(0)?,
        };
        let count = users.as_ref().map(|users| users.get(&key).copied().unwrap_or(0));
        sum_of(row, key, count)
    })?;
    sums.collect()
}

/// How many users were let in, by key; of whole days.
fn active(connection: &Connection, filter: &Filter, by: By) -> rusqlite::Result<HashMap<String, u64>> {
    let key = match by {
        By::Client => "client",
        By::Method => "method",
        By::Reason => "reason",
        _ => "day",
    };
    let (condition, values) = conditions(filter, "day", DAY);
    let sql = format!(
        "SELECT {key}, count(DISTINCT user) FROM rollup_user WHERE verdict = 'accepted' AND {condition} GROUP BY 1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let counts = statement.query_map(params_from_iter(values), |row| {
        let key = if by == By::Day { moment(nat(row.get(0)?), DAY) } else { row.get(0)? };
        Ok((key, nat(row.get(1)?)))
    })?;
    counts.collect()
}

/// Sums in which users are told apart.
fn user_sums(connection: &Connection, filter: &Filter, by: By) -> rusqlite::Result<Vec<Sum>> {
    let (condition, values) = conditions(filter, "day", DAY);
    if by == By::Country {
        return country_sums(connection, &condition, values);
    }
    let key = match by {
        By::Client => "client",
        By::Method => "method",
        By::Day | By::Hour => "day",
        By::Reason => "reason",
        By::User | By::Country | By::Protocol => "user",
    };
    let sql = format!(
        "SELECT {key} AS key, {COUNTS}, count(DISTINCT user) FILTER (WHERE verdict = 'accepted')
         FROM rollup_user WHERE verdict <> 'noted' AND {condition} GROUP BY key ORDER BY key"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let sums = statement.query_map(params_from_iter(values), |row| {
        let key = if key == "day" { moment(nat(row.get(0)?), DAY) } else { row.get(0)? };
        let users = nat(row.get(5)?);
        sum_of(row, key, Some(users))
    })?;
    sums.collect()
}

fn country_sums(connection: &Connection, condition: &str, values: Vec<Value>) -> rusqlite::Result<Vec<Sum>> {
    let sql = format!(
        "SELECT (SELECT phone FROM user WHERE name = rollup_user.user), {COUNTS} FROM rollup_user
         WHERE verdict <> 'noted' AND {condition} GROUP BY user"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut sums: std::collections::BTreeMap<String, Sum> = std::collections::BTreeMap::new();
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let key = country(&row.get::<_, Option<String>>(0)?.unwrap_or_default());
        let one = sum_of(row, key.clone(), None)?;
        let sum = sums.entry(key.clone()).or_insert_with(|| Sum { key, users: Some(0), ..Sum::default() });
        sum.accepted += one.accepted;
        sum.rejected += one.rejected;
        sum.retried += one.retried;
        sum.factors += one.factors;
        sum.users = sum.users.map(|users| users + u64::from(one.accepted > 0));
    }
    Ok(sums.into_values().collect())
}
