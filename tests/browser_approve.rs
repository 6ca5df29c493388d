//! The page that a notification opens on the phone, in a real browser: radclient logs in, a server of the test's own takes what is
//! published for ntfy, and Chromium goes where the notification leads.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod browser_support;
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use browser_support::{Browser, ENTER, SPACE, Scheme, TAB};
use support::process::poll;
use support::radclient::{Radclient, Reply, Signing};
use support::webhook::{Webhook, post};
use support::{FreeRadius, Radmfa, Scratch, User, free_port};

struct Site {
    radmfa: Radmfa,
    ntfy: Webhook,
    store: String,
    user: User,
    url: String,
    _primary: FreeRadius,
    scratch: Scratch,
}

/// A notification that arrived.
struct Notice {
    /// Where it leads.
    page: String,
    /// Its buttons: label and address.
    buttons: Vec<(String, String)>,
}

impl Site {
    /// One user with a password and a phone that ntfy reaches; a VPN gateway at 127.0.0.1 and an RD Gateway at 127.0.0.2.
    fn start(name: &str, more: &[&str]) -> Site {
        let (scratch, user) = (Scratch::new(name), User::named("u1"));
        let primary = FreeRadius::primary(&scratch, std::slice::from_ref(&user));
        let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
        let (ntfy, port) = (Webhook::start(), free_port());
        let server = primary.server();
        let upstream = format!("name=up,type=radius,server={},secret={}", server.address(), server.secret);
        let url = format!("http://localhost:{port}");
        let portal = format!("listen=127.0.0.1:{port},public-url={url}");
        let channel = format!("name=ntfy,kind=push,type=ntfy,url=http://{}", ntfy.address);
        let desktop = "name=rdg,display-name=Office desktops,address=127.0.0.2,secret=testing123,profile=rd-gateway,primary=none,patience=60s";
        let mut arguments = vec!["--server-name", "mfa-a", "--store", &store, "--primary", &upstream];
        arguments.extend(["--portal", &portal, "--channel", &channel, "--client", desktop]);
        // Long enough for a machine that stands still for a while; what comes last holds.
        if !more.iter().any(|said| said.contains("lifetime=")) {
            arguments.extend(["--push", "lifetime=5m"]);
        }
        arguments.extend(more);
        let ran = |arguments: &[&str]| {
            let arguments = [arguments, &["--store", &store]].concat();
            Radmfa::run(&scratch, &arguments).expect_success(&arguments.join(" "));
        };
        ran(&["user", "add", "u1"]);
        ran(&["device", "add", "u1", "--channel", "ntfy", "--address", "u1-phone"]);
        let radmfa = Radmfa::serve(&scratch, &arguments);
        Site { radmfa, ntfy, store, user, url, _primary: primary, scratch }
    }

    fn gateway(&self) -> Radclient<'_> {
        Radclient::new(&self.scratch, self.radmfa.server(), Signing::Signed)
    }

    /// The right password at the VPN gateway; the prompt.
    fn begin(&self) -> Reply {
        let mut attributes = support::radclient::credentials("u1", &self.user.password);
        attributes.push("Calling-Station-Id = \"198.51.100.7\"".to_owned());
        // Whoever begins anew within seconds of an end passes for a copy that was slow to arrive, and meets silence: a person tries again.
        let again = || self.gateway().try_send("auth", &attributes, 4);
        let challenge = poll("a prompt", Duration::from_mins(1), again);
        assert!(challenge.challenges(), "{challenge:?}");
        challenge
    }

    /// OK at the prompt.
    fn press_ok(&self, challenge: &Reply) -> Reply {
        let mut attributes = support::radclient::credentials("u1", "");
        attributes.push(format!("State = {}", challenge.one("State")));
        attributes.push("Calling-Station-Id = \"198.51.100.7\"".to_owned());
        // The phone has spoken already, or speaks while this waits.
        self.gateway().try_send("auth", &attributes, 60).expect("an answer at the prompt")
    }

    /// Notification `place`, counted from 0.
    fn notice(&self, place: usize) -> Notice {
        let published = self.ntfy.question(place).json();
        let actions = published["actions"].as_array().unwrap().iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        Notice {
            page: text(&published["click"]),
            buttons: actions.map(|action| (text(&action["label"]), text(&action["url"]))).collect(),
        }
    }

    fn command(&self, arguments: &[&str]) -> String {
        let arguments = [arguments, &["--store", &self.store]].concat();
        Radmfa::run(&self.scratch, &arguments).expect_success(&arguments.join(" ")).stdout
    }

    /// Waits until the trail has a row with `reason`.
    fn has_reason(&self, reason: &str) {
        poll(reason, Duration::from_secs(30), || {
            self.command(&["report", "auth", "--format", "json"])
                .contains(&format!("\"{reason}\""))
                .then_some(())
        });
    }

    /// Nothing came from another site, and nothing was refused by the policy; pages that say 409 are errors to a browser.
    fn is_clean(&self, browser: &Browser) {
        let asked = browser.requests();
        assert!(!asked.is_empty(), "the browser keeps no log of what it asks for");
        let foreign: Vec<&String> =
            asked.iter().filter(|url| !url.starts_with(&self.url) && !url.starts_with("data:")).collect();
        assert!(foreign.is_empty(), "{foreign:?}");
        let complaints = browser.complaints();
        let real: Vec<&String> = complaints.iter().filter(|line| !line.contains("409 (Conflict)")).collect();
        assert!(real.is_empty(), "{real:?}");
    }
}

