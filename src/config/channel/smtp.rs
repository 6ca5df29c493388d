//! `type = "smtp"` of a channel.

use std::net::IpAddr;

use super::super::origin::Origin;
use super::super::reader::Reader;
use super::super::value;
use super::super::value::choice;
use super::{ca_file, credential, host_and_port, only, word_of};
use crate::delivery::smtp::{Security, Settings};
use crate::engine::delivery::Kind;

/// Reads what a channel of `type = "smtp"` is told.
pub(super) fn decode(reader: &mut Reader<'_>, kind: Kind) -> Option<Settings> {
    const SECURITIES: &[(&str, Security)] =
        &[("starttls", Security::StartTls), ("tls", Security::Tls), ("none", Security::None)];
    only(reader, "smtp", &["server", "tls", "username", "password", "ca-file"]);
    if kind != Kind::Email {
        let origin = reader.origin_of("type").unwrap_or(reader.origin());
        reader.fault(origin, "type", format!("smtp brings mails, not {kind}"), "kind = \"email\"");
    }
    let security = reader.find("tls", choice(SECURITIES)).map_or(Security::StartTls, |found| found.value);
    reader.record("tls", word_of(SECURITIES, &security), &Origin::Default);
    reader.demand("server");
    let server = reader.find("server", host_and_port(security.port()));
    if let Some(found) = &server {
        let (host, port) = &found.value;
        reader.record("server", &format!("{host}:{port}"), &Origin::Default);
        let own = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if security == Security::None && !own {
            let origin = reader.origin_of("tls").unwrap_or(reader.origin());
            reader.fault(origin, "tls", "none is for a mail server on this machine", "starttls, or tls");
        }
    }
    let username = reader.find("username", value::text).map(|found| found.value);
    if let Some(username) = &username {
        reader.record("username", username, &Origin::Default);
    }
    let password = credential(reader, "password");
    if username.is_some() != password.is_some() {
        let origin = reader.origin_of("username").or(reader.origin_of("password")).unwrap_or(reader.origin());
        reader.fault(origin, "password", "username and password go together", "");
    }
    let ca_file = ca_file(reader);
    let (host, port) = server?.value;
    Some(Settings { host, port, security, username, password, ca_file })
}
