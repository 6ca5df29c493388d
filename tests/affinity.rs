//! Two radmfa, radclient in front and a real FreeRADIUS behind: a code that one server asked for is answered at the other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and holds answers to real time"
)]

mod support;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::radclient::{Radclient, Reply, Signing};
use support::radmfa::SECRET;
use support::site::import_tokens;
use support::{FreeRadius, Process, Radmfa, Scratch, Server, User, code, free_port};

const BETWEEN: &str = "between-the-two-servers";

/// What one of the two servers is told.
#[derive(Clone, Copy)]
struct Told {
    affinity: &'static str,
    secret: &'static str,
    /// The name of its one client.
    client: &'static str,
}

const RELAY: Told = Told { affinity: "relay", secret: BETWEEN, client: "nas" };
const DENY: Told = Told { affinity: "deny", ..RELAY };

struct One {
    radmfa: Radmfa,
    arguments: Vec<String>,
    client: &'static str,
    // Dropped last.
    scratch: Scratch,
}

/// `mfa-a` and `mfa-b`, each the other's peer, with stores of their own.
struct Pair {
    a: One,
    b: One,
    primary: FreeRadius,
    _scratch: Scratch,
}

impl Pair {
    fn start(name: &str, users: &[User], a: Told, b: Told) -> Pair {
        let scratch = Scratch::new(name);
        let primary = FreeRadius::primary(&scratch, users);
        let [port_a, port_b] = [free_port(), free_port()];
        let start = |own: &str, port, other: &str, other_port, told| {
            One::start(&format!("{name}-{own}"), users, &primary, (own, port), (other, other_port), told)
        };
        let a = start("mfa-a", port_a, "mfa-b", port_b, a);
        let b = start("mfa-b", port_b, "mfa-a", port_a, b);
        Pair { a, b, primary, _scratch: scratch }
    }
}

impl One {
    fn start(
        scratch: &str,
        users: &[User],
        primary: &FreeRadius,
        own: (&str, u16),
        peer: (&str, u16),
        told: Told,
    ) -> One {
        let scratch = Scratch::new(scratch);
        let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
        import_tokens(&scratch, &store, users);
        let upstream = primary.server();
        let arguments = [
            "--server-name".to_owned(),
            own.0.to_owned(),
            "--store".to_owned(),
            store,
            "--affinity".to_owned(),
            told.affinity.to_owned(),
            "--peer".to_owned(),
            format!("name={},address=127.0.0.1:{},secret={}", peer.0, peer.1, told.secret),
            "--primary".to_owned(),
            format!("name=up,type=radius,server={},secret={}", upstream.address(), upstream.secret),
        ]
        .to_vec();
        let server = Server { port: own.1, secret: SECRET };
        let radmfa = serve(&scratch, server, told.client, &arguments);
        One { radmfa, arguments, client: told.client, scratch }
    }

    fn gateway(&self) -> Radclient<'_> {
        Radclient::new(&self.scratch, self.radmfa.server(), Signing::Signed)
    }

    /// What its log says of the login that ended for `reason`.
    fn line(&mut self, reason: &str) -> String {
        self.radmfa.process.wait_for(reason)
    }

    /// The same server again, after it was killed.
    fn restart(&mut self) {
        self.radmfa = serve(&self.scratch, self.radmfa.server(), self.client, &self.arguments);
    }
}

fn serve(scratch: &Scratch, server: Server, client: &str, arguments: &[String]) -> Radmfa {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Radmfa::serve_to(scratch, server, client, &arguments)
}

fn password(at: &One, user: &User) -> Reply {
    let challenge = at.gateway().password(&user.name, &user.password);
    assert!(challenge.challenges(), "{challenge:?}");
    challenge
}

