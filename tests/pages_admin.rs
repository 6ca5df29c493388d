//! The admins' pages, as a browser without scripts sees them: the real program, its forms sent as they stand in its pages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and asks the real clock for the codes of this moment"
)]

mod cli_support;
mod pages_support;
mod support;

use std::time::Duration;

use cli_support::Desk;
use pages_support::browser::ME;
use pages_support::estate::PASSWORD;
use pages_support::office::log_in;
use pages_support::{Browser, Estate, Office, SEED};
use support::caller::{Caller, FORM, fields};
use support::http::request;
use support::process::poll;
use support::{code, free_port};

#[test]
fn the_pages_let_in_whoever_has_a_role_and_do_what_the_role_allows() {
    let office = Office::open("api-pages-roles");
    let mut ned = office.browser();
    let shown = log_in(&mut ned, "ned");
    assert!(shown.body.contains("Logins under way"), "{shown:?}");
    let page = ned.get("/user?name=alice");
    assert!(page.body.contains("Why can they not log in?") && page.body.contains("T-1"), "{page:?}");
    let act = |ned: &mut Browser, user: &str, rest: &[(&str, &str)]| {
        ned.post(&page, "/user", &[&[("name", user), ("reason", "ticket 4711")], rest].concat())
    };
    let done = act(&mut ned, "alice", &[("act", "block"), ("for", "1h")]);
    assert!(done.status == 200 && done.body.contains("Blocked since"), "{done:?}");
    for (user, what) in [("olga", "unlock"), ("ned", "unlock"), ("alice", "role:admin")] {
        let refused = act(&mut ned, user, &[("act", what)]);
        assert_eq!(refused.status, 403, "{user} {what}");
        assert!(refused.body.contains("You may not do this"), "{refused:?}");
    }
    let bare = ned.post(&page, "/user", &[("name", "alice"), ("act", "unblock")]);
    assert_eq!(bare.status, 422, "without a reason");
    let whole = [("name", "alice"), ("reason", "x"), ("act", "unblock")];
    assert_eq!(ned.post_with("00", "/user", &whole, &[]).status, 403, "another token");
    assert_eq!(ned.caller.send("POST", "/user", &[FORM], &fields(&whole)).status, 403, "no token");
    for path in ["/reports", "/clients", "/audit?user=alice", "/users?q=a"] {
        let page = ned.get(path);
        assert_eq!(page.status, 200, "{path}");
        assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));
    }
    let rows = office.read("auditor", "/audit?user=alice&result=noted");
    assert!(
        rows["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["actor"] == "ned" && row["reason"] == "blocked")
    );

    // The role is looked at anew each time.
    office.desk.ok("admin remove ned");
    assert_eq!(ned.get("/users").status, 303);
    assert!(ned.get("/users").body.contains("name=\"password\""));

    // No role, no page; and no word about why.
    let mut alice = office.browser();
    let refused = log_in(&mut alice, "alice");
    assert!(refused.status == 403 && refused.body.contains("The login was refused."), "{refused:?}");
    let mut stranger = office.browser();
    let unknown = log_in(&mut stranger, "mallory");
    assert!(unknown.status == 403 && unknown.body.contains("The login was refused."), "{unknown:?}");
}

#[test]
fn a_seat_ends_with_the_password_or_a_factor_it_was_taken_by_and_reloads_by_itself_keep_it_no_longer() {
    let office = Office::open("api-seat-ends");
    let mut olga = office.browser();
    let shown = log_in(&mut olga, "olga");
    assert!(shown.body.contains("content=\"30;url=/?auto\""), "{shown:?}");
    assert!(olga.get("/?auto").body.contains("Logins under way"));
    office.desk.ok("token disable T-2");
    assert_eq!(olga.get("/users").status, 303);
    assert!(olga.get("/users").body.contains("name=\"password\""));

    let mut ned = office.browser();
    assert!(log_in(&mut ned, "ned").body.contains("Logins under way"));
    office.desk.write("other", "another horse\n");
    office.desk.ok("user set alice --password-file other");
    assert_eq!(ned.get("/users").status, 200, "somebody else's");
    office.desk.ok("user set ned --password-file other");
    assert_eq!(ned.get("/users").status, 303);
    assert!(ned.get("/users").body.contains("name=\"password\""));
}

