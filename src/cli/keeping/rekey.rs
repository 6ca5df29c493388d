//! `radmfa store rekey`: a new sealing key.

use super::{in_database, settings};
use crate::cli::failure::Failure;
use crate::cli::output::{count, note, printable, say};
use crate::cli::store::{clock, entropy, machine};
use crate::cli::{owner, progress};
use crate::config::SecretSource;
use crate::config::flags::StoreFlags;
use crate::store::postgres;
use crate::store::rekey::Report;
use crate::store::seal::SealKey;
use crate::store::sqlite::{KeySource, rekey};

/// Seal everything in the store with a new key, while the server runs
///
/// The key beside the store is replaced, and the one from before kept with its fingerprint behind its name, for backups that
/// were made with it. Where the key is kept elsewhere (seal-key), as a database's always is, name the new one, and change the
/// setting of every server afterwards. If it is ended half-way, the store stays readable; run it again to go on.
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
        if let Some((settings, address)) = in_database(&self.store)? {
            let new = self.new_seal_key.as_deref().ok_or_else(unnamed)?;
            let new = read(new)?;
            let done = {
                let bar = progress::bar("sealing");
                let mut at = |done, total| bar.at(done, total);
                let entropy = Box::new(entropy()?);
                postgres::rekey::rekey(&settings, &address, &new, clock(), entropy, &mut at)
                    .map_err(Failure::from)?
            };
            return tell(&done, DATABASE);
        }
        let settings = settings(&self.store)?;
        if !matches!(settings.key, KeySource::Beside) && self.new_seal_key.is_none() {
            return Err(unnamed().into());
        }
        let new = self.new_seal_key.as_deref().map(read).transpose()?;
        owner::become_owner(&settings.path)?;
        let done = {
            let bar = progress::bar("sealing");
            let mut at = |done, total| bar.at(done, total);
            rekey::rekey(&settings, new, clock(), Box::new(entropy()?), &mut at).map_err(Failure::from)?
        };
        tell(&done, FILE)
    }
}

/// What is said where servers have the store open.
const FILE: &str =
    "the store is in use: until the server is restarted, the key from before opens the store as well";
const DATABASE: &str = "servers run on it and go on, with both keys: restart each with the new one, one soon after the other; \
                        meanwhile a code that goes to another server than its password is refused (`state-forged`)";

fn tell(done: &Report, in_use: &str) -> anyhow::Result<()> {
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
        say(format!("  {in_use}"))?;
    }
    for name in &done.damaged {
        note(format!("warning: the sealed seed of token {} is damaged; no key opens it", printable(name)));
    }
    if !done.damaged.is_empty() {
        return Err(Failure::said().into());
    }
    Ok(())
}

fn unnamed() -> Failure {
    Failure::usage("the key of this store is kept elsewhere (seal-key), so the new one has to be named")
        .hint("--new-seal-key file:PATH; `openssl rand -hex 32` makes one")
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
