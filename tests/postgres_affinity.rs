//! Several radmfa on one PostgreSQL: where a code is taken that another server asked for, of several who bring one code at
//! once exactly one gets in, and a database that goes away comes back by itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and holds answers to real time"
)]

mod postgres_support;
mod support;

use std::fmt::Write as _;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use postgres_support::server::Server as Database;
use postgres_support::{Place, upstream};
use radmfa::wire::Code;
use support::gateway::Gateway;
use support::process::{START, poll};
use support::radclient::{Radclient, Reply, Signing};
use support::radmfa::SECRET;
use support::sink::Sink;
use support::{FreeRadius, Radmfa, Scratch, Server, User, free_port};

const NAMES: [&str; 3] = ["mfa-a", "mfa-b", "mfa-c"];
/// Longer than anything here takes, so that no answer is missed on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// Servers on one database, with one provider of messages and one primary.
struct Cluster {
    servers: Vec<One>,
    sink: Sink,
    place: Place,
    _primary: FreeRadius,
    scratch: Scratch,
}

struct One {
    radmfa: Radmfa,
    scratch: Scratch,
}

/// Users with a token, and users with a telephone.
struct Users {
    token: Vec<User>,
    phone: Vec<User>,
}

impl Users {
    fn new(token: usize, phone: usize) -> Users {
        let named = |letter: char, count: usize| {
            (0..count).map(|number| User::named(&format!("{letter}{number}"))).collect()
        };
        Users { token: named('t', token), phone: named('p', phone) }
    }
}

/// The number that messages to a user go to: no two share one.
fn phone(number: usize) -> String {
    format!("+3630123{number:04}")
}

impl Cluster {
    fn start(name: &str, users: &Users, affinity: &str, servers: usize) -> Cluster {
        Cluster::on(Database::shared(), name, users, (affinity, PATIENCE), servers)
    }

    /// As many servers as are wanted, each the peer of all others unless they share their logins.
    /// Their gateway waits for `patience`.
    fn on(
        database: &Database,
        name: &str,
        users: &Users,
        (affinity, patience): (&str, Duration),
        servers: usize,
    ) -> Cluster {
        let scratch = Scratch::new(name);
        let all: Vec<User> = users.token.iter().chain(&users.phone).cloned().collect();
        let primary = FreeRadius::primary(&scratch, &all);
        let sink = Sink::start();
        let place = Place::at(&scratch, database);
        if !users.token.is_empty() {
            place.import_tokens(&scratch, &users.token);
        }
        let mut phones = String::from("user,phone\n");
        for (number, user) in users.phone.iter().enumerate() {
            writeln!(phones, "{},{}", user.name, phone(number)).unwrap();
        }
        if !users.phone.is_empty() {
            let file = scratch.write("users.csv", &phones);
            place.ok(&scratch, &["user", "import", &file.to_string_lossy()]);
        }
        let ports: Vec<u16> = (0..servers).map(|_| free_port()).collect();
        let start = |own: usize| {
            let scratch = Scratch::new(&format!("{name}-{}", NAMES[own]));
            let (upstream, channel) = (upstream(&primary), sink.channel());
            let mut arguments = vec!["--server-name", NAMES[own], "--affinity", affinity];
            arguments.extend(["--primary", &upstream, "--channel", &channel]);
            let peer = |(place, port): (usize, &u16)| {
                format!("name={},address=127.0.0.1:{port},secret=between-the-servers", NAMES[place])
            };
            let peers: Vec<String> =
                ports.iter().enumerate().filter(|(place, _)| *place != own).map(peer).collect();
            if affinity != "shared" {
                arguments.extend(peers.iter().flat_map(|peer| ["--peer", peer]));
            }
            let server = Server { port: ports[own], secret: SECRET };
            // `patience` is the client's.
            let client = format!("nas,patience={}s", patience.as_secs());
            let radmfa = Radmfa::serve_to(&scratch, server, &client, &place.arguments(&arguments));
            One { radmfa, scratch }
        };
        let started = (0..servers).map(start).collect();
        Cluster { servers: started, sink, place, _primary: primary, scratch }
    }

