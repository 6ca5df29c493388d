//! `[lockout]`: when a user has to wait after wrong codes.

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
