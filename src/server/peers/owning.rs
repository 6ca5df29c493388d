//! The owner's side: a peer passes on an answer to a challenge of ours.
//!
//! What is found wrong while the peer can still be told is told it, sealed; everything else is dropped and counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::answering::{Answering, ToPeer, Within, carry};
use super::carrier::{Answered, Asked, HOP};
use super::hello::greeting;
use super::replays::{Replays, Seen, is_in_time};
use super::{Heard, Peer, Peers, RELAY_PATIENCE, Said, witness};
use crate::base::name::Label;
use crate::engine::policy::Admission;
use crate::engine::step::Env;
use crate::server::clients::Clients;
use crate::server::duplicates::{PacketKey, Seen as Known};
use crate::server::node::{Arrival, Origin};
use crate::server::pipeline::{arrival, enter};
use crate::server::worker::{Live, Worker};
use crate::wire::{AccessRequest, Code, DropReason, Integrity, Parsed, ReplyTo};

/// What becomes of a request that a peer passed on.
pub(super) enum Taken {
    /// It goes on with the login that its State names.
    Arrival(Box<Arrival>, Box<[u8]>),
    /// The peer is told this at once.
    Told(Box<[u8]>),
}

impl Worker {
    /// Takes a carrier from `source`, sent to `local`.
    pub(in crate::server) fn hear(
        self: &Arc<Self>,
        live: &Live,
        heard: Heard,
        source: SocketAddr,
        local: SocketAddr,
    ) -> Result<(), DropReason> {
        let shared = &self.shared;
        let now = shared.clock.mono();
        let origin = Origin {
            key: PacketKey { source, local, identifier: heard.identifier },
            authenticator: heard.authenticator,
            gateway: source,
        };
        match shared.duplicates.admit(origin.key, &origin.authenticator, now) {
            Known::New => {}
            Known::Pending(_) => return Err(DropReason::DuplicatePending),
            Known::Answered(reply, _) => {
                self.send(reply, origin);
                return Ok(());
            }
        }
        let Heard { peer, nonce, said, reply_to, .. } = heard;
        let taken = match said {
            Said::Hello(plain) => {
                let own = shared.node.mint().server_name();
                self.with_env(|env| {
                    let said = greeting(&plain, own, live, env.unix)?;
                    let (_, sealed) = peer.greeting.seal(&nonce, &said.encode(), env.entropy);
                    Ok(Taken::Told(carry(reply_to, &sealed, env.entropy)))
                })
            }
            Said::Witness(plain) => self.with_env(|env| {
                let said = witness::answer(&plain, &peer.name, &shared.witnesses)?;
                let (_, sealed) = peer.its_witnessed.seal(&nonce, &said.encode(), env.entropy);
                Ok(Taken::Told(carry(reply_to, &sealed, env.entropy)))
            }),
            Said::Ask(plain) => {
                let way = ToPeer { peer, reply_to, nonce };
                self.with_env(|env| take(&plain, way, origin, &live.clients, &shared.replays, env))
            }
        };
        match taken {
            Ok(Taken::Told(datagram)) => self.reply(origin, datagram.into(), now, now),
            Ok(Taken::Arrival(arrival, state)) => {
                let answer_by = arrival.answer_by();
                self.turn(answer_by, |worker, env, out| {
                    // To nobody further: what names another server is refused.
                    enter(&worker.shared.node, &Peers::default(), *arrival, Some(&state), env, out)
                });
            }
            Err(reason) => {
                shared.duplicates.forget(origin.key, &origin.authenticator);
                return Err(reason);
            }
        }
        Ok(())
    }
}

/// Looks whether what a peer passed on is to be taken, and makes it an arrival like any other.
pub(super) fn take(
    plain: &[u8],
    way: ToPeer,
    origin: Origin,
    clients: &Clients,
    replays: &Replays,
    env: &mut Env<'_>,
) -> Result<Taken, DropReason> {
    let Asked { hop, signed, time, source, client, packet } =
        Asked::decode(plain).ok_or(DropReason::RelayRefused)?;
    if hop != HOP {
        return Err(DropReason::RelayRefused);
    }
    if !is_in_time(time, env.unix) {
        tracing::warn!(peer = %way.peer.name, theirs = %time, ours = %env.unix,
            "a peer's clock and ours lie too far apart: set both (chronyc makestep, timedatectl)");
        return Ok(Taken::Told(way.seal(&Answered::ClocksApart(env.unix), env.entropy)));
    }
    match replays.admit(way.nonce, env.mono) {
        Seen::New => {}
        Seen::Before => return Err(DropReason::RelayReplayed),
        Seen::Full => return Err(DropReason::Overload),
    }
    let lag = way.peer.lag.of(time, env.mono);
    let Some(gateway) = clients.named(&client) else {
        unknown(&way.peer, &client);
        return Ok(Taken::Told(way.seal(&Answered::ClientUnknown, env.entropy)));
    };
    let parsed = Parsed::parse(&packet)?;
    let verified = parsed.verify(&way.peer.secret)?;
    let proper = verified.code() == Code::ACCESS_REQUEST
        && verified.integrity() == Integrity::Signed
        && !parsed.has_proxy_state();
    let verified = if signed { verified } else { verified.lowered() };
    let request = AccessRequest::view(&verified)?;
    // Without a State it would begin a login.
    let state = request.state().filter(|_| proper).ok_or(DropReason::RelayRefused)?;
    let secret = Arc::clone(&way.peer.secret);
    let within =
        Within { request: ReplyTo::new(&verified, Arc::clone(&secret), true), carrier: way, until: env.mono };
    let origin = Origin { gateway: source, ..origin };
    let answering = Answering::Within(Box::new(within));
    let mut arrival = arrival(gateway, &request, &verified, &secret, origin, answering, env.mono);
    let time = patience(&arrival.policy.admission).saturating_sub(lag);
    if time.is_zero() {
        return Err(DropReason::RelayLate);
    }
    if let Answering::Within(within) = &mut arrival.reply_to {
        within.until = env.mono + time;
    }
    Ok(Taken::Arrival(Box::new(arrival), state.into()))
}

/// How long after a request was passed on its sender waits for the answer, less what its way back may take.
fn patience(admission: &Admission) -> Duration {
    let waits = admission.answer_within().min(RELAY_PATIENCE);
    waits.saturating_sub(waits / 6)
}

fn unknown(peer: &Peer, client: &Label) {
    tracing::warn!(peer = %peer.name, %client, hint = "give the client the same name on both servers",
        "a peer passed on a request of a client that is not configured here");
}
