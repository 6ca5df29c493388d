//! `radmfa store info`: version, sizes, counts, key, head of the trail.

use std::path::Path;

use serde_json::json;

use super::{Named, database, in_database, named};
use crate::cli::failure::Failure;
use crate::cli::output::{Format, FormatFlag, Listing, count, say};
use crate::cli::owner;
use crate::config::flags::StoreFlags;
use crate::store::sqlite::glance;

/// Show what the store is: version, sizes, counts, its key's fingerprint, the newest record
///
/// Needs no key and changes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Info {
    #[command(flatten)]
    format: FormatFlag,
    #[command(flatten)]
    store: StoreFlags,
}

impl Info {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if let Some((_, address)) = in_database(&self.store)? {
            return database::info(&address, self.format.format);
        }
        let Named { path, key } = named(&self.store)?;
        owner::become_owner(&path)?;
        let info = glance::info(&path).map_err(Failure::from)?;
        let place = match (&key, &info.key) {
            (Some(source), _) => source.to_string(),
            (None, Some(path)) => path.display().to_string(),
            (None, None) => "not beside the store".to_owned(),
        };
        match self.format.format {
            Format::Table => show(&path, &info, &place),
            format => list(&path, &info, &place).print(format),
        }
    }
}

fn show(path: &Path, info: &glance::Info, key: &str) -> anyhow::Result<()> {
    let counts = &info.counts;
    let line = |label: &str, text: String| say(format!("  {label:<12} {text}"));
    say(path.display())?;
    let version = if counts.version == info.version_here {
        format!("{}", counts.version)
    } else {
        format!("{}; this radmfa makes it {} when it opens it", counts.version, info.version_here)
    };
    line("version", version)?;
    let [database, log, free] = info.octets;
    line("size", format!("{database} octets ({free} of them free), write-ahead log {log}"))?;
    line("users", count(usize::try_from(counts.users)?, "user"))?;
    line("tokens", count(usize::try_from(counts.tokens)?, "token"))?;
    let [first, last] = counts.rows;
    let rows = count(usize::try_from(counts.trail())?, "row");
    line("trail", if last == 0 { rows } else { format!("{rows}, {first} to {last}") })?;
    if let Some(head) = &info.head {
        line("head", format!("row {last}, {head}"))?;
    }
    line("key", format!("{}, {key}", counts.fingerprint))?;
    if info.earlier_keys > 0 {
        line("", format!("{} remembered", count(info.earlier_keys, "earlier key")))?;
    }
    if info.rekey {
        line("", "a rekey was begun and is not finished: run `radmfa store rekey`".to_owned())?;
    }
    let holders = &info.holders;
    line("in use by", if holders.is_empty() { "nobody".to_owned() } else { holders.join(", ") })?;
    Ok(())
}

fn list(path: &Path, info: &glance::Info, key: &str) -> Listing {
    let counts = &info.counts;
    let mut listing = Listing::new(&[
        "path",
        "version",
        "octets",
        "log-octets",
        "free-octets",
        "users",
        "tokens",
        "first-row",
        "last-row",
        "head",
        "key-fingerprint",
        "key",
        "earlier-keys",
        "rekey-under-way",
        "in-use-by",
    ]);
    listing.row([
        json!(path.display().to_string()),
        json!(counts.version),
        json!(info.octets[0]),
        json!(info.octets[1]),
        json!(info.octets[2]),
        json!(counts.users),
        json!(counts.tokens),
        json!(counts.rows[0]),
        json!(counts.rows[1]),
        json!(info.head),
        json!(counts.fingerprint),
        json!(key),
        json!(info.earlier_keys),
        json!(info.rekey),
        json!(info.holders),
    ]);
    listing
}
