//! A login's place in the node's table: the requests that hang on it, and how they are answered.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::affinity::Mint;
use super::front::Said;
use super::intents::{Intent, JOINED};
use super::node::{Arrival, Origin, Output};
use super::peers::Answering;
use super::phones::Asking;
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::system::random;
use crate::base::time::Tick;
use crate::engine::append::Append;
use crate::engine::delivery::Kind;
use crate::engine::login::Facts;
use crate::engine::parked::Parked;
use crate::engine::policy::Admission;
use crate::engine::proof::{Accept, Outcome};
use crate::engine::step::{Challenge, Entered, Env, Event};
use crate::wire::{Attribute, AttributeList, Code, Verified, number};

/// Events that may queue at a busy login.
const QUEUE_MAX: usize = 8;
/// Copies of one request that may hang on a login at once.
const COPIES_MAX: usize = 16;

/// A login under way.
pub(super) struct Slot {
    /// A panic leaves only this to say whose login it was.
    pub(super) facts: Facts,
    /// Challenges told so far.
    pub(super) rounds: u8,
    waiting: Vec<Waiting>,
    /// The request being worked on, which copies may join. `None` before the first challenge: nobody has a State yet.
    original: Option<Original>,
    /// What it claimed before it sent something.
    pub(super) intent: Option<Intent>,
    /// What its login asks on the phone, or is about to.
    pub(super) asking: Option<Box<Asking>>,
    /// The request that it began with, where it asks on the phone: what repeats it may join, as long as it lives.
    first: Option<Box<Original>>,
    /// The challenge that whoever joins it is told: of a login with an intent, once it was told.
    told: Option<Box<Told>>,
    at: At,
}

/// A challenge as it was told.
struct Told {
    attributes: AttributeList,
}

enum At {
    Parked {
        parked: Box<Parked>,
        until: Tick,
    },
    /// In the store that servers share: whoever asks there first goes on with it.
    Away {
        until: Tick,
    },
    Busy {
        queue: VecDeque<Event>,
    },
}

/// A request that hangs on a login.
struct Waiting {
    origin: Origin,
    reply_to: Answering,
    came: Tick,
    floor: Duration,
    /// It brought an EAP-Message with this identifier, so a Reject has to carry an EAP-Failure (RFC 3579 §2.6.3).
    eap: Option<u8>,
}

/// What is left of an arrival once its answer's way hangs on a slot.
pub(super) struct Brought {
    pub(super) entered: Entered,
    pub(super) packet: Arc<Verified<Box<[u8]>>>,
    pub(super) origin: Origin,
}

impl Slot {
    /// Busy, with its first request.
    pub(super) fn new(facts: Facts, arrival: Arrival, original: Option<Original>) -> (Slot, Brought) {
        let mut slot = Slot {
            facts,
            rounds: 0,
            waiting: Vec::with_capacity(1),
            original,
            intent: None,
            asking: None,
            first: None,
            told: None,
            at: At::Busy { queue: VecDeque::new() },
        };
        let brought = slot.hang(arrival);
        (slot, brought)
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(self.at, At::Busy { .. })
    }

