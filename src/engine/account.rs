//! A user and what the user owns, as the engine reads them. The store fills these in; nothing here changes them.

use std::sync::Arc;

use super::methods::Factor;
use super::reason::Reason;
use super::special::{HashKeys, Special};
use crate::base::name::{GroupName, UserName};
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::factor::oath::{Drift, Parameters};

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
    /// Who the user is and how to reach them; `None` where nothing is known.
    pub contact: Option<Arc<Contact>>,
    /// Wrong codes since the last success, over all methods, clients and logins.
    pub failures: u32,
    /// When the last of them was.
    pub last_failure: UnixTime,
    /// The tokens, oldest first.
    pub tokens: Vec<Token>,
    /// The groups that the user is in; `None` where there are none.
    pub groups: Option<Arc<[GroupName]>>,
    /// What few users have.
    pub special: Option<Arc<Special>>,
    /// What its hashes are compared under; only where the query asked for seeds, and there is something to compare.
    pub keys: Option<Box<HashKeys>>,
    /// Somebody else who was ever given a factor has the same skeleton; known only of a user without tokens, and where it was asked.
    pub resembles_another: bool,
    /// More than half of all tokens seem to be off by more than a step: it is our clock, so no drift is learned.
    pub clock_suspect: bool,
}

/// The most tokens of one user that a code is compared with: the oldest usable ones.
pub const TOKENS_TRIED: usize = 10;

impl Account {
    /// The tokens that a code is compared with at `now`, oldest first.
    pub fn usable(&self, now: UnixTime) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(move |token| token.is_usable(now)).take(TOKENS_TRIED)
    }

    /// How many guesses an entered code is: the usable tokens with the fewest digits, at least 1. Those with more digits
    /// are not hit by the same entry, and a tenth as likely by another.
    #[must_use]
    pub fn guesses(&self, now: UnixTime) -> u32 {
        let fewest = self.usable(now).map(|token| token.parameters.digits.count()).min();
        let shortest = self.usable(now).filter(|token| Some(token.parameters.digits.count()) == fewest);
        shortest.fold(0_u32, |count, _| count.saturating_add(1)).max(1)
    }

    /// Why the user may not log in at `now`, whatever password and code are.
    #[must_use]
    pub fn barred(&self, now: UnixTime) -> Option<Reason> {
        if self.disabled {
            return Some(Reason::UserDisabled);
        }
        let special = self.special.as_ref()?;
        special.blocked(now).map(|_| Reason::UserBlocked)
    }

    /// Whether the user ever was given something to be asked for, usable or not.
    #[must_use]
    pub fn is_enrolled(&self) -> bool {
        !self.tokens.is_empty() || self.special.as_ref().is_some_and(|special| special.was_given_any())
    }

    /// Whether the user had something to be asked for once, and all of it was taken away.
    #[must_use]
    pub fn has_lost_all(&self) -> bool {
        let special = self.special.as_deref();
        let left = special.is_some_and(|special| {
            special.active_devices().next().is_some()
                || !special.passkeys.is_empty()
                || special.recovery_left() > 0
        });
        self.is_enrolled() && self.tokens.is_empty() && !left
    }

    /// Whether there is a token to ask for at `now`, or a recovery code in its place.
    #[must_use]
    pub fn can_be_asked(&self, now: UnixTime) -> bool {
        self.usable(now).next().is_some() || self.recovery_left() > 0
    }

    /// Recovery codes that were not used.
    #[must_use]
    pub fn recovery_left(&self) -> usize {
        self.special.as_ref().map_or(0, |special| special.recovery_left())
    }
}

/// Who a user is to people, and how they are reached. At least one of these is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// The name for people to read.
    pub display: Option<Box<str>>,
    /// Given name.
    pub first: Option<Box<str>>,
    /// Family name.
    pub last: Option<Box<str>>,
    /// E-mail address.
    pub mail: Option<Box<str>>,
    /// Telephone number.
    pub phone: Option<Box<str>>,
    /// The language for messages, a tag such as `de` or `pt-BR` (BCP 47).
    pub language: Option<Box<str>>,
    /// What the user wants to be asked for first, where a policy lets users choose.
    pub asked_first: Option<Factor>,
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
    /// How far its clock was off of late (TOTP); `None` before the first use.
    pub drift: Option<Drift>,
    /// From when on it is not usable any more.
    pub expires: Option<UnixTime>,
    /// Before when it is not usable yet.
    pub starts: Option<UnixTime>,
    /// The seed, opened; only where the query asked for it.
    pub seed: Option<Secret>,
}

impl Token {
    /// Whether a code of it is worth looking at.
    #[must_use]
    pub fn is_usable(&self, now: UnixTime) -> bool {
        self.enabled && !self.is_expired(now) && !self.is_early(now)
    }

    /// Whether its time has not come.
    #[must_use]
    pub fn is_early(&self, now: UnixTime) -> bool {
        self.starts.is_some_and(|starts| now < starts)
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}
