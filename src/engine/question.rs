//! What the engine asks of the primary authentication and of the store, and what it may be told.

use std::net::SocketAddr;
use std::sync::Arc;

use super::account::Account;
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::time::Tick;
use crate::wire::{AttributeList, Verified};

/// "Who is this?"
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserQuery {
    /// The canonical name.
    pub user: UserName,
    /// Whether the tokens' seeds are wanted, opened.
    pub seeds: bool,
    /// Whether a name that is unknown, or owns no token, is to be compared with the users who were ever given a factor, and one that
    /// is unknown with those who have a phone or mail on file, too ([`UserName::skeleton`]).
    pub look_alikes: bool,
}

/// The answer to a [`UserQuery`].
#[derive(Clone, Debug)]
pub enum UserAnswer {
    /// This user.
    Found(Account),
    /// Nobody has this name.
    Unknown {
        /// A user who may be asked for a factor has the same skeleton; false unless asked for.
        resembles: bool,
    },
    /// The store cannot say.
    Unavailable,
}

/// "Is this password right?"
#[derive(Debug)]
pub struct PrimaryCheck {
    /// Which primary authentication.
    pub primary: Label,
    /// The canonical name, for a primary that keeps users itself.
    pub user: UserName,
    /// The password as it was typed; empty where the request came without a credential, and goes on so.
    pub password: Secret,
    /// The gateway's request, for a primary that forwards its attributes.
    pub packet: Arc<Verified<Box<[u8]>>>,
    /// The State of the primary's own challenge that this answers.
    pub state: Option<Box<[u8]>>,
    /// After this moment the answer is not awaited any more.
    pub answer_by: Tick,
}

/// The answer to a [`PrimaryCheck`].
#[derive(Debug)]
pub enum PrimaryAnswer {
    /// The password is right.
    Accepted {
        /// What the primary's Accept carried.
        attributes: AttributeList,
    },
    /// It is not.
    Rejected {
        /// What the primary's Reject carried.
        attributes: AttributeList,
    },
    /// The primary asks something itself: a new password, a next token.
    Challenged {
        /// Names the primary's dialog; never shown to the gateway.
        state: Box<[u8]>,
        /// What the primary's Access-Challenge carried.
        attributes: AttributeList,
    },
    /// It was not asked: so many passwords of the user were wrong of late that one more might lock the account there.
    Withheld,
    /// No answer in time.
    Unavailable,
}

/// "This answers a challenge of yours": for another server, which has the login.
#[derive(Debug)]
pub struct PeerRequest {
    /// The server's name.
    pub owner: Label,
    /// The client's name, which both servers know it by.
    pub client: Label,
    /// Where the gateway asked from.
    pub source: SocketAddr,
    /// What the user typed.
    pub password: Secret,
    /// The gateway's request; it carries a State.
    pub packet: Arc<Verified<Box<[u8]>>>,
    /// After this moment the answer is not awaited any more.
    pub answer_by: Tick,
}

/// The answer to a [`PeerRequest`]: what the owner would have told the gateway, had it asked there.
#[derive(Debug)]
pub enum PeerAnswer {
    /// Access-Accept.
    Accepted {
        /// All that it carries.
        attributes: AttributeList,
    },
    /// Access-Challenge: the owner asks again.
    Challenged {
        /// The new State, the owner's.
        state: Box<[u8]>,
        /// All else that it carries.
        attributes: AttributeList,
    },
    /// Access-Reject.
    Rejected {
        /// All that it carries.
        attributes: AttributeList,
    },
    /// The owner has no client of this name.
    ClientUnknown,
    /// No answer in time, or none that could be taken.
    Unavailable,
}
