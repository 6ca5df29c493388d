//! Rules and logins for tests.

use super::{Rule, Subject};
use crate::base::name::{GroupName, Label, UserName};
use crate::engine::policy::Overrides;
use crate::wire::{Attributes, Integrity};

pub(super) fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

pub(super) fn group(text: &str) -> GroupName {
    GroupName::canonical(text.as_bytes()).unwrap()
}

pub(super) fn user(text: &str) -> UserName {
    UserName::canonical(text.as_bytes()).unwrap()
}

pub(super) fn rule(name: &str) -> Rule {
    Rule {
        name: label(name),
        clients: Vec::new(),
        users: Vec::new(),
        groups: Vec::new(),
        stations: Vec::new(),
        attributes: Vec::new(),
        overrides: Overrides::default(),
        exempt: false,
    }
}

pub(super) fn subject<'a>(name: &'a UserName, station: &'a str) -> Subject<'a> {
    Subject {
        user: Some(name),
        station: Some(station.as_bytes()),
        attributes: Attributes::parse(&[61, 6, 0, 0, 0, 5, 26, 9, 0, 0, 0, 9, 1, 3, b'x']).unwrap(),
        integrity: Integrity::Signed,
    }
}
