//! The admins' pages, seen by a real browser as small as a phone.

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

use browser_support::{Browser, ENTER, Scheme, TAB};
use cli_support::Desk;
use pages_support::SEED;
use pages_support::office::staff;
use serde_json::json;
use support::{Process, code, free_port};

/// A server with an admin, a help desk and a user who is blocked; the pages' URL.
fn serve(name: &str) -> (Desk, Process, String) {
    let desk = Desk::new(name);
    staff(&desk);
    desk.ok("user block alice --for 90d --reason holiday");
    let (port, admin) = (free_port(), free_port());
    let server = desk.serve(&format!(
        "serve --server-name mfa-a --listen 127.0.0.1:{port} --client name=vpn,address=127.0.0.1,secret=file:secret \
         --primary name=here,type=local --admin listen=127.0.0.1:{admin},public-url=http://localhost:{admin}"
    ));
    (desk, server, format!("http://localhost:{admin}"))
}

fn login(browser: &Browser, url: &str, user: &str) {
    browser.go(url);
    browser.fill("#user", user);
    browser.fill("#password", "correct horse");
    browser.click("main form button");
    browser.fill("#code", &code::now(SEED));
    browser.click("main form button");
}

/// What the pages asked others for, and what the browser complains of.
fn nothing_foreign(browser: &Browser, url: &str) {
    let foreign: Vec<String> =
        browser.requests().into_iter().filter(|asked| !asked.starts_with(url) && asked != "data:,").collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn an_admin_finds_out_why_somebody_cannot_log_in_and_helps_and_every_page_fits_a_phone() {
    let (desk, _server, url) = serve("browser-admin");
    let browser = Browser::open(&desk.scratch);
    browser.scheme(Scheme::Light);
    login(&browser, &url, "olga");
    browser.wait_for_text("Logins under way");
    for (path, says) in [
        ("/", "None at this moment."),
        ("/users?q=ali", "alice"),
        ("/reports", "Logins by day"),
        ("/clients", "vpn"),
        ("/audit", "holiday"),
        ("/user?name=alice", "Why can they not log in?"),
    ] {
        browser.go(&format!("{url}{path}"));
        browser.wait_for_text(says);
        assert!(!browser.overflows(), "{path} is wider than a phone");
    }
    nothing_foreign(&browser, &url);
    let page = browser.text();
    // What is known of her is long, and the picture in the guide small.
    browser.run("document.querySelector('main .card').hidden = true");
    let height = |pixels: u32| {
        let size = json!({ "width": 360, "height": pixels, "deviceScaleFactor": 1, "mobile": true });
        browser.cdp("Emulation.setDeviceMetricsOverride", &size);
    };
    height(520);
    browser.picture_for_guide("admin-user");
    assert!(page.contains("Blocked since") && page.contains("holiday"), "{page}");
    browser.run("document.getElementById('act').value = 'unblock'");
    browser.fill("#reason", "back from the holiday");
    browser.click("form.card button");
    let page = browser.wait_for_text("Done.");
    assert!(page.contains("Nothing keeps them from logging in.") && page.contains("olga"), "{page}");
    browser.go(&format!("{url}/reports"));
    assert_eq!(browser.label("svg"), "Logins by day");
    browser.picture_for_guide("admin-reports");
    nothing_foreign(&browser, &url);
    let trail = desk.ok("audit export --since 1d --format jsonl");
    let row = trail.lines().find(|line| line.contains("\"unblocked\"")).unwrap();
    assert!(row.contains("\"olga\"") && row.contains("back from the holiday"), "{row}");
}

#[test]
fn the_help_desk_works_with_the_keyboard_alone_and_in_hungarian_and_has_no_say_over_admins() {
    let (desk, _server, url) = serve("browser-helpdesk");
    let browser = Browser::speaking(&desk.scratch, "hu");
    browser.scripts(false);
    browser.go(&url);
    browser.wait_for_text("Bejelentkezés");
    // The link that skips to the content, the name, the password.
    browser.press(&[TAB, TAB]);
    browser.press(&["n", "e", "d", TAB]);
    browser.press(&"correct horse".split("").filter(|key| !key.is_empty()).collect::<Vec<_>>());
    browser.press(&[ENTER]);
    browser.find("#code");
    // It has the focus already.
    browser.press(&code::now(SEED).split("").filter(|key| !key.is_empty()).collect::<Vec<_>>());
    browser.press(&[ENTER]);
    browser.wait_for_text("Folyamatban lévő bejelentkezések");
    browser.go(&format!("{url}/user?name=olga"));
    browser.wait_for_text("Miért nem tud bejelentkezni?");
    browser.fill("#reason", "teszt");
    browser.press(&[ENTER]);
    browser.wait_for_text("Ezt nem teheti meg");
    assert!(!browser.overflows());
    assert!(!desk.ok("audit export --since 1d --format jsonl").contains("teszt"));
}
