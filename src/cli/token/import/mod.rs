//! `radmfa token import`: all tokens of a file or none, every bad row named at once; or, where the admin says so, those that
//! are fine, and the rest in a file of its own. Whatever the format, the store takes them by one call.

mod source;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::ValueHint;

use self::source::{Format, Source};
use crate::base::name::UserName;
use crate::cli::failure::Failure;
use crate::cli::new_file::NewFile;
use crate::cli::output::{count, grouped, note, progress_bar, say};
use crate::cli::store::{Missing, clock, open};
use crate::cli::value::user_name;
use crate::config::flags::StoreFlags;
use crate::store::admin::{Admin, ImportReport, NewToken};

/// Import tokens from a file: CSV, PSKC, or what authenticator apps keep
///
/// CSV: the first line names the columns, in any order: serial and secret (Base32) have to be there; user, interval,
/// digits, algorithm, type (totp or hotp), counter (the next one of a hotp token), manufacturer and model may be. The files
/// of the Azure MFA Server (serial number, secret key, time interval) and of its cloud successor (upn, serial number, …) are
/// taken as they are. PSKC: RFC 6030, plain or encrypted. google-authenticator: the app's export
/// (otpauth-migration://…), or with --user the PAM module's file in a home. otpauth: one otpauth:// URI a line.
///
/// Users that are not there are made. Where anything is wrong, each row is named and nothing is imported, unless
/// --skip-bad says otherwise. Importing the same file twice changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The file; - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// What the file is; auto looks into it
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// Whose the tokens are, for files of authenticator apps
    #[arg(long, value_name = "NAME", value_parser = user_name)]
    user: Option<UserName>,
    /// The pre-shared key of a PSKC file: 16, 24 or 32 octets, or their hexadecimal digits
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key_file: Option<PathBuf>,
    /// The passphrase of a PSKC file; asked for at the terminal without this
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "key_file")]
    passphrase_file: Option<PathBuf>,
    /// Import what is fine, and write what is not to this new file, with the reasons and its secrets
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    skip_bad: Option<PathBuf>,
    /// Check everything and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    store: StoreFlags,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let name = if self.file.as_os_str() == "-" {
            "standard input".to_owned()
        } else {
            self.file.display().to_string()
        };
        // All files are opened before the store is, which may give root up.
        let mut source = Source::read(&self, &name)?;
        for fault in source.faults() {
            note(format!("{name}: {fault}"));
        }
        if source.tokens().is_empty() && source.faults().is_empty() {
            return Err(Failure::failed(format!("{name}: there are no tokens in it")).into());
        }
        tell_dates(source.tokens());
        let refused = self
            .skip_bad
            .as_deref()
            .filter(|_| !self.dry_run)
            .map(|path| NewFile::make(path, "--skip-bad"))
            .transpose()?;
        let spoilt = !source.faults().is_empty() && self.skip_bad.is_none();
        let missing = if self.dry_run || spoilt { Missing::Pretend } else { Missing::Create };
        let mut admin = open(&self.store, missing)?;
        if self.skip_bad.is_some() {
            // What is in the way is known only by looking; what comes in between fails the import as a whole.
            let report = import(&mut *admin, source.tokens(), true)?;
            for fault in source.refuse(&report) {
                note(format!("{name}: {fault}"));
            }
        }
        let report = import(&mut *admin, source.tokens(), missing == Missing::Pretend)?;
        let all = source.faults().len() + source.tokens().len();
        for fault in source.refuse(&report) {
            note(format!("{name}: {fault}"));
        }
        let wrong = source.faults().len();
        if spoilt || !report.conflicts.is_empty() {
            let what = format!("{wrong} of {} cannot be imported; nothing was changed", count(all, "row"));
            return Err(Failure::failed(what)
                .hint(
                    "mend the lines named above and import the file again; --skip-bad FILE imports the rest",
                )
                .into());
        }
        if let Some(mut refused) = refused.filter(|_| wrong > 0) {
            refused.write_all(&source.refused()).context("the refused rows cannot be written")?;
            refused.keep()?;
        }
        say(summary(&report, self.dry_run))?;
        match self.skip_bad.as_deref().filter(|_| wrong > 0) {
            Some(_) if self.dry_run => say(format!("{} would be refused", count(wrong, "row")))?,
            Some(path) => say(format!("{} refused: see {}", count(wrong, "row"), path.display()))?,
            None => {}
        }
        Ok(())
    }
}

fn tell_dates(tokens: &[NewToken]) {
    let now = clock().unix();
    let expired = tokens.iter().filter(|token| token.fields.expires.is_some_and(|end| end <= now)).count();
    if expired > 0 {
        note(format!("warning: {} past the expiry date that the file says", count(expired, "token")));
    }
    let early = tokens.iter().filter(|token| token.fields.starts.is_some_and(|start| now < start)).count();
    if early > 0 {
        note(format!("warning: {} not good before the start date that the file says", count(early, "token")));
    }
}

fn import(admin: &mut dyn Admin, tokens: &[NewToken], dry_run: bool) -> anyhow::Result<ImportReport> {
    let bar = progress_bar(tokens.len(), "token", if dry_run { "checking" } else { "importing" });
    let mut progress = |done: usize| {
        bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
        true
    };
    let report = admin.import(tokens, dry_run, &mut progress).map_err(Failure::from)?;
    bar.finish_and_clear();
    Ok(report)
}

fn summary(report: &ImportReport, dry_run: bool) -> String {
    let added = if dry_run { "would be imported" } else { "imported" };
    let made = if dry_run { "would be made" } else { "made" };
    format!(
        "{} {added}, {} unchanged, {} {made}",
        count(report.added, "token"),
        grouped(report.unchanged),
        count(report.users_made, "user")
    )
}
