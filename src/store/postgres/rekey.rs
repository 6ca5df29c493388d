//! A new sealing key for a store in a database, while servers run on it.
//!
//! ```text
//! begin ── each key sealed under the other, in `meta` ── servers have looked ── re-seal in chunks ── finish
//! ```
//! From begin on whoever holds either key has both (`keys.rs`), so this may end at any moment: the store stays
//! readable with the key that it wants, and running it again goes on. Invariants: a value is replaced only as it was read;
//! tokens are locked in the order of their numbers, as logins lock them; the store wants the new key once a whole pass has
//! found nothing that is sealed otherwise.

use std::sync::Arc;
use std::time::Duration;

use super::admin::PostgresAdmin;
use super::keys::{EARLIER, HEIR};
use super::session::{Trouble, Tx};
use super::{Address, Settings, open_admin};
use crate::base::system::{Clock, Entropy};
use crate::engine::reason::Reason;
use crate::store::act::Act;
use crate::store::admin::AdminFault;
use crate::store::columns::nat;
use crate::store::keyring::print_fingerprint;
use crate::store::rekey::Report;
use crate::store::seal::{Purpose, SealKey};

/// The most values in a chunk.
const CHUNK: i64 = 250;
/// How often and at most how many times servers' hearts are looked at, which beat once a second.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS: u32 = 40;
/// So many looks without a beat are a server that was killed.
const DEAD: u32 = 14;

