//! Rows of schema 1, a column a field and no chain, become packed rows of one chain.

use rusqlite::{Connection, params};

use super::rows::{int, nat};
use crate::base::system::{Entropy, random};
use crate::store::chain::{GENESIS, link};
use crate::store::packed::{self, Old};

/// Moves `event_1` into `event`, in order, and drops it. Call it in the transaction of the migration.
pub(super) fn events(connection: &Connection, entropy: &mut dyn Entropy) -> rusqlite::Result<()> {
    let mut old = connection.prepare(
        "SELECT seq, time, login, client, source, user, user_id, station, verdict, reason, method, protocol,
             device, token, step, tally, took
         FROM event_1 WHERE chain = 1 ORDER BY seq",
    )?;
    let mut insert =
        connection.prepare("INSERT INTO event (chain, seq, body, person, mac) VALUES (1, ?1, ?2, ?3, ?4)")?;
    let mut rows = old.query([])?;
    let mut before = GENESIS;
    while let Some(row) = rows.next()? {
        let seq = nat(row.get(0)?);
        let text =
            |column: usize| -> rusqlite::Result<Option<&str>> { Ok(row.get_ref(column)?.as_str_or_null()?) };
        let old = Old {
            time: nat(row.get(1)?),
            login: nat(row.get(2)?),
            client: text(3)?.unwrap_or_default(),
            source: text(4)?.and_then(|source| source.parse().ok()),
            user: text(5)?,
            user_id: row.get(6)?,
            station: text(7)?,
            verdict: text(8)?.unwrap_or_default(),
            reason: text(9)?.unwrap_or_default(),
            method: text(10)?.unwrap_or_default(),
            protocol: text(11)?.unwrap_or_default(),
            device: text(12)?,
            spent: row.get::<_, Option<i64>>(13)?.zip(row.get::<_, Option<i64>>(14)?.map(nat)),
            tally: nat(row.get(15)?),
            took: nat(row.get(16)?),
        };
        let (body, person) = old.pack(random(entropy));
        before = link(&before, seq, &body, &packed::commitment(&person));
        insert.execute(params![int(seq), body, person, before])?;
    }
    drop(rows);
    drop(old);
    connection.execute_batch("DROP TABLE event_1")
}
