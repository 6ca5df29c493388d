//! The files of a store: the database and, beside it, its sealing key. Opening them, or saying plainly why not.
//!
//! Invariants: everything made here has mode 0600; a store that exists never gets a new key; a wrong key is refused
//! before anything is read with it.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};

use super::hold::Hold;
use super::{keyfile, keys, schema, withdrawn};
use crate::base::system::Entropy;
use crate::base::text::escape;
use crate::store::StoreFault;
use crate::store::keyring::{Keyring, print_fingerprint};
use crate::store::seal::SealKey;

/// Where the sealing key comes from.
#[derive(Clone, Debug, Default)]
pub enum KeySource {
    /// The file `<store>.key`, made with a new store.
    #[default]
    Beside,
    /// A key that somebody else keeps.
    Given(SealKey),
}

/// How long a connection waits for another's write lock before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it sleeps between two tries: SQLite's own pauses grow to 100 ms, far beyond any transaction here.
const PAUSE: Duration = Duration::from_micros(200);

/// What every database of SQLite begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A store that can be opened: path and keys, found good, and held as long as this lives.
#[derive(Clone, Debug)]
pub(super) struct StoreFile {
    pub(super) path: PathBuf,
    pub(super) key: Keyring,
    pub(super) hold: Arc<Hold>,
    /// The version that opening it brought up to today's.
    pub(super) migrated: Option<i64>,
}

impl StoreFile {
    /// Finds the store at `path`, or with `create` makes it where there is none.
    pub(super) fn open(
        path: &Path,
        source: &KeySource,
        create: bool,
        entropy: &mut dyn Entropy,
    ) -> Result<StoreFile, StoreFault> {
        let fresh = match size(path)? {
            None | Some(0) => true,
            Some(_) => false,
        };
        if fresh && !create {
            return Err(missing(path));
        }
        let hold = Arc::new(Hold::shared(path)?);
        let key = match source {
            KeySource::Given(key) => key.clone(),
            KeySource::Beside => keyfile::beside(path, fresh, entropy)?,
        };
        if fresh {
            match OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path) {
                Ok(_) => {}
                Err(error) => return Err(no_access(path, &error)),
            }
        }
        let mut file = StoreFile { path: path.to_owned(), key: Keyring::new(key), hold, migrated: None };
        file.prepare(entropy)?;
        Ok(file)
    }

    /// A connection in the mode that all of ours have ([`connect`]).
    pub(super) fn connect(&self, pages: u32) -> Result<Connection, StoreFault> {
        connect(&self.path, pages)
    }

    /// Says that opening it brought it up to today's version, if it did.
    pub(super) fn tell(&self, tell: fn(&str)) {
        if let Some(before) = self.migrated {
            tell(&format!(
                "store {}: brought from version {before} to version {}; an older radmfa cannot open it any more",
                self.path.display(),
                schema::VERSION
            ));
        }
    }

    /// What went wrong with this store, for an admin to read.
    pub(super) fn fault(&self, error: &rusqlite::Error) -> StoreFault {
        explain(&self.path, error)
    }

    fn prepare(&mut self, entropy: &mut dyn Entropy) -> Result<(), StoreFault> {
        let path = self.path.as_path();
        let mut connection = self.connect(64)?;
        let version = version(path, &connection)?;
        let fingerprint = self.key.fingerprint();
        if version < schema::VERSION {
            // With another key than the store's, nothing is to be changed yet.
            if version > 0 {
                check_key(path, &connection, &self.key)?;
            }
            schema::migrate(&mut connection, &fingerprint, entropy).map_err(|error| self.fault(&error))?;
            self.migrated = (version > 0).then_some(version);
        }
        check_key(path, &connection, &self.key)?;
        withdrawn::mark(&mut connection).map_err(|error| self.fault(&error))?;
        let wrapped = keys::wrapped(&connection).map_err(|error| self.fault(&error))?;
        self.key.learn(&wrapped);
        Ok(())
    }
}

/// How many octets the file at `path` has; `None` where there is none.
pub(super) fn size(path: &Path) -> Result<Option<u64>, StoreFault> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(fault(path, "is a directory", "name a file in it, such as radmfa.db"))
        }
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(no_access(path, &error)),
    }
}

pub(super) fn missing(path: &Path) -> StoreFault {
    let hint = "is the path right? `radmfa user add` or `token import` makes a store, `store restore` brings a backup \
                back";
    fault(path, "does not exist", hint)
}

/// Tells what is no database at all from a damaged one. Looked at only after SQLite has refused it: to close a database's
/// file gives up the locks that connections of this process have on it.
fn no_database(path: &Path, error: &rusqlite::Error) -> StoreFault {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut head));
    match read {
        Err(error) => no_access(path, &error),
        Ok(_) if head == MAGIC || head.iter().all(|octet| *octet == 0) => damaged(path, &error.to_string()),
        Ok(_) => {
            fault(path, "is no store: it does not begin as a SQLite database does", "is the path right?")
        }
    }
}

pub(super) fn damaged(path: &Path, how: &str) -> StoreFault {
    let hint = format!(
        "stop the server and bring back a backup, which keeps the damaged file: radmfa store restore BACKUP --store \
         sqlite:{}",
        path.display()
    );
    fault(path, &format!("is damaged: {how}"), &hint)
}

