//! A new sealing key for a store, while it is used.
//!
//! ```text
//! begin ── each key sealed under the other, in `meta` ── re-seal in chunks ── key file ── finish
//! ```
//! From begin on whoever holds either key has both (`keys.rs`), so this may end at any moment: the store stays
//! readable, and running it again goes on. Invariants: a value is replaced only as it was read; a chunk holds the write lock
//! for some milliseconds; the key file changes at once, after everything is re-sealed and before the store wants the new key,
//! and either key opens the store in between.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::admin::{SqliteAdmin, Trouble};
use super::file::{KeySource, fault};
use super::rows::{int, nat};
use super::tables::log_change;
use super::view::FRESH;
use super::{Settings, import, keyfile, keys};
use crate::base::system::{Clock, Entropy};
use crate::engine::reason::Reason;
use crate::store::StoreFault;
use crate::store::act::Act;
use crate::store::admin::AdminFault;
use crate::store::keyring::print_fingerprint;
use crate::store::rekey::Report;
use crate::store::seal::{Purpose, SealKey};

/// How long a chunk may hold the write lock, and how long the lock is left free then.
const CHUNK: Duration = Duration::from_millis(4);
const GAP: Duration = Duration::from_micros(300);
/// The most values in a chunk.
const MOST: usize = 500;
/// How long an import under way is waited for at a time.
const WAIT: Duration = Duration::from_millis(50);

/// A column of sealed values.
struct Sealed {
    table: &'static str,
    owner: &'static str,
    value: &'static str,
    purpose: Purpose,
}

/// Everything that is sealed. Every table has a growing number, `id`, and every value is bound to its owner's name.
const SEALED: &[Sealed] =
    &[Sealed { table: "token", owner: "serial", value: "seed", purpose: Purpose::TokenSeed }];

/// Gives the store that `settings` name another key: `new`, or a random one. `progress` hears how many of how many values are
/// done; `false` from it stops, to be gone on with later.
pub fn rekey(
    settings: &Settings,
    new: Option<SealKey>,
    clock: Arc<dyn Clock>,
    entropy: Box<dyn Entropy + Send>,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Report, StoreFault> {
    let mut admin = SqliteAdmin::open(settings, clock, entropy)?;
    let done = admin.connection.pragma_update(None, "secure_delete", true);
    let done = done.map_err(Trouble::Sql).and_then(|()| run(&mut admin, settings, new, progress));
    admin.blame(done).map_err(|fault| match fault {
        AdminFault::Store(fault) => fault,
        other => StoreFault {
            what: format!("store {}: {other}", settings.path.display()),
            hint: "nothing is lost: radmfa store rekey goes on".to_owned(),
        },
    })
}

fn run(
    admin: &mut SqliteAdmin,
    settings: &Settings,
    new: Option<SealKey>,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Report, Trouble> {
    let (new, resumed) = begin(admin, new)?;
    let before = keys::current(&admin.connection)?;
    let mut report = Report {
        before: print_fingerprint(&before),
        now: print_fingerprint(&new.fingerprint()),
        resealed: 0,
        resumed,
        damaged: Vec::new(),
        key: None,
        kept: None,
        shared: false,
    };
    let total = total(&admin.connection)?;
    let mut done = 0;
    let mut size: usize = 64;
    admin.connection.pragma_update(None, "synchronous", "normal")?;
    loop {
        let mut idle = true;
        for sealed in SEALED {
            while let Some(count) = chunk(admin, sealed, &new, &mut size, &mut report)? {
                idle = false;
                done += count;
                if !progress(done, total.max(done)) {
                    return Err(AdminFault::Invalid("the rekey was stopped".to_owned()).into());
                }
                std::thread::sleep(GAP);
            }
        }
        if !idle {
            continue;
        }
        admin.connection.pragma_update(None, "synchronous", "full")?;
        if matches!(settings.key, KeySource::Beside) {
            let kept = keyfile::replace(&settings.path, &new).map_err(AdminFault::Store)?;
            report.kept = report.kept.or(kept);
            report.key = Some(keyfile::key_path(&settings.path));
        }
        if finish(admin, &new, &mut report)? {
            break;
        }
        import::sweep(&mut admin.connection, &*admin.clock, &|| false)?;
        std::thread::sleep(WAIT);
    }
    // What the log and free pages still hold of the old values goes sooner so; it goes anyway.
    admin.connection.busy_timeout(Duration::ZERO)?;
    admin.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(report)
}

/// Seals each key under the other, or goes on with what was begun; answers the new key.
fn begin(admin: &mut SqliteAdmin, new: Option<SealKey>) -> Result<(SealKey, bool), Trouble> {
    let ring = admin.file.key.clone();
    let transaction = admin.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(next) = keys::next(&transaction)? {
        if new.is_some_and(|new| new.fingerprint() != *next) {
            let what = format!(
                "a rekey to the key with fingerprint {} is under way; finish that first, without --new-seal-key",
                print_fingerprint(&next)
            );
            return Err(AdminFault::Invalid(what).into());
        }
        let found = ring.find(&next).ok_or_else(|| {
            let what = "the key that a rekey under way leads to does not open".to_owned();
            AdminFault::Store(super::file::damaged(&admin.file.path, &what))
        })?;
        return Ok((found, true));
    }
    if keys::current(&transaction)? != ring.fingerprint() {
        let hint = "run it again";
        return Err(AdminFault::Store(fault(&admin.file.path, "got another key this moment", hint)).into());
    }
    let entropy = &mut *admin.pen.entropy;
    let new = new.unwrap_or_else(|| SealKey::generate(entropy));
    if ring.find(&new.fingerprint()).is_some() {
        let what = "the new key is one that this store had before: take a fresh one".to_owned();
        return Err(AdminFault::Invalid(what).into());
    }
    let earlier = new.wrap(ring.current(), entropy);
    let heir = ring.current().wrap(&new, entropy);
    let mut put = transaction.prepare("INSERT INTO meta VALUES (?1, ?2)")?;
    put.execute(params![format!("{}{}", keys::EARLIER, earlier.fingerprint), earlier.sealed])?;
    put.execute(params![format!("{}{}", keys::HEIR, heir.fingerprint), heir.sealed])?;
    put.execute(params!["rekey", new.fingerprint()])?;
    drop(put);
    log_change(&transaction, None)?;
    transaction.commit()?;
    // From here on every running server has both keys at its next login.
    std::thread::sleep(FRESH);
    Ok((new, false))
}

fn total(connection: &Connection) -> rusqlite::Result<u64> {
    let count = |sealed: &Sealed| {
        let sql = format!("SELECT count(*) FROM {}", sealed.table);
        connection.query_row(&sql, [], |row| row.get(0).map(nat))
    };
    SEALED.iter().map(count).sum()
}

fn place(sealed: &Sealed) -> String {
    format!("rekey-at/{}", sealed.table)
}

fn reached(connection: &Connection, sealed: &Sealed) -> rusqlite::Result<i64> {
    let sql = "SELECT coalesce(max(value), 0) FROM meta WHERE name = ?1";
    connection.query_row(sql, [place(sealed)], |row| row.get(0))
}

/// Re-seals the next values; how many it looked at, `None` where no more were there.
fn chunk(
    admin: &mut SqliteAdmin,
    sealed: &Sealed,
    new: &SealKey,
    size: &mut usize,
    report: &mut Report,
) -> rusqlite::Result<Option<u64>> {
    let Sealed { table, owner, value, purpose } = sealed;
    let after = reached(&admin.connection, sealed)?;
    let limit = i64::try_from(*size).unwrap_or(i64::MAX);
    // Read and sealed before the lock is taken.
    let mut read = admin.connection.prepare(&format!(
        "SELECT id, {owner}, {value} FROM {table} WHERE id > ?1 AND {value} IS NOT NULL ORDER BY id LIMIT ?2"
    ))?;
    let rows = read.query_map([after, limit], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?))
    })?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    drop(read);
    let Some((last, ..)) = rows.last() else { return Ok(None) };
    let last = *last;
    let count = rows.len();
    let mut changes = Vec::with_capacity(count);
    for (id, name, old) in rows {
        if new.open(*purpose, &name, &old).is_ok() {
            continue;
        }
        match admin.file.key.open(*purpose, &name, &old) {
            Ok(plain) => changes.push((id, old, new.seal(*purpose, &name, &plain, &mut *admin.pen.entropy))),
            Err(_) => report.damaged.push(name),
        }
    }
    let transaction = admin.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let began = admin.clock.mono();
    let mut write = transaction
        .prepare_cached(&format!("UPDATE {table} SET {value} = ?3 WHERE id = ?1 AND {value} = ?2"))?;
    let mut missed = false;
    for (id, old, fresh) in &changes {
        if write.execute(params![id, old, fresh])? == 1 {
            report.resealed += 1;
        } else {
            // Somebody changed it after it was read: looked at again.
            missed = true;
        }
    }
    drop(write);
    if !missed {
        transaction.execute("REPLACE INTO meta VALUES (?1, ?2)", params![place(sealed), last])?;
    }
    transaction.commit()?;
    let took = admin.clock.mono().since(began);
    if took > CHUNK {
        *size = (*size * 3 / 4).max(8);
    } else if took < CHUNK * 3 / 4 {
        *size = (*size + *size / 4).min(MOST);
    }
    Ok(Some(u64::try_from(count).unwrap_or(u64::MAX)))
}

