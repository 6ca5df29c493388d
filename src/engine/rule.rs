//! Rules: the last stage of the policy's cascade, for logins rather than for whole clients.
//!
//! The first rule that matches counts. It is looked for twice: before the password among the rules that name no group
//! ([`RuleSet::begin`]), and after it among all ([`Ruling::settle`]), when the user's groups are known. What a rule
//! sets of [`Admission`](super::policy::Admission) holds in the first case alone, so a rule that names groups may set
//! nothing of it; the configuration refuses that.
//!
//! Invariants: a rule that reads what a packet says of the station or in its attributes matches no packet that anybody
//! could have made ([`Integrity::Unsigned`]). A policy is made once for the rules that it follows from and then shared,
//! so that no login builds one.

#[cfg(test)]
mod fixtures;
mod set;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub use self::set::{GroupAttributes, RuleSet, Ruling};
use super::policy::Overrides;
use crate::base::name::{GroupName, Label, UserName};
use crate::wire::{Attribute, AttributeId, AttributeList, Attributes, Integrity};

/// The most rules that there can be.
pub const RULES_MAX: usize = 100;

/// A rule: under which conditions which stage is laid over a client's policy. Several values of one condition: any of
/// them; no value: no condition.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, in records and explanations.
    pub name: Label,
    /// Clients, by name.
    pub clients: Vec<Label>,
    /// Users.
    pub users: Vec<UserPattern>,
    /// Groups that the user is in.
    pub groups: Vec<GroupName>,
    /// Networks that Calling-Station-Id, being an address, lies in.
    pub stations: Vec<IpNet>,
    /// Attributes of the request; one of each that is named must have a value that is given for it.
    pub attributes: Vec<Match>,
    /// What it sets.
    pub overrides: Overrides,
    /// No second factor is asked for.
    pub exempt: bool,
}

/// An attribute with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Which attribute.
    pub id: AttributeId,
    /// Its value as it stands in a packet.
    pub value: Box<[u8]>,
    /// `NAME=VALUE`, as it was written.
    pub text: Arc<str>,
}

/// A user name, or the part of it that is before or after one `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserPattern {
    /// This user.
    Is(UserName),
    /// `svc-*`
    Begins(UserName),
    /// `*@partner.example`
    Ends(UserName),
}

/// What is known of a login before its password was checked.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The canonical name.
    pub user: Option<&'a UserName>,
    /// Calling-Station-Id, as it came.
    pub station: Option<&'a [u8]>,
    /// The request's attributes.
    pub attributes: Attributes<'a>,
    /// What the request proved.
    pub integrity: Integrity,
}

/// The condition that keeps a rule from matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It names other clients.
    Client,
    /// It names other users.
    User,
    /// It names groups that the user is not in.
    Group,
    /// It reads the station or attributes, and the request proves nothing.
    Unsigned,
    /// The request does not say where the user is, or not by address.
    NoStation,
    /// The station is in none of its networks.
    Station,
    /// An attribute is not there or has another value: its first place in [`Rule::attributes`].
    Attribute(usize),
}

