//! Pushes by webhook and an RD Gateway, the real program between: radclient asks, a webhook of the test's own takes the questions and
//! answers them, FreeRADIUS checks passwords.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and signs with the real clock"
)]

mod support;

use std::net::UdpSocket;
use std::time::Duration;

use radmfa::base::secret::Secret;
use radmfa::server::system::SystemEntropy;
use radmfa::wire::{
    AttributeList, Code, MaRule, RequestBuilder, SharedSecret, UpstreamReply, UpstreamRequest, number,
};
use serde_json::json;
use support::process::poll;
use support::radclient::{Radclient, Reply, Signing};
use support::site::RD_GATEWAY;
use support::webhook::{Posted, Webhook, answer_at, post, seconds_now, signature};
use support::{Ground, Radmfa, Scratch, Server, Site, User, free_port};

const SECRET: &str = "hook-secret-of-the-test";

/// One user with a password and a device; the clients are a VPN gateway at 127.0.0.1 and an RD Gateway at 127.0.0.2.
fn start(name: &str, user: &User, more: &[&str]) -> (Site, Webhook) {
    start_for(name, std::slice::from_ref(user), more)
}

/// The same for several users.
fn start_for(name: &str, users: &[User], more: &[&str]) -> (Site, Webhook) {
    let ground = Ground::new(Scratch::new(name), users);
    let webhook = Webhook::start();
    for user in users {
        ground.command(&["user", "add", &user.name]);
        let address = format!("{}-phone", user.name);
        ground.command(&["device", "add", &user.name, "--channel", "hook", "--address", &address]);
    }
    let channel =
        format!("name=hook,kind=push,type=webhook,url=http://{}/push,secret={SECRET}", webhook.address);
    let portal = format!("127.0.0.1:{}", free_port());
    let arguments = ["--portal", &portal, "--channel", &channel, "--client", RD_GATEWAY];
    (ground.serve(&[&arguments, more].concat()), webhook)
}

/// An RD Gateway at 127.0.0.2 that asks the same in new packets, from one port.
struct Bare {
    socket: UdpSocket,
    secret: SharedSecret,
    entropy: SystemEntropy,
    sent: u8,
}

impl Bare {
    fn new(server: Server) -> Bare {
        let socket = UdpSocket::bind("127.0.0.2:0").unwrap();
        socket.connect(server.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let secret = SharedSecret::new(Secret::from(server.secret));
        Bare { socket, secret, entropy: SystemEntropy::new().unwrap(), sent: 0 }
    }

    /// What `Site::remote_desktop` has radclient send.
    fn send(&mut self, station: &str) -> UpstreamRequest {
        const NAS_PORT_TYPE: u8 = 61;
        let mut attributes = AttributeList::new();
        attributes.push_text(number::USER_NAME, "u1").unwrap();
        attributes.push_u32(NAS_PORT_TYPE, 5).unwrap();
        attributes.push_text(number::CALLING_STATION_ID, station).unwrap();
        let authenticator = radmfa::base::system::random(&mut self.entropy);
        let (code, secret) = (Code::ACCESS_REQUEST, &self.secret);
        let builder = RequestBuilder { code, attributes: &attributes, proxy_state: None, secret };
        self.sent += 1;
        let request = builder.build(self.sent, authenticator, &mut self.entropy).unwrap();
        self.socket.send(&request.bytes).unwrap();
        request
    }

    /// The answer to this request; any other is passed over.
    fn hear(&self, request: &UpstreamRequest) -> Code {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer).unwrap();
            let (identifier, authenticator) = (request.identifier, &request.authenticator);
            let rule = MaRule::Required;
            if let Ok(reply) =
                UpstreamReply::authenticate(&buffer[..length], identifier, authenticator, &self.secret, rule)
            {
                return reply.code();
            }
        }
    }
}

fn answer(question: &Posted, verdict: &str, number: Option<&str>) -> u16 {
    answer_at(question, SECRET, seconds_now(), verdict, number).0
}

/// The number that the prompt shows.
fn shown(challenge: &Reply) -> String {
    let line = challenge.one("Reply-Message");
    let number = line
        .strip_prefix("Type ")
        .and_then(|rest| rest.strip_suffix(" on your phone, then press OK here. Or type a code:"));
    let number = number.unwrap_or_else(|| panic!("{challenge:?}"));
    assert!(number.len() == 2 && number.bytes().all(|octet| octet.is_ascii_digit()), "{line}");
    number.to_owned()
}

