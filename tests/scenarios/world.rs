//! A whole server but for its sockets: the same Node over the store in memory, on clocks that move when told.
//!
//! A [`Knock`] becomes a real datagram, goes through clients, wire and duplicates as a received one does, and its login
//! is driven to the next wait. Questions are answered as the knock scripts it, at once or when the test says so.
//! Every reply is decoded as a gateway would, and checked for what every reply must have; what is missing is in
//! [`World::faults`], which each test must find empty.

mod answers;
mod holders;
pub mod packets;

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use radmfa::base::name::{Label, UserName};
use radmfa::base::secret::Secret;
use radmfa::base::system::{Clock, Entropy, Fixed, random};
use radmfa::base::text::escape;
use radmfa::base::time::{Tick, UnixTime};
use radmfa::engine::asking::Reference;
use radmfa::engine::delivery::Delivery;
use radmfa::engine::policy::{Lockout, Overrides, Policy};
use radmfa::engine::question::{PeerAnswer, PeerRequest};
use radmfa::engine::record::{CommitAnswer, Record, Row};
use radmfa::engine::step::{Answer, Env, Event};
use radmfa::factor::oath::Parameters;
use radmfa::server::affinity::{Mint, RoundId};
use radmfa::server::clients::{Authentic, Clients, Ratchet};
use radmfa::server::duplicates::{Duplicates, PacketKey, Seen};
use radmfa::server::node::Heard;
use radmfa::server::node::{Ask, Node, Origin, Output};
use radmfa::server::peers::Peers;
use radmfa::server::pipeline::{arrival, enter};
use radmfa::server::settings::{Affinity, Client, Limits, MessageAuthenticator, Peer, Settings};
use radmfa::store::Logins;
use radmfa::store::memory::MemoryStore;
use radmfa::store::pending::Pending;
use radmfa::wire::{AccessRequest, AttributeList, Code, DropReason, Parsed, ReplyTo, SharedSecret, number};

use packets::build;

/// When every world begins; the first second of a TOTP step of 30 and of 60 seconds.
pub const START: UnixTime = UnixTime::from_secs(1_800_000_000);

/// The local address of every world.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1812);

/// The clock that the world and its store share.
#[derive(Clone)]
pub struct SharedClock(Arc<Mutex<Fixed>>);

impl Clock for SharedClock {
    fn mono(&self) -> Tick {
        self.0.lock().unwrap().mono()
    }

    fn unix(&self) -> UnixTime {
        self.0.lock().unwrap().unix()
    }
}

/// What the primary authentication says to one request.
#[derive(Clone, Debug)]
pub enum Primary {
    Accept(AttributeList),
    Reject(AttributeList),
    Challenge(Vec<u8>, AttributeList),
    Unavailable,
    Withheld,
}

/// A request to be sent.
#[derive(Clone, Debug, Default)]
pub struct Knock {
    /// By its place among the world's clients.
    pub client: usize,
    pub user: Option<Vec<u8>>,
    /// User-Password.
    pub entered: Option<Vec<u8>>,
    /// State; more than one where a test is up to no good.
    pub states: Vec<Vec<u8>>,
    pub station: Option<Vec<u8>>,
    /// Whatever else it carries.
    pub extra: AttributeList,
    pub proxy_state: Option<Vec<u8>>,
    /// Without Message-Authenticator.
    pub unsigned: bool,
    /// Under this secret instead of the client's.
    pub secret: Option<Vec<u8>>,
    /// The primary's answer, should it be asked.
    pub primary: Option<Primary>,
}

/// A request that was sent.
pub struct Sent {
    pub knock: Knock,
    pub datagram: Box<[u8]>,
    pub source: SocketAddr,
    /// When it came; again, where a copy was worked on anew.
    pub came: Vec<Tick>,
    secret: SharedSecret,
    identifier: u8,
    authenticator: [u8; 16],
}

/// A reply as its gateway read it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// To which request, by number.
    pub to: usize,
    pub code: Code,
    /// All but Message-Authenticator, in order.
    pub attributes: Vec<(u8, Vec<u8>)>,
    /// The datagram, for comparison with a copy's.
    pub datagram: Box<[u8]>,
    /// The row of the login that ended with it, and its place in the trail.
    pub row: Option<(Arc<Row>, Option<u64>)>,
}

