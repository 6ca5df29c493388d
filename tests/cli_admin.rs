//! Users and tokens from the command line, without and beside a running server.

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

const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn json(desk: &Desk, line: &str) -> Value {
    serde_json::from_str(&desk.ok(line)).unwrap()
}

#[test]
fn a_user_is_added_shown_changed_and_removed() {
    let desk = Desk::new("cli-user");
    desk.write("password", "correct horse\n");
    assert_eq!(
        desk.ok("user add Alice --password-file password --display-name Alice-A --mail a@example.com"),
        "added user alice\n"
    );
    let made = desk.run("user add bob --store sqlite:other/radmfa.db");
    assert_eq!(made.stderr, "made the store sqlite:other/radmfa.db\n");
    assert_eq!(desk.run("user add carol --store sqlite:other/radmfa.db").stderr, "");
    assert_eq!(desk.mode("store"), 0o700);
    assert_eq!((desk.mode("store/radmfa.db"), desk.mode("store/radmfa.db.key")), (0o600, 0o600));
    assert!(!desk.scratch.join("store/radmfa.db-journal").exists());

    let shown = desk.ok("user show ALICE");
    assert!(shown.contains("display name    Alice-A") && shown.contains("local password  yes"), "{shown}");
    let listed = json(&desk, "user list --format json");
    assert_eq!(listed[0]["name"], "alice");
    assert_eq!(listed[0]["mail"], "a@example.com");
    assert_eq!(listed[0]["local-password"], true);
    assert!(!desk.ok("user list --format json").contains("argon2"), "no hash is shown");

    desk.ok("user set alice --mail= --phone 123 --no-password --disable");
    let changed = json(&desk, "user show alice --format json");
    assert_eq!(changed[0]["mail"], Value::Null);
    assert_eq!(changed[0]["phone"], "123");
    assert_eq!(
        (&changed[0]["local-password"], &changed[0]["disabled"]),
        (&Value::Bool(false), &Value::Bool(true))
    );
    desk.ok("user set alice --enable");
    assert!(!desk.ok("user show alice").contains("disabled"));

    assert_eq!(desk.ok("user unlock alice"), "unlocked user alice\n");
    assert_eq!(desk.ok("user remove alice"), "removed user alice\n");
    assert_eq!(json(&desk, "user list --format json"), Value::Array(Vec::new()));
}

#[test]
fn what_cannot_be_done_to_a_user_is_said_with_a_hint() {
    let desk = Desk::new("cli-user-wrong");
    let missing = desk.fails("user list", 1);
    assert!(missing.contains("store/radmfa.db: does not exist") && missing.contains("hint: "), "{missing}");
    assert!(!desk.scratch.join("store").exists(), "a list makes nothing");

    desk.ok("user add alice");
    let twice = desk.fails("user add ALICE", 1);
    assert_eq!(twice, "error: user alice is there already\n  hint: radmfa user set alice changes it\n");
    for line in ["user show bob", "user set bob --phone 1", "user unlock bob", "user remove bob"] {
        assert!(desk.fails(line, 1).starts_with("error: there is no user bob"), "{line}");
    }
    assert!(desk.fails("user set alice", 2).contains("nothing to change was said"));
    assert!(desk.fails("user add carol --password-file missing", 2).contains("missing cannot be read"));
    assert!(desk.fails("user add carol --password-stdin", 2).contains("the password is empty"));
    assert!(desk.run_with("user add carol --password-stdin", "hunter2\n").success());
    assert!(desk.fails("user list --store memory:", 1).contains("sqlite:PATH"));
    assert!(desk.fails("user list --store postgres:x", 2).starts_with("error: --store: "));
}

#[test]
fn commands_leave_nothing_that_the_stores_owner_cannot_open() {
    use std::os::unix::fs::{MetadataExt, chown};
    let desk = Desk::new("cli-owner");
    desk.ok("user add alice");
    // Only root can give files away, and only root would leave its own behind.
    let owner = if nix::unistd::geteuid().is_root() { 65_534 } else { nix::unistd::geteuid().as_raw() };
    if nix::unistd::geteuid().is_root() {
        chown(desk.scratch.path(), Some(owner), Some(owner)).unwrap();
        for file in ["store", "store/radmfa.db", "store/radmfa.db.key", "store/radmfa.db.lock"] {
            chown(desk.scratch.join(file), Some(owner), Some(owner)).unwrap();
        }
    }
    desk.ok("user add bob");
    desk.ok("user list");
    for entry in std::fs::read_dir(desk.scratch.join("store")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), owner, "{}", entry.path().display());
    }
}

