//! What waits for the writer, and when the writer takes it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot::Sender;

use super::mailbox::Mailbox;
use crate::base::name::Label;
use crate::base::system::Clock;
use crate::base::time::Tick;
use crate::engine::record::{CommitAnswer, Record};
use crate::store::Strain;

/// The most records in one transaction.
pub(super) const GROUP_MAX: usize = 512;
/// The most records that wait; beyond them the store is unavailable.
const QUEUE_MAX: usize = 65_536;
/// Under load a transaction begins no sooner than this after the one before, so that records gather: twice the time
/// halves what a transaction and its sync cost each of them.
const GATHER: &[(usize, Duration)] = &[
    // At about 10,000 logins a second and more.
    (32, Duration::from_millis(4)),
    // From some 3,000; below, nobody waits for others.
    (8, Duration::from_millis(2)),
];
/// Nothing to do for this long is idle: time for what can wait.
const LULL: Duration = Duration::from_millis(50);

pub(super) enum Job {
    Commit(Record, Sender<CommitAnswer>, Option<Arc<Mailbox>>),
    Raise(Label, IpAddr, Sender<bool>),
}

impl Job {
    /// Nobody waits for the answer any more.
    pub(super) fn is_withdrawn(&self) -> bool {
        match self {
            Job::Commit(_, answer, _) => answer.is_closed(),
            Job::Raise(..) => false,
        }
    }
}

/// The queue between the server's threads and the one writer.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    bell: Condvar,
    /// The last group could not be written.
    failing: AtomicBool,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// The writer sleeps on the bell.
    asleep: bool,
    closing: bool,
}

/// What the writer is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The jobs that were put into the buffer.
    Work,
    /// Nothing waits.
    Idle,
    /// Nothing waits and nothing will come.
    Closed,
}

impl Queue {
    /// Gives `job` back where it cannot be taken.
    pub(super) fn push(&self, job: Job) -> Result<(), Job> {
        let mut state = self.lock();
        if state.closing || state.jobs.len() >= QUEUE_MAX {
            return Err(job);
        }
        state.jobs.push_back(job);
        if state.asleep {
            state.asleep = false;
            drop(state);
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Waits for something to do and fills `buffer` with it. `before` is when the transaction before this one began, and
    /// how many records it had; `chores` says that idle time is wanted at once (`true`) or after a lull.
    pub(super) fn take(
        &self,
        buffer: &mut Vec<Job>,
        clock: &dyn Clock,
        before: (Tick, usize),
        chores: Chores,
    ) -> Turn {
        let mut state = self.lock();
        let (began, records) = before;
        let gather = GATHER.iter().find(|(load, _)| records >= *load).map(|(_, gather)| *gather);
        if let Some(gather) = gather
            && state.jobs.len() < GROUP_MAX
            && !state.closing
        {
            let passed = clock.mono().since(began);
            if passed < gather {
                drop(state);
                std::thread::sleep(gather.saturating_sub(passed));
                state = self.lock();
            }
        }
        while state.jobs.is_empty() {
            if state.closing {
                return Turn::Closed;
            }
            state.asleep = true;
            let (woken, lull) = match chores {
                Chores::Now => return Turn::Idle,
                Chores::None => (self.bell.wait(state).unwrap_or_else(PoisonError::into_inner), false),
                Chores::Soon => {
                    let (woken, timer) =
                        self.bell.wait_timeout(state, LULL).unwrap_or_else(PoisonError::into_inner);
                    (woken, timer.timed_out())
                }
            };
            state = woken;
            state.asleep = false;
            if lull && state.jobs.is_empty() && !state.closing {
                return Turn::Idle;
            }
        }
        let count = state.jobs.len().min(GROUP_MAX);
        buffer.extend(state.jobs.drain(..count));
        Turn::Work
    }

    /// How a group went.
    pub(super) fn wrote(&self, well: bool) {
        self.failing.store(!well, Ordering::Relaxed);
    }

    /// How the writer keeps up.
    pub(super) fn strain(&self) -> Strain {
        Strain { waiting: self.lock().jobs.len(), away: self.failing.load(Ordering::Relaxed) }
    }

    /// No more is taken; what waits is still done.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.bell.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much the writer wants idle time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chores {
    /// There is nothing it would do with it.
    None,
    /// After a lull.
    Soon,
    /// Whenever nothing waits.
    Now,
}
