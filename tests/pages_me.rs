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
mod page_support;
mod support;

use page_support::House;
use support::{User, code};

#[test]
fn a_user_lets_the_next_login_in_once_takes_it_back_and_arms_nothing_else() {
    let house = House::open_with("me-arm", ",arm=120s", "");
    let refused = house.nas("alice", "");
    assert_ne!(refused.0, 0, "{}", refused.1);
    let mut browser = house.browser();
    browser.log_in("alice", &code::now(&User::named("alice").seed));
    let own = browser.get("/me");
    assert!(own.body.contains("at nas, once, for 120 seconds"), "{}", own.body);
    for client in ["portal", "admin", "other", ""] {
        assert_eq!(browser.post(&own, "/me/arm", &[("client", client)]).status, 400, "{client}");
    }
    assert_eq!(browser.post(&own, "/me/arm", &[("client", "nas")]).location.as_deref(), Some("/me"));
    let armed = browser.get("/me");
    assert!(armed.body.contains("Log in at nas now") && armed.body.contains("/me/disarm"), "{}", armed.body);
    browser.post(&armed, "/me/disarm", &[("client", "nas")]);
    let own = browser.get("/me");
    assert!(own.body.contains("action=\"/me/arm\""), "{}", own.body);
    browser.post(&own, "/me/arm", &[("client", "nas")]);
    let let_in = house.nas("alice", "");
    assert_eq!(let_in.0, 0, "{}", let_in.1);
    let again = house.nas("alice", "--code 000000");
    assert_ne!(again.0, 0, "once: {}", again.1);
    assert!(browser.get("/me").body.contains("action=\"/me/arm\""));
    let trail = house.desk.ok("audit export --since 1d --format jsonl");
    for reason in ["armed", "disarmed", "armed-used"] {
        assert!(trail.contains(&format!("\"{reason}\"")), "no {reason} in {trail}");
    }
    let armings = trail.lines().filter(|line| line.contains("\"reason\":\"armed\""));
    assert!(armings.clone().count() == 2 && armings.clone().all(|line| line.contains("\"actor\":\"alice\"")));
}
