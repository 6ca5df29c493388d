//! The driver of logins: inputs in, outputs out, no socket and no task in it.
//!
//! One login is one slot in a table, named by its present round. A slot is parked (it waits for
//! somebody) or busy (a question of its is being answered elsewhere, and a bounded queue takes what happens meanwhile).
//! Requests hang on the slot, not on the step: whatever answers the login answers all of them, each sealed for its own
//! request.
//!
//! An [`Ask`] leaves with a [`Ticket`], the only thing that can bring its answer back. Invariants: a round's State
//! is good once; a copy of the request that is being worked on joins it; a table that is full refuses new logins and
//! finishes those it has.

use std::hash::BuildHasherDefault;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;

use super::affinity::{Mint, RoundHasher, RoundId};
use super::duplicates::PacketKey;
use super::intents::{Intents, JOINED};
use super::peers::{Answering, RELAY_PATIENCE};
use super::slot::{Brought, Original, Slot, turn_away};
use crate::base::name::{Label, UserName};
use crate::base::system::random;
use crate::base::time::Tick;
use crate::engine::await_commit::AwaitCommit;
use crate::engine::await_peer::{AwaitPeer, relay};
use crate::engine::await_primary::AwaitPrimary;
use crate::engine::await_user::AwaitUser;
use crate::engine::delivery::Delivery;
use crate::engine::login::{Facts, FirstRequest, begin, refuse, refuse_at};
use crate::engine::parked::Parked;
use crate::engine::policy::Policy;
use crate::engine::question::{PeerAnswer, PeerRequest, PrimaryAnswer, PrimaryCheck, UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Durations, LoginId, Record, Row};
use crate::engine::rule::Ruling;
use crate::engine::step::{Challenge, Entered, Entry, Env, Event, Step};
use crate::wire::Verified;

/// An Access-Request that has become a login, or part of one.
#[derive(Debug)]
pub struct Arrival {
    /// The client's name.
    pub client: Label,
    /// What holds for it at this moment.
    pub policy: Arc<Policy>,
    /// What the user's groups may still change of that.
    pub ruling: Option<Arc<Ruling>>,
    /// The canonical user name, where there is one.
    pub user: Option<UserName>,
    /// Calling-Station-Id, escaped for print.
    pub station: Option<Arc<str>>,
    /// The credential.
    pub entered: Entered,
    /// The packet.
    pub packet: Arc<Verified<Box<[u8]>>>,
    /// Where the answer goes.
    pub origin: Origin,
    /// How the answer is sealed.
    pub reply_to: Answering,
    /// When it came.
    pub came: Tick,
    /// What the primary's answers take of late: no Reject is quicker than most of them.
    pub floor: Duration,
}

/// Where a request came from, and so where its answer goes.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Its key among duplicates; holds both addresses.
    pub key: PacketKey,
    /// Its Request Authenticator.
    pub authenticator: [u8; 16],
    /// Where the gateway asked from: the key's source, unless another server passed the request on.
    pub gateway: SocketAddr,
}

/// What the node wants done.
#[derive(Debug)]
pub enum Output {
    /// Send this reply.
    Reply {
        /// To whom.
        to: Origin,
        /// The datagram.
        datagram: Box<[u8]>,
        /// Not before this moment: no Reject is quicker than another.
        not_before: Tick,
    },
    /// A login ended: write its line.
    Ended {
        /// What was recorded, or would have been.
        row: Arc<Row>,
        /// Its place in the audit trail, where the store took it.
        sequence: Option<u64>,
    },
    /// Bring this to a user, and wake the login with how it went.
    Deliver {
        /// Which login.
        round: RoundId,
        /// What, to whom.
        delivery: Box<Delivery>,
    },
    /// A reply could not be built: the primary's attributes do not fit into one packet.
    Oversized {
        /// Which login.
        login: LoginId,
    },
    /// A new login was refused because the table is full.
    TurnedAway {
        /// Whose.
        client: Label,
    },
}

/// A question for the world outside, with the only thing that takes its answer.
#[derive(Debug)]
pub enum Ask {
    /// For the primary authentication.
    Primary(PrimaryCheck, Ticket<AwaitPrimary>),
    /// For the store.
    User(UserQuery, Ticket<AwaitUser>),
    /// For the store.
    Commit(Record, Ticket<AwaitCommit>),
    /// For the server that has the login.
    Relay(PeerRequest, Ticket<AwaitPeer>),
}