impl Reply {
    pub fn first(&self, number: u8) -> Option<&[u8]> {
        self.all(number).next()
    }

    pub fn all(&self, number: u8) -> impl Iterator<Item = &[u8]> {
        self.attributes.iter().filter(move |(other, _)| *other == number).map(|(_, value)| value.as_slice())
    }

    pub fn text(&self) -> String {
        self.first(number::REPLY_MESSAGE).map(escape).unwrap_or_default()
    }
}

/// Which questions wait to be answered by hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holding {
    pub primary: bool,
    pub user: bool,
    pub commit: bool,
}

/// A question that waits.
pub struct Held {
    pub ask: Ask,
    /// The request that brought it on; `None` for an expiry.
    pub request: Option<usize>,
}

/// A user's token, as the user holds it.
#[derive(Clone)]
pub struct Token {
    pub user: UserName,
    pub serial: Arc<str>,
    pub seed: Secret,
    pub parameters: Parameters,
}

/// The server and everything around it.
pub struct World {
    pub time: SharedClock,
    pub entropy: Fixed,
    pub node: Node,
    pub store: MemoryStore,
    pub clients: Vec<Client>,
    table: Clients,
    pub peers: Peers,
    /// What other servers say to what is handed to them; silence where nothing is left.
    pub owners: VecDeque<PeerAnswer>,
    /// What was handed to them.
    pub owners_asked: Vec<PeerRequest>,
    pub ratchet: Ratchet,
    pub duplicates: Duplicates,
    pub tokens: Vec<Token>,
    pub sent: Vec<Sent>,
    pub replies: VecDeque<Reply>,
    pub drops: VecDeque<DropReason>,
    pub holding: Holding,
    pub held: VecDeque<Held>,
    /// The store does not answer reads, or commits.
    pub reads_fail: bool,
    pub commits_fail: bool,
    /// Logins whose primary said yes, by [`World::family`].
    pub passed: HashSet<Vec<u8>>,
    /// What the primary was asked: user, password, its own State.
    pub primary_asked: Vec<(String, Vec<u8>, Option<Vec<u8>>)>,
    pub ended: Vec<(Arc<Row>, Option<u64>)>,
    pub turned_away: usize,
    /// What is to be brought to users, and which login waits for it.
    pub deliveries: VecDeque<(RoundId, Delivery)>,
    pub oversized: usize,
    /// What no reply may look like, but one did.
    pub faults: Vec<String>,
}

/// A client called `name` at 192.0.2.`place` with its own secret.
pub fn client(name: &str, place: usize, overrides: &Overrides) -> Client {
    let address = IpAddr::from([192, 0, 2, u8::try_from(place + 1).unwrap()]);
    let primary = Label::new("up").unwrap();
    Client {
        name: Label::new(name).unwrap(),
        networks: vec![address.into()],
        secret: Secret::new(format!("secret of {name}").as_bytes()),
        previous_secret: None,
        message_authenticator: MessageAuthenticator::Auto,
        limit_proxy_state: true,
        send_message_authenticator: true,
        profile: "generic",
        policy: Arc::new(Policy::resolve(primary, Lockout::default(), &[overrides])),
        rules: None,
    }
}

pub fn name(text: &str) -> UserName {
    UserName::canonical(text.as_bytes()).unwrap()
}

impl World {
    pub fn new(clients: Vec<Client>, capacity: usize) -> World {
        let time = SharedClock(Arc::new(Mutex::new(Fixed { mono: Tick(1 << 40), unix: START, seed: 0 })));
        let store_entropy = Fixed { mono: Tick(0), unix: START, seed: 1 };
        World {
            store: MemoryStore::new(Arc::new(time.clone()), Box::new(store_entropy)),
            time,
            entropy: Fixed { mono: Tick(0), unix: START, seed: 2 },
            node: Node::new(mint("mfa-a"), capacity),
            table: Clients::new(&clients),
            clients,
            peers: Peers::default(),
            owners: VecDeque::new(),
            owners_asked: Vec::new(),
            ratchet: Ratchet::default(),
            duplicates: Duplicates::new(10_000, Duration::from_secs(10)),
            tokens: Vec::new(),
            sent: Vec::new(),
            replies: VecDeque::new(),
            drops: VecDeque::new(),
            holding: Holding::default(),
            held: VecDeque::new(),
            reads_fail: false,
            commits_fail: false,
            passed: HashSet::new(),
            primary_asked: Vec::new(),
            ended: Vec::new(),
            turned_away: 0,
            deliveries: VecDeque::new(),
            oversized: 0,
            faults: Vec::new(),
        }
    }

