//! A house to be attacked: a server with everything that has a page, people in it, and what holds for every answer and every page.
//!
//! A test binary says `mod support;` and `mod cli_support;` before `mod pages_support;`.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::missing_panics_doc,
    reason = "each test binary compiles this module and uses its own part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a harness fails by panicking, and asks the real clock for the codes of this moment"
)]

use std::cell::OnceCell;

use radmfa::portal::ways::{ADMIN, PORTAL, SHARED, Way};

use crate::cli_support::Desk;
use crate::support::caller::{Caller, FORM, fields, forms, hidden, tags};
use crate::support::http::Answer;
use crate::support::push_service::PushService;
use crate::support::webhook::Webhook;
use crate::support::{Process, code, free_port};

pub const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
pub const PASSWORD: &str = "correct horse battery";
/// Whoever has a token, and roles at the admins' pages.
pub const PEOPLE: [&str; 6] = ["alice", "bob", "carol", "dave", "olga", "ned"];

/// A server with everything that has a page.
pub struct House {
    pub desk: Desk,
    pub portal: String,
    pub admin: String,
    pub ntfy: Webhook,
    pub service: PushService,
    /// What petra's phone was sent.
    pub notified: OnceCell<(String, String)>,
    pub server: Process,
}

impl House {
    pub fn open(name: &str) -> House {
        let desk = Desk::new(name);
        let (ntfy, service) = (Webhook::start(), PushService::start(&desk.scratch));
        desk.write("password", &format!("{PASSWORD}\n"));
        desk.write("secret", "a long shared secret");
        let rows = PEOPLE.map(|name| format!("{name},T-{name},{SEED}\n")).concat();
        desk.write("tokens.csv", &format!("user,serial,secret\n{rows}"));
        desk.ok("token import tokens.csv");
        for user in ["alice", "bob", "carol", "dave"] {
            desk.ok(&format!("user set {user} --password-file password"));
        }
        desk.ok("user add petra --password-file password");
        desk.ok("user add ivy --password-file password");
        desk.ok("device add petra --channel ntfy --address petras-phone");
        desk.ok("admin add olga --role admin --password-file password");
        desk.ok("admin add ned --role helpdesk --password-file password");
        let (radius, portal, admin) = (free_port(), free_port(), free_port());
        let server = desk.serve(&format!(
            "serve --server-name mfa-a --listen 127.0.0.1:{radius} --primary name=here,type=local --log-level trace --push lifetime=5m \
             --client name=nas,address=127.0.0.1,secret=file:secret \
             --portal listen=127.0.0.1:{portal},public-url=http://localhost:{portal} \
             --admin listen=127.0.0.1:{admin},public-url=http://localhost:{admin} \
             --channel name=web,kind=push,type=web,push-services=127.0.0.1,ca-file=push-ca.pem,from=mailto:it@example.com \
             --channel name=ntfy,kind=push,type=ntfy,url=http://{ntfy} \
             --channel name=hook,kind=push,type=webhook,url=http://{ntfy}/hook,secret=hook-secret-of-the-test",
            ntfy = ntfy.address,
        ));
        let host = |port: u16| format!("127.0.0.1:{port}");
        House {
            portal: host(portal),
            admin: host(admin),
            desk,
            ntfy,
            service,
            notified: OnceCell::new(),
            server,
        }
    }

    /// Every way, and where it is.
    pub fn ways(&self) -> Vec<(&str, &'static Way)> {
        let portal = PORTAL.iter().chain(SHARED).map(|way| (self.portal.as_str(), way));
        portal.chain(ADMIN.iter().chain(SHARED).map(|way| (self.admin.as_str(), way))).collect()
    }

    /// The path of a new invitation for `user`.
    pub fn invitation(&self, user: &str) -> String {
        let base = format!("http://localhost:{}", self.portal.rsplit(':').next().unwrap());
        let said = self.desk.ok(&format!("user invite {user} --url {base}"));
        said.lines().last().unwrap().trim().strip_prefix(&base).unwrap().to_owned()
    }