#[test]
fn a_code_is_accepted_at_the_server_that_did_not_ask_for_it_with_all_that_the_upstream_granted() {
    let [alice, bob] = ["alice", "bob"].map(User::named);
    let mut pair = Pair::start("affinity-relay", &[alice.clone(), bob.clone()], RELAY, RELAY);
    let upstream = Radclient::new(&pair.a.scratch, pair.primary.server(), Signing::Signed)
        .password("alice", &alice.password);

    let challenge = password(&pair.a, &alice);
    let code = alice.code();
    let accept = pair.b.gateway().answer("alice", &code, &challenge);
    assert!(accept.accepts(), "{accept:?}");
    assert_eq!(accept.by_name(), upstream.by_name());
    assert_eq!(accept.all("Tunnel-Password:1"), ["tunnel secret"]);
    assert_eq!(accept.attributes[0].0, "Message-Authenticator");
    let there = pair.b.line(" relayed ");
    assert!(there.contains("INFO") && there.contains("ACCEPT relayed user=alice client=nas"), "{there}");
    assert!(there.contains("owner=mfa-a") && there.contains("row=at the owner"), "{there}");
    let here = pair.a.line("ACCEPT code-accepted user=alice client=nas");
    assert!(here.contains("source=127.0.0.1:"), "{here}");

    // The same State, and the same code in a login of its own.
    assert!(pair.b.gateway().answer("alice", &code::beside(&alice.seed, 1), &challenge).rejects());
    pair.a.line("state-spent");
    assert!(pair.a.gateway().login(&alice, &code).rejects());

    // The other way round.
    let challenge = password(&pair.b, &bob);
    let accept = pair.a.gateway().answer("bob", &bob.code(), &challenge);
    assert!(accept.accepts(), "{accept:?}");
    assert_eq!(accept.by_name(), upstream.by_name());
}

#[test]
fn a_code_is_refused_by_name_at_a_server_that_denies_and_taken_afterwards_by_the_one_that_asked() {
    let alice = User::named("alice");
    let mut pair = Pair::start("affinity-deny", std::slice::from_ref(&alice), RELAY, DENY);
    let challenge = password(&pair.a, &alice);
    assert!(pair.b.gateway().answer("alice", &alice.code(), &challenge).rejects());
    let line = pair.b.line("REJECT issued-by-another-server");
    assert!(line.contains("owner=mfa-a") && !line.contains("not recorded"), "{line}");
    assert!(pair.a.gateway().answer("alice", &alice.code(), &challenge).accepts());
}

#[test]
fn wrong_codes_through_the_other_server_are_the_owners_to_count_and_three_are_the_end() {
    let alice = User::named("alice");
    let mut pair = Pair::start("affinity-wrong", std::slice::from_ref(&alice), RELAY, RELAY);
    let first = password(&pair.a, &alice);
    let second = pair.b.gateway().answer("alice", &alice.wrong_code(), &first);
    let third = pair.b.gateway().answer("alice", &alice.wrong_code(), &second);
    assert!(second.challenges() && third.challenges(), "{second:?} {third:?}");
    assert!(second.one("State") != first.one("State") && second.one("State") != third.one("State"));
    for name in ["Reply-Message", "Prompt", "Session-Timeout"] {
        assert_eq!(second.all(name).len(), 1, "{second:?}");
    }
    // Right at the owner itself, and back again.
    let verdict = pair.b.gateway().answer("alice", &alice.wrong_code(), &third);
    assert!(verdict.rejects(), "{verdict:?}");
    assert!(verdict.one("Reply-Message").contains("Reference"), "{verdict:?}");
    pair.a.line("REJECT code-wrong");
    assert!(pair.b.gateway().answer("alice", &alice.code(), &third).rejects(), "after the last try");

    let again = password(&pair.a, &alice);
    let again = pair.b.gateway().answer("alice", &alice.wrong_code(), &again);
    assert!(pair.a.gateway().answer("alice", &alice.code(), &again).accepts(), "the new State is mfa-a's");
}

