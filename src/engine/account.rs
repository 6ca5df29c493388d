//! A user and what the user owns, as the engine reads them. The store fills these in; nothing here changes them.

use std::sync::Arc;

use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::factor::oath::Parameters;

/// The store's own number for a user, never used again after a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub i64);

/// The store's own number for a token, never used again after a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub i64);

/// A user at one moment.
#[derive(Clone, Debug)]
pub struct Account {
    /// Which user.
    pub id: UserId,
    /// The canonical name.
    pub name: UserName,
    /// Switched off by an admin: may not log in.
    pub disabled: bool,
    /// The argon2id hash (PHC string) of the local password, for `primary/local`.
    pub password_hash: Option<Arc<str>>,
    /// Wrong codes since the last success, over all methods, clients and logins.
    pub failures: u32,
    /// When the last of them was.
    pub last_failure: UnixTime,
    /// The tokens, oldest first.
    pub tokens: Vec<Token>,
    /// Somebody else who owns a token has the same skeleton; known only of a user without tokens, and where it was asked.
    pub resembles_another: bool,
}

/// An OATH token of a user at one moment.
#[derive(Clone, Debug)]
pub struct Token {
    /// Which token.
    pub id: TokenId,
    /// What is printed on it; unique in the store.
    pub serial: Arc<str>,
    /// Whether it may be used.
    pub enabled: bool,
    /// How its codes are made.
    pub parameters: Parameters,
    /// The last time step accepted (TOTP), or the next counter expected less one (HOTP); `None` before the first use,
    /// and for a counter token that begins at 0.
    pub last_step: Option<u64>,
    /// The seed, opened; only where the query asked for it.
    pub seed: Option<Secret>,
}
