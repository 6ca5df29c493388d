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

use cli_support::Desk;
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
