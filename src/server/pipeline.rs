//! The way of a datagram, from the socket to the reply, on one page.
//!
//! ```text
//! datagram ─ clients ─ wire::parse ─ wire::verify ─ duplicates ─┬─ node.begin  ─┐
//!                                                               └─ node.resume ─┤ asks
//!                     reply, log ◄─ outputs ◄─ node.answer ◄─ primary · store ◄─┘
//! ```
//!
//! A datagram that goes no further leaves through one [`DropReason`], counted once. Nothing is copied before the packet
//! was verified, found new and found to be an Access-Request.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::affinity::{Mint, RoundId, StateFault};
use super::alarms::sprays;
use super::clients::Gateway;
use super::driving::{At, Coming, Driving, Question, Waiting};
use super::duplicates::{PacketKey, Seen};
use super::node::{Arrival, Ask, Awaits, Node, Origin, Output, Ticket};
use super::peers::{Answering, Carried, Peers};
use super::tracer::Traced;
use super::worker::Worker;
use crate::base::name::UserName;
use crate::base::text::escape;
use crate::base::time::Tick;
use crate::engine::delivery::Delivery;
use crate::engine::policy::Policy;
use crate::engine::question::UserAnswer;
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Record, Row, Verdict};
use crate::engine::rule::Subject;
use crate::engine::step::{Entered, Env, Event};
use crate::store::pending::Pending;
use crate::wire::{
    AccessRequest, AttributeList, Code, Credential, DropReason, Integrity, Parsed, ReplyTo, SharedSecret,
    Verified, number,
};

/// The least time that the store is given, whatever is left of the request's.
const STORE_LEAST: Duration = Duration::from_millis(500);

impl Worker {
    /// Takes one datagram from `source`, sent to `local`.
    pub(super) fn receive(self: &Arc<Self>, datagram: &[u8], source: SocketAddr, local: SocketAddr) {
        let live = self.shared.live.load();
        let gateway = live.clients.find(source.ip());
        let admitted = catch_unwind(AssertUnwindSafe(|| {
            match (live.peers.carried(datagram, source.ip()), gateway) {
                (Carried::From(heard), _) => self.hear(&live, *heard, source, local),
                (Carried::Nothing, Some(gateway)) => {
                    self.admit(gateway, &live.peers, datagram, source, local)
                }
                // A client at the same address may send the attribute too, if it signs.
                (Carried::Unproven, Some(gateway)) if self.is_signed(gateway, datagram, source) => {
                    self.admit(gateway, &live.peers, datagram, source, local)
                }
                (Carried::Unproven, _) => Err(DropReason::BadPeerSecret),
                (Carried::Nothing, None) => Err(DropReason::UnknownClient),
            }
        }))
        .unwrap_or_else(|_| {
            tracing::error!(%source, "a fault in this program: a datagram could not be handled");
            Err(DropReason::Internal)
        });
        if let Err(reason) = admitted {
            let client = gateway.map(|gateway| &gateway.name);
            if self.shared.tracer.is_on() {
                self.shared.tracer.dropped(reason, source, client);
            }
            self.shared.drops.count(reason, source, client, self.shared.clock.mono());
        }
    }

    fn is_signed(&self, gateway: &Gateway, datagram: &[u8], source: SocketAddr) -> bool {
        let (address, now) = (source.ip().to_canonical(), self.shared.clock.unix());
        let verify = |parsed| gateway.verify(&parsed, address, &self.shared.ratchet, now).ok();
        let authentic = Parsed::parse(datagram).ok().and_then(verify);
        authentic.is_some_and(|authentic| authentic.packet.integrity() == Integrity::Signed)
    }

