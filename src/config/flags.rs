//! The command line's side: which flags there are, and their text into the tree.
//!
//! The flags are made from [`TOP`], so a key of the file and its flag cannot drift apart. The environment
//! is read when the configuration is, not by the argument parser, since flags, environment and file are then laid over
//! each other table by table.

use std::fmt;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};

use super::origin::{Fault, Findings, Origin, plain};
use super::schema::{self, Key, Kind, TOP, Top};
use super::split::{quote, split};
use super::surroundings::Surroundings;
use super::tree::{Form, Node, Scalar, Table};

/// The variable that names the configuration file.
const CONFIG_VARIABLE: &str = "RADMFA_CONFIG";

/// The flags of commands that run or check a server.
#[derive(Clone, Debug, Default)]
pub struct ServeFlags(pub(super) Given);

/// The flags of commands that open the store alone.
#[derive(Clone, Debug, Default)]
pub struct StoreFlags(pub(super) Given);

impl StoreFlags {
    /// The same for the whole configuration, for what commands do beside their work on the store.
    #[must_use]
    pub fn server(&self) -> ServeFlags {
        ServeFlags(self.0.clone())
    }
}

/// The flags of commands that speak to a running server.
#[derive(Clone, Debug, Default)]
pub struct ControlFlags(pub(super) Given);

/// What was given on the command line.
#[derive(Clone, Default)]
pub(super) struct Given {
    config: Option<PathBuf>,
    flags: Vec<(&'static Top, Vec<String>)>,
}

impl ServeFlags {
    /// Flags that name a configuration file and nothing else.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> ServeFlags {
        ServeFlags(Given { config: Some(path.into()), flags: Vec::new() })
    }

    /// The same, and `--name value`. Names that are no flag are ignored.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> ServeFlags {
        if let Some(top) = schema::top(name) {
            match self.0.flags.iter_mut().find(|(known, _)| known.key.name == name) {
                Some((_, values)) => values.push(value.into()),
                None => self.0.flags.push((top, vec![value.into()])),
            }
        }
        self
    }

    /// Takes out the values of the flag `name` that are a name alone, for commands in which they mean something else.
    pub fn take_names(&mut self, name: &str) -> Vec<String> {
        let mut names = Vec::new();
        for (_, values) in self.0.flags.iter_mut().filter(|(top, _)| top.key.name == name) {
            let (keyed, bare): (Vec<_>, Vec<_>) =
                std::mem::take(values).into_iter().partition(|value| value.contains(['=', ',']));
            *values = keyed;
            names.extend(bare);
        }
        names
    }

    /// What they say of the store, for commands that take a server's flags and open its store.
    #[must_use]
    pub fn store(&self) -> StoreFlags {
        StoreFlags(self.0.clone())
    }
}

impl fmt::Debug for Given {
    /// Without the values, which may hold secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.flags.iter().map(|(top, _)| top.key.name);
        formatter.debug_list().entries(&self.config).entries(names).finish()
    }
}

impl Given {
    /// The configuration file, and who named it.
    pub(super) fn config(&self, around: &dyn Surroundings) -> Option<(PathBuf, Origin)> {
        if let Some(path) = &self.config {
            let origin =
                Origin::Flag { name: "config", nth: 0, of: 1, text: path.display().to_string().into() };
            return Some((path.clone(), origin));
        }
        around.variable(CONFIG_VARIABLE).map(|path| (path.into(), Origin::Environment(CONFIG_VARIABLE)))
    }

    /// The flags as a tree.
    pub(super) fn tree(&self, findings: &mut Findings) -> Table {
        let mut tree = Table::empty();
        for (top, values) in &self.flags {
            for (nth, text) in values.iter().enumerate() {
                let origin = |shown: String| Origin::Flag {
                    name: top.key.name,
                    nth,
                    of: values.len(),
                    text: shown.into(),
                };
                add(&mut tree, top, text, &origin, findings);
            }
        }
        tree
    }
}

/// The environment as a tree. Only keys that are no tables have a variable.
pub(super) fn environment(around: &dyn Surroundings, findings: &mut Findings) -> Table {
    let mut tree = Table::empty();
    for top in TOP.iter().filter(|top| !top.variable.is_empty()) {
        if let Some(text) = around.variable(top.variable) {
            add(&mut tree, top, &text, &|_| Origin::Environment(top.variable), findings);
        }
    }
    tree
}

