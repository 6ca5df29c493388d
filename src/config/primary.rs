//! `[[primary]]`: who checks the password.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::origin::{Fault, Findings, Origin};
use super::reader::{Found, Reader};
use super::rule::Names;
use super::schema::{Key, Kind, key};
use super::value::{self, boolean, choice, duration, integer};
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::primary::settings::{self, Allowance, Radius, Settings};
use crate::wire::AttributeId;

pub(super) const KEYS: &[Key] = &[
    key("name", Kind::One, "NAME", "its name, which clients refer to"),
    key("type", Kind::One, "TYPE", "radius (asks RADIUS servers) or local (the store's own passwords)"),
    key("server", Kind::List, "HOST[:PORT]", "a RADIUS server, asked in the order written, port 1812"),
    key(
        "secret",
        Kind::Secret,
        "SECRET",
        "the secret shared with the servers: file:PATH, env:NAME or the secret itself",
    ),
    key("source", Kind::One, "ADDRESS", "the local address to ask from (the system's choice)"),
    key(
        "message-authenticator",
        Kind::One,
        "WORD",
        "auto (required once a server has sent one) or required (auto)",
    ),
    key(
        "group-attribute",
        Kind::One,
        "NAME",
        "the attribute of its Accept that names the user's groups, such as Class or Filter-Id",
    ),
    key(
        "wrong-passwords",
        Kind::One,
        "COUNT",
        "wrong passwords of a user that are passed on before they are held back, 0 to 100, 0 for no limit (4)",
    ),
    key(
        "wrong-passwords-unfamiliar",
        Kind::One,
        "COUNT",
        "how many of these from stations that the user never logged in from, 1 to 100 (3)",
    ),
    key(
        "wrong-passwords-window",
        Kind::One,
        "DURATION",
        "how long after the last wrong one the count begins anew, 1m to 1d (30m)",
    ),
    key("dead-time", Kind::One, "DURATION", "how long a silent server is passed over, 1s to 1h (30s)"),
    key("status-server", Kind::One, "BOOL", "probe with Status-Server whether a server is back (true)"),
];

/// A primary, and where its name and servers were written.
pub(super) struct Decoded {
    pub(super) settings: Settings,
    /// The attribute of its Accept that names groups.
    pub(super) groups: Option<AttributeId>,
    name: Origin,
    servers: Vec<Found<SocketAddr>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Radius,
    Local,
}

/// Reads one primary; `None` after a fault.
pub(super) fn decode(reader: &mut Reader<'_>, names: &Names) -> Option<Decoded> {
    const TYPES: &[(&str, Type)] = &[("radius", Type::Radius), ("local", Type::Local)];
    let name = reader.required("name", value::label);
    reader.demand("type");
    let kind = reader.find("type", choice(TYPES));
    let mut groups = None;
    let (kind, servers) = match kind?.value {
        Type::Radius => {
            reader.record("type", "radius", &Origin::Default);
            groups = group_attribute(reader, names);
            let (radius, servers) = radius(reader)?;
            (settings::Kind::Radius(radius), servers)
        }
        Type::Local => {
            reader.record("type", "local", &Origin::Default);
            for key in KEYS.iter().filter(|key| !matches!(key.name, "name" | "type")) {
                if let Some(origin) = reader.origin_of(key.name) {
                    reader.fault(
                        origin,
                        key.name,
                        "belongs to type = \"radius\"",
                        "remove it, or change the type",
                    );
                }
            }
            (settings::Kind::Local, Vec::new())
        }
    };
    let name = name?;
    Some(Decoded { settings: Settings { name: name.value, kind }, groups, name: name.origin, servers })
}

fn group_attribute(reader: &mut Reader<'_>, names: &Names) -> Option<AttributeId> {
    let found = reader.find("group-attribute", |scalar| {
        let (id, attribute) = names.attribute(&value::text(scalar)?)?;
        Ok((id, attribute.name.to_string()))
    })?;
    reader.record("group-attribute", &found.value.1, &Origin::Default);
    Some(found.value.0)
}

/// Refuses two primaries of one name, and a server that is radmfa itself.
pub(super) fn compare(primaries: &[Decoded], listen: &[SocketAddr], findings: &mut Findings) {
    let mut names: Vec<(&Label, &Origin)> = Vec::new();
    for Decoded { settings, name, servers, .. } in primaries {
        match names.iter().find(|(other, _)| **other == settings.name) {
            Some((_, first)) => findings.faults.push(Fault::new(
                name,
                "primary.name",
                format!("\"{}\" is named twice, first at {first}", settings.name),
                "give each primary its own name; one primary takes several servers",
            )),
            None => names.push((&settings.name, name)),
        }
        for server in
            servers.iter().filter(|server| listen.iter().any(|listen| is_own(*listen, server.value)))
        {
            findings.faults.push(Fault::new(
                &server.origin,
                "primary.server",
                format!("{} is where radmfa itself listens", server.value),
                "name the server that checks passwords; on one machine, let one of them listen on another port",
            ));
        }
    }
}