    fn admit(
        self: &Arc<Self>,
        gateway: &Gateway,
        peers: &Peers,
        datagram: &[u8],
        source: SocketAddr,
        local: SocketAddr,
    ) -> Result<(), DropReason> {
        let shared = &self.shared;
        let now = shared.clock.mono();
        let address = source.ip().to_canonical();
        let parsed = Parsed::parse(datagram)?;
        let unix = shared.clock.unix();
        let authentic = gateway.verify(&parsed, address, &shared.ratchet, unix)?;
        let packet = &authentic.packet;
        gateway.manner.note(parsed.has_proxy_state(), packet.integrity() == Integrity::Signed, unix);
        let origin = Origin {
            key: PacketKey { source, local, identifier: packet.identifier() },
            authenticator: *packet.authenticator(),
            gateway: source,
        };
        let reply_to =
            ReplyTo::new(packet, Arc::clone(&authentic.secret), gateway.send_message_authenticator);
        match packet.code() {
            Code::ACCESS_REQUEST => {}
            Code::STATUS_SERVER => return self.status(origin, reply_to),
            _ => return Err(DropReason::UnknownCode),
        }
        let request = AccessRequest::view(packet)?;
        if gateway.raises(&parsed, packet.integrity()) && shared.ratchet.raise(address) {
            self.store_raised(gateway, address);
        }
        match shared.duplicates.admit(origin.key, &origin.authenticator, now) {
            Seen::New => {}
            Seen::Pending(after) => {
                gateway.manner.repeated(after);
                return Err(DropReason::DuplicatePending);
            }
            Seen::Answered(reply, after) => {
                gateway.manner.repeated(after);
                if shared.tracer.is_on() {
                    shared.tracer.repeated(&gateway.name, request.user_name(), &origin);
                }
                self.send(reply, origin);
                return Ok(());
            }
        }
        let mut arrival = arrival(gateway, &request, packet, &authentic.secret, origin, reply_to, now);
        arrival.floor = self.floor(&arrival.policy, &request);
        if shared.tracer.is_on() {
            shared.tracer.request(&arrival);
        }
        let answer_by = now + arrival.policy.admission.answer_within();
        self.turn(answer_by, |worker, env, out| {
            enter(&worker.shared.node, peers, arrival, request.state(), env, out)
        });
        Ok(())
    }

    /// What a first step's Reject is held to beside the policy's floor: the primary's pace, which would otherwise tell a
    /// wrong password from a right one. A code's answer owes nothing to the primary.
    fn floor(&self, policy: &Policy, request: &AccessRequest<'_>) -> Duration {
        match request.state() {
            None => self.primaries().response_time(&policy.admission.primary),
            Some(_) => Duration::ZERO,
        }
    }

    /// Asks what a login wants to know; where the answer is there at once, it takes the login one step on instead. What the
    /// store cannot say in time it cannot say: a record that waits so long is withdrawn.
    pub(super) fn ask(self: &Arc<Self>, ask: Ask, answer_by: Tick) -> At {
        let shared = &self.shared;
        if shared.tracer.is_on() {
            shared.tracer.asks(&shared.node, &ask);
        }
        let question = match ask {
            Ask::Primary(check, ticket) => {
                let primaries = self.primaries();
                let watcher =
                    shared.tracer.is_on().then(|| shared.tracer.eye(&shared.node, ticket.round())).flatten();
                let coming = Box::pin(async move { primaries.check_watched(check, watcher).await });
                Question::Primary(Waiting::new(ticket, coming))
            }
            Ask::User(query, ticket) => match shared.store.find(&query) {
                Pending::Ready(answer) => return self.answered(ticket, answer).into(),
                Pending::Later(coming) => {
                    let coming = self.in_time(coming, answer_by, UserAnswer::Unavailable);
                    Question::User(Waiting::new(ticket, Box::pin(coming)))
                }
            },
            Ask::Relay(request, ticket) => {
                let (relays, worker) = (self.relays(), Arc::clone(self));
                let coming = Box::pin(async move { relays.ask(request, &worker).await });
                Question::Relay(Waiting::new(ticket, coming))
            }
            Ask::Park(parking, ticket) => {
                Question::Shared(Box::pin(Arc::clone(self).park(parking, ticket, answer_by)))
            }
            Ask::Unpark(spot, ticket) => {
                Question::Shared(Box::pin(Arc::clone(self).unpark(spot, ticket, answer_by)))
            }
            Ask::Claim(claim, ticket) => {
                Question::Shared(Box::pin(Arc::clone(self).claim(claim, ticket, answer_by)))
            }
            Ask::Commit(record, ticket) => {
                let alarm = self.spray(&record.row);
                if alarm.is_none() && shared.floods.swallows(&record, &*shared.clock) {
                    let counted = CommitAnswer::Counted;
                    return self.quietly(|env, out| shared.node.answer(ticket, counted, env, out)).into();
                }
                // A login that ends has its line from the node; a code that is asked for again has it from here.
                let told = record.row.verdict == Verdict::Retried
                    || is_alarm(record.row.reason)
                    || record.row.sends.is_some();
                if alarm.is_some() || told {
                    let coming = Arc::clone(self).keep_and_tell(record, alarm, answer_by);
                    return At::Waits(Question::Commit(Waiting::new(ticket, Box::pin(coming))));
                }
                Question::Commit(Waiting::new(ticket, self.keep(record, answer_by)))
            }
        };
        At::Waits(question)
    }

