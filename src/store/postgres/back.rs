//! A store in a database becomes one in a file again: for one server, when several are not wanted any more.
//!
//! Everything is read as of one moment, while whoever would change it waits: users and tokens under their numbers, seeds sealed
//! anew under the file's key, spent steps, failures, what is special about users, messages sent, what clients have shown. The
//! chains of all servers become one, in the order of time: each is walked first, the rows say what they said, and their
//! links are made anew, so that checkpoints of before hold for the database alone. The database's key is kept in the file,
//! sealed under the file's: recovery codes and PINs were hashed under it. Logins that wait for their users are not copied.

use std::sync::Arc;

use rusqlite::types::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::admin::PostgresAdmin;
use super::copy::Copied;
use super::events::Place;
use super::keys::EARLIER;
use super::rekey::hearts;
use super::rows::Odd;
use super::session::{Trouble, Tx};
use super::{Address, Settings, open_admin, trail};
use crate::base::system::{Clock, Entropy};
use crate::engine::reason::Reason;
use crate::store::act::Act;
use crate::store::admin::AdminFault;
use crate::store::keyring::{Keyring, Wrapped};
use crate::store::seal::Purpose;
use crate::store::sqlite;
use crate::store::sqlite::fill::Sink;

/// Rows read at once.
const STEP: i64 = 2_000;
/// So often, and so long, servers' hearts are listened to.
const LOOK: std::time::Duration = std::time::Duration::from_millis(250);
const LOOKS: u32 = 14;

/// A table of the database and where its rows go.
struct Table {
    name: &'static str,
    read: &'static str,
    write: &'static str,
}

const TABLES: &[Table] = &[
    Table {
        name: "user",
        read: "SELECT id, name, skeleton, display_name, first_name, last_name, mail, phone, extension, language, method,
                 member_of, password_hash, special, disabled, created
             FROM account ORDER BY id",
        write: "INSERT INTO user (id, name, skeleton, display_name, first_name, last_name, mail, phone, extension,
                 language, method, member_of, password_hash, special, disabled, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    },
    Table {
        name: "user_state",
        read: "SELECT id, failures, last_failure FROM account WHERE failures > 0 OR last_failure > 0 ORDER BY id",
        write: "INSERT INTO user_state (user, failures, last_failure, seq) VALUES (?1, ?2, ?3, 0)",
    },
    Table {
        name: "token",
        read: "SELECT id, serial, seed, account, enabled, algorithm, digits, period, label, manufacturer, model,
                 expires, created, starts, drift_said
             FROM token ORDER BY id",
        write: "INSERT INTO token (id, serial, seed, user, enabled, algorithm, digits, interval, label, manufacturer,
                 model, expires, created, starts, drift_said)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    },
    Table {
        name: "token_state",
        read: "SELECT id, last_step, drift FROM token WHERE last_step IS NOT NULL ORDER BY id",
        write: "INSERT INTO token_state (token, last_step, drift) VALUES (?1, ?2, ?3)",
    },
    Table {
        name: "removed",
        read: "SELECT serial, period, last_step FROM removed ORDER BY serial, period",
        write: "INSERT INTO removed (serial, interval, last_step) VALUES (?1, ?2, ?3)",
    },
    Table {
        name: "failure_day",
        read: "SELECT account, day, count FROM failure_day ORDER BY account, day",
        write: "INSERT INTO failure_day (user, day, count) VALUES (?1, ?2, ?3)",
    },
    Table {
        name: "sent",
        read: "SELECT account, class, time FROM sent ORDER BY time",
        write: "INSERT INTO sent (user, class, time) VALUES (?1, ?2, ?3)",
    },
    Table {
        name: "posture",
        read: "SELECT client, address, raised FROM posture ORDER BY client, address",
        write: "INSERT INTO posture (client, address, raised) VALUES (?1, ?2, ?3)",
    },
    Table {
        name: "meta WHERE name LIKE 'memo/%'",
        read: "SELECT name, value FROM meta WHERE name LIKE 'memo/%' ORDER BY name",
        write: "INSERT INTO meta (name, value) VALUES (?1, CAST(?2 AS TEXT))",
    },
];

