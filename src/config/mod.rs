//! Configuration: file, environment and flags become the settings of every module.
//!
//! The only module that knows TOML and flags. One language has two notations: a table of the file is a flag that takes the
//! same keys.
//!
//! ```text
//! radmfa.toml ─ file  ─┐
//! RADMFA_…    ─ flags ─┼─ tree ─ overlay ─ top, client, primary, … ─ Effective (and warnings), or every error
//! --client …  ─ flags ─┘
//! ```
//! A flag wins over the environment, which wins over the file, which wins over the default. Tables of flags are added to
//! those of the file; one that has the same `name` overrides it key by key. Relative paths in a file start from the file's
//! directory, those of flags and the environment from the working directory.
//!
//! Invariants: a configuration is taken whole or not at all; everything that is wrong with it is said at once, each with
//! the place where it was written; no secret is shown.

mod admin;
mod asked;
mod asking;
mod audit;
mod channel;
mod client;
mod control;
mod delivery;
mod file;
pub mod flags;
mod front;
mod limits;
mod listener;
mod lockout;
mod metrics;
mod origin;
mod peer;
mod policy;
mod portal;
mod primary;
mod reader;
mod rule;
mod said;
pub mod schema;
mod secret;
mod sending;
mod show;
mod split;
mod surroundings;
mod top;
mod tree;
pub(crate) mod value;
mod whole;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::name::Label;
use crate::engine::policy::{By, Lockout};
use crate::engine::rule::{GroupAttributes, Match, Rule};
use crate::{delivery as channels, primary as first_factor, server};
use flags::{ControlFlags, Given, ServeFlags, StoreFlags};
use origin::Findings;
use tree::Table;

pub use origin::{ConfigErrors, Fault, Notice, Origin, SourceFile, Warning};
pub use said::Said;
pub use secret::{Fetched, SecretFault, SecretSource};
pub use show::{Section, Setting};
pub use split::{Piece, SplitFault, quote, split};
pub use surroundings::{Machine, Surroundings};
pub use value::Shown;
pub(crate) use value::{parse_span as span, show_span};

/// Everything that `radmfa serve` and `radmfa check` need.
#[derive(Clone, Debug)]
pub struct Effective {
    /// What the server is told.
    pub server: server::settings::Settings,
    /// Who checks passwords; at least one.
    pub primaries: Vec<first_factor::settings::Settings>,
    /// What is sent to users, and how.
    pub delivery: channels::settings::Settings,
    /// Where answers from phones come in; `None` for nowhere.
    pub portal: Option<crate::portal::Settings>,
    /// Where the admins' pages are; `None` for nowhere.
    pub admin: Option<crate::portal::admin::Settings>,
    /// Where metrics are served; `None` for nowhere.
    pub metrics: Option<crate::portal::metrics::Settings>,
    /// `sqlite:PATH` or `memory:`.
    pub store: String,
    /// Where the sealing key is kept; `None`: beside the store.
    pub seal_key: Option<SecretSource>,
    /// What holds for some logins alone, in order.
    pub rules: Vec<Arc<Rule>>,
    /// By which attribute of its Accept a primary names groups.
    pub group_attributes: GroupAttributes,
    /// Dictionaries beside those built in; each could be opened.
    pub dictionaries: Vec<PathBuf>,
    /// What becomes of the trail.
    pub audit: server::auditor::Audit,
    /// The arithmetic of failures, the same in every client's policy.
    pub lockout: Lockout,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_level: LogLevel,
    sections: Vec<Section>,
}

/// What commands need that open the store alone.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// `sqlite:PATH` or `memory:`.
    pub store: String,
    /// Where the sealing key is kept; `None`: beside the store.
    pub seal_key: Option<SecretSource>,
    /// Which personal fields rows of the trail keep.
    pub recording: crate::store::packed::Recording,
    /// What is said of those who log in.
    pub people: server::people::People,
    /// How the portal is reached, where the configuration says so.
    pub public_url: Option<Arc<str>>,
}

/// `log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// `log-level`: this and everything graver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// What keeps the server from working.
    Error,
    /// What an admin should look at.
    Warn,
    /// Each login's outcome.
    #[default]
    Info,
    /// Each packet.
    Debug,
    /// Everything.
    Trace,
}

