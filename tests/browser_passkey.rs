//! Passkeys in a real browser with WebDriver's virtual authenticator: made by invitation, shown at `/me`, and the only thing that approves
//! a push; refused where the authenticator did not make sure of its user.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod browser_support;
mod cli_support;
mod pages_support;
mod support;

use browser_support::Browser;
use pages_support::{House, by_name};
use serde_json::json;
use support::webhook::Webhook;

/// A phone's own authenticator (W3C `WebAuthn` §11), beside `browser` until that is closed.
struct Authenticator<'a> {
    browser: &'a Browser,
    id: String,
}

impl Authenticator<'_> {
    fn new(browser: &Browser) -> Authenticator<'_> {
        let wanted = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserVerified": true, "isUserConsenting": true,
        });
        let id = browser.command("POST", "/webauthn/authenticator", &wanted);
        Authenticator { browser, id: id.as_str().unwrap().to_owned() }
    }

    /// Whether its user shows the right face from here on.
    fn knows_its_user(&self, knows: bool) {
        let path = format!("/webauthn/authenticator/{}/uv", self.id);
        self.browser.command("POST", &path, &json!({ "isUserVerified": knows }));
    }
}

#[test]
fn a_passkey_is_made_by_invitation_logs_in_and_approves_a_push_when_its_user_is_there() {
    let ntfy = Webhook::start();
    let house =
        House::open_pushing("browser-passkey", ",challenge=false,patience=5m,require=passkey", |_| {
            format!("--push lifetime=5m --channel name=ntfy,kind=push,type=ntfy,url=http://{}", ntfy.address)
        });
    let url = by_name(&house.portal);
    house.desk.ok("device add u1 --channel ntfy --address u1-phone");
    let browser = Browser::open(&house.desk.scratch);
    let authenticator = Authenticator::new(&browser);

    browser.go(&format!("{url}{}", house.invite("u1", "")));
    browser.click("button");
    browser.wait_for_text("What shall u1 log in with");
    browser.click("a[href='/setup/passkey']");
    browser.wait_for_text("What this passkey is called");
    assert!(!browser.overflows());
    browser.picture_for_guide("passkey-setup");
    authenticator.knows_its_user(false);
    browser.click("form[data-passkey] button");
    browser.wait_for_text("No passkey was made");
    assert!(!house.desk.ok("user show u1").contains("passkey"), "nothing was added");
    authenticator.knows_its_user(true);
    browser.click("form[data-passkey] button");
    browser.wait_for_text("Your passkey is ready");
    assert_eq!(browser.all("ul.codes li").len(), 10);
    assert!(house.desk.ok("user show u1").contains("passkey since"), "{}", house.desk.ok("user show u1"));

    browser.go(&format!("{url}/me"));
    browser.fill("#user", "u1");
    assert!(!browser.overflows());
    browser.picture_for_guide("passkey-login");
    authenticator.knows_its_user(false);
    browser.click("#by-passkey button");
    browser.wait_for_text("No passkey was shown");
    authenticator.knows_its_user(true);
    browser.click("#by-passkey button");
    let own = browser.wait_for_text("Recent logins");
    assert!(own.contains("Passkey") && own.contains("last used"), "{own}");
    assert!(!browser.overflows());
    browser.picture("passkey-me");

    std::thread::scope(|scope| {
        let login = scope.spawn(|| house.nas_within("5m", "u1", "").0);
        let published = ntfy.question(0).json();
        browser.go(published["click"].as_str().unwrap());
        browser.wait_for_text("approved with your passkey");
        assert!(!browser.overflows());
        browser.picture_for_guide("passkey-approve");
        authenticator.knows_its_user(false);
        browser.click("button[value=approve]");
        browser.wait_for_text("No passkey was shown");
        authenticator.knows_its_user(true);
        browser.click("button[value=approve]");
        browser.wait_for_text("Go on where you are logging in");
        assert_eq!(login.join().unwrap(), 0);
    });
    let trail = house.desk.ok("audit export --since 1d --format jsonl");
    for reason in ["passkey-added", "passkey-accepted", "passkey-used", "phone-approved"] {
        assert!(trail.contains(&format!("\"{reason}\"")), "no {reason} in {trail}");
    }
    let foreign: Vec<String> = browser
        .requests()
        .into_iter()
        .filter(|asked| !asked.starts_with(&url) && !asked.starts_with("data:"))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}
