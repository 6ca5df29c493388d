//! `type = "smpp"` of a channel.

use std::net::IpAddr;
use std::time::Duration;

use super::super::origin::Origin;
use super::super::reader::Reader;
use super::super::value::{self, choice, duration, integer};
use super::{credential, host_and_port, only, word_of};
use crate::delivery::smpp::{Bind, Long, Settings};
use crate::engine::delivery::Kind;

/// Reads what a channel of `type = "smpp"` is told.
pub(super) fn decode(reader: &mut Reader<'_>, kind: Kind) -> Option<Settings> {
    const OWN: &[&str] =
        &["server", "username", "password", "system-type", "bind", "window", "enquire-link", "long"];
    const BINDS: &[(&str, Bind)] = &[("transceiver", Bind::Transceiver), ("transmitter", Bind::Transmitter)];
    const LONGS: &[(&str, Long)] = &[("parts", Long::Parts), ("payload", Long::Payload)];
    only(reader, "smpp", OWN);
    if kind != Kind::Sms {
        let origin = reader.origin_of("type").unwrap_or(reader.origin());
        reader.fault(origin, "type", format!("smpp brings text messages, not {kind}"), "kind = \"sms\"");
    }
    reader.demand("server");
    let server = reader.find("server", host_and_port(2775));
    if let Some(found) = &server {
        let (host, port) = &found.value;
        reader.record("server", &format!("{host}:{port}"), &Origin::Default);
        let own = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !own {
            let origin = found.origin.clone();
            reader.warn(
                &origin,
                "server",
                "SMPP goes over the network in the clear: password, numbers and codes",
                "go through a tunnel of the provider's (VPN, stunnel on this machine)",
            );
        }
    }
    let username = reader.required("username", value::text);
    reader.demand("password");
    let password = credential(reader, "password");
    let system_type = reader.find("system-type", value::text).map_or(String::new(), |found| found.value);
    if !system_type.is_empty() {
        reader.record("system-type", &system_type, &Origin::Default);
    }
    let bind = reader.find("bind", choice(BINDS)).map_or(Bind::Transceiver, |found| found.value);
    reader.record("bind", word_of(BINDS, &bind), &Origin::Default);
    let window = reader.or("window", integer(1..=100_usize), 10);
    let bounds = Duration::from_secs(5)..=Duration::from_mins(10);
    let enquire_link = reader.or("enquire-link", duration(bounds), Duration::from_secs(30));
    let long = reader.find("long", choice(LONGS)).map_or(Long::Parts, |found| found.value);
    reader.record("long", word_of(LONGS, &long), &Origin::Default);
    let (host, port) = server?.value;
    Some(Settings {
        host,
        port,
        username: username?.value,
        password: password?,
        system_type,
        bind,
        window,
        enquire_link,
        long,
    })
}
