//! Where a setting was written, and what is wrong there in words that end with a remedy.
//!
//! Every value of the tree carries an [`Origin`], so that a [`Notice`] can cite `radmfa.toml:12` with the line itself, or
//! `--client (second one)` with the flag's text. Invariant: no excerpt shows a literal secret, nor the value of a key that
//! is unknown (it may be a misspelt secret).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::text::is_unprintable;

/// A configuration file that was read.
#[derive(Debug)]
pub struct SourceFile {
    /// The path as the admin gave it.
    pub path: PathBuf,
    /// Whether somebody else than its owner may read it.
    pub exposed: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Nobody said it.
    Default,
    /// The machine's host name.
    HostName,
    /// The client's profile of that name.
    Profile(&'static str),
    /// The channel's preset of that name.
    Preset(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// A flag of the command line.
    Flag {
        /// Its name without the hyphens.
        name: &'static str,
        /// Which of the flags of this name it is, from 0.
        nth: usize,
        /// How many there are.
        of: usize,
        /// Its value, secrets masked.
        text: Arc<str>,
    },
    /// A place in a file.
    File {
        /// The file.
        file: Arc<SourceFile>,
        /// How many octets stand before it.
        offset: usize,
        /// Its line, from 1.
        line: usize,
        /// The line itself, secrets masked.
        text: Arc<str>,
    },
}

impl Origin {
    /// Whether an admin said it, rather than the program or the machine.
    #[must_use]
    pub fn is_said(&self) -> bool {
        matches!(self, Origin::Environment(_) | Origin::Flag { .. } | Origin::File { .. })
    }

    /// The directory that relative paths written here start from: the file's own. `None`: the working directory.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Origin::File { file, .. } => file.path.parent().filter(|parent| *parent != Path::new("")),
            _ => None,
        }
    }

    /// Whether both are flags, or both of the environment, or both of a file.
    pub(super) fn same_layer(&self, other: &Origin) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Errors of a file come in the order of its lines, then those of the environment and of flags as they were found.
    fn order(&self) -> (u8, usize) {
        match self {
            Origin::File { offset, .. } => (0, *offset),
            Origin::Environment(_) => (1, 0),
            Origin::Flag { .. } => (2, 0),
            Origin::Default | Origin::HostName | Origin::Profile(_) | Origin::Preset(_) => (3, 0),
        }
    }

    fn excerpt(&self, mask: bool) -> Option<String> {
        match self {
            Origin::File { line, text, .. } if !text.is_empty() => {
                Some(format!("{line:>4} | {}", if mask { without_value(text) } else { text.to_string() }))
            }
            Origin::Flag { name, text, .. } if !text.is_empty() => Some(format!("  --{name} {text}")),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => formatter.write_str("default"),
            Origin::HostName => formatter.write_str("host name"),
            Origin::Profile(name) => write!(formatter, "profile {name}"),
            Origin::Preset(name) => write!(formatter, "preset {name}"),
            Origin::Environment(name) => formatter.write_str(name),
            Origin::Flag { name, of: 0 | 1, .. } => write!(formatter, "--{name}"),
            Origin::Flag { name, nth, .. } => write!(formatter, "--{name} ({} one)", ordinal(*nth)),
            Origin::File { file, line, .. } => write!(formatter, "{}:{line}", file.path.display()),
        }
    }
}

/// Something to tell the admin about one setting: an error, or a warning.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Where it was written.
    pub origin: Origin,
    /// Which key, such as `client.address`; empty where there is none.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do about it; may be empty.
    pub hint: String,
    /// Whether the cited line's value must not be shown.
    pub(super) mask: bool,
}

/// Why a configuration is refused.
pub type Fault = Notice;
/// What an admin should know of a configuration that works.
pub type Warning = Notice;

impl Notice {
    /// A notice about `key`, which was written at `origin`.
    pub fn new(
        origin: &Origin,
        key: impl Into<String>,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Notice {
        Notice { origin: origin.clone(), key: key.into(), what: what.into(), hint: hint.into(), mask: false }
    }

    /// The same, its cited line shown without the value.
    #[must_use]
    pub fn masked(self) -> Notice {
        Notice { mask: true, ..self }
    }
}

impl fmt::Display for Notice {
    /// `radmfa.toml:12: client.adress: unknown key`, the line, and the hint, each on a line of its own.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !matches!(self.origin, Origin::Default) {
            write!(formatter, "{}: ", self.origin)?;
        }
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.what)?;
        if let Some(excerpt) = self.origin.excerpt(self.mask) {
            write!(formatter, "\n{excerpt}")?;
        }
        if !self.hint.is_empty() {
            write!(formatter, "\n  hint: {}", self.hint)?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, in the order of the file; never empty.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<Fault>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// What reading a configuration has found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
}

impl Findings {
    /// `made` where nothing was wrong, else every fault.
    pub(super) fn settle<T>(mut self, made: Option<T>) -> Result<(T, Vec<Warning>), ConfigErrors> {
        self.faults.sort_by_key(|fault| fault.origin.order());
        self.warnings.sort_by_key(|warning| warning.origin.order());
        match made {
            Some(made) if self.faults.is_empty() => Ok((made, self.warnings)),
            _ => {
                debug_assert!(!self.faults.is_empty(), "a refused configuration has a reason");
                Err(ConfigErrors(self.faults))
            }
        }
    }
}

