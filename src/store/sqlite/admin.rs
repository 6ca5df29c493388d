//! What commands do to a store file, each in short transactions on a connection of its own.
//!
//! Every change leaves a row in the trail, in its own transaction, and goes into the `change` log under the name of the user it concerns, in the transaction that makes it;
//! the call returns [`FRESH`] later, when no running server's last look at the log is still good.

mod change;
mod commands;

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use self::change::Change;
use super::failures;
use super::file::StoreFile;
use super::hot::Hot;
use super::import;
use super::pen::Pen;
use super::rows;
use super::tables::log_change;
use super::view::FRESH;
use super::{Salts, Settings};
use crate::base::system::{Clock, Entropy, random};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Record, Recorded, Tally};
use crate::store::StoreFault;
use crate::store::act::Act;
use crate::store::admin::AdminFault;
use crate::store::fold::{apply, judge};
use crate::store::packed::Packer;

/// A command's hold on a store file.
pub struct SqliteAdmin {
    pub(super) file: StoreFile,
    pub(super) connection: Connection,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pen: Pen,
    /// The fold of the newest rows, read when first needed.
    hot: Option<Hot>,
}

/// Either the database or the request is at fault.
#[derive(Debug)]
pub(super) enum Trouble {
    Sql(rusqlite::Error),
    Fault(AdminFault),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        Trouble::Sql(error)
    }
}

impl From<AdminFault> for Trouble {
    fn from(fault: AdminFault) -> Trouble {
        Trouble::Fault(fault)
    }
}

impl SqliteAdmin {
    /// Opens the store.
    pub fn open(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        mut entropy: Box<dyn Entropy + Send>,
    ) -> Result<SqliteAdmin, StoreFault> {
        let file = StoreFile::open(&settings.path, &settings.key, settings.create, &mut *entropy)?;
        file.tell(settings.tell);
        let connection = file.connect(2_048)?;
        let salts = Salts(ChaCha20Rng::from_seed(random(&mut *entropy)));
        let packer = Packer::new(settings.recording, Box::new(salts));
        let pen = Pen { origin: settings.origin.clone(), packer, clock: Arc::clone(&clock), entropy };
        let migrated = file.migrated;
        let mut admin = SqliteAdmin { file, connection, clock, pen, hot: None };
        if let Some(from) = migrated {
            admin.note_migration(from)?;
        }
        Ok(admin)
    }

    pub(super) fn blame<T>(&self, result: Result<T, Trouble>) -> Result<T, AdminFault> {
        result.map_err(|trouble| match trouble {
            Trouble::Sql(error) => AdminFault::Store(self.file.fault(&error)),
            Trouble::Fault(fault) => fault,
        })
    }

    /// Leaves the row of a store of version `from` having been brought up to today's.
    pub(crate) fn note_migration(&mut self, from: i64) -> Result<(), StoreFault> {
        let act = Act::new(Reason::StoreMigrated).note(format!("{from} to {}", super::schema::VERSION));
        match self.note(act) {
            Ok(()) => Ok(()),
            Err(AdminFault::Store(fault)) => Err(fault),
            Err(other) => Err(StoreFault { what: other.to_string(), hint: String::new() }),
        }
    }

    /// Leaves a row of something that was done to the store as a whole.
    pub fn note(&mut self, act: Act) -> Result<(), AdminFault> {
        self.change(|transaction, pen| Ok(pen.act(transaction, act)?))
    }

