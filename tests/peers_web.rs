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

use std::time::Duration;

use serde_json::{Value, json};
use support::caller::{Caller, FORM, fields, hidden};
use support::http::Answer;
use support::process::poll;
use support::push_service::{Browser, PushService};
use support::radclient::{Radclient, Reply};
use support::webhook::{Webhook, get, post, seconds_now};
use support::{Ground, Radmfa, Scratch, Site, User, free_port};

/// A user with a password; the client is a VPN gateway that shows prompts.
struct Web {
    site: Site,
    portal: String,
    user: User,
}

impl Web {
    /// A browser that sits at an invitation of `u1`, and the path that led there.
    fn invited(&self) -> (Caller, String) {
        let base = format!("http://{}", self.portal);
        let said = self.command(&["user", "invite", "u1", "--url", &base]);
        let link = said.split_whitespace().find_map(|word| word.strip_prefix(&base));
        let link = link.unwrap_or_else(|| panic!("{said}")).to_owned();
        let mut visitor = Caller::new(1, &self.portal);
        let page = visitor.visit("GET", &link, &[], "");
        assert_eq!(page.status, 200, "{page:?}");
        assert_eq!(submit(&mut visitor, &page, &link, &[]).status, 303);
        (visitor, link)
    }

    /// `more` goes to the server.
    fn start(scratch: Scratch, more: &[&str]) -> Web {
        let user = User::named("u1");
        let ground = Ground::new(scratch, std::slice::from_ref(&user));
        ground.command(&["user", "add", "u1"]);
        let portal = format!("127.0.0.1:{}", free_port());
        let site = ground.serve(&[&["--portal", &portal], more].concat());
        Web { site, portal, user }
    }

    fn gateway(&self) -> Radclient<'_> {
        self.site.gateway()
    }

    fn command(&self, arguments: &[&str]) -> String {
        self.site.command(arguments)
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
}

/// A site that pushes to browsers by `service` alone.
fn by_service(name: &str) -> (Web, PushService) {
    let scratch = Scratch::new(name);
    let service = PushService::start(&scratch);
    let authority = scratch.join("push-ca.pem").display().to_string();
    let channel = format!(
        "name=web,kind=push,type=web,push-services=127.0.0.1,ca-file={authority},from=mailto:it@example.com"
    );
    (Web::start(scratch, &["--channel", &channel]), service)
}

/// The number that the prompt shows.
fn shown(challenge: &Reply) -> String {
    let line = challenge.one("Reply-Message");
    let number = line.strip_prefix("Type ").and_then(|rest| rest.split(' ').next());
    number.unwrap_or_else(|| panic!("{challenge:?}")).to_owned()
}

#[test]
fn a_push_tells_its_service_nothing_and_the_devices_key_alone_answers() {
    let (web, service) = by_service("web-push");
    let (phone, tablet) = (Browser::new(&service, "phone"), Browser::new(&service, "tablet"));
    let device = web.enrol(&phone, "phone");
    let challenge = web.gateway().password("u1", &web.user.password);
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
    let (_, about) = web.call_get("/device/api/about");
    assert_eq!(about["key"], key.as_str(), "what browsers subscribe for is what signs");
    let told = phone.open(&pushed.body);
    let id = told["id"].as_str().unwrap();
    assert_eq!(told, json!({ "id": id }), "nothing else is in it");

    // The page asks for the rest. Whoever shows no good signature learns nothing.
    let now = seconds_now();
    let (status, asked) = web.call("/device/api/questions", &phone.asks("u1", &device, now));
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
        let (status, said) = web.call("/device/api/questions", &other);
        assert_eq!((status, said), (403, json!({ "error": "forbidden" })), "{other}");
    }

    // Forged, swapped and altered answers change nothing.
    let own = ("u1", device.as_str());
    assert_eq!(web.answer(&tablet.answers(own, id, "approve", &number)).0, 403);
    let second = web.enrol(&tablet, "tablet");
    assert_eq!(web.answer(&tablet.answers(("u1", &second), id, "approve", &number)).0, 403, "another device");
    let mut altered = phone.answers(own, id, "deny", "");
    altered["verdict"] = json!("approve");
    altered["number"] = json!(number);
    assert_eq!(web.answer(&altered).0, 403);
    assert_eq!(web.answer(&json!({ "id": id })).0, 400);
    assert_eq!(web.answer(&phone.answers(own, &"0".repeat(32), "approve", &number)).0, 409);

    let right = phone.answers(own, id, "approve", &number);
    assert_eq!(web.answer(&right).0, 204);
    assert_eq!(web.answer(&right), (409, json!({ "error": "answer-late" })), "consumed once");
    assert!(web.gateway().answer("u1", "", &challenge).accepts());
    assert!(web.site.reasons("answer-late").contains(&"phone-approved".to_owned()));
    let (_, asked) = web.call("/device/api/questions", &phone.asks("u1", &device, seconds_now()));
    assert_eq!(asked["questions"], json!([]), "nothing is open any more");
}

