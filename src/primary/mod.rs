//! The first factor: who checks the password.
//!
//! The driver hands every [`PrimaryCheck`] to its worker's [`Primaries`], which finds the primary by name and answers
//! within the check's time: RADIUS servers that are asked over UDP, or the argon2id hashes in the store.
//!
//! Each worker has its own [`Primaries`], with its own sockets, so that a reply wakes a task on the thread that it came
//! in on. What they know of the servers' health, whose turn it is to hash a password and who has to wait for one, they share ([`Shared`]); it
//! outlives a reload of the settings.
//!
//! Invariants: silence, an unknown primary and every fault are [`PrimaryAnswer::Unavailable`], never an Accept; the
//! tables are bounded.

mod dialog;
mod exchange;
mod flight;
mod health;
mod identifiers;
pub mod local;
mod radius;
mod retransmit;
pub mod settings;
mod sparing;
mod throttle;
pub mod watch;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::name::{Label, UserName};
use crate::base::system::{Clock, Entropy};
use crate::base::time::Tick;
use crate::engine::account::Account;
use crate::engine::question::{PrimaryAnswer, PrimaryCheck, UserAnswer, UserQuery};
use crate::store::Logins;
use crate::wire::{AttributeId, Hidden, Integrity, number};
pub use exchange::Exchange;
use health::Health;
pub use health::ServerStatus;
use local::{Local, Turns};
use radius::Radius;
use settings::{Allowance, Kind, Settings};
use sparing::Sparing;
use watch::Watcher;

/// Which attributes are encrypted, and how: what the dictionaries say.
pub type Kinds = Arc<dyn Fn(AttributeId) -> Option<Hidden> + Send + Sync>;

/// A worker's randomness, for all of its primaries. Nobody ever waits for the lock.
pub type Randomness = Arc<Mutex<dyn Entropy + Send>>;

/// What all workers share, and what a reload of the settings keeps.
#[derive(Debug)]
pub struct Shared {
    health: Mutex<HashMap<(Label, SocketAddr), Arc<Health>>>,
    turns: Arc<Turns>,
    /// What each primary's servers were told lately.
    spared: Mutex<HashMap<Label, Arc<Sparing>>>,
}

impl Shared {
    /// Nothing is known of any server yet.
    #[must_use]
    pub fn new() -> Arc<Shared> {
        Arc::new(Shared { health: Mutex::default(), turns: Arc::new(Turns::new()), spared: Mutex::default() })
    }

    /// What is known of every server that was ever configured, by primary and address.
    pub fn status(&self) -> Vec<(Label, ServerStatus)> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let mut status: Vec<_> =
            health.iter().map(|((primary, _), health)| (primary.clone(), health.status())).collect();
        status.sort_by(|one, other| (&one.0, one.1.address).cmp(&(&other.0, other.1.address)));
        status
    }

    /// Takes over that so many passwords of `user` were wrong there before, the last of them at `last`.
    pub fn remember(&self, primary: &Label, user: &UserName, wrong: u32, last: Tick) {
        self.sparing(primary).remember(user, wrong, last);
    }

    fn sparing(&self, primary: &Label) -> Arc<Sparing> {
        let mut known = self.spared.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(primary.clone()).or_insert_with(|| Arc::new(Sparing::new())))
    }

    fn health(&self, primary: &Label, server: SocketAddr) -> Arc<Health> {
        let mut known = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let health = known.entry((primary.clone(), server)).or_insert_with(|| Arc::new(Health::new(server)));
        Arc::clone(health)
    }
}

/// What [`Primaries::open`] is handed.
pub struct Means {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Where local passwords are found.
    pub logins: Arc<dyn Logins>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The worker's randomness.
    pub entropy: Randomness,
    /// Which attributes of an upstream's reply are encrypted.
    pub kinds: Kinds,
    /// What requests without a credential are marked with, to be known should they come back; `None`: nothing.
    pub mark: Option<[u8; 16]>,
}

impl fmt::Debug for Means {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Means").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// Every primary authentication, as one worker asks them. Dropped, it closes its sockets.
pub struct Primaries {
    named: HashMap<Label, Primary>,
    logins: Arc<dyn Logins>,
    clock: Arc<dyn Clock>,
}

/// A primary whose directory gets to see a number of wrong passwords alone.
struct Spared {
    allowance: Allowance,
    sparing: Arc<Sparing>,
}

enum Primary {
    Radius(Arc<Radius>, Option<Spared>),
    Local(Local),
}

impl Primaries {
    /// Within the worker's runtime, where its sockets are to live. Says what is wrong with the settings before
    /// anything is sent; a server that cannot be reached yet is no fault.
    pub fn open(settings: &[Settings], means: Means) -> Result<Primaries, Fault> {
        let Means { shared, logins, clock, entropy, kinds, mark } = means;
        let mut named = HashMap::new();
        for Settings { name, kind } in settings {
            let primary = match kind {
                Kind::Local => Primary::Local(Local::new(
                    Arc::clone(&logins),
                    Arc::clone(&shared.turns),
                    Arc::clone(&clock),
                )),
                Kind::Radius(radius) => {
                    validate(name, radius)?;
                    let health = |server| shared.health(name, server);
                    let spare = |allowance| Spared { allowance, sparing: shared.sparing(name) };
                    let spared = radius.allowance.map(spare);
                    let radius = Radius::open(
                        format!("primary {name}"),
                        radius,
                        health,
                        Arc::clone(&clock),
                        Arc::clone(&entropy),
                        Arc::clone(&kinds),
                        mark,
                    );
                    radius.start();
                    Primary::Radius(radius, spared)
                }
            };
            if named.insert(name.clone(), primary).is_some() {
                let what = format!("two primaries are named {name}");
                return Err(Fault { what, hint: "give each its own name".into() });
            }
        }
        Ok(Primaries { named, logins, clock })
    }

