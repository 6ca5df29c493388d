//! What the engine asks of the store about a user, and what it may be told.

use super::account::Account;
use crate::base::name::UserName;

/// "Who is this?"
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserQuery {
    /// The canonical name.
    pub user: UserName,
    /// Whether the tokens' seeds are wanted, opened.
    pub seeds: bool,
    /// Whether an unknown name is to be compared with the users who own a token
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
