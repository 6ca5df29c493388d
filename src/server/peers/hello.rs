//! "Who are you?": how a server, or `radmfa check`, finds out whether a peer is there, is who it should be, and has the
//! same clients.
//!
//! Sealed under a key that knows no names, since that is what is asked for. The answer tells nothing that helps to log in.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Peer;
use super::carrier::{Greeting, Hello, pack, unpack};
use super::sealing::Key;
use crate::base::name::Label;
use crate::base::system::{Clock, Entropy, random};
use crate::base::time::{Tick, UnixTime};
use crate::engine::policy::Policy;
use crate::engine::rule::RuleSet;
use crate::server::clients::Gateway;
use crate::server::settings;
use crate::server::worker::Live;
use crate::wire::{AttributeList, Code, DropReason, MAX_PACKET, MaRule, RequestBuilder, UpstreamReply};

/// How often a hello is sent.
const TRIES: u32 = 2;
/// The most clients that are asked for.
const CLIENTS_MAX: usize = 20_000;

/// What a peer said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeted {
    /// Its server-name.
    pub name: Label,
    /// Its version.
    pub version: String,
    /// Its clock when it answered.
    pub time: UnixTime,
    /// Ours, when the answer came.
    pub now: UnixTime,
    /// Whether it hands answers to other servers' challenges on.
    pub relays: bool,
    /// Its clients by name, with what stands for their policies.
    pub clients: Vec<(Label, [u8; 8])>,
    /// How long the first answer took.
    pub took: Duration,
}

/// Why a peer said nothing.
#[derive(Debug, thiserror::Error)]
pub enum HelloFault {
    /// Nothing can be sent to it.
    #[error("{0}")]
    Unreachable(std::io::Error),
    /// The machine says that nothing listens there.
    #[error("nothing listens there")]
    Refused,
    /// Silence.
    #[error("no answer; it is down, names no peer at our address, or has another secret for it")]
    Silent,
    /// An answer that makes no sense.
    #[error("its answer cannot be read; does it run another version of radmfa?")]
    Malformed,
}

/// Asks a peer who it is, from any thread that may wait. Each answer is awaited for `patience`.
pub fn greet(
    own: &Label,
    peer: &settings::Peer,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
    patience: Duration,
) -> Result<Greeted, HelloFault> {
    let peer = Peer::new(own, peer);
    let socket = connect(peer.address).map_err(HelloFault::Unreachable)?;
    let mut greeted: Option<Greeted> = None;
    loop {
        let known = greeted.as_ref().map_or(0, |greeted| greeted.clients.len());
        let skip = u32::try_from(known).unwrap_or(u32::MAX);
        let began = clock.mono();
        let greeting =
            exchange(&peer, &Hello { from: own.clone(), skip }, &socket, clock, entropy, patience)?;
        let (more, total) = (greeting.clients.len(), greeting.total);
        let all = greeted.get_or_insert_with(|| Greeted {
            name: greeting.name,
            version: greeting.version,
            time: greeting.time,
            now: clock.unix(),
            relays: greeting.relays,
            clients: Vec::new(),
            took: clock.mono().since(began),
        });
        all.clients.extend(greeting.clients);
        if more == 0 || all.clients.len() >= usize::try_from(total).unwrap_or(usize::MAX).min(CLIENTS_MAX) {
            break;
        }
    }
    greeted.ok_or(HelloFault::Malformed)
}

pub(super) fn connect(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}

/// One hello and its greeting.
fn exchange(
    peer: &Peer,
    hello: &Hello,
    socket: &UdpSocket,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
    patience: Duration,
) -> Result<Greeting, HelloFault> {
    let keys = (&peer.hello, &peer.greeting);
    let answer = ask(peer, keys, &hello.encode(), socket, clock, entropy, patience)?;
    Greeting::decode(&answer).ok_or(HelloFault::Malformed)
}

