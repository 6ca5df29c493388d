//! The file of an import: what it is, what is in it, and how its bad rows are written down again.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use csv::ByteRecord;
use zeroize::Zeroizing;

use super::Import;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::table::{Fault, Refused};
use crate::base::text::unhex;
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::cli::output::{count, note};
use crate::factor::apps;
use crate::factor::described::Described;
use crate::factor::oath::Drift;
use crate::factor::pskc::{self, Protection, Pskc};
use crate::factor::token_csv::TokenCsv;
use crate::store::admin::{ImportReport, NewToken, TokenFields};

/// What a token file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Look into it
    Auto,
    /// Comma-separated values
    Csv,
    /// RFC 6030
    Pskc,
    /// The app's export, or the PAM module's file with --user
    GoogleAuthenticator,
    /// One otpauth:// URI a line
    Otpauth,
}

/// A file that was read.
pub(super) struct Source {
    tokens: Vec<NewToken>,
    /// The line of each token.
    lines: Vec<u64>,
    faults: Vec<Fault>,
    form: Form,
}

/// What it takes to write bad rows down.
enum Form {
    Csv { rows: Vec<(u64, ByteRecord)>, refused: Refused },
    Pskc { octets: Zeroizing<Vec<u8>>, pskc: Pskc },
    Lines(Zeroizing<String>),
}

impl Source {
    /// Reads all of it. Fails where the file as a whole cannot be taken.
    pub(super) fn read(import: &Import, name: &str) -> anyhow::Result<Source> {
        let mut file = open(&import.file, name)?;
        let format = match import.format {
            Format::Auto => guess(file.fill_buf().map_err(|error| unreadable(name, &error))?),
            said => said,
        };
        if import.user.is_some() && matches!(format, Format::Csv | Format::Pskc) {
            return Err(Failure::usage(
                "--user is for files of authenticator apps; this one says whose each token is",
            )
            .hint("radmfa token assign SERIAL USER gives one to somebody else")
            .into());
        }
        match format {
            Format::Csv => csv(import, name, file),
            Format::Pskc => pskc(import, name, &mut file),
            Format::GoogleAuthenticator | Format::Otpauth | Format::Auto => {
                uris(import.user.as_ref(), format, name, &mut file)
            }
        }
    }

    pub(super) fn tokens(&self) -> &[NewToken] {
        &self.tokens
    }

    pub(super) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Takes out the tokens that are in the way of others; answers what is wrong with them.
    pub(super) fn refuse(&mut self, report: &ImportReport) -> Vec<Fault> {
        let mut faults = Vec::new();
        for conflict in &report.conflicts {
            let line = self.lines.get(conflict.row).copied().unwrap_or_default();
            faults.push(Fault::whole(line, conflict.what.as_str()));
        }
        report.take_out(&mut self.tokens);
        report.take_out(&mut self.lines);
        self.faults.extend(faults.iter().cloned());
        faults
    }

    /// A file of all that was refused, in the format it came in, with the reasons.
    pub(super) fn refused(mut self) -> Vec<u8> {
        self.faults.sort_by_key(|fault| fault.line);
        match self.form {
            Form::Csv { rows, mut refused } => {
                let mut rows = rows.iter().peekable();
                for fault in &self.faults {
                    while rows.next_if(|(line, _)| *line < fault.line).is_some() {}
                    if let Some((_, cells)) = rows.next_if(|(line, _)| *line == fault.line) {
                        refused.add(cells, fault);
                    }
                }
                refused.into_octets()
            }
            Form::Pskc { octets, pskc } => pskc.refused(&octets, &self.faults),
            Form::Lines(text) => {
                let mut file = String::new();
                let mut lines = (1_u64..).zip(text.lines()).peekable();
                for fault in &self.faults {
                    let _infallible = writeln!(file, "# {fault}");
                    while lines.next_if(|(number, _)| *number < fault.line).is_some() {}
                    if let Some((_, line)) = lines.next_if(|(number, _)| *number == fault.line) {
                        file.push_str(line);
                        file.push('\n');
                    }
                }
                file.into_bytes()
            }
        }
    }

