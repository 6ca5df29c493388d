//! `--reason`: why something is done, for the audit trail.

use std::sync::Arc;

use crate::base::text::is_unprintable;
use crate::cli::store::{Missing, open_because};
use crate::config::flags::StoreFlags;
use crate::store::admin::Admin;

/// The longest reason, in octets.
const WHY_MAX: usize = 200;

/// Why something is done.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Why {
    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT", value_parser = why)]
    pub(crate) reason: Option<Arc<str>>,
}

/// A reason on the command line.
pub(crate) fn why(text: &str) -> Result<Arc<str>, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > WHY_MAX || text.chars().any(is_unprintable) {
        return Err(format!("takes 1 to {WHY_MAX} printable characters"));
    }
    Ok(text.into())
}

impl Why {
    /// Opens a store that is there.
    pub(crate) fn open(&self, store: &StoreFlags) -> anyhow::Result<Box<dyn Admin>> {
        open_because(store, Missing::Refuse, self.reason.clone())
    }
}
