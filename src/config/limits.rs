//! `[limits]`: bounds of the tables in memory.

use std::time::Duration;

use super::reader::Reader;
use super::schema::{Key, Kind, key};
use super::value::{duration, integer};
use crate::server::settings::Limits;

pub(super) const KEYS: &[Key] = &[
    key(
        "logins",
        Kind::One,
        "COUNT",
        "logins under way, when full new ones are refused, 100 to 1000000 (100000)",
    ),
    key("duplicates", Kind::One, "COUNT", "packets remembered to tell duplicates, 1000 to 1000000 (200000)"),
    key("reply-kept", Kind::One, "DURATION", "how long a reply is kept for retransmissions, 5s to 30s (10s)"),
];

pub(super) fn decode(reader: &mut Reader<'_>) -> Limits {
    let default = Limits::default();
    Limits {
        logins: reader.or("logins", integer(100..=1_000_000), default.logins),
        duplicates: reader.or("duplicates", integer(1000..=1_000_000), default.duplicates),
        reply_kept: reader.or(
            "reply-kept",
            duration(Duration::from_secs(5)..=Duration::from_secs(30)),
            default.reply_kept,
        ),
    }
}
