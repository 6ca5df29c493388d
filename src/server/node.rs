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

mod advance;
mod asking;
mod sharing;
mod words;

use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::affinity::{Mint, RoundHasher, RoundId};
use super::aside::Aside;
use super::intents::Intents;
use super::kept::KeptCodes;
use super::leads::Leads;
use super::peers::RELAY_PATIENCE;
use super::phones::Phones;
use super::pulse::{LiveLogin, UnderWay};
use super::slot::{Brought, Original, Slot, turn_away};
use crate::base::name::{Label, UserName};
use crate::base::system::random;
use crate::base::time::Tick;
use crate::engine::await_peer::relay;
use crate::engine::kept::may_keep;
use crate::engine::login::{Facts, FirstRequest, begin, refuse, refuse_at};
use crate::engine::question::PeerRequest;
use crate::engine::reason::Reason;
use crate::engine::record::{Durations, LoginId};
use crate::engine::step::{Entered, Entry, Env, Event};
use crate::factor::enrol_code::EnrolCode;
pub use asking::Heard;
pub use sharing::{AwaitClaim, AwaitLogin, AwaitPark, resolved};
pub use words::{Arrival, Ask, Awaits, Origin, Output, Ticket};

/// The driver.
pub struct Node {
    slots: Aside<RoundId, Slot, BuildHasherDefault<RoundHasher>>,
    count: AtomicUsize,
    capacity: usize,
    mint: Mint,
    intents: Intents,
    phones: Phones,
    leads: Leads,
    kept: KeptCodes,
    /// No login's wait is over before this tick: most sweeps have nothing to look at, however many wait.
    earliest: AtomicU64,
}

/// What was found over is looked at again so soon, should nobody have woken it.
const AGAIN: Duration = Duration::from_millis(500);

impl Node {
    /// For at most `capacity` logins under way.
    #[must_use]
    pub fn new(mint: Mint, capacity: usize) -> Node {
        Node {
            slots: Aside::default(),
            count: AtomicUsize::new(0),
            capacity,
            mint,
            intents: Intents::default(),
            phones: Phones::default(),
            leads: Leads::default(),
            kept: KeptCodes::default(),
            earliest: AtomicU64::new(u64::MAX),
        }
    }

    /// What makes and reads this node's State attributes.
    pub fn mint(&self) -> &Mint {
        &self.mint
    }

    /// Whether `typed` is a code by which `user` may set up a first factor at `now`; it is good no more.
    pub fn take_lead(&self, user: &UserName, typed: &EnrolCode, now: Tick) -> bool {
        self.leads.take(user, typed, now)
    }

