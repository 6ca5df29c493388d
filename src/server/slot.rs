//! A login's place in the node's table: the requests that hang on it, and how they are answered.

mod original;
mod waiting;

use std::collections::VecDeque;
use std::sync::Arc;

use super::affinity::Mint;
use super::duplicates::PacketKey;
use super::intents::{Intent, JOINED};
use super::node::{Arrival, Origin, Output};
use super::phones::Asking;
use crate::base::name::UserName;
use crate::base::time::Tick;
use crate::engine::append::Append;
use crate::engine::delivery::Kind;
use crate::engine::login::Facts;
use crate::engine::parked::Parked;
use crate::engine::proof::Outcome;
use crate::engine::step::{Challenge, Entered, Env, Event};
use crate::wire::{AttributeList, Code, Verified, number};
pub(super) use original::Original;
use original::meaning;
pub(super) use waiting::turn_away;
use waiting::{Waiting, eap_failure, eap_identifier, message};

/// Events that may queue at a busy login.
const QUEUE_MAX: usize = 8;
/// Copies of one request that may hang on a login at once.
const COPIES_MAX: usize = 16;

/// A login under way.
pub(super) struct Slot {
    /// A panic leaves only this to say whose login it was.
    pub(super) facts: Arc<Facts>,
    /// Challenges told so far.
    pub(super) rounds: u8,
    waiting: Vec<Waiting>,
    /// The request being worked on, which copies may join. `None` before the first challenge: nobody has a State yet.
    original: Option<Original>,
    /// What it claimed before it sent something.
    pub(super) intent: Option<Intent>,
    /// What its login asks on the phone, or is about to.
    pub(super) asking: Option<Box<Asking>>,
    /// The request that it began with, once it is worked on no more and the login asks on the phone: what repeats it may join, as
    /// long as it lives.
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

/// What is left of an arrival once its answer's way hangs on a slot.
pub(super) struct Brought {
    pub(super) entered: Entered,
    pub(super) packet: Arc<Verified<Box<[u8]>>>,
    pub(super) origin: Origin,
}

impl Slot {
    /// Busy, with its first request.
    pub(super) fn new(facts: Arc<Facts>, arrival: Arrival, original: Option<Original>) -> (Slot, Brought) {
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

    /// The requests that hang on it, by what they are known by.
    pub(super) fn held_requests(&self) -> impl Iterator<Item = PacketKey> {
        self.waiting.iter().map(|waiting| waiting.origin.key)
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
        match &mut self.asking {
            Some(asking) => asking.kind = kind,
            None => self.asking = Some(Box::new(Asking { user, kind, reference: None })),
        }
    }

    /// The request that it began with, where it asks on the phone and names its station.
    pub(super) fn first_request(&self) -> Option<Original> {
        let first = self.first.as_deref().or(self.original.as_ref().filter(|_| self.rounds == 0));
        first.filter(|first| first.names_station()).cloned()
    }

    /// Whether what is being worked on here is `first` again.
    pub(super) fn repeats(&self, first: &Original) -> bool {
        self.rounds == 0 && self.original.as_ref().is_some_and(|original| first.equals(original))
    }

    /// What the request being worked on means, whatever packet carries it.
    pub(super) fn means(&self, mint: &Mint) -> Option<Intent> {
        let Original { password, packet, .. } = self.original.as_ref()?;
        let Facts { client, user, station, .. } = &*self.facts;
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

    /// Whether requests hang on the login, and nobody waits for the answer to any at `now`.
    pub(super) fn is_unheard(&self, now: Tick) -> bool {
        let over = |waiting: &Waiting| waiting.reply_to.until().is_some_and(|until| now >= until);
        !self.waiting.is_empty() && self.waiting.iter().all(over)
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
        // Its State is spent with this answer: whatever repeats it now comes too late.
        let original = self.original.take();
        if self.rounds == 0 && self.asking.is_some() {
            self.first = original.map(Box::new);
        }
        self.rounds = self.rounds.saturating_add(1);
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
