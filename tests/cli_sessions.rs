//! Remembered factors at a running server, as users and admins see them.

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

use cli_support::Desk;
use serde_json::Value;
use support::radclient::{Radclient, Reply, Signing, credentials};
use support::{Process, Server, code, free_port};

const SEEDS: [&str; 2] = ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJR"];
const SECRET: &str = "a long shared secret";
const PASSWORD: &str = "correct horse";

/// Alice and bob with a token each, and a server that remembers for eight hours.
struct Site {
    desk: Desk,
    process: Process,
    server: Server,
}

impl Site {
    fn start(name: &str) -> Site {
        let desk = Desk::new(name);
        desk.write("password", &format!("{PASSWORD}\n"));
        desk.write("secret", SECRET);
        let [alice, bob] = SEEDS;
        desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{alice}\nbob,T-2,{bob}\n"));
        desk.ok("token import tokens.csv");
        for user in ["alice", "bob"] {
            desk.ok(&format!("user set {user} --password-file password"));
        }
        let server = Server { port: free_port(), secret: SECRET };
        let process = serve(&desk, server);
        Site { desk, process, server }
    }

    /// A login's password from `station`.
    fn password(&self, user: &str, station: &str) -> Reply {
        self.send(user, PASSWORD, station, None)
    }

    /// A login to its end, with the code of this moment.
    fn login(&self, user: &str, station: &str) {
        let challenge = self.password(user, station);
        assert!(challenge.challenges(), "{challenge:?}");
        let seed = SEEDS[usize::from(user == "bob")];
        let accept = self.send(user, &code::now(seed), station, Some(&challenge));
        assert!(accept.accepts(), "{accept:?}");
    }

    fn send(&self, user: &str, typed: &str, station: &str, challenge: Option<&Reply>) -> Reply {
        let mut attributes = credentials(user, typed);
        attributes.push(format!("Calling-Station-Id = \"{station}\""));
        attributes.extend(challenge.map(|challenge| format!("State = {}", challenge.one("State"))));
        Radclient::new(&self.desk.scratch, self.server, Signing::Signed).send("auth", &attributes)
    }

    fn listed(&self, more: &str) -> Vec<Value> {
        serde_json::from_str(&self.desk.ok(&format!("session list {more} --format json"))).unwrap()
    }
}

fn serve(desk: &Desk, server: Server) -> Process {
    desk.serve(&format!(
        "serve --server-name test --listen 127.0.0.1:{} --primary name=here,type=local \
         --client name=nas,address=127.0.0.1,secret=file:secret,reject-delay=0s,remember=8h",
        server.port
    ))
}

#[test]
fn a_factor_is_remembered_shown_and_ended_by_its_id() {
    let mut site = Site::start("cli-sessions");
    assert_eq!(site.desk.ok("session list"), "USER  CLIENT  STATION  SINCE  UNTIL  FACTOR  ID\n");
    site.login("alice", "198.51.100.7");
    assert!(site.password("alice", "198.51.100.7").accepts());
    let line = site.process.wait_for("ACCEPT remembered user=alice");
    assert!(line.contains("method=remembered"), "{line}");
    assert!(site.password("alice", "198.51.100.8").challenges(), "another station");
    assert!(site.password("bob", "198.51.100.7").challenges(), "another user");
    assert!(site.send("alice", "wrong", "198.51.100.7", None).rejects(), "the password is checked");

    let listed = site.listed("");
    assert_eq!(listed.len(), 1, "{listed:?}");
    let session = &listed[0];
    for (column, value) in
        [("user", "alice"), ("client", "nas"), ("station", "198.51.100.7"), ("factor", "totp")]
    {
        assert_eq!(session[column], value);
    }
    assert!(session["since"].as_str().unwrap() < session["until"].as_str().unwrap());
    let id = session["id"].as_str().unwrap();
    let began = site.desk.ok(&format!("report auth --reference {id} --format csv"));
    assert!(began.contains("code-accepted") && began.contains("remembered until 2"), "{began}");
    let used: Value = serde_json::from_str(&site.desk.ok("report auth --format json")).unwrap();
    let used = used.as_array().unwrap().iter().find(|row| row["reason"] == "remembered").unwrap().clone();
    assert_eq!(
        (&used["method"], &used["note"], &used["device"]),
        (&"remembered".into(), &id.into(), &"T-1".into())
    );

    let shown = site.desk.ok("user show alice");
    assert!(shown.contains("remembered      totp at nas from 198.51.100.7 since 2"), "{shown}");
    let explained = site.desk.ok("explain alice --station 198.51.100.7 --client nas \
         --client name=nas,address=127.0.0.1,secret=file:secret,remember=8h --primary name=here,type=local");
    assert!(explained.contains("totp at nas from 198.51.100.7 until 2"), "{explained}");
    assert!(explained.contains("is let in and asked for nothing more (remembered)"), "{explained}");

    // It outlives the server.
    site.process.terminate();
    site.process = serve(&site.desk, site.server);
    assert!(site.password("alice", "198.51.100.7").accepts());

    assert_eq!(
        site.desk.ok(&format!("session end {} --reason stolen", id.to_lowercase())),
        format!("ended {id} of alice\n")
    );
    assert!(site.password("alice", "198.51.100.7").challenges());
    assert!(site.listed("").is_empty());
    let trail = site.desk.ok("audit export --since 1h --format csv");
    let row = trail.lines().find(|row| row.contains("session-ended")).unwrap();
    let who = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    assert!(row.contains(&format!("{id}: stolen")) && row.contains(&who) && row.contains("alice"), "{row}");
}

#[test]
fn factors_are_ended_by_user_and_all_at_once() {
    let site = Site::start("cli-sessions-all");
    site.login("alice", "desk");
    site.login("bob", "desk");
    assert_eq!(site.listed("").len(), 2);
    assert_eq!(site.listed("--user bob").len(), 1);
    assert_eq!(site.desk.ok("session end BOB"), "ended 1 remembered factor of bob\n");
    assert!(site.password("bob", "desk").challenges());
    assert!(site.password("alice", "desk").accepts());
    assert_eq!(site.desk.ok("session end --all --reason breach"), "ended 1 remembered factor of 1 user\n");
    assert!(site.password("alice", "desk").challenges());
    assert_eq!(site.desk.ok("session end --all"), "ended 0 remembered factors of 0 users\n");
    for (line, code, said) in [
        ("session end alice", 1, "there is no remembered factor of the user"),
        ("session end mallory", 1, "there is no user mallory"),
        ("session end K7Q2M-X9TR4", 1, "there is no session and no user K7Q2M-X9TR4"),
        ("session end", 2, "USER|ID"),
        ("session end alice --all", 2, "cannot be used with"),
        ("session list --user mallory", 1, "there is no user mallory"),
    ] {
        assert!(site.desk.fails(line, code).contains(said), "{line}");
    }
}

#[test]
fn a_new_password_ends_what_is_remembered_and_a_restored_backup_brings_nothing_back() {
    let mut site = Site::start("cli-sessions-restore");
    site.login("alice", "desk");
    site.desk.ok("store backup before.db");
    site.desk.write("password", &format!("{PASSWORD}\n"));
    site.desk.ok("user set alice --password-file password");
    assert!(site.password("alice", "desk").challenges(), "the hash is another one");
    site.process.terminate();
    site.desk.ok("store restore before.db");
    assert!(site.listed("").is_empty(), "{:?}", site.listed(""));
    site.process = serve(&site.desk, site.server);
    assert!(site.password("alice", "desk").challenges());
}
