//! The store in a PostgreSQL database, for several servers and the commands beside them.
//!
//! ```text
//! server A ─ find ── one pipelined read ─────────────┐
//!          └ commit ─ a group, two round trips ──────┤   account, token      what rows add up to
//! server B ─ the same ───────────────────────────────┼─  event, chain        the trail, a chain a server
//! commands ─ a connection, a transaction a change ───┘   counter, sent, …    what is shared
//! ```
//! Invariants: guards are judged under row locks, by the same code as everywhere; a row of the trail and what it does are one
//! transaction; a server appends to its own chain and nobody else does; nobody remembers users between logins. Nothing but
//! standard SQL, so that databases which speak PostgreSQL's protocol and are distributed themselves serve as well.

pub mod address;
mod admin;
pub mod back;
mod commit;
pub mod copy;
mod events;
mod feed;
pub mod glance;
mod import;
mod keys;
mod link;
mod parking;
mod people;
pub mod rekey;
mod reports;
mod rollup;
mod rows;
mod schema;
mod seat;
mod session;
mod sessions;
mod sql;
mod store;
mod tables;
mod tls;
mod trail;

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

pub use self::address::Address;
pub use self::admin::PostgresAdmin;
use self::feed::Feed;
use self::link::Door;
use self::schema::Found;
use self::seat::{Seat, Taken};
use self::session::{Session, Trouble, Tx};
pub use self::store::PostgresStore;
use super::keyring::{Keyring, print_fingerprint};
use super::packed::Packer;
use super::sqlite::KeySource;
use super::{Opened, STATE, Settings, StoreFault};
use crate::base::system::{Clock, Entropy, random};

/// The salts of rows, on a thread of their own.
struct Salts(ChaCha20Rng);

impl Entropy for Salts {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill_bytes(buffer);
    }
}

/// Opens a store for a running server.
pub(super) fn open(
    settings: &Settings,
    address: &Address,
    clock: Arc<dyn Clock>,
    entropy: Box<dyn Entropy + Send>,
) -> Result<Opened, StoreFault> {
    let Parts { store, mut admin, key } = parts(settings, address, clock, entropy)?;
    let newest_row = super::admin::Admin::newest_row_time(&mut admin).map_err(fault)?;
    Ok(Opened {
        logins: Arc::new(store),
        newest_row,
        state_key: key.derive(STATE),
        other_state_keys: key.derive_others(STATE),
        admin: Box::new(admin),
        memory: None,
    })
}

/// What a running server has.
struct Parts {
    store: PostgresStore,
    admin: PostgresAdmin,
    key: Keyring,
}

fn parts(
    settings: &Settings,
    address: &Address,
    clock: Arc<dyn Clock>,
    mut entropy: Box<dyn Entropy + Send>,
) -> Result<Parts, StoreFault> {
    let (session, key) = prepare(settings, address)?;
    let door = session.door.clone();
    let mut admin = admin(settings, session, key.clone(), Arc::clone(&clock), random(&mut *entropy));
    let incarnation = random(&mut *entropy);
    let packer = Packer::new(settings.recording, salts(&mut *entropy));
    admin.entropy = entropy;
    let seat = take_seat(&mut admin, settings, incarnation)?;
    admin.server = Some(Feed::new(seat.author().chain));
    let entropy = salts(&mut *admin.entropy);
    let store = PostgresStore::start(door, key.clone(), clock, (packer, entropy), seat)?;
    Ok(Parts { store, admin, key })
}

/// Opens a store for a command.
pub fn open_admin(
    settings: &Settings,
    address: &Address,
    clock: Arc<dyn Clock>,
    mut entropy: Box<dyn Entropy + Send>,
) -> Result<PostgresAdmin, StoreFault> {
    let (session, key) = prepare(settings, address)?;
    let mut admin = admin(settings, session, key, clock, random(&mut *entropy));
    admin.entropy = entropy;
    Ok(admin)
}

fn admin(
    settings: &Settings,
    session: Session,
    key: Keyring,
    clock: Arc<dyn Clock>,
    seed: [u8; 32],
) -> PostgresAdmin {
    let mut entropy = Salts(ChaCha20Rng::from_seed(seed));
    PostgresAdmin {
        session,
        key,
        clock,
        origin: settings.origin.clone(),
        packer: Packer::new(settings.recording, salts(&mut entropy)),
        entropy: Box::new(entropy),
        server: None,
    }
}

fn salts(entropy: &mut dyn Entropy) -> Box<dyn Entropy + Send> {
    Box::new(Salts(ChaCha20Rng::from_seed(random(entropy))))
}

