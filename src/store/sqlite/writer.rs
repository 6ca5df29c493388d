//! The one writer of a server: takes records in groups, judges them in order, appends those whose guards hold, and
//! makes the group durable in one transaction before anybody hears of it.
//!
//! Invariants: everything is judged under the database's write lock, after what other processes wrote was folded; what
//! the group's own records did is seen by those behind them; memory follows after the commit, never before. When a
//! transaction fails, all of its records are answered with `Unavailable`, and the next one reads anew what is durable.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection};

use super::Tail;
use super::failures;
use super::hot::{ById, Count, Hot, Spent};
use super::keeper::Keeper;
use super::mailbox::Post;
use super::queue::{Chores, Job, Queue, Turn};
use super::rows::{self, int};
use super::sent;
use super::view::{Seen, View};
use crate::base::system::Clock;
use crate::base::time::Tick;
use crate::engine::record::{CommitAnswer, Conflict, Recorded, Row, Tally};
use crate::factor::oath::Drift;
use crate::store::budget::Leave;
use crate::store::chain::Mac;
use crate::store::fold::{Facts, apply, judge};
use crate::store::packed::{Effects, Packer};

/// State rows written in one transaction of their own (2 ms), and beside a group.
const SNAPSHOT_IDLE: usize = 512;
const SNAPSHOT_BESIDE: usize = 128;
/// Pages written between two checkpoints, about 8 MiB.
const CHECKPOINT_PAGES: usize = 2_000;

pub(super) struct Writer {
    connection: Connection,
    view: Arc<View>,
    queue: Arc<Queue>,
    keeper: Arc<Keeper>,
    clock: Arc<dyn Clock>,
    /// `PRAGMA data_version` when last looked: moves when another connection commits.
    version: i64,
    /// A transaction failed: what the database holds has to be looked at again.
    doubt: bool,
    tail: Tail,
    pass: Option<Pass>,
    /// The transaction under way writes the watermark of this pass.
    finished: Option<u64>,
    pages: usize,
    post: Post,
    packer: Packer,
    /// The last group's room, for the next.
    room: Group,
}

/// A snapshot being written: the state tables will say everything up to row `at`.
struct Pass {
    at: u64,
    users: Vec<i64>,
    tokens: Vec<i64>,
}

/// What a group knows of a user: before its first record, and now.
struct Touched {
    base: Count,
    facts: Facts,
}

