//! Imports: any number of tokens, all of them or none, while logins go on.
//!
//! Rows are written in transactions of a few milliseconds under a `batch` that is listed as not yet there, which keeps
//! them invisible to everybody; taking the batch off the list shows all of them at once. Between two chunks the
//! write lock is free for longer than a waiting writer sleeps. Rows go in by user name, so that the indexes grow at one place at a time.
//!
//! An import is abandoned when its process is gone (its number and start time, from `/proc`) or its last sign of life
//! is [`SILENCE`] old. An abandoned batch is first marked doomed, so that an importer that wakes up again stops; its rows
//! are removed in short transactions, and then the batch.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::admin::{SqliteAdmin, Trouble};
use super::people;
use super::rows::{self, int, visible};
use super::tables::{insert_token, insert_user, log_change, restore_steps, seal, user_id};
use crate::base::name::UserName;
use crate::base::system::Clock;
use crate::base::time::UnixTime;
use crate::engine::reason::Reason;
use crate::store::act::Act;
use crate::store::admin::{AdminFault, ImportConflict, ImportReport, NewToken, UserFields};
use crate::store::keyring::Keyring;
use crate::store::seal::Purpose;

/// How long a chunk may take, its commit included: the write lock is held for so long.
const CHUNK: Duration = Duration::from_millis(4);
/// How long the lock is left free between chunks; a waiting writer tries every 0.2 ms.
pub(super) const GAP: Duration = Duration::from_micros(300);
/// An importer without a sign of life for so long is taken for dead.
const SILENCE: Duration = Duration::from_mins(1);
/// Rows read in one transaction while planning, and removed in one while sweeping.
pub(super) const STEP: usize = 1_000;
const SWEEP_STEP: i64 = 200;

/// What is to be written: rows by number, in the order of their users' names.
struct Plan {
    report: ImportReport,
    fresh: Vec<usize>,
    /// Users that are there already.
    known: HashMap<UserName, i64>,
}

