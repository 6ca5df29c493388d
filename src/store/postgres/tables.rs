//! What commands read and write in the tables, statement by statement; the transactions are their callers'.

use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::rows::{self, Odd};
use super::session::{Trouble, Tx};
use crate::base::name::{Label, UserName};
use crate::base::time::UnixTime;
use crate::engine::account::{TokenId, UserId};
use crate::store::admin::{
    AdminFault, NewToken, Posture, TokenDetails, TokenFields, UserDetails, UserFields, UserFilter,
};
use crate::store::columns::{self, int, nat};

/// The columns that [`token_details`] reads.
pub(super) const TOKEN: &str =
    "SELECT token.id, serial, account.name, enabled, algorithm, digits, period, last_step, token.created, label,
         manufacturer, model, starts, expires, drift_said, drift
     FROM token LEFT JOIN account ON account.id = token.account";

/// The columns that [`fields_of`] reads.
pub(super) const FIELDS: &str =
    "display_name, first_name, last_name, mail, phone, extension, method, language, password_hash,
     disabled, member_of, created";

/// The first of `count` numbers that were never given out.
pub(super) fn take_ids(tx: &Tx<'_>, name: &str, count: usize) -> Result<i64, Trouble> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let sql = "UPDATE counter SET value = value + $2 WHERE name = $1 RETURNING value";
    Ok(tx.number(sql, &[&name, &count])? - count + 1)
}

/// A name or serial that was free may have been taken since.
pub(super) fn taken<T>(done: Result<T, Trouble>, fault: impl FnOnce() -> AdminFault) -> Result<T, Trouble> {
    match done {
        Err(Trouble::Odd(Odd::Sql(error))) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            Err(fault().into())
        }
        done => done,
    }
}

