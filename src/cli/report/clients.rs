//! `radmfa report clients`: how safely each gateway speaks and how it asks, and what would make it better.

use std::collections::HashSet;

use serde_json::json;

use super::{caught_up, in_order};
use crate::base::time::UnixTime;
use crate::cli::failure::Failure;
use crate::cli::output::{FormatFlag, Listing};
use crate::cli::owner;
use crate::cli::store::{clock, entropy, machine, warn, wrong};
use crate::cli::when::moment;
use crate::config::flags::ServeFlags;
use crate::config::{self, show_span};
use crate::server::posture::Posture;
use crate::server::settings::{Client, MessageAuthenticator};
use crate::store::{self, Place, Settings};

/// Show each client's posture, with a sentence of advice
///
/// Takes the same flags as serve, which say what the clients are; --client NAME shows that one alone. What gateways do is
/// noted by the running server once a minute.
#[derive(Debug, clap::Args)]
pub(crate) struct Clients {
    /// Count logins from this moment on: a date, a date with time and offset, or how long ago (7d)
    #[arg(long, value_parser = moment, value_name = "WHEN")]
    since: Option<UnixTime>,
    /// Count logins before this moment
    #[arg(long, value_parser = moment, value_name = "WHEN")]
    until: Option<UnixTime>,
    #[command(flatten)]
    format: FormatFlag,
    #[command(flatten)]
    serve: ServeFlags,
}

impl Clients {
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        in_order(self.since, self.until)?;
        let named: HashSet<String> = self.serve.take_names("client").into_iter().collect();
        let (effective, warnings) = config::load(&self.serve, &machine()).map_err(|errors| wrong(&errors))?;
        warn(&warnings);
        let clients = &effective.server.clients;
        if let Some(odd) = named.iter().find(|name| !clients.iter().any(|c| c.name.as_str() == **name)) {
            return Err(Failure::usage(format!("no client is called {odd}")).into());
        }
        let settings = crate::cli::store::settings(&effective.store, effective.seal_key.as_ref())?;
        if let Place::Sqlite(path) = &settings.place {
            owner::become_owner(path)?;
        }
        let settings = Settings { create: false, ..settings };
        let mut admin = store::open_admin(&settings, clock(), Box::new(entropy()?)).map_err(Failure::from)?;
        caught_up(&mut *admin)?;
        let slowest = effective.delivery.channels.iter().map(|channel| channel.timeout).max();
        let mut listing = Listing::new(&[
            "client",
            "profile",
            "secret-octets",
            "message-authenticator",
            "seen-from",
            "without-it",
            "proxy-state",
            "proxy-state-seen",
            "protocols",
            "logins",
            "repeats",
            "repeats-after",
            "patience",
            "factor-takes",
            "advice",
        ]);
        let wanted = |client: &&Client| named.is_empty() || named.contains(client.name.as_str());
        for client in clients.iter().filter(wanted) {
            let span = (self.since, self.until);
            let known = Posture::of(client, slowest, span, &mut *admin).map_err(Failure::from)?;
            let Posture { seen, protocols, logins, habit, factor, .. } = &known;
            let time = |moment: u64| json!((moment > 0).then(|| UnixTime(moment).to_string()));
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
                time(habit.unsigned),
                json!(if client.limit_proxy_state { "limited" } else { "taken" }),
                time(habit.proxy_state),
                json!(protocols),
                json!(logins),
                json!(habit.repeats),
                json!(habit.interval().map(show_span)),
                json!(show_span(client.policy.admission.patience)),
                json!(show_span(*factor)),
                json!(
                    known
                        .advice(clock().unix())
                        .into_iter()
                        .map(|advice| advice.sentence)
                        .collect::<Vec<_>>()
                ),
            ]);
        }
        listing.print(self.format.format)
    }
}
