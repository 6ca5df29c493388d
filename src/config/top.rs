//! The keys above the tables, and the whole configuration put together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::origin::{Fault, Findings, Origin};
use super::reader::{Found, Reader};
use super::schema::{Kind, Top, plain};
use super::secret::SecretSource;
use super::show::Section;
use super::surroundings::Surroundings;
use super::tree::{Node, Scalar, Table};
use super::value::{self, Bad, Parsed, choice, integer};
use super::{
    Effective, LogFormat, LogLevel, StoreSettings, admin, asked, asking, audit, client, control, delivery,
    front, limits, lockout, metrics, peer, portal, primary, rule, sending,
};
use crate::base::name::Label;
use crate::engine::rule::{GroupAttributes, Rule, RuleSet};
use crate::server::front::Door;
use crate::server::settings::Settings;
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
    "Threads that serve requests, 1 to 64 (the machine's cores, at most 8)",
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
const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// Makes the effective settings of a whole configuration; `None` after a fault.
pub(super) fn decode(table: &Table, around: &dyn Surroundings, findings: &mut Findings) -> Option<Effective> {
    let mut reader = Reader::new(table, "", around, findings);
    let server_name = server_name(&mut reader);
    let listen = listen(&mut reader);
    let (store, seal_key) = (store(&mut reader), seal_key(&mut reader));
    let dictionaries = dictionaries(&mut reader);
    let place = store.as_deref().and_then(|store| Place::parse(store).ok());
    let affinity = peer::affinity(&mut reader, table.tables("peer").next().is_some(), place.as_ref());
    let language = reader.or("language", sending::language, "en".to_owned());
    let workers = reader.or("workers", integer(1..=64), around.cores().saturating_sub(1).clamp(1, 8));
    let log_format = word(&mut reader, "log-format", FORMATS, LogFormat::Text);
    let log_level = word(&mut reader, "log-level", LEVELS, LogLevel::Info);
    let mut sections = vec![reader.finish()];

    let single = Table { origin: Origin::Default, entries: Vec::new() };
    let section = |name, findings: &mut Findings| single_table(table, name, findings).unwrap_or(&single);
    let mut reader = Reader::new(section("lockout", findings), "lockout", around, findings);
    let lockout = lockout::decode(&mut reader);
    let lockout_section = reader.finish();
    let mut reader = Reader::new(section("limits", findings), "limits", around, findings);
    let limits = limits::decode(&mut reader);
    let limits_section = reader.finish();
    let mut reader = Reader::new(section("audit", findings), "audit", around, findings);
    let audit = audit::decode(&mut reader);
    let audit_section = reader.finish();
    let mut reader = Reader::new(section("control", findings), "control", around, findings);
    let control = control::decode(&mut reader, store.as_deref());
    let control_section = reader.finish();

    let mut names: Vec<Label> = labels(table, "primary").collect();
    names.dedup();
    let doors = Door::ALL.into_iter().filter_map(|door| Label::new(door.name()).ok());
    let client_names: Vec<Label> = labels(table, "client").chain(doors).collect();
    let attributes = rule::Names::new(dictionaries.clone());

    only_tables(table, "client", findings);
    let shared = client::Shared { primaries: &names, lockout, asks: asking::any(table) };
    let mut clients = Vec::new();
    for table in table.tables("client") {
        let mut reader = Reader::new(table, "client", around, findings);
        clients.extend(client::decode(&mut reader, &shared));
        sections.push(reader.finish());
    }
    client::compare(&clients, findings);
    front::refuse_names(&clients, findings);
    only_tables(table, "primary", findings);
    let mut primaries = Vec::new();
    for table in table.tables("primary") {
        let mut reader = Reader::new(table, "primary", around, findings);
        primaries.extend(primary::decode(&mut reader, &attributes));
        sections.push(reader.finish());
    }
    let telling = |decoded: &primary::Decoded| Some((decoded.settings.name.clone(), decoded.groups?));
    let group_attributes: GroupAttributes = Arc::new(primaries.iter().filter_map(telling).collect());
    only_tables(table, "rule", findings);
    let shared = rule::Shared { primaries: &names, clients: &client_names, names: &attributes };
    let mut rules = Vec::new();
    for table in table.tables("rule") {
        let mut reader = Reader::new(table, "rule", around, findings);
        rules.extend(rule::decode(&mut reader, &shared));
        sections.push(reader.finish());
    }
    rule::compare(&rules, findings);
    let trusted: Vec<&Label> = clients
        .iter()
        .filter(|decoded| decoded.client.policy.admission.trusts_gateway())
        .map(|decoded| &decoded.client.name)
        .collect();
    rule::refuse_waivers(&rules, &trusted, findings);
    let rules: Vec<Arc<Rule>> = rules.into_iter().map(|decoded| Arc::new(decoded.rule)).collect();
    let client_names: Vec<Label> = clients.iter().map(|decoded| decoded.client.name.clone()).collect();
    let mut reader = Reader::new(section("portal", findings), "portal", around, findings);
    let portal = portal::decode(&mut reader);
    let portal_primary = front::portal_primary(&mut reader, &names);
    if table.entry("portal").is_some() {
        sections.push(reader.finish());
    }
    let mut reader = Reader::new(section("admin", findings), "admin", around, findings);
    let admin = admin::decode(&mut reader);
    if table.entry("admin").is_some() {
        sections.push(reader.finish());
    }
    let mut reader = Reader::new(section("metrics", findings), "metrics", around, findings);
    let metrics = metrics::decode(&mut reader);
    if table.entry("metrics").is_some() {
        sections.push(reader.finish());
    }
    let own = delivery::Own {
        server: server_name.as_ref(),
        language: &language,
        clients: &client_names,
        portal: portal.as_ref(),
    };
    let (delivery, sending) = delivery::decode(table, &own, around, findings, &mut sections).unzip();
    let sending =
        sending.filter(|sending| !sending.ways.is_empty() || sending.asking.is_some()).map(Arc::new);
    for client::Decoded { client, .. } in &mut clients {
        Arc::make_mut(&mut client.policy).sending.clone_from(&sending);
        client.rules = RuleSet::new(&client.name, &client.policy, &rules, &group_attributes);
    }
    let means = front::Means {
        lockout,
        sending: sending.as_ref(),
        rules: &rules,
        group_attributes: &group_attributes,
    };
    let mut fronts = Vec::new();
    if portal.is_some() {
        fronts.extend(portal_primary.and_then(|primary| front::open(Door::Portal, primary, &means)));
    }
    primary::compare(&primaries, &listen, findings);
    let mut primaries: Vec<_> = primaries.into_iter().map(|decoded| decoded.settings).collect();
    if admin.is_some() {
        let primary = front::admin_primary(&mut primaries);
        fronts.extend(primary.and_then(|primary| front::open(Door::Admin, primary, &means)));
    }
    only_tables(table, "peer", findings);
    let mut peers = Vec::new();
    for table in table.tables("peer") {
        let mut reader = Reader::new(table, "peer", around, findings);
        peers.extend(peer::decode(&mut reader));
        sections.push(reader.finish());
    }
    peer::compare(&peers, server_name.as_ref(), &listen, findings);
    peer::warn(&peers, place.as_ref(), findings);
    at_least_one(table, "client", "name=nas,address=10.1.0.4,secret=file:PATH", findings);
    let all_trusted =
        !clients.is_empty() && clients.iter().all(|decoded| decoded.client.policy.admission.trusts_gateway());
    if !all_trusted {
        at_least_one(table, "primary", "name=up,type=radius,server=10.2.0.5:1812,secret=file:PATH", findings);
    }
    sections.extend([lockout_section, limits_section, audit_section, control_section]);

    Some(Effective {
        server: Settings {
            server_name: server_name?,
            listen,
            workers,
            clients: clients.into_iter().map(|decoded| decoded.client).collect(),
            fronts,
            limits,
            affinity,
            peers: peers.into_iter().map(|decoded| decoded.peer).collect(),
            people: Arc::new(asked::decode(table, around)),
            control,
        },
        primaries,
        delivery: delivery?,
        portal,
        admin,
        metrics,
        store: store?,
        seal_key,
        rules,
        group_attributes,
        dictionaries,
        audit,
        lockout,
        log_format,
        log_level,
        sections,
    })
}

