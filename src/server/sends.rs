//! Messages that pages send: a code to a telephone, to see that it works. They count like those of logins, in the same budget.
//!
//! ```text
//! page ─ may_send ─ row with Guard::MaySend (durable) ─► the store has counted it ─► Answers::bring
//! ```
//! Invariant: a message is counted before it leaves, by the limits of a login at the portal, also where another server counts it.

use std::sync::Arc;

use super::answers::Answers;
use super::front::Door;
use crate::base::name::Label;
use crate::engine::account::Account;
use crate::engine::delivery::Kind;
use crate::engine::methods;
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Conflict, Guard, Record, Row};
use crate::store::act::{Act, Origin};

/// Whether a message may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It may, and is counted.
    Given,
    /// So many were sent, to the user or in all, that there may not be another yet.
    TooOften,
    /// The user may not log in any more, or the store cannot say.
    Unavailable,
}

impl Answers {
    /// Counts a code that the user of `account` is about to be sent by `kind`, and records it with `note` as the user's own act. `number` is
    /// fresh randomness.
    pub async fn may_send(&self, account: &Account, kind: Kind, note: String, number: [u8; 16]) -> Leave {
        let shared = &self.shared;
        let Ok(door) = Label::new(Door::Portal.name()) else { return Leave::Unavailable };
        let sending = {
            let live = shared.live.load();
            live.fronts.named(&door).and_then(|gateway| gateway.policy.sending.clone())
        };
        // Without channels there are no limits, and nothing that could be sent.
        let Some(sending) = sending else { return Leave::Unavailable };
        let origin = Origin {
            through: door,
            server: shared.node.server_name().clone(),
            actor: Some(account.name.as_str().into()),
            why: None,
        };
        let act = Act::new(Reason::CodeSent).on(&account.name, account.id).note(note);
        let row = Arc::new(Row {
            method: methods::method(kind),
            sends: Some(kind),
            ..act.row(&origin, self.now(), number)
        });
        let guards = vec![
            Guard::UserActive { user: account.id },
            Guard::MaySend { user: account.id, kind, limits: sending.limits },
        ];
        let record = Record { guards, row: Arc::clone(&row) };
        match shared.store.commit(record).get().await {
            CommitAnswer::Done(recorded) => {
                if let Some(alarm) = shared.budget.look(&row, &recorded, shared.clock.mono()) {
                    shared.counts.alarm(alarm.row.reason);
                    tracing::warn!(reason = alarm.row.reason.code(), "{}", alarm.row.reason.sentence());
                    if !matches!(shared.store.commit(alarm).get().await, CommitAnswer::Done(_)) {
                        tracing::error!("an alarm could not be recorded");
                    }
                }
                Leave::Given
            }
            CommitAnswer::Refused(Conflict::SentTooOften) => Leave::TooOften,
            CommitAnswer::Refused(_) | CommitAnswer::Counted | CommitAnswer::Unavailable => {
                Leave::Unavailable
            }
        }
    }
}
