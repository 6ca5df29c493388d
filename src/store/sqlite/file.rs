//! The files of a store: the database and, beside it, its sealing key. Opening them, or saying plainly why not.
//!
//! Invariants: everything made here has mode 0600; a store that exists never gets a new key; a wrong key is refused
//! before anything is read with it.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema;
use crate::base::system::Entropy;
use crate::store::StoreFault;
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

/// A store that can be opened: path and key, both found good.
#[derive(Clone, Debug)]
pub(super) struct StoreFile {
    pub(super) path: PathBuf,
    pub(super) key: SealKey,
}

impl StoreFile {
    /// Finds the store at `path`, or with `create` makes it where there is none.
    pub(super) fn open(
        path: &Path,
        source: &KeySource,
        create: bool,
        entropy: &mut dyn Entropy,
    ) -> Result<StoreFile, StoreFault> {
        let fresh = match fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                return Err(fault(path, "is a directory", "name a file in it, such as radmfa.db"));
            }
            Ok(found) => found.len() == 0,
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            Err(error) => return Err(no_access(path, &error)),
        };
        if fresh && !create {
            return Err(fault(
                path,
                "does not exist",
                "is the path right? `radmfa user add` or `token import` makes a store",
            ));
        }
        let key = match source {
            KeySource::Given(key) => key.clone(),
            KeySource::Beside => key_beside(path, fresh, entropy)?,
        };
        if fresh {
            match OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path) {
                Ok(_) => {}
                Err(error) => return Err(no_access(path, &error)),
            }
        }
        let file = StoreFile { path: path.to_owned(), key };
        file.prepare()?;
        Ok(file)
    }

    /// A connection in the mode that all of ours have: WAL, every commit synced, no memory map (it counts as resident),
    /// a page cache of `pages` pages of 4 KiB.
    pub(super) fn connect(&self, pages: u32) -> Result<Connection, StoreFault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&self.path, flags).and_then(|mut connection| {
            let tries = PATIENCE.as_micros() / PAUSE.as_micros();
            connection.busy_handler(Some(move |tried: i32| {
                std::thread::sleep(PAUSE);
                u128::try_from(tried).is_ok_and(|tried| tried < tries)
            }))?;
            // Without it the bundled STAT4 prepares parameterised joins anew at every use.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            connection.set_prepared_statement_cache_capacity(64);
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "mmap_size", 0)?;
            connection.pragma_update(None, "cache_size", pages)?;
            connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
            Ok(connection)
        });
        opened.map_err(|error| self.fault(&error))
    }

    /// What went wrong with this store, for an admin to read.
    pub(super) fn fault(&self, error: &rusqlite::Error) -> StoreFault {
        let path = self.path.as_path();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                fault(path, "is damaged or no store", "put a backup in its place; keep the damaged file")
            }
            Some(ErrorCode::DiskFull) => {
                fault(path, "the disk is full", "make room; radmfa goes on by itself")
            }
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

    fn prepare(&self) -> Result<(), StoreFault> {
        let path = self.path.as_path();
        let mut connection = self.connect(64)?;
        let read = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let numbers = read("user_version").and_then(|version| Ok((version, read("application_id")?)));
        let (version, application) = numbers.map_err(|error| self.fault(&error))?;
        if version > schema::VERSION {
            return Err(fault(
                path,
                &format!(
                    "has schema version {version}; this radmfa knows versions up to {}",
                    schema::VERSION
                ),
                "a newer radmfa has changed it: run that one",
            ));
        }
        if application != schema::APPLICATION {
            let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0));
            let tables: i64 = tables.map_err(|error| self.fault(&error))?;
            if version != 0 || tables != 0 {
                return Err(fault(path, "is another program's database", "name a file of radmfa's own"));
            }
        }
        let fingerprint = self.key.fingerprint();
        if version < schema::VERSION {
            schema::migrate(&mut connection, &fingerprint).map_err(|error| self.fault(&error))?;
        }
        let kept = connection
            .query_row("SELECT value FROM meta WHERE name = 'seal-key'", [], |row| row.get::<_, Vec<u8>>(0));
        if kept.map_err(|error| self.fault(&error))? != fingerprint {
            return Err(fault(
                path,
                "was sealed with another key",
                &format!("bring back the key that was made with it ({})", key_path(path).display()),
            ));
        }
        Ok(())
    }
}

fn key_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".key");
    PathBuf::from(name)
}

fn key_beside(store: &Path, fresh: bool, entropy: &mut dyn Entropy) -> Result<SealKey, StoreFault> {
    let path = key_path(store);
    let octets = match fs::read(&path) {
        Ok(octets) => zeroize::Zeroizing::new(octets),
        Err(error) if error.kind() == ErrorKind::NotFound && fresh => {
            make_key(&path, entropy)?;
            zeroize::Zeroizing::new(fs::read(&path).map_err(|error| no_access(&path, &error))?)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(fault(
                &path,
                "does not exist, and the store cannot be read without its key",
                "bring it back from where it was kept, or name the key with --seal-key",
            ));
        }
        Err(error) => return Err(no_access(&path, &error)),
    };
    let mode = fs::metadata(&path).map_err(|error| no_access(&path, &error))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(fault(
            &path,
            &format!("is open to others (mode {:03o})", mode & 0o777),
            &format!("chmod 600 {}", path.display()),
        ));
    }
    SealKey::parse(&octets)
        .ok_or_else(|| fault(&path, "is no key", "it holds 64 hexadecimal digits, or 32 octets as they are"))
}

/// Makes a key file that is whole the moment it has its name; one that another process made first stays.
fn make_key(path: &Path, entropy: &mut dyn Entropy) -> Result<(), StoreFault> {
    let draft = path.with_extension(format!("key.{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{}", *SealKey::generate(entropy).print())?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    })();
    let _absent_is_fine = fs::remove_file(&draft);
    written.map_err(|error| no_access(path, &error))
}

fn no_access(path: &Path, error: &std::io::Error) -> StoreFault {
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

fn fault(path: &Path, what: &str, hint: &str) -> StoreFault {
    StoreFault { what: format!("store {}: {what}", path.display()), hint: hint.to_owned() }
}