/// Asks something under the first key; the answer, opened with the second.
pub(super) fn ask(
    peer: &Peer,
    (seal, open): (&Key, &Key),
    plain: &[u8],
    socket: &UdpSocket,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
    patience: Duration,
) -> Result<Zeroizing<Vec<u8>>, HelloFault> {
    let (nonce, sealed) = seal.seal(&[], plain, entropy);
    let attributes = pack(&sealed);
    let builder = RequestBuilder {
        code: Code::ACCESS_REQUEST,
        attributes: &attributes,
        proxy_state: None,
        secret: &peer.secret,
    };
    let [identifier] = random(entropy);
    let request = builder.build(identifier, random(entropy), entropy).map_err(|_| HelloFault::Malformed)?;
    for _ in 0..TRIES {
        match socket.send(&request.bytes) {
            Ok(_) => {}
            Err(fault) if fault.kind() == ErrorKind::ConnectionRefused => return Err(HelloFault::Refused),
            Err(fault) => return Err(HelloFault::Unreachable(fault)),
        }
        let until = clock.mono() + patience;
        let mut buffer = [0; MAX_PACKET];
        while let Some(length) = receive(socket, &mut buffer, until, clock)? {
            let datagram = buffer.get(..length).unwrap_or_default();
            let reply = UpstreamReply::authenticate(
                datagram,
                identifier,
                &request.authenticator,
                &peer.secret,
                MaRule::Required,
            );
            // Anybody may have sent it; the right one may still come.
            let Ok(reply) = reply else { continue };
            let sealed = unpack(AttributeList::verbatim(reply.attributes()).plain_attributes());
            return open.open(&nonce, &sealed).map(|(_, plain)| plain).ok_or(HelloFault::Malformed);
        }
    }
    Err(HelloFault::Silent)
}

/// A datagram, if one comes in time.
fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
    until: Tick,
    clock: &dyn Clock,
) -> Result<Option<usize>, HelloFault> {
    let left = until.since(clock.mono());
    if left.is_zero() {
        return Ok(None);
    }
    socket.set_read_timeout(Some(left)).map_err(HelloFault::Unreachable)?;
    match socket.recv(buffer) {
        Ok(length) => Ok(Some(length)),
        Err(fault) => match fault.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(None),
            ErrorKind::ConnectionRefused => Err(HelloFault::Refused),
            _ => Err(HelloFault::Unreachable(fault)),
        },
    }
}

/// What this server says of itself to a hello.
pub(super) fn greeting(
    hello: &[u8],
    own: &Label,
    live: &Live,
    now: UnixTime,
) -> Result<Greeting, DropReason> {
    let Hello { from, skip } = Hello::decode(hello).ok_or(DropReason::RelayRefused)?;
    if from == *own {
        tracing::error!(server = %own, hint = "give each server its own --server-name",
            "server-name-clash: another server has this server's name");
    }
    let all = clients_of(
        live.clients
            .all()
            .map(|gateway: &Gateway| (&gateway.name, &*gateway.policy, gateway.rules.as_deref())),
    );
    Ok(Greeting {
        name: own.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: now,
        relays: live.peers.relays(),
        total: u32::try_from(all.len()).unwrap_or(u32::MAX),
        clients: all.into_iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).collect(),
    })
}

/// Clients in the order of their names, each with what stands for its policy and the names of its rules: the same on two
/// servers of one version where these are the same.
pub fn clients_of<'a>(
    clients: impl Iterator<Item = (&'a Label, &'a Policy, Option<&'a RuleSet>)>,
) -> Vec<(Label, [u8; 8])> {
    let mut all: Vec<(Label, [u8; 8])> = clients
        .map(|(name, policy, rules)| {
            let digest = Sha256::digest(format!("{policy:?} {rules:?}"));
            let mut short = [0; 8];
            short.iter_mut().zip(digest).for_each(|(target, octet)| *target = octet);
            (name.clone(), short)
        })
        .collect();
    all.sort();
    all
}
