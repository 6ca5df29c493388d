//! Tokens as an admin describes them and sees them.

use std::sync::Arc;

use super::AdminFault;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::account::TokenId;
use crate::factor::oath::{Drift, Moving, Parameters};

/// A token to be added.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What is printed on it: 1 to [`SERIAL_MAX`] printable characters, unique in the store.
    pub serial: Arc<str>,
    /// Whose it is.
    pub user: Option<UserName>,
    /// The seed.
    pub seed: Secret,
    /// How its codes are made.
    pub parameters: Parameters,
    /// The next counter of a counter token; says nothing about others.
    pub counter: u64,
    /// What is known of it.
    pub fields: TokenFields,
}

/// What may be known of a token beside its secret. None of it is compared when a token is imported again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFields {
    /// What its owner or the help desk calls it.
    pub label: Option<Arc<str>>,
    /// Who made it.
    pub manufacturer: Option<Arc<str>>,
    /// Which model it is.
    pub model: Option<Arc<str>>,
    /// Before when it is not usable yet.
    pub starts: Option<UnixTime>,
    /// From when on it is not usable any more.
    pub expires: Option<UnixTime>,
    /// How far its clock was off by the file that brought it; what its codes teach goes before it.
    pub drift: Option<Drift>,
}

/// What takes a token's place.
#[derive(Clone, Debug)]
pub enum Replacement {
    /// A token that is there already, nobody's or the same user's.
    Stock(Arc<str>),
    /// A new one; whose it is said to be does not matter.
    Made(Box<NewToken>),
}

impl Replacement {
    /// The serial number of what takes the place.
    pub fn serial(&self) -> &Arc<str> {
        match self {
            Replacement::Stock(serial) => serial,
            Replacement::Made(token) => &token.serial,
        }
    }

    /// Refuses a token in stock that cannot take the place of one of `user`'s.
    pub(in crate::store) fn fits(
        serial: &str,
        owner: Option<&UserName>,
        user: &UserName,
        enabled: bool,
        expired: bool,
    ) -> Result<(), AdminFault> {
        let wrong = match owner {
            Some(owner) if owner != user => format!("belongs to {owner}"),
            _ if !enabled => "is disabled".to_owned(),
            _ if expired => "has expired".to_owned(),
            _ => return Ok(()),
        };
        Err(AdminFault::Invalid(format!("token {serial} {wrong}; it can take nothing's place")))
    }
}

/// The longest serial number, in octets.
pub const SERIAL_MAX: usize = 64;

/// Refuses a serial that cannot be one.
pub(in crate::store) fn check_serial(serial: &str) -> Result<(), AdminFault> {
    let fits = (1..=SERIAL_MAX).contains(&serial.len());
    let plain = !serial.chars().any(crate::base::text::is_unprintable);
    if fits && plain && serial.trim() == serial {
        return Ok(());
    }
    Err(AdminFault::Invalid(format!(
        "a serial has 1 to {SERIAL_MAX} printable characters and no space around them"
    )))
}

impl NewToken {
    /// A token of which nothing else is known; a counter token begins at 0.
    pub fn new(
        serial: impl Into<Arc<str>>,
        user: Option<UserName>,
        seed: Secret,
        parameters: Parameters,
    ) -> NewToken {
        NewToken { serial: serial.into(), user, seed, parameters, counter: 0, fields: TokenFields::default() }
    }

    /// The counter before the first one that is good: what a store keeps as the last one accepted.
    pub(in crate::store) fn last_counter(&self) -> Option<u64> {
        match self.parameters.moving {
            Moving::Counter => self.counter.checked_sub(1),
            Moving::Time { .. } => None,
        }
    }

    /// Whether both say the same.
    pub(in crate::store) fn same_as(&self, other: &NewToken) -> bool {
        self.serial == other.serial
            && self.user == other.user
            && self.parameters == other.parameters
            && self.seed == other.seed
    }

    /// Refuses a serial that cannot be one.
    pub(in crate::store) fn check(&self) -> Result<(), AdminFault> {
        check_serial(&self.serial)
    }
}

/// A token as an admin sees it; the seed stays sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenDetails {
    /// The store's number.
    pub id: TokenId,
    /// What is printed on it.
    pub serial: Arc<str>,
    /// Whose it is.
    pub user: Option<UserName>,
    /// Whether it may be used.
    pub enabled: bool,
    /// How its codes are made.
    pub parameters: Parameters,
    /// The last time step or counter accepted; of a counter token that begins after 0, the one before its first.
    pub last_step: Option<u64>,
    /// How far its clock was off of late; before the first use what its file says; `None` for a counter token.
    pub drift: Option<Drift>,
    /// What is known of it.
    pub fields: TokenFields,
    /// When it was added.
    pub created: UnixTime,
}
