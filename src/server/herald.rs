//! Tells the peers each checkpoint of the audit trail, on a thread of its own: a peer that is down keeps nobody waiting.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::peers::witness;
use super::system::SystemEntropy;
use super::worker::Shared;
use crate::base::name::Label;
use crate::store::trail::Checkpoint;

/// How long all peers together may take over one checkpoint.
const WITHIN: Duration = Duration::from_secs(20);

/// Whoever tells.
#[derive(Default)]
pub(super) struct Herald {
    /// On its way with the checkpoint before.
    thread: Option<JoinHandle<()>>,
    /// Peers that did not take the last one, which was said.
    deaf: Arc<Mutex<HashSet<Label>>>,
}

impl Herald {
    /// Tells all peers. One that is told still of the checkpoint before is told with the next.
    pub(super) fn tell(&mut self, checkpoint: &Checkpoint, shared: &Arc<Shared>) {
        if shared.live.load().peers.all().is_empty() || self.thread.as_ref().is_some_and(|t| !t.is_finished())
        {
            return;
        }
        let (shared, checkpoint, deaf) = (Arc::clone(shared), checkpoint.clone(), Arc::clone(&self.deaf));
        let run = move || tell_all(&shared, &checkpoint, &deaf);
        match std::thread::Builder::new().name("herald".to_owned()).spawn(run) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => tracing::warn!(%error, "no thread to tell the peers of a checkpoint"),
        }
    }

    /// Waits until the last checkpoint was told.
    pub(super) fn finish(&mut self) {
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that tells peers of checkpoints ended in a panic");
        }
    }
}

fn tell_all(shared: &Shared, checkpoint: &Checkpoint, deaf: &Mutex<HashSet<Label>>) {
    let Ok(mut entropy) = SystemEntropy::new() else {
        tracing::warn!("no randomness to tell the peers of a checkpoint");
        return;
    };
    let until = shared.clock.mono() + WITHIN;
    let live = shared.live.load_full();
    for peer in live.peers.all() {
        let told = witness::tell(peer, checkpoint, &*shared.clock, &mut entropy, until);
        let mut deaf = deaf.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Ok(()) => {
                if deaf.remove(peer.name()) {
                    tracing::info!(peer = %peer.name(), "the peer takes our audit checkpoints again");
                }
            }
            Err(fault) => {
                if deaf.insert(peer.name().clone()) {
                    tracing::warn!(peer = %peer.name(), "the peer does not take our audit checkpoints: {fault}");
                }
            }
        }
    }
}
