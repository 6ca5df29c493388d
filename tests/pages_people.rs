//! The pages on which users set up a second factor and look after theirs, as a browser without scripts sees them: the real
//! program, its forms sent as they stand in its pages.

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

use pages_support::{House, recovery_codes, seed, token};
use support::{User, code};

#[test]
fn a_link_sets_up_an_app_whose_codes_log_in_and_works_once() {
    let house = House::open("people-enrol", "");
    let link = house.invite("u1", "");
    assert!(house.desk.ok("user show u1").contains("invited"));
    let mut browser = house.browser();
    browser.accept(&link);
    let page = browser.get("/setup/totp");
    let (first, again) = (seed(&page), browser.get("/setup/totp"));
    assert_eq!(first, seed(&again), "a reload changes nothing");
    let picture = browser.get("/setup/qr.svg");
    assert!(picture.body.contains("<svg"), "{}", picture.body);
    let wrong = browser.post(&again, "/setup/totp", &[("code", &code::wrong(&first))]);
    assert_eq!(wrong.status, 422);
    assert!(!house.desk.ok("user show u1").contains("app-"), "nothing is active before it is confirmed");
    let right = code::now(&first);
    let done = browser.post(&wrong, "/setup/totp", &[("code", &right)]);
    assert_eq!(done.status, 200, "{}", done.body);
    let codes = recovery_codes(&done);
    assert_eq!(codes.len(), 10);
    let shown = house.desk.ok("user show u1");
    assert!(
        shown.contains("app-") && shown.contains("10 of 10 left") && !shown.contains("invited"),
        "{shown}"
    );

    // Others may be added until it is said to be finished.
    assert_eq!(browser.get("/setup").status, 200);
    assert!(browser.get("/me").body.contains("current-password"));
    assert_eq!(browser.get("/setup").location(), Some("/me"));

    // Used up; so is the code that confirmed.
    let mut other = house.browser();
    assert_eq!(other.get(&link).status, 404);
    let refused = other.log_in("u1", &right);
    assert!(refused.body.contains("name=\"state\"") || refused.status == 403, "{}", refused.body);
    let let_in = house.browser().log_in("u1", &codes[0]);
    assert_eq!((let_in.status, let_in.location()), (303, Some("/me")));
    let trail = house.desk.ok("audit export --since 1d --format jsonl");
    for reason in [
        "invited",
        "invite-used",
        "token-added",
        "token-verified",
        "recovery-codes-issued",
        "recovery-code-accepted",
    ] {
        assert!(trail.contains(&format!("\"{reason}\"")), "no {reason} in {trail}");
    }
    let by_user = trail.lines().filter(|line| line.contains("\"invite-used\""));
    assert!(
        by_user.clone().all(|line| line.contains("\"actor\":\"u1\"") && line.contains("\"portal\"")),
        "{trail}"
    );
}

#[test]
fn a_link_that_is_over_taken_back_or_replaced_looks_like_one_that_never_was() {
    let house = House::open("people-links", "");
    let replaced = house.invite("u1", "");
    let revoked = house.invite("u1", "");
    house.desk.ok("user invite u1 --revoke");
    house.desk.fails("user invite u1 --revoke", 1);
    let mut browser = house.browser();
    let never = browser.get("/enrol/AAAAAAAAAAAAAAAAAAAAAHUx");
    assert_eq!(never.status, 404);
    for link in [&replaced, &revoked] {
        let gone = browser.get(link);
        assert_eq!((gone.status, &gone.body), (404, &never.body));
    }
    // A seat that was taken before is worth nothing after.
    let link = house.invite("u1", "");
    browser.accept(&link);
    let page = browser.get("/setup/totp");
    house.desk.ok("user invite u1 --revoke");
    let late = browser.post(&page, "/setup/totp", &[("code", &code::now(&seed(&page)))]);
    assert_eq!(late.status, 404, "{}", late.body);
    assert!(!house.desk.ok("user show u1").contains("app-"));
    let blocked = house.invite("u1", "");
    house.desk.ok("user block u1 --for 1h --reason test");
    assert_eq!(browser.get(&blocked).status, 404);
}

#[test]
fn whoever_guesses_links_is_stopped() {
    let house = House::open("people-guess", "");
    let link = house.invite("u1", "");
    let mut browser = house.browser();
    let said: Vec<u16> = (0..30).map(|_| browser.get("/enrol/AAAAAAAAAAAAAAAAAAAAAHUx").status).collect();
    assert_eq!(said[..20], [404; 20]);
    assert_eq!(said[20..], [429; 10]);
    assert_eq!(browser.get(&link).status, 429);
}

#[test]
fn a_form_of_another_site_or_without_its_token_does_nothing() {
    let house = House::open("people-csrf", "");
    let link = house.invite("u1", "");
    let mut browser = house.browser();
    let page = browser.get(&link);
    let token = token(&page);
    let cross = ("Sec-Fetch-Site", "cross-site");
    for header in [("Origin", "https://evil.example"), cross, ("Origin", "null")] {
        assert_eq!(browser.post_with(&token, &link, &[], &[header]).status, 403, "{header:?}");
    }
    assert_eq!(browser.post_with("", &link, &[], &[]).status, 403);
    assert_eq!(house.browser().post_with(&token, &link, &[], &[]).status, 403, "another browser's token");
    browser.accept(&link);
    let page = browser.get("/setup/totp");
    let right = code::now(&seed(&page));
    let code = [("code", right.as_str())];
    assert_eq!(browser.post_with(&token, "/setup/totp", &code, &[]).status, 403);
    assert_eq!(browser.post_with(&self::token(&page), "/setup/totp", &code, &[cross]).status, 403);
    assert!(!house.desk.ok("user show u1").contains("app-"));
    for path in
        ["/me/login", "/me/codes", "/me/report", "/me/device", "/me/token", "/me/settings", "/me/logout"]
    {
        let sent = house.browser().post_with("", path, &[], &[cross]);
        assert!(sent.status == 403 || sent.location() == Some("/me"), "{path}: {sent:?}");
    }
}

