//! `[lockout]`: when a user has to wait after wrong codes, and when somebody is told.

use std::time::Duration;

use super::reader::Reader;
use super::schema::{Key, Kind, key};
use super::value::{duration, integer};
use crate::engine::policy::Lockout;

pub(super) const KEYS: &[Key] = &[
    key("free", Kind::One, "COUNT", "wrong codes before the first wait, 1 to 20 (5)"),
    key("wait", Kind::One, "DURATION", "the first wait, which doubles with each further one, 1s to 1h (1m)"),
    key("wait-max", Kind::One, "DURATION", "the longest wait, 1s to 1d (1h)"),
    key(
        "limit",
        Kind::One,
        "COUNT",
        "wrong codes in a row after which only an admin unlocks, 10 to 1000 (50)",
    ),
    key(
        "alarm",
        Kind::One,
        "COUNT",
        "wrong codes within 30 days, successes between or not, that raise an alarm, 10 to 100000 (100)",
    ),
    key(
        "spray-users",
        Kind::One,
        "COUNT",
        "users whose logins fail within spray-window that raise an alarm, 0 to 10000, 0 for none (50)",
    ),
    key(
        "spray-window",
        Kind::One,
        "DURATION",
        "how long failures of many users are added up, 1m to 1d (10m)",
    ),
];

pub(super) fn decode(reader: &mut Reader<'_>) -> Lockout {
    let hour = Duration::from_hours(1);
    let second = Duration::from_secs(1);
    let default = Lockout::default();
    let lockout = Lockout {
        free: reader.or("free", integer(1..=20), default.free),
        wait: reader.or("wait", duration(second..=hour), default.wait),
        wait_max: reader.or("wait-max", duration(second..=24 * hour), default.wait_max),
        limit: reader.or("limit", integer(10..=1000), default.limit),
        alarm: reader.or("alarm", integer(10..=100_000), default.alarm),
        spray_users: reader.or("spray-users", integer(0..=10_000), default.spray_users),
        spray_window: reader.or(
            "spray-window",
            duration(Duration::from_mins(1)..=24 * hour),
            default.spray_window,
        ),
    };
    if lockout.wait > lockout.wait_max {
        let origin = reader.origin_of("wait-max").or(reader.origin_of("wait")).unwrap_or(reader.origin());
        reader.fault(origin, "wait-max", "is shorter than the first wait (wait)", "raise it, or lower wait");
    }
    if lockout.free >= lockout.limit {
        let origin = reader.origin_of("limit").or(reader.origin_of("free")).unwrap_or(reader.origin());
        reader.fault(origin, "limit", "is reached before the first wait (free)", "raise it, or lower free");
    }
    lockout
}
