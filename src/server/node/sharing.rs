//! Logins of servers that share a store: they wait there, and whichever server is asked goes on with them.
//!
//! ```text
//! Wait ── Park ── durable ── challenge leaves ── away ──┬─ its State comes here ──┬─ Unpark ── Parked ── …
//!                                                       ├─ its State comes there ─┘ one gets it
//!                                                       └─ its time is over: whoever parked it records that
//! ```
//! Invariants: a challenge leaves after its login is durable; a login is taken out of the store before anything is done with
//! it; a request that finds it gone is refused like any other with a spent State. Only logins that were told wait there:
//! requests that hang on one can be answered here alone.

use std::sync::Arc;
use std::time::Duration;

use super::super::affinity::{Issued, RoundId};
use super::super::aside::Place;
use super::super::clients::Clients;
use super::super::intents::{CROSSED, Intent};
use super::super::slot::{Brought, Original, Slot};
use super::{Arrival, Ask, Node, Output, Ticket};
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::system::random;
use crate::base::time::Tick;
use crate::engine::await_commit::AwaitCommit;
use crate::engine::delivery::Delivery;
use crate::engine::login::{Facts, refuse};
use crate::engine::parked::{Parked, Resolved, Ruled, Taker};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Conflict, Record};
use crate::engine::step::{Entry, Env, Event, Wait};
use crate::store::parking::{Claim, Claimed, Parking, Spot, Told, Unparked};
use crate::wire::AttributeList;

/// For so long after its time a login is kept, for the server that parked it to record that nobody came.
const GRACE: Duration = Duration::from_mins(1);

/// Takes the store's word that a login is kept.
#[derive(Debug)]
pub struct AwaitPark {
    /// The round that it waits under.
    next: RoundId,
    /// What its requests are told then.
    tell: Option<AttributeList>,
    start: Option<Delivery>,
    until: Tick,
    parked: Box<Parked>,
}

/// Takes a login that was kept.
#[derive(Debug)]
pub struct AwaitLogin {
    wakes: Wakes,
}

/// What the login is wanted for.
#[derive(Debug)]
enum Wakes {
    /// A request carries its State. Where it is not there, the request is refused for this reason, as one of its own.
    Entry { entry: Entry, gone: Reason, facts: Box<Facts> },
    /// Something else happened.
    Event(Event),
}

/// Takes the store's word on an intent.
#[derive(Debug)]
pub struct AwaitClaim {
    record: Record,
    commit: AwaitCommit,
}

impl Node {
    /// Whether a login that waits like this waits in the store.
    pub(super) fn shares(&self, round: RoundId, wait: &Wait) -> bool {
        self.mint.codes().is_some()
            && (wait.tell.is_some() || self.slots.get(&round).is_some_and(|slot| slot.is_told()))
    }

    /// Has a login kept by the store; its challenge leaves afterwards.
    pub(super) fn send_away(
        &self,
        round: RoundId,
        wait: Wait,
        parked: Box<Parked>,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let Wait { tell, start, until } = wait;
        let (told_before, intent) = self.slots.get(&round).map(|slot| (slot.rounds > 0, slot.intent))?;
        // As in a table of one's own: the State of the first challenge names the round that the login began with.
        let next = if told_before && tell.is_some() { RoundId(random(env.entropy)) } else { round };
        let codes = self.mint.codes()?;
        let Some(login) = parked.encode(until, env.mono, codes) else {
            return self.park(round, parked, until, env, out);
        };
        let tell = tell.map(|challenge| {
            let state = self.mint.state(next, env.unix, parked.client(), parked.user());
            Slot::asking(&challenge, &state)
        });
        let told = tell.as_ref().zip(intent).map(|(attributes, Intent(intent))| Told {
            intent,
            login: parked.login(),
            attributes: Secret::new(attributes.to_bytes().as_slice()),
        });
        let spot = Spot { server: self.mint.server().octets(), round: next.0 };
        let parking = Parking { spot, login, keep: until.since(env.mono) + GRACE, told };
        Some(Ask::Park(parking, Ticket { round, state: AwaitPark { next, tell, start, until, parked } }))
    }

