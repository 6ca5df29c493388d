//! The thread that keeps house: copies the write-ahead log back into the database, fills memory with users after a
//! start or a large import, removes what abandoned imports left, looks at the tokens' clocks, and rolls the trail up for
//! reports.
//!
//! Nobody waits for it. Checkpoints run here and not on the writer, whose commits they would hold up.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::view::View;
use super::{clocks, import, rollup};
use crate::base::system::Clock;

/// A log of this many pages (32 MiB) is started over, which takes the write lock for a moment.
const LOG_MAX: i64 = 8_192;
/// The keeper looks for something to do by itself so often while nobody wants anything.
const ROUND: Duration = Duration::from_secs(10);
/// Rounds between two looks at the tokens' clocks: 15 minutes.
const LOOK_ROUNDS: u32 = 90;
/// Users read at a time.
const WARM_STEP: usize = 500;

/// What the keeper is wanted for.
#[derive(Default)]
pub(super) struct Keeper {
    wants: Mutex<Wants>,
    bell: Condvar,
}

#[derive(Default)]
struct Wants {
    checkpoint: bool,
    /// Where to go on reading users in.
    warm_after: Option<i64>,
    sweep: bool,
    look: bool,
    roll: bool,
    rounds: u32,
    closing: bool,
}

enum Task {
    Checkpoint,
    Sweep,
    Look,
    Roll,
    Warm(i64),
}

impl Keeper {
    pub(super) fn want_checkpoint(&self) {
        self.want(|wants| wants.checkpoint = true);
    }

    pub(super) fn want_warmth(&self) {
        self.want(|wants| wants.warm_after = Some(0));
    }

    pub(super) fn want_sweep(&self) {
        self.want(|wants| wants.sweep = true);
    }

    pub(super) fn want_look(&self) {
        self.want(|wants| wants.look = true);
    }

    pub(super) fn close(&self) {
        self.want(|wants| wants.closing = true);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Works until closed.
    pub(super) fn run(&self, mut connection: Connection, view: &Arc<View>, clock: &dyn Clock) {
        while let Some(task) = self.next() {
            let result = match task {
                Task::Checkpoint => checkpoint(&mut connection),
                Task::Sweep => import::sweep(&mut connection, clock, &|| self.is_closing()),
                Task::Look => clocks::look(&connection, view),
                Task::Roll => self.roll(&mut connection),
                Task::Warm(after) => view.warm(&connection, after, WARM_STEP).map(|last| {
                    let mut wants = self.lock();
                    if wants.warm_after == Some(after) {
                        wants.warm_after = last;
                    }
                }),
            };
            if let Err(error) = result {
                tracing::warn!(%error, "housekeeping in the store failed");
                self.lock().warm_after = None;
            }
        }
    }

    fn next(&self) -> Option<Task> {
        let mut wants = self.lock();
        loop {
            if wants.closing {
                return None;
            }
            if std::mem::take(&mut wants.checkpoint) {
                return Some(Task::Checkpoint);
            }
            if std::mem::take(&mut wants.sweep) {
                return Some(Task::Sweep);
            }
            if let Some(after) = wants.warm_after {
                return Some(Task::Warm(after));
            }
            if std::mem::take(&mut wants.look) {
                return Some(Task::Look);
            }
            if std::mem::take(&mut wants.roll) {
                return Some(Task::Roll);
            }
            let (woken, waited) =
                self.bell.wait_timeout(wants, ROUND).unwrap_or_else(PoisonError::into_inner);
            wants = woken;
            if waited.timed_out() {
                wants.roll = true;
                wants.rounds = (wants.rounds + 1) % LOOK_ROUNDS;
                wants.look |= wants.rounds == 0;
            }
        }
    }

    /// Rolls the trail up for reports: as far as it goes while the trail stands still, one step where it grows.
    fn roll(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let mut before = None;
        loop {
            let rollup::Progress { done, newest, ours } = rollup::step(connection)?;
            checkpoint(connection)?;
            let grows = before.replace(newest).is_some_and(|before| before != newest);
            // Two who roll would always keep each other's log from being started over.
            if done >= newest || grows || !ours || self.is_closing() {
                return Ok(());
            }
        }
    }

    fn want(&self, change: impl FnOnce(&mut Wants)) {
        change(&mut self.lock());
        self.bell.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Wants> {
        self.wants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies the log back into the database, and starts a long one over where nobody reads it at the moment.
pub(super) fn checkpoint(connection: &mut Connection) -> rusqlite::Result<()> {
    let run = |connection: &Connection, sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(1));
    let log = run(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
    if log >= LOG_MAX {
        // It holds the write lock while it waits for readers, and a backup reads for long: rather not now than waiting.
        connection.busy_timeout(Duration::ZERO)?;
        run(connection, "PRAGMA wal_checkpoint(RESTART)")?;
        super::file::be_patient(connection)?;
    }
    Ok(())
}
