//! `radmfa store migrate`: an older store becomes one of today's version.

use super::{database, in_database, settings};
use crate::cli::failure::Failure;
use crate::cli::output::say;
use crate::cli::store::{clock, entropy};
use crate::cli::{owner, progress};
use crate::config::flags::StoreFlags;
use crate::store::sqlite::{Settings, SqliteAdmin, glance};

/// Bring a store that an older radmfa made up to this version
///
/// A server or any command does the same when it opens the store; this does nothing else. An older radmfa cannot open the
/// store afterwards, so back it up before: `radmfa store backup` does not migrate.
#[derive(Debug, clap::Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    store: StoreFlags,
}

impl Migrate {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if let Some((settings, address)) = in_database(&self.store)? {
            return database::migrate(&settings, &address);
        }
        let settings = Settings { tell: |_| {}, ..settings(&self.store)? };
        owner::become_owner(&settings.path)?;
        let before = glance::info(&settings.path).map_err(Failure::from)?;
        let (from, to) = (before.counts.version, before.version_here);
        if from == to {
            say(format!("store {} is of version {to} already", settings.path.display()))?;
            return Ok(());
        }
        {
            let bar = progress::bar("migrating");
            bar.at(0, 1);
            // Whoever opens it migrates it, and leaves the row that says so.
            drop(SqliteAdmin::open(&settings, clock(), Box::new(entropy()?)).map_err(Failure::from)?);
        }
        say(format!("store {}: brought from version {from} to version {to}", settings.path.display()))?;
        Ok(())
    }
}
