//! Rows to SQL and back.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use super::hot::tally_number;
use super::seat::{Expiry, Held, Seat, Tokens};
use crate::base::name::{GroupName, UserName};
use crate::base::time::UnixTime;
use crate::engine::account::{Account, TokenId, UserId};
use crate::engine::question::UserAnswer;
use crate::engine::record::{LoginId, Row};
use crate::factor::oath::{Algorithm, Digits, Drift, Moving, Parameters};
use crate::store::admin::{AuditFilter, AuditRow};

/// The one chain of a store that all its processes append to.
pub(super) const CHAIN: i64 = 1;

/// True of a user or token (`batch` column named by `$column`) that no import under way owns.
macro_rules! visible {
    ($column:literal) => {
        concat!("(", $column, " IS NULL OR ", $column, " NOT IN (SELECT id FROM batch))")
    };
}
pub(super) use visible;

/// SQLite's integers have a sign; sequences, times and steps stay below 2⁶³ for longer than anybody waits.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Back from [`int`].
pub(super) fn nat(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The statement that [`append`] runs, to be asked for once in a transaction.
pub(super) fn appender(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(
        "INSERT INTO event (chain, seq, time, login, client, source, user, user_id, station, verdict, reason,
             method, protocol, device, token, step, tally, took, drift)
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )
}

/// Appends `row` as number `seq`. `text` is scratch space.
pub(super) fn append(
    appender: &mut CachedStatement<'_>,
    seq: u64,
    row: &Row,
    text: &mut String,
) -> rusqlite::Result<()> {
    text.clear();
    let _infallible = write!(text, "{}", row.source);
    appender.execute(params![
        int(seq),
        int(row.time.0),
        int(row.login.number()),
        row.client.as_str(),
        text.as_str(),
        row.user.as_ref().map(UserName::as_str),
        row.user_id.map(|user| user.0),
        row.station.as_deref(),
        row.verdict.code(),
        row.reason.code(),
        row.method.code(),
        row.protocol,
        row.device.as_deref(),
        row.spent.map(|(token, _)| token.0),
        row.spent.map(|(_, step)| int(step)),
        tally_number(row.tally),
        i64::try_from(row.took.as_micros()).unwrap_or(i64::MAX),
        row.drift.map(Drift::sixteenths),
    ])?;
    Ok(())
}

/// Reads a user as the tables have it, without what the rows after the watermark add. Call it in a transaction.
pub(super) fn seat(connection: &Connection, user: &UserName) -> rusqlite::Result<Option<Seat>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT user.id, disabled, password_hash, failures, last_failure, member_of
         FROM user LEFT JOIN user_state ON user_state.user = user.id WHERE name = ?1 AND ",
        visible!("batch")
    ))?;
    let found = statement.query_row([user.as_str()], seat_of).optional()?;
    let Some(mut seat) = found else { return Ok(None) };
    let mut statement = connection.prepare_cached(concat!(
        "SELECT token.id, serial, enabled, algorithm, digits, interval, seed, last_step, drift,
             expires
         FROM token LEFT JOIN token_state ON token_state.token = token.id WHERE user = ?1 AND ",
        visible!("batch"),
        " ORDER BY token.id"
    ))?;
    let tokens = statement.query_map([seat.id.0], held_of)?.collect::<Result<Vec<_>, _>>()?;
    seat.tokens = tokens.into();
    Ok(Some(seat))
}

/// Reads up to `limit` users after number `after` with their tokens, by number. Call it in a transaction.
pub(super) fn seats(
    connection: &Connection,
    after: i64,
    limit: usize,
) -> rusqlite::Result<Vec<(String, Seat)>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT user.id, disabled, password_hash, failures, last_failure, member_of, name
         FROM user LEFT JOIN user_state ON user_state.user = user.id WHERE user.id > ?1 AND ",
        visible!("batch"),
        " ORDER BY user.id LIMIT ?2"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let users = statement.query_map([after, limit], |row| Ok((row.get::<_, String>(6)?, seat_of(row)?)))?;
    let mut users = users.collect::<Result<Vec<_>, _>>()?;
    let mut statement = connection.prepare_cached(concat!(
        "SELECT token.id, serial, enabled, algorithm, digits, interval, seed, last_step, drift,
             expires
         FROM token LEFT JOIN token_state ON token_state.token = token.id WHERE user = ?1 AND ",
        visible!("batch"),
        " ORDER BY token.id"
    ))?;
    for (_, seat) in &mut users {
        seat.tokens = statement.query_map([seat.id.0], held_of)?.collect::<Result<Vec<_>, _>>()?.into();
    }
    Ok(users)
}

