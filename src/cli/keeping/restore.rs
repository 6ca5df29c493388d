//! `radmfa store restore`: a backup in place of the store.

use std::path::PathBuf;

use clap::ValueHint;

use super::settings;
use crate::cli::failure::Failure;
use crate::cli::output::{count, say};
use crate::cli::owner;
use crate::cli::store::{clock, entropy, make_directory};
use crate::config::flags::StoreFlags;
use crate::store::sqlite::restore;

/// Put a backup in the store's place, while no server runs
///
/// What was there is kept beside it. Codes that were valid until now do not work again, and bypasses are void; what cannot
/// be known of the time since the backup is named at the end. Where the store's key was changed since, the earlier key
/// has to lie beside it still, or be named with --seal-key.
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The file that `store backup` wrote
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    store: StoreFlags,
}

impl Restore {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = settings(&self.store)?;
        let path = settings.path.clone();
        // Root's own file, before root is given up.
        let source = restore::Source::open(&self.file).map_err(Failure::from)?;
        make_directory(&path)?;
        owner::become_owner(&path)?;
        let done =
            restore::restore(source, &settings, &clock(), Box::new(entropy()?)).map_err(Failure::from)?;
        let number = |number: u64, thing: &str| count(usize::try_from(number).unwrap_or(usize::MAX), thing);
        say(format!(
            "restored {} from {}: {}, {}, {}",
            path.display(),
            self.file.display(),
            number(done.counts.users, "user"),
            number(done.counts.tokens, "token"),
            number(done.counts.trail(), "row"),
        ))?;
        if let Some(version) = done.migrated {
            say(format!("  it was of version {version} and is of version {} now", done.counts.version))?;
        }
        if let Some(aside) = &done.aside {
            say(format!("  what was there before is {}", aside.display()))?;
        }
        if let Some(aside) = &done.key_aside {
            say(format!(
                "  the backup's own key is in place; the key that was there is {}",
                aside.display()
            ))?;
        }
        say(format!(
            "  codes up to this moment are spent for {}: users wait for their next code but one",
            number(done.marked, "token")
        ))?;
        match done.voided {
            0 => {}
            1 => say("  1 one-time bypass is void now")?,
            more => say(format!("  {more} one-time bypasses are void now"))?,
        }
        say("at risk:")?;
        let since = done.newest.map_or_else(|| "the backup".to_owned(), |newest| newest.to_string());
        say(format!(
            "  - what was changed since {since} is gone: users, tokens, blocks, passwords, wrong-code counts"
        ))?;
        match (done.taken_over, done.counters) {
            (Some(known), _) => say(format!(
                "  - spent codes were taken over from the replaced store, for {}",
                number(known, "token")
            ))?,
            (None, 0) => {}
            (None, counters) => say(format!(
                "  - codes of {} that were used since the backup may work again: \
                 radmfa token resync SERIAL CODE1 CODE2 for each",
                number(counters, "counter token")
            ))?,
        }
        if done.recovery > 0 {
            say(
                "  - recovery codes used since the backup work again: radmfa user recovery USER for whom it concerns",
            )?;
        }
        Ok(())
    }
}
