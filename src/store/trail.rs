//! The trail as auditors and the server's auditor need it: read in order, checked, checkpointed, pruned, and freed of
//! somebody's name.
//!
//! Invariants: nothing here changes what a row says but [`Trail::erase_user`], which leaves its commitment; what is
//! pruned leaves an anchor signed under the store's key; a checkpoint says how many rows there were and what the newest
//! was linked to, so that whoever cuts the tail off or makes the chain anew is found by it.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use super::admin::{AdminFault, AuditRow};
use super::chain::Mac;
use super::keyring::Keyring;
use crate::base::name::UserName;
use crate::base::secret::{Secret, same};
use crate::base::text::{hex, unhex};
use crate::base::time::UnixTime;

/// What can be done with a trail beside appending to it.
pub trait Trail {
    /// Up to `limit` rows after the row `after`, oldest first; from the first one on where there is no such row. Where a store
    /// has a chain for each server, rows are in the order of time, and their numbers are not.
    fn page(&mut self, after: u64, limit: usize) -> Result<Vec<AuditRow>, AdminFault>;

    /// A number before every row of `time` or later; for [`Trail::page`]. Rows are as good as ordered by time; where a
    /// clock was set back by more than an hour, some may be missed.
    fn before(&mut self, time: UnixTime) -> Result<u64, AdminFault>;

    /// The newest row's number, 0 where there is none.
    fn newest(&mut self) -> Result<u64, AdminFault>;

    /// Walks the whole chain, and compares it with the checkpoints that the store keeps and with `others`. `progress`
    /// hears how many rows of how many are done.
    fn verify(
        &mut self,
        others: &[Checkpoint],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verified, AdminFault>;

    /// Whether this store made `checkpoint`.
    fn made(&self, checkpoint: &Checkpoint) -> bool;

    /// Makes a checkpoint of the present moment and keeps it; `None` where the newest row has one.
    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, AdminFault>;

    /// Removes up to `most` of the oldest rows, those before `time`, and leaves a signed anchor. Answers how many went.
    /// A row that does not follow from the one before it is not removed, nor any after it.
    fn prune(&mut self, time: UnixTime, most: usize) -> Result<usize, AdminFault>;

    /// Removes a user and turns the personal part of the user's rows into commitments, so that the chain still holds.
    /// Somebody who is in the trail alone is erased there. `progress` hears how many rows of how many were looked at.
    fn erase_user(
        &mut self,
        name: &UserName,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Erased, AdminFault>;

    /// The newest row that was sent elsewhere; `None` where none ever was.
    fn forwarded(&mut self) -> Result<Option<u64>, AdminFault>;

    /// Remembers [`Trail::forwarded`].
    fn set_forwarded(&mut self, sequence: u64) -> Result<(), AdminFault>;
}

/// What [`Trail::erase_user`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Rows whose personal part is gone.
    pub rows: u64,
    /// The serials of the user's tokens, which belong to nobody now.
    pub tokens: Vec<Arc<str>>,
}

/// What [`Trail::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The rows that were looked at: the first and the last number, both 0 in an empty trail.
    pub rows: [u64; 2],
    /// How many they are.
    pub count: u64,
    /// In how many chains: one, but where several servers share a store.
    pub chains: u64,
    /// How many of them were erased.
    pub erased: u64,
    /// When the rows before the first were pruned.
    pub pruned: Option<UnixTime>,
    /// Checkpoints that agree.
    pub checkpoints: u64,
    /// The first thing that is wrong.
    pub broken: Option<Break>,
}

/// Where a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The first row that cannot be trusted.
    pub sequence: u64,
    /// What is wrong with it.
    pub what: String,
}

/// That a chain had so many rows, the newest with this link, at that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The number of the newest row, pruned ones counted.
    pub count: u64,
    /// When.
    pub time: UnixTime,
    /// The newest row's link.
    pub head: [u8; 32],
    sign: [u8; 32],
}

/// The keys that checkpoints and anchors are signed under: used for nothing else.
const CHECKPOINT: &str = "audit-checkpoint";
const ANCHOR: &str = "audit-anchor";
/// How a checkpoint's text begins.
const PREFIX: &str = "radmfa-checkpoint:1:";

impl Checkpoint {
    pub(super) fn new(key: &Keyring, count: u64, time: UnixTime, head: Mac) -> Checkpoint {
        Checkpoint { count, time, head, sign: sign(&key.derive(CHECKPOINT), count, time, &head) }
    }

    pub(super) fn kept(count: u64, time: UnixTime, head: Mac, sign: Mac) -> Checkpoint {
        Checkpoint { count, time, head, sign }
    }

    pub(super) fn signature(&self) -> &Mac {
        &self.sign
    }

