//! Changes to a token that take more than one statement; the transactions are their callers'.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::admin::Trouble;
use super::hot::Hot;
use super::rows::{int, nat, visible};
use super::sessions;
use super::tables::{
    insert_token, keep_steps, restore_steps, token_columns, token_details, token_fields, token_id,
};
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::account::TokenId;
use crate::factor::oath::Drift;
use crate::store::admin::{AdminFault, NewToken, Replacement, TokenDetails, TokenFields};
use crate::store::keyring::Keyring;
use crate::store::seal::Purpose;
use crate::store::session::Ends;

/// Changes what is known of a token; answers its owner's number.
pub(super) fn set(
    connection: &Connection,
    serial: &str,
    edit: &mut dyn FnMut(&mut TokenFields),
) -> Result<Option<i64>, Trouble> {
    let (id, owner) = token_id(connection, serial)?.ok_or_else(|| AdminFault::no_token(serial))?;
    let sql = "SELECT label, manufacturer, model, starts, expires, drift_said FROM token WHERE id = ?1";
    let mut fields = connection.query_row(sql, [id], |row| token_fields(row, 0))?;
    edit(&mut fields);
    connection.execute(
        "UPDATE token SET label = ?2, manufacturer = ?3, model = ?4, starts = ?5, expires = ?6, drift_said = ?7
         WHERE id = ?1",
        params![
            id,
            fields.label,
            fields.manufacturer,
            fields.model,
            fields.starts.map(|starts| int(starts.0)),
            fields.expires.map(|expires| int(expires.0)),
            fields.drift.map(Drift::sixteenths),
        ],
    )?;
    Ok(owner)
}

/// A token's number, which never stands for another seed, and the seed.
pub(super) fn seed(connection: &Connection, serial: &str, key: &Keyring) -> Result<(i64, Secret), Trouble> {
    let (id, _) = token_id(connection, serial)?.ok_or_else(|| AdminFault::no_token(serial))?;
    let sealed: Vec<u8> =
        connection.query_row("SELECT seed FROM token WHERE id = ?1", [id], |row| row.get(0))?;
    let seed = key
        .open(Purpose::TokenSeed, serial, &sealed)
        .map_err(|_| AdminFault::Invalid(format!("the seed of token {serial} is damaged")))?;
    Ok((id, seed))
}

/// A token that is nobody's, and its seed; `None` where it is somebody's.
pub(super) fn stock(
    connection: &Connection,
    serial: &str,
    key: &Keyring,
    hot: &Hot,
) -> Result<Option<(TokenDetails, Secret)>, Trouble> {
    let (_, owner) = token_id(connection, serial)?.ok_or_else(|| AdminFault::no_token(serial))?;
    if owner.is_some() {
        return Ok(None);
    }
    let (_, seed) = seed(connection, serial, key)?;
    let mut statement = connection.prepare_cached(concat!(token_columns!(), "serial = ?1"))?;
    Ok(Some((statement.query_row([serial], |row| token_details(row, hot))?, seed)))
}

/// A step, or counter, of a token that nobody owns was shown.
pub(super) fn use_up(connection: &Connection, token: TokenId, step: u64) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO token_state (token, last_step) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET last_step = max(last_step, excluded.last_step)",
        params![token.0, int(step)],
    )?;
    Ok(())
}

/// Gives token `id` another serial, under which its seed is `sealed` anew; `recent` is its last step, where rows after the
/// watermark say so. Answers its owner's number.
pub(super) fn rename(
    connection: &Connection,
    id: i64,
    (serial, new): (&str, &str),
    sealed: &[u8],
    recent: Option<u64>,
) -> Result<Option<i64>, Trouble> {
    let found = token_id(connection, serial)?.filter(|(found, _)| *found == id);
    let (_, owner) = found.ok_or_else(|| AdminFault::no_token(serial))?;
    if token_id(connection, new)?.is_some() {
        return Err(AdminFault::token_exists(new).into());
    }
    keep_steps(connection, id, recent)?;
    connection.execute("UPDATE token SET serial = ?2, seed = ?3 WHERE id = ?1", params![id, new, sealed])?;
    restore_steps(connection, TokenId(id), Some(TokenId(id)))?;
    Ok(owner)
}

/// Disables a token and gives its owner another one, whose seed is `sealed` if it is made; answers the owner.
pub(super) fn replace(
    connection: &Connection,
    serial: &str,
    by: &Replacement,
    sealed: &[u8],
    now: UnixTime,
) -> Result<UserName, Trouble> {
    let (old, owner) = token_id(connection, serial)?.ok_or_else(|| AdminFault::no_token(serial))?;
    let owner = owner.ok_or_else(|| AdminFault::nobodys(serial))?;
    let name: String =
        connection.query_row("SELECT name FROM user WHERE id = ?1", [owner], |row| row.get(0))?;
    let user = UserName::canonical(name.as_bytes())
        .map_err(|fault| AdminFault::Invalid(format!("the owner of token {serial} has no name: {fault}")))?;
    match by {
        Replacement::Stock(new) if **new == *serial => return Err(AdminFault::itself(serial).into()),
        Replacement::Stock(new) => take_from_stock(connection, new, (owner, &user), now)?,
        Replacement::Made(token) => {
            token.check()?;
            if token_id(connection, &token.serial)?.is_some() {
                return Err(AdminFault::token_exists(&token.serial).into());
            }
            let token = NewToken { user: Some(user.clone()), ..NewToken::clone(token) };
            let id = insert_token(connection, &token, sealed, Some(owner), now, None)?;
            restore_steps(connection, id, None)?;
        }
    }
    connection.execute("UPDATE token SET enabled = 0 WHERE id = ?1", [old])?;
    sessions::end(connection, Some(owner), Ends::Token(TokenId(old)))?;
    Ok(user)
}

fn take_from_stock(
    connection: &Connection,
    new: &Arc<str>,
    (owner, user): (i64, &UserName),
    now: UnixTime,
) -> Result<(), Trouble> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT token.id, enabled, expires, user.name FROM token LEFT JOIN user ON user.id = token.user
         WHERE serial = ?1 AND ",
        visible!("token.batch")
    ))?;
    let found = statement.query_row([&**new], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, bool>(1)?,
            row.get::<_, Option<i64>>(2)?,
            row.get::<_, Option<String>>(3)?,
        ))
    });
    let (id, enabled, expires, held_by) = found.optional()?.ok_or_else(|| AdminFault::no_token(new))?;
    let held_by = held_by.and_then(|name| UserName::canonical(name.as_bytes()).ok());
    let over = expires.is_some_and(|expires| nat(expires) <= now.0);
    Replacement::fits(new, held_by.as_ref(), user, enabled, over)?;
    connection.execute("UPDATE token SET user = ?2 WHERE id = ?1", [id, owner])?;
    Ok(())
}
