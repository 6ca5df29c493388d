//! What survives: users, tokens, spent steps, failure counts, client posture, the audit trail.
//!
//! Two faces. [`Logins`] is what a running server needs, fast and without blocking; an admin's commands use
//! a blocking face of their own. Invariants: a verdict leaves only after its [`Record`] is durable; seeds are
//! sealed wherever they rest; what another process writes is seen at the next login.

pub mod act;
pub mod admin;
pub mod api_tokens;
#[cfg(test)]
mod battery;
mod budget;
mod chain;
mod changes;
mod columns;
mod fold;
pub mod keyring;
pub mod memory;
pub mod packed;
mod paged;
pub mod parking;
pub mod pending;
pub mod people;
pub mod postgres;
pub mod rekey;
pub mod report;
mod rollup;
pub mod seal;
mod session;
mod special;
pub mod sqlite;
pub mod trail;
pub mod user_act;
mod walk;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use self::act::Origin;
use self::admin::Admin;
use self::memory::MemoryStore;
use self::packed::Recording;
use self::postgres::Address;
use self::sqlite::{KeySource, SqliteAdmin, SqliteStore, Tail};
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::system::{Clock, Entropy};
use crate::base::time::UnixTime;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::{CommitAnswer, LoginId, Record};
use parking::{Claim, Claimed, Parking, Spot, Unparked};
use pending::Pending;

/// What a running server asks of its store. No call blocks the thread that makes it.
pub trait Logins: Send + Sync {
    /// Reads a user. At once where the user is in memory.
    fn find(&self, query: &UserQuery) -> Pending<UserAnswer>;

    /// Appends a record if its guards hold. Dropping the answer before the record's transaction has begun withdraws
    /// the record; afterwards it stands whether or not anybody hears of it.
    fn commit(&self, record: Record) -> Pending<CommitAnswer>;

    /// Remembers durably that `address` of `client` has shown a valid Message-Authenticator (CVE-2024-3596
    /// ratchet). `true` once it is durable, `false` where the store cannot.
    fn raise(&self, client: &Label, address: IpAddr) -> Pending<bool>;

    /// Every raised address, for a server that starts.
    fn raised(&self) -> Result<Vec<(Label, IpAddr)>, StoreFault>;

    /// Has a login wait where every server of this store can take it up; at most one waits at a spot. `true` once it is
    /// durable. A store that servers do not share keeps none.
    fn park(&self, _login: Parking) -> Pending<bool> {
        Pending::Ready(false)
    }

    /// Takes up the login that waits at `spot`: one atomic taking away, so that of two who ask one gets it.
    fn unpark(&self, _spot: Spot) -> Pending<Unparked> {
        Pending::Ready(Unparked::Unavailable)
    }

    /// Claims an intent for a login that is about to send something; durable before it answers [`Claimed::Ours`]. A claim
    /// whose time is over is nobody's.
    fn claim(&self, _claim: Claim) -> Pending<Claimed> {
        Pending::Ready(Claimed::Unavailable)
    }

    /// How it keeps up with what it is asked.
    fn strain(&self) -> Strain {
        Strain::default()
    }

    /// The login that had this intent has ended. Whoever began afterwards may claim it; for those that began before it is
    /// [`Claimed::Over`] until the claim's time ends. Nobody waits for this.
    fn release(&self, _intent: [u8; 16], _login: LoginId) {}
}

/// How a store keeps up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strain {
    /// How much was asked and is not answered.
    pub waiting: usize,
    /// It cannot be reached, or what it was last given to write it could not.
    pub away: bool,
}

/// Why the store cannot do what was asked, for an admin to read.
#[derive(Debug, thiserror::Error)]
#[error("{what}\n  hint: {hint}")]
pub struct StoreFault {
    /// What is wrong and where.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// Where a store is: what `--store` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `sqlite:PATH`
    Sqlite(PathBuf),
    /// `postgres://USER@HOST:PORT/DATABASE`
    Postgres(Box<Address>),
    /// `memory:`
    Memory,
}

impl Place {
    /// Whether several servers can be one store's, each on a machine of its own: what `affinity = "shared"` needs.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        match self {
            Place::Postgres(_) => true,
            Place::Sqlite(_) | Place::Memory => false,
        }
    }

    /// Reads what an admin wrote.
    pub fn parse(text: &str) -> Result<Place, StoreFault> {
        if Address::is_one(text) {
            return Ok(Place::Postgres(Box::new(Address::parse(text)?)));
        }
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Place::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Place::Sqlite(path.into())),
            _ => Err(StoreFault {
                what: format!("store {text:?} is none that radmfa knows"),
                hint: "write sqlite:PATH, such as sqlite:/var/lib/radmfa/radmfa.db, postgres://USER@HOST/DATABASE, or \
                       memory:"
                    .to_owned(),
            }),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            Place::Postgres(address) => address.fmt(formatter),
            Place::Memory => formatter.write_str("memory:"),
        }
    }
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which one.
    pub place: Place,
    /// Where its sealing key is.
    pub key: KeySource,
    /// Whether one is made where there is none.
    pub create: bool,
    /// The most users kept in memory, about 370 octets each; at most [`sqlite::CACHE_MAX`].
    pub cached_users: usize,
    /// Hears in one line what opening did to the store, if anything: an older one is brought up to today's version.
    pub tell: fn(&str),
    /// Who works on it.
    pub origin: Origin,
    /// Which personal fields rows keep.
    pub recording: Recording,
}

