//! `radmfa user set --pin`: what a user types before a code, where the client's policy wants it.

use std::path::PathBuf;

use clap::ValueHint;

use crate::base::secret::Secret;
use crate::cli::failure::Failure;
use crate::cli::input;
use crate::factor::pin;
use crate::store::user_act::UserAct;

/// The PIN, for clients whose policy says `pin = "with-code"`
#[derive(Debug, clap::Args)]
#[group(id = "pin_flags", multiple = false)]
pub(crate) struct PinFlags {
    /// Ask for a PIN at the terminal
    #[arg(long)]
    pin: bool,
    /// Read the PIN from this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pin_file: Option<PathBuf>,
    /// Take the PIN away
    #[arg(long)]
    no_pin: bool,
}

/// What is to become of the PIN.
#[derive(Debug)]
pub(super) enum NewPin {
    Set(Secret),
    Remove,
}

impl PinFlags {
    pub(super) fn read(&self) -> anyhow::Result<Option<NewPin>> {
        let secret = match &self.pin_file {
            Some(path) => input::secret_file(path)?,
            None if self.pin => {
                let first = input::ask_hidden("New PIN: ", "--pin-file FILE")?;
                if input::ask_hidden("The same again: ", "--pin-file FILE")? != first {
                    return Err(Failure::failed("the two PINs differ; nothing was changed").into());
                }
                first
            }
            None if self.no_pin => return Ok(Some(NewPin::Remove)),
            None => return Ok(None),
        };
        pin::check(&secret).map_err(|fault| Failure::usage(fault.to_string()))?;
        Ok(Some(NewPin::Set(secret)))
    }
}

impl NewPin {
    pub(super) fn act(&self) -> UserAct<'_> {
        match self {
            NewPin::Set(secret) => UserAct::SetPin(secret),
            NewPin::Remove => UserAct::RemovePin,
        }
    }
}
