//! What may be sent, and what wrong codes cost: the numbers of a policy that are one for the whole server.

use std::sync::Arc;
use std::time::Duration;

use super::super::asking::Asking;
use super::super::delivery::Kind;

/// How codes are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The ways there are, each with how long its code is good for, 30 s to 15 min.
    pub ways: Vec<(Kind, Duration)>,
    /// How many may be sent.
    pub limits: SendLimits,
    /// Which of them ask for an answer on the phone instead; `None` where none does.
    pub asking: Option<Arc<Asking>>,
}

impl Sending {
    /// For how long an answer on the phone is waited for that is asked for by `kind`; `None` where `kind` brings a code.
    #[must_use]
    pub fn asks(&self, kind: Kind) -> Option<Duration> {
        self.asking.as_ref()?.lifetime(kind)
    }

    /// How long a code sent by `kind` is good for; `None` where there is no such way.
    #[must_use]
    pub fn lifetime(&self, kind: Kind) -> Option<Duration> {
        self.ways.iter().find(|(way, _)| *way == kind).map(|(_, lifetime)| *lifetime)
    }
}

/// How many messages may be sent. Texts and calls count together; mails count against their own user alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendLimits {
    /// To one user within [`SendLimits::within`], 1 to 20.
    pub count: u32,
    /// 1 min to 1 h.
    pub within: Duration,
    /// To one user within 24 h, 1 to 200.
    pub per_day: u32,
    /// No sooner than this after the one before it, 0 s to 10 min.
    pub gap: Duration,
    /// To all users within 24 h; one who had none always gets one more. `None`: as many as are asked for.
    pub budget: Option<u32>,
}

impl Default for SendLimits {
    /// 5 in 5 minutes, 20 a day, 30 s apart, no budget.
    fn default() -> SendLimits {
        SendLimits {
            count: 5,
            within: Duration::from_mins(5),
            per_day: 20,
            gap: Duration::from_secs(30),
            budget: None,
        }
    }
}

/// When a user has to wait after wrong codes, and when an admin has to help (protocol.md's lockout).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// Failures before the first wait, 1 to 20.
    pub free: u32,
    /// The first wait; it doubles with each further failure.
    pub wait: Duration,
    /// The longest wait.
    pub wait_max: Duration,
    /// Failures in a row after which only an admin's unlock helps, 10 to 1000.
    pub limit: u32,
    /// Failures within thirty days, successes between or not, that raise an alarm, 10 to 100000.
    pub alarm: u32,
    /// Users whose logins fail within [`Lockout::spray_window`] that raise an alarm, up to 10000; 0 for none.
    pub spray_users: u32,
    /// 1 min to 1 d.
    pub spray_window: Duration,
}

impl Default for Lockout {
    /// 5 free, 1 min doubling to 1 h, locked at 50; alarms at 100 in thirty days, and at 50 users in ten minutes.
    fn default() -> Lockout {
        Lockout {
            free: 5,
            wait: Duration::from_mins(1),
            wait_max: Duration::from_hours(1),
            limit: 50,
            alarm: 100,
            spray_users: 50,
            spray_window: Duration::from_mins(10),
        }
    }
}
