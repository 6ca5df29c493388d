//! A backup in place of a store.
//!
//! The backup is copied beside the store, checked, brought up to today's version and made safe there; only then does it
//! take the store's name, at once, while what was there keeps a name of its own. Nobody else may have the store open.
//!
//! A backup does not know which codes were used since it was made. So that none works twice, every time-based token's
//! steps up to now count as spent; what the replaced store knows of spent steps and counters is taken over where it can
//! still be read; bypasses and remembered factors are void. What cannot be known is at risk, and [`Report`] names it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior, params};

use super::admin::SqliteAdmin;
use super::backup::check_pages;
use super::draft::{Draft, tail};
use super::file::{KeySource, connect, explain, fault, no_access, size, version};
use super::glance::Counts;
use super::hold::Hold;
use super::hot::Hot;
use super::keyfile::{self, key_path, sync_directory};
use super::rows::{self, int, nat};
use super::tables::{log_change, postures};
use super::{Settings, keys, schema};
use crate::base::system::{Clock, Entropy};
use crate::base::time::UnixTime;
use crate::engine::reason::Reason;
use crate::store::StoreFault;
use crate::store::act::Act;
use crate::store::keyring::print_fingerprint;
use crate::store::seal::SealKey;

/// A backup file, opened.
pub struct Source {
    path: PathBuf,
    file: File,
    /// The write-ahead log beside it, where somebody copied a store with its parts.
    log: Option<File>,
}

impl Source {
    /// Opens a backup with the rights of this moment.
    pub fn open(path: &Path) -> Result<Source, StoreFault> {
        let cannot = |error: &io::Error| match error.kind() {
            ErrorKind::NotFound => of(path, "does not exist", "is the path right?"),
            _ => of(path, &format!("cannot be read: {error}"), "name a file that you may read"),
        };
        // Looked at first: to open a pipe would wait for somebody who writes into it.
        let plain = |path: &Path| fs::metadata(path).map(|found| found.is_file());
        if !plain(path).map_err(|error| cannot(&error))? {
            return Err(of(path, "is no file", "name the file that `store backup` wrote"));
        }
        let file = File::open(path).map_err(|error| cannot(&error))?;
        let beside = tail(path, "-wal");
        let log = match plain(&beside) {
            Ok(true) => Some(File::open(&beside).map_err(|error| cannot(&error))?),
            Ok(false) => {
                return Err(of(&beside, "is no file", "move away what does not belong to the backup"));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(cannot(&error)),
        };
        Ok(Source { path: path.to_owned(), file, log })
    }
}

/// What was restored, and what to know about it.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is in the store now.
    pub counts: Counts,
    /// Its version before it was brought up to today's, where it was older.
    pub migrated: Option<i64>,
    /// When the newest row of the backup was written.
    pub newest: Option<UnixTime>,
    /// Where the store is that was there before.
    pub aside: Option<PathBuf>,
    /// Where the key file is that was there before, where another one took its place.
    pub key_aside: Option<PathBuf>,
    /// Time-based tokens whose steps up to now count as spent.
    pub marked: u64,
    /// Bypasses that are void now.
    pub voided: u64,
    /// Tokens whose spent steps or counters the replaced store still knew; `None` where it could not be read.
    pub taken_over: Option<u64>,
    /// Tokens that count, whose codes used since the backup may work again where nothing was taken over.
    pub counters: u64,
    /// Recovery codes in the backup: those used since work again.
    pub recovery: u64,
}

