//! The contract between the engine and its driver: what a login needs next, and how its answer is taken.
//!
//! Each question carries the only state that can take its answer. A login that waits for somebody is
//! [`Parked`]; an event wakes it. Time-outs are answers: a driver turns an expired question into its
//! `Unavailable`, an expired wait into [`Event::Expired`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::await_commit::AwaitCommit;
use super::await_peer::AwaitPeer;
use super::await_primary::AwaitPrimary;
use super::await_user::AwaitUser;
use super::delivery::{Delivery, DeliveryId, Sent};
use super::enrol::Lead;
use super::kept::Kept;
use super::parked::Parked;
use super::passkey::Assertion;
use super::proof::Outcome;
use super::question::{PeerRequest, PrimaryCheck, UserQuery};
use super::record::Record;
use crate::base::secret::Secret;
use crate::base::system::Entropy;
use crate::base::time::{Tick, UnixTime};
use crate::wire::{AttributeList, Verified};

/// What the engine is lent for one step. Two clocks, since one does not survive a stepped clock.
pub struct Env<'a> {
    /// The monotonic clock, now.
    pub mono: Tick,
    /// The wall clock, now.
    pub unix: UnixTime,
    /// Randomness.
    pub entropy: &'a mut dyn Entropy,
}

/// What a login needs next.
#[must_use]
#[derive(Debug)]
pub enum Step {
    /// Ask the primary authentication.
    CheckPrimary(PrimaryCheck, AwaitPrimary),
    /// Read the user.
    FindUser(UserQuery, AwaitUser),
    /// Make durable.
    Commit(Record, AwaitCommit),
    /// Hand the request to the server that has its login.
    Relay(PeerRequest, AwaitPeer),
    /// Keep a code that was sent ahead for the user's next login at this client and station, then go on.
    Keep(Arc<Kept>, Box<Step>),
    /// Wait for somebody.
    Wait(Wait, Box<Parked>),
    /// It is over: answer every request that hangs on the login.
    Decided(Outcome),
}

/// How a login waits.
#[derive(Debug)]
pub struct Wait {
    /// Answer and detach every request that hangs on the login, under a new State; `None` holds them.
    pub tell: Option<Challenge>,
    /// Start this on its way to the user; how it went comes back as [`Event::Delivered`].
    pub start: Option<Delivery>,
    /// When to wake the login with [`Event::Expired`].
    pub until: Tick,
}

/// An Access-Challenge to be told; the driver adds State and Session-Timeout.
#[derive(Debug)]
pub struct Challenge {
    /// Reply-Message and Prompt, ours or the primary's.
    pub attributes: AttributeList,
    /// How long an answer is good for: Session-Timeout.
    pub lifetime: Duration,
    /// The code that it shows, for the page to take.
    pub lead: Option<Box<Lead>>,
}

/// What wakes a parked login.
#[derive(Debug)]
pub enum Event {
    /// An Access-Request that carries the State of the login's present round.
    Entry(Entry),
    /// The user answered out of band.
    Phone(Answer),
    /// A delivery ended.
    Delivered(DeliveryId, Sent),
    /// [`Wait::until`] has passed.
    Expired,
}

/// What a user typed into the gateway's prompt.
#[derive(Debug)]
pub struct Entry {
    /// It.
    pub entered: Entered,
    /// The Access-Request that brought it.
    pub packet: Arc<Verified<Box<[u8]>>>,
    /// Where the request came from.
    pub source: SocketAddr,
    /// The address and port that it came to.
    pub local: SocketAddr,
    /// When the request must be answered.
    pub answer_by: Tick,
}

/// The credential of a request, as far as the engine may see it.
#[derive(Debug)]
pub enum Entered {
    /// A PAP password or code.
    Password(Secret),
    /// A User-Password that does not decode under the client's secret.
    Undecodable,
    /// A kind that cannot be served: its name, as in [`Row::protocol`](super::record::Row::protocol).
    Unsupported(&'static str),
}

impl Entered {
    /// The kind of credential, for the record.
    pub fn protocol(&self) -> &'static str {
        match self {
            Entered::Password(_) | Entered::Undecodable => "pap",
            Entered::Unsupported(kind) => kind,
        }
    }
}

/// What the user answered out of band.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes, with the number that was typed or chosen, where there was one.
    Approved(Option<u32>),
    /// The same, with a passkey.
    Asserted(Option<u32>, Assertion),
    /// No.
    Denied,
    /// No: somebody else is logging in.
    Fraud,
    /// What was sent back, or keyed in before `#`.
    Typed(Secret),
}

impl Answer {
    /// Whether it says yes.
    #[must_use]
    pub fn approves(&self) -> bool {
        matches!(self, Answer::Approved(_) | Answer::Asserted(..))
    }
}

/// What became of an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It moved the login on.
    Taken,
    /// The login does not wait for such a thing; it waits on as it was.
    NotAwaited,
}