    fn radclient(&self, server: usize) -> Radclient<'_> {
        let One { radmfa, scratch } = &self.servers[server];
        Radclient::new(scratch, radmfa.server(), Signing::Signed)
    }

    fn gateway(&self, server: usize) -> Gateway {
        Gateway::new(self.servers[server].radmfa.server(), PATIENCE)
    }

    /// The password of a login at a server, which asks for a code.
    fn begin(&self, server: usize, user: &User) -> Reply {
        let challenge = self.radclient(server).password(&user.name, &user.password);
        assert!(challenge.challenges(), "{challenge:?}");
        challenge
    }

    /// The same without radclient: the State of the challenge.
    fn begin_fast(&self, server: usize, user: &User) -> Vec<u8> {
        let challenge = self.gateway(server).ask(&user.name, &user.password, None).expect("an answer");
        assert_eq!(challenge.code, Code::ACCESS_CHALLENGE, "{}", user.name);
        challenge.state.expect("a State in the challenge")
    }

    /// The code of a user's token, or that of message `message`.
    fn code(&self, users: &Users, user: &User, message: usize) -> String {
        if users.token.iter().any(|known| known.name == user.name) {
            return user.code();
        }
        let number = users.phone.iter().position(|known| known.name == user.name).unwrap();
        let (to, code) = self.sink.code(message);
        assert_eq!(to, phone(number));
        code
    }

    fn answer(&self, server: usize, user: &User, code: &str, challenge: &Reply) -> Reply {
        self.radclient(server).answer(&user.name, code, challenge)
    }

    /// Waits for a line of one server's log.
    fn line(&mut self, server: usize, text: &str) -> String {
        self.servers[server].radmfa.process.wait_for(text)
    }

    /// How many lines of all logs hold `text`.
    fn lines(&self, text: &str) -> usize {
        self.servers.iter().map(|one| one.radmfa.process.log().matches(text).count()).sum()
    }

    /// `code` at each of `servers` with its State, as nearly at once as it goes; what each said.
    fn race(&self, user: &User, code: &str, servers: &[(usize, &[u8])]) -> Vec<Code> {
        let barrier = Barrier::new(servers.len());
        let ask = |server: usize, state: &[u8]| {
            let mut gateway = self.gateway(server);
            // From stations of their own: neither is a copy of the other, which would share its verdict.
            gateway.station = Some(format!("10.0.0.{server}"));
            barrier.wait();
            gateway.ask(&user.name, code, Some(state)).expect("an answer to the code").code
        };
        let ask = &ask;
        std::thread::scope(|scope| {
            let asked: Vec<_> =
                servers.iter().map(|(server, state)| scope.spawn(move || ask(*server, state))).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect()
        })
    }

    /// Holds the trail to `users` having got in once each.
    fn expect_one_accept_each(&self, users: &[User]) {
        for user in users {
            let accepted = format!("ACCEPT code-accepted user={} ", user.name);
            // The log is written behind the answers.
            poll(&accepted, START, || (self.lines(&accepted) > 0).then_some(()));
            assert_eq!(self.lines(&accepted), 1, "{}", user.name);
        }
        let verified = self.place.ok(&self.scratch, &["audit", "verify"]);
        assert!(verified.contains("holds together"), "{verified}");
        let usage = ["report", "usage", "--by", "user", "--format", "csv"];
        let usage = self.place.ok(&self.scratch, &usage);
        for user in users {
            let line = usage.lines().find(|line| line.starts_with(&format!("{},", user.name)));
            assert!(line.is_some_and(|line| line.split(',').nth(1) == Some("1")), "{}: {usage}", user.name);
        }
    }
}

/// Runs `one` for each of `users`, some at a time.
fn crowd(users: &[User], one: impl Fn(usize, &User) + Sync) {
    const AT_ONCE: usize = 8;
    for (chunk, users) in users.chunks(AT_ONCE).enumerate() {
        std::thread::scope(|scope| {
            for (place, user) in users.iter().enumerate() {
                let one = &one;
                scope.spawn(move || one(chunk * AT_ONCE + place, user));
            }
        });
    }
}