#[test]
fn a_token_is_made_with_its_qr_code_and_its_codes_work_once() {
    let desk = Desk::new("cli-token");
    desk.ok("user add alice");
    let made = desk.ok("token add alice --serial T-1 --issuer Example");
    assert!(made.starts_with("added token T-1 for alice\n") && made.contains('█'), "{made}");
    let uri = made.lines().last().unwrap();
    assert!(uri.starts_with("otpauth://totp/Example:alice?secret="), "{uri}");
    let seed = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap();

    let code = support::code::now(seed);
    assert_eq!(desk.ok(&format!("token verify T-1 {code}")), "right: token T-1 of alice\n");
    let again = desk.fails(&format!("token verify T-1 {code}"), 1);
    assert!(
        again.starts_with("error: wrong: this code of token T-1, or a later one, was used already"),
        "{again}"
    );
    assert!(json(&desk, "token list --format json")[0]["last-used"].is_string());

    let wrong = support::code::wrong(seed);
    assert!(desk.fails(&format!("token verify T-1 {wrong}"), 1).starts_with("error: wrong: "));
    assert!(desk.fails("token verify T-1 12345", 2).contains("has 6 digits"));
    assert!(desk.fails("token verify T-9 123456", 1).contains("there is no token T-9"));
}

#[test]
fn a_token_is_checked_before_it_is_handed_out_and_that_code_lets_nobody_in() {
    let desk = Desk::new("cli-token-stock");
    desk.ok("user add alice");
    desk.write("tokens.csv", &format!("serial,secret\nS-1,{SEED}\n"));
    desk.ok("token import tokens.csv");
    let (code, wrong) = (support::code::now(SEED), support::code::wrong(SEED));
    assert!(desk.fails(&format!("token verify S-1 {wrong}"), 1).starts_with("error: wrong: "));
    assert!(desk.fails("token verify S-1 12345", 2).contains("has 6 digits"));
    desk.ok("token disable S-1");
    assert!(desk.fails(&format!("token verify S-1 {code}"), 1).contains("radmfa token enable S-1"));
    desk.ok("token enable S-1");
    assert_eq!(desk.ok(&format!("token verify S-1 {code}")), "right: token S-1, which is nobody's yet\n");
    let used = "this code of token S-1, or a later one, was used already";
    assert!(desk.fails(&format!("token verify S-1 {code}"), 1).contains(used));
    desk.ok("token assign S-1 alice");
    assert!(desk.fails(&format!("token verify S-1 {code}"), 1).contains(used));
    let rows = desk.ok("audit export --since 1d --format jsonl");
    assert_eq!(rows.matches("\"token-verified\"").count(), 1, "{rows}");
}

#[test]
fn a_token_whose_clock_is_off_is_told_from_a_wrong_token() {
    let desk = Desk::new("cli-token-drift");
    desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{SEED}\n"));
    desk.ok("token import tokens.csv");
    let parameters = radmfa::factor::oath::Parameters::default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let code = radmfa::factor::oath::code(b"12345678901234567890", &parameters, now / 30 - 10);
    let said = desk.fails(&format!("token verify T-1 {code}"), 1);
    assert!(said.contains("the token's clock is 3") && said.contains("s behind"), "{said}");
}

#[test]
fn a_token_goes_from_hand_to_hand() {
    let desk = Desk::new("cli-token-hands");
    desk.ok("user add alice");
    desk.ok("user add bob");
    desk.ok("token add alice --serial T-1 --digits 8 --algorithm SHA256 --interval 60");
    let token = &json(&desk, "token show T-1 --format json")[0];
    assert_eq!(
        (&token["digits"], &token["algorithm"], &token["interval"]),
        (&8.into(), &"SHA256".into(), &60.into())
    );

    assert_eq!(desk.ok("token assign T-1 bob"), "token T-1 belongs to bob now\n");
    assert!(desk.ok("token list --user bob").contains("T-1"));
    desk.ok("token disable T-1");
    assert!(desk.fails("token verify T-1 12345678", 1).contains("radmfa token enable T-1"));
    desk.ok("token enable T-1");
    assert!(desk.ok("user remove bob").contains("token T-1 is assigned to nobody now"));
    assert!(desk.ok("token list --unassigned --format csv").contains("\nT-1,,yes,totp,SHA256,8,60,,,"));
    assert!(desk.fails("token resync T-1 12345678 12345679", 1).contains("radmfa token assign T-1 USER"));
    desk.ok("token assign T-1 alice");
    desk.ok("token unassign T-1");
    desk.ok("token remove T-1");
    for line in ["show T-1", "assign T-1 alice", "unassign T-1", "enable T-1", "disable T-1", "remove T-1"] {
        assert!(desk.fails(&format!("token {line}"), 1).contains("there is no token T-1"), "{line}");
    }
    assert!(desk.fails("token add carol", 1).contains("hint: radmfa user add carol"));
    desk.ok("token add alice --serial T-2");
    assert!(desk.fails("token add alice --serial T-2", 1).contains("token T-2 is there already"));
    assert!(desk.fails("token add alice --digits 9", 2).contains("takes 6, 7 or 8"));
}

