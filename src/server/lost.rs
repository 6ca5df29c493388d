//! Users whose last second factor was taken away, and who have just shown the right password: told to the portal, which invites them.
//!
//! Nobody waits for it: where the portal is behind, or there is none, such a user is told nothing, and the trail says why they were
//! refused.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::worker::Worker;
use crate::base::name::UserName;
use crate::engine::record::Row;

/// How many may wait for their invitation.
const WAITING: usize = 64;

/// The way from the workers to the portal.
pub(super) struct Lost {
    tell: Sender<UserName>,
    hear: Mutex<Option<Receiver<UserName>>>,
}

impl Default for Lost {
    fn default() -> Lost {
        let (tell, hear) = channel(WAITING);
        Lost { tell, hear: Mutex::new(Some(hear)) }
    }
}

impl Lost {
    /// Where they are heard of; `None` for whoever comes second.
    pub(super) fn hear(&self) -> Option<Receiver<UserName>> {
        self.hear.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Worker {
    /// Has the user of a login that was refused for want of any factor invited to another.
    pub(super) fn invite_again(&self, row: &Row) {
        if let Some(user) = &row.user
            && self.shared.lost.tell.try_send(user.clone()).is_err()
        {
            tracing::debug!(login = %row.login, "nobody can invite the user at this moment");
        }
    }
}
