//! `radmfa store rekey`: a new sealing key.

use super::settings;
use crate::cli::failure::Failure;
use crate::cli::output::{count, note, printable, say};
use crate::cli::store::{clock, entropy, machine};
use crate::cli::{owner, progress};
use crate::config::SecretSource;
use crate::config::flags::StoreFlags;
use crate::store::seal::SealKey;
use crate::store::sqlite::{KeySource, rekey};

/// Seal everything in the store with a new key, while the server runs
///
/// The key beside the store is replaced, and the one from before kept with its fingerprint behind its name, for backups that
/// were made with it. Where the key is kept elsewhere (seal-key), name the new one, and change the setting afterwards. If it
/// is ended half-way, the store stays readable; run it again to go on.
#[derive(Debug, clap::Args)]
pub(super) struct Rekey {
    /// The new key, as `file:PATH` or `env:NAME`; a random one when not given
    #[arg(long, value_name = "SECRET")]
    new_seal_key: Option<String>,
    #[command(flatten)]
    store: StoreFlags,
}

impl Rekey {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = settings(&self.store)?;
        let beside = matches!(settings.key, KeySource::Beside);
        if !beside && self.new_seal_key.is_none() {
            return Err(Failure::usage(
                "the key of this store is kept elsewhere (seal-key), so the new one has to be named",
            )
            .hint("--new-seal-key file:PATH; `openssl rand -hex 32` makes one")
            .into());
        }
        let new = self.new_seal_key.as_deref().map(read).transpose()?;
        owner::become_owner(&settings.path)?;
        let done = {
            let bar = progress::bar("sealing");
            let mut at = |done, total| bar.at(done, total);
            rekey::rekey(&settings, new, clock(), Box::new(entropy()?), &mut at).map_err(Failure::from)?
        };
        let begun = if done.resumed { "the rekey that was begun is finished: " } else { "" };
        let values = count(usize::try_from(done.resealed)?, "value");
        say(format!(
            "{begun}{values} re-sealed; the key's fingerprint is {} now, it was {}",
            done.now, done.before
        ))?;
        if let Some(key) = &done.key {
            say(format!("  the new key is {}: back it up, apart from the store", key.display()))?;
        } else {
            say("  set seal-key to the new key before the server starts again; one that runs goes on")?;
        }
        if let Some(kept) = &done.kept {
            say(format!(
                "  the key from before is {}; remove it when no backup needs it any more",
                kept.display()
            ))?;
        }
        if done.shared {
            say(
                "  the store is in use: until the server is restarted, the key from before opens the store as well",
            )?;
        }
        for name in &done.damaged {
            note(format!(
                "warning: the sealed seed of token {} is damaged; no key opens it",
                printable(name)
            ));
        }
        if !done.damaged.is_empty() {
            return Err(Failure::said().into());
        }
        Ok(())
    }
}

fn read(text: &str) -> anyhow::Result<SealKey> {
    let source = SecretSource::parse(text, None);
    if matches!(source, SecretSource::Literal(_)) {
        return Err(Failure::usage("a key on the command line is seen by everybody on this machine")
            .hint("--new-seal-key file:PATH or env:NAME")
            .into());
    }
    let read = source.read(&machine()).map_err(|fault| Failure::usage(fault.what).hint(fault.hint))?;
    SealKey::parse(read.secret.expose()).ok_or_else(|| {
        Failure::usage("--new-seal-key is no key")
            .hint("32 octets, or their 64 hexadecimal digits: openssl rand -hex 32")
            .into()
    })
}