#[test]
fn the_number_at_the_prompt_is_typed_on_the_phone() {
    let user = User::named("u1");
    let (site, webhook) = start("push", &user, &[]);
    assert!(site.gateway().password("u1", "wrong").rejects());
    assert_eq!(webhook.count(), 0, "a push for a wrong password");

    let challenge = site.gateway().password("u1", &user.password);
    let number = shown(&challenge);
    let question = webhook.question(0);
    let signed = signature(SECRET, "out", question.header("x-radmfa-timestamp"), &question.body);
    assert_eq!(question.header("x-radmfa-signature"), signed);
    let stamp: u64 = question.header("x-radmfa-timestamp").parse().unwrap();
    assert!(seconds_now().abs_diff(stamp) <= 60);
    let body = question.json();
    let keys: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted = ["id", "user", "client", "station", "server", "match", "choices", "expires", "callback"];
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
    assert_eq!(
        (&body["user"], &body["client"], &body["server"]),
        (&json!("u1"), &json!("nas"), &json!("mfa-a"))
    );
    assert_eq!(
        (&body["match"], &body["choices"], &body["station"]),
        (&json!("type"), &json!(null), &json!(null))
    );
    assert!(body["expires"].as_u64().unwrap() > seconds_now());
    assert!(!question.body.replace(body["id"].as_str().unwrap(), "").contains(&format!("\"{number}\"")));
    assert_eq!(question.header("x-radmfa-device"), "u1-phone");

    // Forged, swapped, stale and malformed answers change nothing.
    let fresh = seconds_now();
    assert_eq!(answer_at(&question, "another-secret", fresh, "approve", Some(&number)).0, 403);
    assert_eq!(answer_at(&question, SECRET, fresh - 61, "approve", Some(&number)).0, 403);
    assert_eq!(answer_at(&question, SECRET, fresh + 120, "approve", Some(&number)).0, 403);
    let callback = body["callback"].as_str().unwrap();
    let text = json!({ "id": body["id"], "verdict": "approve", "number": number }).to_string();
    let timestamp = fresh.to_string();
    let out = signature(SECRET, "out", &timestamp, &text);
    let swapped = [("X-Radmfa-Timestamp", timestamp.as_str()), ("X-Radmfa-Signature", out.as_str())];
    assert_eq!(post(callback, &swapped, &text).0, 403, "a signature of the other direction");
    assert_eq!(post(callback, &[], &text).0, 403);
    assert_eq!(answer(&question, "perhaps", Some(&number)), 400);

    assert_eq!(answer(&question, "approve", Some(&number)), 204);
    assert_eq!(answer(&question, "approve", Some(&number)), 409, "answered twice");
    let accept = site.gateway().answer("u1", "", &challenge);
    assert!(accept.accepts(), "{accept:?}");
    let reasons = site.reasons("answer-late");
    assert!(reasons.contains(&"phone-approved".to_owned()), "{reasons:?}");
}

