//! Imports of users: any number of them in one transaction, as tokens are ([`super::import`]). Those that are there already
//! are changed last, so that a login of theirs waits for little of it.

use std::collections::{BTreeMap, HashMap};

use super::admin::PostgresAdmin;
use super::import::{STEP, added_meanwhile};
use super::rows;
use super::session::{Trouble, Tx};
use super::sessions;
use super::tables::{FIELDS, fields_of, insert_user, take_ids, taken, update_user, user_fields};
use crate::base::name::UserName;
use crate::engine::reason::Reason;
use crate::store::act::Act;
use crate::store::admin::{AdminFault, ImportConflict, ImportReport, UserFields, UserRow};
use crate::store::session::Ends;

/// What is to be written, by name: the number where the user is there already, and what is to stand there.
struct Plan {
    report: ImportReport,
    wanted: BTreeMap<UserName, (Option<i64>, UserFields)>,
}

pub(super) fn run(
    admin: &mut PostgresAdmin,
    rows: &[UserRow],
    (update, dry_run): (bool, bool),
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<ImportReport, AdminFault> {
    let mut plan = admin.read(|tx| plan(tx, rows, update))?;
    if dry_run || !plan.report.conflicts.is_empty() {
        return Ok(plan.report);
    }
    if plan.wanted.is_empty() {
        plan.report.abandoned = !progress(rows.len());
        return Ok(plan.report);
    }
    let (made, changed) = (plan.report.users_made, plan.report.users_changed);
    let first = admin.change_late(|tx, _| take_ids(tx, "account", made))?;
    let now = admin.clock.unix();
    let settled = rows.len() - plan.wanted.len();
    let mut stopped = false;
    let written = admin.change_late(|tx, pen| {
        let (new, known): (Vec<_>, Vec<_>) = plan.wanted.iter().partition(|(_, (id, _))| id.is_none());
        let mut done = 0;
        let mut tell = |done: usize| -> Result<(), Trouble> {
            let last = done == plan.wanted.len();
            if (last || done.is_multiple_of(STEP)) && !progress(settled + done) {
                stopped = true;
                return Err(AdminFault::Invalid("abandoned".to_owned()).into());
            }
            Ok(())
        };
        for (id, (name, (_, fields))) in (first..).zip(new) {
            taken(insert_user(tx, id, name, fields, now), added_meanwhile)?;
            done += 1;
            tell(done)?;
        }
        pen.lock(tx)?;
        for (name, (id, fields)) in known {
            let id = id.unwrap_or_default();
            if tx.row("SELECT 1 FROM account WHERE id = $1 FOR UPDATE", &[&id])?.is_none() {
                let what = format!("user {name} was removed while the import ran; nothing was changed");
                return Err(AdminFault::Invalid(what).into());
            }
            let (before, _) = user_fields(tx, id)?;
            update_user(tx, id, fields)?;
            sessions::end(tx, Some(id), Ends::Change(&before, fields))?;
            done += 1;
            tell(done)?;
        }
        let act = Act::new(Reason::UsersImported).count(made + changed);
        pen.act(tx, act.note(format!("{made} new, {changed} changed")))
    });
    plan.report.abandoned = stopped;
    match written {
        Err(_) if stopped => Ok(plan.report),
        done => done.map(|()| plan.report),
    }
}

fn plan(tx: &Tx<'_>, rows: &[UserRow], update: bool) -> Result<Plan, Trouble> {
    let mut report = ImportReport::default();
    let mut after: HashMap<&UserName, UserFields> = HashMap::new();
    let mut wanted = BTreeMap::new();
    for (step, chunk) in rows.chunks(STEP).enumerate() {
        let known = known(tx, chunk)?;
        for (place, said) in chunk.iter().enumerate() {
            let row = step * STEP + place;
            let there = known.get(said.name.as_str());
            let fields = there.map(|(_, fields)| fields);
            let new = said.over(fields.unwrap_or(&UserFields::default()));
            let conflict = if let Some(earlier) = after.get(&said.name) {
                (*earlier != new).then(|| ImportConflict::user_twice(&said.name))
            } else if fields.is_some_and(|known| *known != new) && !update {
                Some(ImportConflict::user_exists(&said.name))
            } else {
                match fields {
                    None => report.users_made += 1,
                    Some(known) if *known == new => report.unchanged += 1,
                    Some(_) => report.users_changed += 1,
                }
                if fields != Some(&new) {
                    wanted.insert(said.name.clone(), (there.map(|(id, _)| *id), new.clone()));
                }
                after.insert(&said.name, new);
                None
            };
            report.conflicts.extend(conflict.map(|what| ImportConflict { row, what }));
        }
    }
    Ok(Plan { report, wanted })
}

fn known(tx: &Tx<'_>, rows: &[UserRow]) -> Result<HashMap<String, (i64, UserFields)>, Trouble> {
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let sql = format!("SELECT id, name, {FIELDS} FROM account WHERE name = ANY($1)");
    let mut known = HashMap::new();
    for row in tx.rows(&sql, &[&names])? {
        let name: String = row.try_get(1)?;
        if rows::name(&name).is_some() {
            known.insert(name, (row.try_get(0)?, fields_of(&row, 2)?.0));
        }
    }
    Ok(known)
}
