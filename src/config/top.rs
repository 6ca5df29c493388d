//! The keys above the tables.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::origin::Origin;
use super::reader::{Found, Reader};
use super::schema::{Kind, Top, plain};
use super::secret::SecretSource;
use super::show::Section;
use super::tree::Scalar;
use super::value::{self, Bad, Parsed, choice};
use super::{LogFormat, LogLevel};
use crate::base::name::Label;
use crate::store::Place;
use crate::store::postgres::Address;

pub(super) const SERVER_NAME: Top = plain(
    "server-name",
    "RADMFA_SERVER_NAME",
    Kind::One,
    "NAME",
    "Names this server in State attributes and records, unique among servers that share clients (the host name)",
);
pub(super) const LISTEN: Top = plain(
    "listen",
    "RADMFA_LISTEN",
    Kind::List,
    "ADDRESS:PORT",
    "Where Access-Requests come in; repeatable ([::]:1812, which takes IPv4 too)",
);
pub(super) const STORE: Top = plain(
    "store",
    "RADMFA_STORE",
    Kind::One,
    "STORE",
    "Where users, tokens and records are kept: sqlite:PATH, postgres://USER@HOST/DATABASE, or memory: to try things (sqlite:/var/lib/radmfa/radmfa.db)",
);
pub(super) const SEAL_KEY: Top = plain(
    "seal-key",
    "RADMFA_SEAL_KEY",
    Kind::Secret,
    "SECRET",
    "The key that seals token seeds: file:PATH or env:NAME (the store's path with .key, made when it is missing; postgres wants one)",
);
pub(super) const DICTIONARY: Top = plain(
    "dictionary",
    "RADMFA_DICTIONARY",
    Kind::List,
    "FILE",
    "A dictionary in FreeRADIUS format beside those built in; repeatable",
);
pub(super) const AFFINITY: Top = plain(
    "affinity",
    "RADMFA_AFFINITY",
    Kind::One,
    "WORD",
    "What to do with an answer to another server's challenge: deny, relay or shared (relay where peers are named)",
);
pub(super) const LANGUAGE: Top = plain(
    "language",
    "RADMFA_LANGUAGE",
    Kind::One,
    "TAG",
    "The language of what is sent to users whose own is not known, such as hu (en)",
);
pub(super) const WORKERS: Top = plain(
    "workers",
    "RADMFA_WORKERS",
    Kind::One,
    "COUNT",
    "Threads that serve requests, 1 to 64 (the machine's cores but one, 1 to 8)",
);
pub(super) const LOG_FORMAT: Top = plain(
    "log-format",
    "RADMFA_LOG_FORMAT",
    Kind::One,
    "WORD",
    "How the log is written: text or json (text)",
);
pub(super) const LOG_LEVEL: Top = plain(
    "log-level",
    "RADMFA_LOG_LEVEL",
    Kind::One,
    "WORD",
    "What is logged: error, warn, info, debug or trace (info)",
);

const DEFAULT_STORE: &str = "sqlite:/var/lib/radmfa/radmfa.db";
pub(super) const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
pub(super) const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

pub(super) fn server_name(reader: &mut Reader<'_>) -> Option<Label> {
    let hint = "say it yourself: --server-name NAME, server-name = \"NAME\" in the file";
    if reader.origin_of("server-name").is_some() {
        return reader.required("server-name", value::label).map(|found| found.value);
    }
    let Some(host) = reader.around.host_name() else {
        reader.fault(&Origin::Default, "server-name", "the machine has no host name to take it from", hint);
        return None;
    };
    let Ok(name) = Label::new(&host) else {
        let what = format!("the host name \"{}\" cannot serve as one", super::origin::plain(&host));
        reader.fault(&Origin::Default, "server-name", what, hint);
        return None;
    };
    if name.as_str() == "localhost" {
        reader.warn(&Origin::HostName, "server-name", "\"localhost\" tells this server from no other", hint);
    }
    reader.record("server-name", &name, &Origin::HostName);
    Some(name)
}

pub(super) fn listen(reader: &mut Reader<'_>) -> Vec<SocketAddr> {
    let everywhere = SocketAddr::from(([0_u16; 8], value::PORT));
    let listen = match reader.find_list("listen", value::listen) {
        Some(found) => {
            for (index, Found { value, origin }) in found.iter().enumerate() {
                // Port 0 is a new one each time.
                if value.port() != 0 && found.iter().take(index).any(|other| other.value == *value) {
                    reader.fault(origin, "listen", format!("{value} is there twice"), "remove one of them");
                }
            }
            found.into_iter().map(|found| found.value).collect()
        }
        None => vec![everywhere],
    };
    reader.record("listen", &listen, &Origin::Default);
    listen
}