/// Puts the backup `source` in place of the store that `settings` name.
pub fn restore(
    source: Source,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    entropy: Box<dyn Entropy + Send>,
) -> Result<Report, StoreFault> {
    let store = settings.path.as_path();
    let hold = Hold::alone(store)?;
    if belongs_to_another(store) {
        return Err(fault(store, "is another program's database", "name a file of radmfa's own, or none"));
    }
    let draft = Draft::of(store).map_err(|error| no_access(store, &error))?;
    let Source { path: from, file, log } = source;
    fill(draft.path(), file, log).map_err(|error| match error.kind() {
        ErrorKind::StorageFull => of(&from, "was not restored: the disk is full", "make room"),
        _ => of(&from, &format!("cannot be copied: {error}"), "is the disk sound?"),
    })?;
    let key = check(&from, draft.path(), settings)?;
    let was = match size(store)? {
        Some(octets) if octets > 0 => Some(known(store)),
        _ => None,
    };

    let mut admin = SqliteAdmin::open(
        &Settings {
            path: draft.path().to_owned(),
            key: KeySource::Given(key.clone()),
            create: false,
            tell: |_| {},
            ..settings.clone()
        },
        Arc::clone(clock),
        entropy,
    )?;
    let mut report = secure(&mut admin, &from, was.as_ref().and_then(Option::as_ref), &**clock)
        .map_err(|error| unfit(&from, &error))?;
    let log = admin.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    if log.map_err(|error| unfit(&from, &error))? != 0 {
        return Err(of(&from, "was not restored: somebody reads the copy of it", "try again"));
    }
    drop(admin);
    File::open(draft.path()).and_then(|file| file.sync_all()).map_err(|error| no_access(store, &error))?;

    if matches!(settings.key, KeySource::Beside) {
        report.key_aside = keyfile::replace(store, &key)?;
    }
    if was.is_some() {
        report.aside = Some(keep_aside(store, &**clock).map_err(|error| no_access(store, &error))?);
    }
    fs::rename(draft.path(), store)
        .and_then(|()| sync_directory(store))
        .map_err(|error| no_access(store, &error))?;
    drop(hold);
    Ok(report)
}

fn of(path: &Path, what: &str, hint: &str) -> StoreFault {
    StoreFault { what: format!("{} {what}", path.display()), hint: hint.to_owned() }
}

fn unfit(from: &Path, error: &rusqlite::Error) -> StoreFault {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            of(from, "is no backup: it is not a SQLite database", "name the file that `store backup` wrote")
        }
        Some(ErrorCode::DatabaseCorrupt) => broken(from, &error.to_string()),
        Some(ErrorCode::DiskFull) => of(from, "was not restored: the disk is full", "make room"),
        _ => of(from, &format!("was not restored: {error}"), "see the system's log for faults of the disk"),
    }
}

fn broken(from: &Path, how: &str) -> StoreFault {
    of(from, &format!("is damaged: {how}"), "take another backup; nothing was changed")
}

fn fill(draft: &Path, mut file: File, log: Option<File>) -> io::Result<()> {
    let mut copy = OpenOptions::new().write(true).open(draft)?;
    io::copy(&mut file, &mut copy)?;
    if let Some(mut log) = log {
        let mut copy = File::create_new(tail(draft, "-wal"))?;
        io::copy(&mut log, &mut copy)?;
    }
    Ok(())
}

/// Whether a sound database of another program stands where the store is to be.
fn belongs_to_another(store: &Path) -> bool {
    let read = || -> rusqlite::Result<bool> {
        let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok(application != schema::APPLICATION && tables > 0)
    };
    // What cannot be read is kept aside like a store: it may be one, damaged.
    read().unwrap_or(false)
}

