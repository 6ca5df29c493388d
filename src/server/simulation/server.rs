//! A server without its sockets: the same tables and the same Node as a worker's, and the way that datagrams and answers
//! take through them.

pub(super) mod asks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::asks::Open;
use super::Broken;
use super::broken::store_of;
use super::check::REMEMBERED;
use super::dice::Dice;
use super::gateways::Gateway;
use super::people::server_number;
use super::person::{Person, Typed};
use super::plan::Plan;
use super::world::{Doing, TrueClock, World};
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::system::{Clock, Fixed, random};
use crate::base::time::{Tick, UnixTime};
use crate::engine::delivery::{Delivery, DeliveryId, Message, Sent};
use crate::engine::record::LoginId;
use crate::engine::step::{Env, Event};
use crate::server::affinity::{Mint, RoundId};
use crate::server::clients::{Authentic, Clients, Ratchet};
use crate::server::duplicates::{Duplicates, PacketKey, Seen};
use crate::server::node::{Ask, Node, Origin, Output};
use crate::server::peers::simulated::{Heard, hear};
use crate::server::peers::{Peers, Replays};
use crate::server::pipeline::{arrival, enter};
use crate::server::settings::{Affinity, Limits, Peer, Settings};
use crate::store::Logins;
use crate::store::memory::MemoryStore;
use crate::store::pending::Pending;
use crate::wire::{AccessRequest, DropReason, Parsed, ReplyTo};

/// What a worker gives the store at least.
pub(super) const STORE_LEAST: Duration = Duration::from_millis(500);
/// Where answers to what a server asks its peers come to: so many ports from this one on.
const CROSSING: u16 = 30_000;

pub(super) struct Server {
    pub(super) name: Label,
    pub(super) address: SocketAddr,
    pub(super) memory: MemoryStore,
    pub(super) store: Arc<dyn Logins>,
    pub(super) up: bool,
    /// Counts up with every end, so that what happens late is not taken for the next one's.
    pub(super) life: u32,
    pub(super) store_away: bool,
    pub(super) node: Node,
    settings: Settings,
    clients: Arc<Clients>,
    peers: Peers,
    replays: Replays,
    duplicates: Duplicates,
    ratchet: Ratchet,
    pub(super) entropy: Fixed,
    /// Milliseconds that its wall clock is off.
    skew: i64,
    started: Tick,
    asks: BTreeMap<u64, Open>,
    /// What it asked before it ended: a store may have begun with it.
    left: BTreeMap<(u32, u64), Ask>,
    next: u64,
}

fn name(place: usize) -> Label {
    Label::new(["mfa-a", "mfa-b", "mfa-c", "mfa-d"][place]).unwrap()
}

fn address(place: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, u8::try_from(place + 1).unwrap()], 1812))
}

fn mint(name: &Label, store: &MemoryStore, affinity: Affinity) -> Mint {
    let key = store.state_key();
    let mint = Mint::new(name, &key);
    if affinity == Affinity::Shared { mint.sharing(&key, &[]) } else { mint }
}