#[test]
fn where_logins_are_shared_any_server_takes_the_code_once() {
    let users = Users::new(1, 1);
    let mut cluster = Cluster::start("pg-shared", &users, "shared", 2);
    for (user, method) in [(&users.token[0], "totp"), (&users.phone[0], "sms")] {
        let challenge = cluster.begin(0, user);
        let code = cluster.code(&users, user, 0);
        let accept = cluster.answer(1, user, &code, &challenge);
        assert!(accept.accepts(), "{accept:?}");
        assert_eq!(
            accept.all("Tunnel-Password:1"),
            ["tunnel secret"],
            "what the upstream granted to the other"
        );
        let line = cluster.line(1, &format!("ACCEPT code-accepted user={} ", user.name));
        assert!(line.contains(&format!("method={method}")), "{line}");
        for server in [0, 1] {
            assert!(cluster.answer(server, user, &code, &challenge).rejects(), "a State was good twice");
            cluster.line(server, &format!("REJECT state-spent user={} ", user.name));
        }
    }
    // A wrong code wanders, and its right one comes back.
    let user = User { seed: users.token[0].seed.clone(), ..users.token[0].clone() };
    let challenge = cluster.begin(1, &user);
    let again = cluster.answer(0, &user, &user.wrong_code(), &challenge);
    assert!(again.challenges(), "{again:?}");
    assert!(cluster.answer(1, &user, &user.wrong_code(), &again).challenges());
    assert_eq!(cluster.sink.count(), 1);
    let code = cluster.sink.code(0).1;
    let logs: String = cluster.servers.iter().map(|one| one.radmfa.process.log()).collect();
    assert!(!logs.contains(&code) && !logs.contains("1230000"), "a code or a number in a log:\n{logs}");
}

#[test]
fn where_codes_are_relayed_the_server_that_asked_takes_them() {
    let users = Users::new(1, 1);
    let mut cluster = Cluster::start("pg-relay", &users, "relay", 2);
    for user in [&users.token[0], &users.phone[0]] {
        let challenge = cluster.begin(0, user);
        let code = cluster.code(&users, user, 0);
        let accept = cluster.answer(1, user, &code, &challenge);
        assert!(accept.accepts(), "{accept:?}");
        cluster.line(0, &format!("ACCEPT code-accepted user={} ", user.name));
        let line = cluster.line(1, &format!("ACCEPT relayed user={} ", user.name));
        assert!(line.contains("owner=mfa-a"), "{line}");
        assert!(cluster.answer(1, user, &code, &challenge).rejects(), "a code was good twice");
    }
    // One store for both: what was spent at one is spent at the other, in a login of its own too.
    let user = &users.token[0];
    let spent = cluster.radclient(1).login(user, &user.code());
    assert!(spent.rejects() || cluster.lines("ACCEPT code-accepted user=t0 ") == 2, "{spent:?}");
    assert_eq!(cluster.sink.count(), 1, "the other server sends nothing");
    assert!(!cluster.servers[0].radmfa.process.log().contains("replay-guard-local"));
}

#[test]
fn where_servers_deny_a_code_is_refused_by_name_and_good_where_it_was_asked_for() {
    let users = Users::new(1, 1);
    let mut cluster = Cluster::start("pg-deny", &users, "deny", 2);
    for user in [&users.token[0], &users.phone[0]] {
        let challenge = cluster.begin(0, user);
        let code = cluster.code(&users, user, 0);
        assert!(cluster.answer(1, user, &code, &challenge).rejects());
        let line = cluster.line(1, &format!("REJECT issued-by-another-server user={} ", user.name));
        assert!(line.contains("owner=mfa-a"), "{line}");
        assert!(cluster.answer(0, user, &code, &challenge).accepts());
    }
    assert_eq!(cluster.sink.count(), 1);
}