/// A connection in the mode that all of ours have: WAL, every commit synced, no memory map (it counts as resident), a
/// page cache of `pages` pages of 4 KiB.
pub(super) fn connect(path: &Path, pages: u32) -> Result<Connection, StoreFault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|mut connection| {
        be_patient(&mut connection)?;
        // Without it the bundled STAT4 prepares parameterised joins anew at every use.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // We make none, so whatever stands there is somebody else's.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "cache_size", pages)?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        Ok(connection)
    });
    opened.map_err(|error| explain(path, &error))
}

/// Makes a connection wait for others' locks.
pub(super) fn be_patient(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(|tried: i32| {
        std::thread::sleep(PAUSE);
        u128::try_from(tried).is_ok_and(|tried| tried < PATIENCE.as_micros() / PAUSE.as_micros())
    }))
}

/// What `error` of the store at `path` means to an admin.
pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> StoreFault {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => no_database(path, error),
        Some(ErrorCode::DatabaseCorrupt) => damaged(path, &error.to_string()),
        Some(ErrorCode::DiskFull) => fault(path, "the disk is full", "make room; radmfa goes on by itself"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            fault(path, "is held by another process", "try again; does a backup or a shell hold a lock?")
        }
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => fault(
            path,
            &format!("cannot be opened for writing ({error})"),
            "does this user own the file and its directory?",
        ),
        _ => fault(path, &error.to_string(), "see the system's log for faults of the disk"),
    }
}

/// Logs that a server's transaction failed: its logins are refused.
pub(super) fn log_unwritten(error: &rusqlite::Error) {
    let (what, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => ("the disk is full", "make room; radmfa goes on by itself"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            ("another process holds its lock", "does a shell or another program hold a transaction open?")
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            ("it is damaged", "stop the server and bring back a backup: radmfa store restore")
        }
        _ => ("the disk or the system refuses", "see the system's log for faults of the disk"),
    };
    tracing::error!(%error, hint, "the store cannot be written, so logins are refused: {what}");
}

/// The version of the store that `connection` has open, 0 for an empty file. Refused: another program's database, one in
/// which somebody planted what would run by itself, and a version that this program does not know.
pub(super) fn version(path: &Path, connection: &Connection) -> Result<i64, StoreFault> {
    let read = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let numbers = read("user_version").and_then(|version| Ok((version, read("application_id")?)));
    let (version, application) = numbers.map_err(|error| explain(path, &error))?;
    if application != schema::APPLICATION {
        let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0));
        let tables: i64 = tables.map_err(|error| explain(path, &error))?;
        if version != 0 || tables != 0 {
            return Err(fault(path, "is another program's database", "name a file of radmfa's own"));
        }
    }
    let planted = "SELECT type || ' ' || name FROM sqlite_schema WHERE type IN ('trigger', 'view') LIMIT 1";
    let planted = connection.query_row(planted, [], |row| row.get::<_, String>(0)).optional();
    if let Some(planted) = planted.map_err(|error| explain(path, &error))? {
        let what = format!("holds the {}, which no radmfa makes", escape(planted.as_bytes()));
        return Err(fault(
            path,
            &what,
            "somebody tampered with it: take a backup that nobody else could write to",
        ));
    }
    if version > schema::VERSION {
        let what =
            format!("has schema version {version}; this radmfa knows versions up to {}", schema::VERSION);
        return Err(fault(path, &what, "a newer radmfa has changed it: run that one"));
    }
    Ok(version)
}

/// Refuses a key that the store is not sealed with.
pub(super) fn check_key(path: &Path, connection: &Connection, key: &Keyring) -> Result<(), StoreFault> {
    let given = key.fingerprint();
    let wanted = keys::current(connection).map_err(|error| explain(path, &error))?;
    let next = keys::next(connection).map_err(|error| explain(path, &error))?;
    if wanted == given || next.as_deref() == Some(given.as_slice()) {
        return Ok(());
    }
    let name = format!("radmfa/key/{}", print_fingerprint(&given));
    let kept = connection.query_row("SELECT 1 FROM meta WHERE name = ?1", [name], |_| Ok(())).optional();
    let earlier = kept.map_err(|error| explain(path, &error))?.is_some();
    let what = format!(
        "was sealed with another key: it wants the one with fingerprint {}, and {} {}",
        print_fingerprint(&wanted),
        if earlier { "was given the one from before `store rekey`," } else { "was given" },
        print_fingerprint(&given)
    );
    let hint = match keyfile::find(path, &wanted) {
        Some((found, _)) => format!("{} is that key", found.display()),
        None => format!("bring back the key that was made with it ({})", keyfile::key_path(path).display()),
    };
    Err(fault(path, &what, &hint))
}

pub(super) fn no_access(path: &Path, error: &std::io::Error) -> StoreFault {
    match error.kind() {
        ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(Path::new("."));
            let hint = format!("mkdir -p {}", directory.display());
            fault(path, "cannot be made: its directory does not exist", &hint)
        }
        ErrorKind::PermissionDenied => fault(
            path,
            "permission denied",
            "run as the user who owns the store, or give that user the directory",
        ),
        _ => fault(path, &error.to_string(), "is the disk there, writable and not full?"),
    }
}

pub(super) fn fault(path: &Path, what: &str, hint: &str) -> StoreFault {
    StoreFault { what: format!("store {}: {what}", path.display()), hint: hint.to_owned() }
}