#[test]
fn an_answer_comes_by_its_own_channel_and_is_for_its_own_question() {
    const OTHERS: &str = "another-secret-of-the-test";
    let users = [User::named("u1"), User::named("u2")];
    let other = format!("name=other,kind=push,type=webhook,url=http://127.0.0.1:9/push,secret={OTHERS}");
    let (site, webhook) = start_for("push-swapped", &users, &["--channel", &other]);
    let challenges = users.each_ref().map(|user| site.gateway().password(&user.name, &user.password));
    let numbers = challenges.each_ref().map(shown);
    // They may have been brought in either order.
    let asked = [0, 1].map(|place| webhook.question(place));
    let of = |user: &str| asked.iter().find(|question| question.json()["user"] == user).unwrap();
    let question = of("u1");
    assert_eq!(question.header("x-radmfa-device"), "u1-phone");

    let callback = question.json()["callback"].as_str().unwrap().to_owned();
    let elsewhere = callback.replace("/push/hook", "/push/other");
    let text = json!({ "id": question.json()["id"], "verdict": "approve", "number": numbers[0] }).to_string();
    let timestamp = seconds_now().to_string();
    for (url, secret) in [(&callback, OTHERS), (&elsewhere, SECRET), (&elsewhere, OTHERS)] {
        let signed = signature(secret, "in", &timestamp, &text);
        let headers = [("X-Radmfa-Timestamp", timestamp.as_str()), ("X-Radmfa-Signature", signed.as_str())];
        assert_eq!(post(url, &headers, &text).0, 403, "{url} under {secret}");
    }

    // The number of somebody else's login is a wrong one, and theirs goes on.
    let same = if numbers[0] == "10" { "11" } else { "10" };
    let swapped = if numbers[0] == numbers[1] { same } else { numbers[1].as_str() };
    assert_eq!(answer(question, "approve", Some(swapped)), 204);
    assert!(site.gateway().answer("u1", "", &challenges[0]).rejects());
    assert_eq!(answer(of("u2"), "approve", Some(&numbers[1])), 204);
    assert!(site.gateway().answer("u2", "", &challenges[1]).accepts());
    site.reasons("number-wrong");
}

#[test]
fn a_prompt_waits_for_the_phone_and_a_wrong_number_or_a_denial_ends_the_login() {
    let user = User::named("u1");
    let (site, webhook) = start("push-waits", &user, &[]);
    let challenge = site.gateway().password("u1", &user.password);
    let number = shown(&challenge);
    let question = webhook.question(0);
    let accept = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| site.gateway().answer("u1", "", &challenge));
        // Whether it comes before or after OK was pressed, it counts.
        assert_eq!(answer(&question, "approve", Some(&number)), 204);
        waiting.join().unwrap()
    });
    assert!(accept.accepts(), "{accept:?}");

    let challenge = site.gateway().password("u1", &user.password);
    let wrong = if shown(&challenge) == "10" { "11" } else { "10" };
    let question = webhook.question(1);
    assert_eq!(answer(&question, "approve", Some(wrong)), 204, "a wrong number is taken, as a denial");
    assert!(site.gateway().answer("u1", "", &challenge).rejects());
    site.reasons("number-wrong");

    let challenge = site.gateway().password("u1", &user.password);
    let question = webhook.question(2);
    assert_eq!(answer(&question, "deny", None), 204);
    assert!(site.gateway().answer("u1", "", &challenge).rejects());
    assert_eq!(answer(&question, "approve", Some(&shown(&challenge))), 409, "late");
    site.reasons("phone-denied");
}

#[test]
fn an_rd_gateway_is_held_until_the_phone_has_spoken_and_makes_one_push_whatever_it_repeats() {
    let user = User::named("u1");
    let (site, webhook) = start("push-rdg", &user, &[]);
    let first = std::thread::scope(|scope| {
        let first = scope.spawn(|| site.remote_desktop("198.51.100.7", 20));
        let question = webhook.question(0);
        assert_eq!(question.json()["match"], "none");
        assert_eq!(question.json()["client"], "rdg");
        assert_eq!(question.json()["station"], "198.51.100.7");
        // The same again from another port, then somebody from elsewhere. They come to one worker, in this order.
        let mut again = Bare::new(site.radmfa.server());
        let (copy, other) = (again.send("198.51.100.7"), again.send("203.0.113.9"));
        assert_eq!(again.hear(&other), Code::ACCESS_REJECT, "another login of a user who is being asked");
        assert_eq!(answer(&question, "approve", None), 204);
        assert_eq!(again.hear(&copy), Code::ACCESS_ACCEPT);
        first.join().unwrap()
    });
    assert!(first.as_ref().is_some_and(Reply::accepts), "{first:?}");
    assert_eq!(webhook.count(), 1);
    site.reasons("login-pending");
}

