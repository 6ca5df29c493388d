//! Opening the store for a command: from flags, environment or file, as its owner.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use super::failure::Failure;
use super::{output, owner};
use crate::base::system::Clock;
use crate::config::flags::StoreFlags;
use crate::config::{self, Machine, SecretSource, Surroundings, Warning};
use crate::server::system::{SystemClock, SystemEntropy};
use crate::store::admin::Admin;
use crate::store::memory::MemoryStore;
use crate::store::seal::SealKey;
use crate::store::sqlite::{KeySource, Settings, SqliteAdmin};

/// What to do where there is no store yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Say so.
    Refuse,
    /// Make it.
    Create,
    /// Go on with an empty one that is forgotten afterwards.
    Pretend,
}

/// The machine's clock, names and environment.
pub(crate) fn machine() -> Machine {
    Machine(clock())
}

/// The machine's clocks.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// Fresh randomness.
pub(crate) fn entropy() -> anyhow::Result<SystemEntropy> {
    SystemEntropy::new().map_err(|fault| Failure::failed(fault.to_string()).into())
}

/// Opens the store that `flags` name. Read root's own files before.
pub(crate) fn open(flags: &StoreFlags, missing: Missing) -> anyhow::Result<Box<dyn Admin>> {
    let (settings, warnings) = config::load_store(flags, &machine()).map_err(wrong)?;
    warn(&warnings);
    let Some(settings) = sqlite(&settings.store, settings.seal_key.as_ref(), &machine())? else {
        return Err(Failure::usage("a store in memory is gone when its process ends")
            .hint("say which file: --store sqlite:PATH")
            .into());
    };
    if !settings.path.exists() {
        match missing {
            Missing::Refuse => {}
            Missing::Create => make_directory(&settings.path)?,
            Missing::Pretend => return Ok(Box::new(MemoryStore::new(clock(), Box::new(entropy()?)))),
        }
    }
    owner::become_owner(&settings.path)?;
    let settings = Settings { create: missing == Missing::Create, ..settings };
    let admin = SqliteAdmin::open(&settings, clock(), Box::new(entropy()?)).map_err(Failure::from)?;
    Ok(Box::new(admin))
}

/// The store file of `sqlite:PATH`, its key read; `None` for `memory:`.
pub(crate) fn sqlite(
    store: &str,
    seal_key: Option<&SecretSource>,
    around: &dyn Surroundings,
) -> anyhow::Result<Option<Settings>> {
    let Some(path) = store.strip_prefix("sqlite:") else { return Ok(None) };
    let key = match seal_key {
        None => KeySource::Beside,
        Some(source) => {
            let read = source.read(around).map_err(|fault| Failure::usage(fault.what).hint(fault.hint))?;
            let key = SealKey::parse(read.secret.expose()).ok_or_else(|| {
                Failure::usage(format!("the sealing key ({source}) is none"))
                    .hint("32 octets, or their 64 hexadecimal digits, as radmfa made them beside the store")
            })?;
            KeySource::Given(key)
        }
    };
    Ok(Some(Settings { key, ..Settings::new(path) }))
}

/// Makes the directory of a new store, for its owner alone.
fn make_directory(store: &Path) -> anyhow::Result<()> {
    let Some(directory) = store.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
        Failure::failed(format!("the directory {} cannot be made: {error}", directory.display()))
            .hint("make it yourself, or say another path: --store sqlite:PATH")
            .into()
    })
}

/// A configuration that is refused, all that is wrong with it at once.
pub(crate) fn wrong(errors: config::ConfigErrors) -> Failure {
    let all: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    Failure::usage(all.join("\nerror: "))
}

/// Prints warnings beside the output.
pub(crate) fn warn(warnings: &[Warning]) {
    for warning in warnings {
        output::note(format!("warning: {warning}"));
    }
}
