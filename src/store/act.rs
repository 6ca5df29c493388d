//! What an admin does, as a row of the trail: who, what, to whom, and why.
//!
//! Every command's change appends one of these in its own transaction; nothing else makes such rows.

use std::sync::Arc;

use crate::base::name::{Label, UserName};
use crate::base::time::UnixTime;
use crate::engine::account::UserId;
use crate::engine::reason::Reason;
use crate::engine::record::{LoginId, Row, Tally};

/// Who works on a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// By what: stands in rows where a RADIUS client would. `command-line`, or one of the pages.
    pub through: Label,
    /// The name of the server, or of the machine that a command runs on.
    pub server: Label,
    /// The system user, as `name` or, through sudo, `name (root)`, or the person who uses the pages; `None` where it cannot be
    /// told.
    pub actor: Option<Arc<str>>,
    /// Why, as its user said: added to what an act says of itself.
    pub why: Option<Arc<str>>,
}

impl Default for Origin {
    fn default() -> Origin {
        Origin { through: command_line(), server: command_line(), actor: None, why: None }
    }
}

/// Stands where a RADIUS client would.
fn command_line() -> Label {
    #[expect(clippy::expect_used, reason = "a literal that fits")]
    Label::new("command-line").expect("a label")
}

/// Something that an admin does.
#[derive(Clone, Debug)]
pub struct Act {
    reason: Reason,
    user: Option<UserName>,
    user_id: Option<UserId>,
    device: Option<Arc<str>>,
    note: Option<Arc<str>>,
    count: u32,
    tally: Tally,
}

impl Act {
    /// An act that concerns nobody yet. The reason says what it is.
    #[must_use]
    pub fn new(reason: Reason) -> Act {
        Act { reason, user: None, user_id: None, device: None, note: None, count: 1, tally: Tally::Keep }
    }

    /// It concerns this user.
    #[must_use]
    pub fn on(self, user: &UserName, id: UserId) -> Act {
        Act { user: Some(user.clone()), user_id: Some(id), ..self }
    }

    /// It concerns this user, if anybody.
    #[must_use]
    pub fn on_any<N: std::borrow::Borrow<UserName>>(self, user: Option<(N, UserId)>) -> Act {
        match user {
            Some((name, id)) => self.on(name.borrow(), id),
            None => self,
        }
    }

    /// It concerns the user with this number, whose name is not to be kept.
    #[must_use]
    pub fn on_number(self, id: UserId) -> Act {
        Act { user_id: Some(id), ..self }
    }

    /// It concerns the token with this serial number.
    #[must_use]
    pub fn token(self, serial: &str) -> Act {
        Act { device: Some(serial.into()), ..self }
    }

    /// What was done in particular, or why; no secret and nobody's name. An empty one is none.
    #[must_use]
    pub fn note(self, text: impl Into<Arc<str>>) -> Act {
        Act { note: Some(text.into()).filter(|text| !text.is_empty()), ..self }
    }

    /// So many things were done at once.
    #[must_use]
    pub fn count(self, count: usize) -> Act {
        Act { count: u32::try_from(count).unwrap_or(u32::MAX), ..self }
    }

    /// What it does to the user's count of failures.
    #[must_use]
    pub fn tally(self, tally: Tally) -> Act {
        Act { tally, ..self }
    }

    /// The row, as `origin` did it at `now`. `login` is fresh randomness, which numbers the act.
    #[must_use]
    pub fn row(self, origin: &Origin, now: UnixTime, login: [u8; 16]) -> Row {
        let login = LoginId::from_round(login);
        Row {
            user: self.user,
            user_id: self.user_id,
            device: self.device,
            tally: self.tally,
            count: self.count,
            actor: origin.actor.clone(),
            note: match (self.note, origin.why.clone()) {
                (Some(what), Some(why)) => Some(format!("{what}; {why}").into()),
                (what, why) => what.or(why),
            },
            ..Row::bare(now, login, origin.server.clone(), origin.through.clone(), self.reason)
        }
    }
}