#[test]
fn a_device_that_was_taken_back_is_told_so_by_its_own_key_alone() {
    let (web, service) = by_service("web-revoked");
    let phone = Browser::new(&service, "phone");
    let device = web.enrol(&phone, "phone");
    let challenge = web.gateway().password("u1", &web.user.password);
    let number = shown(&challenge);
    let told = phone.open(&service.message(0).body);
    let id = told["id"].as_str().unwrap();
    web.command(&["device", "revoke", "u1", "phone"]);
    let inactive = (409, json!({ "error": "device-not-active" }));
    assert_eq!(web.call("/device/api/questions", &phone.asks("u1", &device, seconds_now())), inactive);
    assert_eq!(web.answer(&phone.answers(("u1", &device), id, "approve", &number)), inactive);
    assert!(web.gateway().answer("u1", "", &challenge).rejects());
    web.site.reasons("device-not-active");
    let stranger = Browser::new(&service, "stranger");
    assert_eq!(web.call("/device/api/questions", &stranger.asks("u1", &device, seconds_now())).0, 403);
    // Enrolled anew it is another device.
    let again = web.enrol(&phone, "phone");
    assert_ne!(again, device);
    assert_eq!(web.call("/device/api/questions", &phone.asks("u1", &device, seconds_now())), inactive);
    assert_eq!(web.call("/device/api/questions", &phone.asks("u1", &again, seconds_now())).0, 200);
}

#[test]
fn a_good_device_is_answered_whatever_others_send_from_its_address() {
    let (web, service) = by_service("web-neighbours");
    let (phone, stranger) = (Browser::new(&service, "phone"), Browser::new(&service, "stranger"));
    let device = web.enrol(&phone, "phone");
    let ask = |body: &Value| web.call("/device/api/questions", body).0;
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
    let challenge = web.gateway().password("u1", &web.user.password);
    let told = phone.open(&service.message(0).body);
    let own = ("u1", device.as_str());
    let right = phone.answers(own, told["id"].as_str().unwrap(), "approve", &shown(&challenge));
    assert_eq!(web.answer(&right).0, 204);
    assert!(web.gateway().answer("u1", "", &challenge).accepts());
}

#[test]
fn a_browser_that_is_gone_is_taken_back_and_the_login_goes_on_with_the_next_device() {
    let (web, service) = by_service("web-gone");
    let (old, new) = (Browser::new(&service, "old"), Browser::new(&service, "new"));
    web.enrol(&old, "old phone");
    service.answers("410 Gone\r\n");
    assert!(web.gateway().password("u1", &web.user.password).rejects(), "there is no other way");
    assert_eq!(service.count(), 1);
    let listed = poll("the device is taken back", Duration::from_secs(20), || {
        let listed = web.command(&["device", "list", "u1", "--all"]);
        listed.contains("revoked").then_some(listed)
    });
    assert!(listed.contains("old phone"), "{listed}");
    web.site.reasons("device-revoked");
    service.answers("201 Created\r\n");
    let device = web.enrol(&new, "new phone");
    let challenge = web.gateway().password("u1", &web.user.password);
    let pushed = service.message(1);
    assert_eq!(pushed.path, "/push/new");
    let told = new.open(&pushed.body);
    let answer = new.answers(("u1", &device), told["id"].as_str().unwrap(), "approve", &shown(&challenge));
    assert_eq!(web.answer(&answer).0, 204);
    assert!(web.gateway().answer("u1", "", &challenge).accepts());
}