impl Ask {
    /// The round that waits for the answer.
    pub fn round(&self) -> RoundId {
        match self {
            Ask::Primary(_, ticket) => ticket.round,
            Ask::User(_, ticket) => ticket.round,
            Ask::Commit(_, ticket) => ticket.round,
            Ask::Relay(_, ticket) => ticket.round,
        }
    }
}

/// Takes an answer back to its login.
#[derive(Debug)]
pub struct Ticket<A> {
    round: RoundId,
    state: A,
}

impl<A> Ticket<A> {
    /// The round that waits for the answer.
    pub fn round(&self) -> RoundId {
        self.round
    }
}

/// A state of the engine that waits for an answer.
pub trait Awaits {
    /// What it waits for.
    type Answer;
    /// Goes on with it.
    fn resume(self, answer: Self::Answer, env: &mut Env<'_>) -> Step;
}

macro_rules! awaits {
    ($($state:ty: $answer:ty),+) => {
        $(impl Awaits for $state {
            type Answer = $answer;
            fn resume(self, answer: $answer, env: &mut Env<'_>) -> Step {
                <$state>::resume(self, answer, env)
            }
        })+
    };
}
awaits!(AwaitPrimary: PrimaryAnswer, AwaitUser: UserAnswer, AwaitCommit: CommitAnswer, AwaitPeer: PeerAnswer);

/// The driver.
pub struct Node {
    slots: DashMap<RoundId, Slot, BuildHasherDefault<RoundHasher>>,
    count: AtomicUsize,
    capacity: usize,
    mint: Mint,
    intents: Intents,
}

impl Node {
    /// For at most `capacity` logins under way.
    #[must_use]
    pub fn new(mint: Mint, capacity: usize) -> Node {
        Node {
            slots: DashMap::default(),
            count: AtomicUsize::new(0),
            capacity,
            mint,
            intents: Intents::default(),
        }
    }

    /// What makes and reads this node's State attributes.
    pub fn mint(&self) -> &Mint {
        &self.mint
    }

    /// Logins under way, parked ones included.
    pub fn logins(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Logins that are being worked on at this moment.
    pub fn busy(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_busy()).count()
    }

    /// The first request of a login.
    pub fn begin(&self, arrival: Arrival, env: &mut Env<'_>, out: &mut Vec<Output>) -> Option<Ask> {
        let answer_by = arrival.came + arrival.policy.admission.answer_within();
        let (round, facts, Brought { entered, packet, .. }) = self.open(arrival, env, out)?;
        let first = FirstRequest { facts: Box::new(facts), entered, packet, answer_by };
        self.go_on(round, env, out, |env| begin(first, env))
    }

    /// A request that is refused before it becomes a login, with its record.
    pub fn refuse(
        &self,
        arrival: Arrival,
        reason: Reason,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let (round, facts, _) = self.open(arrival, env, out)?;
        let step = refuse(&facts, reason, env);
        self.advance(round, step, env, out)
    }

    /// The same for a request whose login `owner`, another server, has.
    pub fn refuse_at(
        &self,
        arrival: Arrival,
        owner: &dyn std::fmt::Display,
        reason: Reason,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let (round, facts, _) = self.open(arrival, env, out)?;
        let step = refuse_at(&facts, owner, reason, env);
        self.advance(round, step, env, out)
    }

    /// A request whose login `owner`, another server, has: to be handed there.
    pub fn relay(
        &self,
        arrival: Arrival,
        owner: &Label,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let answer_by = arrival.came + arrival.policy.admission.answer_within().min(RELAY_PATIENCE);
        let (round, facts, Brought { entered, packet, origin }) = self.open(arrival, env, out)?;
        let password = match entered {
            Entered::Password(password) => password,
            Entered::Undecodable => {
                let step = refuse(&facts, Reason::PasswordUndecodable, env);
                return self.advance(round, step, env, out);
            }
            Entered::Unsupported(_) => {
                let step = refuse(&facts, Reason::CredentialNotSupported, env);
                return self.advance(round, step, env, out);
            }
        };
        let request = PeerRequest {
            owner: owner.clone(),
            client: facts.client.clone(),
            source: origin.gateway,
            password,
            packet,
            answer_by,
        };
        self.go_on(round, env, out, |_| relay(Box::new(facts), request))
    }

