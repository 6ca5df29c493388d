//! A running server's store: a thread with a runtime of its own, which has the connections.
//!
//! ```text
//! runtimes ─ find ──── read, pipelined with others ── answer
//!          └ commit ── queue ─ writer: a group, two round trips ── answer
//! ```
//! While the database is away, what was asked waits and is tried again, until whoever asked has given up: nobody is let in
//! meanwhile, and nothing has to be done when it comes back. Invariants: a record whose asker has gone before its
//! transaction began is not appended; what is asked over a connection that reads may be asked twice.

mod asking;
mod keeper;
mod writer;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, mpsc as blocking};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_postgres::{Client, ToStatement};

use self::writer::Writer;
use super::commit::Author;
use super::keys;
use super::link::{ATTEMPT, Door, Link};
use super::parking::{self, Sealed};
use super::rows::{self, Odd};
use super::seat::{self, Seat};
use crate::base::name::{Label, UserName};
use crate::base::system::{Clock, Entropy};
use crate::base::time::{Tick, UnixTime};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::{CommitAnswer, LoginId, Record};
use crate::store::budget::DAY;
use crate::store::columns::{int, nat};
use crate::store::fold::{self, COUNTED_DAYS, day_of};
use crate::store::keyring::Keyring;
use crate::store::packed::Packer;
use crate::store::parking::{Claim, Claimed, LOGIN_MAX, Parking, Spot, Told, Unparked, seal_told};
use crate::store::pending::Pending;
use crate::store::{Logins, StoreFault, Strain};

/// The most records in one transaction.
const GROUP_MAX: usize = 256;
/// The most that waits; beyond it the store is unavailable.
const WAITING_MAX: usize = 65_536;
/// Nothing is tried again after this, whoever waits for it.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long until the next try while the database is away.
const PAUSE: Duration = Duration::from_millis(100);
/// A fault that lasts is said so often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// Connections that read.
const READERS: usize = 2;
/// Beats between two looks at what nobody came for.
const SWEEP_BEATS: u64 = 60;
/// Between two looks at the tokens' clocks, and at what may be forgotten.
const LOOK_EVERY: Duration = Duration::from_mins(15);

/// What the thread is asked.
enum Job {
    Find(UserQuery, Asker<UserAnswer>),
    Write(Write),
    Park(Sealed, Asker<bool>),
    Unpark(Spot, Asker<Unparked>),
    Claim(Claim, Asker<Claimed>),
    Release([u8; 16], LoginId),
    Raised(blocking::Sender<Result<Vec<(Label, IpAddr)>, StoreFault>>),
    #[cfg(test)]
    Look,
}

/// What the writer is asked.
enum Write {
    Commit(Record, Asker<CommitAnswer>),
    Raise(Label, IpAddr, Asker<bool>),
}

/// Somebody who waits.
struct Asker<T> {
    answer: oneshot::Sender<T>,
    since: Tick,
    /// Counts those who wait.
    _waits: Waits,
}

