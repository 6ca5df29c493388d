//! A table read key by key: each value parsed, each mistake cited, each setting recorded with its origin.
//!
//! The one decoder of the file's tables and the flags' alike. Invariant: a value that is missing or wrong leaves a fault
//! behind wherever `None` is answered for a key that has to be there, so a configuration is never refused without a word.

use super::origin::{Fault, Findings, Origin, Warning};
use super::schema::{self, Key, Kind};
use super::secret::SecretSource;
use super::show::{Section, Setting};
use super::surroundings::Surroundings;
use super::tree::{Entry, Node, Scalar, Table};
use super::value::{self, Parsed, Show};
use crate::base::secret::Secret;

/// A shared secret shorter than this can be guessed from one recorded packet (RFC 2865 §3 asks for 16 and more).
const SECRET_SHORT: usize = 12;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

/// Reads one table.
pub(super) struct Reader<'a> {
    table: &'a Table,
    name: &'static str,
    keys: &'static [&'static [Key]],
    pub(super) around: &'a dyn Surroundings,
    pub(super) findings: &'a mut Findings,
    section: Section,
}

impl<'a> Reader<'a> {
    /// A reader of `table`, which is the one (or one of those) called `name`; empty for the whole configuration. Reports
    /// unknown keys at once.
    pub(super) fn new(
        table: &'a Table,
        name: &'static str,
        around: &'a dyn Surroundings,
        findings: &'a mut Findings,
    ) -> Reader<'a> {
        let top = schema::top(name);
        let keys = top.map_or(&[][..], |top| top.keys);
        let repeated = top.is_some_and(|top| top.key.kind == Kind::Tables);
        let reader = Reader { table, name, keys, around, findings, section: Section::new(name, repeated) };
        for entry in &table.entries {
            let known = if name.is_empty() {
                schema::top(&entry.key).is_some()
            } else {
                schema::find(keys, &entry.key).is_some()
            };
            if !known {
                let hint = schema::hint(&entry.key, name);
                let fault = Fault::new(&entry.origin, reader.path(&entry.key), "unknown key", hint);
                reader.findings.faults.push(fault.masked());
            }
        }
        reader
    }

    /// The settings as they were recorded.
    pub(super) fn finish(self) -> Section {
        self.section
    }

    /// The one value of `key`, if it is there and right.
    pub(super) fn find<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Scalar) -> Parsed<T>,
    ) -> Option<Found<T>> {
        let table = self.table;
        let entry = table.entry(key)?;
        match &entry.node {
            Node::Scalar(scalar) => self.parse(key, scalar, &parse),
            Node::List(items) => {
                let what = match items.len() {
                    0 => "takes one value, not none".to_owned(),
                    count => format!("takes one value, not {count}"),
                };
                self.fault(&entry.origin, key, what, "give it once");
                None
            }
            Node::Table(_) => {
                self.fault(&entry.origin, key, "takes a value, not a table", "");
                None
            }
        }
    }

    /// The values of `key`; `None` where it is not there.
    pub(super) fn find_list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Scalar) -> Parsed<T>,
    ) -> Option<Vec<Found<T>>> {
        let table = self.table;
        let entry = table.entry(key)?;
        let items = match &entry.node {
            Node::List(items) => items.as_slice(),
            node => std::slice::from_ref(node),
        };
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Node::Scalar(scalar) => found.extend(self.parse(key, scalar, &parse)),
                node => {
                    let origin = node.origin(&entry.origin).clone();
                    self.fault(&origin, key, "takes values, not lists or tables in a list", "");
                }
            }
        }
        if items.is_empty() {
            self.fault(&entry.origin, key, "takes at least one value", "");
        }
        Some(found)
    }

    /// The one value of `key`, else `default`; recorded.
    pub(super) fn or<T: Show>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Scalar) -> Parsed<T>,
        default: T,
    ) -> T {
        let value = self.find(key, parse).map_or(default, |found| found.value);
        self.record(key, &value, &Origin::Default);
        value
    }

    /// The one value of `key`, recorded; a fault where it is missing.
    pub(super) fn required<T: Show>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Scalar) -> Parsed<T>,
    ) -> Option<Found<T>> {
        self.demand(key);
        let found = self.find(key, parse)?;
        self.record(key, &found.value, &Origin::Default);
        Some(found)
    }

    /// A fault where `key` is not there at all, unless a misspelling of it is, which has been reported.
    pub(super) fn demand(&mut self, key: &'static str) {
        let misspelt = |entry: &Entry| {
            schema::find(self.keys, &entry.key).is_none()
                && schema::nearest_key(&entry.key, self.keys) == Some(key)
        };
        if self.table.entry(key).is_none() && !self.table.entries.iter().any(misspelt) {
            let help = schema::find(self.keys, key).map_or("", |known| known.help);
            self.fault(self.origin(), key, "missing", format!("{key} is {help}"));
        }
    }

    /// The secret of `key`, fetched from where it is kept, with its warnings; recorded redacted.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Found<Secret>> {
        let found = self.find(key, value::secret)?;
        self.record(key, &found.value, &Origin::Default);
        let secret = self.fetch(key, &found)?;
        if secret.len() <= SECRET_SHORT {
            self.warn(
                &found.origin,
                key,
                format!("the secret has {} octets; one that short can be guessed", secret.len()),
                "use 16 random characters or more, such as `openssl rand -base64 24` makes",
            );
        }
        Some(Found { value: secret, origin: found.origin })
    }

    /// Fetches a secret from where it is kept, and warns where others can read it.
    pub(super) fn fetch(&mut self, key: &'static str, found: &Found<SecretSource>) -> Option<Secret> {
        let fetched = match found.value.read(self.around) {
            Ok(fetched) => fetched,
            Err(fault) => {
                self.fault(&found.origin, key, fault.what, fault.hint);
                return None;
            }
        };
        match (&found.value, &found.origin) {
            (SecretSource::File(path), origin) => {
                if let Some(mode) = fetched.exposed {
                    let what = format!("{} may be read by others (mode {mode:04o})", path.display());
                    self.warn(origin, key, what, format!("chmod 600 {}", path.display()));
                }
            }
            (SecretSource::Literal(_), origin @ Origin::Flag { .. }) => self.warn(
                origin,
                key,
                "a secret on the command line shows in ps",
                "keep it in a file: file:PATH, or in the environment: env:NAME",
            ),
            (SecretSource::Literal(_), origin @ Origin::File { file, .. }) if file.exposed => {
                let what = format!("{} holds secrets and may be read by others", file.path.display());
                // Once is enough for a file.
                if !self.findings.warnings.iter().any(|warning| warning.what == what) {
                    self.warn(origin, key, what, format!("chmod 600 {}", file.path.display()));
                }
            }
            (SecretSource::Literal(_) | SecretSource::Environment(_), _) => {}
        }
        Some(fetched.secret)
    }

    /// Records what holds for `key`: its origin is where the key was written, else `otherwise`.
    pub(super) fn record(&mut self, key: &'static str, value: &(impl Show + ?Sized), otherwise: &Origin) {
        let origin = self.origin_of(key).unwrap_or(otherwise).clone();
        self.section.settings.push(Setting { key, value: value.shown(), origin });
    }

    /// Records several values of `key`, where there are any.
    pub(super) fn record_list(&mut self, key: &'static str, values: impl Iterator<Item = String>) {
        let values: Vec<String> = values.collect();
        if !values.is_empty() {
            self.record(key, &values, &Origin::Default);
        }
    }

    /// Where `key` was written.
    pub(super) fn origin_of(&self, key: &str) -> Option<&'a Origin> {
        let Entry { origin, node, .. } = self.table.entry(key)?;
        Some(node.origin(origin))
    }

    /// Where the table begins.
    pub(super) fn origin(&self) -> &'a Origin {
        &self.table.origin
    }

    pub(super) fn fault(
        &mut self,
        origin: &Origin,
        key: &str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let fault = Fault::new(origin, self.path(key), what, hint);
        self.findings.faults.push(fault);
    }

    pub(super) fn warn(
        &mut self,
        origin: &Origin,
        key: &str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let warning = Warning::new(origin, self.path(key), what, hint);
        self.findings.warnings.push(warning);
    }

    fn parse<T>(
        &mut self,
        key: &'static str,
        scalar: &Scalar,
        parse: impl Fn(&Scalar) -> Parsed<T>,
    ) -> Option<Found<T>> {
        match parse(scalar) {
            Ok(value) => Some(Found { value, origin: scalar.origin.clone() }),
            Err(bad) => {
                self.fault(&scalar.origin, key, bad.what, bad.hint);
                None
            }
        }
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}
