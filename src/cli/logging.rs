//! The log on standard error: lines for people, or one JSON object a line, through the server's sink, so that no thread
//! waits for whoever reads it.
//!
//! Two writers share it: the journal of logins, and `tracing` for everything else; both look alike.

use std::fmt::{self, Write as _};
use std::io;

use anyhow::Context;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::base::system::Clock;
use crate::base::text::escape;
use crate::config::{LogFormat, LogLevel, Warning};
use crate::server::journal::{Format, Journal, word_of};
use crate::server::sink::{self, Flusher};
use crate::server::system::SystemClock;

/// Begins to log. Keep the flusher until the program ends: it writes what is left.
pub(crate) fn begin(format: LogFormat, level: LogLevel) -> anyhow::Result<(Journal, Flusher)> {
    let (sink, flusher) = sink::open(io::stderr()).context("no thread to write the log")?;
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let format = match format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let target = sink.clone();
    tracing_subscriber::fmt()
        .with_max_level(level)
        .event_format(Lines(format))
        .with_writer(move || target.clone())
        .try_init()
        .map_err(|error| anyhow::anyhow!("the log cannot be begun: {error}"))?;
    Ok((Journal::new(sink, format), flusher))
}

/// Logs what a configuration draws attention to.
pub(crate) fn warn(warnings: &[Warning]) {
    for Warning { origin, key, what, hint, .. } in warnings {
        let hint = if hint.is_empty() { String::new() } else { format!("; {hint}") };
        tracing::warn!("{origin}: {key}: {what}{hint}");
    }
}

/// One line for each event, as [`Journal`] writes them for logins.
struct Lines(Format);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (now, level) = (SystemClock.unix(), event.metadata().level());
        match self.0 {
            Format::Text => {
                let mut lines = fields.message.split('\n');
                write!(writer, "{now} {level:5} {}", lines.next().unwrap_or_default())?;
                for (name, value) in &fields.others {
                    match value {
                        // Ours, and a sentence.
                        Value::String(text) if name == "hint" => write!(writer, " {name}={text}")?,
                        Value::String(text) => write!(writer, " {name}={}", word_of(text))?,
                        value => write!(writer, " {name}={value}")?,
                    }
                }
                writeln!(writer)?;
                // Marked, so that no line of a message can pose as an event of its own.
                lines.try_for_each(|line| writeln!(writer, "{now} {level:5} | {line}"))
            }
            Format::Json => {
                let mut object = Map::new();
                object.insert("time".into(), now.to_string().into());
                object.insert("level".into(), level.to_string().into());
                object.insert("event".into(), "server".into());
                object.insert("message".into(), fields.message.into());
                object.extend(fields.others);
                writeln!(writer, "{}", Value::Object(object))
            }
        }
    }
}

/// An event's fields; text in them made fit for one line.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        self.others.push((field.name().to_owned(), value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _infallible = write!(text, "{value:?}");
        self.record_str(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // Only what could break the line or move a cursor is spelled out; the message is our own.
        let lines = |between: &str| {
            let escaped = value.lines().map(|line| escape(line.trim_end().as_bytes()));
            escaped.collect::<Vec<_>>().join(between)
        };
        match field.name() {
            "message" => self.message = lines("\n"),
            _ => self.add(field, lines(" ").into()),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}