impl Settings {
    /// The store at `place` with its key beside it, made where there is none.
    #[must_use]
    pub fn new(place: Place) -> Settings {
        Settings {
            place,
            key: KeySource::Beside,
            create: true,
            cached_users: sqlite::CACHE_DEFAULT,
            tell: |_| {},
            origin: Origin::default(),
            recording: Recording::default(),
        }
    }

    /// The same for the store in the file at `path`.
    #[must_use]
    pub fn file(&self, path: &std::path::Path) -> sqlite::Settings {
        sqlite::Settings {
            path: path.to_owned(),
            key: self.key.clone(),
            create: self.create,
            cached_users: self.cached_users,
            tail: Tail::default(),
            tell: self.tell,
            origin: self.origin.clone(),
            recording: self.recording,
        }
    }
}

/// A store opened for a running server.
pub struct Opened {
    /// What logins ask.
    pub logins: Arc<dyn Logins>,
    /// When the newest row of the trail was written. A server whose clock stands 60 s or more before it does not start
    /// (`clock-behind`).
    pub newest_row: Option<UnixTime>,
    /// 32 octets that only the servers of this store know: State attributes are made under them.
    pub state_key: Secret,
    /// A command's face on the same store, for what looks after the trail.
    pub admin: Box<dyn Admin>,
    /// The same from before a rekey, or after one that this server is behind in: what was made under them is good.
    pub other_state_keys: Vec<Secret>,
    /// A store that nobody else can open.
    memory: Option<MemoryStore>,
}

impl Opened {
    /// A further face for commands on the same store: for pages, which change what the person at them may change.
    /// `settings` are those that it was opened with.
    pub fn desk(
        &self,
        settings: &Settings,
        clock: Arc<dyn Clock>,
        entropy: Box<dyn Entropy + Send>,
    ) -> Result<Box<dyn Admin>, StoreFault> {
        match &self.memory {
            Some(store) => Ok(Box::new(store.clone())),
            // What opening did to it was said before.
            None => open_admin(&Settings { tell: |_| {}, ..settings.clone() }, clock, entropy),
        }
    }
}

/// The use that [`seal::SealKey::derive`] makes [`Opened::state_key`] for.
const STATE: &str = "state";

/// Opens a store for a running server.
pub fn open(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    mut entropy: Box<dyn Entropy + Send>,
) -> Result<Opened, StoreFault> {
    match &settings.place {
        Place::Sqlite(path) => {
            let file = settings.file(path);
            let store = SqliteStore::open(&file, Arc::clone(&clock), &mut *entropy)?;
            let mut admin = Box::new(SqliteAdmin::open(&file, clock, entropy)?);
            if let Some(from) = store.migrated() {
                admin.note_migration(from)?;
            }
            let newest_row = store.newest_row_time()?;
            let (state_key, other_state_keys) = (store.state_key(), store.other_state_keys());
            let logins = Arc::new(store);
            Ok(Opened { logins, newest_row, state_key, admin, other_state_keys, memory: None })
        }
        Place::Postgres(address) => postgres::open(settings, address, clock, entropy),
        Place::Memory => {
            let store = MemoryStore::new(clock, entropy);
            let state_key = store.state_key();
            let (admin, logins) = (Box::new(store.clone()), Arc::new(store.clone()));
            let (other_state_keys, memory) = (Vec::new(), Some(store));
            Ok(Opened { logins, newest_row: None, state_key, admin, other_state_keys, memory })
        }
    }
}

/// Opens a store for a command, whether or not a server runs on it.
pub fn open_admin(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    entropy: Box<dyn Entropy + Send>,
) -> Result<Box<dyn Admin>, StoreFault> {
    match &settings.place {
        Place::Sqlite(path) => Ok(Box::new(SqliteAdmin::open(&settings.file(path), clock, entropy)?)),
        Place::Postgres(address) => Ok(Box::new(postgres::open_admin(settings, address, clock, entropy)?)),
        Place::Memory => Err(StoreFault {
            what: "store memory: is gone when its process ends, so a command has nothing to work on"
                .to_owned(),
            hint: "name a file: --store sqlite:PATH".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_what_it_printed_and_others_are_refused() {
        for text in ["sqlite:/var/lib/radmfa/radmfa.db", "sqlite:a:b.db", "memory:", "postgres://u@h:1/d"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "sqlite:", "memory", "/var/lib/radmfa.db"] {
            let fault = Place::parse(text).unwrap_err().to_string();
            assert!(fault.contains("hint: ") && fault.contains("sqlite:PATH"), "{fault}");
        }
    }
}
