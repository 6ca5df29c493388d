//! Logins that wait in a database for whichever server is asked, and what they mean to send. Times are by the database's
//! clock; each question is one statement, so that whatever two servers do at once, one was first.

use std::time::Duration;

use tokio_postgres::Client;

use super::rows::Odd;
use crate::engine::record::LoginId;
use crate::store::columns::{int, nat};
use crate::store::keyring::Keyring;
use crate::store::parking::{Claim, Claimed, Spot, Unparked, open_told};

/// The database's clock, in milliseconds.
macro_rules! now {
    () => {
        "CAST(extract(epoch FROM CURRENT_TIMESTAMP) * 1000 AS BIGINT)"
    };
}

/// A login as it is kept.
pub(super) struct Sealed {
    pub(super) spot: Spot,
    pub(super) login: Box<[u8]>,
    pub(super) keep: Duration,
    /// The intent, whose it is, and what was told.
    pub(super) told: Option<([u8; 16], LoginId, Box<[u8]>)>,
}

fn key(spot: Spot) -> Vec<u8> {
    [spot.server.as_slice(), spot.round.as_slice()].concat()
}

fn milliseconds(span: Duration) -> i64 {
    int(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// Keeps a login that has `waited` to be kept.
pub(super) async fn park(client: &Client, parked: &Sealed, waited: Duration) -> Result<(), Odd> {
    let (keep, waited, spot) = (milliseconds(parked.keep), milliseconds(waited), key(parked.spot));
    let (intent, login, told) = match &parked.told {
        Some((intent, login, told)) => (Some(intent.as_slice()), int(login.number()), Some(&**told)),
        None => (None, -1, None),
    };
    let sql = concat!(
        "WITH told AS (UPDATE claim SET told = $5 WHERE intent = $4 AND login = $6)
         INSERT INTO parked (spot, sealed, intent, since, until) VALUES ($1, $2, $4, ",
        now!(),
        " - $7, ",
        now!(),
        " + $3 - $7) ON CONFLICT (spot) DO UPDATE SET sealed = excluded.sealed, intent = excluded.intent,
             since = excluded.since, until = excluded.until"
    );
    client.execute(sql, &[&spot, &&*parked.login, &keep, &intent, &told, &login, &waited]).await?;
    Ok(())
}

pub(super) async fn unpark(client: &Client, spot: Spot, keys: &Keyring) -> Result<Unparked, Odd> {
    let sql = concat!(
        "DELETE FROM parked WHERE spot = $1 RETURNING sealed, intent, until > ",
        now!(),
        ", ",
        now!(),
        " - since"
    );
    let Some(row) = client.query_opt(sql, &[&key(spot)]).await? else { return Ok(Unparked::Gone) };
    if !row.try_get::<_, bool>(2)? {
        return Ok(Unparked::Gone);
    }
    let intent: Option<&[u8]> = row.try_get(1)?;
    let intent =
        intent.map(TryInto::try_into).transpose().map_err(|_| Odd::Damaged("a login that waited"))?;
    let age = Duration::from_millis(nat(row.try_get(3)?));
    Ok(match spot.open(row.try_get(0)?, keys) {
        Some(login) => Unparked::Login { login, age, intent },
        None => Unparked::Unavailable,
    })
}

pub(super) async fn claim(client: &Client, claim: Claim, keys: &Keyring) -> Result<Claimed, Odd> {
    let (intent, login) = (claim.intent.as_slice(), int(claim.login.number()));
    let sql = concat!(
        "INSERT INTO claim (intent, login, until) VALUES ($1, $2, ",
        now!(),
        " + $3) ON CONFLICT (intent) DO UPDATE SET login = excluded.login, until = excluded.until,
             told = CASE WHEN claim.login = excluded.login THEN claim.told END, ended = NULL
         WHERE claim.login = excluded.login OR claim.until <= ",
        now!(),
        " OR claim.ended < ",
        now!(),
        " - $4"
    );
    loop {
        if client
            .execute(sql, &[&intent, &login, &milliseconds(claim.keep), &milliseconds(claim.ran)])
            .await?
            == 1
        {
            return Ok(Claimed::Ours);
        }
        let Some(row) = client
            .query_opt("SELECT told, ended IS NOT NULL FROM claim WHERE intent = $1", &[&intent])
            .await?
        else {
            // Forgotten meanwhile.
            continue;
        };
        if row.try_get(1)? {
            return Ok(Claimed::Over);
        }
        let Some(told) = row.try_get::<_, Option<&[u8]>>(0)? else { return Ok(Claimed::Theirs(None)) };
        return Ok(match open_told(claim.intent, told, keys) {
            Some(told) => Claimed::Theirs(Some(told)),
            None => Claimed::Unavailable,
        });
    }
}

pub(super) async fn release(client: &Client, intent: [u8; 16], login: LoginId) -> Result<(), Odd> {
    let sql = concat!("UPDATE claim SET ended = ", now!(), " WHERE intent = $1 AND login = $2");
    client.execute(sql, &[&intent.as_slice(), &int(login.number())]).await?;
    Ok(())
}

/// Forgets what nobody came for.
pub(super) async fn sweep(client: &Client) -> Result<(), Odd> {
    client.execute(concat!("DELETE FROM parked WHERE until < ", now!()), &[]).await?;
    client.execute(concat!("DELETE FROM claim WHERE until < ", now!()), &[]).await?;
    Ok(())
}
