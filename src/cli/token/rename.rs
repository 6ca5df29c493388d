//! `radmfa token rename`: another serial number, for one that was misread or mistyped.

use std::sync::Arc;

use crate::cli::failure::Failure;
use crate::cli::output::{printable, say};
use crate::cli::why::Why;
use crate::config::flags::StoreFlags;

/// Give a token another serial number
#[derive(Debug, clap::Args)]
pub(super) struct Rename {
    /// The serial number
    serial: String,
    /// The new one
    new: Arc<str>,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    store: StoreFlags,
}

impl Rename {
    pub(super) fn run(self) -> anyhow::Result<()> {
        self.why.open(&self.store)?.rename_token(&self.serial, &self.new).map_err(Failure::from)?;
        Ok(say(format!("token {} is called {} now", printable(&self.serial), printable(&self.new)))?)
    }
}