    /// Whether it waits in the store that servers share.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.at, At::Away { .. })
    }

    /// From here on it waits there; or something has happened meanwhile that it may take.
    pub(super) fn send_away(&mut self, until: Tick) -> Option<Event> {
        if let At::Busy { queue } = &mut self.at {
            // How a message went is of no use to a login that has told its challenge.
            while let Some(event) = queue.pop_front() {
                if !matches!(event, Event::Delivered(..)) {
                    return Some(event);
                }
            }
        }
        self.at = At::Away { until };
        None
    }

    /// It is asked for in that store.
    pub(super) fn fetch(&mut self) {
        self.at = At::Busy { queue: VecDeque::new() };
    }

    /// Whether a challenge was told and no request hangs here, so that the next one may come to any server.
    pub(super) fn is_told(&self) -> bool {
        self.rounds > 0 && self.waiting.is_empty()
    }

    /// Whether it waits with requests that hang on it: for a message to be on its way, or for somebody out of band.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.at, At::Parked { .. }) && !self.waiting.is_empty()
    }

    /// Until when it waits, if it does.
    pub(super) fn until(&self) -> Option<Tick> {
        match self.at {
            At::Parked { until, .. } | At::Away { until } => Some(until),
            At::Busy { .. } => None,
        }
    }

    /// Whether it has waited long enough at `now`.
    pub(super) fn is_over(&self, now: Tick) -> bool {
        matches!(self.at, At::Parked { until, .. } | At::Away { until } if now >= until)
    }

    /// Whether a request with this hash may join what is being worked on.
    pub(super) fn takes_copy(&self, arrival: &Arrival) -> bool {
        (self.is_busy() || self.is_held())
            && self.waiting.len() < COPIES_MAX
            && self.original.as_ref().is_some_and(|original| original.is_repeated_by(arrival))
    }

    /// From here on, whatever repeats this request is a copy.
    pub(super) fn works_on(&mut self, arrival: &Arrival) {
        self.original = Original::of(arrival);
    }

    /// The login is about to ask `user` on the phone.
    pub(super) fn asks(&mut self, user: UserName, kind: Kind) {
        if self.rounds == 0 && self.first.is_none() {
            self.first = self.original.clone().map(Box::new);
        }
        match &mut self.asking {
            Some(asking) => asking.kind = kind,
            None => self.asking = Some(Box::new(Asking { user, kind, reference: None })),
        }
    }

    /// The request that it began with, where it asks on the phone and names its station.
    pub(super) fn first_request(&self) -> Option<Original> {
        self.first.as_deref().filter(|first| first.names_station()).cloned()
    }

    /// Whether what is being worked on here is `first` again.
    pub(super) fn repeats(&self, first: &Original) -> bool {
        self.rounds == 0 && self.original.as_ref().is_some_and(|original| first.equals(original))
    }

    /// What the request being worked on means, whatever packet carries it.
    pub(super) fn means(&self, mint: &Mint) -> Option<Intent> {
        let Original { password, packet, .. } = self.original.as_ref()?;
        let Facts { client, user, station, .. } = &self.facts;
        Some(meaning(mint, client, user.as_ref(), station.as_deref(), password.as_ref(), packet))
    }

    /// The same of a request that is no login yet.
    pub(super) fn meant_by(arrival: &Arrival, mint: &Mint) -> Option<Intent> {
        let Original { password: Some(password), packet, .. } = Original::of(arrival)? else { return None };
        let Arrival { client, user, station, .. } = arrival;
        Some(meaning(mint, client, user.as_ref(), station.as_deref(), Some(&password), &packet))
    }

    /// Whether a first request may be all that there is of its login: a code stands behind its password, or its gateway shows
    /// no challenge. Where it does not say whose station it comes from, two people's requests may be alike: it is nobody's
    /// copy.
    pub(super) fn is_whole(arrival: &Arrival) -> bool {
        let admission = &arrival.policy.admission;
        (admission.append != Append::Never || !admission.challenge) && arrival.station.is_some()
    }

    /// Until when another request that means the same joins this login.
    pub(super) fn joined_until(&self) -> Tick {
        self.facts.began + self.facts.policy.admission.patience.max(JOINED)
    }

    /// Hands what hangs here over to another login that means the same: it hangs there until the first challenge, and is
    /// told what was told there after it. What is decided on a code that was typed is nobody's who typed none.
    pub(super) fn join(mut self, other: &mut Slot, env: &mut Env<'_>, out: &mut Vec<Output>) {
        for waiting in self.waiting.drain(..) {
            match &other.told {
                Some(told) => {
                    waiting.answer(Code::ACCESS_CHALLENGE, &told.attributes, &other.facts, env, out);
                }
                None if other.rounds == 0 && other.waiting.len() < COPIES_MAX => other.waiting.push(waiting),
                // So many copies of one login: this one meets silence, as a retransmission would.
                None => {}
            }
        }
    }

    /// Hangs a request on the login.
    pub(super) fn hang(&mut self, arrival: Arrival) -> Brought {
        let Arrival { entered, packet, origin, reply_to, came, floor, .. } = arrival;
        let eap = eap_identifier(&entered, &packet);
        self.waiting.push(Waiting { origin, reply_to, came, floor, eap });
        Brought { entered, packet, origin }
    }

    /// Whether `attributes` fit into an Accept of every request that hangs on the login.
    pub(super) fn fits(&self, attributes: &AttributeList) -> bool {
        self.waiting.iter().all(|waiting| waiting.reply_to.fits(attributes))
    }

    /// Takes the parked login out, leaving the slot busy.
    pub(super) fn take(&mut self) -> Option<(Box<Parked>, Tick)> {
        if !matches!(self.at, At::Parked { .. }) {
            return None;
        }
        match std::mem::replace(&mut self.at, At::Busy { queue: VecDeque::new() }) {
            At::Parked { parked, until } => Some((parked, until)),
            At::Busy { .. } | At::Away { .. } => None,
        }
    }

    /// Queues an event at a busy login; one too many is dropped.
    pub(super) fn queue(&mut self, event: Event) {
        if let At::Busy { queue } = &mut self.at
            && queue.len() < QUEUE_MAX
        {
            queue.push_back(event);
        }
    }

    /// Parks the login, or gives it back with an event that came meanwhile.
    pub(super) fn park(&mut self, parked: Box<Parked>, until: Tick) -> Option<(Box<Parked>, Event)> {
        if let At::Busy { queue } = &mut self.at
            && let Some(event) = queue.pop_front()
        {
            return Some((parked, event));
        }
        self.at = At::Parked { parked, until };
        None
    }

    /// Answers every request with a challenge; none hangs on the login afterwards.
    pub(super) fn tell(&mut self, attributes: AttributeList, env: &mut Env<'_>, out: &mut Vec<Output>) {
        self.rounds = self.rounds.saturating_add(1);
        // Its State is spent with this answer: whatever repeats it now comes too late.
        self.original = None;
        for waiting in self.waiting.drain(..) {
            waiting.answer(Code::ACCESS_CHALLENGE, &attributes, &self.facts, env, out);
        }
        let joined = self.intent.is_some() || self.asking.is_some();
        self.told = joined.then(|| Box::new(Told { attributes }));
    }

    /// What such a challenge carries, under `state`.
    pub(super) fn asking(challenge: &Challenge, state: &str) -> AttributeList {
        let mut attributes = AttributeList::new();
        #[expect(clippy::expect_used, reason = "a State has 56 octets, and an attribute takes 253")]
        attributes.push_text(number::STATE, state).expect("the State fits");
        attributes.append(&challenge.attributes);
        if attributes.plain_attributes().all(|attribute| attribute.number() != number::SESSION_TIMEOUT) {
            let seconds = u32::try_from(challenge.lifetime.as_secs()).unwrap_or(u32::MAX);
            #[expect(clippy::expect_used, reason = "four octets fit")]
            attributes.push_u32(number::SESSION_TIMEOUT, seconds).expect("Session-Timeout fits");
        }
        attributes
    }

    /// Answers every request with what another server has told to the login that they mean.
    pub(super) fn pass_on(self, told: &AttributeList, env: &mut Env<'_>, out: &mut Vec<Output>) {
        for waiting in self.waiting {
            waiting.answer(Code::ACCESS_CHALLENGE, told, &self.facts, env, out);
        }
    }

    /// Answers every request with the verdict.
    pub(super) fn decide(self, outcome: &Outcome, env: &mut Env<'_>, out: &mut Vec<Output>) {
        match outcome {
            Outcome::Accept(accept) => {
                for waiting in self.waiting {
                    waiting.let_in(accept, &self.facts, env, out);
                }
                out.push(Output::Ended { row: Arc::clone(accept.row()), sequence: Some(accept.sequence()) });
            }
            Outcome::Reject(reject) => {
                let own;
                let attributes = if reject.attributes.is_empty() {
                    own = message(&reject.message);
                    &own
                } else {
                    &reject.attributes
                };
                for waiting in self.waiting {
                    let failure = waiting.eap.map(eap_failure);
                    let attributes = failure.as_ref().unwrap_or(attributes);
                    waiting.answer(Code::ACCESS_REJECT, attributes, &self.facts, env, out);
                }
                out.push(Output::Ended { row: Arc::clone(&reject.row), sequence: reject.sequence });
            }
            Outcome::Relayed(relayed) => {
                for waiting in self.waiting {
                    waiting.answer(relayed.code(), relayed.attributes(), &self.facts, env, out);
                }
                out.push(Output::Ended { row: Arc::clone(relayed.row()), sequence: None });
            }
        }
    }
}

