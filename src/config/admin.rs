//! `[admin]`: where the admins' pages and the interface for programs are.

use std::time::Duration;

use super::listener;
use super::origin::Origin;
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
    listener::TLS_CERTIFICATE,
    listener::TLS_KEY,
    listener::PROXIES,
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
    let listener = listener::decode(reader, value::local)?;
    reader.record("phone-hold", &phone_hold, &Origin::Default);
    Some(Settings { listener, phone_hold, portal_url: None })
}