impl Rule {
    /// Whether it can be judged before the groups are known.
    pub fn is_before_groups(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether it reads what only a signed request can be believed in.
    pub fn needs_signed(&self) -> bool {
        !self.stations.is_empty() || !self.attributes.is_empty()
    }

    /// Whether it says anything of who it is for.
    pub fn is_for_everybody(&self) -> bool {
        self.clients.is_empty()
            && self.users.is_empty()
            && self.groups.is_empty()
            && self.stations.is_empty()
            && self.attributes.is_empty()
    }

    /// Whether it may match at this client.
    pub fn is_for_client(&self, client: &Label) -> bool {
        self.clients.is_empty() || self.clients.contains(client)
    }

    /// What keeps it from matching a login at one of its clients, groups aside.
    pub fn miss(&self, subject: &Subject<'_>) -> Option<Miss> {
        let knows = |user: &UserName| self.users.iter().any(|pattern| pattern.matches(user));
        if !self.users.is_empty() && !subject.user.is_some_and(knows) {
            return Some(Miss::User);
        }
        if !self.needs_signed() {
            return None;
        }
        if subject.integrity != Integrity::Signed {
            return Some(Miss::Unsigned);
        }
        if !self.stations.is_empty() {
            let Some(station) = subject.station.and_then(station_address) else {
                return Some(Miss::NoStation);
            };
            if !self.stations.iter().any(|network| network.contains(&station)) {
                return Some(Miss::Station);
            }
        }
        let lacks = |wanted: &Match| {
            let mut given = self.attributes.iter().filter(|other| other.id == wanted.id);
            !given.any(|given| has(subject.attributes, given.id, |value| *value == *given.value))
        };
        self.attributes.iter().position(lacks).map(Miss::Attribute)
    }

    /// What keeps it from matching a user who is in these groups.
    pub fn miss_groups<'a>(&self, mut groups: impl Iterator<Item = &'a GroupName>) -> Option<Miss> {
        let found = self.groups.is_empty() || groups.any(|group| self.groups.contains(group));
        (!found).then_some(Miss::Group)
    }

    /// Whether it matches every login that `other` matches, so that behind it `other` never counts.
    pub fn covers(&self, other: &Rule) -> bool {
        fn all<T>(mine: &[T], others: &[T], holds: impl Fn(&T, &T) -> bool) -> bool {
            let held = |other: &T| mine.iter().any(|mine| holds(mine, other));
            mine.is_empty() || (!others.is_empty() && others.iter().all(held))
        }
        // Of each attribute that this one names, the other must name values of which each would do here.
        let attributes = self.attributes.iter().all(|wanted| {
            let mut theirs = other.attributes.iter().filter(|match_| match_.id == wanted.id).peekable();
            theirs.peek().is_some()
                && theirs.all(|match_| {
                    self.attributes.iter().any(|mine| mine.id == match_.id && mine.value == match_.value)
                })
        });
        attributes
            && all(&self.clients, &other.clients, PartialEq::eq)
            && all(&self.users, &other.users, UserPattern::covers)
            && all(&self.groups, &other.groups, PartialEq::eq)
            && all(&self.stations, &other.stations, |mine, other| mine.contains(other))
    }
}

impl UserPattern {
    /// Whether it stands for this user.
    #[must_use]
    pub fn matches(&self, user: &UserName) -> bool {
        match self {
            UserPattern::Is(name) => name == user,
            UserPattern::Begins(part) => user.as_str().starts_with(part.as_str()),
            UserPattern::Ends(part) => user.as_str().ends_with(part.as_str()),
        }
    }

    fn covers(&self, other: &UserPattern) -> bool {
        match (self, other) {
            (_, UserPattern::Is(name)) => self.matches(name),
            (UserPattern::Begins(_), UserPattern::Begins(part))
            | (UserPattern::Ends(_), UserPattern::Ends(part)) => self.matches(part),
            _ => false,
        }
    }
}

impl fmt::Display for UserPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserPattern::Is(name) => write!(formatter, "{name}"),
            UserPattern::Begins(part) => write!(formatter, "{part}*"),
            UserPattern::Ends(part) => write!(formatter, "*{part}"),
        }
    }
}