/// Copies the store at `address` into the file that `to` says, which may not be there yet. `progress` hears how many rows of the
/// trail of how many are over.
pub fn copy(
    settings: &Settings,
    address: &Address,
    to: &sqlite::Settings,
    clock: Arc<dyn Clock>,
    (reading, writing): (Box<dyn Entropy + Send>, Box<dyn Entropy + Send>),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Copied, AdminFault> {
    let settings = Settings { create: false, ..settings.clone() };
    let mut admin = open_admin(&settings, address, Arc::clone(&clock), reading)?;
    expect_nobody(&mut admin)?;
    let mut sink = Sink::begin(to, clock, writing)?;
    admin.note(&Act::new(Reason::StoreMigrated).note(format!("copied to sqlite:{}", to.path.display())))?;
    let PostgresAdmin { session, key, .. } = &mut admin;
    let tx = session.tx();
    let copied = tx.and_then(|tx| {
        tx.batch("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
        let done = all(&tx, key, &mut sink, progress);
        drop(tx.batch("ROLLBACK"));
        done
    });
    let copied = copied.map_err(|trouble| session.blame(trouble))?;
    let from = Act::new(Reason::StoreMigrated).note(format!("copied from {address}"));
    sink.finish(from)?;
    Ok(copied)
}

/// Refuses where a server runs.
fn expect_nobody(admin: &mut PostgresAdmin) -> Result<(), AdminFault> {
    let first = admin.read(hearts)?;
    for _ in 0..LOOKS {
        if first.is_empty() {
            break;
        }
        std::thread::sleep(LOOK);
        if admin.read(hearts)? != first {
            let address = &admin.session.door.address;
            let hint = "stop all of them, so that no code is taken here which the file does not know of";
            return Err(address.fault("servers run on it", hint).into());
        }
    }
    Ok(())
}

fn all(
    tx: &Tx<'_>,
    key: &Keyring,
    sink: &mut Sink,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Copied, Trouble> {
    // Servers and commands wait here, or are found to be in the middle of something.
    let heads = tx.rows("SELECT head FROM chain ORDER BY chain FOR UPDATE", &[])?;
    let mut copied = Copied { users: 0, tokens: 0, rows: 0, resumed: 0, broken: None };
    let verified = trail::verify(tx, key, &[], &mut |_, _| ())?;
    copied.broken = verified.broken.map(|broken| (broken.sequence, broken.what));
    rows(tx, sink, verified.count, progress)?;
    for (number, Table { name, read, write }) in TABLES.iter().enumerate() {
        let count = table(tx, (number, read), &mut |row| {
            if *name == "token" {
                reseal(row, key, sink)?;
            }
            Ok(sink.put(write, row)?)
        })?;
        if sink.count(name)? != count {
            return Err(differs(&format!("{name} should have {count} rows")));
        }
        match *name {
            "user" => copied.users = count,
            "token" => copied.tokens = count,
            _ => {}
        }
    }
    keep_keys(tx, key, sink)?;
    for (name, into) in [("account", "user"), ("token", "token")] {
        let last = tx.number("SELECT value FROM counter WHERE name = $1", &[&name])?;
        sink.last_number(into, last)?;
    }
    copied.rows = sink.count("event")?;
    if copied.rows != verified.count && copied.broken.is_none() {
        return Err(differs(&format!("the trail has {} rows in {} chains", verified.count, heads.len())));
    }
    Ok(copied)
}

fn differs(what: &str) -> Trouble {
    AdminFault::Invalid(format!("the copy is not what the database is: {what}; there is no copy")).into()
}

/// Takes the trail over, of all chains in the order of time.
fn rows(tx: &Tx<'_>, sink: &mut Sink, total: u64, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Trouble> {
    let sql = "SELECT time, number, body, person FROM event WHERE (time, number) > ($1, $2)
        ORDER BY time, number LIMIT $3";
    let mut place: Place = (-1, -1);
    loop {
        let found = tx.rows(sql, &[&place.0, &place.1, &STEP])?;
        for row in &found {
            place = (row.try_get(0)?, row.try_get(1)?);
            sink.append(row.try_get(2)?, row.try_get(3)?)?;
        }
        progress(sink.head(), total.max(sink.head()));
        if found.is_empty() {
            return Ok(());
        }
    }
}

/// Gives each row that `read` selects to `take`; how many there are.
fn table(
    tx: &Tx<'_>,
    (number, read): (usize, &str),
    take: &mut dyn FnMut(&mut [Value]) -> Result<(), Trouble>,
) -> Result<u64, Trouble> {
    let cursor = format!("copied_{number}");
    tx.batch(&format!("DECLARE {cursor} NO SCROLL CURSOR FOR {read}"))?;
    let mut count = 0;
    loop {
        let found = tx.rows(&format!("FETCH FORWARD {STEP} FROM {cursor}"), &[])?;
        for row in &found {
            let mut values =
                (0..row.len()).map(|column| value(row, column)).collect::<Result<Vec<_>, _>>()?;
            take(&mut values)?;
        }
        count += found.len() as u64;
        if found.is_empty() {
            tx.batch(&format!("CLOSE {cursor}"))?;
            return Ok(count);
        }
    }
}

/// A value as the file has it.
fn value(row: &Row, column: usize) -> Result<Value, Trouble> {
    let kind = row.columns().get(column).map(tokio_postgres::Column::type_);
    let value = match kind {
        Some(&Type::BOOL) => {
            row.try_get::<_, Option<bool>>(column)?.map(|yes| Value::Integer(i64::from(yes)))
        }
        Some(&Type::INT4) => row.try_get::<_, Option<i32>>(column)?.map(|one| Value::Integer(i64::from(one))),
        Some(&Type::INT8) => row.try_get::<_, Option<i64>>(column)?.map(Value::Integer),
        Some(&Type::BYTEA) => row.try_get::<_, Option<Vec<u8>>>(column)?.map(Value::Blob),
        Some(&Type::TEXT) => row.try_get::<_, Option<String>>(column)?.map(Value::Text),
        _ => return Err(Odd::Damaged("a table has a column of another type").into()),
    };
    Ok(value.unwrap_or(Value::Null))
}

/// Seals a token's seed anew, and opens it again; its serial number stands before it.
fn reseal(row: &mut [Value], from: &Keyring, sink: &mut Sink) -> Result<(), Trouble> {
    let [_, Value::Text(serial), Value::Blob(sealed), ..] = row else {
        return Err(Odd::Damaged("a token").into());
    };
    let damaged =
        || AdminFault::Invalid(format!("the seed of token {serial} is damaged: remove the token first"));
    let seed = from.open(Purpose::TokenSeed, serial, sealed).map_err(|_| damaged())?;
    let (key, entropy) = sink.seal();
    *sealed = key.seal(Purpose::TokenSeed, serial, &seed, entropy).into_vec();
    if key.open(Purpose::TokenSeed, serial, sealed).ok().as_ref() != Some(&seed) {
        return Err(differs(&format!("token {serial}")));
    }
    Ok(())
}

/// Keeps the database's keys in the file.
fn keep_keys(tx: &Tx<'_>, key: &Keyring, sink: &mut Sink) -> Result<(), Trouble> {
    let mut wrapped = Vec::new();
    for row in tx.rows("SELECT name, value FROM meta WHERE name LIKE 'key/%'", &[])? {
        let name: &str = row.try_get(0)?;
        let fingerprint = name.strip_prefix(EARLIER).unwrap_or(name).to_owned();
        wrapped.push(Wrapped { fingerprint, sealed: row.try_get(1)? });
    }
    let (own, entropy) = sink.seal();
    let fingerprint = own.fingerprint();
    if fingerprint != key.fingerprint() {
        wrapped.push(own.current().wrap(key.current(), entropy));
    }
    let own = crate::store::keyring::print_fingerprint(&fingerprint);
    wrapped.retain(|kept| kept.fingerprint != own);
    Ok(sink.keep(&wrapped)?)
}