    /// The store has answered whether it keeps a login.
    pub fn parked(
        &self,
        ticket: Ticket<AwaitPark>,
        kept: bool,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let Ticket { round, state: AwaitPark { next, tell, start, until, parked } } = ticket;
        if !kept {
            return self.go_on(round, env, out, |env| parked.refuse(Reason::StoreUnavailable, env));
        }
        if next != round {
            let slot = self.slots.remove(&round)?;
            if let Some(intent) = slot.intent {
                self.intents.moved(intent, round, next);
            }
            self.slots.insert(next, slot);
        }
        let mut slot = self.slots.get_mut(&next)?;
        if let Some(attributes) = tell {
            slot.tell(attributes, env, out);
        }
        if let Some(delivery) = start {
            out.push(Output::Deliver { round: next, delivery: Box::new(delivery) });
        }
        self.waits_until(until);
        let event = slot.send_away(until)?;
        drop(slot);
        Some(self.fetch(next, event))
    }

    /// Asks for a login of this server's own, for something that happened.
    pub(super) fn fetch(&self, round: RoundId, event: Event) -> Ask {
        let spot = Spot { server: self.mint.server().octets(), round: round.0 };
        Ask::Unpark(spot, Ticket { round, state: AwaitLogin { wakes: Wakes::Event(event) } })
    }

    /// A request that carries the State of a login that waits in the store, which the mint has found good for its user and
    /// client. It is refused with `gone` where the login is not there any more.
    pub fn take_up(
        &self,
        issued: &Issued,
        arrival: Arrival,
        gone: Reason,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let round = issued.round;
        if self.slots.get(&round).is_some_and(|slot| !slot.is_away()) {
            return self.resume(round, arrival, gone, env, out);
        }
        let answer_by = arrival.answer_by();
        // Of a login of its own, should the other one be gone.
        let mut facts = Box::new(self.facts_of(RoundId(random(env.entropy)), &arrival));
        if let Some(denied) = self.phones.refused(round) {
            denied.put_into(&mut facts);
        }
        let Brought { entered, packet, origin } = match self.slots.place(round) {
            Place::Taken(mut slot) => {
                if slot.takes_copy(&arrival) {
                    slot.hang(arrival);
                    return None;
                }
                if !slot.is_away() {
                    drop(slot);
                    return self.refuse(arrival, Reason::StateSpent, env, out);
                }
                slot.fetch();
                slot.works_on(&arrival);
                slot.hang(arrival)
            }
            Place::Free(place) => {
                let original = Original::of(&arrival);
                let (mut slot, brought) = Slot::new(Arc::new(Facts::clone(&facts)), arrival, original);
                slot.rounds = 1;
                place.insert(slot);
                // Logins that wait finish also where the table is full: each is one that a server took in.
                self.count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                brought
            }
        };
        let (source, local) = (origin.gateway, origin.key.local);
        let entry = Entry { entered, packet, source, local, answer_by };
        let spot = Spot { server: issued.server.octets(), round: round.0 };
        let state = AwaitLogin { wakes: Wakes::Entry { entry, gone, facts } };
        Some(Ask::Unpark(spot, Ticket { round, state }))
    }