impl Server {
    pub(super) fn all(
        plan: &Plan,
        broken: Broken,
        clock: &TrueClock,
        gateways: &[Gateway],
        people: &[Person],
        dice: &mut Dice,
    ) -> Vec<Server> {
        let clients: Vec<_> = gateways.iter().map(|gateway| gateway.settings(plan)).collect();
        let clients = Arc::new(Clients::new(&clients));
        let filled = |dice: &mut Dice| {
            let entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: dice.number() };
            let mut store = MemoryStore::new(Arc::new(clock.clone()), Box::new(entropy));
            for person in people {
                person.enrol(&mut store);
            }
            store
        };
        let shared = filled(dice);
        (0..plan.servers)
            .map(|place| {
                let memory = if plan.one_store { shared.clone() } else { filled(dice) };
                let peer = |other| Peer {
                    name: name(other),
                    address: address(other),
                    secret: Secret::from("between the servers"),
                };
                let settings = Settings {
                    people: Arc::default(),
                    server_name: name(place),
                    listen: Vec::new(),
                    workers: 1,
                    clients: Vec::new(),
                    limits: Limits::default(),
                    affinity: plan.affinity,
                    control: None,
                    fronts: Vec::new(),
                    peers: (0..plan.servers).filter(|other| *other != place).map(peer).collect(),
                };
                let store = store_of(&memory, filled(dice), broken);
                let mut server = Server {
                    name: name(place),
                    address: address(place),
                    up: false,
                    life: 0,
                    store_away: false,
                    node: Node::new(mint(&name(place), &memory, plan.affinity), 1000),
                    clients: Arc::clone(&clients),
                    peers: Peers::new(&settings),
                    replays: Replays::default(),
                    duplicates: Duplicates::new(10_000, REMEMBERED),
                    ratchet: Ratchet::default(),
                    entropy: Fixed { mono: Tick(0), unix: UnixTime(0), seed: dice.number() },
                    skew: if plan.skewed { i64::try_from(dice.below(180_001)).unwrap() - 90_000 } else { 0 },
                    started: clock.mono(),
                    asks: BTreeMap::new(),
                    left: BTreeMap::new(),
                    next: 0,
                    settings,
                    memory,
                    store,
                };
                server.start(clock.mono());
                server
            })
            .collect()
    }

    /// With nothing left of what was in its memory.
    fn start(&mut self, now: Tick) {
        if self.up {
            return;
        }
        self.up = true;
        self.life += 1;
        self.started = now;
        self.node = Node::new(mint(&self.name, &self.memory, self.settings.affinity), 1000);
        self.peers = Peers::new(&self.settings);
        self.replays = Replays::default();
        self.duplicates = Duplicates::new(10_000, REMEMBERED);
        self.ratchet = Ratchet::new(self.memory.raised().unwrap());
    }

    pub(super) fn end(&mut self) {
        self.up = false;
        let life = self.life;
        self.left.extend(
            std::mem::take(&mut self.asks).into_iter().map(|(number, open)| ((life, number), open.ask)),
        );
    }

    /// Its clocks: the monotonic one began with the process.
    pub(super) fn clocks(&self, clock: &TrueClock) -> (Tick, UnixTime) {
        let mono = Tick(0) + Duration::from_mins(1) + clock.mono().since(self.started);
        (mono, UnixTime(clock.unix().0.saturating_add_signed(self.skew)))
    }
}