    /// Brings an answer back to its login.
    pub(super) fn answered<A: Awaits<Answer: Traced>>(
        self: &Arc<Self>,
        ticket: Ticket<A>,
        answer: A::Answer,
    ) -> Option<Ask> {
        let shared = &self.shared;
        if shared.tracer.is_on() {
            answer.trace(&shared.tracer, &shared.node, ticket.round());
        }
        self.step(|env, out| shared.node.answer(ticket, answer, env, out))
    }

    /// Has a record kept.
    pub(super) fn keep(&self, record: Record, answer_by: Tick) -> Coming<CommitAnswer> {
        match self.shared.store.commit(record) {
            Pending::Ready(answer) => Box::pin(std::future::ready(answer)),
            Pending::Later(coming) => Box::pin(self.in_time(coming, answer_by, CommitAnswer::Unavailable)),
        }
    }

    /// The same for one that is an alarm or may bring one about, or whose login goes on.
    async fn keep_and_tell(
        self: Arc<Self>,
        record: Record,
        alarm: Option<Record>,
        answer_by: Tick,
    ) -> CommitAnswer {
        if let Some(alarm) = alarm {
            self.alarm(alarm, answer_by).await;
        }
        if is_alarm(record.row.reason) {
            // The engine's own alarm: the login goes on whatever becomes of it.
            return self.alarm(record, answer_by).await;
        }
        let row = Arc::clone(&record.row);
        let answer = self.keep(record, answer_by).await;
        if let (Verdict::Retried, CommitAnswer::Done(recorded)) = (row.verdict, &answer) {
            self.shared.journal.login(&row, Some(recorded.sequence()));
            self.shared.counts.login(&row, true);
        }
        if let CommitAnswer::Done(recorded) = &answer
            && let Some(alarm) = self.shared.budget.look(&row, recorded, self.shared.clock.mono())
        {
            self.alarm(alarm, answer_by).await;
        }
        answer
    }

    /// The record of an alarm that this row brings about, being one failure of too many users.
    fn spray(&self, row: &Row) -> Option<Record> {
        if !sprays::is_failure(row) {
            return None;
        }
        let shared = &self.shared;
        shared.sprays.look(row, &shared.live.load().lockout, &*shared.clock)
    }

    /// Records an alarm, and says so in the log.
    async fn alarm(&self, record: Record, answer_by: Tick) -> CommitAnswer {
        let row = Arc::clone(&record.row);
        self.shared.counts.alarm(row.reason);
        let answer = self.keep(record, answer_by).await;
        let sequence = match &answer {
            CommitAnswer::Done(recorded) => Some(recorded.sequence()),
            CommitAnswer::Refused(_) | CommitAnswer::Counted | CommitAnswer::Unavailable => None,
        };
        let user = row.user.as_ref().map(|user| escape(user.as_str().as_bytes()));
        tracing::warn!(
            user, client = %row.client, login = %row.login, row = sequence, reason = row.reason.code(),
            "{}", row.reason.sentence()
        );
        answer
    }

    /// The store's answer, or `late` where it does not come in time. A login is given a moment even where its own time is
    /// over.
    pub(super) fn in_time<T>(
        &self,
        coming: Coming<T>,
        answer_by: Tick,
        late: T,
    ) -> impl Future<Output = T> + use<T> {
        let left = answer_by.since(self.shared.clock.mono()).max(STORE_LEAST);
        let coming = tokio::time::timeout(left, coming);
        async move { coming.await.unwrap_or(late) }
    }

