//! radmfa behind radsecproxy, with a gateway in front that is more stubborn than the proxy: what the gateway sends again
//! goes on under a new identifier and a new authenticator.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::HashSet;

use support::radclient::{Radclient, Reply, Signing, credentials};
use support::radmfa::SECRET;
use support::radsecproxy::Radsecproxy;
use support::sink::Sink;
use support::tap::{Passed, Tap};
use support::{FreeRadius, Radmfa, Scratch, Server, User, free_port};

const ACCEPT: u8 = 2;
const CHALLENGE: u8 = 11;
const STATE: u8 = 24;
/// How many requests the proxy is to make of one.
const COPIES: usize = 3;

/// radclient, radsecproxy, a tap, radmfa, and FreeRADIUS.
struct Site {
    radmfa: Radmfa,
    tap: Tap,
    proxy: Radsecproxy,
    sink: Sink,
    _primary: FreeRadius,
    scratch: Scratch,
}

impl Site {
    fn start(name: &str, user: &User) -> Site {
        let scratch = Scratch::new(name);
        let primary = FreeRadius::primary(&scratch, std::slice::from_ref(user));
        let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
        Radmfa::run(&scratch, &["user", "add", &user.name, "--phone", "+36301234567", "--store", &store])
            .expect_success("radmfa user add");
        let sink = Sink::start();
        let (channel, server) = (sink.channel(), primary.server());
        let upstream = format!("name=up,type=radius,server={},secret={}", server.address(), server.secret);
        let radmfa = Radmfa::serve_to(
            &scratch,
            Server { port: free_port(), secret: SECRET },
            // The proxy forgets whom a Reject is for that keeps it waiting.
            "nas,reject-delay=0s",
            &["--server-name", "mfa-a", "--store", &store, "--primary", &upstream, "--channel", &channel],
        );
        let tap = Tap::before(radmfa.server(), free_port());
        let proxy = Radsecproxy::forgetful(&scratch, tap.server());
        Site { radmfa, tap, proxy, sink, _primary: primary, scratch }
    }

    /// Sends one request, again and again until its answer comes, which `release` lets come once the proxy has made
    /// several of it. Answers the gateway's reply and what passed behind the proxy.
    fn ask(&self, attributes: &[String], release: impl FnOnce()) -> (Reply, Vec<Passed>, Vec<Passed>) {
        let (asked, answered) = (self.tap.requests().len(), self.tap.replies().len());
        let gateway = Radclient::new(&self.scratch, self.proxy.server(), Signing::Unsigned);
        let (reply, copies) = std::thread::scope(|scope| {
            let reply = scope.spawn(|| gateway.insist("auth", attributes));
            let copies = self.tap.wait_for_requests(asked + COPIES).split_off(asked);
            release();
            (reply.join().unwrap(), copies)
        });
        let distinct = |of: &dyn Fn(&Passed) -> Vec<u8>| copies.iter().map(of).collect::<HashSet<_>>().len();
        assert!(distinct(&|passed| vec![passed.identifier()]) >= COPIES, "{copies:?}");
        assert!(distinct(&|passed| passed.authenticator().to_vec()) >= COPIES, "{copies:?}");
        let mut replies = self.tap.wait_for_replies(answered + copies.len()).split_off(answered);
        replies.truncate(copies.len());
        (reply, copies, replies)
    }
}

#[test]
fn a_login_that_a_proxy_makes_several_of_sends_one_message_and_its_code_step_gets_one_verdict() {
    let user = User::named("u1");
    let mut site = Site::start("radsecproxy", &user);

    // The provider takes its time.
    site.sink.hold();
    let (challenge, _, replies) = site.ask(&credentials("u1", &user.password), || site.sink.release());
    assert!(challenge.challenges(), "{challenge:?}");
    assert!(replies.iter().all(|reply| reply.code() == CHALLENGE), "{replies:?}");
    let states: HashSet<_> = replies.iter().map(|reply| reply.all(STATE).concat()).collect();
    assert_eq!(states.len(), 1, "one login");
    assert_eq!(site.sink.count(), 1);

    // The disk takes its time: somebody else has the store's write lock.
    let (_, code) = site.sink.code(0);
    let store = rusqlite::Connection::open(site.scratch.join("radmfa.db")).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut answer = credentials("u1", &code);
    answer.push(format!("State = {}", challenge.one("State")));
    let (accept, _, replies) = site.ask(&answer, || store.execute_batch("COMMIT").unwrap());
    assert!(accept.accepts(), "{accept:?}");
    assert!(replies.iter().all(|reply| reply.code() == ACCEPT), "{replies:?}");
    site.radmfa.process.wait_for("ACCEPT code-accepted user=u1");
    let log = site.radmfa.process.log();
    assert_eq!(log.matches("code-accepted").count(), 1, "{log}");
    assert_eq!(site.sink.count(), 1);

    // Whatever comes after the verdict is no copy.
    let gateway = Radclient::new(&site.scratch, site.proxy.server(), Signing::Unsigned);
    assert!(gateway.send("auth", &answer).rejects());
    site.radmfa.process.wait_for("REJECT state-spent user=u1");
}