pub(super) fn store(reader: &mut Reader<'_>) -> Option<String> {
    let store = match reader.origin_of("store") {
        Some(_) => reader.find("store", store_spec)?.value,
        None => DEFAULT_STORE.to_owned(),
    };
    reader.record("store", &shown_store(&store), &Origin::Default);
    if holds_password(&store)
        && let Some(origin @ Origin::Flag { .. }) = reader.origin_of("store")
    {
        reader.warn(
            origin,
            "store",
            "a password on the command line shows in ps",
            "keep it in a file: …?password=file:PATH, or the whole in RADMFA_STORE",
        );
    }
    if store == "memory:" {
        let origin = reader.origin_of("store").unwrap_or(reader.origin());
        reader.warn(
            origin,
            "store",
            "everything is forgotten when radmfa ends, which codes were used as well",
            "sqlite:PATH keeps it",
        );
    }
    Some(store)
}

/// The same without a password.
fn shown_store(store: &str) -> String {
    Place::parse(store).map_or_else(|_| store.to_owned(), |place| place.to_string())
}

/// Whether a password stands in it for everybody to read.
fn holds_password(store: &str) -> bool {
    let secret = |source: &str| !["file:", "env:"].iter().any(|kind| source.starts_with(kind));
    match Place::parse(store) {
        Ok(Place::Postgres(address)) => {
            address.has_password() || address.password_source().is_some_and(secret)
        }
        _ => false,
    }
}

/// `sqlite:PATH` (a relative path starts from the directory of the file that says it), `postgres://…` or `memory:`.
fn store_spec(scalar: &Scalar) -> Parsed<String> {
    let text = value::text(scalar)?;
    if text == "memory:" {
        return Ok(text);
    }
    if let Some(path) = text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
        let path = value::path(&Scalar { text: path.to_owned().into(), ..scalar.clone() })?;
        return Ok(format!("sqlite:{}", path.display()));
    }
    if Address::is_one(&text) {
        // What is refused may hold a password, so it is not repeated.
        return match Address::parse(&text) {
            Ok(_) => Ok(text),
            Err(fault) => Err(Bad::new(fault.what, fault.hint)),
        };
    }
    let hint = if text.contains(['/', '.']) {
        format!("write sqlite:{}", super::origin::plain(text.trim_start_matches("sqlite:")))
    } else {
        String::new()
    };
    Err(Bad::new(format!("takes sqlite:PATH, postgres://… or memory:, not {}", value::said(scalar)), hint))
}

pub(super) fn seal_key(reader: &mut Reader<'_>) -> Option<SecretSource> {
    let found = reader.find("seal-key", value::secret)?;
    reader.record("seal-key", &found.value, &Origin::Default);
    // Read once so that an unreadable key is found here, with the line that names it; whoever opens the store reads it again.
    reader.fetch("seal-key", &found)?;
    Some(found.value)
}

pub(super) fn dictionaries(reader: &mut Reader<'_>) -> Vec<PathBuf> {
    let Some(found) = reader.find_list("dictionary", value::path) else {
        return Vec::new();
    };
    for Found { value, origin } in &found {
        if let Err(error) = std::fs::File::open(value) {
            let what = format!("{} cannot be read: {error}", value.display());
            reader.fault(origin, "dictionary", what, "check the path and who may read the file");
        }
    }
    let paths: Vec<PathBuf> = found.into_iter().map(|found| found.value).collect();
    reader.record("dictionary", &paths, &Origin::Default);
    paths
}

pub(super) fn word<T: Copy + PartialEq>(
    reader: &mut Reader<'_>,
    key: &'static str,
    words: &[(&'static str, T)],
    default: T,
) -> T {
    let value = reader.find(key, choice(words)).map_or(default, |found| found.value);
    let shown = words.iter().find(|(_, other)| *other == value).map_or("", |(word, _)| *word);
    reader.record(key, shown, &Origin::Default);
    value
}

/// The settings recorded at the top of `sections`.
pub(super) fn section(sections: &[Section]) -> Option<&Section> {
    sections.iter().find(|section| section.table.is_empty())
}
