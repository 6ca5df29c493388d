//! What admins, the help desk and auditors use: pages, and the same for programs.
//!
//! ```text
//! request ─┬─ /api/v1 ─ token ──────┐
//!          └─ page ─ seat, role ────┴─ Office ─ may they? ─ one desk turn ─ row in the trail
//! ```
//! Off unless it is configured, and then for this machine alone unless an address says otherwise. Whoever uses the pages has logged in
//! through the engine like anybody else, with the store's password and a second factor, and has a role; that is looked at again with each
//! request.

pub mod api;
mod chart;
pub mod office;
mod pages;
pub mod read;
mod said;
mod seats;
mod user_page;
pub mod who;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::office::Office;
use self::seats::Seats;
use super::Settings as Listener;
use super::desk::Desk;
use super::serving::{Fault, Listen, Serving};
use super::ways::ADMIN;
use super::web::Web;
use crate::server::front::Front;
use crate::server::pulse::Pulse;

/// Where it is, and what holds there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens, and how it is reached.
    pub listener: Listener,
    /// For how long no code goes to a telephone number that was changed here: up to 30 days, 0 for not at all.
    pub phone_hold: Duration,
    /// How users reach the portal; `None` where there is none.
    pub portal_url: Option<Arc<str>>,
}

/// The running listener. Dropped, it ends.
#[derive(Debug)]
pub struct Admin {
    serving: Serving,
}

impl Admin {
    /// Listens; when this returns, the first request is answered.
    pub fn open(settings: &Settings, desk: Desk, pulse: Pulse, front: Front) -> Result<Admin, Fault> {
        let Settings { listener, phone_hold, portal_url } = settings;
        let web = Web::new("admin", &listener.public_url, pulse.clock())?;
        let office = Office { desk, pulse, phone_hold: *phone_hold, portal_url: portal_url.clone() };
        let seats = Seats::new(&web, office.clone(), front);
        let routes = pages::routes(seats).merge(api::router(office));
        let listen = Listen {
            name: "admin",
            address: listener.listen,
            tls: listener.tls.clone(),
            proxies: Arc::clone(&listener.proxies),
        };
        Ok(Admin { serving: Serving::open(&listen, web.finish(routes, ADMIN))? })
    }

    /// The address that is listened on, a port that the system chose filled in.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }
}