    /// A request that carries the State of `round`, which the mint has found good for its user and client. It is
    /// refused with `gone` where the round has ended.
    pub fn resume(
        &self,
        round: RoundId,
        arrival: Arrival,
        gone: Reason,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let Some(mut slot) = self.slots.get_mut(&round) else {
            return self.refuse(arrival, gone, env, out);
        };
        if slot.takes_copy(&arrival) {
            slot.hang(arrival);
            return None;
        }
        let taken = if slot.is_held() { None } else { slot.take() };
        let Some((parked, until)) = taken else {
            drop(slot);
            return self.refuse(arrival, Reason::StateSpent, env, out);
        };
        slot.works_on(&arrival);
        let answer_by = arrival.came + arrival.policy.admission.answer_within();
        let Brought { entered, packet, origin } = slot.hang(arrival);
        drop(slot);
        let event = if env.mono >= until {
            Event::Expired
        } else {
            Event::Entry(Entry {
                entered,
                packet,
                source: origin.gateway,
                local: origin.key.local,
                answer_by,
            })
        };
        self.go_on(round, env, out, |env| parked.resume(event, until, env).1)
    }

    /// Brings an answer back.
    pub fn answer<A: Awaits>(
        &self,
        ticket: Ticket<A>,
        answer: A::Answer,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        self.go_on(ticket.round, env, out, |env| ticket.state.resume(answer, env))
    }

    /// Something happened that a login may wait for.
    pub fn wake(
        &self,
        round: RoundId,
        event: Event,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let mut slot = self.slots.get_mut(&round)?;
        // A time-out noticed before the login moved on is none of its new wait, whose own will be noticed in turn.
        if matches!(event, Event::Expired) && !slot.is_over(env.mono) {
            return None;
        }
        let Some((parked, until)) = slot.take() else {
            slot.queue(event);
            return None;
        };
        drop(slot);
        self.go_on(round, env, out, |env| parked.resume(event, until, env).1)
    }

    /// The rounds whose time is over; wake each with [`Event::Expired`].
    pub fn expired(&self, now: Tick) -> Vec<RoundId> {
        self.slots.iter().filter(|slot| slot.is_over(now)).map(|slot| *slot.key()).collect()
    }

    /// Ends a login whose step panicked: rejected, and recorded as such.
    pub fn fail(&self, round: RoundId, env: &mut Env<'_>, out: &mut Vec<Output>) -> Option<Ask> {
        let facts = self.slots.get(&round)?.facts.clone();
        let step = refuse(&facts, Reason::InternalError, env);
        self.advance(round, step, env, out)
    }

    /// What is known of the login that has this round.
    pub fn facts(&self, round: RoundId) -> Option<Facts> {
        self.slots.get(&round).map(|slot| slot.facts.clone())
    }

    /// Drops a login without a word, where even refusing it failed.
    pub fn abandon(&self, round: RoundId) {
        self.close(round);
    }

