//! Against a server whose every answer the test writes, over loopback, with a clock that the test moves.

mod failover;
mod forged;

use std::collections::HashSet;
use std::net::UdpSocket as Foreign;
use std::sync::atomic::AtomicU64;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::system::Fixed;
use crate::base::time::UnixTime;
use crate::engine::question::PrimaryCheck;
use crate::wire::{
    AttributeId, Credential, Entry, Hidden, HideKind, Integrity, Parsed, ReplyTo, RequestBuilder, Verified,
    vendor,
};

const SECRET: &str = "upsecret";
const PATIENCE: Duration = Duration::from_secs(12);
/// A first retransmission is due by then, with any jitter, and the next server not yet.
const SOON: Duration = Duration::from_millis(2300);
/// The next server is asked after this as well.
const THEN: Duration = Duration::from_millis(1700);
/// Both together.
const THIRD: Duration = Duration::from_secs(4);

struct Moved(AtomicU64);

impl Clock for Moved {
    fn mono(&self) -> Tick {
        Tick(self.0.load(Relaxed))
    }

    fn unix(&self) -> UnixTime {
        UnixTime::from_secs(1_700_000_000)
    }
}

/// A worker's side, whose sweeps the test makes.
struct Bench {
    clock: Arc<Moved>,
    radius: Arc<Radius>,
}

impl Bench {
    fn new(servers: &[&Server]) -> Bench {
        Bench::with(servers, |_| {})
    }

    fn with(servers: &[&Server], change: impl FnOnce(&mut settings::Radius)) -> Bench {
        let addresses = servers.iter().map(|server| server.address()).collect();
        let mut settings = settings::Radius::new(addresses, Secret::from(SECRET));
        settings.status_server = false;
        change(&mut settings);
        let clock = Arc::new(Moved(AtomicU64::new(1_000_000_000)));
        let kinds: Kinds = Arc::new(|id| {
            (id == AttributeId::Vendor(vendor::MICROSOFT, 16)).then_some(Hidden::Salted { tagged: false })
        });
        let radius = Radius::open(
            "primary up".to_owned(),
            &settings,
            |address| Arc::new(Health::new(address)),
            Arc::<Moved>::clone(&clock),
            Arc::new(Mutex::new(entropy())),
            kinds,
            None,
        );
        Bench { clock, radius }
    }

    /// Time passes, and what is due then is done.
    fn pass(&self, span: Duration) {
        let Tick(now) = self.clock.mono() + span;
        self.clock.0.store(now, Relaxed);
        self.radius.sweep(Tick(now));
    }

    fn check(&self, state: Option<&[u8]>) -> JoinHandle<PrimaryAnswer> {
        self.check_of("correct horse", state)
    }

    fn check_of(&self, password: &str, state: Option<&[u8]>) -> JoinHandle<PrimaryAnswer> {
        let check = PrimaryCheck {
            primary: Label::new("up").unwrap(),
            user: UserName::canonical(b"Alice").unwrap(),
            password: Secret::from(password),
            packet: Arc::new(gateway_request()),
            state: state.map(Into::into),
            answer_by: self.clock.mono() + PATIENCE,
        };
        let radius = Arc::clone(&self.radius);
        tokio::spawn(async move { radius.check(&check, None).await })
    }

    /// What is in flight.
    fn busy(&self) -> usize {
        let flying = self.radius.flying();
        assert_eq!(flying.busy, flying.lanes.iter().flatten().map(Lane::busy).sum::<usize>());
        flying.busy
    }

    fn ports(&self) -> usize {
        self.radius.flying().lanes.iter().flatten().count()
    }

    fn status(&self, server: usize) -> super::super::ServerStatus {
        self.radius.servers[server].health.status()
    }

