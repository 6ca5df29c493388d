//! What each primary authentication is told.

use std::net::SocketAddr;
use std::time::Duration;

pub use super::sparing::Allowance;
use crate::base::name::Label;
use crate::base::secret::Secret;

/// A configured primary authentication.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name, which clients refer to.
    pub name: Label,
    /// How it checks.
    pub kind: Kind,
}

/// How a primary authentication checks a password.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Asks RADIUS servers.
    Radius(Radius),
    /// Compares with the argon2id hash in the store.
    Local,
}

/// RADIUS servers that check passwords.
#[derive(Clone, Debug)]
pub struct Radius {
    /// The servers in the order in which they are asked; at least one. Host names are resolved at start and re-resolved by
    /// whoever makes these settings.
    pub servers: Vec<SocketAddr>,
    /// The shared secret, the same for all of them.
    pub secret: Secret,
    /// The local address to ask from; `None` lets the system choose.
    pub source: Option<std::net::IpAddr>,
    /// Refuse replies without Message-Authenticator from the start. Otherwise from the first one that carries it.
    pub message_authenticator_required: bool,
    /// How long a server that fell silent is passed over, 1 s to 1 h; default 30 s.
    pub dead_time: Duration,
    /// Whether to probe with Status-Server (RFC 5997): on by default; a server that never answers it is judged by its logins
    /// alone.
    pub status_server: bool,
    /// How many wrong passwords of one user they get to see; `None`: any number.
    pub allowance: Option<Allowance>,
}

impl Radius {
    /// Settings with every default.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>, secret: Secret) -> Radius {
        Radius {
            servers,
            secret,
            source: None,
            message_authenticator_required: false,
            dead_time: Duration::from_secs(30),
            status_server: true,
            allowance: Some(Allowance::default()),
        }
    }
}
