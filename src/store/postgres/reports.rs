//! What reports read of a store in a database: rows of the trail by its indexes, and sums over its roll-ups ([`super::rollup`]).
//!
//! Sums in which users are told apart read whole spans of days from `rollup_span` and the days at either end of them from
//! `rollup_user`; the database adds them up. Rows of a client, a method or a result are looked for in the hours that have any,
//! and a user's in the days.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::admin::PostgresAdmin;
use super::events::{self, Events, Place};
use super::link::Remedy;
use super::rollup::{self, Progress};
use super::session::{Trouble, Tx};
use crate::base::time::UnixTime;
use crate::store::admin::{AdminFault, AuditRow};
use crate::store::columns::{int, nat};
use crate::store::report::{By, DAY, Filter, HOUR, NO_FACTOR, Reports, Sum, country, moment};
use crate::store::rollup::Days;

impl Reports for PostgresAdmin {
    fn catch_up(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), AdminFault> {
        loop {
            let stepped = self.session.tx().and_then(|tx| Ok(tx.wait(rollup::step(tx.client))?));
            match stepped {
                Ok(Progress { done, total }) => {
                    progress(done, total);
                    if done >= total {
                        return Ok(());
                    }
                }
                // A server rolls up at the same time.
                Err(Trouble::Odd(odd)) if odd.remedy() == Remedy::Again => {}
                Err(trouble) => return self.blame(Err(trouble)),
            }
        }
    }

    fn rows(
        &mut self,
        filter: &Filter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditRow>, AdminFault> {
        self.read(|tx| {
            let place = match before {
                Some(number) => events::place(tx, number)?,
                None => None,
            };
            let mut found = Vec::new();
            for range in ranges(tx, filter)? {
                if found.len() >= limit {
                    break;
                }
                find(tx, filter, (range, place), limit, &mut found)?;
            }
            Ok(found)
        })
    }

    fn sums(&mut self, filter: &Filter, by: By) -> Result<Vec<Sum>, AdminFault> {
        self.read(|tx| match by {
            By::Country => country_sums(tx, filter),
            By::Day | By::Hour if by.tells_users(filter) => days_of_user(tx, filter),
            _ if by.tells_users(filter) => user_sums(tx, filter, by),
            _ => hour_sums(tx, filter, by),
        })
    }

    fn active_users(&mut self, filter: &Filter) -> Result<u64, AdminFault> {
        self.read(|tx| {
            let Some(part) = part(tx, filter)? else { return Ok(0) };
            let sql = format!(
                "SELECT count(*) FROM (SELECT DISTINCT name FROM {} WHERE verdict = 'accepted') AS active",
                part.condition
            );
            Ok(nat(tx.number(&sql, &part.values())?))
        })
    }

    fn enabled_users(&mut self) -> Result<u64, AdminFault> {
        self.read(|tx| Ok(nat(tx.number("SELECT count(*) FROM account WHERE NOT disabled", &[])?)))
    }
}

/// A time of rows, the end not included; `None` is open.
type Range = (Option<UnixTime>, Option<UnixTime>);

/// Adds rows that fit and stand before a place, newest first, until there are enough.
fn find(
    tx: &Tx<'_>,
    filter: &Filter,
    ((since, until), place): (Range, Option<Place>),
    limit: usize,
    found: &mut Vec<AuditRow>,
) -> Result<(), Trouble> {
    if place.zip(since).is_some_and(|((time, _), since)| time < int(since.0)) {
        return Ok(());
    }
    let events = Events::default()
        .with("name =", filter.user.as_ref().map(|user| user.as_str().to_owned()))
        .with("login =", filter.login.map(|login| int(login.number())))
        .with("time >=", since.max(filter.since).map(|since| int(since.0)))
        .with("time <", earlier(until, filter.until).map(|until| int(until.0)));
    events.each(tx, place, &mut |row| {
        if filter.takes(&row) {
            found.push(row);
        }
        found.len() < limit
    })
}

fn earlier(one: Option<UnixTime>, other: Option<UnixTime>) -> Option<UnixTime> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// When rows may fit, newest first.
fn ranges(tx: &Tx<'_>, filter: &Filter) -> Result<Vec<Range>, Trouble> {
    let Filter { client, method, result, login, user, .. } = filter;
    let narrow = [client, method, result].iter().any(|wanted| wanted.is_some());
    if !narrow || login.is_some() {
        return Ok(vec![(None, None)]);
    }
    let (table, column, wanted, unit) = if user.is_some() {
        let Some(days) = days(tx, filter)? else { return Ok(Vec::new()) };
        ("rollup_user", "day", Wanted::of_days(filter, days), DAY)
    } else {
        ("rollup", "hour", Wanted::at(filter, HOUR, "hour"), HOUR)
    };
    let sql =
        format!("SELECT DISTINCT {column} FROM {table} WHERE {} ORDER BY {column} DESC", wanted.condition);
    // Those that touch are one range.
    let mut ranges: Vec<[u64; 2]> = Vec::new();
    for row in tx.rows(&sql, &wanted.values())? {
        let number = nat(row.try_get(0)?);
        match ranges.last_mut() {
            Some([first, _]) if *first == number + 1 => *first = number,
            _ => ranges.push([number, number + 1]),
        }
    }
    let time = |number: u64| Some(UnixTime(number * unit));
    Ok(ranges.into_iter().map(|[first, end]| (time(first), time(end))).collect())
}

/// The days of a filter that anything is known of.
fn days(tx: &Tx<'_>, filter: &Filter) -> Result<Option<Days>, Trouble> {
    Ok(Days::of(tx.wait(rollup::days(tx.client))?, filter))
}

/// What a roll-up is to be read for.
struct Wanted {
    condition: String,
    values: Vec<Box<dyn ToSql + Sync>>,
}

impl Wanted {
    /// Client, method and result of a filter, at any time.
    fn everywhere(filter: &Filter) -> Wanted {
        let mut wanted = Wanted { condition: "verdict <> ''".to_owned(), values: Vec::new() };
        let Filter { client, method, result, .. } = filter;
        for (column, value) in [("client = ?", client), ("method = ?", method), ("verdict = ?", result)] {
            if let Some(value) = value {
                wanted.and(column, value.clone());
            }
        }
        wanted
    }

