//! A server without its sockets: the same tables and the same Node as a worker's, and the way that datagrams and answers
//! take through them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::broken::store_of;
use super::dice::Dice;
use super::people::{Gateway, Person, server_number};
use super::world::{Doing, TrueClock, World};
use super::{Broken, Plan};
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::system::{Clock, Fixed, random};
use crate::base::time::{Tick, UnixTime};
use crate::engine::delivery::{Delivery, DeliveryId, Sent};
use crate::engine::parked::Ruled;
use crate::engine::question::{PeerAnswer, PrimaryAnswer, UserAnswer};
use crate::engine::record::{CommitAnswer, LoginId};
use crate::engine::step::{Env, Event};
use crate::server::affinity::{Mint, RoundId};
use crate::server::clients::{Authentic, Clients, Ratchet};
use crate::server::duplicates::{Duplicates, PacketKey, Seen};
use crate::server::node::{Ask, Node, Origin, Output, resolved};
use crate::server::peers::simulated::{Crossing, Heard, hear};
use crate::server::peers::{Peers, Replays};
use crate::server::pipeline::{arrival, enter};
use crate::server::settings::{Affinity, Limits, Peer, Settings};
use crate::store::Logins;
use crate::store::memory::MemoryStore;
use crate::store::parking::{Claimed, Unparked};
use crate::store::pending::Pending;
use crate::wire::{AccessRequest, AttributeList, DropReason, Parsed, ReplyTo};

/// What a worker gives the store at least.
const STORE_LEAST: Duration = Duration::from_millis(500);
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
    entropy: Fixed,
    /// Milliseconds that its wall clock is off.
    skew: i64,
    started: Tick,
    asks: BTreeMap<u64, Open>,
    /// What it asked before it ended: a store may have begun with it.
    left: BTreeMap<(u32, u64), Ask>,
    next: u64,
}

struct Open {
    ask: Ask,
    answer_by: Tick,
    crossing: Option<Crossing>,
}

#[derive(Debug)]
pub(super) enum Answer {
    Primary(PrimaryAnswer),
    User(UserAnswer),
    Commit(CommitAnswer),
    Peer(PeerAnswer),
    Park(bool),
    Unpark(Unparked),
    Claim(Claimed),
}

impl Answer {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Answer::Primary(PrimaryAnswer::Accepted { .. }) => "the password is right",
            Answer::Primary(_) => "the password is not right",
            Answer::User(UserAnswer::Found(_)) => "a user",
            Answer::User(_) => "no user",
            Answer::Commit(CommitAnswer::Done(_)) => "a row",
            Answer::Commit(CommitAnswer::Refused(_)) => "no row, by a guard",
            Answer::Commit(_) => "no row",
            Answer::Peer(PeerAnswer::Unavailable) => "nothing of the owner",
            Answer::Peer(_) => "the owner's verdict",
            Answer::Park(true) => "it is kept",
            Answer::Park(false) => "it is not kept",
            Answer::Unpark(Unparked::Login { .. }) => "a login",
            Answer::Unpark(_) => "no login",
            Answer::Claim(Claimed::Ours) => "it may send",
            Answer::Claim(Claimed::Theirs(Some(_))) => "another has sent",
            Answer::Claim(_) => "it may not send",
        }
    }

    /// What a question comes to that nobody answers.
    fn nothing(ask: &Ask) -> Answer {
        match ask {
            Ask::Primary(..) => Answer::Primary(PrimaryAnswer::Unavailable),
            Ask::User(..) => Answer::User(UserAnswer::Unavailable),
            Ask::Commit(..) => Answer::Commit(CommitAnswer::Unavailable),
            Ask::Relay(..) => Answer::Peer(PeerAnswer::Unavailable),
            Ask::Park(..) => Answer::Park(false),
            Ask::Unpark(..) => Answer::Unpark(Unparked::Unavailable),
            Ask::Claim(..) => Answer::Claim(Claimed::Unavailable),
        }
    }
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
                    server_name: name(place),
                    listen: Vec::new(),
                    workers: 1,
                    clients: Vec::new(),
                    limits: Limits::default(),
                    affinity: plan.affinity,
                    control: None,
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
                    duplicates: Duplicates::new(10_000, Duration::from_secs(10)),
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
        self.duplicates = Duplicates::new(10_000, Duration::from_secs(10));
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
    fn clocks(&self, clock: &TrueClock) -> (Tick, UnixTime) {
        let mono = Tick(0) + Duration::from_mins(1) + clock.mono().since(self.started);
        (mono, UnixTime(clock.unix().0.saturating_add_signed(self.skew)))
    }
}

