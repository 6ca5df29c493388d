//! Where a secret is kept: `file:PATH`, `env:NAME`, or the configuration itself.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::surroundings::Surroundings;
use crate::base::secret::Secret;

/// The longest secret that is read from a file, in octets.
const FILE_MAX: usize = 64 << 10;

/// Where a secret is kept. Prints as it was written, a literal as `…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// `file:PATH`: the file's octets without the newline at their end.
    File(PathBuf),
    /// `env:NAME`: the value of an environment variable.
    Environment(String),
    /// The secret itself, after `literal:` where it could be mistaken for one of the others.
    Literal(Secret),
}

/// A secret that was read, and what its file's mode says.
#[derive(Debug)]
pub struct Fetched {
    /// The secret; not empty.
    pub secret: Secret,
    /// The file's permission bits, where somebody else than its owner may read it.
    pub exposed: Option<u32>,
}

/// Why a secret cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SecretFault {
    /// What is wrong, and with which file or variable.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl SecretSource {
    /// Reads the notation. A relative path starts from `directory`.
    #[must_use]
    pub fn parse(text: &str, directory: Option<&Path>) -> SecretSource {
        if let Some(path) = text.strip_prefix("file:") {
            SecretSource::File(directory.map_or_else(|| path.into(), |directory| directory.join(path)))
        } else if let Some(name) = text.strip_prefix("env:") {
            SecretSource::Environment(name.to_owned())
        } else {
            SecretSource::Literal(Secret::from(text.strip_prefix("literal:").unwrap_or(text)))
        }
    }

    /// Fetches the secret. One newline at the end of a file is not part of it.
    pub fn read(&self, around: &dyn Surroundings) -> Result<Fetched, SecretFault> {
        let fault = |what: String, hint: &str| SecretFault { what, hint: hint.to_owned() };
        let (octets, exposed) = match self {
            SecretSource::File(path) => read_file(path).map_err(|error| {
                fault(
                    format!("the secret in {} cannot be read: {error}", path.display()),
                    "check the path, and that the user who runs radmfa may read it",
                )
            })?,
            SecretSource::Environment(name) => match around.variable(name) {
                Some(value) => (Zeroizing::new(value.into_bytes()), None),
                None => {
                    return Err(fault(
                        format!("the environment variable {name} is not set"),
                        "set it, or keep the secret in a file: file:PATH",
                    ));
                }
            },
            SecretSource::Literal(secret) => (Zeroizing::new(secret.expose().to_vec()), None),
        };
        if octets.is_empty() {
            return Err(fault(
                format!("the secret ({self}) is empty"),
                "a secret has at least one character",
            ));
        }
        Ok(Fetched { secret: Secret::new(octets.as_slice()), exposed })
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::File(path) => write!(formatter, "file:{}", path.display()),
            SecretSource::Environment(name) => write!(formatter, "env:{name}"),
            SecretSource::Literal(_) => formatter.write_str("…"),
        }
    }
}

type FileSecret = (Zeroizing<Vec<u8>>, Option<u32>);

fn read_file(path: &Path) -> std::io::Result<FileSecret> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode() & 0o7777;
    // All that fits at once, so that growing leaves no unwiped copy behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(FILE_MAX + 1));
    file.take(FILE_MAX as u64 + 1).read_to_end(&mut octets)?;
    if octets.len() > FILE_MAX {
        return Err(std::io::Error::other("it is longer than 64 KiB"));
    }
    if octets.ends_with(b"\n") {
        octets.pop();
        if octets.ends_with(b"\r") {
            octets.pop();
        }
    }
    Ok((octets, (mode & 0o044 != 0).then_some(mode)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_says_where_a_secret_is_kept() {
        let parse = |text| SecretSource::parse(text, Some(Path::new("/etc/radmfa")));
        assert_eq!(parse("file:nas.secret"), SecretSource::File("/etc/radmfa/nas.secret".into()));
        assert_eq!(parse("file:/run/nas"), SecretSource::File("/run/nas".into()));
        assert_eq!(parse("env:NAS"), SecretSource::Environment("NAS".into()));
        assert_eq!(parse("literal:file:x"), SecretSource::Literal(Secret::from("file:x")));
        assert_eq!(parse("x"), SecretSource::Literal(Secret::from("x")));
    }

    #[test]
    fn a_literal_never_prints() {
        assert_eq!(SecretSource::parse("hunter2", None).to_string(), "…");
        assert!(!format!("{:?}", SecretSource::parse("hunter2", None)).contains("hunter2"));
    }
}
