//! `[[rule]]`: what holds for some logins alone, over what their client says.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::PathBuf;

use super::client::known_primary;
use super::origin::{Fault, Findings, Origin};
use super::policy;
use super::reader::{Found, Reader};
use super::schema::{Key, Kind, key, nearest};
use super::tree::Scalar;
use super::value::{self, Bad, Parsed, boolean};
use crate::base::name::{GroupName, Label, UserName};
use crate::dictionary::{Attribute, Dictionary};
use crate::engine::policy::Unenrolled;
use crate::engine::rule::{Match, RULES_MAX, Rule, UserPattern};
use crate::wire::{AttributeId, number};

pub(super) const KEYS: &[Key] = &[
    key("name", Kind::One, "NAME", "its name in records and explanations"),
    key("client", Kind::List, "NAME", "only at these clients"),
    key("group", Kind::List, "NAME", "only for users in one of these groups"),
    key(
        "user",
        Kind::List,
        "NAME",
        "only for these users; one * at the beginning or end stands for anything",
    ),
    key(
        "station",
        Kind::List,
        "ADDRESS",
        "only from these networks, as Calling-Station-Id says in a signed request",
    ),
    key(
        "attribute",
        Kind::List,
        "NAME=VALUE",
        "only where a signed request has this, such as NAS-Port-Type=Virtual",
    ),
    key("exempt", Kind::One, "BOOL", "ask for no second factor (false)"),
];

/// What rules refer to.
pub(super) struct Shared<'a> {
    /// The names of all primaries, right or wrong in themselves.
    pub(super) primaries: &'a [Label],
    /// The names of all clients, likewise.
    pub(super) clients: &'a [Label],
    pub(super) names: &'a Names,
}

/// The dictionaries, read when the first attribute is named.
pub(super) struct Names {
    files: Vec<PathBuf>,
    read: OnceCell<Result<Dictionary, String>>,
}

impl Names {
    pub(super) fn new(files: Vec<PathBuf>) -> Names {
        Names { files, read: OnceCell::new() }
    }

    /// The attribute called `name`, that a packet shows in the clear.
    pub(super) fn attribute(&self, name: &str) -> Result<(AttributeId, &Attribute), Bad> {
        let read = || {
            let dictionary = Dictionary::embedded().and_then(|known| known.with_files(&self.files));
            dictionary.map_err(|fault| fault.to_string())
        };
        let dictionary = match self.read.get_or_init(read) {
            Ok(dictionary) => dictionary,
            Err(fault) => return Err(Bad::new(fault.replace('\n', " "), "mend the dictionary")),
        };
        let Some(attribute) = dictionary.by_name(name) else {
            let hint = dictionary.suggest(name);
            let hint = hint.unwrap_or_else(|| "radmfa dictionary list shows all attributes".into());
            return Err(Bad::new(format!("no attribute is called \"{}\"", super::origin::plain(name)), hint));
        };
        let id = match (attribute.oid.vendor(), attribute.oid.path()) {
            (None, [number]) => u8::try_from(*number).ok().map(AttributeId::Standard),
            (Some(vendor), [number]) => {
                u8::try_from(*number).ok().map(|number| AttributeId::Vendor(vendor, number))
            }
            _ => None,
        };
        let hidden = attribute.is_hidden()
            || matches!(
                id,
                Some(AttributeId::Standard(
                    number::STATE | number::MESSAGE_AUTHENTICATOR | number::PROXY_STATE | number::EAP_MESSAGE
                ))
            );
        match id {
            Some(id) if !hidden => Ok((id, attribute)),
            _ => Err(Bad::new(
                format!("{} cannot be compared with anything", attribute.name),
                "name an attribute that gateways send in the clear",
            )),
        }
    }
}

/// A rule, and where it was written.
pub(super) struct Decoded {
    pub(super) rule: Rule,
    pub(super) origin: Origin,
}

/// Reads one rule; `None` after a fault.
pub(super) fn decode(reader: &mut Reader<'_>, shared: &Shared<'_>) -> Option<Decoded> {
    let name = reader.required("name", value::label);
    let clients = clients(reader, shared);
    let groups = values(reader.find_list("group", group));
    reader.record_list("group", groups.iter().map(ToString::to_string));
    let users = values(reader.find_list("user", user));
    reader.record_list("user", users.iter().map(ToString::to_string));
    let stations = values(reader.find_list("station", value::network));
    if !stations.is_empty() {
        reader.record("station", &stations, &Origin::Default);
    }
    let attributes = values(reader.find_list("attribute", |scalar| attribute(scalar, shared.names)));
    reader.record_list("attribute", attributes.iter().map(|wanted: &Match| wanted.text.to_string()));
    let exempt = reader.find("exempt", boolean).is_some_and(|found| found.value);
    if reader.origin_of("exempt").is_some() {
        reader.record("exempt", &exempt, &Origin::Default);
    }
    let overrides = policy::decode(reader);
    policy::record_said(reader, &overrides);
    if let Some(primary) = &overrides.primary {
        known_primary(reader, primary, shared.primaries);
    }
    let name = name?;
    let rule = Rule { name: name.value, clients, users, groups, stations, attributes, overrides, exempt };
    judge(reader, &rule);
    Some(Decoded { rule, origin: reader.origin().clone() })
}

