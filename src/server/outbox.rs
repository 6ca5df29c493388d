//! Replies of one worker that leave together: what one turn of its runtime decides is sent in one system call, and whoever
//! waits for it is woken once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::socket::Letter;

/// Gathers replies until the task that sends them has its turn.
#[derive(Default)]
pub(super) struct Outbox {
    /// Never contended: a worker is one thread.
    waiting: Mutex<Vec<Letter>>,
    bell: Notify,
}

impl Outbox {
    /// Has `letter` sent as soon as the running task yields.
    pub(super) fn push(&self, letter: Letter) {
        let mut waiting = self.waiting();
        waiting.push(letter);
        if waiting.len() == 1 {
            self.bell.notify_one();
        }
    }

    /// Waits until something was pushed.
    pub(super) async fn filled(&self) {
        self.bell.notified().await;
    }

    /// Exchanges what waits for the empty `letters`.
    pub(super) fn swap(&self, letters: &mut Vec<Letter>) {
        std::mem::swap(&mut *self.waiting(), letters);
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Letter>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