/// Reads the whole configuration. May wait for name servers, since `[[primary]]` servers may be host names. To reload, call
/// it again with the same flags, then ask [`refuses_reload`].
pub fn load(
    flags: &ServeFlags,
    around: &dyn Surroundings,
) -> Result<(Effective, Vec<Warning>), ConfigErrors> {
    let mut findings = Findings::default();
    let effective =
        read(&flags.0, around, &mut findings).and_then(|table| whole::decode(&table, around, &mut findings));
    findings.settle(effective)
}

/// Reads what says where the store is; other keys of a file are not looked at.
pub fn load_store(
    flags: &StoreFlags,
    around: &dyn Surroundings,
) -> Result<(StoreSettings, Vec<Warning>), ConfigErrors> {
    let mut findings = Findings::default();
    let settings = read(&flags.0, around, &mut findings)
        .and_then(|table| whole::decode_store(&table, around, &mut findings));
    findings.settle(settings)
}

/// Reads where the control socket of the server is, `None` for none; other keys of a file are not looked at.
pub fn load_control(
    flags: &ControlFlags,
    around: &dyn Surroundings,
) -> Result<(Option<PathBuf>, Vec<Warning>), ConfigErrors> {
    let mut findings = Findings::default();
    let path = read(&flags.0, around, &mut findings)
        .and_then(|table| whole::decode_control(&table, around, &mut findings));
    findings.settle(path).map(|(path, warnings)| (path.0, warnings))
}

/// Why a running server cannot go over from `old` to `new`, if it cannot: sockets, store and name are chosen at start.
#[must_use]
pub fn refuses_reload(old: &Effective, new: &Effective) -> Option<Fault> {
    let is_shared = |effective: &Effective| effective.server.affinity == server::settings::Affinity::Shared;
    let changed = if old.server.listen != new.server.listen {
        "listen"
    } else if old.store != new.store {
        "store"
    } else if old.server.server_name != new.server.server_name {
        "server-name"
    } else if is_shared(old) != is_shared(new) {
        "affinity"
    } else {
        return None;
    };
    let shown =
        |effective: &Effective| effective.setting(changed).map_or(String::new(), |said| said.value.toml());
    let origin = new.setting(changed).map_or(&Origin::Default, |said| &said.origin);
    Some(Fault::new(
        origin,
        changed,
        format!("cannot change from {} to {} while radmfa runs", shown(old), shown(new)),
        "restart radmfa, or change it back; what ran before goes on",
    ))
}

impl Effective {
    /// What holds for the top-level `key` or in the tables called `key`, as TOML: to compare two configurations.
    #[must_use]
    pub fn shown(&self, key: &str) -> Vec<String> {
        let tables =
            self.sections.iter().filter(|section| section.table == key).flat_map(|section| &section.settings);
        let top = self.setting(key).into_iter();
        top.chain(tables).map(|setting| format!("{} = {}", setting.key, setting.value.toml())).collect()
    }

    /// Every setting with its origin, aligned, as TOML with comments. Literal secrets stand as `"…"`.
    #[must_use]
    pub fn show(&self) -> String {
        show::with_origins(&self.sections)
    }

    /// What was said, without defaults and origins, as a file that comes to the same. Literal secrets are left out, each with a
    /// comment.
    #[must_use]
    pub fn toml(&self) -> String {
        show::as_file(&self.sections)
    }

    /// What holds for a login at `client` under the rules that counted, and who said so.
    #[must_use]
    pub fn said(&self, client: &Label, by: &By) -> Vec<Said> {
        said::policy(&self.sections, client, by)
    }

    /// `NAME=VALUE` as an attribute, by the dictionaries that are configured.
    pub fn attribute(&self, text: &str) -> Result<Match, String> {
        let scalar =
            tree::Scalar { text: text.to_owned().into(), form: tree::Form::Flag, origin: Origin::Default };
        rule::attribute(&scalar, &rule::Names::new(self.dictionaries.clone()))
            .map_err(|bad| if bad.hint.is_empty() { bad.what } else { format!("{}; {}", bad.what, bad.hint) })
    }

    /// The settings as they were recorded, table by table.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The setting `key` above all tables.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        top::section(&self.sections)?.setting(key)
    }
}

/// File, environment and flags in one tree; `None` after a fault in the file.
fn read(given: &Given, around: &dyn Surroundings, findings: &mut Findings) -> Option<Table> {
    let mut tree = match given.config(around) {
        Some((path, said_by)) => file::read(&path, &said_by, findings)?,
        None => Table::empty(),
    };
    let environment = flags::environment(around, findings);
    tree.overlay(environment, findings);
    let flags = given.tree(findings);
    tree.overlay(flags, findings);
    Some(tree)
}