#[test]
fn a_server_that_is_killed_takes_no_shared_login_with_it() {
    let users = Users::new(1, 1);
    let mut cluster = Cluster::start("pg-shared-killed", &users, "shared", 2);
    let challenges = [&users.token[0], &users.phone[0]].map(|user| (user, cluster.begin(0, user)));
    cluster.servers[0].radmfa.process.kill();
    for (user, challenge) in &challenges {
        let code = cluster.code(&users, user, 0);
        let accept = cluster.answer(1, user, &code, challenge);
        assert!(accept.accepts(), "{accept:?}");
        cluster.line(1, &format!("ACCEPT code-accepted user={} ", user.name));
    }
    assert_eq!(cluster.sink.count(), 1, "nothing was sent again");
}

#[test]
fn a_server_that_is_killed_makes_a_relay_a_reject_in_time_that_says_why() {
    let users = Users::new(1, 1);
    let mut cluster = Cluster::start("pg-relay-killed", &users, "relay", 2);
    let challenges = [&users.token[0], &users.phone[0]].map(|user| (user, cluster.begin(0, user)));
    cluster.servers[0].radmfa.process.kill();
    for (user, challenge) in &challenges {
        let code = cluster.code(&users, user, 0);
        let began = Instant::now();
        assert!(cluster.answer(1, user, &code, challenge).rejects());
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
        let line = cluster.line(1, &format!("REJECT owner-unavailable user={} ", user.name));
        assert!(line.contains("owner=mfa-a") && !line.contains("not recorded"), "{line}");
    }
    // Whoever begins anew gets in, at the server that is left.
    let user = &users.token[0];
    assert!(cluster.radclient(1).login(user, &user.code()).accepts());
}

/// Every user's code at every server at once, half of them as answers to one challenge, half to one at each server.
fn races(name: &str, affinity: &str, servers: usize, token: usize, phone: usize) {
    let users = Users::new(token, phone);
    let cluster = Cluster::start(name, &users, affinity, servers);
    crowd(&users.token, |round, user| {
        let one = round % 2 == 0;
        let begun = if one { 1 } else { servers };
        let states: Vec<Vec<u8>> =
            (0..begun).map(|place| cluster.begin_fast((round + place) % servers, user)).collect();
        let asks: Vec<(usize, &[u8])> = (0..servers)
            .map(|place| ((round + place) % servers, states[if one { 0 } else { place }].as_slice()))
            .collect();
        let said = cluster.race(user, &user.code(), &asks);
        let accepted = said.iter().filter(|code| **code == Code::ACCESS_ACCEPT).count();
        assert_eq!(accepted, 1, "{} in round {round}: {said:?}", user.name);
    });
    for (round, user) in users.phone.iter().enumerate() {
        let state = cluster.begin_fast(round % servers, user);
        let code = cluster.code(&users, user, round);
        let asks: Vec<(usize, &[u8])> = (0..servers).map(|server| (server, state.as_slice())).collect();
        let said = cluster.race(user, &code, &asks);
        let accepted = said.iter().filter(|code| **code == Code::ACCESS_ACCEPT).count();
        let rejected = said.iter().filter(|code| **code == Code::ACCESS_REJECT).count();
        assert_eq!((accepted, rejected), (1, servers - 1), "{} in round {round}: {said:?}", user.name);
    }
    assert_eq!(cluster.sink.count(), phone, "one message a login");
    cluster.expect_one_accept_each(&users.token);
    cluster.expect_one_accept_each(&users.phone);
}

#[test]
fn of_two_servers_that_share_their_logins_one_accepts_a_code_that_reaches_both() {
    races("pg-race-shared", "shared", 2, 32, 4);
}

#[test]
fn of_three_servers_that_share_their_logins_one_accepts_a_code_that_reaches_all() {
    races("pg-race-three", "shared", 3, 24, 4);
}

#[test]
fn of_two_servers_that_relay_one_accepts_a_code_that_reaches_both() {
    races("pg-race-relay", "relay", 2, 32, 4);
}

#[test]
fn of_three_servers_that_relay_one_accepts_a_code_that_reaches_all() {
    races("pg-race-relay-three", "relay", 3, 16, 2);
}

