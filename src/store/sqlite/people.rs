//! Imports of users: any number of them, all or none, while logins go on.
//!
//! New users are written under a batch, as tokens are ([`super::import`]). What changes of known users is written beside them,
//! as rows of `user_update`. Taking the batch off the list shows the new users and makes the changes certain, at once; they are then
//! put into place in short transactions, by the importer, or by whoever sweeps next where it was killed in between.

use std::collections::HashMap;

use rusqlite::{Connection, TransactionBehavior, params};

use super::admin::{SqliteAdmin, Trouble};
use super::import::{GAP, STEP, activate, beat, begin, doom, next_size, still_there, sweep, taken};
use super::tables::{insert_user, log_change, user_fields, user_id};
use crate::base::name::UserName;
use crate::engine::reason::Reason;
use crate::store::act::Act;
use crate::store::admin::{ImportConflict, ImportReport, UserFields, UserRow};

/// Changes put into place in one transaction: some milliseconds.
const APPLIED: i64 = 200;

/// What is to be written: rows by number, and the number of the user where it is known.
struct Plan {
    report: ImportReport,
    fresh: Vec<(usize, Option<i64>)>,
}

pub(super) fn run(
    admin: &mut SqliteAdmin,
    rows: &[UserRow],
    (update, dry_run): (bool, bool),
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<ImportReport, Trouble> {
    if !dry_run {
        sweep(&mut admin.connection, &*admin.clock, &|| false)?;
    }
    let mut plan = plan(&admin.connection, rows, update)?;
    if dry_run || !plan.report.conflicts.is_empty() {
        return Ok(plan.report);
    }
    if plan.fresh.is_empty() {
        plan.report.abandoned = !progress(rows.len());
        return Ok(plan.report);
    }
    let batch = begin(admin)?;
    let written = write(admin, rows, &plan, batch, progress);
    let finished = match written {
        Ok(true) => {
            let (made, changed) = (plan.report.users_made, plan.report.users_changed);
            let act = Act::new(Reason::UsersImported).count(plan.fresh.len());
            activate(admin, batch, act.note(format!("{made} new, {changed} changed"))).map(|()| true)
        }
        other => other,
    };
    if matches!(finished, Ok(true)) {
        finish(&mut admin.connection, &|| false)?;
    } else {
        doom(&mut admin.connection, batch)?;
        sweep(&mut admin.connection, &*admin.clock, &|| false)?;
    }
    plan.report.abandoned = !finished?;
    Ok(plan.report)
}

/// Reads what is there and decides what each row means.
fn plan(connection: &Connection, rows: &[UserRow], update: bool) -> rusqlite::Result<Plan> {
    let mut report = ImportReport::default();
    let mut fresh = Vec::with_capacity(rows.len());
    // What each user is to be after the rows read so far.
    let mut after: HashMap<&UserName, UserFields> = HashMap::with_capacity(rows.len());
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let name = |row: &usize| rows.get(*row).map(|said| &said.name);
    order.sort_by(|left, right| name(left).cmp(&name(right)).then(left.cmp(right)));
    for step in order.chunks(STEP) {
        let transaction = connection.unchecked_transaction()?;
        for row in step {
            let Some(said) = rows.get(*row) else { continue };
            let id = user_id(&transaction, &said.name)?;
            let known = id.map(|id| user_fields(&transaction, id)).transpose()?.map(|(fields, _)| fields);
            let wanted = said.over(known.as_ref().unwrap_or(&UserFields::default()));
            let conflict = if let Some(earlier) = after.get(&said.name) {
                (*earlier != wanted).then(|| ImportConflict::user_twice(&said.name))
            } else if known.as_ref().is_some_and(|known| *known != wanted) && !update {
                Some(ImportConflict::user_exists(&said.name))
            } else {
                match &known {
                    None => report.users_made += 1,
                    Some(known) if *known == wanted => report.unchanged += 1,
                    Some(_) => report.users_changed += 1,
                }
                if known.as_ref() != Some(&wanted) {
                    fresh.push((*row, id));
                }
                after.insert(&said.name, wanted);
                None
            };
            report.conflicts.extend(conflict.map(|what| ImportConflict { row: *row, what }));
        }
    }
    report.conflicts.sort_by_key(|conflict| conflict.row);
    Ok(Plan { report, fresh })
}

/// Writes everything; `false` where `progress` asked to stop.
fn write(
    admin: &mut SqliteAdmin,
    rows: &[UserRow],
    plan: &Plan,
    batch: i64,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<bool, Trouble> {
    let settled = rows.len() - plan.fresh.len();
    let mut done = 0;
    let mut size: usize = 64;
    while done < plan.fresh.len() {
        let now = admin.clock.unix();
        let transaction = admin.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let began = admin.clock.mono();
        beat(&transaction, batch, now)?;
        for (row, known) in plan.fresh.iter().skip(done).take(size) {
            let Some(said) = rows.get(*row) else { continue };
            match known {
                None => {
                    insert_user(
                        &transaction,
                        &said.name,
                        &said.over(&UserFields::default()),
                        now,
                        Some(batch),
                    )
                    .map_err(|error| taken(error, &format!("user {}", said.name)))?;
                }
                Some(id) => {
                    stage(&transaction, batch, still_there(&transaction, *id, &said.name)?, said)?;
                }
            }
        }
        transaction.commit()?;
        done = (done + size).min(plan.fresh.len());
        size = next_size(size, admin.clock.mono().since(began));
        if !progress(settled + done) {
            return Ok(false);
        }
        std::thread::sleep(GAP);
    }
    Ok(true)
}

fn stage(connection: &Connection, batch: i64, user: i64, said: &UserRow) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO user_update (batch, user, display_name, first_name, last_name, mail, phone, extension, language,
             method, disabled)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    let fields = &said.fields;
    let done = statement.execute(params![
        batch,
        user,
        fields.display_name,
        fields.first_name,
        fields.last_name,
        fields.mail,
        fields.phone,
        fields.extension,
        fields.language,
        fields.method,
        said.enabled.map(|enabled| !enabled),
    ]);
    done.map(drop)
}

/// Puts changes into place that are certain, until none is left or told to `stop`.
pub(super) fn finish(connection: &mut Connection, stop: &dyn Fn() -> bool) -> rusqlite::Result<()> {
    const CERTAIN: &str = "batch NOT IN (SELECT id FROM batch) ORDER BY id LIMIT ?1";
    loop {
        let any = format!("SELECT 1 FROM user_update WHERE {CERTAIN}");
        if stop() || !connection.prepare_cached(&any)?.exists([1])? {
            return Ok(());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let sql = format!(
                "SELECT user_update.id, user, name FROM user_update JOIN user ON user.id = user
                 WHERE user_update.{CERTAIN}"
            );
            let mut statement =
                transaction.prepare_cached(&sql.replace("ORDER BY id", "ORDER BY user_update.id"))?;
            let changed = statement.query_map([APPLIED], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
            })?;
            let changed = changed.collect::<Result<Vec<_>, _>>()?;
            let mut put = transaction.prepare_cached(
                "UPDATE user SET
                     display_name = coalesce(said.display_name, user.display_name),
                     first_name = coalesce(said.first_name, user.first_name),
                     last_name = coalesce(said.last_name, user.last_name),
                     mail = coalesce(said.mail, user.mail),
                     phone = coalesce(said.phone, user.phone),
                     extension = iif(said.phone IS NULL, user.extension, said.extension),
                     language = coalesce(said.language, user.language),
                     method = coalesce(said.method, user.method),
                     disabled = coalesce(said.disabled, user.disabled),
                     special = iif(
                         coalesce(said.disabled, 0) OR coalesce(said.phone, user.phone) IS NOT user.phone
                             OR coalesce(said.mail, user.mail) IS NOT user.mail,
                         json_remove(user.special, '$.sessions'), user.special)
                 FROM user_update AS said WHERE said.id = ?1 AND user.id = ?2",
            )?;
            let mut take = transaction.prepare_cached("DELETE FROM user_update WHERE id = ?1")?;
            for (id, user, name) in &changed {
                put.execute([id, user])?;
                take.execute([id])?;
                log_change(&transaction, UserName::canonical(name.as_bytes()).ok().as_ref())?;
            }
            if changed.is_empty() {
                // Of users who were removed meanwhile.
                let orphans = format!(
                    "DELETE FROM user_update WHERE id IN (SELECT id FROM user_update WHERE {CERTAIN})"
                );
                transaction.execute(&orphans, [APPLIED])?;
            }
        }
        transaction.commit()?;
        std::thread::sleep(GAP);
    }
}

/// Forgets the changes of a batch that is abandoned; `false` where told to `stop` before all were.
pub(super) fn forget(connection: &Connection, batch: i64, stop: &dyn Fn() -> bool) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM user_update WHERE id IN (SELECT id FROM user_update WHERE batch = ?1 LIMIT ?2)";
    while connection.execute(sql, [batch, APPLIED])? > 0 {
        if stop() {
            return Ok(false);
        }
        std::thread::sleep(GAP);
    }
    Ok(true)
}