/// The request that a login works on.
#[derive(Clone, Debug)]
pub(super) struct Original {
    source: IpAddr,
    /// `None`: there is no credential, the gateway has checked it.
    password: Option<Secret>,
    packet: Arc<Verified<Box<[u8]>>>,
}

/// The MAC over what a request means.
fn meaning(
    mint: &Mint,
    client: &Label,
    user: Option<&UserName>,
    station: Option<&str>,
    password: Option<&Secret>,
    packet: &Verified<Box<[u8]>>,
) -> Intent {
    let session = packet.attributes().find(|attribute| attribute.number() == ACCT_SESSION_ID);
    mint.intent(&[
        Some(client.as_str().as_bytes()),
        user.map(|user| user.as_str().as_bytes()),
        station.map(str::as_bytes),
        session.as_ref().map(Attribute::value),
        password.map(Secret::expose),
    ])
}

/// Acct-Session-Id (RFC 2866 §5.5).
const ACCT_SESSION_ID: u8 = 44;

/// Attributes that differ between a request and its copy under a new authenticator: the hidden password, the proxy's
/// marks, the signature and the time of sending (Event-Timestamp, 55).
const VOLATILE: [u8; 4] = [number::USER_PASSWORD, number::PROXY_STATE, number::MESSAGE_AUTHENTICATOR, 55];

