//! What commands take in that must not stand on a command line: passwords and secrets, from a file, from standard
//! input, or asked for at the terminal.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::failure::Failure;
use super::output::note;
use super::store::machine;
use crate::base::secret::Secret;
use crate::config::SecretSource;

/// The longest secret read from a file, in octets.
const SECRET_MAX: u64 = 64 * 1024;

/// Reads a secret from a file; one line end at its end is not part of it.
pub(crate) fn secret_file(path: &Path) -> anyhow::Result<Secret> {
    let cannot = |error: io::Error| {
        Failure::usage(format!("{} cannot be read: {error}", path.display()))
            .hint("check the path, and that you may read the file")
    };
    let file = File::open(path).map_err(cannot)?;
    secret_from(file).map_err(|error| cannot(error).into())
}

/// Reads a secret from standard input, to its end.
pub(crate) fn secret_stdin() -> anyhow::Result<Secret> {
    Ok(secret_from(io::stdin().lock())?)
}

fn secret_from(source: impl Read) -> io::Result<Secret> {
    let mut octets = Zeroizing::new(Vec::new());
    source.take(SECRET_MAX + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > SECRET_MAX {
        return Err(io::Error::other("a secret has 64 KiB at most"));
    }
    let line: &[u8] = octets.strip_suffix(b"\n").unwrap_or(&octets);
    Ok(Secret::new(line.strip_suffix(b"\r").unwrap_or(line)))
}

/// `file:PATH`, `env:NAME`, or the secret itself, as the configuration has it.
pub(crate) fn secret_said(said: &str) -> anyhow::Result<Secret> {
    let source = SecretSource::parse(said, None);
    let read = source.read(&machine()).map_err(|fault| Failure::usage(fault.what).hint(fault.hint))?;
    if matches!(source, SecretSource::Literal(_)) {
        note("warning: a secret on the command line shows in the list of processes; file:PATH keeps it");
    }
    Ok(read.secret)
}

/// Asks at the terminal without showing what is typed. `flags` are what a script would say instead.
pub(crate) fn ask_hidden(prompt: &str, flags: &str) -> anyhow::Result<Secret> {
    let typed = rpassword::prompt_password(prompt).map_err(|error| no_terminal(&error, flags))?;
    let typed = Zeroizing::new(typed);
    Ok(Secret::from(typed.as_str()))
}

/// Asks at the terminal, showing what is typed.
pub(crate) fn ask_shown(prompt: &str, flags: &str) -> anyhow::Result<Secret> {
    if !io::stdin().is_terminal() {
        return Err(no_terminal(&io::Error::from(io::ErrorKind::NotFound), flags).into());
    }
    note(prompt);
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line)?;
    Ok(Secret::from(line.trim_end_matches(['\r', '\n'])))
}

fn no_terminal(error: &io::Error, flags: &str) -> Failure {
    Failure::usage(format!("there is no terminal to ask at ({error})")).hint(format!("use {flags}"))
}

/// A new password, typed twice.
pub(crate) fn ask_new_password(flags: &str) -> anyhow::Result<Secret> {
    let first = ask_hidden("New password: ", flags)?;
    let again = ask_hidden("The same again: ", flags)?;
    if first != again {
        return Err(Failure::failed("the two passwords differ; nothing was changed").into());
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_not_part_of_a_secret() {
        let read = |text: &[u8]| secret_from(text).unwrap();
        assert_eq!(read(b"a b \n"), Secret::from("a b "));
        assert_eq!(read(b"a\r\n"), Secret::from("a"));
        assert_eq!(read(b"a\n\n"), Secret::from("a\n"));
        assert_eq!(read(b""), Secret::from(""));
        assert!(secret_from(&vec![b'x'; 64 * 1024][..]).is_ok());
        assert!(secret_from(&vec![b'x'; 64 * 1024 + 1][..]).is_err(), "cut, it would be another secret");
    }

    #[test]
    fn a_secret_is_named_or_literal() {
        assert_eq!(secret_said("literal:file:x").unwrap(), Secret::from("file:x"));
        assert_eq!(secret_said("testing123").unwrap(), Secret::from("testing123"));
        assert!(secret_said("file:/nonexistent/secret").unwrap_err().to_string().contains("cannot be read"));
        assert!(secret_said("").is_err());
    }
}
