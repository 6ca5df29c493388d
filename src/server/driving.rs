//! A login on its way from one answer to the next: what a [`Drive`](super::drives::Drive) is.
//!
//! Written out rather than as an `async fn`, because there are two for each login and as many at a time as logins are
//! under way: a fifth of the room, which an allocator hands out without looking for it. Invariant: a panic on the way ends
//! this login and no other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::affinity::RoundId;
use super::node::{Ask, Awaits, Ticket};
use super::tracer::Traced;
use super::worker::Worker;
use crate::base::time::Tick;
use crate::engine::await_commit::AwaitCommit;
use crate::engine::await_peer::AwaitPeer;
use crate::engine::await_primary::AwaitPrimary;
use crate::engine::await_user::AwaitUser;

/// An answer on its way.
pub(super) type Coming<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Answers the questions of a login until it waits or ends.
pub(super) struct Driving {
    worker: Arc<Worker>,
    answer_by: Tick,
    round: RoundId,
    at: At,
}

/// How far a login is.
pub(super) enum At {
    /// It wants to know something.
    Asks(Ask),
    /// The answer is on its way.
    Waits(Question),
    /// It waits for somebody, or is over.
    Ends,
}

impl From<Option<Ask>> for At {
    fn from(next: Option<Ask>) -> At {
        next.map_or(At::Ends, At::Asks)
    }
}

/// A question that was asked.
pub(super) enum Question {
    Primary(Waiting<AwaitPrimary>),
    User(Waiting<AwaitUser>),
    Commit(Waiting<AwaitCommit>),
    Relay(Waiting<AwaitPeer>),
    /// To the store that servers share; the login is taken on with the answer.
    Shared(Coming<Option<Ask>>),
}

/// An answer on its way, and what takes it back to its login.
pub(super) struct Waiting<A: Awaits> {
    coming: Coming<A::Answer>,
    ticket: Option<Ticket<A>>,
}

impl<A: Awaits> Waiting<A> {
    pub(super) fn new(ticket: Ticket<A>, coming: Coming<A::Answer>) -> Waiting<A> {
        Waiting { coming, ticket: Some(ticket) }
    }

    fn poll(&mut self, worker: &Arc<Worker>, context: &mut Context<'_>) -> Poll<Option<Ask>>
    where
        A::Answer: Traced,
    {
        let answer = ready!(self.coming.as_mut().poll(context));
        Poll::Ready(self.ticket.take().and_then(|ticket| worker.answered(ticket, answer)))
    }
}

impl Driving {
    pub(super) fn new(worker: Arc<Worker>, ask: Ask, answer_by: Tick) -> Driving {
        Driving { worker, answer_by, round: ask.round(), at: At::Asks(ask) }
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let worker = &self.worker;
        loop {
            let next = match &mut self.at {
                At::Ends => return Poll::Ready(()),
                At::Asks(ask) => {
                    self.round = ask.round();
                    match std::mem::replace(&mut self.at, At::Ends) {
                        At::Asks(ask) => worker.ask(ask, self.answer_by),
                        other => other,
                    }
                }
                At::Waits(Question::Primary(waiting)) => ready!(waiting.poll(worker, context)).into(),
                At::Waits(Question::User(waiting)) => ready!(waiting.poll(worker, context)).into(),
                At::Waits(Question::Commit(waiting)) => ready!(waiting.poll(worker, context)).into(),
                At::Waits(Question::Shared(coming)) => ready!(coming.as_mut().poll(context)).into(),
                At::Waits(Question::Relay(waiting)) => ready!(waiting.poll(worker, context)).into(),
            };
            self.at = next;
        }
    }
}

impl Future for Driving {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match catch_unwind(AssertUnwindSafe(|| this.go_on(context))) {
                Ok(poll) => return poll,
                Err(_) => this.at = this.worker.fail(this.round).into(),
            }
        }
    }
}
