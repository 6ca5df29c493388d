//! The one tree that TOML and flags both become: keys, values, and where each was written.
//!
//! [`file`](super::file) and [`flags`](super::flags) make trees, [`Table::overlay`] lays one over the other, and the
//! decoder reads the result without knowing where it came from.

use zeroize::Zeroizing;

use super::origin::{Fault, Findings, Origin};
use super::schema::{self, Kind};

/// A table: the whole configuration, or one `[[client]]`.
#[derive(Clone)]
pub(super) struct Table {
    /// Where it begins.
    pub(super) origin: Origin,
    /// Its entries as they were written; no key twice.
    pub(super) entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands.
    pub(super) origin: Origin,
    pub(super) node: Node,
}

/// A value.
#[derive(Clone)]
pub(super) enum Node {
    Scalar(Scalar),
    List(Vec<Node>),
    Table(Table),
}

/// A value that is neither a list nor a table.
#[derive(Clone)]
pub(super) struct Scalar {
    /// Its text, quotes and escapes undone; wiped when dropped, since it may be a secret.
    pub(super) text: Zeroizing<String>,
    pub(super) form: Form,
    pub(super) origin: Origin,
}

/// How a scalar was written. A flag's text may stand for any type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Flag,
    Text,
    Integer,
    Boolean,
    Float,
    Moment,
}

impl Table {
    /// A table without entries.
    pub(super) fn empty() -> Table {
        Table { origin: Origin::Default, entries: Vec::new() }
    }

    /// The entry called `key`.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The scalar called `key`, where it is one.
    pub(super) fn scalar(&self, key: &str) -> Option<&Scalar> {
        match &self.entry(key)?.node {
            Node::Scalar(scalar) => Some(scalar),
            Node::List(_) | Node::Table(_) => None,
        }
    }

    /// The tables under `key`, however few.
    pub(super) fn tables(&self, key: &str) -> impl Iterator<Item = &Table> {
        let items = match self.entry(key).map(|entry| &entry.node) {
            Some(Node::List(items)) => items.as_slice(),
            _ => &[],
        };
        items.iter().filter_map(|node| match node {
            Node::Table(table) => Some(table),
            Node::Scalar(_) | Node::List(_) => None,
        })
    }

    /// Adds a value; a key that is there already becomes a list.
    pub(super) fn add(&mut self, key: &str, origin: &Origin, node: Node) {
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(Entry { node: Node::List(items), .. }) => items.push(node),
            Some(entry) => {
                let first = std::mem::replace(&mut entry.node, Node::List(Vec::new()));
                entry.node = Node::List(vec![first, node]);
            }
            None => self.entries.push(Entry { key: key.to_owned(), origin: origin.clone(), node }),
        }
    }

    /// Lays `over` onto this whole configuration. A setting of `over` wins; single tables are merged key by key, and so are
    /// repeatable tables that have the same `name`; other repeatable tables are added.
    pub(super) fn overlay(&mut self, over: Table, findings: &mut Findings) {
        for entry in over.entries {
            let kind = schema::top(&entry.key).map(|top| top.key.kind);
            let Some(under) = self.entries.iter_mut().find(|under| under.key == entry.key) else {
                self.entries.push(entry);
                continue;
            };
            match (kind, &mut under.node, entry.node) {
                (Some(Kind::Tables), Node::List(tables), Node::List(more)) => {
                    let known = tables.len();
                    for node in more {
                        add_named(tables, known, node, findings, &entry.key);
                    }
                }
                (Some(Kind::Table), Node::Table(table), Node::Table(over)) => table.replace_entries(over),
                (_, target, node) => {
                    *target = node;
                    under.origin = entry.origin;
                }
            }
        }
    }

    fn replace_entries(&mut self, over: Table) {
        for entry in over.entries {
            match self.entries.iter_mut().find(|under| under.key == entry.key) {
                Some(under) => *under = entry,
                None => self.entries.push(entry),
            }
        }
    }

    fn name(&self) -> Option<&str> {
        self.scalar("name").map(|scalar| scalar.text.as_str())
    }

    fn name_origin(&self) -> Option<&Origin> {
        self.scalar("name").map(|scalar| &scalar.origin)
    }
}

/// Merges `node` with the table of its name among the first `known`, each of which takes one; else adds it.
fn add_named(tables: &mut Vec<Node>, known: usize, node: Node, findings: &mut Findings, key: &str) {
    let Node::Table(over) = node else {
        tables.push(node);
        return;
    };
    let named = tables.iter_mut().take(known).find_map(|node| match node {
        Node::Table(table) if table.name().is_some() && table.name() == over.name() => Some(table),
        _ => None,
    });
    match named {
        // Two of one layer that override the same table: the later one would win in silence.
        Some(table) if table.name_origin().is_some_and(|origin| origin.same_layer(&over.origin)) => {
            findings.faults.push(Fault::new(
                &over.origin,
                format!("{key}.name"),
                format!(
                    "\"{}\" is named twice, first at {}",
                    over.name().unwrap_or_default(),
                    table.name_origin().unwrap_or(&table.origin)
                ),
                "give each its own name, or put all keys into one",
            ));
        }
        Some(table) => table.replace_entries(over),
        None => tables.push(Node::Table(over)),
    }
}

impl Node {
    /// Where the value stands; `entry` for lists, which have no place of their own.
    pub(super) fn origin<'a>(&'a self, entry: &'a Origin) -> &'a Origin {
        match self {
            Node::Scalar(scalar) => &scalar.origin,
            Node::Table(table) => &table.origin,
            Node::List(_) => entry,
        }
    }
}
