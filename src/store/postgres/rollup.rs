//! Roll-ups of the trail ([`crate::store::rollup`]), made behind the logins, for the reports that read them
//! ([`super::reports`]).
//!
//! `rolled` says of each chain up to which row they say everything. Whoever makes them, a server or a report, takes a step in one
//! transaction, which holds the counter `rollup`, so that one is made at a time whoever makes it and what it reads of the
//! others' is whole. No lock of a login's is taken. Who is erased is taken out under the same lock.

use std::collections::{BTreeMap, HashSet};

use tokio_postgres::Client;

use super::rows::Odd;
use super::schema::CHAIN_ROWS;
use crate::base::time::UnixTime;
use crate::store::admin::AuditRow;
use crate::store::columns::{int, nat};
use crate::store::packed;
use crate::store::report::{DAY, HOUR};
use crate::store::rollup::{Key, SPAN, Sums, cells};

/// The tables.
pub(super) const TABLES: &str = r#"
     CREATE TABLE rolled (chain BIGINT PRIMARY KEY, number BIGINT NOT NULL);
     INSERT INTO counter VALUES ('rollup', 0);
     CREATE TABLE rollup (
         hour BIGINT NOT NULL, client TEXT COLLATE "C" NOT NULL, method TEXT COLLATE "C" NOT NULL,
         verdict TEXT COLLATE "C" NOT NULL, reason TEXT COLLATE "C" NOT NULL, protocol TEXT COLLATE "C" NOT NULL,
         count BIGINT NOT NULL,
         PRIMARY KEY (hour, client, method, verdict, reason, protocol)
     );
     CREATE TABLE rollup_user (
         day BIGINT NOT NULL, name TEXT COLLATE "C" NOT NULL, client TEXT COLLATE "C" NOT NULL,
         method TEXT COLLATE "C" NOT NULL, verdict TEXT COLLATE "C" NOT NULL, reason TEXT COLLATE "C" NOT NULL,
         count BIGINT NOT NULL,
         PRIMARY KEY (day, name, client, method, verdict, reason)
     );
     CREATE TABLE rollup_span (
         span BIGINT NOT NULL, name TEXT COLLATE "C" NOT NULL, client TEXT COLLATE "C" NOT NULL,
         method TEXT COLLATE "C" NOT NULL, verdict TEXT COLLATE "C" NOT NULL, reason TEXT COLLATE "C" NOT NULL,
         count BIGINT NOT NULL,
         PRIMARY KEY (span, name, client, method, verdict, reason)
     );
     CREATE TABLE rollup_active (
         day BIGINT NOT NULL, client TEXT COLLATE "C" NOT NULL, method TEXT COLLATE "C" NOT NULL, users BIGINT NOT NULL,
         PRIMARY KEY (day, client, method)
     );"#;

/// Rows rolled up in one transaction.
const STEP: i64 = 1_000;

/// How far the roll-ups have come, in rows of all chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) done: u64,
    pub(super) total: u64,
}

/// Takes one step.
pub(super) async fn step(client: &Client) -> Result<Progress, Odd> {
    locked(client, take(client)).await
}

/// Runs `body` in a transaction that nobody else rolls up beside, and that leaves nothing where it fails.
async fn locked<T>(client: &Client, body: impl Future<Output = Result<T, Odd>>) -> Result<T, Odd> {
    client.batch_execute("BEGIN").await?;
    let done = async {
        client.query_one("SELECT value FROM counter WHERE name = 'rollup' FOR UPDATE", &[]).await?;
        let done = body.await?;
        client.batch_execute("COMMIT").await?;
        Ok(done)
    };
    let done = done.await;
    if done.is_err() {
        // The connection may be gone, and the transaction with it.
        let _gone = client.batch_execute("ROLLBACK").await;
    }
    done
}