#[test]
fn too_many_logins_from_one_place_are_not_even_looked_at() {
    let office = Office::open("api-brute-force");
    let mut browser = office.browser();
    let shown = browser.get("/");
    let mut statuses = Vec::new();
    for number in 0..33 {
        let user = format!("u{number}");
        statuses.push(browser.post(&shown, "/login", &[("user", &user), ("password", "")]).status);
    }
    assert_eq!(statuses.iter().position(|status| *status == 429), Some(30), "{statuses:?}");
}

#[test]
fn nobody_is_sent_anywhere_else_and_no_page_is_framed() {
    let office = Office::open("api-redirects");
    let mut browser = office.browser();
    for path in [
        "//evil.example",
        "/login?next=https://evil.example",
        "/user?name=//evil.example",
        "/%0d%0aX:1",
        "/\\evil",
    ] {
        let answer = browser.get(path);
        assert!(matches!(answer.location(), None | Some("/")), "{path}: {answer:?}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    let shown = browser.get("/");
    let pairs = [("user", "x"), ("password", "y"), ("next", "https://evil.example")];
    let answer = browser.post(&shown, "/login", &pairs);
    assert_eq!((answer.status, answer.location()), (403, None));
    // Somebody else's page sends the form: neither its word nor a browser's without one is taken.
    for origin in ["https://evil.example", "null"] {
        browser.origin = Some(origin.to_owned());
        assert_eq!(browser.post(&shown, "/login", &pairs).status, 403, "{origin}");
    }
}

#[test]
fn a_login_that_waits_for_its_user_is_shown_until_it_ends() {
    let estate = Estate::open("admin-live");
    let olga = estate.seat(&estate.admin, "olga", 2);
    let overview = || olga.send("GET", "/", &[], "").body;
    assert!(!overview().contains("waits for the user"), "{}", overview());
    let mut bob = Browser::of(Caller::new(3, &estate.portal));
    let asked = bob.knock(ME, "bob", PASSWORD);
    let shown = poll("the login", Duration::from_secs(20), || {
        Some(overview()).filter(|body| body.contains("waits for the user"))
    });
    assert!(shown.contains("/user?name=bob") && shown.contains("<td>portal</td>"), "{shown}");
    let own = olga.send("GET", "/user?name=bob", &[], "").body;
    assert!(own.contains("waits for the user"), "{own}");
    assert_eq!(bob.answer(ME, &asked, "bob", &code::now(SEED)).status, 303);
    poll("its end", Duration::from_secs(20), || (!overview().contains("waits for the user")).then_some(()));
}

#[test]
fn the_old_number_is_told_of_a_new_one_and_no_code_goes_to_that_for_a_day() {
    let desk = Desk::new("admin-phone");
    desk.write("password", "correct horse\n");
    desk.write("secret", "a long shared secret");
    let directory = desk.scratch.path().display().to_string();
    desk.write("take", &format!("{{ cat; echo \" to $1\"; }} > {directory}/part.$$ && cat {directory}/part.$$ >> {directory}/sent\n"));
    desk.ok("user add alice --password-file password --phone +36301234567");
    let token = desk.ok("admin token add desk --role helpdesk");
    let (radius, admin) = (free_port(), free_port());
    let _server = desk.serve(&format!(
        "serve --server-name mfa-a --listen 127.0.0.1:{radius} --primary name=here,type=local --admin {admin} \
         --client name=nas,address=127.0.0.1,secret=file:secret \
         --channel name=texts,kind=sms,type=command,argv=/bin/sh,argv={directory}/take,argv={{to}}"
    ));
    let bearer = format!("Bearer {}", token.trim());
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body = r#"{"reason":"new telephone","phone":"+36309999999"}"#;
    let changed = request(&format!("127.0.0.1:{admin}"), "POST", "/api/v1/users/alice/phone", &headers, body);
    assert_eq!(changed.status, 200, "{changed:?}");
    let sent = poll("the message", Duration::from_secs(20), || {
        std::fs::read_to_string(desk.scratch.join("sent")).ok().filter(|sent| sent.contains(" to "))
    });
    assert!(sent.contains("Your telephone number") && sent.contains(" to +36301234567"), "{sent}");
    assert!(!sent.contains("9999999"), "nobody is told the new one: {sent}");
    let shown = desk.ok("user show alice");
    assert!(shown.contains("+36309999999"), "{shown}");
    let refused = desk.run(&format!(
        "login alice --server 127.0.0.1:{radius} --secret file:secret --password-file password --timeout 20s --code 000000"
    ));
    assert_eq!(refused.status.code(), Some(1), "{}", refused.transcript());
    assert_eq!(desk.read("sent"), sent, "nothing went to the new one");
}
