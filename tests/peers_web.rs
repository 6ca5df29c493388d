//! Pushes to web pages and by ntfy, the real program between: radclient asks, a push service and an ntfy server of the test's own take the
//! messages, and devices answer as their pages would.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and signs with the real clock"
)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use support::process::poll;
use support::push_service::{Browser, PushService};
use support::radclient::{Radclient, Reply, Signing};
use support::webhook::{Webhook, get, post, seconds_now};
use support::{FreeRadius, Radmfa, Scratch, User, free_port};

struct Site {
    radmfa: Radmfa,
    portal: String,
    store: String,
    scratch: Scratch,
    user: User,
    _primary: FreeRadius,
}

impl Site {
    /// A user with a password; the client is a VPN gateway that shows prompts. `more` goes to the server.
    fn start(scratch: Scratch, more: &[&str]) -> Site {
        let user = User::named("u1");
        let primary = FreeRadius::primary(&scratch, std::slice::from_ref(&user));
        let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
        Radmfa::run(&scratch, &["user", "add", "u1", "--store", &store]).expect_success("user add");
        let server = primary.server();
        let upstream = format!("name=up,type=radius,server={},secret={}", server.address(), server.secret);
        let portal = format!("127.0.0.1:{}", free_port());
        let mut arguments = vec!["--server-name", "mfa-a", "--store", &store, "--primary", &upstream];
        arguments.extend(["--portal", &portal]);
        arguments.extend(more);
        let radmfa = Radmfa::serve(&scratch, &arguments);
        Site { radmfa, portal, store, scratch, user, _primary: primary }
    }

    fn gateway(&self) -> Radclient<'_> {
        Radclient::new(&self.scratch, self.radmfa.server(), Signing::Signed)
    }

    fn command(&self, arguments: &[&str]) -> String {
        let arguments = [arguments, &["--store", &self.store]].concat();
        Radmfa::run(&self.scratch, &arguments).expect_success(&arguments.join(" ")).stdout
    }

    /// Gives `u1` this browser as a device; its number.
    fn enrol(&self, browser: &Browser, name: &str) -> String {
        let (address, key) = (browser.address(), browser.public_key());
        self.command(&[
            "device",
            "add",
            "u1",
            "--channel",
            "web",
            "--name",
            name,
            "--address",
            &address,
            "--key",
            &key,
        ]);
        let listed: Vec<Value> =
            serde_json::from_str(&self.command(&["device", "list", "u1", "--format", "json"])).unwrap();
        let device = listed.iter().find(|device| device["name"] == name).unwrap();
        assert!(!device["address"].to_string().contains("/push/"), "{device}");
        device["number"].as_str().unwrap().to_owned()
    }

    fn call(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, said) = post(&format!("http://{}{path}", self.portal), &[], &body.to_string());
        (status, serde_json::from_str(&said).unwrap_or(Value::Null))
    }

    fn call_get(&self, path: &str) -> (u16, Value) {
        let (status, said) = get(&format!("http://{}{path}", self.portal));
        (status, serde_json::from_str(&said).unwrap_or(Value::Null))
    }

    fn answer(&self, body: &Value) -> (u16, Value) {
        self.call("/device/api/answer", body)
    }

    /// The reasons in the trail, newest first, waited for until one of them is `reason`.
    fn reasons(&self, reason: &str) -> Vec<String> {
        poll(reason, Duration::from_secs(20), || {
            let printed = self.command(&["report", "auth", "--format", "json"]);
            let rows: Vec<Value> = serde_json::from_str(&printed).unwrap();
            let reasons: Vec<String> =
                rows.iter().map(|row| row["reason"].as_str().unwrap().to_owned()).collect();
            reasons.iter().any(|found| found == reason).then_some(reasons)
        })
    }
}

/// A site that pushes to browsers by `service` alone.
fn web(name: &str) -> (Site, PushService) {
    let scratch = Scratch::new(name);
    let service = PushService::start(&scratch);
    let authority = scratch.join("push-ca.pem").display().to_string();
    let channel = format!(
        "name=web,kind=push,type=web,push-services=127.0.0.1,ca-file={authority},from=mailto:it@example.com"
    );
    (Site::start(scratch, &["--channel", &channel]), service)
}

