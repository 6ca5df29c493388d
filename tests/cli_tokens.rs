//! `radmfa token` for tokens that a counter moves, for several tokens and for lost ones; the codes are `oathtool`'s.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test fails by panicking, and its commands run in real time"
)]

mod cli_support;
mod support;

use std::process::Command;
use std::sync::Arc;

use cli_support::Desk;
use radmfa::server::system::{SystemClock, SystemEntropy};
use radmfa::store::admin::{Admin as _, AuditFilter};
use radmfa::store::sqlite::{Settings, SqliteAdmin};
use serde_json::Value;

/// RFC 4226's seed, in Base32.
const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn json(desk: &Desk, line: &str) -> Value {
    serde_json::from_str(&desk.ok(line)).unwrap()
}

/// What `oathtool` says: somebody else's reading of RFC 4226.
fn oathtool(arguments: &[&str]) -> String {
    let ran = Command::new("oathtool").args(arguments).output().expect("oathtool is installed");
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

fn hotp(counter: u64) -> String {
    oathtool(&["--hotp", "--base32", "-c", &counter.to_string(), SEED])
}

fn desk_with_counter_token(name: &str, counter: &str) -> Desk {
    let desk = Desk::new(name);
    desk.write("tokens.csv", &format!("user,serial,secret,type,counter\nalice,H-1,{SEED},hotp,{counter}\n"));
    desk.ok("token import tokens.csv");
    desk
}

#[test]
fn a_counter_token_s_codes_work_once_and_in_order() {
    let desk = desk_with_counter_token("cli-hotp", "5");
    let shown = &json(&desk, "token show H-1 --format json")[0];
    assert_eq!(
        (&shown["type"], &shown["counter"], &shown["interval"]),
        (&"hotp".into(), &5.into(), &Value::Null)
    );
    assert!(desk.fails(&format!("token verify H-1 {}", hotp(4)), 1).starts_with("error: wrong: "));
    let verify = |counter| format!("token verify H-1 {}", hotp(counter));
    assert_eq!(desk.ok(&verify(5)), "right: token H-1 of alice\n");
    assert!(desk.fails(&verify(5), 1).contains("was used already"));
    desk.ok(&verify(16));
    for spent in [15, 16, 28] {
        desk.fails(&verify(spent), 1);
    }
    desk.ok(&verify(27));
    assert_eq!(json(&desk, "token list --format json")[0]["counter"], 28);
    // The file once more: the token is there, and its counter stays.
    assert_eq!(desk.ok("token import tokens.csv"), "0 tokens imported, 1 unchanged, 0 users made\n");
    assert_eq!(json(&desk, "token list --format json")[0]["counter"], 28);
}

#[test]
fn a_counter_token_is_made_for_an_app() {
    let desk = Desk::new("cli-hotp-add");
    desk.ok("user add alice");
    let made = desk.ok("token add alice --serial H-1 --type hotp --counter 42 --digits 8");
    let uri = made.lines().last().unwrap();
    assert!(
        uri.starts_with("otpauth://hotp/radmfa:alice?secret=") && uri.ends_with("&digits=8&counter=42"),
        "{uri}"
    );
    let seed = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let code = oathtool(&["--hotp", "--base32", "-d", "8", "-c", "42", seed]);
    desk.ok(&format!("token verify H-1 {code}"));
    assert!(desk.fails("token add alice --counter 5", 2).contains("--counter is for counter tokens alone"));
    assert!(desk.fails("token add alice --type hotp --counter=-1", 2).contains("--counter"));
    desk.fails("token add alice --type motp", 2);
}

fn totp_at(unix: u64) -> String {
    let moment = format!("@{unix}");
    oathtool(&["--totp", "--base32", "--now", &moment, SEED])
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn two_codes_in_a_row_bring_a_counter_token_back() {
    let desk = desk_with_counter_token("cli-hotp-resync", "0");
    let resync = |first, second| format!("token resync H-1 {} {}", hotp(first), hotp(second));
    for (first, second) in [(700, 700), (700, 702), (701, 700), (1000, 1001), (5000, 5001)] {
        let said = desk.fails(&resync(first, second), 1);
        assert!(said.contains("does not show these two in a row among its next 1000 codes"), "{said}");
    }
    assert!(desk.fails(&format!("token verify H-1 {}", hotp(700)), 1).contains("radmfa token resync H-1"));
    assert_eq!(desk.ok(&resync(700, 701)), "token H-1 is in step again; its next counter is 702\n");
    // Both are used up, and with them everything before.
    for spent in [(700, 701), (701, 702), (690, 691)] {
        desk.fails(&resync(spent.0, spent.1), 1);
    }
    for spent in [699, 700, 701] {
        desk.fails(&format!("token verify H-1 {}", hotp(spent)), 1);
    }
    desk.ok(&format!("token verify H-1 {}", hotp(702)));
    let rows = json(&desk, "token show H-1 --format json");
    assert_eq!(rows[0]["counter"], 703);
}

#[test]
fn two_codes_in_a_row_bring_a_slow_clock_back_and_it_is_remembered() {
    let desk = Desk::new("cli-totp-resync");
    desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{SEED}\n"));
    desk.ok("token import tokens.csv");
    let then = now() - 6 * 30;
    let (first, second) = (totp_at(then - 30), totp_at(then));
    desk.fails(&format!("token verify T-1 {second}"), 1);
    let beyond = format!("token resync T-1 {} {}", totp_at(now() - 14 * 30), totp_at(now() - 13 * 30));
    assert!(desk.fails(&beyond, 1).contains("within 10 steps of now"));
    assert!(desk.fails(&format!("token resync T-1 {first} {first}"), 1).contains("two in a row"));
    let said = desk.ok(&format!("token resync T-1 {first} {second}"));
    // The step may have changed since `then` was taken.
    assert!(
        ["-6 steps\n", "-7 steps\n"].iter().any(|end| said.ends_with(end)) && said.contains("T-1 is in step"),
        "{said}"
    );
    let drift = json(&desk, "token show T-1 --format json")[0]["drift"].clone();
    assert!(drift == "-6" || drift == "-7", "{drift}");
    assert!(desk.fails(&format!("token verify T-1 {second}"), 1).contains("was used already"));
    assert!(desk.fails(&format!("token resync T-1 {first} {second}"), 1).contains("was used already"));
    let next = totp_at(then + 30);
    assert_eq!(desk.ok(&format!("token verify T-1 {next}")), "right: token T-1 of alice\n");
}

#[test]
fn what_cannot_be_resynchronised_says_why() {
    let desk = desk_with_counter_token("cli-resync-wrong", "0");
    assert!(desk.fails("token resync H-9 111111 222222", 1).contains("there is no token H-9"));
    assert!(desk.fails("token resync H-1 11111 222222", 2).contains("has 6 digits"));
    assert!(desk.fails("token resync H-1 111111 22222a", 2).contains("has 6 digits"));
    desk.fails("token resync H-1 111111", 2);
    desk.ok("token disable H-1");
    assert!(desk.fails("token resync H-1 111111 222222", 1).contains("radmfa token enable H-1"));
    desk.ok("token unassign H-1");
    assert!(desk.fails("token resync H-1 111111 222222", 1).contains("belongs to nobody"));
}

#[test]
fn a_lost_token_is_replaced_from_stock_or_by_a_new_one() {
    let desk = desk_with_counter_token("cli-replace", "3");
    desk.write("stock.csv", &format!("serial,secret\nS-1,{SEED}\n"));
    desk.ok("token import stock.csv");
    assert!(desk.fails("token replace H-1 S-9", 1).contains("there is no token S-9"));
    assert!(desk.fails("token replace S-1 H-1", 2).contains("belongs to nobody"));
    assert!(desk.fails("token replace H-9", 1).contains("there is no token H-9"));
    assert_eq!(desk.ok("token replace H-1 S-1"), "disabled token H-1; alice has token S-1 in its place\n");
    assert!(desk.fails(&format!("token verify H-1 {}", hotp(3)), 1).contains("is disabled"));
    assert_eq!(desk.ok(&format!("token verify S-1 {}", totp_at(now()))), "right: token S-1 of alice\n");
    let made = desk.ok("token replace S-1 --issuer Example");
    assert!(made.starts_with("disabled token S-1; alice has token app-"), "{made}");
    assert!(made.lines().last().unwrap().starts_with("otpauth://totp/Example:alice?secret="), "{made}");
    let tokens = json(&desk, "token list --user alice --format json");
    let enabled: Vec<_> = tokens.as_array().unwrap().iter().map(|token| token["enabled"] == true).collect();
    assert_eq!(enabled.iter().filter(|enabled| **enabled).count(), 1);
    desk.ok("user add bob");
    desk.ok("token add bob --serial B-1");
    let said = desk.fails("token replace B-1 H-1", 2);
    assert!(said.contains("token H-1 belongs to alice; it can take nothing's place"), "{said}");
}

#[test]
fn a_token_gets_another_number_and_its_codes_stay_used() {
    let desk = desk_with_counter_token("cli-rename", "0");
    desk.ok(&format!("token verify H-1 {}", hotp(0)));
    assert_eq!(desk.ok("token rename H-1 H-2"), "token H-1 is called H-2 now\n");
    assert!(desk.fails(&format!("token verify H-2 {}", hotp(0)), 1).contains("was used already"));
    desk.ok(&format!("token verify H-2 {}", hotp(1)));
    assert!(desk.fails("token show H-1", 1).contains("there is no token H-1"));
    assert!(desk.fails("token rename H-1 H-3", 1).contains("there is no token H-1"));
    desk.ok("token add alice --serial H-3");
    assert!(desk.fails("token rename H-2 H-3", 1).contains("token H-3 is there already"));
    // The file brings the device back under its old number, and with it nothing that was used under it.
    desk.ok("token import tokens.csv");
    assert!(desk.fails(&format!("token verify H-1 {}", hotp(0)), 1).contains("was used already"));
}

#[test]
fn what_is_known_of_a_token_is_shown_and_changed() {
    let desk = Desk::new("cli-token-set");
    desk.ok("user add alice");
    desk.ok("token add alice --serial T-1 --label keyring --expires 2099-12-31");
    desk.ok("token set T-1 --manufacturer Feitian --model c200 --label=");
    let shown = json(&desk, "token show T-1 --format json")[0].clone();
    assert_eq!((&shown["manufacturer"], &shown["model"]), (&"Feitian".into(), &"c200".into()));
    assert_eq!((&shown["label"], &shown["expires"]), (&Value::Null, &"2100-01-01T00:00:00.000Z".into()));
    desk.ok("token set T-1 --expires 2020-01-01");
    assert!(desk.fails("token verify T-1 123456", 1).contains("radmfa token set T-1 --expires DATE"));
    desk.ok("token set T-1 --expires never");
    assert_eq!(json(&desk, "token show T-1 --format json")[0]["expires"], Value::Null);
    assert!(desk.fails("token set T-1 --expires soon", 2).contains("takes a date such as"));
    assert!(desk.fails("token set T-9 --label x", 1).contains("there is no token T-9"));
}

#[test]
fn what_an_admin_does_to_tokens_stands_in_the_trail_with_who_and_why() {
    let desk = desk_with_counter_token("cli-token-trail", "0");
    desk.write("stock.csv", &format!("serial,secret\nS-1,{SEED}\n"));
    desk.ok("token import stock.csv");
    desk.ok("token disable H-1 --reason=left-in-a-taxi");
    desk.ok("token enable H-1");
    desk.ok(&format!("token verify H-1 {} --reason=ticket-4711", hotp(0)));
    desk.ok(&format!("token resync H-1 {} {}", hotp(50), hotp(51)));
    desk.ok("token rename H-1 H-2 --reason=mistyped");
    desk.ok("token set H-2 --label keyring");
    desk.ok("token replace H-2 S-1 --reason=lost");
    desk.ok("token unassign S-1");
    desk.ok("token assign S-1 alice");
    desk.ok("token remove H-2");
    for wrong in ["token disable S-1 --reason=", "token disable S-1 --reason=a\u{7}b"] {
        assert!(desk.fails(wrong, 2).contains("printable characters"));
    }

    let settings = Settings::new(desk.scratch.join("store/radmfa.db"));
    let entropy = SystemEntropy::new().unwrap();
    let mut admin = SqliteAdmin::open(&settings, Arc::new(SystemClock), Box::new(entropy)).unwrap();
    let rows = admin.audit(&AuditFilter::default()).unwrap();
    let told: Vec<_> = rows
        .iter()
        .rev()
        .filter(|row| row.device.is_some())
        .map(|row| {
            assert_eq!(row.verdict, "noted");
            assert!(row.actor.as_ref().is_some_and(|actor| !actor.is_empty()), "{row:?}");
            assert_eq!(row.user.as_deref(), Some("alice"), "{row:?}");
            (row.reason.as_str(), row.device.as_deref().unwrap(), row.note.as_deref().unwrap_or(""))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("token-disabled", "H-1", "left-in-a-taxi"),
            ("token-enabled", "H-1", ""),
            ("token-verified", "H-1", "ticket-4711"),
            ("token-resynchronised", "H-1", ""),
            ("token-renamed", "H-2", "was H-1; mistyped"),
            ("token-changed", "H-2", ""),
            ("token-replaced", "H-2", "by S-1; lost"),
            ("token-unassigned", "S-1", ""),
            ("token-assigned", "S-1", ""),
            ("token-removed", "H-2", ""),
        ]
    );
}

#[test]
fn where_most_tokens_are_off_it_is_this_machine_s_clock() {
    let desk = Desk::new("cli-clock-suspect");
    let rows = [1, 2, 3, 4, 5, 6].map(|number| format!("u{number},T-{number},{SEED}\n"));
    desk.write("tokens.csv", &format!("user,serial,secret\n{}", rows.concat()));
    desk.ok("token import tokens.csv");
    let resync = |number: u32| {
        let then = now() - 5 * 30;
        format!("token resync T-{number} {} {}", totp_at(then - 30), totp_at(then))
    };
    for number in 1..=5 {
        desk.ok(&resync(number));
    }
    let said = desk.fails(&resync(6), 1);
    assert!(said.contains("it is this machine's clock that is wrong; nothing was changed"), "{said}");
    assert_eq!(json(&desk, "token show T-6 --format json")[0]["last-used"], Value::Null);
    let check =
        "check --client name=nas,address=10.0.0.1,secret=0123456789abcdef --primary name=up,type=local";
    let said = desk.run(check);
    assert!(said.stderr.contains("most tokens' clocks are off by more than a step"), "{}", said.transcript());
}

#[test]
fn a_code_is_verified_as_the_clients_of_the_configuration_would_take_it() {
    let desk = desk_with_counter_token("cli-verify-reach", "0");
    desk.write(
        "radmfa.toml",
        "[[client]]\nname = \"vpn\"\nlook-ahead = 30\n[[client]]\nname = \"wifi\"\n\
         [[rule]]\nname = \"strict\"\nclient = \"wifi\"\nlook-ahead = 2\n",
    );
    let verify =
        |counter, more: &str| format!("token verify H-1 {} --config radmfa.toml{more}", hotp(counter));
    desk.fails(&verify(25, " --client wifi"), 1);
    let said = desk.run(&verify(25, "")).expect_success("verify");
    assert_eq!(said.stdout, "right: token H-1 of alice\n");
    assert_eq!(said.stderr, "note: too far from its time for wifi, wifi (rule strict)\n");
    let said = desk.run(&verify(31, "")).expect_success("verify");
    assert_eq!(said.stderr, "note: too far from its time for wifi (rule strict)\n");
    desk.fails(&verify(45, " --client wifi"), 1);
    desk.ok(&verify(42, " --client wifi"));
    let said = desk.fails(&verify(43, " --client wlan"), 2);
    assert!(said.contains("no client wlan") && said.contains("vpn, wifi"), "{said}");
}