/// `text` on one line, what could move a terminal's cursor replaced.
pub(super) fn plain(text: &str) -> String {
    let text: String = text.chars().map(|c| if is_unprintable(c) { '?' } else { c }).collect();
    if text.contains("postgres") { without_password(&text) } else { text }
}

/// A database's address without its password, wherever it stands in a line. Rather too much is taken out than too little.
fn without_password(line: &str) -> String {
    let mut shown = line.to_owned();
    if let Some((before, rest)) = line.split_once("://")
        && let Some((user, host)) = rest.rsplit_once('@')
        && let Some((user, _)) = user.split_once(':')
    {
        shown = format!("{before}://{user}:…@{host}");
    }
    let (before, said) = match shown.split_once("password=") {
        Some((before, said)) => (before.to_owned(), said.to_owned()),
        None => return shown,
    };
    if ["file:", "env:"].iter().any(|place| said.starts_with(place)) {
        return shown;
    }
    let rest = said.find(['&', '"', '\'']).and_then(|end| said.get(end..)).unwrap_or_default();
    format!("{before}password=…{rest}")
}

/// A file's text, to find lines in.
pub(super) struct Lines<'a> {
    text: &'a str,
    /// The octet after each line's end.
    ends: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Lines<'a> {
        let mut end = 0;
        let ends = text.split_inclusive('\n').map(|line| {
            end += line.len();
            end
        });
        Lines { text, ends: ends.collect() }
    }

    /// The place `offset` octets into `file`, which holds this text.
    pub(super) fn place(&self, file: &Arc<SourceFile>, offset: usize) -> Origin {
        let (line, text) = self.at(offset);
        Origin::File { file: Arc::clone(file), offset, line, text: mask_line(text).into() }
    }

    /// The number from 1 of the line that octet `offset` stands in, and the line; past the end the last one.
    fn at(&self, offset: usize) -> (usize, &'a str) {
        let index = self.ends.partition_point(|end| *end <= offset).min(self.ends.len().saturating_sub(1));
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(index).copied().unwrap_or(0);
        (index + 1, self.text.get(start..end).unwrap_or_default().trim())
    }
}

/// The line without what may be a secret.
fn mask_line(line: &str) -> String {
    let line = plain(line);
    let lower = line.to_ascii_lowercase().replace("secret-until", "");
    if !lower.contains("secret") && !lower.contains("seal") {
        return line;
    }
    let kept_elsewhere = line.split_once('=').is_none_or(|(_, value)| {
        let value = value.trim_start();
        ["\"file:", "'file:", "\"env:", "'env:"].iter().any(|start| value.starts_with(start))
            && !value.contains('=')
    });
    if kept_elsewhere { line } else { without_value(&line) }
}

/// The line up to its first `=`.
fn without_value(line: &str) -> String {
    match line.split_once('=') {
        Some((key, _)) => format!("{} = …", key.trim_end()),
        None => "…".into(),
    }
}

fn ordinal(nth: usize) -> String {
    const WORDS: [&str; 9] =
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"];
    if let Some(word) = WORDS.get(nth) {
        return (*word).to_owned();
    }
    let number = nth + 1;
    let suffix = match (number % 10, number % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one_and_the_end_belongs_to_the_last() {
        let lines = Lines::new("a\nbb\n\nc");
        assert_eq!(lines.at(0), (1, "a"));
        assert_eq!(lines.at(1), (1, "a"));
        assert_eq!(lines.at(3), (2, "bb"));
        assert_eq!(lines.at(5), (3, ""));
        assert_eq!(lines.at(6), (4, "c"));
        assert_eq!(lines.at(99), (4, "c"));
        assert_eq!(Lines::new("").at(0), (1, ""));
    }

    #[test]
    fn no_excerpt_shows_a_literal_secret() {
        for (line, shown) in [
            ("store = \"postgres://u:hunter2@h/d\"", "store = \"postgres://u:…@h/d\""),
            ("postgres://u:hunt@er2@h/d?password=file:/x", "postgres://u:…@h/d?password=file:/x"),
            (
                "store = 'postgres://u@h/d?password=hunter2&sslmode=require'",
                "store = 'postgres://u@h/d?password=…&sslmode=require'",
            ),
            ("postgres://u@h/d", "postgres://u@h/d"),
        ] {
            assert_eq!(mask_line(line), shown);
        }
        assert_eq!(mask_line("secret = \"hunter2\""), "secret = …");
        assert_eq!(mask_line("x = { secret = \"file:/a\", previous-secret = \"b\" }"), "x = …");
        assert_eq!(mask_line("secret = \"file:/a\""), "secret = \"file:/a\"");
        assert_eq!(mask_line("previous-secret-until = 2026-01-01"), "previous-secret-until = 2026-01-01");
        assert_eq!(without_value("sercet = \"hunter2\""), "sercet = …");
        assert_eq!(without_value("\"hunter2\","), "…");
    }

    #[test]
    fn ordinals_read_as_people_say_them() {
        let said: Vec<String> = [0, 8, 9, 10, 11, 12, 20, 21].map(ordinal).into();
        assert_eq!(said, ["first", "ninth", "10th", "11th", "12th", "13th", "21st", "22nd"]);
    }
}
