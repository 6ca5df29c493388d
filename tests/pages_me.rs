//! A user's own page, as a browser without scripts sees it: the real program, its forms sent as they stand in its pages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads the real clock"
)]

mod cli_support;
mod pages_support;
mod support;

use cli_support::Desk;
use pages_support::{Browser, House};
use support::{User, code};

#[test]
fn a_user_lets_the_next_login_in_once_takes_it_back_and_arms_nothing_else() {
    let house = House::open_with("me-arm", ",arm=120s,display-name=Office-VPN", "");
    let refused = house.nas("alice", "");
    assert_ne!(refused.0, 0, "{}", refused.1);
    let mut browser = house.browser();
    browser.log_in("alice", &code::now(&User::named("alice").seed));
    let own = browser.get("/me");
    assert!(own.body.contains("at Office-VPN, once, for 120 seconds"), "{}", own.body);
    for client in ["portal", "admin", "other", ""] {
        assert_eq!(browser.post(&own, "/me/arm", &[("client", client)]).status, 400, "{client}");
    }
    assert_eq!(browser.post(&own, "/me/arm", &[("client", "nas")]).location(), Some("/me"));
    let armed = browser.get("/me");
    assert!(
        armed.body.contains("Log in at Office-VPN now") && armed.body.contains("/me/disarm"),
        "{}",
        armed.body
    );
    browser.post(&armed, "/me/disarm", &[("client", "nas")]);
    let own = browser.get("/me");
    assert!(own.body.contains("action=\"/me/arm\""), "{}", own.body);
    browser.post(&own, "/me/arm", &[("client", "nas")]);
    let let_in = house.nas("alice", "");
    assert_eq!(let_in.0, 0, "{}", let_in.1);
    let again = house.nas("alice", "--code 000000");
    assert_ne!(again.0, 0, "once: {}", again.1);
    let own = browser.get("/me");
    assert!(
        own.body.contains("action=\"/me/arm\"") && own.body.contains("<p class=\"faint\">Office-VPN"),
        "{}",
        own.body
    );
    let trail = house.desk.ok("audit export --since 1d --format jsonl");
    for reason in ["armed", "disarmed", "armed-used"] {
        assert!(trail.contains(&format!("\"{reason}\"")), "no {reason} in {trail}");
    }
    let armings = trail.lines().filter(|line| line.contains("\"reason\":\"armed\""));
    assert!(armings.clone().count() == 2 && armings.clone().all(|line| line.contains("\"actor\":\"alice\"")));
}

#[test]
fn nobody_is_armed_by_a_factor_that_the_gateway_does_not_take() {
    let house = House::open_with("me-arm-otherwise", ",arm=120s,methods=push", "");
    let mut browser = house.browser();
    browser.log_in("alice", &code::now(&User::named("alice").seed));
    let own = browser.get("/me");
    assert!(own.body.contains("Nobody is let in at nas") && own.body.contains("/me/again"), "{}", own.body);
    assert!(!own.body.contains("/me/arm"), "{}", own.body);
    assert_eq!(browser.post(&own, "/me/arm", &[("client", "nas")]).status, 400);
    assert_ne!(house.nas("alice", "").0, 0);
    assert!(!house.desk.ok("audit export --since 1d --format jsonl").contains("\"armed\""));
}

#[test]
fn a_code_to_the_phone_on_file_says_that_it_works_and_no_code_goes_to_one_that_was_changed() {
    let desk = Desk::new("me-phone");
    let channel = House::texts(&desk, "sms");
    let house = House::open_at(desk, "", &format!("{channel} --sms gap=0s"));
    let mut browser = house.browser();
    browser.log_in("alice", &code::now(&User::named("alice").seed));
    assert!(!browser.get("/me").body.contains("/me/phone"), "there is no number to check, and none to give");
    house.desk.ok("user set alice --phone +36301234567");
    let own = browser.get("/me");
    assert!(own.body.contains("···67") && !own.body.contains("1234567"), "{}", own.body);
    let asked = browser.post(&own, "/me/phone", &[]);
    assert_eq!(asked.status, 200, "{}", asked.body);
    let right = house.sent_code();
    let wrong = if right == "123456" { "654321" } else { "123456" };
    let again = browser.post(&asked, "/me/phone/code", &[("code", wrong)]);
    assert_eq!(again.status, 422, "{}", again.body);
    let works = browser.post(&again, "/me/phone/code", &[("code", &right)]);
    assert!(works.status == 200 && works.body.contains("Your telephone works"), "{}", works.body);
    assert_eq!(browser.post(&again, "/me/phone/code", &[("code", &right)]).status, 422, "once");
    // Somebody who has the page open can have no flood of messages sent.
    let said: Vec<u16> = (0..4).map(|_| browser.post(&own, "/me/phone", &[]).status).collect();
    assert_eq!(said, [200, 200, 429, 429]);
    let trail = house.desk.ok("audit export --since 1d --format jsonl");
    let checked: Vec<&str> = trail.lines().filter(|line| line.contains("\"phone-checked\"")).collect();
    assert!(checked.len() == 1 && checked[0].contains("\"actor\":\"alice\""), "{trail}");
    assert!(!trail.contains(&right), "no code stands in the trail");
}