    /// One change, durable and seen by every server when this returns.
    pub(super) fn change<T>(
        &mut self,
        body: impl FnOnce(&Transaction<'_>, &mut Pen) -> Result<T, Trouble>,
    ) -> Result<T, AdminFault> {
        let result = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = body(&transaction, &mut self.pen)?;
            transaction.commit()?;
            Ok(done)
        })();
        if result.is_ok() {
            std::thread::sleep(FRESH);
        }
        self.blame(result)
    }

    /// One change of users or tokens.
    fn alter<T>(
        &mut self,
        body: impl FnOnce(&mut Change<'_>) -> Result<T, Trouble>,
    ) -> Result<T, AdminFault> {
        let (now, key, mut hot) = (self.clock.unix(), self.file.key.clone(), self.hot.take());
        let done = self
            .change(|transaction, pen| body(&mut Change { transaction, pen, key: &key, hot: &mut hot, now }));
        self.hot = hot;
        done
    }

    /// Folds the newest rows, so that a change which needs them holds the lock only for what came in since.
    fn catch_up(&mut self) -> Result<(), AdminFault> {
        self.read(|_, _| Ok(()))
    }

    /// Reads in one transaction, with the fold brought up to it.
    fn read<T>(
        &mut self,
        body: impl FnOnce(&Connection, &Hot) -> Result<T, Trouble>,
    ) -> Result<T, AdminFault> {
        let result = (|| {
            let transaction = self.connection.unchecked_transaction()?;
            let hot = fold(&mut self.hot, &transaction)?;
            body(&transaction, hot)
        })();
        self.blame(result)
    }

    fn try_append(&mut self, record: &Record) -> rusqlite::Result<CommitAnswer> {
        // The long part before the lock is taken; the rest of it is what came in between.
        fold(&mut self.hot, &*self.connection.unchecked_transaction()?)?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let hot = fold(&mut self.hot, &transaction)?;
        let row = &record.row;
        let seat = match (&row.user, row.user_id) {
            (Some(user), Some(id)) => rows::seat(&transaction, user)?.filter(|seat| seat.id == id),
            _ => None,
        };
        let mut facts = seat.map(|mut seat| {
            hot.overlay(&mut seat);
            seat.facts()
        });
        if let Err(conflict) = judge(record, facts.as_ref()) {
            return Ok(CommitAnswer::Refused(conflict));
        }
        if let Some(facts) = facts.as_mut().filter(|_| row.changes_special()) {
            apply(row, facts);
            rows::keep_special(&transaction, facts.user, facts.special.as_deref())?;
        }
        let seq = hot.head + 1;
        self.pen.append(&transaction, seq, &hot.mac, row)?;
        let counted = row.user_id.filter(|_| row.tally == Tally::Count);
        let failures = counted.map_or(Ok(0), |user| failures::count(&transaction, user, row.time))?;
        // Rows of strangers change nothing that a server remembers.
        if let Some(user) = &row.user {
            log_change(&transaction, Some(user))?;
        }
        transaction.commit()?;
        std::thread::sleep(FRESH);
        Ok(CommitAnswer::Done(Recorded::certify(seq).counted(failures)))
    }

    /// Frees names and serials that an abandoned import still holds.
    fn sweep(&mut self) -> Result<(), AdminFault> {
        let swept = import::sweep(&mut self.connection, &*self.clock, &|| false);
        self.blame(swept.map_err(Trouble::Sql))
    }
}

impl SqliteAdmin {
    /// Whether an import that is not finished holds the name or serial.
    fn is_hidden(&self, table: &str, column: &str, value: &str) -> bool {
        let sql = format!("SELECT 1 FROM {table} WHERE {column} = ?1 AND batch IN (SELECT id FROM batch)");
        self.connection.prepare(&sql).and_then(|mut statement| statement.exists([value])).unwrap_or(false)
    }
}

fn under_way(fault: AdminFault, what: &str) -> AdminFault {
    match fault {
        AdminFault::Store(_) => {
            AdminFault::Invalid(format!("an import under way brings {what}: wait until it is done"))
        }
        other => other,
    }
}

fn fold<'a>(hot: &'a mut Option<Hot>, connection: &Connection) -> rusqlite::Result<&'a Hot> {
    match hot {
        Some(hot) => {
            hot.extend(connection, |_| {})?;
            Ok(hot)
        }
        None => Ok(hot.insert(Hot::load(connection)?)),
    }
}
