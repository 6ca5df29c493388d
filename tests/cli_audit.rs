//! `radmfa audit` and `radmfa user erase` on the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod cli_support;
mod support;

use std::net::UdpSocket;
use std::time::Duration;

use cli_support::Desk;
use rusqlite::Connection;
use serde_json::Value;
use support::free_port;

/// A desk whose store has two users, one token and six rows.
fn desk(name: &str) -> Desk {
    let desk = Desk::new(name);
    desk.ok("user add alice --mail alice@example.org --phone +49-30-123456");
    desk.ok("user add bob");
    desk.ok("token add alice --serial T1");
    desk.ok("user set bob --disable");
    desk.ok("token disable T1");
    desk.ok("user unlock alice");
    desk
}

fn tamper(desk: &Desk, sql: &str) {
    Connection::open(desk.scratch.join("store/radmfa.db")).unwrap().execute_batch(sql).unwrap();
}

fn rows(jsonl: &str) -> Vec<Value> {
    jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_act_of_an_admin_is_in_the_export_with_who_did_it() {
    let desk = desk("cli-audit-acts");
    let rows = rows(&desk.ok("audit export --since 1d --format jsonl"));
    let reasons: Vec<_> = rows.iter().map(|row| row["reason"].as_str().unwrap()).collect();
    let acts = ["user-added", "user-added", "token-added", "user-changed", "token-disabled", "unlocked"];
    assert_eq!(reasons, acts);
    let me = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    assert!(rows.iter().all(|row| row["actor"].as_str().unwrap().ends_with(&me) && row["result"] == "noted"));
    assert_eq!((&rows[2]["user"], &rows[2]["device"]), (&Value::from("alice"), &Value::from("T1")));
    assert_eq!(rows[3]["note"], "disabled");
    assert!(rows.iter().zip(1..).all(|(row, number)| row["row"] == number));
}

#[test]
fn an_export_is_cut_by_time_and_has_the_same_columns_in_csv() {
    let desk = desk("cli-audit-export");
    assert_eq!(desk.ok("audit export --since 2000-01-01 --until 2000-01-02"), "");
    assert_eq!(rows(&desk.ok("audit export --since 2000-01-01")).len(), 6);
    let csv = desk.ok("audit export --since 1d --format csv");
    let header = csv.lines().next().unwrap();
    let object = rows(&desk.ok("audit export --since 1d"));
    let mut names: Vec<_> = header.split(',').collect();
    names.sort_unstable();
    assert_eq!(names, object[0].as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(csv.lines().count(), 7);
    assert!(desk.fails("audit export --since yesterday", 2).contains("how long ago"));
}

#[test]
fn verify_says_what_holds_and_names_what_does_not() {
    let desk = desk("cli-audit-verify");
    let said = desk.ok("audit verify");
    assert!(said.contains("holds together from row 1 to row 6"), "{said}");
    tamper(&desk, "UPDATE event SET body = CAST(body || x'00' AS BLOB) WHERE seq = 3");
    let said = desk.fails("audit verify", 1);
    assert!(
        said.contains("broken at row 3") && said.contains("changed") && said.contains("hint: "),
        "{said}"
    );
    for (given, wanted) in [
        ("radmfa.toml", "no file that can be read"),
        ("radmfa-checkpoint:1:2:3:4:5", "no file that can be read"),
    ] {
        let said = desk.fails(&format!("audit verify --checkpoint {given}"), 2);
        assert!(said.contains(wanted), "{said}");
    }
    desk.write("empty.log", "nothing here\n");
    assert!(desk.fails("audit verify --checkpoint empty.log", 2).contains("holds no checkpoint"));
    let zeros = "0".repeat(64);
    let forged = format!("audit verify --checkpoint radmfa-checkpoint:1:6:1:{zeros}:{zeros}");
    assert!(desk.fails(&forged, 2).contains("forged"));
}

#[test]
fn erasing_keeps_the_chain_and_is_itself_in_the_trail() {
    let desk = desk("cli-audit-erase");
    let said = desk.ok("user erase alice");
    assert!(said.contains("4 rows") && said.contains("token T1 is assigned to nobody"), "{said}");
    assert!(desk.ok("audit verify").contains("4 of them name nobody"));
    let export = desk.ok("audit export --since 1d");
    assert!(!export.contains("alice"), "{export}");
    let last = rows(&export).pop().unwrap();
    assert_eq!((&last["reason"], &last["user"]), (&Value::from("user-erased"), &Value::Null));
    assert!(desk.fails("user erase alice", 1).contains("no user alice"));
}

/// The next message of RFC 5424 with this MSGID: its text after the header.
fn message(collector: &UdpSocket, id: &str) -> String {
    let mut buffer = [0; 8192];
    loop {
        let length = collector.recv(&mut buffer).expect("a message within 20 s");
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        let mut parts = text.splitn(8, ' ');
        let head: Vec<_> = parts.by_ref().take(7).collect();
        assert_eq!((&head[0][head[0].len() - 2..], head[2], head[3]), (">1", "mfa-a", "radmfa"), "{text}");
        if head[5] == id {
            return parts.next().unwrap().to_owned();
        }
    }
}

#[test]
fn a_server_sends_rows_and_checkpoints_to_syslog_and_they_find_a_cut_tail() {
    let desk = desk("cli-audit-syslog");
    desk.write("secret", "a long shared secret");
    desk.write("password", "correct horse\n");
    desk.ok("user add carol --password-file password --mail carol@example.org --phone 0301234567");
    desk.ok("token add carol --serial T2");
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (port, syslog) = (free_port(), collector.local_addr().unwrap());
    let mut server = desk.serve(&format!(
        "serve --server-name mfa-a --listen 127.0.0.1:{port} --client name=nas,address=127.0.0.1,secret=file:secret \
         --primary name=here,type=local --audit fields=phone,redact-phone=3,checkpoint-every=1s,syslog=udp:{syslog}"
    ));
    let first = message(&collector, "checkpoint");
    assert!(first.starts_with("radmfa-checkpoint:1:8:"), "{first}");
    // A wrong code that is asked for again has a line of its own, and so has each row.
    let login = desk.run(&format!(
        "login carol --server 127.0.0.1:{port} --secret file:secret --password-file password --timeout 20s \
         --code 000000 --code 000000 --code 000000"
    ));
    assert_eq!(login.status.code(), Some(1), "{}", login.transcript());
    let retried: Value = serde_json::from_str(&message(&collector, "audit")).unwrap();
    assert_eq!((&retried["result"], &retried["reason"]), (&"retried".into(), &"code-wrong".into()));
    assert_eq!((&retried["user"], &retried["client"]), (&"carol".into(), &"nas".into()));
    assert_eq!(
        (&retried["server"], &retried["local"]),
        (&"mfa-a".into(), &format!("127.0.0.1:{port}").into())
    );
    assert_eq!(
        (&retried["phone"], &retried["mail"], &retried["protocol"]),
        (&"*******567".into(), &Value::Null, &"pap".into())
    );
    server.wait_for("REJECT code-wrong user=carol");
    // An act in another process is sent like any row.
    desk.ok("user set alice --disable");
    let act = loop {
        let row: Value = serde_json::from_str(&message(&collector, "audit")).unwrap();
        if row["result"] == "noted" {
            break row;
        }
    };
    assert_eq!((&act["reason"], &act["note"]), (&"user-changed".into(), &"disabled".into()));
    assert!(server.terminate().success());
    desk.write("server.log", &server.log());
    assert!(server.log().contains(" audit checkpoint radmfa-checkpoint:1:"));
    let said = desk.ok("audit verify --checkpoint server.log");
    assert!(said.contains("checkpoints agree"), "{said}");
    tamper(&desk, "DELETE FROM checkpoint; DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)");
    let said = desk.fails("audit verify --checkpoint server.log", 1);
    assert!(said.contains("tail was cut off"), "{said}");
}