#[test]
fn a_service_that_wants_a_rest_gets_it_and_redirects_lead_nowhere() {
    let (web, service) = by_service("web-rest");
    let phone = Browser::new(&service, "phone");
    web.enrol(&phone, "phone");
    service.answers("429 Too Many Requests\r\nRetry-After: 300\r\n");
    assert!(web.gateway().password("u1", &web.user.password).rejects());
    assert!(web.gateway().password("u1", &web.user.password).rejects());
    assert_eq!(service.count(), 1, "it was asked again");
    assert!(
        web.site.radmfa.process.log().contains("wants no pushes for another"),
        "{}",
        web.site.radmfa.process.log()
    );
    assert!(web.command(&["device", "list", "u1"]).contains("active"));
    // That was said to one browser: whoever has another is pushed to by the same service.
    service.answers("201 Created\r\n");
    web.enrol(&Browser::new(&service, "tablet"), "tablet");
    shown(&web.gateway().password("u1", &web.user.password));
    assert_eq!(service.message(1).path, "/push/tablet");

    let (web, service) = by_service("web-redirect");
    let phone = Browser::new(&service, "phone");
    web.enrol(&phone, "phone");
    service.answers("307 Temporary Redirect\r\nLocation: https://127.0.0.1:1/\r\n");
    assert!(web.gateway().password("u1", &web.user.password).rejects());
    assert!(web.site.radmfa.process.log().contains("redirects are not followed"));
}

#[test]
fn the_key_that_signs_pushes_outlives_a_restart_and_is_nowhere_in_the_clear() {
    let (web, service) = by_service("web-key");
    let key = web.call_get("/device/api/about").1["key"].as_str().unwrap().to_owned();
    let portal = web.portal.clone();
    let channel = format!(
        "name=web,kind=push,type=web,push-services=127.0.0.1,ca-file={}",
        web.site.scratch.join("push-ca.pem").display()
    );
    let Site { radmfa, store, scratch, .. } = web.site;
    drop(radmfa);
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
    let web = Web::start(Scratch::new("ntfy"), &["--channel", &channel, "--push", "match=none"]);
    let added = web.command(&["device", "add", "u1", "--channel", "ntfy"]);
    let topic = added
        .split_whitespace()
        .find(|word| word.starts_with("radmfa-"))
        .unwrap_or_else(|| panic!("{added}"));
    assert_eq!(topic.len(), "radmfa-".len() + 32, "{added}");
    let challenge = web.gateway().password("u1", &web.user.password);
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
    assert!(web.gateway().answer("u1", "", &challenge).accepts());
    web.site.reasons("phone-approved");
}

/// Sends the form of `page`, with its token and `more`.
fn submit(visitor: &mut Caller, page: &Answer, path: &str, more: &[(&str, &str)]) -> Answer {
    let token = hidden(&page.body, "form-token").unwrap_or_else(|| panic!("{page:?}"));
    visitor.visit("POST", path, &[FORM], &fields(&[&[("form-token", token.as_str())], more].concat()))
}

