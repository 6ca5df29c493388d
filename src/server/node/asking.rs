//! What the node does for logins that ask their users on the phone: one question a user, copies that join, answers that come.
//!
//! A join shares the verdict and the number that is shown, so only a copy of the same request with the same station joins.

use std::sync::Arc;

use super::super::affinity::RoundId;
use super::super::intents::CROSSED;
use super::super::phones::{Asking, Claim, Found, Shown, Sight};
use super::{Ask, Node, Output, Ticket};
use crate::base::name::UserName;
use crate::base::system::Clock;
use crate::base::time::Tick;
use crate::engine::asking::Reference;
use crate::engine::await_commit::AwaitCommit;
use crate::engine::delivery::{Delivery, Kind, Message};
use crate::engine::login::{Facts, late_answer, unproved};
use crate::engine::methods;
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Conflict, Record, Row};
use crate::engine::step::{Answer, Env, Event};

/// What became of an answer.
#[derive(Debug)]
pub enum Heard {
    /// The login has it.
    Taken,
    /// It came too late; what is to be recorded of that, the first time.
    Late(Option<Box<Row>>),
    /// There is no such question.
    Unknown,
}

impl Node {
    /// What may be known of the question called `reference`.
    pub fn sight(&self, reference: Reference) -> Option<Sight> {
        self.phones.look(reference)
    }

    /// What whoever may answer the push called `reference` is shown.
    pub fn show(&self, reference: Reference) -> Option<Shown> {
        self.phones.show(reference)
    }

    /// Whether the push called `reference` waits, and is approved with a passkey alone.
    pub fn wants_passkey(&self, reference: Reference) -> bool {
        self.phones.show(reference).is_some_and(|shown| shown.open && shown.passkey)
    }

    /// What is to be recorded where an approval of a push was not believed; `None` where that was recorded often enough.
    pub fn unproved(&self, reference: Reference, reason: Reason, clock: &dyn Clock) -> Option<Row> {
        let facts = self.phones.unproved(reference)?;
        Some(unproved(&facts, reason, clock.mono(), clock.unix()))
    }

    /// The question that `user` is being asked at this moment.
    pub fn question_of(&self, user: &UserName) -> Option<Reference> {
        self.phones.question_of(user)
    }

    /// The questions that went to the telephone `number`: those that may be answered, or else one that no longer may.
    pub fn questions_to(&self, number: &str) -> Vec<Reference> {
        self.phones.to_number(number)
    }

    /// Brings an answer to the login that waits for it. What was typed may be wrong and come again; any other answer is the
    /// last one.
    pub fn hear(
        &self,
        reference: Reference,
        answer: Answer,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> (Heard, Option<Ask>) {
        let last = !matches!(answer, Answer::Typed(_));
        match self.phones.hear(reference, last, env.mono) {
            Found::Live(round) => (Heard::Taken, self.wake(round, Event::Phone(answer), env, out)),
            Found::Over(facts) => {
                let kind = self.phones.look(reference).map_or(Kind::Push, |sight| sight.kind);
                let row = |facts: Arc<Facts>| Box::new(late_answer(&facts, methods::method(kind), env));
                (Heard::Late(facts.map(row)), None)
            }
            Found::Nothing => (Heard::Unknown, None),
        }
    }

    /// Before its first question a login claims its user; where another one has, it joins that or goes on without.
    pub(super) fn claim(
        &self,
        round: RoundId,
        kind: Kind,
        record: Record,
        state: AwaitCommit,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> Option<Ask> {
        let Some(user) = record.row.user.clone() else {
            return Some(Ask::Commit(record, Ticket { round, state }));
        };
        if self.crossed(round, &user) {
            // Its gateway has its answer, from the copy that was quicker.
            self.close(round, env.mono);
            return None;
        }
        let forgiven = state.forgiven().and_then(|unlocked| unlocked.tick(env.unix, env.mono));
        let conflict = match self.phones.claim(&user, round, kind, forgiven, env.mono) {
            Claim::Yours => {
                if let Some(mut slot) = self.slots.get_mut(&round) {
                    slot.asks(user, kind);
                }
                return Some(Ask::Commit(record, Ticket { round, state }));
            }
            Claim::Of(other) if self.joins_question(round, other, env, out) => return None,
            Claim::Of(_) => Conflict::LoginPending,
            Claim::Paused => Conflict::PushPaused,
        };
        self.go_on(round, env, out, |env| state.resume(CommitAnswer::Refused(conflict), env))
    }

    /// Whether the login of `round` is a copy of one that asked, and ended or went on without just now: it was slow to get here, or had left its gateway
    /// before that heard of the end.
    fn crossed(&self, round: RoundId, user: &UserName) -> bool {
        let lately = self.phones.lately(user);
        self.slots.get(&round).is_some_and(|slot| {
            let copies =
                |(first, ended): &(_, Tick)| slot.facts.began <= *ended + CROSSED && slot.repeats(first);
            slot.asking.is_none() && lately.iter().any(copies)
        })
    }

    /// Whether the login of `round` was a copy of that of `other`, and has become part of it.
    fn joins_question(
        &self,
        round: RoundId,
        other: RoundId,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) -> bool {
        // One guard at a time: two slots may lie in one shard.
        let Some(first) = self.slots.get(&other).and_then(|slot| slot.first_request()) else { return false };
        if !self.slots.get(&round).is_some_and(|slot| slot.repeats(&first)) {
            return false;
        }
        let Some(slot) = self.close(round, env.mono) else { return false };
        if let Some(mut other) = self.slots.get_mut(&other) {
            slot.join(&mut other, env, out);
        }
        true
    }

    /// A question leaves with `delivery`; the one before it, to a device that did not take it, is over.
    pub(super) fn opened(&self, round: RoundId, delivery: &Delivery, env: &Env<'_>) {
        let Message::Ask(question) = &delivery.message else { return };
        let Some(mut slot) = self.slots.get_mut(&round) else { return };
        let facts = Arc::clone(&slot.facts);
        let Some(asking) = &mut slot.asking else { return };
        asking.kind = delivery.kind;
        let before = asking.reference.replace(question.reference);
        drop(slot);
        if let Some(before) = before {
            self.phones.end(before, env.mono);
        }
        self.phones.open(round, delivery, question, facts);
    }

    /// The login is about to wait, for the answer to `asks` if for any: whatever else it had asked is over.
    pub(super) fn settle(&self, round: RoundId, asks: Option<Reference>, env: &Env<'_>) {
        let Some(mut slot) = self.slots.get_mut(&round) else { return };
        if slot.asking.as_ref().is_none_or(|asking| asking.reference == asks && asks.is_some()) {
            return;
        }
        let (asking, first) = (slot.asking.take(), slot.first_request());
        drop(slot);
        if let Some(asking) = asking {
            let first = asking.reference.and(first);
            self.phones.release(&asking.user, round, first, env.mono);
            self.over(&asking, env.mono);
        }
    }

    /// The phone has approved, and the user has yet to go on at the prompt.
    pub(super) fn approved(&self, reference: Reference) {
        self.phones.became(reference, Reason::PhoneApproved);
    }

    /// A login that had asked ended for `reason`.
    pub(super) fn asked(&self, asking: &Asking, reason: Reason, env: &Env<'_>) {
        self.over(asking, env.mono);
        if let Some(reference) = asking.reference {
            self.phones.became(reference, reason);
            self.phones.ended(&asking.user, asking.kind, reason, env.mono);
        }
    }

    fn over(&self, asking: &Asking, now: Tick) {
        if let Some(reference) = asking.reference {
            self.phones.end(reference, now);
        }
    }
}
