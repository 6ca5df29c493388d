//! `radmfa token`: the tokens that make codes, and whose they are.

mod export;
mod import;
mod known;
pub(crate) mod make;
mod rename;
mod replace;
mod resync;
mod spend;
mod verify;

use clap::Subcommand;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::{FormatFlag, Listing, printable, say};
use super::store::{Missing, open};
use super::value::user_name;
use super::why::Why;
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::config::flags::StoreFlags;
use crate::factor::oath::Moving;
use crate::store::admin::{TokenDetails, TokenFilter};

/// Add, import, list and try tokens
#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Add(make::Add),
    Import(import::Import),
    Export(export::Export),
    /// List tokens
    List {
        /// Only those of this user
        #[arg(long, value_name = "NAME", value_parser = user_name, conflicts_with = "unassigned")]
        user: Option<UserName>,
        /// Only those of nobody
        #[arg(long)]
        unassigned: bool,
        /// Only serials that contain this
        #[arg(long, value_name = "TEXT")]
        contains: Option<String>,
        /// At most so many
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
        #[command(flatten)]
        format: FormatFlag,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Show one token
    Show {
        /// The serial number
        serial: String,
        #[command(flatten)]
        format: FormatFlag,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Give a token to a user
    Assign {
        /// The serial number
        serial: String,
        /// The user
        #[arg(value_parser = user_name)]
        user: UserName,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Take a token from its user
    Unassign(OneToken),
    /// Let a token be used again
    Enable(OneToken),
    /// Let a token be used no more, until it is enabled
    Disable(OneToken),
    /// Remove a token with its seed
    Remove(OneToken),
    Replace(replace::Replace),
    Rename(rename::Rename),
    Set(known::Set),
    Verify(verify::Verify),
    Resync(resync::Resync),
}

#[derive(Debug, clap::Args)]
struct OneToken {
    /// The serial number
    serial: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    store: StoreFlags,
}

impl Token {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Add(add) => add.run(),
            Action::Import(import) => import.run(),
            Action::Export(export) => export.run(),
            Action::Verify(verify) => verify.run(),
            Action::Resync(resync) => resync.run(),
            Action::Replace(replace) => replace.run(),
            Action::Rename(rename) => rename.run(),
            Action::Set(set) => set.run(),
            Action::List { user, unassigned, contains, limit, format, store } => {
                let limit = limit.unwrap_or(usize::MAX);
                let filter = TokenFilter { user, unassigned, contains, limit, after: None };
                let tokens = open(&store, Missing::Refuse)?.tokens(&filter).map_err(Failure::from)?;
                list(&tokens).print(format.format)
            }
            Action::Show { serial, format, store } => {
                let token = open(&store, Missing::Refuse)?.token(&serial).map_err(Failure::from)?;
                show(&token).print(format.format)
            }
            Action::Assign { serial, user, why, store } => {
                why.open(&store)?.assign_token(&serial, Some(&user)).map_err(Failure::from)?;
                Ok(say(format!("token {} belongs to {user} now", printable(&serial)))?)
            }
            Action::Unassign(OneToken { serial, why, store }) => {
                why.open(&store)?.assign_token(&serial, None).map_err(Failure::from)?;
                Ok(say(format!("token {} belongs to nobody now", printable(&serial)))?)
            }
            Action::Enable(OneToken { serial, why, store }) => {
                why.open(&store)?.enable_token(&serial, true).map_err(Failure::from)?;
                Ok(say(format!("enabled token {}", printable(&serial)))?)
            }
            Action::Disable(OneToken { serial, why, store }) => {
                why.open(&store)?.enable_token(&serial, false).map_err(Failure::from)?;
                Ok(say(format!("disabled token {}", printable(&serial)))?)
            }
            Action::Remove(OneToken { serial, why, store }) => {
                why.open(&store)?.remove_token(&serial).map_err(Failure::from)?;
                Ok(say(format!("removed token {}", printable(&serial)))?)
            }
        }
    }
}

/// What tokens are listed with.
const COLUMNS: &[&str] = ALL_COLUMNS.split_at(10).0;
/// The same, and what only one token is shown with.
const ALL_COLUMNS: &[&str] = &[
    "serial",
    "user",
    "enabled",
    "type",
    "algorithm",
    "digits",
    "interval",
    "counter",
    "last-used",
    "created",
    "drift",
    "starts",
    "expires",
    "label",
    "manufacturer",
    "model",
];

fn list(tokens: &[TokenDetails]) -> Listing {
    let mut listing = Listing::new(COLUMNS);
    for token in tokens {
        listing.row(cells(token));
    }
    listing
}

/// One token with all that is known of it.
fn show(token: &TokenDetails) -> Listing {
    let mut listing = Listing::new(ALL_COLUMNS);
    let fields = &token.fields;
    let more = [
        json!(token.drift.map(|drift| drift.to_string())),
        json!(fields.starts.map(|starts| starts.to_string())),
        json!(fields.expires.map(|expires| expires.to_string())),
        json!(fields.label.as_deref()),
        json!(fields.manufacturer.as_deref()),
        json!(fields.model.as_deref()),
    ];
    listing.row(cells(token).into_iter().chain(more));
    listing
}

fn cells(token: &TokenDetails) -> [Value; COLUMNS.len()] {
    let (kind, interval, counter, used) = match token.parameters.moving {
        Moving::Time { interval } => {
            let used = token.last_step.map(|step| UnixTime::from_secs(step.saturating_mul(interval.into())));
            ("totp", Some(interval), None, used)
        }
        // When a counter was used stands in the trail alone.
        Moving::Counter => ("hotp", None, Some(token.last_step.map_or(0, |last| last + 1)), None),
    };
    [
        json!(&*token.serial),
        json!(token.user.as_ref().map(UserName::as_str)),
        json!(token.enabled),
        json!(kind),
        json!(token.parameters.algorithm.name()),
        json!(token.parameters.digits.count()),
        json!(interval),
        json!(counter),
        json!(used.map(|used| used.to_string())),
        json!(token.created.to_string()),
    ]
}