    /// A step of a login that panicked: it is refused. If even that fails, it is dropped.
    pub(super) fn fail(self: &Arc<Self>, round: RoundId) -> Option<Ask> {
        tracing::error!("a fault in this program ended a login; it was refused");
        catch_unwind(AssertUnwindSafe(|| self.step(|env, out| self.shared.node.fail(round, env, out))))
            .unwrap_or_else(|_| {
                self.shared.node.abandon(round, self.shared.clock.mono());
                None
            })
    }

    /// Wakes the logins whose time is over.
    pub(super) fn expire(self: &Arc<Self>) {
        let now = self.shared.clock.mono();
        for round in self.shared.node.expired(now) {
            self.turn(now, |worker, env, out| worker.shared.node.wake(round, Event::Expired, env, out));
        }
    }

    /// Moves a login, does what comes of it, and drives it on in a task of its own if it asks for something.
    pub(super) fn turn(
        self: &Arc<Self>,
        answer_by: Tick,
        go: impl FnOnce(&Self, &mut Env<'_>, &mut Vec<Output>) -> Option<Ask>,
    ) {
        if let Some(ask) = self.step(|env, out| go(self, env, out)) {
            self.drives.push(Box::pin(Driving::new(Arc::clone(self), ask, answer_by)));
        }
    }

    /// Moves a login and does what comes of it.
    pub(super) fn step(
        self: &Arc<Self>,
        go: impl FnOnce(&mut Env<'_>, &mut Vec<Output>) -> Option<Ask>,
    ) -> Option<Ask> {
        let mut outputs = Vec::new();
        let (ask, now) = self.with_env(|env| (go(env, &mut outputs), env.mono));
        for output in outputs {
            self.carry_out(output, now);
        }
        ask
    }

    /// The same for a login that a flood swallowed: answered, but without a line of its own.
    fn quietly(
        self: &Arc<Self>,
        go: impl FnOnce(&mut Env<'_>, &mut Vec<Output>) -> Option<Ask>,
    ) -> Option<Ask> {
        self.step(|env, out| {
            let ask = go(env, out);
            out.retain(|output| {
                let Output::Ended { row, .. } = output else { return true };
                // The row of the whole flood will say it.
                self.shared.counts.login(row, true);
                false
            });
            ask
        })
    }

    fn carry_out(self: &Arc<Self>, output: Output, now: Tick) {
        if self.shared.tracer.is_on() {
            self.shared.tracer.output(&self.shared.node, &output, now);
        }
        match output {
            Output::Reply { to, datagram, not_before } => self.reply(to, datagram.into(), not_before, now),
            Output::Tell { caller, said, not_before } => self.tell(caller, said, not_before, now),
            Output::Ended { row, sequence } => {
                self.shared.journal.login(&row, sequence);
                self.shared.counts.login(&row, sequence.is_some());
                if row.reason == Reason::RecoveryAccepted && sequence.is_some() {
                    self.tell_user(&row);
                }
                if row.reason == Reason::FactorWithdrawn {
                    self.invite_again(&row);
                }
            }
            Output::Oversized { login } => {
                tracing::error!(%login, hint = "let the primary send fewer or shorter attributes",
                    "the primary's attributes do not fit into one packet; the login was refused");
            }
            Output::Deliver { round, delivery } => self.deliver(round, *delivery),
            Output::Held { key } => self.shared.duplicates.set_aside(key),
            Output::Released { intent, login } => self.shared.store.release(intent, login),
            Output::TurnedAway { client } => self.shared.turned_away(&client),
        }
    }

    /// Has something brought to a user, and wakes its login with how that went.
    fn deliver(self: &Arc<Self>, round: RoundId, delivery: Delivery) {
        let worker = Arc::clone(self);
        let id = delivery.id;
        let sending = self.shared.live.load().channels.send(delivery);
        tokio::spawn(async move {
            let sent = sending.await;
            if worker.shared.tracer.is_on() {
                worker.shared.tracer.delivered(&worker.shared.node, round, &sent);
            }
            let answer_by = worker.shared.clock.mono() + STORE_LEAST;
            worker.turn(answer_by, |worker, env, out| {
                worker.shared.node.wake(round, Event::Delivered(id, sent), env, out)
            });
        });
    }

    fn status(&self, origin: Origin, reply_to: ReplyTo) -> Result<(), DropReason> {
        let sealed =
            self.with_env(|env| reply_to.seal(Code::ACCESS_ACCEPT, &AttributeList::new(), env.entropy));
        self.send(sealed.map_err(|_| DropReason::ReplyTooLarge)?.into(), origin);
        Ok(())
    }
}

/// Whether a row is one that somebody should hear of at once.
fn is_alarm(reason: Reason) -> bool {
    matches!(reason, Reason::GuessingSuspected | Reason::FraudReported)
}

/// A first step, or a further one of a login that this server has, or that one of `peers` has. A State is never ignored: without its login
/// the code would go upstream as a password.
pub fn enter(
    node: &Node,
    peers: &Peers,
    arrival: Arrival,
    state: Option<&[u8]>,
    env: &mut Env<'_>,
    out: &mut Vec<Output>,
) -> Option<Ask> {
    let Some(state) = state else {
        if has_come_back(&arrival, node.mint()) {
            return node.refuse(arrival, Reason::ProxyLoop, env, out);
        }
        return node.begin(arrival, env, out);
    };
    let Some(user) = &arrival.user else { return node.refuse(arrival, Reason::BadUserName, env, out) };
    match node.mint().open(state, &arrival.client, user) {
        Ok(issued) => {
            let lived = arrival.policy.login.code_lifetime;
            let gone =
                if env.unix.since(issued.at) > lived { Reason::StateExpired } else { Reason::StateSpent };
            match node.mint().codes() {
                Some(_) => node.take_up(&issued, arrival, gone, env, out),
                None => node.resume(issued.round, arrival, gone, env, out),
            }
        }
        Err(StateFault::Forged) => node.refuse(arrival, Reason::StateForged, env, out),
        Err(StateFault::AnotherServer(server)) => match peers.named(server) {
            Some(owner) if peers.relays() => node.relay(arrival, owner, env, out),
            Some(owner) => node.refuse_at(arrival, owner, Reason::IssuedByAnotherServer, env, out),
            None => node.refuse_at(arrival, &server, Reason::IssuedByAnotherServer, env, out),
        },
    }
}

/// Whether it is a request that this server, or another one of its store, has passed on: NPS sends it back where the policy that handles
/// what comes from radmfa is missing. Only those without a credential are marked.
fn has_come_back(arrival: &Arrival, mint: &Mint) -> bool {
    matches!(arrival.entered, Entered::Unsupported("none"))
        && arrival.packet.attributes().all(number::PROXY_STATE).any(|state| state == mint.mark())
}

/// Copies what a login needs out of its request.
pub fn arrival(
    gateway: &Gateway,
    request: &AccessRequest<'_>,
    packet: &Verified<&[u8]>,
    secret: &SharedSecret,
    origin: Origin,
    reply_to: impl Into<Answering>,
    came: Tick,
) -> Arrival {
    let entered = match request.credential() {
        // A signed request has proved its secret, so whatever it says is what the user typed.
        Credential::Pap(password)
            if packet.integrity() == Integrity::Signed || password.decodes_cleanly(secret) =>
        {
            Entered::Password(password.reveal(secret))
        }
        Credential::Pap(_) => Entered::Undecodable,
        other => Entered::Unsupported(other.name()),
    };
    let user = request.user_name().and_then(|name| UserName::canonical(name).ok());
    let (policy, ruling) = match &gateway.rules {
        None => (Arc::clone(&gateway.policy), None),
        Some(rules) => rules.begin(&Subject {
            user: user.as_ref(),
            station: request.calling_station_id(),
            attributes: packet.attributes(),
            integrity: packet.integrity(),
        }),
    };
    Arrival {
        client: gateway.name.clone(),
        policy,
        ruling,
        user,
        station: request.calling_station_id().map(|station| escape(station).into()),
        entered,
        packet: Arc::new(packet.detach()),
        origin,
        reply_to: reply_to.into(),
        came,
        floor: Duration::ZERO,
        language: None,
    }
}
