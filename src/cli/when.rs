//! Moments on the command line: a date, a date with time and offset, or so long ago.

use crate::base::system::Clock as _;
use crate::base::time::UnixTime;
use crate::server::system::SystemClock;

/// A moment: `2026-08-31` (its beginning in UTC), `2026-08-31T12:00:00+02:00`, or `7d` for seven days ago.
pub(crate) fn moment(text: &str) -> Result<UnixTime, String> {
    at(text, SystemClock.unix()).ok_or_else(|| {
        "takes a date (2026-08-31, in UTC), a date with time and offset (2026-08-31T12:00:00Z), or how long ago (7d, 12h)"
            .to_owned()
    })
}

fn at(text: &str, now: UnixTime) -> Option<UnixTime> {
    if let Some(span) = crate::config::span(text) {
        return Some(now - span);
    }
    let timestamp = match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) if text.len() == 10 => {
            text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
        }
        Err(_) => return None,
    };
    u64::try_from(timestamp.as_millisecond()).map(UnixTime).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_a_time_or_so_long_ago() {
        let now = UnixTime(1_800_000_000_000);
        assert_eq!(at("2026-08-31", now), Some(UnixTime(1_788_134_400_000)));
        assert_eq!(at("2026-08-31T02:00:00+02:00", now), Some(UnixTime(1_788_134_400_000)));
        assert_eq!(at("1d", now), Some(UnixTime(1_800_000_000_000 - 86_400_000)));
        for wrong in ["", "yesterday", "2026-13-01", "31.08.2026", "7", "1969-01-01"] {
            assert_eq!(at(wrong, now), None, "{wrong}");
        }
    }
}