/// The number that the prompt shows.
fn shown(challenge: &Reply) -> String {
    let line = challenge.one("Reply-Message");
    let number = line.strip_prefix("Type ").and_then(|rest| rest.split(' ').next());
    number.unwrap_or_else(|| panic!("{challenge:?}")).to_owned()
}

#[test]
fn a_push_tells_its_service_nothing_and_the_devices_key_alone_answers() {
    let (site, service) = web("web-push");
    let (phone, tablet) = (Browser::new(&service, "phone"), Browser::new(&service, "tablet"));
    let device = site.enrol(&phone, "phone");
    let challenge = site.gateway().password("u1", &site.user.password);
    let number = shown(&challenge);
    let pushed = service.message(0);
    assert_eq!(pushed.path, "/push/phone");
    assert_eq!(pushed.header("content-encoding"), "aes128gcm");
    assert_eq!((pushed.header("urgency"), pushed.header("topic")), ("high", "radmfa-login"));
    let ttl: u64 = pushed.header("ttl").parse().unwrap();
    assert!((30..=60).contains(&ttl), "{ttl}");
    let (claims, key) = pushed.vapid();
    assert_eq!((&claims["aud"], &claims["sub"]), (&json!(service.origin()), &json!("mailto:it@example.com")));
    let expires = claims["exp"].as_u64().unwrap();
    assert!(expires > seconds_now() && expires <= seconds_now() + 24 * 3600, "{claims}");
    let (_, about) = site.call_get("/device/api/about");
    assert_eq!(about["key"], key.as_str(), "what browsers subscribe for is what signs");
    let told = phone.open(&pushed.body);
    let id = told["id"].as_str().unwrap();
    assert_eq!(told, json!({ "id": id }), "nothing else is in it");

    // The page asks for the rest. Whoever shows no good signature learns nothing.
    let now = seconds_now();
    let (status, asked) = site.call("/device/api/questions", &phone.asks("u1", &device, now));
    assert_eq!(status, 200, "{asked}");
    let question = &asked["questions"][0];
    assert_eq!(
        (&question["id"], &question["user"], &question["client"]),
        (&json!(id), &json!("u1"), &json!("nas"))
    );
    assert_eq!((&question["match"], &question["choices"]), (&json!("type"), &Value::Null));
    assert!(!asked.to_string().contains(&format!("\"{number}\"")), "the number is told to nobody");
    for other in [
        tablet.asks("u1", &device, now),
        phone.asks("u2", &device, now),
        phone.asks("u1", "1", now),
        phone.asks("u1", &device, now - 120),
        phone.asks("u1", &device, now + 120),
    ] {
        let (status, said) = site.call("/device/api/questions", &other);
        assert_eq!((status, said), (403, json!({ "error": "forbidden" })), "{other}");
    }

    // Forged, swapped and altered answers change nothing.
    let own = ("u1", device.as_str());
    assert_eq!(site.answer(&tablet.answers(own, id, "approve", &number)).0, 403);
    let second = site.enrol(&tablet, "tablet");
    assert_eq!(
        site.answer(&tablet.answers(("u1", &second), id, "approve", &number)).0,
        403,
        "another device"
    );
    let mut altered = phone.answers(own, id, "deny", "");
    altered["verdict"] = json!("approve");
    altered["number"] = json!(number);
    assert_eq!(site.answer(&altered).0, 403);
    assert_eq!(site.answer(&json!({ "id": id })).0, 400);
    assert_eq!(site.answer(&phone.answers(own, &"0".repeat(32), "approve", &number)).0, 409);

    let right = phone.answers(own, id, "approve", &number);
    assert_eq!(site.answer(&right).0, 204);
    assert_eq!(site.answer(&right), (409, json!({ "error": "answer-late" })), "consumed once");
    assert!(site.gateway().answer("u1", "", &challenge).accepts());
    assert!(site.reasons("answer-late").contains(&"phone-approved".to_owned()));
    let (_, asked) = site.call("/device/api/questions", &phone.asks("u1", &device, seconds_now()));
    assert_eq!(asked["questions"], json!([]), "nothing is open any more");
}

