//! What commands read and write in the tables, statement by statement; the transactions are their callers'.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::hot::Hot;
use super::rows::{self, int, nat, visible};
use crate::base::name::{Label, UserName};
use crate::base::system::Entropy;
use crate::base::time::UnixTime;
use crate::engine::account::{TokenId, UserId};
use crate::factor::oath::Drift;
use crate::store::admin::{NewToken, Posture, TokenDetails, TokenFields, UserDetails, UserFields};
use crate::store::keyring::Keyring;
use crate::store::seal::Purpose;

/// Rows of the `change` log that are kept for servers to read.
const CHANGES_KEPT: i64 = 10_000;

/// The columns that [`token_details`] reads, up to the condition.
macro_rules! token_columns {
    () => {
        "SELECT token.id, serial, user.name, enabled, algorithm, digits, interval, last_step, token.created,
             label, manufacturer, model, starts, expires, drift_said, drift
         FROM token LEFT JOIN user ON user.id = token.user LEFT JOIN token_state ON token_state.token = token.id
         WHERE "
    };
}
pub(super) use token_columns;

/// The number of a visible user.
pub(super) fn user_id(connection: &Connection, name: &UserName) -> rusqlite::Result<Option<i64>> {
    let mut statement =
        connection.prepare_cached(concat!("SELECT id FROM user WHERE name = ?1 AND ", visible!("batch")))?;
    statement.query_row([name.as_str()], |row| row.get(0)).optional()
}

/// Number and owner of a visible token.
pub(super) fn token_id(
    connection: &Connection,
    serial: &str,
) -> rusqlite::Result<Option<(i64, Option<i64>)>> {
    let mut statement = connection
        .prepare_cached(concat!("SELECT id, user FROM token WHERE serial = ?1 AND ", visible!("batch")))?;
    statement.query_row([serial], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

pub(super) fn user_fields(connection: &Connection, id: i64) -> rusqlite::Result<(UserFields, UnixTime)> {
    let mut statement = connection.prepare_cached(
        "SELECT display_name, first_name, last_name, mail, phone, language, password_hash, disabled, created,
             member_of, extension, method
         FROM user WHERE id = ?1",
    )?;
    statement.query_row([id], |row| {
        let fields = UserFields {
            display_name: row.get(0)?,
            first_name: row.get(1)?,
            last_name: row.get(2)?,
            mail: row.get(3)?,
            phone: row.get(4)?,
            extension: row.get(10)?,
            method: row.get(11)?,
            language: row.get(5)?,
            password_hash: row.get(6)?,
            disabled: row.get(7)?,
            groups: row.get_ref(9)?.as_str_or_null()?.and_then(rows::groups_of),
        };
        Ok((fields, UnixTime(nat(row.get(8)?))))
    })
}

pub(super) fn user_details(
    connection: &Connection,
    hot: &Hot,
    name: &UserName,
) -> rusqlite::Result<Option<UserDetails>> {
    let Some(mut seat) = rows::seat(connection, name)? else { return Ok(None) };
    hot.overlay(&mut seat);
    let (fields, created) = user_fields(connection, seat.id.0)?;
    Ok(Some(UserDetails {
        id: seat.id,
        name: name.clone(),
        fields,
        failures: seat.failures,
        last_failure: seat.last_failure,
        created,
        tokens: seat.tokens.iter().map(|held| held.serial().into()).collect(),
    }))
}

pub(super) fn token_details(row: &rusqlite::Row<'_>, hot: &Hot) -> rusqlite::Result<TokenDetails> {
    let id: i64 = row.get(0)?;
    let user: Option<String> = row.get(2)?;
    let kept = row.get::<_, Option<i64>>(7)?.map(nat);
    let drift: Option<i16> = row.get(15)?;
    let fields = token_fields(row, 9)?;
    let recent = hot.tokens.get(&id);
    Ok(TokenDetails {
        id: TokenId(id),
        serial: row.get(1)?,
        user: user.and_then(|user| UserName::canonical(user.as_bytes()).ok()),
        enabled: row.get(3)?,
        parameters: rows::parameters(row, 4)?,
        last_step: kept.max(recent.map(|spent| spent.step)),
        drift: recent.and_then(|spent| spent.drift).or(drift.map(Drift::from_sixteenths)).or(fields.drift),
        created: UnixTime(nat(row.get(8)?)),
        fields,
    })
}

/// What is known of a token, from six columns starting at `first`.
pub(super) fn token_fields(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<TokenFields> {
    let time = |column: usize| -> rusqlite::Result<Option<UnixTime>> {
        Ok(row.get::<_, Option<i64>>(first + column)?.map(|time| UnixTime(nat(time))))
    };
    Ok(TokenFields {
        label: row.get(first)?,
        manufacturer: row.get(first + 1)?,
        model: row.get(first + 2)?,
        starts: time(3)?,
        expires: time(4)?,
        drift: row.get::<_, Option<i16>>(first + 5)?.map(Drift::from_sixteenths),
    })
}

pub(super) fn serials_of(connection: &Connection, user: i64) -> rusqlite::Result<Vec<Arc<str>>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT serial FROM token WHERE user = ?1 AND ",
        visible!("batch"),
        " ORDER BY id"
    ))?;
    statement.query_map([user], |row| row.get(0))?.collect()
}