#[test]
fn a_state_of_another_user_a_forged_one_and_one_of_nobody_are_refused() {
    let [alice, bob] = ["alice", "bob"].map(User::named);
    let mut pair = Pair::start("affinity-forged", &[alice.clone(), bob.clone()], RELAY, RELAY);
    let challenge = password(&pair.a, &alice);
    assert!(pair.b.gateway().answer("bob", &bob.code(), &challenge).rejects());
    pair.a.line("REJECT state-forged user=bob");
    let changed = |from_end: usize| {
        let mut forged = challenge.clone();
        let state = forged.attributes.iter_mut().find(|(name, _)| name == "State").unwrap();
        let place = state.1.len() - from_end;
        let other = if state.1[place..].starts_with("41") { "42" } else { "41" };
        state.1.replace_range(place..place + 2, other);
        forged
    };
    assert!(pair.b.gateway().answer("alice", &alice.code(), &changed(2)).rejects());
    pair.a.line("REJECT state-forged user=alice");
    // The third letter belongs to the server's number.
    let state = challenge.one("State").len();
    assert!(pair.b.gateway().answer("alice", &alice.code(), &changed(state - 2 - 4)).rejects());
    let line = pair.b.line("REJECT issued-by-another-server user=alice");
    assert!(line.contains("owner=\"server "), "{line}");
    assert!(pair.b.gateway().answer("alice", &alice.code(), &challenge).accepts(), "hers is unharmed");
}

#[test]
fn an_owner_that_ended_meanwhile_is_a_reject_in_time_and_once_back_it_holds_nothing() {
    let alice = User::named("alice");
    let mut pair = Pair::start("affinity-killed", std::slice::from_ref(&alice), RELAY, RELAY);
    let challenge = password(&pair.a, &alice);
    pair.a.radmfa.process.kill();
    let began = Instant::now();
    assert!(pair.b.gateway().answer("alice", &alice.code(), &challenge).rejects());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let line = pair.b.line("REJECT owner-unavailable");
    assert!(line.contains("owner=mfa-a") && !line.contains("not recorded"), "{line}");
    pair.a.restart();
    assert!(pair.b.gateway().answer("alice", &alice.code(), &challenge).rejects());
    pair.a.line("REJECT state-spent");
    // What was killed was not the password's server: at the one that is left, and at the one that is back, logins go on.
    assert!(pair.b.gateway().login(&alice, &alice.code()).accepts());
}

#[test]
fn a_wrong_secret_between_the_servers_is_silence_one_line_with_the_remedy_and_a_reject() {
    let alice = User::named("alice");
    let wrong = Told { secret: "another-secret-of-the-two", ..RELAY };
    let mut pair = Pair::start("affinity-secret", std::slice::from_ref(&alice), RELAY, wrong);
    for _ in 0..2 {
        let challenge = password(&pair.a, &alice);
        assert!(pair.b.gateway().answer("alice", &alice.code(), &challenge).rejects());
    }
    pair.b.line("REJECT owner-unavailable");
    let line = pair.a.line("bad-peer-secret");
    assert!(line.contains("the same secret"), "{line}");
    assert_eq!(pair.a.radmfa.process.log().matches("bad-peer-secret").count(), 1, "once a minute");
}

#[test]
fn a_client_of_another_name_is_unknown_at_the_owner() {
    let alice = User::named("alice");
    let other = Told { client: "vpn", ..RELAY };
    let mut pair = Pair::start("affinity-client", std::slice::from_ref(&alice), other, RELAY);
    let challenge = password(&pair.a, &alice);
    assert!(pair.b.gateway().answer("alice", &alice.code(), &challenge).rejects());
    let line = pair.b.line("REJECT client-unknown-at-owner");
    assert!(line.contains("owner=mfa-a"), "{line}");
    pair.a.line("a peer passed on a request of a client that is not configured here");

    // `check` says the same beforehand.
    let said = check(&pair.b);
    for line in ["it does not know these clients of ours: nas", "it has clients that we do not: vpn"] {
        assert!(said.contains(line), "{said}");
    }
}

fn check(one: &One) -> String {
    let listen = one.radmfa.server().address().to_string();
    let client = format!("name={},address=127.0.0.1,secret={SECRET}", one.client);
    let mut arguments = vec!["check", "--listen", &listen, "--client", &client];
    arguments.extend(one.arguments.iter().map(String::as_str));
    Radmfa::run(&one.scratch, &arguments).transcript()
}

#[test]
fn check_asks_the_peer_and_finds_nothing_wrong_with_the_same_clients() {
    let alice = User::named("alice");
    let mut pair = Pair::start("affinity-check", std::slice::from_ref(&alice), RELAY, RELAY);
    let said = check(&pair.b);
    assert!(said.contains(&format!("peer mfa-a: {} answers", pair.a.radmfa.server().address())), "{said}");
    assert!(said.contains("clients: 1") && said.contains("replay-guard-local"), "{said}");
    assert!(!said.contains("error:"), "{said}");
    assert!(pair.b.radmfa.process.says("replay-guard-local"));
    pair.a.radmfa.process.kill();
    let said = check(&pair.b);
    assert!(said.contains("peer mfa-a:") && said.contains("nothing listens there"), "{said}");
}

