//! Remembered factors in a store file: they stand among what is special about a user.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};

use super::rows::{self, visible};
use crate::base::name::UserName;
use crate::engine::account::UserId;
use crate::engine::special::Special;
use crate::store::admin::Having;
use crate::store::session::Ends;

/// Takes out of what is special about the user with number `user`, if there is one, what a change ends. Call it in the
/// transaction that makes the change; the note to running servers is its caller's.
pub(super) fn end(connection: &Connection, user: Option<i64>, ends: Ends<'_>) -> rusqlite::Result<()> {
    let Some(user) = user else { return Ok(()) };
    let mut statement = connection.prepare_cached("SELECT special FROM user WHERE id = ?1")?;
    let mut special = statement.query_row([user], |row| rows::special_of(row, 0)).optional()?.flatten();
    if ends.take_out(&mut special) {
        rows::keep_special(connection, UserId(user), special.as_deref())?;
    }
    Ok(())
}

/// The users who have this, by name, with what is special about them.
pub(super) fn who(connection: &Connection, what: Having) -> rusqlite::Result<Vec<(UserName, Arc<Special>)>> {
    let mut statement = connection.prepare_cached(match what {
        Having::Session => concat!(
            "SELECT name, special FROM user WHERE json_array_length(special, '$.sessions') > 0 AND ",
            visible!("batch"),
            " ORDER BY name"
        ),
        Having::Role => concat!(
            "SELECT name, special FROM user WHERE json_extract(special, '$.role') IS NOT NULL AND ",
            visible!("batch"),
            " ORDER BY name"
        ),
    })?;
    let found = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, rows::special_of(row, 1)?)))?;
    let mut who = Vec::new();
    for row in found {
        if let (name, Some(special)) = row?
            && let Ok(name) = UserName::canonical(name.as_bytes())
        {
            who.push((name, special));
        }
    }
    Ok(who)
}