/// Makes what commands need that open the store alone; other keys are not looked at.
pub(super) fn decode_store(
    table: &Table,
    around: &dyn Surroundings,
    findings: &mut Findings,
) -> Option<StoreSettings> {
    let none = Table { origin: Origin::Default, entries: Vec::new() };
    let section = single_table(table, "audit", findings).unwrap_or(&none);
    let mut reader = Reader::new(section, "audit", around, findings);
    let recording = audit::recording(&mut reader);
    let whole = table;
    let wanted = |key: &str| key == STORE.key.name || key == SEAL_KEY.key.name;
    let table = Table {
        origin: table.origin.clone(),
        entries: table.entries.iter().filter(|entry| wanted(&entry.key)).cloned().collect(),
    };
    let people = asked::decode(whole, around);
    let public_url = portal::public_url(whole, around);
    let mut reader = Reader::new(&table, "", around, findings);
    let (store, seal_key) = (store(&mut reader), seal_key(&mut reader));
    Some(StoreSettings { store: store?, seal_key, recording, people, public_url })
}

/// Where the control socket is; `None` for none.
pub(super) struct ControlPath(pub(super) Option<PathBuf>);

/// Makes what commands need that speak to a running server; other keys are not looked at.
pub(super) fn decode_control(
    table: &Table,
    around: &dyn Surroundings,
    findings: &mut Findings,
) -> Option<ControlPath> {
    let store = decode_only_store(table, around, findings)?;
    let none = Table::empty();
    let section = single_table(table, "control", findings).unwrap_or(&none);
    let mut reader = Reader::new(section, "control", around, findings);
    let control = control::decode(&mut reader, Some(&store));
    Some(ControlPath(control.map(|control| control.path)))
}

