//! One login's question, from its first sending to its answer.

use std::task::{Context, Poll};

use super::{Question, Radius, SWEEP};
use crate::base::time::Tick;
use crate::engine::question::{PrimaryAnswer, PrimaryCheck};
use crate::primary::dialog::Dialog;
use crate::primary::flight::{News, Purpose, Ticket};
use crate::primary::watch::Watcher;
use crate::wire::{AccessRequest, AttributeList, Code, Forward};

impl Radius {
    /// Asks the servers in their order, the next one when a third of the time that is left went by without an answer.
    pub(in crate::primary) async fn check(&self, check: &PrimaryCheck, watcher: Watcher) -> PrimaryAnswer {
        let Ok(request) = AccessRequest::view(&check.packet) else { return PrimaryAnswer::Unavailable };
        let dialog = match check.state.as_deref().map(Dialog::decode) {
            None => None,
            Some(Some(dialog)) => Some(dialog),
            Some(None) => return PrimaryAnswer::Unavailable,
        };
        let state = dialog.map(|dialog| dialog.state);
        // Only a request that came without a credential has an empty one: it goes on as it is.
        let password = Some(&check.password).filter(|password| !password.is_empty());
        let forward = Forward { password, user_name: None, state };
        // Too long for the attribute, it is nobody's password.
        let Ok(attributes) = AttributeList::forward(&request, forward) else {
            return PrimaryAnswer::Rejected { attributes: AttributeList::new() };
        };
        let mut asking = Asking { radius: self, asked: 0, current: None, earlier: Vec::new() };
        loop {
            let now = self.clock.mono();
            match self.choose(asking.asked, dialog, now) {
                Some(server) if now < check.answer_by => {
                    asking.asked |= 1 << server;
                    let more = dialog.is_none() && asking.asked.count_ones() as usize != self.servers.len();
                    let move_on = more.then(|| now + check.answer_by.since(now) / 3);
                    let question = Question {
                        server,
                        code: Code::ACCESS_REQUEST,
                        attributes: &attributes,
                        // A request that has no credential is one that NPS may send back to us.
                        proxy_state: self
                            .mark
                            .as_ref()
                            .filter(|_| password.is_none())
                            .map(<[u8; 16]>::as_slice),
                        purpose: Purpose::Login,
                        move_on,
                        give_up: check.answer_by,
                        watcher: &watcher,
                    };
                    match self.launch(&question, now) {
                        Some(ticket) => asking.also(ticket),
                        None => continue,
                    }
                }
                _ if asking.current.is_none() => return PrimaryAnswer::Unavailable,
                _ => {}
            }
            match std::future::poll_fn(|context| asking.poll(context)).await {
                News::Answer(answer) => return answer,
                News::MoveOn => {}
                News::TimedOut => return PrimaryAnswer::Unavailable,
            }
        }
    }

    /// Asks the first server, alive or not, with these attributes.
    pub(in crate::primary) async fn ask(&self, attributes: &AttributeList, answer_by: Tick) -> PrimaryAnswer {
        let question = Question {
            server: 0,
            code: Code::ACCESS_REQUEST,
            attributes,
            proxy_state: None,
            purpose: Purpose::Login,
            move_on: None,
            give_up: answer_by,
            watcher: &None,
        };
        let Some(ticket) = self.launch(&question, self.clock.mono()) else {
            return PrimaryAnswer::Unavailable;
        };
        let mut asking = Asking { radius: self, asked: 1, current: Some(ticket), earlier: Vec::new() };
        loop {
            match std::future::poll_fn(|context| asking.poll(context)).await {
                News::Answer(answer) => return answer,
                News::MoveOn => {}
                News::TimedOut => return PrimaryAnswer::Unavailable,
            }
        }
    }

    /// The first server that was not asked yet and lives; any not asked yet where all are dead.
    fn choose(&self, asked: u32, dialog: Option<Dialog<'_>>, now: Tick) -> Option<usize> {
        let mut open = self.servers.iter().enumerate().filter(|(place, _)| asked & (1 << place) == 0);
        if let Some(dialog) = dialog {
            return open.find(|(_, server)| server.address == dialog.server).map(|(place, _)| place);
        }
        let all_dead = self.servers.iter().all(|server| server.health.is_dead());
        open.find(|(_, server)| all_dead || server.health.admits(now, self.dead_time)).map(|(place, _)| place)
    }
}

/// A login's question, to one server after the other. Dropped, it ends its flights.
struct Asking<'a> {
    radius: &'a Radius,
    /// A bit for each server that was asked.
    asked: u32,
    /// With the server that was asked last: the only one that is asked again.
    current: Option<Ticket>,
    /// With those before it, which may still answer.
    earlier: Vec<Ticket>,
}

impl Asking<'_> {
    /// Another server was asked as well.
    fn also(&mut self, ticket: Ticket) {
        if let Some(before) = self.current.replace(ticket) {
            self.earlier.push(before);
            let mut flying = self.radius.flying();
            if let Some(lane) = flying.lanes.get_mut(before.lane).and_then(Option::as_mut) {
                if let Some(flight) = lane.flight(before.identifier) {
                    flight.schedule.stop();
                }
                lane.changed(before.identifier);
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<News> {
        let mut flying = self.radius.flying();
        for ticket in self.current.iter().chain(&self.earlier) {
            let lane = flying.lanes.get_mut(ticket.lane).and_then(Option::as_mut);
            let Some(flight) = lane.and_then(|lane| lane.flight(ticket.identifier)) else { continue };
            if let Some(news) = flight.news.take() {
                return Poll::Ready(news);
            }
            match &mut flight.waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => flight.waker = Some(context.waker().clone()),
            }
        }
        Poll::Pending
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let now = self.radius.clock.mono();
        let mut guard = self.radius.flying();
        let flying = &mut *guard;
        for ticket in self.current.iter().chain(&self.earlier) {
            let Some(lane) = flying.lanes.get_mut(ticket.lane).and_then(Option::as_mut) else { continue };
            if let Some(mut flight) = lane.land(ticket.identifier, now) {
                flying.busy -= 1;
                // Somebody else's clock may have run out before the sweep came by.
                if flight.give_up <= now + SWEEP {
                    self.radius.count_silence(lane.server, &mut flight, now);
                }
            }
        }
    }
}
