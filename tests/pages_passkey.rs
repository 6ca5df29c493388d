//! Passkeys with an authenticator in software, through the real program: made by invitation, a login at `/me`, pushes that nothing else
//! approves, and what attackers send.

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
#[path = "../src/portal/passkey/soft.rs"]
mod soft;
mod support;

use std::cell::OnceCell;

use pages_support::{Browser, House, by_name, hidden, recovery_codes, token};
use serde_json::Value;
use soft::Soft;
use support::http::Answer;
use support::push_service::{Browser as PhoneBrowser, PushService};
use support::webhook::{Webhook, post, seconds_now};

fn open(name: &str) -> House {
    House::open_at_localhost(name, "")
}

/// What is asked of the authenticator, and the name of the challenge.
fn challenge(browser: &mut Browser, page: &Answer, path: &str, fields: &[(&str, &str)]) -> (String, Value) {
    let answer = browser.post(page, path, fields);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    (said["ceremony"].as_str().unwrap().to_owned(), said["options"]["publicKey"].clone())
}

/// Makes a passkey called `name` where the browser may set something up; what is shown then.
fn make(browser: &mut Browser, soft: &mut Soft, name: &str) -> Answer {
    let page = browser.get("/setup/passkey");
    let (ceremony, options) = challenge(browser, &page, "/setup/passkey/begin", &[("name", name)]);
    let made = soft.make(&options).to_string();
    browser.post(&page, "/setup/passkey", &[("ceremony", &ceremony), ("credential", &made)])
}

/// Shows a passkey at `/me`; what comes of it.
fn log_in(browser: &mut Browser, user: &str, soft: &mut Soft) -> Answer {
    let page = browser.get("/me");
    let (ceremony, options) = challenge(browser, &page, "/me/passkey/begin", &[("user", user)]);
    let shown = soft.show(&options).to_string();
    browser.post(&page, "/me/passkey", &[("ceremony", &ceremony), ("credential", &shown)])
}

