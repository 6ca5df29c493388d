//! A store file becomes a store in a database.
//!
//! The trail goes over row by row, and becomes the chain of the commands: under the same numbers, with the same links, so that
//! what was signed of it stays good. It can go over while a server still runs on the file, and go on where it was
//! interrupted. Everything else follows in one transaction, with nobody else at the file: users and tokens under their
//! numbers, seeds sealed anew under the database's key, spent steps, failures, what is special about users, messages sent, what
//! clients have shown. The file's own key is kept in the database, sealed under the database's: recovery codes and PINs were
//! hashed, and checkpoints signed, under it. Invariant: until that transaction is through, nobody else can open the database.

use std::sync::Arc;

use futures_util::future::try_join_all;
use rusqlite::types::Value;
use tokio_postgres::Statement;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::keys::EARLIER;
use super::rows::Odd;
use super::schema::{self, COMMANDS, Found};
use super::session::{Session, Trouble, Tx};
use super::{Address, Door, trail};
use crate::base::system::{Clock, Entropy};
use crate::engine::reason::Reason;
use crate::store::act::Act;
use crate::store::admin::AdminFault;
use crate::store::columns::{int, nat};
use crate::store::keyring::{Keyring, print_fingerprint};
use crate::store::packed;
use crate::store::seal::{Purpose, SealKey};
use crate::store::sqlite::SqliteAdmin;
use crate::store::sqlite::drain::{Drain, Event};
use crate::store::{StoreFault, sqlite};

/// Rows that go over in one transaction.
const STEP: usize = 2_000;
/// Statements on their way at once.
const PIPELINE: usize = 250;

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Users.
    pub users: u64,
    /// Tokens, each of whose seeds was opened again with the database's key.
    pub tokens: u64,
    /// Rows of the trail.
    pub rows: u64,
    /// How many of them were there from a copy that was interrupted.
    pub resumed: u64,
    /// Where the trail is broken, as it was in the file.
    pub broken: Option<(u64, String)>,
}

/// A table of the file and where its rows go.
struct Table {
    /// Which of the counts of [`Copied`] it is.
    name: &'static str,
    read: &'static str,
    write: &'static str,
}

const TABLES: &[Table] = &[
    Table {
        name: "account",
        read: "SELECT id, name, skeleton, display_name, first_name, last_name, mail, phone, extension, language, method,
                 member_of, password_hash, special, coalesce(json_array_length(special, '$.recovery') > 0, 0) OR
                     coalesce(json_array_length(special, '$.devices') > 0, 0) OR
                     coalesce(json_array_length(special, '$.passkeys') > 0, 0) OR
                     coalesce(json_extract(special, '$.withdrawn'), 0), disabled,
                 coalesce(failures, 0), coalesce(last_failure, 0), created
             FROM user LEFT JOIN user_state ON user_state.user = user.id ORDER BY id",
        write: "INSERT INTO account (id, name, skeleton, display_name, first_name, last_name, mail, phone, extension,
                 language, method, member_of, password_hash, special, recoverable, disabled, failures, last_failure,
                 created)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
    },
    Table {
        name: "token",
        read: "SELECT id, serial, seed, user, enabled, algorithm, digits, interval, last_step, drift, label,
                 manufacturer, model, expires, created, starts, drift_said
             FROM token LEFT JOIN token_state ON token_state.token = token.id ORDER BY id",
        write: "INSERT INTO token (id, serial, seed, account, enabled, algorithm, digits, period, last_step, drift,
                 label, manufacturer, model, expires, created, starts, drift_said)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
    },
    Table {
        name: "removed",
        read: "SELECT serial, interval, last_step FROM removed",
        write: "INSERT INTO removed (serial, period, last_step) VALUES ($1, $2, $3)",
    },
    Table {
        name: "failure_day",
        read: "SELECT user, day, count FROM failure_day",
        write: "INSERT INTO failure_day (account, day, count) VALUES ($1, $2, $3)",
    },
    Table {
        name: "sent",
        read: "SELECT user, class, time FROM sent",
        write: "INSERT INTO sent (account, class, time) VALUES ($1, $2, $3)",
    },
    Table {
        name: "posture",
        read: "SELECT client, address, raised FROM posture",
        write: "INSERT INTO posture (client, address, raised) VALUES ($1, $2, $3)",
    },
    Table {
        name: "checkpoint",
        read: "SELECT seq, time, head, sign FROM checkpoint WHERE chain = 1",
        write: "INSERT INTO checkpoint (number, time, head, sign) VALUES ($1, $2, $3, $4)",
    },
    Table {
        name: "anchor",
        read: "SELECT 0, seq, mac, time, sign FROM anchor WHERE chain = 1",
        write: "INSERT INTO anchor (chain, number, mac, time, sign) VALUES ($1, $2, $3, $4, $5)",
    },
    Table {
        name: "meta",
        read: "SELECT name, CAST(value AS BLOB) FROM meta WHERE name LIKE 'memo/%'",
        write: "INSERT INTO meta (name, value) VALUES ($1, $2)",
    },
];

