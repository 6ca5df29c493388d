//! What a node does with each step of a login: questions leave, waits are told and parked, ends are answered.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::affinity::RoundId;
use super::super::intents::{Found, Intent};
use super::{Arrival, Ask, Node, Output, Ticket};
use crate::base::system::random;
use crate::base::time::Tick;
use crate::engine::await_commit::AwaitCommit;
use crate::engine::parked::Parked;
use crate::engine::step::{Challenge, Env, Step};

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
                if let Some((_, kind)) = state.asks() {
                    return self.claim(round, kind, record, state, env, out);
                }
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
                    self.opened(round, &delivery, env);
                    out.push(Output::Deliver { round, delivery: Box::new(delivery) });
                }
                self.settle(round, parked.asks(), env);
                self.park(round, parked, wait.until, env, out)
            }
            Step::Decided(outcome) => {
                let slot = self.close(round, env.mono)?;
                if let Some(asking) = &slot.asking {
                    self.asked(asking, outcome.row().reason, env);
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

    /// Before its first message a login claims what it means; true if another login has it, and it has become part of that.
    fn joins(&self, round: RoundId, env: &mut Env<'_>, out: &mut Vec<Output>) -> bool {
        let Some((intent, began, until)) = self.slots.get(&round).and_then(|slot| {
            let first = slot.rounds == 0 && slot.intent.is_none();
            let (began, until) = (slot.facts.began, slot.joined_until());
            first.then(|| slot.means(&self.mint)).flatten().map(|intent| (intent, began, until))
        }) else {
            return false;
        };
        match self.intents.claim(intent, round, began, env.mono, until) {
            Found::Of(other) if self.slots.contains_key(&other) => {
                if let (Some(slot), Some(mut other)) =
                    (self.close(round, env.mono), self.slots.get_mut(&other))
                {
                    slot.join(&mut other, env, out);
                }
                return true;
            }
            // Its gateway has its answer, from the copy that was quicker.
            Found::Over => return self.close(round, env.mono).is_some(),
            Found::Of(_) | Found::Free => {}
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