    /// Whether this store made it, under its present key or one before.
    pub(super) fn is_ours(&self, key: &Keyring) -> bool {
        is_signed(key, CHECKPOINT, self.count, self.time, &self.head, &self.sign)
    }

    /// How many octets [`Checkpoint::to_octets`] makes.
    pub const OCTETS: usize = 80;

    /// As servers tell it each other.
    #[must_use]
    pub fn to_octets(&self) -> [u8; Checkpoint::OCTETS] {
        let mut octets = [0; Checkpoint::OCTETS];
        let parts = self.count.to_be_bytes().into_iter().chain(self.time.0.to_be_bytes());
        let parts = parts.chain(self.head).chain(self.sign);
        octets.iter_mut().zip(parts).for_each(|(target, octet)| *target = octet);
        octets
    }

    /// Back from [`Checkpoint::to_octets`].
    #[must_use]
    pub fn from_octets(octets: &[u8; Checkpoint::OCTETS]) -> Checkpoint {
        let mut parts = octets.iter().copied();
        let mut number = || u64::from_be_bytes(std::array::from_fn(|_| parts.next().unwrap_or_default()));
        let (count, time) = (number(), UnixTime(number()));
        let mut hash = || std::array::from_fn(|_| parts.next().unwrap_or_default());
        Checkpoint { count, time, head: hash(), sign: hash() }
    }

    /// Every checkpoint in `text`, which may be a log.
    pub fn find(text: &str) -> impl Iterator<Item = Checkpoint> + '_ {
        text.match_indices(PREFIX).filter_map(|(place, _)| {
            let rest = text.get(place + PREFIX.len()..)?;
            let end = rest.find(|c: char| !c.is_ascii_hexdigit() && c != ':').unwrap_or(rest.len());
            let mut parts = rest.get(..end)?.split(':');
            let mut number = || parts.next()?.parse().ok();
            let (count, time) = (number()?, UnixTime(number()?));
            let mut octets = || unhex(parts.next()?)?.try_into().ok();
            Some(Checkpoint { count, time, head: octets()?, sign: octets()? })
        })
    }
}

impl std::fmt::Display for Checkpoint {
    /// One word, for a log: what [`Checkpoint::find`] finds.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Checkpoint { count, time, head, sign } = self;
        write!(formatter, "{PREFIX}{count}:{}:{}:{}", time.0, hex(head), hex(sign))
    }
}

/// What pruning leaves in place of the rows up to `sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) sequence: u64,
    pub(super) mac: Mac,
    pub(super) time: UnixTime,
    pub(super) sign: Mac,
}

impl Anchor {
    pub(super) fn new(key: &Keyring, sequence: u64, mac: Mac, time: UnixTime) -> Anchor {
        Anchor { sequence, mac, time, sign: sign(&key.derive(ANCHOR), sequence, time, &mac) }
    }

    pub(super) fn is_ours(&self, key: &Keyring) -> bool {
        is_signed(key, ANCHOR, self.sequence, self.time, &self.mac, &self.sign)
    }
}

fn sign(key: &Secret, count: u64, time: UnixTime, head: &Mac) -> Mac {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    let keyed = Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes any key");
    let said = keyed.chain_update(count.to_be_bytes()).chain_update(time.0.to_be_bytes());
    said.chain_update(head).finalize().into_bytes().into()
}

fn is_signed(key: &Keyring, use_: &str, count: u64, time: UnixTime, head: &Mac, signed: &Mac) -> bool {
    let keys = std::iter::once(key.derive(use_)).chain(key.derive_others(use_));
    keys.map(|key| sign(&key, count, time, head)).any(|made| same(&made, signed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::seal::SealKey;

    #[test]
    fn a_checkpoint_is_found_in_a_log_and_is_good_for_its_own_key_alone() {
        let [ours, theirs] = [7_u8, 8].map(|octet| Keyring::new(SealKey::parse(&[octet; 32]).unwrap()));
        let made = Checkpoint::new(&ours, 1234, UnixTime(1_800_000_000_000), [9; 32]);
        let log = format!("… INFO {made} and more\n{{\"x\":\"{made}\"}}\nradmfa-checkpoint:1:9:x:y");
        let found: Vec<_> = Checkpoint::find(&log).collect();
        assert_eq!(found, [made.clone(), made.clone()]);
        assert!(made.is_ours(&ours) && !made.is_ours(&theirs));
        assert_eq!(Checkpoint::from_octets(&made.to_octets()), made);
        for changed in [
            Checkpoint { count: 1235, ..made.clone() },
            Checkpoint { time: UnixTime(0), ..made.clone() },
            Checkpoint { head: [8; 32], ..made },
        ] {
            assert!(!changed.is_ours(&ours));
        }
    }
}