/// Refuses what is no sound backup, or one whose key is not there; answers the key.
fn check(from: &Path, draft: &Path, settings: &Settings) -> Result<SealKey, StoreFault> {
    if size(draft)? == Some(0) {
        return Err(broken(from, "it is empty"));
    }
    let rename = |fault: StoreFault| {
        let named = |path: &Path| format!("store {}", path.display());
        StoreFault { what: fault.what.replace(&named(draft), &from.display().to_string()), ..fault }
    };
    // Told apart before anything is set on it: what is no database is not to be written to.
    let connection = Connection::open(draft).map_err(|error| unfit(from, &error))?;
    let seen = check_pages(&connection).map_err(|error| unfit(from, &error))?;
    if let Some(how) = seen {
        return Err(broken(from, &how));
    }
    if version(draft, &connection).map_err(rename)? == 0 {
        return Err(of(from, "is no backup: it holds no store", "name the file that `store backup` wrote"));
    }
    let wanted = keys::current(&connection).map_err(|error| unfit(from, &error))?;
    let next = keys::next(&connection).map_err(|error| unfit(from, &error))?;
    let fits = |key: &SealKey| wanted == key.fingerprint() || next.as_deref() == Some(&key.fingerprint());
    let store = settings.path.as_path();
    let key = match &settings.key {
        KeySource::Given(key) => Some(key.clone()).filter(fits),
        KeySource::Beside => [Some(&wanted), next.as_ref()]
            .into_iter()
            .flatten()
            .find_map(|wanted| keyfile::find(store, wanted).map(|(_, key)| key)),
    };
    key.ok_or_else(|| {
        let what = format!("needs the key with fingerprint {}", print_fingerprint(&wanted));
        let hint = match settings.key {
            KeySource::Given(_) => "name that key with --seal-key".to_owned(),
            KeySource::Beside => {
                format!("put it at {} with mode 600, or name it with --seal-key", key_path(store).display())
            }
        };
        of(from, &what, &hint)
    })
}

/// What the replaced store still knows.
struct Known {
    /// Serial, interval, creation time, and the last step or counter spent.
    tokens: Vec<(String, i64, i64, u64)>,
    /// The same of tokens that are gone.
    removed: Vec<(String, i64, i64)>,
    raised: Vec<crate::store::admin::Posture>,
}

/// Reads what the store at `store` knows; `None` where it cannot be read any more.
fn known(store: &Path) -> Option<Known> {
    let read = || -> rusqlite::Result<Known> {
        let connection = connect(store, 256).map_err(|_| rusqlite::Error::InvalidQuery)?;
        if version(store, &connection).is_ok_and(|version| version == schema::VERSION) {
            let transaction = connection.unchecked_transaction()?;
            return know(&transaction);
        }
        Err(rusqlite::Error::InvalidQuery)
    };
    read().ok()
}

fn know(connection: &Connection) -> rusqlite::Result<Known> {
    let hot = Hot::load(connection)?;
    let mut statement = connection.prepare(
        "SELECT token.id, serial, interval, created, last_step
         FROM token LEFT JOIN token_state ON token_state.token = token.id",
    )?;
    let mut tokens = Vec::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let recent = hot.tokens.get(&row.get(0)?).map(|spent| spent.step);
        if let Some(step) = row.get::<_, Option<i64>>(4)?.map(nat).max(recent) {
            tokens.push((row.get(1)?, row.get(2)?, row.get(3)?, step));
        }
    }
    let mut statement = connection.prepare("SELECT serial, interval, last_step FROM removed")?;
    let removed = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(Known { tokens, removed: removed.collect::<Result<_, _>>()?, raised: postures(connection)? })
}

/// Makes an older store fit to go on from now, in one transaction.
fn secure(
    admin: &mut SqliteAdmin,
    from: &Path,
    known: Option<&Known>,
    clock: &dyn Clock,
) -> rusqlite::Result<Report> {
    let newest = rows::newest_time(&admin.connection)?;
    let migrated = admin.file.migrated;
    let SqliteAdmin { connection, pen, .. } = admin;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let seconds = int(clock.unix().secs());
    // One step more: the window lets the next one in, and a token whose clock is ahead is ahead by what it drifted.
    let spend = "SELECT id, ?1 / interval + 1 + (max(coalesce(drift, drift_said, 0), 0) + 15) / 16
         FROM token LEFT JOIN token_state ON token = id WHERE interval > 0";
    let marked = transaction.execute(
        &format!(
            "INSERT INTO token_state (token, last_step) {spend}
             ON CONFLICT (token) DO UPDATE SET last_step = max(last_step, excluded.last_step)"
        ),
        [seconds],
    )?;
    transaction.execute(
        "UPDATE removed SET last_step = max(last_step, ?1 / interval + 1) WHERE interval > 0",
        [seconds],
    )?;
    let voided = void_bypasses(&transaction)?;
    let taken_over = known.map(|known| take_over(&transaction, known)).transpose()?;
    pen.act(&transaction, Act::new(Reason::StoreRestored).note(from.display().to_string()))?;
    log_change(&transaction, None)?;
    let count = |sql: &str| transaction.query_row(sql, [], |row| row.get(0).map(nat));
    let recovery = open_recovery(&transaction)?;
    let report = Report {
        counts: Counts::of(&transaction)?,
        migrated,
        newest,
        aside: None,
        key_aside: None,
        marked: u64::try_from(marked).unwrap_or(u64::MAX),
        voided,
        taken_over,
        counters: count("SELECT count(*) FROM token WHERE interval = 0")?,
        recovery,
    };
    transaction.commit()?;
    Ok(report)
}