    /// A new slot, busy, with the request hanging on it; `None` when the table is full and the request was turned away.
    fn open(
        &self,
        arrival: Arrival,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<(RoundId, Facts, Brought)> {
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.capacity {
            self.count.fetch_sub(1, Ordering::Relaxed);
            turn_away(arrival, env, out);
            return None;
        }
        let round = RoundId(random(env.entropy));
        let facts = Facts {
            id: LoginId::from_round(round.0),
            server: self.mint.server_name().clone(),
            local: arrival.origin.key.local,
            client: arrival.client.clone(),
            source: arrival.origin.gateway,
            user: arrival.user.clone(),
            station: arrival.station.clone(),
            integrity: arrival.packet.integrity(),
            protocol: arrival.entered.protocol(),
            policy: Arc::clone(&arrival.policy),
            ruling: arrival.ruling.clone(),
            answer_by: arrival.came + arrival.policy.admission.answer_within(),
            began: arrival.came,
            durations: Durations::default(),
        };
        // Only a login that may send something is ever looked for by what it means.
        let original = facts.policy.sending.as_ref().and_then(|_| Original::of(&arrival));
        let (slot, brought) = Slot::new(facts.clone(), arrival, original);
        self.slots.insert(round, slot);
        Some((round, facts, brought))
    }

    fn close(&self, round: RoundId) -> Option<Slot> {
        let (_, slot) = self.slots.remove(&round)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        if let Some(intent) = slot.intent {
            self.intents.release(intent, round);
        }
        Some(slot)
    }

    /// Takes a login one step on. A panic in the step ends this login and no other: it is refused.
    fn go_on(
        &self,
        round: RoundId,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
        step: impl FnOnce(&mut Env<'_>) -> Step,
    ) -> Option<Ask> {
        if let Ok(step) = catch_unwind(AssertUnwindSafe(|| step(env))) {
            self.advance(round, step, env, out)
        } else {
            tracing::error!("a fault in this program ended a login; it was refused");
            self.fail(round, env, out)
        }
    }

    /// Does what a step wants, as far as it can be done here.
    fn advance(&self, round: RoundId, step: Step, env: &mut Env<'_>, out: &mut Vec<Output>) -> Option<Ask> {
        match step {
            Step::CheckPrimary(check, state) => Some(Ask::Primary(check, Ticket { round, state })),
            Step::FindUser(query, state) => Some(Ask::User(query, Ticket { round, state })),
            Step::Commit(_, state) if !self.fits(round, &state) => {
                let login = self.slots.get(&round)?.facts.id;
                out.push(Output::Oversized { login });
                let step = state.too_large(env);
                self.advance(round, step, env, out)
            }
            Step::Commit(record, state) => {
                if record.row.sends.is_some() && self.joins(round, env, out) {
                    return None;
                }
                Some(Ask::Commit(record, Ticket { round, state }))
            }
            Step::Relay(request, state) => Some(Ask::Relay(request, Ticket { round, state })),
            Step::Wait(wait, parked) => {
                let round = match &wait.tell {
                    Some(challenge) => self.tell(round, challenge, &parked, env, out)?,
                    None => round,
                };
                if let Some(delivery) = wait.start {
                    out.push(Output::Deliver { round, delivery: Box::new(delivery) });
                }
                self.park(round, parked, wait.until, env, out)
            }
            Step::Decided(outcome) => {
                self.close(round)?.decide(&outcome, env, out);
                None
            }
        }
    }

    /// Whether what an Accept will carry fits into every answer. Looked at before the record: a row that says accepted, and
    /// a code that is spent, are then never followed by a Reject.
    fn fits(&self, round: RoundId, state: &AwaitCommit) -> bool {
        match state.to_send() {
            Some(attributes) if !attributes.is_empty() => {
                self.slots.get(&round).is_none_or(|slot| slot.fits(attributes))
            }
            _ => true,
        }
    }

    /// Answers every waiting request with a challenge. The State of the first one names the round that the login's
    /// number was drawn from, so that whoever gets it can tell the number; every later one names a round of its own.
    fn tell(
        &self,
        round: RoundId,
        challenge: &Challenge,
        parked: &Parked,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<RoundId> {
        if let Some(mut slot) = self.slots.get_mut(&round).filter(|slot| slot.rounds == 0) {
            let state = self.mint.state(round, env.unix, parked.client(), parked.user());
            slot.tell(challenge, &state, env, out);
            return Some(round);
        }
        let (_, mut slot) = self.slots.remove(&round)?;
        let next = RoundId(random(env.entropy));
        let state = self.mint.state(next, env.unix, parked.client(), parked.user());
        slot.tell(challenge, &state, env, out);
        if let Some(intent) = slot.intent {
            self.intents.moved(intent, round, next);
        }
        self.slots.insert(next, slot);
        Some(next)
    }

    /// Before its first message a login claims what it means; true if another login has it, and it has become part of that.
    fn joins(&self, round: RoundId, env: &mut Env<'_>, out: &mut Vec<Output>) -> bool {
        let Some((intent, until)) = self.slots.get(&round).and_then(|slot| {
            let until = slot.facts.began + slot.facts.policy.admission.patience.max(JOINED);
            let first = slot.rounds == 0 && slot.intent.is_none();
            first.then(|| slot.means(&self.mint)).flatten().map(|intent| (intent, until))
        }) else {
            return false;
        };
        if let Some(other) = self.intents.claim(intent, round, env.mono, until)
            && self.slots.contains_key(&other)
            && let Some(slot) = self.close(round)
        {
            if let Some(mut other) = self.slots.get_mut(&other) {
                slot.join(&mut other, env, out);
            }
            return true;
        }
        if let Some(mut slot) = self.slots.get_mut(&round) {
            slot.intent = Some(intent);
        }
        false
    }

    /// Parks a login, unless something has happened meanwhile that it takes.
    fn park(
        &self,
        round: RoundId,
        parked: Box<Parked>,
        until: Tick,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let (parked, event) = self.slots.get_mut(&round)?.park(parked, until)?;
        self.go_on(round, env, out, |env| parked.resume(event, until, env).1)
    }
}