/// Copies the store in the file that `from` says into the database at `address`, to be sealed with `key`.
pub fn copy(
    from: &sqlite::Settings,
    (address, key): (&Address, &SealKey),
    clock: Arc<dyn Clock>,
    (reading, mut writing): (Box<dyn Entropy + Send>, Box<dyn Entropy + Send>),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Copied, AdminFault> {
    let mut source = Drain(SqliteAdmin::open(from, clock, reading)?);
    let mut session = Session::new(Door::new(address)?)?;
    let mut copier =
        Copier { source: &mut source, session: &mut session, key: Keyring::new(key.clone()), resumed: 0 };
    copier.begin().map_err(|trouble| copier.session.blame(trouble))?;
    copier.trail(progress)?;
    let act = Act::new(Reason::StoreMigrated).note(format!("copied to {address}"));
    if !copier.source.take_alone(act)? {
        let what = "the trail is copied so far, but somebody still has the file open, and the rest has to be as of one moment";
        let hint = "stop the server, and run this again: it goes on where it is";
        return Err(address.fault(what, hint).into());
    }
    copier.trail(progress)?;
    copier.finish(&mut *writing).map_err(|trouble| copier.session.blame(trouble))
}

struct Copier<'a> {
    source: &'a mut Drain,
    session: &'a mut Session,
    key: Keyring,
    resumed: u64,
}

impl Copier<'_> {
    /// Makes the tables, or finds those of a copy that was interrupted.
    fn begin(&mut self) -> Result<(), Trouble> {
        let address = self.session.door.address.clone();
        let refuse = |what: &str, hint: &str| Trouble::Fault(address.fault(what, hint).into());
        let tx = self.session.tx()?;
        match tx.wait(schema::look(tx.client))? {
            Found::Nothing => {
                tx.wait(schema::migrate(tx.client, &Found::Nothing, &self.key.fingerprint()))?;
                tx.run("UPDATE radmfa SET version = 0 WHERE one = 1", &[])?;
            }
            Found::Store(0, wanted) if wanted == self.key.fingerprint() => {}
            Found::Store(0, _) => {
                return Err(refuse(
                    "holds a copy that was begun with another key",
                    "name that key: --seal-key",
                ));
            }
            Found::Store(..) => {
                return Err(refuse("has a store in it already", "a copy goes into an empty database"));
            }
        }
        let newest = tx.number("SELECT coalesce(max(number), 0) FROM event", &[])?;
        let row = tx.row("SELECT mac FROM event WHERE number = $1", &[&newest])?;
        if let Some(row) = row {
            let mac: Vec<u8> = row.try_get(0)?;
            if self.source.link(nat(newest))?.as_ref() != Some(&mac) {
                return Err(refuse(
                    "holds a copy of another store that was begun",
                    "empty it, or take another database",
                ));
            }
        }
        self.resumed = nat(newest);
        Ok(())
    }

    /// Takes the trail over, as far as it goes.
    fn trail(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), AdminFault> {
        let newest = self.source.newest()?;
        loop {
            let tx = self.session.tx();
            let after = tx.and_then(|tx| tx.number("SELECT coalesce(max(number), 0) FROM event", &[]));
            let after = nat(after.map_err(|trouble| self.session.blame(trouble))?);
            progress(after.min(newest), newest);
            let page = self.source.events(after, STEP)?;
            if page.is_empty() {
                return Ok(());
            }
            let written = self.session.tx().and_then(|tx| append(&tx, &page));
            written.map_err(|trouble| self.session.blame(trouble))?;
        }
    }

    /// All the rest, compared before it counts.
    fn finish(&mut self, entropy: &mut dyn Entropy) -> Result<Copied, Trouble> {
        let Copier { source, session, key, resumed } = self;
        let tx = session.tx()?;
        tx.batch("SET lock_timeout = 0")?;
        tx.all_or_nothing(|| {
            let mut copied = Copied { users: 0, tokens: 0, rows: 0, resumed: *resumed, broken: None };
            for Table { name, read, write } in TABLES {
                let clear = if *name == "meta" {
                    "DELETE FROM meta".to_owned()
                } else {
                    format!("DELETE FROM {name}")
                };
                tx.run(&clear, &[])?;
                let count = table(&tx, source, (read, write), &mut |row| match *name {
                    "token" => reseal(row, (source.key(), key), entropy),
                    _ => Ok(()),
                })?;
                let there = nat(tx.number(&format!("SELECT count(*) FROM {name}"), &[])?);
                if there != count {
                    return Err(differs(&format!("{name} has {there} rows where the file has {count}")));
                }
                match *name {
                    "account" => copied.users = count,
                    "token" => copied.tokens = count,
                    _ => {}
                }
            }
            compare_seeds(&tx, source, key)?;
            keep_keys(&tx, source, key, entropy)?;
            counters(&tx, source)?;
            copied.rows = nat(tx.number("SELECT count(*) FROM event", &[])?);
            let newest = tx.rows("SELECT number, mac FROM event ORDER BY number DESC LIMIT 1", &[])?;
            if let Some(row) = newest.first() {
                let (head, mac): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
                if source.newest()? != nat(head) || source.link(nat(head))?.as_ref() != Some(&mac) {
                    return Err(differs("the trail does not end where the file's does"));
                }
                tx.run("UPDATE chain SET head = $1, mac = $2 WHERE chain = $3", &[&head, &mac, &COMMANDS])?;
            }
            let ring = key.clone();
            ring.learn(&[key.current().wrap(source.key().current(), entropy)]);
            let verified = trail::verify(&tx, &ring, &[], &mut |_, _| ())?;
            copied.broken = verified.broken.map(|broken| (broken.sequence, broken.what));
            tx.run("UPDATE radmfa SET version = $1 WHERE one = 1", &[&schema::VERSION])?;
            Ok(copied)
        })
    }
}