/// A user's number.
pub(super) fn user_id(tx: &Tx<'_>, name: &UserName) -> Result<Option<i64>, Trouble> {
    let row = tx.row("SELECT id FROM account WHERE name = $1", &[&name.as_str()])?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Number and owner of a token.
pub(super) fn token_id(tx: &Tx<'_>, serial: &str) -> Result<Option<(i64, Option<i64>)>, Trouble> {
    let row = tx.row("SELECT id, account FROM token WHERE serial = $1", &[&serial])?;
    Ok(row.map(|row| Ok::<_, tokio_postgres::Error>((row.try_get(0)?, row.try_get(1)?))).transpose()?)
}

/// The user with number `owner`.
pub(super) fn owner_of(tx: &Tx<'_>, owner: Option<i64>) -> Result<Option<(UserName, UserId)>, Trouble> {
    let Some(id) = owner else { return Ok(None) };
    let Some(row) = tx.row("SELECT name FROM account WHERE id = $1", &[&id])? else { return Ok(None) };
    Ok(rows::name(row.try_get(0)?).map(|name| (name, UserId(id))))
}

pub(super) fn user_fields(tx: &Tx<'_>, id: i64) -> Result<(UserFields, UnixTime), Trouble> {
    let row = tx.row(&format!("SELECT {FIELDS} FROM account WHERE id = $1 FOR UPDATE"), &[&id])?;
    fields_of(&row.ok_or(Odd::Damaged("a user is gone"))?, 0)
}

/// What is said of a user and when it was made, from the columns of [`FIELDS`] starting at `first`.
pub(super) fn fields_of(row: &Row, first: usize) -> Result<(UserFields, UnixTime), Trouble> {
    let fields = UserFields {
        display_name: row.try_get(first)?,
        first_name: row.try_get(first + 1)?,
        last_name: row.try_get(first + 2)?,
        mail: row.try_get(first + 3)?,
        phone: row.try_get(first + 4)?,
        extension: row.try_get(first + 5)?,
        method: row.try_get(first + 6)?,
        language: row.try_get(first + 7)?,
        password_hash: row.try_get::<_, Option<&str>>(first + 8)?.map(Into::into),
        disabled: row.try_get(first + 9)?,
        groups: row.try_get::<_, Option<&str>>(first + 10)?.and_then(columns::groups_of),
    };
    Ok((fields, UnixTime(nat(row.try_get(first + 11)?))))
}

/// Users by name, with the serials of their tokens.
pub(super) fn users(
    tx: &Tx<'_>,
    filter: &UserFilter,
    after: &str,
    limit: usize,
) -> Result<Vec<UserDetails>, Trouble> {
    let sql = format!(
        "SELECT id, name, failures, last_failure, {FIELDS} FROM account
         WHERE name > $1 AND ($2::TEXT IS NULL OR strpos(name, $2) > 0)
             AND ($3::TEXT IS NULL OR strpos(chr(10) || member_of || chr(10), $3) > 0)
             AND (NOT $5 OR disabled OR special IS NOT NULL OR failures > 0)
         ORDER BY name LIMIT $4"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let group = filter.group.as_ref().map(|group| format!("\n{}\n", group.as_str()));
    let found = tx.rows(&sql, &[&after, &filter.contains, &group, &limit, &filter.kept_out])?;
    details(tx, &found)
}

pub(super) fn user_details(tx: &Tx<'_>, name: &UserName) -> Result<Option<UserDetails>, Trouble> {
    let sql = format!("SELECT id, name, failures, last_failure, {FIELDS} FROM account WHERE name = $1");
    Ok(details(tx, &tx.rows(&sql, &[&name.as_str()])?)?.pop())
}

fn details(tx: &Tx<'_>, found: &[Row]) -> Result<Vec<UserDetails>, Trouble> {
    let ids = found.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let sql = "SELECT account, serial FROM token WHERE account = ANY($1) ORDER BY id";
    let mut serials: std::collections::HashMap<i64, Vec<Arc<str>>> = std::collections::HashMap::new();
    for row in tx.rows(sql, &[&ids])? {
        serials.entry(row.try_get(0)?).or_default().push(row.try_get::<_, &str>(1)?.into());
    }
    let mut users = Vec::with_capacity(found.len());
    for (row, id) in found.iter().zip(ids) {
        let Some(name) = rows::name(row.try_get(1)?) else { continue };
        let (fields, created) = fields_of(row, 4)?;
        users.push(UserDetails {
            id: UserId(id),
            name,
            fields,
            failures: rows::count(row.try_get(2)?),
            last_failure: UnixTime(nat(row.try_get(3)?)),
            created,
            tokens: serials.remove(&id).unwrap_or_default(),
        });
    }
    Ok(users)
}

pub(super) fn token_details(row: &Row) -> Result<TokenDetails, Trouble> {
    let fields = token_fields(row, 9)?;
    Ok(TokenDetails {
        id: TokenId(row.try_get(0)?),
        serial: row.try_get::<_, &str>(1)?.into(),
        user: row.try_get::<_, Option<&str>>(2)?.and_then(rows::name),
        enabled: row.try_get(3)?,
        parameters: rows::parameters(row, 4)?,
        last_step: row.try_get::<_, Option<i64>>(7)?.map(nat),
        drift: row.try_get::<_, Option<i32>>(15)?.map(rows::drift).or(fields.drift),
        created: UnixTime(nat(row.try_get(8)?)),
        fields,
    })
}

/// What is known of a token, from six columns starting at `first`.
pub(super) fn token_fields(row: &Row, first: usize) -> Result<TokenFields, tokio_postgres::Error> {
    let text = |column: usize| -> Result<Option<Arc<str>>, tokio_postgres::Error> {
        Ok(row.try_get::<_, Option<&str>>(first + column)?.map(Into::into))
    };
    let time = |column: usize| -> Result<Option<UnixTime>, tokio_postgres::Error> {
        Ok(row.try_get::<_, Option<i64>>(first + column)?.map(|time| UnixTime(nat(time))))
    };
    Ok(TokenFields {
        label: text(0)?,
        manufacturer: text(1)?,
        model: text(2)?,
        starts: time(3)?,
        expires: time(4)?,
        drift: row.try_get::<_, Option<i32>>(first + 5)?.map(rows::drift),
    })
}

pub(super) fn serials_of(tx: &Tx<'_>, user: i64) -> Result<Vec<Arc<str>>, Trouble> {
    let found = tx.rows("SELECT serial FROM token WHERE account = $1 ORDER BY id", &[&user])?;
    let serials = found.iter().map(|row| row.try_get::<_, &str>(0).map(Into::into));
    Ok(serials.collect::<Result<_, _>>()?)
}

pub(super) fn postures(tx: &Tx<'_>) -> Result<Vec<Posture>, Trouble> {
    let mut postures = Vec::new();
    for row in tx.rows("SELECT client, address, raised FROM posture ORDER BY client, address", &[])? {
        let (client, address): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        if let (Ok(client), Ok(address)) = (Label::new(client), address.parse()) {
            postures.push(Posture { client, address, raised: UnixTime(nat(row.try_get(2)?)) });
        }
    }
    Ok(postures)
}

pub(super) fn insert_user(
    tx: &Tx<'_>,
    id: i64,
    name: &UserName,
    fields: &UserFields,
    now: UnixTime,
) -> Result<(), Trouble> {
    let sql = "INSERT INTO account (id, name, skeleton, display_name, first_name, last_name, mail, phone, extension,
             method, language, password_hash, disabled, member_of, created)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    let done = tx.run(
        sql,
        &[
            &id,
            &name.as_str(),
            &name.skeleton(),
            &fields.display_name,
            &fields.first_name,
            &fields.last_name,
            &fields.mail,
            &fields.phone,
            &fields.extension,
            &fields.method,
            &fields.language,
            &fields.password_hash.as_deref(),
            &fields.disabled,
            &fields.groups.as_deref().map(columns::lines_of),
            &int(now.0),
        ],
    );
    done.map(drop)
}

/// Sets all that an admin may say about a user.
pub(super) fn update_user(tx: &Tx<'_>, id: i64, fields: &UserFields) -> Result<(), Trouble> {
    let sql = "UPDATE account SET display_name = $2, first_name = $3, last_name = $4, mail = $5, phone = $6,
             extension = $7, method = $8, language = $9, password_hash = $10, disabled = $11, member_of = $12
         WHERE id = $1";
    let done = tx.run(
        sql,
        &[
            &id,
            &fields.display_name,
            &fields.first_name,
            &fields.last_name,
            &fields.mail,
            &fields.phone,
            &fields.extension,
            &fields.method,
            &fields.language,
            &fields.password_hash.as_deref(),
            &fields.disabled,
            &fields.groups.as_deref().map(columns::lines_of),
        ],
    );
    done.map(drop)
}

pub(super) fn insert_token(
    tx: &Tx<'_>,
    id: i64,
    token: &NewToken,
    sealed: &[u8],
    user: Option<i64>,
    now: UnixTime,
) -> Result<(), Trouble> {
    let sql = "INSERT INTO token (id, serial, account, algorithm, digits, period, seed, created, label, manufacturer,
             model, expires, last_step, starts, drift_said)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    let fields = &token.fields;
    let done = tx.run(
        sql,
        &[
            &id,
            &&*token.serial,
            &user,
            &token.parameters.algorithm.name(),
            &i32::from(token.parameters.digits.count()),
            &i32::from(columns::interval(token.parameters)),
            &sealed,
            &int(now.0),
            &fields.label.as_deref(),
            &fields.manufacturer.as_deref(),
            &fields.model.as_deref(),
            &fields.expires.map(|expires| int(expires.0)),
            &token.last_counter().map(int),
            &fields.starts.map(|starts| int(starts.0)),
            &fields.drift.map(|drift| i32::from(drift.sixteenths())),
        ],
    );
    done.map(drop)
}