async fn take(client: &Client) -> Result<Progress, Odd> {
    let sql = "SELECT chain.chain, head, coalesce(rolled.number, 0)
        FROM chain LEFT JOIN rolled ON rolled.chain = chain.chain ORDER BY chain.chain";
    let mut progress = Progress { done: 0, total: 0 };
    // The chain that waits with the most: its head, and how far it is rolled up.
    let mut behind: Option<[i64; 3]> = None;
    for row in client.query(sql, &[]).await? {
        let (chain, head, rolled): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        progress.total += nat(head);
        progress.done += nat(rolled);
        let waits_longer = |[_, other, its]: [i64; 3]| head - rolled > other - its;
        if rolled < head && behind.is_none_or(waits_longer) {
            behind = Some([chain, head, rolled]);
        }
    }
    let Some([chain, head, rolled]) = behind else { return Ok(progress) };
    let base = chain.saturating_mul(CHAIN_ROWS);
    let sql =
        "SELECT number, body, person FROM event WHERE number > $1 AND number < $2 ORDER BY number LIMIT $3";
    let found = client.query(sql, &[&(base + rolled), &(base + CHAIN_ROWS), &STEP]).await?;
    let mut rows = Vec::with_capacity(found.len());
    for row in &found {
        let read = packed::read(nat(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?);
        rows.push(read.map_err(|_| Odd::Damaged("a row of the trail"))?);
    }
    let last = rows.last().map_or(rolled, |row| int(row.sequence) - base);
    // Where there are fewer, those up to the head that are not among them were pruned.
    let reached = if int(rows.len() as u64) < STEP { last.max(head) } else { last };
    keep(client, &rows).await?;
    let sql = "INSERT INTO rolled VALUES ($1, $2) ON CONFLICT (chain) DO UPDATE SET number = excluded.number";
    client.execute(sql, &[&chain, &reached]).await?;
    progress.done += nat(reached - rolled);
    progress.total = progress.total.max(progress.done);
    Ok(progress)
}

async fn keep(client: &Client, rows: &[AuditRow]) -> Result<(), Odd> {
    let mut sums = Sums::default();
    for row in rows {
        sums.add(row);
    }
    let hours: BTreeMap<Key<'_>, u64> = sums.hours.iter().map(|(key, (count, ..))| (*key, *count)).collect();
    add(client, ("rollup", "hour", "client, method, verdict, reason, protocol"), &hours).await?;
    keep_active(client, &sums).await?;
    let columns = "name, client, method, verdict, reason";
    add(client, ("rollup_user", "day", columns), &sums.by_days(1)).await?;
    add(client, ("rollup_span", "span", columns), &sums.by_days(SPAN)).await
}

/// Adds `sums` to a table with this unit of time and these five columns.
async fn add(
    client: &Client,
    (table, unit, columns): (&str, &str, &str),
    sums: &BTreeMap<Key<'_>, u64>,
) -> Result<(), Odd> {
    if sums.is_empty() {
        return Ok(());
    }
    let times: Vec<i64> = sums.keys().map(|(time, _)| int(*time)).collect();
    let mut texts = [const { Vec::new() }; 5];
    for (_, key) in sums.keys() {
        texts.iter_mut().zip(key).for_each(|(column, text)| column.push(*text));
    }
    let [one, two, three, four, five] = &texts;
    let counts: Vec<i64> = sums.values().map(|count| int(*count)).collect();
    let sql = format!(
        "INSERT INTO {table} ({unit}, {columns}, count)
         SELECT {unit}, {columns}, count
         FROM unnest($1::BIGINT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::BIGINT[])
             AS new ({unit}, {columns}, count)
         ON CONFLICT ({unit}, {columns}) DO UPDATE SET count = {table}.count + excluded.count"
    );
    client.execute(&sql, &[&times, one, two, three, four, five, &counts]).await?;
    Ok(())
}

/// Counts users who were let in for the first time that day, there, so. To be called before these rows are in `rollup_user`,
/// which says where a user was let in before.
async fn keep_active(client: &Client, sums: &Sums<'_>) -> Result<(), Odd> {
    let ways = sums.ways();
    if ways.is_empty() {
        return Ok(());
    }
    let days: Vec<i64> = ways.keys().map(|(day, _)| int(*day)).collect();
    let names: Vec<&str> = ways.keys().map(|(_, name)| *name).collect();
    let sql = "SELECT DISTINCT known.day, known.name, known.client, known.method
        FROM unnest($1::BIGINT[], $2::TEXT[]) AS who (day, name)
        JOIN rollup_user AS known ON known.day = who.day AND known.name = who.name
        WHERE known.verdict = 'accepted'";
    let found = client.query(sql, &[&days, &names]).await?;
    let mut known: BTreeMap<(u64, &str), HashSet<(&str, &str)>> = BTreeMap::new();
    for row in &found {
        let way = (row.try_get(2)?, row.try_get(3)?);
        known.entry((nat(row.try_get(0)?), row.try_get(1)?)).or_default().insert(way);
    }
    let mut first: BTreeMap<(u64, &str, &str), i64> = BTreeMap::new();
    for (who, ways) in &ways {
        let before = known.get(who).map(cells).unwrap_or_default();
        for (at, with) in cells(ways) {
            if !before.contains(&(at, with)) {
                *first.entry((who.0, at, with)).or_default() += 1;
            }
        }
    }
    let sql = "INSERT INTO rollup_active (day, client, method, users)
        SELECT day, client, method, users
        FROM unnest($1::BIGINT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[]) AS new (day, client, method, users)
        ON CONFLICT (day, client, method) DO UPDATE SET users = rollup_active.users + excluded.users";
    count_active(client, sql, &first).await
}

async fn count_active(
    client: &Client,
    sql: &str,
    counts: &BTreeMap<(u64, &str, &str), i64>,
) -> Result<(), Odd> {
    let days: Vec<i64> = counts.keys().map(|(day, ..)| int(*day)).collect();
    let clients: Vec<&str> = counts.keys().map(|(_, client, _)| *client).collect();
    let methods: Vec<&str> = counts.keys().map(|(.., method)| *method).collect();
    let users: Vec<i64> = counts.values().copied().collect();
    client.execute(sql, &[&days, &clients, &methods, &users]).await?;
    Ok(())
}

/// The first and the last day that anything is rolled up of.
pub(super) async fn days(client: &Client) -> Result<Option<[u64; 2]>, Odd> {
    let row = client.query_one("SELECT min(hour), max(hour) FROM rollup", &[]).await?;
    let ends = row.try_get::<_, Option<i64>>(0)?.zip(row.try_get::<_, Option<i64>>(1)?);
    Ok(ends.map(|(first, last)| [nat(first) / 24, nat(last) / 24]))
}

/// Takes a user out of everything that is told apart by users. Call it when no row names the user any more.
pub(super) async fn forget(client: &Client, name: &str) -> Result<(), Odd> {
    locked(client, async {
        let Some([first, last]) = days(client).await? else { return Ok(()) };
        let days: Vec<i64> = (int(first)..=int(last)).collect();
        let spans: Vec<i64> = (int(first / SPAN)..=int(last / SPAN)).collect();
        // Day by day, since that is how the tables are sorted: nothing is read but what is this user's.
        let sql = "SELECT DISTINCT day, client, method FROM rollup_user
            WHERE day = ANY($1) AND name = $2 AND verdict = 'accepted'";
        let found = client.query(sql, &[&days, &name]).await?;
        let mut ways: BTreeMap<u64, HashSet<(&str, &str)>> = BTreeMap::new();
        for row in &found {
            ways.entry(nat(row.try_get(0)?)).or_default().insert((row.try_get(1)?, row.try_get(2)?));
        }
        let counted = ways.iter().flat_map(|(day, ways)| {
            cells(ways).into_iter().map(|(client, method)| ((*day, client, method), 1)).collect::<Vec<_>>()
        });
        let sql = "UPDATE rollup_active SET users = rollup_active.users - less.users
            FROM unnest($1::BIGINT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[]) AS less (day, client, method, users)
            WHERE rollup_active.day = less.day AND rollup_active.client = less.client
                AND rollup_active.method = less.method";
        count_active(client, sql, &counted.collect()).await?;
        client.execute("DELETE FROM rollup_user WHERE day = ANY($1) AND name = $2", &[&days, &name]).await?;
        client.execute("DELETE FROM rollup_span WHERE span = ANY($1) AND name = $2", &[&spans, &name]).await?;
        Ok(())
    })
    .await
}

/// Takes out what is rolled up of whole hours, days and spans before `time`, when the rows are pruned.
pub(super) async fn prune(client: &Client, time: UnixTime) -> Result<(), Odd> {
    locked(client, async {
        let day = time.0 / DAY;
        client.execute("DELETE FROM rollup WHERE hour < $1", &[&int(time.0 / HOUR)]).await?;
        client.execute("DELETE FROM rollup_active WHERE day < $1", &[&int(day)]).await?;
        client.execute("DELETE FROM rollup_span WHERE span < $1", &[&int(day / SPAN)]).await?;
        client.execute("DELETE FROM rollup_user WHERE day < $1", &[&int(day)]).await?;
        Ok(())
    })
    .await
}
