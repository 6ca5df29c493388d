//! Text messages that are answered and calls that wait for a key, the real program between: radclient asks, providers of the
//! test's own take what is sent and bring what users answer, FreeRADIUS checks passwords.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and signs with the real clock"
)]

mod support;

use support::radclient::Reply;
use support::site::RD_GATEWAY;
use support::webhook::{Webhook, post, seconds_now, signature};
use support::{Ground, Scratch, Site, User, free_port};

const TOKEN: &str = "inbound-token-of-the-test";
const PHONE: &str = "+36301234567";

/// One user with a password and a phone, a provider that reaches it, and the portal's URL; a VPN gateway at 127.0.0.1, an RD Gateway at
/// 127.0.0.2.
fn start(name: &str, channel: &str, more: &[&str]) -> (Site, Webhook, String) {
    let ground = Ground::new(Scratch::new(name), &[User::named("u1")]);
    let provider = Webhook::start();
    ground.command(&["user", "add", "u1", "--phone", PHONE]);
    let channel = format!("{channel},url=http://{}/send", provider.address);
    let portal = format!("127.0.0.1:{}", free_port());
    let arguments = ["--portal", &portal, "--channel", &channel, "--client", RD_GATEWAY];
    (ground.serve(&[&arguments, more].concat()), provider, format!("http://{portal}"))
}

/// The six digits in a message.
fn code(message: &str) -> String {
    let run = message.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6);
    run.unwrap_or_else(|| panic!("no code in {message}")).to_owned()
}

#[test]
fn a_text_message_is_answered_with_its_code_from_its_own_number() {
    let channel =
        format!("name=sink,kind=sms,type=http,method=POST,body={{to}}|{{text}},inbound-token={TOKEN}");
    let (site, provider, portal) = start("sms-two-way", &channel, &["--sms", "two-way=true,gap=0s"]);
    let url = format!("{portal}/sms/sink");
    let bearer = format!("Bearer {TOKEN}");
    let says = |from: &str, text: &str| {
        let body = serde_json::json!({ "from": from, "text": text }).to_string();
        post(&url, &[("Authorization", &bearer)], &body).0
    };
    let accepted = std::thread::scope(|scope| {
        let asked = scope.spawn(|| site.remote_desktop("", 25));
        let message = provider.question(0);
        let (to, text) = message.body.split_once('|').unwrap();
        assert_eq!(to, PHONE);
        assert!(text.starts_with("Reply ") && text.contains("rdg"), "{text}");
        let code = code(text);
        // Whoever shows no token, or another one, and whoever writes from another number.
        let body = format!("from=%2B36301234567&text={code}");
        assert_eq!(post(&url, &[], &body).0, 403);
        assert_eq!(post(&format!("{url}?token=wrong"), &[], &body).0, 403);
        assert_eq!(says("+36309999999", &code), 409);
        assert_eq!(says("radmfa", &code), 400);
        // A wrong code counts, and the right one may still come; a form and a token in the query do as well.
        assert_eq!(says(PHONE, "000000"), 204);
        assert_eq!(post(&format!("{url}?token={TOKEN}"), &[], &body).0, 204);
        let accepted = asked.join().unwrap();
        assert_eq!(says(PHONE, &code), 409, "late");
        accepted
    });
    assert!(accepted.as_ref().is_some_and(Reply::accepts), "{accepted:?}");
    let report = site.command(&["report", "auth", "--format", "json"]);
    for reason in ["phone-asked", "code-wrong", "phone-approved", "answer-late"] {
        assert!(report.contains(reason), "{reason}: {report}");
    }
    let log = site.radmfa.process.log();
    assert!(!log.contains("1234567"), "a number in the log:\n{log}");
}

#[test]
fn a_prompt_waits_for_the_text_message_and_three_wrong_ones_end_it() {
    let channel =
        format!("name=sink,kind=sms,type=http,method=POST,body={{to}}|{{text}},inbound-token={TOKEN}");
    let (site, provider, portal) = start("sms-two-way-prompt", &channel, &["--sms", "two-way=true,gap=0s"]);
    let url = format!("{portal}/sms/sink?token={TOKEN}");
    let says = |text: &str| post(&url, &[], &format!("msisdn=36301234567&Body={text}")).0;
    let user = User::named("u1");
    let challenge = site.gateway().password("u1", &user.password);
    assert!(challenge.one("Reply-Message").contains("67, then press OK here."), "{challenge:?}");
    assert_eq!(says(&code(&provider.question(0).body)), 204);
    assert!(site.gateway().answer("u1", "", &challenge).accepts());

    let challenge = site.gateway().password("u1", &user.password);
    let right = code(&provider.question(1).body);
    let wrong = if right == "000000" { "000001" } else { "000000" };
    for _ in 0..3 {
        assert_eq!(says(wrong), 204);
    }
    // The login is over as soon as the third was judged.
    support::process::poll("the end", std::time::Duration::from_secs(10), || {
        (says(&right) == 409).then_some(())
    });
    assert!(site.gateway().answer("u1", "", &challenge).rejects());
}

