//! One server that is asked something by RADIUS and is no primary: another radmfa.
//!
//! It is asked as an upstream server is, over ports of its own, and sent again within the time that there is. Every reply
//! needs a Message-Authenticator.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::Randomness;
use super::health::Health;
use super::radius::Radius;
use super::settings;
use crate::base::name::Label;
use crate::base::system::Clock;
use crate::base::time::Tick;
use crate::engine::question::PrimaryAnswer;
use crate::wire::{AttributeList, SharedSecret};

/// A way to ask one server, of one worker. Dropped, it closes its sockets.
pub struct Exchange(Arc<Radius>);

impl Exchange {
    /// Within the worker's runtime. Nothing is sent until something is asked.
    pub fn open(
        name: &Label,
        server: SocketAddr,
        secret: &SharedSecret,
        clock: Arc<dyn Clock>,
        entropy: Randomness,
    ) -> Exchange {
        let settings = settings::Radius {
            message_authenticator_required: true,
            status_server: false,
            ..settings::Radius::new(vec![server], secret.secret().clone())
        };
        let health = |server| Arc::new(Health::new(server));
        let whose = format!("peer {name}");
        let radius = Radius::open(whose, &settings, health, clock, entropy, Arc::new(|_| None), None);
        radius.start();
        Exchange(radius)
    }

    /// Sends an Access-Request with these attributes, and answers by `answer_by` at the latest.
    pub async fn ask(&self, attributes: &AttributeList, answer_by: Tick) -> PrimaryAnswer {
        self.0.ask(attributes, answer_by).await
    }

    /// Says what is wrong with the server's answers, at most once a minute.
    pub fn complain(&self, what: &dyn fmt::Display) {
        self.0.complain_now(what);
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Exchange")
    }
}
