//! Rows of the database as what they stand for.

use std::sync::Arc;

use tokio_postgres::{Error, Row};

use super::link::{Remedy, remedy};
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::engine::account::{Account, Contact, Token, TokenId, UserId};
use crate::engine::methods::Factor;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::special::Special;
use crate::factor::oath::{Drift, Parameters};
use crate::store::columns::{self, nat};
use crate::store::keyring::Keyring;
use crate::store::seal::Purpose;
use crate::store::special;
use crate::store::user_act::hash_keys;

/// Why rows do not become what they should.
#[derive(Debug)]
pub(super) enum Odd {
    /// The database says no, or is away.
    Sql(Error),
    /// What stands there is none of ours: nobody is let in on half of what is said.
    Damaged(&'static str),
    /// No answer in time.
    Late,
    /// There is no connection to be had.
    Away(String),
}

impl Odd {
    /// What to do about it.
    pub(super) fn remedy(&self) -> Remedy {
        match self {
            Odd::Sql(error) => remedy(error),
            Odd::Damaged(_) => Remedy::None,
            Odd::Late | Odd::Away(_) => Remedy::Reconnect,
        }
    }
}

impl From<Error> for Odd {
    fn from(error: Error) -> Odd {
        Odd::Sql(error)
    }
}

impl std::fmt::Display for Odd {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Odd::Sql(error) => match error.as_db_error() {
                Some(said) => said.fmt(formatter),
                None => error.fmt(formatter),
            },
            Odd::Damaged(what) => write!(formatter, "damaged: {what}"),
            Odd::Late => formatter.write_str("no answer in time"),
            Odd::Away(what) => formatter.write_str(what),
        }
    }
}

/// The token's columns come after the account's in what [`super::sql::USER`] reads.
const TOKEN: usize = 15;

/// The user in the rows of [`super::sql::USER`]; `None` where there is none.
pub(super) fn account(
    rows: &[Row],
    query: &UserQuery,
    key: &Keyring,
    clock_suspect: bool,
) -> Result<Option<Account>, Odd> {
    let Some(row) = rows.first() else { return Ok(None) };
    let special = special_of(row.try_get(14)?)?;
    let mut tokens = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(id) = row.try_get(TOKEN)? {
            tokens.push(token(row, TokenId(id), query, key)?);
        }
    }
    Ok(Some(Account {
        id: UserId(row.try_get(0)?),
        name: query.user.clone(),
        disabled: row.try_get(2)?,
        failures: count(row.try_get(3)?),
        last_failure: UnixTime(nat(row.try_get(4)?)),
        password_hash: row.try_get::<_, Option<&str>>(5)?.map(Into::into),
        groups: row.try_get::<_, Option<&str>>(6)?.and_then(columns::groups_of),
        contact: contact(row, 7)?,
        tokens,
        keys: special.as_ref().filter(|_| query.seeds).map(|_| Box::new(hash_keys(key))),
        special,
        resembles_another: false,
        clock_suspect: query.seeds && clock_suspect,
    }))
}

fn token(row: &Row, id: TokenId, query: &UserQuery, key: &Keyring) -> Result<Token, Odd> {
    let serial: &str = row.try_get(TOKEN + 1)?;
    let opened =
        query.seeds.then(|| key.open(Purpose::TokenSeed, serial, row.try_get(TOKEN + 6).unwrap_or_default()));
    Ok(Token {
        id,
        serial: serial.into(),
        enabled: row.try_get(TOKEN + 2)?,
        parameters: parameters(row, TOKEN + 3)?,
        seed: opened.transpose().map_err(|_| Odd::Damaged("a token's seed"))?,
        last_step: row.try_get::<_, Option<i64>>(TOKEN + 7)?.map(nat),
        drift: row.try_get::<_, Option<i32>>(TOKEN + 8)?.map(drift),
        expires: row.try_get::<_, Option<i64>>(TOKEN + 9)?.map(|expires| UnixTime(nat(expires))),
        starts: row.try_get::<_, Option<i64>>(TOKEN + 10)?.map(|starts| UnixTime(nat(starts))),
    })
}

/// Algorithm, digits and period from three columns starting at `first`.
pub(super) fn parameters(row: &Row, first: usize) -> Result<Parameters, Odd> {
    let (digits, period): (i32, i32) = (row.try_get(first + 1)?, row.try_get(first + 2)?);
    let found = columns::parameters(row.try_get(first)?, digits.into(), period.into());
    found.ok_or(Odd::Damaged("a token's parameters"))
}

/// Who the user is, from seven columns starting at `first`.
fn contact(row: &Row, first: usize) -> Result<Option<Arc<Contact>>, Odd> {
    let text = |column: usize| -> Result<Option<Box<str>>, Error> {
        Ok(row.try_get::<_, Option<&str>>(first + column)?.map(Into::into))
    };
    let contact = Contact {
        display: text(0)?,
        first: text(1)?,
        last: text(2)?,
        mail: text(3)?,
        phone: text(4)?,
        language: text(5)?,
        asked_first: row.try_get::<_, Option<&str>>(first + 6)?.and_then(Factor::parse),
    };
    Ok((contact != Contact::default()).then(|| Arc::new(contact)))
}

/// What is special about a user.
pub(super) fn special_of(text: Option<&str>) -> Result<Option<Arc<Special>>, Odd> {
    let Some(text) = text else { return Ok(None) };
    special::read(text)
        .ok_or(Odd::Damaged("what is special about a user"))
        .map(|special| Some(Arc::new(special)))
}

/// A count of failures.
pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// Back from [`Drift::sixteenths`].
pub(super) fn drift(sixteenths: i32) -> Drift {
    Drift::from_sixteenths(i16::try_from(sixteenths).unwrap_or_default())
}

/// A name from a column; `None` for one that can be nobody's.
pub(super) fn name(text: &str) -> Option<UserName> {
    UserName::canonical(text.as_bytes()).ok()
}

/// The answer about `found`, or nobody, who `resembles` somebody or not.
pub(super) fn answer(found: Option<Account>, resembles: bool) -> UserAnswer {
    match found {
        Some(account) => UserAnswer::Found(Account { resembles_another: resembles, ..account }),
        None => UserAnswer::Unknown { resembles },
    }
}