/// Makes the store want the new key, unless there is something left to re-seal or an import may still bring it.
fn finish(admin: &mut SqliteAdmin, new: &SealKey, report: &mut Report) -> Result<bool, Trouble> {
    let alone = admin.file.hold.try_alone().map_err(AdminFault::Store)?;
    let done = want(admin, new, alone, report);
    admin.file.hold.share_again(&admin.file.path).map_err(AdminFault::Store)?;
    report.shared = !alone;
    if done? {
        std::thread::sleep(FRESH);
        return Ok(true);
    }
    Ok(false)
}

fn want(admin: &mut SqliteAdmin, new: &SealKey, alone: bool, report: &Report) -> Result<bool, Trouble> {
    let SqliteAdmin { connection, pen, .. } = admin;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if transaction.query_row("SELECT count(*) FROM batch", [], |row| row.get::<_, i64>(0))? > 0
        || left(&transaction)?
    {
        return Ok(false);
    }
    transaction.execute("UPDATE meta SET value = ?1 WHERE name = 'seal-key'", [new.fingerprint()])?;
    transaction.execute("DELETE FROM meta WHERE name = 'rekey' OR substr(name, 1, 9) = 'rekey-at/'", [])?;
    if alone {
        keys::forget_heirs(&transaction)?;
    }
    let note = format!("{} after {}", report.now, report.before);
    pen.act(&transaction, Act::new(Reason::StoreRekeyed).note(note))?;
    log_change(&transaction, None)?;
    transaction.commit()?;
    Ok(true)
}

/// Whether values came in behind the last chunk.
fn left(transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
    for sealed in SEALED {
        let sql =
            format!("SELECT count(*) FROM {} WHERE id > ?1 AND {} IS NOT NULL", sealed.table, sealed.value);
        let after = int(nat(reached(transaction, sealed)?));
        if transaction.query_row(&sql, [after], |row| row.get::<_, i64>(0))? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
