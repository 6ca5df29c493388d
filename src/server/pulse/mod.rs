//! What is counted of a running server, and how it stands at this moment: for whoever watches it.
//!
//! Counting is on the path of every login: a few relaxed additions, no lock and no look at a clock. Everything is bounded: clients
//! are those that are configured, and of each no more than [`counts::PLACES`] ways to end are told apart. Nothing goes by the
//! name of a user.

pub mod counts;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use self::counts::{Ending, Spread, Step};
use super::people::People;
use super::settings::Client;
use super::worker::Shared;
use crate::base::name::{Label, UserName};
use crate::base::system::Clock;
use crate::base::time::UnixTime;
use crate::delivery::{Channels, Traffic};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::LoginId;
use crate::primary::{self, ServerStatus};
use crate::store::Strain;
use crate::store::pending::Pending;
use crate::wire::DropReason;

/// How long the store may take to say that it is there.
const STORE_WITHIN: Duration = Duration::from_secs(2);

/// Watches a running server.
#[derive(Clone)]
pub struct Pulse {
    shared: Arc<Shared>,
    upstreams: Arc<primary::Shared>,
    /// How many sockets there are to be listened on.
    sockets: usize,
}

/// How a server stands, and what it has done since it started.
#[derive(Debug)]
pub struct Snapshot {
    /// How logins ended, by client.
    pub logins: Vec<Ending>,
    /// Whose the time of logins was.
    pub steps: Vec<(Step, Spread)>,
    /// Logins under way.
    pub under_way: UnderWay,
    /// Datagrams that got no answer, by reason.
    pub drops: Vec<(DropReason, u64)>,
    /// How the store keeps up.
    pub store: Strain,
    /// What each channel was given to send.
    pub channels: Vec<Traffic>,
    /// Alarms that were raised, by reason.
    pub alarms: Vec<(Reason, u64)>,
    /// Logins that could not be recorded.
    pub unrecorded: u64,
    /// Servers that check passwords, by primary and address.
    pub primaries: Vec<(Label, ServerStatus)>,
}

/// Logins under way, by what they wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// A question of theirs is being answered: by a password server, by the store.
    pub working: usize,
    /// They wait for their user, who has been asked by the gateway.
    pub parked: usize,
    /// They wait for somebody out of band while their gateway waits for the answer.
    pub held: usize,
    /// They wait in the store, for any server.
    pub shared: usize,
}

/// Whether a server is fit to be sent logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// The store answers, and takes what is written.
    pub store: bool,
    /// Every socket is listened on.
    pub listeners: bool,
    /// Somebody can check passwords: not all primaries are down.
    pub primaries: bool,
}

/// A login under way, as an admin sees it.
#[derive(Clone, Debug)]
pub struct LiveLogin {
    /// Its number.
    pub login: LoginId,
    /// Who, where the request named somebody.
    pub user: Option<UserName>,
    /// Where.
    pub client: Label,
    /// Calling-Station-Id, escaped.
    pub station: Option<Arc<str>>,
    /// For how long it has been under way.
    pub age: Duration,
    /// `working`, `parked`, `held` or `shared`: [`UnderWay`] says what each means.
    pub state: &'static str,
}

impl Readiness {
    /// Whether it is.
    #[must_use]
    pub fn is_ready(self) -> bool {
        self.store && self.listeners && self.primaries
    }
}

impl Pulse {
    pub(super) fn new(shared: Arc<Shared>, upstreams: Arc<primary::Shared>, sockets: usize) -> Pulse {
        Pulse { shared, upstreams, sockets }
    }

    /// Its name.
    #[must_use]
    pub fn server(&self) -> &Label {
        self.shared.node.mint().server_name()
    }

    /// Everything at once. Walks over the logins under way.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let shared = &self.shared;
        let counts = &shared.counts;
        Snapshot {
            logins: counts.endings(),
            steps: counts.steps(),
            under_way: shared.node.under_way(),
            drops: DropReason::ALL.iter().map(|reason| (*reason, shared.drops.counted(*reason))).collect(),
            store: shared.store.strain(),
            channels: shared.live.load().channels.traffic(),
            alarms: counts.alarms(),
            unrecorded: counts.unrecorded(),
            primaries: self.upstreams.status(),
        }
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.shared.clock.unix()
    }

    /// The clocks.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    /// Logins under way, of `user` alone where one is named: the `most` that are so for the longest, oldest first. Those that wait in a
    /// shared store are known to the server that they began at.
    #[must_use]
    pub fn live(&self, user: Option<&UserName>, most: usize) -> Vec<LiveLogin> {
        let mut live = self.shared.node.live(user, self.shared.clock.mono());
        live.sort_unstable_by_key(|login| std::cmp::Reverse(login.age));
        live.truncate(most);
        live
    }

    /// What is said of those who log in.
    #[must_use]
    pub fn people(&self) -> Arc<People> {
        Arc::clone(&self.shared.live.load().people)
    }

    /// The gateways as they are configured.
    #[must_use]
    pub fn clients(&self) -> Arc<[Client]> {
        Arc::clone(&self.shared.live.load().said)
    }

    /// The channels as they are configured.
    #[must_use]
    pub fn channels(&self) -> Arc<Channels> {
        Arc::clone(&self.shared.live.load().channels)
    }

    /// Whether the server is fit to be sent logins.
    pub async fn readiness(&self) -> Readiness {
        Readiness {
            store: !self.shared.store.strain().away && self.store_reads().await,
            listeners: self.shared.listening.load(Ordering::Relaxed) == self.sockets,
            primaries: self.can_check_passwords(),
        }
    }

    async fn store_reads(&self) -> bool {
        // Whether somebody is called so does not matter.
        let Ok(user) = UserName::canonical(b"radmfa-readyz") else { return false };
        let answer = match self.shared.store.find(&UserQuery { user, seeds: false, look_alikes: false }) {
            Pending::Ready(answer) => answer,
            Pending::Later(coming) => {
                tokio::time::timeout(STORE_WITHIN, coming).await.unwrap_or(UserAnswer::Unavailable)
            }
        };
        !matches!(answer, UserAnswer::Unavailable)
    }

    /// A primary that is asked over no network is always there; one that is has at least one server that answers.
    fn can_check_passwords(&self) -> bool {
        let status = self.upstreams.status();
        let live = self.shared.live.load();
        let is_up = |primary: &Label| {
            let mut servers = status.iter().filter(|(name, _)| name == primary).peekable();
            servers.peek().is_none() || servers.any(|(_, server)| server.alive)
        };
        let up = live.clients.all().any(|client| is_up(&client.policy.admission.primary));
        up || live.clients.all().next().is_none()
    }
}
