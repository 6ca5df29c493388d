//! What `serve` and `check` ask the peers: whether one has our own name, and whether all have the same clients.

use std::time::Duration;

use super::failure::Failure;
use super::store::entropy;
use crate::base::name::Label;
use crate::server::peers::{Greeted, HelloFault, clients_of, greet};
use crate::server::settings::{Affinity, Peer, Settings};
use crate::server::system::SystemClock;

/// How long each try waits at start-up, where a peer that is down holds nobody up.
const AT_START: Duration = Duration::from_millis(400);
/// And in `check`.
const IN_CHECK: Duration = Duration::from_secs(1);
/// Clocks further apart than this are worth a word; beyond two minutes nothing is relayed.
const SKEW_NOTED: Duration = Duration::from_secs(30);

/// What came of asking.
pub(super) enum Found {
    /// A line to print.
    Well(String),
    /// What is wrong, and what to do.
    Wrong { what: String, hint: String },
}

/// Refuses to go on where a peer answers with this server's own name. Peers that are down are asked by nobody again.
pub(super) fn look_for_namesake(settings: &Settings) -> anyhow::Result<()> {
    for (peer, greeted) in ask_all(settings, AT_START)? {
        match greeted {
            Ok(greeted) if greeted.name == settings.server_name => {
                return Err(Failure::usage(clash(peer, &greeted.name)).hint(CLASH_HINT).into());
            }
            Ok(greeted) if greeted.name != peer.name => {
                tracing::warn!("{}", misnamed(peer, &greeted.name));
            }
            Ok(_) => {}
            Err(fault) => tracing::warn!("peer {} ({}): {fault}", peer.name, peer.address),
        }
    }
    Ok(())
}

/// Asks every peer, and compares what it says with what holds here.
pub(super) fn compare(settings: &Settings) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    let own = clients_of(
        settings.clients.iter().map(|client| (&client.name, &*client.policy, client.rules.as_deref())),
    );
    for (peer, greeted) in ask_all(settings, IN_CHECK)? {
        match greeted {
            Ok(greeted) => judge(peer, &greeted, settings, &own, &mut found),
            Err(fault) => found.push(Found::Wrong {
                what: format!("peer {}: {}: {fault}", peer.name, peer.address),
                hint: unheard(&fault).into(),
            }),
        }
    }
    Ok(found)
}

fn judge(
    peer: &Peer,
    greeted: &Greeted,
    settings: &Settings,
    own: &[(Label, [u8; 8])],
    found: &mut Vec<Found>,
) {
    let Greeted { name, version, time, now, relays, clients, took } = greeted;
    let Peer { name: known, address, .. } = peer;
    let mut wrong = |what: String, hint: &str| found.push(Found::Wrong { what, hint: hint.into() });
    if *name == settings.server_name {
        return wrong(clash(peer, name), CLASH_HINT);
    }
    if name != known {
        return wrong(misnamed(peer, name), "give the peer the other server's server-name");
    }
    let skew = time.since(*now).max(now.since(*time));
    if skew > SKEW_NOTED {
        wrong(
            format!("peer {known}: its clock says {time}, ours {now}"),
            "set both (chronyc makestep, timedatectl): codes depend on it, and beyond two minutes nothing is relayed",
        );
    }
    if !relays && settings.affinity == Affinity::Relay {
        wrong(
            format!(
                "peer {known}: it refuses answers to our challenges (affinity = \"deny\"), we relay to it"
            ),
            "set the same affinity on all servers",
        );
    }
    let own_version = env!("CARGO_PKG_VERSION");
    if version != own_version {
        wrong(
            format!("peer {known}: it runs version {version}, we {own_version}; policies cannot be compared"),
            "run the same version on all servers",
        );
    }
    let names =
        |list: &mut dyn Iterator<Item = &Label>| list.map(Label::as_str).collect::<Vec<_>>().join(", ");
    let lacks = |list: &[(Label, [u8; 8])], name: &Label| !list.iter().any(|(other, _)| other == name);
    let ours_alone = names(&mut own.iter().map(|(name, _)| name).filter(|name| lacks(clients, name)));
    let theirs_alone = names(&mut clients.iter().map(|(name, _)| name).filter(|name| lacks(own, name)));
    let differ = names(
        &mut own
            .iter()
            .filter(|(name, digest)| clients.iter().any(|(other, theirs)| other == name && theirs != digest))
            .map(|(name, _)| name),
    );
    let compared = version == own_version;
    if !ours_alone.is_empty() {
        wrong(
            format!("peer {known}: it does not know these clients of ours: {ours_alone}"),
            "give each client the same name on all servers, or its answers end as client-unknown-at-owner",
        );
    }
    if !theirs_alone.is_empty() {
        wrong(
            format!("peer {known}: it has clients that we do not: {theirs_alone}"),
            "give each client the same name on all servers, or its answers end as client-unknown-at-owner",
        );
    }
    if compared && !differ.is_empty() {
        wrong(
            format!("peer {known}: these clients have other policies there: {differ}"),
            "compare what radmfa check prints for them on both servers, rules included",
        );
    }
    found.push(Found::Well(format!(
        "peer {known}: {address} answers, {:.1} ms, version {version}, clients: {}",
        took.as_secs_f64() * 1000.0,
        clients.len()
    )));
}

const CLASH_HINT: &str = "give each server its own --server-name; codes are found by it";

fn clash(peer: &Peer, name: &Label) -> String {
    format!("server-name-clash: the server at {} is called \"{name}\" as this one is", peer.address)
}

fn misnamed(peer: &Peer, name: &Label) -> String {
    format!("peer {}: the server at {} is called \"{name}\"", peer.name, peer.address)
}

fn unheard(fault: &HelloFault) -> &'static str {
    match fault {
        HelloFault::Refused => "is radmfa running there, and is this its listening address?",
        HelloFault::Silent => {
            "start it, name this server among its peers with the address that it asks from, and compare the secrets"
        }
        HelloFault::Unreachable(_) => "is the address right, and is there a route to it?",
        HelloFault::Malformed => "run the same version of radmfa on both servers",
    }
}

/// Asks all peers at once: each that is down costs the same wait.
fn ask_all(
    settings: &Settings,
    patience: Duration,
) -> anyhow::Result<Vec<(&Peer, Result<Greeted, HelloFault>)>> {
    let entropies = settings.peers.iter().map(|_| entropy()).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(std::thread::scope(|scope| {
        let asking: Vec<_> = settings
            .peers
            .iter()
            .zip(entropies)
            .map(|(peer, mut entropy)| {
                let own = &settings.server_name;
                let thread = scope.spawn(move || greet(own, peer, &SystemClock, &mut entropy, patience));
                (peer, thread)
            })
            .collect();
        asking
            .into_iter()
            .map(|(peer, thread)| (peer, thread.join().unwrap_or(Err(HelloFault::Malformed))))
            .collect()
    }))
}
