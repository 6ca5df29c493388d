//! Push fatigue: who ignored or denied three pushes in ten minutes is sent none for a quarter of an hour, since whoever has the password
//! alone may be sending them until somebody taps the wrong button. An approval begins anew.
//!
//! By whatever clock: a server counts by its own ([`Tick`](crate::base::time::Tick)), who reads the trail by the times in it.

use std::collections::VecDeque;
use std::ops::Add;
use std::time::Duration;

use crate::engine::reason::Reason;

/// So many pushes that were ignored or denied …
const STRIKES: usize = 3;
/// … within so long …
pub(in crate::server) const STRIKES_WITHIN: Duration = Duration::from_mins(10);
/// … stop them for so long.
pub(in crate::server) const PAUSE: Duration = Duration::from_mins(15);

/// What one user made of pushes of late.
#[derive(Debug)]
pub(in crate::server) struct Fatigue<T> {
    /// When they were ignored or denied, oldest first.
    strikes: VecDeque<T>,
    paused_since: Option<T>,
}

impl<T> Default for Fatigue<T> {
    fn default() -> Fatigue<T> {
        Fatigue { strikes: VecDeque::new(), paused_since: None }
    }
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

impl<T: Copy + Ord + Add<Duration, Output = T>> Fatigue<T> {
    /// A login that had asked by push ended for `reason`.
    pub(in crate::server) fn ended(&mut self, reason: Reason, now: T) {
        if reason == Reason::PhoneApproved {
            *self = Fatigue::default();
        } else if is_strike(reason) {
            self.strikes.retain(|strike| now < *strike + STRIKES_WITHIN);
            self.strikes.push_back(now);
            if self.strikes.len() >= STRIKES {
                self.strikes.clear();
                self.paused_since = Some(now);
            }
        }
    }

    /// An admin has unlocked the user: what was before counts no more.
    pub(in crate::server) fn forgive(&mut self, before: T) {
        self.strikes.retain(|strike| *strike > before);
        self.paused_since.take_if(|since| *since <= before);
    }

    /// Since when no push is sent, and until when, also where that is over.
    pub(in crate::server) fn pause(&self) -> Option<(T, T)> {
        self.paused_since.map(|since| (since, since + PAUSE))
    }

    /// Whether no push is to be sent.
    pub(super) fn is_paused(&self, now: T) -> bool {
        self.pause().is_some_and(|(_, until)| now < until)
    }

    /// Forgets what counts no more.
    pub(super) fn forget(&mut self, now: T) {
        self.strikes.retain(|strike| now < *strike + STRIKES_WITHIN);
        self.paused_since.take_if(|since| *since + PAUSE <= now);
    }

    /// Whether nothing is known.
    pub(super) fn is_none(&self) -> bool {
        self.strikes.is_empty() && self.paused_since.is_none()
    }
}