/// What the page gives the phone to register with.
fn secret_of(page: &Answer) -> String {
    let rest = page.body.split("data-secret=\"").nth(1).unwrap_or_else(|| panic!("{page:?}"));
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
    let (web, service) = by_service("web-offer");
    let phone = Browser::new(&service, "phone");
    let (mut visitor, link) = web.invited();
    let mut offer = || {
        let page = visitor.visit("GET", "/setup/phone", &[], "");
        (secret_of(&page), page)
    };
    let (first, (second, page)) = (offer().0, offer());
    // A device that an admin added is none of this seat's.
    let device = web.enrol(&Browser::new(&service, "another"), "another");
    let said = submit(&mut visitor, &page, "/setup/phone", &[("device", &device)]);
    assert_eq!(said.status, 303, "{said:?}");
    assert_eq!(visitor.visit("GET", &link, &[], "").status, 200, "the link was not used");
    let address = phone.address();
    let endpoint = address.split(' ').next().unwrap();
    let register =
        |secret: &str| web.call("/device/api/register", &registration(&phone, secret, endpoint, &phone)).0;
    assert_eq!(register(&first), 403, "a newer one was made");
    web.command(&["user", "block", "u1", "--for", "1h", "--reason", "test"]);
    assert_eq!(register(&second), 403, "blocked");
    web.command(&["user", "unblock", "u1"]);
    assert_eq!(register(&second), 403, "it works once");
    assert!(!web.command(&["device", "list", "u1"]).contains("my phone"));
    let page = visitor.visit("GET", "/setup/phone", &[], "");
    assert_eq!(register(&secret_of(&page)), 200, "the invitation is as it was");
}

#[test]
fn an_offer_ends_with_a_report_of_fraud_from_another_device() {
    let (web, service) = by_service("web-offer-fraud");
    let (phone, second) = (Browser::new(&service, "phone"), Browser::new(&service, "second"));
    let device = web.enrol(&phone, "phone");
    let (mut visitor, _) = web.invited();
    let secret = secret_of(&visitor.visit("GET", "/setup/phone", &[], ""));

    let challenge = web.gateway().password("u1", &web.user.password);
    assert!(!shown(&challenge).is_empty());
    let told = phone.open(&service.message(0).body);
    let fraud = phone.answers(("u1", &device), told["id"].as_str().unwrap(), "fraud", "");
    assert_eq!(web.answer(&fraud).0, 204);
    web.site.reasons("fraud-reported");

    let address = second.address();
    let endpoint = address.split(' ').next().unwrap();
    let register = || web.call("/device/api/register", &registration(&second, &secret, endpoint, &second)).0;
    assert_eq!(register(), 403, "whoever holds the link may be whom the report was about");
    assert_eq!(visitor.visit("GET", "/setup/phone", &[], "").status, 404, "nor is there a page any more");
    web.command(&["user", "unblock", "u1"]);
    assert_eq!(register(), 403, "it works once");
    let listed = web.command(&["device", "list", "u1", "--format", "json"]);
    assert!(!listed.contains("my phone"), "{listed}");
}

#[test]
fn an_invitation_makes_a_browser_a_device_once_and_its_key_has_to_sign_for_it() {
    let (web, service) = by_service("web-enrol");
    let phone = Browser::new(&service, "phone");
    let (mut visitor, link) = web.invited();
    let page = visitor.visit("GET", "/setup", &[], "");
    assert!(page.body.contains("href=\"/setup/phone\""), "{page:?}");
    let page = visitor.visit("GET", "/setup/phone", &[], "");
    assert_eq!(page.status, 200, "{page:?}");
    let secret = secret_of(&page);

    let registration =
        |secret: &str, endpoint: &str, signer: &Browser| registration(&phone, secret, endpoint, signer);
    let address = phone.address();
    let endpoint = address.split(' ').next().unwrap();
    let register = |body: &Value| web.call("/device/api/register", body);
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

    let other = submit(&mut visitor, &page, "/setup/phone", &[("device", "1")]);
    assert_eq!(other.status, 303, "no device of this user's");
    let finished = submit(&mut visitor, &page, "/setup/phone", &[("device", &device)]);
    assert_eq!(finished.status, 200, "{finished:?}");
    let body = &finished.body;
    assert!(body.contains("class=\"codes\"") && body.contains("href=\"/device\""), "{body}");
    let again = Caller::new(1, &web.portal).send("GET", &link, &[], "");
    assert_eq!(again.status, 404, "the link is used up");

    let challenge = web.gateway().password("u1", &web.user.password);
    let told = phone.open(&service.message(0).body);
    let answer = phone.answers(("u1", &device), told["id"].as_str().unwrap(), "approve", &shown(&challenge));
    assert_eq!(web.answer(&answer).0, 204);
    assert!(web.gateway().answer("u1", "", &challenge).accepts());
    web.site.reasons("device-added");
}
