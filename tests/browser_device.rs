//! A browser that becomes a device and answers pushes, in real Chromium: the page that enrols it, the key that it makes and cannot take
//! out, its service worker, and the page that a notification opens. A headless browser reaches no push service, so the test stands in for
//! the subscription and carries the message to the service worker itself; all else is the browser's own.

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
mod support;

use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use browser_support::{Browser, ENTER, SPACE, Scheme, TAB};
use cli_support::Desk;
use serde_json::{Value, json};
use support::process::poll;
use support::push_service::{Browser as Subscriber, PushService};
use support::radclient::{Radclient, Reply, Signing, credentials};
use support::{Process, Server, User, free_port};

const SECRET: &str = "a long shared secret";
const PASSWORD: &str = "correct horse";
const STATION: &str = "Calling-Station-Id = \"198.51.100.7\"";

/// A server that pushes to browsers; `u1` has a password and a token.
struct Site {
    desk: Desk,
    service: PushService,
    subscriber: Subscriber,
    radius: Server,
    url: String,
    network: Network,
    _server: Process,
}

impl Site {
    fn open(name: &str) -> Site {
        let desk = Desk::new(name);
        let service = PushService::start(&desk.scratch);
        let subscriber = Subscriber::new(&service, "phone");
        desk.write("password", &format!("{PASSWORD}\n"));
        desk.write("secret", SECRET);
        desk.write("tokens.csv", &format!("user,serial,secret\nu1,T-1,{}\n", User::named("u1").seed));
        desk.ok("token import tokens.csv");
        desk.ok("user set u1 --password-file password");
        let (radius, port) = (free_port(), free_port());
        let network = Network::before(port);
        let url = format!("http://localhost:{}", network.port);
        let server = desk.serve(&format!(
            "serve --server-name mfa-a --listen 127.0.0.1:{radius} --primary name=here,type=local --push lifetime=5m \
             --portal listen=127.0.0.1:{port},public-url={url} --client name=nas,address=127.0.0.1,secret=file:secret \
             --channel name=web,kind=push,type=web,push-services=127.0.0.1,ca-file=push-ca.pem,from=mailto:it@example.com"
        ));
        let radius = Server { port: radius, secret: SECRET };
        Site { desk, service, subscriber, radius, url, network, _server: server }
    }

    /// A browser whose subscription is the test's, and which looks for questions by itself until it is told to hold still.
    fn browser(&self) -> Browser {
        let browser = Browser::open(&self.desk.scratch);
        browser.may_notify(&self.url);
        let address = self.subscriber.address();
        let [endpoint, key, auth] = address.split(' ').collect::<Vec<_>>()[..] else { panic!("{address}") };
        browser.before_pages(&format!(
            "PushManager.prototype.getSubscription = async () => null;
             PushManager.prototype.subscribe = async (asked) => {{
               if (!asked.userVisibleOnly) {{ throw new Error('a push that nobody sees'); }}
               window.subscribedFor = [...new Uint8Array(asked.applicationServerKey)];
               return {{ toJSON: () => ({{ endpoint: '{endpoint}', keys: {{ p256dh: '{key}', auth: '{auth}' }} }}) }};
             }};
             Object.defineProperty(Document.prototype, 'hidden', {{ get: () => window.still === true }});"
        ));
        browser
    }

    /// Makes the browser a device of `u1`'s, by an invitation.
    fn enrol(&self, browser: &Browser) {
        let said = self.desk.ok(&format!("user invite u1 --url {}", self.url));
        browser.go(said.lines().last().unwrap().trim());
        browser.click("main form button");
        browser.click("a[href='/setup/phone']");
        browser.fill("#device-name", " of mine");
        browser.click("#device-add");
        browser.wait_for_text("This browser is ready");
    }