/// Whether users have the column that says what is special about them, which an older version has not.
fn has_special(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM pragma_table_info('user') WHERE name = 'special'";
    Ok(connection.query_row(sql, [], |_| Ok(())).optional()?.is_some())
}

/// Closes every one-time bypass, and forgets every remembered factor: one that was used, or ended, since the backup would
/// be open again. Answers how many bypasses there were.
fn void_bypasses(connection: &Connection) -> rusqlite::Result<u64> {
    if !has_special(connection)? {
        return Ok(0);
    }
    let open = "SELECT coalesce(sum(json_array_length(special, '$.bypasses')), 0) FROM user";
    let count = connection.query_row(open, [], |row| row.get(0).map(nat))?;
    connection.execute(
        "UPDATE user SET special = json_remove(special, '$.bypasses', '$.sessions')
         WHERE json_array_length(special, '$.bypasses') > 0 OR json_array_length(special, '$.sessions') > 0",
        [],
    )?;
    Ok(count)
}

/// How many recovery codes the backup takes for unused.
fn open_recovery(connection: &Connection) -> rusqlite::Result<u64> {
    if !has_special(connection)? {
        return Ok(0);
    }
    let sql = "SELECT count(*) FROM user, json_each(user.special, '$.recovery') AS code
               WHERE NOT json_extract(code.value, '$.used')";
    connection.query_row(sql, [], |row| row.get(0).map(nat))
}

fn take_over(connection: &Connection, known: &Known) -> rusqlite::Result<u64> {
    // A token that was made anew under its serial counts from its own beginning.
    let mut statement = connection.prepare(
        "INSERT INTO token_state (token, last_step)
         SELECT id, ?4 FROM token WHERE serial = ?1 AND interval = ?2 AND created = ?3
         ON CONFLICT (token) DO UPDATE SET last_step = max(last_step, excluded.last_step)",
    )?;
    let mut count = 0;
    for (serial, interval, created, step) in &known.tokens {
        count += statement.execute(params![serial, interval, created, int(*step)])?;
    }
    let mut statement = connection.prepare(
        "INSERT INTO removed (serial, interval, last_step) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET last_step = max(last_step, excluded.last_step)",
    )?;
    for removed in &known.removed {
        statement.execute(params![removed.0, removed.1, removed.2])?;
    }
    // What a gateway has shown of itself is not forgotten either.
    let mut statement = connection.prepare(
        "INSERT INTO posture (client, address, raised) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for posture in &known.raised {
        let raised = int(posture.raised.0);
        statement.execute(params![posture.client.as_str(), posture.address.to_string(), raised])?;
    }
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Gives the store at `store` a second name, under which it stays; its log goes with it if it has one.
fn keep_aside(store: &Path, clock: &dyn Clock) -> io::Result<PathBuf> {
    // Closing the last connection puts the log into the database and removes it; of a damaged one it stays.
    let settled = connect(store, 64).and_then(|connection| {
        let settle = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        settle.map_err(|error| explain(store, &error))
    });
    if let Err(fault) = settled {
        tracing::debug!(%fault, "what was there before is kept as it is");
    }
    let moment: String = clock.unix().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let aside = tail(store, &format!(".before-{moment}"));
    fs::hard_link(store, &aside)?;
    match fs::rename(tail(store, "-wal"), tail(&aside, "-wal")) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        moved => moved?,
    }
    match fs::remove_file(tail(store, "-shm")) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        removed => removed?,
    }
    Ok(aside)
}
