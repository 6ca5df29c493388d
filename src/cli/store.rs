//! Opening the store for a command: from flags, environment or file, as its owner.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use super::failure::Failure;
use super::{output, owner};
use crate::base::name::Label;
use crate::base::system::Clock;
use crate::config::flags::StoreFlags;
use crate::config::{self, Machine, SecretSource, StoreSettings, Surroundings as _, Warning};
use crate::server::system::{SystemClock, SystemEntropy};
use crate::store::act::Origin;
use crate::store::admin::Admin;
use crate::store::memory::MemoryStore;
use crate::store::postgres::glance;
use crate::store::seal::SealKey;
use crate::store::sqlite::KeySource;
use crate::store::{self, Place, Settings};

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

/// What `flags`, environment and file say of the store and of those who log in.
pub(crate) fn said(flags: &StoreFlags) -> anyhow::Result<StoreSettings> {
    Ok(config::load_store(flags, &machine()).map_err(|errors| wrong(&errors))?.0)
}

/// Whether the store that `flags` name is there. One in memory never is.
pub(crate) fn is_there(flags: &StoreFlags) -> anyhow::Result<bool> {
    let settings = settings(&said(flags)?.store, None)?;
    Ok(match &settings.place {
        Place::Sqlite(path) => path.exists(),
        Place::Postgres(address) => glance::is_there(address).map_err(Failure::from)?,
        Place::Memory => false,
    })
}

/// Opens the store that `flags` name. Read root's own files before.
pub(crate) fn open(flags: &StoreFlags, missing: Missing) -> anyhow::Result<Box<dyn Admin>> {
    open_because(flags, missing, None)
}

/// The same, for something whose reason is to stand in the trail.
pub(crate) fn open_because(
    flags: &StoreFlags,
    missing: Missing,
    why: Option<Arc<str>>,
) -> anyhow::Result<Box<dyn Admin>> {
    let (said, warnings) = config::load_store(flags, &machine()).map_err(|errors| wrong(&errors))?;
    warn(&warnings);
    let settings = settings(&said.store, said.seal_key.as_ref())?;
    let settings = Settings { recording: said.recording, ..settings };
    if let Place::Postgres(address) = &settings.place
        && missing == Missing::Pretend
        && !glance::is_there(address).map_err(Failure::from)?
    {
        return Ok(Box::new(MemoryStore::new(clock(), Box::new(entropy()?))));
    }
    if let Place::Sqlite(path) = &settings.place {
        if !path.exists() {
            match missing {
                Missing::Refuse => {}
                Missing::Create => make_directory(path)?,
                Missing::Pretend => return Ok(Box::new(MemoryStore::new(clock(), Box::new(entropy()?)))),
            }
        }
        owner::become_owner(path)?;
    }
    let fresh = matches!(&settings.place, Place::Sqlite(path) if !path.exists());
    let origin = Origin { why, ..settings.origin };
    let settings = Settings { create: missing == Missing::Create, origin, ..settings };
    let opened = store::open_admin(&settings, clock(), Box::new(entropy()?)).map_err(Failure::from)?;
    if fresh {
        // A store in a place that nobody meant is found again by this.
        output::note(format!("made the store {}", settings.place));
    }
    Ok(opened)
}

/// The settings of the store at `place`, its key read.
pub(crate) fn settings(place: &str, seal_key: Option<&SecretSource>) -> anyhow::Result<Settings> {
    let place = Place::parse(place).map_err(|fault| Failure::usage(fault.what).hint(fault.hint))?;
    let place = with_password(place)?;
    let key = match seal_key {
        None => KeySource::Beside,
        Some(source) => {
            let read =
                source.read(&machine()).map_err(|fault| Failure::usage(fault.what).hint(fault.hint))?;
            let key = SealKey::parse(read.secret.expose()).ok_or_else(|| {
                Failure::usage(format!("the sealing key ({source}) is none"))
                    .hint("32 octets, or their 64 hexadecimal digits, as radmfa made them beside the store")
            })?;
            KeySource::Given(key)
        }
    };
    Ok(Settings { key, origin: origin(), tell: |line| output::note(line), ..Settings::new(place) })
}

/// A database's address with the password that it names the place of.
fn with_password(place: Place) -> anyhow::Result<Place> {
    let Place::Postgres(address) = place else { return Ok(place) };
    let Some(source) = address.password_source() else { return Ok(Place::Postgres(address)) };
    let source = SecretSource::parse(source, None);
    let read = source.read(&machine()).map_err(|fault| Failure::usage(fault.what).hint(fault.hint))?;
    Ok(Place::Postgres(Box::new(address.with_password(&read.secret))))
}

/// Who works on the store: asked before root is given up.
pub(crate) fn origin() -> Origin {
    let uid = nix::unistd::getuid();
    let name = nix::unistd::User::from_uid(uid).ok().flatten().map_or(uid.to_string(), |user| user.name);
    // Anybody can set the variable; only what root was given by sudo says who root is.
    let through = machine().variable("SUDO_USER").filter(|_| uid.is_root());
    let actor = match through {
        Some(user) => format!("{} as {name}", output::printable(&user)),
        None => name,
    };
    let host = machine().host_name().and_then(|host| Label::new(&host).ok());
    let default = Origin::default();
    Origin { server: host.unwrap_or(default.server.clone()), actor: Some(actor.into()), ..default }
}

/// Makes the directory that a new store is to lie in.
pub(crate) fn make_directory_of(settings: &Settings) -> anyhow::Result<()> {
    match &settings.place {
        Place::Sqlite(path) if !path.exists() => make_directory(path),
        _ => Ok(()),
    }
}

/// Makes the directory of a new store, for its owner alone.
pub(crate) fn make_directory(store: &Path) -> anyhow::Result<()> {
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
pub(crate) fn wrong(errors: &config::ConfigErrors) -> Failure {
    let all: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    Failure::usage(all.join("\nerror: "))
}

/// Prints warnings beside the output.
pub(crate) fn warn(warnings: &[Warning]) {
    for warning in warnings {
        output::note(format!("warning: {warning}"));
    }
}