#[test]
fn fraud_blocks_the_user_and_a_revoked_device_says_so() {
    let user = User::named("u1");
    let (site, webhook) = start("push-fraud", &user, &[]);
    let refused = std::thread::scope(|scope| {
        let asked = scope.spawn(|| site.remote_desktop("", 20));
        let question = webhook.question(0);
        site.command(&["device", "revoke", "u1", "u1-phone"]);
        let (status, body) = answer_at(&question, SECRET, seconds_now(), "approve", None);
        assert_eq!((status, body.trim()), (409, r#"{"error":"device-not-active"}"#));
        asked.join().unwrap()
    });
    assert!(refused.is_some_and(|reply| reply.rejects()));
    site.reasons("device-not-active");

    site.command(&["device", "add", "u1", "--channel", "hook", "--address", "u1-phone"]);
    assert!(site.command(&["device", "list", "u1"]).contains("active"));
    let shown = site.command(&["user", "show", "u1"]);
    assert!(shown.contains("u1-phone by hook") && !shown.contains("cannot log in"), "{shown}");
    let refused = std::thread::scope(|scope| {
        let asked = scope.spawn(|| site.remote_desktop("", 20));
        assert_eq!(answer(&webhook.question(1), "fraud", None), 204);
        asked.join().unwrap()
    });
    assert!(refused.is_some_and(|reply| reply.rejects()));
    assert!(site.radmfa.process.says("fraud-reported"));
    let blocked = site.remote_desktop("", 20);
    assert!(blocked.is_some_and(|reply| reply.rejects()));
    assert!(site.command(&["user", "show", "u1"]).contains("somebody else's login"));
    assert_eq!(webhook.count(), 2, "a push to somebody who is blocked");
}

#[test]
fn a_webhook_that_fails_is_followed_by_a_refusal_in_time_and_its_question_is_over() {
    let user = User::named("u1");
    let (site, webhook) = start("push-fails", &user, &[]);
    webhook.answers("503 Service Unavailable");
    let refused = site.remote_desktop("", 20);
    assert!(refused.is_some_and(|reply| reply.rejects()));
    assert_eq!(answer(&webhook.question(0), "approve", None), 409);
    site.reasons("delivery-failed");
    let unsigned = Radclient::new(&site.scratch, site.radmfa.server(), Signing::Unsigned);
    let bare = ["User-Name = \"u1\"".to_owned(), "Packet-Src-IP-Address = 127.0.0.2".to_owned()];
    assert_eq!(unsigned.try_send("auth", &bare, 1), None, "a bare name without a signature is no request");
    assert_eq!(webhook.count(), 1);
}

/// NPS that has no policy for what comes from radmfa, and sends it back there, as it may: with every Proxy-State as it was.
fn send_back(nps: &UdpSocket, radmfa: Server) -> Code {
    const PROXY_STATE: u8 = 33;
    let mut entropy = SystemEntropy::new().unwrap();
    let mut buffer = [0; 4096];
    // It may be tried first with a Status-Server, which it never answers.
    let length = loop {
        let (length, _) = nps.recv_from(&mut buffer).unwrap();
        if buffer[0] == 1 {
            break length;
        }
    };
    let mut rest = &buffer[20..length];
    let mut state = None;
    while let [number, size, ..] = rest {
        let (attribute, after) = rest.split_at(usize::from(*size));
        state = state.or((*number == PROXY_STATE).then(|| attribute[2..].to_vec()));
        rest = after;
    }
    assert!(state.is_some(), "a request without a credential carries a mark");
    let mut attributes = AttributeList::new();
    attributes.push_text(number::USER_NAME, "u1").unwrap();
    let back = UdpSocket::bind("127.0.0.3:0").unwrap();
    back.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    back.connect(radmfa.address()).unwrap();
    let own = SharedSecret::new(Secret::from("testing123"));
    let (code, authenticator) = (Code::ACCESS_REQUEST, radmfa::base::system::random(&mut entropy));
    let builder =
        RequestBuilder { code, attributes: &attributes, proxy_state: state.as_deref(), secret: &own };
    let request = builder.build(1, authenticator, &mut entropy).unwrap();
    back.send(&request.bytes).unwrap();
    let mut answer = [0; 4096];
    let length = back.recv(&mut answer).unwrap();
    let rule = MaRule::Required;
    let reply = UpstreamReply::authenticate(
        &answer[..length],
        request.identifier,
        &request.authenticator,
        &own,
        rule,
    );
    reply.unwrap().code()
}

#[test]
fn a_request_that_nps_sends_back_is_refused_and_named() {
    let scratch = Scratch::new("push-loop");
    let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
    Radmfa::run(&scratch, &["user", "add", "u1", "--store", &store]).expect_success("user add");
    let nps = UdpSocket::bind("127.0.0.3:0").unwrap();
    nps.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let upstream = format!("name=nps,type=radius,server={},secret=upsecret", nps.local_addr().unwrap());
    let arguments = [
        "--server-name",
        "mfa-a",
        "--store",
        &store,
        "--primary",
        &upstream,
        "--client",
        "name=nps,address=127.0.0.3,secret=testing123,profile=rd-gateway",
        "--client",
        "name=rdg,address=127.0.0.4,secret=testing123,profile=rd-gateway",
    ];
    let radmfa = Radmfa::serve(&scratch, &arguments);
    let gateway = Radclient::new(&scratch, radmfa.server(), Signing::Signed);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let attributes =
                ["User-Name = \"u1\"".to_owned(), "Packet-Src-IP-Address = 127.0.0.4".to_owned()];
            gateway.try_send("auth", &attributes, 5)
        });
        assert_eq!(send_back(&nps, radmfa.server()), Code::ACCESS_REJECT);
        drop(asked.join().unwrap());
    });
    let rows = poll("the row", Duration::from_secs(20), || {
        let arguments = ["report", "auth", "--format", "json", "--store", &store];
        let printed = Radmfa::run(&scratch, &arguments).expect_success("report auth").stdout;
        printed.contains("proxy-loop").then_some(printed)
    });
    assert!(!rows.contains("accepted"), "{rows}");
    assert!(radmfa.process.log().contains("proxy-loop"));
}

