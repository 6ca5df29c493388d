//! radmfa behind OpenVPN with openvpn-auth-radius, its users asked on the phone: the gateway tries again as somebody else
//! while they take it out, and every try is answered by one push or one text.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and signs with the real clock"
)]

mod support;

use std::collections::HashSet;

use support::openvpn::{OpenVpn, TRIES, short_port};
use support::radmfa::SECRET;
use support::tap::Tap;
use support::webhook::{Webhook, answer_at, post, seconds_now};
use support::{FreeRadius, Radmfa, Scratch, Server, User, free_port};

const ACCEPT: u8 = 2;
const REJECT: u8 = 3;
const SIGNED: &str = "hook-secret-of-the-test";
const TOKEN: &str = "inbound-token-of-the-test";

/// openvpn, a tap, radmfa and FreeRADIUS; the user's phone is a webhook of the test's own.
struct Site {
    radmfa: Radmfa,
    tap: Tap,
    phone: Webhook,
    portal: String,
    _primary: FreeRadius,
    scratch: Scratch,
}

impl Site {
    /// `channel` is what the file says of how the phone is reached, at its address.
    fn start(name: &str, user: &User, channel: impl Fn(&str) -> String) -> Site {
        let scratch = Scratch::new(name);
        let primary = FreeRadius::primary(&scratch, std::slice::from_ref(user));
        let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
        let phone = Webhook::start();
        let portal = format!("127.0.0.1:{}", free_port());
        let server = Server { port: free_port(), secret: SECRET };
        let file = scratch.write(
            "radmfa.toml",
            &format!(
                "server-name = \"mfa-a\"\nstore = \"{store}\"\nlisten = \"{}\"\n\
                 [[client]]\nname = \"vpn\"\naddress = \"127.0.0.1\"\nsecret = \"{SECRET}\"\nprofile = \"openvpn\"\n\
                 patience = \"30s\"\n\
                 [[primary]]\nname = \"up\"\ntype = \"radius\"\nserver = \"{}\"\nsecret = \"{}\"\n\
                 [portal]\nlisten = \"{portal}\"\n\
                 {}",
                server.address(),
                primary.server().address(),
                primary.server().secret,
                channel(&phone.address.to_string()),
            ),
        );
        let ran = |arguments: &[&str]| {
            let arguments = [arguments, &["--store", &store]].concat();
            Radmfa::run(&scratch, &arguments).expect_success(&arguments.join(" "));
        };
        ran(&["user", "add", &user.name, "--phone", "+36301234567"]);
        ran(&["device", "add", &user.name, "--channel", "hook", "--address", "u1-phone"]);
        let radmfa = Radmfa::configured(&scratch, &file, server);
        let tap = Tap::before(server, short_port());
        Site { radmfa, tap, phone, portal: format!("http://{portal}"), _primary: primary, scratch }
    }

    /// Waits until the gateway has tried as often as it does.
    fn tries(&self) {
        let tries = self.tap.wait_for_requests(TRIES);
        let ports: HashSet<_> = tries.iter().map(|passed| passed.gateway).collect();
        assert_eq!(ports.len(), TRIES, "a port each");
    }

    /// That every try is answered so.
    fn are_answered(&self, code: u8) {
        let replies = self.tap.wait_for_replies(TRIES);
        assert!(replies.iter().all(|reply| reply.code() == code), "{replies:?}");
    }

    /// How many lines of the log hold `text`.
    fn lines(&self, text: &str) -> usize {
        self.radmfa.process.log().lines().filter(|line| line.contains(text)).count()
    }
}

fn push(address: &str) -> String {
    format!(
        "[[channel]]\nname = \"hook\"\nkind = \"push\"\ntype = \"webhook\"\nurl = \"http://{address}/push\"\nsecret = \"{SIGNED}\"\n"
    )
}

#[test]
fn one_push_lets_a_login_in_that_the_gateway_tries_three_times() {
    let user = User { seed: String::new(), ..User::named("u1") };
    let mut site = Site::start("openvpn-push", &user, push);
    let openvpn = OpenVpn::start(&site.scratch, site.tap.server());
    let dial = openvpn.dial("u1", &user.password);
    let question = site.phone.question(0);
    site.tries();
    assert_eq!(answer_at(&question, SIGNED, seconds_now(), "approve", None).0, 204);
    site.are_answered(ACCEPT);
    assert!(dial.admitted());
    site.radmfa.process.wait_for("ACCEPT phone-approved user=u1");
    assert_eq!((site.phone.count(), site.lines("ACCEPT")), (1, 1), "{}", site.radmfa.process.log());
}

#[test]
fn a_push_that_is_denied_refuses_every_try() {
    let user = User { seed: String::new(), ..User::named("u1") };
    let mut site = Site::start("openvpn-deny", &user, push);
    let openvpn = OpenVpn::start(&site.scratch, site.tap.server());
    let dial = openvpn.dial("u1", &user.password);
    let question = site.phone.question(0);
    site.tries();
    assert_eq!(answer_at(&question, SIGNED, seconds_now(), "deny", None).0, 204);
    site.are_answered(REJECT);
    assert!(!dial.admitted());
    site.radmfa.process.wait_for("REJECT phone-denied user=u1");
    assert_eq!(site.phone.count(), 1);
}

#[test]
fn one_text_that_is_answered_lets_a_login_in() {
    let user = User { seed: String::new(), ..User::named("u1") };
    let mut site = Site::start("openvpn-text", &user, |address| {
        format!(
            "[sms]\ntwo-way = true\n\
             [[channel]]\nname = \"sink\"\nkind = \"sms\"\ntype = \"http\"\nmethod = \"POST\"\n\
             url = \"http://{address}/send\"\nbody = \"{{to}}|{{text}}\"\ninbound-token = \"{TOKEN}\"\n"
        )
    });
    let openvpn = OpenVpn::start(&site.scratch, site.tap.server());
    let dial = openvpn.dial("u1", &user.password);
    let message = site.phone.question(0).body;
    let (to, text) = message.split_once('|').unwrap();
    assert_eq!(to, "+36301234567");
    let code = text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6).unwrap();
    site.tries();
    let url = format!("{}/sms/sink?token={TOKEN}", site.portal);
    assert_eq!(post(&url, &[], &format!("from=36301234567&text={code}")).0, 204);
    site.are_answered(ACCEPT);
    assert!(dial.admitted());
    site.radmfa.process.wait_for("ACCEPT phone-approved user=u1");
    assert_eq!((site.phone.count(), site.lines("ACCEPT")), (1, 1), "{}", site.radmfa.process.log());
}
