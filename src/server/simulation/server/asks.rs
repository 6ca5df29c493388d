//! What a server asks: questions leave, the world outside takes them up, answers come back, or time runs out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::Broken;
use super::super::person::MARK;
use super::super::world::{Doing, World};
use super::{CROSSING, STORE_LEAST, server_number};
use crate::base::name::Label;
use crate::base::system::{Clock as _, Fixed};
use crate::base::time::Tick;
use crate::engine::append::Append;
use crate::engine::parked::Ruled;
use crate::engine::question::{PeerAnswer, PrimaryAnswer, UserAnswer};
use crate::engine::record::{CommitAnswer, LoginId};
use crate::engine::step::Env;
use crate::server::node::{Ask, resolved};
use crate::server::peers::simulated::Crossing;
use crate::store::parking::{Claim, Claimed, Unparked};
use crate::store::pending::Pending;
use crate::wire::AttributeList;

pub(super) struct Open {
    pub(super) ask: Ask,
    answer_by: Tick,
    /// When it was asked, in true time.
    asked: Tick,
    pub(super) crossing: Option<Crossing>,
}

#[derive(Debug)]
pub(in super::super) enum Answer {
    Primary(PrimaryAnswer),
    User(UserAnswer),
    Commit(CommitAnswer),
    Peer(PeerAnswer),
    Park(bool),
    Unpark(Unparked),
    Claim(Claimed),
}

impl Answer {
    pub(in super::super) fn word(&self) -> &'static str {
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

impl World {
    /// A question leaves a server.
    pub(super) fn ask(&mut self, at: usize, ask: Ask, answer_by: Tick, mono: Tick) {
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
        let asked = self.now();
        self.servers[at].asks.insert(number, Open { ask, answer_by, asked, crossing });
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
    pub(in super::super) fn cross(&mut self, at: usize, ask: u64) {
        let Some(Open { crossing: Some(crossing), .. }) = self.servers[at].asks.get(&ask) else { return };
        let (datagram, to) = (Arc::clone(&crossing.datagram), crossing.to());
        let port = CROSSING + u16::try_from(ask % 20_000).unwrap();
        let from = SocketAddr::new(self.servers[at].address.ip(), port);
        self.send(&datagram, from, to);
    }

    /// Something came to a port from which a peer was asked.
    pub(super) fn crossed(&mut self, at: usize, datagram: &[u8], to: SocketAddr) {
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
    pub(in super::super) fn perform(&mut self, at: usize, life: u32, ask: u64) {
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
                let octets = check.password.expose();
                let leaks = match self.plan.append {
                    Append::Never => false,
                    Append::Behind(_) => octets.contains(&MARK),
                    Append::Last(count) => self.people.iter().any(|person| {
                        let rest = octets.strip_prefix(&*person.password());
                        rest.is_some_and(|rest| rest.len() >= count.into())
                    }),
                };
                if leaks {
                    self.ledger.fault("leak", "the primary sees what stands behind the password".to_owned());
                }
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
            // Whoever carries a claim to a store that is slow says how long that took.
            Ask::Claim(claim, _) => match now(server
                .store
                .claim(Claim { ran: claim.ran + self.clock.mono().since(open.asked), ..*claim }))
            {
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

    pub(in super::super) fn answer(&mut self, at: usize, ask: u64, answer: Answer) {
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

    pub(in super::super) fn give_up(&mut self, at: usize, ask: u64) {
        let Some(open) = self.servers[at].asks.get(&ask) else { return };
        let nothing = match &open.ask {
            // It was asked for again and again.
            Ask::Claim(..) if self.dice.chance(50) => Answer::Claim(Claimed::Theirs(None)),
            ask => Answer::nothing(ask),
        };
        self.answer(at, ask, nothing);
    }
}

fn now<T>(pending: Pending<T>) -> T {
    match pending {
        Pending::Ready(answer) => answer,
        Pending::Later(_) => panic!("the store in memory answers at once"),
    }
}
