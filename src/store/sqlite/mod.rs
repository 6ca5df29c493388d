//! The store in one SQLite file, for one server and the commands beside it.
//!
//! ```text
//! runtimes ─ find ──── change log looked at? ─ in memory? ─ else readers ─┐
//!          └ commit ── queue ─ writer: fold, judge, append, sync ─ answer │   view (users, newest rows)
//!                                    └ snapshots, behind        keeper ───┘   checkpoints, warmth, sweeping
//! commands ─ a connection of their own; every change goes into the change log
//! ```
//! Invariants: WAL with full synchronisation, so that a commit that was answered survives a power cut; one chain of
//! rows for all processes, extended under the write lock alone; no thread of a runtime waits for a disk.

mod admin;
pub mod backup;
mod census;
mod clocks;
mod convert;
mod draft;
pub(in crate::store) mod drain;
mod failures;
mod file;
pub(in crate::store) mod fill;
pub mod glance;
mod hold;
mod hot;
mod import;
mod keeper;
mod keyfile;
mod keys;
mod mailbox;
mod pen;
mod people;
mod queue;
mod readers;
pub mod rekey;
mod reports;
pub mod restore;
mod rollup;
mod rows;
mod schema;
mod seat;
mod sent;
mod sessions;
mod strangers;
mod tables;
mod trail;
mod user_act;
mod verify;
mod view;
mod withdrawn;
mod writer;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rusqlite::Connection;
use tokio::sync::oneshot;

pub use self::admin::SqliteAdmin;
pub use self::file::KeySource;
use self::file::StoreFile;
use self::keeper::Keeper;
use self::mailbox::Mailbox;
use self::queue::{Job, Queue};
use self::readers::Readers;
use self::view::{Seen, View};
use self::writer::Writer;
use super::act::Origin;
use super::keyring::Keyring;
use super::packed::{Packer, Recording};
use super::pending::Pending;
use super::{Logins, StoreFault};
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::system::{Clock, Entropy, random};
use crate::base::time::UnixTime;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::{CommitAnswer, Record};

/// How a store in a file is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database file.
    pub path: PathBuf,
    /// Where its sealing key is.
    pub key: KeySource,
    /// Whether one is made where there is none.
    pub create: bool,
    /// The most users kept in memory, about 350 octets each; 1 to [`CACHE_MAX`].
    pub cached_users: usize,
    /// How many rows may go without a snapshot.
    pub tail: Tail,
    /// Hears in one line what opening did to the store, if anything.
    pub tell: fn(&str),
    /// Who works on it.
    pub origin: Origin,
    /// Which personal fields rows keep.
    pub recording: Recording,
}

/// How many of the newest rows may go without a snapshot: start-up folds them, at about a microsecond each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Fewer are left alone when the server is idle.
    pub least: u64,
    /// More are not left alone when it is busy: their snapshot rides in the transactions of the logins.
    pub most: u64,
}

impl Default for Tail {
    /// 20,000 and 200,000: the more of a million tokens are written down together, the more of them share a page.
    fn default() -> Tail {
        Tail { least: 20_000, most: 200_000 }
    }
}

/// Default of [`Settings::cached_users`]: some 1.2 GB, where there are so many. Whoever is left out costs a login a read of the
/// database.
pub const CACHE_DEFAULT: usize = 4_000_000;
/// The most that [`Settings::cached_users`] may be.
pub const CACHE_MAX: usize = 50_000_000;

impl Settings {
    /// The store at `path`, key beside it, made where there is none.
    pub fn new(path: impl AsRef<Path>) -> Settings {
        Settings {
            path: path.as_ref().to_owned(),
            key: KeySource::Beside,
            create: true,
            cached_users: CACHE_DEFAULT,
            tail: Tail::default(),
            tell: |_| {},
            origin: Origin::default(),
            recording: Recording::default(),
        }
    }
}

/// The salts of rows, on the writer's own thread.
struct Salts(ChaCha20Rng);

impl Entropy for Salts {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill_bytes(buffer);
    }
}

/// Threads that read users who are not in memory.
const READERS: usize = 2;
/// Page caches, in pages of 4 KiB: small, since each commit empties those of the other connections anyway.
const READER_PAGES: u32 = 512;
const WRITER_PAGES: u32 = 1_024;

/// A running server's store.
pub struct SqliteStore {
    file: StoreFile,
    key: Keyring,
    clock: Arc<dyn Clock>,
    view: Arc<View>,
    queue: Arc<Queue>,
    readers: Arc<Readers>,
    keeper: Arc<Keeper>,
    checker: Mutex<Connection>,
    threads: Vec<JoinHandle<()>>,
}

impl SqliteStore {
    /// The version that opening it brought up to today's, where it was older.
    pub(crate) fn migrated(&self) -> Option<i64> {
        self.file.migrated
    }

