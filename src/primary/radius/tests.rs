//! Against a server whose every answer the test writes, over loopback, with a clock that the test moves.

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
async fn a_lost_packet_is_sent_again_octet_for_octet_from_the_same_port() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let check = bench.check(None);
    let first = server.receive().await;
    bench.pass(Duration::from_millis(1700));
    server.nothing_came();
    bench.pass(Duration::from_millis(600));
    let second = server.receive().await;
    assert_eq!(second, first);
    server.reply(&second, Code::ACCESS_ACCEPT, "welcome").await;
    assert_eq!(accepted(check).await, "welcome");
}

#[tokio::test]
async fn silence_ends_at_the_time_that_was_given() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let check = bench.check(None);
    let _ = server.receive().await;
    bench.pass(THIRD * 2);
    let _ = server.receive().await;
    assert!(!check.is_finished());
    bench.pass(THIRD);
    unavailable(check).await;
    server.nothing_came();
    assert_eq!(bench.busy(), 0);
}

#[tokio::test]
async fn the_next_server_is_asked_at_a_third_of_the_time_and_either_may_answer() {
    for late in [false, true] {
        let (first, second) = (Server::new().await, Server::new().await);
        let bench = Bench::new(&[&first, &second]);
        let check = bench.check(None);
        let to_first = first.receive().await;
        bench.pass(SOON);
        assert_eq!(first.receive().await, to_first);
        second.nothing_came();
        bench.pass(THEN);
        let to_second = second.receive().await;
        assert_ne!(to_first.octets[4..20], to_second.octets[4..20], "another authenticator");
        bench.pass(SOON);
        assert_eq!(second.receive().await, to_second);
        first.nothing_came();
        let (server, came) = if late { (&first, &to_first) } else { (&second, &to_second) };
        server.reply(came, Code::ACCESS_ACCEPT, "welcome").await;
        assert_eq!(accepted(check).await, "welcome");
        assert_eq!(bench.busy(), 0);
    }
}

/// Three logins that the first server does not answer, and the second one does.
async fn kill_first(bench: &Bench, first: &Server, second: &Server) {
    for _ in 0..3 {
        let check = bench.check(None);
        let _ = first.receive().await;
        bench.pass(SOON);
        let _ = first.receive().await;
        bench.pass(THEN);
        second.reply(&second.receive().await, Code::ACCESS_ACCEPT, "second").await;
        assert_eq!(accepted(check).await, "second");
    }
    assert!(!bench.status(0).alive);
}

#[tokio::test]
async fn a_silent_server_is_passed_over_for_the_dead_time_and_then_tried_by_one_login() {
    let (first, second) = (Server::new().await, Server::new().await);
    let bench = Bench::new(&[&first, &second]);
    kill_first(&bench, &first, &second).await;
    let check = bench.check(None);
    second.reply(&second.receive().await, Code::ACCESS_ACCEPT, "at once").await;
    assert_eq!(accepted(check).await, "at once");
    first.nothing_came();

    bench.pass(Duration::from_secs(30));
    let tries = bench.check(None);
    let came = first.receive().await;
    let passes_by = bench.check(None);
    second.reply(&second.receive().await, Code::ACCESS_ACCEPT, "second").await;
    assert_eq!(accepted(passes_by).await, "second");
    first.nothing_came();
    first.reply(&came, Code::ACCESS_REJECT, "I am back").await;
    assert!(matches!(answer(tries).await, PrimaryAnswer::Rejected { .. }));
    assert!(bench.status(0).alive);
}

#[tokio::test]
async fn dead_servers_are_asked_when_all_are_dead() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    for _ in 0..3 {
        let check = bench.check(None);
        let _ = server.receive().await;
        bench.pass(SOON);
        let _ = server.receive().await;
        bench.pass(PATIENCE);
        unavailable(check).await;
    }
    assert!(!bench.status(0).alive);
    let check = bench.check(None);
    server.reply(&server.receive().await, Code::ACCESS_ACCEPT, "welcome").await;
    assert_eq!(accepted(check).await, "welcome");
    assert!(bench.status(0).alive);
}

