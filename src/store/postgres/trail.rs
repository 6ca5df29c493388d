//! The trail of a store in a database: one chain for each server and one for the commands, read as one, each checked,
//! checkpointed and pruned for itself.

use std::time::Duration;

use tokio_postgres::Row;

use super::admin::PostgresAdmin;
use super::events::{self, Events, audit_row};
use super::link::Remedy;
use super::rollup;
use super::rows::Odd;
use super::schema::{CHAIN_ROWS, COMMANDS};
use super::session::{Trouble, Tx};
use super::tables::{delete_user, serials_of, user_id};
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::engine::account::UserId;
use crate::engine::reason::Reason;
use crate::store::act::Act;
use crate::store::admin::{AdminFault, AuditFilter, AuditRow};
use crate::store::chain::{self, GENESIS, Mac};
use crate::store::columns::{int, nat};
use crate::store::keyring::Keyring;
use crate::store::packed;
use crate::store::trail::{Anchor, Break, Checkpoint, Erased, Trail, Verified};
use crate::store::walk::{Columns, Expected, REPORT, Step, Walk, unsaid};

/// Rows looked at in one transaction.
const STEP: i64 = 1_000;

impl Trail for PostgresAdmin {
    fn page(&mut self, after: u64, limit: usize) -> Result<Vec<AuditRow>, AdminFault> {
        let PostgresAdmin { session, server, .. } = self;
        let page = session.tx().and_then(|tx| match server {
            Some(feed) => feed.page(&tx, after, limit),
            None => Events::default().oldest(&tx, events::place(&tx, after)?, limit),
        });
        self.blame(page)
    }

    fn before(&mut self, time: UnixTime) -> Result<u64, AdminFault> {
        let found = self.session.tx().and_then(|tx| events::newest(&tx, Some(time)));
        self.blame(found)
    }

    fn newest(&mut self) -> Result<u64, AdminFault> {
        let PostgresAdmin { session, server, .. } = self;
        let newest = session.tx().and_then(|tx| match server {
            Some(feed) => feed.skip(&tx),
            None => events::newest(&tx, None),
        });
        self.blame(newest)
    }

