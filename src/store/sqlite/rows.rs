//! Rows to SQL and back.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use super::seat::{Expiry, Held, Rare, Seat, Tokens};
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::engine::account::{Account, Contact, TokenId, UserId};
use crate::engine::methods::Factor;
use crate::engine::question::UserAnswer;
use crate::engine::record::Row;
use crate::engine::special::Special;
use crate::factor::oath::{Drift, Parameters};
use crate::store::admin::{AuditFilter, AuditRow};
use crate::store::chain::{GENESIS, Mac};
use crate::store::columns;
pub(super) use crate::store::columns::{groups_of, int, interval, lines_of, nat};
use crate::store::packed::{self, Packer};
use crate::store::special;

/// The one chain of a store that all its processes append to.
pub(super) const CHAIN: i64 = 1;

/// True of a user or token (`batch` column named by `$column`) that no import under way owns.
macro_rules! visible {
    ($column:literal) => {
        concat!("(", $column, " IS NULL OR ", $column, " NOT IN (SELECT id FROM batch))")
    };
}
pub(super) use visible;

/// The columns that [`seat_of`] reads, and behind them the name, up to the condition.
macro_rules! user_columns {
    () => {
        "SELECT user.id, disabled, password_hash, failures, last_failure, member_of,
             display_name, first_name, last_name, mail, phone, language, method, special, name
         FROM user LEFT JOIN user_state ON user_state.user = user.id "
    };
}

/// A user's tokens, as [`held_of`] reads them.
const TOKENS_OF: &str = concat!(
    "SELECT token.id, serial, enabled, algorithm, digits, interval, seed, last_step,
         coalesce(drift, drift_said), expires, starts
     FROM token LEFT JOIN token_state ON token_state.token = token.id WHERE user = ?1 AND ",
    visible!("batch"),
    " ORDER BY token.id"
);

/// The statement that [`append`] runs, to be asked for once in a transaction.
pub(super) fn appender(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached("INSERT INTO event (chain, seq, body, person, mac) VALUES (1, ?1, ?2, ?3, ?4)")
}

/// Appends `row` as number `seq` behind the row whose link is `before`; answers its own link.
pub(super) fn append(
    appender: &mut CachedStatement<'_>,
    packer: &mut Packer,
    before: &Mac,
    seq: u64,
    row: &Row,
) -> rusqlite::Result<Mac> {
    let mac = packer.pack(before, seq, row);
    appender.execute(params![int(seq), packer.body, packer.person, mac])?;
    Ok(mac)
}

/// The newest row's number and link. Where rows that once were counted are gone, what follows them links to nothing,
/// and `audit verify` says so.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<(u64, Mac)> {
    let sql = "SELECT seq, mac FROM event WHERE chain = 1 ORDER BY seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let newest = statement.query_row([], |row| Ok((nat(row.get(0)?), mac(row, 1)?))).optional()?;
    let watermark = watermark(connection)?;
    Ok(newest.filter(|(seq, _)| *seq >= watermark).unwrap_or((watermark, GENESIS)))
}

/// The state tables say everything up to this row.
pub(super) fn watermark(connection: &Connection) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = 'watermark'")?;
    statement.query_row([], |row| row.get(0).map(nat))
}

/// The link in a column; one of another length links to nothing.
pub(super) fn mac(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Mac> {
    Ok(row.get_ref(column)?.as_blob()?.try_into().unwrap_or(GENESIS))
}

/// What is wrong with a column that does not read.
pub(super) fn odd(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "row of the trail".into(), rusqlite::types::Type::Blob)
}

/// Reads a user as the tables have it, without what the rows after the watermark add. Call it in a transaction.
pub(super) fn seat(connection: &Connection, user: &UserName) -> rusqlite::Result<Option<Seat>> {
    let mut statement =
        connection.prepare_cached(concat!(user_columns!(), "WHERE name = ?1 AND ", visible!("batch")))?;
    let found = statement.query_row([user.as_str()], seat_of).optional()?;
    let Some(mut seat) = found else { return Ok(None) };
    let mut statement = connection.prepare_cached(TOKENS_OF)?;
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
        user_columns!(),
        "WHERE user.id > ?1 AND ",
        visible!("batch"),
        " ORDER BY user.id LIMIT ?2"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let users = statement.query_map([after, limit], |row| Ok((row.get::<_, String>(14)?, seat_of(row)?)))?;
    let mut users = users.collect::<Result<Vec<_>, _>>()?;
    let mut statement = connection.prepare_cached(TOKENS_OF)?;
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
        contact: contact(row, 6)?,
        tokens: Tokens::default(),
        rare: Rare {
            groups: row.get_ref(5)?.as_str_or_null()?.and_then(groups_of),
            special: special_of(row, 13)?,
        }
        .boxed(),
    })
}