    /// The same at its time, in a table whose time is in `column`, in units of so many milliseconds.
    fn at(filter: &Filter, unit: u64, column: &str) -> Wanted {
        let mut wanted = Wanted::everywhere(filter);
        wanted.within(filter, unit, column);
        wanted
    }

    fn within(&mut self, filter: &Filter, unit: u64, column: &str) {
        let Filter { since, until, .. } = filter.rounded(unit);
        if let Some(since) = since {
            self.and(&format!("{column} >= ?"), int(since.0 / unit));
        }
        if let Some(until) = until {
            self.and(&format!("{column} < ?"), int(until.0 / unit));
        }
    }

    /// The same, and its user, on these days.
    fn of_days(filter: &Filter, days: Days) -> Wanted {
        let mut wanted = Wanted::everywhere(filter);
        wanted.and("day = ANY(?)", numbers(days.first..days.end));
        if let Some(user) = &filter.user {
            wanted.and("name = ?", user.as_str().to_owned());
        }
        wanted
    }

    /// And this, in which `?` is `value`.
    fn and(&mut self, what: &str, value: impl ToSql + Sync + 'static) {
        self.values.push(Box::new(value));
        let what = what.replacen('?', &format!("${}", self.values.len()), 1);
        let _infallible = write!(self.condition, " AND {what}");
    }

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value).collect()
    }
}

fn numbers(numbers: impl IntoIterator<Item = u64>) -> Vec<i64> {
    numbers.into_iter().map(int).collect()
}