/// Finds the store, or with `create` makes it where there is none, and its keys.
fn prepare(settings: &Settings, address: &Address) -> Result<(Session, Keyring), StoreFault> {
    let KeySource::Given(key) = &settings.key else {
        return Err(address.fault(
            "wants --seal-key: a database has no place beside it for the key, and all servers need the same",
            "make one: umask 077; openssl rand -hex 32 > /etc/radmfa/seal.key, then say --seal-key \
             file:/etc/radmfa/seal.key on every server",
        ));
    };
    let key = Keyring::new(key.clone());
    let mut session = Session::new(Door::new(address)?)?;
    let found = check(&mut session, settings, &key);
    found.map_err(|trouble| fault(session.blame(trouble)))?;
    Ok((session, key))
}

fn check(session: &mut Session, settings: &Settings, key: &Keyring) -> Result<(), Trouble> {
    let address = session.door.address.clone();
    let refuse = |what: String, hint: &str| Trouble::Fault(address.fault(&what, hint).into());
    let tx = session.tx()?;
    let mut found = tx.wait(schema::look(tx.client))?;
    let version = match &found {
        Found::Nothing if !settings.create => {
            let hint =
                "is it the right database? `radmfa user add` or `token import` makes a store in an empty one";
            return Err(refuse("has no store in it".to_owned(), hint));
        }
        Found::Nothing => 0,
        Found::Store(version, _) => *version,
    };
    if version == 0 && found != Found::Nothing {
        let hint = "run `radmfa store copy` again: it goes on where it is";
        return Err(refuse("holds a copy that is not finished".to_owned(), hint));
    }
    if version > schema::VERSION {
        let what =
            format!("has schema version {version}; this radmfa knows versions up to {}", schema::VERSION);
        return Err(refuse(what, "a newer radmfa has changed it: run that one"));
    }
    // With another key than the store's, nothing is to be changed yet.
    check_key(&tx, &found, key, &refuse)?;
    if version < schema::VERSION {
        tx.wait(schema::migrate(tx.client, &found, &key.fingerprint()))?;
        found = tx.wait(schema::look(tx.client))?;
        check_key(&tx, &found, key, &refuse)?;
        if version > 0 {
            (settings.tell)(&format!(
                "store {address}: brought from version {version} to version {}; an older radmfa cannot open it any more",
                schema::VERSION
            ));
        }
    }
    tx.wait(keys::learn(tx.client, key))?;
    Ok(())
}

fn check_key(
    tx: &Tx<'_>,
    found: &Found,
    key: &Keyring,
    refuse: &dyn Fn(String, &str) -> Trouble,
) -> Result<(), Trouble> {
    match found {
        Found::Store(version, wanted) if *wanted != key.fingerprint() => {
            let given = print_fingerprint(&key.fingerprint());
            let name = format!("{}{given}", keys::EARLIER);
            let earlier = *version > 0 && tx.row("SELECT 1 FROM meta WHERE name = $1", &[&name])?.is_some();
            let what = format!(
                "was sealed with another key: it wants the one with fingerprint {}, and was given {}{given}",
                print_fingerprint(wanted),
                if earlier { "the one from before `store rekey`, " } else { "" },
            );
            Err(refuse(what, "name the key that the other servers have: --seal-key file:PATH"))
        }
        _ => Ok(()),
    }
}

fn take_seat(
    admin: &mut PostgresAdmin,
    settings: &Settings,
    incarnation: [u8; 16],
) -> Result<Seat, StoreFault> {
    let name = settings.origin.server.clone();
    let taken = admin.session.tx().map(|tx| tx.wait(Seat::take(tx.client, &name, incarnation)));
    let address = admin.session.door.address.clone();
    match admin.blame(taken).map_err(fault)? {
        Ok(seat) => Ok(seat),
        Err(Taken::Runs) => Err(address.fault(
            &format!("another server runs on it under the name {name}"),
            "give each a name of its own: --server-name; a code that one sent is known by that name",
        )),
        Err(Taken::Alike(other)) => Err(address.fault(
            &format!("the server names {name} and {other} are told apart by the same number"),
            "give this server another name: --server-name",
        )),
        Err(Taken::Odd(odd)) => Err(fault(admin.session.blame(Trouble::Odd(odd)))),
    }
}

/// A fault of the store alone, where nothing else can be wrong.
fn fault(fault: super::admin::AdminFault) -> StoreFault {
    match fault {
        super::admin::AdminFault::Store(store) => store,
        other => StoreFault { what: other.to_string(), hint: "see the database's log".to_owned() },
    }
}

#[cfg(test)]
mod tests;