pub(super) fn run(
    admin: &mut SqliteAdmin,
    rows: &[NewToken],
    dry_run: bool,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<ImportReport, Trouble> {
    if !dry_run {
        sweep(&mut admin.connection, &*admin.clock, &|| false)?;
    }
    let mut plan = plan(&admin.connection, &admin.file.key, rows)?;
    if dry_run || !plan.report.conflicts.is_empty() {
        return Ok(plan.report);
    }
    if plan.fresh.is_empty() {
        plan.report.abandoned = !progress(rows.len());
        return Ok(plan.report);
    }
    // No sync at each chunk: the activation's covers them all, since the log is one file.
    admin.connection.pragma_update(None, "synchronous", "normal")?;
    admin.connection.pragma_update(None, "wal_autocheckpoint", 8_000)?;
    let batch = begin(admin)?;
    let written = write(admin, rows, &plan, batch, progress);
    admin.connection.pragma_update(None, "wal_autocheckpoint", 1_000)?;
    admin.connection.pragma_update(None, "synchronous", "full")?;
    let finished = match written {
        Ok(true) => {
            let act = Act::new(Reason::TokensImported).count(plan.fresh.len());
            activate(admin, batch, act).map(|()| true)
        }
        other => other,
    };
    if !matches!(finished, Ok(true)) {
        doom(&mut admin.connection, batch)?;
        sweep(&mut admin.connection, &*admin.clock, &|| false)?;
    }
    plan.report.abandoned = !finished?;
    Ok(plan.report)
}

pub(super) fn begin(admin: &mut SqliteAdmin) -> rusqlite::Result<i64> {
    let now = int(admin.clock.unix().0);
    let transaction = admin.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute(
        "INSERT INTO batch (owner, beat, first_user, first_token)
         VALUES (?1, ?2, (SELECT coalesce(max(id), 0) + 1 FROM user), (SELECT coalesce(max(id), 0) + 1 FROM token))",
        params![owner(std::process::id()), now],
    )?;
    let batch = transaction.last_insert_rowid();
    transaction.commit()?;
    Ok(batch)
}

/// Writes everything; `false` where `progress` asked to stop.
fn write(
    admin: &mut SqliteAdmin,
    rows: &[NewToken],
    plan: &Plan,
    batch: i64,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<bool, Trouble> {
    let settled = rows.len() - plan.fresh.len();
    let mut made: Option<(UserName, i64)> = None;
    let mut done = 0;
    let mut size: usize = 64;
    while done < plan.fresh.len() {
        // Sealed before the lock is taken.
        let chunk: Vec<_> = plan
            .fresh
            .iter()
            .skip(done)
            .take(size)
            .filter_map(|row| rows.get(*row))
            .map(|token| (token, seal(&admin.file.key, token, &mut *admin.pen.entropy)))
            .collect();
        let now = admin.clock.unix();
        let transaction = admin.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let began = admin.clock.mono();
        beat(&transaction, batch, now)?;
        let mut first = None;
        for (token, sealed) in &chunk {
            let user = match &token.user {
                None => None,
                Some(name) => Some(match (plan.known.get(name), &made) {
                    (Some(id), _) => still_there(&transaction, *id, name)?,
                    (None, Some((last, id))) if last == name => *id,
                    (None, _) => {
                        let id = insert_user(&transaction, name, &UserFields::default(), now, Some(batch));
                        let id = id.map_err(|error| taken(error, &format!("user {name}")))?.0;
                        made = Some((name.clone(), id));
                        id
                    }
                }),
            };
            let id = insert_token(&transaction, token, sealed, user, now, Some(batch))
                .map_err(|error| taken(error, &format!("token {}", token.serial)))?;
            first.get_or_insert(id);
        }
        if let Some(first) = first {
            restore_steps(&transaction, first, None)?;
        }
        transaction.commit()?;
        size = next_size(size, admin.clock.mono().since(began));
        done += chunk.len();
        if !progress(settled + done) {
            return Ok(false);
        }
        std::thread::sleep(GAP);
    }
    Ok(true)
}

/// Says, in the transaction that goes on with it, that an import lives.
pub(super) fn beat(transaction: &Transaction<'_>, batch: i64, now: UnixTime) -> Result<(), Trouble> {
    let sql = "UPDATE batch SET beat = ?2 WHERE id = ?1 AND NOT doomed";
    match transaction.prepare_cached(sql)?.execute([batch, int(now.0)])? {
        0 => Err(taken_for_dead()),
        _ => Ok(()),
    }
}

/// How many rows go into the next transaction, after `size` of them held the lock for so long.
pub(super) fn next_size(size: usize, took: Duration) -> usize {
    if took > CHUNK {
        (size * 3 / 4).max(8)
    } else if took < CHUNK * 3 / 4 {
        (size + size / 4).min(STEP)
    } else {
        size
    }
}

/// Shows the batch, in one small transaction, synced, and with it the row of `act`.
pub(super) fn activate(admin: &mut SqliteAdmin, batch: i64, act: Act) -> Result<(), Trouble> {
    let transaction = admin.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if transaction.execute("DELETE FROM batch WHERE id = ?1 AND NOT doomed", [batch])? == 0 {
        return Err(taken_for_dead());
    }
    admin.pen.act(&transaction, act)?;
    log_change(&transaction, None)?;
    transaction.commit()?;
    Ok(())
}

pub(super) fn doom(connection: &mut Connection, batch: i64) -> rusqlite::Result<()> {
    connection.execute("UPDATE batch SET doomed = 1 WHERE id = ?1", [batch]).map(|_| ())
}

/// Removes what abandoned imports left, in short transactions, until done or told to `stop`.
pub(super) fn sweep(
    connection: &mut Connection,
    clock: &dyn Clock,
    stop: &dyn Fn() -> bool,
) -> rusqlite::Result<()> {
    loop {
        let listed = {
            let mut statement =
                connection.prepare("SELECT id, owner, beat, doomed, first_user, first_token FROM batch")?;
            let rows = statement.query_map([], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    UnixTime(rows::nat(row.get(2)?)),
                    row.get::<_, bool>(3)?,
                    [row.get::<_, i64>(4)?, row.get::<_, i64>(5)?],
                ))
            })?;
            rows.collect::<Result<Vec<_>, _>>()?
        };
        let now = clock.unix();
        people::finish(connection, stop)?;
        let dead = listed
            .into_iter()
            .find(|(_, owner, beat, doomed, _)| *doomed || now.since(*beat) > SILENCE || !is_alive(owner));
        let Some((batch, _, _, _, [first_user, first_token])) = dead else { return Ok(()) };
        doom(connection, batch)?;
        for (table, first) in [("token", first_token), ("user", first_user)] {
            let mut after = first - 1;
            loop {
                if stop() {
                    return Ok(());
                }
                match sweep_step(connection, table, batch, after)? {
                    Some(last) => after = last,
                    None => break,
                }
                std::thread::sleep(GAP);
            }
        }
        if !people::forget(connection, batch, stop)? {
            return Ok(());
        }
        connection.execute("DELETE FROM batch WHERE id = ?1", [batch])?;
    }
}

/// Looks at a stretch of rows after `after` and removes the batch's; the last number looked at, `None` at the end.
fn sweep_step(
    connection: &mut Connection,
    table: &str,
    batch: i64,
    after: i64,
) -> rusqlite::Result<Option<i64>> {
    let stretch = format!("SELECT max(id) FROM (SELECT id FROM {table} WHERE id > ?1 ORDER BY id LIMIT ?2)");
    let last: Option<i64> = connection.query_row(&stretch, [after, SWEEP_STEP], |row| row.get(0))?;
    let Some(last) = last else { return Ok(None) };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if table == "token" {
        transaction.execute(
            "DELETE FROM token_state WHERE token > ?1 AND token <= ?2
                 AND token IN (SELECT id FROM token WHERE id > ?1 AND id <= ?2 AND batch = ?3)",
            [after, last, batch],
        )?;
    }
    let remove = format!("DELETE FROM {table} WHERE id > ?1 AND id <= ?2 AND batch = ?3");
    transaction.execute(&remove, [after, last, batch])?;
    transaction.commit()?;
    Ok(Some(last))
}

