//! The whole configuration put together, and the parts of it that some commands need alone.

use std::path::PathBuf;
use std::sync::Arc;

use super::origin::{Fault, Findings, Origin};
use super::reader::Reader;
use super::surroundings::Surroundings;
use super::top::{
    FORMATS, LEVELS, SEAL_KEY, STORE, dictionaries, listen, seal_key, server_name, store, word,
};
use super::tree::{Node, Table};
use super::value::integer;
use super::{
    Effective, LogFormat, LogLevel, StoreSettings, admin, asked, asking, audit, client, control, delivery,
    front, limits, lockout, metrics, peer, portal, primary, rule, sending,
};
use crate::base::name::Label;
use crate::engine::policy::Unenrolled;
use crate::engine::rule::{GroupAttributes, Rule, RuleSet};
use crate::server::front::Door;
use crate::server::settings::Settings;
use crate::store::Place;

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
    let rule_leads =
        rules.iter().find(|decoded| decoded.rule.overrides.unenrolled == Some(Unenrolled::Enrol));
    let rule_leads = rule_leads.map(|decoded| ("rule", decoded.origin.clone()));
    let rules: Vec<Arc<Rule>> = rules.into_iter().map(|decoded| Arc::new(decoded.rule)).collect();
    let called = |decoded: &client::Decoded| decoded.client.policy.called(&decoded.client.name).into();
    let client_names: Vec<Arc<str>> = clients.iter().map(called).collect();
    let mut reader = Reader::new(section("portal", findings), "portal", around, findings);
    let portal = portal::decode(&mut reader);
    let portal_primary = front::portal_primary(&mut reader, &names);
    if table.entry("portal").is_some() {
        sections.push(reader.finish());
    }
    let mut reader = Reader::new(section("admin", findings), "admin", around, findings);
    let mut admin = admin::decode(&mut reader);
    if let (Some(admin), Some(portal)) = (&mut admin, &portal) {
        admin.portal_url = Some(Arc::clone(&portal.public_url));
    }
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
    let enrol_at = portal.as_ref().and_then(portal::enrol_at);
    if enrol_at.is_none() {
        let leads =
            clients.iter().find(|decoded| decoded.client.policy.login.unenrolled == Unenrolled::Enrol);
        portal::demand(
            leads.map(|decoded| ("client", decoded.name_origin().clone())).or(rule_leads),
            portal.is_some(),
            findings,
        );
    }
    asking::warn_passkeys(table, portal.as_ref(), sending.as_deref(), findings);
    for client::Decoded { client, .. } in &mut clients {
        let policy = Arc::make_mut(&mut client.policy);
        policy.sending.clone_from(&sending);
        policy.enrol_at.clone_from(&enrol_at);
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
