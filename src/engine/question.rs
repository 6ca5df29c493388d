//! What the engine asks of the primary authentication and of the store, and what it may be told.

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
    /// Whether a name that is unknown, or owns no token, is to be compared with the users who own one
    /// ([`UserName::skeleton`]).
    pub look_alikes: bool,
}

/// The answer to a [`UserQuery`].
#[derive(Clone, Debug)]
pub enum UserAnswer {
    /// This user.
    Found(Account),
    /// Nobody has this name.
    Unknown {
        /// A user who owns a token has the same skeleton; false unless asked for.
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
    /// The password as it was typed.
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
    /// No answer in time.
    Unavailable,
}