/// Removes a user; its tokens stay, and belong to nobody.
pub(super) fn delete_user(tx: &Tx<'_>, id: i64) -> Result<(), Trouble> {
    tx.run("DELETE FROM account WHERE id = $1", &[&id])?;
    tx.run("UPDATE token SET account = NULL WHERE account = $1", &[&id])?;
    tx.run("DELETE FROM failure_day WHERE account = $1", &[&id]).map(drop)
}

/// Keeps the last step of a token for when its serial comes again.
pub(super) fn keep_steps(tx: &Tx<'_>, id: i64) -> Result<(), Trouble> {
    tx.run("SELECT id FROM token WHERE id = $1 FOR UPDATE", &[&id])?;
    let sql = "INSERT INTO removed (serial, period, last_step)
        SELECT serial, period, last_step FROM token WHERE id = $1 AND last_step IS NOT NULL
        ON CONFLICT (serial, period) DO UPDATE SET last_step = CASE
            WHEN removed.last_step > excluded.last_step THEN removed.last_step ELSE excluded.last_step END";
    tx.run(sql, &[&id]).map(drop)
}

/// Gives the tokens from number `first` to `last`, inserted or renamed in this transaction, the steps that were spent under
/// their serials before. Steps of another interval are other moments, and counters are none; they say nothing.
pub(super) fn restore_steps(tx: &Tx<'_>, first: i64, last: i64) -> Result<(), Trouble> {
    let sql = "UPDATE token SET last_step = removed.last_step FROM removed
        WHERE token.id >= $1 AND token.id <= $2 AND removed.serial = token.serial AND removed.period = token.period
            AND (token.last_step IS NULL OR token.last_step < removed.last_step)";
    tx.run(sql, &[&first, &last]).map(drop)
}