/// One of those who wait, until it is dropped.
struct Waits(Arc<Shared>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> Asker<T> {
    /// Nobody waits for the answer any more.
    fn is_gone(&self, now: Tick) -> bool {
        self.answer.is_closed() || now.since(self.since) > PATIENCE
    }

    /// Whoever asked may have gone; what was done stands all the same.
    fn answer(self, answer: T) {
        drop(self.answer.send(answer));
    }
}

impl Write {
    fn is_gone(&self, now: Tick) -> bool {
        match self {
            Write::Commit(_, asker) => asker.is_gone(now),
            Write::Raise(_, _, asker) => asker.is_gone(now),
        }
    }

    fn answer(self, answer: CommitAnswer) {
        match self {
            Write::Commit(_, asker) => asker.answer(answer),
            Write::Raise(_, _, asker) => asker.answer(matches!(answer, CommitAnswer::Done(_))),
        }
    }
}

/// A running server's store.
pub struct PostgresStore {
    jobs: Option<mpsc::UnboundedSender<Job>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread's tasks share.
struct Shared {
    door: Door,
    key: Keyring,
    clock: Arc<dyn Clock>,
    entropy: std::sync::Mutex<Box<dyn Entropy + Send>>,
    readers: [Mutex<Option<Arc<Link>>>; READERS],
    turn: AtomicUsize,
    waiting: AtomicUsize,
    /// Our own clock seems to be off.
    suspect: AtomicBool,
    /// When it was last said that the database is away; 0 while it is not.
    away: AtomicU64,
}

impl PostgresStore {
    /// Starts what serves a store that was opened and found to be ours, from its `seat`.
    pub(super) fn start(
        door: Door,
        key: Keyring,
        clock: Arc<dyn Clock>,
        (packer, entropy): (Packer, Box<dyn Entropy + Send>),
        seat: Seat,
    ) -> Result<PostgresStore, StoreFault> {
        let address = door.address.clone();
        let shared = Arc::new(Shared {
            door,
            key,
            clock,
            entropy: std::sync::Mutex::new(entropy),
            readers: [const { Mutex::const_new(None) }; READERS],
            turn: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            suspect: AtomicBool::new(false),
            away: AtomicU64::new(0),
        });
        let (jobs, asked) = mpsc::unbounded_channel();
        let no_thread = |error: std::io::Error| {
            address
                .fault(&format!("no thread to serve it: {error}"), "raise the limit of processes (ulimit -u)")
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let within = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store-postgres".to_owned())
            .spawn(move || runtime.block_on(within.serve(asked, packer, seat)))
            .map_err(no_thread)?;
        Ok(PostgresStore { jobs: Some(jobs), shared, thread: Some(thread) })
    }

    /// Has the tokens' clocks looked at now.
    #[cfg(test)]
    pub(super) fn look(&self) {
        self.send(Job::Look);
    }

    /// Whether the database is missed.
    #[cfg(test)]
    pub(super) fn is_away(&self) -> bool {
        self.shared.away.load(Ordering::Relaxed) != 0
    }

    fn send(&self, job: Job) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }

    /// Asks, unless too many wait already.
    fn ask<T: Send + 'static>(
        &self,
        unavailable: fn() -> T,
        job: impl FnOnce(Asker<T>) -> Job,
    ) -> Pending<T> {
        let before = self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let waits = Waits(Arc::clone(&self.shared));
        if before >= WAITING_MAX {
            return Pending::Ready(unavailable());
        }
        let (sender, answer) = oneshot::channel();
        let asker = Asker { answer: sender, since: self.shared.clock.mono(), _waits: waits };
        if !self.send(job(asker)) {
            return Pending::Ready(unavailable());
        }
        Pending::Later(Box::pin(async move { answer.await.unwrap_or_else(|_| unavailable()) }))
    }
}

impl Logins for PostgresStore {
    fn find(&self, query: &UserQuery) -> Pending<UserAnswer> {
        self.ask(|| UserAnswer::Unavailable, |asker| Job::Find(query.clone(), asker))
    }

    fn commit(&self, record: Record) -> Pending<CommitAnswer> {
        self.ask(|| CommitAnswer::Unavailable, |asker| Job::Write(Write::Commit(record, asker)))
    }

    fn raise(&self, client: &Label, address: IpAddr) -> Pending<bool> {
        let client = client.clone();
        self.ask(|| false, |asker| Job::Write(Write::Raise(client, address, asker)))
    }

    fn park(&self, login: Parking) -> Pending<bool> {
        let Parking { spot, login, keep, told } = login;
        if login.len() > LOGIN_MAX {
            return Pending::Ready(false);
        }
        let key = &self.shared.key;
        // A panic elsewhere left the generator as good as it was.
        let mut entropy = self.shared.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = spot.seal(&login, key, &mut **entropy);
        let told = told.map(|Told { intent, login, attributes }| {
            (intent, login, seal_told(intent, &attributes, key, &mut **entropy))
        });
        drop(entropy);
        self.ask(|| false, |asker| Job::Park(Sealed { spot, login: sealed, keep, told }, asker))
    }

    fn unpark(&self, spot: Spot) -> Pending<Unparked> {
        self.ask(|| Unparked::Unavailable, |asker| Job::Unpark(spot, asker))
    }

    fn claim(&self, claim: Claim) -> Pending<Claimed> {
        self.ask(|| Claimed::Unavailable, |asker| Job::Claim(claim, asker))
    }

    fn strain(&self) -> Strain {
        let Shared { waiting, away, .. } = &*self.shared;
        Strain { waiting: waiting.load(Ordering::Relaxed), away: away.load(Ordering::Relaxed) != 0 }
    }

    fn release(&self, intent: [u8; 16], login: LoginId) {
        self.send(Job::Release(intent, login));
    }

    fn raised(&self) -> Result<Vec<(Label, IpAddr)>, StoreFault> {
        let (sender, answer) = blocking::channel();
        self.send(Job::Raised(sender));
        answer.recv_timeout(ATTEMPT * 2).unwrap_or_else(|_| {
            Err(self.shared.door.address.fault("does not answer", "does the database run, at this address?"))
        })
    }
}

impl Drop for PostgresStore {
    /// What was queued is still written.
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Shared {
    /// Serves until nobody can ask any more.
    async fn serve(self: Arc<Self>, mut jobs: mpsc::UnboundedReceiver<Job>, packer: Packer, seat: Seat) {
        let (queue, taken) = mpsc::unbounded_channel();
        let author = seat.author();
        let writer = Writer { shared: Arc::clone(&self), packer, author, link: None, taken };
        let writer = tokio::spawn(writer.run());
        let beats = tokio::spawn(Arc::clone(&self).beat(author));
        let looks = tokio::spawn(Arc::clone(&self).look_now_and_then());
        let rolls = tokio::spawn(keeper::run(self.door.clone()));
        while let Some(job) = jobs.recv().await {
            match job {
                Job::Find(query, asker) => drop(tokio::spawn(Arc::clone(&self).find(query, asker))),
                Job::Write(write) => drop(queue.send(write)),
                Job::Park(parked, asker) => drop(tokio::spawn(Arc::clone(&self).park(parked, asker))),
                Job::Unpark(spot, asker) => drop(tokio::spawn(Arc::clone(&self).unpark(spot, asker))),
                Job::Claim(claim, asker) => drop(tokio::spawn(Arc::clone(&self).claim(claim, asker))),
                Job::Release(intent, login) => {
                    drop(tokio::spawn(Arc::clone(&self).release(intent, login)));
                }
                Job::Raised(answer) => drop(tokio::spawn(Arc::clone(&self).raised(answer))),
                #[cfg(test)]
                Job::Look => drop(tokio::spawn(Arc::clone(&self).look())),
            }
        }
        drop(queue);
        let _panicked = writer.await;
        beats.abort();
        looks.abort();
        rolls.abort();
        // A name that is not given back is found out to be free by whoever takes it next, a few seconds later.
        if let Ok(Ok(client)) = tokio::time::timeout(ATTEMPT, self.door.connect()).await {
            let _away = tokio::time::timeout(ATTEMPT, seat::leave(&client, author)).await;
        }
    }

    /// Shows others that this server runs, and looks what keys the store has by now.
    async fn beat(self: Arc<Self>, author: Author) {
        let mut said = false;
        for beat in 1_u64.. {
            tokio::time::sleep(seat::BEAT).await;
            if beat.is_multiple_of(SWEEP_BEATS) {
                let _next_time =
                    self.reading(0, |link| async move { parking::sweep(&link.client).await }).await;
            }
            let beaten =
                self.reading(0, |link| async move { Ok(seat::beat(&link.client, author).await?) }).await;
            if beaten == Some(Ok(false)) && !std::mem::replace(&mut said, true) {
                say_usurped();
            }
            let key = &self.key;
            let _next_time =
                self.reading(0, |link| async move { keys::learn(&link.client, key).await }).await;
        }
    }

    async fn look_now_and_then(self: Arc<Self>) {
        loop {
            Arc::clone(&self).look().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks at all tokens, and says so in the log when our clock has come under suspicion, or out of it; and forgets what no
    /// limit looks at any more.
    async fn look(self: Arc<Self>) {
        let Some(Ok(suspect)) = self.reading(1, |link| async move { suspect(&link.client).await }).await
        else {
            return;
        };
        fold::say_suspect(self.suspect.swap(suspect, Ordering::Relaxed), suspect);
        let now = self.clock.unix();
        let _next_time = self.reading(1, |link| async move { forget(&link.client, now).await }).await;
    }

    /// Says that the database is away, now and then.
    fn is_away(&self, error: &dyn std::fmt::Display) {
        let now = self.clock.mono();
        let said = self.away.load(Ordering::Relaxed);
        if said == 0 || now.since(Tick(said)) >= COMPLAIN_EVERY {
            self.away.store(now.0.max(1), Ordering::Relaxed);
            tracing::error!(%error, "the database is away: logins wait for it, and are refused when their time is over");
        }
    }

    fn is_back(&self) {
        if self.away.load(Ordering::Relaxed) != 0 && self.away.swap(0, Ordering::Relaxed) != 0 {
            tracing::info!("the database answers again");
        }
    }
}

fn say_usurped() {
    tracing::error!(
        "another server runs on this store under this one's name, so nobody is let in here: stop one of them, and give \
         each a --server-name of its own"
    );
}

/// Whether somebody else who may be asked for a factor looks like `user`.
pub(super) async fn resembles<S: ?Sized + ToStatement>(
    client: &Client,
    statement: &S,
    user: &UserName,
) -> Result<bool, Odd> {
    let row = client.query_one(statement, &[&user.skeleton(), &user.as_str()]).await?;
    Ok(row.try_get(0)?)
}

/// Whether most tokens' clocks are off by more than a step.
pub(super) async fn suspect(client: &Client) -> Result<bool, Odd> {
    let sql = "SELECT drift, count(*) FROM token WHERE drift IS NOT NULL GROUP BY drift ORDER BY drift";
    let mut drifts = Vec::new();
    for row in client.query(sql, &[]).await? {
        drifts.push((rows::drift(row.try_get(0)?), nat(row.try_get(1)?)));
    }
    Ok(fold::clock_suspect(drifts.into_iter()))
}

/// Forgets messages and failures that no limit looks at any more.
async fn forget(client: &Client, now: UnixTime) -> Result<(), Odd> {
    let day = int(day_of(now)) - int(COUNTED_DAYS);
    client.execute("DELETE FROM sent WHERE time < $1", &[&int((now - DAY).0)]).await?;
    client.execute("DELETE FROM failure_day WHERE day <= $1", &[&day]).await?;
    Ok(())
}
