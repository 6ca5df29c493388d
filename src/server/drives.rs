//! The logins of one worker that wait for an answer, driven by a single task.
//!
//! A task each would cost an allocation aligned to a cache line and a place in the runtime's list, twice a login; here a
//! login's drive is a small box, and waking several wakes one task.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::task::AtomicWaker;

/// A login on its way from one answer to the next.
pub(super) type Drive = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes drives in and runs them to their ends.
#[derive(Default)]
pub(super) struct Drives {
    arrived: Mutex<Vec<Drive>>,
    waker: AtomicWaker,
}

impl Drives {
    /// Has `drive` run. It must not panic: it would take the others along.
    pub(super) fn push(&self, drive: Drive) {
        self.arrived().push(drive);
        self.waker.wake();
    }

    /// Runs what is pushed, for ever.
    pub(super) async fn run(&self) {
        let mut running = FuturesUnordered::new();
        std::future::poll_fn(|context| {
            self.waker.register(context.waker());
            loop {
                running.extend(self.arrived().drain(..));
                // An end makes room for what arrived meanwhile; what arrives after the last look wakes this task.
                if !matches!(running.poll_next_unpin(context), Poll::Ready(Some(())))
                    && self.arrived().is_empty()
                {
                    return Poll::<()>::Pending;
                }
            }
        })
        .await;
    }

    fn arrived(&self) -> std::sync::MutexGuard<'_, Vec<Drive>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn every_drive_ends_also_one_that_another_pushed() {
        let drives = Arc::new(Drives::default());
        let ended = Arc::new(AtomicUsize::new(0));
        let running = tokio::spawn({
            let drives = Arc::clone(&drives);
            async move { drives.run().await }
        });
        for _ in 0..100 {
            let (inner, ended) = (Arc::clone(&drives), Arc::clone(&ended));
            drives.push(Box::pin(async move {
                tokio::task::yield_now().await;
                inner.push(Box::pin(async move {
                    tokio::task::yield_now().await;
                    ended.fetch_add(1, Ordering::Relaxed);
                }));
            }));
        }
        while ended.load(Ordering::Relaxed) < 100 {
            tokio::task::yield_now().await;
        }
        running.abort();
    }
}