    fn gateway(&self) -> Radclient<'_> {
        Radclient::new(&self.desk.scratch, self.radius, Signing::Signed)
    }

    /// The right password; the prompt.
    fn begin(&self) -> Reply {
        let attributes = [credentials("u1", PASSWORD), vec![STATION.to_owned()]].concat();
        // Whoever begins anew within seconds of an end passes for a copy that was slow to arrive, and meets silence: a person tries again.
        let again = || self.gateway().try_send("auth", &attributes, 4);
        let challenge = poll("a prompt", Duration::from_mins(1), again);
        assert!(challenge.challenges(), "{challenge:?}");
        challenge
    }

    /// `typed` at the prompt.
    fn answer(&self, challenge: &Reply, typed: &str) -> Reply {
        let state = format!("State = {}", challenge.one("State"));
        let attributes = [credentials("u1", typed), vec![state, STATION.to_owned()]].concat();
        self.gateway().try_send("auth", &attributes, 60).expect("an answer at the prompt")
    }

    /// Waits until the trail has a row with `reason`.
    fn has_reason(&self, reason: &str) {
        let has =
            || self.desk.ok("report auth --format json").contains(&format!("\"{reason}\"")).then_some(());
        poll(reason, Duration::from_secs(30), has);
    }

    fn is_clean(&self, browser: &Browser) {
        let asked = browser.requests();
        let own = |url: &&String| {
            url.starts_with(&self.url) || url.starts_with("data:") || url.starts_with("about:")
        };
        let foreign: Vec<&String> = asked.iter().filter(|url| !own(url)).collect();
        assert!(!asked.is_empty() && foreign.is_empty(), "{foreign:?}");
        let complaints = browser.complaints();
        let real: Vec<&String> = complaints.iter().filter(|line| !line.contains("409 (Conflict)")).collect();
        assert!(real.is_empty(), "{real:?}");
    }
}

/// The number at the prompt.
fn number(challenge: &Reply) -> String {
    let line = challenge.one("Reply-Message");
    let number = line.split_whitespace().nth(1).filter(|word| word.len() == 2);
    number.unwrap_or_else(|| panic!("{line}")).to_owned()
}

fn wrong(number: &str) -> &'static str {
    if number == "10" { "11" } else { "10" }
}

/// What the service worker shows at this moment.
fn notifications(browser: &Browser) -> Vec<Value> {
    let shown = browser.run_async(
        "const done = arguments[0];
         navigator.serviceWorker.getRegistration('/device')
           .then((worker) => worker.getNotifications())
           .then((list) => done(list.map((one) => [one.title, one.body, one.tag])), (fault) => done([String(fault)]));",
    );
    shown.as_array().unwrap().clone()
}

/// Has the page keep what the worker says that it has shown.
fn listen(browser: &Browser) {
    browser.run(
        "window.shown = [];
         navigator.serviceWorker.addEventListener('message', (event) => window.shown.push(event.data.shown));
         navigator.serviceWorker.startMessages();",
    );
}

/// Waits until the worker has shown something that says `part`; all that it has shown by then.
///
/// The list of notifications is not asked for meanwhile: Chromium compares it with what is on the screen, takes one that is about to be shown
/// for one that was closed, and forgets it.
fn wait_for_shown(browser: &Browser, part: &str) -> Vec<String> {
    let mut last = Vec::new();
    poll(part, Duration::from_secs(90), || {
        let shown = browser.run("return window.shown");
        last = shown.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect();
        last.iter().any(|one| one.contains(part)).then(|| last.clone())
    })
}