#[test]
fn only_a_password_and_a_second_factor_open_a_users_own_page() {
    let house = House::open("people-me", "");
    let mut browser = house.browser();
    for path in ["/setup", "/setup/totp"] {
        assert_eq!(browser.get(path).location(), Some("/me"), "{path}");
    }
    let page = browser.get("/me");
    assert!(page.body.contains("autocomplete=\"current-password\""));
    for (user, password) in [("alice", "wrong"), ("nobody", "correct horse"), ("u1", "correct horse")] {
        let refused = browser.post(&page, "/me/login", &[("user", user), ("password", password)]);
        assert_eq!(refused.status, 403, "{user}: {}", refused.body);
        assert!(!refused.body.contains("name=\"state\""), "{user}");
    }
    let seed = User::named("alice").seed;
    let let_in = browser.log_in("alice", &code::now(&seed));
    assert_eq!((let_in.status, let_in.location()), (303, Some("/me")), "{}", let_in.body);
    let own = browser.get("/me?next=https://evil.example/");
    assert!(own.body.contains("T-1") && !own.body.contains("evil"), "{}", own.body);
    let changed = browser.post(&own, "/me/settings", &[("method", "totp"), ("language", "hu")]);
    assert_eq!(changed.location(), Some("/me"));
    let own = browser.get("/me");
    assert!(
        own.body.contains("<html lang=\"hu\"") && own.body.contains("Legutóbbi belépések"),
        "{}",
        own.body
    );
    for (method, language) in [("pigeon", ""), ("", "tlh")] {
        let refused = browser.post(&own, "/me/settings", &[("method", method), ("language", language)]);
        assert_eq!(refused.status, 400, "{method} {language}");
    }
    let codes = browser.post(&own, "/me/codes", &[]);
    assert_eq!(recovery_codes(&codes).len(), 10, "{}", codes.body);
    assert!(house.desk.ok("user show alice").contains("10 of 10 left"));
    // Somebody else's token is not theirs to take away.
    house.desk.write("more.csv", &format!("user,serial,secret\nu1,T-2,{}\n", User::named("u1").seed));
    house.desk.ok("token import more.csv");
    browser.post(&own, "/me/token", &[("serial", "T-2")]);
    assert!(house.desk.ok("token show T-2 --format json").contains("\"enabled\": true"));
    browser.post(&own, "/me/token", &[("serial", "T-1")]);
    assert!(house.desk.ok("token show T-1 --format json").contains("\"enabled\": false"));
    assert!(browser.get("/me").body.contains("/me/logout"), "what they take away themselves ends no seat");
    let out = browser.post(&own, "/me/logout", &[]);
    assert_eq!(out.location(), Some("/me"));
    assert!(browser.get("/me").body.contains("current-password"));
}

#[test]
fn a_seat_ends_with_the_password_or_a_factor_that_was_taken_away() {
    let house = House::open("people-seat-ends", "");
    house.desk.write("more.csv", &format!("user,serial,secret\nu1,T-2,{}\n", User::named("u1").seed));
    house.desk.ok("token import more.csv");
    house.desk.write("other", "another horse\n");
    for (user, taken) in [("alice", "user set alice --password-file other"), ("u1", "token disable T-2")] {
        let mut browser = house.browser();
        let let_in = browser.log_in(user, &code::now(&User::named(user).seed));
        assert_eq!(let_in.location(), Some("/me"), "{}", let_in.body);
        let own = browser.get("/me");
        assert_eq!(browser.get("/setup").status, 200);
        house.desk.ok(taken);
        let late = browser.post(&own, "/me/codes", &[]);
        assert_eq!((late.status, late.location()), (303, Some("/me")), "{user}");
        assert!(browser.get("/me").body.contains("current-password"), "{user}");
        assert_eq!(browser.get("/setup").location(), Some("/me"), "{user}");
    }
}

#[test]
fn whoever_says_that_a_login_was_not_theirs_is_blocked_and_sits_no_more() {
    let house = House::open("people-report", "");
    let mut browser = house.browser();
    let let_in = browser.log_in("alice", &code::now(&User::named("alice").seed));
    assert_eq!(let_in.location(), Some("/me"), "{}", let_in.body);
    let own = browser.get("/me");
    let said = browser.post(&own, "/me/report", &[]);
    assert_eq!(said.status, 200);
    assert!(browser.get("/me").body.contains("current-password"));
    let shown = house.desk.ok("user show alice");
    assert!(shown.contains("blocked since"), "{shown}");
    let page = browser.get("/me");
    let refused = browser.post(&page, "/me/login", &[("user", "alice"), ("password", "correct horse")]);
    assert_eq!(refused.status, 403);
}
