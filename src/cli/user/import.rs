//! `radmfa user import`: the users of a file, all or none, every bad row named at once; or, where the admin says so, those that
//! are fine, and the rest in a file of its own.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::ValueHint;
use csv::ByteRecord;

use crate::base::table::{Fault, Refused};
use crate::cli::failure::Failure;
use crate::cli::new_file::NewFile;
use crate::cli::output::{count, grouped, note, progress_bar, say};
use crate::cli::store::{Missing, open};
use crate::config::flags::StoreFlags;
use crate::store::admin::{Admin, ImportReport, UserRow};
use crate::store::people::UserCsv;

/// Import users from a CSV file
///
/// The first line names the columns, in any order: user has to be there; display-name, first-name, last-name, mail,
/// country-code, phone, extension, language, method (totp, push, sms, call, mail) and enabled may be. The export of the Azure
/// MFA Server is taken as it is; columns that radmfa has no use for are left out. An empty cell says nothing. Users that
/// are there already and described otherwise are changed with --update alone. Where any row is wrong, each one is named
/// and nothing is imported, unless --skip-bad says otherwise. Importing the same file twice changes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The file; - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Change users that are there already
    #[arg(long)]
    update: bool,
    /// Import what is fine, and write what is not to this new file, with the reasons
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    skip_bad: Option<PathBuf>,
    /// Check everything and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    store: StoreFlags,
}

/// What a file holds.
struct Rows {
    users: Vec<UserRow>,
    /// The line of each user.
    lines: Vec<u64>,
    faults: Vec<Fault>,
    /// All rows, where the bad ones are to be written down.
    kept: Vec<(u64, ByteRecord)>,
    refused: Refused,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let name = match self.file.to_str() {
            Some("-") => "standard input".to_owned(),
            _ => self.file.display().to_string(),
        };
        // All files are opened before the store is, which may give root up.
        let mut rows = self.read(&name)?;
        for fault in &rows.faults {
            note(format!("{name}: {fault}"));
        }
        if rows.users.is_empty() && rows.faults.is_empty() {
            return Err(Failure::failed(format!("{name}: there are no users in it")).into());
        }
        let refused = self.skip_bad.as_deref().filter(|_| !self.dry_run);
        let refused = refused.map(|path| NewFile::make(path, "--skip-bad")).transpose()?;
        let spoilt = !rows.faults.is_empty() && self.skip_bad.is_none();
        let missing = if self.dry_run || spoilt { Missing::Pretend } else { Missing::Create };
        let mut admin = open(&self.store, missing)?;
        if self.skip_bad.is_some() {
            // What is in the way is known only by looking; what comes in between fails the import as a whole.
            let report = self.import(&mut *admin, &rows, true)?;
            rows.refuse(&name, &report);
        }
        let all = rows.faults.len() + rows.users.len();
        let report = self.import(&mut *admin, &rows, missing == Missing::Pretend)?;
        rows.refuse(&name, &report);
        let wrong = rows.faults.len();
        if spoilt || !report.conflicts.is_empty() {
            let what = format!("{wrong} of {} cannot be imported; nothing was changed", count(all, "row"));
            return Err(Failure::failed(what)
                .hint(
                    "mend the lines named above and import the file again; --skip-bad FILE imports the rest",
                )
                .into());
        }
        if let Some(mut file) = refused.filter(|_| wrong > 0) {
            file.write_all(&rows.into_refused()).context("the refused rows cannot be written")?;
            file.keep()?;
        }
        let (made, changed) =
            if self.dry_run { ("would be made", "would be changed") } else { ("made", "changed") };
        say(format!(
            "{} {made}, {} {changed}, {} unchanged",
            count(report.users_made, "user"),
            grouped(report.users_changed),
            grouped(report.unchanged)
        ))?;
        match self.skip_bad.as_deref().filter(|_| wrong > 0) {
            Some(_) if self.dry_run => say(format!("{} would be refused", count(wrong, "row")))?,
            Some(path) => say(format!("{} refused: see {}", count(wrong, "row"), path.display()))?,
            None => {}
        }
        Ok(())
    }

    fn import(&self, admin: &mut dyn Admin, rows: &Rows, dry_run: bool) -> anyhow::Result<ImportReport> {
        let bar = progress_bar(rows.users.len(), "user", if dry_run { "checking" } else { "importing" });
        let mut progress = |done: usize| {
            bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
            true
        };
        let report =
            admin.import_users(&rows.users, self.update, dry_run, &mut progress).map_err(Failure::from)?;
        bar.finish_and_clear();
        Ok(report)
    }

    fn read(&self, name: &str) -> anyhow::Result<Rows> {
        let source: Box<dyn BufRead> = if self.file.as_os_str() == "-" {
            Box::new(BufReader::new(io::stdin()))
        } else {
            Box::new(BufReader::new(File::open(&self.file).map_err(|error| {
                Failure::usage(format!("{name} cannot be read: {error}"))
                    .hint("check the path, and that you may read it")
            })?))
        };
        let wrong = |fault: Fault| Failure::failed(format!("{name}: {fault}"));
        let mut file = UserCsv::new(source)
            .map_err(|fault| wrong(fault).hint("a first line such as: user,mail,phone,language"))?;
        if !file.ignored().is_empty() {
            note(format!("note: {name}: columns left out: {}", file.ignored().join(", ")));
        }
        let mut rows = Rows {
            users: Vec::new(),
            lines: Vec::new(),
            faults: Vec::new(),
            kept: Vec::new(),
            refused: file.refused(),
        };
        while let Some(row) = file.next() {
            let line = match &row {
                Ok((line, _)) => *line,
                // What comes after it is not known, so it cannot be left out either.
                Err(fault) if file.has_ended() => {
                    return Err(wrong(fault.clone()).hint("mend the file from there on").into());
                }
                Err(fault) => fault.line,
            };
            if self.skip_bad.is_some() {
                rows.kept.push((line, file.record().clone()));
            }
            match row {
                Ok((line, user)) => {
                    rows.lines.push(line);
                    rows.users.push(user);
                }
                Err(fault) => rows.faults.push(fault),
            }
        }
        Ok(rows)
    }
}

impl Rows {
    /// Takes out the rows that are in the way of others, and names them.
    fn refuse(&mut self, name: &str, report: &ImportReport) {
        for conflict in &report.conflicts {
            let line = self.lines.get(conflict.row).copied().unwrap_or_default();
            let fault = Fault::whole(line, conflict.what.as_str());
            note(format!("{name}: {fault}"));
            self.faults.push(fault);
        }
        self.faults.sort_by_key(|fault| fault.line);
        report.take_out(&mut self.users);
        report.take_out(&mut self.lines);
    }

    /// A file of all that was refused, with the reasons.
    fn into_refused(mut self) -> Vec<u8> {
        let mut kept = self.kept.iter().peekable();
        for fault in &self.faults {
            while kept.next_if(|(line, _)| *line < fault.line).is_some() {}
            if let Some((_, cells)) = kept.next_if(|(line, _)| *line == fault.line) {
                self.refused.add(cells, fault);
            }
        }
        self.refused.into_octets()
    }
}
