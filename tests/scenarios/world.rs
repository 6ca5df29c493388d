//! A whole server but for its sockets: the same Node over the store in memory, on clocks that move when told.
//!
//! A [`Knock`] becomes a real datagram, goes through clients, wire and duplicates as a received one does, and its login
//! is driven to the next wait. Questions are answered as the knock scripts it, at once or when the test says so.
//! Every reply is decoded as a gateway would, and checked for what every reply must have; what is missing is in
//! [`World::faults`], which each test must find empty.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use radmfa::base::name::{GroupName, Label, UserName};
use radmfa::base::secret::Secret;
use radmfa::base::system::{Clock, Entropy, Fixed, random};
use radmfa::base::text::escape;
use radmfa::base::time::{Tick, UnixTime};
use radmfa::engine::asking::Reference;
use radmfa::engine::delivery::Delivery;
use radmfa::engine::policy::{Lockout, Overrides, Policy};
use radmfa::engine::question::{PeerAnswer, PeerRequest, PrimaryAnswer, UserAnswer};
use radmfa::engine::record::{CommitAnswer, Record, Row};
use radmfa::engine::step::{Answer, Env, Event};
use radmfa::factor::oath::{self, Drift, Moving, Parameters};
use radmfa::server::affinity::{Mint, RoundId};
use radmfa::server::clients::{Authentic, Clients, Ratchet};
use radmfa::server::duplicates::{Duplicates, PacketKey, Seen};
use radmfa::server::node::Heard;
use radmfa::server::node::{Ask, Node, Origin, Output};
use radmfa::server::peers::Peers;
use radmfa::server::pipeline::{arrival, enter};
use radmfa::server::settings::{Affinity, Client, Limits, MessageAuthenticator, Peer, Settings};
use radmfa::store::Logins;
use radmfa::store::admin::{Admin, NewToken, TokenFields, UserFields};
use radmfa::store::memory::MemoryStore;
use radmfa::store::pending::Pending;
use radmfa::wire::{
    AccessRequest, AttributeId, AttributeList, Code, DropReason, HideKind, MaRule, Parsed, ReplyTo,
    RequestBuilder, SharedSecret, UpstreamReply, number,
};

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

    pub fn add_user(&mut self, user: &str) {
        self.add_member(user, &[], (None, None));
    }

    /// A user in `groups`, with a phone and a mail address.
    pub fn add_member(&mut self, user: &str, groups: &[String], contact: (Option<String>, Option<String>)) {
        let groups: Vec<_> =
            groups.iter().map(|group| GroupName::canonical(group.as_bytes()).unwrap()).collect();
        let groups = (!groups.is_empty()).then(|| groups.into());
        let (phone, mail) = contact;
        let fields = UserFields { groups, phone, mail, ..UserFields::default() };
        self.store.add_user(&name(user), &fields).unwrap();
    }

    pub fn add_token(&mut self, user: &str, serial: &str, seed: Secret, parameters: Parameters) {
        self.add_special_token(user, serial, seed, parameters, 0, TokenFields::default());
    }

    /// A counter token that begins at `counter`, or one of which more is known.
    pub fn add_special_token(
        &mut self,
        user: &str,
        serial: &str,
        seed: Secret,
        parameters: Parameters,
        counter: u64,
        fields: TokenFields,
    ) {
        let token = Token { user: name(user), serial: serial.into(), seed, parameters };
        let new =
            NewToken::new(token.serial.clone(), Some(token.user.clone()), token.seed.clone(), parameters);
        self.store.add_token(&NewToken { counter, fields, ..new }).unwrap();
        self.tokens.push(token);
    }

    /// The code that the token `serial`, or else the first token of `user`, shows `offset` steps from now; of a counter
    /// token, the code of the counter `offset`.
    pub fn code(&self, user: &str, serial: Option<&str>, offset: i64) -> Option<String> {
        let user = UserName::canonical(user.as_bytes()).ok();
        let mine = |token: &&Token| match serial {
            Some(serial) => *token.serial == *serial,
            None => Some(&token.user) == user.as_ref(),
        };
        let token = self.tokens.iter().find(mine)?;
        let step = token.parameters.step_at(self.time.unix().secs()).checked_add_signed(offset)?;
        Some(oath::code(token.seed.expose(), &token.parameters, step).to_string())
    }

    /// Six digits that no token shows near now.
    pub fn wrong_code(&self) -> String {
        let near = |guess: &String| {
            self.tokens.iter().any(|token| {
                let steps = match token.parameters.moving {
                    Moving::Time { .. } => {
                        let (now, drift) = (self.time.unix().secs(), Drift::default());
                        let near = oath::window(&token.parameters, now, drift, oath::WINDOW_MAX);
                        near.start().saturating_sub(10)..=near.end() + 10
                    }
                    // Further ahead it would be as wrong to the user, if not to the trail.
                    Moving::Counter => 0..=100,
                };
                oath::find_step(token.seed.expose(), &token.parameters, steps, guess.parse().unwrap())
                    .is_some()
            })
        };
        (0..1_000_000).map(|number| format!("{number:06}")).find(|guess| !near(guess)).unwrap()
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

    /// Answers questions until there is none, or until one is held.
    fn go_on(&mut self, request: Option<usize>, mut ask: Option<Ask>, mut out: Vec<Output>) {
        loop {
            self.take(&mut out);
            let Some(present) = ask else { return };
            let holds = match &present {
                Ask::Primary(..) => self.holding.primary,
                Ask::User(..) => self.holding.user,
                Ask::Commit(..) => self.holding.commit,
                Ask::Relay(..) | Ask::Park(..) | Ask::Unpark(..) | Ask::Claim(..) => false,
            };
            if holds {
                self.held.push_back(Held { ask: present, request });
                return;
            }
            ask = self.answer(Held { ask: present, request }, &mut out);
        }
    }

    /// Answers the held question at `place`, and goes on.
    pub fn release(&mut self, place: usize) {
        let Some(held) = self.held.remove(place) else { return };
        let request = held.request;
        let mut out = Vec::new();
        let ask = self.answer(held, &mut out);
        self.go_on(request, ask, out);
    }

    /// Answers every held question, and those that follow from them.
    pub fn release_all(&mut self) {
        self.holding = Holding::default();
        while !self.held.is_empty() {
            self.release(0);
        }
    }

    fn answer(&mut self, held: Held, out: &mut Vec<Output>) -> Option<Ask> {
        let Held { ask, request } = held;
        match ask {
            Ask::Primary(check, ticket) => {
                let asked = (
                    check.user.to_string(),
                    check.password.expose().to_vec(),
                    check.state.as_deref().map(<[u8]>::to_vec),
                );
                let scripted = request.and_then(|request| self.sent[request].knock.primary.clone());
                let answer = match scripted {
                    Some(Primary::Accept(attributes)) => {
                        let family = self.family(request.unwrap());
                        self.passed.insert(family);
                        PrimaryAnswer::Accepted { attributes }
                    }
                    Some(Primary::Reject(attributes)) => PrimaryAnswer::Rejected { attributes },
                    Some(Primary::Challenge(state, attributes)) => {
                        PrimaryAnswer::Challenged { state: state.into(), attributes }
                    }
                    Some(Primary::Unavailable) => PrimaryAnswer::Unavailable,
                    Some(Primary::Withheld) => PrimaryAnswer::Withheld,
                    None => {
                        self.faults.push(format!("the primary was asked about {}, unexpectedly", asked.0));
                        PrimaryAnswer::Unavailable
                    }
                };
                self.primary_asked.push(asked);
                let (node, mut env) = lend(&self.node, &self.time, &mut self.entropy);
                node.answer(ticket, answer, &mut env, out)
            }
            Ask::User(query, ticket) => {
                let answer =
                    if self.reads_fail { UserAnswer::Unavailable } else { now(self.store.find(&query)) };
                let (node, mut env) = lend(&self.node, &self.time, &mut self.entropy);
                node.answer(ticket, answer, &mut env, out)
            }
            Ask::Relay(request, ticket) => {
                self.owners_asked.push(request);
                let answer = self.owners.pop_front().unwrap_or(PeerAnswer::Unavailable);
                let (node, mut env) = lend(&self.node, &self.time, &mut self.entropy);
                node.answer(ticket, answer, &mut env, out)
            }
            Ask::Park(..) | Ask::Unpark(..) | Ask::Claim(..) => {
                panic!("this server shares its logins with nobody")
            }
            Ask::Commit(record, ticket) => {
                let answer = if self.commits_fail {
                    CommitAnswer::Unavailable
                } else {
                    now(self.store.commit(record))
                };
                let (node, mut env) = lend(&self.node, &self.time, &mut self.entropy);
                node.answer(ticket, answer, &mut env, out)
            }
        }
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

    fn take(&mut self, out: &mut Vec<Output>) {
        let before = self.replies.len();
        for output in out.drain(..) {
            match output {
                Output::Reply { to, datagram, not_before } => {
                    let leaves = not_before.max(self.time.mono());
                    if let Some(reply) = self.read(to.key, to.authenticator, &datagram) {
                        self.check_moment(&reply, not_before);
                    }
                    self.duplicates.answered(to.key, &to.authenticator, &datagram.into(), leaves);
                }
                Output::Ended { row, sequence } => {
                    let ends =
                        |reply: &&mut Reply| reply.row.is_none() && reply.code != Code::ACCESS_CHALLENGE;
                    for reply in self.replies.range_mut(before..).filter(ends) {
                        reply.row = Some((Arc::clone(&row), sequence));
                    }
                    self.ended.push((row, sequence));
                }
                Output::Deliver { round, delivery } => self.deliveries.push_back((round, *delivery)),
                Output::Tell { .. } => panic!("nobody knocks at a page here"),
                Output::Released { .. } => panic!("this server shares its logins with nobody"),
                Output::Oversized { .. } => self.oversized += 1,
                Output::TurnedAway { .. } => self.turned_away += 1,
            }
        }
    }

    /// Reads a reply as the gateway does that it goes to.
    fn read(&mut self, key: PacketKey, authenticator: [u8; 16], datagram: &[u8]) -> Option<Reply> {
        let asked = |sent: &Sent| sent.source == key.source && sent.authenticator == authenticator;
        let Some(to) = self.sent.iter().rposition(asked) else {
            self.faults.push("a reply to nobody's request".to_owned());
            return None;
        };
        let sent = &self.sent[to];
        let client = &self.clients[sent.knock.client];
        let rule = if client.send_message_authenticator { MaRule::Required } else { MaRule::IfPresent };
        let reply = match UpstreamReply::authenticate(
            datagram,
            sent.identifier,
            &authenticator,
            &sent.secret,
            rule,
        ) {
            Ok(reply) => reply,
            Err(fault) => {
                self.faults.push(format!("request {to}: its reply does not authenticate: {fault}"));
                return None;
            }
        };
        let mut attributes: Vec<_> =
            reply.attributes().map(|attribute| (attribute.number(), attribute.value().to_vec())).collect();
        if client.send_message_authenticator && attributes[0].0 != number::MESSAGE_AUTHENTICATOR {
            self.faults.push(format!("request {to}: Message-Authenticator does not come first"));
        }
        attributes.retain(|(number, _)| *number != number::MESSAGE_AUTHENTICATOR);
        let reply = Reply { to, code: reply.code(), attributes, datagram: datagram.into(), row: None };
        if let Some(fault) = fault_of(&reply, &sent.knock) {
            self.faults.push(format!("request {to}: {fault}"));
        }
        self.replies.push_back(reply.clone());
        Some(reply)
    }

    /// Rejects leave between their floor and an eighth more, everything else at once.
    fn check_moment(&mut self, reply: &Reply, not_before: Tick) {
        let sent = &self.sent[reply.to];
        let floor = self.clients[sent.knock.client].policy.admission.reject_after();
        let uniform = self.clients[sent.knock.client].policy.admission.uniform_prompt;
        let in_time = |came: &Tick| (floor..=floor + floor / 8).contains(&not_before.since(*came));
        let right = match reply.code {
            Code::ACCESS_REJECT => sent.came.iter().any(in_time),
            Code::ACCESS_CHALLENGE if uniform => sent.came.iter().any(in_time),
            _ => not_before <= self.time.mono(),
        };
        if !right {
            let after = sent.came.last().map(|came| not_before.since(*came));
            self.faults.push(format!("request {}: {} leaves after {after:?}", reply.to, reply.code));
        }
    }
}

/// What is wrong with a reply, whatever it answers.
fn fault_of(reply: &Reply, knock: &Knock) -> Option<String> {
    let count = |number| reply.all(number).count();
    let proxy_states: Vec<_> = reply.all(number::PROXY_STATE).collect();
    if proxy_states != knock.proxy_state.as_deref().into_iter().collect::<Vec<_>>() {
        return Some("Proxy-State is not echoed".to_owned());
    }
    if reply.code != Code::ACCESS_CHALLENGE {
        return (count(number::STATE) > 0).then(|| "a State without a challenge".to_owned());
    }
    let [state, message, timeout] =
        [number::STATE, number::REPLY_MESSAGE, number::SESSION_TIMEOUT].map(count);
    let long = reply.all(number::STATE).any(|state| state.len() > 64 || !state.is_ascii());
    let prompt_only_once = state == 1 && message == 1 && timeout == 1 && !long;
    (!prompt_only_once).then(|| {
        format!("a challenge with {state} State, {message} Reply-Message, {timeout} Session-Timeout")
    })
}

fn build(knock: &Knock, identifier: u8, authenticator: [u8; 16], secret: &SharedSecret) -> Box<[u8]> {
    let mut attributes = AttributeList::new();
    if let Some(user) = &knock.user {
        attributes.push(number::USER_NAME, user).unwrap();
    }
    if let Some(entered) = &knock.entered {
        let id = AttributeId::Standard(number::USER_PASSWORD);
        attributes.push_held(id, HideKind::UserPassword, &Secret::new(entered.as_slice())).unwrap();
    }
    for state in &knock.states {
        attributes.push(number::STATE, state).unwrap();
    }
    if let Some(station) = &knock.station {
        attributes.push(number::CALLING_STATION_ID, station).unwrap();
    }
    attributes.append(&knock.extra);
    let proxy_state = knock.proxy_state.as_deref();
    let builder = RequestBuilder { code: Code::ACCESS_REQUEST, attributes: &attributes, proxy_state, secret };
    let mut none = Fixed { mono: Tick(0), unix: START, seed: 3 };
    let signed = builder.build(identifier, authenticator, &mut none).unwrap().bytes;
    if knock.unsigned { without_message_authenticator(&signed) } else { signed }
}

/// A request that the wire module built, without the Message-Authenticator that it begins with.
pub fn without_message_authenticator(signed: &[u8]) -> Box<[u8]> {
    assert_eq!(signed[20], number::MESSAGE_AUTHENTICATOR);
    let length = u16::try_from(signed.len() - 18).unwrap().to_be_bytes();
    [&signed[..2], &length, &signed[4..20], &signed[38..]].concat().into()
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