/// Asks at a server from a thread of its own.
fn ask_beside(
    cluster: &Cluster,
    server: usize,
    user: &User,
    entry: &str,
    state: Option<&[u8]>,
) -> std::thread::JoinHandle<Option<support::gateway::Answer>> {
    let mut gateway = cluster.gateway(server);
    let (name, entry, state) = (user.name.clone(), entry.to_owned(), state.map(<[u8]>::to_vec));
    std::thread::spawn(move || gateway.ask(&name, &entry, state.as_deref()))
}

#[test]
fn logins_wait_for_a_database_that_is_away_for_a_moment_and_get_in() {
    let database = Database::start();
    for affinity in ["shared", "deny"] {
        let users = Users::new(4, 0);
        let name = format!("pg-away-{affinity}");
        let mut cluster = Cluster::on(&database, &name, &users, (affinity, PATIENCE), 2);
        let shared = affinity == "shared";
        let begun: Vec<Vec<u8>> =
            (0..2).map(|server| cluster.begin_fast(server, &users.token[server])).collect();
        database.stop();
        let at = |server: usize| if shared { 1 - server } else { server };
        let codes: Vec<_> = (0..2)
            .map(|own| {
                let user = &users.token[own];
                ask_beside(&cluster, at(own), user, &user.code(), Some(&begun[own]))
            })
            .collect();
        let passwords: Vec<_> = (0..2)
            .map(|server| {
                let user = &users.token[2 + server];
                ask_beside(&cluster, server, user, &user.password, None)
            })
            .collect();
        for server in [0, 1] {
            cluster.line(server, "the database is away: logins wait for it");
        }
        assert!(codes.iter().chain(&passwords).all(|asked| !asked.is_finished()), "refused at once");
        database.restart();
        for asked in codes {
            assert_eq!(asked.join().unwrap().expect("an answer").code, Code::ACCESS_ACCEPT);
        }
        for (server, asked) in passwords.into_iter().enumerate() {
            let challenge = asked.join().unwrap().expect("an answer");
            assert_eq!(challenge.code, Code::ACCESS_CHALLENGE);
            let user = &users.token[2 + server];
            let verdict =
                cluster.gateway(at(server)).ask(&user.name, &user.code(), challenge.state.as_deref());
            assert_eq!(verdict.expect("an answer").code, Code::ACCESS_ACCEPT);
        }
        for server in [0, 1] {
            cluster.line(server, "the database answers again");
        }
        cluster.expect_one_accept_each(&users.token);
    }
}

#[test]
fn logins_are_refused_when_a_database_stays_away_and_go_on_by_themselves_when_it_is_back() {
    let database = Database::start();
    let users = Users::new(4, 0);
    let patience = Duration::from_secs(5);
    let mut cluster = Cluster::on(&database, "pg-gone", &users, ("shared", patience), 2);
    let state = cluster.begin_fast(0, &users.token[0]);
    database.stop();
    let began = Instant::now();
    let code = ask_beside(&cluster, 1, &users.token[0], &users.token[0].code(), Some(&state));
    let passwords: Vec<_> = (0..2)
        .map(|server| {
            let user = &users.token[1 + server];
            ask_beside(&cluster, server, user, &user.password, None)
        })
        .collect();
    for asked in passwords.into_iter().chain([code]) {
        assert_eq!(asked.join().unwrap().expect("an answer").code, Code::ACCESS_REJECT);
    }
    assert!(began.elapsed() < patience * 3, "{:?}", began.elapsed());
    for (server, user) in [(1, "t0"), (0, "t1"), (1, "t2")] {
        cluster.line(server, &format!("REJECT store-unavailable user={user} "));
    }
    assert_eq!(cluster.lines("ACCEPT"), 0);
    database.restart();
    database.wait();
    for server in [0, 1] {
        cluster.line(server, "the database answers again");
        let user = &users.token[2 + server];
        let challenge = cluster.begin(server, user);
        let accept = cluster.answer(1 - server, user, &user.code(), &challenge);
        assert!(accept.accepts(), "{accept:?}");
    }
    // The login that waited through it all is there too, or its user begins anew.
    let user = &users.token[0];
    assert!(cluster.radclient(0).login(user, &user.code()).accepts());
    let verified = cluster.place.ok(&cluster.scratch, &["audit", "verify"]);
    assert!(verified.contains("holds together"), "{verified}");
}