fn differs(what: &str) -> Trouble {
    AdminFault::Invalid(format!("the copy is not what the file is: {what}; nothing counts of it")).into()
}

/// Appends rows as they are.
fn append(tx: &Tx<'_>, page: &[Event]) -> Result<(), Trouble> {
    let (mut numbers, mut times, mut logins, mut names) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for event in page {
        let row = packed::read(event.seq, &event.body, &event.person);
        let row = row.map_err(|_| Odd::Damaged("a row of the trail"))?;
        numbers.push(int(event.seq));
        times.push(int(row.time.0));
        logins.push(int(row.login.number()));
        names.push(row.user);
    }
    let octets =
        |part: fn(&Event) -> &Vec<u8>| page.iter().map(|event| part(event).as_slice()).collect::<Vec<_>>();
    let (bodies, persons, macs) =
        (octets(|event| &event.body), octets(|event| &event.person), octets(|event| &event.mac));
    let sql = "INSERT INTO event (number, time, login, name, body, person, mac)
        SELECT new.number, new.time, new.login, new.name, new.body, new.person, new.mac
        FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::TEXT[], $5::BYTEA[], $6::BYTEA[], $7::BYTEA[])
            AS new (number, time, login, name, body, person, mac)";
    tx.run(sql, &[&numbers, &times, &logins, &names, &bodies, &persons, &macs]).map(drop)
}

/// Takes a table over, each row changed by `change`; how many rows it has.
fn table(
    tx: &Tx<'_>,
    source: &Drain,
    (read, write): (&str, &str),
    change: &mut dyn FnMut(&mut Vec<Value>) -> Result<(), AdminFault>,
) -> Result<u64, Trouble> {
    let statement = tx.wait(tx.client.prepare(write))?;
    let mut waiting: Vec<Vec<Cell>> = Vec::new();
    let mut count = 0;
    let mut failed = None;
    let stopped = || StoreFault { what: String::new(), hint: String::new() };
    let read = source.each(read, &mut |mut row| {
        count += 1;
        let done = change(&mut row).map_err(Trouble::Fault).and_then(|()| {
            waiting.push(row.into_iter().map(Cell).collect());
            if waiting.len() == PIPELINE { send(tx, &statement, &mut waiting) } else { Ok(()) }
        });
        done.map_err(|trouble| {
            failed = Some(trouble);
            stopped()
        })
    });
    match failed {
        Some(trouble) => return Err(trouble),
        None => read?,
    }
    send(tx, &statement, &mut waiting)?;
    Ok(count)
}

fn send(tx: &Tx<'_>, statement: &Statement, waiting: &mut Vec<Vec<Cell>>) -> Result<(), Trouble> {
    let all = try_join_all(waiting.iter().map(|row| tx.client.execute_raw(statement, row)));
    tx.wait(all)?;
    waiting.clear();
    Ok(())
}

