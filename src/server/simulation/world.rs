//! Everything that happens, in the order of one clock: datagrams arrive, stores and primaries answer, servers end and start
//! again, the network is cut. Chance decides each of it, and a seed decides chance.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Broken;
use super::check::{Ledger, Request};
use super::dice::Dice;
use super::gateways::Gateway;
use super::people::Attempt;
use super::person::Person;
use super::phones::Ring;
use super::plan::Plan;
use super::server::Server;
use super::server::asks::Answer;
use crate::base::system::Clock;
use crate::base::time::{Tick, UnixTime};
use crate::engine::delivery::{DeliveryId, Sent};
use crate::engine::record::LoginId;
use crate::server::affinity::RoundId;
use crate::server::node::Origin;

/// When every world begins.
pub(super) const START: Tick = Tick(1 << 42);
const START_UNIX: UnixTime = UnixTime::from_secs(1_800_000_000);

/// True time, which stores go by; servers are off by their skew.
#[derive(Clone)]
pub(super) struct TrueClock(Arc<AtomicU64>);

impl Clock for TrueClock {
    fn mono(&self) -> Tick {
        Tick(self.0.load(Ordering::Relaxed))
    }

    fn unix(&self) -> UnixTime {
        START_UNIX + self.mono().since(START)
    }
}

/// What is going to happen.
pub(super) enum Doing {
    Arrives {
        datagram: Arc<[u8]>,
        from: SocketAddr,
        to: SocketAddr,
    },
    /// The world outside looks at a question of a server's.
    Performs {
        at: usize,
        life: u32,
        ask: u64,
    },
    Answers {
        at: usize,
        life: u32,
        ask: u64,
        answer: Answer,
    },
    /// So long the server waits.
    GivesUp {
        at: usize,
        life: u32,
        ask: u64,
    },
    /// A reply's time has come.
    Leaves {
        at: usize,
        life: u32,
        to: Origin,
        datagram: Arc<[u8]>,
    },
    Delivered {
        at: usize,
        life: u32,
        round: RoundId,
        id: DeliveryId,
        sent: Sent,
    },
    /// Somebody answers on the phone.
    Answered {
        ring: usize,
    },
    /// Somebody else does.
    Forged {
        ring: usize,
    },
    /// A request's gateway has waited for as long as it does.
    Impatient {
        at: usize,
        life: u32,
        request: Request,
    },
    /// A carrier is sent again.
    Crosses {
        at: usize,
        life: u32,
        ask: u64,
    },
    Sweeps(usize),
    Ends(usize),
    Starts(usize),
    Cut(SocketAddr, SocketAddr),
    Mended(SocketAddr, SocketAddr),
    StoreAway(usize, bool),
    Begins(usize),
    Types {
        attempt: usize,
        step: usize,
    },
    /// The gateway's patience with one of its datagrams is over.
    Retries {
        attempt: usize,
        step: usize,
        tries: u32,
    },
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) broken: Broken,
    pub(super) dice: Dice,
    pub(super) clock: TrueClock,
    queue: BTreeMap<(Tick, u64), Doing>,
    order: u64,
    pub(super) servers: Vec<Server>,
    pub(super) gateways: Vec<Gateway>,
    pub(super) people: Vec<Person>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) rings: Vec<Ring>,
    /// The requests that logins began with: at which life of their server, and when.
    pub(super) firsts: BTreeMap<LoginId, (u32, Request, Tick)>,
    pub(super) ledger: Ledger,
    cuts: BTreeSet<(SocketAddr, SocketAddr)>,
    /// What happened, condensed: two runs of one seed end with the same.
    pub(super) digest: u64,
    /// Every event is printed.
    pub(super) told: bool,
}

impl World {
    pub(super) fn new(seed: u64, broken: Broken, told: bool) -> World {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(&mut dice, broken);
        let clock = TrueClock(Arc::new(AtomicU64::new(START.0)));
        let gateways = Gateway::all(&plan);
        let people = Person::all(&plan, &mut dice);
        let servers = Server::all(&plan, broken, &clock, &gateways, &people, &mut dice);
        let mut world = World {
            plan,
            broken,
            dice,
            clock,
            queue: BTreeMap::new(),
            order: 0,
            servers,
            gateways,
            people,
            attempts: Vec::new(),
            rings: Vec::new(),
            firsts: BTreeMap::new(),
            ledger: Ledger::default(),
            cuts: BTreeSet::new(),
            digest: 0,
            told,
        };
        world.schedule();
        world
    }