/// Gives the store at `address` the key `new`. `progress` hears how many of how many values are done; `false` from it stops,
/// to be gone on with later.
pub fn rekey(
    settings: &Settings,
    address: &Address,
    new: &SealKey,
    clock: Arc<dyn Clock>,
    entropy: Box<dyn Entropy + Send>,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Report, AdminFault> {
    let settings = Settings { create: false, ..settings.clone() };
    let mut admin = open_admin(&settings, address, clock, entropy)?;
    let before = print_fingerprint(&admin.key.fingerprint());
    let resumed = begin(&mut admin, new)?;
    let shared = listened(&mut admin)?;
    let mut report = Report {
        before,
        now: print_fingerprint(&new.fingerprint()),
        resealed: 0,
        resumed,
        damaged: Vec::new(),
        key: None,
        kept: None,
        shared,
    };
    let total = admin.read(|tx| Ok(nat(tx.number("SELECT count(*) FROM token", &[])?)))?;
    let mut after = admin.read(reached)?;
    loop {
        // What an import has brought meanwhile stands anywhere: the last pass is a whole one, and finds nothing.
        let whole = after == 0;
        let (sealed, mut done) = (report.resealed, 0);
        report.damaged.clear();
        while let Some((last, count)) = chunk(&mut admin, new, after, &mut report)? {
            (after, done) = (last, done + count);
            if !progress(done.min(total), total.max(done)) {
                return Err(AdminFault::Invalid("the rekey was stopped".to_owned()));
            }
        }
        if whole && report.resealed == sealed {
            break;
        }
        after = 0;
    }
    finish(&mut admin, new, &report)?;
    Ok(report)
}

/// Seals each key under the other, or finds that begun; whether it was.
fn begin(admin: &mut PostgresAdmin, new: &SealKey) -> Result<bool, AdminFault> {
    let ring = admin.key.clone();
    let address = admin.session.door.address.clone();
    admin.change(|tx, pen| {
        let sql = "SELECT seal_key FROM radmfa WHERE one = 1 FOR UPDATE";
        let wanted: Option<Vec<u8>> = tx.row(sql, &[])?.map(|row| row.try_get(0)).transpose()?;
        if wanted.as_deref() != Some(ring.fingerprint().as_slice()) {
            return Err(
                AdminFault::Store(address.fault("got another key this moment", "run it again")).into()
            );
        }
        let next = tx.row("SELECT value FROM meta WHERE name = 'rekey'", &[])?;
        let next: Option<Vec<u8>> = next.map(|row| row.try_get(0)).transpose()?;
        if let Some(next) = next {
            if next != new.fingerprint() {
                let what = format!(
                    "a rekey to the key with fingerprint {} is under way; finish that first, with that key",
                    print_fingerprint(&next)
                );
                return Err(AdminFault::Invalid(what).into());
            }
            return Ok(true);
        }
        if ring.find(&new.fingerprint()).is_some() {
            let what = "the new key is one that this store had before: take a fresh one".to_owned();
            return Err(AdminFault::Invalid(what).into());
        }
        let earlier = new.wrap(ring.current(), pen.entropy);
        let heir = ring.current().wrap(new, pen.entropy);
        put(tx, &format!("{EARLIER}{}", earlier.fingerprint), &earlier.sealed)?;
        put(tx, &format!("{HEIR}{}", heir.fingerprint), &heir.sealed)?;
        put(tx, "rekey", &new.fingerprint())?;
        Ok(false)
    })
}

fn put(tx: &Tx<'_>, name: &str, value: &[u8]) -> Result<(), Trouble> {
    let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.run(sql, &[&name, &value]).map(drop)
}

/// Waits until every server that runs has looked at the keys since; whether any runs. One that does not get there opens
/// nothing that is sealed anew before it does, and refuses logins.
fn listened(admin: &mut PostgresAdmin) -> Result<bool, AdminFault> {
    let mut first: Option<Vec<(i64, i64)>> = None;
    for look in 0..LOOKS {
        let now = admin.read(hearts)?;
        let first: &Vec<(i64, i64)> = first.get_or_insert(now.clone());
        let beats = |chain: i64, known: i64| {
            now.iter().find(|(other, _)| *other == chain).map_or(i64::MAX, |(_, beat)| beat - known)
        };
        // The second beat comes after the look that followed the first.
        let waits = |(chain, known): &(i64, i64)| match beats(*chain, *known) {
            0 => look < DEAD,
            beats => beats < 2,
        };
        if !first.iter().any(waits) {
            return Ok(first.iter().any(|(chain, known)| beats(*chain, *known) > 0));
        }
        std::thread::sleep(LOOK);
    }
    Ok(true)
}

/// The chains of servers that run, or were killed, and how often each one's heart has beaten.
pub(super) fn hearts(tx: &Tx<'_>) -> Result<Vec<(i64, i64)>, Trouble> {
    let found = tx.rows("SELECT chain, beat FROM chain WHERE incarnation IS NOT NULL", &[])?;
    found.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The number of the last token that a rekey which was ended has done.
fn reached(tx: &Tx<'_>) -> Result<i64, Trouble> {
    let row = tx.row("SELECT value FROM meta WHERE name = 'rekey-at'", &[])?;
    let octets: Option<Vec<u8>> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(octets.and_then(|octets| octets.try_into().ok()).map_or(0, i64::from_be_bytes))
}

/// Re-seals the tokens after number `after`; the last one's number and how many they are, `None` where there are no more.
fn chunk(
    admin: &mut PostgresAdmin,
    new: &SealKey,
    after: i64,
    report: &mut Report,
) -> Result<Option<(i64, u64)>, AdminFault> {
    let ring = admin.key.clone();
    let (found, resealed, damaged) = admin.change_late(|tx, pen| {
        let sql = "SELECT id, serial, seed FROM token WHERE id > $1 ORDER BY id LIMIT $2 FOR UPDATE";
        let rows = tx.rows(sql, &[&after, &CHUNK])?;
        let (mut ids, mut fresh, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
        let mut last = None;
        for row in &rows {
            let (id, serial, sealed): (i64, &str, &[u8]) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            last = Some(id);
            if new.open(Purpose::TokenSeed, serial, sealed).is_ok() {
                continue;
            }
            match ring.open(Purpose::TokenSeed, serial, sealed) {
                Ok(seed) => {
                    ids.push(id);
                    fresh.push(new.seal(Purpose::TokenSeed, serial, &seed, pen.entropy).into_vec());
                }
                Err(_) => damaged.push(serial.to_owned()),
            }
        }
        if !ids.is_empty() {
            let sql =
                "UPDATE token SET seed = new.seed FROM unnest($1::BIGINT[], $2::BYTEA[]) AS new (id, seed)
                WHERE token.id = new.id";
            tx.run(sql, &[&ids, &fresh])?;
        }
        if let Some(last) = last {
            put(tx, "rekey-at", &last.to_be_bytes())?;
        }
        Ok((last.map(|last| (last, rows.len() as u64)), ids.len() as u64, damaged))
    })?;
    report.resealed += resealed;
    report.damaged.extend(damaged);
    Ok(found)
}

/// Makes the store want the new key. Whoever has the one before alone learns no later one from here on.
fn finish(admin: &mut PostgresAdmin, new: &SealKey, report: &Report) -> Result<(), AdminFault> {
    let note = format!("{} after {}", report.now, report.before);
    let fingerprint = new.fingerprint();
    admin.change(|tx, pen| {
        tx.run("UPDATE radmfa SET seal_key = $1 WHERE one = 1", &[&fingerprint.as_slice()])?;
        tx.run("DELETE FROM meta WHERE name IN ('rekey', 'rekey-at') OR name LIKE 'heir/%'", &[])?;
        pen.act(tx, Act::new(Reason::StoreRekeyed).note(note.clone()))
    })
}
