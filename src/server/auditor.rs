//! The thread that looks after the trail of a running server: checkpoints, pruning, syslog. It also writes down how
//! gateways ask, and what peers tell of their trails. Nobody waits for it.
//!
//! Rows are read back from the store in order, whoever wrote them, so what arrives at the collector is what is durable,
//! admin's acts included; a row that could not be sent is tried again. Rows are pruned in small steps, so that no login
//! waits for one.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::herald::Herald;
use super::manners::{Habit, memo};
use super::peers::witness;
use super::syslog::{Sender, Target};
use super::worker::Shared;
use crate::base::name::Label;
use crate::base::system::Clock;
use crate::base::text::escape;
use crate::base::time::Tick;
use crate::delivery::Gone;
use crate::store::admin::{Admin, AdminFault};
use crate::store::packed::Recording;
use crate::store::user_act::UserAct;

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Which personal fields rows keep.
    pub recording: Recording,
    /// How long rows are kept, from a day to 100 years.
    pub keep: Duration,
    /// How often a checkpoint is made, 1 s to a day.
    pub checkpoint_every: Duration,
    /// Where rows are sent.
    pub syslog: Option<Target>,
}

impl Default for Audit {
    fn default() -> Audit {
        Audit {
            recording: Recording::default(),
            keep: Duration::from_hours(400 * 24),
            checkpoint_every: Duration::from_mins(5),
            syslog: None,
        }
    }
}

/// How often new rows are looked for to be sent.
const LOOK: Duration = Duration::from_millis(250);
/// Rows sent between two looks at the time: pages, and rows in each.
const PAGES: usize = 20;
const PAGE: usize = 500;
/// Rows pruned in one transaction, the pause to the next, and to the next look when none is left.
const PRUNE: usize = 500;
const PRUNE_PAUSE: Duration = Duration::from_millis(50);
const PRUNE_EVERY: Duration = Duration::from_mins(10);
/// How often it is written down how gateways ask.
const NOTE_EVERY: Duration = Duration::from_mins(1);
/// A fault that lasts is said so often.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);
/// Devices that wait to be taken back.
const GONE_MAX: usize = 1000;

/// The running thread.
pub(super) struct Auditor {
    bell: Arc<Bell>,
    thread: JoinHandle<()>,
}

/// What the thread is woken for.
#[derive(Default)]
pub(super) struct Bell {
    orders: Mutex<Orders>,
    rang: Condvar,
}

#[derive(Default)]
struct Orders {
    stopping: bool,
    /// Devices to be taken back.
    gone: Vec<Gone>,
}

impl Bell {
    /// Has a device taken back that its channel cannot reach any more. Nobody waits for it; one more than [`GONE_MAX`] is
    /// said again at its next push.
    pub(super) fn take_back(&self, gone: Gone) {
        let mut orders = self.lock();
        if orders.gone.len() < GONE_MAX && !orders.gone.contains(&gone) {
            orders.gone.push(gone);
        }
        drop(orders);
        self.rang.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Auditor {
    /// Starts it on a hold of its own on the store.
    pub(super) fn start(
        admin: Box<dyn Admin>,
        audit: Audit,
        server: Label,
        shared: Arc<Shared>,
        bell: Arc<Bell>,
    ) -> std::io::Result<Auditor> {
        let syslog = audit.syslog.clone().map(|target| Sender::new(target, server));
        let clock = Arc::clone(&shared.clock);
        let now = clock.mono();
        let duty = Duty {
            bell: Arc::clone(&bell),
            admin,
            audit,
            clock,
            shared,
            habits: HashMap::new(),
            herald: Herald::default(),
            syslog,
            sent: None,
            kept: None,
            checkpoint_at: now,
            prune_at: now,
            note_at: now,
            complained: None,
        };
        let thread = std::thread::Builder::new().name("auditor".to_owned()).spawn(move || duty.run())?;
        Ok(Auditor { bell, thread })
    }

    /// Sends what is left, makes a last checkpoint, and ends.
    pub(super) fn stop(self) {
        self.bell.lock().stopping = true;
        self.bell.rang.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("the auditor's thread ended in a panic");
        }
    }
}

struct Duty {
    bell: Arc<Bell>,
    admin: Box<dyn Admin>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    /// What the store has noted of the clients.
    habits: HashMap<Label, Habit>,
    herald: Herald,
    syslog: Option<Sender>,
    /// The newest row that was sent; `None` before the store was asked.
    sent: Option<u64>,
    /// The same as the store has it.
    kept: Option<u64>,
    checkpoint_at: Tick,
    prune_at: Tick,
    note_at: Tick,
    complained: Option<Tick>,
}

impl Duty {
    fn run(mut self) {
        loop {
            let (stopping, gone) = self.wait();
            for gone in gone {
                self.take_back(&gone);
            }
            if let Err(fault) = self.forward() {
                self.complain(&format!("rows could not be sent to syslog: {fault}"));
            }
            let now = self.clock.mono();
            if stopping || now >= self.checkpoint_at {
                self.checkpoint_at = now + self.audit.checkpoint_every;
                if let Err(fault) = self.checkpoint() {
                    self.complain(&format!("no checkpoint of the audit trail could be made: {fault}"));
                }
            }
            if stopping || now >= self.note_at {
                self.note_at = now + NOTE_EVERY;
                if let Err(fault) = self.note() {
                    self.complain(&format!(
                        "how gateways ask, and what peers tell, could not be noted: {fault}"
                    ));
                }
            }
            if stopping {
                self.herald.finish();
                return;
            }
            if now >= self.prune_at {
                self.prune_at = now + self.prune();
            }
        }
    }