pub(super) fn postures(connection: &Connection) -> rusqlite::Result<Vec<Posture>> {
    let mut statement =
        connection.prepare_cached("SELECT client, address, raised FROM posture ORDER BY client, address")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, UnixTime(nat(row.get(2)?))))
    })?;
    let mut postures = Vec::new();
    for row in rows {
        let (client, address, raised) = row?;
        if let (Ok(client), Ok(address)) = (Label::new(&client), address.parse()) {
            postures.push(Posture { client, address, raised });
        }
    }
    Ok(postures)
}

pub(super) fn seal(key: &Keyring, token: &NewToken, entropy: &mut dyn Entropy) -> Box<[u8]> {
    key.seal(Purpose::TokenSeed, &token.serial, &token.seed, entropy)
}

pub(super) fn insert_user(
    connection: &Connection,
    name: &UserName,
    fields: &UserFields,
    now: UnixTime,
    batch: Option<i64>,
) -> rusqlite::Result<UserId> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO user (name, skeleton, display_name, first_name, last_name, mail, phone, language,
             password_hash, disabled, created, batch, member_of, extension, method)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    let id = statement.insert(params![
        name.as_str(),
        name.skeleton(),
        fields.display_name,
        fields.first_name,
        fields.last_name,
        fields.mail,
        fields.phone,
        fields.language,
        fields.password_hash,
        fields.disabled,
        int(now.0),
        batch,
        fields.groups.as_deref().map(rows::lines_of),
        fields.extension,
        fields.method,
    ])?;
    Ok(UserId(id))
}

/// Sets all that an admin may say about a user.
pub(super) fn update_user(connection: &Connection, id: i64, fields: &UserFields) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE user SET display_name = ?2, first_name = ?3, last_name = ?4, mail = ?5, phone = ?6,
             language = ?7, password_hash = ?8, disabled = ?9, member_of = ?10, extension = ?11, method = ?12
         WHERE id = ?1",
    )?;
    let done = statement.execute(params![
        id,
        fields.display_name,
        fields.first_name,
        fields.last_name,
        fields.mail,
        fields.phone,
        fields.language,
        fields.password_hash,
        fields.disabled,
        fields.groups.as_deref().map(rows::lines_of),
        fields.extension,
        fields.method,
    ]);
    done.map(drop)
}

pub(super) fn insert_token(
    connection: &Connection,
    token: &NewToken,
    sealed: &[u8],
    user: Option<i64>,
    now: UnixTime,
    batch: Option<i64>,
) -> rusqlite::Result<TokenId> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO token (serial, user, algorithm, digits, interval, seed, created, batch, label,
             manufacturer, model, starts, expires, drift_said)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    let fields = &token.fields;
    let id = statement.insert(params![
        &*token.serial,
        user,
        token.parameters.algorithm.name(),
        token.parameters.digits.count(),
        rows::interval(token.parameters),
        sealed,
        int(now.0),
        batch,
        fields.label,
        fields.manufacturer,
        fields.model,
        fields.starts.map(|starts| int(starts.0)),
        fields.expires.map(|expires| int(expires.0)),
        fields.drift.map(Drift::sixteenths),
    ])?;
    if let Some(last) = token.last_counter() {
        let mut statement =
            connection.prepare_cached("INSERT INTO token_state (token, last_step) VALUES (?1, ?2)")?;
        statement.execute([id, int(last)])?;
    }
    Ok(TokenId(id))
}

