//! `radmfa client`: what gateways have shown of themselves, and how an admin takes it back.

use std::net::IpAddr;

use clap::Subcommand;
use serde_json::json;

use super::failure::Failure;
use super::output::{FormatFlag, Listing, count, say};
use super::store::{Missing, open};
use super::value::label;
use crate::base::name::Label;
use crate::config::flags::StoreFlags;

/// See what gateways have shown, and relax it
#[derive(Debug, clap::Args)]
pub(crate) struct Client {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the addresses that must send Message-Authenticator because they once did
    List {
        #[command(flatten)]
        format: FormatFlag,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Let a gateway go without Message-Authenticator again, until it next sends one
    ///
    /// For a gateway whose software was set back. A running server takes it in at its next reload (SIGHUP). As long as
    /// requests go without Message-Authenticator, whoever can change packets on the way can forge answers
    /// (CVE-2024-3596).
    Relax {
        /// The client's configured name
        #[arg(value_parser = label)]
        name: Label,
        /// One address of it; every one when not given
        address: Option<IpAddr>,
        #[command(flatten)]
        store: StoreFlags,
    },
}

impl Client {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::List { format, store } => {
                let mut listing = Listing::new(&["client", "address", "since"]);
                for posture in open(&store, Missing::Refuse)?.postures()? {
                    listing.row([
                        json!(posture.client.as_str()),
                        json!(posture.address.to_string()),
                        json!(posture.raised.to_string()),
                    ]);
                }
                listing.print(format.format)
            }
            Action::Relax { name, address, store } => {
                let relaxed = open(&store, Missing::Refuse)?.relax(&name, address)?;
                if relaxed == 0 {
                    return Err(Failure::failed(format!(
                        "no source of {name} is held to Message-Authenticator"
                    ))
                    .hint("`radmfa client list` shows which are, under which name")
                    .into());
                }
                say(format!(
                    "{} of {name} need no Message-Authenticator any more. Reload a running server (SIGHUP) to have it in effect.",
                    count(relaxed, "source")
                ))?;
                Ok(())
            }
        }
    }
}