    /// What does not depend on anything else that happens.
    fn schedule(&mut self) {
        let span = self.plan.span;
        for at in 0..self.servers.len() {
            let first = self.dice.millis(100, 2000);
            self.later(first, Doing::Sweeps(at));
            if self.dice.chance(self.plan.crashes) {
                let when = self.dice.millis(1000, span);
                let back = when + self.dice.millis(50, 30_000);
                self.later(when, Doing::Ends(at));
                self.later(back, Doing::Starts(at));
            }
            if self.dice.chance(self.plan.outages) {
                let when = self.dice.millis(1000, span);
                let back = when + self.dice.millis(100, 15_000);
                self.later(when, Doing::StoreAway(at, true));
                self.later(back, Doing::StoreAway(at, false));
            }
        }
        let places: Vec<SocketAddr> = self
            .servers
            .iter()
            .map(|server| server.address)
            .chain(self.gateways.iter().map(|gateway| gateway.address))
            .collect();
        for _ in 0..self.plan.cuts {
            let (one, other) = (self.dice.pick(&places), self.dice.pick(&places));
            let when = self.dice.millis(0, span);
            let mended = when + self.dice.millis(500, 20_000);
            self.later(when, Doing::Cut(one, other));
            self.later(mended, Doing::Mended(one, other));
        }
        for _ in 0..self.plan.logins {
            let attempt = Attempt::draw(&self.plan, &mut self.dice, self.attempts.len());
            let when = self.dice.millis(0, span);
            self.attempts.push(attempt);
            self.later(when, Doing::Begins(self.attempts.len() - 1));
        }
    }

    pub(super) fn now(&self) -> Tick {
        self.clock.mono()
    }

    pub(super) fn unix(&self) -> UnixTime {
        self.clock.unix()
    }

    pub(super) fn later(&mut self, span: Duration, doing: Doing) {
        self.order += 1;
        self.queue.insert((self.now() + span, self.order), doing);
    }

    /// Sends a datagram: it is lost, or late, or comes twice, as chance has it.
    pub(super) fn send(&mut self, datagram: &Arc<[u8]>, from: SocketAddr, to: SocketAddr) {
        if self.cuts.contains(&way(from, to)) {
            return;
        }
        let copies = match () {
            () if self.dice.chance(self.plan.loss) => 0,
            () if self.dice.chance(self.plan.twice) => 2,
            () => 1,
        };
        for _ in 0..copies {
            let late = if self.dice.chance(self.plan.late) { 2500 } else { 30 };
            let takes = self.dice.millis(1, late);
            self.later(takes, Doing::Arrives { datagram: Arc::clone(datagram), from, to });
        }
    }

    /// Lets everything happen, then lets time pass until nothing can be left.
    pub(super) fn run(&mut self) {
        let end = START + Duration::from_millis(self.plan.span) + Duration::from_mins(3);
        while self.happens(end) {}
        for at in 0..self.servers.len() {
            self.start(at);
            self.servers[at].store_away = false;
        }
        self.cuts.clear();
        // Beyond every patience and lifetime, twice: what ends may leave something to end.
        for _ in 0..40 {
            let until = self.now() + Duration::from_secs(30);
            for at in 0..self.servers.len() {
                self.sweep(at);
            }
            while self.happens(until) {}
            self.set(until);
        }
        self.settle();
    }

    fn set(&mut self, to: Tick) {
        self.clock.0.store(to.0, Ordering::Relaxed);
    }