/// The number at the prompt.
fn number(challenge: &Reply) -> String {
    let line = challenge.one("Reply-Message");
    line.split_whitespace()
        .nth(1)
        .filter(|word| word.len() == 2)
        .unwrap_or_else(|| panic!("{line}"))
        .to_owned()
}

fn wrong(number: &str) -> &'static str {
    if number == "10" { "11" } else { "10" }
}

/// A request without a browser: the answer as it is.
fn ask(url: &str, method: &str, headers: &[(&str, &str)], body: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut request = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: text/html\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.extend([*name, ": ", *value, "\r\n"]);
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(answer: &str) -> u16 {
    answer
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("{answer:?}"))
}

#[test]
fn the_number_at_the_prompt_is_typed_with_the_keyboard_alone_and_the_login_goes_on() {
    let site = Site::start("approve-right", &[]);
    let challenge = site.begin();
    let notice = site.notice(0);
    let browser = Browser::open(&site.scratch);
    browser.scheme(Scheme::Light);
    // Whoever looks at a link, a preview for one, changes nothing.
    for method in ["GET", "HEAD", "GET"] {
        assert_eq!(status(&ask(&notice.page, method, &[], "")), 200);
    }
    browser.go(&notice.page);
    let text = browser.text();
    for said in ["Is this you logging in?", "u1", "nas", "198.51.100.7", "Time left"] {
        assert!(text.contains(said), "{said} in {text}");
    }
    // Addresses and times have figures too, in lines of their own.
    let bare = |line: &&str| !line.contains([':', '.']) && !line.contains("seconds");
    let told = text.lines().filter(bare).flat_map(str::split_whitespace);
    assert!(told.clone().count() > 5, "{text}");
    assert!(!told.clone().any(|word| word == number(&challenge)), "the phone is told the number: {text}");
    assert!(!browser.overflows());
    assert_eq!(browser.label("#number"), "Number on the login screen");
    assert_eq!(browser.label("button[value=approve]"), "Approve");
    assert_eq!(
        browser.run("return document.activeElement.id"),
        "number",
        "the field is ready to be typed into"
    );
    let small = browser.run(
        "return [...document.querySelectorAll('button, input:not([type=hidden])')]
             .map(e => e.getBoundingClientRect()).filter(r => r.height > 0 && (r.height < 44 || r.width < 44)).length",
    );
    assert_eq!(small, 0, "something is too small for a thumb");
    browser.picture_for_guide("approve");
    for digit in number(&challenge).chars() {
        browser.press(&[digit.to_string().as_str()]);
    }
    browser.press(&[ENTER]);
    browser.wait_for_text("Go on where you are logging in");
    assert!(browser.has("[role=status]"), "a screen reader is told");
    browser.picture_for_guide("approved");
    assert!(site.press_ok(&challenge).accepts());
    site.has_reason("phone-approved");
    browser.go(&notice.page);
    browser.wait_for_text("Already answered");
    site.is_clean(&browser);
}