/// A value of the file, on its way into a column of whatever type.
#[derive(Debug)]
struct Cell(Value);

impl ToSql for Cell {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match &self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(number) if *kind == Type::BOOL => (*number != 0).to_sql(kind, out),
            Value::Integer(number) if *kind == Type::INT4 => i32::try_from(*number)?.to_sql(kind, out),
            Value::Integer(number) => number.to_sql(kind, out),
            Value::Real(number) => number.to_sql(kind, out),
            Value::Text(text) => text.as_str().to_sql(kind, out),
            Value::Blob(octets) => octets.as_slice().to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Seals a token's seed anew; its serial number stands before it.
fn reseal(
    row: &mut [Value],
    (from, to): (&Keyring, &Keyring),
    entropy: &mut dyn Entropy,
) -> Result<(), AdminFault> {
    let [_, Value::Text(serial), Value::Blob(sealed), ..] = row else {
        return Err(AdminFault::Invalid("a token in the file is damaged".to_owned()));
    };
    let seed = from.open(Purpose::TokenSeed, serial, sealed).map_err(|_| {
        AdminFault::Invalid(format!("the seed of token {serial} is damaged: remove the token first"))
    })?;
    *sealed = to.seal(Purpose::TokenSeed, serial, &seed, entropy).into_vec();
    Ok(())
}

/// Opens every seed again and holds it to the file's.
fn compare_seeds(tx: &Tx<'_>, source: &Drain, key: &Keyring) -> Result<(), Trouble> {
    let sql = "SELECT serial, seed, last_step FROM token WHERE id > $1 ORDER BY id LIMIT $2";
    let mut after = -1_i64;
    let mut found = std::collections::VecDeque::new();
    let mut odd = None;
    let mut compare = |row: Vec<Value>| -> Result<(), Trouble> {
        let [Value::Integer(id), Value::Text(serial), Value::Blob(sealed), last] = row.as_slice() else {
            return Err(differs("a token in the file is damaged"));
        };
        if found.is_empty() {
            found.extend(tx.rows(sql, &[&after, &int(STEP as u64)])?);
        }
        after = *id;
        let row = found.pop_front().ok_or_else(|| differs("a token is missing"))?;
        let there: &str = row.try_get(0)?;
        let step = row.try_get::<_, Option<i64>>(2)?.map_or(Value::Null, Value::Integer);
        let ours = source.key().open(Purpose::TokenSeed, serial, sealed);
        let theirs = key.open(Purpose::TokenSeed, there, row.try_get(1)?);
        if there != serial || step != *last || ours.is_err() || ours.ok() != theirs.ok() {
            return Err(differs(&format!("token {serial}")));
        }
        Ok(())
    };
    let read =
        "SELECT id, serial, seed, last_step FROM token LEFT JOIN token_state ON token_state.token = token.id
        ORDER BY id";
    let done = source.each(read, &mut |row| {
        compare(row).map_err(|trouble| {
            odd = Some(trouble);
            StoreFault { what: String::new(), hint: String::new() }
        })
    });
    match odd {
        Some(trouble) => Err(trouble),
        None => Ok(done?),
    }
}

/// Keeps the file's keys in the database.
fn keep_keys(tx: &Tx<'_>, source: &Drain, key: &Keyring, entropy: &mut dyn Entropy) -> Result<(), Trouble> {
    let mut wrapped = source.wrapped()?;
    if source.key().fingerprint() != key.fingerprint() {
        wrapped.push(key.current().wrap(source.key().current(), entropy));
    }
    let own = print_fingerprint(&key.fingerprint());
    for kept in wrapped.iter().filter(|kept| kept.fingerprint != own) {
        let name = format!("{EARLIER}{}", kept.fingerprint);
        let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        tx.run(sql, &[&name, &kept.sealed])?;
    }
    Ok(())
}

/// No number is given out again, of those that are gone neither.
fn counters(tx: &Tx<'_>, source: &Drain) -> Result<(), Trouble> {
    for (name, table) in [("account", "user"), ("token", "token")] {
        let mut last = 0;
        let sql = format!("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '{table}'");
        source.each(&sql, &mut |row| {
            if let [Value::Integer(number)] = row.as_slice() {
                last = *number;
            }
            Ok(())
        })?;
        tx.run("UPDATE counter SET value = $2 WHERE name = $1", &[&name, &last])?;
    }
    Ok(())
}
