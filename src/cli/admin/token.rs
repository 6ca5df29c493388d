//! `radmfa admin token`: what programs show to the interface for programs.

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::role;
use crate::base::name::Label;
use crate::cli::failure::Failure;
use crate::cli::output::{FormatFlag, Listing, note, say};
use crate::cli::store::{Missing, clock, entropy, open_because};
use crate::cli::value::{label, span};
use crate::cli::why::Why;
use crate::config::flags::StoreFlags;
use crate::engine::role::Role;
use crate::store::api_tokens::{self, ApiToken};

/// Make, list and revoke tokens of the interface for programs (/api/v1)
#[derive(Debug, clap::Args)]
pub(super) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a token; its secret is shown this once
    Add {
        /// What it is called, in the trail too
        #[arg(value_parser = label)]
        name: Label,
        /// What it may do: admin, helpdesk or auditor (reads only)
        #[arg(long, value_parser = role())]
        role: Role,
        /// How long it is good, such as 90d, at most 3653d (for ever)
        #[arg(long = "for", value_name = "TIME", value_parser = span)]
        span: Option<Duration>,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// List tokens
    List {
        #[command(flatten)]
        format: FormatFlag,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Have a token be good no more
    Revoke {
        /// What it is called
        #[arg(value_parser = label)]
        name: Label,
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        store: StoreFlags,
    },
}

impl Token {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Add { name, role, span, why, store } => {
                let mut admin = open_because(&store, Missing::Create, why.reason)?;
                let now = clock().unix();
                let made = api_tokens::add(&mut *admin, &name, role, span, now, &mut entropy()?);
                let secret = made.map_err(Failure::from)?;
                note(format!("token {name}, {role}; its secret is shown this once:"));
                Ok(say(String::from_utf8_lossy(secret.expose()))?)
            }
            Action::List { format, store } => {
                let mut admin = Why::default().open(&store)?;
                let tokens = api_tokens::list(&mut *admin).map_err(Failure::from)?;
                let mut listing = Listing::new(&["name", "role", "since", "until", "by", "over"]);
                for token in tokens {
                    let ApiToken { name, role, since, until, by, .. } = &token;
                    listing.row([
                        json!(name.as_str()),
                        json!(role.code()),
                        json!(since.to_string()),
                        json!(until.map(|until| until.to_string())),
                        json!(by.as_deref()),
                        json!(token.is_over(clock().unix())),
                    ]);
                }
                listing.print(format.format)
            }
            Action::Revoke { name, why, store } => {
                let mut admin = why.open(&store)?;
                api_tokens::revoke(&mut *admin, &name).map_err(Failure::from)?;
                Ok(say(format!("token {name} is revoked"))?)
            }
        }
    }
}
