//! Servers from the command line: quickstart, serve, check, and logins through them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and asks the real clock for the codes of this moment"
)]

mod cli_support;
mod support;

use std::net::UdpSocket;
use std::time::Duration;

use cli_support::Desk;
use nix::sys::signal::Signal;
use support::free_port;

const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const SECRET: &str = "a long shared secret";

/// A desk with a user, a token and the files that a login reads.
fn desk(name: &str) -> Desk {
    let desk = Desk::new(name);
    desk.write("password", "correct horse\n");
    desk.write("wrong", "battery staple\n");
    desk.write("secret", SECRET);
    desk.write("seed", SEED);
    desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{SEED}\n"));
    desk.ok("token import tokens.csv");
    desk.ok("user set alice --password-file password");
    desk
}

fn serve_line(port: u16) -> String {
    format!(
        "serve --server-name test --listen 127.0.0.1:{port} --client name=nas,address=127.0.0.1,secret=file:secret \
         --primary name=here,type=local"
    )
}

fn login_line(port: u16) -> String {
    format!(
        "login alice --server 127.0.0.1:{port} --secret file:secret --password-file password --timeout 20s"
    )
}

#[test]
fn a_server_says_what_it_serves_and_then_that_it_is_ready() {
    let desk = desk("cli-serve");
    let port = free_port();
    let mut server = desk.serve(&serve_line(port));
    let log = server.log();
    for line in [
        format!("listening on 127.0.0.1:{port}"),
        "client nas: 127.0.0.1, profile generic, primary here".into(),
        "primary here: local passwords in the store".into(),
        "store sqlite:store/radmfa.db".into(),
    ] {
        let at = log.find(&line).unwrap_or_else(|| panic!("{line} is missing:\n{log}"));
        assert!(at < log.find(" ready\n").unwrap(), "{line} comes late:\n{log}");
    }
    assert!(!log.contains(SECRET));
    assert_eq!(server.terminate().code(), Some(0));
    assert!(server.log().contains("SIGTERM: finishing what is in flight"));
}

#[test]
fn a_login_is_walked_to_the_accept_and_its_number_stands_in_the_log() {
    let desk = desk("cli-login");
    let port = free_port();
    let mut server = desk.serve(&serve_line(port));
    let said =
        desk.ok(&format!("{} --totp-secret-file seed --calling-station-id 10.9.8.7", login_line(port)));
    let mut rest = said.as_str();
    for step in [
        "→ Access-Request",
        "User-Name = \"alice\"",
        "User-Password = <hidden>",
        "Calling-Station-Id = \"10.9.8.7\"",
        "← Access-Challenge",
        "Reply-Message = \"",
        "This login is ",
        "→ Access-Request",
        "State = ",
        "← Access-Accept",
        "Accepted after 2 round trips",
    ] {
        let at = rest.find(step).unwrap_or_else(|| panic!("{step} is missing or out of order:\n{said}"));
        rest = &rest[at + step.len()..];
    }
    assert!(!said.contains("correct horse") && !said.contains(SECRET));
    let number = said.split("This login is ").nth(1).unwrap().split_whitespace().next().unwrap();
    let line = server.wait_for(&format!("login {number} ACCEPT code-accepted user=alice"));
    assert!(line.contains("station=10.9.8.7"), "{line}");
}

