//! `radmfa report` over real logins: radclient in front, FreeRADIUS behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::Value;
use support::radclient::{Radclient, Signing};
use support::site::Site;
use support::{Radmfa, Scratch, User};

struct Reader<'a> {
    site: &'a Site,
    store: String,
}

impl Reader<'_> {
    fn text(&self, line: &str) -> String {
        let arguments: Vec<&str> = line.split_whitespace().chain(["--store", &self.store]).collect();
        Radmfa::run(&self.site.scratch, &arguments).expect_success(line).stdout
    }

    fn rows(&self, line: &str) -> Vec<Value> {
        serde_json::from_str(&self.text(&format!("{line} --format json"))).unwrap()
    }
}

#[test]
fn every_report_tells_what_happened() {
    let alice = User::named("alice");
    let bob = User::named("bob");
    let site = Site::start("report", &[alice.clone(), bob.clone()], &[]);
    let reader =
        Reader { store: format!("sqlite:{}", site.scratch.join("radmfa.db").display()), site: &site };
    let gateway = Radclient::new(&site.scratch, site.server(), Signing::Signed);

    assert!(gateway.login(&alice, &alice.code()).accepts());
    let challenge = gateway.password("alice", &alice.password);
    assert!(gateway.answer("alice", &alice.wrong_code(), &challenge).challenges());
    let reject = gateway.password("bob", "wrong");
    assert!(reject.rejects());
    let shown = reject.one("Reply-Message");
    let reference = shown.trim_end_matches('.').rsplit(' ').next().unwrap();

    let found = reader.rows(&format!("report auth --reference {reference}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["user"], &found[0]["reason"]), (&"bob".into(), &"primary-rejected".into()));
    let accepted = reader.rows("report auth --result accepted");
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0]["user"], "alice");
    assert_eq!((&accepted[0]["client"], &accepted[0]["server"]), (&"nas".into(), &"mfa-a".into()));
    assert!(accepted[0]["device"].as_str().unwrap().starts_with('T'));
    assert!(accepted[0]["took-ms"].as_u64().unwrap() >= accepted[0]["user-ms"].as_u64().unwrap());
    let page = reader.rows("report auth --user alice --limit 1");
    assert_eq!(page[0]["reason"], "code-wrong", "newest first");
    let next = reader.rows(&format!("report auth --user alice --limit 1 --before {}", page[0]["row"]));
    assert_eq!(next[0]["reason"], "code-accepted");

    let by_user = reader.rows("report usage --by user");
    assert_eq!(by_user.len(), 2);
    assert_eq!((&by_user[0]["user"], &by_user[0]["accepted"]), (&"alice".into(), &1.into()));
    let by_client = reader.rows("report usage --by client --since 1d");
    assert_eq!((&by_client[0]["key"], &by_client[0]["active-users"]), (&"nas".into(), &1.into()));
    let table = reader.text("report usage --by method");
    assert!(table.starts_with("2 users enabled, 1 active; 1 authentication\n"), "{table}");

    // On a terminal there are bars; elsewhere, as above, there are none.
    let typed = format!("{} report usage --by user --store {}", env!("CARGO_BIN_EXE_radmfa"), reader.store);
    let mut terminal = std::process::Command::new(support::process::program("script"));
    let shown = terminal.args(["-qec", &typed, "/dev/null"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("SHARE") && shown.contains('█'), "{shown}");
    assert!(!table.contains('█'));

    let total = reader.rows("report usage --by total");
    assert_eq!((&total[0]["enabled-users"], &total[0]["active-users"]), (&2.into(), &1.into()));
    assert_eq!((&total[0]["authentications"], &total[0]["accepted"]), (&1.into(), &1.into()));

    let failures = reader.rows("report failures");
    let reasons: Vec<&str> = failures.iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains(&"primary-rejected") && reasons.contains(&"code-wrong"), "{reasons:?}");
    assert!(failures[0]["meaning"].as_str().unwrap().ends_with('.'));
    assert_eq!(reader.rows("report failures --by user").len(), 2);

    assert_eq!(reader.rows("report locked"), Vec::<Value>::new());
    reader.text("user set bob --disable");
    assert_eq!(reader.rows("report locked")[0]["why"], "disabled");
    let tokens = reader.rows("report tokens");
    assert_eq!(tokens.len(), 1, "bob's was never used: {tokens:?}");
    assert_eq!(tokens[0]["why"][0], "never-used");
    assert_eq!(reader.rows("report tokens --user bob").len(), 1);
    assert_eq!(reader.rows("report tokens --user alice"), Vec::<Value>::new());

    let secret = "name=nas,address=127.0.0.1,secret=testing123";
    let clients = reader
        .rows(&format!("report clients --client {secret} --primary name=up,type=local --listen 127.0.0.1:0"));
    assert_eq!(clients[0]["secret-octets"], 10);
    assert_eq!(clients[0]["seen-from"][0], "127.0.0.1");
    assert_eq!(clients[0]["protocols"], serde_json::json!(["pap"]));
    assert!(clients[0]["advice"][0].as_str().unwrap().contains("longer secret"));
    assert!(reader.text("report auth --format csv").starts_with("time,reference,result,reason,user,"));
}

#[test]
fn what_is_no_filter_is_refused() {
    let scratch = Scratch::new("report-wrong");
    for line in [
        "report auth --method psychic",
        "report auth --since 2026-02-01 --until 2026-01-01",
        "report locked --since 1d --until 2d",
        "report auth --result maybe",
        "report auth --reference 123",
        "report usage --by mood",
    ] {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let finished = Radmfa::run(&scratch, &arguments);
        assert_eq!(finished.status.code(), Some(2), "{line}: {}", finished.transcript());
    }
}
