//! What a store in a database says of its keys, in `meta`: as in a store file ([`crate::store::sqlite`]).
//!
//! | name | value |
//! |---|---|
//! | `key/F` | the earlier key with fingerprint F, sealed under the one that followed it |
//! | `heir/F` | the key that a rekey under way leads to, sealed under the one before it |
//! | `rekey` | the fingerprint of that key |
//! | `rekey-at` | the number of the last token that it has done |
//!
//! A server that runs looks at them with every beat of its heart, so that whatever is sealed with the new key opens for it too.

use tokio_postgres::Client;

use super::rows::Odd;
use crate::store::keyring::{Keyring, Wrapped};

/// Names of earlier keys begin with this.
pub(super) const EARLIER: &str = "key/";
/// Names of keys that follow begin with this.
pub(super) const HEIR: &str = "heir/";

/// Takes in every key that the store keeps and a key of the ring opens; how many there are.
pub(super) async fn learn(client: &Client, ring: &Keyring) -> Result<usize, Odd> {
    let sql = "SELECT name, value FROM meta WHERE name LIKE 'key/%' OR name LIKE 'heir/%'";
    let mut wrapped = Vec::new();
    for row in client.query(sql, &[]).await? {
        let name: &str = row.try_get(0)?;
        let fingerprint = name.split_once('/').map_or(name, |(_, fingerprint)| fingerprint).to_owned();
        wrapped.push(Wrapped { fingerprint, sealed: row.try_get(1)? });
    }
    ring.learn(&wrapped);
    Ok(wrapped.len())
}
