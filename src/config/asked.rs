//! What the configuration says of those who log in, for commands that open the store alone: why somebody cannot log in, and
//! how far from its time a code may be. Read as far as it is right; a fault in it is none of a command's, `radmfa check` says it.

use std::sync::Arc;
use std::time::Duration;

use super::origin::Findings;
use super::reader::Reader;
use super::surroundings::Surroundings;
use super::tree::Table;
use super::value::{choice, display, duration, integer};
use super::{lockout, policy, rule};
use crate::base::name::Label;
use crate::engine::delivery::Kind;
use crate::engine::policy::Policy;
use crate::primary::settings::Allowance;
use crate::server::people::{Asked, Channel, People, nobody};

const WAYS: &[(&str, Kind)] =
    &[("sms", Kind::Sms), ("voice", Kind::Voice), ("email", Kind::Email), ("push", Kind::Push)];

pub(super) fn decode(table: &Table, around: &dyn Surroundings) -> People {
    let mut aside = Findings::default();
    let mut people = People::default();
    if let Some(section) = super::whole::single_table(table, "lockout", &mut aside) {
        let said = lockout::decode(&mut Reader::new(section, "lockout", around, &mut aside));
        if aside.faults.is_empty() {
            people.lockout = said;
        }
    }
    for primary in table.tables("primary") {
        let mut reader = Reader::new(primary, "primary", around, &mut aside);
        let default = Allowance::default();
        let wrong =
            reader.find("wrong-passwords", integer(0..=100)).map_or(default.wrong, |found| found.value);
        let window = duration(Duration::from_mins(1)..=Duration::from_hours(24));
        let window =
            reader.find("wrong-passwords-window", window).map_or(default.window, |found| found.value);
        let radius = primary.scalar("type").is_some_and(|kind| *kind.text == *"radius");
        if radius && wrong > 0 {
            people.withheld = people.withheld.max(Some(window));
        }
    }
    for channel in table.tables("channel") {
        let mut reader = Reader::new(channel, "channel", around, &mut aside);
        people.ways.extend(reader.find("kind", choice(WAYS)).map(|found| found.value));
        let text = |key| channel.scalar(key).map_or(String::new(), |scalar| scalar.text.to_string());
        if let Ok(name) = Label::new(&text("name")) {
            people.channels.push(Channel { name, way: text("type"), url: text("url") });
        }
    }
    let mut clients = Vec::new();
    for client in table.tables("client") {
        let mut reader = Reader::new(client, "client", around, &mut aside);
        let own = policy::decode(&mut reader);
        let known = reader.find("display-name", display).map(|found| found.value.into());
        if let Some(name) = client.scalar("name").and_then(|name| Label::new(&name.text).ok()) {
            people.called.extend(known.map(|known| (name.clone(), known)));
            clients.push((name, Policy::resolve(nobody(), people.lockout, &[&own])));
        }
    }
    let asked = |(client, policy): &(Label, Policy)| Asked {
        client: client.clone(),
        rule: None,
        login: policy.login.clone(),
    };
    people.asked.extend(clients.iter().map(asked));
    let names = rule::Names::new(Vec::new());
    let known: Vec<Label> = clients.iter().map(|(name, _)| name.clone()).collect();
    let shared = rule::Shared { primaries: &[], clients: &known, names: &names };
    for section in table.tables("rule") {
        let mut reader = Reader::new(section, "rule", around, &mut aside);
        let Some(rule) = rule::decode(&mut reader, &shared).map(|decoded| Arc::new(decoded.rule)) else {
            continue;
        };
        for (client, policy) in clients.iter().filter(|(client, _)| rule.is_for_client(client)) {
            let mut policy = policy.clone();
            let before = policy.login.clone();
            policy.apply(&rule.overrides);
            if policy.login != before {
                let (client, rule) = (client.clone(), Some(Arc::clone(&rule)));
                people.asked.push(Asked { client, rule, login: policy.login });
            }
        }
    }
    people
}
