//! `radmfa token import`: all rows of a file or none, every bad row named at once.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::failure::Failure;
use crate::cli::output::{count, note, say};
use crate::cli::store::{Missing, open};
use crate::config::flags::StoreFlags;
use crate::factor::token_csv::TokenCsv;
use crate::store::admin::{ImportReport, NewToken, TokenFields};

/// Import tokens from a CSV file
///
/// The first line names the columns, in any order: serial and secret (Base32) have to be there; user, interval, digits,
/// algorithm, type (totp or hotp), counter (the next one of a hotp token), manufacturer and model may be. The files of the Azure MFA Server (serial number, secret key, time interval) and of its
/// cloud successor (upn, serial number, …) are taken as they are. Users that are not there are made. Where any row is
/// wrong, each one is named and nothing is imported.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The file; - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Check everything and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    store: StoreFlags,
}

/// What a file holds.
struct Rows {
    tokens: Vec<NewToken>,
    /// The line of each token.
    lines: Vec<u64>,
    wrong: usize,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let name = if self.file.as_os_str() == "-" {
            "standard input".to_owned()
        } else {
            self.file.display().to_string()
        };
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("{name} cannot be read: {error}"))
                .hint("check the path, and that you may read it")
        };
        // Opened before the store is, which may give root up.
        let source: Box<dyn BufRead> = if self.file.as_os_str() == "-" {
            Box::new(BufReader::new(io::stdin()))
        } else {
            Box::new(BufReader::with_capacity(
                1 << 16,
                File::open(&self.file).map_err(|error| cannot(&error))?,
            ))
        };
        let rows = read(&name, source)?;
        let missing = if self.dry_run || rows.wrong > 0 { Missing::Pretend } else { Missing::Create };
        let mut admin = open(&self.store, missing)?;
        let bar = bar(rows.tokens.len(), if missing == Missing::Pretend { "checking" } else { "importing" });
        let mut progress = |done: usize| {
            bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
            true
        };
        let report =
            admin.import(&rows.tokens, missing == Missing::Pretend, &mut progress).map_err(Failure::from)?;
        bar.finish_and_clear();
        for conflict in &report.conflicts {
            let line = rows.lines.get(conflict.row).copied().unwrap_or_default();
            note(format!("{name}: line {line}: {}", conflict.what));
        }
        let wrong = rows.wrong + report.conflicts.len();
        if wrong > 0 {
            let all = rows.wrong + rows.tokens.len();
            let what = format!("{wrong} of {} cannot be imported; nothing was changed", count(all, "row"));
            return Err(Failure::failed(what)
                .hint("mend the lines named above and import the file again")
                .into());
        }
        say(summary(&report, self.dry_run))?;
        Ok(())
    }
}

/// Reads the whole file; bad rows are named as they come.
fn read(name: &str, source: Box<dyn BufRead>) -> anyhow::Result<Rows> {
    let wrong_file = |fault: &dyn std::fmt::Display| Failure::failed(format!("{name}: {fault}"));
    let csv = TokenCsv::new(source)
        .map_err(|fault| wrong_file(&fault).hint("a first line such as: user,serial,secret,interval"))?;
    let mut rows = Rows { tokens: Vec::new(), lines: Vec::new(), wrong: 0 };
    for row in csv {
        match row {
            Ok(row) => {
                rows.lines.push(row.line);
                let fields = TokenFields {
                    manufacturer: row.manufacturer,
                    model: row.model,
                    ..TokenFields::default()
                };
                let token = NewToken::new(row.serial, row.user, row.seed, row.parameters);
                rows.tokens.push(NewToken { counter: row.counter, fields, ..token });
            }
            Err(fault) => {
                rows.wrong += 1;
                note(format!("{name}: {fault}"));
            }
        }
    }
    if rows.tokens.is_empty() && rows.wrong == 0 {
        return Err(wrong_file(&"there are no rows").into());
    }
    Ok(rows)
}

/// A bar on a terminal; elsewhere one line at the beginning.
fn bar(rows: usize, doing: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        note(format!("{doing} {}", count(rows, "token")));
        return ProgressBar::hidden();
    }
    let length = u64::try_from(rows).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(doing.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn summary(report: &ImportReport, dry_run: bool) -> String {
    let added = if dry_run { "would be imported" } else { "imported" };
    let made = if dry_run { "would be made" } else { "made" };
    format!(
        "{} {added}, {} unchanged, {} {made}",
        count(report.added, "token"),
        report.unchanged,
        count(report.users_made, "user")
    )
}