    fn new(tokens: Vec<Described>, faults: Vec<Fault>, form: Form) -> Source {
        let lines = tokens.iter().map(|token| token.line).collect();
        Source { tokens: tokens.into_iter().map(new_token).collect(), lines, faults, form }
    }
}

fn new_token(token: Described) -> NewToken {
    let fields = TokenFields {
        label: token.label,
        manufacturer: token.manufacturer,
        model: token.model,
        starts: token.starts,
        expires: token.expires,
        drift: (token.drift != 0).then(|| Drift::of_steps(token.drift.into())),
    };
    let counter = token.counter;
    NewToken { counter, fields, ..NewToken::new(token.serial, token.user, token.seed, token.parameters) }
}

fn unreadable(name: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!("{name} cannot be read: {error}")).hint("check the path, and that you may read it")
}

fn open(path: &Path, name: &str) -> anyhow::Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).map_err(|error| unreadable(name, &error))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

/// What a file that begins so is.
fn guess(beginning: &[u8]) -> Format {
    let plain = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning);
    // Cut within a character, perhaps.
    let text = String::from_utf8_lossy(plain);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    match first {
        Some(line) if line.starts_with('<') => Format::Pskc,
        Some(line) if apps::is_uri(line) => Format::Otpauth,
        _ if apps::is_pam_file(&text) => Format::GoogleAuthenticator,
        _ => Format::Csv,
    }
}

/// All of a file that is at most `most` octets long.
fn whole(name: &str, most: usize, file: &mut dyn BufRead) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut octets = Zeroizing::new(Vec::new());
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    file.take(limit + 1).read_to_end(&mut octets).map_err(|error| unreadable(name, &error))?;
    if octets.len() > most {
        return Err(Failure::failed(format!("{name}: the file is longer than {} MiB", most >> 20)).into());
    }
    Ok(octets)
}