#[test]
fn wrong_passwords_and_codes_are_rejected_with_exit_code_1() {
    let desk = desk("cli-login-wrong");
    let port = free_port();
    let _server = desk.serve(&serve_line(port));
    let line = login_line(port);
    let password = desk.run(&format!("{} --code 1", line.replace("file password", "file wrong")));
    assert_eq!(password.status.code(), Some(1), "{}", password.transcript());
    assert!(password.stdout.contains("← Access-Reject"), "{}", password.stdout);
    assert!(password.stdout.contains("Rejected after 1 round trip,"), "{}", password.stdout);

    let wrong = support::code::wrong(SEED);
    let codes = desk.run(&format!("{line} --code {wrong} --code {wrong} --code {wrong}"));
    assert_eq!(codes.status.code(), Some(1), "{}", codes.transcript());
    assert!(codes.stdout.contains("Rejected after 4 round trips"), "{}", codes.stdout);

    let mistyped = desk.ok(&format!("{line} --code {wrong} --code {}", support::code::now(SEED)));
    assert!(mistyped.contains("Accepted after 3 round trips"), "{mistyped}");
    let too_few = desk.run(&format!("{line} --code {wrong}"));
    assert_eq!(too_few.status.code(), Some(1));
    assert!(too_few.stderr.contains("challenge 2 came, and no --code is left"), "{}", too_few.stderr);
    let closing = too_few.stdout.lines().last();
    assert_eq!(closing, Some("Broken off after 2 round trips, neither accepted nor rejected."));
    assert!(desk.ok("user show alice").contains("wrong codes     1,"));
}

#[test]
fn silence_is_explained() {
    let desk = desk("cli-login-silence");
    let closed = free_port();
    let refused = desk.run(&format!("{} --code 1", login_line(closed)));
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.contains(&format!("nothing listens on 127.0.0.1:{closed}")), "{}", refused.stdout);

    let port = free_port();
    let server = desk.serve(&serve_line(port));
    let line = login_line(port).replace("file:secret", "another-secret").replace("20s", "300ms");
    let silent = desk.run(&format!("{line} --code 1 --retries 1"));
    assert_eq!(silent.status.code(), Some(1));
    assert!(silent.stdout.contains("the same again, try 2"), "{}", silent.stdout);
    assert!(silent.stdout.contains("after 2 tries"), "{}", silent.stdout);
    assert!(silent.stdout.contains("- the shared secret differs"), "{}", silent.stdout);
    assert!(!server.log().contains("ACCEPT"));
}

#[test]
fn an_answer_that_proves_nothing_is_not_believed() {
    let desk = desk("cli-login-forged");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let port = socket.local_addr().unwrap().port();
    let forger = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        let (_, from) = socket.recv_from(&mut buffer).unwrap();
        let identifier = buffer[1];
        let forged = |identifier: u8| [&[2, identifier, 0, 20], [7; 16].as_slice()].concat();
        for datagram in [forged(identifier.wrapping_add(1)), forged(identifier), vec![2, identifier]] {
            socket.send_to(&datagram, from).unwrap();
        }
        // A right Response Authenticator (RFC 2865 §3), but no Message-Authenticator.
        let authenticator: [u8; 16] = buffer[4..20].try_into().unwrap();
        let mut unsigned = vec![2, identifier, 0, 20];
        unsigned.extend(authenticator);
        let digest = {
            use md5::{Digest, Md5};
            Md5::new().chain_update(&unsigned).chain_update(SECRET).finalize()
        };
        unsigned.splice(4.., digest);
        socket.send_to(&unsigned, from).unwrap();
    });
    let line = login_line(port).replace("20s", "1s");
    let said = desk.run(&format!("{line} --code 1 --retries 0"));
    forger.join().unwrap();
    assert_eq!(said.status.code(), Some(1), "{}", said.transcript());
    for why in [
        "it answers another request",
        "its Response Authenticator is wrong",
        "it is no RADIUS packet",
        "it carries no Message-Authenticator",
    ] {
        assert!(said.stdout.contains(&format!("← ignored: {why}")), "{why}:\n{}", said.stdout);
    }
    assert!(!said.stdout.contains("Accepted"), "{}", said.stdout);
}

#[test]
fn a_gateway_without_message_authenticator_can_be_played() {
    let desk = desk("cli-login-unsigned");
    let port = free_port();
    let _server = desk.serve(&serve_line(port));
    let line = format!("{} --no-message-authenticator", login_line(port));
    let said = desk.ok(&format!("{line} --totp-secret-file seed"));
    let request = said.split('←').next().unwrap();
    assert!(!request.contains("Message-Authenticator"), "{said}");
    assert!(said.contains("Accepted after 2 round trips"), "{said}");
}

