//! One transaction for a group of records, in two round trips: what the guards name is locked and read in the order of its
//! numbers, judged as every store judges, and all that follows from it is written with the rows.
//!
//! Invariants: everything is judged under locks; what the group's own records did is seen by those behind them; a guard
//! refuses its own record alone. Where nobody can say whether a transaction went through, [`Unsure`] finds out by the link
//! that its chain has afterwards, so that no record is appended twice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row as Found};

use super::link::{ATTEMPT, Link};
use super::rows::{self, Odd};
use super::schema::COMMANDS;
use crate::base::name::Label;
use crate::base::time::UnixTime;
use crate::engine::account::{TokenId, UserId};
use crate::engine::record::{CommitAnswer, Conflict, Guard, Record, Recorded, Row, Tally};
use crate::engine::special::Special;
use crate::factor::oath::Drift;
use crate::store::budget::{DAY, Leave, Sends, class};
use crate::store::chain::{GENESIS, Mac};
use crate::store::columns::{int, nat};
use crate::store::fold::{COUNTED_DAYS, Facts, TokenFacts, apply, day_of, judge};
use crate::store::packed::Packer;
use crate::store::special;

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Author {
    pub(super) chain: i64,
    /// The run of the server; `None` for a command.
    pub(super) incarnation: Option<[u8; 16]>,
}

impl Author {
    /// A command.
    pub(super) const COMMAND: Author = Author { chain: COMMANDS, incarnation: None };
}