    /// The store has answered with a login, or without. `policy` says what the rules come to that it follows from.
    pub fn unparked(
        &self,
        ticket: Ticket<AwaitLogin>,
        answer: Unparked,
        policy: &dyn Fn(&Label, &Ruled) -> Resolved,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let Ticket { round, state: AwaitLogin { wakes } } = ticket;
        let codes = self.mint.codes()?;
        let taken = match answer {
            Unparked::Gone => Err(None),
            Unparked::Unavailable => Err(Some(Reason::StoreUnavailable)),
            Unparked::Login { login, age, intent } => {
                let server = self.mint.server_name();
                let taker = Taker { server, mono: env.mono, age, codes, policy };
                match Parked::decode(&login, &taker) {
                    Ok((parked, until)) => Ok((parked, until, intent)),
                    Err(fault) => {
                        tracing::error!(%fault, hint = "run the same version with the same clients and rules on all servers",
                            "a login that another server parked cannot be taken up");
                        Err(Some(Reason::LoginUnreadable))
                    }
                }
            }
        };
        match (wakes, taken) {
            (wakes, Ok((parked, until, intent))) => {
                if let Some(mut slot) = self.slots.get_mut(&round) {
                    slot.facts = Arc::new(parked.facts().clone());
                    slot.intent = intent.map(Intent);
                }
                let event = match wakes {
                    Wakes::Event(event) => event,
                    Wakes::Entry { .. } if env.mono >= until => Event::Expired,
                    Wakes::Entry { entry, .. } => Event::Entry(entry),
                };
                self.go_on(round, env, out, |env| parked.resume(event, until, env).1)
            }
            (Wakes::Entry { gone, facts, .. }, Err(reason)) => {
                if let Some(mut slot) = self.slots.get_mut(&round) {
                    slot.facts = Arc::new(Facts::clone(&facts));
                    // Whoever has the login has its intent.
                    if let Some(intent) = slot.intent.take() {
                        self.intents.release(intent, round, env.mono);
                    }
                }
                self.go_on(round, env, out, |env| refuse(&facts, reason.unwrap_or(gone), env))
            }
            // Another server goes on with it, or will when its State comes.
            (Wakes::Event(_), Err(_)) => {
                self.close(round, env.mono);
                None
            }
        }
    }

    /// A login is about to send something: servers that share the store are not to send the same.
    pub(super) fn claim_at_store(
        &self,
        round: RoundId,
        Intent(intent): Intent,
        until: Tick,
        record: Record,
        commit: AwaitCommit,
        env: &Env<'_>,
    ) -> Option<Ask> {
        let (login, began) = self.slots.get(&round).map(|slot| (slot.facts.id, slot.facts.began))?;
        let claim =
            Claim { intent, login, keep: until.since(env.mono), ran: env.mono.since(began) + CROSSED };
        Some(Ask::Claim(claim, Ticket { round, state: AwaitClaim { record, commit } }))
    }

    /// The store has answered who has an intent; with [`Claimed::Theirs`] and nothing told, after it was asked for as long
    /// as there was time.
    pub fn claimed(
        &self,
        ticket: Ticket<AwaitClaim>,
        claimed: Claimed,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let Ticket { round, state: AwaitClaim { record, commit } } = ticket;
        match claimed {
            Claimed::Ours => Some(Ask::Commit(record, Ticket { round, state: commit })),
            Claimed::Theirs(Some(told)) if let Ok(told) = AttributeList::from_bytes(told.expose()) => {
                let intent = self.slots.get_mut(&round)?.intent.take();
                if let Some(intent) = intent {
                    self.intents.forget(intent, round);
                }
                self.close(round, env.mono)?.pass_on(&told, env, out);
                None
            }
            // Its gateway has its answer, from the copy that was quicker.
            Claimed::Over => {
                self.close(round, env.mono);
                None
            }
            Claimed::Theirs(_) => self.go_on(round, env, out, |env| {
                commit.resume(CommitAnswer::Refused(Conflict::SentTooOften), env)
            }),
            Claimed::Unavailable => {
                self.go_on(round, env, out, |env| commit.resume(CommitAnswer::Unavailable, env))
            }
        }
    }
}

/// What rules come to for the client of that name.
pub fn resolved(clients: &Clients, client: &Label, ruled: &Ruled) -> Resolved {
    let gateway = clients.named(client)?;
    match &gateway.rules {
        Some(set) => set.again(ruled),
        None => (*ruled == Ruled::default()).then(|| (Arc::clone(&gateway.policy), None)),
    }
}
