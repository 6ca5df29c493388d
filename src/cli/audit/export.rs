//! `radmfa audit export`: the trail for other programs, as a stream: a page in memory, however much it is.

use std::io::{self, BufWriter, Write};

use anyhow::Context as _;

use crate::base::time::UnixTime;
use crate::cli::failure::Failure;
use crate::cli::store::{Missing, open};
use crate::cli::when::moment;
use crate::config::flags::StoreFlags;
use crate::server::line::Line;

/// Rows in memory at a time.
const PAGE: usize = 1_000;

/// Write the audit trail out for other programs, oldest row first
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// From this moment on: a date, a date with time and offset, or how long ago (7d)
    #[arg(long, value_parser = moment, value_name = "WHEN")]
    since: UnixTime,
    /// Before this moment
    #[arg(long, value_parser = moment, value_name = "WHEN")]
    until: Option<UnixTime>,
    /// How the rows are written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Lines,
    #[command(flatten)]
    store: StoreFlags,
}

/// `--format`.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Lines {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// Comma-separated values with a first line of names.
    Csv,
}

impl Export {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut admin = open(&self.store, Missing::Refuse)?;
        let trail = admin.trail();
        let mut after = trail.before(self.since).map_err(Failure::from)?;
        // What is written while this runs belongs to the next export.
        let newest = trail.newest().map_err(Failure::from)?;
        let mut out = Out::new(self.format);
        let mut ended = newest == 0 || after == newest;
        while !ended {
            let page = trail.page(after, PAGE).map_err(Failure::from)?;
            ended = page.len() < PAGE;
            for row in &page {
                if row.time >= self.since && self.until.is_none_or(|until| row.time < until) {
                    match out.line(row) {
                        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                        done => done.context("the rows cannot be written")?,
                    }
                }
                after = row.sequence;
                if after == newest {
                    ended = true;
                    break;
                }
            }
        }
        match out.end() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            done => done.context("the rows cannot be written"),
        }
    }
}

/// Standard output.
enum Out {
    Jsonl(BufWriter<io::Stdout>),
    Csv(Box<csv::Writer<io::Stdout>>),
}

impl Out {
    fn new(format: Lines) -> Out {
        match format {
            Lines::Jsonl => Out::Jsonl(BufWriter::with_capacity(64 << 10, io::stdout())),
            Lines::Csv => Out::Csv(Box::new(csv::Writer::from_writer(io::stdout()))),
        }
    }

    fn line(&mut self, row: &crate::store::admin::AuditRow) -> io::Result<()> {
        match self {
            Out::Jsonl(out) => {
                Line::of(row).write_json(&mut *out)?;
                out.write_all(b"\n")
            }
            Out::Csv(out) => out.serialize(Line::for_sheets(row)).map_err(io::Error::from),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self {
            Out::Jsonl(out) => out.flush(),
            Out::Csv(out) => out.flush(),
        }
    }
}
