//! One channel: what was configured, the way that it goes, and how it has done of late.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::http::Http;
use super::ntfy::Ntfy;
use super::order::{Address, Handed, Order, Refusal};
use super::settings::{ChannelSettings, Way};
use super::smpp::{Session, Smpp};
use super::smtp::Smtp;
use super::web_push::WebPush;
use super::webhook::Webhook;
use super::{Fault, Means, command};
use crate::base::name::Label;
use crate::base::phone::Phone;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::delivery::Kind;

pub(super) struct Channel {
    pub(super) settings: ChannelSettings,
    pub(super) way: Open,
    /// The tick of its last failure since it last worked; 0: none.
    pub(super) failed: AtomicU64,
    pub(super) counts: Counts,
}

impl Channel {
    /// Nobody is asked yet. What keeps a session open is put into `sessions`.
    pub(super) fn open(
        settings: &ChannelSettings,
        means: &Means,
        sessions: &mut Vec<Session>,
    ) -> Result<Channel, Fault> {
        let named =
            |fault: Fault| Fault::new(format!("channel {}: {}", settings.name, fault.what), fault.hint);
        let way = match &settings.way {
            Way::Http(http) => Open::Http(Http::open((**http).clone(), settings.timeout).map_err(named)?),
            Way::Command(program) => Open::Command(program.clone()),
            Way::Webhook(webhook) => {
                let secret = settings.secret.clone().unwrap_or_else(|| Secret::new([]));
                Open::Webhook(Webhook::open(webhook, secret, settings.timeout).map_err(named)?)
            }
            Way::Web(web) => Open::Web(Box::new(WebPush::open(web, settings.timeout, means).map_err(named)?)),
            Way::Ntfy(ntfy) => {
                let actions = Arc::clone(&means.actions);
                Open::Ntfy(Box::new(Ntfy::open(ntfy, actions, settings.timeout).map_err(named)?))
            }
            Way::Smtp(smtp) => Open::Smtp(Smtp::open(smtp.clone(), settings.timeout).map_err(named)?),
            Way::Smpp(smpp) => {
                let arrived = Arc::clone(&means.arrived);
                let (end, session) =
                    Smpp::open(settings.name.clone(), smpp.clone(), settings.timeout, arrived);
                sessions.push(session);
                Open::Smpp(end)
            }
        };
        let counts = Counts::default();
        Ok(Channel { settings: settings.clone(), way, failed: AtomicU64::new(0), counts })
    }
}

/// How often a channel's provider took a message, and how often it did not.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) taken: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// What a channel was given to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The channel.
    pub name: Label,
    /// What it brings.
    pub kind: Kind,
    /// Messages that its provider took.
    pub taken: u64,
    /// Messages that it did not take, or not in time.
    pub failed: u64,
}

pub(super) enum Open {
    Http(Http),
    Command(command::Settings),
    Smtp(Smtp),
    Smpp(Smpp),
    Webhook(Webhook),
    Web(Box<WebPush>),
    Ntfy(Box<Ntfy>),
}

impl Open {
    pub(super) async fn send(&self, order: &Order<'_>, now: UnixTime) -> Result<Handed, Refusal> {
        match self {
            Open::Http(http) => http.send(order).await,
            Open::Command(program) => command::send(program, order).await,
            Open::Smtp(smtp) => smtp.send(order).await,
            Open::Smpp(smpp) => smpp.send(order).await,
            Open::Webhook(webhook) => webhook.send(order, now).await,
            Open::Web(web) => web.send(order, now).await,
            Open::Ntfy(ntfy) => ntfy.send(order).await,
        }
    }

    pub(super) async fn probe(&self) -> Result<String, Refusal> {
        match self {
            Open::Http(http) => http.probe().await,
            Open::Command(program) => command::probe(program),
            Open::Smtp(smtp) => smtp.probe().await,
            Open::Smpp(smpp) => smpp.probe().await,
            Open::Webhook(webhook) => webhook.probe().await,
            Open::Web(_) => Ok(WebPush::probe()),
            Open::Ntfy(ntfy) => ntfy.probe().await,
        }
    }
}

/// Whether a channel serves this address at all.
pub(super) fn reaches(settings: &ChannelSettings, address: &Address) -> bool {
    match address {
        Address::Phone(phone) => within(&settings.countries, phone),
        Address::Mail(_) | Address::Device(_) => true,
    }
}

fn within(countries: &[Arc<str>], phone: &Phone) -> bool {
    countries.is_empty() || countries.iter().any(|prefix| phone.number().starts_with(&**prefix))
}