    /// Datagrams that are no answer are only counted: waits until `count` of them were.
    async fn until_ignored(&self, count: u64) {
        let counted = async {
            while self.status(0).ignored < count {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(5), counted).await.expect("the datagrams come in");
    }

    /// When something is due next about anything in flight.
    fn due(&self) -> Vec<Tick> {
        let mut flying = self.radius.flying();
        let lanes = flying.lanes.iter_mut().flatten();
        lanes
            .flat_map(|lane| (0..=255).filter_map(|id| lane.flight(id)?.schedule.next()).collect::<Vec<_>>())
            .collect()
    }
}

fn entropy() -> Fixed {
    Fixed { mono: Tick(0), unix: UnixTime(0), seed: 7 }
}

fn secret() -> Arc<SharedSecret> {
    Arc::new(SharedSecret::new(Secret::from(SECRET)))
}

/// What a gateway sent us, under a secret of its own.
fn gateway_request() -> Verified<Box<[u8]>> {
    let mut attributes = AttributeList::new();
    attributes.push_text(number::USER_NAME, "Alice").unwrap();
    let password = Secret::from("correct horse");
    attributes
        .push_held(AttributeId::Standard(number::USER_PASSWORD), HideKind::UserPassword, &password)
        .unwrap();
    attributes.push_text(number::NAS_IDENTIFIER, "asa").unwrap();
    attributes.push_text(number::STATE, "ours").unwrap();
    attributes.push_vendor(9, 1, b"ip:source=1").unwrap();
    let secret = SharedSecret::new(Secret::from("gateway"));
    let request = RequestBuilder {
        code: Code::ACCESS_REQUEST,
        attributes: &attributes,
        proxy_state: Some(b"proxy"),
        secret: &secret,
    };
    let request = request.build(1, [3; 16], &mut entropy()).unwrap();
    Parsed::parse(&request.bytes).unwrap().verify(&secret).unwrap().detach()
}

/// An upstream server.
struct Server(UdpSocket);

/// What came to it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Came {
    from: SocketAddr,
    octets: Vec<u8>,
}

impl Came {
    fn request(&self) -> Verified<Box<[u8]>> {
        Parsed::parse(&self.octets).unwrap().verify(&secret()).unwrap().detach()
    }

    fn sealed(&self, code: Code, attributes: &AttributeList, signed: bool) -> Box<[u8]> {
        ReplyTo::new(&self.request(), secret(), signed).seal(code, attributes, &mut entropy()).unwrap()
    }
}

