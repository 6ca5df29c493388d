//! Whether the trail is what was written: the chain walked from the anchor to the newest row, and compared with the
//! checkpoints. What is read here may be anything that somebody put into the file.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::rollup;
use super::rows::{self, CHAIN, int, nat};
use super::trail::{anchor, ends, start};
use crate::base::time::UnixTime;
use crate::engine::reason::Reason;
use crate::store::chain::{self, Mac};
use crate::store::keyring::Keyring;
use crate::store::packed;
use crate::store::trail::{Break, Checkpoint, Verified};

/// How often it is said how far it is.
const REPORT: u64 = 10_000;

/// Checkpoints by the number of rows that they count.
type Expected = BTreeMap<u64, Vec<Checkpoint>>;

/// Walks the chain in one transaction.
pub(super) fn run(
    connection: &Connection,
    key: &Keyring,
    others: &[Checkpoint],
    progress: &mut dyn FnMut(u64, u64),
) -> rusqlite::Result<Verified> {
    let transaction = connection.unchecked_transaction()?;
    let mut verified = Verified { rows: ends(&transaction)?, ..Verified::default() };
    let anchor = anchor(&transaction)?;
    if let Some(anchor) = &anchor {
        if !anchor.is_ours(key) {
            let what = "the anchor that pruning left there is forged".to_owned();
            verified.broken = Some(Break { sequence: anchor.sequence, what });
            return Ok(verified);
        }
        verified.pruned = Some(anchor.time);
    }
    let (mut expected, forged) = kept(&transaction, key)?;
    for other in others {
        expected.entry(other.count).or_default().push(other.clone());
    }
    let (from, mac) = start(anchor.as_ref());
    let mut walk = Walk { sequence: from, mac, erased: 0, unsaid: None, agreed: 0, expected };
    // What is counted by checkpoints before the anchor cannot be seen any more.
    walk.expected = walk.expected.split_off(&from);
    let mut broken = walk.compare();
    let total = verified.rows[1].saturating_sub(from);
    if broken.is_none() {
        broken = walk.rows(&transaction, &mut |sequence| {
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

/// The store's own checkpoints; those that nobody but it could have made, and the first that somebody else did.
fn kept(connection: &Connection, key: &Keyring) -> rusqlite::Result<(Expected, Option<Break>)> {
    let mut statement =
        connection.prepare("SELECT seq, time, head, sign FROM checkpoint WHERE chain = ?1 ORDER BY seq")?;
    let mut rows = statement.query([CHAIN])?;
    let (mut expected, mut forged) = (Expected::new(), None);
    while let Some(row) = rows.next()? {
        let count = nat(row.get(0)?);
        let time = UnixTime(nat(row.get(1)?));
        let checkpoint = Checkpoint::kept(count, time, rows::mac(row, 2)?, rows::mac(row, 3)?);
        if checkpoint.is_ours(key) {
            expected.entry(count).or_default().push(checkpoint);
        } else {
            let what = "a checkpoint that the store keeps of it is forged".to_owned();
            forged.get_or_insert(Break { sequence: count, what });
        }
    }
    Ok((expected, forged))
}

struct Walk {
    /// The last row that was found good, and its link.
    sequence: u64,
    mac: Mac,
    erased: u64,
    /// The first row that names nobody since one said that somebody was erased.
    unsaid: Option<u64>,
    agreed: u64,
    expected: Expected,
}

impl Walk {
    fn rows(
        &mut self,
        connection: &Connection,
        seen: &mut dyn FnMut(u64),
    ) -> rusqlite::Result<Option<Break>> {
        let mut statement =
            connection.prepare("SELECT seq, body, person, mac FROM event WHERE chain = ?1 ORDER BY seq")?;
        let mut rows = statement.query([CHAIN])?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            let wanted = self.sequence + 1;
            let broken = |what: String| Ok(Some(Break { sequence: wanted, what }));
            if int(wanted) > seq {
                return broken(format!("a row {seq} stands before it, where none can"));
            }
            let seq = nat(seq);
            if seq > wanted {
                let gone = seq - wanted;
                return broken(if gone == 1 {
                    "the row was removed".to_owned()
                } else {
                    format!("the rows {wanted} to {} were removed", seq - 1)
                });
            }
            let (Ok(body), Ok(person)) = (row.get_ref(1)?.as_blob(), row.get_ref(2)?.as_blob()) else {
                return broken("the row was changed: it is none any more".to_owned());
            };
            let stored = row.get_ref(3)?.as_blob().ok().and_then(|mac| Mac::try_from(mac).ok());
            let linked = chain::link(&self.mac, seq, body, &packed::commitment(person));
            if stored != Some(linked) {
                return self.diagnose(connection, wanted);
            }
            if packed::is_erased(person) {
                self.erased += 1;
                self.unsaid.get_or_insert(seq);
            } else if self.unsaid.is_some() && packed::has_reason(body, Reason::UserErased.code()) {
                self.unsaid = None;
            }
            (self.sequence, self.mac) = (seq, linked);
            if let Some(broken) = self.compare() {
                return Ok(Some(broken));
            }
            seen(seq);
        }
        Ok(None)
    }

    /// Compares the last row with the checkpoints that were made when it was the newest.
    fn compare(&mut self) -> Option<Break> {
        for checkpoint in self.expected.remove(&self.sequence).unwrap_or_default() {
            if checkpoint.head != self.mac {
                let what = format!(
                    "it, or a row before it, was changed and the chain made anew: the checkpoint of {} says otherwise",
                    checkpoint.time
                );
                return Some(Break { sequence: self.sequence, what });
            }
            self.agreed += 1;
        }
        None
    }

    /// Checkpoints, or the store's own notes, that count more rows than there are.
    fn tail(&self, taken_in: u64) -> Option<Break> {
        let sequence = self.sequence + 1;
        if let Some(checkpoint) = self.expected.values().flatten().next_back() {
            let what = format!(
                "the tail was cut off: the trail ends at row {}, but the checkpoint of {} counts {}",
                self.sequence, checkpoint.time, checkpoint.count
            );
            return Some(Break { sequence, what });
        }
        (taken_in > self.sequence).then(|| {
            let what = format!(
                "the tail was cut off: the trail ends at row {}, but the store has taken in {taken_in}",
                self.sequence
            );
            Break { sequence, what }
        })
    }

    /// A row that names nobody although nobody is said to have been erased.
    fn unsaid(&self) -> Option<Break> {
        let sequence = self.unsaid?;
        let what =
            "its personal part was taken out, and no row after it says that anybody was erased".to_owned();
        Some(Break { sequence, what })
    }

    /// Why row `wanted` does not follow from the one before: what stands at the next number tells.
    fn diagnose(&self, connection: &Connection, wanted: u64) -> rusqlite::Result<Option<Break>> {
        let read = |seq: u64| -> rusqlite::Result<Option<[Vec<u8>; 3]>> {
            let mut statement = connection
                .prepare_cached("SELECT body, person, mac FROM event WHERE chain = ?1 AND seq = ?2")?;
            let mut rows = statement.query([CHAIN, int(seq)])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let octets = |column| -> rusqlite::Result<Vec<u8>> {
                Ok(row.get_ref(column)?.as_blob().unwrap_or_default().to_vec())
            };
            Ok(Some([octets(0)?, octets(1)?, octets(2)?]))
        };
        let (here, next) = (read(wanted)?, read(wanted + 1)?);
        let linked = |before: &Mac, seq: u64, [body, person, _]: &[Vec<u8>; 3]| {
            chain::link(before, seq, body, &packed::commitment(person))
        };
        let what = match (&here, &next) {
            (Some(here), Some(next)) if next[2] == linked(&self.mac, wanted, next) => {
                let after = linked(&self.mac, wanted, next);
                if here[2] == linked(&after, wanted + 1, here) {
                    format!("the rows {wanted} and {} were swapped", wanted + 1)
                } else {
                    "the row was inserted".to_owned()
                }
            }
            (Some(here), Some(next)) => match Mac::try_from(here[2].as_slice()) {
                Ok(mac) if next[2] == linked(&mac, wanted + 1, next) => {
                    "the row was changed, or put in the place of another".to_owned()
                }
                _ => "the row, or its link, was changed".to_owned(),
            },
            _ => "the row was changed".to_owned(),
        };
        Ok(Some(Break { sequence: wanted, what }))
    }
}
