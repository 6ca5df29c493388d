//! radmfa behind OpenVPN with openvpn-auth-radius: a gateway that tries again each second as somebody else, and takes a
//! challenge for a refusal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and asks the real clock for the codes of this moment"
)]

mod support;

use std::collections::HashSet;

use support::openvpn::{OpenVpn, TRIES, short_port};
use support::radmfa::SECRET;
use support::sink::Sink;
use support::site::import_tokens;
use support::tap::{Passed, Tap};
use support::{FreeRadius, Radmfa, Scratch, Server, User, free_port};

const ACCEPT: u8 = 2;
const REJECT: u8 = 3;
const CHALLENGE: u8 = 11;
const USER_NAME: u8 = 1;
const STATE: u8 = 24;
const ACCT_SESSION_ID: u8 = 44;

/// openvpn, a tap, radmfa, another tap, and FreeRADIUS.
struct Site {
    radmfa: Radmfa,
    /// Between the gateway and radmfa.
    tap: Tap,
    /// Between radmfa and the primary.
    upstream: Tap,
    sink: Sink,
    _primary: FreeRadius,
    scratch: Scratch,
}

impl Site {
    /// `client` is what the table of the gateway says beside its name, address and secret.
    fn start(name: &str, user: &User, client: &str) -> Site {
        let scratch = Scratch::new(name);
        let primary = FreeRadius::primary(&scratch, std::slice::from_ref(user));
        let upstream = Tap::before(primary.server(), free_port());
        let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
        let server = Server { port: free_port(), secret: SECRET };
        let sink = Sink::start();
        let file = scratch.write(
            "radmfa.toml",
            &format!(
                "server-name = \"mfa-a\"\nstore = \"{store}\"\nlisten = \"{}\"\n\
                 [[client]]\nname = \"vpn\"\naddress = \"127.0.0.1\"\nsecret = \"{SECRET}\"\n{client}\n\
                 [[primary]]\nname = \"up\"\ntype = \"radius\"\nserver = \"{}\"\nsecret = \"{}\"\n\
                 {}",
                server.address(),
                upstream.server().address(),
                upstream.server().secret,
                sink.table(),
            ),
        );
        if user.seed.is_empty() {
            Radmfa::run(&scratch, &["user", "add", &user.name, "--phone", "+36301234567", "--store", &store])
                .expect_success("radmfa user add");
        } else {
            import_tokens(&scratch, &store, std::slice::from_ref(user));
        }
        let radmfa = Radmfa::configured(&scratch, &file, server);
        let tap = Tap::before(server, short_port());
        Site { radmfa, tap, upstream, sink, _primary: primary, scratch }
    }

    /// The gateway's tries of one login, and that they are what makes it a test: other ports and authenticators, the same
    /// login.
    fn tries(&self) -> Vec<Passed> {
        let tries = self.tap.wait_for_requests(TRIES);
        assert_eq!(tries.len(), TRIES);
        let each = |of: &dyn Fn(&Passed) -> Vec<u8>| tries.iter().map(of).collect::<HashSet<_>>().len();
        assert_eq!(each(&|passed| passed.gateway.to_string().into_bytes()), TRIES, "a port each");
        assert_eq!(each(&|passed| passed.authenticator().to_vec()), TRIES, "an authenticator each");
        assert_eq!(each(&|passed| passed.all(ACCT_SESSION_ID).concat()), 1, "one session");
        assert_eq!(each(&|passed| passed.all(USER_NAME).concat()), 1);
        tries
    }

    /// The replies to those, once all came: to each the same, at its own port.
    fn replies(&self, code: u8) -> Vec<Passed> {
        let replies = self.tap.wait_for_replies(TRIES);
        assert!(replies.iter().all(|reply| reply.code() == code), "{replies:?}");
        let ports: HashSet<_> = replies.iter().map(|reply| reply.gateway).collect();
        assert_eq!((ports.len(), replies.len()), (TRIES, TRIES), "each live copy once");
        replies
    }

    /// How many lines of the log hold `text`.
    fn lines(&self, text: &str) -> usize {
        self.radmfa.process.log().lines().filter(|line| line.contains(text)).count()
    }
}