#[test]
fn a_second_server_of_one_name_does_not_start() {
    let alice = User::named("alice");
    let pair = Pair::start("affinity-clash", std::slice::from_ref(&alice), RELAY, RELAY);
    let mut arguments = pair.b.arguments.clone();
    // A twin of mfa-a, which believes that mfa-a is called mfa-b.
    arguments[1] = "mfa-a".to_owned();
    arguments[3] = format!("sqlite:{}", pair.b.scratch.join("twin.db").display());
    let at = arguments.iter().position(|argument| argument.starts_with("name=mfa-a,")).unwrap();
    arguments[at] = arguments[at].replace("name=mfa-a,", "name=mfa-b,");
    let listen = format!("127.0.0.1:{}", free_port());
    let client = format!("name=nas,address=127.0.0.1,secret={SECRET}");
    let mut all = vec!["serve", "--listen", &listen, "--client", &client];
    all.extend(arguments.iter().map(String::as_str));
    let ended = Radmfa::run(&pair.b.scratch, &all);
    assert!(!ended.success(), "{}", ended.transcript());
    assert!(ended.transcript().contains("server-name-clash"), "{}", ended.transcript());
    assert!(pair.a.radmfa.process.says("server-name-clash"), "the other one says so too");
}

#[test]
fn a_peer_that_a_reload_brings_is_relayed_to() {
    let alice = User::named("alice");
    let users = std::slice::from_ref(&alice);
    let mut pair = Pair::start("affinity-reload", users, RELAY, RELAY);
    // mfa-b again, without its peer, from a file.
    pair.b.radmfa.process.terminate();
    let arguments: Vec<&str> = pair.b.arguments.iter().map(String::as_str).collect();
    let upstream =
        arguments[9].replace("name=up,type=radius,server=", "").replace(",secret=", "\"\nsecret = \"");
    let listen = pair.b.radmfa.server().address();
    let without = format!(
        "server-name = \"mfa-b\"\nstore = \"{}\"\nlisten = \"{listen}\"\n[[client]]\nname = \"nas\"\n\
         address = \"127.0.0.1\"\nsecret = \"{SECRET}\"\n[[primary]]\nname = \"up\"\ntype = \"radius\"\n\
         server = \"{upstream}\"\n",
        arguments[3]
    );
    let file = pair.b.scratch.write("radmfa.toml", &without);
    let mut server = Radmfa::configured(&pair.b.scratch, &file, pair.b.radmfa.server());
    let challenge = password(&pair.a, &alice);
    let gateway = Radclient::new(&pair.b.scratch, server.server(), Signing::Signed);
    assert!(gateway.answer("alice", &alice.code(), &challenge).rejects());
    server.process.wait_for("issued-by-another-server");

    let peer = format!(
        "{without}[[peer]]\nname = \"mfa-a\"\naddress = \"{}\"\nsecret = \"{BETWEEN}\"\n",
        pair.a.radmfa.server().address()
    );
    pair.b.scratch.write("radmfa.toml", &peer);
    reload(&mut server.process);
    assert!(gateway.answer("alice", &alice.code(), &challenge).accepts());
    pair.b.scratch.write("radmfa.toml", &format!("affinity = \"deny\"\n{peer}"));
    server.process.signal(Signal::SIGHUP);
    support::process::poll("a second reload", support::process::START, || {
        (server.process.log().matches(" reloaded\n").count() == 2).then_some(())
    });
    let challenge = password(&pair.a, &alice);
    assert!(gateway.answer("alice", "123456", &challenge).rejects());
    support::process::poll("the second refusal's line", support::process::START, || {
        (server.process.log().matches("issued-by-another-server").count() == 2).then_some(())
    });
}

fn reload(process: &mut Process) {
    process.signal(Signal::SIGHUP);
    process.wait_for("reloaded");
}
