//! What a store in a database says of itself without its key: for `store info`. Nothing is written.

use tokio_postgres::Client;

use super::link::Door;
use super::schema::{self, Found};
use super::session::{Session, Trouble, Tx};
use super::{Address, StoreFault, fault};
use crate::store::columns::nat;
use crate::store::keyring::print_fingerprint;

/// What `store info` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The schema's version; 0 while a copy into it is not finished.
    pub version: i32,
    /// The version that this program makes of it when it opens it.
    pub version_here: i32,
    /// The printed fingerprint of the key that the store wants.
    pub fingerprint: String,
    /// Users.
    pub users: u64,
    /// Tokens.
    pub tokens: u64,
    /// Rows of the trail.
    pub rows: u64,
    /// Logins that wait for their users.
    pub parked: u64,
    /// Keys from before.
    pub earlier_keys: u64,
    /// A rekey was begun and is not finished.
    pub rekey: bool,
    /// Each server that ever ran on it, and first the commands.
    pub chains: Vec<Chain>,
}

/// A chain of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The server's name; empty for the commands.
    pub server: String,
    /// How many rows it ever had.
    pub rows: u64,
    /// The number before its first row.
    pub base: u64,
    /// Its server runs, or ended without saying so.
    pub taken: bool,
}

/// Whether there is a store at `address`, finished or not.
pub fn is_there(address: &Address) -> Result<bool, StoreFault> {
    let mut session = Session::new(Door::new(address)?)?;
    let looked = session.tx().and_then(|tx| Ok(tx.wait(schema::look(tx.client))?));
    looked.map(|found| found != Found::Nothing).map_err(|trouble| fault(session.blame(trouble)))
}

/// Looks at the store at `address`.
pub fn info(address: &Address) -> Result<Info, StoreFault> {
    let mut session = Session::new(Door::new(address)?)?;
    let looked = session.tx().and_then(|tx| tx.at_once(|| look(&tx, address)));
    looked.map_err(|trouble| fault(session.blame(trouble)))
}

fn look(tx: &Tx<'_>, address: &Address) -> Result<Info, Trouble> {
    let client: &Client = tx.client;
    let (version, wanted) = match tx.wait(schema::look(client))? {
        Found::Store(version, wanted) => (version, wanted),
        Found::Nothing => {
            let hint =
                "is it the right database? `radmfa user add` or `token import` makes a store in an empty one";
            return Err(Trouble::Fault(address.fault("has no store in it", hint).into()));
        }
    };
    let count = |table: &str| -> Result<u64, Trouble> {
        Ok(nat(tx.number(&format!("SELECT count(*) FROM {table}"), &[])?))
    };
    let mut chains = Vec::new();
    for row in tx.rows("SELECT chain, name, head, incarnation IS NOT NULL FROM chain ORDER BY chain", &[])? {
        chains.push(Chain {
            server: row.try_get(1)?,
            rows: nat(row.try_get(2)?),
            base: nat(row.try_get::<_, i64>(0)? * schema::CHAIN_ROWS),
            taken: row.try_get(3)?,
        });
    }
    Ok(Info {
        version,
        version_here: schema::VERSION,
        fingerprint: print_fingerprint(&wanted),
        users: count("account")?,
        tokens: count("token")?,
        rows: count("event")?,
        parked: count("parked")?,
        earlier_keys: count("meta WHERE name LIKE 'key/%'")?,
        rekey: count("meta WHERE name = 'rekey'")? > 0,
        chains,
    })
}
