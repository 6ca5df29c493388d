//! Asks RADIUS servers, as one worker does.
//!
//! ```text
//! check ── launch ── flush ── port ──► server      what one turn of the worker launches leaves together
//!   ▲                                    │
//!   └── news ◄── take_in (authentic?) ◄──┘    sweep, every 25 ms while anything is in flight:
//!   └── news ◄────────────────────────────────── sends again, moves on to the next server, gives up
//! ```
//!
//! Everything but the health of the servers belongs to one worker, whose thread sends, listens and wakes; the lock
//! around it is there so that its futures are `Send`, and nobody ever waits for it. No timer is registered for a request.
//!
//! Invariants: only a datagram from the server's own address that authenticates under a request in flight changes
//! anything; everything else is counted and forgotten. A dialog of the server's own goes on with that server alone.

mod asking;
mod launching;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::dialog::Dialog;
use super::flight::{Flight, Lane, News, Purpose, Task, is_of_earlier};
use super::health::{Health, Turned};
use super::watch::{Seen, Watcher};
use super::{Kinds, Randomness, settings};
use crate::base::system::{Clock, Entropy, random};
use crate::base::time::Tick;
use crate::engine::question::PrimaryAnswer;
use crate::wire::{AttributeList, Code, MAX_PACKET, MaRule, SharedSecret, UpstreamReply, number};

/// The most source ports that one worker opens for one server: 16,384 requests in flight.
pub(super) const PORTS_MAX: usize = 64;
/// The most servers of one primary.
pub(super) const SERVERS_MAX: usize = 16;
/// A port beyond a server's first is closed when it was of no use for so long.
const PORT_KEPT: Duration = Duration::from_mins(1);
/// How often what is in flight is looked through.
const SWEEP: Duration = Duration::from_millis(25);
/// How often while nothing is in flight but a server is dead.
const SWEEP_DEAD: Duration = Duration::from_millis(250);
/// For so long after the last request the sweeps go on, so that a lone login does not have to start and stop them.
const LINGER: Duration = Duration::from_secs(1);
/// How long a probe waits for its answer.
const PROBE_PATIENCE: Duration = Duration::from_secs(3);
/// So many datagrams are taken in before others have their turn.
const TURN_MAX: usize = 256;

/// One worker's side of a primary that is asked by RADIUS.
pub(super) struct Radius {
    me: Weak<Radius>,
    /// `primary NAME` or `peer NAME`.
    whose: String,
    servers: Vec<Server>,
    secret: SharedSecret,
    source: Option<IpAddr>,
    message_authenticator_required: bool,
    dead_time: Duration,
    status_server: bool,
    clock: Arc<dyn Clock>,
    entropy: Randomness,
    kinds: Kinds,
    /// What requests without a credential are marked with, to be known should they come back.
    mark: Option<[u8; 16]>,
    flying: Mutex<Flying>,
    /// The sweeper sleeps until it is called.
    asleep: AtomicBool,
    call: Arc<Notify>,
    /// Something waits to be sent.
    bell: Arc<Notify>,
}

struct Server {
    address: SocketAddr,
    health: Arc<Health>,
}

struct Flying {
    /// A closed one leaves its place.
    lanes: Vec<Option<Lane>>,
    serial: u64,
    busy: usize,
    last_launch: Tick,
    unsent: Vec<Unsent>,
    sender: Option<Task>,
    sweeper: Option<Task>,
}

/// A flight that leaves when the running task yields.
struct Unsent {
    lane: usize,
    /// Of the packet, in octets.
    length: usize,
    identifier: u8,
}