#[test]
fn a_wrong_number_is_a_denial_said_aloud_and_there_is_no_second_guess() {
    let site = Site::start("approve-wrong", &[]);
    let challenge = site.begin();
    let number = number(&challenge);
    let browser = Browser::open(&site.scratch);
    browser.go(&site.notice(0).page);
    browser.fill("#number", wrong(&number));
    browser.click("button[value=approve]");
    browser.wait_for_text("Wrong number");
    assert!(browser.has("[role=alert]"));
    browser.back();
    browser.go(&site.notice(0).page);
    browser.wait_for_text("Already answered");
    assert!(!browser.has("#number"));
    assert!(site.press_ok(&challenge).rejects());
    site.has_reason("number-wrong");

    let challenge = site.begin();
    browser.go(&site.notice(1).page);
    // From the field on: approve, deny.
    browser.press(&[TAB, TAB, SPACE]);
    browser.wait_for_text("Denied");
    assert!(site.press_ok(&challenge).rejects());
    site.has_reason("phone-denied");
    site.is_clean(&browser);
}

#[test]
fn this_was_not_me_asks_once_more_and_blocks_the_account() {
    let site = Site::start("approve-fraud", &[]);
    let challenge = site.begin();
    let browser = Browser::open(&site.scratch);
    browser.go(&site.notice(0).page);
    assert!(!browser.text().contains("Report it"), "one slip of the thumb must not block an account");
    browser.click("summary");
    browser.wait_for_text("Report it and block my account");
    browser.picture("approve-not-me");
    browser.click("button[value=fraud]");
    browser.wait_for_text("your account is blocked");
    assert!(site.press_ok(&challenge).rejects());
    site.has_reason("fraud-reported");
    assert!(site.command(&["user", "show", "u1"]).contains("somebody else's login"));
    site.is_clean(&browser);
}

#[test]
fn one_of_three_is_chosen_without_scripts_in_the_dark() {
    let site = Site::start("approve-choose", &["--push", "match=choose"]);
    let challenge = site.begin();
    let browser = Browser::open(&site.scratch);
    browser.scheme(Scheme::Dark);
    browser.scripts(false);
    browser.go(&site.notice(0).page);
    let choices = browser.all(".choices button").len();
    assert_eq!(choices, 3);
    assert!(!browser.has("#number") && !browser.has("button[value=approve]"));
    browser.picture_for_guide("approve-choose");
    browser.click(&format!(".choices button[value='{}']", number(&challenge)));
    browser.wait_for_text("Go on where you are logging in");
    assert!(site.press_ok(&challenge).accepts());
    site.is_clean(&browser);
}

#[test]
fn a_page_that_is_left_open_says_by_itself_that_it_is_too_late_in_the_users_own_language() {
    let site = Site::start("approve-late", &["--push", "lifetime=15s"]);
    site.command(&["user", "set", "u1", "--language", "hu"]);
    site.begin();
    let notice = site.notice(0);
    let browser = Browser::open(&site.scratch);
    browser.go(&notice.page);
    // A machine that was slow enough shows what comes after at once.
    let text = browser.text();
    assert!(text.contains("Ön jelentkezik be?") || text.contains("Túl késő"), "{text}");
    browser.wait_for_text("Túl késő");
    assert_eq!(status(&ask(&notice.page, "GET", &[], "")), 409);
    site.is_clean(&browser);
}