/// Who the user is, from seven columns starting at `first`.
fn contact(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Option<Arc<Contact>>> {
    let text = |column: usize| -> rusqlite::Result<Option<Box<str>>> {
        Ok(row.get_ref(first + column)?.as_str_or_null()?.map(Into::into))
    };
    let contact = Contact {
        display: text(0)?,
        first: text(1)?,
        last: text(2)?,
        mail: text(3)?,
        phone: text(4)?,
        language: text(5)?,
        asked_first: row.get_ref(first + 6)?.as_str_or_null()?.and_then(Factor::parse),
    };
    Ok((contact != Contact::default()).then(|| Arc::new(contact)))
}

/// Damage is an error: nobody may be let in on half of what is said about a user.
pub(super) fn special_of(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Arc<Special>>> {
    let Some(text) = row.get_ref(column)?.as_str_or_null()? else { return Ok(None) };
    let odd = || rusqlite::Error::InvalidColumnType(column, "special".into(), rusqlite::types::Type::Text);
    special::read(text).ok_or_else(odd).map(|special| Some(Arc::new(special)))
}

/// Writes what is special about a user.
pub(super) fn keep_special(
    connection: &Connection,
    user: UserId,
    special: Option<&Special>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("UPDATE user SET special = ?2 WHERE id = ?1")?;
    statement.execute(params![user.0, special.and_then(special::write)]).map(drop)
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
        starts: Expiry::of(row.get::<_, Option<i64>>(10)?.map(|starts| UnixTime(nat(starts)))),
    })
}

/// Algorithm, digits and interval from three columns starting at `first`.
pub(super) fn parameters(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Parameters> {
    let odd =
        || rusqlite::Error::InvalidColumnType(first, "token parameters".into(), rusqlite::types::Type::Null);
    let read = columns::parameters(row.get_ref(first)?.as_str()?, row.get(first + 1)?, row.get(first + 2)?);
    read.ok_or_else(odd)
}

/// Whether somebody else who owns a token, recovery codes or a device looks like `user`.
pub(super) fn resembles(connection: &Connection, user: &UserName) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT 1 FROM user WHERE skeleton = ?1 AND name <> ?2 AND ",
        visible!("user.batch"),
        " AND (json_array_length(special, '$.recovery') > 0 OR json_array_length(special, '$.devices') > 0
              OR json_array_length(special, '$.passkeys') > 0 OR json_extract(special, '$.withdrawn')
              OR EXISTS (SELECT 1 FROM token WHERE token.user = user.id AND ",
        visible!("token.batch"),
        ") OR ((phone IS NOT NULL OR mail IS NOT NULL)
               AND NOT EXISTS (SELECT 1 FROM user AS called WHERE called.name = ?2 AND ",
        visible!("called.batch"),
        ")))"
    ))?;
    statement.exists([user.skeleton().as_str(), user.as_str()])
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

/// Clocks are set back now and then: rows this much out of order are still found by time.
const DISORDER: Duration = Duration::from_hours(1);

/// Reads the trail, newest first.
pub(super) fn audit(connection: &Connection, filter: &AuditFilter) -> rusqlite::Result<Vec<AuditRow>> {
    let sql = "SELECT seq, body, person FROM event WHERE chain = 1 ORDER BY seq DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if found.len() >= filter.limit {
            break;
        }
        let row = audit_row(row)?;
        if filter.since.is_some_and(|since| since.since(row.time) > DISORDER) {
            break;
        }
        let fits = filter.since.is_none_or(|since| row.time >= since)
            && filter.user.as_ref().is_none_or(|user| row.user.as_deref() == Some(user.as_str()))
            && filter.login.is_none_or(|login| row.login == login);
        if fits {
            found.push(row);
        }
    }
    Ok(found)
}

/// A row from number, body and person.
pub(super) fn audit_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<AuditRow> {
    packed::read(nat(row.get(0)?), row.get_ref(1)?.as_blob()?, row.get_ref(2)?.as_blob()?).map_err(|_| odd(1))
}

/// When the newest row was written.
pub(super) fn newest_time(connection: &Connection) -> rusqlite::Result<Option<UnixTime>> {
    let sql = "SELECT body FROM event WHERE chain = 1 ORDER BY seq DESC LIMIT 1";
    let time = |row: &rusqlite::Row<'_>| packed::time(row.get_ref(0)?.as_blob()?).map_err(|_| odd(0));
    connection.query_row(sql, [], time).optional()
}