impl Server {
    async fn new() -> Server {
        Server(UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    async fn receive(&self) -> Came {
        let mut buffer = [0; 4096];
        let came = timeout(Duration::from_secs(5), self.0.recv_from(&mut buffer)).await;
        let (length, from) = came.expect("a request comes").unwrap();
        Came { from, octets: buffer[..length].to_vec() }
    }

    /// Nothing has come. What loopback carries is there when the sending call returns.
    fn nothing_came(&self) {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let came = socket2::SockRef::from(&self.0).recv(&mut buffer);
        assert_eq!(came.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }

    async fn send(&self, octets: &[u8], to: SocketAddr) {
        self.0.send_to(octets, to).await.unwrap();
    }

    async fn reply(&self, to: &Came, code: Code, text: &str) {
        self.send(&to.sealed(code, &message(text), true), to.from).await;
    }
}

fn message(text: &str) -> AttributeList {
    let mut attributes = AttributeList::new();
    attributes.push_text(number::REPLY_MESSAGE, text).unwrap();
    attributes
}

async fn answer(check: JoinHandle<PrimaryAnswer>) -> PrimaryAnswer {
    timeout(Duration::from_secs(5), check).await.expect("an answer comes").unwrap()
}

async fn accepted(check: JoinHandle<PrimaryAnswer>) -> String {
    let PrimaryAnswer::Accepted { attributes } = answer(check).await else { panic!("not accepted") };
    let text = attributes.plain_attributes().next().unwrap().value().to_vec();
    String::from_utf8(text).unwrap()
}

async fn unavailable(check: JoinHandle<PrimaryAnswer>) {
    let answer = answer(check).await;
    assert!(matches!(answer, PrimaryAnswer::Unavailable), "{answer:?}");
}

#[tokio::test]
async fn the_request_goes_on_signed_with_the_password_hidden_anew() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let check = bench.check(None);
    let came = server.receive().await;
    let request = came.request();
    assert_eq!(request.integrity(), Integrity::Signed);
    let numbers: Vec<u8> = request.attributes().map(|attribute| attribute.number()).collect();
    assert_eq!(numbers, [80, 1, 2, 32, 26], "neither Proxy-State nor the State that is ours");
    let view = crate::wire::AccessRequest::view(&request).unwrap();
    assert_eq!(view.user_name(), Some(&b"Alice"[..]), "as the gateway wrote it");
    let Credential::Pap(password) = view.credential() else { panic!("no password") };
    assert_eq!(password.reveal(&secret()), Secret::from("correct horse"));
    server.reply(&came, Code::ACCESS_ACCEPT, "welcome").await;
    assert_eq!(accepted(check).await, "welcome");
    assert_eq!(bench.busy(), 0);
}

#[tokio::test]
async fn a_request_without_a_credential_goes_on_without_one() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let check = bench.check_of("", None);
    let came = server.receive().await;
    let request = came.request();
    assert_eq!(request.integrity(), Integrity::Signed);
    let view = crate::wire::AccessRequest::view(&request).unwrap();
    assert!(matches!(view.credential(), Credential::None), "{:?}", view.credential());
    server.reply(&came, Code::ACCESS_ACCEPT, "welcome").await;
    assert_eq!(accepted(check).await, "welcome");
}

#[tokio::test]
async fn a_reject_is_one_and_keeps_its_words() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let check = bench.check(None);
    server.reply(&server.receive().await, Code::ACCESS_REJECT, "no").await;
    let PrimaryAnswer::Rejected { attributes } = answer(check).await else { panic!("not rejected") };
    assert_eq!(attributes, message("no"));
}

#[tokio::test]
async fn a_key_in_the_accept_is_held_in_the_clear_until_it_is_sent_on() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let check = bench.check(None);
    let came = server.receive().await;
    let mut attributes = AttributeList::new();
    let id = AttributeId::Vendor(vendor::MICROSOFT, 16);
    attributes.push_held(id, HideKind::Salted { tag: None }, &Secret::from("key")).unwrap();
    server.send(&came.sealed(Code::ACCESS_ACCEPT, &attributes, true), came.from).await;
    let PrimaryAnswer::Accepted { attributes: held } = answer(check).await else { panic!("not accepted") };
    assert_eq!(held, attributes);
    assert!(matches!(held.iter().next(), Some(Entry::Held { .. })));
}

#[tokio::test]
async fn more_than_256_in_flight_take_more_ports_which_are_closed_again() {
    const LOGINS: usize = 600;
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let checks: Vec<_> = (0..LOGINS).map(|_| bench.check(None)).collect();
    let mut came = Vec::new();
    while came.len() < LOGINS {
        came.push(server.receive().await);
    }
    let places: HashSet<_> = came.iter().map(|came| (came.from, came.octets[1])).collect();
    assert_eq!(places.len(), LOGINS, "no identifier twice on a port");
    assert_eq!(bench.ports(), 3);
    for (number, came) in came.iter().enumerate() {
        server.reply(came, Code::ACCESS_ACCEPT, &number.to_string()).await;
        if number % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut texts = HashSet::new();
    for check in checks {
        texts.insert(accepted(check).await);
    }
    assert_eq!(texts.len(), LOGINS, "each its own answer");
    assert_eq!(bench.busy(), 0);
    bench.pass(PORT_KEPT);
    assert_eq!(bench.ports(), 1);
}

#[tokio::test]
async fn the_table_of_what_is_in_flight_is_bounded() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let now = bench.clock.mono();
    let attributes = AttributeList::new();
    let question = Question {
        server: 0,
        code: Code::ACCESS_REQUEST,
        attributes: &attributes,
        proxy_state: None,
        purpose: Purpose::Login,
        move_on: None,
        give_up: now + PATIENCE,
        watcher: &None,
    };
    let tickets = std::iter::from_fn(|| bench.radius.launch(&question, now)).count();
    assert_eq!(tickets, PORTS_MAX * 256);
    unavailable(bench.check(None)).await;
}