#[test]
fn an_armed_login_passes_once_and_nobody_is_ever_asked() {
    let user = User::named("u1");
    let armed = "name=armed,address=127.0.0.5,secret=testing123,profile=rd-gateway,primary=none,arm=120s";
    let (site, webhook) = start("push-armed", &user, &["--client", armed]);
    let asks = || {
        let attributes = ["User-Name = \"u1\"".to_owned(), "Packet-Src-IP-Address = 127.0.0.5".to_owned()];
        site.gateway().try_send("auth", &attributes, 20).unwrap()
    };
    assert!(asks().rejects());
    site.reasons("not-armed");
    let said = site.command(&["user", "arm", "u1", "--client", "armed"]);
    assert!(said.contains("is let in, once"), "{said}");
    assert!(asks().accepts());
    assert!(asks().rejects());
    site.reasons("armed-used");
    assert_eq!(webhook.count(), 0, "somebody was asked");
}

#[test]
fn attack_14_fifty_copies_and_the_same_again_from_other_ports_make_one_push_and_share_its_verdict() {
    let user = User::named("u1");
    let (site, webhook) = start("push-copies", &user, &[]);
    let mut first = Bare::new(site.radmfa.server());
    let request = first.send("198.51.100.7");
    let question = webhook.question(0);
    for _ in 0..50 {
        first.socket.send(&request.bytes).unwrap();
    }
    // A gateway that gave its packet up: another port, another authenticator, another identifier.
    let again: Vec<(Bare, UpstreamRequest)> = (0..3)
        .map(|_| {
            let mut gateway = Bare::new(site.radmfa.server());
            let request = gateway.send("198.51.100.7");
            (gateway, request)
        })
        .collect();
    // Its refusal shows that those before it have been taken in: they come to one worker, in their order.
    let mut other = Bare::new(site.radmfa.server());
    let stranger = other.send("203.0.113.9");
    assert_eq!(other.hear(&stranger), Code::ACCESS_REJECT, "never the verdict of the one that is waiting");
    assert_eq!(answer(&question, "approve", None), 204);
    assert_eq!(first.hear(&request), Code::ACCESS_ACCEPT);
    for (gateway, request) in &again {
        assert_eq!(gateway.hear(request), Code::ACCESS_ACCEPT);
    }
    assert_eq!(webhook.count(), 1);
    first.socket.send(&request.bytes).unwrap();
    assert_eq!(first.hear(&request), Code::ACCESS_ACCEPT, "the same reply again, and no other push");
    assert_eq!(webhook.count(), 1);
    let accepted = site.reasons("phone-approved").iter().filter(|reason| *reason == "phone-approved").count();
    assert_eq!(accepted, 1, "one login");
}
