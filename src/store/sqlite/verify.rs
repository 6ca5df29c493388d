//! Whether the trail is what was written: the chain walked from the anchor to the newest row, and compared with the
//! checkpoints. What is read here may be anything that somebody put into the file.

use rusqlite::Connection;

use super::rollup;
use super::rows::{self, CHAIN, int, nat};
use super::trail::{anchor, ends, start};
use crate::base::time::UnixTime;
use crate::store::keyring::Keyring;
use crate::store::trail::{Break, Checkpoint, Verified};
use crate::store::walk::{Columns, Expected, REPORT, Step, Walk};

/// Walks the chain in one transaction.
pub(super) fn run(
    connection: &Connection,
    key: &Keyring,
    others: &[Checkpoint],
    progress: &mut dyn FnMut(u64, u64),
) -> rusqlite::Result<Verified> {
    let transaction = connection.unchecked_transaction()?;
    let rows = ends(&transaction)?;
    let count = if rows[1] == 0 { 0 } else { rows[1] - rows[0] + 1 };
    let mut verified = Verified { rows, count, chains: 1, ..Verified::default() };
    let anchor = anchor(&transaction)?;
    if let Some(anchor) = &anchor {
        if !anchor.is_ours(key) {
            let what = "the anchor that pruning left there is forged".to_owned();
            verified.broken = Some(Break { sequence: anchor.sequence, what });
            return Ok(verified);
        }
        verified.pruned = Some(anchor.time);
    }
    let mut expected = kept(&transaction, key)?;
    let forged = expected.forged.take();
    for other in others {
        expected.add(other.clone());
    }
    let (from, mac) = start(anchor.as_ref());
    let mut walk = Walk::new(from, mac, expected);
    let mut broken = walk.compare();
    let total = verified.rows[1].saturating_sub(from);
    if broken.is_none() {
        broken = self::rows(&mut walk, &transaction, &mut |sequence| {
            if (sequence - from).is_multiple_of(REPORT) {
                progress(sequence - from, total);
            }
        })?;
    }
    if broken.is_none() {
        // What state tables and roll-ups have taken in was there.
        let taken_in = rows::watermark(&transaction)?.max(rollup::reported(&transaction)?);
        broken = walk.tail(taken_in).or_else(|| walk.unsaid());
    }
    progress(total, total);
    (verified.erased, verified.checkpoints) = (walk.erased, walk.agreed);
    // The first thing that is wrong.
    verified.broken = [broken, forged].into_iter().flatten().min_by_key(|broken| broken.sequence);
    Ok(verified)
}

/// The checkpoints that the store keeps.
fn kept(connection: &Connection, key: &Keyring) -> rusqlite::Result<Expected> {
    let mut statement =
        connection.prepare("SELECT seq, time, head, sign FROM checkpoint WHERE chain = ?1 ORDER BY seq")?;
    let mut rows = statement.query([CHAIN])?;
    let mut expected = Expected::default();
    while let Some(row) = rows.next()? {
        let count = nat(row.get(0)?);
        let time = UnixTime(nat(row.get(1)?));
        expected.add_kept(Checkpoint::kept(count, time, rows::mac(row, 2)?, rows::mac(row, 3)?), key);
    }
    Ok(expected)
}

fn rows(
    walk: &mut Walk,
    connection: &Connection,
    seen: &mut dyn FnMut(u64),
) -> rusqlite::Result<Option<Break>> {
    let mut statement =
        connection.prepare("SELECT seq, body, person, mac FROM event WHERE chain = ?1 ORDER BY seq")?;
    let mut rows = statement.query([CHAIN])?;
    while let Some(row) = rows.next()? {
        let octets = |column| -> rusqlite::Result<Option<&[u8]>> { Ok(row.get_ref(column)?.as_blob().ok()) };
        let columns = Columns { body: octets(1)?, person: octets(2)?, mac: octets(3)? };
        match walk.step(row.get(0)?, &columns) {
            Step::Good => seen(walk.sequence),
            Step::Broken(broken) => return Ok(Some(broken)),
            Step::Unlinked => {
                let wanted = walk.sequence + 1;
                let (here, next) = (read(connection, wanted)?, read(connection, wanted + 1)?);
                return Ok(Some(walk.diagnose(here.as_ref(), next.as_ref())));
            }
        }
    }
    Ok(None)
}

/// Body, person and link of a row.
fn read(connection: &Connection, seq: u64) -> rusqlite::Result<Option<[Vec<u8>; 3]>> {
    let mut statement =
        connection.prepare_cached("SELECT body, person, mac FROM event WHERE chain = ?1 AND seq = ?2")?;
    let mut rows = statement.query([CHAIN, int(seq)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let octets = |column| -> rusqlite::Result<Vec<u8>> {
        Ok(row.get_ref(column)?.as_blob().unwrap_or_default().to_vec())
    };
    Ok(Some([octets(0)?, octets(1)?, octets(2)?]))
}