impl Radius {
    /// Within a runtime. Sockets are opened when they are needed first; probes leave with the first sweep.
    pub(super) fn open(
        whose: String,
        settings: &settings::Radius,
        health: impl Fn(SocketAddr) -> Arc<Health>,
        clock: Arc<dyn Clock>,
        entropy: Randomness,
        kinds: Kinds,
        mark: Option<[u8; 16]>,
    ) -> Arc<Radius> {
        let server = |address: &SocketAddr| Server { address: *address, health: health(*address) };
        Arc::new_cyclic(|me| Radius {
            me: Weak::clone(me),
            whose,
            servers: settings.servers.iter().map(server).collect(),
            secret: SharedSecret::new(settings.secret.clone()),
            source: settings.source,
            message_authenticator_required: settings.message_authenticator_required,
            dead_time: settings.dead_time,
            status_server: settings.status_server,
            clock,
            entropy,
            kinds,
            mark,
            flying: Mutex::new(Flying {
                lanes: Vec::new(),
                serial: 0,
                busy: 0,
                last_launch: Tick(0),
                unsent: Vec::new(),
                sender: None,
                sweeper: None,
            }),
            asleep: AtomicBool::new(false),
            call: Arc::new(Notify::new()),
            bell: Arc::new(Notify::new()),
        })
    }

    /// Begins to sweep by itself, until it is dropped.
    pub(super) fn start(&self) {
        let sweeper = tokio::spawn(sweep_on(Weak::clone(&self.me), Arc::clone(&self.call)));
        self.flying().sweeper = Some(Task(sweeper));
    }

    /// See [`Primaries::response_time`](super::Primaries::response_time).
    pub(super) fn response_time(&self) -> Duration {
        let living = self.servers.iter().map(|server| server.health.status()).filter(|status| status.alive);
        living.map(|status| status.response_time).max().unwrap_or_default()
    }