/// The store, whatever else is said.
fn decode_only_store(table: &Table, around: &dyn Surroundings, findings: &mut Findings) -> Option<String> {
    let entries = table.entries.iter().filter(|entry| entry.key == STORE.key.name).cloned();
    let table = Table { origin: table.origin.clone(), entries: entries.collect() };
    let mut reader = Reader::new(&table, "", around, findings);
    store(&mut reader)
}

fn server_name(reader: &mut Reader<'_>) -> Option<Label> {
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

fn listen(reader: &mut Reader<'_>) -> Vec<SocketAddr> {
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

fn store(reader: &mut Reader<'_>) -> Option<String> {
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

fn seal_key(reader: &mut Reader<'_>) -> Option<SecretSource> {
    let found = reader.find("seal-key", value::secret)?;
    reader.record("seal-key", &found.value, &Origin::Default);
    // Read once so that an unreadable key is found here, with the line that names it; whoever opens the store reads it again.
    reader.fetch("seal-key", &found)?;
    Some(found.value)
}

fn dictionaries(reader: &mut Reader<'_>) -> Vec<PathBuf> {
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

fn word<T: Copy + PartialEq>(
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

/// The names of the tables called `name`, right or wrong in themselves.
fn labels<'a>(table: &'a Table, name: &'a str) -> impl Iterator<Item = Label> + 'a {
    table.tables(name).filter_map(|table| Label::new(&table.scalar("name")?.text).ok())
}

/// The table `[name]`; `None` where it is not there. A fault where something else is.
pub(super) fn single_table<'a>(table: &'a Table, name: &str, findings: &mut Findings) -> Option<&'a Table> {
    let entry = table.entry(name)?;
    if let Node::Table(table) = &entry.node {
        return Some(table);
    }
    let hint = format!("write [{name}], and its keys beneath");
    findings.faults.push(Fault::new(&entry.origin, name, "takes one table", hint));
    None
}

/// A fault where `[[name]]` is something else than tables.
pub(super) fn only_tables(table: &Table, name: &str, findings: &mut Findings) {
    let Some(entry) = table.entry(name) else { return };
    let tables = match &entry.node {
        Node::List(items) => items.iter().all(|item| matches!(item, Node::Table(_))),
        Node::Scalar(_) | Node::Table(_) => false,
    };
    if !tables {
        let hint = format!("write [[{name}]] with two brackets, and its keys beneath");
        findings.faults.push(Fault::new(&entry.origin, name, "takes a table for each", hint));
    }
}

fn at_least_one(table: &Table, name: &'static str, example: &str, findings: &mut Findings) {
    let none = match table.entry(name).map(|entry| &entry.node) {
        None => true,
        Some(Node::List(items)) => items.is_empty(),
        Some(_) => false,
    };
    if none {
        let hint = format!("add --{name} {example}, or [[{name}]] to the file");
        findings.faults.push(Fault::new(&Origin::Default, name, "at least one is needed", hint));
    }
}

/// The settings recorded at the top of `sections`.
pub(super) fn section(sections: &[Section]) -> Option<&Section> {
    sections.iter().find(|section| section.table.is_empty())
}
