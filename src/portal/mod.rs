//! The portal: HTTP for what reaches radmfa from phones, from whoever speaks for them, and the pages that people touch.
//!
//! ```text
//! connection ─ (TLS) ─ request, bounded ─┬─ proof: signature or token ─ Answers ─► worker ─► login
//!                                        └─ page: form, session, throttle ─ Answers, store
//! ```
//! A thread and a runtime of its own (`serving.rs`), so that a slow or hostile caller takes nothing from logins; it reaches them
//! through [`Answers`] alone. Invariants: off unless it is configured; every connection, head, body and wait is bounded; nothing
//! is looked up for a caller who has proved nothing, but a device whose key has to be known to prove anything, and that only so often for
//! one network; every page is made by `web/`, which alone sets headers and cookies; what is served
//! stands in `ways.rs`.

pub mod admin;
mod approve;
pub mod desk;
pub mod device;
mod enrol;
mod factor;
mod fate;
#[doc(hidden)]
pub mod hostile;
mod inbound;
pub mod invite;
mod kept;
mod led;
mod me;
pub mod metrics;
pub mod passkey;
mod people;
mod person;
mod phone;
mod push;
mod reply;
mod request;
pub mod serving;
mod sight;
pub mod tls;
pub mod ways;
pub mod web;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, post};
use ipnet::IpNet;

use self::desk::Desk;
use self::device::{Devices, Offers};
use self::passkey::Passkeys;
use self::people::People;
pub use self::serving::Fault;
use self::serving::{Listen, Serving};
use self::web::Web;
use crate::server::answers::Answers;
use crate::server::front::Front;

/// Where the portal is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How others reach it: scheme, host and port, without a path.
    pub public_url: Arc<str>,
    /// Its certificate; `None`: plain HTTP.
    pub tls: Option<tls::Files>,
    /// Whose word on where a request came from is believed.
    pub proxies: Arc<[IpNet]>,
    /// Whether whoever has no telephone on file may give one on `/me`.
    pub adds_phones: bool,
}

/// What the portal reaches the rest of the program by.
pub struct Means {
    /// The way to logins that wait for a phone.
    pub answers: Answers,
    /// The way in; without it there are no pages that begin with a login or an invitation.
    pub front: Option<Front>,
    /// A hold on the store.
    pub desk: Desk,
}

/// The running portal. Dropped, it takes no more requests and ends.
#[derive(Debug)]
pub struct Portal {
    serving: Serving,
}

impl Portal {
    /// Listens; when this returns, the first request is answered.
    pub fn open(settings: &Settings, means: Means) -> Result<Portal, Fault> {
        let web = Web::new("portal", &settings.public_url, means.answers.clock())?;
        let listen = Listen {
            name: "portal",
            address: settings.listen,
            tls: settings.tls.clone(),
            proxies: Arc::clone(&settings.proxies),
        };
        let (lost, whole, heard) = (means.answers.lost(), means.desk.clone(), means.answers.clone());
        let url = Arc::clone(&settings.public_url);
        let inviting = async move {
            if let Some(lost) = lost {
                invite::whoever_lost_all(lost, whole, heard, url).await;
            }
        };
        Ok(Portal { serving: Serving::open_beside(&listen, router(settings, means, &web), inviting)? })
    }

    /// The address that is listened on, a port that the system chose filled in.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }
}

fn router(settings: &Settings, means: Means, web: &Web) -> Router {
    let Means { answers, front, desk } = means;
    let offers = Offers::default();
    let devices = Devices {
        answers: answers.clone(),
        desk: desk.clone(),
        offers: offers.clone(),
        wrong: device::throttle(),
        pace: device::pace(),
    };
    let passkeys = Passkeys::new(web, desk.clone(), answers.clone());
    let approve = approve::routes(web, &answers, passkeys.clone());
    let users = front.map_or_else(Router::new, |front| {
        let people = People::new(web, desk, front, answers.clone(), offers, passkeys, settings.adds_phones);
        let (led, passkeys) = (led::routes(people.clone()), passkey::routes(people.clone()));
        enrol::routes(people.clone())
            .merge(led)
            .merge(phone::routes(people.clone()))
            .merge(passkeys)
            .merge(me::routes(people))
    });
    let routes = Router::new()
        .route("/", get(|| async { web::see_other("/me") }))
        .route("/push/{channel}", post(push::answer))
        .route("/sms/{channel}", any(inbound::text))
        .route("/voice/{channel}", any(inbound::call))
        .layer(axum::Extension(inbound::Reached(web.public_url().into())))
        .with_state(answers)
        .merge(device::routes(devices))
        .merge(approve)
        .merge(users);
    web.finish(routes, ways::PORTAL)
}
