//! The asking side: hands a request to its owner, and reads what the owner says.

use std::collections::HashMap;
use std::sync::Arc;

use super::carrier::{Answered, Asked, HOP, INNER_MAX, pack, unpack};
use super::sealing::Nonce;
use super::{Peer, Peers};
use crate::base::name::Label;
use crate::base::system::random;
use crate::base::time::UnixTime;
use crate::engine::question::{PeerAnswer, PeerRequest, PrimaryAnswer};
use crate::engine::step::Env;
use crate::primary::{Exchange, Kinds};
use crate::server::worker::Worker;
use crate::wire::{
    AccessRequest, AttributeId, AttributeList, Code, HideKind, Integrity, MaRule, RequestBuilder,
    UpstreamReply, number,
};

/// One worker's ways to the peers.
pub(in crate::server) struct Relays {
    ways: HashMap<Label, (Arc<Peer>, Exchange)>,
    kinds: Kinds,
}

impl Relays {
    /// Within the worker's runtime. `open` makes the way to a peer.
    pub(in crate::server) fn open(
        peers: &Peers,
        kinds: Kinds,
        open: impl Fn(&Label, std::net::SocketAddr, &crate::wire::SharedSecret) -> Exchange,
    ) -> Relays {
        let way = |peer: &Arc<Peer>| {
            let exchange = open(&peer.name, peer.address, &peer.secret);
            (peer.name.clone(), (Arc::clone(peer), exchange))
        };
        Relays { ways: peers.list.iter().map(way).collect(), kinds }
    }

    /// Hands a request to its owner. Silence, and an answer that cannot be read, are [`PeerAnswer::Unavailable`].
    pub(in crate::server) async fn ask(&self, request: PeerRequest, worker: &Worker) -> PeerAnswer {
        // Gone with a reload meanwhile, or never there.
        let Some((peer, exchange)) = self.ways.get(&request.owner) else { return PeerAnswer::Unavailable };
        let Some((carrier, pending)) = worker.with_env(|env| Pending::new(peer, &request, env)) else {
            exchange.complain(&"a request is too large to be passed on");
            return PeerAnswer::Unavailable;
        };
        match exchange.ask(&carrier, request.answer_by).await {
            PrimaryAnswer::Accepted { attributes } => {
                let now = worker.shared.clock.unix();
                pending.read(peer, &attributes, &self.kinds, now).unwrap_or_else(|fault| {
                    exchange.complain(&fault);
                    PeerAnswer::Unavailable
                })
            }
            _ => PeerAnswer::Unavailable,
        }
    }
}

/// Why an owner's answer is of no use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unread {
    #[error("its answer does not open, or is no answer; does it run the same version?")]
    Malformed,
    #[error("its clock says {theirs}, ours {ours}: set both (chronyc makestep, timedatectl)")]
    ClocksApart { theirs: UnixTime, ours: UnixTime },
}

/// What it takes to read the answer to one request.
pub(super) struct Pending {
    nonce: Nonce,
    authenticator: [u8; 16],
}

/// The packet within is one of a kind; nobody tells it apart by its identifier.
const IDENTIFIER: u8 = 0;

/// Without these the owner could not go on.
const NEEDED: [u8; 5] = [
    number::USER_NAME,
    number::STATE,
    number::CALLING_STATION_ID,
    number::NAS_IDENTIFIER,
    number::NAS_IP_ADDRESS,
];

impl Pending {
    /// What a carrier says, and what its answer is read with; `None` where it is too large.
    pub(super) fn new(
        peer: &Peer,
        request: &PeerRequest,
        env: &mut Env<'_>,
    ) -> Option<(AttributeList, Pending)> {
        let attributes = inner(request)?;
        let authenticator = random(env.entropy);
        let builder = RequestBuilder {
            code: Code::ACCESS_REQUEST,
            attributes: &attributes,
            proxy_state: None,
            secret: &peer.secret,
        };
        let packet = builder.build(IDENTIFIER, authenticator, env.entropy).ok()?.bytes;
        let asked = Asked {
            hop: HOP,
            signed: request.packet.integrity() == Integrity::Signed,
            time: env.unix,
            source: request.source,
            client: request.client.clone(),
            packet: zeroize::Zeroizing::new(packet.into()),
        };
        let (nonce, sealed) = peer.ask.seal(&[], &asked.encode(), env.entropy);
        Some((pack(&sealed), Pending { nonce, authenticator }))
    }

    /// Reads the owner's answer, from the carrier that brought it.
    pub(super) fn read(
        &self,
        peer: &Peer,
        carrier: &AttributeList,
        kinds: &Kinds,
        now: UnixTime,
    ) -> Result<PeerAnswer, Unread> {
        let sealed = unpack(carrier.plain_attributes());
        let (_, plain) = peer.answer.open(&self.nonce, &sealed).ok_or(Unread::Malformed)?;
        match Answered::decode(&plain).ok_or(Unread::Malformed)? {
            Answered::ClientUnknown => Ok(PeerAnswer::ClientUnknown),
            Answered::ClocksApart(theirs) => Err(Unread::ClocksApart { theirs, ours: now }),
            Answered::Reply(reply) => {
                let reply = UpstreamReply::authenticate(
                    &reply,
                    IDENTIFIER,
                    &self.authenticator,
                    &peer.secret,
                    MaRule::Required,
                )
                .map_err(|_| Unread::Malformed)?;
                let (attributes, _) = AttributeList::hold(&reply, |id| kinds(id));
                match (reply.code(), reply.attributes().first(number::STATE)) {
                    (Code::ACCESS_ACCEPT, _) => Ok(PeerAnswer::Accepted { attributes }),
                    (Code::ACCESS_REJECT, _) => Ok(PeerAnswer::Rejected { attributes }),
                    (Code::ACCESS_CHALLENGE, Some(state)) => {
                        Ok(PeerAnswer::Challenged { state: state.into(), attributes })
                    }
                    _ => Err(Unread::Malformed),
                }
            }
        }
    }
}

/// The gateway's request; of one that is too large for a carrier, what is needed alone.
fn inner(request: &PeerRequest) -> Option<AttributeList> {
    let view = AccessRequest::view(&request.packet).ok()?;
    let all = AttributeList::relay(&view, &request.password).ok()?;
    if all.wire_len() <= INNER_MAX {
        return Some(all);
    }
    let mut needed = AttributeList::new();
    for attribute in request.packet.attributes().filter(|attribute| NEEDED.contains(&attribute.number())) {
        needed.push(attribute.number(), attribute.value()).ok()?;
    }
    let id = AttributeId::Standard(number::USER_PASSWORD);
    needed.push_held(id, HideKind::UserPassword, &request.password).ok()?;
    (needed.wire_len() <= INNER_MAX).then_some(needed)
}
