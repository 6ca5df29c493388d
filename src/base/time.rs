//! Two clocks that never mix: [`Tick`] for deadlines, [`UnixTime`] for what is written down and for TOTP.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of the monotonic clock, in nanoseconds since an arbitrary start. It never goes back, and means
/// nothing to another process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;

    /// Saturates after 584 years.
    fn add(self, span: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A moment of the wall clock, in milliseconds since 1970-01-01T00:00:00Z. It may be stepped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// From whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> UnixTime {
        UnixTime(seconds.saturating_mul(1000))
    }

    /// Whole seconds, cut.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 / 1000
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: UnixTime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The same moment by the clock that never goes back, where it is `mono` at `unix`; `None` for one that lies ahead, after the wall
    /// clock was set back.
    #[must_use]
    pub fn tick(self, unix: UnixTime, mono: Tick) -> Option<Tick> {
        let ago = (self <= unix).then(|| unix.since(self))?;
        let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
        Some(Tick(mono.0.saturating_sub(ago)))
    }
}

impl Add<Duration> for UnixTime {
    type Output = UnixTime;

    fn add(self, span: Duration) -> UnixTime {
        UnixTime(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for UnixTime {
    type Output = UnixTime;

    /// Stops at 1970.
    fn sub(self, span: Duration) -> UnixTime {
        UnixTime(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for UnixTime {
    /// RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
            Some(moment) => write!(formatter, "{moment:.3}"),
            None => write!(formatter, "{}ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_before_another_is_no_time_after_it() {
        assert_eq!(Tick(5).since(Tick(9)), Duration::ZERO);
        assert_eq!((Tick(5) + Duration::from_nanos(4)).since(Tick(5)), Duration::from_nanos(4));
    }

    #[test]
    fn unix_time_prints_as_rfc_3339() {
        assert_eq!(UnixTime(1_767_225_600_042).to_string(), "2026-01-01T00:00:00.042Z");
    }
}
