//! `[control]`: the socket that commands reach a running server by.

use std::path::PathBuf;

use super::origin::Origin;
use super::reader::Reader;
use super::schema::{Key, Kind, key};
use super::value;
use crate::server::settings::Control;

pub(super) const KEYS: &[Key] = &[key(
    "path",
    Kind::One,
    "PATH",
    "where the control socket is, or off (the store's path with .sock, off where the store is no file)",
)];

/// The word for none.
const OFF: &str = "off";

/// Where the socket is; `None` for none. `store` is `sqlite:PATH` or `memory:`, where it is right.
pub(super) fn decode(reader: &mut Reader<'_>, store: Option<&str>) -> Option<Control> {
    let beside = store.and_then(|store| store.strip_prefix("sqlite:")).map(|path| format!("{path}.sock"));
    if reader.origin_of("path").is_none() {
        reader.record("path", beside.as_deref().unwrap_or(OFF), &Origin::Default);
        return beside.map(|path| Control { path: path.into(), insisted: false });
    }
    let found = reader.find("path", |scalar| {
        if scalar.text.as_str() == OFF { Ok(None) } else { value::path(scalar).map(Some) }
    });
    let path: Option<PathBuf> = found?.value;
    match &path {
        Some(path) => reader.record("path", path, &Origin::Default),
        None => reader.record("path", OFF, &Origin::Default),
    }
    path.map(|path| Control { path, insisted: true })
}
