//! The other servers: an answer to a challenge belongs to the server that made it, and is handed there.
//!
//! ```text
//! gateway ─ Access-Request, State of A ─► B ─ carrier: Access-Request, sealed ─► A   its login goes on
//! gateway ◄─ Accept, Reject, Challenge ── B ◄──── carrier: Access-Accept, sealed ─── A
//! ```
//! A carrier is a RADIUS packet between two servers, signed with the secret that they share; what it carries stands in
//! attributes of number 224, sealed (`sealing.rs`). The request within is the gateway's, its password encrypted for the
//! peer; the reply within is the owner's, so what is encrypted in it travels as from any upstream server. B signs what it
//! tells its gateway, and asks no store.
//!
//! Invariants: what is signed but does not open is nobody's; a request is taken once (`replays.rs`), within two minutes of
//! the time that it says, and is never handed on a second time; it cannot begin a login; silence ends in a Reject in bounded
//! time. An owner knows the client by its name, and its own policy holds. It lets nobody in once whoever passed the request on has told
//! its gateway that there was no answer.

mod answering;
mod asking;
mod carrier;
mod hello;
mod lag;
mod owning;
mod replays;
mod sealing;
pub mod witness;

#[cfg(test)]
pub(super) mod simulated;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::affinity::ServerId;
use super::settings::{self, Affinity, Settings};
use crate::base::name::Label;
use crate::wire::{Code, Integrity, Parsed, ReplyTo, SharedSecret, number};
pub use answering::Answering;
pub(super) use asking::Relays;
pub use hello::{Greeted, HelloFault, clients_of, greet};
use lag::Lag;
pub(super) use replays::Replays;
use sealing::{Key, Nonce, Purpose};
pub(super) use witness::Witnesses;

/// How long an owner may take, where the gateway waits longer.
pub const RELAY_PATIENCE: Duration = Duration::from_secs(3);
/// The most peers that there can be.
pub const PEERS_MAX: usize = 64;

/// Another server, ready to be spoken to.
pub struct Peer {
    name: Label,
    id: ServerId,
    address: SocketAddr,
    secret: Arc<SharedSecret>,
    /// For what is asked of it, and for its answers.
    ask: Key,
    answer: Key,
    /// For what it asks, and for the answers to that.
    asked: Key,
    answered: Key,
    hello: Key,
    greeting: Key,
    /// For checkpoints that it is told or asked for, and its answers.
    witness: Key,
    witnessed: Key,
    /// The same in its direction.
    its_witness: Key,
    its_witnessed: Key,
    /// How long what it asks was under way.
    lag: Lag,
}

impl Peer {
    /// As the server called `own` knows it.
    pub(super) fn new(own: &Label, settings: &settings::Peer) -> Peer {
        let settings::Peer { name, address, secret } = settings;
        Peer {
            name: name.clone(),
            id: ServerId::of(name),
            address: *address,
            secret: Arc::new(SharedSecret::new(secret.clone())),
            ask: Key::between(secret, Purpose::Ask, own, name),
            answer: Key::between(secret, Purpose::Answer, name, own),
            asked: Key::between(secret, Purpose::Ask, name, own),
            answered: Key::between(secret, Purpose::Answer, own, name),
            hello: Key::of_strangers(secret, Purpose::Hello),
            greeting: Key::of_strangers(secret, Purpose::Greeting),
            witness: Key::between(secret, Purpose::Witness, own, name),
            witnessed: Key::between(secret, Purpose::Witnessed, name, own),
            its_witness: Key::between(secret, Purpose::Witness, name, own),
            its_witnessed: Key::between(secret, Purpose::Witnessed, own, name),
            lag: Lag::default(),
        }
    }

    /// Its server-name.
    pub(super) fn name(&self) -> &Label {
        &self.name
    }

    /// Opens what a carrier of its brought.
    fn open(&self, sealed: &[u8]) -> Option<(Nonce, Said)> {
        if let Some((nonce, plain)) = self.asked.open(&[], sealed) {
            return Some((nonce, Said::Ask(plain)));
        }
        if let Some((nonce, plain)) = self.its_witness.open(&[], sealed) {
            return Some((nonce, Said::Witness(plain)));
        }
        self.hello.open(&[], sealed).map(|(nonce, plain)| (nonce, Said::Hello(plain)))
    }
}

/// All of them, and what to do with answers to their challenges.
#[derive(Default)]
pub struct Peers {
    relays: bool,
    list: Vec<Arc<Peer>>,
}

impl Peers {
    /// From settings. Two of one name or number are refused by the configuration before.
    #[must_use]
    pub fn new(settings: &Settings) -> Peers {
        let known = |peer| Arc::new(Peer::new(&settings.server_name, peer));
        Peers {
            relays: settings.affinity == Affinity::Relay,
            list: settings.peers.iter().map(known).collect(),
        }
    }

    /// Whether an answer to a peer's challenge is handed to it.
    pub fn relays(&self) -> bool {
        self.relays
    }

    /// The name of the server with this number, where it is a peer.
    pub fn named(&self, server: ServerId) -> Option<&Label> {
        self.list.iter().find(|peer| peer.id == server).map(|peer| &peer.name)
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Arc<Peer>] {
        &self.list
    }

    /// Looks whether a datagram comes from a peer. Its address may be a client's as well: a peer's packet is one that
    /// carries the attribute, is signed with its secret, and opens.
    pub(super) fn carried(&self, datagram: &[u8], source: IpAddr) -> Carried {
        if self.list.is_empty() {
            return Carried::Nothing;
        }
        let source = source.to_canonical();
        let mut beside = self.list.iter().filter(|peer| peer.address.ip() == source).peekable();
        let (Some(_), Ok(parsed)) = (beside.peek(), Parsed::parse(datagram)) else { return Carried::Nothing };
        if parsed.code() != Code::ACCESS_REQUEST || parsed.attributes().first(number::RELAY).is_none() {
            return Carried::Nothing;
        }
        let sealed = carrier::unpack(parsed.attributes());
        for peer in beside.filter(|_| !parsed.has_proxy_state()) {
            let Ok(packet) = parsed.verify(&peer.secret) else { continue };
            if packet.integrity() != Integrity::Signed {
                continue;
            }
            if let Some((nonce, said)) = peer.open(&sealed) {
                return Carried::From(Box::new(Heard {
                    peer: Arc::clone(peer),
                    nonce,
                    said,
                    identifier: packet.identifier(),
                    authenticator: *packet.authenticator(),
                    reply_to: ReplyTo::new(&packet, Arc::clone(&peer.secret), true),
                }));
            }
        }
        Carried::Unproven
    }
}

/// Whether a datagram is a carrier.
pub(super) enum Carried {
    /// It is, from this peer.
    From(Box<Heard>),
    /// It looks like one, and is no peer's.
    Unproven,
    /// It is none.
    Nothing,
}

/// A carrier that a peer sent, opened.
pub(super) struct Heard {
    peer: Arc<Peer>,
    nonce: Nonce,
    said: Said,
    pub(super) identifier: u8,
    pub(super) authenticator: [u8; 16],
    reply_to: ReplyTo,
}

/// What it carried, not yet read.
enum Said {
    Ask(Zeroizing<Vec<u8>>),
    Hello(Zeroizing<Vec<u8>>),
    Witness(Zeroizing<Vec<u8>>),
}
