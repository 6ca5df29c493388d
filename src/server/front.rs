//! The way in for pages: a login in this process, through the same node and the same worker as a datagram.
//!
//! ```text
//! page ─ Knock ─► worker ─ a signed request of its own making ─ node.begin │ node.resume ─ … ─► Said ─► page
//! ```
//! A page is a client like any other, called as its [`Door`] is: policy, lockout, floods and the trail hold for it, and each
//! State is good once. Its requests are built and signed here, since engine and password servers read requests.
//! Invariants: [`Said::Accepted`] is made of an [`Accept`] alone, so of a password, a second
//! factor and a durable row; nothing is waived at a door; whoever hung up leaves a login that expires like any other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::duplicates::PacketKey;
use super::node::Origin;
use super::peers::{Answering, Peers};
use super::pipeline::{arrival, enter};
use super::worker::{Command, Worker};
use crate::base::messages::Language;
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::system::{Entropy, random};
use crate::base::time::Tick;
use crate::engine::proof::Accept;
use crate::engine::record::{LoginId, Method};
use crate::wire::{
    AccessRequest, AttributeId, AttributeList, Code, HideKind, Parsed, RequestBuilder, SharedSecret, number,
};

/// A place on pages where people log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// Self-service.
    Portal,
    /// The admins' pages.
    Admin,
}

impl Door {
    /// Both.
    pub const ALL: [Door; 2] = [Door::Portal, Door::Admin];

    /// The name of the client that it is in policies, in the log and in the trail; no gateway is called so.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Door::Portal => "portal",
            Door::Admin => "admin",
        }
    }
}

/// What somebody typed into a page.
#[derive(Debug)]
pub struct Knock {
    /// Where.
    pub door: Door,
    /// The user name as it was typed, up to 253 octets.
    pub user: String,
    /// The password; or with a State what was asked for, up to 128 octets, nothing to wait for the phone.
    pub typed: Secret,
    /// [`Question::state`] of the question that this answers; `None` for a new login.
    pub state: Option<Secret>,
    /// Whose browser it is: Calling-Station-Id.
    pub from: IpAddr,
    /// The page's language, and so that of [`Question::text`].
    pub language: Language,
}

/// What a login says to whoever knocked.
#[derive(Debug)]
pub enum Said {
    /// Come in.
    Accepted(Accepted),
    /// No, and nobody is told why; what an admin finds its row by, where the policy shows that.
    Refused(Option<LoginId>),
    /// One more thing.
    Asked(Question),
    /// Nobody can be let in: the door is not configured, or the server is stopping.
    Unavailable,
}

/// Somebody who was let in. Made of an Accept alone.
#[derive(Clone, Debug)]
pub struct Accepted {
    login: LoginId,
    user: UserName,
    method: Method,
    has_factor: bool,
}

impl Accepted {
    /// The number of the login, in the trail.
    #[must_use]
    pub fn login(&self) -> LoginId {
        self.login
    }

    /// Who.
    #[must_use]
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// By which second factor.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// Whether a second factor was checked in this login and was right. A page that changes anything insists on it.
    #[must_use]
    pub fn has_factor(&self) -> bool {
        self.has_factor
    }
}

/// What is to be answered next, by another [`Knock`] with its state.
#[derive(Debug)]
pub struct Question {
    /// Names this question; good once, and at the same door for the same user alone.
    pub state: Secret,
    /// The line to show; where it is the password server's own, what that wrote.
    pub text: String,
    /// How long it may be answered.
    pub lifetime: Duration,
}

/// Whoever waits in this process for the answer to a request.
#[derive(Debug)]
pub struct Caller(oneshot::Sender<Said>);

impl Caller {
    /// Tells them; nothing if they have left.
    pub fn tell(self, said: Said) {
        drop(self.0.send(said));
    }
}

impl Said {
    /// Of an Accept; a refusal where it is nobody's.
    pub(super) fn of_accept(accept: &Accept) -> Said {
        let row = accept.row();
        let Some(user) = row.user.clone() else { return Said::Refused(None) };
        let (login, method, has_factor) = (row.login, row.method, accept.has_factor());
        Said::Accepted(Accepted { login, user, method, has_factor })
    }

    /// Of any other reply of the login called `reference`. An Accept that another server says it gave is none here.
    pub(super) fn of_reply(code: Code, attributes: &AttributeList, reference: Option<LoginId>) -> Said {
        let find = |wanted| attributes.plain_attributes().find(|one| one.number() == wanted);
        match (code, find(number::STATE)) {
            (Code::ACCESS_CHALLENGE, Some(state)) => {
                // A challenge brings a line: the engine has seen to that.
                let lines = attributes.plain_attributes().filter(|one| one.number() == number::REPLY_MESSAGE);
                let text = lines.map(|line| String::from_utf8_lossy(line.value()).into_owned()).collect();
                let seconds = find(number::SESSION_TIMEOUT).and_then(|one| one.integer()).unwrap_or_default();
                Said::Asked(Question {
                    state: Secret::new(state.value()),
                    text,
                    lifetime: Duration::from_secs(seconds.into()),
                })
            }
            _ => Said::Refused(reference),
        }
    }
}

