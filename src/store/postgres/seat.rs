//! A server's place in the store: the chain that it alone appends to, under its name.
//!
//! Two servers of one name would answer for each other's logins, so a name is taken by one run of a server at a time. It
//! beats once a second; whoever wants a name that is taken watches it for a few seconds: a heart that beats refuses, one that
//! does not is a server's that was killed, and its place is free.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::commit::Author;
use super::rows::Odd;
use crate::base::name::Label;
use crate::store::chain::{GENESIS, hash};

/// How often a server shows that it runs.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// For how long a taken name is watched, and how often it is looked at.
const WATCH: u32 = 14;
const LOOK: Duration = Duration::from_millis(250);

/// A chain that this run of a server appends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    chain: i64,
    incarnation: [u8; 16],
}

/// Why a place is not to be had.
#[derive(Debug)]
pub(super) enum Taken {
    /// A server of this name runs.
    Runs,
    /// Another name has the same short number, by which State attributes name servers.
    Alike(String),
    Odd(Odd),
}

impl From<tokio_postgres::Error> for Taken {
    fn from(error: tokio_postgres::Error) -> Taken {
        Taken::Odd(Odd::Sql(error))
    }
}

impl Seat {
    pub(super) fn author(self) -> Author {
        Author { chain: self.chain, incarnation: Some(self.incarnation) }
    }

    /// Takes the place of the server `name`, made where there is none; `incarnation` is fresh randomness.
    pub(super) async fn take(client: &Client, name: &Label, incarnation: [u8; 16]) -> Result<Seat, Taken> {
        let mut watched: Option<(Vec<u8>, i64)> = None;
        let mut looks = 0;
        loop {
            let sql = "SELECT chain, incarnation, beat FROM chain WHERE name = $1";
            let Some(row) = client.query_opt(sql, &[&name.as_str()]).await? else {
                make(client, name).await?;
                continue;
            };
            let chain: i64 = row.try_get(0)?;
            let (held, beat): (Option<Vec<u8>>, i64) = (row.try_get(1)?, row.try_get(2)?);
            let free = match (&held, &watched) {
                (None, _) => true,
                (Some(held), Some((known, last))) if (held, beat) != (known, *last) => {
                    return Err(Taken::Runs);
                }
                (Some(_), Some(_)) => looks >= WATCH,
                (Some(held), None) => {
                    watched = Some((held.clone(), beat));
                    false
                }
            };
            if free {
                let sql = "UPDATE chain SET incarnation = $2, beat = beat + 1
                    WHERE chain = $1 AND beat = $3 AND (incarnation IS NULL OR incarnation = $4)";
                let mine = incarnation.as_slice();
                if client.execute(sql, &[&chain, &mine, &beat, &held]).await? == 1 {
                    return Ok(Seat { chain, incarnation });
                }
                // Somebody was faster.
                watched = None;
            }
            looks += 1;
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The number by which State attributes name a server.
fn id_of(name: &Label) -> i64 {
    let [first, second, third, fourth, ..] = hash(name.as_str().as_bytes());
    u32::from_be_bytes([first, second, third, fourth]).into()
}

async fn make(client: &Client, name: &Label) -> Result<(), Taken> {
    let id = id_of(name);
    let sql = "SELECT name FROM chain WHERE id = $1 AND name <> $2";
    if let Some(other) = client.query_opt(sql, &[&id, &name.as_str()]).await? {
        return Err(Taken::Alike(other.try_get(0)?));
    }
    let sql = "INSERT INTO chain (chain, name, id, beat, head, mac)
        SELECT max(chain) + 1, $1, $2, 0, 0, $3 FROM chain";
    match client.execute(sql, &[&name.as_str(), &id, &GENESIS.as_slice()]).await {
        // Another server made its own at the same moment, or ours.
        Err(error) if error.code() != Some(&SqlState::UNIQUE_VIOLATION) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Shows that the server runs; `false` where another one has its place.
pub(super) async fn beat(client: &Client, author: Author) -> Result<bool, tokio_postgres::Error> {
    let incarnation = author.incarnation.as_ref().map(<[u8; 16]>::as_slice);
    let sql = "UPDATE chain SET beat = beat + 1 WHERE chain = $1 AND incarnation = $2";
    Ok(client.execute(sql, &[&author.chain, &incarnation]).await? == 1)
}

/// Gives the place back.
pub(super) async fn leave(client: &Client, author: Author) -> Result<(), tokio_postgres::Error> {
    let incarnation = author.incarnation.as_ref().map(<[u8; 16]>::as_slice);
    let sql = "UPDATE chain SET incarnation = NULL WHERE chain = $1 AND incarnation = $2";
    client.execute(sql, &[&author.chain, &incarnation]).await.map(drop)
}