    fn verify(
        &mut self,
        others: &[Checkpoint],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verified, AdminFault> {
        if others.iter().any(|other| !other.is_ours(&self.key)) {
            let what = "a checkpoint that was given is forged, or another store's".to_owned();
            return Err(AdminFault::Invalid(what));
        }
        let key = self.key.clone();
        self.read(|tx| verify(tx, &key, others, progress))
    }

    fn made(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.is_ours(&self.key)
    }

    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, AdminFault> {
        let (now, key) = (self.clock.unix(), self.key.clone());
        let own = self.server.as_ref().map(|feed| feed.chain);
        let made = self.session.tx().and_then(|tx| {
            if own.is_some()
                && let Some(commands) = tx.all_or_nothing(|| checkpoint(&tx, &key, Some(COMMANDS), now))?
            {
                // Nobody but servers is there regularly. What peers are told of is one chain alone, which only grows.
                tracing::info!("audit checkpoint of the commands' chain {commands}");
            }
            tx.all_or_nothing(|| checkpoint(&tx, &key, own, now))
        });
        self.blame(made)
    }

    fn prune(&mut self, time: UnixTime, most: usize) -> Result<usize, AdminFault> {
        let (now, key) = (self.clock.unix(), self.key.clone());
        let pruned = self.session.tx().and_then(|tx| {
            let mut pruned = 0;
            for (chain, _) in chains(&tx)? {
                let left = most.saturating_sub(pruned);
                if left > 0 {
                    pruned += tx.all_or_nothing(|| prune(&tx, &key, chain, (time, now), left))?;
                }
            }
            if pruned < most {
                tx.wait(rollup::prune(tx.client, time))?;
            }
            Ok(pruned)
        });
        self.blame(pruned)
    }

    fn erase_user(
        &mut self,
        name: &UserName,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Erased, AdminFault> {
        let (known, tokens) = self.change(|tx, pen| {
            let Some(id) = user_id(tx, name)? else { return Ok((false, Vec::new())) };
            let tokens = serials_of(tx, id)?;
            delete_user(tx, id)?;
            pen.act(tx, Act::new(Reason::UserErased).on_number(UserId(id)))?;
            Ok((true, tokens))
        })?;
        let erased = self.session.tx().and_then(|tx| {
            let erased = erase(&tx, name, progress)?;
            // Servers roll up beside this.
            loop {
                match tx.wait(rollup::forget(tx.client, name.as_str())) {
                    Err(odd) if odd.remedy() == Remedy::Again => {}
                    done => return Ok(done.map(|()| erased)?),
                }
            }
        });
        let rows = self.blame(erased)?;
        if !known && rows == 0 {
            return Err(AdminFault::no_user(name));
        }
        if !known {
            // With the user, the row was written as the user went.
            self.note(&Act::new(Reason::UserErased))?;
        }
        Ok(Erased { rows, tokens })
    }

    fn forwarded(&mut self) -> Result<Option<u64>, AdminFault> {
        let PostgresAdmin { session, server, .. } = self;
        let Some(feed) = server else { return Ok(None) };
        let loaded = session.tx().and_then(|tx| feed.load(&tx));
        self.blame(loaded)
    }

    fn set_forwarded(&mut self, sequence: u64) -> Result<(), AdminFault> {
        let PostgresAdmin { session, server, .. } = self;
        let Some(feed) = server else { return Ok(()) };
        let kept = session.tx().and_then(|tx| feed.keep(&tx, sequence));
        self.blame(kept)
    }
}

/// Reads the trail, newest first.
pub(super) fn audit(tx: &Tx<'_>, filter: &AuditFilter) -> Result<Vec<AuditRow>, Trouble> {
    let events = Events::default()
        .with("name =", filter.user.as_ref().map(|user| user.as_str().to_owned()))
        .with("login =", filter.login.map(|login| int(login.number())))
        .with("time >=", filter.since.map(|since| int(since.0)));
    let mut found = Vec::new();
    if filter.limit > 0 {
        events.each(tx, None, &mut |row| {
            found.push(row);
            found.len() < filter.limit
        })?;
    }
    Ok(found)
}

/// Rows of one chain after `number`, in its order.
pub(super) fn events_of_chain(
    tx: &Tx<'_>,
    chain: i64,
    number: i64,
    limit: usize,
) -> Result<Vec<AuditRow>, Trouble> {
    let sql =
        "SELECT number, body, person FROM event WHERE number > $1 AND number < $2 ORDER BY number LIMIT $3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    tx.rows(sql, &[&number, &((chain + 1) * CHAIN_ROWS), &limit])?.iter().map(audit_row).collect()
}

/// Every chain, with how many rows it ever had.
fn chains(tx: &Tx<'_>) -> Result<Vec<(i64, i64)>, Trouble> {
    let found = tx.rows("SELECT chain, head FROM chain ORDER BY chain", &[])?;
    let chains = found.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    Ok(chains.collect::<Result<_, tokio_postgres::Error>>()?)
}

/// What pruning left of a chain; where there is no anchor, the number before its first row, and what that is linked to.
fn start(tx: &Tx<'_>, chain: i64) -> Result<(Option<Anchor>, u64, Mac), Trouble> {
    let row = tx.row("SELECT number, mac, time, sign FROM anchor WHERE chain = $1", &[&chain])?;
    let Some(row) = row else { return Ok((None, nat(chain * CHAIN_ROWS), GENESIS)) };
    let mac = |column| -> Result<Mac, Trouble> {
        Ok(row.try_get::<_, &[u8]>(column)?.try_into().unwrap_or(GENESIS))
    };
    let anchor = Anchor {
        sequence: nat(row.try_get(0)?),
        mac: mac(1)?,
        time: UnixTime(nat(row.try_get(2)?)),
        sign: mac(3)?,
    };
    Ok((Some(anchor), anchor.sequence, anchor.mac))
}

/// Walks every chain to the first thing that is wrong.
pub(super) fn verify(
    tx: &Tx<'_>,
    key: &Keyring,
    others: &[Checkpoint],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, Trouble> {
    let chains = chains(tx)?;
    let ends = tx.row("SELECT min(number), max(number), count(*) FROM event", &[])?;
    let mut verified = Verified::default();
    if let Some(row) = ends {
        let end =
            |column| -> Result<u64, Trouble> { Ok(row.try_get::<_, Option<i64>>(column)?.map_or(0, nat)) };
        verified.rows = [end(0)?, end(1)?];
        verified.count = end(2)?;
    }
    let total = verified.count;
    let mut done = 0;
    let mut erasures = Erasures::default();
    for (chain, head) in chains {
        let (anchor, from, mac) = start(tx, chain)?;
        if let Some(anchor) = &anchor {
            if !anchor.is_ours(key) {
                let what = "the anchor that pruning left there is forged".to_owned();
                verified.broken = Some(Break { sequence: anchor.sequence, what });
                return Ok(verified);
            }
            verified.pruned = verified.pruned.max(Some(anchor.time));
        }
        verified.chains += u64::from(head > 0);
        let mut expected = kept(tx, key, chain)?;
        let forged = expected.forged.take();
        for other in others.iter().filter(|other| int(other.count) / CHAIN_ROWS == chain) {
            expected.add(other.clone());
        }
        let mut walk = Walk::new(from, mac, expected);
        let mut broken = walk.compare();
        if broken.is_none() {
            broken = walk_rows(tx, &mut walk, chain, &mut |row| {
                erasures.see(row)?;
                done += 1;
                if done % REPORT == 0 {
                    progress(done, total);
                }
                Ok(())
            })?;
        }
        let broken = broken.or_else(|| walk.tail(nat(chain * CHAIN_ROWS + head)).filter(|_| head > 0));
        verified.erased += walk.erased;
        verified.checkpoints += walk.agreed;
        verified.broken = [broken, forged].into_iter().flatten().min_by_key(|broken| broken.sequence);
        if verified.broken.is_some() {
            return Ok(verified);
        }
    }
    verified.broken = erasures.unsaid();
    progress(total, total);
    Ok(verified)
}

/// Rows that name nobody, and rows that say that somebody was erased, which stand in another chain.
#[derive(Default)]
struct Erasures {
    /// The newest row without a name: when, and which.
    nameless: Option<(UnixTime, u64)>,
    /// When somebody was erased last.
    said: Option<UnixTime>,
}

/// So far apart may the clocks be of who let somebody in and of who erased them.
const SKEW: Duration = Duration::from_hours(1);

impl Erasures {
    fn see(&mut self, row: &Row) -> Result<(), Trouble> {
        let (body, person): (&[u8], &[u8]) = (row.try_get(1)?, row.try_get(2)?);
        let erased = packed::is_erased(person);
        if erased || packed::has_reason(body, Reason::UserErased.code()) {
            let time = packed::time(body).map_err(|_| Odd::Damaged("a row of the trail"))?;
            if erased {
                self.nameless = self.nameless.max(Some((time, nat(row.try_get(0)?))));
            } else {
                self.said = self.said.max(Some(time));
            }
        }
        Ok(())
    }

    fn unsaid(&self) -> Option<Break> {
        let (time, number) = self.nameless?;
        let said = self.said.is_some_and(|said| time <= said + SKEW);
        (!said).then(|| unsaid(number))
    }
}

/// The checkpoints that the store keeps of a chain.
fn kept(tx: &Tx<'_>, key: &Keyring, chain: i64) -> Result<Expected, Trouble> {
    let sql =
        "SELECT number, time, head, sign FROM checkpoint WHERE number >= $1 AND number < $2 ORDER BY number";
    let mut expected = Expected::default();
    for row in tx.rows(sql, &[&(chain * CHAIN_ROWS), &((chain + 1) * CHAIN_ROWS)])? {
        let count = nat(row.try_get(0)?);
        let mac = |column| -> Result<Mac, Trouble> {
            Ok(row.try_get::<_, &[u8]>(column)?.try_into().unwrap_or(GENESIS))
        };
        let time = UnixTime(nat(row.try_get(1)?));
        expected.add_kept(Checkpoint::kept(count, time, mac(2)?, mac(3)?), key);
    }
    Ok(expected)
}

fn walk_rows(
    tx: &Tx<'_>,
    walk: &mut Walk,
    chain: i64,
    seen: &mut dyn FnMut(&Row) -> Result<(), Trouble>,
) -> Result<Option<Break>, Trouble> {
    let sql = "SELECT number, body, person, mac FROM event WHERE number > $1 AND number < $2 ORDER BY number LIMIT $3";
    // From the chain's beginning: what stands before the anchor stands where nothing can.
    let mut after = chain * CHAIN_ROWS;
    loop {
        let found = tx.rows(sql, &[&after, &((chain + 1) * CHAIN_ROWS), &STEP])?;
        for row in &found {
            after = row.try_get(0)?;
            let columns = Columns {
                body: Some(row.try_get(1)?),
                person: Some(row.try_get(2)?),
                mac: Some(row.try_get(3)?),
            };
            match walk.step(after, &columns) {
                Step::Good => seen(row)?,
                Step::Broken(broken) => return Ok(Some(broken)),
                Step::Unlinked => {
                    let (here, next) = (octets(tx, after)?, octets(tx, after + 1)?);
                    return Ok(Some(walk.diagnose(here.as_ref(), next.as_ref())));
                }
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
    }
}

/// Body, person and link of a row.
fn octets(tx: &Tx<'_>, number: i64) -> Result<Option<[Vec<u8>; 3]>, Trouble> {
    let row = tx.row("SELECT body, person, mac FROM event WHERE number = $1", &[&number])?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?]))
}

/// Makes a checkpoint of a server's `own` chain, or else of the one that has waited for it the longest.
fn checkpoint(
    tx: &Tx<'_>,
    key: &Keyring,
    own: Option<i64>,
    now: UnixTime,
) -> Result<Option<Checkpoint>, Trouble> {
    let newest =
        "SELECT number, time FROM checkpoint WHERE number >= $1 AND number < $2 ORDER BY number DESC LIMIT 1";
    let mut waits: Option<(i64, i64)> = None;
    for (chain, head) in chains(tx)? {
        if head == 0 || own.is_some_and(|own| chain != own) {
            continue;
        }
        let base = chain * CHAIN_ROWS;
        let (last, time): (i64, i64) = match tx.row(newest, &[&base, &(base + CHAIN_ROWS)])? {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (base, -1),
        };
        if last < base + head && waits.is_none_or(|(_, longest)| time < longest) {
            waits = Some((chain, time));
        }
    }
    let Some((chain, _)) = waits else { return Ok(None) };
    let row = tx.row("SELECT head, mac FROM chain WHERE chain = $1", &[&chain])?;
    let row = row.ok_or(Odd::Damaged("a chain is gone"))?;
    let number = chain * CHAIN_ROWS + row.try_get::<_, i64>(0)?;
    let head: Mac = row.try_get::<_, &[u8]>(1)?.try_into().unwrap_or(GENESIS);
    let made = Checkpoint::new(key, nat(number), now, head);
    let sql =
        "INSERT INTO checkpoint (number, time, head, sign) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    tx.run(sql, &[&number, &int(now.0), &made.head.as_slice(), &made.signature().as_slice()])?;
    Ok(Some(made))
}

/// Removes up to `most` rows of a chain from before a time, but the newest, and leaves an anchor.
fn prune(
    tx: &Tx<'_>,
    key: &Keyring,
    chain: i64,
    (time, now): (UnixTime, UnixTime),
    most: usize,
) -> Result<usize, Trouble> {
    let (base, end) = (chain * CHAIN_ROWS, (chain + 1) * CHAIN_ROWS);
    let newest = tx.number(
        "SELECT coalesce(max(number), 0) FROM event WHERE number > $1 AND number < $2",
        &[&base, &end],
    )?;
    let (anchor, mut sequence, mut mac) = start(tx, chain)?;
    if anchor.is_some_and(|anchor| !anchor.is_ours(key)) {
        let what = "the trail's anchor is forged, so nothing is pruned: see `radmfa audit verify`";
        return Err(AdminFault::Invalid(what.to_owned()).into());
    }
    let sql = "SELECT number, body, person, mac FROM event WHERE number > $1 AND number < $2 ORDER BY number LIMIT $3";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut count = 0_usize;
    for row in tx.rows(sql, &[&base, &newest, &most])? {
        let (number, body, person) = (nat(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?);
        let linked = chain::link(&mac, number, body, &packed::commitment(person));
        if number != sequence + 1 || row.try_get::<_, &[u8]>(3)? != linked {
            let what = format!(
                "the trail is broken at row {number}, so nothing is pruned: see `radmfa audit verify`"
            );
            return Err(AdminFault::Invalid(what).into());
        }
        if packed::time(body).map_err(|_| Odd::Damaged("a row of the trail"))? >= time {
            break;
        }
        (sequence, mac) = (number, linked);
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    let last = int(sequence);
    let gone = tx.run("DELETE FROM event WHERE number > $1 AND number <= $2", &[&base, &last])?;
    if usize::try_from(gone).ok() != Some(count) {
        // Another server removed them meanwhile, and leaves the anchor.
        return Err(Odd::Damaged("rows were pruned by two at once; the next time goes on").into());
    }
    tx.run("DELETE FROM checkpoint WHERE number > $1 AND number < $2", &[&base, &last])?;
    let anchor = Anchor::new(key, sequence, mac, now);
    let sql = "INSERT INTO anchor (chain, number, mac, time, sign) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (chain) DO UPDATE SET number = excluded.number, mac = excluded.mac, time = excluded.time,
            sign = excluded.sign";
    tx.run(sql, &[&chain, &last, &anchor.mac.as_slice(), &int(now.0), &anchor.sign.as_slice()])?;
    Ok(count)
}

/// Turns the personal part of a user's rows into commitments; how many.
fn erase(tx: &Tx<'_>, name: &UserName, progress: &mut dyn FnMut(u64, u64)) -> Result<u64, Trouble> {
    let total = nat(tx.number("SELECT count(*) FROM event WHERE name = $1", &[&name.as_str()])?);
    let mut erased = 0;
    loop {
        let found = tx.rows(
            "SELECT number, person FROM event WHERE name = $1 ORDER BY time, number LIMIT $2",
            &[&name.as_str(), &STEP],
        )?;
        let (mut numbers, mut left) = (Vec::new(), Vec::new());
        for row in &found {
            numbers.push(row.try_get::<_, i64>(0)?);
            left.push(packed::erased(row.try_get(1)?));
        }
        if numbers.is_empty() {
            break;
        }
        let sql = "UPDATE event SET person = new.person, name = NULL
            FROM unnest($1::BIGINT[], $2::BYTEA[]) AS new (number, person) WHERE event.number = new.number";
        tx.run(sql, &[&numbers, &left])?;
        erased += numbers.len() as u64;
        progress(erased.min(total), total.max(erased));
    }
    if erased > 0 {
        // What the rows said before goes from the disk too; a database that does so by itself knows no such statement.
        drop(tx.batch("VACUUM event"));
    }
    Ok(erased)
}