fn seat_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Seat> {
    Ok(Seat {
        id: UserId(row.get(0)?),
        disabled: row.get(1)?,
        password_hash: row.get(2)?,
        failures: row.get::<_, Option<u32>>(3)?.unwrap_or(0),
        last_failure: UnixTime(row.get::<_, Option<i64>>(4)?.map_or(0, nat)),
        groups: row.get_ref(5)?.as_str_or_null()?.and_then(groups_of),
        tokens: Tokens::default(),
    })
}

/// What stands in the `member_of` column: group names, a line each.
pub(super) fn lines_of(groups: &[GroupName]) -> String {
    groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join("\n")
}

/// Back from [`lines_of`].
pub(super) fn groups_of(lines: &str) -> Option<Arc<[GroupName]>> {
    let groups: Vec<_> =
        lines.lines().filter_map(|line| GroupName::canonical(line.as_bytes()).ok()).collect();
    Some(groups).filter(|groups| !groups.is_empty()).map(Into::into)
}

fn held_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Held> {
    Ok(Held {
        id: TokenId(row.get(0)?),
        serial: row.get_ref(1)?.as_str()?.as_bytes().into(),
        enabled: row.get(2)?,
        parameters: parameters(row, 3)?,
        sealed: row.get_ref(6)?.as_blob()?.into(),
        last_step: row.get::<_, Option<i64>>(7)?.map(nat),
        drift: row.get::<_, Option<i16>>(8)?.map(Drift::from_sixteenths),
        expires: Expiry::of(row.get::<_, Option<i64>>(9)?.map(|expires| UnixTime(nat(expires)))),
    })
}

/// Algorithm, digits and interval from three columns starting at `first`.
pub(super) fn parameters(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Parameters> {
    let odd = |column: usize| {
        rusqlite::Error::InvalidColumnType(column, "token parameters".into(), rusqlite::types::Type::Null)
    };
    let algorithm = Algorithm::parse(row.get_ref(first)?.as_str()?).ok_or_else(|| odd(first))?;
    let digits = Digits::new(row.get(first + 1)?).ok_or_else(|| odd(first + 1))?;
    let moving = match row.get(first + 2) {
        Ok(0) => Moving::Counter,
        Ok(interval) => Moving::Time { interval },
        Err(_) => return Err(odd(first + 2)),
    };
    Ok(Parameters { algorithm, digits, moving })
}

/// What stands in the `interval` column of a token or of its remains.
pub(super) fn interval(parameters: Parameters) -> u16 {
    parameters.interval().unwrap_or(0)
}

/// Whether a user who owns a token looks like `skeleton`.
pub(super) fn resembles(connection: &Connection, skeleton: &str) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT 1 FROM user WHERE skeleton = ?1 AND ",
        visible!("user.batch"),
        " AND EXISTS (SELECT 1 FROM token WHERE token.user = user.id AND ",
        visible!("token.batch"),
        ")"
    ))?;
    statement.exists([skeleton])
}

/// The answer about somebody who owns no token: `found`, or nobody.
pub(super) fn stranger(found: Option<UserAnswer>, resembles: bool) -> UserAnswer {
    match found {
        Some(UserAnswer::Found(account)) => {
            UserAnswer::Found(Account { resembles_another: resembles, ..account })
        }
        Some(answer) => answer,
        None => UserAnswer::Unknown { resembles },
    }
}

/// Reads the trail, newest first.
pub(super) fn audit(connection: &Connection, filter: &AuditFilter) -> rusqlite::Result<Vec<AuditRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, time, login, client, source, user, station, verdict, reason, method, protocol, device, took
         FROM event WHERE chain = 1 AND (?1 IS NULL OR time >= ?1) AND (?2 IS NULL OR user = ?2)
             AND (?3 IS NULL OR login = ?3)
         ORDER BY seq DESC LIMIT ?4",
    )?;
    let wanted = params![
        filter.since.map(|since| int(since.0)),
        filter.user.as_ref().map(UserName::as_str),
        filter.login.map(|login| int(login.number())),
        i64::try_from(filter.limit).unwrap_or(i64::MAX),
    ];
    let rows = statement.query_map(wanted, |row| {
        Ok(AuditRow {
            sequence: nat(row.get(0)?),
            time: UnixTime(nat(row.get(1)?)),
            login: LoginId::from_number(nat(row.get(2)?)),
            client: row.get(3)?,
            source: row.get(4)?,
            user: row.get(5)?,
            station: row.get(6)?,
            verdict: row.get(7)?,
            reason: row.get(8)?,
            method: row.get(9)?,
            protocol: row.get(10)?,
            device: row.get(11)?,
            took: Duration::from_micros(nat(row.get(12)?)),
        })
    })?;
    rows.collect()
}

/// When the newest row was written.
pub(super) fn newest_time(connection: &Connection) -> rusqlite::Result<Option<UnixTime>> {
    let sql = "SELECT time FROM event WHERE chain = 1 ORDER BY seq DESC LIMIT 1";
    connection.query_row(sql, [], |row| row.get(0).map(|time| UnixTime(nat(time)))).optional()
}
