//! `radmfa store backup`: a copy of a store in use.

use std::path::PathBuf;

use clap::ValueHint;

use super::{Named, named, settings};
use crate::cli::failure::Failure;
use crate::cli::output::{count, note, say};
use crate::cli::store::{clock, entropy};
use crate::cli::{owner, progress};
use crate::config::flags::StoreFlags;
use crate::engine::reason::Reason;
use crate::store::act::Act;
use crate::store::sqlite::{Settings, SqliteAdmin, backup, glance};

/// Copy the store into a file, while the server runs
///
/// The copy is the store as it was at one moment, verified after it was written. It holds no key: keep that elsewhere.
#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The file to write
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    store: StoreFlags,
}

impl Backup {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Named { path, key } = named(&self.store)?;
        let settings = settings(&self.store)?;
        // The file is whoever runs this; the store is its owner's.
        let mut made = backup::Backup::begin(&path, &self.file, self.force).map_err(Failure::from)?;
        {
            let _lent = owner::lend(&path)?;
            let bar = progress::bar("pages");
            made.copy(&path, &mut |done, total| bar.at(done, total)).map_err(Failure::from)?;
        }
        let report = made.finish().map_err(Failure::from)?;
        let counts = &report.counts;
        say(format!(
            "backed up {} to {}: {}, {}, {}; {} octets, verified",
            path.display(),
            self.file.display(),
            count(usize::try_from(counts.users)?, "user"),
            count(usize::try_from(counts.tokens)?, "token"),
            count(usize::try_from(counts.trail())?, "row"),
            report.octets,
        ))?;
        self.record(&settings, counts)?;
        let place = match key {
            Some(source) => format!("kept as {source}"),
            None => match glance::info(&path).map_err(Failure::from)?.key {
                Some(path) => path.display().to_string(),
                None => "not beside the store".to_owned(),
            },
        };
        say(format!(
            "the key is not in it: {place}, fingerprint {}. Keep it elsewhere; without it the backup cannot be read.",
            counts.fingerprint
        ))?;
        Ok(())
    }

    /// Leaves the row of it in the store, which is opened only now: an older one that is backed up before an upgrade is not
    /// to be migrated by that.
    fn record(&self, settings: &Settings, counts: &glance::Counts) -> anyhow::Result<()> {
        if counts.version != glance::VERSION {
            note(format!("the store is of version {}, so this backup is not in its trail", counts.version));
            return Ok(());
        }
        let _lent = owner::lend(&settings.path)?;
        let mut admin = SqliteAdmin::open(settings, clock(), Box::new(entropy()?)).map_err(Failure::from)?;
        let act = Act::new(Reason::StoreBackedUp).note(self.file.display().to_string());
        admin.note(act).map_err(Failure::from)?;
        Ok(())
    }
}
