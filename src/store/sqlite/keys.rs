//! What a store says of its keys, in `meta`:
//!
//! | name | value |
//! |---|---|
//! | `seal-key` | fingerprint of the key that the store wants |
//! | `radmfa/key/F` | the earlier key with fingerprint F, sealed under the one that followed it |
//! | `radmfa/heir/F` | the key that follows, with fingerprint F, sealed under the one before it |
//! | `rekey` | fingerprint of the key that a rekey under way leads to |

use rusqlite::{Connection, OptionalExtension as _};

use crate::store::keyring::Wrapped;

/// Names of earlier keys begin with this.
pub(super) const EARLIER: &str = "radmfa/key/";
/// Names of keys that follow begin with this.
pub(super) const HEIR: &str = "radmfa/heir/";

/// The fingerprint of the key that the store wants.
pub(super) fn current(connection: &Connection) -> rusqlite::Result<Vec<u8>> {
    connection.query_row("SELECT value FROM meta WHERE name = 'seal-key'", [], |row| row.get(0))
}

/// The fingerprint of the key that a rekey under way leads to.
pub(super) fn next(connection: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.query_row("SELECT value FROM meta WHERE name = 'rekey'", [], |row| row.get(0)).optional()
}

/// Every key that the store keeps sealed.
pub(super) fn wrapped(connection: &Connection) -> rusqlite::Result<Vec<Wrapped>> {
    let mut found = Vec::new();
    for prefix in [EARLIER, HEIR] {
        let mut statement = connection.prepare_cached(
            "SELECT substr(name, length(?1) + 1), value FROM meta WHERE name >= ?1 AND name < ?2",
        )?;
        // `0` comes after `/`: everything that begins with the prefix lies between.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let rows = statement
            .query_map([prefix, &end], |row| Ok(Wrapped { fingerprint: row.get(0)?, sealed: row.get(1)? }))?;
        for row in rows {
            found.push(row?);
        }
    }
    Ok(found)
}

/// Forgets the keys that follow: whoever has an earlier key alone learns no later one from now on. Nothing is forgotten while
/// a rekey is under way.
pub(super) fn forget_heirs(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "DELETE FROM meta WHERE substr(name, 1, length(?1)) = ?1
                   AND NOT EXISTS (SELECT 1 FROM meta WHERE name = 'rekey')";
    connection.execute(sql, [HEIR]).map(drop)
}

/// Whether there is anything for [`forget_heirs`].
pub(super) fn has_heirs(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM meta WHERE substr(name, 1, length(?1)) = ?1";
    connection.query_row(sql, [HEIR], |row| row.get::<_, i64>(0)).map(|count| count > 0)
}