#[test]
fn what_is_sent_from_a_page_counts_with_what_logins_send() {
    let desk = Desk::new("me-budget");
    let channel = House::texts(&desk, "sms");
    let house = House::open_at(desk, ",methods=sms", &format!("{channel} --sms gap=0s,count=2,within=60m"));
    house.desk.ok("user set alice --phone +36301234567");
    let mut browser = house.browser();
    browser.log_in("alice", &code::now(&User::named("alice").seed));
    let own = browser.get("/me");
    assert_eq!(browser.post(&own, "/me/phone", &[]).status, 200);
    let (refused, said) = house.nas("alice", "--code 000000");
    assert!(refused != 0 && said.contains("sent a code"), "the second of two: {said}");
    let third = browser.post(&own, "/me/phone", &[]);
    assert!(third.status == 429 && third.body.contains("A message was sent to you"), "{}", third.body);
    let (_, said) = house.nas("alice", "--code 000000");
    assert!(!said.contains("sent a code"), "{said}");
    let trail = house.desk.ok("audit export --since 1d --format jsonl");
    let sent: Vec<&str> = trail.lines().filter(|line| line.contains("\"reason\":\"code-sent\"")).collect();
    assert_eq!(sent.len(), 2, "{trail}");
    let on_page: Vec<_> = sent.iter().filter(|line| line.contains("\"client\":\"portal\"")).collect();
    assert!(on_page.len() == 1 && on_page[0].contains("\"actor\":\"alice\""), "{trail}");
    assert!(house.desk.read("sent").matches("code").count() <= 2);
}

#[test]
fn whoever_has_no_phone_gives_one_by_a_code_that_goes_to_it_where_the_configuration_lets_them() {
    let desk = Desk::new("me-add-phone");
    let channel = House::texts(&desk, "sms");
    let house = House::open_letting(desk, "add-phone=true", &format!("{channel} --sms gap=0s"));
    let mut browser = house.browser();
    browser.log_in("alice", &code::now(&User::named("alice").seed));
    let own = browser.get("/me");
    assert!(own.body.contains("action=\"/me/phone/add\""), "{}", own.body);
    for none in ["", "06301234567", "+36 30 1234567 x12", "+1"] {
        let said = browser.post(&own, "/me/phone/add", &[("phone", none)]);
        assert!(said.status == 422 && said.body.contains("Begin with +"), "{none}: {}", said.body);
    }
    let has = |number: &str| house.desk.ok("user show alice").contains(number);
    let asked = browser.post(&own, "/me/phone/add", &[("phone", "+36 (30) 123-4567")]);
    assert!(asked.status == 200 && !has("+36301234567"), "{}", asked.body);
    let right = house.sent_code();
    let wrong = if right == "123456" { "654321" } else { "123456" };
    assert_eq!(browser.post(&asked, "/me/phone/code", &[("code", wrong)]).status, 422);
    assert!(!has("+36301234567"), "nothing is there before it is proved");
    let works = browser.post(&asked, "/me/phone/code", &[("code", &right)]);
    assert!(works.status == 200 && works.body.contains("Codes go to it from now on"), "{}", works.body);
    assert!(has("+36301234567"));
    // It is there once, and nobody changes it here.
    let own = browser.get("/me");
    assert!(own.body.contains("···67") && !own.body.contains("/me/phone/add"), "{}", own.body);
    let other = browser.post(&own, "/me/phone/add", &[("phone", "+36309999999")]);
    assert_eq!((other.status, other.location()), (303, Some("/me")));
    assert!(!house.desk.read("sent").contains("9999999"));
    let trail = house.desk.ok("audit export --since 1d --format jsonl");
    for reason in ["code-sent", "user-changed", "phone-checked"] {
        let own = |line: &&str| {
            line.contains(&format!("\"reason\":\"{reason}\"")) && line.contains("\"actor\":\"alice\"")
        };
        assert_eq!(trail.lines().filter(own).count(), 1, "{reason}: {trail}");
    }
}