fn trail(house: &House) -> Vec<Value> {
    let text = house.desk.ok("audit export --since 1d --format jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn reasons(house: &House) -> Vec<String> {
    trail(house).iter().map(|row| row["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_passkey_that_was_made_by_invitation_logs_in_at_me_and_is_taken_away() {
    let house = open("passkey-me");
    let url = by_name(&house.portal);
    let mut soft = Soft::new(3, &url);
    let mut browser = house.browser();
    let invitation = house.invite("u1", "");
    browser.accept(&invitation);
    let done = make(&mut browser, &mut soft, "blue key");
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(recovery_codes(&done).len(), 10);
    assert_eq!(house.browser().get(&invitation).status, 404, "used up");
    assert!(house.desk.ok("user show u1").contains("blue key since"), "{}", house.desk.ok("user show u1"));
    let listed = house.desk.ok("device list u1");
    assert!(listed.contains("blue key") && listed.contains("never used"), "{listed}");

    let mut browser = house.browser();
    let let_in = log_in(&mut browser, "u1", &mut soft);
    assert_eq!((let_in.status, let_in.location()), (303, Some("/me")), "{}", let_in.body);
    let own = browser.get("/me");
    assert!(own.body.contains("blue key") && own.body.contains("last used"), "{}", own.body);
    let rows = trail(&house);
    let row = rows.iter().find(|row| row["reason"] == "passkey-accepted").unwrap();
    assert_eq!(
        (&row["method"], &row["client"], &row["user"]),
        (&"passkey".into(), &"portal".into(), &"u1".into())
    );
    assert!(
        rows.iter().any(|row| row["reason"] == "passkey-added")
            && rows.iter().any(|row| row["reason"] == "passkey-used")
    );

    let id = hidden(&own, "passkey");
    assert_eq!(browser.post(&own, "/me/passkey/remove", &[("passkey", &id)]).status, 303);
    assert!(!browser.get("/me").body.contains("blue key"), "and the user sits there still");
    let refused = log_in(&mut house.browser(), "u1", &mut soft);
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(reasons(&house).contains(&"passkey-removed".to_owned()));
}

#[test]
fn whoever_logged_in_by_passkey_lets_one_login_in_at_a_gateway() {
    let house = House::open_pushing("passkey-arm", ",arm=120s", |_| String::new());
    let mut soft = Soft::new(3, &by_name(&house.portal));
    let mut browser = house.browser();
    browser.accept(&house.invite("u1", ""));
    assert_eq!(make(&mut browser, &mut soft, "key").status, 200);
    assert_ne!(house.nas("u1", "").0, 0, "nobody has armed it");

    let mut browser = house.browser();
    assert_eq!(log_in(&mut browser, "u1", &mut soft).status, 303);
    let own = browser.get("/me");
    assert_eq!(browser.post(&own, "/me/arm", &[("client", "nas")]).location(), Some("/me"));
    let let_in = house.nas("u1", "");
    assert_eq!(let_in.0, 0, "{}", let_in.1);
    assert_ne!(house.nas("u1", "").0, 0, "once");
    let reasons = reasons(&house);
    let count = |wanted: &str| reasons.iter().filter(|reason| *reason == wanted).count();
    assert_eq!((count("armed"), count("armed-used")), (1, 1), "{reasons:?}");
}

#[test]
fn nobody_is_let_in_by_a_passkey_that_is_wrong_old_copied_or_somebody_elses() {
    let house = open("passkey-attacks");
    let url = by_name(&house.portal);
    let mut soft = Soft::new(3, &url);
    let mut browser = house.browser();
    browser.accept(&house.invite("u1", ""));
    assert_eq!(make(&mut browser, &mut soft, "key").status, 200);
    house.desk.ok("user add u2");
    let mut other = Soft::new(4, &url);
    let mut browser = house.browser();
    browser.accept(&house.invite("u2", ""));
    assert_eq!(make(&mut browser, &mut other, "key").status, 200);

    let status = |soft: &mut Soft, user: &str| log_in(&mut house.browser(), user, soft).status;
    assert_eq!(status(&mut soft, "u1"), 303);
    assert_eq!(status(&mut other, "u1"), 403, "somebody else's");
    soft.verified = false;
    assert_eq!(status(&mut soft, "u1"), 403, "nobody made sure of the user");
    soft.verified = true;
    "https://evil.example".clone_into(&mut soft.origin);
    assert_eq!(status(&mut soft, "u1"), 403, "signed at another site");
    soft.origin.clone_from(&url);
    "evil.example".clone_into(&mut soft.party);
    assert_eq!(status(&mut soft, "u1"), 403, "signed for another party");
    "localhost".clone_into(&mut soft.party);
    assert_eq!(status(&mut soft, "u1"), 303);
    soft.counter = 2;
    assert_eq!(status(&mut soft, "u1"), 403, "counted back");
    assert!(reasons(&house).contains(&"passkey-copied".to_owned()));
    soft.counter = 1000;

    // What was sent once is worth nothing again, nor from another browser.
    let mut browser = house.browser();
    let page = browser.get("/me");
    let (ceremony, options) = challenge(&mut browser, &page, "/me/passkey/begin", &[("user", "u1")]);
    let shown = soft.show(&options).to_string();
    let fields = [("ceremony", ceremony.as_str()), ("credential", shown.as_str())];
    let mut thief = house.browser();
    let elsewhere = thief.get("/me");
    assert_eq!(thief.post(&elsewhere, "/me/passkey", &fields).status, 403, "another browser");
    let without = browser.post_with("00", "/me/passkey", &fields, &[]);
    assert_eq!(without.status, 403, "another form");
    let evil = [("Origin", "https://evil.example")];
    let foreign = browser.post_with(&token(&page), "/me/passkey", &fields, &evil);
    assert_eq!(foreign.status, 403, "another site");
    assert_eq!(browser.post(&page, "/me/passkey", &fields).status, 303);
    let mut again = house.browser();
    let page = again.get("/me");
    assert_eq!(again.post(&page, "/me/passkey", &fields).status, 403, "twice");

    // Who is kept out is so with a passkey, too.
    house.desk.ok("user block u1 --for 1h --reason test");
    assert_eq!(status(&mut soft, "u1"), 403);
    house.desk.ok("user unblock u1");
    assert_eq!(status(&mut soft, "u1"), 303);
    house.desk.ok("user set u1 --disable");
    assert_eq!(status(&mut soft, "u1"), 403);
    let reasons = reasons(&house);
    for reason in ["passkey-wrong", "user-blocked", "user-disabled"] {
        assert!(reasons.contains(&reason.to_owned()), "no {reason} in {reasons:?}");
    }
}

#[test]
fn a_name_that_is_nobodys_is_asked_for_a_passkey_like_any_other() {
    let house = open("passkey-names");
    let asked = |user: &str| {
        let mut browser = house.browser();
        let page = browser.get("/me");
        let (_, options) = challenge(&mut browser, &page, "/me/passkey/begin", &[("user", user)]);
        assert_eq!(options["userVerification"], "required");
        let names = options["allowCredentials"].as_array().unwrap();
        assert!((1..=2).contains(&names.len()), "{options}");
        names.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for user in ["u1", "nobody", "Nobody", "\0", ""] {
        assert_eq!(asked(user), asked(user), "{user}");
    }
    assert_eq!(asked("nobody"), asked("NOBODY"), "one name");
    assert_ne!(asked("u1"), asked("nobody"));
    // And whatever is signed for it lets nobody in.
    let mut soft = Soft::new(3, &by_name(&house.portal));
    assert_eq!(log_in(&mut house.browser(), "nobody", &mut soft).status, 403);
    assert_eq!(log_in(&mut house.browser(), "u1", &mut soft).status, 403);
}

#[test]
fn where_the_portal_has_an_address_for_a_name_there_are_no_passkeys_and_check_says_so() {
    let house = House::open("passkey-off", "");
    let mut browser = house.browser();
    browser.accept(&house.invite("u1", ""));
    assert!(!browser.get("/setup").body.contains("/setup/passkey"));
    assert_eq!(browser.get("/setup/passkey").location(), Some("/setup"));
    let page = house.browser().get("/me");
    assert!(!page.body.contains("/me/passkey"), "{}", page.body);
    let said = house.desk.run(
        "check --offline --server-name test --portal 127.0.0.1:1 --primary name=here,type=local \
         --client name=nas,address=127.0.0.1,secret=file:secret,require=passkey",
    );
    assert!(
        said.stderr.contains("no push can be approved by a passkey: public-url names an address"),
        "{}",
        said.stderr
    );
}

/// A server that pushes by ntfy, to browsers and to an app, at whose gateway pushes are approved by passkey alone. `u1` has a passkey,
/// and so has `alice`, and each a phone that ntfy reaches.
struct Phones {
    house: House,
    ntfy: Webhook,
    service: PushService,
}

impl Phones {
    fn open(name: &str) -> (Phones, Soft, Soft) {
        let (ntfy, kept) = (Webhook::start(), OnceCell::new());
        let nas = ",challenge=false,patience=5m,require=passkey";
        let house = House::open_pushing(name, nas, |desk| {
            kept.get_or_init(|| PushService::start(&desk.scratch));
            format!(
                "--push lifetime=5m --channel name=ntfy,kind=push,type=ntfy,url=http://{address} \
                 --channel name=hook,kind=push,type=webhook,url=http://{address}/hook,secret=hook-secret-of-the-test \
                 --channel name=web,kind=push,type=web,push-services=127.0.0.1,ca-file=push-ca.pem,from=mailto:it@example.com",
                address = ntfy.address
            )
        });
        let url = by_name(&house.portal);
        let (mut own, mut others) = (Soft::new(3, &url), Soft::new(4, &url));
        for (user, soft) in [("u1", &mut own), ("alice", &mut others)] {
            let mut browser = house.browser();
            browser.accept(&house.invite(user, ""));
            assert_eq!(make(&mut browser, soft, "key").status, 200);
            house.desk.ok(&format!("device add {user} --channel ntfy --address {user}-phone"));
        }
        (Phones { house, ntfy, service: kept.into_inner().unwrap() }, own, others)
    }

    /// The path of the page that notification `place` opens, and the labels of its buttons.
    fn page(&self, place: usize) -> (String, Vec<String>) {
        let message = self.ntfy.question(place).json();
        let click = message["click"].as_str().unwrap();
        let actions = message["actions"].as_array().unwrap().iter();
        let labels = actions.map(|action| action["label"].as_str().unwrap().to_owned()).collect();
        (format!("/{}", click.splitn(4, '/').nth(3).unwrap()), labels)
    }

    /// How a login at the gateway ends: 0 for let in; waits as long as the gateway does.
    fn log_in(&self, user: &str) -> i32 {
        self.house.nas_within("5m", user, "").0
    }
}

/// A yes with a passkey that is shown for it, as the script sends it.
fn approve(browser: &mut Browser, page: &Answer, path: &str, number: &str, soft: &mut Soft) -> Answer {
    let (ceremony, options) = challenge(browser, page, &format!("{path}/passkey"), &[]);
    yes(browser, page, path, (number, &ceremony, &soft.show(&options).to_string()))
}

fn yes(browser: &mut Browser, page: &Answer, path: &str, signed: (&str, &str, &str)) -> Answer {
    let (number, ceremony, credential) = signed;
    let mut fields = vec![("verdict", "approve"), ("ceremony", ceremony), ("credential", credential)];
    if !number.is_empty() {
        fields.push(("number", number));
    }
    browser.post(page, path, &fields)
}

#[test]
fn a_push_is_approved_by_this_users_passkey_for_this_login_and_by_nothing_else() {
    let (phones, mut own, mut others) = Phones::open("passkey-push");
    let house = &phones.house;
    std::thread::scope(|scope| {
        let login = scope.spawn(|| phones.log_in("u1"));
        let (path, labels) = phones.page(0);
        assert_eq!(labels, ["Open", "Deny"], "no button approves");
        let mut browser = house.browser();
        let page = browser.get(&path);
        assert!(page.body.contains("data-passkey") && page.body.contains("passkey.js"), "{}", page.body);
        let bare = browser.post(&page, &path, &[("verdict", "approve")]);
        assert!(bare.status == 403 && bare.body.contains("Not approved"), "{}", bare.body);
        assert_eq!(approve(&mut browser, &page, &path, "", &mut others).status, 403, "somebody else's");
        own.verified = false;
        assert_eq!(approve(&mut browser, &page, &path, "", &mut own).status, 403, "not sure of the user");
        own.verified = true;
        let counter = std::mem::replace(&mut own.counter, 1);
        assert_eq!(approve(&mut browser, &page, &path, "", &mut own).status, 403, "counted back");
        own.counter = counter;
        let front = browser.get("/me");
        let (ceremony, options) = challenge(&mut browser, &front, "/me/passkey/begin", &[("user", "u1")]);
        let signed = own.show(&options).to_string();
        let other_use = yes(&mut browser, &page, &path, ("", &ceremony, &signed));
        assert_eq!(other_use.status, 403, "made for a login at /me");

        // Two users are asked at once: what was made for one login answers no other.
        let second = scope.spawn(|| phones.log_in("alice"));
        let (other_path, _) = phones.page(1);
        let other_page = browser.get(&other_path);
        let begin = format!("{other_path}/passkey");
        let (ceremony, options) = challenge(&mut browser, &other_page, &begin, &[]);
        let signed = others.show(&options).to_string();
        assert_eq!(yes(&mut browser, &page, &path, ("", &ceremony, &signed)).status, 403, "another login's");
        let used_up = yes(&mut browser, &other_page, &other_path, ("", &ceremony, &signed));
        assert_eq!(used_up.status, 403, "used up by that");
        assert_eq!(
            browser.post(&other_page, &other_path, &[("verdict", "deny")]).status,
            200,
            "no takes none"
        );
        assert_ne!(second.join().unwrap(), 0);

        let approved = approve(&mut browser, &page, &path, "", &mut own);
        assert!(approved.status == 200 && approved.body.contains("Approved"), "{}", approved.body);
        assert_eq!(login.join().unwrap(), 0);
        assert_eq!(browser.post(&page, &format!("{path}/passkey"), &[]).status, 409, "late");
    });
    let reasons = reasons(house);
    for reason in ["passkey-wrong", "passkey-copied", "passkey-used", "phone-approved", "phone-denied"] {
        assert!(reasons.contains(&reason.to_owned()), "no {reason} in {reasons:?}");
    }
}

#[test]
fn a_device_that_shows_no_page_is_not_asked_and_one_that_does_approves_nothing_by_itself() {
    let (phones, _, mut soft) = Phones::open("passkey-device");
    let Phones { house, ntfy, service } = &phones;
    let desk = &house.desk;
    desk.ok("device revoke alice alice-phone");
    desk.ok("device add alice --channel hook --address alices-app");
    assert_ne!(phones.log_in("alice"), 0);
    desk.ok("device revoke u1 key");
    assert_ne!(phones.log_in("u1"), 0, "without a passkey");
    assert_eq!(ntfy.count(), 0, "nobody was asked");
    let missing = reasons(house).iter().filter(|reason| *reason == "passkey-missing").count();
    assert_eq!(missing, 2, "{:?}", reasons(house));

    let phone = PhoneBrowser::new(service, "phone");
    let (address, key) = (phone.address(), phone.public_key());
    let mut added = desk.command("device add alice --channel web --name phone");
    added.args(["--address", &address, "--key", &key]);
    assert!(added.status().unwrap().success());
    let listed: Vec<Value> = serde_json::from_str(&desk.ok("device list alice --format json")).unwrap();
    let device = listed.iter().find(|device| device["name"] == "phone").unwrap()["number"].as_str().unwrap();
    std::thread::scope(|scope| {
        let login = scope.spawn(|| phones.log_in("alice"));
        let id = phone.open(&service.message(0).body)["id"].as_str().unwrap().to_owned();
        let call = |path: &str, body: &Value| {
            let (status, said) = post(&format!("http://{}{path}", house.portal), &[], &body.to_string());
            (status, serde_json::from_str::<Value>(&said).unwrap_or(Value::Null))
        };
        let signed = phone.answers(("alice", device), &id, "approve", "");
        let (status, said) = call("/device/api/answer", &signed);
        assert_eq!((status, &said["error"]), (403, &"passkey-required".into()), "{said}");
        let (_, asked) = call("/device/api/questions", &phone.asks("alice", device, seconds_now()));
        let path = asked["questions"][0]["page"].as_str().unwrap().to_owned();
        let mut browser = house.browser();
        let page = browser.get(&path);
        assert_eq!(approve(&mut browser, &page, &path, "", &mut soft).status, 200);
        assert_eq!(login.join().unwrap(), 0);
    });
    assert!(reasons(house).contains(&"passkey-required".to_owned()));
}

#[test]
fn a_device_alone_may_want_a_passkey_beside_the_number() {
    let (phones, mut soft, _) = Phones::open("passkey-number");
    let house = &phones.house;
    let wanted = house.desk.ok("device require u1 u1-phone passkey");
    assert!(wanted.contains("with a passkey alone"), "{wanted}");
    assert!(house.desk.ok("device list u1").contains("with a passkey alone"));
    for (place, right) in [(0, false), (1, true)] {
        // Nothing is required at this door; the device wants it.
        let mut front = house.browser();
        let page = front.get("/me");
        let asked = front.post(&page, "/me/login", &[("user", "u1"), ("password", "correct horse")]);
        let line = asked.body.split("Type ").nth(1).unwrap_or_else(|| panic!("{}", asked.body));
        let number = line[..2].to_owned();
        let typed = if right { number } else { if number == "10" { "11" } else { "10" }.to_owned() };
        let state = hidden(&asked, "state");
        let (path, _) = phones.page(place);
        let mut browser = house.browser();
        let page = browser.get(&path);
        assert!(page.body.contains("name=\"number\"") && page.body.contains("data-passkey"), "{}", page.body);
        let bare = browser.post(&page, &path, &[("verdict", "approve"), ("number", &typed)]);
        assert_eq!(bare.status, 403, "{}", bare.body);
        let answered = approve(&mut browser, &page, &path, &typed, &mut soft);
        assert_eq!(answered.body.contains("Approved"), right, "{}", answered.body);
        let ended = front.post(&asked, "/me/login", &[("user", "u1"), ("state", &state), ("code", "")]);
        assert_eq!(ended.location() == Some("/me"), right, "{}", ended.body);
    }
    assert!(reasons(house).contains(&"number-wrong".to_owned()));
}