    /// Waits until there is something to do: whether the server stops, and what is to be taken back.
    fn wait(&self) -> (bool, Vec<Gone>) {
        let next = self.checkpoint_at.min(self.prune_at).min(self.note_at).since(self.clock.mono());
        let next = if self.syslog.is_some() { next.min(LOOK) } else { next };
        let mut orders = self.bell.lock();
        if !orders.stopping && orders.gone.is_empty() && !next.is_zero() {
            orders = self.bell.rang.wait_timeout(orders, next).unwrap_or_else(PoisonError::into_inner).0;
        }
        (orders.stopping, std::mem::take(&mut orders.gone))
    }

    fn take_back(&mut self, gone: &Gone) {
        let user = escape(gone.user.as_str().as_bytes());
        match self.admin.act_for(&gone.user, &UserAct::DeviceGone { device: gone.device }) {
            Ok(()) => tracing::warn!(
                user,
                device = gone.device,
                hint = "the user has to enrol the device anew",
                "a device was taken back: its push service does not know it any more"
            ),
            // Somebody else was quicker.
            Err(AdminFault::Missing(_)) => {}
            Err(fault) => self.complain(&format!("a device could not be taken back: {fault}")),
        }
    }

    /// Sends what is new.
    fn forward(&mut self) -> Result<(), String> {
        let Some(syslog) = &mut self.syslog else { return Ok(()) };
        let trail = self.admin.trail();
        let text = |fault: AdminFault| fault.to_string();
        let mut after = if let Some(sent) = self.sent {
            sent
        } else {
            self.kept = trail.forwarded().map_err(text)?;
            // A collector that is new does not get the history.
            match self.kept {
                Some(kept) => kept,
                None => trail.newest().map_err(text)?,
            }
        };
        self.sent = Some(after);
        for _ in 0..PAGES {
            let page = trail.page(after, PAGE).map_err(text)?;
            for row in &page {
                syslog.row(row).map_err(|error| error.to_string())?;
                after = row.sequence;
                self.sent = Some(after);
            }
            if page.len() < PAGE {
                break;
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), String> {
        let trail = self.admin.trail();
        if self.sent.is_some() && self.sent != self.kept {
            trail.set_forwarded(self.sent.unwrap_or_default()).map_err(|fault| fault.to_string())?;
            self.kept = self.sent;
        }
        let made = trail.checkpoint().map_err(|fault| fault.to_string())?;
        let Some(checkpoint) = made else { return Ok(()) };
        tracing::info!("audit checkpoint {checkpoint}");
        self.herald.tell(&checkpoint, &self.shared);
        match &mut self.syslog {
            Some(syslog) => syslog.checkpoint(&checkpoint).map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    /// Writes down how clients ask and what peers have told, where that has changed, and goes on from what was written
    /// down before.
    fn note(&mut self) -> Result<(), AdminFault> {
        let live = self.shared.live.load();
        for gateway in live.clients.all() {
            let memo = memo(&gateway.name);
            if !self.habits.contains_key(&gateway.name) {
                let noted = Habit::read(self.admin.memo(&memo)?.as_deref());
                gateway.manner.resume(&noted);
                self.habits.insert(gateway.name.clone(), noted);
            }
            let habit = gateway.manner.habit();
            if self.habits.get(&gateway.name) != Some(&habit) {
                self.admin.set_memo(&memo, &habit.memo())?;
                self.habits.insert(gateway.name.clone(), habit);
            }
        }
        for peer in live.peers.all() {
            let (name, witnesses) = (peer.name(), &self.shared.witnesses);
            if witnesses.lacks(name) {
                let noted = self.admin.memo(&witness::memo(name))?;
                witnesses.load(name, noted.as_deref().unwrap_or_default());
            }
        }
        for (peer, told) in self.shared.witnesses.unwritten() {
            if let Err(fault) = self.admin.set_memo(&witness::memo(&peer), &told) {
                self.shared.witnesses.not_written(&peer);
                return Err(fault);
            }
        }
        // Of clients that are gone nothing is kept in memory.
        self.habits.retain(|client, _| live.clients.named(client).is_some());
        Ok(())
    }

    /// One step; how long until the next.
    fn prune(&mut self) -> Duration {
        let before = self.clock.unix() - self.audit.keep;
        match self.admin.trail().prune(before, PRUNE) {
            Ok(PRUNE) => PRUNE_PAUSE,
            Ok(_) => PRUNE_EVERY,
            Err(fault) => {
                tracing::error!("old rows of the audit trail could not be removed: {fault}");
                PRUNE_EVERY
            }
        }
    }

    fn complain(&mut self, what: &str) {
        let now = self.clock.mono();
        if self.complained.is_none_or(|last| now.since(last) >= COMPLAIN_EVERY) {
            self.complained = Some(now);
            tracing::warn!("{what}");
        }
    }
}