    /// The server called `name` is a peer, and `affinity` holds.
    pub fn with_peer(&mut self, peer: &str, affinity: Affinity) {
        self.peers = Peers::new(&Settings {
            people: Arc::default(),
            server_name: Label::new("mfa-a").unwrap(),
            listen: Vec::new(),
            workers: 1,
            clients: Vec::new(),
            limits: Limits::default(),
            affinity,
            control: None,
            fronts: Vec::new(),
            peers: vec![Peer {
                name: Label::new(peer).unwrap(),
                address: SocketAddr::from(([192, 0, 2, 200], 1812)),
                secret: Secret::from("between the two servers"),
            }],
        });
    }

    /// The same store behind a server that has just started: what was only in memory is gone.
    pub fn restart(&mut self, capacity: usize) {
        self.node = Node::new(mint("mfa-a"), capacity);
        self.ratchet = Ratchet::new(self.store.raised().unwrap());
        self.duplicates = Duplicates::new(10_000, Duration::from_secs(10));
        self.held.clear();
    }

    /// Both clocks move on.
    pub fn wait(&mut self, span: Duration) {
        let mut time = self.time.0.lock().unwrap();
        time.mono = time.mono + span;
        time.unix = time.unix + span;
    }

    /// The wall clock is set; the other one does not notice.
    pub fn set_wall_clock(&mut self, unix: UnixTime) {
        self.time.0.lock().unwrap().unix = unix;
    }

    /// Sends a request from a port of its own, and answers its number.
    pub fn send(&mut self, knock: Knock) -> usize {
        let place = self.sent.len();
        let port = 20_000 + u16::try_from(place % 40_000).unwrap();
        self.send_from(knock, port)
    }

    pub fn send_from(&mut self, knock: Knock, port: u16) -> usize {
        let client = &self.clients[knock.client];
        let source = SocketAddr::new(client.networks[0].addr(), port);
        let secret =
            knock.secret.as_ref().map_or(client.secret.clone(), |octets| Secret::new(octets.as_slice()));
        let secret = SharedSecret::new(secret);
        let place = self.sent.len();
        let identifier = u8::try_from(place % 256).unwrap();
        let authenticator = random(&mut self.entropy);
        let datagram = build(&knock, identifier, authenticator, &secret);
        let came = Vec::new();
        self.sent.push(Sent { knock, datagram, source, came, secret, identifier, authenticator });
        self.resend(place);
        place
    }

    /// The same datagram of the same port once more.
    pub fn resend(&mut self, request: usize) {
        let sent = &self.sent[request];
        let (datagram, source) = (sent.datagram.clone(), sent.source);
        self.deliver(&datagram, source, Some(request));
    }

    /// Any octets from anywhere.
    pub fn deliver(&mut self, datagram: &[u8], source: SocketAddr, request: Option<usize>) {
        let mut out = Vec::new();
        match self.receive(datagram, source, request, &mut out) {
            Ok(ask) => self.go_on(request, ask, out),
            Err(reason) => self.drops.push_back(reason),
        }
    }