/// What a group does.
pub(super) enum Task<'a> {
    /// Appends a record.
    Commit(&'a Record),
    /// Raises an address of a client.
    Raise(&'a Label, IpAddr, UnixTime),
}

/// What became of a group.
pub(super) enum Outcome {
    /// It is durable.
    Done(Vec<CommitAnswer>),
    /// It is durable or it never was.
    Unsure(Unsure),
    /// Another server runs under the same name: nothing was done.
    Usurped,
}

/// A group that may have gone through.
pub(super) struct Unsure {
    head: i64,
    mac: Mac,
    answers: Vec<CommitAnswer>,
}

impl Unsure {
    /// Finds out: the answers where it went through.
    pub(super) async fn resolve(&self, link: &Link, author: Author) -> Result<bool, Odd> {
        // Behind the lock that the transaction holds for as long as its COMMIT may still arrive.
        let sql = "SELECT head, mac FROM chain WHERE chain = $1 FOR UPDATE";
        let row = link.client.query_one(sql, &[&author.chain]).await?;
        let (head, mac): (i64, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
        Ok(head == self.head && mac == self.mac)
    }

    /// What they were to be told.
    pub(super) fn answers(self) -> Vec<CommitAnswer> {
        self.answers
    }
}

/// Runs `tasks`; an answer for each.
pub(super) async fn run(
    link: &Link,
    author: Author,
    packer: &mut Packer,
    tasks: &[Task<'_>],
) -> Result<Outcome, Odd> {
    let done = transact(link, author, packer, tasks).await;
    if done.is_err() {
        // Its locks go at once; where the connection is gone, they went with it.
        let _gone = link.client.batch_execute("ROLLBACK").await;
    }
    done
}

async fn transact(
    link: &Link,
    author: Author,
    packer: &mut Packer,
    tasks: &[Task<'_>],
) -> Result<Outcome, Odd> {
    let wanted = Wanted::of(tasks);
    let client = &link.client;
    let accounts: Vec<i64> = wanted.accounts.iter().copied().collect();
    let tokens: Vec<i64> = wanted.tokens.iter().copied().collect();
    // One round trip: they leave in this order, and are answered in it.
    let chain: [&(dyn ToSql + Sync); 1] = [&author.chain];
    let asked = async {
        tokio::join!(
            client.batch_execute("BEGIN"),
            client.query_one(&link.chain, &chain),
            ask(!accounts.is_empty(), async { client.query(&link.accounts, &[&accounts]).await }),
            ask(!tokens.is_empty(), async { client.query(&link.tokens, &[&tokens]).await }),
            failures(client, &wanted),
            sent(client, &wanted),
        )
    };
    let answered = tokio::time::timeout(ATTEMPT, asked).await.map_err(|_| Odd::Late)?;
    let (begun, chain, accounts, tokens, failures, sent) = answered;
    begun?;
    let chain = chain?;
    let running: Option<&[u8]> = chain.try_get(2)?;
    if author.incarnation.is_some() && running != author.incarnation.as_ref().map(<[u8; 16]>::as_slice) {
        client.batch_execute("ROLLBACK").await?;
        return Ok(Outcome::Usurped);
    }
    let mut group = Group {
        head: chain.try_get(0)?,
        mac: chain.try_get::<_, &[u8]>(1)?.try_into().unwrap_or(GENESIS),
        users: users(&accounts?, &tokens?)?,
        days: failures?,
        sent: sent?,
        ..Group::default()
    };
    let base = author.chain.saturating_mul(super::schema::CHAIN_ROWS);
    let mut answers = Vec::with_capacity(tasks.len());
    for task in tasks {
        answers.push(match task {
            Task::Commit(record) => group.take_in(record, base, packer),
            Task::Raise(client, address, now) => {
                group.raised.push((client.as_str().to_owned(), address.to_string(), int(now.0)));
                CommitAnswer::Done(Recorded::certify(0))
            }
        });
    }
    group.write(link, author, answers).await
}

/// `question` where it is needed.
async fn ask(
    needed: bool,
    question: impl Future<Output = Result<Vec<Found>, Error>>,
) -> Result<Vec<Found>, Error> {
    if needed { question.await } else { Ok(Vec::new()) }
}

/// What is to be locked and read.
#[derive(Default)]
struct Wanted {
    accounts: BTreeSet<i64>,
    tokens: BTreeSet<i64>,
    /// Users against whom a failure is counted, and the newest of them.
    counted: Vec<i64>,
    newest: UnixTime,
    /// Users who are sent something.
    sent: Vec<i64>,
    /// Something is sent that counts against a budget of all.
    budget: bool,
}

impl Wanted {
    fn of(tasks: &[Task<'_>]) -> Wanted {
        let mut wanted = Wanted::default();
        for task in tasks {
            let Task::Commit(record) = task else { continue };
            let row = &record.row;
            wanted.newest = wanted.newest.max(row.time);
            let touches = row.tally != Tally::Keep || row.changes_special() || row.spent.is_some();
            if let Some(user) = row.user_id.filter(|_| touches || !record.guards.is_empty()) {
                wanted.accounts.insert(user.0);
                if row.tally == Tally::Count {
                    wanted.counted.push(user.0);
                }
            }
            wanted.tokens.extend(row.spent.map(|(token, _)| token.0));
            for guard in &record.guards {
                match guard {
                    Guard::StepUnspent { token, .. } => {
                        wanted.tokens.insert(token.0);
                    }
                    Guard::MaySend { user, limits, .. } => {
                        wanted.sent.push(user.0);
                        wanted.budget |= limits.budget.is_some();
                    }
                    Guard::FailuresBelow { .. }
                    | Guard::UserActive { .. }
                    | Guard::Unconsumed(_)
                    | Guard::Remembered(_) => {}
                }
            }
        }
        wanted
    }
}

/// Failures of users within the days that count, for those against whom one more is counted.
async fn failures(client: &Client, wanted: &Wanted) -> Result<BTreeMap<i64, u32>, Odd> {
    if wanted.counted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let from = int(day_of(wanted.newest)) - int(COUNTED_DAYS);
    let sql = "SELECT account, CAST(sum(count) AS BIGINT) FROM failure_day
        WHERE account = ANY($1) AND day > $2 GROUP BY account";
    let found = client.query(sql, &[&wanted.counted, &from]).await?;
    let pair = |row: &Found| -> Result<(i64, u32), Odd> {
        Ok((row.try_get(0)?, u32::try_from(row.try_get::<_, i64>(1)?).unwrap_or(u32::MAX)))
    };
    found.iter().map(pair).collect()
}

/// Messages of the last day.
#[derive(Default)]
struct Sent {
    /// To whom, of which class, when.
    users: Vec<(i64, i64, UnixTime)>,
    /// To everybody, by class.
    all: BTreeMap<i64, u32>,
}

async fn sent(client: &Client, wanted: &Wanted) -> Result<Sent, Odd> {
    let mut sent = Sent::default();
    if wanted.sent.is_empty() {
        return Ok(sent);
    }
    let from = int((wanted.newest - DAY).0);
    if wanted.budget {
        // Servers that send at once are to count each other's.
        client.query("SELECT value FROM counter WHERE name = 'sent' FOR UPDATE", &[]).await?;
        let sql = "SELECT class, count(*) FROM sent WHERE time > $1 GROUP BY class";
        for row in client.query(sql, &[&from]).await? {
            sent.all.insert(row.try_get(0)?, u32::try_from(row.try_get::<_, i64>(1)?).unwrap_or(u32::MAX));
        }
    }
    let sql = "SELECT account, class, time FROM sent WHERE account = ANY($1) AND time > $2";
    for row in client.query(sql, &[&wanted.sent, &from]).await? {
        sent.users.push((row.try_get(0)?, row.try_get(1)?, UnixTime(nat(row.try_get(2)?))));
    }
    Ok(sent)
}

/// Users as they are before the group, with those of their tokens that it is about.
fn users(accounts: &[Found], tokens: &[Found]) -> Result<BTreeMap<i64, User>, Odd> {
    let mut users = BTreeMap::new();
    for row in accounts {
        let id: i64 = row.try_get(0)?;
        let facts = Facts {
            user: UserId(id),
            disabled: row.try_get(1)?,
            failures: rows::count(row.try_get(2)?),
            last_failure: UnixTime(nat(row.try_get(3)?)),
            tokens: Vec::new(),
            special: rows::special_of(row.try_get(4)?)?,
        };
        users.insert(id, User { name: row.try_get(5)?, before: facts.clone(), facts });
    }
    for row in tokens {
        let Some(user) = row.try_get::<_, Option<i64>>(1)?.and_then(|owner| users.get_mut(&owner)) else {
            continue;
        };
        let token = TokenFacts {
            id: TokenId(row.try_get(0)?),
            enabled: row.try_get(2)?,
            last_step: row.try_get::<_, Option<i64>>(3)?.map(nat),
            drift: row.try_get::<_, Option<i32>>(4)?.map(rows::drift),
        };
        user.before.tokens.push(token);
        user.facts.tokens.push(token);
    }
    Ok(users)
}

struct User {
    name: String,
    before: Facts,
    facts: Facts,
}

/// A group on its way.
#[derive(Default)]
struct Group {
    head: i64,
    mac: Mac,
    users: BTreeMap<i64, User>,
    days: BTreeMap<i64, u32>,
    /// One more each, by user and day.
    failed: BTreeMap<(i64, i64), i64>,
    sent: Sent,
    /// To whom, of which class, when: of this group.
    sending: Vec<(i64, i64, i64)>,
    raised: Vec<(String, String, i64)>,
    appended: Appended,
}

/// Appended rows, column by column.
#[derive(Default)]
struct Appended {
    numbers: Vec<i64>,
    times: Vec<i64>,
    logins: Vec<i64>,
    names: Vec<Option<String>>,
    bodies: Vec<Vec<u8>>,
    persons: Vec<Vec<u8>>,
    macs: Vec<Vec<u8>>,
}

impl Group {
    fn take_in(&mut self, record: &Record, base: i64, packer: &mut Packer) -> CommitAnswer {
        let row = &record.row;
        let user = row.user_id.and_then(|user| self.users.get(&user.0));
        let user = user.filter(|user| row.user.as_ref().is_some_and(|name| name.as_str() == user.name));
        let mut low = false;
        for guard in &record.guards {
            match self.sent.allows(guard, row.time) {
                Leave::Nothing => return CommitAnswer::Refused(Conflict::SentTooOften),
                Leave::One => {}
                Leave::OneOfTheLast => low = true,
            }
        }
        if let Err(conflict) = judge(record, user.map(|user| &user.facts)) {
            return CommitAnswer::Refused(conflict);
        }
        let known = user.is_some();
        let mut failures = 0;
        if let Some(user) = row.user_id.filter(|_| known).and_then(|user| self.users.get_mut(&user.0)) {
            apply(row, &mut user.facts);
            let id = user.facts.user.0;
            if row.tally == Tally::Count {
                let count = self.days.entry(id).or_default();
                *count = count.saturating_add(1);
                failures = *count;
                *self.failed.entry((id, int(day_of(row.time)))).or_default() += 1;
            }
        }
        if let (Some(kind), Some(user)) = (row.sends, row.user_id) {
            self.sent.users.push((user.0, class(kind), row.time));
            *self.sent.all.entry(class(kind)).or_default() += 1;
            self.sending.push((user.0, class(kind), int(row.time.0)));
        }
        self.head += 1;
        let number = base + self.head;
        self.mac = packer.pack(&self.mac, nat(number), row);
        self.appended.push(number, row, packer, &self.mac);
        CommitAnswer::Done(Recorded::certify(nat(number)).counted(failures).sent(low))
    }

    /// Writes it all with the COMMIT, in one round trip.
    async fn write(self, link: &Link, author: Author, answers: Vec<CommitAnswer>) -> Result<Outcome, Odd> {
        let client = &link.client;
        let (mut steps, mut drifts, mut spent) = (Vec::new(), Vec::new(), Vec::new());
        let (mut counted, mut counts, mut moments) = (Vec::new(), Vec::new(), Vec::new());
        let mut specials = Vec::new();
        for (id, User { before, facts, .. }) in &self.users {
            for (was, is) in before.tokens.iter().zip(&facts.tokens) {
                if let Some(step) = is.last_step.filter(|_| was.last_step != is.last_step) {
                    spent.push(is.id.0);
                    steps.push(int(step));
                    drifts.push(is.drift.map(|drift| i32::from(Drift::sixteenths(drift))));
                }
            }
            if (before.failures, before.last_failure) != (facts.failures, facts.last_failure) {
                counted.push(*id);
                counts.push(i32::try_from(facts.failures).unwrap_or(i32::MAX));
                moments.push(int(facts.last_failure.0));
            }
            if before.special != facts.special {
                specials.push((*id, facts.special.clone()));
            }
        }
        let Appended { numbers, times, logins, names, bodies, persons, macs } = &self.appended;
        if numbers.is_empty() && self.raised.is_empty() {
            client.batch_execute("ROLLBACK").await?;
            return Ok(Outcome::Done(answers));
        }
        let mac = self.mac.as_slice();
        let parameters: [&(dyn ToSql + Sync); 16] = [
            &spent,
            &steps,
            &drifts,
            &counted,
            &counts,
            &moments,
            &self.head,
            &mac,
            &author.chain,
            numbers,
            times,
            logins,
            names,
            bodies,
            persons,
            macs,
        ];
        self.write_beside(client, &specials).await?;
        let written =
            async { tokio::join!(client.execute(&link.append, &parameters), client.batch_execute("COMMIT")) };
        let Ok((appended, committed)) = tokio::time::timeout(ATTEMPT, written).await else {
            return Ok(Outcome::Unsure(Unsure { head: self.head, mac: self.mac, answers }));
        };
        // A COMMIT after a statement that failed undoes everything.
        match appended.and(committed) {
            Ok(()) => Ok(Outcome::Done(answers)),
            // The database said so itself, or else nobody knows.
            Err(error) if error.code().is_some() => Err(error.into()),
            Err(_) => Ok(Outcome::Unsure(Unsure { head: self.head, mac: self.mac, answers })),
        }
    }

    /// What few groups do.
    async fn write_beside(
        &self,
        client: &Client,
        specials: &[(i64, Option<Arc<Special>>)],
    ) -> Result<(), Odd> {
        for (account, special) in specials {
            keep_special(client, *account, special.as_deref()).await?;
        }
        for ((account, day), count) in &self.failed {
            let sql = "INSERT INTO failure_day VALUES ($1, $2, $3)
                ON CONFLICT (account, day) DO UPDATE SET count = failure_day.count + excluded.count";
            client.execute(sql, &[account, day, count]).await?;
        }
        for (account, class, time) in &self.sending {
            client.execute("INSERT INTO sent VALUES ($1, $2, $3)", &[account, class, time]).await?;
        }
        for (name, address, since) in &self.raised {
            let sql = "INSERT INTO posture VALUES ($1, $2, $3) ON CONFLICT (client, address) DO NOTHING";
            client.execute(sql, &[name, address, since]).await?;
        }
        Ok(())
    }
}

/// Writes what is special about a user.
pub(super) async fn keep_special(
    client: &Client,
    account: i64,
    special: Option<&Special>,
) -> Result<(), Error> {
    let text = special.and_then(special::write);
    let recoverable = special.is_some_and(Special::was_given_any);
    let sql = "UPDATE account SET special = $2, recoverable = $3 WHERE id = $1";
    client.execute(sql, &[&account, &text, &recoverable]).await.map(drop)
}

impl Sent {
    fn allows(&self, guard: &Guard, now: UnixTime) -> Leave {
        let Guard::MaySend { user, kind, limits } = guard else { return Leave::One };
        let mut sends = Sends { all: self.all.get(&class(*kind)).copied().unwrap_or(0), ..Sends::default() };
        let of_class = |(_, of, when): &&(i64, i64, UnixTime)| *of == class(*kind) && *when > now - DAY;
        for (whose, _, when) in self.users.iter().filter(of_class) {
            if *whose == user.0 {
                sends.today += 1;
                sends.lately += u32::from(*when > now - limits.within);
                sends.newest = sends.newest.max(Some(*when));
            }
        }
        sends.leave_one(*kind, limits, now)
    }
}

impl Appended {
    fn push(&mut self, number: i64, row: &Row, packer: &Packer, mac: &Mac) {
        self.numbers.push(number);
        self.times.push(int(row.time.0));
        self.logins.push(int(row.login.number()));
        self.names.push(row.user.as_ref().map(|name| name.as_str().to_owned()));
        self.bodies.push(packer.body.clone());
        self.persons.push(packer.person.clone());
        self.macs.push(mac.to_vec());
    }
}