    /// Asks the primary that `check` names, and answers by the check's time at the latest.
    pub async fn check(&self, check: PrimaryCheck) -> PrimaryAnswer {
        self.check_watched(check, None).await
    }

    /// The same, while somebody may watch.
    pub async fn check_watched(&self, check: PrimaryCheck, watcher: Watcher) -> PrimaryAnswer {
        match self.named.get(&check.primary) {
            Some(Primary::Radius(radius, None)) => radius.check(&check, watcher).await,
            // What is typed in a dialog of its own is no password, and where there is none none is guessed.
            Some(Primary::Radius(radius, Some(_))) if check.state.is_some() || check.password.is_empty() => {
                radius.check(&check, watcher).await
            }
            Some(Primary::Radius(radius, Some(Spared { allowance, sparing }))) => {
                let station = check.packet.attributes().first(number::CALLING_STATION_ID);
                // Anybody can write one into a request without Message-Authenticator.
                let station = station.filter(|_| check.packet.integrity() == Integrity::Signed);
                let begin = || sparing.begin(allowance, &check.user, station, &*self.clock);
                let attempt = if let Ok(attempt) = begin() {
                    attempt
                } else {
                    let Some(forgiven) = self.forgiven(&check).await else { return PrimaryAnswer::Withheld };
                    sparing.forgive(&check.user, forgiven);
                    let Ok(attempt) = begin() else { return PrimaryAnswer::Withheld };
                    attempt
                };
                let answer = radius.check(&check, watcher).await;
                attempt.settle(&answer, &*self.clock);
                answer
            }
            // Boxed, since every login's task would otherwise be as large as this rare and slow one.
            Some(Primary::Local(local)) => Box::pin(local.check(check)).await,
            None => PrimaryAnswer::Unavailable,
        }
    }

    /// Before which moment wrong passwords do not count any more, since an admin unlocked the user then. Asked for where it
    /// matters alone, so that a login pays nothing for it.
    async fn forgiven(&self, check: &PrimaryCheck) -> Option<Tick> {
        let query = UserQuery { user: check.user.clone(), seeds: false, look_alikes: false };
        let patience = check.answer_by.since(self.clock.mono());
        let found = tokio::time::timeout(patience, self.logins.find(&query).get()).await;
        match found {
            Ok(UserAnswer::Found(account)) => unlocked(&account, &*self.clock),
            _ => None,
        }
    }

    /// How long nineteen of twenty answers of this primary take at most: the slowest of its living servers. Zero
    /// before the first answer, and for local passwords.
    pub fn response_time(&self, primary: &Label) -> Duration {
        match self.named.get(primary) {
            Some(Primary::Radius(radius, _)) => radius.response_time(),
            Some(Primary::Local(_)) | None => Duration::ZERO,
        }
    }
}

/// When an admin last unlocked the user, by the clock that wrong passwords are counted by.
fn unlocked(account: &Account, clock: &dyn Clock) -> Option<Tick> {
    account.special.as_ref()?.unlocked?.tick(clock.unix(), clock.mono())
}

impl fmt::Debug for Primaries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.named.keys()).finish()
    }
}

/// Why a primary cannot be set up, for an admin to read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}\n  hint: {hint}")]
pub struct Fault {
    /// What is wrong, naming the primary.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

fn validate(name: &Label, settings: &settings::Radius) -> Result<(), Fault> {
    let fault =
        |what: String, hint: &str| Err(Fault { what: format!("primary {name}: {what}"), hint: hint.into() });
    let servers = &settings.servers;
    if servers.is_empty() {
        return fault("no server is named".into(), "name one: server=ADDRESS:1812");
    }
    if servers.len() > radius::SERVERS_MAX {
        let what = format!("{} servers are named, and {} can be", servers.len(), radius::SERVERS_MAX);
        return fault(what, "leave out those that are asked last");
    }
    if let Some((_, twice)) = servers
        .iter()
        .enumerate()
        .find(|(place, server)| servers.iter().take(*place).any(|other| other == *server))
    {
        return fault(
            format!("the server {twice} is named twice"),
            "name each once, in the order to ask them in",
        );
    }
    let Some(source) = settings.source else { return Ok(()) };
    if let Some(server) = servers.iter().find(|server| server.is_ipv4() != source.is_ipv4()) {
        let what = format!("the server {server} cannot be asked from {source}");
        return fault(what, "give source an address of the same family, or leave it out");
    }
    match UdpSocket::bind((source, 0)) {
        Ok(_) => Ok(()),
        Err(error) => {
            fault(format!("cannot send from {source}: {error}"), "source is an address of this machine")
        }
    }
}
