//! The log: lines for people, or a JSON object a line, on standard error.
//!
//! Everything goes through one sink, so that lines never mix and no login waits for a terminal.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::time::FormatTime;

use crate::base::time::UnixTime;
use crate::config::{LogFormat, LogLevel};
use crate::server::record::{Format, Journal};
use crate::server::sink::{self, Flusher, Sink};
use crate::server::system::SystemClock;

/// The program's log. Dropped, it writes out what is left.
pub(crate) struct Log {
    sink: Sink,
    format: LogFormat,
    _flusher: Flusher,
}

impl Log {
    /// Opens the log on standard error. To be called once in a process.
    pub(crate) fn open(format: LogFormat, level: LogLevel) -> io::Result<Log> {
        let (sink, flusher) = sink::open(io::stderr())?;
        let writer = sink.clone();
        let lines = tracing_subscriber::fmt()
            .with_max_level(filter(level))
            .with_target(false)
            .with_timer(Clock)
            .with_ansi(false)
            .with_writer(move || writer.clone());
        // A second subscriber in one process is a fault of the program; tests may have one already.
        let _taken = match format {
            LogFormat::Text => tracing::subscriber::set_global_default(lines.finish()),
            LogFormat::Json => {
                tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish())
            }
        };
        Ok(Log { sink, format, _flusher: flusher })
    }

    /// Where the lines of logins go.
    pub(crate) fn journal(&self) -> Journal {
        let format = match self.format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        };
        Journal::new(self.sink.clone(), format)
    }

    /// A line of the start-up, plain on a terminal.
    pub(crate) fn say(&self, line: &str) {
        match self.format {
            LogFormat::Text => self.sink.line(line.as_bytes()),
            LogFormat::Json => tracing::info!("{line}"),
        }
    }
}

struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        use crate::base::system::Clock as _;
        let now: UnixTime = SystemClock.unix();
        write!(writer, "{now}")
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
