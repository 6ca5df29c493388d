//! The control socket and `radmfa trace`, on a server that runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, and asks the real clock for the codes of this moment"
)]

mod cli_support;
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use cli_support::Desk;
use nix::sys::signal::Signal;
use serde_json::Value;
use support::process::{START, poll};
use support::{Process, free_port};

const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const SECRET: &str = "a long shared secret";
const SOCKET: &str = "store/radmfa.db.sock";

/// A desk with alice, who owns a token, and bob, who owns none.
fn desk(name: &str) -> Desk {
    let desk = Desk::new(name);
    desk.write("password", "correct horse\n");
    desk.write("secret", SECRET);
    desk.write("seed", SEED);
    desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{SEED}\n"));
    desk.ok("token import tokens.csv");
    desk.ok("user set alice --password-file password");
    desk.ok("user add bob --password-file password");
    desk
}

fn serve_line(port: u16) -> String {
    format!(
        "serve --server-name mfa-a --listen 127.0.0.1:{port} --client name=nas,address=127.0.0.1,secret=file:secret \
         --primary name=here,type=local --rule name=quick,station=10.0.0.0/8,reject-delay=100ms"
    )
}

fn login(desk: &Desk, port: u16, rest: &str) -> String {
    let line = format!(
        "login --server 127.0.0.1:{port} --secret file:secret --password-file password --timeout 20s {rest}"
    );
    desk.run(&line).stdout
}

/// Starts a trace and waits until it listens.
fn trace(desk: &Desk, name: &str, rest: &str) -> Process {
    let mut trace = Process::spawn(name, desk.command(&format!("trace {rest}")), &desk.scratch);
    trace.wait_for("tracing mfa-a");
    trace
}

fn connect(desk: &Desk) -> UnixStream {
    let stream = UnixStream::connect(desk.scratch.join(SOCKET)).unwrap();
    stream.set_read_timeout(Some(START)).unwrap();
    stream
}

fn ask(stream: &UnixStream, line: &str) -> Value {
    (&*stream).write_all(format!("{line}\n").as_bytes()).unwrap();
    answer(stream)
}

