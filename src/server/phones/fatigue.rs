//! Push fatigue: who ignored or denied three pushes in ten minutes is sent none for a quarter of an hour, since whoever has the password
//! alone may be sending them until somebody taps the wrong button. An approval begins anew.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::time::Tick;
use crate::engine::reason::Reason;

/// So many pushes that were ignored or denied …
pub(in crate::server) const STRIKES: usize = 3;
/// … within so long …
pub(in crate::server) const STRIKES_WITHIN: Duration = Duration::from_mins(10);
/// … stop them for so long.
pub(in crate::server) const PAUSE: Duration = Duration::from_mins(15);

/// What one user made of pushes of late.
#[derive(Debug, Default)]
pub(super) struct Fatigue {
    /// When they were ignored or denied, oldest first.
    strikes: VecDeque<Tick>,
    paused_until: Option<Tick>,
}

/// Whether a push whose login ended for `reason` was ignored or denied.
pub(super) fn is_strike(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::PhoneDenied
            | Reason::NumberWrong
            | Reason::FraudReported
            | Reason::NoAnswer
            | Reason::Abandoned
    )
}

impl Fatigue {
    /// A push was ignored or denied.
    pub(super) fn strike(&mut self, now: Tick) {
        self.strikes.retain(|strike| now.since(*strike) < STRIKES_WITHIN);
        self.strikes.push_back(now);
        if self.strikes.len() >= STRIKES {
            self.strikes.clear();
            self.paused_until = Some(now + PAUSE);
        }
    }

    /// Whether no push is to be sent.
    pub(super) fn is_paused(&self, now: Tick) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Forgets what counts no more.
    pub(super) fn forget(&mut self, now: Tick) {
        self.strikes.retain(|strike| now.since(*strike) < STRIKES_WITHIN);
        self.paused_until.take_if(|until| *until <= now);
    }

    /// Whether nothing is known.
    pub(super) fn is_none(&self) -> bool {
        self.strikes.is_empty() && self.paused_until.is_none()
    }
}