#[test]
fn a_call_waits_for_the_key_and_a_digit_reports_fraud() {
    let channel = "name=phone,kind=voice,type=http,method=POST,body={to}|{reference}|{callback}|{text},secret=secret-of-the-calls";
    let (site, provider, portal) =
        start("voice-key", channel, &["--voice", "answer=key,caller-id=+3612345678", "--sms", "gap=0s"]);
    let key = |call: &str, digits: &str| {
        let parts: Vec<&str> = call.split('|').collect();
        let body = serde_json::json!({ "id": parts[1], "digits": digits }).to_string();
        let timestamp = seconds_now().to_string();
        let signed = signature("secret-of-the-calls", "in", &timestamp, &body);
        let headers = [("X-Radmfa-Timestamp", timestamp.as_str()), ("X-Radmfa-Signature", signed.as_str())];
        assert_eq!(parts[2], format!("{portal}/voice/phone"));
        assert_eq!(post(parts[2], &[], &body).0, 403);
        post(parts[2], &headers, &body).0
    };
    let accepted = std::thread::scope(|scope| {
        let asked = scope.spawn(|| site.remote_desktop("", 25));
        let call = provider.question(0);
        assert!(call.body.starts_with(PHONE) && call.body.contains("press the hash key"), "{}", call.body);
        assert!(call.body.contains("press 0"), "{}", call.body);
        assert_eq!(key(&call.body, "#"), 204);
        asked.join().unwrap()
    });
    assert!(accepted.as_ref().is_some_and(Reply::accepts), "{accepted:?}");
    let refused = std::thread::scope(|scope| {
        let asked = scope.spawn(|| site.remote_desktop("", 25));
        assert_eq!(key(&provider.question(1).body, "0"), 204);
        asked.join().unwrap()
    });
    assert!(refused.as_ref().is_some_and(Reply::rejects), "{refused:?}");
    assert!(site.radmfa.process.says("fraud-reported"));
    assert!(site.remote_desktop("", 25).is_some_and(|reply| reply.rejects()));
    assert_eq!(provider.count(), 2, "a call to somebody who is blocked");
}

/// As Twilio's documentation says: the URL as it was called, then the form's fields by name, each with its value.
fn twilio(token: &str, url: &str, fields: &[(&str, &str)]) -> String {
    use base64::Engine as _;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(url.as_bytes());
    sorted.iter().flat_map(|(name, value)| [name, value]).for_each(|part| mac.update(part.as_bytes()));
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

#[test]
fn a_key_is_believed_that_twilio_signed() {
    let channel = "name=calls,kind=voice,type=http,preset=twilio,username=AC1,password=the-auth-token,from=+3612345678,\
                   ok-status=204,body-type=raw,body={reference}|{to}|{text}";
    let (site, provider, portal) =
        start("voice-twilio", channel, &["--voice", "answer=key", "--sms", "gap=0s"]);
    let accepted = std::thread::scope(|scope| {
        let asked = scope.spawn(|| site.remote_desktop("", 25));
        let reference = provider.question(0).body.split_once('|').unwrap().0.to_owned();
        let url = format!("{portal}/voice/calls?id={reference}");
        let fields = [("To", PHONE), ("Digits", "#"), ("CallSid", "CA1")];
        let body = "To=%2B36301234567&Digits=%23&CallSid=CA1";
        let presses = |signature: &str| post(&url, &[("X-Twilio-Signature", signature)], body).0;
        assert_eq!(presses(""), 403);
        assert_eq!(presses(&twilio("another-token", &url, &fields)), 403);
        assert_eq!(presses(&twilio("the-auth-token", &url, &fields[..2])), 403);
        assert_eq!(presses(&twilio("the-auth-token", &url, &fields)), 204);
        asked.join().unwrap()
    });
    assert!(accepted.as_ref().is_some_and(Reply::accepts), "{accepted:?}");
}

#[test]
fn a_program_brings_a_push_and_its_answer_is_signed_like_a_webhooks() {
    const SECRET: &str = "secret-of-the-program";
    let files = Scratch::new("push-command-files");
    let (take, taken) = (files.join("take"), files.join("u1-phone"));
    let directory = files.path().display();
    // It is there when all of it is.
    std::fs::write(&take, format!("cat > {directory}/part && mv {directory}/part {directory}/\"$1\"\n"))
        .unwrap();
    let program = format!(
        "name=bot,kind=push,type=command,argv=/bin/sh,argv={},argv={{to}},secret={SECRET}",
        take.display()
    );
    let texts =
        format!("name=sink,kind=sms,type=http,method=POST,body={{to}}|{{text}},inbound-token={TOKEN}");
    let (site, provider, portal) = start("push-command", &texts, &["--channel", &program]);
    site.command(&["device", "add", "u1", "--channel", "bot", "--address", "u1-phone"]);
    let accepted = std::thread::scope(|scope| {
        let asked = scope.spawn(|| site.remote_desktop("", 25));
        let text = support::process::poll("the question", std::time::Duration::from_secs(10), || {
            std::fs::read_to_string(&taken).ok()
        });
        let question: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&question["user"], &question["client"]), (&"u1".into(), &"rdg".into()), "{text}");
        assert_eq!((&question["match"], &question["server"]), (&"none".into(), &"mfa-a".into()), "{text}");
        let callback = question["callback"].as_str().unwrap();
        assert_eq!(callback, format!("{portal}/push/bot"));
        let body = serde_json::json!({ "id": question["id"], "verdict": "approve" }).to_string();
        let timestamp = seconds_now().to_string();
        let says = |secret: &str| {
            let signed = signature(secret, "in", &timestamp, &body);
            let headers =
                [("X-Radmfa-Timestamp", timestamp.as_str()), ("X-Radmfa-Signature", signed.as_str())];
            post(callback, &headers, &body).0
        };
        assert_eq!((says("another"), says(SECRET)), (403, 204));
        asked.join().unwrap()
    });
    assert!(accepted.as_ref().is_some_and(Reply::accepts), "{accepted:?}");
    assert_eq!(provider.count(), 0, "nothing else was sent");
}
