//! `radmfa report clients`: how safely each gateway speaks, and what would make it better.

use serde_json::json;

use super::caught_up;
use crate::cli::failure::Failure;
use crate::cli::output::{FormatFlag, Listing};
use crate::cli::owner;
use crate::cli::store::{clock, entropy, machine, warn, wrong};
use crate::config::flags::ServeFlags;
use crate::config::{self};
use crate::server::settings::{Client, MessageAuthenticator};
use crate::store::admin::Posture;
use crate::store::report::{By, Filter};
use crate::store::{self, Place, Settings};

/// Show each client's posture, with a sentence of advice
///
/// Takes the same flags as serve, which say what the clients are.
#[derive(Debug, clap::Args)]
pub(crate) struct Clients {
    #[command(flatten)]
    format: FormatFlag,
    #[command(flatten)]
    serve: ServeFlags,
}

impl Clients {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (effective, warnings) = config::load(&self.serve, &machine()).map_err(|errors| wrong(&errors))?;
        warn(&warnings);
        let settings = crate::cli::store::settings(&effective.store, effective.seal_key.as_ref())?;
        if let Place::Sqlite(path) = &settings.place {
            owner::become_owner(path)?;
        }
        let settings = Settings { create: false, ..settings };
        let mut admin = store::open_admin(&settings, clock(), Box::new(entropy()?)).map_err(Failure::from)?;
        let postures = admin.postures().map_err(Failure::from)?;
        let mut listing = Listing::new(&[
            "client",
            "profile",
            "secret-octets",
            "message-authenticator",
            "seen-from",
            "proxy-state",
            "protocols",
            "logins",
            "patience",
            "advice",
        ]);
        for client in &effective.server.clients {
            let reports = caught_up(&mut *admin)?;
            let filter = Filter { client: Some(client.name.as_str().to_owned()), ..Filter::default() };
            let protocols = reports.sums(&filter, By::Protocol).map_err(Failure::from)?;
            let logins: u64 = protocols.iter().map(|sum| sum.accepted + sum.rejected).sum();
            let protocols: Vec<&str> = protocols.iter().map(|sum| sum.key.as_str()).collect();
            let seen: Vec<String> = postures
                .iter()
                .filter(|posture| posture.client == client.name)
                .map(|posture: &Posture| posture.address.to_string())
                .collect();
            let advice = advice(client, &seen, &protocols);
            listing.row([
                json!(client.name.as_str()),
                json!(client.profile),
                json!(client.secret.len()),
                json!(match client.message_authenticator {
                    MessageAuthenticator::Auto => "auto",
                    MessageAuthenticator::Required => "required",
                    MessageAuthenticator::Optional => "optional",
                }),
                json!(seen),
                json!(if client.limit_proxy_state { "limited" } else { "taken" }),
                json!(protocols),
                json!(logins),
                json!(format!("{:?}", client.policy.admission.patience)),
                json!(advice),
            ]);
        }
        listing.print(self.format.format)
    }
}

/// The most useful thing to do about a client.
fn advice(client: &Client, seen: &[String], protocols: &[&str]) -> &'static str {
    let patience = client.policy.admission.patience;
    if client.secret.len() <= 12 {
        "use a longer secret: 16 octets or more"
    } else if client.message_authenticator == MessageAuthenticator::Optional {
        "set message-authenticator = auto: without it a reply can be forged (CVE-2024-3596)"
    } else if seen.is_empty() && client.message_authenticator == MessageAuthenticator::Auto {
        "no Message-Authenticator was seen: update the gateway, or have it send one"
    } else if !client.limit_proxy_state {
        "set limit-proxy-state = true once its proxy sends Message-Authenticator"
    } else if patience.as_secs() < 10 && client.policy.sending.is_some() {
        "raise the gateway's timeout: messages take a while to leave"
    } else if protocols.iter().any(|protocol| !matches!(*protocol, "pap" | "none")) {
        "it tries other credentials than PAP: set it to PAP"
    } else {
        "nothing"
    }
}
