//! Codes by text message with several radmfa, each with a store of its own: the code that one sent is answered at another.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and holds answers to real time"
)]

mod support;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use support::radclient::{Radclient, Reply, Signing, credentials};
use support::radmfa::SECRET;
use support::sink::Sink;
use support::{FreeRadius, Radmfa, Scratch, Server, User, free_port};

const PHONE: &str = "+36301234567";
const NAMES: [&str; 3] = ["mfa-a", "mfa-b", "mfa-c"];

struct One {
    radmfa: Radmfa,
    arguments: Vec<String>,
    // Dropped last.
    scratch: Scratch,
}

/// As many servers as `affinity` has words, each the peer of all others, with one provider of messages and one primary.
struct Cluster {
    servers: Vec<One>,
    sink: Sink,
    _primary: FreeRadius,
    _scratch: Scratch,
}

impl Cluster {
    fn start(name: &str, users: &[User], affinity: &[&str]) -> Cluster {
        let scratch = Scratch::new(name);
        let primary = FreeRadius::primary(&scratch, users);
        let sink = Sink::start();
        let ports: Vec<u16> = affinity.iter().map(|_| free_port()).collect();
        let start = |place: usize| {
            let scratch = Scratch::new(&format!("{name}-{}", NAMES[place]));
            let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
            for user in users {
                Radmfa::run(&scratch, &["user", "add", &user.name, "--phone", PHONE, "--store", &store])
                    .expect_success("radmfa user add");
            }
            let upstream = primary.server();
            let mut arguments =
                ["--server-name", NAMES[place], "--store", &store, "--affinity", affinity[place]]
                    .map(str::to_owned)
                    .to_vec();
            for (peer, port) in ports.iter().enumerate().filter(|(peer, _)| *peer != place) {
                let secret = "between-the-two-servers";
                let peer = format!("name={},address=127.0.0.1:{port},secret={secret}", NAMES[peer]);
                arguments.extend(["--peer".to_owned(), peer]);
            }
            arguments.extend(["--channel".to_owned(), sink.channel()]);
            let up = format!("name=up,type=radius,server={},secret={}", upstream.address(), upstream.secret);
            arguments.extend(["--primary".to_owned(), up]);
            let radmfa = serve(&scratch, Server { port: ports[place], secret: SECRET }, &arguments);
            One { radmfa, arguments, scratch }
        };
        let servers = (0..affinity.len()).map(start).collect();
        Cluster { servers, sink, _primary: primary, _scratch: scratch }
    }

    /// The password of a login at server `place`, which asks for the code that it sent as message `message`.
    fn begin(&self, place: usize, user: &User, message: usize) -> (Reply, String) {
        let challenge = self.servers[place].gateway().password(&user.name, &user.password);
        assert!(challenge.challenges(), "{challenge:?}");
        assert!(challenge.one("Reply-Message").contains("···67"), "{challenge:?}");
        let (to, code) = self.sink.code(message);
        assert_eq!(to, PHONE);
        (challenge, code)
    }

    fn answer(&self, place: usize, user: &User, code: &str, challenge: &Reply) -> Reply {
        self.servers[place].gateway().answer(&user.name, code, challenge)
    }

    /// Waits for a line of one server's log.
    fn line(&mut self, place: usize, text: &str) -> String {
        self.servers[place].radmfa.process.wait_for(text)
    }
}

impl One {
    fn gateway(&self) -> Radclient<'_> {
        Radclient::new(&self.scratch, self.radmfa.server(), Signing::Signed)
    }

    /// How many lines of its log hold `text`.
    fn lines(&self, text: &str) -> usize {
        self.radmfa.process.log().matches(text).count()
    }
}

fn serve(scratch: &Scratch, server: Server, arguments: &[String]) -> Radmfa {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Radmfa::serve_at(scratch, server, &arguments)
}

fn users(count: usize) -> Vec<User> {
    (1..=count).map(|number| User::named(&format!("u{number}"))).collect()
}

/// Six other digits.
fn wrong(code: &str) -> String {
    let number: u32 = code.parse().unwrap();
    format!("{:06}", (number + 1) % 1_000_000)
}

#[test]
fn a_code_that_one_server_sent_is_accepted_once_at_the_other() {
    let users = users(1);
    let user = &users[0];
    let mut cluster = Cluster::start("sms-relay", &users, &["relay", "relay"]);
    // What is relayed needs nothing of the other server's store.
    let other = &cluster.servers[1];
    Radmfa::run(&other.scratch, &["user", "remove", "u1", "--store", &other.arguments[3]])
        .expect_success("radmfa user remove");
    let (challenge, code) = cluster.begin(0, user, 0);
    let again = cluster.answer(1, user, &wrong(&code), &challenge);
    assert!(again.challenges(), "{again:?}");
    cluster.line(0, "REJECT code-wrong user=u1");
    let accept = cluster.answer(1, user, &code, &again);
    assert!(accept.accepts(), "{accept:?}");
    assert_eq!(accept.all("Tunnel-Password:1"), ["tunnel secret"]);
    let line = cluster.line(0, "ACCEPT code-accepted user=u1");
    assert!(line.contains("method=sms"), "{line}");
    let line = cluster.line(1, "ACCEPT relayed user=u1");
    assert!(line.contains("owner=mfa-a"), "{line}");
    for place in [0, 1] {
        assert!(cluster.answer(place, user, &code, &again).rejects(), "a code was good twice");
    }
    assert_eq!(cluster.sink.count(), 1);
    assert_eq!(cluster.servers[1].lines("taken by sink"), 0, "the other server sends nothing");
    let logs =
        NAMES[..2].iter().zip(&cluster.servers).map(|(_, one)| one.radmfa.process.log()).collect::<String>();
    assert!(!logs.contains(&code) && !logs.contains("1234567"), "a code or a number in a log:\n{logs}");
}