/// Adds one flag's text to the tree, with an origin made from what of it may be shown.
fn add(
    tree: &mut Table,
    top: &'static Top,
    text: &str,
    origin: &dyn Fn(String) -> Origin,
    findings: &mut Findings,
) {
    let key = &top.key;
    let keyed = match key.kind {
        Kind::One | Kind::Secret => {
            let shown = if key.kind == Kind::Secret { mask(text) } else { plain(text) };
            let origin = origin(shown);
            let scalar = Scalar { text: text.to_owned().into(), form: Form::Flag, origin: origin.clone() };
            tree.add(key.name, &origin, Node::Scalar(scalar));
            return;
        }
        Kind::List => false,
        Kind::Table | Kind::Tables => true,
    };
    let pieces = match split(text, keyed) {
        Ok(pieces) => pieces,
        Err(fault) => {
            // Which part is a secret cannot be told, so nothing is shown.
            let hint = "a value with a comma goes between quotes, and the shell takes one pair of quotes for itself: \
                        --client 'name=nas,prompt=\"Code, please:\"'";
            findings.faults.push(Fault::new(&origin(String::new()), key.name, fault.to_string(), hint));
            return;
        }
    };
    if !keyed {
        let origin = origin(plain(text));
        for piece in pieces {
            let scalar = Scalar { text: piece.value.into(), form: Form::Flag, origin: origin.clone() };
            match tree.entries.iter_mut().find(|entry| entry.key == key.name) {
                Some(_) => tree.add(key.name, &origin, Node::Scalar(scalar)),
                None => tree.add(key.name, &origin, Node::List(vec![Node::Scalar(scalar)])),
            }
        }
        return;
    }
    let first = top.keys.first().and_then(|keys| keys.first()).map_or("", |key| key.name);
    let shown: Vec<String> = pieces
        .iter()
        .enumerate()
        .map(|(index, piece)| match &piece.key {
            Some(name) => match schema::find(top.keys, name) {
                Some(Key { kind: Kind::Secret, .. }) => format!("{name}={}", mask(&piece.value)),
                Some(_) => format!("{name}={}", plain(&quote(&piece.value))),
                None => format!("{name}=…"),
            },
            None if index == 0 => plain(&quote(&piece.value)),
            None => "…".to_owned(),
        })
        .collect();
    let origin = origin(shown.join(","));
    let mut table = Table { origin: origin.clone(), entries: Vec::new() };
    for (index, piece) in pieces.into_iter().enumerate() {
        let name = match piece.key {
            Some(name) => name,
            None if index == 0 => first.to_owned(),
            None => {
                findings.faults.push(Fault::new(
                    &origin,
                    key.name,
                    format!("part {} has no key", index + 1),
                    "write key=value; for a list give the key again, as in address=10.0.0.1,address=10.0.0.2",
                ));
                continue;
            }
        };
        let scalar = Scalar { text: piece.value.into(), form: Form::Flag, origin: origin.clone() };
        table.add(&name, &origin, Node::Scalar(scalar));
    }
    match (key.kind, tree.entries.iter_mut().find(|entry| entry.key == key.name)) {
        (Kind::Table, Some(entry)) => {
            if let Node::Table(known) = &mut entry.node {
                for entry in table.entries {
                    known.add(&entry.key, &entry.origin, entry.node);
                }
            }
        }
        (Kind::Table, None) | (_, Some(_)) => tree.add(key.name, &origin, Node::Table(table)),
        (_, None) => tree.add(key.name, &origin, Node::List(vec![Node::Table(table)])),
    }
}

/// A secret's notation where it only says where the secret is kept.
fn mask(text: &str) -> String {
    if text.starts_with("file:") || text.starts_with("env:") { plain(text) } else { "…".to_owned() }
}

fn augment(command: Command, tops: impl Iterator<Item = &'static Top>) -> Command {
    let config = Arg::new("config")
        .long("config")
        .short('c')
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .value_parser(value_parser!(PathBuf))
        .help(format!("Read this TOML file; flags and environment win over it [env: {CONFIG_VARIABLE}]"));
    tops.fold(command.arg(config), |command, top| command.arg(argument(top)))
}

fn argument(top: &'static Top) -> Arg {
    let Key { name, kind, takes, help } = &top.key;
    let help = match top.variable {
        "" => (*help).to_owned(),
        variable => format!("{help} [env: {variable}]"),
    };
    let action = if matches!(kind, Kind::One | Kind::Secret) { ArgAction::Set } else { ArgAction::Append };
    let argument = Arg::new(*name).long(*name).value_name(*takes).action(action).allow_hyphen_values(false);
    let argument = if *name == "dictionary" { argument.value_hint(ValueHint::FilePath) } else { argument };
    if top.keys.is_empty() {
        return argument.help(help);
    }
    let first = top.keys.first().and_then(|keys| keys.first()).map_or("", |key| key.name);
    let long = format!(
        "{help}\n\nkey=value pairs with commas between; a value that holds a comma goes between quotes, a key given \
         twice is a list, and a value alone at the beginning is the {first}. In the file: {}. The keys:\n{}",
        if *kind == Kind::Tables { format!("[[{name}]]") } else { format!("[{name}]") },
        schema::describe(top.keys)
    );
    argument.help(help).long_help(long)
}

fn collect(matches: &ArgMatches, tops: impl Iterator<Item = &'static Top>) -> Given {
    let flags = tops.filter_map(|top| {
        let values: Vec<String> = matches.get_many::<String>(top.key.name)?.cloned().collect();
        Some((top, values))
    });
    Given { config: matches.get_one::<PathBuf>("config").cloned(), flags: flags.collect() }
}

fn store_keys() -> impl Iterator<Item = &'static Top> {
    TOP.iter().filter(|top| matches!(top.key.name, "store" | "seal-key"))
}

fn control_keys() -> impl Iterator<Item = &'static Top> {
    TOP.iter().filter(|top| matches!(top.key.name, "store" | "control"))
}

macro_rules! clap_arguments {
    ($flags:ident, $keys:expr) => {
        impl clap::Args for $flags {
            fn augment_args(command: Command) -> Command {
                augment(command, $keys)
            }

            fn augment_args_for_update(command: Command) -> Command {
                augment(command, $keys)
            }
        }

        impl clap::FromArgMatches for $flags {
            fn from_arg_matches(matches: &ArgMatches) -> Result<$flags, clap::Error> {
                Ok($flags(collect(matches, $keys)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                self.0 = collect(matches, $keys);
                Ok(())
            }
        }
    };
}

clap_arguments!(ServeFlags, TOP.iter());
clap_arguments!(StoreFlags, store_keys());
clap_arguments!(ControlFlags, control_keys());
