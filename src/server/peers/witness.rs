//! Witnesses: each server tells its peers its newest checkpoint of the audit trail, and keeps theirs. Whoever cuts the tail
//! off a trail, or makes it anew, would have to do so on every server.
//!
//! A checkpoint is signed under the key of the store that made it, which no peer has: it is kept as it was told, under the
//! name of the peer whose key sealed the message. Invariants: what is kept is never replaced by something else of the same
//! row; [`KEPT`] for each peer at most, the oldest goes; telling waits for nobody and on a thread of its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Peer;
use super::carrier::{Witness, Witnessed};
use super::hello::{HelloFault, ask, connect};
use crate::base::name::Label;
use crate::base::system::{Clock, Entropy};
use crate::base::time::Tick;
use crate::server::settings;
use crate::store::trail::Checkpoint;
use crate::wire::DropReason;

/// Checkpoints of one peer that are kept: a day of them, one every five minutes.
pub const KEPT: usize = 288;
/// How long a peer may take to say that it has one.
const PATIENCE: Duration = Duration::from_millis(700);

/// What the peers have told.
#[derive(Default)]
pub(in crate::server) struct Witnesses {
    known: Mutex<HashMap<Label, Told>>,
}

#[derive(Default)]
struct Told {
    checkpoints: BTreeMap<u64, Checkpoint>,
    /// The store does not have all of it.
    unwritten: bool,
    /// The store was asked what it has.
    loaded: bool,
}

impl Told {
    fn add(&mut self, checkpoint: Checkpoint) {
        self.checkpoints.entry(checkpoint.count).or_insert(checkpoint);
        while self.checkpoints.len() > KEPT {
            self.checkpoints.pop_first();
        }
    }

    /// What is odd about a checkpoint that comes now.
    fn objection(&self, checkpoint: &Checkpoint) -> Option<String> {
        let known = self.checkpoints.get(&checkpoint.count);
        // Told twice, as it was: a packet that came late.
        if known == Some(checkpoint) {
            return None;
        }
        if known.is_some_and(|known| known.head != checkpoint.head) {
            return Some(format!("its trail was made anew: row {} is another one now", checkpoint.count));
        }
        let (newest, _) = self.checkpoints.last_key_value()?;
        let shrank = checkpoint.count < *newest;
        shrank.then(|| {
            format!("its trail lost its tail: it had {newest} rows, and has {} now", checkpoint.count)
        })
    }
}

impl Witnesses {
    /// Keeps what `peer` said. What speaks against what it said before goes to the log, loudly.
    fn keep(&self, peer: &Label, checkpoint: Checkpoint) {
        let mut known = self.lock();
        let told = known.entry(peer.clone()).or_default();
        if let Some(what) = told.objection(&checkpoint) {
            tracing::error!(
                %peer, hint = "was a backup restored there? Otherwise keep both stores as they are: radmfa audit peers",
                "{what}: audit checkpoint of a peer {checkpoint}"
            );
        } else {
            tracing::info!(%peer, "audit checkpoint of a peer {checkpoint}");
        }
        told.add(checkpoint);
        told.unwritten = true;
    }

    /// The newest ones of `peer` before row `before`, newest first, at most `limit`.
    fn before(&self, peer: &Label, before: u64, limit: usize) -> Vec<Checkpoint> {
        let known = self.lock();
        let told = known.get(peer).into_iter();
        told.flat_map(|told| told.checkpoints.range(..before).rev())
            .take(limit)
            .map(|(_, c)| c.clone())
            .collect()
    }

    /// Whether the store has yet to be asked what it has of `peer`.
    pub(in crate::server) fn lacks(&self, peer: &Label) -> bool {
        self.lock().get(peer).is_none_or(|told| !told.loaded)
    }

    /// Takes in what the store had of `peer`.
    pub(in crate::server) fn load(&self, peer: &Label, text: &str) {
        let mut known = self.lock();
        let told = known.entry(peer.clone()).or_default();
        Checkpoint::find(text).for_each(|checkpoint| told.add(checkpoint));
        told.loaded = true;
    }

    /// What is to be written into the store: a peer, and all that is kept of it.
    pub(in crate::server) fn unwritten(&self) -> Vec<(Label, String)> {
        let mut known = self.lock();
        let news = known.iter_mut().filter(|(_, told)| told.loaded && told.unwritten);
        news.map(|(peer, told)| {
            told.unwritten = false;
            (peer.clone(), lines(told.checkpoints.values()))
        })
        .collect()
    }

