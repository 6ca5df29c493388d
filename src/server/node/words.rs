//! What a node and whoever drives it say to each other: arrivals and answers in, outputs and questions out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::affinity::RoundId;
use super::super::duplicates::PacketKey;
use super::super::front::{Caller, Said};
use super::super::peers::Answering;
use super::sharing::{AwaitClaim, AwaitLogin, AwaitPark};
use crate::base::messages::Language;
use crate::base::name::{Label, UserName};
use crate::base::time::Tick;
use crate::engine::await_commit::AwaitCommit;
use crate::engine::await_peer::AwaitPeer;
use crate::engine::await_primary::AwaitPrimary;
use crate::engine::await_user::AwaitUser;
use crate::engine::delivery::Delivery;
use crate::engine::policy::Policy;
use crate::engine::question::{PeerAnswer, PeerRequest, PrimaryAnswer, PrimaryCheck, UserAnswer, UserQuery};
use crate::engine::record::{CommitAnswer, LoginId, Record, Row};
use crate::engine::rule::Ruling;
use crate::engine::step::{Entered, Env, Step};
use crate::store::parking::{Claim, Parking, Spot};
use crate::wire::Verified;

/// An Access-Request that has become a login, or part of one.
#[derive(Debug)]
pub struct Arrival {
    /// The client's name.
    pub client: Label,
    /// What holds for it at this moment.
    pub policy: Arc<Policy>,
    /// What the user's groups may still change of that.
    pub ruling: Option<Arc<Ruling>>,
    /// The canonical user name, where there is one.
    pub user: Option<UserName>,
    /// Calling-Station-Id, escaped for print.
    pub station: Option<Arc<str>>,
    /// The credential.
    pub entered: Entered,
    /// The packet.
    pub packet: Arc<Verified<Box<[u8]>>>,
    /// Where the answer goes.
    pub origin: Origin,
    /// How the answer is sealed.
    pub reply_to: Answering,
    /// When it came.
    pub came: Tick,
    /// What the primary's answers take of late: no Reject is quicker than most of them.
    pub floor: Duration,
    /// The language of the page that asks; `None` for a gateway, which shows the client's or the user's.
    pub language: Option<Language>,
}

impl Arrival {
    /// When it must be answered: while its gateway waits, and whoever passed it on.
    pub fn answer_by(&self) -> Tick {
        let by = self.came + self.policy.admission.answer_within();
        self.reply_to.until().map_or(by, |until| until.min(by))
    }
}

/// Where a request came from, and so where its answer goes.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Its key among duplicates; holds both addresses.
    pub key: PacketKey,
    /// Its Request Authenticator.
    pub authenticator: [u8; 16],
    /// Where the gateway asked from: the key's source, unless another server passed the request on.
    pub gateway: SocketAddr,
}

/// What the node wants done.
#[derive(Debug)]
pub enum Output {
    /// Send this reply.
    Reply {
        /// To whom.
        to: Origin,
        /// The datagram.
        datagram: Box<[u8]>,
        /// Not before this moment: no Reject is quicker than another.
        not_before: Tick,
    },
    /// Tell somebody in this process.
    Tell {
        /// Whom.
        caller: Caller,
        /// What.
        said: Said,
        /// Not before this moment.
        not_before: Tick,
    },
    /// A login ended: write its line.
    Ended {
        /// What was recorded, or would have been.
        row: Arc<Row>,
        /// Its place in the audit trail, where the store took it.
        sequence: Option<u64>,
    },
    /// Bring this to a user, and wake the login with how it went.
    Deliver {
        /// Which login.
        round: RoundId,
        /// What, to whom.
        delivery: Box<Delivery>,
    },
    /// A request is held, for as long as somebody takes who was asked out of band.
    Held {
        /// Its key among duplicates.
        key: PacketKey,
    },
    /// A reply could not be built: the primary's attributes do not fit into one packet.
    Oversized {
        /// Which login.
        login: LoginId,
    },
    /// The login ended that had this intent: the store that servers share may be told.
    Released {
        /// The intent.
        intent: [u8; 16],
        /// Which login.
        login: LoginId,
    },
    /// A new login was refused because the table is full.
    TurnedAway {
        /// Whose.
        client: Label,
    },
}

/// A question for the world outside, with the only thing that takes its answer.
#[derive(Debug)]
pub enum Ask {
    /// For the primary authentication.
    Primary(PrimaryCheck, Ticket<AwaitPrimary>),
    /// For the store.
    User(UserQuery, Ticket<AwaitUser>),
    /// For the store.
    Commit(Record, Ticket<AwaitCommit>),
    /// For the server that has the login.
    Relay(PeerRequest, Ticket<AwaitPeer>),
    /// For the store that servers share: keep this login. Its challenge leaves afterwards.
    Park(Parking, Ticket<AwaitPark>),
    /// For that store: give this login, if nobody else has it.
    Unpark(Spot, Ticket<AwaitLogin>),
    /// For that store: this login is about to send something. While another one is, it is asked again.
    Claim(Claim, Ticket<AwaitClaim>),
}

impl Ask {
    /// The round that waits for the answer.
    pub fn round(&self) -> RoundId {
        match self {
            Ask::Primary(_, ticket) => ticket.round,
            Ask::User(_, ticket) => ticket.round,
            Ask::Commit(_, ticket) => ticket.round,
            Ask::Relay(_, ticket) => ticket.round,
            Ask::Park(_, ticket) => ticket.round,
            Ask::Unpark(_, ticket) => ticket.round,
            Ask::Claim(_, ticket) => ticket.round,
        }
    }
}

/// Takes an answer back to its login.
#[derive(Debug)]
pub struct Ticket<A> {
    pub(super) round: RoundId,
    pub(super) state: A,
}

impl<A> Ticket<A> {
    /// The round that waits for the answer.
    pub fn round(&self) -> RoundId {
        self.round
    }
}

/// A state of the engine that waits for an answer.
pub trait Awaits {
    /// What it waits for.
    type Answer;
    /// Goes on with it.
    fn resume(self, answer: Self::Answer, env: &mut Env<'_>) -> Step;
}

macro_rules! awaits {
    ($($state:ty: $answer:ty),+) => {
        $(impl Awaits for $state {
            type Answer = $answer;
            fn resume(self, answer: $answer, env: &mut Env<'_>) -> Step {
                <$state>::resume(self, answer, env)
            }
        })+
    };
}
awaits!(AwaitPrimary: PrimaryAnswer, AwaitUser: UserAnswer, AwaitCommit: CommitAnswer, AwaitPeer: PeerAnswer);
