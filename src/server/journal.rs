//! The log's line for a login: one, structured, when it ends.
//!
//! Written by hand because it is on the path of every login. Names in it come from requests, so they are escaped.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::sink::Sink;
use crate::base::text::escape;
use crate::base::time::UnixTime;
use crate::engine::reason::Reason;
use crate::engine::record::{LoginId, Row, Verdict};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Writes the lines of logins.
#[derive(Clone)]
pub struct Journal {
    sink: Sink,
    format: Format,
}

#[derive(Serialize)]
struct Line<'a> {
    time: Shown<UnixTime>,
    level: &'static str,
    event: &'static str,
    login: Shown<LoginId>,
    result: &'static str,
    reason: &'static str,
    user: Option<Cow<'a, str>>,
    client: &'a str,
    source: Shown<SocketAddr>,
    station: Option<&'a str>,
    method: &'static str,
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    protocol: &'static str,
    took_ms: u64,
    row: Option<u64>,
}

/// Serialized as it prints, without a string of its own.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Journal {
    /// Into `sink`, looking like `format`.
    #[must_use]
    pub fn new(sink: Sink, format: Format) -> Journal {
        Journal { sink, format }
    }

    /// The line of a login that ended. `sequence` is its row's place in the audit trail; without one it was not recorded.
    pub fn login(&self, row: &Row, sequence: Option<u64>) {
        let line = Line {
            time: Shown(row.time),
            // What was relayed stands in the owner's trail.
            level: if sequence.is_some() || row.reason == Reason::Relayed { "INFO" } else { "ERROR" },
            event: "login",
            login: Shown(row.login),
            result: row.verdict.code(),
            reason: row.reason.code(),
            user: row.user.as_ref().map(|user| printable(user.as_str())),
            client: row.client.as_str(),
            source: Shown(row.source),
            station: row.station.as_deref(),
            method: row.method.code(),
            device: row.device.as_deref(),
            rule: row.note.as_deref().filter(|_| row.reason == Reason::Exempt),
            session: row.note.as_deref().filter(|_| row.reason == Reason::Remembered),
            owner: row.note.as_deref().filter(|_| names_owner(row.reason)),
            protocol: row.protocol,
            took_ms: u64::try_from(row.without_user().as_millis()).unwrap_or(u64::MAX),
            row: sequence,
        };
        let mut text = Vec::with_capacity(384);
        match self.format {
            Format::Json => {
                // A struct of strings and numbers always has a JSON form.
                let _infallible = serde_json::to_writer(&mut text, &line);
            }
            Format::Text => line.text(row.verdict, &mut text),
        }
        self.sink.line(&text);
    }
}

/// Whether the note of a row with this reason is the name of the server that has the login.
fn names_owner(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Relayed
            | Reason::IssuedByAnotherServer
            | Reason::OwnerUnavailable
            | Reason::ClientUnknownAtOwner
    )
}

/// A name fit for a line; almost every one is so already.
fn printable(name: &str) -> Cow<'_, str> {
    let plain = name.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'\\');
    if plain { Cow::Borrowed(name) } else { Cow::Owned(escape(name.as_bytes())) }
}

/// `value`, escaped before, as one word of a line: in quotes where it could be taken for more than one, or for more
/// than a value.
#[must_use]
pub fn word_of(value: &str) -> Cow<'_, str> {
    let divides = |character: char| character.is_whitespace() || matches!(character, '"' | '=');
    if !value.is_empty() && !value.contains(divides) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("\"{}\"", value.replace('"', "\\\"")))
}

impl Line<'_> {
    fn text(&self, verdict: Verdict, text: &mut Vec<u8>) {
        let word = match verdict {
            Verdict::Accepted => "ACCEPT",
            Verdict::Rejected | Verdict::Retried => "REJECT",
            Verdict::Noted => "NOTE",
        };
        let _infallible = write!(
            text,
            "{} {:5} login {} {word} {} user={} client={} source={}",
            self.time.0,
            self.level,
            self.login.0,
            self.reason,
            word_of(self.user.as_deref().unwrap_or("-")),
            self.client,
            self.source.0
        );
        let mut field = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                let _infallible = write!(text, " {name}={}", word_of(value));
            }
        };
        field("station", self.station);
        field("method", (self.method != "none").then_some(self.method));
        field("device", self.device);
        field("rule", self.rule);
        field("session", self.session);
        field("owner", self.owner);
        let _infallible = write!(text, " protocol={} took={}ms", self.protocol, self.took_ms);
        match self.row {
            Some(row) => drop(write!(text, " row={row}")),
            None if self.reason == Reason::Relayed.code() => text.extend_from_slice(b" row=at the owner"),
            None => text.extend_from_slice(b" row=none (not recorded)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pose_as_other_fields_of_the_line() {
        assert_eq!(word_of("zoë@x.example"), "zoë@x.example");
        assert_eq!(word_of("x accept user=admin"), r#""x accept user=admin""#);
        assert_eq!(word_of(r#"x" user="admin"#), r#""x\" user=\"admin""#);
        assert_eq!(word_of("x\u{3000}y=z"), "\"x\u{3000}y=z\"");
        assert_eq!(word_of(""), r#""""#);
    }
}
