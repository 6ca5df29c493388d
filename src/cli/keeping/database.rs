//! `radmfa store info` and `store migrate` for a store in a database.

use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::output::{Format, Listing, count, say};
use crate::cli::store::{clock, entropy};
use crate::engine::reason::Reason;
use crate::store::act::Act;
use crate::store::postgres::glance::{self, Info};
use crate::store::postgres::{self, Address};
use crate::store::{Place, Settings};

/// Shows what the store at `address` is.
pub(super) fn info(address: &Address, format: Format) -> anyhow::Result<()> {
    let info = glance::info(address).map_err(Failure::from)?;
    match format {
        Format::Table => show(address, &info),
        format => list(address, &info).print(format),
    }
}

fn show(address: &Address, info: &Info) -> anyhow::Result<()> {
    let line = |label: &str, text: String| say(format!("  {label:<12} {text}"));
    let number = |number: u64, what| -> anyhow::Result<String> { Ok(count(usize::try_from(number)?, what)) };
    say(address)?;
    line(
        "version",
        match info.version {
            0 => "a copy into it is not finished: run `radmfa store copy` again".to_owned(),
            version if version == info.version_here => version.to_string(),
            version => format!("{version}; this radmfa makes it {} when it opens it", info.version_here),
        },
    )?;
    line("users", number(info.users, "user")?)?;
    line("tokens", number(info.tokens, "token")?)?;
    line("trail", number(info.rows, "row")?)?;
    for chain in &info.chains {
        let whose = match chain.server.as_str() {
            "" => "commands".to_owned(),
            server if chain.taken => format!("{server}, which runs"),
            server => server.to_owned(),
        };
        let rows = number(chain.rows, "row")?;
        line("", format!("{rows} from {} on: {whose}", chain.base + 1))?;
    }
    line("waiting", number(info.parked, "login")?)?;
    line("key", info.fingerprint.clone())?;
    if info.earlier_keys > 0 {
        line("", format!("{} remembered", number(info.earlier_keys, "earlier key")?))?;
    }
    if info.rekey {
        line("", "a rekey was begun and is not finished: run `radmfa store rekey`".to_owned())?;
    }
    Ok(())
}

fn list(address: &Address, info: &Info) -> Listing {
    let mut listing = Listing::new(&[
        "address",
        "version",
        "users",
        "tokens",
        "rows",
        "parked-logins",
        "key-fingerprint",
        "earlier-keys",
        "rekey-under-way",
        "servers",
        "in-use-by",
    ]);
    let servers = || info.chains.iter().filter(|chain| !chain.server.is_empty());
    let names: Vec<&str> = servers().map(|chain| chain.server.as_str()).collect();
    let running: Vec<&str> =
        servers().filter(|chain| chain.taken).map(|chain| chain.server.as_str()).collect();
    listing.row([
        json!(address.to_string()),
        json!(info.version),
        json!(info.users),
        json!(info.tokens),
        json!(info.rows),
        json!(info.parked),
        json!(info.fingerprint),
        json!(info.earlier_keys),
        json!(info.rekey),
        json!(names),
        json!(running),
    ]);
    listing
}

/// Brings the store at `address` up to this version.
pub(super) fn migrate(settings: &Settings, address: &Address) -> anyhow::Result<()> {
    let before = glance::info(address).map_err(Failure::from)?;
    let (from, to) = (before.version, before.version_here);
    if from == to {
        return Ok(say(format!("store {address} is of version {to} already"))?);
    }
    let settings = Settings { create: false, tell: |_| {}, ..settings.clone() };
    let opened = postgres::open_admin(&settings, address, clock(), Box::new(entropy()?));
    let mut admin = opened.map_err(Failure::from)?;
    let act = Act::new(Reason::StoreMigrated).note(format!("{from} to {to}"));
    admin.note(&act).map_err(Failure::from)?;
    Ok(say(format!("store {address}: brought from version {from} to version {to}"))?)
}

/// The address of the store, where it is in a database, and with the password.
pub(super) fn address(settings: &Settings) -> Option<Address> {
    match &settings.place {
        Place::Postgres(address) => Some(Address::clone(address)),
        Place::Sqlite(_) | Place::Memory => None,
    }
}
