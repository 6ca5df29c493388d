//! `radmfa token replace`: another token in the place of a lost one, which is good no more from that moment on.

use std::sync::Arc;

use super::make::{new_seed, new_serial, show};
use crate::base::name::UserName;
use crate::cli::failure::Failure;
use crate::cli::output::{printable, say};
use crate::cli::store::entropy;
use crate::cli::why::Why;
use crate::config::flags::StoreFlags;
use crate::factor::otpauth;
use crate::store::admin::{AdminFault, NewToken, Replacement};

/// Disable a lost token and give its user another one
#[derive(Debug, clap::Args)]
pub(super) struct Replace {
    /// The serial number of the lost one
    serial: String,
    /// The serial number of one in stock; without it, one is made for an app like the lost one
    new: Option<Arc<str>>,
    /// What the app shows beside the user's name, where one is made
    #[arg(long, default_value = "radmfa")]
    issuer: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    store: StoreFlags,
}

impl Replace {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut admin = self.why.open(&self.store)?;
        let by = if let Some(serial) = self.new {
            Replacement::Stock(serial)
        } else {
            let lost = admin.token(&self.serial).map_err(Failure::from)?;
            let mut random = entropy()?;
            let serial = new_serial(&mut random);
            let made = NewToken::new(serial, lost.user, new_seed(&mut random), lost.parameters);
            Replacement::Made(Box::new(made))
        };
        let replaced = admin.replace_token(&self.serial, &by);
        let user = replaced.map_err(|fault| match (&fault, &by) {
            (AdminFault::Missing(_), Replacement::Stock(_)) => Failure::from(fault)
                .hint("import it first, or leave its number out to make one for the user's app"),
            _ => fault.into(),
        })?;
        let (lost, new) = (printable(&self.serial), printable(by.serial()));
        say(format!("disabled token {lost}; {user} has token {new} in its place"))?;
        match &by {
            Replacement::Stock(_) => Ok(()),
            Replacement::Made(made) => {
                show(&otpauth::uri(&self.issuer, UserName::as_str(&user), &made.seed, &made.parameters, 0))
            }
        }
    }
}