/// Removes a user; its tokens stay, and belong to nobody.
pub(super) fn delete_user(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    connection.execute("UPDATE token SET user = NULL WHERE user = ?1", [id])?;
    connection.execute("DELETE FROM user WHERE id = ?1", [id])?;
    connection.execute("DELETE FROM failure_day WHERE user = ?1", [id])?;
    connection.execute("DELETE FROM user_state WHERE user = ?1", [id])?;
    Ok(())
}

/// Removes a visible token with its seed, and keeps its last step, which is `recent` where rows after the watermark say
/// so: a code that was accepted once is not accepted again because its token was removed and came back.
pub(super) fn delete_token(connection: &Connection, id: i64, recent: Option<u64>) -> rusqlite::Result<()> {
    keep_steps(connection, id, recent)?;
    connection.execute("DELETE FROM token WHERE id = ?1", [id])?;
    connection.execute("DELETE FROM token_state WHERE token = ?1", [id])?;
    Ok(())
}

/// Keeps the last step of a token, which is `recent` where rows after the watermark say so, for when its serial comes
/// again.
pub(super) fn keep_steps(connection: &Connection, id: i64, recent: Option<u64>) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO removed
         SELECT serial, interval, max(coalesce(last_step, ?2), coalesce(?2, last_step)) AS step
         FROM token LEFT JOIN token_state ON token_state.token = token.id
         WHERE token.id = ?1 AND step IS NOT NULL
         ON CONFLICT DO UPDATE SET last_step = max(last_step, excluded.last_step)",
        params![id, recent.map(int)],
    )?;
    Ok(())
}

/// Gives the tokens from number `first` on, up to `last`, inserted or renamed in this transaction, the steps that were spent under their serials
/// before. Steps of another interval are other moments, and counters are none; they say nothing.
pub(super) fn restore_steps(
    connection: &Connection,
    first: TokenId,
    last: Option<TokenId>,
) -> rusqlite::Result<()> {
    // The cross join makes SQLite walk the few new tokens, each with one look into `removed`, and none if it is empty.
    let mut statement = connection.prepare_cached(
        "INSERT INTO token_state (token, last_step)
         SELECT token.id, last_step FROM token CROSS JOIN removed USING (serial, interval)
         WHERE token.id >= ?1 AND token.id <= ?2 AND EXISTS (SELECT 1 FROM removed)
         ON CONFLICT DO UPDATE SET last_step = max(last_step, excluded.last_step)",
    )?;
    statement.execute([first.0, last.map_or(i64::MAX, |last| last.0)]).map(drop)
}

/// Tells running servers that `user` has changed, or with `None` that anybody may have.
pub(super) fn log_change(connection: &Connection, user: Option<&UserName>) -> rusqlite::Result<()> {
    let user = user.map(UserName::as_str);
    connection.prepare_cached("INSERT INTO change (user) VALUES (?1)")?.execute([user])?;
    let newest = connection.last_insert_rowid();
    connection.prepare_cached("DELETE FROM change WHERE seq <= ?1")?.execute([newest - CHANGES_KEPT])?;
    Ok(())
}

/// The user with number `owner`.
pub(super) fn owner_of(
    connection: &Connection,
    owner: Option<i64>,
) -> rusqlite::Result<Option<(UserName, UserId)>> {
    let Some(id) = owner else { return Ok(None) };
    let mut statement = connection.prepare_cached("SELECT name FROM user WHERE id = ?1")?;
    let name = statement.query_row([id], |row| row.get::<_, String>(0)).optional()?;
    Ok(name.and_then(|name| Some((UserName::canonical(name.as_bytes()).ok()?, UserId(id)))))
}
