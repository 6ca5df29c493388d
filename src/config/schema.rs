//! Every key that exists: one list for the file, the flags, the help and the hints.
//!
//! A table is one file (`client.rs`, `primary.rs`, …) that lists its keys beside their decoder; this module strings the
//! lists together. A new table is one more file and one more line in [`TOP`].

use std::fmt::Write as _;

use super::{
    admin, asking, audit, channel, client, control, limits, lockout, metrics, peer, policy, portal, primary,
    rule, sending, top,
};

/// A key of a table.
#[derive(Debug)]
pub struct Key {
    /// Its name, in kebab-case.
    pub name: &'static str,
    /// What kind of value it takes.
    pub kind: Kind,
    /// A word for the value, such as `ADDRESS`.
    pub takes: &'static str,
    /// What it is for, its default and its bounds, in one sentence without a full stop.
    pub help: &'static str,
}

/// What kind of value a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One value.
    One,
    /// One secret, never shown.
    Secret,
    /// One or more values.
    List,
    /// A table, such as `[lockout]`.
    Table,
    /// Any number of tables, such as `[[client]]`.
    Tables,
}

/// A key of the whole configuration: also a flag, and where it is no table a variable of the environment.
#[derive(Debug)]
pub struct Top {
    /// The key.
    pub key: Key,
    /// The variable; empty where there is none.
    pub variable: &'static str,
    /// A table's keys; the first one takes a bare value.
    pub keys: &'static [&'static [Key]],
}

/// The keys of the whole configuration in the order in which help and `check` show them.
pub static TOP: &[Top] = &[
    top::SERVER_NAME,
    top::LISTEN,
    top::STORE,
    top::SEAL_KEY,
    table("client", Kind::Tables, "A gateway (NAS) that may ask; repeatable", &[client::KEYS, policy::KEYS]),
    table("primary", Kind::Tables, "Who checks the password; repeatable", &[primary::KEYS]),
    table(
        "rule",
        Kind::Tables,
        "What holds for some logins alone; the first that matches counts; repeatable",
        &[rule::KEYS, policy::KEYS],
    ),
    table("channel", Kind::Tables, "A way out to users' phones and mailboxes; repeatable", &[channel::KEYS]),
    table("sms", Kind::Table, "How codes by text message behave", &[sending::SMS]),
    table("voice", Kind::Table, "How codes by telephone call behave", &[sending::VOICE]),
    table("email", Kind::Table, "How codes by mail behave", &[sending::EMAIL]),
    table("push", Kind::Table, "How pushes behave", &[asking::PUSH]),
    table("portal", Kind::Table, "Where answers from phones come in over HTTP", &[portal::KEYS]),
    table("text", Kind::Tables, "What is sent or said in one language; repeatable", &[sending::TEXT]),
    table(
        "peer",
        Kind::Tables,
        "Another radmfa that shares clients with this one; repeatable",
        &[peer::KEYS],
    ),
    table("lockout", Kind::Table, "When a user has to wait after wrong codes", &[lockout::KEYS]),
    table("audit", Kind::Table, "What the audit trail keeps, and where it is sent", &[audit::KEYS]),
    table("admin", Kind::Table, "Where the admins' pages and the interface for programs are", &[admin::KEYS]),
    table(
        "metrics",
        Kind::Table,
        "Where metrics and the server's health are served over HTTP",
        &[metrics::KEYS],
    ),
    table("limits", Kind::Table, "Bounds of the tables in memory", &[limits::KEYS]),
    table("control", Kind::Table, "How commands reach a running server", &[control::KEYS]),
    top::DICTIONARY,
    top::AFFINITY,
    top::LANGUAGE,
    top::WORKERS,
    top::LOG_FORMAT,
    top::LOG_LEVEL,
];

const fn table(name: &'static str, kind: Kind, help: &'static str, keys: &'static [&'static [Key]]) -> Top {
    Top { key: Key { name, kind, takes: "KEY=VALUE,…", help }, variable: "", keys }
}

/// A key that takes one value, or several, at the top of the file.
pub(super) const fn plain(
    name: &'static str,
    variable: &'static str,
    kind: Kind,
    takes: &'static str,
    help: &'static str,
) -> Top {
    Top { key: Key { name, kind, takes, help }, variable, keys: &[] }
}

