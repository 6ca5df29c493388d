//! Imports of tokens: any number of them in one transaction, so all or none, while logins go on: nobody sees or waits for
//! rows that are not committed. Other commands are held up only by its last step.

use std::collections::HashMap;

use super::admin::PostgresAdmin;
use super::rows;
use super::session::{Trouble, Tx};
use super::tables::{restore_steps, take_ids, taken};
use crate::base::name::UserName;
use crate::engine::reason::Reason;
use crate::store::act::Act;
use crate::store::admin::{AdminFault, ImportConflict, ImportReport, NewToken};
use crate::store::columns::{self, int};
use crate::store::keyring::Keyring;
use crate::store::seal::Purpose;

/// Rows read or written in one statement.
pub(super) const STEP: usize = 1_000;

/// What is to be written: rows by number, in the order of their users' names.
struct Plan {
    report: ImportReport,
    fresh: Vec<usize>,
    /// Users that are there already.
    known: HashMap<UserName, i64>,
}

pub(super) fn run(
    admin: &mut PostgresAdmin,
    rows: &[NewToken],
    dry_run: bool,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<ImportReport, AdminFault> {
    let key = admin.key.clone();
    let mut plan = admin.read(|tx| plan(tx, &key, rows))?;
    if dry_run || !plan.report.conflicts.is_empty() {
        return Ok(plan.report);
    }
    if plan.fresh.is_empty() {
        plan.report.abandoned = !progress(rows.len());
        return Ok(plan.report);
    }
    // Numbers are taken before, each block at once: who else adds something does not wait for them.
    let ids = admin.change_late(|tx, _| {
        Ok((take_ids(tx, "account", plan.report.users_made)?, take_ids(tx, "token", plan.fresh.len())?))
    })?;
    let now = int(admin.clock.unix().0);
    let mut stopped = false;
    let written = admin.change_late(|tx, pen| {
        let mut known = plan.known.clone();
        insert_users(tx, rows, &plan.fresh, &mut known, ids.0, now)?;
        let settled = rows.len() - plan.fresh.len();
        for (step, chunk) in plan.fresh.chunks(STEP).enumerate() {
            let first = ids.1 + int((step * STEP) as u64);
            let mut new = Columns::default();
            for (id, token) in (first..).zip(chunk.iter().filter_map(|row| rows.get(*row))) {
                let owner = token.user.as_ref().and_then(|name| known.get(name)).copied();
                let sealed = key.seal(Purpose::TokenSeed, &token.serial, &token.seed, pen.entropy);
                new.push(id, token, owner, &sealed);
            }
            new.insert(tx, now)?;
            if !progress((settled + (step + 1) * STEP).min(rows.len())) {
                stopped = true;
                return Err(AdminFault::Invalid("abandoned".to_owned()).into());
            }
        }
        restore_steps(tx, ids.1, ids.1 + int(plan.fresh.len() as u64))?;
        // From here on nobody removes a user.
        pen.lock(tx)?;
        still_there(tx, &plan.known)?;
        pen.act(tx, Act::new(Reason::TokensImported).count(plan.fresh.len()))
    });
    plan.report.abandoned = stopped;
    match written {
        Err(_) if stopped => Ok(plan.report),
        done => done.map(|()| plan.report),
    }
}

fn insert_users(
    tx: &Tx<'_>,
    rows: &[NewToken],
    fresh: &[usize],
    known: &mut HashMap<UserName, i64>,
    first: i64,
    now: i64,
) -> Result<(), Trouble> {
    let (mut ids, mut names, mut skeletons) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = first;
    for name in fresh.iter().filter_map(|row| rows.get(*row)?.user.as_ref()) {
        if !known.contains_key(name) {
            known.insert(name.clone(), next);
            ids.push(next);
            names.push(name.as_str());
            skeletons.push(name.skeleton());
            next += 1;
        }
    }
    let sql = "INSERT INTO account (id, name, skeleton, created)
        SELECT new.id, new.name, new.skeleton, $4
        FROM unnest($1::BIGINT[], $2::TEXT[], $3::TEXT[]) AS new (id, name, skeleton)";
    let steps = ids.chunks(STEP).zip(names.chunks(STEP)).zip(skeletons.chunks(STEP));
    for ((ids, names), skeletons) in steps {
        taken(tx.run(sql, &[&ids, &names, &skeletons, &now]), added_meanwhile)?;
    }
    Ok(())
}

/// A user that the plan saw may have been removed since.
fn still_there(tx: &Tx<'_>, known: &HashMap<UserName, i64>) -> Result<(), Trouble> {
    let ids: Vec<i64> = known.values().copied().collect();
    let there = tx.number("SELECT count(*) FROM account WHERE id = ANY($1)", &[&ids])?;
    if usize::try_from(there).ok() == Some(ids.len()) {
        return Ok(());
    }
    let what = "a user was removed while the import ran; nothing was changed";
    Err(AdminFault::Invalid(what.to_owned()).into())
}

/// A name or serial that the plan found free was taken since.
pub(super) fn added_meanwhile() -> AdminFault {
    let what = "a user or token of it was added by somebody else while the import ran; nothing was changed";
    AdminFault::Invalid(what.to_owned())
}

/// Tokens, column by column.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<i64>,
    serials: Vec<&'a str>,
    owners: Vec<Option<i64>>,
    algorithms: Vec<&'a str>,
    digits: Vec<i32>,
    periods: Vec<i32>,
    seeds: Vec<Vec<u8>>,
    labels: Vec<Option<&'a str>>,
    manufacturers: Vec<Option<&'a str>>,
    models: Vec<Option<&'a str>>,
    expires: Vec<Option<i64>>,
    steps: Vec<Option<i64>>,
    starts: Vec<Option<i64>>,
    drifts: Vec<Option<i32>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, id: i64, token: &'a NewToken, owner: Option<i64>, sealed: &[u8]) {
        self.ids.push(id);
        self.serials.push(&token.serial);
        self.owners.push(owner);
        self.algorithms.push(token.parameters.algorithm.name());
        self.digits.push(token.parameters.digits.count().into());
        self.periods.push(columns::interval(token.parameters).into());
        self.seeds.push(sealed.to_vec());
        self.labels.push(token.fields.label.as_deref());
        self.manufacturers.push(token.fields.manufacturer.as_deref());
        self.models.push(token.fields.model.as_deref());
        self.expires.push(token.fields.expires.map(|expires| int(expires.0)));
        self.steps.push(token.last_counter().map(int));
        self.starts.push(token.fields.starts.map(|starts| int(starts.0)));
        self.drifts.push(token.fields.drift.map(|drift| drift.sixteenths().into()));
    }

    fn insert(&self, tx: &Tx<'_>, now: i64) -> Result<(), Trouble> {
        let sql = "INSERT INTO token (id, serial, account, algorithm, digits, period, seed, label, manufacturer, model,
                 expires, last_step, created, starts, drift_said)
             SELECT new.id, new.serial, new.account, new.algorithm, new.digits, new.period, new.seed, new.label,
                 new.manufacturer, new.model, new.expires, new.last_step, $13, new.starts, new.drift_said
             FROM unnest($1::BIGINT[], $2::TEXT[], $3::BIGINT[], $4::TEXT[], $5::INTEGER[], $6::INTEGER[],
                 $7::BYTEA[], $8::TEXT[], $9::TEXT[], $10::TEXT[], $11::BIGINT[], $12::BIGINT[],
                 $14::BIGINT[], $15::INTEGER[])
                 AS new (id, serial, account, algorithm, digits, period, seed, label, manufacturer, model, expires,
                     last_step, starts, drift_said)";
        let done = tx.run(
            sql,
            &[
                &self.ids,
                &self.serials,
                &self.owners,
                &self.algorithms,
                &self.digits,
                &self.periods,
                &self.seeds,
                &self.labels,
                &self.manufacturers,
                &self.models,
                &self.expires,
                &self.steps,
                &now,
                &self.starts,
                &self.drifts,
            ],
        );
        taken(done, added_meanwhile).map(drop)
    }
}