/// Whether what is sent to `server` comes in at `listen`.
pub(super) fn is_own(listen: SocketAddr, server: SocketAddr) -> bool {
    let everywhere = listen.ip().is_unspecified() && (listen.is_ipv6() || server.is_ipv4());
    let same = listen.ip() == server.ip() || (everywhere && server.ip().is_loopback());
    same && listen.port() == server.port()
}

fn radius(reader: &mut Reader<'_>) -> Option<(Radius, Vec<Found<SocketAddr>>)> {
    const POSTURES: &[(&str, bool)] = &[("auto", false), ("required", true)];
    let source = reader.find("source", value::address);
    let servers = servers(reader, source.as_ref());
    reader.demand("secret");
    let secret = reader.secret("secret");
    if let Some(source) = &source {
        reader.record("source", &source.value, &Origin::Default);
    }
    let mut radius = Radius::new(Vec::new(), Secret::from(""));
    let required = reader.find("message-authenticator", choice(POSTURES));
    radius.message_authenticator_required = required.is_some_and(|found| found.value);
    let word = if radius.message_authenticator_required { "required" } else { "auto" };
    reader.record("message-authenticator", word, &Origin::Default);
    let bounds = Duration::from_secs(1)..=Duration::from_hours(1);
    radius.dead_time = reader.or("dead-time", duration(bounds), radius.dead_time);
    radius.status_server = reader.or("status-server", boolean, radius.status_server);
    radius.allowance = allowance(reader);
    radius.source = source.map(|found| found.value);
    let servers = servers?;
    radius.servers = servers.iter().map(|server| server.value).collect();
    radius.secret = secret?.value;
    Some((radius, servers))
}

/// How many wrong passwords of one user the servers get to see; `None` for no limit.
fn allowance(reader: &mut Reader<'_>) -> Option<Allowance> {
    let default = Allowance::default();
    let (minute, day) = (Duration::from_mins(1), Duration::from_hours(24));
    let wrong = reader.or("wrong-passwords", integer(0..=100), default.wrong);
    let likely = default.unfamiliar.min(wrong.max(1));
    let unfamiliar = reader.or("wrong-passwords-unfamiliar", integer(1..=100), likely);
    let window = reader.or("wrong-passwords-window", duration(minute..=day), default.window);
    if wrong == 0 {
        if let Some(origin) = reader.origin_of("wrong-passwords") {
            reader.warn(
                origin,
                "wrong-passwords",
                "whoever guesses through this server can lock accounts in the directory",
                "set it below the directory's own lockout threshold, unless that has none",
            );
        }
        return None;
    }
    if unfamiliar > wrong {
        let origin = reader.origin_of("wrong-passwords-unfamiliar").unwrap_or(reader.origin());
        reader.fault(
            origin,
            "wrong-passwords-unfamiliar",
            "is more than wrong-passwords, of which it is a part",
            "lower it, or raise wrong-passwords",
        );
    }
    Some(Allowance { wrong, unfamiliar, window })
}

/// The servers' addresses in the order written; of a host name all that can be reached from `source`.
fn servers(reader: &mut Reader<'_>, source: Option<&Found<IpAddr>>) -> Option<Vec<Found<SocketAddr>>> {
    reader.demand("server");
    let written = reader.find_list("server", value::host_and_port)?;
    let shown: Vec<String> = written
        .iter()
        .map(
            |Found { value: (host, port), .. }| {
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
            },
        )
        .collect();
    reader.record("server", &shown, &Origin::Default);
    let mut servers: Vec<Found<SocketAddr>> = Vec::new();
    for Found { value: (host, port), origin } in written {
        let mut literal = false;
        let mut addresses = match host.parse::<IpAddr>() {
            Ok(address) => {
                literal = true;
                vec![SocketAddr::new(address, port)]
            }
            Err(_) => match reader.around.look_up(&host, port) {
                Ok(addresses) if !addresses.is_empty() => addresses,
                Ok(_) => {
                    reader.fault(
                        &origin,
                        "server",
                        format!("{host} has no address"),
                        "name an address instead",
                    );
                    continue;
                }
                Err(error) => {
                    let what = format!("{host} cannot be looked up: {error}");
                    reader.fault(
                        &origin,
                        "server",
                        what,
                        "check the name and the machine's DNS, or name an address",
                    );
                    continue;
                }
            },
        };
        if let Some(source) = source {
            addresses.retain(|address| address.is_ipv4() == source.value.is_ipv4());
            if addresses.is_empty() {
                let what = format!("{host} cannot be reached from source {}", source.value);
                reader.fault(&origin, "server", what, "both must be IPv4, or both IPv6");
            }
        }
        for address in addresses {
            if !servers.iter().any(|server| server.value == address) {
                servers.push(Found { value: address, origin: origin.clone() });
            } else if literal {
                reader.fault(&origin, "server", format!("{address} is there twice"), "remove one of them");
            } // else two names of one machine: it is asked once
        }
    }
    Some(servers)
}
