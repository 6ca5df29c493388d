//! `radmfa token export`: what it writes, what it refuses, and that the trail says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod cli_support;
mod support;

use cli_support::Desk;
use radmfa::base::secret::Secret;
use radmfa::factor::described::Described;
use radmfa::factor::oath::Moving;
use radmfa::factor::pskc::{Protection, Pskc};

const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn desk(name: &str) -> Desk {
    let desk = Desk::new(name);
    desk.write(
        "tokens.csv",
        &format!(
            "user,serial,secret,interval,digits,algorithm,type,counter,manufacturer,model\n\
             alice,T-1,{SEED},60,8,SHA256,totp,,Feitian & Co,c200\nbob,H-1,{SEED},,,,hotp,41,,\n,S-1,{SEED},,,,,,,\n"
        ),
    );
    desk.ok("token import tokens.csv");
    desk.write("passphrase", "correct horse battery\n");
    desk
}

fn read(desk: &Desk, name: &str) -> Vec<Described> {
    let pskc = Pskc::parse(desk.read(name).as_bytes()).unwrap();
    assert!(matches!(pskc.protection(), Protection::Passphrase { .. }));
    let opened = pskc.open(Some(&Secret::from("correct horse battery"))).unwrap();
    assert!(opened.faults.is_empty(), "{:?}", opened.faults);
    opened.tokens
}

#[test]
fn seeds_leave_only_where_that_is_said_and_only_encrypted() {
    let desk = desk("export-refused");
    let said = desk.fails("token export", 2);
    assert!(said.contains("with their seeds alone") && said.contains("--with-secrets FILE"), "{said}");
    assert!(desk.fails("token export --with-secrets out.xml", 2).contains("--passphrase-file FILE"));
    desk.write("short", "hunter2\n");
    let short = desk.fails("token export --with-secrets out.xml --passphrase-file short", 2);
    assert!(short.contains("shorter than 12 characters"), "{short}");
    assert!(!desk.scratch.join("out.xml").exists());
    desk.write("there.xml", "mine");
    assert!(desk.fails("token export --with-secrets out.xml --rounds 1000", 2).contains("100000..=10000000"));
    let there =
        desk.fails("token export --with-secrets there.xml --passphrase-file passphrase --rounds 100000", 2);
    assert!(there.contains("there.xml cannot be made"), "{there}");
    assert_eq!(desk.read("there.xml"), "mine");
    for line in ["--serial T-9", "--user nobody"] {
        desk.fails(
            &format!(
                "token export --with-secrets out.xml --passphrase-file passphrase --rounds 100000 {line}"
            ),
            1,
        );
        assert!(!desk.scratch.join("out.xml").exists(), "nothing is left of an export that failed");
    }
}

#[test]
fn what_is_exported_reads_back_here_and_the_trail_names_each_token() {
    let desk = desk("export");
    let said = desk.ok("token export --with-secrets out.xml --passphrase-file passphrase --rounds 100000");
    assert_eq!(said, "3 tokens written to out.xml\n");
    assert_eq!(desk.mode("out.xml"), 0o600);
    assert!(!desk.read("out.xml").contains("MTIzNDU2Nzg5MDEyMzQ1Njc4OTA"), "no seed stands there as it is");
    let tokens = read(&desk, "out.xml");
    let serials: Vec<&str> = tokens.iter().map(|token| &*token.serial).collect();
    assert_eq!(serials, ["H-1", "S-1", "T-1"]);
    assert_eq!((tokens[0].parameters.moving, tokens[0].counter), (Moving::Counter, 41));
    assert_eq!(tokens[2].user.as_ref().unwrap().as_str(), "alice");
    assert_eq!(
        (tokens[2].manufacturer.as_deref(), tokens[2].model.as_deref()),
        (Some("Feitian & Co"), Some("c200"))
    );
    assert!(tokens.iter().all(|token| token.seed.expose() == b"12345678901234567890"));
    let again = desk.ok("token import out.xml --passphrase-file passphrase");
    assert_eq!(again, "0 tokens imported, 3 unchanged, 0 users made\n");

    let store = rusqlite::Connection::open(desk.scratch.join("store/radmfa.db")).unwrap();
    let rows: i64 = store.query_row("SELECT count(*) FROM event", [], |row| row.get(0)).unwrap();
    desk.ok("token export --with-secrets some.xml --passphrase-file passphrase --rounds 100000 --serial T-1 --serial H-1 --serial T-1");
    assert_eq!(read(&desk, "some.xml").len(), 2);
    let after: i64 = store.query_row("SELECT count(*) FROM event", [], |row| row.get(0)).unwrap();
    assert_eq!(after, rows + 2, "a row for each token that left");
    desk.ok("token export --with-secrets bob.xml --passphrase-file passphrase --rounds 100000 --user bob --cipher aes-128");
    let text = desk.read("bob.xml");
    assert!(text.contains("#aes128-cbc") && !text.contains("#aes256-cbc"));
    assert_eq!(read(&desk, "bob.xml").len(), 1);
}