fn csv(import: &Import, name: &str, file: Box<dyn BufRead>) -> anyhow::Result<Source> {
    let mut rows = TokenCsv::new(file).map_err(|fault| {
        Failure::failed(format!("{name}: {fault}")).hint("a first line such as: user,serial,secret,interval")
    })?;
    let refused = rows.refused();
    let (mut tokens, mut lines, mut faults, mut kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    while let Some(row) = rows.next() {
        let line = match &row {
            Ok(token) => token.line,
            // What comes after it is not known, so it cannot be left out either.
            Err(fault) if rows.has_ended() => {
                return Err(Failure::failed(format!("{name}: {fault}"))
                    .hint("mend the file from there on")
                    .into());
            }
            Err(fault) => fault.line,
        };
        if import.skip_bad.is_some() {
            kept.push((line, rows.record().clone()));
        }
        match row {
            Ok(token) => {
                lines.push(line);
                tokens.push(new_token(token));
            }
            Err(fault) => faults.push(fault),
        }
    }
    Ok(Source { tokens, lines, faults, form: Form::Csv { rows: kept, refused } })
}

fn pskc(import: &Import, name: &str, file: &mut dyn BufRead) -> anyhow::Result<Source> {
    let octets = whole(name, pskc::FILE_MAX, file)?;
    let wrong = |fault: Fault| Failure::failed(format!("{name}: {fault}"));
    let read = Pskc::parse(&octets).map_err(wrong)?;
    let called = |name: &Option<String>| name.as_ref().map_or(String::new(), |name| format!(" ({name})"));
    let secret = match read.protection() {
        Protection::None => None,
        Protection::Key { name: key } => {
            let path = import.key_file.as_deref().ok_or_else(|| {
                Failure::usage(format!("{name} is encrypted with a pre-shared key{}", called(key)))
                    .hint("--key-file FILE says where the key is")
            })?;
            Some(key_file(path)?)
        }
        Protection::Passphrase { name: key } => Some(match &import.passphrase_file {
            Some(path) => input::secret_file(path)?,
            None => input::ask_hidden(
                &format!("Passphrase of {name}{}: ", called(key)),
                "--passphrase-file FILE",
            )?,
        }),
    };
    let opened = read.open(secret.as_ref()).map_err(wrong)?;
    tell(name, opened.notes.iter().map(|note| (note.line, &*note.what)));
    Ok(Source::new(opened.tokens, opened.faults, Form::Pskc { octets, pskc: read }))
}

/// A key as it is or in hexadecimal digits. Thirty-two digits are sixteen octets: no random key looks so.
fn key_file(path: &Path) -> anyhow::Result<Secret> {
    let name = path.display().to_string();
    let mut octets = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
    file.take(1_024).read_to_end(&mut octets).map_err(|error| unreadable(&name, &error))?;
    let digits = std::str::from_utf8(octets.trim_ascii()).ok().and_then(unhex).map(Zeroizing::new);
    let fits = |octets: &&Zeroizing<Vec<u8>>| [16, 24, 32].contains(&octets.len());
    match digits.as_ref().filter(fits).or(Some(&octets).filter(fits)) {
        Some(key) => Ok(Secret::new(key.as_slice())),
        None => Err(Failure::usage(format!("{name} holds no key"))
            .hint("16, 24 or 32 octets, or their hexadecimal digits")
            .into()),
    }
}

fn uris(
    user: Option<&UserName>,
    format: Format,
    name: &str,
    file: &mut dyn BufRead,
) -> anyhow::Result<Source> {
    let octets = whole(name, apps::FILE_MAX, file)?;
    let text = std::str::from_utf8(&octets)
        .map_err(|_| Failure::failed(format!("{name} is not UTF-8")).hint("save the file as UTF-8"))?;
    let contents =
        if format == Format::GoogleAuthenticator && !text.lines().any(|line| apps::is_uri(line.trim())) {
            let user = user.ok_or_else(|| {
                Failure::usage(format!("{name} does not say whose the token is"))
                    .hint("--user NAME says it; the app's export has lines of otpauth-migration://…")
            })?;
            apps::pam_file(text, user).map_err(|fault| Failure::failed(format!("{name}: {fault}")))?
        } else {
            apps::uris(text, user)
        };
    tell(name, contents.notes.iter().map(|(line, what)| (*line, &**what)));
    Ok(Source::new(contents.tokens, contents.faults, Form::Lines(Zeroizing::new(text.to_owned()))))
}

/// Prints notes, each of those that many tokens have once.
fn tell<'a>(name: &str, notes: impl Iterator<Item = (u64, &'a str)>) {
    let mut told: Vec<(&str, u64, usize)> = Vec::new();
    for (line, what) in notes {
        if let Some((_, _, times)) = told.iter_mut().find(|(known, ..)| *known == what) {
            *times += 1;
        } else if told.len() < 20 {
            // Beyond so many they differ in each token, and say nothing any more.
            told.push((what, line, 1));
        }
    }
    for (what, line, times) in told {
        let more = if times > 1 { format!(", and {} more", count(times - 1, "line")) } else { String::new() };
        note(format!("note: {name}: line {line}{more}: {what}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_beginning() {
        for (text, format) in [
            ("\u{feff}\n<?xml version=\"1.0\"?>", Format::Pskc),
            ("<KeyContainer", Format::Pskc),
            ("# a comment\nOTPAUTH://totp/a?secret=", Format::Otpauth),
            ("otpauth-migration://offline?data=x", Format::Otpauth),
            ("GEZDGNBVGY3TQOJQ\n\" TOTP_AUTH\n12345678\n", Format::GoogleAuthenticator),
            ("serial,secret\n", Format::Csv),
            ("1,GEZDGNBVGY3TQOJQ,30\n", Format::Csv),
            ("", Format::Csv),
        ] {
            assert_eq!(guess(text.as_bytes()), format, "{text}");
        }
    }
}
