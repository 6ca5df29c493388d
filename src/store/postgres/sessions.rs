//! Remembered factors in a database: they stand among what is special about a user.

use std::sync::Arc;

use super::commit::keep_special;
use super::rows;
use super::session::{Trouble, Tx};
use crate::base::name::UserName;
use crate::engine::special::Special;
use crate::store::admin::Having;
use crate::store::session::Ends;

/// Takes out of what is special about the user with number `user`, if there is one, what a change ends. Call it in the
/// transaction that makes the change.
pub(super) fn end(tx: &Tx<'_>, user: Option<i64>, ends: Ends<'_>) -> Result<(), Trouble> {
    let Some(user) = user else { return Ok(()) };
    let row = tx.row("SELECT special FROM account WHERE id = $1 FOR UPDATE", &[&user])?;
    let Some(row) = row else { return Ok(()) };
    let mut special = rows::special_of(row.try_get(0)?)?;
    if ends.take_out(&mut special) {
        tx.wait(keep_special(tx.client, user, special.as_deref()))?;
    }
    Ok(())
}

/// The users who have this, by name, with what is special about them.
pub(super) fn who(tx: &Tx<'_>, what: Having) -> Result<Vec<(UserName, Arc<Special>)>, Trouble> {
    let mut who = Vec::new();
    let sql = "SELECT name, special FROM account WHERE special IS NOT NULL ORDER BY name";
    for row in tx.rows(sql, &[])? {
        let special = rows::special_of(row.try_get(1)?)?.filter(|special| what.is_in(special));
        if let (Some(name), Some(special)) = (rows::name(row.try_get(0)?), special) {
            who.push((name, special));
        }
    }
    Ok(who)
}
