//! What the help desk sees and does on the admins' pages, and what users are told of it: the real program.

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

use std::time::Duration;

use cli_support::Desk;
use pages_support::{House, PASSWORD, SEED};
use support::caller::{Caller, FORM, fields, hidden};
use support::http::request;
use support::process::poll;
use support::{code, free_port};

#[test]
fn a_login_that_waits_for_its_user_is_shown_until_it_ends() {
    let house = House::open("admin-live");
    let olga = house.seat(&house.admin, "olga", 2);
    let overview = || olga.send("GET", "/", &[], "").body;
    assert!(!overview().contains("waits for the user"), "{}", overview());
    let mut bob = Caller::new(3, &house.portal);
    let page = bob.visit("GET", "/me", &[], "");
    let token = hidden(&page.body, "form-token").unwrap();
    let form = fields(&[("form-token", &token), ("user", "bob"), ("password", PASSWORD)]);
    let asked = bob.visit("POST", "/me/login", &[FORM], &form);
    let state = hidden(&asked.body, "state").unwrap();
    let shown = poll("the login", Duration::from_secs(20), || {
        Some(overview()).filter(|body| body.contains("waits for the user"))
    });
    assert!(shown.contains("/user?name=bob") && shown.contains("<td>portal</td>"), "{shown}");
    let own = olga.send("GET", "/user?name=bob", &[], "").body;
    assert!(own.contains("waits for the user"), "{own}");
    let form =
        fields(&[("form-token", &token), ("user", "bob"), ("state", &state), ("code", &code::now(SEED))]);
    assert_eq!(bob.visit("POST", "/me/login", &[FORM], &form).status, 303);
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
