//! `[admin]`: where the admins' pages and the interface for programs are.

use std::time::Duration;

use super::origin::Origin;
use super::portal;
use super::reader::Reader;
use super::schema::{Key, Kind, key};
use super::value::{self, duration};
use crate::portal::admin::Settings;
use crate::store::user_act::HOLD_MOST;

pub(super) const KEYS: &[Key] = &[
    key("listen", Kind::One, "ADDRESS:PORT", "where it listens; a port alone is one of 127.0.0.1 (nowhere)"),
    key(
        "public-url",
        Kind::One,
        "URL",
        "how browsers reach it, without a path (http:// or https:// and the address it listens on)",
    ),
    key("tls-certificate", Kind::One, "FILE", "its certificate and those above it, PEM (plain HTTP)"),
    key("tls-key", Kind::One, "FILE", "the certificate's key, PEM"),
    key(
        "proxies",
        Kind::List,
        "ADDRESS[/LENGTH]",
        "reverse proxies whose X-Forwarded-For says where a request came from (none)",
    ),
    key(
        "phone-hold",
        Kind::One,
        "DURATION",
        "how long no code goes to a telephone number that was changed here, 0s to 30d (1d)",
    ),
];

/// Unless it is said: long enough for whoever has the old telephone to read that there is a new one.
const HOLD: Duration = Duration::from_hours(24);

/// What the listener is told; `None` where there is none.
pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Settings> {
    let hold = reader.find("phone-hold", duration(Duration::ZERO..=HOLD_MOST));
    let phone_hold = hold.map_or(HOLD, |found| found.value);
    let listener = portal::decode_listener(reader, value::local)?;
    reader.record("phone-hold", &phone_hold, &Origin::Default);
    Some(Settings { listener, phone_hold, portal_url: None })
}
