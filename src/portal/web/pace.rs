//! A narrow way for those of whom nobody knows whether they are good before something was done for them.
//!
//! Behind one address there may be somebody who guesses and somebody who does not: refusing the address would let the first keep the
//! second out. So whoever comes from where too much was wrong is looked at all the same, in turn with all others of that kind and no
//! faster than [`Pace`] says. Invariants: what guesses cost in all is bounded, wherever they come from; whoever waits is served in the
//! order of coming, behind no more than there are connections; who hangs up waits no more.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;

/// One at a time, and so long between one and the next.
#[derive(Debug)]
pub struct Pace {
    every: Duration,
    turn: Mutex<()>,
}

impl Pace {
    /// `every` is what each waits for in its turn.
    #[must_use]
    pub fn new(every: Duration) -> Pace {
        Pace { every, turn: Mutex::new(()) }
    }

    /// Waits for a turn, which is over when the answer is dropped.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        // Tokio's locks go round in order.
        let turn = self.turn.lock().await;
        sleep(self.every).await;
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn they_take_turns_in_order_and_who_leaves_is_not_waited_for() {
        let pace = Pace::new(Duration::from_millis(1));
        let (inside, order) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
        let first = pace.turn().await;
        let mut left = Box::pin(pace.turn());
        assert!(left.as_mut().now_or_never().is_none());
        let mut waiting: Vec<_> = (0..8)
            .map(|number| {
                let (pace, inside, order) = (&pace, &inside, &order);
                Box::pin(async move {
                    let _turn = pace.turn().await;
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                    tokio::task::yield_now().await;
                    order.lock().unwrap().push(number);
                    inside.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        drop((left, first));
        join_all(waiting).await;
        assert_eq!(*order.lock().unwrap(), (0..8).collect::<Vec<_>>());
    }
}
