//! `radmfa store`: backup, restore, a new sealing key, and what a store says of itself.

mod backup;
mod copy;
mod database;
mod info;
mod migrate;
mod rekey;
mod restore;

use std::path::PathBuf;

use clap::Subcommand;

use super::failure::Failure;
use super::store::{machine, warn, wrong};
use crate::config::flags::StoreFlags;
use crate::config::{self, SecretSource};
use crate::store::Place;
use crate::store::postgres::Address;
use crate::store::sqlite;

/// Back up, restore and look after the store
#[derive(Debug, clap::Args)]
pub(crate) struct Store {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Backup(backup::Backup),
    Restore(restore::Restore),
    Rekey(rekey::Rekey),
    Migrate(migrate::Migrate),
    Info(info::Info),
    Copy(copy::Copy),
}

impl Store {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Backup(command) => command.run(),
            Action::Restore(command) => command.run(),
            Action::Rekey(command) => command.run(),
            Action::Migrate(command) => command.run(),
            Action::Info(command) => command.run(),
            Action::Copy(command) => command.run(),
        }
    }
}

/// A store in a file, as flags, environment and configuration name it.
struct Named {
    path: PathBuf,
    /// Where its key is kept, if not beside it.
    key: Option<SecretSource>,
}

fn named(flags: &StoreFlags) -> anyhow::Result<Named> {
    let (said, warnings) = config::load_store(flags, &machine()).map_err(|errors| wrong(&errors))?;
    warn(&warnings);
    match Place::parse(&said.store).map_err(|fault| Failure::usage(fault.what).hint(fault.hint))? {
        Place::Sqlite(path) => Ok(Named { path, key: said.seal_key }),
        Place::Postgres(address) => Err(Failure::failed(format!(
            "store {address} is in a database, which has tools of its own"
        ))
        .hint(
            "pg_dump --format=custom backs it up, pg_restore brings it back; keep the sealing key elsewhere",
        )
        .into()),
        Place::Memory => {
            Err(Failure::failed("store memory: is gone when its process ends: there is nothing to keep")
                .hint("name a file: --store sqlite:PATH")
                .into())
        }
    }
}

/// The store where it is in a database.
fn in_database(flags: &StoreFlags) -> anyhow::Result<Option<(crate::store::Settings, Address)>> {
    let said = super::store::said(flags)?;
    if !Address::is_one(&said.store) {
        return Ok(None);
    }
    let settings = super::store::settings(&said.store, said.seal_key.as_ref())?;
    Ok(database::address(&settings).map(|address| (settings, address)))
}

/// The same, with its key read.
fn settings(flags: &StoreFlags) -> anyhow::Result<sqlite::Settings> {
    let Named { path, key } = named(flags)?;
    let settings = super::store::settings(&format!("sqlite:{}", path.display()), key.as_ref())?;
    Ok(sqlite::Settings { create: false, ..settings.file(&path) })
}