impl Original {
    /// `arrival`, where it has a password or no credential at all, and came over a network: two browsers behind one address say the
    /// same, and neither is the other's copy.
    pub(super) fn of(arrival: &Arrival) -> Option<Original> {
        if matches!(arrival.reply_to, Answering::Inside(_)) {
            return None;
        }
        let password = match &arrival.entered {
            Entered::Password(password) => Some(password.clone()),
            Entered::Unsupported("none") => None,
            Entered::Undecodable | Entered::Unsupported(_) => return None,
        };
        let packet = Arc::clone(&arrival.packet);
        Some(Original { source: arrival.origin.gateway.ip(), password, packet })
    }

    /// Whether it says where the user is.
    fn names_station(&self) -> bool {
        self.packet.attributes().any(|attribute| attribute.number() == number::CALLING_STATION_ID)
    }

    /// Whether `other` is the same request.
    fn equals(&self, other: &Original) -> bool {
        self.source == other.source
            && self.password == other.password
            && lasting(&self.packet).eq(lasting(&other.packet))
    }

    /// Whether `arrival` is this request again: source address, password and every attribute but the volatile ones.
    fn is_repeated_by(&self, arrival: &Arrival) -> bool {
        let password = match &arrival.entered {
            Entered::Password(password) => Some(password),
            Entered::Unsupported("none") => None,
            Entered::Undecodable | Entered::Unsupported(_) => return false,
        };
        self.source == arrival.origin.gateway.ip()
            && self.password.as_ref() == password
            && lasting(&self.packet).eq(lasting(&arrival.packet))
    }
}

fn lasting(packet: &Verified<Box<[u8]>>) -> impl Iterator<Item = (u8, &[u8])> {
    packet
        .attributes()
        .filter(|attribute| !VOLATILE.contains(&attribute.number()))
        .map(|attribute| (attribute.number(), attribute.value()))
}

impl Waiting {
    /// Answers with an Accept.
    fn let_in(self, accept: &Accept, facts: &Facts, env: &mut Env<'_>, out: &mut Vec<Output>) {
        if let Answering::Inside(caller) = self.reply_to {
            out.push(Output::Tell { caller, said: Said::of_accept(accept), not_before: env.mono });
        } else {
            self.answer(Code::ACCESS_ACCEPT, accept.attributes(), facts, env, out);
        }
    }

    /// Seals and sends. A Reject waits for its moment, also where it stands in for what was too large.
    fn answer(
        self,
        mut code: Code,
        attributes: &AttributeList,
        facts: &Facts,
        env: &mut Env<'_>,
        out: &mut Vec<Output>,
    ) {
        let to = self.origin;
        if let Answering::Inside(caller) = self.reply_to {
            let not_before = leaves(code, &facts.policy.admission, (self.came, self.floor), env);
            out.push(Output::Tell { caller, said: Said::of_reply(code, attributes), not_before });
            return;
        }
        let datagram = match self.reply_to.seal(code, attributes, env.entropy) {
            Ok(datagram) => datagram,
            Err(too_large) => {
                out.push(Output::Oversized { login: facts.id });
                // Nothing that fits would be true but a refusal.
                code = Code::ACCESS_REJECT;
                let Ok(datagram) = too_large.0.seal(code, &AttributeList::new(), env.entropy) else {
                    return;
                };
                datagram
            }
        };
        let not_before = leaves(code, &facts.policy.admission, (self.came, self.floor), env);
        out.push(Output::Reply { to, datagram, not_before });
    }
}