impl World {
    /// One step of a server's, with its clocks and randomness; then what comes of it.
    fn step(
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
        for output in out {
            self.carry_out(at, mono, output);
        }
        if let Some(ask) = ask {
            self.ask(at, ask, answer_by.unwrap_or(mono), mono);
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
                let answer_by = mono + arrival.policy.admission.answer_within();
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
        if let Some(login) = began {
            let (attempt, _) = self.asked_by(from, key.identifier);
            self.ledger.began(login, attempt);
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
            Output::Released { intent, login } => self.servers[at].store.release(intent, login),
            Output::Ended { row, .. } => self.ledger.count(row.reason.code()),
            Output::Deliver { round, delivery } => self.deliver(at, round, &delivery),
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
        self.ledger.sent(delivery.login, (at, life));
        self.bring(delivery);
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
        let server = &self.servers[at];
        let (mono, _) = server.clocks(&self.clock);
        server.duplicates.answered(to.key, &to.authenticator, datagram, mono);
        self.ledger.left((at, server.life), &to, datagram);
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

    /// A question leaves a server.
    fn ask(&mut self, at: usize, ask: Ask, answer_by: Tick, mono: Tick) {
        if self.broken == Broken::AnswersGetLost && self.dice.chance(5) {
            return;
        }
        let server = &mut self.servers[at];
        server.next += 1;
        let (number, life) = (server.next, server.life);
        let mut crossing = None;
        let until = match &ask {
            Ask::Primary(check, _) => check.answer_by,
            Ask::User(..) | Ask::Commit(..) | Ask::Park(..) | Ask::Unpark(..) | Ask::Claim(..) => {
                answer_by.max(mono + STORE_LEAST)
            }
            Ask::Relay(request, _) => {
                let (mono, unix) = server.clocks(&self.clock);
                let mut env = Env { mono, unix, entropy: &mut server.entropy };
                crossing = Crossing::begin(&server.peers, request, &mut env);
                request.answer_by
            }
        };
        let takes = match &ask {
            Ask::Primary(..) => self.dice.millis(5, 80),
            _ => self.dice.millis(0, 6),
        };
        let slow = if self.dice.chance(self.plan.slow) { self.dice.millis(0, 9000) } else { Duration::ZERO };
        self.servers[at].asks.insert(number, Open { ask, answer_by, crossing });
        if matches!(self.servers[at].asks[&number].ask, Ask::Relay(..)) {
            for again in [0, 500, 1500] {
                self.later(Duration::from_millis(again), Doing::Crosses { at, life, ask: number });
            }
        } else {
            self.later(takes + slow, Doing::Performs { at, life, ask: number });
        }
        self.later(until.since(mono), Doing::GivesUp { at, life, ask: number });
    }

    /// A carrier leaves, for the first time or again.
    pub(super) fn cross(&mut self, at: usize, ask: u64) {
        let Some(Open { crossing: Some(crossing), .. }) = self.servers[at].asks.get(&ask) else { return };
        let (datagram, to) = (Arc::clone(&crossing.datagram), crossing.to());
        let port = CROSSING + u16::try_from(ask % 20_000).unwrap();
        let from = SocketAddr::new(self.servers[at].address.ip(), port);
        self.send(&datagram, from, to);
    }

    /// Something came to a port from which a peer was asked.
    fn crossed(&mut self, at: usize, datagram: &[u8], to: SocketAddr) {
        let port = u64::from(to.port() - CROSSING);
        let server = &mut self.servers[at];
        let (mono, unix) = server.clocks(&self.clock);
        let env = Env { mono, unix, entropy: &mut Fixed { mono, unix, seed: 0 } };
        let found =
            server.asks.iter().find(|(number, open)| **number % 20_000 == port && open.crossing.is_some());
        let Some((ask, Open { crossing: Some(crossing), .. })) = found else { return };
        if let Some(answer) = crossing.read(datagram, &env) {
            let ask = *ask;
            self.answer(at, ask, Answer::Peer(answer));
        }
    }

    /// The world outside takes a question up, unless it was withdrawn.
    pub(super) fn perform(&mut self, at: usize, life: u32, ask: u64) {
        let server = &mut self.servers[at];
        if !server.up || server.life != life {
            // The process is gone; what the store had begun with is done all the same.
            if let Some(left) = server.left.remove(&(life, ask))
                && self.dice.chance(50)
            {
                let store = &self.servers[at].store;
                match left {
                    Ask::Commit(record, _) => drop(now(store.commit(record))),
                    Ask::Park(parking, _) => drop(store.park(parking)),
                    Ask::Unpark(spot, _) => drop(now(store.unpark(spot))),
                    Ask::Claim(claim, _) => drop(now(store.claim(claim))),
                    Ask::Primary(..) | Ask::User(..) | Ask::Relay(..) => {}
                }
            }
            return;
        }
        let Some(open) = server.asks.get(&ask) else { return };
        let stored = !matches!(open.ask, Ask::Primary(..));
        if stored && server.store_away {
            return;
        }
        let answer = match &open.ask {
            Ask::Primary(check, ticket) => {
                let right = self.people.iter().any(|person| {
                    person.name == check.user && *person.password() == *check.password.expose()
                });
                let outage = self.dice.chance(self.plan.primary_away);
                Answer::Primary(match (right || self.broken == Broken::PrimaryTakesAnything, outage) {
                    (_, true) => PrimaryAnswer::Unavailable,
                    (true, _) => {
                        self.ledger.passed(LoginId::from_round(ticket.round().0));
                        PrimaryAnswer::Accepted { attributes: AttributeList::default() }
                    }
                    (false, _) => PrimaryAnswer::Rejected { attributes: AttributeList::default() },
                })
            }
            Ask::User(query, _) => Answer::User(now(server.store.find(query))),
            Ask::Commit(record, _) => Answer::Commit(now(server.store.commit(record.clone()))),
            Ask::Park(parking, _) => Answer::Park(now(server.store.park(parking.clone()))),
            Ask::Unpark(spot, _) => {
                let answer = now(server.store.unpark(*spot));
                let ours = spot.server == server_number(&server.name);
                match &answer {
                    Unparked::Login { .. } if !ours => self.ledger.count("taken up elsewhere"),
                    Unparked::Gone => self.ledger.count("raced"),
                    _ => {}
                }
                Answer::Unpark(answer)
            }
            Ask::Claim(claim, _) => match now(server.store.claim(*claim)) {
                Claimed::Theirs(None) => {
                    let again = Duration::from_millis(200);
                    return self.later(again, Doing::Performs { at, life, ask });
                }
                claimed => {
                    if let Claimed::Theirs(Some(_)) = &claimed {
                        self.ledger.count("joined elsewhere");
                    }
                    Answer::Claim(claimed)
                }
            },
            Ask::Relay(..) => return,
        };
        let takes = self.dice.millis(0, 4);
        let slow = if self.dice.chance(self.plan.slow) { self.dice.millis(0, 9000) } else { Duration::ZERO };
        self.later(takes + slow, Doing::Answers { at, life, ask, answer });
    }

    pub(super) fn answer(&mut self, at: usize, ask: u64, answer: Answer) {
        let Some(open) = self.servers[at].asks.remove(&ask) else { return };
        let answer_by = Some(open.answer_by);
        match (open.ask, answer) {
            (Ask::Primary(_, ticket), Answer::Primary(answer)) => {
                self.step(at, answer_by, |node, _, env, out| node.answer(ticket, answer, env, out));
            }
            (Ask::User(_, ticket), Answer::User(answer)) => {
                self.step(at, answer_by, |node, _, env, out| node.answer(ticket, answer, env, out));
            }
            (Ask::Commit(_, ticket), Answer::Commit(answer)) => {
                self.step(at, answer_by, |node, _, env, out| node.answer(ticket, answer, env, out));
            }
            (Ask::Relay(_, ticket), Answer::Peer(answer)) => {
                self.step(at, answer_by, |node, _, env, out| node.answer(ticket, answer, env, out));
            }
            (Ask::Park(_, ticket), Answer::Park(kept)) => {
                self.step(at, answer_by, |node, _, env, out| node.parked(ticket, kept, env, out));
            }
            (Ask::Unpark(_, ticket), Answer::Unpark(taken)) => {
                let clients = Arc::clone(&self.servers[at].clients);
                let policy = |client: &Label, ruled: &Ruled| resolved(&clients, client, ruled);
                self.step(at, answer_by, |node, _, env, out| node.unparked(ticket, taken, &policy, env, out));
            }
            (Ask::Claim(_, ticket), Answer::Claim(claimed)) => {
                self.step(at, answer_by, |node, _, env, out| node.claimed(ticket, claimed, env, out));
            }
            (ask, answer) => panic!("{ask:?} is not answered by {answer:?}"),
        }
    }

    pub(super) fn give_up(&mut self, at: usize, ask: u64) {
        let Some(open) = self.servers[at].asks.get(&ask) else { return };
        let nothing = match &open.ask {
            // It was asked for again and again.
            Ask::Claim(..) if self.dice.chance(50) => Answer::Claim(Claimed::Theirs(None)),
            ask => Answer::nothing(ask),
        };
        self.answer(at, ask, nothing);
    }
}

pub(super) fn now<T>(pending: Pending<T>) -> T {
    match pending {
        Pending::Ready(answer) => answer,
        Pending::Later(_) => panic!("the store in memory answers at once"),
    }
}

/// A fresh Request Authenticator.
pub(super) fn authenticator(dice: &mut Dice) -> [u8; 16] {
    let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: dice.number() };
    random(&mut entropy)
}