#[test]
fn a_user_names_a_device_and_nobody_else_s() {
    let house = House::open_with(
        "me-names",
        "",
        "--channel name=hook,kind=push,type=webhook,url=http://127.0.0.1:9/,secret=hook-secret",
    );
    for user in ["alice", "u1"] {
        house.desk.ok(&format!("device add {user} --channel hook --address {user}-phone --name old-{user}"));
    }
    let mut browser = house.browser();
    browser.log_in("alice", &code::now(&User::named("alice").seed));
    let own = browser.get("/me");
    let number = |user: &str| -> String {
        let listed = house.desk.ok(&format!("device list {user} --format json"));
        let rows: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let device = rows.as_array().unwrap()[0]["number"].clone();
        device.as_str().map_or_else(|| device.to_string(), str::to_owned)
    };
    let rename = |browser: &mut Browser, device: &str, name: &str| {
        browser.post(&own, "/me/device/name", &[("device", device), ("name", name)]).status
    };
    assert_eq!(rename(&mut browser, &number("alice"), "work"), 303);
    assert_eq!(rename(&mut browser, &number("u1"), "mine"), 303, "nothing to be done");
    for name in ["", "\n"] {
        assert_eq!(rename(&mut browser, &number("alice"), name), 400, "{name:?}");
    }
    assert!(browser.get("/me").body.contains("work"));
    assert!(house.desk.ok("device list u1").contains("old-u1"));
    assert!(house.desk.ok("audit export --since 1d --format jsonl").contains("\"device-renamed\""));
}

#[test]
fn a_remembered_factor_is_shown_and_ended_and_a_login_disowned_stands_in_the_trail() {
    let house = House::open_with("me-sessions", ",remember=8h", "");
    let seed = User::named("alice").seed;
    let (exit, said) =
        house.nas("alice", &format!("--calling-station-id 198.51.100.7 --code {}", code::now(&seed)));
    assert_eq!(exit, 0, "{said}");
    let again = house.nas("alice", "--calling-station-id 198.51.100.7");
    assert_eq!(again.0, 0, "remembered: {}", again.1);
    let codes = house.desk.ok("user recovery alice --reason test");
    let recovery = codes.split_whitespace().find(|word| word.len() == 14 && word.matches('-').count() == 2);
    let mut browser = house.browser();
    let let_in = browser.log_in("alice", recovery.unwrap_or_else(|| panic!("{codes}")));
    assert_eq!(let_in.location(), Some("/me"), "{}", let_in.body);
    let own = browser.get("/me");
    assert!(own.body.contains("198.51.100.7") && own.body.contains("/me/sessions"), "{}", own.body);
    assert_eq!(browser.post(&own, "/me/sessions", &[("login", "x")]).status, 400);
    browser.post(&own, "/me/sessions", &[]);
    let asked = house.nas("alice", "--calling-station-id 198.51.100.7 --code 000000");
    assert_ne!(asked.0, 0, "asked again: {}", asked.1);
    let own = browser.get("/me");
    assert!(!own.body.contains("/me/sessions"), "{}", own.body);
    // The newest login at the gateway was somebody else's.
    let rows = own.body.split("<li>").filter(|row| row.contains("<p class=\"faint\">nas"));
    let row = rows.into_iter().next().unwrap_or_else(|| panic!("{}", own.body));
    let login = row.split("name=\"login\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let blocked = browser.post(&own, "/me/report", &[("login", login)]);
    assert!(blocked.status == 200 && blocked.body.contains("blocked"), "{}", blocked.body);
    let trail = house.desk.ok("audit export --since 1d --format jsonl");
    let row = trail.lines().find(|line| line.contains("\"login-disowned\"")).unwrap();
    assert!(
        row.contains(&format!("{login} at nas from 198.51.100.7")) && row.contains("\"actor\":\"alice\""),
        "{row}"
    );
    assert!(house.desk.ok("user show alice").contains("blocked since"));
}
