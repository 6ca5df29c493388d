//! Changes to a token that take more than one statement; the transactions are their callers'.

use std::sync::Arc;

use super::rows;
use super::session::{Trouble, Tx};
use super::sessions;
use super::tables::{insert_token, keep_steps, restore_steps, take_ids, taken, token_fields, token_id};
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::system::Entropy;
use crate::base::time::UnixTime;
use crate::engine::account::TokenId;
use crate::store::admin::{AdminFault, NewToken, Replacement, TokenFields};
use crate::store::columns::{int, nat};
use crate::store::keyring::Keyring;
use crate::store::seal::Purpose;
use crate::store::session::Ends;

/// Changes what is known of a token; answers its owner's number.
pub(super) fn set(
    tx: &Tx<'_>,
    serial: &str,
    edit: &mut dyn FnMut(&mut TokenFields),
) -> Result<Option<i64>, Trouble> {
    let sql = "SELECT id, account, label, manufacturer, model, starts, expires, drift_said FROM token
        WHERE serial = $1 FOR UPDATE";
    let row = tx.row(sql, &[&serial])?.ok_or_else(|| AdminFault::no_token(serial))?;
    let mut fields = token_fields(&row, 2)?;
    edit(&mut fields);
    let id: i64 = row.try_get(0)?;
    let time = |time: Option<UnixTime>| time.map(|time| int(time.0));
    tx.run(
        "UPDATE token SET label = $2, manufacturer = $3, model = $4, starts = $5, expires = $6, drift_said = $7
         WHERE id = $1",
        &[
            &id,
            &fields.label.as_deref(),
            &fields.manufacturer.as_deref(),
            &fields.model.as_deref(),
            &time(fields.starts),
            &time(fields.expires),
            &fields.drift.map(|drift| i32::from(drift.sixteenths())),
        ],
    )?;
    Ok(row.try_get(1)?)
}

/// A token's seed, and its owner's number.
pub(super) fn seed(tx: &Tx<'_>, serial: &str, key: &Keyring) -> Result<(Secret, Option<i64>), Trouble> {
    let sql = "SELECT account, seed FROM token WHERE serial = $1 FOR UPDATE";
    let row = tx.row(sql, &[&serial])?.ok_or_else(|| AdminFault::no_token(serial))?;
    let seed = key
        .open(Purpose::TokenSeed, serial, row.try_get(1)?)
        .map_err(|_| AdminFault::Invalid(format!("the seed of token {serial} is damaged")))?;
    Ok((seed, row.try_get(0)?))
}

/// Gives a token another serial, under which its seed is sealed anew. Answers its owner's number.
pub(super) fn rename(
    tx: &Tx<'_>,
    (serial, new): (&str, &Arc<str>),
    key: &Keyring,
    entropy: &mut (dyn Entropy + Send),
) -> Result<Option<i64>, Trouble> {
    let (id, owner) = token_id(tx, serial)?.ok_or_else(|| AdminFault::no_token(serial))?;
    if token_id(tx, new)?.is_some() {
        return Err(AdminFault::token_exists(new).into());
    }
    let (seed, _) = seed(tx, serial, key)?;
    let sealed = key.seal(Purpose::TokenSeed, new, &seed, entropy);
    keep_steps(tx, id)?;
    let renamed = tx.run("UPDATE token SET serial = $2, seed = $3 WHERE id = $1", &[&id, &&**new, &&*sealed]);
    taken(renamed, || AdminFault::token_exists(new))?;
    restore_steps(tx, id, id)?;
    Ok(owner)
}

/// Disables a token and gives its owner another one; answers the owner.
pub(super) fn replace(
    tx: &Tx<'_>,
    serial: &str,
    by: &Replacement,
    (key, entropy): (&Keyring, &mut (dyn Entropy + Send)),
    now: UnixTime,
) -> Result<UserName, Trouble> {
    let (old, owner) = token_id(tx, serial)?.ok_or_else(|| AdminFault::no_token(serial))?;
    let owner = owner.ok_or_else(|| AdminFault::nobodys(serial))?;
    let (user, _) = super::tables::owner_of(tx, Some(owner))?
        .ok_or_else(|| AdminFault::Invalid(format!("the owner of token {serial} has no name")))?;
    match by {
        Replacement::Stock(new) if **new == *serial => return Err(AdminFault::itself(serial).into()),
        Replacement::Stock(new) => take_from_stock(tx, new, (owner, &user), now)?,
        Replacement::Made(token) => {
            token.check()?;
            if token_id(tx, &token.serial)?.is_some() {
                return Err(AdminFault::token_exists(&token.serial).into());
            }
            let token = NewToken { user: Some(user.clone()), ..NewToken::clone(token) };
            let sealed = key.seal(Purpose::TokenSeed, &token.serial, &token.seed, entropy);
            let id = take_ids(tx, "token", 1)?;
            let inserted = insert_token(tx, id, &token, &sealed, Some(owner), now);
            taken(inserted, || AdminFault::token_exists(&token.serial))?;
            restore_steps(tx, id, id)?;
        }
    }
    sessions::end(tx, Some(owner), Ends::Token(TokenId(old)))?;
    tx.run("UPDATE token SET enabled = FALSE WHERE id = $1", &[&old])?;
    Ok(user)
}

fn take_from_stock(
    tx: &Tx<'_>,
    new: &Arc<str>,
    (owner, user): (i64, &UserName),
    now: UnixTime,
) -> Result<(), Trouble> {
    let sql = "SELECT token.id, enabled, expires, account.name FROM token
        LEFT JOIN account ON account.id = token.account WHERE serial = $1";
    let row = tx.row(sql, &[&&**new])?.ok_or_else(|| AdminFault::no_token(new))?;
    let held_by = row.try_get::<_, Option<&str>>(3)?.and_then(rows::name);
    let over = row.try_get::<_, Option<i64>>(2)?.is_some_and(|expires| nat(expires) <= now.0);
    Replacement::fits(new, held_by.as_ref(), user, row.try_get(1)?, over)?;
    let id: i64 = row.try_get(0)?;
    tx.run("UPDATE token SET account = $2 WHERE id = $1", &[&id, &owner]).map(drop)
}