/// When an answer may leave to a request that came so, and is held to such a pace.
fn leaves(code: Code, admission: &Admission, (came, floor): (Tick, Duration), env: &mut Env<'_>) -> Tick {
    match code {
        Code::ACCESS_REJECT => not_before(admission, came, floor, env),
        // How long it took to decide on a challenge tells as much as whether there is one.
        Code::ACCESS_CHALLENGE if admission.uniform_prompt => not_before(admission, came, floor, env),
        _ => env.mono,
    }
}

/// Refuses a request that is not even looked at, because too much is going on.
pub(super) fn turn_away(arrival: Arrival, env: &mut Env<'_>, out: &mut Vec<Output>) {
    let not_before = not_before(&arrival.policy.admission, arrival.came, arrival.floor, env);
    let Arrival { client, origin, reply_to, entered, packet, .. } = arrival;
    let eap = eap_identifier(&entered, &packet);
    let attributes = eap.map_or_else(|| message("Login refused."), eap_failure);
    if let Answering::Inside(caller) = reply_to {
        let said = Said::of_reply(Code::ACCESS_REJECT, &attributes);
        out.push(Output::Tell { caller, said, not_before });
    } else if let Ok(datagram) = reply_to.seal(Code::ACCESS_REJECT, &attributes, env.entropy) {
        out.push(Output::Reply { to: origin, datagram, not_before });
    }
    out.push(Output::TurnedAway { client });
}

/// The identifier of the EAP packet in a request (RFC 3748 §4); `None` for a request without one.
fn eap_identifier(entered: &Entered, packet: &Verified<Box<[u8]>>) -> Option<u8> {
    if !matches!(entered, Entered::Unsupported("eap")) {
        return None;
    }
    let first = packet.attributes().find(|attribute| attribute.number() == number::EAP_MESSAGE)?;
    Some(first.value().get(1).copied().unwrap_or_default())
}

/// An EAP-Failure (RFC 3748 §4.2), alone: no Reply-Message may stand beside EAP-Message (RFC 3579 §2.6.5).
fn eap_failure(identifier: u8) -> AttributeList {
    const FAILURE: u8 = 4;
    let mut attributes = AttributeList::new();
    #[expect(clippy::expect_used, reason = "four octets fit")]
    attributes.push(number::EAP_MESSAGE, &[FAILURE, identifier, 0, 4]).expect("an EAP-Failure fits");
    attributes
}

fn message(text: &str) -> AttributeList {
    let mut attributes = AttributeList::new();
    #[expect(clippy::expect_used, reason = "refusals have at most 80 characters")]
    attributes.push_text(number::REPLY_MESSAGE, text).expect("a refusal fits");
    attributes
}

/// When a Reject may leave: its delay after the request, and up to an eighth of it more, so that nobody reads from the
/// time which check failed.
fn not_before(admission: &Admission, came: Tick, floor: Duration, env: &mut Env<'_>) -> Tick {
    let delay = admission.reject_after().max(floor.min(admission.patience / 2));
    let jitter =
        delay.mul_f64(f64::from(u16::from_be_bytes(random(env.entropy))) / f64::from(u16::MAX) / 8.0);
    came + delay + jitter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::UnixTime;
    use crate::engine::policy::{Lockout, Policy};

    #[test]
    fn a_reject_waits_for_the_primary_s_pace_but_never_beyond_half_the_patience() {
        let admission = Policy::resolve(Label::new("up").unwrap(), Lockout::default(), &[]).admission;
        let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 };
        let mut delay = |floor| {
            let mut env = Env { mono: Tick(0), unix: UnixTime(0), entropy: &mut entropy };
            not_before(&admission, Tick(0), floor, &mut env).since(Tick(0))
        };
        let held = |least: Duration| least..=least + least / 8;
        for _ in 0..100 {
            assert!(held(Duration::from_secs(1)).contains(&delay(Duration::ZERO)));
            assert!(held(Duration::from_millis(1800)).contains(&delay(Duration::from_millis(1800))));
            assert!(held(admission.patience / 2).contains(&delay(Duration::from_mins(1))));
        }
    }
}