    /// Logins under way, parked ones included.
    pub fn logins(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Logins that are being worked on at this moment.
    pub fn busy(&self) -> usize {
        self.count_slots(Slot::is_busy)
    }

    /// Logins under way, by what they wait for.
    pub fn under_way(&self) -> UnderWay {
        let mut found = UnderWay::default();
        self.slots.each(|_, slot| {
            *match state(slot) {
                "working" => &mut found.working,
                "shared" => &mut found.shared,
                "held" => &mut found.held,
                _ => &mut found.parked,
            } += 1;
        });
        found
    }

    /// Logins under way, of `user` alone where one is named, in no order.
    pub fn live(&self, user: Option<&UserName>, now: Tick) -> Vec<LiveLogin> {
        let mut live = Vec::new();
        self.slots.each(|_, slot| {
            if user.is_none() || slot.facts.user.as_ref() == user {
                live.push(LiveLogin {
                    login: slot.facts.id,
                    user: slot.facts.user.clone(),
                    client: slot.facts.client.clone(),
                    station: slot.facts.station.clone(),
                    age: now.since(slot.facts.began),
                    state: state(slot),
                });
            }
        });
        live
    }

    /// Logins that end with this process: all but those that wait where other servers go on with them.
    pub fn held(&self) -> usize {
        self.count_slots(|slot| !slot.is_away())
    }

    fn count_slots(&self, counts: impl Fn(&Slot) -> bool) -> usize {
        let mut count = 0;
        self.slots.each(|_, slot| count += usize::from(counts(slot)));
        count
    }

    /// The first request of a login.
    pub fn begin(&self, arrival: Arrival, env: &mut Env<'_>, out: &mut Vec<Output>) -> Option<Ask> {
        let answer_by = arrival.came + arrival.policy.admission.answer_within();
        // Where a code may stand behind the password, a gateway's second try would find the code used by the first.
        let intent = Slot::is_whole(&arrival).then(|| Slot::meant_by(&arrival, &self.mint)).flatten();
        let arrival = match intent {
            Some(intent) => self.hang_copy(intent, arrival, env)?,
            None => arrival,
        };
        let (round, mut facts, Brought { entered, packet, .. }) = self.open(arrival, env, out)?;
        if let Some(intent) = intent {
            self.claim_intent(intent, round, env);
        }
        if may_keep(&facts.policy) {
            facts.kept = self.kept.find(&facts);
        }
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

    /// [`Node::refuse`] for a request whose State names a round that is over. Where the phone was asked and has said no, whoever is refused
    /// and whoever looks for that speak of the login that was denied, and not of this request.
    fn refuse_spent(
        &self,
        round: RoundId,
        arrival: Arrival,
        reason: Reason,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let Some(denied) = self.phones.refused(round) else {
            return self.refuse(arrival, reason, env, out);
        };
        let (round, mut facts, _) = self.open(arrival, env, out)?;
        denied.put_into(&mut facts);
        let step = match denied.why {
            Some(why) => refuse_at(&facts, &why.code(), reason, env),
            None => refuse(&facts, reason, env),
        };
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
            return self.refuse_spent(round, arrival, gone, env, out);
        };
        if slot.takes_copy(&arrival) {
            slot.hang(arrival);
            return None;
        }
        let taken = if slot.is_held() { None } else { slot.take() };
        let Some((parked, until)) = taken else {
            drop(slot);
            return self.refuse_spent(round, arrival, Reason::StateSpent, env, out);
        };
        slot.works_on(&arrival);
        let answer_by = arrival.answer_by();
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
        if slot.is_away() {
            // How a message went changes nothing any more, and nobody is to find the login gone for a moment because of it.
            if matches!(event, Event::Delivered(..)) {
                return None;
            }
            slot.fetch();
            return Some(self.fetch(round, event));
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
        self.phones.sweep(now);
        self.intents.sweep(now);
        self.kept.sweep(now);
        if now < Tick(self.earliest.load(Ordering::Relaxed)) {
            return Vec::new();
        }
        // Whoever begins to wait meanwhile says so after this, and is kept.
        self.earliest.store(u64::MAX, Ordering::SeqCst);
        let (mut over, mut next) = (Vec::new(), u64::MAX);
        self.slots.each(|round, slot| match slot.until() {
            Some(until) if now >= until => over.push(*round),
            Some(until) => next = next.min(until.0),
            None => {}
        });
        if !over.is_empty() {
            next = next.min((now + AGAIN).0);
        }
        self.earliest.fetch_min(next, Ordering::SeqCst);
        over
    }

    /// A login is about to wait until then at most. To be said before it can be found waiting.
    fn waits_until(&self, until: Tick) {
        // A write for each login would be one cache line for all workers.
        if until.0 < self.earliest.load(Ordering::SeqCst) {
            self.earliest.fetch_min(until.0, Ordering::SeqCst);
        }
    }

    /// Ends a login whose step panicked: rejected, and recorded as such.
    pub fn fail(&self, round: RoundId, env: &mut Env<'_>, out: &mut Vec<Output>) -> Option<Ask> {
        let facts = Arc::clone(&self.slots.get(&round)?.facts);
        let step = refuse(&facts, Reason::InternalError, env);
        self.advance(round, step, env, out)
    }

    /// What is known of the login that has this round.
    pub fn facts(&self, round: RoundId) -> Option<Arc<Facts>> {
        self.slots.get(&round).map(|slot| Arc::clone(&slot.facts))
    }

    /// Drops a login without a word, where even refusing it failed.
    pub fn abandon(&self, round: RoundId, now: Tick) {
        self.close(round, now);
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
        let facts = self.facts_of(round, &arrival);
        // Only a login that may send something, or whose code is there, is ever looked for by what it means.
        let looked_for = facts.policy.sending.is_some() || Slot::is_whole(&arrival);
        let original = looked_for.then(|| Original::of(&arrival)).flatten();
        let (slot, brought) = Slot::new(Arc::new(facts.clone()), arrival, original);
        self.slots.insert(round, slot);
        Some((round, facts, brought))
    }

    /// What this server is called.
    pub(super) fn server_name(&self) -> &Label {
        self.mint.server_name()
    }

    /// What is known of the login that begins with this arrival.
    fn facts_of(&self, round: RoundId, arrival: &Arrival) -> Facts {
        Facts {
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
            kept: None,
            language: arrival.language.unwrap_or(arrival.policy.admission.language),
            own_language: arrival.language,
        }
    }

    fn close(&self, round: RoundId, now: Tick) -> Option<Slot> {
        let slot = self.slots.remove(&round)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        if let Some(intent) = slot.intent {
            self.intents.release(intent, round, now);
        }
        if let Some(asking) = &slot.asking {
            let first = asking.reference.and_then(|_| slot.first_request());
            self.phones.release(&asking.user, round, first, now);
        }
        Some(slot)
    }
}

/// What a login waits for, in a word.
fn state(slot: &Slot) -> &'static str {
    if slot.is_busy() {
        "working"
    } else if slot.is_away() {
        "shared"
    } else if slot.is_held() {
        "held"
    } else {
        "parked"
    }
}