#[test]
fn a_device_that_was_taken_back_is_told_so_by_its_own_key_alone() {
    let (site, service) = web("web-revoked");
    let phone = Browser::new(&service, "phone");
    let device = site.enrol(&phone, "phone");
    let challenge = site.gateway().password("u1", &site.user.password);
    let number = shown(&challenge);
    let told = phone.open(&service.message(0).body);
    let id = told["id"].as_str().unwrap();
    site.command(&["device", "revoke", "u1", "phone"]);
    let inactive = (409, json!({ "error": "device-not-active" }));
    assert_eq!(site.call("/device/api/questions", &phone.asks("u1", &device, seconds_now())), inactive);
    assert_eq!(site.answer(&phone.answers(("u1", &device), id, "approve", &number)), inactive);
    assert!(site.gateway().answer("u1", "", &challenge).rejects());
    site.reasons("device-not-active");
    let stranger = Browser::new(&service, "stranger");
    assert_eq!(site.call("/device/api/questions", &stranger.asks("u1", &device, seconds_now())).0, 403);
    // Enrolled anew it is another device.
    let again = site.enrol(&phone, "phone");
    assert_ne!(again, device);
    assert_eq!(site.call("/device/api/questions", &phone.asks("u1", &device, seconds_now())), inactive);
    assert_eq!(site.call("/device/api/questions", &phone.asks("u1", &again, seconds_now())).0, 200);
}

#[test]
fn a_good_device_is_answered_whatever_others_send_from_its_address() {
    let (site, service) = web("web-neighbours");
    let (phone, stranger) = (Browser::new(&service, "phone"), Browser::new(&service, "stranger"));
    let device = site.enrol(&phone, "phone");
    let ask = |body: &Value| site.call("/device/api/questions", body).0;
    for _ in 0..30 {
        assert_eq!(ask(&stranger.asks("u1", &device, seconds_now())), 403);
    }
    // Whoever guesses on is told so, at a device that there is and at one that there is not; the phone beside is asked what it wants.
    for _ in 0..5 {
        assert_eq!(ask(&stranger.asks("u1", &device, seconds_now())), 429);
        assert_eq!(ask(&stranger.asks("u1", "1", seconds_now())), 429);
        assert_eq!(ask(&phone.asks("u1", &device, seconds_now())), 200);
    }
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert_eq!(ask(&stranger.asks("u1", &device, seconds_now())), 429);
                }
            });
        }
        for _ in 0..10 {
            assert_eq!(ask(&phone.asks("u1", &device, seconds_now())), 200);
        }
    });
    let challenge = site.gateway().password("u1", &site.user.password);
    let told = phone.open(&service.message(0).body);
    let own = ("u1", device.as_str());
    let right = phone.answers(own, told["id"].as_str().unwrap(), "approve", &shown(&challenge));
    assert_eq!(site.answer(&right).0, 204);
    assert!(site.gateway().answer("u1", "", &challenge).accepts());
}

#[test]
fn a_browser_that_is_gone_is_taken_back_and_the_login_goes_on_with_the_next_device() {
    let (site, service) = web("web-gone");
    let (old, new) = (Browser::new(&service, "old"), Browser::new(&service, "new"));
    site.enrol(&old, "old phone");
    service.answers("410 Gone\r\n");
    assert!(site.gateway().password("u1", &site.user.password).rejects(), "there is no other way");
    assert_eq!(service.count(), 1);
    let listed = poll("the device is taken back", Duration::from_secs(20), || {
        let listed = site.command(&["device", "list", "u1", "--all"]);
        listed.contains("revoked").then_some(listed)
    });
    assert!(listed.contains("old phone"), "{listed}");
    site.reasons("device-revoked");
    service.answers("201 Created\r\n");
    let device = site.enrol(&new, "new phone");
    let challenge = site.gateway().password("u1", &site.user.password);
    let pushed = service.message(1);
    assert_eq!(pushed.path, "/push/new");
    let told = new.open(&pushed.body);
    let answer = new.answers(("u1", &device), told["id"].as_str().unwrap(), "approve", &shown(&challenge));
    assert_eq!(site.answer(&answer).0, 204);
    assert!(site.gateway().answer("u1", "", &challenge).accepts());
}