/// A group on its way.
#[derive(Default)]
struct Group {
    users: ById<Touched>,
    /// Appended rows, in order.
    rows: Vec<(u64, Arc<Row>)>,
    /// What the last of them links the next one to.
    mac: Mac,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        view: Arc<View>,
        queue: Arc<Queue>,
        keeper: Arc<Keeper>,
        clock: Arc<dyn Clock>,
        tail: Tail,
        packer: Packer,
    ) -> Writer {
        Writer {
            connection,
            view,
            queue,
            keeper,
            clock,
            version: 0,
            doubt: true,
            tail,
            pass: None,
            finished: None,
            pages: 0,
            post: Post::default(),
            packer,
            room: Group::default(),
        }
    }

    /// Works until the queue is closed.
    pub(super) fn run(mut self) {
        let mut jobs = Vec::new();
        let mut before = (Tick::default(), 0);
        loop {
            let turn = self.queue.take(&mut jobs, &*self.clock, before, self.chores());
            before = (self.clock.mono(), jobs.len());
            let result = match turn {
                Turn::Closed => return,
                Turn::Idle => self.snapshot(),
                Turn::Work => {
                    let result = self.group(&mut jobs);
                    self.queue.wrote(result.is_ok());
                    result
                }
            };
            if let Err(error) = result {
                super::file::log_unwritten(&error);
                self.doubt = true;
                self.pass = None;
                if turn == Turn::Idle {
                    // No hurry, and no sense in trying at full speed.
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
            }
            if self.pages >= CHECKPOINT_PAGES {
                self.pages = 0;
                self.keeper.want_checkpoint();
            }
        }
    }

    fn chores(&self) -> Chores {
        if self.pass.is_some() {
            Chores::Now
        } else if self.view.lock().hot.length() >= self.tail.least {
            Chores::Soon
        } else {
            Chores::None
        }
    }

    /// One transaction for all of `jobs`; every one of them is answered.
    fn group(&mut self, jobs: &mut Vec<Job>) -> rusqlite::Result<()> {
        jobs.retain(|job| !job.is_withdrawn());
        if jobs.is_empty() {
            return Ok(());
        }
        let mut group = std::mem::take(&mut self.room);
        let mut verdicts = Vec::with_capacity(jobs.len());
        let result = self.transact(|writer| {
            let first = {
                let hot = &writer.view.lock().hot;
                group.mac = hot.mac;
                hot.head
            };
            let Writer { connection, view, clock, packer, .. } = &mut *writer;
            let mut taking = Taking { connection, view, clock: &**clock, packer, first };
            let mut appender = rows::appender(connection)?;
            for job in jobs.iter() {
                verdicts.push(taking.take_in(job, &mut group, &mut appender)?);
            }
            drop(appender);
            writer.snapshot_beside()
        });
        match &result {
            Ok(()) => self.follow(&group),
            Err(_) => {
                for (_, row) in &group.rows {
                    row.user.iter().for_each(|user| self.view.cache.drop_user(user.as_str()));
                }
            }
        }
        let mut verdicts = verdicts.into_iter();
        for job in jobs.drain(..) {
            let verdict = verdicts.next().filter(|_| result.is_ok());
            match job {
                Job::Commit(_, answer, mailbox) => {
                    self.post.add(mailbox, answer, verdict.unwrap_or(CommitAnswer::Unavailable));
                }
                Job::Raise(_, _, answer) => {
                    let _gone = answer.send(verdict.is_some());
                }
            }
        }
        self.post.send();
        group.users.clear();
        group.rows.clear();
        self.room = group;
        result
    }

    /// Memory follows what is durable now.
    fn follow(&mut self, group: &Group) {
        let (Some((first, _)), Some((last, _))) = (group.rows.first(), group.rows.last()) else { return };
        self.pages += 4 + group.rows.len() / 12;
        let mut shared = self.view.lock();
        // Somebody who looked at the change log has folded these rows already, and perhaps newer ones.
        let ours = shared.hot.head + 1 == *first;
        if shared.hot.head < *last {
            shared.hot.mac = group.mac;
        }
        for (seq, row) in &group.rows {
            let touched = row.user_id.and_then(|user| group.users.get(&user.0));
            shared.hot.fold(*seq, &effect(row), touched.map(|touched| touched.base).unwrap_or_default());
            let Some(name) = &row.user else { continue };
            match touched {
                Some(touched) if ours => self.view.cache.change(name, |seat| {
                    if seat.id == touched.facts.user {
                        seat.follow(&touched.facts);
                    }
                }),
                _ => self.view.cache.drop_user(name.as_str()),
            }
        }
    }

    /// Runs `body` in a transaction under the write lock, with everything folded that others wrote.
    fn transact(&mut self, body: impl FnOnce(&mut Writer) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let result = self.catch_up().and_then(|()| body(self));
        let result = result.and_then(|()| self.connection.prepare_cached("COMMIT")?.execute([]).map(|_| ()));
        let finished = self.finished.take();
        if result.is_err() {
            if !self.connection.is_autocommit() {
                self.connection.execute_batch("ROLLBACK")?;
            }
        } else if let Some(at) = finished {
            self.pass = None;
            self.view.lock().settle(at);
        }
        result
    }

    fn catch_up(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached("PRAGMA data_version")?;
        let version = statement.query_row([], |row| row.get(0))?;
        if version != self.version || self.doubt {
            if self.view.catch_up(&self.connection)? == Seen::Everybody {
                self.keeper.want_warmth();
            }
            self.version = version;
            self.doubt = false;
        }
        Ok(())
    }

    /// Idle time: starts a snapshot or goes on with it.
    fn snapshot(&mut self) -> rusqlite::Result<()> {
        let view = Arc::clone(&self.view);
        self.pass.get_or_insert_with(|| Pass::over(&view.lock().hot));
        self.transact(|writer| writer.snapshot_step(SNAPSHOT_IDLE))
    }

    /// Under load that does not end, snapshots go along with groups.
    fn snapshot_beside(&mut self) -> rusqlite::Result<()> {
        if self.pass.is_none() {
            let shared = self.view.lock();
            if shared.hot.length() < self.tail.most {
                return Ok(());
            }
            self.pass = Some(Pass::over(&shared.hot));
        }
        self.snapshot_step(SNAPSHOT_BESIDE)
    }

    /// Writes up to `count` state rows, or the new watermark when none is left.
    fn snapshot_step(&mut self, count: usize) -> rusqlite::Result<()> {
        let Some(pass) = &mut self.pass else { return Ok(()) };
        if pass.users.is_empty() && pass.tokens.is_empty() {
            let mut statement =
                self.connection.prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'watermark'")?;
            statement.execute([int(pass.at)])?;
            self.finished = Some(pass.at);
            return Ok(());
        }
        let mut users = Vec::new();
        let mut tokens = Vec::new();
        {
            let shared = self.view.lock();
            for _ in 0..count {
                if let Some(user) = pass.users.pop() {
                    users.extend(shared.hot.users.get(&user).map(|count| (user, *count)));
                } else if let Some(token) = pass.tokens.pop() {
                    tokens.extend(shared.hot.tokens.get(&token).map(|spent| (token, *spent)));
                } else {
                    break;
                }
            }
        }
        write_states(&self.connection, &users, &tokens)?;
        self.pages += (users.len() + tokens.len()) / 16;
        Ok(())
    }
}

