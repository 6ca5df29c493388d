//! The log's line for a login: one, structured, when it ends.
//!
//! Written by hand because it is on the path of every login. Names in it come from requests, so they are escaped.

use std::io::Write as _;

use serde::Serialize;

use super::sink::Sink;
use crate::base::text::escape;
use crate::engine::record::{Row, Verdict};

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
    time: String,
    level: &'static str,
    event: &'static str,
    login: String,
    result: &'static str,
    reason: &'static str,
    user: Option<String>,
    client: &'a str,
    source: String,
    station: Option<&'a str>,
    method: &'static str,
    device: Option<&'a str>,
    protocol: &'static str,
    took_ms: u64,
    row: Option<u64>,
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
            time: row.time.to_string(),
            level: if sequence.is_some() { "INFO" } else { "ERROR" },
            event: "login",
            login: row.login.to_string(),
            result: row.verdict.code(),
            reason: row.reason.code(),
            user: row.user.as_ref().map(|user| escape(user.as_str().as_bytes())),
            client: row.client.as_str(),
            source: row.source.to_string(),
            station: row.station.as_deref(),
            method: row.method.code(),
            device: row.device.as_deref(),
            protocol: row.protocol,
            took_ms: u64::try_from(row.took.as_millis()).unwrap_or(u64::MAX),
            row: sequence,
        };
        let mut text = Vec::with_capacity(320);
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
            self.time,
            self.level,
            self.login,
            self.reason,
            self.user.as_deref().unwrap_or("-"),
            self.client,
            self.source
        );
        let mut field = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                let _infallible = write!(text, " {name}={value}");
            }
        };
        field("station", self.station);
        field("method", (self.method != "none").then_some(self.method));
        field("device", self.device);
        let _infallible = write!(text, " protocol={} took={}ms", self.protocol, self.took_ms);
        match self.row {
            Some(row) => drop(write!(text, " row={row}")),
            None => text.extend_from_slice(b" row=none (not recorded)"),
        }
    }
}
