//! `radmfa report clients`: how safely each gateway speaks and how it asks, and what would make it better.

use std::collections::HashSet;
use std::time::Duration;

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
use crate::engine::sending::HELD;
use crate::server::manners::{Habit, memo};
use crate::server::settings::{Client, MessageAuthenticator};
use crate::store::admin::Admin;
use crate::store::report::{By, Filter};
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

/// What is known of one client.
struct Known<'a> {
    client: &'a Client,
    /// Addresses that have shown a Message-Authenticator.
    seen: Vec<String>,
    protocols: Vec<String>,
    logins: u64,
    habit: Habit,
    /// The longest that a factor of its users may take of one request.
    factor: Duration,
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
            let known = self.know(client, slowest, &mut *admin).map_err(Failure::from)?;
            let Known { seen, protocols, logins, habit, factor, .. } = &known;
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
                json!(known.advice(clock().unix())),
            ]);
        }
        listing.print(self.format.format)
    }

    fn know<'a>(
        &self,
        client: &'a Client,
        slowest: Option<Duration>,
        admin: &mut dyn Admin,
    ) -> Result<Known<'a>, store::admin::AdminFault> {
        let postures = admin.postures()?.into_iter().filter(|posture| posture.client == client.name);
        let seen = postures.map(|posture| posture.address.to_string()).collect();
        let habit = Habit::read(admin.memo(&memo(&client.name))?.as_deref());
        let filter = Filter {
            since: self.since,
            until: self.until,
            client: Some(client.name.as_str().to_owned()),
            ..Filter::default()
        };
        let sums = admin.reports().sums(&filter, By::Protocol)?;
        let logins = sums.iter().map(|sum| sum.accepted + sum.rejected).sum();
        let protocols = sums.into_iter().map(|sum| sum.key).collect();
        // A code that is sent holds the request until a provider has it, a token's holds it not at all.
        let sends = client.policy.sending.is_some() && client.policy.admission.challenge;
        let factor = slowest.filter(|_| sends).unwrap_or_default().min(HELD);
        Ok(Known { client, seen, protocols, logins, habit, factor })
    }
}

/// Days in which something that was seen still matters.
const LATELY: Duration = Duration::from_hours(30 * 24);
/// Logins below which how many packets come again says nothing.
const ENOUGH: u64 = 20;

impl Known<'_> {
    /// What to do about a client, gravest first; that all is well where nothing is to be done.
    fn advice(&self, now: UnixTime) -> Vec<String> {
        let Known { client, seen, protocols, logins, habit, factor } = self;
        let lately = |moment: u64| moment > 0 && now.since(UnixTime(moment)) < LATELY;
        let mut advice: Vec<String> = Vec::new();
        let mut say = |applies: bool, what: &str| {
            if applies {
                advice.push(what.to_owned());
            }
        };
        let posture = client.message_authenticator;
        say(client.secret.len() < 16, "Give it a longer secret: 16 octets or more (openssl rand -hex 32).");
        say(
            posture == MessageAuthenticator::Optional,
            "Set message-authenticator = auto: without it a reply can be forged (CVE-2024-3596).",
        );
        say(
            posture == MessageAuthenticator::Auto && seen.is_empty() && *logins > 0,
            "It sends no Message-Authenticator: update the gateway, or have it send one (CVE-2024-3596).",
        );
        say(
            posture != MessageAuthenticator::Required && !seen.is_empty() && lately(habit.unsigned),
            "Some of its addresses still ask without Message-Authenticator: have them send it, then set \
             message-authenticator = required.",
        );
        say(
            posture == MessageAuthenticator::Auto && !seen.is_empty() && !lately(habit.unsigned),
            "It sends Message-Authenticator: set message-authenticator = required.",
        );
        say(
            lately(habit.proxy_state) && !client.limit_proxy_state,
            "A proxy stands before it: have that send Message-Authenticator, then set limit-proxy-state = true.",
        );
        say(
            !lately(habit.proxy_state) && !client.limit_proxy_state,
            "No Proxy-State comes from it: set limit-proxy-state = true.",
        );
        say(
            protocols.iter().any(|protocol| !matches!(protocol.as_str(), "pap" | "none")),
            "It tries other credentials than PAP, which are refused: set it to PAP.",
        );
        let patience = client.policy.admission.patience;
        let within = client.policy.admission.answer_within();
        if within < *factor {
            advice.push(format!(
                "A message may take {} to leave, and its patience leaves {}: raise its timeout, and patience to timeout × tries.",
                show_span(*factor),
                show_span(within)
            ));
        }
        if let Some(interval) = habit.interval() {
            let often = *logins >= ENOUGH && habit.repeats * 10 >= *logins;
            if interval > patience {
                advice.push(format!(
                    "It waits {} before it asks again, longer than patience ({}): raise patience to timeout × tries.",
                    show_span(interval),
                    show_span(patience)
                ));
            } else if interval < Duration::from_secs(1) {
                advice.push(format!(
                    "It asks again after {}: raise its timeout to 3 s or more.",
                    show_span(interval)
                ));
            } else if often {
                advice.push(
                    "Many of its packets come again: look whether answers are slow (report auth) or lost on the way.".to_owned(),
                );
            }
        }
        if advice.is_empty() {
            advice.push("Nothing is to be done.".to_owned());
        }
        advice
    }
}