    /// The next thing, if it happens before `end`.
    fn happens(&mut self, end: Tick) -> bool {
        let Some(next) = self.queue.first_entry().filter(|next| next.key().0 < end) else { return false };
        let ((when, _), doing) = next.remove_entry();
        self.set(when);
        self.note(&doing);
        match doing {
            Doing::Arrives { datagram, from, to } => {
                if let Some(at) = self.servers.iter().position(|server| server.address.ip() == to.ip()) {
                    self.receive(at, &datagram, from, to);
                } else {
                    self.hear(&datagram, from, to);
                }
            }
            Doing::Performs { at, life, ask } => self.perform(at, life, ask),
            Doing::Answers { at, life, ask, answer } if self.is_alive(at, life) => {
                self.answer(at, ask, answer);
            }
            Doing::GivesUp { at, life, ask } if self.is_alive(at, life) => self.give_up(at, ask),
            Doing::Leaves { at, life, to, datagram } if self.is_alive(at, life) => {
                self.leave(at, to, &datagram);
            }
            Doing::Delivered { at, life, round, id, sent } if self.is_alive(at, life) => {
                self.delivered(at, round, id, sent);
            }
            Doing::Answered { ring } => self.answers(ring),
            Doing::Forged { ring } => self.forges(ring),
            Doing::Impatient { at, life, request } if self.is_alive(at, life) => {
                self.impatient(at, life, request);
            }
            Doing::Crosses { at, life, ask } if self.is_alive(at, life) => self.cross(at, ask),
            Doing::Sweeps(at) => {
                self.sweep(at);
                let next = self.dice.millis(400, 500);
                if self.now() < START + Duration::from_millis(self.plan.span) + Duration::from_mins(3) {
                    self.later(next, Doing::Sweeps(at));
                }
            }
            Doing::Ends(at) => self.servers[at].end(),
            Doing::Starts(at) => self.start(at),
            Doing::Cut(one, other) => drop(self.cuts.insert(way(one, other))),
            Doing::Mended(one, other) => drop(self.cuts.remove(&way(one, other))),
            Doing::StoreAway(at, away) => self.servers[at].store_away = away,
            Doing::Begins(attempt) => self.begin(attempt),
            Doing::Types { attempt, step } => self.types(attempt, step),
            Doing::Retries { attempt, step, tries } => self.retry(attempt, step, tries),
            // Of a server that has ended since.
            _ => {}
        }
        true
    }

    fn is_alive(&self, at: usize, life: u32) -> bool {
        self.servers[at].up && self.servers[at].life == life
    }

    fn note(&mut self, doing: &Doing) {
        let words = match doing {
            Doing::Arrives { datagram, from, to } => {
                format!(
                    "{from} to {to}: code {} number {} of {} octets",
                    datagram[0],
                    datagram[1],
                    datagram.len()
                )
            }
            Doing::Performs { at, ask, .. } => format!("{at} performs {ask}"),
            Doing::Answers { at, ask, answer, .. } => format!("{at} hears of {ask}: {}", answer.word()),
            Doing::GivesUp { at, ask, .. } => format!("{at} gives up {ask}"),
            Doing::Leaves { at, to, .. } => format!("{at} lets its reply to {} go", to.key.source),
            Doing::Delivered { at, sent, .. } => format!("{at} hears of a message: {sent:?}"),
            Doing::Answered { ring } => format!("{} is answered", self.rings[*ring].login),
            Doing::Forged { ring } => format!("{} is answered by a stranger", self.rings[*ring].login),
            Doing::Impatient { at, request: (from, ..), .. } => format!("{at} has kept {from} waiting"),
            Doing::Crosses { at, ask, .. } => format!("{at} relays {ask}"),
            Doing::Sweeps(at) => format!("{at} sweeps"),
            Doing::Ends(at) => format!("{at} ends"),
            Doing::Starts(at) => format!("{at} starts"),
            Doing::Cut(one, other) => format!("cut between {one} and {other}"),
            Doing::Mended(one, other) => format!("mended between {one} and {other}"),
            Doing::StoreAway(at, away) => format!("{at} store away {away}"),
            Doing::Begins(attempt) => format!("attempt {attempt} begins: {:?}", self.attempts[*attempt]),
            Doing::Types { attempt, step } => format!("attempt {attempt} answers challenge {step}"),
            Doing::Retries { attempt, step, .. } => format!("attempt {attempt} is still at step {step}"),
        };
        self.say(&words);
    }

    /// Takes a line into the digest, and prints it where somebody replays.
    #[allow(clippy::print_stderr, reason = "told to whoever plays a seed again")]
    pub(super) fn say(&mut self, words: &str) {
        for octet in words.bytes().chain(self.now().0.to_be_bytes()) {
            self.digest = (self.digest ^ u64::from(octet)).wrapping_mul(0x0100_0000_01B3);
        }
        if self.told {
            eprintln!("{:>10.3} {words}", self.now().since(START).as_secs_f64());
        }
    }
}

fn way(one: SocketAddr, other: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip(), 0);
    (plain(one).min(plain(other)), plain(one).max(plain(other)))
}