#[tokio::test]
async fn an_identifier_without_an_answer_rests_and_an_answered_one_comes_round_last() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let abandoned = bench.check(None);
    let first = server.receive().await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    assert_eq!(bench.busy(), 0);
    let mut seen = HashSet::new();
    for _ in 0..255 {
        let check = bench.check(None);
        let came = server.receive().await;
        seen.insert(came.octets[1]);
        server.reply(&came, Code::ACCESS_ACCEPT, "welcome").await;
        accepted(check).await;
    }
    assert_eq!(seen.len(), 255);
    assert!(!seen.contains(&first.octets[1]));
    assert_eq!(bench.ports(), 1);
}

#[tokio::test]
async fn a_challenge_is_answered_to_the_server_that_asked_with_its_own_state() {
    let (first, second) = (Server::new().await, Server::new().await);
    let bench = Bench::new(&[&first, &second]);
    let check = bench.check(None);
    let _ = first.receive().await;
    bench.pass(THIRD);
    let came = second.receive().await;
    let mut attributes = message("choose a new password");
    attributes.push(number::STATE, b"theirs").unwrap();
    second.send(&came.sealed(Code::ACCESS_CHALLENGE, &attributes, true), came.from).await;
    let PrimaryAnswer::Challenged { state, attributes } = answer(check).await else { panic!("not asked") };
    assert_eq!(attributes, message("choose a new password"), "the State stays here");

    let check = bench.check(Some(&state));
    let came = second.receive().await;
    let states: Vec<_> = came.request().attributes().all(number::STATE).map(<[u8]>::to_vec).collect();
    assert_eq!(states, [b"theirs"]);
    bench.pass(THIRD);
    let _ = second.receive().await;
    second.reply(&came, Code::ACCESS_ACCEPT, "welcome").await;
    assert_eq!(accepted(check).await, "welcome");
    let mut buffer = [0; 4096];
    while let Ok(length) = first.0.try_recv(&mut buffer) {
        assert!(Parsed::parse(&buffer[..length]).unwrap().attributes().first(number::STATE).is_none());
    }
}

#[tokio::test]
async fn a_challenge_without_state_is_a_reject_and_a_foreign_dialog_goes_nowhere() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let check = bench.check(None);
    server.reply(&server.receive().await, Code::ACCESS_CHALLENGE, "?").await;
    assert!(matches!(answer(check).await, PrimaryAnswer::Rejected { .. }));
    let elsewhere = Dialog { server: "127.0.0.9:1".parse().unwrap(), state: b"s" }.encode();
    unavailable(bench.check(Some(&elsewhere))).await;
    unavailable(bench.check(Some(b"?"))).await;
    server.nothing_came();
}

#[tokio::test]
async fn sweeps_begin_with_a_launch_and_end_when_nothing_is_left() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    bench.radius.start();
    let fallen_asleep = async {
        while !bench.radius.asleep.load(Relaxed) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), fallen_asleep).await.expect("nothing keeps it awake");
    let check = bench.check(None);
    let first = server.receive().await;
    let Tick(later) = bench.clock.mono() + SOON;
    bench.clock.0.store(later, Relaxed);
    assert_eq!(server.receive().await, first, "the sweeper sends it again by itself");
    check.abort();
    let weak = Arc::downgrade(&bench.radius);
    let _ = check.await;
    drop(bench);
    assert!(weak.upgrade().is_none(), "no task keeps it");
}