/// What is told apart by users: whole spans of days and the days beside them, as something to select from. `None` where nothing
/// is known.
fn part(tx: &Tx<'_>, filter: &Filter) -> Result<Option<Wanted>, Trouble> {
    let Some(days) = days(tx, filter)? else { return Ok(None) };
    let (spans, days) = days.split();
    let mut wanted = Wanted::everywhere(filter);
    if let Some(user) = &filter.user {
        wanted.and("name = ?", user.as_str().to_owned());
    }
    let Wanted { condition, mut values } = wanted;
    let place = values.len();
    values.push(Box::new(numbers(spans)));
    values.push(Box::new(numbers(days)));
    let columns = "name, client, method, verdict, reason, count";
    let condition = format!(
        "(SELECT {columns} FROM rollup_span WHERE span = ANY(${}) AND {condition}
          UNION ALL SELECT {columns} FROM rollup_user WHERE day = ANY(${}) AND {condition}) AS part",
        place + 1,
        place + 2
    );
    Ok(Some(Wanted { condition, values }))
}

/// The columns of a [`Sum`] after its key.
fn counts() -> String {
    let none = NO_FACTOR.map(|method| format!("'{method}'")).join(", ");
    let sum = |which: &str| format!("CAST(coalesce(sum(CASE WHEN {which} THEN count END), 0) AS BIGINT)");
    [
        sum("verdict = 'accepted'"),
        sum("verdict = 'rejected'"),
        sum("verdict = 'retried'"),
        sum(&format!("verdict IN ('accepted', 'rejected') AND method NOT IN ({none})")),
    ]
    .join(", ")
}

fn sum_of(row: &Row, key: String, users: Option<u64>) -> Result<Sum, Trouble> {
    Ok(Sum {
        key,
        accepted: nat(row.try_get(1)?),
        rejected: nat(row.try_get(2)?),
        retried: nat(row.try_get(3)?),
        factors: nat(row.try_get(4)?),
        users,
    })
}

/// Sums in which users are not told apart but where they are counted.
fn hour_sums(tx: &Tx<'_>, filter: &Filter, by: By) -> Result<Vec<Sum>, Trouble> {
    let key = match by {
        By::Client => "client",
        By::Method => "method",
        By::Day => "CAST(floor(hour / 24) AS BIGINT)",
        By::Hour => "hour",
        By::Reason => "reason",
        By::Protocol | By::User | By::Country => "protocol",
    };
    let users = match by {
        By::Hour | By::Protocol => None,
        By::Day => Some(active_by_day(tx, filter)?),
        _ => Some(active(tx, filter, key)?),
    };
    let wanted = Wanted::at(filter, HOUR, "hour");
    let sql = format!(
        "SELECT {key} AS key, {} FROM rollup WHERE verdict <> 'noted' AND {} GROUP BY 1 ORDER BY 1",
        counts(),
        wanted.condition
    );
    let mut sums = Vec::new();
    for row in tx.rows(&sql, &wanted.values())? {
        let key = match by {
            By::Day => moment(nat(row.try_get(0)?), DAY),
            By::Hour => moment(nat(row.try_get(0)?), HOUR),
            _ => row.try_get(0)?,
        };
        let count = users.as_ref().map(|users| users.get(&key).copied().unwrap_or(0));
        sums.push(sum_of(&row, key, count)?);
    }
    Ok(sums)
}

/// How many users were let in, by `key`; of whole days.
fn active(tx: &Tx<'_>, filter: &Filter, key: &str) -> Result<HashMap<String, u64>, Trouble> {
    let Some(part) = part(tx, filter)? else { return Ok(HashMap::new()) };
    let sql = format!(
        "SELECT key, count(*) FROM (SELECT DISTINCT {key} AS key, name FROM {} WHERE verdict = 'accepted') AS active
         GROUP BY key",
        part.condition
    );
    tx.rows(&sql, &part.values())?.iter().map(|row| Ok((row.try_get(0)?, nat(row.try_get(1)?)))).collect()
}