/// Writes state rows.
pub(super) fn write_states(
    connection: &Connection,
    users: &[(i64, Count)],
    tokens: &[(i64, Spent)],
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("REPLACE INTO user_state VALUES (?1, ?2, ?3, ?4)")?;
    for (user, count) in users {
        statement.execute(rusqlite::params![
            user,
            count.failures,
            int(count.last_failure.0),
            int(count.seq)
        ])?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO token_state (token, last_step, drift) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET last_step = excluded.last_step, drift = coalesce(excluded.drift, drift)",
    )?;
    for (token, spent) in tokens {
        let drift = spent.drift.map(Drift::sixteenths);
        statement.execute(rusqlite::params![token, int(spent.step), drift])?;
    }
    Ok(())
}

/// What taking a group in needs, beside the group.
struct Taking<'a> {
    connection: &'a Connection,
    view: &'a View,
    clock: &'a dyn Clock,
    packer: &'a mut Packer,
    /// The newest row before the group.
    first: u64,
}

impl Taking<'_> {
    fn take_in(
        &mut self,
        job: &Job,
        group: &mut Group,
        appender: &mut CachedStatement<'_>,
    ) -> rusqlite::Result<CommitAnswer> {
        if job.is_withdrawn() {
            // While the lock was waited for.
            return Ok(CommitAnswer::Unavailable);
        }
        let seq = self.first + 1 + u64::try_from(group.rows.len()).unwrap_or(u64::MAX);
        let record = match job {
            Job::Commit(record, ..) => record,
            Job::Raise(client, address, _) => {
                let mut statement = self.connection.prepare_cached(
                    "INSERT INTO posture (client, address, raised) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                )?;
                let now = int(self.clock.unix().0);
                statement.execute(rusqlite::params![client.as_str(), address.to_string(), now])?;
                return Ok(CommitAnswer::Done(Recorded::certify(self.first)));
            }
        };
        let row = &record.row;
        let leave = if row.sends.is_some() { sent::allows(self.connection, record)? } else { Leave::One };
        if leave == Leave::Nothing {
            return Ok(CommitAnswer::Refused(Conflict::SentTooOften));
        }
        let touched = self.touch(row, group)?;
        if let Err(conflict) = judge(record, touched.as_deref().map(|touched| &touched.facts)) {
            return Ok(CommitAnswer::Refused(conflict));
        }
        if let Some(touched) = touched {
            apply(row, &mut touched.facts);
            if row.changes_special() {
                rows::keep_special(self.connection, touched.facts.user, touched.facts.special.as_deref())?;
            }
        }
        if let (Some(kind), Some(user)) = (row.sends, row.user_id) {
            sent::remember(self.connection, user, kind, row.time)?;
        }
        group.mac = rows::append(appender, self.packer, &group.mac, seq, row)?;
        group.rows.push((seq, Arc::clone(row)));
        let counted = row.user_id.filter(|_| row.tally == Tally::Count);
        let failures = counted.map_or(Ok(0), |user| failures::count(self.connection, user, row.time))?;
        Ok(CommitAnswer::Done(Recorded::certify(seq).counted(failures).sent(leave == Leave::OneOfTheLast)))
    }

    /// The row's user as the group has it by now.
    fn touch<'a>(&self, row: &Row, group: &'a mut Group) -> rusqlite::Result<Option<&'a mut Touched>> {
        let (Some(name), Some(id)) = (&row.user, row.user_id) else { return Ok(None) };
        if let Entry::Vacant(place) = group.users.entry(id.0) {
            let facts = match self.view.cache.read(name, super::seat::Seat::facts).here() {
                Some(facts) => Some(facts),
                None => rows::seat(self.connection, name)?.map(|mut seat| {
                    let shared = self.view.lock();
                    shared.hot.overlay(&mut seat);
                    let facts = seat.facts();
                    self.view.take_in(name, seat);
                    facts
                }),
            };
            // A name that somebody else has by now is nobody's.
            let Some(facts) = facts.filter(|facts| facts.user == id) else { return Ok(None) };
            let base = Count { failures: facts.failures, last_failure: facts.last_failure, seq: 0 };
            place.insert(Touched { base, facts });
        }
        Ok(group.users.get_mut(&id.0))
    }
}

impl Pass {
    /// Everybody the fold has, lowest number at the end.
    fn over(hot: &Hot) -> Pass {
        let mut users: Vec<i64> = hot.users.keys().copied().collect();
        let mut tokens: Vec<i64> = hot.tokens.keys().copied().collect();
        users.sort_unstable_by(|left, right| right.cmp(left));
        tokens.sort_unstable_by(|left, right| right.cmp(left));
        Pass { at: hot.head, users, tokens }
    }
}

fn effect(row: &Row) -> Effects {
    Effects {
        time: row.time,
        user: row.user_id.map(|user| user.0),
        tally: row.tally,
        spent: row.spent.map(|(token, step)| (token.0, step)),
        drift: row.drift,
    }
}