    /// Opens the store, folds the rows that no snapshot has yet, and starts the threads that serve it.
    pub fn open(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        entropy: &mut dyn Entropy,
    ) -> Result<SqliteStore, StoreFault> {
        let file = StoreFile::open(&settings.path, &settings.key, settings.create, entropy)?;
        file.tell(settings.tell);
        let checker = file.connect(16)?;
        if keys::has_heirs(&checker).map_err(|error| file.fault(&error))? && file.hold.try_alone()? {
            // No server that has only an earlier key runs any more.
            let forgotten = keys::forget_heirs(&checker).map_err(|error| file.fault(&error));
            file.hold.share_again(&file.path)?;
            forgotten?;
        } else {
            file.hold.share_again(&file.path)?;
        }
        let cached = settings.cached_users.min(CACHE_MAX);
        let view = checker
            .unchecked_transaction()
            .and_then(|transaction| View::load(&transaction, cached, file.key.clone()))
            .map_err(|error| file.fault(&error))?;
        let mut store = SqliteStore {
            key: file.key.clone(),
            clock,
            view: Arc::new(view),
            queue: Arc::default(),
            readers: Arc::default(),
            keeper: Arc::default(),
            checker: Mutex::new(checker),
            threads: Vec::new(),
            file,
        };
        let salts = ChaCha20Rng::from_seed(random(entropy));
        store.start(settings.tail, Packer::new(settings.recording, Box::new(Salts(salts))))?;
        Ok(store)
    }

    /// When the newest row of the trail was written; `None` in an empty one. A server whose clock stands 60 s or more
    /// before it does not start (`clock-behind`).
    pub fn newest_row_time(&self) -> Result<Option<UnixTime>, StoreFault> {
        rows::newest_time(&self.checker()).map_err(|error| self.file.fault(&error))
    }

    /// The key that the servers of this store make State attributes under.
    #[must_use]
    pub fn state_key(&self) -> Secret {
        self.key.derive(super::STATE)
    }

    /// The same under the store's other keys: what servers made before a rekey is good still.
    #[must_use]
    pub fn other_state_keys(&self) -> Vec<Secret> {
        self.key.derive_others(super::STATE)
    }

    fn start(&mut self, tail: Tail, packer: Packer) -> Result<(), StoreFault> {
        let connection = self.file.connect(WRITER_PAGES)?;
        let off = connection.pragma_update(None, "wal_autocheckpoint", 0);
        off.map_err(|error| self.file.fault(&error))?;
        let writer = Writer::new(
            connection,
            Arc::clone(&self.view),
            Arc::clone(&self.queue),
            Arc::clone(&self.keeper),
            Arc::clone(&self.clock),
            tail,
            packer,
        );
        self.spawn("store-writer", move || writer.run())?;
        for _ in 0..READERS {
            let connection = self.file.connect(READER_PAGES)?;
            let (readers, view, key) = (Arc::clone(&self.readers), Arc::clone(&self.view), self.key.clone());
            self.spawn("store-reader", move || readers.run(&connection, &view, &key))?;
        }
        let connection = self.file.connect(READER_PAGES)?;
        let (keeper, view, clock) =
            (Arc::clone(&self.keeper), Arc::clone(&self.view), Arc::clone(&self.clock));
        keeper.want_sweep();
        keeper.want_warmth();
        keeper.want_look();
        self.spawn("store-keeper", move || keeper.run(connection, &view, &*clock))
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), StoreFault> {
        let spawned = std::thread::Builder::new().name(name.to_owned()).stack_size(512 << 10).spawn(body);
        self.threads.push(spawned.map_err(|error| StoreFault {
            what: format!("store {}: no thread to serve it: {error}", self.file.path.display()),
            hint: "raise the limit of processes (ulimit -u)".to_owned(),
        })?);
        Ok(())
    }

    /// Sees to it that memory knows what commands did before this moment.
    fn look(&self) -> rusqlite::Result<()> {
        let now = self.clock.mono();
        if self.view.is_fresh(now) {
            return Ok(());
        }
        let connection = self.checker();
        if !self.view.is_fresh(now) && self.view.look(&connection, now)? == Seen::Everybody {
            self.keeper.want_warmth();
        }
        Ok(())
    }

    fn checker(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Logins for SqliteStore {
    fn find(&self, query: &UserQuery) -> Pending<UserAnswer> {
        if let Err(error) = self.look() {
            tracing::warn!(%error, "the store cannot be read");
            return Pending::Ready(UserAnswer::Unavailable);
        }
        if let Some(answer) = self.view.answer(query, &self.key) {
            return Pending::Ready(answer);
        }
        let (sender, answer) = oneshot::channel();
        self.readers.ask(query.clone(), sender);
        Pending::Later(Box::pin(async move { answer.await.unwrap_or(UserAnswer::Unavailable) }))
    }

    fn commit(&self, record: Record) -> Pending<CommitAnswer> {
        let (sender, answer) = oneshot::channel();
        if self.queue.push(Job::Commit(record, sender, Mailbox::here())).is_err() {
            return Pending::Ready(CommitAnswer::Unavailable);
        }
        Pending::Later(Box::pin(async move { answer.await.unwrap_or(CommitAnswer::Unavailable) }))
    }

    fn raise(&self, client: &Label, address: IpAddr) -> Pending<bool> {
        let (sender, answer) = oneshot::channel();
        if self.queue.push(Job::Raise(client.clone(), address, sender)).is_err() {
            return Pending::Ready(false);
        }
        Pending::Later(Box::pin(async move { answer.await.unwrap_or(false) }))
    }

    fn strain(&self) -> super::Strain {
        self.queue.strain()
    }

    fn raised(&self) -> Result<Vec<(Label, IpAddr)>, StoreFault> {
        let postures = tables::postures(&self.checker()).map_err(|error| self.file.fault(&error))?;
        Ok(postures.into_iter().map(|posture| (posture.client, posture.address)).collect())
    }
}

impl Drop for SqliteStore {
    /// What was queued is still written.
    fn drop(&mut self) {
        self.queue.close();
        self.readers.close();
        self.keeper.close();
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