    /// `user`, logged in with password and code.
    pub fn seat(&self, host: &str, user: &str, last: u8) -> Caller {
        let mut caller = Caller::new(last, host);
        let (front, login) = if host == self.admin { ("/", "/login") } else { ("/me", "/me/login") };
        let page = caller.visit("GET", front, &[], "");
        let token = hidden(&page.body, "form-token").unwrap();
        let form = fields(&[("form-token", &token), ("user", user), ("password", PASSWORD)]);
        let asked = caller.visit("POST", login, &[FORM], &form);
        let state = hidden(&asked.body, "state").unwrap_or_else(|| panic!("{user}: {asked:?}"));
        let code = code::now(SEED);
        let form = fields(&[("form-token", &token), ("user", user), ("state", &state), ("code", &code)]);
        let let_in = caller.visit("POST", login, &[FORM], &form);
        assert_eq!(let_in.status, 303, "{user}: {let_in:?}");
        caller
    }

    /// Somebody with a seat by an invitation.
    pub fn invited(&self, user: &str, last: u8) -> Caller {
        let (mut caller, link) = (Caller::new(last, &self.portal), self.invitation(user));
        let page = caller.visit("GET", &link, &[], "");
        let token = hidden(&page.body, "form-token").unwrap();
        assert_eq!(caller.visit("POST", &link, &[FORM], &fields(&[("form-token", &token)])).status, 303);
        caller
    }

    /// What petra's phone is sent when she begins to log in: the page that it opens, and its button. A user is asked about one login
    /// at a time.
    pub fn notification(&self) -> (String, String) {
        let asked = || {
            let mut caller = Caller::new(9, &self.portal);
            let page = caller.visit("GET", "/me", &[], "");
            let token = hidden(&page.body, "form-token").unwrap();
            let form = fields(&[("form-token", &token), ("user", "petra"), ("password", PASSWORD)]);
            caller.visit("POST", "/me/login", &[FORM], &form);
            let message = self.ntfy.question(0).json();
            let path = |url: &str| format!("/{}", url.splitn(4, '/').nth(3).unwrap());
            let deny = message["actions"].as_array().unwrap().iter().find(|action| action["label"] == "Deny");
            (path(message["click"].as_str().unwrap()), path(deny.unwrap()["url"].as_str().unwrap()))
        };
        self.notified.get_or_init(asked).clone()
    }

    /// All that forms could change, of everybody.
    pub fn state(&self) -> String {
        let people = PEOPLE.iter().chain(&["petra", "ivy"]);
        people.map(|user| self.desk.ok(&format!("user show {user} --format json"))).collect()
    }
}

/// A path that is there; who asks for it is `caller`.
pub fn sample(way: &Way, house: &House) -> String {
    match way.path {
        "/assets/{name}" => "/assets/style.css".to_owned(),
        "/push/{channel}" => "/push/hook".to_owned(),
        "/sms/{channel}" => "/sms/hook".to_owned(),
        "/voice/{channel}" => "/voice/hook".to_owned(),
        "/a/{token}" => house.notification().0,
        "/a/{token}/passkey" => house.notification().0 + "/passkey",
        "/device/api/act/{token}" => house.notification().1,
        "/enrol/{secret}" => house.invitation("ivy"),
        "/api/{*rest}" => "/api/v1/self".to_owned(),
        path => {
            assert!(!path.contains('{'), "say in `sample` what stands in the places of {path}");
            path.to_owned()
        }
    }
}

/// A path that nobody was given, as a guess of what stands in it.
pub fn guess(way: &Way) -> String {
    let shaped = way.path.replace("{secret}", "AAAAAAAAAAAAAAAAAAAAAHUx");
    shaped.replace("{token}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").replace("{*rest}", "v1/self")
}