#[test]
fn a_service_that_wants_a_rest_gets_it_and_redirects_lead_nowhere() {
    let (site, service) = web("web-rest");
    let phone = Browser::new(&service, "phone");
    site.enrol(&phone, "phone");
    service.answers("429 Too Many Requests\r\nRetry-After: 300\r\n");
    assert!(site.gateway().password("u1", &site.user.password).rejects());
    assert!(site.gateway().password("u1", &site.user.password).rejects());
    assert_eq!(service.count(), 1, "it was asked again");
    assert!(
        site.radmfa.process.log().contains("wants no pushes for another"),
        "{}",
        site.radmfa.process.log()
    );
    assert!(site.command(&["device", "list", "u1"]).contains("active"));
    // That was said to one browser: whoever has another is pushed to by the same service.
    service.answers("201 Created\r\n");
    site.enrol(&Browser::new(&service, "tablet"), "tablet");
    shown(&site.gateway().password("u1", &site.user.password));
    assert_eq!(service.message(1).path, "/push/tablet");

    let (site, service) = web("web-redirect");
    let phone = Browser::new(&service, "phone");
    site.enrol(&phone, "phone");
    service.answers("307 Temporary Redirect\r\nLocation: https://127.0.0.1:1/\r\n");
    assert!(site.gateway().password("u1", &site.user.password).rejects());
    assert!(site.radmfa.process.log().contains("redirects are not followed"));
}

#[test]
fn the_key_that_signs_pushes_outlives_a_restart_and_is_nowhere_in_the_clear() {
    let (site, service) = web("web-key");
    let key = site.call_get("/device/api/about").1["key"].as_str().unwrap().to_owned();
    let portal = site.portal.clone();
    let channel = format!(
        "name=web,kind=push,type=web,push-services=127.0.0.1,ca-file={}",
        site.scratch.join("push-ca.pem").display()
    );
    let (scratch, store) = (site.scratch, site.store);
    drop(site.radmfa);
    let arguments = ["--server-name", "mfa-a", "--store", &store, "--primary", "name=own,type=local"];
    let arguments = [&arguments[..], &["--portal", &portal, "--channel", &channel]].concat();
    let _radmfa = Radmfa::serve(&scratch, &arguments);
    let again = get(&format!("http://{portal}/device/api/about")).1;
    assert!(again.contains(&key), "{again}");
    drop(service);
}

#[test]
fn ntfy_carries_buttons_that_are_good_once_and_no_name() {
    let ntfy = Webhook::start();
    let channel = format!("name=ntfy,kind=push,type=ntfy,url=http://{},token=tk_test", ntfy.address);
    let site = Site::start(Scratch::new("ntfy"), &["--channel", &channel, "--push", "match=none"]);
    let added = site.command(&["device", "add", "u1", "--channel", "ntfy"]);
    let topic = added
        .split_whitespace()
        .find(|word| word.starts_with("radmfa-"))
        .unwrap_or_else(|| panic!("{added}"));
    assert_eq!(topic.len(), "radmfa-".len() + 32, "{added}");
    let challenge = site.gateway().password("u1", &site.user.password);
    let message = ntfy.question(0);
    assert_eq!(message.header("authorization"), "Bearer tk_test");
    let body = message.json();
    assert_eq!(body["topic"], topic);
    assert!(!message.body.contains("u1") && !message.body.contains("nas"), "{}", message.body);
    let button = |place: usize| body["actions"][place]["url"].as_str().unwrap().to_owned();
    assert_eq!(
        (&body["actions"][0]["label"], &body["actions"][1]["label"]),
        (&json!("Approve"), &json!("Deny"))
    );
    let flipped = button(0).replace("/act/", "/act/A");
    assert_eq!(post(&flipped, &[], "").0, 403);
    assert_eq!(post(&button(0), &[], "").0, 204);
    assert_eq!(post(&button(0), &[], "").0, 409, "used up");
    assert_eq!(post(&button(1), &[], "").0, 409, "so is the other");
    assert!(site.gateway().answer("u1", "", &challenge).accepts());
    site.reasons("phone-approved");
}

