//! A token as a file describes it, whatever the file's format.
//!
//! The readers ([`super::pskc`], [`super::token_csv`], [`super::apps`]) make these; a command gives them to the store.

use std::sync::Arc;

use super::oath::Parameters;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::text::is_unprintable;
use crate::base::time::UnixTime;

/// The longest serial number taken, in octets.
pub const SERIAL_MAX: usize = 64;
/// The longest label, manufacturer and model taken, in octets.
pub const TEXT_MAX: usize = 128;

/// A token as a file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The line that its description begins on, from 1.
    pub line: u64,
    /// Whose it is, where the file says so.
    pub user: Option<UserName>,
    /// What is printed on it.
    pub serial: Arc<str>,
    /// The seed.
    pub seed: Secret,
    /// How its codes are made.
    pub parameters: Parameters,
    /// The counter that its next code is made from; 0 for time-based tokens.
    pub counter: u64,
    /// How many steps the token's clock is ahead; 0 for counter-based tokens.
    pub drift: i16,
    /// What its user calls it.
    pub label: Option<Arc<str>>,
    /// When it begins to be good.
    pub starts: Option<UnixTime>,
    /// When it stops being good.
    pub expires: Option<UnixTime>,
    /// Who made it.
    pub manufacturer: Option<Arc<str>>,
    /// Which kind it is.
    pub model: Option<Arc<str>>,
}

/// A serial number: 1 to [`SERIAL_MAX`] printable octets, no space around them.
pub(super) fn serial(text: &str) -> Result<Arc<str>, String> {
    match text.trim() {
        "" => Err("is missing".into()),
        text if text.len() > SERIAL_MAX || text.chars().any(is_unprintable) => {
            Err(format!("takes up to {SERIAL_MAX} printable characters"))
        }
        text => Ok(text.into()),
    }
}

/// A text for people: `None` where it is empty.
pub(super) fn text(text: &str) -> Result<Option<Arc<str>>, String> {
    match text.trim() {
        "" => Ok(None),
        text if text.len() > TEXT_MAX || text.chars().any(is_unprintable) => {
            Err(format!("takes up to {TEXT_MAX} printable characters"))
        }
        text => Ok(Some(text.into())),
    }
}
