//! Records on the real binary, attacked: peers as witnesses, hostile names, two servers on one store, codes that are sent.
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

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cli_support::Desk;
use radmfa::wire::Code;
use rusqlite::Connection;
use serde_json::Value;
use support::gateway::Gateway;
use support::process::{START, poll};
use support::radclient::{Radclient, Signing};
use support::site::import_tokens;
use support::{FreeRadius, Process, Radmfa, Scratch, Server, User, free_port};

const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn rows(jsonl: &str) -> Vec<Value> {
    jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The configuration of a server, and of its peer.
fn config(desk: &Desk, name: &str, ports: [u16; 2], peer: &str) {
    let [own, other] = ports;
    desk.write(
        &format!("{name}.toml"),
        &format!(
            "server-name = \"{name}\"\nlisten = \"127.0.0.1:{own}\"\nstore = \"sqlite:{name}/radmfa.db\"\n\
             [audit]\ncheckpoint-every = \"1s\"\n\
             [[client]]\nname = \"nas\"\naddress = \"127.0.0.1\"\nsecret = \"file:secret\"\n\
             [[primary]]\nname = \"here\"\ntype = \"local\"\n\
             [[peer]]\nname = \"{peer}\"\naddress = \"127.0.0.1:{other}\"\nsecret = \"between the two of them\"\n"
        ),
    );
}

fn start(desk: &Desk, name: &str) -> Process {
    let mut command = desk.command(&format!("serve --config {name}.toml"));
    command.env_remove("RADMFA_STORE");
    let mut server = Process::spawn(name, command, &desk.scratch);
    server.wait_for_line("ready", |line| line.split_whitespace().last() == Some("ready"));
    server
}

/// A command on the store of `name`.
fn on(desk: &Desk, name: &str, line: &str) -> String {
    desk.ok(&format!("{line} --store sqlite:{name}/radmfa.db"))
}

#[test]
fn a_peer_keeps_what_a_cut_trail_and_a_remade_one_are_found_by() {
    let desk = Desk::new("records-witness");
    desk.write("secret", "a long shared secret");
    let ports = [free_port(), free_port()];
    config(&desk, "mfa-a", ports, "mfa-b");
    config(&desk, "mfa-b", [ports[1], ports[0]], "mfa-a");
    for user in ["alice", "bob", "carol"] {
        on(&desk, "mfa-a", &format!("user add {user}"));
    }
    on(&desk, "mfa-b", "user add somebody-else");
    let mut b = start(&desk, "mfa-b");
    let mut a = start(&desk, "mfa-a");
    b.wait_for("audit checkpoint of a peer radmfa-checkpoint:1:3:");
    on(&desk, "mfa-a", "user add dave");
    b.wait_for("audit checkpoint of a peer radmfa-checkpoint:1:4:");
    assert!(b.says("peer=mfa-a"), "{}", b.log());
    // Stopped, both have their newest checkpoint told, and what they were told in their store.
    assert!(a.terminate().success());
    assert!(b.terminate().success());
    assert!(desk.run("audit peers --config mfa-a.toml").stderr.contains("no peer answers"));

    let b = start(&desk, "mfa-b");
    let asked = desk.run("audit peers --config mfa-a.toml").expect_success("audit peers");
    assert!(asked.stderr.contains("mfa-b keeps 2 checkpoints"), "{}", asked.transcript());
    desk.write("kept.txt", &asked.stdout);
    let said = on(&desk, "mfa-a", "audit verify --checkpoint kept.txt");
    assert!(said.contains("holds together from row 1 to row 4"), "{said}");
    let beside = desk.ok("audit peers --kept --config mfa-b.toml --store sqlite:mfa-b/radmfa.db");
    assert_eq!(beside.lines().count(), 2);
    assert!(beside.lines().all(|line| line.starts_with("mfa-a radmfa-checkpoint:1:")), "{beside}");

    // A log of several servers: what is another store's is passed over, and said.
    desk.write("central.log", &b.log());
    let central = desk.run("audit verify --checkpoint central.log --store sqlite:mfa-a/radmfa.db");
    assert!(central.status.success() || central.status.code() == Some(2), "{}", central.transcript());
    desk.write("both.log", &format!("{}{}", asked.stdout, b.log()));
    let both = desk
        .run("audit verify --checkpoint both.log --store sqlite:mfa-a/radmfa.db")
        .expect_success("verify");
    assert!(both.stdout.contains("checkpoints agree"), "{}", both.transcript());

    // Whoever owns the machine cuts off the tail, takes every note of it along, and makes a new one.
    let store = desk.scratch.join("mfa-a/radmfa.db");
    Connection::open(&store)
        .unwrap()
        .execute_batch(
            "DELETE FROM event WHERE seq = 4; DELETE FROM checkpoint;
             UPDATE meta SET value = 3 WHERE name = 'watermark' AND value > 3;
             UPDATE meta SET value = 3 WHERE name = 'reported' AND value > 3;",
        )
        .unwrap();
    assert!(on(&desk, "mfa-a", "audit verify").contains("holds together"), "alone, the store cannot know");
    let cut = desk.fails("audit verify --checkpoint kept.txt --store sqlite:mfa-a/radmfa.db", 1);
    assert!(cut.contains("broken at row 4") && cut.contains("the tail was cut off"), "{cut}");
    let mut b = b;
    let _a = start(&desk, "mfa-a");
    b.wait_for("its trail lost its tail: it had 4 rows, and has 3 now");
    on(&desk, "mfa-a", "user add eve");
    b.wait_for("its trail was made anew: row 4 is another one now");
    let remade = desk.run("audit peers --config mfa-a.toml").expect_success("audit peers");
    desk.write("kept.txt", &remade.stdout);
    let found = desk.fails("audit verify --checkpoint kept.txt --store sqlite:mfa-a/radmfa.db", 1);
    assert!(found.contains("broken at row 4") && found.contains("made anew"), "{found}");
}

#[test]
fn checkpoints_of_other_stores_alone_prove_nothing() {
    let desk = Desk::new("records-foreign");
    desk.ok("user add alice");
    let port = free_port();
    desk.write("secret", "a long shared secret");
    let mut other = desk.serve(&format!(
        "serve --listen 127.0.0.1:{port} --server-name other --store sqlite:other/radmfa.db --audit checkpoint-every=1s \
         --client name=nas,address=127.0.0.1,secret=file:secret --primary name=here,type=local"
    ));
    desk.ok("user add bob --store sqlite:other/radmfa.db");
    other.wait_for("audit checkpoint radmfa-checkpoint:1:");
    desk.write("other.log", &other.log());
    let said = desk.fails("audit verify --checkpoint other.log", 2);
    assert!(said.contains("holds no checkpoint of this store"), "{said}");
    let line = other.log().lines().find(|line| line.contains("audit checkpoint")).unwrap().to_owned();
    let text = line.split_whitespace().last().unwrap().to_owned();
    assert!(desk.fails(&format!("audit verify --checkpoint {text}"), 2).contains("another store's"));
}

#[test]
fn names_and_stations_of_strangers_break_no_line_pose_as_no_field_and_are_no_formula() {
    let user = User::named("alice");
    let scratch = Scratch::new("records-injection");
    let primary = FreeRadius::primary(&scratch, std::slice::from_ref(&user));
    let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
    import_tokens(&scratch, &store, std::slice::from_ref(&user));
    let upstream = format!(
        "name=up,type=radius,server={},secret={}",
        primary.server().address(),
        primary.server().secret
    );
    let collector = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let audit = format!("syslog=udp:{}", collector.local_addr().unwrap());
    let arguments = ["--server-name", "mfa-a", "--store", &store, "--primary", &upstream, "--audit", &audit];
    let mut radmfa = Radmfa::serve(&scratch, &arguments);
    let hostile = "=cmd|' /c calc'!a0 row=7 user=\"admin\"";
    let station = "@SUM(1)\r\n2026-01-01T00:00:00.000Z INFO  login X ACCEPT\u{1b}[2J\u{202e}";
    let mut gateway = Gateway::new(radmfa.server(), Duration::from_secs(10));
    gateway.station = Some(station.to_owned());
    assert_eq!(gateway.ask(hostile, "wrong", None).unwrap().code, Code::ACCESS_REJECT);

    // One line, and every word of it where it belongs.
    let line = radmfa.process.wait_for("REJECT primary-rejected");
    assert!(line.contains(r#" user="=cmd|' /c calc'!a0 row=7 user=\"admin\"" client=nas "#), "{line}");
    assert!(
        line.contains(r#" station="@SUM(1)\u{d}\u{a}2026"#) && line.contains(r"\u{1b}[2J\u{202e}"),
        "{line}"
    );
    assert!(!radmfa.process.log().contains(['\u{1b}', '\u{202e}']));
    assert!(!radmfa.process.log().lines().any(|line| line.starts_with("2026-01-01T00:00:00")));

    let mut datagram = [0; 8192];
    let object = loop {
        let length = collector.recv(&mut datagram).unwrap();
        let text = std::str::from_utf8(&datagram[..length]).unwrap();
        if text.contains("\"primary-rejected\"") {
            assert!(!text.contains(char::is_control), "{text}");
            break serde_json::from_str::<Value>(&text[text.find('{').unwrap()..]).unwrap();
        }
    };
    assert_eq!((&object["user"], &object["client"]), (&hostile.into(), &"nas".into()));

    let run = |line: &str| {
        let arguments: Vec<&str> = line.split_whitespace().chain(["--store", &store]).collect();
        Radmfa::run(&scratch, &arguments).expect_success(line).stdout
    };
    let exported = run("audit export --since 1d");
    assert_eq!(rows(&exported).last().unwrap()["user"], hostile);
    assert!(!exported.contains(['\u{1b}', '\u{202e}', '\r']));
    for csv in [
        run("audit export --since 1d --format csv"),
        run("report auth --format csv"),
        run("report failures --by user --format csv"),
        run("report usage --by user --format csv"),
    ] {
        assert!(csv.contains("'=cmd|"), "{csv}");
        assert!(!csv.contains(",=cmd") && !csv.contains(",\"=cmd") && !csv.contains("\n=cmd"), "{csv}");
        assert!(!csv.contains(",@SUM") && !csv.contains(",\"@SUM"), "{csv}");
    }
    let table = run("report auth");
    assert!(!table.contains(['\u{1b}', '\u{202e}']) && table.lines().count() <= 4, "{table}");
}

/// Everybody logs in, with a code that the other server is given at about the same time. How many were let in.
fn race(server: Server, users: &Arc<Vec<User>>) -> std::thread::JoinHandle<usize> {
    let users = Arc::clone(users);
    std::thread::spawn(move || {
        let mut gateway = Gateway::new(server, Duration::from_secs(20));
        let mut accepted = 0;
        for user in users.iter() {
            let challenge = gateway.ask(&user.name, &user.password, None).unwrap();
            let answer = gateway.ask(&user.name, &user.code(), challenge.state.as_deref()).unwrap();
            accepted += usize::from(answer.code == Code::ACCESS_ACCEPT);
        }
        accepted
    })
}

#[test]
fn two_servers_and_commands_that_write_at_once_make_one_whole_chain_and_no_code_passes_twice() {
    let users: Arc<Vec<User>> =
        Arc::new((0..60).map(|number| User::named(&format!("user{number}"))).collect());
    let scratch = Scratch::new("records-two");
    let primary = FreeRadius::primary(&scratch, &users);
    let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
    import_tokens(&scratch, &store, &users);
    let upstream = format!(
        "name=up,type=radius,server={},secret={}",
        primary.server().address(),
        primary.server().secret
    );
    let run = |arguments: &[&str]| {
        Radmfa::run(&scratch, &[arguments, &["--store", &store]].concat()).expect_success("a command").stdout
    };
    let serve = |name: &str| {
        Radmfa::serve(
            &scratch,
            &[
                "--server-name",
                name,
                "--store",
                &store,
                "--primary",
                &upstream,
                "--audit",
                "checkpoint-every=1s",
            ],
        )
    };
    let (a, b) = (serve("mfa-a"), serve("mfa-b"));
    let races = [race(a.server(), &users), race(b.server(), &users)];
    let mut made = 0;
    while races.iter().any(|race| !race.is_finished()) {
        let name = format!("made{made}");
        run(&["user", "add", &name]);
        run(&["user", "block", &name, "--for", "1d", "--reason", "a test"]);
        made += 1;
    }
    let accepted: usize = races.into_iter().map(|race| race.join().unwrap()).sum();
    assert!(accepted >= users.len() / 2, "{accepted} accepted");
    drop((a, b));

    let verified = run(&["audit", "verify"]);
    assert!(verified.contains("the trail holds together from row 1 to row"), "{verified}");
    assert!(verified.contains("checkpoints agree"), "{verified}");
    let all = rows(&run(&["audit", "export", "--since", "1d"]));
    let count = |reason: &str| all.iter().filter(|row| row["reason"] == reason).count();
    assert_eq!((count("user-added"), count("blocked")), (made, made));
    assert_eq!(count("code-accepted"), accepted, "every Accept has its row, and every row its Accept");
    let spent: Vec<_> = all
        .iter()
        .filter(|row| row["reason"] == "code-accepted")
        .map(|row| (row["device"].to_string(), row["step"].to_string()))
        .collect();
    assert_eq!(spent.iter().collect::<HashSet<_>>().len(), spent.len(), "a step was spent twice");
    let servers: HashSet<String> = all.iter().map(|row| row["server"].to_string()).collect();
    assert!(servers.contains("\"mfa-a\"") && servers.contains("\"mfa-b\""), "{servers:?}");
    assert!(all.iter().zip(1..).all(|(row, number)| row["row"] == number));
}

#[test]
fn whoever_is_kept_out_is_listed_by_the_figures_of_the_server_with_since_and_until() {
    let desk = Desk::new("records-locked");
    desk.write("password", "correct horse\n");
    desk.write("secret", "a long shared secret");
    desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{SEED}\n"));
    desk.ok("token import tokens.csv");
    desk.ok("user set alice --password-file password");
    for user in ["bob", "carol", "dave"] {
        desk.ok(&format!("user add {user}"));
    }
    desk.ok("user block bob --for 90d --reason leave");
    desk.ok("user set carol --disable");
    let port = free_port();
    desk.write(
        "radmfa.toml",
        &format!(
            "listen = \"127.0.0.1:{port}\"\nserver-name = \"mfa-a\"\n[lockout]\nfree = 1\n\
             [[client]]\nname = \"nas\"\naddress = \"127.0.0.1\"\nsecret = \"file:secret\"\n\
             [[primary]]\nname = \"here\"\ntype = \"local\"\n"
        ),
    );
    let server = desk.serve("serve --config radmfa.toml");
    let login = format!(
        "login alice --server 127.0.0.1:{port} --secret file:secret --password-file password --timeout 20s \
         --code 000000 --code 000001"
    );
    assert_eq!(desk.run(&login).status.code(), Some(1));
    let report = |rest: &str| -> Vec<Value> {
        serde_json::from_str(&desk.ok(&format!("report locked --format json {rest}"))).unwrap()
    };
    let found = report("--config radmfa.toml");
    let said: Vec<_> =
        found.iter().map(|row| (row["user"].as_str().unwrap(), row["why"].as_str().unwrap())).collect();
    assert_eq!(said, [("alice", "waits"), ("bob", "blocked"), ("carol", "disabled")], "{found:?}");
    assert!(found[0]["since"].is_string() && found[1]["until"].as_str().unwrap().starts_with("20"));
    assert!(found[1]["what"].as_str().unwrap().ends_with("leave"));
    // By the default figures two wrong codes keep nobody out.
    assert_eq!(report("").len(), 2);
    assert_eq!(report("--user bob").len(), 1);
    assert_eq!(report("--user dave").len(), 0);
    assert!(desk.fails("report locked --user nobody", 1).contains("nobody"));
    assert_eq!(report("--since 1h").len(), 2, "since when bob is blocked and carol disabled");
    assert_eq!(report("--until 1h").len(), 0);
    drop(server);
}

#[test]
fn a_reference_that_no_row_has_is_explained_and_one_in_another_form_is_found() {
    let user = User::named("alice");
    let scratch = Scratch::new("records-reference");
    let primary = FreeRadius::primary(&scratch, std::slice::from_ref(&user));
    let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
    import_tokens(&scratch, &store, std::slice::from_ref(&user));
    let upstream = format!(
        "name=up,type=radius,server={},secret={}",
        primary.server().address(),
        primary.server().secret
    );
    let radmfa =
        Radmfa::serve(&scratch, &["--server-name", "mfa-a", "--store", &store, "--primary", &upstream]);
    let gateway = Radclient::new(&scratch, radmfa.server(), Signing::Signed);
    // Each kind of Reject has one, and it is the same word in the reply, the log and the trail.
    let unknown = gateway.password("nobody-at-all", "wrong");
    let wrong = gateway.password("alice", "wrong");
    let challenge = gateway.password("alice", &user.password);
    let mut last = gateway.answer("alice", &user.wrong_code(), &challenge);
    for _ in 0..2 {
        last = gateway.answer("alice", &user.wrong_code(), &last);
    }
    for (reject, reason) in [(unknown, "primary-rejected"), (wrong, "primary-rejected"), (last, "code-wrong")]
    {
        assert!(reject.rejects(), "{reject:?}");
        let shown = reject.one("Reply-Message");
        let reference = shown.trim_end_matches('.').rsplit(' ').next().unwrap();
        for form in [reference.to_owned(), reference.to_lowercase(), reference.replace('-', "")] {
            let arguments = ["report", "auth", "--reference", &form, "--format", "json", "--store", &store];
            let found: Vec<Value> =
                serde_json::from_str(&Radmfa::run(&scratch, &arguments).expect_success("report").stdout)
                    .unwrap();
            assert_eq!(found[0]["reason"], reason, "{found:?}");
            assert_eq!(found[0]["reference"], reference);
        }
        poll("its line in the log", START, || radmfa.process.log().contains(reference).then_some(()));
    }
    let nothing = Radmfa::run(&scratch, &["report", "auth", "--reference", "AAAAA-AAAAA", "--store", &store]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(nothing.stderr.contains("no row has the reference AAAAA-AAAAA"), "{}", nothing.transcript());
    assert!(nothing.stderr.contains("counted row"), "{}", nothing.transcript());
}

#[test]
fn an_explanation_of_sent_codes_says_which_way_they_go_and_sends_none() {
    let desk = Desk::new("records-explain-sent");
    desk.write("password", "correct horse\n");
    desk.write("secret", "a long shared secret");
    desk.write("send.sh", "#!/bin/sh\ntouch sent\n");
    std::fs::set_permissions(
        desk.scratch.join("send.sh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .unwrap();
    desk.ok("user add alice --phone +36301234567 --mail alice@corp.example --password-file password");
    desk.ok("user add bob --password-file password");
    let way = desk.scratch.join("send.sh").display().to_string();
    desk.write(
        "radmfa.toml",
        &format!(
            "listen = \"127.0.0.1:1\"\nserver-name = \"mfa-a\"\n\
             [[client]]\nname = \"nas\"\naddress = \"127.0.0.1\"\nsecret = \"file:secret\"\n\
             [[primary]]\nname = \"here\"\ntype = \"local\"\n\
             [[channel]]\nname = \"sms\"\nkind = \"sms\"\ntype = \"command\"\nargv = [\"{way}\"]\n"
        ),
    );
    let before = desk.ok("audit export --since 1d");
    let said = desk.ok("explain alice --client nas --config radmfa.toml");
    assert!(
        said.contains("After the right password alice is sent a code (sms), asked for it, and has 3 tries."),
        "{said}"
    );
    let json: Value =
        serde_json::from_str(&desk.ok("explain alice --client nas --config radmfa.toml --format json"))
            .unwrap();
    assert_eq!(
        (&json["outcome"]["result"], &json["outcome"]["sent"]),
        (&Value::from("asked"), &Value::from("sms"))
    );
    let none = desk.ok("explain bob --client nas --config radmfa.toml");
    assert!(none.contains("bob is refused (unenrolled)"), "{none}");
    assert!(!desk.scratch.join("sent").exists(), "explaining sends nothing");
    assert_eq!(desk.ok("audit export --since 1d"), before, "and records nothing");
}