/// Lets pages log people in.
#[derive(Clone)]
pub struct Front {
    worker: UnboundedSender<Command>,
}

/// A knock on its way to a worker.
pub(super) struct Knocking {
    knock: Knock,
    caller: Caller,
}

impl Front {
    pub(super) fn new(worker: UnboundedSender<Command>) -> Front {
        Front { worker }
    }

    /// Takes a login one step on. Answers when the login does: at once, after a refusal's delay, or as long as a phone is
    /// waited for, within the patience of the door's policy.
    pub async fn knock(&self, knock: Knock) -> Said {
        let (tell, told) = oneshot::channel();
        let knocking = Knocking { knock, caller: Caller(tell) };
        if self.worker.send(Command::Knock(Box::new(knocking))).is_err() {
            return Said::Unavailable;
        }
        told.await.unwrap_or(Said::Unavailable)
    }
}

impl Worker {
    /// Takes a knock to its login, or begins one.
    pub(super) fn take_knock(self: &Arc<Self>, knocking: Knocking) {
        let Knocking { knock, caller } = knocking;
        let live = self.shared.live.load();
        let door = Label::new(knock.door.name()).ok();
        let Some(gateway) = door.as_ref().and_then(|door| live.fronts.named(door)) else {
            return caller.tell(Said::Unavailable);
        };
        let now = self.shared.clock.mono();
        let secret = SharedSecret::new(Secret::new(self.with_env(|env| random::<16>(env.entropy))));
        let packet = self.with_env(|env| request(&knock, &secret, env.entropy));
        let verified = packet.as_deref().and_then(|packet| Parsed::parse(packet).ok()?.verify(&secret).ok());
        let viewed = verified.as_ref().and_then(|packet| Some((packet, AccessRequest::view(packet).ok()?)));
        let Some((packet, request)) = viewed else {
            // Nobody has such a name or password, and no packet carries it.
            let wait = gateway.policy.admission.reject_after();
            return self.tell_later(caller, Said::Refused(None), wait);
        };
        let source = SocketAddr::new(knock.from, 0);
        let origin = Origin {
            key: PacketKey { source, local: NOWHERE, identifier: packet.identifier() },
            authenticator: *packet.authenticator(),
            gateway: source,
        };
        let mut arrival = arrival(gateway, &request, packet, &secret, origin, Answering::Inside(caller), now);
        arrival.language = Some(knock.language);
        if knock.state.is_none() {
            arrival.floor = self.primaries().response_time(&arrival.policy.admission.primary);
        }
        let answer_by = now + arrival.policy.admission.answer_within();
        // A page's question is answered at the server that asked it.
        let peers = Peers::default();
        self.turn(answer_by, |worker, env, out| {
            let state = knock.state.as_ref().map(Secret::expose);
            enter(&worker.shared.node, &peers, arrival, state, env, out)
        });
    }

    /// Tells whoever knocked, when its time has come.
    pub(super) fn tell(self: &Arc<Self>, caller: Caller, said: Said, not_before: Tick, now: Tick) {
        self.tell_later(caller, said, not_before.since(now));
    }

    fn tell_later(self: &Arc<Self>, caller: Caller, said: Said, wait: Duration) {
        if wait.is_zero() {
            return caller.tell(said);
        }
        let worker = Arc::clone(self);
        self.shared.delayed.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            caller.tell(said);
            worker.shared.delayed.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// No socket's address: nothing came in from the network.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// NAS-Port-Type (RFC 2865 §5.41) and its value Virtual.
const NAS_PORT_TYPE: (u8, u32) = (61, 5);

/// The request that says what was typed, signed under `secret`; `None` where it is longer than a packet may carry.
fn request(knock: &Knock, secret: &SharedSecret, entropy: &mut dyn Entropy) -> Option<Box<[u8]>> {
    let mut attributes = AttributeList::new();
    attributes.push_text(number::USER_NAME, &knock.user).ok()?;
    let password = AttributeId::Standard(number::USER_PASSWORD);
    attributes.push_held(password, HideKind::UserPassword, &knock.typed).ok()?;
    attributes.push_text(number::NAS_IDENTIFIER, knock.door.name()).ok()?;
    attributes.push_u32(NAS_PORT_TYPE.0, NAS_PORT_TYPE.1).ok()?;
    attributes.push_text(number::CALLING_STATION_ID, &knock.from.to_canonical().to_string()).ok()?;
    if let Some(state) = &knock.state {
        attributes.push(number::STATE, state.expose()).ok()?;
    }
    let authenticator = random(entropy);
    let request =
        RequestBuilder { code: Code::ACCESS_REQUEST, attributes: &attributes, proxy_state: None, secret };
    Some(request.build(0, authenticator, entropy).ok()?.bytes)
}