#[test]
fn a_login_needs_its_secrets_from_somewhere() {
    let desk = desk("cli-login-usage");
    let line = login_line(9);
    assert!(desk.fails(&line.replace("file:secret", "file:missing"), 2).contains("missing cannot be read"));
    assert!(
        desk.fails(&line.replace("file:secret", "env:NOTHING_HERE"), 2).contains("NOTHING_HERE is not set")
    );
    assert!(desk.fails(&line.replace("127.0.0.1:9", "nowhere.invalid"), 2).contains("error: --server: "));
    assert!(
        desk.fails(&format!("{line} --totp-secret-file password"), 2).contains("password holds no token")
    );
    assert!(desk.fails(&line.replace("20s", "5"), 2).contains("a time has a unit"));
    assert!(
        desk.fails(&format!("{line} --code 1 --totp-secret-file seed"), 2).contains("cannot be used with")
    );
}

#[test]
fn commands_change_the_store_under_a_running_server() {
    let desk = desk("cli-live");
    let port = free_port();
    let mut server = desk.serve(&serve_line(port));
    let line = format!("{} --totp-secret-file seed", login_line(port));
    desk.ok("token disable T-1");
    assert_eq!(desk.run(&line).status.code(), Some(1));
    server.wait_for("no-usable-token");
    desk.ok("token enable T-1");
    desk.ok(&line);
    // The code that verify takes is used up for logins too.
    desk.ok("user add bob --password-file password");
    desk.write("bob.csv", &format!("user,serial,secret\nbob,T-2,{SEED}\n"));
    desk.ok("token import bob.csv");
    let code = support::code::now(SEED);
    desk.ok(&format!("token verify T-2 {code}"));
    let bob = login_line(port).replace("login alice", "login bob");
    let replayed = desk.run(&format!("{bob} --code {code} --code {code} --code {code}"));
    assert_eq!(replayed.status.code(), Some(1), "{}", replayed.transcript());
}

#[test]
fn a_configuration_that_cannot_be_is_refused_with_exit_code_2() {
    let desk = desk("cli-serve-wrong");
    desk.write(
        "radmfa.toml",
        "listen = [\"127.0.0.1:0\"]\n[[client]]\nname = \"nas\"\nadress = \"10.0.0.1\"\nsecret = \"file:secret\"\n",
    );
    let said = desk.fails("serve --config radmfa.toml", 2);
    assert!(said.contains("radmfa.toml:4: ") && said.contains("did you mean \"address\"?"), "{said}");
    assert!(said.contains("error: primary: at least one is needed"), "{said}");
    assert!(!said.contains("ready"));
    assert!(desk.fails("serve --config missing.toml", 2).contains("missing.toml"));
    let broken = format!("{} --dictionary secret", serve_line(free_port()));
    assert!(desk.fails(&broken, 2).contains("secret:1: "));
}

#[test]
fn a_taken_port_is_named() {
    let desk = desk("cli-serve-port");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let said = desk.fails(&serve_line(port), 1);
    assert!(said.contains(&format!("error: cannot listen on 127.0.0.1:{port}")), "{said}");
    assert!(said.contains("hint: another program has it"), "{said}");
    let quick = desk.run(&format!("quickstart --listen 127.0.0.1:{port} --portal 127.0.0.1:{}", free_port()));
    assert_eq!(quick.status.code(), Some(1), "{}", quick.transcript());
    assert!(quick.stderr.contains("hint: another program has it"), "{}", quick.stderr);
    assert!(quick.stderr.contains("--listen 127.0.0.1:18120"), "{}", quick.stderr);
}