/// The address that a Calling-Station-Id says, where it says one; an IPv4 address in IPv6 form is the IPv4 address.
pub fn station_address(value: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(value).ok()?;
    text.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The groups that an Accept's attribute names; several in one value are divided by semicolons.
pub fn groups_in(held: &AttributeList, id: AttributeId) -> Vec<GroupName> {
    let mut groups = Vec::new();
    let _ = any(held.plain_attributes(), id, |value| {
        let names = value.split(|octet| *octet == b';');
        groups.extend(names.filter_map(|name| GroupName::canonical(name).ok()));
        false
    });
    groups
}

fn has(attributes: Attributes<'_>, id: AttributeId, is: impl FnMut(&[u8]) -> bool) -> bool {
    any(attributes, id, is)
}

fn any<'a>(
    mut attributes: impl Iterator<Item = Attribute<'a>>,
    id: AttributeId,
    mut is: impl FnMut(&[u8]) -> bool,
) -> bool {
    match id {
        AttributeId::Standard(number) => {
            attributes.any(|attribute| attribute.number() == number && is(attribute.value()))
        }
        AttributeId::Vendor(vendor, number) => attributes
            .filter_map(|attribute| attribute.vendor())
            .filter(|within| within.vendor == vendor)
            .flat_map(|within| within.attributes)
            .any(|attribute| attribute.number() == number && is(attribute.value())),
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::{group, label, rule, subject, user};
    use super::*;

    #[test]
    fn each_condition_says_what_is_missing() {
        let alice = user("alice");
        let at = |station| subject(&alice, station);
        let wants = |id, value: &[u8]| Match { id, value: value.into(), text: "".into() };
        let station = Rule { stations: vec!["10.0.0.0/8".parse().unwrap()], ..rule("s") };
        assert_eq!(station.miss(&at("10.9.9.9")), None);
        assert_eq!(station.miss(&at("::ffff:10.9.9.9")), None);
        assert_eq!(station.miss(&at("11.0.0.1")), Some(Miss::Station));
        assert_eq!(station.miss(&at("desk 7")), Some(Miss::NoStation));
        assert_eq!(station.miss(&Subject { station: None, ..at("") }), Some(Miss::NoStation));
        let unsigned = Subject { integrity: Integrity::Unsigned, ..at("10.9.9.9") };
        assert_eq!(station.miss(&unsigned), Some(Miss::Unsigned));
        let plain = AttributeId::Standard(61);
        let vendor = AttributeId::Vendor(9, 1);
        let attribute =
            Rule { attributes: vec![wants(plain, &[0, 0, 0, 5]), wants(vendor, b"x")], ..rule("a") };
        assert_eq!(attribute.miss(&at("")), None);
        assert_eq!(attribute.miss(&unsigned), Some(Miss::Unsigned));
        let either = Rule { attributes: vec![wants(vendor, b"y"), wants(vendor, b"x")], ..rule("a") };
        assert_eq!(either.miss(&at("")), None);
        let both = Rule { attributes: vec![wants(vendor, b"x"), wants(plain, b"")], ..rule("a") };
        assert_eq!(both.miss(&at("")), Some(Miss::Attribute(1)));
        let named =
            Rule { users: vec![UserPattern::Begins(user("al")), UserPattern::Ends(user("b"))], ..rule("u") };
        assert_eq!(named.miss(&at("")), None);
        assert_eq!(named.miss(&Subject { user: None, ..at("") }), Some(Miss::User));
        assert_eq!(named.miss(&subject(&user("zoe"), "")), Some(Miss::User));
    }

    #[test]
    fn a_rule_covers_what_asks_for_more_of_the_same() {
        let narrow = || Rule {
            clients: vec![label("a")],
            users: vec![UserPattern::Begins(user("svc-x"))],
            stations: vec!["10.1.0.0/16".parse().unwrap()],
            ..rule("narrow")
        };
        let wide = || Rule {
            users: vec![UserPattern::Begins(user("svc-"))],
            stations: vec!["11.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()],
            ..rule("wide")
        };
        assert!(wide().covers(&narrow()) && !narrow().covers(&wide()));
        assert!(rule("everybody").covers(&narrow()) && !narrow().covers(&rule("everybody")));
        assert!(!Rule { groups: vec![group("g")], ..wide() }.covers(&narrow()));
        assert!(wide().covers(&Rule { groups: vec![group("g")], ..narrow() }));
        let two = vec![UserPattern::Begins(user("svc-x")), UserPattern::Is(user("alice"))];
        assert!(!wide().covers(&Rule { users: two, ..narrow() }));
    }

    #[test]
    fn groups_of_an_accept_are_divided_by_semicolons() {
        let mut held = AttributeList::new();
        held.push(25, b"OU=Staff; \x01;;VPN Users").unwrap();
        held.push(25, b"x").unwrap();
        held.push(11, b"no").unwrap();
        let found = groups_in(&held, AttributeId::Standard(25));
        assert_eq!(found, [group("ou=staff"), group("vpn users"), group("x")]);
    }
}