    /// What was to be written could not be.
    pub(in crate::server) fn not_written(&self, peer: &Label) {
        if let Some(told) = self.lock().get_mut(peer) {
            told.unwritten = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Label, Told>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lines<'a>(checkpoints: impl Iterator<Item = &'a Checkpoint>) -> String {
    checkpoints.flat_map(|checkpoint| [checkpoint.to_string(), "\n".to_owned()]).collect()
}

/// The name under which a store notes what `peer` has told.
#[must_use]
pub fn memo(peer: &Label) -> String {
    format!("witness/{peer}")
}

/// What this server says to what `peer` tells or asks.
pub(super) fn answer(plain: &[u8], peer: &Label, witnesses: &Witnesses) -> Result<Witnessed, DropReason> {
    match Witness::decode(plain).ok_or(DropReason::RelayRefused)? {
        Witness::Tell(checkpoint) => {
            witnesses.keep(peer, checkpoint);
            Ok(Witnessed::Known(Vec::new()))
        }
        Witness::Recall { before } => {
            Ok(Witnessed::Known(witnesses.before(peer, before, super::carrier::CHECKPOINTS_MAX)))
        }
    }
}

/// Tells `peer` a checkpoint of this server, on a thread that may wait, but not beyond `until`.
pub(in crate::server) fn tell(
    peer: &Peer,
    checkpoint: &Checkpoint,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
    until: Tick,
) -> Result<(), HelloFault> {
    let patience = until.since(clock.mono()).min(PATIENCE);
    if patience.is_zero() {
        return Err(HelloFault::Silent);
    }
    let said = Witness::Tell(checkpoint.clone()).encode();
    let socket = connect(peer.address).map_err(HelloFault::Unreachable)?;
    let answer = ask(peer, (&peer.witness, &peer.witnessed), &said, &socket, clock, entropy, patience)?;
    Witnessed::decode(&answer).map(drop).ok_or(HelloFault::Malformed)
}

/// Asks a peer for all the checkpoints of the server `own` that it keeps, newest first. Each answer is awaited for
/// `patience`.
pub fn recall(
    own: &Label,
    peer: &settings::Peer,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
    patience: Duration,
) -> Result<Vec<Checkpoint>, HelloFault> {
    let peer = Peer::new(own, peer);
    let socket = connect(peer.address).map_err(HelloFault::Unreachable)?;
    let mut all: Vec<Checkpoint> = Vec::new();
    loop {
        let before = all.last().map_or(u64::MAX, |oldest| oldest.count);
        let asked = Witness::Recall { before }.encode();
        let answer = ask(&peer, (&peer.witness, &peer.witnessed), &asked, &socket, clock, entropy, patience)?;
        let Witnessed::Known(known) = Witnessed::decode(&answer).ok_or(HelloFault::Malformed)?;
        // Whatever the peer says, this ends.
        let older: Vec<_> = known.into_iter().filter(|checkpoint| checkpoint.count < before).collect();
        if older.is_empty() || all.len() >= KEPT {
            return Ok(all);
        }
        all.extend(older);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    fn checkpoint(count: u64, head: u8) -> Checkpoint {
        signed(count, head, head)
    }

    fn signed(count: u64, head: u8, sign: u8) -> Checkpoint {
        let [head, sign] = [head, sign].map(|octet| format!("{octet:02x}").repeat(32));
        Checkpoint::find(&format!("radmfa-checkpoint:1:{count}:1800000000000:{head}:{sign}")).next().unwrap()
    }

    #[test]
    fn what_was_told_is_kept_and_never_replaced_by_something_else_of_the_same_row() {
        let witnesses = Witnesses::default();
        let peer = name("mfa-b");
        witnesses.load(&peer, "");
        for count in 1..=400 {
            witnesses.keep(&peer, checkpoint(count, 1));
        }
        witnesses.keep(&peer, checkpoint(400, 2));
        witnesses.keep(&peer, checkpoint(300, 3));
        let kept = witnesses.before(&peer, u64::MAX, 1_000);
        assert_eq!((kept.len(), kept[0].count, kept[KEPT - 1].count), (KEPT, 400, 113));
        assert!(kept.iter().all(|checkpoint| checkpoint.head == [1; 32]));
        let page: Vec<u64> =
            witnesses.before(&peer, 200, 3).iter().map(|checkpoint| checkpoint.count).collect();
        assert_eq!(page, [199, 198, 197]);
        assert!(witnesses.before(&name("mfa-c"), u64::MAX, 10).is_empty());
    }

    #[test]
    fn a_trail_that_shrinks_or_is_made_anew_is_objected_to() {
        let mut told = Told::default();
        assert_eq!(told.objection(&checkpoint(7, 1)), None);
        told.add(checkpoint(7, 1));
        told.add(checkpoint(9, 1));
        assert_eq!(told.objection(&checkpoint(7, 1)), None, "said again, or sent again by somebody");
        assert!(told.objection(&signed(7, 1, 2)).unwrap().contains("lost its tail"), "made again");
        assert_eq!(told.objection(&signed(9, 1, 2)), None);
        assert_eq!(told.objection(&checkpoint(10, 1)), None);
        assert!(told.objection(&checkpoint(9, 2)).unwrap().contains("made anew"));
        assert!(told.objection(&checkpoint(8, 1)).unwrap().contains("lost its tail"));
    }

    #[test]
    fn what_is_kept_goes_into_the_store_once_and_comes_back_after_a_restart() {
        let witnesses = Witnesses::default();
        let peer = name("mfa-b");
        witnesses.keep(&peer, checkpoint(5, 1));
        assert!(witnesses.unwritten().is_empty(), "before the store was asked, what it has would be lost");
        assert!(witnesses.lacks(&peer));
        witnesses.load(&peer, &checkpoint(3, 1).to_string());
        assert!(!witnesses.lacks(&peer));
        let written = witnesses.unwritten();
        assert_eq!(written[0].1.lines().count(), 2);
        assert!(witnesses.unwritten().is_empty());
        let after = Witnesses::default();
        after.load(&peer, &written[0].1);
        let counts: Vec<u64> =
            after.before(&peer, u64::MAX, 10).iter().map(|checkpoint| checkpoint.count).collect();
        assert_eq!(counts, [5, 3]);
    }
}
