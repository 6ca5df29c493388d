//! What reports read: rows of the trail by its indexes, and sums over its roll-ups ([`super::rollup`]).
//!
//! No report reads more than a page of rows. Sums in which users are told apart read whole spans of days from `rollup_span`
//! and the days at either end of them from `rollup_user`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::admin::{SqliteAdmin, Trouble};
use super::keeper::checkpoint;
use super::rollup::{self, Progress};
use super::rows::{self, CHAIN, int, nat};
use crate::base::name::UserName;
use crate::store::admin::{AdminFault, AuditRow};
use crate::store::report::{By, DAY, Filter, HOUR, NO_FACTOR, Reports, Sum, country, moment};
use crate::store::rollup::Days;

impl Reports for SqliteAdmin {
    fn catch_up(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), AdminFault> {
        loop {
            let stepped = rollup::step(&mut self.connection);
            let stepped = stepped.and_then(|done| checkpoint(&mut self.connection).map(|()| done));
            let Progress { done, newest, .. } = self.blame(stepped.map_err(Trouble::Sql))?;
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

    fn active_users(&mut self, filter: &Filter) -> Result<u64, AdminFault> {
        let count = active_in_all(&self.connection, filter);
        self.blame(count.map_err(Trouble::Sql))
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
    if let Some(login) = filter.login {
        let mut statement = connection.prepare_cached(
            "SELECT event.seq, body, person FROM trail_login CROSS JOIN event ON chain = ?2 AND event.seq = trail_login.seq
             WHERE login = ?1 AND trail_login.seq < ?3 ORDER BY trail_login.seq DESC",
        )?;
        let rows = statement.query(params![int(login.number()), CHAIN, int(before)])?;
        return take(rows, filter, limit, found);
    }
    for (first, last) in ranges(connection, filter)? {
        let last = last.min(before.saturating_sub(1));
        if let Some(user) = &filter.user {
            let mut statement = connection.prepare_cached(
                "SELECT event.seq, body, person FROM trail_user CROSS JOIN event ON chain = ?2 AND event.seq = trail_user.seq
                 WHERE user = ?1 AND trail_user.seq BETWEEN ?3 AND ?4 ORDER BY trail_user.seq DESC",
            )?;
            let rows = statement.query(params![user.as_str(), CHAIN, int(first), int(last)])?;
            take(rows, filter, limit, found)?;
        } else {
            let mut statement = connection.prepare_cached(
                "SELECT seq, body, person FROM event WHERE chain = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq DESC",
            )?;
            take(statement.query([CHAIN, int(first), int(last)])?, filter, limit, found)?;
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok(())
}

/// Takes rows that fit, until there are enough.
fn take(
    mut rows: rusqlite::Rows<'_>,
    filter: &Filter,
    limit: usize,
    found: &mut Vec<AuditRow>,
) -> rusqlite::Result<()> {
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        found.extend(Some(rows::audit_row(row)?).filter(|row| filter.takes(row)));
    }
    Ok(())
}

/// Between which rows some may fit, newest first: the hours that have any, and of a user the days.
fn ranges(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<(u64, u64)>> {
    let Filter { since, until, client, method, result, .. } = filter;
    let narrow = [client, method, result].iter().any(|wanted| wanted.is_some());
    if !narrow && since.is_none() && until.is_none() {
        return Ok(vec![(0, int_max())]);
    }
    let mut wanted = Wanted::at(filter, HOUR, "hour");
    if let Some(user) = filter.user.as_ref().filter(|_| narrow) {
        let days = days_of(connection, filter, user)?;
        wanted.and("hour / 24 IN (SELECT value FROM json_each(?))", days.into());
    }
    let sql = format!(
        "SELECT min(first), max(last) FROM rollup WHERE {} GROUP BY hour ORDER BY hour DESC",
        wanted.condition
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let ranges = statement
        .query_map(params_from_iter(wanted.values), |row| Ok((nat(row.get(0)?), nat(row.get(1)?))))?
        .collect::<Result<Vec<_>, _>>()?;
    // Hours overlap where clocks differ: no row may come twice. Those that touch are one range.
    let mut lowest = u64::MAX;
    let mut apart: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        let last = last.min(lowest.saturating_sub(1));
        lowest = lowest.min(first);
        match apart.last_mut() {
            Some(later) if later.0 == last + 1 && first <= last => later.0 = first,
            _ => apart.push((first, last)),
        }
    }
    Ok(apart)
}

/// More rows than there are.
fn int_max() -> u64 {
    i64::MAX.cast_unsigned()
}

/// The days, as a JSON array, on which `user` has rows that fit.
fn days_of(connection: &Connection, filter: &Filter, user: &UserName) -> rusqlite::Result<String> {
    let Some(days) = known_days(connection, filter)? else { return Ok("[]".to_owned()) };
    let mut wanted = Wanted::everywhere(filter);
    wanted.and("day IN (SELECT value FROM json_each(?))", array(days.first..days.end).into());
    wanted.and("user = ?", user.as_str().to_owned().into());
    let sql = format!("SELECT DISTINCT day FROM rollup_user WHERE {}", wanted.condition);
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(wanted.values), |row| row.get(0).map(nat))?;
    Ok(array(found.collect::<Result<Vec<_>, _>>()?))
}

/// A JSON array.
fn array(numbers: impl IntoIterator<Item = u64>) -> String {
    let numbers: Vec<String> = numbers.into_iter().map(|number| number.to_string()).collect();
    format!("[{}]", numbers.join(","))
}

/// What a roll-up is to be read for.
struct Wanted {
    condition: String,
    values: Vec<Value>,
}

impl Wanted {
    /// Client, method and result of a filter, at any time.
    fn everywhere(filter: &Filter) -> Wanted {
        let mut wanted = Wanted { condition: "1".to_owned(), values: Vec::new() };
        let Filter { client, method, result, .. } = filter;
        for (column, value) in [("client = ?", client), ("method = ?", method), ("verdict = ?", result)] {
            if let Some(value) = value {
                wanted.and(column, value.clone().into());
            }
        }
        wanted
    }

    /// The same at its time, in a table whose time is in `column`, in units of so many milliseconds.
    fn at(filter: &Filter, unit: u64, column: &str) -> Wanted {
        let mut wanted = Wanted::everywhere(filter);
        let Filter { since, until, .. } = filter.rounded(unit);
        if let Some(since) = since {
            wanted.and(&format!("{column} >= ?"), int(since.0 / unit).into());
        }
        if let Some(until) = until {
            wanted.and(&format!("{column} < ?"), int(until.0 / unit).into());
        }
        wanted
    }

    /// And this, in which `?` is `value`.
    fn and(&mut self, what: &str, value: Value) {
        self.values.push(value);
        let what = what.replacen('?', &format!("?{}", self.values.len()), 1);
        let _infallible = write!(self.condition, " AND {what}");
    }
}

/// The days of a filter that anything is known of.
fn known_days(connection: &Connection, filter: &Filter) -> rusqlite::Result<Option<Days>> {
    Ok(Days::of(rollup::days(connection)?, filter))
}

/// Reads what is told apart by users, unit by unit in the order of its table, so that nothing has to be sorted: `columns` of
/// whole spans of days, and of the days beside them. `rest` follows the condition.
fn each(
    connection: &Connection,
    filter: &Filter,
    (columns, rest): (&str, &str),
    take: &mut dyn FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let Some(days) = known_days(connection, filter)? else { return Ok(()) };
    let (spans, days) = days.split();
    let mut wanted = Wanted::everywhere(filter);
    if let Some(user) = &filter.user {
        wanted.and("user = ?", user.as_str().to_owned().into());
    }
    let Wanted { condition, mut values } = wanted;
    let place = values.len() + 1;
    values.push(Value::Null);
    for (table, unit, numbers) in [("rollup_span", "span", spans), ("rollup_user", "day", days)] {
        let sql = format!("SELECT {columns} FROM {table} WHERE {unit} = ?{place} AND {condition} {rest}");
        let mut statement = connection.prepare_cached(&sql)?;
        for number in numbers {
            if let Some(last) = values.last_mut() {
                *last = int(number).into();
            }
            let mut rows = statement.query(params_from_iter(&values))?;
            while let Some(row) = rows.next()? {
                take(row)?;
            }
        }
    }
    Ok(())
}

/// The columns of a [`Sum`] after its key.
fn counts() -> String {
    let none = NO_FACTOR.map(|method| format!("'{method}'")).join(", ");
    format!(
        "coalesce(sum(count) FILTER (WHERE verdict = 'accepted'), 0),
         coalesce(sum(count) FILTER (WHERE verdict = 'rejected'), 0),
         coalesce(sum(count) FILTER (WHERE verdict = 'retried'), 0),
         coalesce(sum(count) FILTER (WHERE verdict IN ('accepted', 'rejected') AND method NOT IN ({none})), 0)"
    )
}

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
    let Wanted { condition, values } = Wanted::at(filter, HOUR, "hour");
    let counts = counts();
    let sql = format!(
        "SELECT {key} AS key, {counts} FROM rollup WHERE verdict <> 'noted' AND {condition} GROUP BY key ORDER BY key"
    );
    let users = match by {
        By::Hour | By::Protocol => None,
        By::Day => Some(active_by_day(connection, filter)?),
        _ => Some(active(connection, filter, key)?),
    };
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

/// How many users were let in, by `key`; of whole days.
fn active(connection: &Connection, filter: &Filter, key: &str) -> rusqlite::Result<HashMap<String, u64>> {
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let mut seen: HashMap<String, HashSet<u32>> = HashMap::new();
    // Rows of one user stand together, and so almost always does what is told apart.
    let (mut user, mut number, mut last) = (String::new(), 0, String::new());
    each(connection, filter, (&format!("user, {key}"), "AND verdict = 'accepted'"), &mut |row| {
        let (who, what) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
        if who == user && what == last {
            return Ok(());
        }
        if who != user {
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            number = match numbers.get(who) {
                Some(number) => *number,
                None => *numbers.entry(who.to_owned()).or_insert(next),
            };
            who.clone_into(&mut user);
        }
        what.clone_into(&mut last);
        match seen.get_mut(what) {
            Some(users) => users.insert(number),
            None => seen.entry(what.to_owned()).or_default().insert(number),
        };
        Ok(())
    })?;
    Ok(seen.into_iter().map(|(key, users)| (key, users.len() as u64)).collect())
}

/// How many users were let in at all.
fn active_in_all(connection: &Connection, filter: &Filter) -> rusqlite::Result<u64> {
    let mut users: HashSet<String> = HashSet::new();
    let mut last = String::new();
    each(connection, filter, ("user", "AND verdict = 'accepted'"), &mut |row| {
        let user = row.get_ref(0)?.as_str()?;
        if user != last {
            user.clone_into(&mut last);
            if !users.contains(user) {
                users.insert(user.to_owned());
            }
        }
        Ok(())
    })?;
    Ok(users.len() as u64)
}

/// How many users were let in on each day: counted when it was rolled up.
fn active_by_day(connection: &Connection, filter: &Filter) -> rusqlite::Result<HashMap<String, u64>> {
    if filter.result.as_deref().is_some_and(|result| result != "accepted") {
        return Ok(HashMap::new());
    }
    let any = |wanted: &Option<String>| Some(wanted.clone().unwrap_or_default());
    let cell =
        Filter { client: any(&filter.client), method: any(&filter.method), result: None, ..filter.clone() };
    let Wanted { condition, values } = Wanted::at(&cell, DAY, "day");
    let sql = format!("SELECT day, users FROM rollup_active WHERE {condition}");
    let mut statement = connection.prepare_cached(&sql)?;
    let counts = statement
        .query_map(params_from_iter(values), |row| Ok((moment(nat(row.get(0)?), DAY), nat(row.get(1)?))))?;
    counts.collect()
}

/// Sums in which users are told apart.
fn user_sums(connection: &Connection, filter: &Filter, by: By) -> rusqlite::Result<Vec<Sum>> {
    if matches!(by, By::Day | By::Hour) {
        return days_of_user(connection, filter);
    }
    let key = match by {
        By::Client => "client",
        By::Method => "method",
        By::Reason => "reason",
        By::User | By::Country | By::Protocol | By::Day | By::Hour => "user",
    };
    let mut sums: HashMap<String, Sum> = HashMap::new();
    each(
        connection,
        filter,
        (&format!("{key}, {}", counts()), &format!("AND verdict <> 'noted' GROUP BY {key}")),
        &mut |row| {
            let key = row.get_ref(0)?.as_str()?;
            let one = sum_of(row, String::new(), None)?;
            match sums.get_mut(key) {
                Some(sum) => sum.add(&one),
                None => drop(sums.insert(key.to_owned(), one)),
            }
            Ok(())
        },
    )?;
    if by == By::Country {
        return country_sums(connection, &sums);
    }
    // Whatever is told apart beside, it is of one user.
    let finish = |(key, sum): (String, Sum)| Sum { key, users: Some(u64::from(sum.accepted > 0)), ..sum };
    let mut sums: Vec<Sum> = sums.into_iter().map(finish).collect();
    sums.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    Ok(sums)
}

/// The days of one user.
fn days_of_user(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Sum>> {
    let Some(days) = known_days(connection, filter)? else { return Ok(Vec::new()) };
    let mut wanted = Wanted::everywhere(filter);
    wanted.and("day IN (SELECT value FROM json_each(?))", array(days.first..days.end).into());
    if let Some(user) = &filter.user {
        wanted.and("user = ?", user.as_str().to_owned().into());
    }
    let counts = counts();
    let sql = format!(
        "SELECT day, {counts}, count(DISTINCT user) FILTER (WHERE verdict = 'accepted')
         FROM rollup_user WHERE verdict <> 'noted' AND {} GROUP BY day ORDER BY day",
        wanted.condition
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let sums = statement.query_map(params_from_iter(wanted.values), |row| {
        let users = nat(row.get(5)?);
        sum_of(row, moment(nat(row.get(0)?), DAY), Some(users))
    })?;
    sums.collect()
}

/// Sums of users, by the country codes of their telephone numbers.
fn country_sums(connection: &Connection, users: &HashMap<String, Sum>) -> rusqlite::Result<Vec<Sum>> {
    let mut statement = connection.prepare_cached("SELECT phone FROM user WHERE name = ?1")?;
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for (user, one) in users {
        let phone = statement.query_row([user], |row| row.get::<_, Option<String>>(0)).optional()?.flatten();
        let key = country(&phone.unwrap_or_default());
        let sum = sums.entry(key.clone()).or_insert_with(|| Sum { key, users: Some(0), ..Sum::default() });
        sum.add(one);
        sum.users = sum.users.map(|users| users + u64::from(one.accepted > 0));
    }
    Ok(sums.into_values().collect())
}