/// Reads what is there and decides what each row means.
fn plan(tx: &Tx<'_>, key: &Keyring, rows: &[NewToken]) -> Result<Plan, Trouble> {
    let mut report = ImportReport::default();
    let mut fresh: Vec<usize> = Vec::with_capacity(rows.len());
    let mut first: HashMap<&str, &NewToken> = HashMap::with_capacity(rows.len());
    for (step, chunk) in rows.chunks(STEP).enumerate() {
        let there = equal(tx, key, chunk)?;
        for (place, token) in chunk.iter().enumerate() {
            let row = step * STEP + place;
            let conflict = if let Err(fault) = token.check() {
                Some(fault.to_string())
            } else if let Some(first) = first.get(&*token.serial) {
                report.unchanged += usize::from(first.same_as(token));
                (!first.same_as(token)).then(|| ImportConflict::twice(&token.serial))
            } else {
                first.insert(&token.serial, token);
                match there.get(&*token.serial) {
                    None => {
                        fresh.push(row);
                        None
                    }
                    Some(Some(place_of)) if *place_of == place => {
                        report.unchanged += 1;
                        None
                    }
                    Some(_) => Some(ImportConflict::differs(&token.serial)),
                }
            };
            report.conflicts.extend(conflict.map(|what| ImportConflict { row, what }));
        }
    }
    report.added = fresh.len();
    let user = |row: &usize| rows.get(*row).and_then(|token| token.user.as_ref());
    let mut names: Vec<&UserName> = fresh.iter().filter_map(user).collect();
    names.sort_unstable();
    names.dedup();
    let mut known = HashMap::new();
    for step in names.chunks(STEP) {
        let wanted: Vec<&str> = step.iter().map(|name| name.as_str()).collect();
        for row in tx.rows("SELECT id, name FROM account WHERE name = ANY($1)", &[&wanted])? {
            if let Some(name) = rows::name(row.try_get(1)?) {
                known.insert(name, row.try_get(0)?);
            }
        }
    }
    report.users_made = names.iter().filter(|name| !known.contains_key(**name)).count();
    Ok(Plan { report, fresh, known })
}

/// The serials among `tokens` that are in the store: with the place of the first row that stands there exactly so.
fn equal(tx: &Tx<'_>, key: &Keyring, tokens: &[NewToken]) -> Result<HashMap<String, Option<usize>>, Trouble> {
    let serials: Vec<&str> = tokens.iter().map(|token| &*token.serial).collect();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (place, serial) in serials.iter().enumerate() {
        places.entry(serial).or_insert(place);
    }
    let sql = "SELECT serial, algorithm, digits, period, seed, account.name FROM token
        LEFT JOIN account ON account.id = token.account WHERE serial = ANY($1)";
    let mut found = HashMap::new();
    for row in tx.rows(sql, &[&serials])? {
        let serial: String = row.try_get(0)?;
        let Some((place, token)) = places.get(&*serial).and_then(|place| Some((*place, tokens.get(*place)?)))
        else {
            continue;
        };
        let owner: Option<&str> = row.try_get(5)?;
        let seed = key.open(Purpose::TokenSeed, &serial, row.try_get(4)?);
        let same = owner == token.user.as_ref().map(UserName::as_str)
            && rows::parameters(&row, 1)? == token.parameters
            && seed.is_ok_and(|seed| seed == token.seed);
        found.insert(serial, same.then_some(place));
    }
    Ok(found)
}