#[test]
fn a_file_of_tokens_is_imported_whole_and_again_changes_nothing() {
    let desk = Desk::new("cli-import");
    desk.write(
        "tokens.csv",
        &format!("user,serial,secret,interval\nalice,T-1,{SEED},30\nbob,T-2,{SEED},60\n,T-3,{SEED},\n"),
    );
    assert_eq!(
        desk.ok("token import tokens.csv --dry-run"),
        "3 tokens would be imported, 0 unchanged, 2 users would be made\n"
    );
    assert!(!desk.scratch.join("store").exists(), "a dry run makes nothing");
    assert_eq!(desk.ok("token import tokens.csv"), "3 tokens imported, 0 unchanged, 2 users made\n");
    assert_eq!(desk.ok("token import tokens.csv"), "0 tokens imported, 3 unchanged, 0 users made\n");
    let tokens = json(&desk, "token list --format json");
    assert_eq!(tokens.as_array().unwrap().len(), 3);
    assert_eq!((&tokens[1]["user"], &tokens[1]["interval"]), (&"bob".into(), &60.into()));
    let piped =
        desk.run_with("token import -", &format!("serial number,secret key,time interval\n77,{SEED},30\n"));
    assert_eq!(piped.stdout, "1 token imported, 0 unchanged, 0 users made\n", "{}", piped.transcript());
}

#[test]
fn every_bad_row_is_named_and_nothing_is_imported() {
    let desk = Desk::new("cli-import-wrong");
    desk.write("first.csv", &format!("user,serial,secret\nalice,T-1,{SEED}\n"));
    desk.ok("token import first.csv");
    desk.write(
        "second.csv",
        &format!(
            "user,serial,secret,interval,type\n\
             bob,T-2,{SEED},45,\n\
             bob,T-3,not-base32!,30,\n\
             bob,T-1,{SEED},30,\n\
             bob,T-4,{SEED},30,motp\n\
             bob,T-5,{SEED},30,\n"
        ),
    );
    for line in ["token import second.csv --dry-run", "token import second.csv"] {
        let said = desk.fails(line, 1);
        for expected in [
            "second.csv: line 2: interval: takes 30 or 60\n",
            "second.csv: line 3: secret: the secret is not Base32 (letters A to Z and digits 2 to 7), or part of it is missing\n",
            "second.csv: line 4: serial T-1 is in the store with another user, secret or parameters\n",
            "second.csv: line 5: type: takes totp or hotp\n",
            "error: 4 of 5 rows cannot be imported; nothing was changed\n",
        ] {
            assert!(said.contains(expected), "{expected}:\n{said}");
        }
        assert!(!said.contains("not-base32"), "a secret is quoted:\n{said}");
    }
    assert_eq!(json(&desk, "user list --format json").as_array().unwrap().len(), 1);
    assert_eq!(json(&desk, "token list --format json").as_array().unwrap().len(), 1);

    desk.write("header.csv", "user,serial\nalice,T-1\n");
    assert!(
        desk.fails("token import header.csv", 1).contains("line 1: secret: the first line does not name")
    );
    desk.write("empty.csv", "user,serial,secret\n");
    assert!(desk.fails("token import empty.csv", 1).contains("there are no tokens in it"));
    assert!(desk.fails("token import missing.csv", 2).contains("missing.csv cannot be read"));
}

#[test]
fn groups_are_given_taken_shown_and_listed_by() {
    let desk = Desk::new("cli-groups");
    desk.ok("user add alice");
    desk.ok("user add bob");
    desk.ok("user set alice --add-group Staff --add-group admins");
    desk.ok("user set bob --group staff");
    assert!(desk.ok("user show alice").contains("groups          admins, staff\n"));
    let listed = |group: &str| desk.ok(&format!("user list --group {group} --format json"));
    assert!(listed("STAFF").contains("\"alice\"") && listed("STAFF").contains("\"bob\""));
    assert!(!listed("admins").contains("\"bob\""));
    desk.ok("user set alice --remove-group admins");
    assert_eq!(listed("admins"), "[]\n");
    desk.ok("user set bob --group=");
    assert!(!desk.ok("user show bob").contains("groups"));
    let many: String = (0..101).fold(String::new(), |line, number| format!("{line} --add-group g{number}"));
    assert!(desk.fails(&format!("user set bob --disable{many}"), 2).contains("100 groups at most"));
    assert!(!desk.ok("user show bob").contains("disabled"), "nothing of a refused change is kept");
}
