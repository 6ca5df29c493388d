//! A copy of a store that is in use, in one file.
//!
//! The source is read in one transaction of a connection of its own: in WAL mode that holds up nobody who writes, and
//! what is copied is the store as it was at one moment. Invariants: the copy has its name only when it is whole,
//! verified and on the disk; it has mode 0600; the key is never part of it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup as Copying, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::draft::Draft;
use super::file::{damaged, explain};
use super::glance::{Counts, Glance};
use super::hold::lock_path;
use super::keyfile::{key_path, sync_directory};
use crate::store::StoreFault;

/// Pages copied at a time, 256 KiB, and how long the disk is left to others then.
const STEP: i32 = 64;
const PAUSE: Duration = Duration::from_millis(1);
/// What is copied is written to the disk so often, in steps, so that no login's commit waits behind all of it.
const SYNC: u32 = 32;

/// A backup that is being made.
pub struct Backup {
    target: PathBuf,
    draft: Draft,
    force: bool,
    copy: Connection,
    copied: Option<Counts>,
}

/// What was backed up.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is in it.
    pub counts: Counts,
    /// Octets of the file.
    pub octets: u64,
}

impl Backup {
    /// Makes the file that becomes `target`. With `force`, a file that is there is replaced in the end.
    pub fn begin(store: &Path, target: &Path, force: bool) -> Result<Backup, StoreFault> {
        check_target(store, target, force)?;
        let draft = Draft::of(target).map_err(|error| cannot(target, &error))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let copy = Connection::open_with_flags(draft.path(), flags).and_then(|copy| {
            copy.pragma_update(None, "journal_mode", "off")?;
            copy.pragma_update(None, "synchronous", "off")?;
            Ok(copy)
        });
        let copy = copy.map_err(|error| unwritten(target, &error))?;
        Ok(Backup { target: target.to_owned(), draft, force, copy, copied: None })
    }

    /// Copies the store at `store` as it is at this moment. `progress` hears how many of how many pages are done; `false`
    /// from it ends the backup.
    pub fn copy(
        &mut self,
        store: &Path,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<(), StoreFault> {
        let source = Glance::at(store)?;
        let file = File::open(self.draft.path()).map_err(|error| cannot(&self.target, &error))?;
        let transaction = source.connection.unchecked_transaction();
        let transaction = transaction.map_err(|error| explain(store, &error))?;
        self.copied = Some(Counts::of(&transaction).map_err(|error| explain(store, &error))?);
        let copying = Copying::new(&transaction, &mut self.copy);
        let copying = copying.map_err(|error| unwritten(&self.target, &error))?;
        let mut steps = 0_u32;
        loop {
            let step = copying.step(STEP).map_err(|error| written(store, &self.target, &error))?;
            let at = copying.progress();
            let total = u64::try_from(at.pagecount).unwrap_or(0);
            let done = total.saturating_sub(u64::try_from(at.remaining).unwrap_or(0));
            if !progress(done, total) {
                return Err(fault(&self.target, "was not written: the backup was stopped", "begin it again"));
            }
            if step == StepResult::Done {
                return Ok(());
            }
            steps += 1;
            if steps.is_multiple_of(SYNC) {
                file.sync_data().map_err(|error| cannot(&self.target, &error))?;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Verifies the copy and gives it its name.
    pub fn finish(self) -> Result<Report, StoreFault> {
        let Backup { target, draft, force, copy, copied } = self;
        let Some(counts) = copied else {
            return Err(fault(&target, "was not written: nothing was copied", "begin it again"));
        };
        drop(copy);
        let found = verify(draft.path()).map_err(|error| unwritten(&target, &error))?;
        if found.as_ref() != Ok(&counts) {
            let how = found.err().unwrap_or_else(|| "it does not hold what was copied".to_owned());
            return Err(fault(
                &target,
                &format!("was not written: the copy is damaged: {how}"),
                "is the disk sound? `radmfa store info` and the system's log tell more",
            ));
        }
        let octets = File::open(draft.path()).and_then(|file| {
            file.sync_all()?;
            file.metadata().map(|found| found.len())
        });
        let octets = octets.map_err(|error| cannot(&target, &error))?;
        publish(draft.path(), &target, force)?;
        Ok(Report { counts, octets })
    }
}

/// Makes the copy a database of one file, and reads all of it.
fn verify(draft: &Path) -> rusqlite::Result<Result<Counts, String>> {
    let connection = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "journal_mode", "delete")?;
    check_pages(&connection)?.map_or_else(|| Counts::of(&connection).map(Ok), |how| Ok(Err(how)))
}

/// What is wrong with the structure of a database, where anything is.
pub(super) fn check_pages(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((said != "ok").then_some(said))
}

fn check_target(store: &Path, target: &Path, force: bool) -> Result<(), StoreFault> {
    let found = match fs::metadata(target) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot(target, &error)),
        Ok(found) => found,
    };
    if !found.is_file() {
        return Err(fault(target, "is no file", "name a file to write to"));
    }
    for ours in [store.to_owned(), key_path(store), lock_path(store)] {
        let same =
            fs::metadata(&ours).is_ok_and(|ours| (ours.dev(), ours.ino()) == (found.dev(), found.ino()));
        if same {
            return Err(fault(target, "belongs to the store itself", "name another file"));
        }
    }
    if force { Ok(()) } else { Err(there_already(target)) }
}

fn there_already(target: &Path) -> StoreFault {
    fault(target, "is there already", "name another file, or replace it with --force")
}

fn publish(draft: &Path, target: &Path, force: bool) -> Result<(), StoreFault> {
    let named = if force {
        fs::rename(draft, target)
    } else {
        match fs::hard_link(draft, target) {
            // A file system without links: the moment between look and rename is not worth refusing it.
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                if target.exists() {
                    Err(ErrorKind::AlreadyExists.into())
                } else {
                    fs::rename(draft, target)
                }
            }
            linked => linked,
        }
    };
    match named.and_then(|()| sync_directory(target)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(there_already(target)),
        Err(error) => Err(cannot(target, &error)),
    }
}

fn cannot(target: &Path, error: &std::io::Error) -> StoreFault {
    match error.kind() {
        ErrorKind::StorageFull => {
            fault(target, "was not written: the disk is full", "make room, or name a file elsewhere")
        }
        ErrorKind::NotFound => {
            fault(target, "cannot be made: its directory does not exist", "name another place")
        }
        _ => fault(target, &format!("cannot be written: {error}"), "name a file that you may write"),
    }
}

fn fault(target: &Path, what: &str, hint: &str) -> StoreFault {
    StoreFault { what: format!("{} {what}", target.display()), hint: hint.to_owned() }
}

fn unwritten(target: &Path, error: &rusqlite::Error) -> StoreFault {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => cannot(target, &ErrorKind::StorageFull.into()),
        _ => fault(target, &format!("was not written: {error}"), "is the disk sound? See the system's log"),
    }
}

/// An error while copying may be of either side.
fn written(store: &Path, target: &Path, error: &rusqlite::Error) -> StoreFault {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            damaged(store, &error.to_string())
        }
        _ => unwritten(target, error),
    }
}
