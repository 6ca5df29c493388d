//! The chain walked row by row, whoever reads the rows: each compared with the one before it and with the checkpoints that
//! were made when it was the newest. What is read here may be anything that somebody put into the database.

use std::collections::BTreeMap;

use super::chain::{self, Mac};
use super::keyring::Keyring;
use super::packed;
use super::trail::{Break, Checkpoint};
use crate::engine::reason::Reason;

/// What a chain has to agree with: checkpoints by the number of rows that they count.
#[derive(Default)]
pub(super) struct Expected {
    checkpoints: BTreeMap<u64, Vec<Checkpoint>>,
    /// The first that the store keeps and somebody else made.
    pub(super) forged: Option<Break>,
}

impl Expected {
    /// Of a checkpoint that somebody holds who is believed.
    pub(super) fn add(&mut self, checkpoint: Checkpoint) {
        self.checkpoints.entry(checkpoint.count).or_default().push(checkpoint);
    }

    /// Of one that the store keeps, where nobody but the store could have made it.
    pub(super) fn add_kept(&mut self, checkpoint: Checkpoint, key: &Keyring) {
        let count = checkpoint.count;
        if checkpoint.is_ours(key) {
            self.add(checkpoint);
        } else {
            let what = "a checkpoint that the store keeps of it is forged".to_owned();
            self.forged.get_or_insert(Break { sequence: count, what });
        }
    }
}

/// How often it is said how far it is.
pub(super) const REPORT: u64 = 10_000;

pub(super) struct Walk {
    /// The last row that was found good, and its link.
    pub(super) sequence: u64,
    mac: Mac,
    pub(super) erased: u64,
    /// The first row that names nobody since one said that somebody was erased.
    unsaid: Option<u64>,
    pub(super) agreed: u64,
    expected: BTreeMap<u64, Vec<Checkpoint>>,
}

/// What stands in a row's columns; `None` for what is not even octets.
pub(super) struct Columns<'a> {
    pub(super) body: Option<&'a [u8]>,
    pub(super) person: Option<&'a [u8]>,
    pub(super) mac: Option<&'a [u8]>,
}

/// What a row is found to be.
pub(super) enum Step {
    /// It follows from the one before.
    Good,
    /// It does not.
    Broken(Break),
    /// It does not either; [`Walk::diagnose`] says more.
    Unlinked,
}

impl Walk {
    /// A walk from the row after `sequence`, which is linked to `mac`.
    pub(super) fn new(sequence: u64, mac: Mac, mut expected: Expected) -> Walk {
        // What is counted by checkpoints before the anchor cannot be seen any more.
        let expected = expected.checkpoints.split_off(&sequence);
        Walk { sequence, mac, erased: 0, unsaid: None, agreed: 0, expected }
    }

    /// Looks at the row that stands next, under number `seq`.
    pub(super) fn step(&mut self, seq: i64, columns: &Columns<'_>) -> Step {
        let wanted = self.sequence + 1;
        let broken = |what: String| Step::Broken(Break { sequence: wanted, what });
        let Some(seq) = u64::try_from(seq).ok().filter(|seq| *seq >= wanted) else {
            return broken(format!("a row {seq} stands before it, where none can"));
        };
        if seq > wanted {
            let gone = seq - wanted;
            return broken(if gone == 1 {
                "the row was removed".to_owned()
            } else {
                format!("the rows {wanted} to {} were removed", seq - 1)
            });
        }
        let (Some(body), Some(person)) = (columns.body, columns.person) else {
            return broken("the row was changed: it is none any more".to_owned());
        };
        let stored = columns.mac.and_then(|mac| Mac::try_from(mac).ok());
        let linked = chain::link(&self.mac, seq, body, &packed::commitment(person));
        if stored != Some(linked) {
            return Step::Unlinked;
        }
        if packed::is_erased(person) {
            self.erased += 1;
            self.unsaid.get_or_insert(seq);
        } else if self.unsaid.is_some() && packed::has_reason(body, Reason::UserErased.code()) {
            self.unsaid = None;
        }
        (self.sequence, self.mac) = (seq, linked);
        self.compare().map_or(Step::Good, Step::Broken)
    }

    /// Compares the last row with the checkpoints that were made when it was the newest.
    pub(super) fn compare(&mut self) -> Option<Break> {
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
    pub(super) fn tail(&self, watermark: u64) -> Option<Break> {
        let sequence = self.sequence + 1;
        if let Some(checkpoint) = self.expected.values().flatten().next_back() {
            let what = format!(
                "the tail was cut off: the trail ends at row {}, but the checkpoint of {} counts {}",
                self.sequence, checkpoint.time, checkpoint.count
            );
            return Some(Break { sequence, what });
        }
        (watermark > self.sequence).then(|| {
            let what = format!(
                "the tail was cut off: the trail ends at row {}, but the store has taken in {watermark}",
                self.sequence
            );
            Break { sequence, what }
        })
    }

    /// A row that names nobody although nobody is said to have been erased, in this chain.
    pub(super) fn unsaid(&self) -> Option<Break> {
        Some(unsaid(self.unsaid?))
    }

    /// Why the next row does not follow from the one before: body, person and link of it and of the one after it tell.
    pub(super) fn diagnose(&self, here: Option<&[Vec<u8>; 3]>, next: Option<&[Vec<u8>; 3]>) -> Break {
        let wanted = self.sequence + 1;
        let linked = |before: &Mac, seq: u64, [body, person, _]: &[Vec<u8>; 3]| {
            chain::link(before, seq, body, &packed::commitment(person))
        };
        let what = match (here, next) {
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
        Break { sequence: wanted, what }
    }
}

/// What is wrong with a row that names nobody although nobody is said to have been erased.
pub(super) fn unsaid(sequence: u64) -> Break {
    let what = "its personal part was taken out, and no row after it says that anybody was erased".to_owned();
    Break { sequence, what }
}
