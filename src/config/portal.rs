//! `[portal]`: where users have their pages, and where answers from phones come in.

use std::sync::Arc;

use super::listener;
use super::origin::{Fault, Findings, Origin};
use super::reader::Reader;
use super::schema::{Key, Kind, key};
use super::surroundings::Surroundings;
use super::tree::Table;
use super::value;
use crate::engine::enrol::PLACE_MAX;
use crate::portal::Settings;

pub(super) const KEYS: &[Key] = &[
    key("listen", Kind::One, "ADDRESS:PORT", "where it listens (nowhere)"),
    key(
        "public-url",
        Kind::One,
        "URL",
        "how phones and providers reach it, without a path (http:// or https:// and the address it listens on)",
    ),
    key(
        "primary",
        Kind::One,
        "NAME",
        "who checks the passwords of those who log in there (the only primary there is)",
    ),
    listener::TLS_CERTIFICATE,
    listener::TLS_KEY,
    key(
        "add-phone",
        Kind::One,
        "BOOL",
        "users who have no telephone number give one themselves on /me, and type a code sent to it (false)",
    ),
    listener::PROXIES,
];

/// What the portal is told; `None` where there is none.
pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Settings> {
    let adds_phones = reader.or("add-phone", value::boolean, false);
    Some(Settings { adds_phones, ..listener::decode(reader, value::listen)? })
}

/// How it is reached, for commands that make links; `None` where that is not said, or wrong.
pub(super) fn public_url(table: &Table, around: &dyn Surroundings) -> Option<Arc<str>> {
    let mut findings = Findings::default();
    let section = super::whole::single_table(table, "portal", &mut findings)?;
    let mut reader = Reader::new(section, "portal", around, &mut findings);
    let listen = reader.find("listen", value::listen).map(|found| found.value);
    let scheme = if reader.origin_of("tls-certificate").is_some() { "https" } else { "http" };
    let said = reader.find("public-url", listener::url).map(|found| found.value);
    Some(said.or_else(|| Some(format!("{scheme}://{}", listen?)))?.into())
}

/// The page where a first factor is set up, as users type it; `None` where its address is too long for a prompt.
pub(super) fn enrol_at(settings: &Settings) -> Option<Arc<str>> {
    let url = &*settings.public_url;
    let place = format!("{}/enrol", url.strip_prefix("https://").unwrap_or(url));
    (place.len() <= PLACE_MAX).then(|| place.into())
}

/// Says that whoever is led somewhere (`unenrolled = "enrol"`) has nowhere to go.
pub(super) fn demand(leads: Option<(&'static str, Origin)>, is_there: bool, findings: &mut Findings) {
    let Some((section, origin)) = leads else { return };
    let (what, hint) = if is_there {
        (
            format!("the portal's address is longer than the {PLACE_MAX} octets that a prompt has room for"),
            "a shorter [portal] public-url",
        )
    } else {
        (
            "leads users to the portal, and there is none".to_owned(),
            "[portal] listen and public-url, or unenrolled = \"deny\"",
        )
    };
    findings.faults.push(Fault::new(&origin, format!("{section}.unenrolled"), what, hint));
}