impl World {
    /// One step of a server's, with its clocks and randomness; then what comes of it.
    pub(super) fn step(
        &mut self,
        at: usize,
        answer_by: Option<Tick>,
        go: impl FnOnce(&Node, &Peers, &mut Env<'_>, &mut Vec<Output>) -> Option<Ask>,
    ) {
        let mut out = Vec::new();
        let server = &mut self.servers[at];
        let (mono, unix) = server.clocks(&self.clock);
        let mut env = Env { mono, unix, entropy: &mut server.entropy };
        let ask = go(&server.node, &server.peers, &mut env, &mut out);
        self.told(at, &out);
        for output in out {
            self.carry_out(at, mono, output);
        }
        if let Some(ask) = ask {
            self.ask(at, ask, answer_by.unwrap_or(mono), mono);
        }
    }

    /// Which login the Accepts among what came of a step are for.
    fn told(&mut self, at: usize, out: &[Output]) {
        let ended = out.iter().rev().find_map(|output| match output {
            Output::Ended { row, .. } => Some(row.login),
            _ => None,
        });
        let Some(login) = ended else { return };
        let now = self.now();
        self.ledger.ended(login, now);
        for output in out {
            if let Output::Reply { to, .. } = output {
                let request = (to.key.source, to.key.identifier, to.authenticator);
                self.ledger.decide(at, request, login);
            }
        }
    }

    pub(super) fn start(&mut self, at: usize) {
        let now = self.now();
        self.servers[at].start(now);
    }

    pub(super) fn receive(&mut self, at: usize, datagram: &[u8], from: SocketAddr, to: SocketAddr) {
        if !self.servers[at].up {
            return;
        }
        if to.port() != self.servers[at].address.port() {
            return self.crossed(at, datagram, to);
        }
        let server = &mut self.servers[at];
        let (mono, unix) = server.clocks(&self.clock);
        let mut env = Env { mono, unix, entropy: &mut server.entropy };
        let tables = (&server.peers, &*server.clients, &server.duplicates, &server.replays);
        match hear(tables, datagram, (from, to), &mut env) {
            Heard::Nothing => {}
            Heard::Dropped(reason) => return self.ledger.dropped(reason),
            Heard::Told(origin, datagram) => return self.leave(at, origin, &datagram),
            Heard::Arrival(arrival, state) => {
                self.ledger.count("handed over");
                let answer_by = arrival.answer_by();
                return self.step(at, Some(answer_by), |node, _, env, out| {
                    enter(node, &Peers::default(), *arrival, Some(&state), env, out)
                });
            }
        }
        if let Err(reason) = self.admit(at, datagram, from, to) {
            self.ledger.dropped(reason);
        }
    }

    /// The way of a gateway's datagram, as the pipeline goes it.
    fn admit(
        &mut self,
        at: usize,
        datagram: &[u8],
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<(), DropReason> {
        let server = &mut self.servers[at];
        let (mono, unix) = server.clocks(&self.clock);
        let gateway = Arc::clone(server.clients.find(from.ip()).ok_or(DropReason::UnknownClient)?);
        let parsed = Parsed::parse(datagram)?;
        let authentic = gateway.verify(&parsed, from.ip(), &server.ratchet, unix)?;
        let view = AccessRequest::view(&authentic.packet)?;
        if gateway.raises(&parsed, view.integrity()) && server.ratchet.raise(from.ip()) {
            let Pending::Ready(true) = server.store.raise(&gateway.name, from.ip()) else {
                panic!("in memory")
            };
        }
        let key = PacketKey { source: from, local: to, identifier: parsed.identifier() };
        let authenticator = *parsed.authenticator();
        let origin = Origin { key, authenticator, gateway: from };
        match server.duplicates.admit(key, &authenticator, mono) {
            Seen::New => {}
            Seen::Pending(_) => return Err(DropReason::DuplicatePending),
            Seen::Answered(reply, _) => {
                self.leave(at, origin, &reply);
                return Ok(());
            }
        }
        let Authentic { packet, secret } = &authentic;
        let reply_to = ReplyTo::new(packet, Arc::clone(secret), gateway.send_message_authenticator);
        let arrival = arrival(&gateway, &view, packet, secret, origin, reply_to, mono);
        let answer_by = mono + arrival.policy.admission.answer_within();
        let state = view.state();
        let mut began = None;
        self.step(at, Some(answer_by), |node, peers, env, out| {
            let ask = enter(node, peers, arrival, state, env, out);
            if let (None, Some(Ask::Primary(_, ticket))) = (state, &ask) {
                began = Some(LoginId::from_round(ticket.round().0));
            }
            ask
        });
        let (life, now) = (self.servers[at].life, self.now());
        let request = (from, key.identifier, authenticator);
        let (attempt, step) = self.asked_by(from, key.identifier);
        if let Some(login) = began {
            self.firsts.insert(login, (life, request, now));
            self.ledger.began(login, attempt, now);
        }
        if state.is_some() {
            self.waits_for(at, life, request, now);
        }
        let present = &self.attempts[attempt];
        let whole = matches!(present.steps[step].typed, Typed::Password { behind: Some(_), .. });
        if whole && present.station.is_some() {
            self.ledger.copied(attempt, (at, life), request, now);
        }
        Ok(())
    }

    fn carry_out(&mut self, at: usize, mono: Tick, output: Output) {
        let life = self.servers[at].life;
        match output {
            Output::Reply { to, datagram, not_before } => {
                let datagram: Arc<[u8]> = datagram.into();
                let wait = not_before.since(mono);
                if wait.is_zero() {
                    self.leave(at, to, &datagram);
                } else {
                    self.later(wait, Doing::Leaves { at, life, to, datagram });
                }
            }
            Output::Held { key } => self.servers[at].duplicates.set_aside(key),
            Output::Released { intent, login } => self.servers[at].store.release(intent, login),
            Output::Ended { row, .. } => {
                self.say(&format!("{at} ends {}: {}", row.login, row.reason.code()));
                self.ledger.count(row.reason.code());
            }
            Output::Deliver { round, delivery } => self.deliver(at, round, &delivery),
            Output::Tell { .. } => unreachable!("nobody knocks at a page here"),
            Output::Oversized { .. } | Output::TurnedAway { .. } => {
                self.ledger.fault("table", "a table was full, or a reply too large".to_owned());
            }
        }
    }

    fn deliver(&mut self, at: usize, round: RoundId, delivery: &Delivery) {
        let life = self.servers[at].life;
        let id = delivery.id;
        let takes = self.dice.millis(20, 3000);
        if self.dice.chance(self.plan.undelivered) {
            self.later(takes, Doing::Delivered { at, life, round, id, sent: Sent::Failed });
            return;
        }
        if let Message::Ask(question) = &delivery.message {
            let attempt = self.ledger.attempt(delivery.login);
            // Without a station nobody knows a copy, and a user's word asks for another question.
            let once = attempt
                .map(|attempt| &self.attempts[attempt])
                .is_some_and(|attempt| attempt.station.is_some() && attempt.words(delivery.kind) == 0);
            self.say(&format!("{at} asks by {} for attempt {attempt:?}: {}", delivery.kind, delivery.login));
            self.ledger.asked(delivery.login, (at, life), delivery.kind, once);
            self.ring(at, delivery, question);
        } else {
            let attempt = self.ledger.attempt(delivery.login);
            self.say(&format!("{at} sends by {} for attempt {attempt:?}: {}", delivery.kind, delivery.login));
            self.ledger.sent(delivery.login, (at, life), delivery.kind);
            self.bring(delivery);
        }
        // Or the provider's answer is lost.
        if self.dice.chance(90) {
            let sent = Sent::Accepted { provider: Label::new("sink").unwrap(), reference: None };
            self.later(takes, Doing::Delivered { at, life, round, id, sent });
        }
    }

    pub(super) fn delivered(&mut self, at: usize, round: RoundId, id: DeliveryId, sent: Sent) {
        let answer_by = self.servers[at].clocks(&self.clock).0 + STORE_LEAST;
        self.step(at, Some(answer_by), |node, _, env, out| {
            node.wake(round, Event::Delivered(id, sent), env, out)
        });
    }

    /// A reply leaves.
    pub(super) fn leave(&mut self, at: usize, to: Origin, datagram: &Arc<[u8]>) {
        let now = self.now();
        let server = &self.servers[at];
        let (mono, _) = server.clocks(&self.clock);
        server.duplicates.answered(to.key, &to.authenticator, datagram, mono);
        self.ledger.left((at, server.life), &to, datagram, now);
        self.shows(&to, datagram);
        self.send(datagram, to.key.local, to.key.source);
    }

    pub(super) fn sweep(&mut self, at: usize) {
        if !self.servers[at].up {
            return;
        }
        let (mono, _) = self.servers[at].clocks(&self.clock);
        let mut rounds = self.servers[at].node.expired(mono);
        // The order of a table's shards differs from machine to machine.
        rounds.sort_by_key(|round| round.0);
        for round in rounds {
            self.step(at, None, |node, _, env, out| node.wake(round, Event::Expired, env, out));
        }
        self.servers[at].duplicates.sweep(mono);
    }
}

/// A fresh Request Authenticator.
pub(super) fn authenticator(dice: &mut Dice) -> [u8; 16] {
    let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: dice.number() };
    random(&mut entropy)
}