/// Stands before a portal as a network does, and is gone when it is told so.
struct Network {
    port: u16,
    /// The connections that stand; `None` while there is no network.
    open: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Network {
    fn before(portal: u16) -> Network {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(Mutex::new(Some(Vec::new())));
        let known = Arc::clone(&open);
        // It ends with the test binary: whoever waits for a connection cannot be told to stop.
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let mut known = known.lock().unwrap();
                let Some(standing) = known.as_mut() else { continue };
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, portal)) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        // Either side may hang up at any time.
                        let _copied = std::io::copy(&mut from, &mut to);
                        let _closed = to.shutdown(Shutdown::Both);
                    });
                }
                standing.push(near);
            }
        });
        Network { port, open }
    }

    fn is_there(&self, there: bool) {
        let standing = std::mem::replace(&mut *self.open.lock().unwrap(), there.then(Vec::new));
        for connection in standing.into_iter().flatten() {
            // It may be closed already.
            let _closed = connection.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn a_browser_becomes_a_device_with_a_key_that_cannot_be_taken_out_and_lets_its_owner_in() {
    let site = Site::open("device-right");
    let browser = site.browser();
    browser.scheme(Scheme::Light);
    let said = site.desk.ok(&format!("user invite u1 --url {}", site.url));
    browser.go(said.lines().last().unwrap().trim());
    // Keys alone: past the link that skips to the content, the button; then the second of the two ways.
    browser.press(&[TAB, TAB, ENTER]);
    browser.wait_for_text("What shall u1 log in with");
    browser.press(&[TAB, TAB, TAB, ENTER]);
    browser.find("#device-add:not([hidden])");
    assert!(!browser.overflows());
    assert_eq!(browser.label("#device-name"), "What this device is called");
    browser.picture("device-enrol");
    browser.press(&[TAB, TAB]);
    // What stands there is selected, so typing replaces it.
    browser.press(&["t", "a", "b", TAB]);
    assert_eq!(browser.run("return document.activeElement.id"), "device-add");
    assert!(
        !site.desk.ok("device list u1 --format json").contains("active"),
        "nothing before it is confirmed"
    );
    browser.press(&[SPACE]);
    let done = browser.wait_for_text("This browser is ready");
    assert!(done.contains("ecovery codes"), "{done}");
    assert!(browser.has("[role=status]"));
    browser.picture("device-enrolled");
    let listed: Vec<Value> = serde_json::from_str(&site.desk.ok("device list u1 --format json")).unwrap();
    assert_eq!((listed.len(), &listed[0]["name"]), (1, &json!("tab")), "{listed:?}");

    let worker = browser.run_async(
        "const done = arguments[0];
         navigator.serviceWorker.getRegistration('/device').then((one) => done([one.scope, one.active.scriptURL, one.active.state]));",
    );
    let worker: Vec<&str> = worker.as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
    assert_eq!(worker[..2], [format!("{}/device", site.url), format!("{}/device/sw.js", site.url)]);
    let key = browser.run_async(
        "const done = arguments[0];
         const opened = indexedDB.open('radmfa', 1);
         opened.onsuccess = () => {
           const all = opened.result.transaction('device').objectStore('device').getAll();
           all.onsuccess = async () => {
             const key = all.result[0].pair.privateKey;
             const taken = await Promise.allSettled(['jwk', 'pkcs8', 'raw'].map((format) => crypto.subtle.exportKey(format, key)));
             done([all.result.length, key.extractable, key.usages.join(), key.algorithm.namedCurve, taken.map((one) => one.status).join()]);
           };
         };",
    );
    assert_eq!(key, json!([1, false, "sign", "P-256", "rejected,rejected,rejected"]));

    let challenge = site.begin();
    let pushed = site.service.message(0);
    let (_, signer) = pushed.vapid();
    let told = site.subscriber.open(&pushed.body);
    listen(&browser);
    browser.push(&site.url, &told.to_string());
    assert_eq!(wait_for_shown(&browser, "u1"), ["u1 · nas · 198.51.100.7"]);
    let listed = notifications(&browser);
    let right = json!(["Login", "u1 · nas · 198.51.100.7", "radmfa-login"]);
    assert!(listed.iter().all(|one| *one == right), "{listed:?}");

    // Where the notification leads.
    browser.go(&format!("{}/device", site.url));
    let text = browser.wait_for_text("198.51.100.7");
    for said in ["u1", "nas"] {
        assert!(text.contains(said), "{said} in {text}");
    }
    let number = number(&challenge);
    assert!(!text.split_whitespace().any(|word| word == number), "the phone is told the number: {text}");
    assert!(!browser.overflows());
    assert_eq!(browser.run("return document.activeElement.className"), "number", "ready to be typed into");
    assert_eq!(browser.label("input.number"), "The number on the login screen");
    assert!(!text.contains("Report it"), "one slip of the thumb must not block an account");
    browser.picture_for_guide("device");
    browser.press(&number.split("").filter(|digit| !digit.is_empty()).collect::<Vec<_>>());
    browser.press(&[ENTER]);
    browser.wait_for_text("Your answer was sent");
    assert_eq!(browser.run("return document.activeElement.id"), "device-status", "a screen reader is there");
    assert!(site.answer(&challenge, "").accepts());
    site.has_reason("phone-approved");
    let (_, about) = support::webhook::get(&format!("{}/device/api/about", site.url));
    assert!(about.contains(&signer), "pushes are signed by what browsers subscribe for");
    browser.reload();
    browser.wait_for_text("Nothing");
    site.is_clean(&browser);
}

#[test]
fn a_push_that_comes_before_the_network_is_shown_without_a_name_at_once_and_with_it_later() {
    let site = Site::open("device-network");
    let browser = site.browser();
    site.enrol(&browser);
    let challenge = site.begin();
    let told = site.subscriber.open(&site.service.message(0).body).to_string();
    listen(&browser);
    site.network.is_there(false);
    browser.push(&site.url, &told);
    assert_eq!(
        wait_for_shown(&browser, "A login waits for you"),
        ["A login waits for you. Open it to answer."]
    );
    site.network.is_there(true);
    let shown = wait_for_shown(&browser, "u1");
    assert_eq!(shown[1..], ["u1 · nas · 198.51.100.7"], "once each: {shown:?}");
    browser.go(&format!("{}/device", site.url));
    browser.fill("input.number", &number(&challenge));
    browser.press(&[ENTER]);
    browser.wait_for_text("Your answer was sent");
    assert!(site.answer(&challenge, "").accepts());
}

#[test]
fn a_wrong_number_a_denial_and_a_second_answer_let_nobody_in_and_the_page_says_which_it_was() {
    let site = Site::open("device-wrong");
    let browser = site.browser();
    site.enrol(&browser);
    let listed = site.desk.ok("device list u1");
    assert!(listed.contains("phone of mine"), "{listed}");
    browser.go(&format!("{}/device", site.url));
    browser.wait_for_text("Nothing");

    // The page that is open already finds out by itself.
    let challenge = site.begin();
    browser.fill("input.number", wrong(&number(&challenge)));
    browser.click("[data-verdict=approve]");
    browser.wait_for_text("not the number");
    assert!(!browser.has("input.number"), "there is no second guess");
    assert!(site.answer(&challenge, "").rejects());
    site.has_reason("number-wrong");

    let challenge = site.begin();
    browser.find("input.number");
    // From the field on: approve, deny.
    browser.press(&[TAB, TAB, SPACE]);
    browser.wait_for_text("Denied");
    assert!(site.answer(&challenge, "").rejects());
    site.has_reason("phone-denied");

    // Two pages of one device: what one says first is what counts.
    let challenge = site.begin();
    browser.find("input.number");
    browser.run("window.still = true");
    let denied = browser.run_async(
        "const done = arguments[0], own = self.radmfaDevice;
         own.all().then(async ([record]) => {
           const { said } = await own.questions(record);
           const first = await own.answer(record, said.questions[0].id, 'deny', '');
           done(first.status);
         });",
    );
    assert_eq!(denied, 204);
    browser.fill("input.number", &number(&challenge));
    browser.press(&[ENTER]);
    browser.wait_for_text("Too late");
    assert!(site.answer(&challenge, "").rejects());
    site.has_reason("answer-late");
    site.is_clean(&browser);
}

#[test]
fn a_late_answer_changes_nothing_and_a_device_that_was_taken_back_is_told_so() {
    let site = Site::open("device-late");
    let browser = site.browser();
    site.enrol(&browser);
    let user = User::named("u1");
    browser.go(&format!("{}/device", site.url));
    let challenge = site.begin();
    browser.find("input.number");
    browser.run("window.still = true");
    // The user has typed a code at the prompt meanwhile.
    assert!(site.answer(&challenge, &user.code()).accepts());
    browser.fill("input.number", &number(&challenge));
    browser.press(&[ENTER]);
    browser.wait_for_text("Too late");
    site.has_reason("answer-late");

    let challenge = site.begin();
    browser.reload();
    browser.find("input.number");
    browser.run("window.still = true");
    let listed: Vec<Value> = serde_json::from_str(&site.desk.ok("device list u1 --format json")).unwrap();
    site.desk.ok(&format!("device revoke u1 {}", listed[0]["number"].as_str().unwrap()));
    browser.fill("input.number", &number(&challenge));
    browser.press(&[ENTER]);
    browser.wait_for_text("not active");
    assert!(site.answer(&challenge, "").rejects());
    site.has_reason("device-not-active");
    browser.reload();
    browser.wait_for_text("not active");
    site.is_clean(&browser);
}

#[test]
fn fraud_is_reported_in_two_steps_and_blocks_the_account() {
    let site = Site::open("device-fraud");
    let browser = site.browser();
    browser.go(&format!("{}/device", site.url));
    browser.wait_for_text("no device of anybody's");
    site.enrol(&browser);
    browser.scheme(Scheme::Dark);
    browser.go(&format!("{}/device", site.url));
    let challenge = site.begin();
    browser.find("input.number");
    assert!(!browser.text().contains("Report it"));
    browser.click("summary");
    browser.wait_for_text("Report it and block my account");
    assert!(!browser.overflows());
    browser.picture("device-not-me");
    browser.click("[data-verdict=fraud]");
    browser.wait_for_text("Your account is blocked");
    assert!(site.answer(&challenge, "").rejects());
    site.has_reason("fraud-reported");
    assert!(site.desk.ok("user show u1").contains("somebody else's login"));
    site.is_clean(&browser);
}
