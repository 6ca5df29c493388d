//! What a node does with each step of a login: questions leave, waits are told and parked, ends are answered.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::affinity::RoundId;
use super::super::intents::{Found, Intent};
use super::super::slot::Slot;
use super::{Arrival, Ask, Node, Output, Ticket};
use crate::base::system::random;
use crate::base::time::Tick;
use crate::engine::await_commit::AwaitCommit;
use crate::engine::parked::Parked;
use crate::engine::proof::{Outcome, Reject};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Conflict};
use crate::engine::step::{Challenge, Env, Step, Wait};

/// What a login found that is about to send something.
enum Meant {
    /// Another one has its intent, or had: nothing is left to do for it.
    Joined,
    /// It has the intent from now on, until this moment.
    First(Intent, Tick),
    /// The login that has it asks its user on the phone.
    Busy,
    /// It had it before, or means nothing that anybody could repeat.
    Before,
}

impl Node {
    /// Takes a login one step on. A panic in the step ends this login and no other: it is refused.
    pub(super) fn go_on(
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
    pub(super) fn advance(
        &self,
        round: RoundId,
        step: Step,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        if let Step::Wait(Wait { tell: Some(Challenge { lead: Some(lead), .. }), .. }, _)
        | Step::Decided(Outcome::Reject(Reject { lead: Some(lead), .. })) = &step
        {
            self.leads.put(lead, env.mono);
        }
        match step {
            Step::CheckPrimary(check, state) => Some(Ask::Primary(check, Ticket { round, state })),
            Step::FindUser(query, state) => Some(Ask::User(query, Ticket { round, state })),
            Step::Commit(_, state) if !self.fits(round, &state) => {
                let login = self.slots.get(&round)?.facts.id;
                out.push(Output::Oversized { login });
                let step = state.too_large(env);
                self.advance(round, step, env, out)
            }
            Step::Commit(_, state) if self.is_unheard(round, &state, env.mono) => {
                let step = state.too_late(env);
                self.advance(round, step, env, out)
            }
            Step::Commit(record, state) => {
                if let Some((_, kind)) = state.asks() {
                    return self.claim(round, kind, record, state, env, out);
                }
                if record.row.sends.is_some() {
                    match self.joins(round, env, out) {
                        Meant::Joined => return None,
                        Meant::First(intent, until) if self.mint.codes().is_some() => {
                            return self.claim_at_store(round, intent, until, record, state, env);
                        }
                        Meant::First(..) | Meant::Before => {}
                        Meant::Busy => {
                            let refused = CommitAnswer::Refused(Conflict::SentTooOften);
                            return self.go_on(round, env, out, |env| state.resume(refused, env));
                        }
                    }
                }
                Some(Ask::Commit(record, Ticket { round, state }))
            }
            Step::Relay(request, state) => Some(Ask::Relay(request, Ticket { round, state })),
            Step::Keep(code, then) => {
                if let Some(slot) = self.slots.get(&round) {
                    self.kept.keep(&slot.facts, code, env.mono);
                }
                self.advance(round, *then, env, out)
            }
            // Answers from phones come to the server that asked, so a login that waits for one stays.
            Step::Wait(wait, parked) if parked.asks().is_none() && self.shares(round, &wait) => {
                self.settle(round, None, env);
                self.send_away(round, wait, parked, env, out)
            }
            Step::Wait(wait, parked) => {
                let round = match &wait.tell {
                    Some(challenge) => self.tell(round, challenge, &parked, env, out)?,
                    None => round,
                };
                if let Some(delivery) = wait.start {
                    self.opened(round, &delivery, env);
                    out.push(Output::Deliver { round, delivery: Box::new(delivery) });
                }
                self.settle(round, parked.asks(), env);
                if let Some(reference) = parked.approved() {
                    self.approved(reference);
                }
                self.park(round, parked, wait.until, env, out)
            }
            Step::Decided(outcome) => {
                let slot = self.close(round, env.mono)?;
                if let Some(asking) = &slot.asking {
                    self.asked(asking, outcome.row().reason, env);
                }
                // A login that was lost to the store after it had sent holds its intent until the claim's time is over: its
                // gateway may not hear of the end, and tries again.
                let lost = outcome.row().reason == Reason::StoreUnavailable;
                if let Some(Intent(intent)) = slot.intent.filter(|_| self.mint.codes().is_some() && !lost) {
                    out.push(Output::Released { intent, login: slot.facts.id });
                }
                slot.decide(&outcome, env, out);
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

    /// Whether an Accept would reach nobody: the servers that passed its requests on have told their gateways by now that there was
    /// no answer. Looked at before the record, so that no code is spent and no row says accepted for it.
    fn is_unheard(&self, round: RoundId, state: &AwaitCommit, now: Tick) -> bool {
        state.accept_by().is_some_and(|by| now >= by)
            && self.slots.get(&round).is_some_and(|slot| slot.is_unheard(now))
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
            slot.tell(Slot::asking(challenge, &state), env, out);
            return Some(round);
        }
        let mut slot = self.slots.remove(&round)?;
        let next = RoundId(random(env.entropy));
        let state = self.mint.state(next, env.unix, parked.client(), parked.user());
        slot.tell(Slot::asking(challenge, &state), env, out);
        if let Some(intent) = slot.intent {
            self.intents.moved(intent, round, next);
        }
        if let Some(asking) = &slot.asking {
            self.phones.moved(&asking.user, asking.reference, round, next);
        }
        self.slots.insert(next, slot);
        Some(next)
    }

    /// Hangs `arrival` on the login that is about to answer the same request in another packet; gives it back where there
    /// is none.
    pub(super) fn hang_copy(&self, intent: Intent, arrival: Arrival, env: &Env<'_>) -> Option<Arrival> {
        let other = self.intents.holder(intent, env.mono);
        let Some(mut slot) = other.and_then(|other| self.slots.get_mut(&other)) else { return Some(arrival) };
        if !slot.takes_copy(&arrival) {
            return Some(arrival);
        }
        slot.hang(arrival);
        None
    }

    /// Claims what a login means, if nobody has it.
    pub(super) fn claim_intent(&self, intent: Intent, round: RoundId, env: &Env<'_>) {
        let Some(mut slot) = self.slots.get_mut(&round) else { return };
        let (began, until) = (slot.facts.began, slot.joined_until());
        if self.intents.claim(intent, round, began, env.mono, until) == Found::Free {
            slot.intent = Some(intent);
        }
    }

    /// Before its first message a login claims what it means, and becomes part of the login that has it.
    fn joins(&self, round: RoundId, env: &mut Env<'_>, out: &mut Vec<Output>) -> Meant {
        let Some((intent, began, until)) = self.slots.get(&round).and_then(|slot| {
            let first = slot.rounds == 0 && slot.intent.is_none();
            let (began, until) = (slot.facts.began, slot.joined_until());
            first.then(|| slot.means(&self.mint)).flatten().map(|intent| (intent, began, until))
        }) else {
            // Servers that share their logins hear of one that was claimed when it came, too.
            let claimed = self.slots.get(&round).filter(|slot| slot.rounds == 0);
            let claimed = claimed.and_then(|slot| slot.intent.map(|intent| (intent, slot.joined_until())));
            return claimed.map_or(Meant::Before, |(intent, until)| Meant::First(intent, until));
        };
        match self.intents.claim(intent, round, began, env.mono, until) {
            // What is answered on the phone is shared with copies of the same request alone.
            Found::Of(other) if self.slots.get(&other).is_some_and(|slot| slot.asking.is_some()) => {
                return Meant::Busy;
            }
            Found::Of(other) if self.slots.contains_key(&other) => {
                if let (Some(slot), Some(mut other)) =
                    (self.close(round, env.mono), self.slots.get_mut(&other))
                {
                    slot.join(&mut other, env, out);
                }
                return Meant::Joined;
            }
            // Its gateway has its answer, from the copy that was quicker.
            Found::Over => {
                self.close(round, env.mono);
                return Meant::Joined;
            }
            Found::Of(_) | Found::Free => {}
        }
        if let Some(mut slot) = self.slots.get_mut(&round) {
            slot.intent = Some(intent);
        }
        Meant::First(intent, until)
    }

    /// Parks a login, unless something has happened meanwhile that it takes.
    pub(super) fn park(
        &self,
        round: RoundId,
        parked: Box<Parked>,
        until: Tick,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let asks = parked.asks().is_some();
        let missed = {
            let mut slot = self.slots.get_mut(&round)?;
            // While the slot is held: a sweep that has begun looks at it after this.
            self.waits_until(until);
            let missed = slot.park(parked, until);
            if asks && missed.is_none() {
                out.extend(slot.held_requests().map(|key| Output::Held { key }));
            }
            missed
        };
        let Some((parked, event)) = missed else {
            // People take their time.
            if asks {
                self.slots.set_aside(&round);
            }
            return None;
        };
        self.go_on(round, env, out, |env| parked.resume(event, until, env).1)
    }
}