    /// The way of a datagram up to its login's first question.
    fn receive(
        &mut self,
        datagram: &[u8],
        source: SocketAddr,
        request: Option<usize>,
        out: &mut Vec<Output>,
    ) -> Result<Option<Ask>, DropReason> {
        let now = self.time.mono();
        let gateway = Arc::clone(self.table.find(source.ip()).ok_or(DropReason::UnknownClient)?);
        let parsed = Parsed::parse(datagram)?;
        let authentic = gateway.verify(&parsed, source.ip(), &self.ratchet, self.time.unix())?;
        let view = AccessRequest::view(&authentic.packet)?;
        if gateway.raises(&parsed, view.integrity()) && self.ratchet.raise(source.ip()) {
            let Pending::Ready(true) = self.store.raise(&gateway.name, source.ip()) else {
                panic!("in memory")
            };
        }
        let key = PacketKey { source, local: LOCAL, identifier: parsed.identifier() };
        match self.duplicates.admit(key, parsed.authenticator(), now) {
            Seen::New => {
                if let Some(request) = request {
                    self.sent[request].came.push(now);
                }
            }
            Seen::Pending(_) => return Err(DropReason::DuplicatePending),
            Seen::Answered(reply, _) => {
                self.read(key, *parsed.authenticator(), &reply);
                return Ok(None);
            }
        }
        let origin = Origin { key, authenticator: *parsed.authenticator(), gateway: source };
        let Authentic { packet, secret } = &authentic;
        let reply_to = ReplyTo::new(packet, Arc::clone(secret), gateway.send_message_authenticator);
        let arrival = arrival(&gateway, &view, packet, secret, origin, reply_to, now);
        let (node, mut env) = lend(&self.node, &self.time, &mut self.entropy);
        Ok(enter(node, &self.peers, arrival, view.state(), &mut env, out))
    }

    /// Wakes every login whose time is over.
    pub fn sweep(&mut self) {
        for round in self.node.expired(self.time.mono()) {
            self.wake(round, Event::Expired);
        }
        self.duplicates.sweep(self.time.mono());
    }

    pub fn wake(&mut self, round: RoundId, event: Event) {
        let mut out = Vec::new();
        let (node, mut env) = lend(&self.node, &self.time, &mut self.entropy);
        let ask = node.wake(round, event, &mut env, &mut out);
        self.go_on(None, ask, out);
    }

    /// An answer comes from a phone; one that is late is recorded.
    pub fn hear(&mut self, reference: Reference, answer: Answer) -> Heard {
        let mut out = Vec::new();
        let (node, mut env) = lend(&self.node, &self.time, &mut self.entropy);
        let (heard, ask) = node.hear(reference, answer, &mut env, &mut out);
        self.go_on(None, ask, out);
        if let Heard::Late(Some(row)) = &heard {
            let record = Record { guards: Vec::new(), row: Arc::new(Row::clone(row)) };
            assert!(matches!(now(self.store.commit(record)), CommitAnswer::Done(_)));
        }
        heard
    }

    /// A step of the login that waits for the held question at `place` panics, and takes the question with it.
    pub fn panic(&mut self, place: usize) {
        let Some(held) = self.held.remove(place) else { return };
        let mut out = Vec::new();
        let (node, mut env) = lend(&self.node, &self.time, &mut self.entropy);
        let ask = node.fail(held.ask.round(), &mut env, &mut out);
        self.go_on(None, ask, out);
    }

    /// The round that a State of this server names.
    pub fn round(&self, state: &[u8], client: usize, user: &str) -> Option<RoundId> {
        let client = &self.clients[client].name;
        self.node.mint().open(state, client, &name(user)).ok().map(|issued| issued.round)
    }

    /// What a request and its copies share: the State that they carry, or else the first request's own number.
    pub fn family(&self, request: usize) -> Vec<u8> {
        let first = || request.to_be_bytes().to_vec();
        self.sent[request].knock.states.first().cloned().unwrap_or_else(first)
    }
}

fn mint(server: &str) -> Mint {
    Mint::new(&Label::new(server).unwrap(), &Secret::new([7; 32]))
}

/// A State that the server called `server` of the same store would have made.
pub fn state_of_server(server: &str, client: &Label, user: &str, at: UnixTime) -> Vec<u8> {
    mint(server).state(RoundId([5; 16]), at, client, &name(user)).into_bytes()
}

fn lend<'a>(node: &'a Node, time: &SharedClock, entropy: &'a mut dyn Entropy) -> (&'a Node, Env<'a>) {
    (node, Env { mono: time.mono(), unix: time.unix(), entropy })
}

fn now<T>(pending: Pending<T>) -> T {
    match pending {
        Pending::Ready(answer) => answer,
        Pending::Later(_) => panic!("the store in memory answers at once"),
    }
}