/// A key of a table.
pub(super) const fn key(name: &'static str, kind: Kind, takes: &'static str, help: &'static str) -> Key {
    Key { name, kind, takes, help }
}

/// The key of the whole configuration that is called `name`.
pub(super) fn top(name: &str) -> Option<&'static Top> {
    TOP.iter().find(|top| top.key.name == name)
}

/// The key called `name` among `keys`.
pub(super) fn find(keys: &[&'static [Key]], name: &str) -> Option<&'static Key> {
    keys.iter().flat_map(|keys| keys.iter()).find(|key| key.name == name)
}

/// What an admin may have meant by the unknown `key` of the table `within` (empty: the whole configuration).
pub(super) fn hint(key: &str, within: &str) -> String {
    let here: Vec<&str> = match top(within) {
        Some(table) => names(table.keys).collect(),
        None => TOP.iter().map(|top| top.key.name).collect(),
    };
    if let Some(near) = nearest(key, here.iter().copied()) {
        return format!("did you mean \"{near}\"?");
    }
    if !within.is_empty() && top(key).is_some() {
        return format!("\"{key}\" belongs at the top, above the first table");
    }
    let elsewhere = TOP.iter().find(|top| top.key.name != within && find(top.keys, key).is_some());
    match elsewhere {
        Some(Top { key: Key { name, kind: Kind::Tables, .. }, .. }) => {
            format!("\"{key}\" belongs to [[{name}]]")
        }
        Some(Top { key: Key { name, .. }, .. }) => format!("\"{key}\" belongs to [{name}]"),
        None => format!("the keys here are {}", here.join(", ")),
    }
}

/// The one of `known` that `written` is a misspelling or the beginning of, if any is near enough.
pub(super) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase().replace('_', "-");
    let measured = known.map(|name| {
        let begins = written.len() >= 3 && name.starts_with(&written);
        (if begins { 1 } else { strsim::damerau_levenshtein(&written, name) }, name)
    });
    let (distance, near) = measured.min_by_key(|(distance, _)| *distance)?;
    (distance <= near.len().div_ceil(3)).then_some(near)
}

/// The one of `keys` that `written` is a misspelling of.
pub(super) fn nearest_key(written: &str, keys: &[&'static [Key]]) -> Option<&'static str> {
    nearest(written, names(keys))
}

fn names(keys: &[&'static [Key]]) -> impl Iterator<Item = &'static str> {
    keys.iter().flat_map(|keys| keys.iter()).map(|key| key.name)
}

/// The keys of a table as help shows them, one a line.
pub(super) fn describe(keys: &[&'static [Key]]) -> String {
    let width = keys.iter().flat_map(|keys| keys.iter()).map(|key| key.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for key in keys.iter().flat_map(|keys| keys.iter()) {
        let _infallible = write!(text, "\n  {:width$}  {}", key.name, key.help);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_recognised_and_a_stranger_is_not() {
        assert_eq!(hint("adress", "client"), "did you mean \"address\"?");
        assert_eq!(hint("dead_time", "primary"), "did you mean \"dead-time\"?");
        assert_eq!(hint("clients", ""), "did you mean \"client\"?");
        assert_eq!(hint("patience", "primary"), "\"patience\" belongs to [[client]]");
        assert_eq!(hint("listen", "client"), "\"listen\" belongs at the top, above the first table");
        assert_eq!(
            hint("zzzzzz", "lockout"),
            "the keys here are free, wait, wait-max, limit, alarm, spray-users, spray-window"
        );
    }

    #[test]
    fn names_are_kebab_case_and_stand_once_in_their_table() {
        let tables = TOP.iter().map(|top| top.keys.iter().flat_map(|keys| keys.iter()).collect::<Vec<_>>());
        for keys in tables.chain([TOP.iter().map(|top| &top.key).collect()]) {
            for key in &keys {
                assert!(
                    key.name.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-'),
                    "{}",
                    key.name
                );
                assert_eq!(keys.iter().filter(|other| other.name == key.name).count(), 1, "{}", key.name);
            }
        }
    }
}
