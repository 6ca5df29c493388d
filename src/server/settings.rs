//! What the server is told: listeners, clients, limits. Defaults and bounds stand beside each.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::people::People;
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::policy::Policy;
use crate::engine::rule::RuleSet;

/// Everything the server is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names this server in State attributes and records; unique among servers that share clients.
    pub server_name: Label,
    /// Where Access-Requests come in; at least one.
    pub listen: Vec<SocketAddr>,
    /// Threads that serve them, 1 to 64; default: one core is left to the store and the log, at most 8.
    pub workers: usize,
    /// The gateways; at least one.
    pub clients: Vec<Client>,
    /// Where people log in on pages: clients called as [`Door`](super::front::Door)s are, without a network.
    pub fronts: Vec<Client>,
    /// Bounds of the tables.
    pub limits: Limits,
    /// What to do with an answer to another server's challenge.
    pub affinity: Affinity,
    /// The other servers.
    pub peers: Vec<Peer>,
    /// What is said of those who log in, for whoever is asked why somebody cannot.
    pub people: Arc<People>,
    /// Where commands reach the server while it runs; `None` for nowhere.
    pub control: Option<Control>,
}

/// `affinity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Another server's State is refused.
    #[default]
    Deny,
    /// It is handed to the server that made it, where that is a peer.
    Relay,
    /// Logins wait in the store, and any server of it goes on with them.
    Shared,
}

/// Another server that shares clients with this one.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its server-name.
    pub name: Label,
    /// Where it listens; what it says comes from this address, of any port.
    pub address: SocketAddr,
    /// The secret that the two share; it may be the same for all.
    pub secret: Secret,
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Where it is.
    pub path: PathBuf,
    /// Without it the server does not start.
    pub insisted: bool,
}

/// A gateway (NAS) that may ask.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its name in log and records.
    pub name: Label,
    /// The source addresses it asks from; the longest prefix wins among all clients.
    pub networks: Vec<IpNet>,
    /// The shared secret.
    pub secret: Secret,
    /// The secret before it, and until when it still serves.
    pub previous_secret: Option<(Secret, UnixTime)>,
    /// Whether its requests must carry Message-Authenticator.
    pub message_authenticator: MessageAuthenticator,
    /// Drop Proxy-State without Message-Authenticator while the source is not at required.
    pub limit_proxy_state: bool,
    /// Put Message-Authenticator into replies. Off only for gateways that drop packets which carry it.
    pub send_message_authenticator: bool,
    /// The profile's name, for `check` and reports.
    pub profile: &'static str,
    /// What its logins need.
    pub policy: Arc<Policy>,
    /// What rules change of that; `None` where none can match here.
    pub rules: Option<Arc<RuleSet>>,
}

/// `message-authenticator` of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageAuthenticator {
    /// Required of a source address once it has shown one (CVE-2024-3596 ratchet).
    #[default]
    Auto,
    /// Always required.
    Required,
    /// Never required (EAP and Status-Server excepted, RFC 3579 §3.2, RFC 5997 §3).
    Optional,
}

/// Bounds of the tables, so that no flood grows memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Logins under way, parked ones included: 100 to 1,000,000. When full, new logins are refused.
    pub logins: usize,
    /// Remembered packets for duplicate detection: 1,000 to 1,000,000. When full, the oldest goes.
    pub duplicates: usize,
    /// How long a reply is kept for retransmissions: 5 to 30 s (RFC 5080 §2.2.2).
    pub reply_kept: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { logins: 100_000, duplicates: 200_000, reply_kept: Duration::from_secs(10) }
    }
}