#[tokio::test]
async fn what_is_no_answer_changes_nothing() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let earlier = bench.check(None);
    let past = server.receive().await;
    server.reply(&past, Code::ACCESS_ACCEPT, "past").await;
    assert_eq!(accepted(earlier).await, "past");

    let check = bench.check(None);
    let came = server.receive().await;
    let due = bench.due();
    let status = bench.status(0);
    // Late: the answer to the request before it, once more.
    server.reply(&past, Code::ACCESS_ACCEPT, "past").await;
    // An identifier that nothing is in flight under; a datagram that is no packet, and an empty one.
    let mut octets = came.sealed(Code::ACCESS_ACCEPT, &message("no"), true);
    octets[1] ^= 0x80;
    server.send(&octets, came.from).await;
    server.send(&[2, came.octets[1]], came.from).await;
    server.send(&[], came.from).await;
    // A Reject made an Accept, a Challenge made an Accept, an Accept made a Reject.
    for (was, says) in [
        (Code::ACCESS_REJECT, Code::ACCESS_ACCEPT),
        (Code::ACCESS_CHALLENGE, Code::ACCESS_ACCEPT),
        (Code::ACCESS_ACCEPT, Code::ACCESS_REJECT),
    ] {
        let mut octets = came.sealed(was, &message("forged"), true);
        octets[0] = says.0;
        server.send(&octets, came.from).await;
    }
    // Of somebody who does not know the secret; of no code that answers.
    let mut octets = came.sealed(Code::ACCESS_ACCEPT, &message("forged"), true);
    octets[5] ^= 1;
    server.send(&octets, came.from).await;
    server.send(&came.sealed(Code::ACCOUNTING_RESPONSE, &AttributeList::new(), false), came.from).await;
    bench.until_ignored(9).await;
    // Right in every octet, from another address: the socket does not even hear it.
    let genuine = came.sealed(Code::ACCESS_ACCEPT, &message("foreign"), true);
    Foreign::bind("127.0.0.2:0").unwrap().send_to(&genuine, came.from).unwrap();
    Foreign::bind("127.0.0.1:0").unwrap().send_to(&genuine, came.from).unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!check.is_finished());
    assert_eq!(bench.due(), due, "timers unchanged");
    assert_eq!(bench.status(0), super::super::ServerStatus { ignored: 9, ..status });
    server.reply(&came, Code::ACCESS_REJECT, "the answer").await;
    assert!(matches!(answer(check).await, PrimaryAnswer::Rejected { .. }));
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
async fn a_server_that_has_shown_message_authenticator_must_go_on_with_it() {
    let server = Server::new().await;
    let bench = Bench::new(&[&server]);
    let before = bench.check(None);
    let came = server.receive().await;
    server.send(&came.sealed(Code::ACCESS_ACCEPT, &message("unsigned"), false), came.from).await;
    assert_eq!(accepted(before).await, "unsigned");
    let shows = bench.check(None);
    server.reply(&server.receive().await, Code::ACCESS_ACCEPT, "signed").await;
    assert_eq!(accepted(shows).await, "signed");
    assert!(bench.status(0).shows_message_authenticator);
    let after = bench.check(None);
    let came = server.receive().await;
    server.send(&came.sealed(Code::ACCESS_ACCEPT, &message("unsigned"), false), came.from).await;
    bench.until_ignored(1).await;
    assert!(!after.is_finished());
    server.reply(&came, Code::ACCESS_ACCEPT, "signed").await;
    assert_eq!(accepted(after).await, "signed");
}

#[tokio::test]
async fn a_server_may_be_required_to_send_it_from_the_start() {
    let server = Server::new().await;
    let bench = Bench::with(&[&server], |settings| settings.message_authenticator_required = true);
    let check = bench.check(None);
    let came = server.receive().await;
    server.send(&came.sealed(Code::ACCESS_ACCEPT, &message("unsigned"), false), came.from).await;
    bench.until_ignored(1).await;
    server.reply(&came, Code::ACCESS_ACCEPT, "signed").await;
    assert_eq!(accepted(check).await, "signed");
}

#[tokio::test]
async fn a_probe_leaves_at_the_start_and_its_answer_revives_a_dead_server() {
    let (first, second) = (Server::new().await, Server::new().await);
    let bench = Bench::with(&[&first, &second], |settings| settings.status_server = true);
    bench.pass(Duration::ZERO);
    for server in [&first, &second] {
        let probe = server.receive().await;
        assert_eq!(probe.request().code(), Code::STATUS_SERVER);
        assert_eq!(probe.octets[20], number::MESSAGE_AUTHENTICATOR);
        server.reply(&probe, Code::ACCESS_ACCEPT, "alive").await;
    }
    let both = async {
        while !(bench.status(0).answers_status_server && bench.status(1).answers_status_server) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), both).await.expect("the answers come in");
    assert!(!bench.status(0).shows_message_authenticator, "a probe's answer carries it in any case");
    assert_eq!(bench.busy(), 0);

    kill_first(&bench, &first, &second).await;
    bench.pass(Duration::ZERO);
    let probe = first.receive().await;
    assert_eq!(probe.request().code(), Code::STATUS_SERVER);
    first.reply(&probe, Code::ACCESS_ACCEPT, "alive").await;
    let revived = async {
        while !bench.status(0).alive {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), revived).await.expect("the answer comes in");
    let check = bench.check(None);
    first.reply(&first.receive().await, Code::ACCESS_ACCEPT, "first").await;
    assert_eq!(accepted(check).await, "first");
}

#[tokio::test]
async fn a_probe_that_nobody_answers_says_nothing_and_ends() {
    let server = Server::new().await;
    let bench = Bench::with(&[&server], |settings| settings.status_server = true);
    bench.pass(Duration::ZERO);
    let _ = server.receive().await;
    assert_eq!(bench.busy(), 1);
    bench.pass(PROBE_PATIENCE);
    assert_eq!(bench.busy(), 0);
    assert!(bench.status(0).alive, "NPS answers none");
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
async fn a_closed_port_at_the_other_end_is_silence_like_any_other() {
    let (first, second) = (Server::new().await, Server::new().await);
    let bench = Bench::new(&[&first, &second]);
    drop(first);
    let check = bench.check(None);
    tokio::task::yield_now().await;
    bench.pass(SOON);
    second.nothing_came();
    bench.pass(THEN);
    second.reply(&second.receive().await, Code::ACCESS_ACCEPT, "second").await;
    assert_eq!(accepted(check).await, "second");
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
