//! `radmfa token set`, and the flags that say what is known of a token.

use crate::base::text::is_unprintable;
use crate::base::time::UnixTime;
use crate::cli::failure::Failure;
use crate::cli::output::{printable, say};
use crate::cli::why::Why;
use crate::config::flags::StoreFlags;
use crate::config::value;
use crate::factor::described::TEXT_MAX;
use crate::store::admin::TokenFields;

/// What is known of a token. An empty text takes back what was said.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Known {
    /// What its owner or the help desk calls it
    #[arg(long, value_name = "TEXT", value_parser = words)]
    label: Option<String>,
    /// Who made it
    #[arg(long, value_name = "TEXT", value_parser = words)]
    manufacturer: Option<String>,
    /// Which model it is
    #[arg(long, value_name = "TEXT", value_parser = words)]
    model: Option<String>,
    /// From when on it may be used, such as 2026-01-31, or now
    #[arg(long, value_name = "DATE", value_parser = start)]
    starts: Option<End>,
    /// Until when it may be used, such as 2029-12-31, or never
    #[arg(long, value_name = "DATE", value_parser = end)]
    expires: Option<End>,
}

/// An end or a beginning, or none.
#[derive(Clone, Copy, Debug)]
struct End(Option<UnixTime>);

fn words(text: &str) -> Result<String, String> {
    if text.len() > TEXT_MAX || text.chars().any(is_unprintable) {
        return Err(format!("takes up to {TEXT_MAX} printable characters"));
    }
    Ok(text.trim().to_owned())
}

fn end(text: &str) -> Result<End, String> {
    match text {
        "" | "never" => Ok(End(None)),
        _ => value::end_of(text)
            .map(|end| End(Some(end)))
            .ok_or_else(|| "takes a date such as 2029-12-31 (until its end in UTC), or never".to_owned()),
    }
}

fn start(text: &str) -> Result<End, String> {
    match text {
        "" | "now" => Ok(End(None)),
        _ => value::begin_of(text)
            .map(|start| End(Some(start)))
            .ok_or_else(|| "takes a date such as 2026-01-31 (from its beginning in UTC), or now".to_owned()),
    }
}

impl Known {
    /// Changes what was said.
    pub(super) fn edit(&self, fields: &mut TokenFields) {
        let set = |target: &mut Option<_>, said: &Option<String>| {
            if let Some(said) = said {
                *target = (!said.is_empty()).then(|| said.as_str().into());
            }
        };
        set(&mut fields.label, &self.label);
        set(&mut fields.manufacturer, &self.manufacturer);
        set(&mut fields.model, &self.model);
        if let Some(End(start)) = self.starts {
            fields.starts = start;
        }
        if let Some(End(end)) = self.expires {
            fields.expires = end;
        }
    }
}

/// Change what is known of a token
#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The serial number
    serial: String,
    #[command(flatten)]
    known: Known,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    store: StoreFlags,
}

impl Set {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut edit = |fields: &mut TokenFields| self.known.edit(fields);
        self.why.open(&self.store)?.set_token(&self.serial, &mut edit).map_err(Failure::from)?;
        Ok(say(format!("changed token {}", printable(&self.serial)))?)
    }
}