/// Reads what is there and decides what each row means.
fn plan(connection: &Connection, key: &Keyring, rows: &[NewToken]) -> rusqlite::Result<Plan> {
    let mut report = ImportReport::default();
    let mut fresh: Vec<usize> = Vec::with_capacity(rows.len());
    // By serial: equal ones come to lie side by side, and the index is read in its own order.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let serial = |row: &usize| rows.get(*row).map(|token| &token.serial);
    order.sort_by(|left, right| serial(left).cmp(&serial(right)).then(left.cmp(right)));
    let mut first: Option<&NewToken> = None;
    for step in order.chunks(STEP) {
        let transaction = connection.unchecked_transaction()?;
        for row in step {
            let Some(token) = rows.get(*row) else { continue };
            let conflict = if let Err(fault) = token.check() {
                Some(fault.to_string())
            } else if let Some(first) = first.filter(|first| first.serial == token.serial) {
                report.unchanged += usize::from(first.same_as(token));
                (!first.same_as(token)).then(|| ImportConflict::twice(&token.serial))
            } else {
                first = Some(token);
                match equals(&transaction, key, token)? {
                    None => {
                        fresh.push(*row);
                        None
                    }
                    Some(true) => {
                        report.unchanged += 1;
                        None
                    }
                    Some(false) => Some(ImportConflict::differs(&token.serial)),
                }
            };
            report.conflicts.extend(conflict.map(|what| ImportConflict { row: *row, what }));
        }
    }
    report.conflicts.sort_by_key(|conflict| conflict.row);
    report.added = fresh.len();
    let user = |row: &usize| rows.get(*row).and_then(|token| token.user.as_ref());
    fresh.sort_by(|left, right| user(left).cmp(&user(right)).then(left.cmp(right)));
    let mut known = HashMap::new();
    let mut last: Option<&UserName> = None;
    for step in fresh.chunks(STEP) {
        let transaction = connection.unchecked_transaction()?;
        for name in step.iter().filter_map(user) {
            if last == Some(name) {
                continue;
            }
            last = Some(name);
            match user_id(&transaction, name)? {
                Some(id) => drop(known.insert(name.clone(), id)),
                None => report.users_made += 1,
            }
        }
    }
    Ok(Plan { report, fresh, known })
}

/// Whether `token` stands in the store exactly so; `None` where its serial does not.
fn equals(connection: &Connection, key: &Keyring, token: &NewToken) -> rusqlite::Result<Option<bool>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT user.name, algorithm, digits, interval, seed FROM token LEFT JOIN user ON user.id = token.user
         WHERE serial = ?1 AND ",
        visible!("token.batch")
    ))?;
    let same = statement.query_row([&*token.serial], |row| {
        let user: Option<String> = row.get(0)?;
        let seed = key.open(Purpose::TokenSeed, &token.serial, row.get_ref(4)?.as_blob()?);
        Ok(user.as_deref() == token.user.as_ref().map(UserName::as_str)
            && rows::parameters(row, 1)? == token.parameters
            && seed.is_ok_and(|seed| seed == token.seed))
    });
    same.optional()
}

/// A user that the plan saw may have been removed since.
pub(super) fn still_there(connection: &Connection, id: i64, name: &UserName) -> Result<i64, Trouble> {
    if connection.prepare_cached("SELECT 1 FROM user WHERE id = ?1")?.exists([id])? {
        return Ok(id);
    }
    Err(AdminFault::Invalid(format!("user {name} was removed while the import ran; nothing was changed"))
        .into())
}

/// A name or serial that the plan found free may have been taken since.
pub(super) fn taken(error: rusqlite::Error, what: &str) -> Trouble {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) {
        let fault = AdminFault::Invalid(format!(
            "{what} was added by somebody else while the import ran; nothing was changed"
        ));
        return Trouble::Fault(fault);
    }
    Trouble::Sql(error)
}

fn taken_for_dead() -> Trouble {
    let what = "the import stood still for so long that it was taken for dead; nothing was changed";
    Trouble::Fault(AdminFault::Invalid(what.to_owned()))
}

/// Names a process: its number and when it started, since numbers come again.
fn owner(pid: u32) -> String {
    let start = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    // The second field, in parentheses, may hold anything; the twenty-second is the start time.
    let start = start.as_deref().and_then(|stat| stat.rsplit_once(')')?.1.split_whitespace().nth(19));
    format!("{pid} {}", start.unwrap_or("?"))
}

/// Whether the process still runs, as far as can be told.
fn is_alive(named: &str) -> bool {
    if !std::path::Path::new("/proc/self/stat").exists() {
        return true;
    }
    let pid = named.split_once(' ').and_then(|(pid, _)| pid.parse().ok());
    pid.is_some_and(|pid| owner(pid) == named)
}