#[test]
fn a_code_that_one_server_sent_is_refused_at_one_that_denies_and_good_where_it_was_sent() {
    let users = users(1);
    let user = &users[0];
    let mut cluster = Cluster::start("sms-deny", &users, &["deny", "deny"]);
    let (challenge, code) = cluster.begin(0, user, 0);
    assert!(cluster.answer(1, user, &code, &challenge).rejects());
    let line = cluster.line(1, "REJECT issued-by-another-server user=u1");
    assert!(line.contains("owner=mfa-a"), "{line}");
    assert!(cluster.answer(0, user, &code, &challenge).accepts());
    assert_eq!(cluster.sink.count(), 1);
}

#[test]
fn a_server_that_ends_takes_the_code_it_sent_with_it_and_the_other_says_so_in_time() {
    let users = users(1);
    let user = &users[0];
    let mut cluster = Cluster::start("sms-killed", &users, &["relay", "relay"]);
    let (challenge, code) = cluster.begin(0, user, 0);
    cluster.servers[0].radmfa.process.kill();
    let began = Instant::now();
    assert!(cluster.answer(1, user, &code, &challenge).rejects());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    cluster.line(1, "REJECT owner-unavailable user=u1");

    let server = cluster.servers[0].radmfa.server();
    let back = serve(&cluster.servers[0].scratch, server, &cluster.servers[0].arguments);
    cluster.servers[0].radmfa = back;
    assert!(cluster.answer(1, user, &code, &challenge).rejects());
    cluster.line(0, "REJECT state-spent user=u1");

    // The other one sends a code of its own, and its own store knows of none before it.
    let (challenge, fresh) = cluster.begin(1, user, 1);
    assert!(cluster.answer(0, user, &fresh, &challenge).accepts(), "the first server relays again");
}

#[test]
fn a_code_that_reaches_both_servers_at_once_lets_one_of_two_gateways_in() {
    let users = users(8);
    let cluster = Cluster::start("sms-race", &users, &["relay", "relay"]);
    for (message, user) in users.iter().enumerate() {
        let owner = message % 2;
        let (challenge, code) = cluster.begin(owner, user, message);
        // Two requests of two ports of the gateway: neither is a copy of the other.
        let barrier = Barrier::new(2);
        let ask = |place: usize| {
            let mut attributes = credentials(&user.name, &code);
            attributes.push(format!("State = {}", challenge.one("State")));
            attributes.push(format!("NAS-Port = {place}"));
            barrier.wait();
            cluster.servers[place].gateway().send("auth", &attributes)
        };
        let replies = std::thread::scope(|scope| {
            let asked = [0, 1].map(|place| scope.spawn(move || ask(place)));
            asked.map(|asked| asked.join().unwrap())
        });
        let accepted = replies.iter().filter(|reply| reply.accepts()).count();
        let rejected = replies.iter().filter(|reply| reply.rejects()).count();
        assert_eq!((accepted, rejected), (1, 1), "{}: {replies:?}", user.name);
        assert_eq!(cluster.servers[owner].lines(&format!("ACCEPT code-accepted user={}", user.name)), 1);
    }
    assert_eq!(cluster.sink.count(), users.len());
}

#[test]
fn of_three_servers_each_answers_for_each() {
    let users = users(4);
    let mut cluster = Cluster::start("sms-three", &users, &["relay", "relay", "relay"]);
    for (message, (owner, other)) in [(0, 1), (1, 2), (2, 0)].into_iter().enumerate() {
        let user = &users[message];
        let (challenge, code) = cluster.begin(owner, user, message);
        assert!(cluster.answer(other, user, &code, &challenge).accepts());
        let line = cluster.line(other, &format!("ACCEPT relayed user={}", user.name));
        assert!(line.contains(&format!("owner={}", NAMES[owner])), "{line}");
    }

    // A login that wanders: asked at the first, mistyped at the second, answered at the third; the second is gone by then.
    let user = &users[3];
    let (challenge, code) = cluster.begin(0, user, 3);
    let again = cluster.answer(1, user, &wrong(&code), &challenge);
    assert!(again.challenges(), "{again:?}");
    cluster.servers[1].radmfa.process.kill();
    assert!(cluster.answer(2, user, &code, &again).accepts());
    cluster.line(0, "ACCEPT code-accepted user=u4");
    assert_eq!(cluster.sink.count(), 4);
}
