//! What passes between two servers, without the sockets that it passes through: for the simulation.

use std::net::SocketAddr;
use std::sync::Arc;

use super::asking::Pending;
use super::owning::{Taken, take};
use super::{Carried, Peer, Peers, Replays, Said};
use crate::base::system::random;
use crate::engine::question::{PeerAnswer, PeerRequest};
use crate::engine::step::Env;
use crate::server::clients::Clients;
use crate::server::duplicates::{Duplicates, PacketKey, Seen};
use crate::server::node::{Arrival, Origin};
use crate::wire::{AttributeList, Code, DropReason, MaRule, RequestBuilder, UpstreamReply};

/// A request on its way to its owner, and what its answer is read with.
pub(in crate::server) struct Crossing {
    peer: Arc<Peer>,
    pending: Pending,
    authenticator: [u8; 16],
    pub(in crate::server) datagram: Arc<[u8]>,
}

/// The port of each crossing is its own, so its identifier may be anything.
const IDENTIFIER: u8 = 9;

impl Crossing {
    /// Hands `request` to its owner.
    pub(in crate::server) fn begin(
        peers: &Peers,
        request: &PeerRequest,
        env: &mut Env<'_>,
    ) -> Option<Crossing> {
        let peer = Arc::clone(peers.list.iter().find(|peer| peer.name == request.owner)?);
        let (attributes, pending) = Pending::new(&peer, request, env)?;
        let authenticator = random(env.entropy);
        let builder = RequestBuilder {
            code: Code::ACCESS_REQUEST,
            attributes: &attributes,
            proxy_state: None,
            secret: &peer.secret,
        };
        let datagram = builder.build(IDENTIFIER, authenticator, env.entropy).ok()?.bytes.into();
        Some(Crossing { peer, pending, authenticator, datagram })
    }

    pub(in crate::server) fn to(&self) -> SocketAddr {
        self.peer.address
    }

    /// Reads a datagram that came back; `None` where it answers nothing.
    pub(in crate::server) fn read(&self, datagram: &[u8], env: &Env<'_>) -> Option<PeerAnswer> {
        let secret = &self.peer.secret;
        let reply =
            UpstreamReply::authenticate(datagram, IDENTIFIER, &self.authenticator, secret, MaRule::Required)
                .ok()?;
        let carrier = AttributeList::verbatim(reply.attributes());
        let kinds: crate::primary::Kinds = Arc::new(|_| None);
        Some(self.pending.read(&self.peer, &carrier, &kinds, env.unix).unwrap_or(PeerAnswer::Unavailable))
    }
}

/// What a datagram from a peer's address is.
pub(in crate::server) enum Heard {
    /// No peer's.
    Nothing,
    /// It goes no further.
    Dropped(DropReason),
    /// It is answered at once.
    Told(Origin, Arc<[u8]>),
    /// It goes on with a login.
    Arrival(Box<Arrival>, Box<[u8]>),
}

/// The way of a carrier, as a worker goes it.
pub(in crate::server) fn hear(
    (peers, clients, duplicates, replays): (&Peers, &Clients, &Duplicates, &Replays),
    datagram: &[u8],
    (source, local): (SocketAddr, SocketAddr),
    env: &mut Env<'_>,
) -> Heard {
    let heard = match peers.carried(datagram, source.ip()) {
        Carried::From(heard) => *heard,
        Carried::Unproven => return Heard::Dropped(DropReason::BadPeerSecret),
        Carried::Nothing => return Heard::Nothing,
    };
    let origin = Origin {
        key: PacketKey { source, local, identifier: heard.identifier },
        authenticator: heard.authenticator,
        gateway: source,
    };
    match duplicates.admit(origin.key, &origin.authenticator, env.mono) {
        Seen::New => {}
        Seen::Pending(_) => return Heard::Dropped(DropReason::DuplicatePending),
        Seen::Answered(reply, _) => return Heard::Told(origin, reply),
    }
    let Said::Ask(plain) = heard.said else { return Heard::Nothing };
    let way = super::answering::ToPeer { peer: heard.peer, reply_to: heard.reply_to, nonce: heard.nonce };
    match take(&plain, way, origin, clients, replays, env) {
        Ok(Taken::Told(datagram)) => Heard::Told(origin, datagram.into()),
        Ok(Taken::Arrival(arrival, state)) => Heard::Arrival(arrival, state),
        Err(reason) => {
            duplicates.forget(origin.key, &origin.authenticator);
            Heard::Dropped(reason)
        }
    }
}
