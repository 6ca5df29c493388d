//! `radmfa report tokens`: tokens that want to be looked at.

use std::time::Duration;

use serde_json::json;

use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::cli::failure::Failure;
use crate::cli::output::{FormatFlag, Listing};
use crate::cli::store::{Missing, clock, open};
use crate::cli::value::user_name;
use crate::config::flags::StoreFlags;
use crate::store::admin::{TokenDetails, TokenFilter};

/// Tokens read at a time.
const PAGE: usize = 1_000;

/// List tokens that were never used, drift, or expire
#[derive(Debug, clap::Args)]
pub(crate) struct Tokens {
    /// Those that expire within this time
    #[arg(long, value_parser = span, value_name = "DURATION", default_value = "30d")]
    expiring: Duration,
    /// Only this user's
    #[arg(long, value_parser = user_name, value_name = "NAME")]
    user: Option<UserName>,
    #[command(flatten)]
    format: FormatFlag,
    #[command(flatten)]
    store: StoreFlags,
}

fn span(text: &str) -> Result<Duration, String> {
    crate::config::span(text).ok_or_else(|| "takes a time such as 30d".to_owned())
}

impl Tokens {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut admin = open(&self.store, Missing::Refuse)?;
        let now = clock().unix();
        let mut listing = Listing::new(&["serial", "user", "why", "drift", "expires", "created"]);
        let mut filter = TokenFilter { user: self.user.clone(), limit: PAGE, ..TokenFilter::default() };
        loop {
            let tokens = admin.tokens(&filter).map_err(Failure::from)?;
            for token in &tokens {
                let why = findings(token, now, self.expiring);
                if !why.is_empty() {
                    listing.row([
                        json!(&*token.serial),
                        json!(token.user.as_ref().map(UserName::as_str)),
                        json!(why),
                        json!(token.drift.map(|drift| drift.to_string())),
                        json!(token.fields.expires.map(|expires| expires.to_string())),
                        json!(token.created.to_string()),
                    ]);
                }
            }
            match tokens.last().filter(|_| tokens.len() == PAGE) {
                Some(last) => filter.after = Some(last.serial.clone()),
                None => return listing.print(self.format.format),
            }
        }
    }
}

/// What an admin should know of a token.
fn findings(token: &TokenDetails, now: UnixTime, soon: Duration) -> Vec<&'static str> {
    let mut why = Vec::new();
    if token.last_step.is_none() && token.user.is_some() {
        why.push("never-used");
    }
    if token.drift.is_some_and(|drift| drift.steps().unsigned_abs() >= 2) {
        why.push("drifting");
    }
    match token.fields.expires {
        Some(expires) if expires <= now => why.push("expired"),
        Some(expires) if expires <= now + soon => why.push("expiring"),
        _ => {}
    }
    why
}