fn answer(stream: &UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

#[test]
fn a_trace_shows_a_login_packet_by_packet_and_nothing_secret() {
    let desk = desk("cli-trace");
    let port = free_port();
    let _server = desk.serve(&serve_line(port));
    assert_eq!(desk.mode(SOCKET), 0o600);
    let mut everything = trace(&desk, "text", "--for 10m");
    let mut alice = trace(&desk, "alice", "--user ALICE --client nas --format json --for 10m");
    let mut nobody = trace(&desk, "nobody", "--client other --for 10m");

    let refused = login(&desk, port, "bob");
    let code = support::code::now(SEED);
    let said = login(&desk, port, &format!("alice --code {code} --calling-station-id 10.1.2.3"));
    assert!(said.contains("Accepted after 2 round trips"), "{said}");

    alice.wait_for("\"decided\"");
    let events: Vec<Value> = poll("the last reply", START, || {
        let log = alice.log();
        let lines = log.lines().filter(|line| line.starts_with('{'));
        let events: Vec<Value> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
        (events.iter().filter(|event| event["event"] == "reply").count() == 2).then_some(events)
    });
    let words: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(
        words,
        [
            "request",
            "primary-asked",
            "primary-answered",
            "user-read",
            "reply",
            "request",
            "user-read",
            "judged",
            "record",
            "reply",
            "decided"
        ]
    );
    assert!(events.iter().all(|event| event["user"] == "alice" && event["client"] == "nas"), "{events:#?}");
    let attributes = |place: usize| {
        let lines = events[place]["attributes"].as_array().unwrap();
        lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = attributes(0);
    for line in ["User-Name = \"alice\"", "User-Password = <hidden>", "Calling-Station-Id = \"10.1.2.3\""] {
        assert!(first.iter().any(|other| other == line), "{line}: {first:?}");
    }
    assert_eq!((&events[0]["signed"], &events[0]["rule"]), (&Value::from(true), &Value::from("quick")));
    assert_eq!(events[2]["answer"], "accepted");
    assert_eq!(events[4]["code"], "Access-Challenge");
    assert_eq!(
        (&events[7]["verdict"], &events[7]["device"]),
        (&Value::from("accepted"), &Value::from("T-1"))
    );
    assert_eq!(events[8]["answer"], "kept");
    assert_eq!(events[8]["row"], events[10]["row"]);
    let number = said.split("This login is ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert_eq!(events[10]["login"], number);
    let state = said.lines().find_map(|line| line.trim().strip_prefix("State = ")).unwrap();
    let shown =
        attributes(4).iter().find_map(|line| line.strip_prefix("State = ").map(str::to_owned)).unwrap();
    assert!(shown.ends_with('…') && shown.chars().count() <= 11 && state.len() > 20, "{shown}");

    everything.wait_for("= login ");
    let text = poll("both logins", START, || {
        let log = everything.log();
        log.contains("code-accepted nas user=alice").then_some(log)
    });
    let reference = refused.split("Reference ").nth(1).unwrap().split('.').next().unwrap();
    assert!(text.contains(&format!("= login {reference} rejected unenrolled nas user=bob")), "{text}");
    assert!(text.contains(&format!("Reply-Message = \"Login refused. Reference {reference}.\"")), "{text}");
    for secret in ["correct horse", &code, SECRET, SEED, state] {
        for log in [&text, &alice.log()] {
            assert!(!log.contains(secret), "{secret} stands in\n{log}");
        }
    }
    assert!(!alice.log().contains("bob"));
    assert_eq!(nobody.log().lines().count(), 1, "{}", nobody.log());
    nobody.signal(Signal::SIGINT);
}

#[test]
fn a_trace_ends_with_its_time_or_with_the_server() {
    let desk = desk("cli-trace-end");
    let port = free_port();
    let mut server = desk.serve(&serve_line(port));
    assert!(desk.ok("trace --for 1s").contains("(the time is over)"));
    let mut trace = trace(&desk, "trace", "--for 1h");
    assert_eq!(server.terminate().code(), Some(0));
    let status = poll("the end of the trace", START, || trace.try_wait());
    assert!(status.success() || status.code() == Some(1), "{status}");
    assert!(!desk.scratch.join(SOCKET).exists(), "the socket goes with its server");
    let alone = desk.fails("trace", 1);
    assert!(alone.contains("no server is reached at store/radmfa.db.sock"), "{alone}");
    assert!(desk.fails("trace --store memory:", 2).contains("no control socket"));
    assert!(desk.fails("trace --control off", 2).contains("no control socket"));
}

#[test]
fn a_dead_server_s_socket_is_replaced_and_a_living_one_s_is_not() {
    let desk = desk("cli-control-twice");
    let ports = [free_port(), free_port()];
    let mut first = desk.serve(&serve_line(ports[0]));
    first.signal(Signal::SIGKILL);
    poll("the first server's end", START, || first.try_wait());
    assert!(desk.scratch.join(SOCKET).exists());
    let _second = desk.serve(&serve_line(ports[0]));
    assert_eq!(ask(&connect(&desk), r#"{"radmfa":1,"do":"ping"}"#)["server"], "mfa-a");

    // Beside it on the same store: it serves, without a socket, and says so.
    let mut third = desk.serve(&serve_line(ports[1]).replace("mfa-a", "mfa-b"));
    third.wait_for("there is no control socket, so nobody can trace this server");
    third.terminate();
    assert_eq!(ask(&connect(&desk), r#"{"radmfa":1,"do":"ping"}"#)["server"], "mfa-a");
    let insisting = format!("{} --control path={SOCKET}", serve_line(ports[1]));
    assert!(desk.fails(&insisting, 1).contains("cannot open the control socket store/radmfa.db.sock"));
}

#[test]
fn hostile_callers_harm_nobody() {
    let desk = desk("cli-control-hostile");
    let port = free_port();
    let _server = desk.serve(&serve_line(port));
    let ping = r#"{"radmfa":1,"do":"ping"}"#;

    let stream = connect(&desk);
    for (line, said) in [
        ("", "this is no request"),
        ("\u{1}\u{2}\u{1b}[31m", "this is no request"),
        (&"[".repeat(4000), "this is no request"),
        (r#"{"radmfa":2,"do":"trace"}"#, "this server speaks version 1"),
        (r#"{"radmfa":1,"do":"shutdown"}"#, "this server knows ping and trace"),
        (r#"{"radmfa":1,"do":"trace","for":99999999999}"#, "one may trace for 1 s to 1 d"),
    ] {
        let refused = ask(&stream, line);
        assert_eq!(refused["ok"], false);
        assert!(refused["error"].as_str().unwrap().contains(said), "{refused}");
    }
    assert_eq!(ask(&stream, ping)["ok"], true, "the connection still serves");

    let mut endless = connect(&desk);
    let _cut_off = endless.write_all(&vec![b'x'; 100_000]);
    let mut rest = Vec::new();
    let _reset = endless.read_to_end(&mut rest);
    assert!(rest.is_empty(), "a line without end is not answered");

    // More than there is room for: those that are too many are told so, and the others go on.
    let many: Vec<UnixStream> = (0..40).map(|_| connect(&desk)).collect();
    let turned_away = answer(&many[39]);
    assert!(turned_away["error"].as_str().unwrap().contains("too many"), "{turned_away}");
    drop(many);
    poll("room again", START, || {
        let stream = connect(&desk);
        (&stream).write_all(format!("{ping}\n").as_bytes()).ok()?;
        (answer(&stream)["ok"] == true).then_some(())
    });

    // A tracer that never reads keeps no login waiting.
    let deaf = connect(&desk);
    assert_eq!(ask(&deaf, r#"{"radmfa":1,"do":"trace","for":600}"#)["ok"], true);
    for _ in 0..3 {
        let said = login(&desk, port, "bob --calling-station-id 10.1.1.1");
        assert!(said.contains("Rejected after 1 round trip"), "{said}");
    }
    let said = login(&desk, port, "alice --totp-secret-file seed");
    assert!(said.contains("Accepted after 2 round trips"), "{said}");
}

#[test]
fn nobody_but_root_and_the_server_s_own_user_may_ask() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root, so nobody else can be played here: nothing was tested");
        return;
    }
    let desk = desk("cli-control-stranger");
    let port = free_port();
    let place = std::env::temp_dir().join(format!("radmfa-control-{}.sock", std::process::id()));
    let mut server = desk.serve(&format!("{} --control path={}", serve_line(port), place.display()));
    let stranger = |desk: &Desk| {
        let mut command = desk.command(&format!("trace --for 1s --control path={}", place.display()));
        // The program lies where a stranger may not look; what is played is the caller of the socket.
        command.uid(65_534).current_dir("/");
        support::process::run(command, "", &desk.scratch, Duration::from_secs(30))
    };
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_radmfa")).unwrap();
    assert!(program.permissions().mode() & 0o001 != 0);
    let by_mode = stranger(&desk);
    assert!(
        by_mode.stderr.contains("ask as root, or as the user that radmfa runs as"),
        "{}",
        by_mode.transcript()
    );
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o666)).unwrap();
    let by_kernel = stranger(&desk);
    assert!(
        by_kernel.stderr.contains("only root and the user that radmfa runs as may ask"),
        "{}",
        by_kernel.transcript()
    );
    server.wait_for("a user who may not was turned away from the control socket");
}

#[test]
fn what_goes_to_a_password_server_and_comes_back_is_traced_without_the_password() {
    let alice = support::User::named("alice");
    let site = support::Site::start("trace-upstream", std::slice::from_ref(&alice), &[]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_radmfa"));
    let store = format!("sqlite:{}", site.scratch.join("radmfa.db").display());
    command.args(["trace", "--for", "10m", "--format", "json", "--store", &store]);
    let mut trace = Process::spawn("trace", command, &site.scratch);
    trace.wait_for("tracing mfa-a");
    let gateway =
        support::radclient::Radclient::new(&site.scratch, site.server(), support::radclient::Signing::Signed);
    assert!(gateway.password("alice", "wrong").rejects());
    assert!(gateway.login(&alice, &alice.code()).accepts());
    trace.wait_for("\"verdict\":\"accepted\"");
    let log = trace.log();
    let events: Vec<Value> = log
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |event: &str| -> Vec<&Value> { events.iter().filter(|e| e["event"] == event).collect() };
    let server = site.primary.server().address().to_string();
    let sent = of("upstream-sent");
    assert_eq!(sent.len(), 2, "{events:#?}");
    for event in &sent {
        assert_eq!((&event["server"], &event["code"]), (&server.as_str().into(), &"Access-Request".into()));
        assert_eq!(
            (&event["tries"], &event["user"], &event["client"]),
            (&1.into(), &"alice".into(), &"nas".into())
        );
        let attributes = event["attributes"].to_string();
        assert!(
            attributes.contains("User-Name = \\\"alice\\\"")
                && attributes.contains("User-Password = <hidden>")
        );
    }
    let answered: Vec<_> = of("upstream-answered").iter().map(|event| event["code"].clone()).collect();
    assert_eq!(answered, ["Access-Reject", "Access-Accept"]);
    for secret in [alice.password.as_str(), site.primary.server().secret, site.server().secret] {
        assert!(!log.contains(secret), "{secret} stands in\n{log}");
    }
}

#[test]
fn packets_that_come_again_are_traced_for_what_they_are() {
    use radmfa::base::secret::Secret;
    use radmfa::wire::{AttributeList, Code, RequestBuilder, SharedSecret, number};
    let desk = desk("cli-trace-again");
    let port = free_port();
    // A password server that says nothing.
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    upstream.set_read_timeout(Some(START)).unwrap();
    let _server = desk.serve(&format!(
        "serve --server-name mfa-a --listen 127.0.0.1:{port} --primary name=up,type=radius,server={},secret=upstream \
         --client name=nas,address=127.0.0.1,secret=file:secret,patience=3s",
        upstream.local_addr().unwrap()
    ));
    let mut trace = trace(&desk, "again", "--client nas --format json --for 10m");
    let mut attributes = AttributeList::new();
    attributes.push_text(number::USER_NAME, "alice").unwrap();
    let secret = SharedSecret::new(Secret::from(SECRET));
    let password = radmfa::wire::AttributeId::Standard(number::USER_PASSWORD);
    let hidden = radmfa::wire::HideKind::UserPassword;
    attributes.push_held(password, hidden, &Secret::from("correct horse")).unwrap();
    let mut entropy = radmfa::server::system::SystemEntropy::new().unwrap();
    let builder = RequestBuilder {
        code: Code::ACCESS_REQUEST,
        attributes: &attributes,
        proxy_state: None,
        secret: &secret,
    };
    let request = builder.build(7, [5; 16], &mut entropy).unwrap().bytes;

    let gateway = UdpSocket::bind("127.0.0.1:0").unwrap();
    gateway.connect(("127.0.0.1", port)).unwrap();
    gateway.set_read_timeout(Some(START)).unwrap();
    gateway.send(&request).unwrap();
    let mut buffer = [0; 4096];
    upstream.recv(&mut buffer).unwrap();
    // While it is worked on, and once it is answered.
    gateway.send(&request).unwrap();
    trace.wait_for("\"duplicate-pending\"");
    let first = gateway.recv(&mut buffer).unwrap();
    let reply = buffer[..first].to_vec();
    gateway.send(&request).unwrap();
    let second = gateway.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..second], reply, "the same reply");
    trace.wait_for("\"repeated\"");
    let log = trace.log();
    let events: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |word: &str| events.iter().filter(|event| event["event"] == word).collect::<Vec<_>>();
    assert_eq!((of("request").len(), of("decided").len()), (1, 1), "one login: {log}");
    let [dropped, repeated] = ["dropped", "repeated"].map(|word| of(word)[0]);
    let source = gateway.local_addr().unwrap().to_string();
    assert_eq!((&dropped["source"], &repeated["source"]), (&source.clone().into(), &source.into()));
    assert_eq!((&dropped["client"], &repeated["identifier"]), (&"nas".into(), &7.into()));
}