/// A browser's side of the enrolment's pages: its cookies, and the forms that it sends.
struct Visitor<'a> {
    site: &'a Site,
    cookies: Vec<(String, String)>,
}

impl Visitor<'_> {
    /// Status and body; cookies that are set are kept.
    fn ask(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let host = &self.site.portal;
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\nCookie: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            cookies.join("; "),
            body.len(),
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        for line in head.lines().filter(|line| line.to_ascii_lowercase().starts_with("set-cookie: ")) {
            let (name, value) = line[12..].split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Sends the form of `page`, with its token.
    fn submit(&mut self, page: &str, path: &str, more: &str) -> (u16, String) {
        let token = value_after(page, "name=\"form-token\" value=\"");
        self.ask("POST", path, &format!("form-token={token}{more}"))
    }
}

fn value_after(page: &str, mark: &str) -> String {
    let rest = page.split(mark).nth(1).unwrap_or_else(|| panic!("no {mark} in {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// What the page of `phone` sends, signed by `signer`.
fn registration(phone: &Browser, secret: &str, endpoint: &str, signer: &Browser) -> Value {
    let (address, key) = (phone.address(), phone.public_key());
    let keys: Vec<&str> = address.split(' ').skip(1).collect();
    let signature = signer.sign(&["radmfa register", secret, &key, endpoint]);
    json!({
        "secret": secret, "name": "my phone", "key": key, "endpoint": endpoint, "p256dh": keys[0], "auth": keys[1],
        "signature": signature,
    })
}

#[test]
fn an_offer_ends_with_a_block_or_a_newer_one_and_a_device_from_elsewhere_finishes_nothing() {
    let (site, service) = web("web-offer");
    let phone = Browser::new(&service, "phone");
    let base = format!("http://{}", site.portal);
    let said = site.command(&["user", "invite", "u1", "--url", &base]);
    let link =
        said.split_whitespace().find_map(|word| word.strip_prefix(&base)).unwrap_or_else(|| panic!("{said}"));
    let mut visitor = Visitor { site: &site, cookies: Vec::new() };
    let (_, page) = visitor.ask("GET", link, "");
    assert_eq!(visitor.submit(&page, link, "").0, 303);
    let mut offer = || {
        let (_, page) = visitor.ask("GET", "/setup/phone", "");
        (value_after(&page, "data-secret=\""), page)
    };
    let (first, (second, page)) = (offer().0, offer());
    // A device that an admin added is none of this seat's.
    let device = site.enrol(&Browser::new(&service, "another"), "another");
    let (status, said) = visitor.submit(&page, "/setup/phone", &format!("&device={device}"));
    assert_eq!(status, 303, "{said}");
    assert!(visitor.ask("GET", link, "").0 == 200, "the link was not used");
    let address = phone.address();
    let endpoint = address.split(' ').next().unwrap();
    let register =
        |secret: &str| site.call("/device/api/register", &registration(&phone, secret, endpoint, &phone)).0;
    assert_eq!(register(&first), 403, "a newer one was made");
    site.command(&["user", "block", "u1", "--for", "1h", "--reason", "test"]);
    assert_eq!(register(&second), 403, "blocked");
    site.command(&["user", "unblock", "u1"]);
    assert_eq!(register(&second), 403, "it works once");
    assert!(!site.command(&["device", "list", "u1"]).contains("my phone"));
    let (_, page) = visitor.ask("GET", "/setup/phone", "");
    assert_eq!(register(&value_after(&page, "data-secret=\"")), 200, "the invitation is as it was");
}

#[test]
fn an_offer_ends_with_a_report_of_fraud_from_another_device() {
    let (site, service) = web("web-offer-fraud");
    let (phone, second) = (Browser::new(&service, "phone"), Browser::new(&service, "second"));
    let device = site.enrol(&phone, "phone");
    let base = format!("http://{}", site.portal);
    let said = site.command(&["user", "invite", "u1", "--url", &base]);
    let link =
        said.split_whitespace().find_map(|word| word.strip_prefix(&base)).unwrap_or_else(|| panic!("{said}"));
    let mut visitor = Visitor { site: &site, cookies: Vec::new() };
    let (_, page) = visitor.ask("GET", link, "");
    assert_eq!(visitor.submit(&page, link, "").0, 303);
    let (_, page) = visitor.ask("GET", "/setup/phone", "");
    let secret = value_after(&page, "data-secret=\"");

    let challenge = site.gateway().password("u1", &site.user.password);
    assert!(!shown(&challenge).is_empty());
    let told = phone.open(&service.message(0).body);
    let fraud = phone.answers(("u1", &device), told["id"].as_str().unwrap(), "fraud", "");
    assert_eq!(site.answer(&fraud).0, 204);
    site.reasons("fraud-reported");

    let address = second.address();
    let endpoint = address.split(' ').next().unwrap();
    let register = || site.call("/device/api/register", &registration(&second, &secret, endpoint, &second)).0;
    assert_eq!(register(), 403, "whoever holds the link may be whom the report was about");
    assert_eq!(visitor.ask("GET", "/setup/phone", "").0, 404, "nor is there a page any more");
    site.command(&["user", "unblock", "u1"]);
    assert_eq!(register(), 403, "it works once");
    let listed = site.command(&["device", "list", "u1", "--format", "json"]);
    assert!(!listed.contains("my phone"), "{listed}");
}

#[test]
fn an_invitation_makes_a_browser_a_device_once_and_its_key_has_to_sign_for_it() {
    let (site, service) = web("web-enrol");
    let phone = Browser::new(&service, "phone");
    let base = format!("http://{}", site.portal);
    let said = site.command(&["user", "invite", "u1", "--url", &base]);
    let link =
        said.split_whitespace().find_map(|word| word.strip_prefix(&base)).unwrap_or_else(|| panic!("{said}"));
    let mut visitor = Visitor { site: &site, cookies: Vec::new() };
    let (status, page) = visitor.ask("GET", link, "");
    assert_eq!(status, 200, "{page}");
    assert_eq!(visitor.submit(&page, link, "").0, 303);
    let (_, page) = visitor.ask("GET", "/setup", "");
    assert!(page.contains("href=\"/setup/phone\""), "{page}");
    let (status, page) = visitor.ask("GET", "/setup/phone", "");
    assert_eq!(status, 200, "{page}");
    let secret = value_after(&page, "data-secret=\"");

    let registration =
        |secret: &str, endpoint: &str, signer: &Browser| registration(&phone, secret, endpoint, signer);
    let address = phone.address();
    let endpoint = address.split(' ').next().unwrap();
    let register = |body: &Value| site.call("/device/api/register", body);
    let other = Browser::new(&service, "another");
    assert_eq!(register(&registration(&secret, endpoint, &other)).0, 403, "signed by another key");
    assert_eq!(register(&registration(&"0".repeat(32), endpoint, &phone)).0, 403, "a secret of nobody's");
    let elsewhere = "https://push.example.com/x";
    let (status, said) = register(&registration(&secret, elsewhere, &phone));
    assert_eq!((status, said), (409, json!({ "error": "push-service-not-listed" })));
    let (status, said) = register(&registration(&secret, endpoint, &phone));
    assert_eq!(status, 200, "{said}");
    assert_eq!((&said["user"], &said["name"]), (&json!("u1"), &json!("my phone")));
    assert_eq!(register(&registration(&secret, endpoint, &phone)).0, 403, "it works once");
    let device = said["device"].as_str().unwrap().to_owned();

    assert_eq!(visitor.submit(&page, "/setup/phone", "&device=1").0, 303, "no device of this user's");
    let (status, finished) = visitor.submit(&page, "/setup/phone", &format!("&device={device}"));
    assert_eq!(status, 200, "{finished}");
    assert!(finished.contains("class=\"codes\"") && finished.contains("href=\"/device\""), "{finished}");
    assert_eq!(
        Visitor { site: &site, cookies: Vec::new() }.ask("GET", link, "").0,
        404,
        "the link is used up"
    );

    let challenge = site.gateway().password("u1", &site.user.password);
    let told = phone.open(&service.message(0).body);
    let answer = phone.answers(("u1", &device), told["id"].as_str().unwrap(), "approve", &shown(&challenge));
    assert_eq!(site.answer(&answer).0, 204);
    assert!(site.gateway().answer("u1", "", &challenge).accepts());
    site.reasons("device-added");
}
