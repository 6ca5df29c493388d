//! `[[peer]]`: another radmfa that shares clients with this one; and `affinity`, which says what for.

use std::net::{IpAddr, SocketAddr};

use super::origin::{Fault, Findings, Origin};
use super::primary::is_own;
use super::reader::Reader;
use super::schema::{Key, Kind, key};
use super::tree::Scalar;
use super::value::{self, Bad, Parsed};
use crate::base::name::Label;
use crate::server::affinity::ServerId;
use crate::server::peers::PEERS_MAX;
use crate::server::settings::{Affinity, Peer};
use crate::store::Place;

pub(super) const KEYS: &[Key] = &[
    key("name", Kind::One, "NAME", "its server-name"),
    key("address", Kind::One, "HOST[:PORT]", "where it listens, and where it asks from, port 1812"),
    key(
        "secret",
        Kind::Secret,
        "SECRET",
        "the secret between the two servers, not a gateway's: file:PATH, env:NAME or the secret itself",
    ),
];

/// A peer, and where it was written.
pub(super) struct Decoded {
    pub(super) peer: Peer,
    name: Origin,
    address: Origin,
}

/// Reads one peer; `None` after a fault.
pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Decoded> {
    let name = reader.required("name", value::label);
    reader.demand("address");
    let address = reader.find("address", value::host_and_port);
    reader.demand("secret");
    let secret = reader.secret("secret");
    let address = address?;
    let (host, port) = &address.value;
    let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    reader.record("address", &shown, &Origin::Default);
    let found = match host.parse::<IpAddr>() {
        Ok(ip) => Some(SocketAddr::new(ip.to_canonical(), *port)),
        Err(_) => match reader.around.look_up(host, *port) {
            Ok(addresses) => addresses.first().copied(),
            Err(_) => None,
        },
    };
    let Some(found) = found else {
        let what = format!("{host} is no host that can be found");
        reader.fault(
            &address.origin,
            "address",
            what,
            "check the name and the machine's DNS, or name an address",
        );
        return None;
    };
    let (name, secret) = (name?, secret?);
    Some(Decoded {
        peer: Peer { name: name.value, address: found, secret: secret.value },
        name: name.origin,
        address: address.origin,
    })
}

/// Refuses peers that cannot be told apart, and one that is this server itself.
pub(super) fn compare(
    peers: &[Decoded],
    own: Option<&Label>,
    listen: &[SocketAddr],
    findings: &mut Findings,
) {
    let mut fault = |origin: &Origin, key: &str, what: String, hint: &str| {
        findings.faults.push(Fault::new(origin, format!("peer.{key}"), what, hint));
    };
    for (place, decoded) in peers.iter().enumerate() {
        let Peer { name, address, .. } = &decoded.peer;
        if own == Some(name) {
            let what = format!("\"{name}\" is this server's own name");
            fault(&decoded.name, "name", what, "name the other server; each has its own server-name");
        } else if own.is_some_and(|own| ServerId::of(own) == ServerId::of(name)) {
            let what = format!("\"{name}\" and this server's name come to the same number");
            fault(&decoded.name, "name", what, "give one of the two another server-name");
        }
        let before = peers.iter().take(place);
        if let Some(other) = before.clone().find(|other| ServerId::of(&other.peer.name) == ServerId::of(name))
        {
            let what = if other.peer.name == *name {
                format!("\"{name}\" is named twice, first at {}", other.name)
            } else {
                format!("\"{name}\" and \"{}\" come to the same number", other.peer.name)
            };
            fault(&decoded.name, "name", what, "give each server its own server-name");
        }
        if let Some(other) = before.clone().find(|other| other.peer.address == *address) {
            let what = format!("{address} is \"{}\" already, at {}", other.peer.name, other.address);
            fault(&decoded.address, "address", what, "each peer listens on an address of its own");
        }
        if listen.iter().any(|listen| is_own(*listen, *address)) {
            let what = format!("{address} is where this server itself listens");
            fault(&decoded.address, "address", what, "name where the other server listens");
        }
        if place == PEERS_MAX {
            let what = format!("there are more than {PEERS_MAX} peers");
            fault(&decoded.name, "name", what, "leave out those that share no client with this server");
        }
    }
}

/// What to do with an answer to another server's challenge: `relay` where peers are named, else `deny`.
pub(super) fn affinity(reader: &mut Reader<'_>, peers: bool, store: Option<&Place>) -> Affinity {
    let default = if peers { Affinity::Relay } else { Affinity::Deny };
    let found = reader.find("affinity", word);
    let affinity = found.as_ref().map_or(default, |found| found.value);
    let word = match affinity {
        Affinity::Deny => "deny",
        Affinity::Relay => "relay",
        Affinity::Shared => "shared",
    };
    reader.record("affinity", word, &Origin::Default);
    if affinity == Affinity::Shared
        && let (Some(found), Some(store)) = (&found, store)
        && !store.is_shared()
    {
        reader.fault(
            &found.origin,
            "affinity",
            format!("shared needs a store that servers share, and {store} is this server's alone"),
            "relay hands an answer to the server that asked, which needs no shared store",
        );
    }
    if affinity == Affinity::Relay
        && !peers
        && let Some(found) = &found
    {
        reader.fault(
            &found.origin,
            "affinity",
            "relay needs somebody to relay to",
            "name the other servers: --peer name=NAME,address=ADDRESS:1812,secret=file:PATH",
        );
    }
    affinity
}

fn word(scalar: &Scalar) -> Parsed<Affinity> {
    match scalar.text.as_str() {
        "deny" => Ok(Affinity::Deny),
        "relay" => Ok(Affinity::Relay),
        "shared" => Ok(Affinity::Shared),
        _ => Err(Bad::new(format!("takes deny, relay or shared, not {}", value::said(scalar)), "")),
    }
}

/// Says at start-up what several servers with a store each do not know of each other.
pub(super) fn warn(peers: &[Decoded], store: Option<&Place>, findings: &mut Findings) {
    if let Some(first) = peers.first().filter(|_| !store.is_some_and(Place::is_shared)) {
        findings.warnings.push(super::Warning::new(
            &first.name,
            "peer",
            "replay-guard-local: each server has a store of its own; users, used codes and lockouts of one are unknown to the other",
            "a code that logged in at one server can be used once more at another while it is valid; docs/guide/high-availability.md",
        ));
    }
}
