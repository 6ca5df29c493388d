//! `radmfa token import` of every format, good and bad, as an admin types it.

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

use std::fmt::Write as _;
use std::time::Duration;

use cli_support::Desk;
use serde_json::Value;
use support::Process;
use support::process::poll;

const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn json(desk: &Desk, line: &str) -> Value {
    serde_json::from_str(&desk.ok(line)).unwrap()
}

fn serials(desk: &Desk) -> Vec<String> {
    let tokens = json(desk, "token list --format json");
    tokens.as_array().unwrap().iter().map(|token| token["serial"].as_str().unwrap().to_owned()).collect()
}

fn figure(desk: &Desk, number: u8) -> String {
    let name = format!("figure-{number}.xml");
    let path = format!("{}/tests/pskc/{name}", env!("CARGO_MANIFEST_DIR"));
    desk.write(&name, &std::fs::read_to_string(path).unwrap());
    name
}

#[test]
fn a_plain_pskc_file_is_known_by_its_content_and_its_notes_are_shown() {
    let desk = Desk::new("import-pskc-plain");
    let file = figure(&desk, 5);
    let ran = desk.run(&format!("token import {file}")).expect_success("import");
    assert_eq!(ran.stdout, "1 token imported, 0 unchanged, 0 users made\n");
    assert!(
        ran.stderr.contains("PIN policy, not kept: Local use, 4 to 4 characters, DECIMAL"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("the PIN 123456781 is left out"), "{}", ran.stderr);
    let again = desk.ok(&format!("token import {file} --format pskc"));
    assert_eq!(again, "0 tokens imported, 1 unchanged, 0 users made\n");
    let token = &json(&desk, "token show 987654321 --format json")[0];
    assert_eq!((&token["type"], &token["digits"]), (&"hotp".into(), &8.into()));
}

#[test]
fn several_keys_of_one_device_and_expired_ones_are_imported_and_said() {
    let desk = Desk::new("import-pskc-bulk");
    let file = figure(&desk, 10);
    let ran = desk.run(&format!("token import {file}")).expect_success("import");
    assert!(
        ran.stderr.contains("warning: 4 tokens past the expiry date that the file says"),
        "{}",
        ran.stderr
    );
    assert_eq!(serials(&desk), ["123456", "654321", "9999999", "9999999/4"]);
}

#[test]
fn a_pskc_file_opens_with_its_key_or_passphrase_alone() {
    let desk = Desk::new("import-pskc-sealed");
    let (six, seven) = (figure(&desk, 6), figure(&desk, 7));
    let said = desk.fails(&format!("token import {six}"), 2);
    assert!(
        said.contains("encrypted with a pre-shared key (Pre-shared-key)") && said.contains("--key-file"),
        "{said}"
    );
    desk.write("key.hex", "12345678901234567890123456789012\n");
    desk.write("short.hex", "1234\n");
    desk.write("wrong.hex", "02345678901234567890123456789012\n");
    let wrong = desk.fails(&format!("token import {six} --key-file wrong.hex"), 1);
    assert!(wrong.contains("the key is wrong, or the file was changed"), "{wrong}");
    assert!(
        desk.fails(&format!("token import {six} --key-file short.hex"), 2).contains("short.hex holds no key")
    );
    let dry = desk.ok(&format!("token import {six} --key-file key.hex --dry-run"));
    assert_eq!(dry, "1 token would be imported, 0 unchanged, 0 users would be made\n");
    assert!(!desk.scratch.join("store").exists());
    let raw: Vec<u8> = [0x12, 0x34, 0x56, 0x78, 0x90].into_iter().cycle().take(16).collect();
    std::fs::write(desk.scratch.join("key.raw"), raw).unwrap();
    desk.ok(&format!("token import {six} --key-file key.raw"));
    assert_eq!(
        desk.ok(&format!("token import {six} --key-file key.hex")),
        "0 tokens imported, 1 unchanged, 0 users made\n"
    );

    desk.ok("token remove 987654321");
    desk.write("passphrase", "qwerty\n");
    desk.write("other", "qwertz\n");
    let wrong = desk.fails(&format!("token import {seven} --passphrase-file other"), 1);
    assert!(wrong.contains("the passphrase is wrong, or the file was changed"), "{wrong}");
    // Nobody sits at a terminal here.
    assert!(desk.fails(&format!("token import {seven}"), 2).contains("--passphrase-file FILE"));
    desk.ok(&format!("token import {seven} --passphrase-file passphrase"));
    assert_eq!(serials(&desk), ["987654321"]);
}

#[test]
fn a_pskc_file_that_cannot_be_taken_says_where_and_changes_nothing() {
    let desk = Desk::new("import-pskc-wrong");
    for (number, expected) in [
        (2, "figure-2.xml: line 11: <Secret>: the seed has 4 octets; 10 to 64 are taken"),
        (4, "figure-4.xml: line 23: <Data>: <Secret> is missing in it"),
        (8, "<X509Data>: values sealed for a certificate are not supported"),
    ] {
        let file = figure(&desk, number);
        let said = desk.fails(&format!("token import {file}"), 1);
        assert!(said.contains(expected), "{said}");
    }
    desk.write("bomb.xml", "<!DOCTYPE a [<!ENTITY b \"c\">]>\n<KeyContainer/>\n");
    assert!(desk.fails("token import bomb.xml", 1).contains("line 1: <!DOCTYPE>: document types"));
    desk.write("latin.xml", "<?xml version=\"1.0\" encoding=\"latin1\"?><KeyContainer/>");
    assert!(desk.fails("token import latin.xml", 1).contains("the encoding has to be UTF-8"));
    assert!(
        desk.fails("token import bomb.xml --user alice", 2)
            .contains("--user is for files of authenticator apps")
    );
    assert!(!desk.scratch.join("store").exists(), "nothing was made");
}

#[test]
fn a_container_as_privacyidea_writes_it_is_read() {
    let desk = Desk::new("import-pskc-privacyidea");
    // All in small letters, the hash as an attribute, numbers that mean nothing for the type, no whole drift.
    desk.write(
        "export.xml",
        "<keycontainer version=\"1.0\" xmlns=\"urn:ietf:params:xml:ns:keyprov:pskc\">\n<keypackage><deviceinfo>\
         <manufacturer>a token</manufacturer><serialno>TOTP0001</serialno></deviceinfo>\
         <key algorithm=\"urn:ietf:params:xml:ns:keyprov:pskc:totp\" id=\"TOTP0001\"><issuer>privacyIDEA</issuer>\
         <algorithmparameters><responseformat encoding=\"DECIMAL\" length=\"6\"></responseformat>\
         <suite hashalgo=\"sha256\"></suite></algorithmparameters><data><secret><plainvalue>\
         MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</plainvalue></secret><time><plainvalue>0</plainvalue></time><timeinterval>\
         <plainvalue>60</plainvalue></timeinterval><counter><plainvalue>912</plainvalue></counter><timedrift>\
         <plainvalue>-12.5</plainvalue></timedrift></data></key></keypackage></keycontainer>",
    );
    desk.ok("token import export.xml");
    let token = &json(&desk, "token show TOTP0001 --format json")[0];
    assert_eq!((&token["algorithm"], &token["interval"]), (&"SHA256".into(), &60.into()));
    assert_eq!(token["drift"], Value::Null, "seconds are no steps");

    desk.write(
        "oath.csv",
        "T-1, 3132333435363738393031323334353637383930, totp, 6, 60\nT-2,3132333435363738393031323334353637383930,hotp,8,7\n",
    );
    desk.ok("token import oath.csv");
    assert_eq!(json(&desk, "token show T-1 --format json")[0]["interval"], 60);
    assert_eq!(json(&desk, "token show T-2 --format json")[0]["type"], "hotp");
}

#[test]
fn bad_rows_are_skipped_only_where_the_admin_says_so_and_stand_in_a_file_that_can_be_mended() {
    let desk = Desk::new("import-skip");
    desk.ok("user add carol");
    desk.write("first.csv", &format!("user,serial,secret\ncarol,T-1,{SEED}\n"));
    desk.ok("token import first.csv");
    desk.write(
        "tokens.csv",
        &format!(
            "Serial;Secret;User;Interval\r\nT-2;{SEED};bob;30\r\nT-3;{SEED};bob;45\r\nT-1;{SEED};bob;30\r\n\
             T-4;{SEED};\"b;ob\";60\r\n"
        ),
    );
    let dry = desk.run("token import tokens.csv --skip-bad bad.csv --dry-run").expect_success("dry");
    assert_eq!(
        dry.stdout,
        "2 tokens would be imported, 0 unchanged, 2 users would be made\n2 rows would be refused\n"
    );
    assert!(!desk.scratch.join("bad.csv").exists());
    let ran = desk.run("token import tokens.csv --skip-bad bad.csv").expect_success("import");
    assert_eq!(ran.stdout, "2 tokens imported, 0 unchanged, 2 users made\n2 rows refused: see bad.csv\n");
    assert_eq!(serials(&desk), ["T-1", "T-2", "T-4"]);
    assert_eq!(desk.mode("bad.csv"), 0o600);
    let bad = desk.read("bad.csv");
    let lines: Vec<&str> = bad.lines().collect();
    assert_eq!(lines[0], "Serial,Secret,User,Interval,refused");
    assert!(lines[1].starts_with(&format!("T-3,{SEED},bob,45,line 3: interval: takes 30 or 60")), "{bad}");
    assert!(
        lines[2].starts_with(&format!("T-1,{SEED},bob,30,"))
            && lines[2].contains("is in the store with another"),
        "{bad}"
    );
    assert_eq!(lines.len(), 3);

    // Never over what is there.
    let there = desk.fails("token import tokens.csv --skip-bad bad.csv", 2);
    assert!(there.contains("bad.csv cannot be made"), "{there}");
    assert_eq!(desk.read("bad.csv"), bad);
    desk.write("mended.csv", &bad.replace(",45,", ",60,").replace("T-1", "T-5"));
    assert_eq!(desk.ok("token import mended.csv"), "2 tokens imported, 0 unchanged, 0 users made\n");
    // Where nothing is refused, no file is left.
    desk.ok("token import mended.csv --skip-bad none.csv");
    assert!(!desk.scratch.join("none.csv").exists());
}

#[test]
fn a_row_that_cannot_be_told_from_the_next_stops_the_import_even_so() {
    let desk = Desk::new("import-skip-torn");
    desk.write("torn.csv", &format!("serial,secret\nT-1,{SEED}\n\"T-2,{SEED}\n{}", "T-3,x\n".repeat(20_000)));
    let said = desk.fails("token import torn.csv --skip-bad bad.csv", 1);
    assert!(said.contains("never closed") && !desk.scratch.join("bad.csv").exists(), "{said}");
    assert!(!desk.scratch.join("store").exists());
}

#[test]
fn refused_packages_and_uris_can_be_read_again_too() {
    let desk = Desk::new("import-skip-others");
    let file = figure(&desk, 10);
    let text = desk.read(&file).replacen("pskc:hotp", "pskc:ocra", 1);
    desk.write("mixed.xml", &text);
    let ran = desk.run("token import mixed.xml --skip-bad bad.xml").expect_success("import");
    assert!(
        ran.stdout.contains("3 tokens imported") && ran.stdout.contains("1 row refused: see bad.xml"),
        "{}",
        ran.stdout
    );
    let bad = desk.read("bad.xml");
    assert!(bad.contains("<SerialNo>654321<") && bad.matches("<KeyPackage>").count() == 1, "{bad}");
    assert!(bad.contains("<!-- line 10: <Key>: the algorithm"), "{bad}");
    desk.write("mended.xml", &bad.replace("pskc:ocra", "pskc:hotp"));
    assert_eq!(desk.ok("token import mended.xml"), "1 token imported, 0 unchanged, 0 users made\n");

    desk.write(
        "apps",
        &format!("otpauth://totp/x:bob?secret={SEED}\notpauth://totp/x:eve?secret={SEED}&digits=9\n"),
    );
    desk.ok("token import apps --skip-bad bad");
    let bad = desk.read("bad");
    assert_eq!(
        bad,
        format!("# line 2: digits take 6, 7 or 8\notpauth://totp/x:eve?secret={SEED}&digits=9\n")
    );
    desk.write("mended", &bad.replace("=9", "=8"));
    assert_eq!(desk.ok("token import mended"), "1 token imported, 0 unchanged, 1 user made\n");
}

#[test]
fn what_authenticator_apps_keep_is_imported_for_its_users_and_works() {
    let desk = Desk::new("import-apps");
    desk.write("uris", &format!("otpauth://totp/Example:Bob?secret={SEED}&issuer=Example\n"));
    assert_eq!(desk.ok("token import uris"), "1 token imported, 0 unchanged, 1 user made\n");
    assert_eq!(
        desk.ok("token import uris --format otpauth"),
        "0 tokens imported, 1 unchanged, 0 users made\n"
    );
    let serial = serials(&desk).remove(0);
    assert!(serial.starts_with("app-") && serial.len() == 15, "{serial}");
    let code = support::code::now(SEED);
    assert_eq!(desk.ok(&format!("token verify {serial} {code}")), format!("right: token {serial} of bob\n"));

    desk.write("home", &format!("{SEED}\n\" RATE_LIMIT 3 30\n\" TOTP_AUTH\n11112222\n33334444\n"));
    let said = desk.fails("token import home", 2);
    assert!(said.contains("does not say whose the token is") && said.contains("--user NAME"), "{said}");
    let ran =
        desk.run("token import home --format google-authenticator --user alice").expect_success("import");
    assert_eq!(ran.stdout, "1 token imported, 0 unchanged, 1 user made\n");
    assert!(
        ran.stderr.contains("2 scratch codes are left out: radmfa user recovery alice"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains(SEED));
    assert_eq!(json(&desk, "token list --user alice --format json").as_array().unwrap().len(), 1);
}

/// Rows of a table of the store that an import under way has written and nobody is to see.
fn hidden(desk: &Desk, table: &str) -> i64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let Ok(store) = rusqlite::Connection::open_with_flags(desk.scratch.join("store/radmfa.db"), flags) else {
        return 0;
    };
    let sql = format!("SELECT count(*) FROM {table} WHERE batch IN (SELECT id FROM batch)");
    store.query_row(&sql, [], |row| row.get(0)).unwrap_or(0)
}

/// Starts a command and kills it once so many rows of `table` are written; whether it was on its way then.
fn cut_short(desk: &Desk, line: &str, table: &str, rows: i64) -> bool {
    let mut import = Process::spawn("import", desk.command(line), &desk.scratch);
    poll("rows of the import", Duration::from_mins(1), || {
        (hidden(desk, table) >= rows || import.try_wait().is_some()).then_some(())
    });
    let on_its_way = import.try_wait().is_none();
    import.kill();
    on_its_way && hidden(desk, table) >= rows
}

#[test]
fn an_import_that_is_killed_half_way_leaves_nothing_and_the_next_one_works() {
    let desk = Desk::new("import-killed");
    desk.ok("user add carol");
    let mut many = String::from("user,serial,secret\n");
    for number in 0..8_000 {
        writeln!(many, "u{number},M-{number},{SEED}").unwrap();
    }
    desk.write("many.csv", &many);
    assert!(
        cut_short(&desk, "token import many.csv", "token", 500),
        "the import was over before it was killed"
    );
    assert_eq!(desk.ok("token list --format csv").lines().count(), 1, "no token is to be seen");
    assert_eq!(desk.ok("user list --format csv").lines().count(), 2, "carol alone is to be seen");
    // What is left of it is in nobody's way.
    desk.write("one.csv", &format!("user,serial,secret\nu7,M-7,{SEED}\n"));
    assert_eq!(desk.ok("token import one.csv"), "1 token imported, 0 unchanged, 1 user made\n");
    assert_eq!(hidden(&desk, "token"), 0);
    assert_eq!(desk.ok("token import many.csv"), "7,999 tokens imported, 1 unchanged, 7,999 users made\n");
    assert_eq!(serials(&desk).len(), 8_000);
}

#[test]
fn an_import_of_users_that_is_killed_half_way_changes_nobody() {
    let desk = Desk::new("import-users-killed");
    let file = |mail: &str, from: usize, to: usize| {
        let mut text = String::from("user,mail\n");
        for number in from..to {
            writeln!(text, "u{number},{mail}@example.com").unwrap();
        }
        text
    };
    desk.write("old.csv", &file("old", 0, 6_000));
    desk.ok("user import old.csv");
    desk.write("new.csv", &file("new", 0, 9_000));
    assert!(
        cut_short(&desk, "user import new.csv --update", "user_update", 300),
        "it was over before it was killed"
    );
    let users = desk.ok("user list --format csv");
    assert!(!users.contains("new@example.com") && users.lines().count() == 6_001);
    assert_eq!(desk.ok("user import new.csv --update"), "3,000 users made, 6,000 changed, 0 unchanged\n");
    let users = desk.ok("user list --format csv");
    assert!(!users.contains("old@example.com") && users.lines().count() == 9_001);
    assert_eq!(desk.ok("user import new.csv"), "0 users made, 0 changed, 9,000 unchanged\n");
}

#[test]
fn a_drift_and_a_start_that_a_file_says_are_kept_used_and_written_out_again() {
    let desk = Desk::new("import-pskc-drift");
    let seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let file = |start: &str| {
        format!(
            "<KeyContainer Version=\"1.0\" xmlns=\"urn:ietf:params:xml:ns:keyprov:pskc\"><KeyPackage><DeviceInfo>\
             <SerialNo>D-1</SerialNo>{start}</DeviceInfo><Key Id=\"1\" \
             Algorithm=\"urn:ietf:params:xml:ns:keyprov:pskc:totp\"><Data><Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=\
             </PlainValue></Secret><TimeDrift><PlainValue>-6</PlainValue></TimeDrift></Data><UserId>alice</UserId></Key>\
             </KeyPackage></KeyContainer>"
        )
    };
    desk.write("later.xml", &file("<StartDate>2099-01-01T00:00:00Z</StartDate>"));
    let ran = desk.run("token import later.xml").expect_success("import");
    assert!(
        ran.stderr.contains("warning: 1 token not good before the start date that the file says"),
        "{}",
        ran.stderr
    );
    let shown = || json(&desk, "token show D-1 --format json")[0].clone();
    assert_eq!((&shown()["drift"], &shown()["starts"]), (&"-6".into(), &"2099-01-01T00:00:00.000Z".into()));
    assert!(desk.fails("token verify D-1 123456", 1).contains("token D-1 is not good yet"));
    assert!(desk.ok("user show alice").contains("is not good yet"));
    assert!(desk.fails("token set D-1 --starts soon", 2).contains("takes a date such as 2026-01-31"));

    desk.write("passphrase", "correct horse battery\n");
    desk.ok("token export --with-secrets out.xml --passphrase-file passphrase --rounds 100000");
    desk.ok("token remove D-1");
    desk.ok("token import out.xml --passphrase-file passphrase");
    assert_eq!((&shown()["drift"], &shown()["starts"]), (&"-6".into(), &"2099-01-01T00:00:00.000Z".into()));
    desk.ok("token set D-1 --starts now");
    assert_eq!(shown()["starts"], Value::Null);
    // The token's clock is where the file says, so a code that is three minutes late is in time.
    let slow = support::code::beside(seed, -6);
    assert_eq!(desk.ok(&format!("token verify D-1 {slow}")), "right: token D-1 of alice\n");
}
