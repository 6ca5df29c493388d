//! Everything that has a page at one server, the people who use it, and a way to each page.

use std::cell::OnceCell;

use radmfa::portal::ways::{ADMIN, PORTAL, SHARED, Way};

use super::browser::{ADMINS, Browser, ME};
use super::{SEED, by_name};
use crate::cli_support::Desk;
use crate::support::caller::Caller;
use crate::support::push_service::PushService;
use crate::support::webhook::Webhook;
use crate::support::{Process, code, free_port};

/// Everybody's.
pub const PASSWORD: &str = "correct horse battery";
/// Whoever has a token, and roles at the admins' pages.
pub const PEOPLE: [&str; 6] = ["alice", "bob", "carol", "dave", "olga", "ned"];

/// A server with everything that has a page.
pub struct Estate {
    pub desk: Desk,
    pub portal: String,
    pub admin: String,
    pub ntfy: Webhook,
    pub service: PushService,
    /// What petra's phone was sent.
    pub notified: OnceCell<(String, String)>,
    pub server: Process,
}

impl Estate {
    pub fn open(name: &str) -> Estate {
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
        Estate {
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
        let base = by_name(&self.portal);
        let said = self.desk.ok(&format!("user invite {user} --url {base}"));
        said.lines().last().unwrap().trim().strip_prefix(&base).unwrap().to_owned()
    }

    /// `user`, logged in with password and code at 127.0.0.`last`.
    pub fn seat(&self, host: &str, user: &str, last: u8) -> Caller {
        let mut browser = Browser::of(Caller::new(last, host));
        let door = if host == self.admin { ADMINS } else { ME };
        let asked = browser.knock(door, user, PASSWORD);
        let let_in = browser.answer(door, &asked, user, &code::now(SEED));
        assert_eq!(let_in.status, 303, "{user}: {let_in:?}");
        browser.caller
    }

    /// Somebody with a seat by an invitation.
    pub fn invited(&self, user: &str, last: u8) -> Caller {
        let mut browser = Browser::of(Caller::new(last, &self.portal));
        browser.accept(&self.invitation(user));
        browser.caller
    }

    /// What petra's phone is sent when she begins to log in: the page that it opens, and its button. A user is asked about one login
    /// at a time.
    pub fn notification(&self) -> (String, String) {
        let asked = || {
            Browser::of(Caller::new(9, &self.portal)).knock(ME, "petra", PASSWORD);
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
pub fn sample(way: &Way, estate: &Estate) -> String {
    match way.path {
        "/assets/{name}" => "/assets/style.css".to_owned(),
        "/push/{channel}" => "/push/hook".to_owned(),
        "/sms/{channel}" => "/sms/hook".to_owned(),
        "/voice/{channel}" => "/voice/hook".to_owned(),
        "/a/{token}" => estate.notification().0,
        "/a/{token}/passkey" => estate.notification().0 + "/passkey",
        "/device/api/act/{token}" => estate.notification().1,
        "/enrol/{secret}" => estate.invitation("ivy"),
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
