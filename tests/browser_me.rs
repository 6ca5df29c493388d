//! A user's own page, and the way to a first factor from a gateway's prompt, in a real browser: without scripts, on a phone's screen.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and asks the real clock for the codes of this moment"
)]

mod browser_support;
mod cli_support;
mod pages_support;
mod support;

use browser_support::{Browser, ENTER, TAB};
use cli_support::Desk;
use pages_support::House;
use support::{User, code};

/// A house whose users may let themselves in, with a way to send texts and to push.
fn house(name: &str, nas: &str) -> House {
    let desk = Desk::new(name);
    let texts = House::texts(&desk, "sms");
    let push = "--channel name=hook,kind=push,type=webhook,url=http://127.0.0.1:9/,secret=hook-secret";
    House::open_at(desk, nas, &format!("{texts} {push}"))
}

fn log_in(browser: &Browser, house: &House, user: &str, answer: &str) {
    browser.go(&format!("http://{}/me", house.portal));
    browser.fill("#user", user);
    browser.press(&[TAB]);
    browser.fill("#password", "correct horse");
    browser.press(&[ENTER]);
    browser.wait_for_text("Your answer");
    browser.fill("#code", answer);
    browser.press(&[ENTER]);
    browser.wait_for_text("My second factors");
    assert!(!browser.overflows());
}

#[test]
fn a_user_looks_after_what_they_have_on_a_phone_without_scripts() {
    let house = house("browser-me", ",arm=120s");
    house.desk.ok("user set alice --phone +36301234567");
    house.desk.ok("device add alice --channel hook --address alice-phone --name old-phone");
    let browser = Browser::open(&house.desk.scratch);
    browser.scripts(false);
    log_in(&browser, &house, "alice", &code::now(&User::named("alice").seed));

    // Let me in, until when, and taken back.
    browser.click("form[action='/me/arm'] button");
    browser.wait_for_text("Log in at nas now");
    assert!(!browser.overflows());
    browser.picture("me-armed");
    browser.click("form[action='/me/disarm'] button");
    browser.wait_for_text("Let me in at nas, once, for 120 seconds");
    assert!(house.desk.ok("audit export --since 1d --format jsonl").contains("\"disarmed\""));

    // A device has another name.
    browser.click("#methods ~ details summary");
    browser.fill("input[name='name']", "work phone");
    browser.press(&[ENTER]);
    browser.wait_for_text("work phone");
    assert!(house.desk.ok("device list alice").contains("work phone"));

    // The telephone works, and a wrong code does not say so.
    browser.click("form[action='/me/phone'] button");
    browser.wait_for_text("A code is on its way");
    assert!(!browser.overflows());
    let right = house.sent_code();
    browser.fill("#code", if right == "123456" { "654321" } else { "123456" });
    browser.press(&[ENTER]);
    browser.wait_for_text("That is not the code that was sent.");
    browser.fill("#code", &right);
    browser.press(&[ENTER]);
    browser.wait_for_text("Your telephone works");
    browser.click("a[href='/me']");

    // Another language, and back.
    browser.wait_for_text("Preferences");
    browser.fill("#language", "Magyar");
    browser.click("form[action='/me/settings'] button");
    browser.wait_for_text("Legutóbbi belépések");
    assert!(!browser.overflows());
    browser.fill("#language", "English");
    browser.click("form[action='/me/settings'] button");

    browser.wait_for_text("Recent logins");
    browser.click("form[action='/me/codes'] button");
    browser.wait_for_text("Recovery codes");
    assert_eq!(browser.all("ul.codes li").len(), 10);
    browser.click("a[href='/me']");

    // "Was this you?" "No."
    browser.wait_for_text("Was this you?");
    browser.click("#logins ~ ul details summary");
    browser.wait_for_text("blocked at once");
    assert!(!browser.overflows());
    browser.click("#logins ~ ul details form button");
    browser.wait_for_text("Your account is blocked");
    assert!(house.desk.ok("user show alice").contains("blocked since"));
    assert!(house.desk.ok("audit export --since 1d --format jsonl").contains("\"login-disowned\""));
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|line| line.contains("422")), "{complaints:?}");
}

#[test]
fn the_code_at_a_gateway_s_prompt_leads_to_a_factor_that_logs_in() {
    let house = house("browser-led", ",unenrolled=enrol,enrol-networks=198.51.100.0/24");
    let near = "--calling-station-id 198.51.100.7 --code 000000";
    let (_, said) = house.nas("u1", near);
    let shown =
        said.split("/enrol with the code ").nth(1).unwrap_or_else(|| panic!("{said}"))[..9].to_owned();
    let browser = Browser::open(&house.desk.scratch);
    browser.scripts(false);
    browser.go(&format!("http://{}/enrol", house.portal));
    browser.wait_for_text("Your VPN or login screen has shown you a code");
    assert!(!browser.overflows());
    assert!(browser.label("#code").contains("ABCD-EFGH"));
    browser.fill("#user", "u1");
    browser.press(&[TAB]);
    browser.fill("#code", "ABCD-EFGH");
    browser.press(&[ENTER]);
    browser.wait_for_text("do not belong together");
    browser.picture("enrol-led");
    browser.fill("#code", &shown);
    browser.press(&[ENTER]);
    browser.wait_for_text("What shall u1 log in with");
    browser.click("a[href='/setup/totp']");
    browser.wait_for_text("The six digits");
    let seed = browser.read("#letters").replace(' ', "");
    browser.fill("#code", &code::now(&seed));
    browser.press(&[ENTER]);
    browser.wait_for_text("Your second factor is ready");
    assert_eq!(browser.all("ul.codes li").len(), 10);
    let recovery = browser.read("ul.codes li");
    let (exit, said) = house.nas("u1", &format!("--calling-station-id 198.51.100.7 --code {recovery}"));
    assert_eq!(exit, 0, "{said}");
    browser.go(&format!("http://{}/enrol", house.portal));
    browser.fill("#user", "u1");
    browser.fill("#code", &shown);
    browser.press(&[ENTER]);
    browser.wait_for_text("do not belong together");
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|line| line.contains("403")), "{complaints:?}");
}