/// Refuses what cannot be meant, and warns of what may not be.
fn judge(reader: &mut Reader<'_>, rule: &Rule) {
    let at = |reader: &Reader<'_>, key: &str| reader.origin_of(key).unwrap_or(reader.origin()).clone();
    if !rule.groups.is_empty() {
        for key in policy::BEFORE_PASSWORD {
            if let Some(origin) = reader.origin_of(key) {
                reader.fault(
                    origin,
                    key,
                    "holds before the password was checked, and groups are known only after it",
                    format!("put {key} into a rule without group"),
                );
            }
        }
    }
    if rule.exempt {
        let origin = at(reader, "exempt");
        let narrowed = !rule.users.is_empty() || !rule.groups.is_empty() || rule.needs_signed();
        if rule.is_for_everybody() {
            reader.fault(
                &origin,
                "exempt",
                "would ask nobody for a second factor",
                "say for whom: client, group, user, station or attribute",
            );
        } else if !narrowed {
            reader.warn(
                &origin,
                "exempt",
                "everybody gets in at these clients with the password alone",
                "add group, user, station or attribute",
            );
        }
    }
    if rule.overrides.unenrolled == Some(Unenrolled::Allow) {
        let origin = at(reader, "unenrolled");
        policy::warn_unenrolled(reader, &origin);
    }
}

/// Refuses rules that would let somebody in by a name alone, at clients that check passwords themselves.
pub(super) fn refuse_waivers(rules: &[Decoded], trusted: &[&Label], findings: &mut Findings) {
    for Decoded { rule, origin } in rules {
        let waives = if rule.exempt {
            "exempt"
        } else if rule.overrides.unenrolled == Some(Unenrolled::Allow) {
            "unenrolled"
        } else if rule.overrides.remember.is_some_and(|lasts| !lasts.is_zero()) {
            "remember"
        } else {
            continue;
        };
        let there = |client: &&&Label| rule.clients.is_empty() || rule.clients.contains(client);
        if let Some(client) = trusted.iter().find(there) {
            findings.faults.push(Fault::new(
                origin,
                format!("rule.{waives}"),
                format!("would let users in at {client} by a name alone, since its primary is \"none\""),
                "name the other clients in this rule: client = [\"…\"]",
            ));
        }
    }
}

/// Refuses two rules of one name and too many of them; warns of those behind one that matches all that they do.
pub(super) fn compare(rules: &[Decoded], findings: &mut Findings) {
    let mut names: HashMap<&Label, &Origin> = HashMap::new();
    for (place, Decoded { rule, origin }) in rules.iter().enumerate() {
        if let Some(first) = names.insert(&rule.name, origin) {
            findings.faults.push(Fault::new(
                origin,
                "rule.name",
                format!("\"{}\" is named twice, first at {first}", rule.name),
                "give each rule its own name",
            ));
        }
        if place == RULES_MAX {
            let what = format!("there are more than {RULES_MAX} rules");
            findings.faults.push(Fault::new(origin, "rule", what, "several values of one key share a rule"));
        }
        let before = rules.iter().take(place).find(|before| before.rule.covers(rule));
        if let Some(Decoded { rule: before, origin: at }) = before {
            findings.warnings.push(Fault::new(
                origin,
                "rule",
                format!(
                    "rule {} can never match: rule {} at {at} matches all that it would, and the first counts",
                    rule.name, before.name
                ),
                "put the narrower one first, or remove it",
            ));
        }
    }
}

fn clients(reader: &mut Reader<'_>, shared: &Shared<'_>) -> Vec<Label> {
    let Some(found) = reader.find_list("client", value::label) else { return Vec::new() };
    for Found { value, origin } in &found {
        if !shared.clients.contains(value) {
            let known = || shared.clients.iter().map(Label::as_str);
            let hint = match nearest(value.as_str(), known()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("there is {}", value::either(known())),
            };
            let what = format!("no client is called \"{value}\", so the rule could never match there");
            reader.fault(origin, "client", what, hint);
        }
    }
    let clients = values(Some(found));
    reader.record("client", &clients, &Origin::Default);
    clients
}

fn values<T>(found: Option<Vec<Found<T>>>) -> Vec<T> {
    found.unwrap_or_default().into_iter().map(|found| found.value).collect()
}

fn group(scalar: &Scalar) -> Parsed<GroupName> {
    let text = value::text(scalar)?;
    GroupName::canonical(text.as_bytes())
        .map_err(|fault| Bad::new(format!("takes a group, not {}: {fault}", value::said(scalar)), ""))
}

fn user(scalar: &Scalar) -> Parsed<UserPattern> {
    let text = value::text(scalar)?;
    let name = |part: &str| {
        if part.contains('*') {
            return Err(Bad::new(
                format!("takes one * at the beginning or end, not {}", value::said(scalar)),
                "",
            ));
        }
        UserName::canonical(part.as_bytes()).map_err(|fault| {
            let hint = if part.is_empty() { "leave user out for everybody" } else { "" };
            Bad::new(format!("takes a user name, not {}: {fault}", value::said(scalar)), hint)
        })
    };
    if let Some(part) = text.strip_suffix('*') {
        return name(part).map(UserPattern::Begins);
    }
    match text.strip_prefix('*') {
        Some(part) => name(part).map(UserPattern::Ends),
        None => name(&text).map(UserPattern::Is),
    }
}

/// `NAME=VALUE`, both as the dictionaries have them.
pub(super) fn attribute(scalar: &Scalar, names: &Names) -> Parsed<Match> {
    let text = value::text(scalar)?;
    let Some((name, said)) = text.split_once('=') else {
        return Err(Bad::new(
            format!("takes NAME=VALUE, not {}", value::said(scalar)),
            "such as NAS-Port-Type=Virtual or NAS-Identifier=vpn",
        ));
    };
    let (id, attribute) = names.attribute(name.trim())?;
    let octets = attribute.parse_text(said.trim()).map_err(|fault| {
        Bad::new(format!("{}: {}", fault.attribute, fault.what), fault.hint.unwrap_or_default())
    })?;
    Ok(Match { id, value: octets.into(), text: format!("{}={}", attribute.name, said.trim()).into() })
}
