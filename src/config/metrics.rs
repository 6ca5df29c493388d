//! `[metrics]`: where Prometheus, and whoever asks whether the server lives, are answered.

use super::origin::Origin;
use super::reader::Reader;
use super::schema::{Key, Kind, key};
use super::value;
use crate::portal::metrics::Settings;

pub(super) const KEYS: &[Key] = &[key(
    "listen",
    Kind::One,
    "ADDRESS:PORT",
    "where /metrics, /healthz and /readyz are served, over plain HTTP; a port alone is one of 127.0.0.1 (nowhere)",
)];

/// What the listener is told; `None` where there is none.
pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Settings> {
    let found = reader.find("listen", value::local)?;
    let listen = found.value;
    reader.record("listen", &listen, &Origin::Default);
    if !listen.ip().is_loopback() {
        let hint = "nobody is asked who they are: let only the collector reach it, or listen on 127.0.0.1";
        reader.warn(&found.origin, "listen", "metrics are served to whoever can reach them", hint);
    }
    Some(Settings { listen })
}
