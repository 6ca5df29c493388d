//! Users who are led from a gateway's prompt to the page where they set up a first factor (`unenrolled = "enrol"`), and those who try to
//! be who are not meant: the real program, its forms sent as they stand in its pages.

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

use std::time::{Duration, Instant};

use cli_support::Desk;
use pages_support::{Browser, House, recovery_codes, seed};
use support::code;
use support::http::Answer;

const NEAR: &str = "--calling-station-id 198.51.100.7";

fn house(name: &str) -> House {
    House::open_with(name, ",unenrolled=enrol,enrol-networks=198.51.100.0/24", "")
}

/// The code that the gateway shows after the right password.
fn shown_code(house: &House) -> String {
    let (_, said) = house.nas("u1", &format!("{NEAR} --code 000000"));
    let place = format!("Set up your second factor at http://{}/enrol with the code ", house.portal);
    let rest = said.split(&place).nth(1).unwrap_or_else(|| panic!("{said}"));
    rest[..9].to_owned()
}

fn show(browser: &mut Browser, user: &str, code: &str) -> Answer {
    let page = browser.get("/enrol");
    assert_eq!(page.status, 200, "{}", page.body);
    browser.post(&page, "/enrol", &[("user", user), ("code", code)])
}

#[test]
fn a_code_from_the_gateway_leads_to_a_first_factor_once() {
    let house = house("led-once");
    let far = house.nas("u1", "--calling-station-id 203.0.113.9 --code 000000");
    assert!(far.0 != 0 && !far.1.contains("second factor"), "{}", far.1);
    let (first, second) = (shown_code(&house), shown_code(&house));
    assert_ne!(first, second);
    let mut browser = house.browser();
    assert_eq!(show(&mut browser, "alice", &first).status, 403, "somebody else's");
    assert_eq!(show(&mut browser, "u1", "ABCD-EFGH").status, 403, "a guess");
    assert_eq!(browser.get("/setup").location(), Some("/me"));
    let begun = show(&mut browser, "U1", &first.to_lowercase().replace('-', " "));
    assert_eq!((begun.status, begun.location()), (303, Some("/setup")));
    let mut thief = house.browser();
    for code in [&first, &second] {
        assert_eq!(show(&mut thief, "u1", code).status, 403, "a code that is used up, or its neighbour");
    }
    // Another login gives another code, and whoever is first has it.
    let third = shown_code(&house);
    assert_eq!(show(&mut thief, "u1", &third).location(), Some("/setup"));
    let page = browser.get("/setup/totp");
    let secret = seed(&page);
    assert!(!house.desk.ok("user show u1").contains("app-"), "nothing is active before it is confirmed");
    let done = browser.post(&page, "/setup/totp", &[("code", &code::now(&secret))]);
    assert_eq!(recovery_codes(&done).len(), 10, "{}", done.body);
    let late = thief.get("/setup/totp");
    let refused = thief.post(&late, "/setup/totp", &[("code", &code::now(&seed(&late)))]);
    assert_eq!(refused.status, 409, "{}", refused.body);
    let shown = house.desk.ok("user show u1");
    assert!(shown.matches("app-").count() == 1 && shown.contains("10 of 10 left"), "{shown}");
    // From now on the gateway asks for a code.
    let (_, said) = house.nas("u1", &format!("{NEAR} --code 000000"));
    assert!(said.contains("Enter the code") && !said.contains("Set up"), "{said}");
    let trail = house.desk.ok("audit export --since 1d --format jsonl");
    for reason in ["enrol-elsewhere", "enrol-code-shown", "enrol-code-used", "token-verified"] {
        assert!(trail.contains(&format!("\"{reason}\"")), "no {reason} in {trail}");
    }
    assert!(!trail.contains(&first) && !trail.contains(&third), "a code stands nowhere");
}

#[test]
fn a_code_is_worth_nothing_after_five_wrong_ones_or_a_factor_from_elsewhere() {
    let house = house("led-spent");
    let code = shown_code(&house);
    let mut browser = house.browser();
    for _ in 0..5 {
        assert_eq!(show(&mut browser, "u1", "ABCD-EFGH").status, 403);
    }
    assert_eq!(show(&mut browser, "u1", &code).status, 403);
    let code = shown_code(&house);
    house.desk.ok("user block u1 --for 1h --reason test");
    assert_eq!(show(&mut browser, "u1", &code).status, 403);
    house.desk.ok("user unblock u1");
    let code = shown_code(&house);
    house.desk.write("more.csv", "user,serial,secret\nu1,T-2,GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n");
    house.desk.ok("token import more.csv");
    assert_eq!(show(&mut browser, "u1", &code).status, 403);
    // Who lost it is no newcomer.
    house.desk.ok("token remove T-2");
    let (_, said) = house.nas("u1", &format!("{NEAR} --code 000000"));
    assert!(!said.contains("Set up"), "{said}");
}