/// How many users were let in on each day: counted when it was rolled up.
fn active_by_day(tx: &Tx<'_>, filter: &Filter) -> Result<HashMap<String, u64>, Trouble> {
    if filter.result.as_deref().is_some_and(|result| result != "accepted") {
        return Ok(HashMap::new());
    }
    let mut wanted = Wanted { condition: "users > 0".to_owned(), values: Vec::new() };
    wanted.and("client = ?", filter.client.clone().unwrap_or_default());
    wanted.and("method = ?", filter.method.clone().unwrap_or_default());
    wanted.within(filter, DAY, "day");
    let sql = format!("SELECT day, users FROM rollup_active WHERE {}", wanted.condition);
    let rows = tx.rows(&sql, &wanted.values())?;
    rows.iter().map(|row| Ok((moment(nat(row.try_get(0)?), DAY), nat(row.try_get(1)?)))).collect()
}

/// Sums in which users are told apart.
fn user_sums(tx: &Tx<'_>, filter: &Filter, by: By) -> Result<Vec<Sum>, Trouble> {
    let key = match by {
        By::Client => "client",
        By::Method => "method",
        By::Reason => "reason",
        By::User | By::Country | By::Protocol | By::Day | By::Hour => "name",
    };
    let Some(part) = part(tx, filter)? else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT {key} AS key, {} FROM {} WHERE verdict <> 'noted' GROUP BY 1 ORDER BY 1",
        counts(),
        part.condition
    );
    let mut sums = Vec::new();
    for row in tx.rows(&sql, &part.values())? {
        let sum = sum_of(&row, row.try_get(0)?, None)?;
        // Whatever is told apart beside, it is of one user.
        sums.push(Sum { users: Some(u64::from(sum.accepted > 0)), ..sum });
    }
    Ok(sums)
}

/// The days of one user.
fn days_of_user(tx: &Tx<'_>, filter: &Filter) -> Result<Vec<Sum>, Trouble> {
    let Some(days) = days(tx, filter)? else { return Ok(Vec::new()) };
    let wanted = Wanted::of_days(filter, days);
    let sql = format!(
        "SELECT day, {}, count(DISTINCT CASE WHEN verdict = 'accepted' THEN name END)
         FROM rollup_user WHERE verdict <> 'noted' AND {} GROUP BY day ORDER BY day",
        counts(),
        wanted.condition
    );
    let mut sums = Vec::new();
    for row in tx.rows(&sql, &wanted.values())? {
        let users = nat(row.try_get(5)?);
        sums.push(sum_of(&row, moment(nat(row.try_get(0)?), DAY), Some(users))?);
    }
    Ok(sums)
}

/// Sums of users, by the country codes of their telephone numbers.
fn country_sums(tx: &Tx<'_>, filter: &Filter) -> Result<Vec<Sum>, Trouble> {
    let Some(part) = part(tx, filter)? else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT coalesce(account.phone, ''), of_user.* FROM (
             SELECT name, {} FROM {} WHERE verdict <> 'noted' GROUP BY name
         ) AS of_user (name, accepted, rejected, retried, factors) LEFT JOIN account ON account.name = of_user.name",
        counts(),
        part.condition
    );
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for row in tx.rows(&sql, &part.values())? {
        let key = country(row.try_get(0)?);
        let one = Sum {
            accepted: nat(row.try_get(2)?),
            rejected: nat(row.try_get(3)?),
            retried: nat(row.try_get(4)?),
            factors: nat(row.try_get(5)?),
            ..Sum::default()
        };
        let sum = sums.entry(key.clone()).or_insert_with(|| Sum { key, users: Some(0), ..Sum::default() });
        sum.users = sum.users.map(|users| users + u64::from(one.accepted > 0));
        sum.add(&one);
    }
    Ok(sums.into_values().collect())
}