#[test]
fn a_login_that_the_gateway_tries_three_times_sends_one_message_and_every_try_is_answered() {
    let user = User { seed: String::new(), ..User::named("u1") };
    let mut site = Site::start("openvpn-sms", &user, "");
    let openvpn = OpenVpn::start(&site.scratch, site.tap.server());
    // The provider takes its time, so that the gateway loses its patience twice.
    site.sink.hold();
    let dial = openvpn.dial("u1", &user.password);
    site.tries();
    site.sink.release();
    let replies = site.replies(CHALLENGE);
    let states: HashSet<_> = replies.iter().map(|reply| reply.all(STATE).concat()).collect();
    assert_eq!(states.len(), 1, "one login");
    assert_eq!(site.sink.count(), 1);
    assert!(!dial.admitted(), "it cannot ask, and takes the challenge for a refusal");
    assert_eq!(site.sink.count(), 1);
    site.radmfa.process.wait_for("taken by sink");
    assert_eq!(site.lines("taken by sink"), 1);
}

#[test]
fn a_password_with_its_code_behind_it_opens_a_tunnel() {
    let user = User::named("alice");
    let mut site = Site::start("openvpn", &user, "profile = \"openvpn\"\nappend = \",\"");
    let openvpn = OpenVpn::start(&site.scratch, site.tap.server());
    assert!(openvpn.dial("alice", &format!("{},{}", user.password, user.code())).admitted());
    site.radmfa.process.wait_for("ACCEPT code-accepted user=alice");
    assert!(!openvpn.dial("alice", &format!("{},{}", user.password, user.wrong_code())).admitted());
    assert!(!openvpn.dial("alice", &user.password).admitted());
    site.radmfa.process.wait_for("REJECT cannot-ask user=alice");
}

#[test]
fn a_code_behind_the_password_is_spent_once_for_all_tries_of_one_login() {
    let user = User::named("alice");
    let mut site =
        Site::start("openvpn-slow", &user, "profile = \"openvpn\"\npatience = \"20s\"\nappend = \",\"");
    let openvpn = OpenVpn::start(&site.scratch, site.tap.server());
    // The password's server takes its time.
    site.upstream.hold();
    let dial = openvpn.dial("alice", &format!("{},{}", user.password, user.code()));
    site.tries();
    site.upstream.release();
    site.replies(ACCEPT);
    assert!(dial.admitted());
    site.radmfa.process.wait_for("ACCEPT code-accepted user=alice");
    assert_eq!((site.lines(" login "), site.lines("REJECT")), (1, 0), "{}", site.radmfa.process.log());
}

#[test]
fn a_wrong_code_behind_the_password_counts_once_for_all_tries_of_one_login() {
    let user = User::named("alice");
    let mut site =
        Site::start("openvpn-wrong", &user, "profile = \"openvpn\"\npatience = \"20s\"\nappend = \",\"");
    let openvpn = OpenVpn::start(&site.scratch, site.tap.server());
    site.upstream.hold();
    let dial = openvpn.dial("alice", &format!("{},{}", user.password, user.wrong_code()));
    site.tries();
    site.upstream.release();
    site.replies(REJECT);
    assert!(!dial.admitted());
    site.radmfa.process.wait_for("REJECT code-wrong user=alice");
    assert_eq!(site.lines("code-wrong"), 1);
}

#[test]
fn a_wrong_password_is_heard_once_by_the_primary_for_all_tries_of_one_login() {
    let user = User::named("alice");
    let mut site = Site::start("openvpn-password", &user, "profile = \"openvpn\"\npatience = \"20s\"");
    let openvpn = OpenVpn::start(&site.scratch, site.tap.server());
    site.upstream.hold();
    let dial = openvpn.dial("alice", "not the password");
    site.tries();
    site.upstream.release();
    site.replies(REJECT);
    assert!(!dial.admitted());
    site.radmfa.process.wait_for("REJECT primary-rejected user=alice");
    assert_eq!(site.lines("primary-rejected"), 1, "{}", site.radmfa.process.log());
}