#[test]
fn whoever_guesses_codes_is_stopped_whatever_names_they_say() {
    let house = house("led-guess");
    let code = shown_code(&house);
    let mut browser = house.browser();
    for number in 0..20 {
        assert_eq!(show(&mut browser, &format!("x{number}"), "ABCD-EFGH").status, 403);
    }
    let page = browser.get("/enrol");
    assert_eq!(browser.post(&page, "/enrol", &[("user", "u1"), ("code", &code)]).status, 429);
}

#[test]
fn of_two_that_confirm_at_the_same_moment_one_has_the_recovery_codes_and_the_other_is_told() {
    let house = house("led-twice");
    let link = house.invite("u1", "");
    for user in ["u1", "alice"] {
        let mut browser = house.browser();
        if user == "u1" {
            browser.accept(&link);
        } else {
            browser.log_in("alice", &code::now(&support::User::named("alice").seed));
        }
        let page = browser.get("/setup/totp");
        let right = code::now(&seed(&page));
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..4)
                .map(|_| {
                    let mut browser = browser.clone();
                    let (page, right) = (&page, &right);
                    scope.spawn(move || browser.post(page, "/setup/totp", &[("code", right)]))
                })
                .collect();
            senders.into_iter().map(|sender| sender.join().unwrap()).collect()
        });
        let with_codes = answers.iter().filter(|shown| !recovery_codes(shown).is_empty()).count();
        assert_eq!(with_codes, 1, "{user}: {answers:?}");
        let told = |shown: &&Answer| matches!(shown.status, 303 | 404 | 409 | 403);
        assert_eq!(answers.iter().filter(told).count(), 3, "{user}: {answers:?}");
        let shown = house.desk.ok(&format!("user show {user}"));
        assert!(shown.matches("app-").count() == 1 && shown.contains("10 of 10 left"), "{shown}");
    }
}

#[test]
fn whoever_lost_all_factors_is_invited_once_by_mail_and_told_to_nobody_else() {
    let desk = Desk::new("led-lost");
    let mail = House::texts(&desk, "email");
    let house = House::open_at(desk, ",unenrolled=enrol,enrol-networks=198.51.100.0/24,methods=totp", &mail);
    house.desk.ok("user set alice --mail alice@example.com");
    house.desk.ok("token remove T-1");
    house.desk.write("lost.csv", "user,serial,secret\nu1,T-2,GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n");
    house.desk.ok("token import lost.csv");
    house.desk.ok("token remove T-2");
    for _ in 0..3 {
        let (exit, said) = house.nas("alice", &format!("{NEAR} --code 000000"));
        assert!(exit != 0 && !said.contains("Set up"), "{said}");
    }
    let until = Instant::now() + Duration::from_mins(1);
    let link = loop {
        let sent = std::fs::read_to_string(house.desk.scratch.path().join("sent")).unwrap_or_default();
        let link = sent.split_whitespace().find(|word| word.contains("/enrol/")).map(str::to_owned);
        if let Some(link) = link {
            break link;
        }
        assert!(Instant::now() < until, "nothing was sent");
        std::thread::yield_now();
    };
    let mut browser = house.browser();
    browser.accept(link.strip_prefix(&format!("http://{}", house.portal)).unwrap());
    // With nothing on file nothing is sent, and an admin is told by the reason.
    let (_, said) = house.nas("u1", &format!("{NEAR} --code 000000"));
    assert!(!said.contains("Set up"), "{said}");
    let trail = house.desk.ok("audit export --since 1d --format jsonl");
    let invited: Vec<&str> = trail.lines().filter(|line| line.contains("\"invited\"")).collect();
    assert!(
        invited.len() == 1 && invited[0].contains("this server") && invited[0].contains("alice"),
        "{trail}"
    );
    assert_eq!(trail.matches("\"factor-withdrawn\"").count(), 4, "{trail}");
}