#[test]
fn a_device_that_was_taken_back_meanwhile_is_told_so() {
    let site = Site::start("approve-revoked", &[]);
    let challenge = site.begin();
    let browser = Browser::open(&site.scratch);
    browser.go(&site.notice(0).page);
    let listed = site.command(&["device", "list", "u1", "--format", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    site.command(&["device", "revoke", "u1", listed[0]["name"].as_str().unwrap()]);
    browser.fill("#number", &number(&challenge));
    browser.click("button[value=approve]");
    browser.wait_for_text("Device not active");
    assert!(site.press_ok(&challenge).rejects());
    site.has_reason("device-not-active");
}

#[test]
fn a_form_from_elsewhere_or_without_its_token_is_refused_and_tokens_cannot_be_tried() {
    let site = Site::start("approve-attacks", &[]);
    let challenge = site.begin();
    let page = site.notice(0).page;
    let shown = ask(&page, "GET", &[], "");
    for header in
        ["content-security-policy: default-src 'none'", "x-frame-options: DENY", "cache-control: no-store"]
    {
        assert!(shown.contains(header), "{header} in {shown}");
    }
    let cookie = shown.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    let token =
        shown.split("name=\"form-token\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let deny = format!("verdict=deny&form-token={token}");
    let refused: &[(&[(&str, &str)], &str)] = &[
        (&[form], &deny),
        (&[form, ("Cookie", "radmfa-portal-visit=00112233445566778899aabbccddeeff")], &deny),
        (&[form, ("Cookie", cookie)], "verdict=deny"),
        (&[form, ("Cookie", cookie)], "verdict=deny&form-token=0"),
        (&[form, ("Cookie", cookie), ("Origin", "http://evil.example")], &deny),
        (&[form, ("Cookie", cookie), ("Origin", "null")], &deny),
        (&[form, ("Cookie", cookie), ("Sec-Fetch-Site", "cross-site")], &deny),
    ];
    for (headers, body) in refused {
        assert_eq!(status(&ask(&page, "POST", headers, body)), 403, "{headers:?} {body}");
    }
    let strange = format!("verdict=perhaps&form-token={token}");
    assert_eq!(status(&ask(&page, "POST", &[form, ("Cookie", cookie)], &strange)), 400);

    // Tokens that are none: nothing is learnt of them, and whoever goes on is slowed down.
    let (front, own) = page.rsplit_once('/').unwrap();
    let mut statuses = Vec::new();
    for place in 0..40 {
        let mut guess = own.to_owned();
        guess.replace_range(place..=place, if &own[place..=place] == "A" { "B" } else { "A" });
        statuses.push(status(&ask(&format!("{front}/{guess}"), "GET", &[], "")));
    }
    assert!(statuses.iter().all(|status| matches!(status, 404 | 429)), "{statuses:?}");
    assert_eq!((statuses[0], statuses[39]), (404, 429));
    for other in ["/a/", "/a/x", "/a/%00", "/a/..%2f..%2fetc", &format!("/a/{}", "A".repeat(5000))] {
        assert!(
            matches!(status(&ask(&format!("{}{other}", site.url), "POST", &[form], &deny)), 404 | 429),
            "{other}"
        );
    }
    // Whoever has a good one is kept out by nobody.
    let browser = Browser::open(&site.scratch);
    browser.go(&page);
    browser.fill("#number", &number(&challenge));
    browser.click("button[value=approve]");
    browser.wait_for_text("Go on where you are logging in");
    assert!(site.press_ok(&challenge).accepts());
}

#[test]
fn the_buttons_of_a_notification_answer_once_each_for_its_own_question() {
    let site = Site::start("approve-buttons", &[]);
    let desktop = || {
        let attributes =
            ["User-Name = \"u1\"", "Packet-Src-IP-Address = 127.0.0.2", "NAS-Port-Type = Virtual"];
        site.gateway().try_send("auth", &attributes.map(str::to_owned), 58)
    };
    let button = |place: usize, label: &str| {
        let buttons = site.notice(place).buttons;
        buttons.into_iter().find(|(known, _)| known == label).unwrap_or_else(|| panic!("no {label}")).1
    };
    let reply = std::thread::scope(|scope| {
        let waiting = scope.spawn(desktop);
        let approve = button(0, "Approve");
        let page = ask(&site.notice(0).page, "GET", &[], "");
        assert!(page.contains("Office desktops"), "the page says what users know the gateway by: {page}");
        assert!(matches!(status(&ask(&approve, "GET", &[], "")), 404 | 405), "a look is no press");
        assert_eq!(post(&approve, &[("Origin", "https://ntfy.example")], "").0 / 100, 2);
        let reply = waiting.join().unwrap();
        assert_eq!(post(&approve, &[], "").0, 409);
        reply
    });
    assert!(reply.is_some_and(|reply| reply.accepts()));
    let reply = std::thread::scope(|scope| {
        let waiting = scope.spawn(desktop);
        assert_eq!(post(&button(0, "Approve"), &[], "").0, 409, "of the login before");
        assert_eq!(post(&button(1, "Deny"), &[], "").0 / 100, 2);
        waiting.join().unwrap()
    });
    assert!(reply.is_some_and(|reply| reply.rejects()));
    // Where a number has to be typed there is no button that approves.
    site.begin();
    let labels: Vec<String> = site.notice(2).buttons.into_iter().map(|(label, _)| label).collect();
    assert_eq!(labels, ["Open", "Deny"]);
}
