//! Why a command did not do what it was asked: what is wrong, what to do about it, and the exit code that says so.

use std::fmt;

use crate::store::StoreFault;
use crate::store::admin::AdminFault;

/// A command did not do what it was asked.
pub(crate) const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
pub(crate) const USAGE: u8 = 2;

/// A failure with a remedy. Travels in [`anyhow::Error`]; one without it prints its chain and exits with [`FAILED`].
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    what: String,
    hint: Option<String>,
    /// The command has said everything itself.
    silent: bool,
}

impl Failure {
    /// Something did not work.
    pub(crate) fn failed(what: impl Into<String>) -> Failure {
        Failure { code: FAILED, what: what.into(), hint: None, silent: false }
    }

    /// The admin asked for something that cannot be.
    pub(crate) fn usage(what: impl Into<String>) -> Failure {
        Failure { code: USAGE, ..Failure::failed(what) }
    }

    /// All is said; only the exit code is left.
    pub(crate) fn said() -> Failure {
        Failure { silent: true, ..Failure::failed("") }
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<StoreFault> for Failure {
    fn from(fault: StoreFault) -> Failure {
        Failure::failed(fault.what).hint(fault.hint)
    }
}

impl From<AdminFault> for Failure {
    fn from(fault: AdminFault) -> Failure {
        match fault {
            AdminFault::Store(fault) => fault.into(),
            AdminFault::Invalid(what) => Failure::usage(what),
            AdminFault::Missing(_) | AdminFault::Exists(_) => Failure::failed(fault.to_string()),
        }
    }
}

/// What stands on stderr for `error`, and the exit code. Nothing for a reader that went away: `radmfa user list | head`.
pub(crate) fn report(error: &anyhow::Error) -> (Option<String>, u8) {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return ((!failure.silent).then(|| format!("error: {failure}")), failure.code);
    }
    let broken_pipe = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe);
    if broken_pipe {
        return (None, 0);
    }
    (Some(format!("error: {error:#}")), FAILED)
}
