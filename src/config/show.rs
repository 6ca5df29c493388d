//! The effective settings as text: for `check` with the origin of each, and as a file to save.
//!
//! Both are TOML, so that what `check` prints can be copied into a file. A literal secret is never shown: its line is a
//! comment.

use std::fmt::Write as _;

use super::origin::Origin;
use super::secret::SecretSource;
use super::value::Shown;

/// A table as it was recorded while it was read.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name; empty for the keys above all tables.
    pub table: &'static str,
    /// Whether there may be several of that name.
    pub repeated: bool,
    /// Its settings.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its key.
    pub key: &'static str,
    /// What holds.
    pub value: Shown,
    /// Who said so.
    pub origin: Origin,
}

impl Section {
    pub(super) fn new(table: &'static str, repeated: bool) -> Section {
        Section { table, repeated, settings: Vec::new() }
    }

    /// The setting called `key`.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    fn heading(&self) -> String {
        match (self.table, self.repeated) {
            ("", _) => String::new(),
            (table, true) => format!("\n[[{table}]]\n"),
            (table, false) => format!("\n[{table}]\n"),
        }
    }
}

/// Every setting that holds, aligned, with its origin in a comment.
pub(super) fn with_origins(sections: &[Section]) -> String {
    let settings = || sections.iter().flat_map(|section| &section.settings);
    let keys = settings().map(|setting| setting.key.len()).max().unwrap_or(0);
    // A long value stands out to the right rather than pushing every origin there.
    let values =
        settings().map(|setting| width(&setting.value)).filter(|width| *width <= 48).max().unwrap_or(0);
    let mut text = String::new();
    for section in sections {
        text.push_str(&section.heading());
        for Setting { key, value, origin } in &section.settings {
            let value = value.toml();
            let origin = match origin {
                Origin::Flag { .. } => format!("flag {origin}"),
                _ => origin.to_string(),
            };
            let literal = if value == "\"…\"" { " (literal, not shown)" } else { "" };
            let _infallible = writeln!(text, "{key:keys$} = {value:values$}  # {origin}{literal}");
        }
    }
    text
}

/// What somebody said, without the defaults: a file that comes to the same settings.
pub(super) fn as_file(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections {
        let said: Vec<&Setting> =
            section.settings.iter().filter(|setting| setting.origin.is_said()).collect();
        if said.is_empty() {
            continue;
        }
        text.push_str(&section.heading());
        for Setting { key, value, .. } in said {
            let _infallible = match value {
                Shown::Secret(SecretSource::Literal(_)) => {
                    writeln!(
                        text,
                        "# {key} = \"…\"    a literal, not shown: keep it in a file, \"file:PATH\""
                    )
                }
                value => writeln!(text, "{key} = {}", value.toml()),
            };
        }
    }
    text.trim_start_matches('\n').to_owned()
}

fn width(value: &Shown) -> usize {
    value.toml().chars().count()
}