/// What holds for every answer.
pub fn inspect(at: &str, path: &str, answer: &Answer) {
    let place = format!("{path} at {at}, {}", answer.status);
    assert!(answer.status < 500, "{place}: {}", answer.body);
    let policy = answer.header("content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{place}: {part}");
    }
    for part in ["unsafe", "*", "http"] {
        assert!(!policy.contains(part), "{place}: {policy}");
    }
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), value, "{place}: {name}");
    }
    let kept = answer.header("cache-control");
    let ours =
        path.starts_with("/assets/") || ["/device/sw.js", "/device/manifest.webmanifest"].contains(&path);
    assert!(kept == "no-store" || (ours && kept == "no-cache"), "{place}: {kept}");
    let head = answer.head.to_ascii_lowercase();
    for name in ["access-control-", "server:", "x-powered-by", "refresh:"] {
        assert!(!head.lines().any(|line| line.starts_with(name)), "{place}: {name}");
    }
    for cookie in head.lines().filter(|line| line.starts_with("set-cookie:")) {
        assert!(
            cookie.contains("; httponly") && cookie.contains("; samesite=") && cookie.contains("; path=/"),
            "{cookie}"
        );
    }
    let location = answer.header("location");
    assert!(location.is_empty() || is_here(location), "{place}: {location}");
    if answer.header("content-type").starts_with("text/html") {
        inspect_page(&place, &answer.body);
    }
}

/// Whether it is a path of this site, however a browser reads it.
pub fn is_here(target: &str) -> bool {
    let plain = target.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'\\');
    plain && target.starts_with('/') && !target.starts_with("//")
}

/// What holds for every page: nothing inline, nothing from elsewhere.
pub fn inspect_page(place: &str, html: &str) {
    for tag in tags(html) {
        assert!(
            !["style", "iframe", "object", "embed", "base"].contains(&tag.name.as_str()),
            "{place}: {tag:?}"
        );
        assert!(!tag.is("script") || tag.attribute("src").is_some(), "{place}: {tag:?}");
        for (name, value) in &tag.attributes {
            assert!(name != "style" && !name.starts_with("on"), "{place}: {tag:?}");
            let target = match name.as_str() {
                "content" if tag.attribute("http-equiv") == Some("refresh") => {
                    value.split_once("url=").map_or("/", |(_, target)| target)
                }
                "src" | "href" | "action" | "formaction" | "data" | "poster" | "srcset" | "ping" => value,
                _ => continue,
            };
            let own = is_here(target) || target.starts_with('#') || target == "data:,";
            assert!(own, "{place}: {tag:?}");
        }
    }
}

/// Every form of a page goes to a way that is declared, with the fields that are declared.
pub fn declared(place: &str, ways: &[Way], shown_at: &Way, html: &str) -> usize {
    let found = forms(html);
    for form in &found {
        let target = if form.action.is_empty() { shown_at.path } else { &form.action };
        let way = ways.iter().find(|way| way.path == target);
        let way = way.unwrap_or_else(|| panic!("{place}: a form goes to {target}, which is not declared"));
        let takes = if form.method == "post" { way.post.is_some() } else { way.get.is_some() };
        assert!(takes, "{place}: {form:?}");
        for name in form.names.iter().filter(|name| *name != "form-token") {
            assert!(way.fields.contains(&name.as_str()), "{place}: {target} has no field {name}");
        }
        let token = form.hidden.iter().any(|(name, value)| name == "form-token" && value.len() == 64);
        assert!(token || form.method != "post", "{place}: {form:?} has no token");
    }
    found.len()
}

/// Whether it is what a form from elsewhere is told.
pub fn is_foreign(answer: &Answer) -> bool {
    answer.status == 403 && answer.body.contains("sent from another site")
}

/// Whether it is for somebody to log in first.
pub fn is_login(answer: &Answer) -> bool {
    ["/me", "/"].contains(&answer.header("location")) || answer.body.contains("current-password")
}