    /// Takes a datagram that came in on a port; its source address is the server's, for the socket is connected.
    fn take_in(&self, place: usize, serial: u64, datagram: &[u8], now: Tick) {
        let mut flying = self.flying();
        let Some(lane) =
            flying.lanes.get_mut(place).and_then(Option::as_mut).filter(|lane| lane.serial == serial)
        else {
            return;
        };
        let Some(Server { address, health }) = self.servers.get(lane.server) else { return };
        // Late, or never asked for: nothing in flight bears the identifier.
        let identifier = datagram.get(1).copied();
        let waiting =
            identifier.and_then(|identifier| lane.flight(identifier)).filter(|flight| !flight.answered);
        let (Some(identifier), Some(flight)) = (identifier, waiting) else {
            return health.ignored();
        };
        let required = self.message_authenticator_required || health.shows_message_authenticator();
        let rule = if required { MaRule::Required } else { MaRule::IfPresent };
        let request = &flight.request;
        let reply =
            UpstreamReply::authenticate(datagram, identifier, &request.authenticator, &self.secret, rule);
        let reply = match reply {
            Ok(reply) => reply,
            Err(fault) => {
                health.ignored();
                if let Some(watcher) = &flight.watcher {
                    watcher.seen(&Seen::Ignored { server: *address, why: &fault });
                }
                return self.complain_of(health, *address, now, &fault);
            }
        };
        let Some(news) = self.news(&reply, flight.purpose, *address, health) else {
            return health.ignored();
        };
        // Of a packet that was sent twice, nobody knows which sending was answered (Karn).
        let took = (flight.schedule.tries() == 1).then(|| now.since(flight.began));
        if health.answered(now, took) == Turned::Alive {
            tracing::info!(server = %address, "{}: the upstream server answers again", self.whose);
        }
        if let Some(watcher) = &flight.watcher {
            let took = now.since(flight.began);
            watcher.seen(&Seen::Received { server: *address, packet: datagram, took });
        }
        flight.answered = true;
        flight.finished = true;
        let waker = flight.tell(news);
        if flight.purpose == Purpose::Probe {
            lane.land(identifier, now);
            flying.busy -= 1;
        } else {
            lane.changed(identifier);
        }
        drop(flying);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What an authentic reply says; `None` for one that answers no such question.
    fn news(
        &self,
        reply: &UpstreamReply<'_>,
        purpose: Purpose,
        server: SocketAddr,
        health: &Health,
    ) -> Option<News> {
        let code = reply.code();
        if !matches!(code, Code::ACCESS_ACCEPT | Code::ACCESS_REJECT | Code::ACCESS_CHALLENGE) {
            return None;
        }
        if purpose == Purpose::Probe {
            health.answers_probes();
            return Some(News::Answer(PrimaryAnswer::Unavailable));
        }
        // With EAP it is there in any case, and so shows nothing of the others.
        let shown =
            reply.has_message_authenticator() && reply.attributes().first(number::EAP_MESSAGE).is_none();
        if shown && health.raise() {
            tracing::info!(%server,
                "{}: the upstream server sends Message-Authenticator; replies without it are refused from now on",
                self.whose);
        }
        let (attributes, dropped) = AttributeList::hold(reply, |id| (self.kinds)(id));
        if dropped > 0 {
            tracing::warn!(%server, dropped,
                "{}: encrypted attributes of the upstream's reply cannot be read and are left out", self.whose);
        }
        Some(News::Answer(match code {
            Code::ACCESS_ACCEPT => PrimaryAnswer::Accepted { attributes },
            Code::ACCESS_CHALLENGE => match reply.attributes().first(number::STATE) {
                Some(state) => {
                    PrimaryAnswer::Challenged { state: Dialog { server, state }.encode(), attributes }
                }
                // Without State nobody could answer it; who cannot take a challenge takes it as a Reject
                // (RFC 2865 §4.4).
                None => PrimaryAnswer::Rejected { attributes: AttributeList::new() },
            },
            _ => PrimaryAnswer::Rejected { attributes },
        }))
    }

    /// Does what is due `now`: sends again, moves on, gives up, probes, closes ports. Answers after what time
    /// to look again; `None` when there is nothing to look for until something is launched.
    pub(super) fn sweep(&self, now: Tick) -> Option<Duration> {
        let mut wake = Vec::new();
        let mut guard = self.flying();
        let Flying { lanes, busy, .. } = &mut *guard;
        for lane in lanes.iter_mut().flatten() {
            let (server, socket) = (lane.server, Arc::clone(&lane.port.socket));
            for identifier in lane.due(now) {
                let Some(flight) = lane.flight(identifier) else { continue };
                let over = flight.give_up <= now;
                if over || flight.move_on.is_some_and(|moment| moment <= now) {
                    flight.move_on = None;
                    wake.extend(flight.tell(if over { News::TimedOut } else { News::MoveOn }));
                    self.count_silence(server, flight, now);
                }
                if over {
                    flight.finished = true;
                } else if flight.schedule.next().is_some_and(|moment| moment <= now) {
                    let [jitter] = random(&mut *self.entropy());
                    self.transmit(server, &socket, flight, jitter, now);
                }
                // Nobody else ends a probe.
                if over && flight.purpose == Purpose::Probe {
                    lane.land(identifier, now);
                    *busy -= 1;
                } else {
                    lane.changed(identifier);
                }
            }
            if lane.busy() > 0 {
                lane.idle_since = now;
            }
        }
        let flying = &mut *guard;
        flying.close_idle(now);
        let spare = flying.lanes.iter().flatten().count() > self.servers.len();
        let lingers = flying.busy > 0 || now.since(flying.last_launch) < LINGER;
        drop(guard);
        wake.into_iter().for_each(std::task::Waker::wake);
        let probed = self.probe(now);
        if lingers || probed {
            Some(SWEEP)
        } else if self.servers.iter().any(|server| server.health.is_dead()) {
            Some(SWEEP_DEAD)
        } else if spare {
            Some(PORT_KEPT)
        } else {
            self.asleep.store(true, Relaxed);
            None
        }
    }

    /// Sends the probes that are due; whether there were any.
    fn probe(&self, now: Tick) -> bool {
        let mut any = false;
        for (server, Server { health, .. }) in self.servers.iter().enumerate() {
            if self.status_server && health.probe_due(now, self.dead_time) {
                let question = Question {
                    server,
                    code: Code::STATUS_SERVER,
                    attributes: &AttributeList::new(),
                    proxy_state: None,
                    purpose: Purpose::Probe,
                    move_on: None,
                    give_up: now + PROBE_PATIENCE,
                    watcher: &None,
                };
                any |= self.launch(&question, now).is_some();
            }
        }
        any
    }

    /// Counts once that a login's question had no answer. One that was sent only once proves little.
    fn count_silence(&self, server: usize, flight: &mut Flight, now: Tick) {
        let proves = flight.purpose == Purpose::Login && !flight.answered && flight.schedule.tries() > 1;
        if !proves || std::mem::replace(&mut flight.counted, true) {
            return;
        }
        let Some(Server { address, health }) = self.servers.get(server) else { return };
        if health.was_silent(flight.began, now, self.dead_time) == Turned::Dead {
            tracing::warn!(server = %address, "{}: the upstream server does not answer", self.whose);
        }
    }

    fn complain(&self, server: usize, now: Tick, what: &dyn std::fmt::Display) {
        if let Some(Server { address, health }) = self.servers.get(server) {
            self.complain_of(health, *address, now, what);
        }
    }

    /// One line a minute and server.
    fn complain_of(&self, health: &Health, server: SocketAddr, now: Tick, what: &dyn std::fmt::Display) {
        if health.may_complain(now) {
            tracing::warn!(%server, "{}: trouble with the upstream server: {what}", self.whose);
        }
    }

    /// [`Radius::complain`] of the first server, at this moment.
    pub(super) fn complain_now(&self, what: &dyn std::fmt::Display) {
        self.complain(0, self.clock.mono(), what);
    }

    fn entropy(&self) -> MutexGuard<'_, dyn Entropy + Send + 'static> {
        self.entropy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flying(&self) -> MutexGuard<'_, Flying> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flying {
    /// The first port to `server` that has an identifier free: few ports are cheaper to listen on than many.
    fn free_identifier(&mut self, server: usize, now: Tick) -> Option<(usize, u8)> {
        self.lanes
            .iter_mut()
            .enumerate()
            .filter_map(|(place, lane)| Some((place, lane.as_mut()?)))
            .filter(|(_, lane)| lane.server == server)
            .find_map(|(place, lane)| Some((place, lane.identifier(now)?)))
    }

    /// Closes ports that were of no use for long, but not the first one to a server.
    fn close_idle(&mut self, now: Tick) {
        let mut seen = 0_u32;
        for slot in &mut self.lanes {
            let Some(lane) = slot else { continue };
            let bit = 1 << lane.server;
            let first = seen & bit == 0;
            seen |= bit;
            if !first && lane.busy() == 0 && now.since(lane.idle_since) >= PORT_KEPT {
                *slot = None;
            }
        }
    }
}

/// What to send to whom.
struct Question<'a> {
    server: usize,
    code: Code,
    attributes: &'a AttributeList,
    proxy_state: Option<&'a [u8]>,
    purpose: Purpose,
    move_on: Option<Tick>,
    give_up: Tick,
    watcher: &'a Watcher,
}

/// Listens on one port.
async fn listen(radius: Weak<Radius>, socket: Arc<UdpSocket>, place: usize, serial: u64) {
    let mut buffer = [0_u8; MAX_PACKET];
    loop {
        let Ok(()) = socket.readable().await else { return };
        let Some(radius) = radius.upgrade() else { return };
        let now = radius.clock.mono();
        let mut drained = false;
        for _ in 0..TURN_MAX {
            match socket.try_recv(&mut buffer) {
                Ok(length) => {
                    if let Some(datagram) = buffer.get(..length) {
                        radius.take_in(place, serial, datagram, now);
                    }
                }
                Err(fault) if is_of_earlier(&fault) => {}
                Err(_) => {
                    drained = true;
                    break;
                }
            }
        }
        drop(radius);
        if !drained {
            tokio::task::yield_now().await;
        }
    }
}

/// Sends what was launched, turn by turn.
async fn send_on(radius: Weak<Radius>, bell: Arc<Notify>) {
    loop {
        bell.notified().await;
        let Some(radius) = radius.upgrade() else { return };
        radius.flush(&mut radius.flying(), radius.clock.mono());
    }
}

/// Sweeps for as long as there is somebody to sweep for.
async fn sweep_on(radius: Weak<Radius>, call: Arc<Notify>) {
    loop {
        let pause = {
            let Some(radius) = radius.upgrade() else { return };
            radius.sweep(radius.clock.mono())
        };
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => call.notified().await,
        }
    }
}