#[test]
fn sighup_takes_a_new_configuration_whole_or_keeps_what_ran() {
    let desk = desk("cli-reload");
    let port = free_port();
    let config = |secret: &str| {
        format!(
            "server-name = \"test\"\nlisten = [\"127.0.0.1:{port}\"]\n[[client]]\nname = \"nas\"\naddress = \"127.0.0.1\"\n\
             secret = \"{secret}\"\n[[primary]]\nname = \"here\"\ntype = \"local\"\n"
        )
    };
    desk.write("radmfa.toml", &config("the first shared secret"));
    let mut server = desk.serve("serve --config radmfa.toml");
    desk.write("radmfa.toml", &config(SECRET));
    server.signal(Signal::SIGHUP);
    server.wait_for(" reloaded");
    desk.ok(&format!("{} --totp-secret-file seed", login_line(port)));

    desk.write("radmfa.toml", &config(SECRET).replace("address", "adress"));
    server.signal(Signal::SIGHUP);
    let refused = server.wait_for("not reloaded, what ran before goes on: ");
    assert!(refused.contains("radmfa.toml:5: "), "{refused}");
    desk.write("radmfa.toml", &config(SECRET).replace("\"test\"", "\"other\""));
    server.signal(Signal::SIGHUP);
    server.wait_for("server-name: cannot change from");
    let wrong = format!("{} --code 1", login_line(port).replace("file password", "file wrong"));
    assert!(desk.run(&wrong).stdout.contains("← Access-Reject"));
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn the_log_is_json_where_it_is_asked_for() {
    let desk = desk("cli-json");
    let port = free_port();
    let mut server = support::Process::spawn(
        "serve-json",
        desk.command(&format!("{} --log-format json", serve_line(port))),
        &desk.scratch,
    );
    server.wait_for("\"message\":\"ready\"");
    desk.ok(&format!("{} --totp-secret-file seed", login_line(port)));
    server.terminate();
    let lines: Vec<serde_json::Value> =
        server.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let login = lines.iter().find(|line| line["event"] == "login").unwrap();
    assert_eq!((&login["user"], &login["result"]), (&"alice".into(), &"accepted".into()));
    assert!(lines.iter().all(|line| line["time"].is_string() && line["level"].is_string()));
}

#[test]
fn check_shows_what_holds_and_tries_what_it_names() {
    let desk = desk("cli-check");
    let flags = "--client name=nas,address=127.0.0.1,secret=file:secret --primary name=here,type=local \
                 --listen 127.0.0.1:0 --server-name test";
    let said = desk.ok(&format!("check {flags}"));
    for line in [
        "secret                     = \"file:secret\"",
        "# flag --client",
        "primary here: local passwords in the store",
        "store sqlite:store/radmfa.db: 1 user, 1 token, the newest record of ",
    ] {
        assert!(said.contains(line), "{line}:\n{said}");
    }
    assert!(!said.contains(SECRET));
    let closed = free_port();
    let up =
        format!("check {flags} --primary name=up,type=radius,server=127.0.0.1:{closed},secret=file:secret");
    let ran = desk.run(&up.replace("name=nas,", "name=nas,primary=here,"));
    assert_eq!(ran.status.code(), Some(1), "{}", ran.transcript());
    assert!(
        ran.stderr.contains(&format!("primary up: nothing listens on 127.0.0.1:{closed}")),
        "{}",
        ran.stderr
    );
    let offline = up.replace("name=nas,", "name=nas,primary=here,") + " --offline";
    assert!(!desk.ok(&offline).contains("store sqlite:store/radmfa.db: "));

    let port = free_port();
    let _upstream = desk.serve(&serve_line(port));
    let alive =
        up.replace("name=nas,", "name=nas,primary=here,").replace(&closed.to_string(), &port.to_string());
    let said = desk.ok(&alive);
    assert!(said.contains(&format!("primary up: 127.0.0.1:{port} answers")), "{said}");
    assert!(desk.fails("check --client name=nas", 2).contains("client.address: missing"));
}

#[test]
fn quickstart_makes_a_server_that_works_and_finds_it_again() {
    let desk = Desk::new("cli-quickstart");
    let port = free_port();
    let portal = free_port();
    let line = format!("quickstart --listen 127.0.0.1:{port} --portal 127.0.0.1:{portal}");
    let shown = desk.run(&format!("{line} --check")).expect_success("quickstart --check");
    let check = &shown.stdout;
    assert!(check.starts_with("Made ./radmfa-quickstart.\n"), "{check}");
    assert!(check.contains("← Access-Challenge") && check.contains("← Access-Accept"), "{check}");
    assert!(check.contains("The quickstart works."), "{check}");
    assert_eq!(desk.mode("radmfa-quickstart"), 0o700);
    for file in
        ["client.secret", "alice.password", "alice.otpauth", "radmfa.toml", "radmfa.db", "radmfa.db.key"]
    {
        assert_eq!(desk.mode(&format!("radmfa-quickstart/{file}")), 0o600, "{file}");
    }
    assert!(!desk.scratch.join("radmfa-quickstart.new").exists());
    // Of the log the round trips are not to be buried in, the login's own line is left.
    let logged: Vec<&str> = shown.stderr.lines().filter(|line| line.contains(" INFO ")).collect();
    assert!(logged.len() == 1 && logged[0].contains(" ACCEPT code-accepted "), "{}", shown.stderr);
    let trail = desk.ok("audit export --since 1d --store sqlite:radmfa-quickstart/radmfa.db");
    let acts = trail.lines().filter(|row| row.contains("\"result\":\"noted\""));
    assert!(acts.clone().count() >= 2 && acts.clone().all(|act| !act.contains("\"actor\":null")), "{trail}");

    let mut server = support::Process::spawn("quickstart", desk.command(&line), &desk.scratch);
    server.wait_for("Ctrl-C stops the server.");
    let said = server.log();
    assert!(said.contains("Using what is in ./radmfa-quickstart.\n"), "{said}");
    let password = desk.read("radmfa-quickstart/alice.password");
    assert!(said.contains(&format!("the password {}.", password.trim())), "{said}");
    assert!(
        said.contains('█') && said.contains(desk.read("radmfa-quickstart/alice.otpauth").trim()),
        "{said}"
    );
    assert!(said.contains(&format!("Its pages are at http://localhost:{portal}:")), "{said}");
    let (status, _) = support::webhook::get(&format!("http://127.0.0.1:{portal}/"));
    assert_eq!(status, 303, "what it says to open leads to a page");
    let beside = desk.ok(&format!("{line} --check"));
    assert!(beside.contains("taking it for a quickstart that runs already"), "{beside}");
    assert!(beside.contains("The quickstart works."), "{beside}");
    // The command that it tells to type works as it is printed.
    let typed = said.lines().find(|line| line.contains("--totp-secret-file")).unwrap().trim();
    let arguments = typed.split_once(' ').unwrap().1;
    assert!(typed.starts_with(env!("CARGO_BIN_EXE_radmfa")), "{typed}");
    // The trials may have used up the codes of this moment; the command comes as far as the challenge then.
    let accepted = desk.run(arguments);
    assert!(accepted.stdout.contains("← Access-Challenge"), "{}", accepted.transcript());
    assert_eq!(server.terminate().code(), Some(0));

    let checked = desk.run("check --config radmfa-quickstart/radmfa.toml");
    assert!(checked.success(), "{}", checked.transcript());
}

#[test]
fn quickstart_touches_no_directory_of_somebody_elses() {
    let desk = Desk::new("cli-quickstart-taken");
    desk.scratch.directory("mine");
    desk.write("mine/file", "mine");
    let said = desk.fails("quickstart --dir mine --check", 2);
    assert!(
        said.contains("mine is not empty") && said.contains("hint: say another directory: --dir DIR"),
        "{said}"
    );
    assert_eq!(desk.read("mine/file"), "mine");
    assert!(desk.fails("quickstart --listen nowhere", 2).contains("--listen"));
    // Nor the one that it would make its own in.
    std::fs::create_dir(desk.scratch.join("other.new")).unwrap();
    std::fs::write(desk.scratch.join("other.new/thesis"), "years of work").unwrap();
    let said = desk.fails("quickstart --dir other --check", 2);
    assert!(said.contains("other.new is in the way"), "{said}");
    assert_eq!(desk.read("other.new/thesis"), "years of work");
}
