//! The portal under hostile callers: whatever comes, it answers somebody else, and ends no login.

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
use std::process::Command;
use std::time::Duration;

use support::process::{poll, program};
use support::webhook::{post, seconds_now, signature};
use support::{Radmfa, Scratch, free_port};

const SECRET: &str = "hook-secret-of-the-test";

/// A server with a portal and a push channel; nothing listens at the webhook.
fn serve(scratch: &Scratch, portal: &str) -> Radmfa {
    let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
    let channel =
        format!("name=hook,kind=push,type=webhook,url=http://127.0.0.1:{}/push,secret={SECRET}", free_port());
    Radmfa::serve(
        scratch,
        &[
            "--server-name",
            "mfa-a",
            "--store",
            &store,
            "--primary",
            "name=own,type=local",
            "--portal",
            portal,
            "--channel",
            &channel,
        ],
    )
}

/// Sends octets as they are; what comes back until the other side closes, or nothing for a while.
fn raw(address: &str, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    // The other side may have hung up before all was written.
    let _cut = stream.write_all(octets);
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn whatever_comes_is_refused_and_the_next_caller_is_answered() {
    let scratch = Scratch::new("portal-hostile");
    let portal = format!("127.0.0.1:{}", free_port());
    let radmfa = serve(&scratch, &portal);
    let url = |path: &str| format!("http://{portal}{path}");
    for path in ["/", "/push", "/push/", "/push/hook/more", "/admin", "/..%2f", "/sms"] {
        assert!(matches!(post(&url(path), &[], "{}").0, 404 | 405), "{path}");
    }
    for path in ["/push/hook", "/push/nobody", "/sms/hook", "/voice/hook", "/push/%00%ff%1b[31m"] {
        let (status, body) = post(&url(path), &[], "{}");
        assert!(status == 403 || status == 400, "{path}: {status}");
        assert!(!body.contains("hook"), "{path}: {body}");
    }
    let signed = |body: &str| {
        let timestamp = seconds_now().to_string();
        let signature = signature(SECRET, "in", &timestamp, body);
        let headers =
            [("X-Radmfa-Timestamp", timestamp.as_str()), ("X-Radmfa-Signature", signature.as_str())];
        post(&url("/push/hook"), &headers, body).0
    };
    let deep = "[".repeat(10_000);
    for body in
        ["", "{", "null", "[]", &deep, r#"{"id":1,"verdict":"approve"}"#, r#"{"id":"x","verdict":"approve"}"#]
    {
        assert_eq!(signed(body), 400, "{}", body.chars().take(40).collect::<String>());
    }
    let unknown = format!(r#"{{"id":"{}","verdict":"approve"}}"#, "ab".repeat(16));
    assert_eq!(signed(&unknown), 409);
    assert_eq!(signed(&"x".repeat(17 * 1024)), 400, "longer than a body may be");

    // Heads that are none, too long, too many; bodies that say they are longer than they are.
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(500));
    let huge = "POST /push/hook HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n";
    for octets in ["\0\0\0\0", "GET\r\n\r\n", "\u{16}\u{3}\u{1}", &long, &many, huge] {
        let answer = raw(&portal, octets.as_bytes());
        assert!(!answer.contains(" 200 ") && !answer.contains(" 204 "), "{answer}");
    }
    assert_eq!(signed(&unknown), 409, "the next caller is answered");
    let printed = radmfa.process.log();
    assert!(!printed.contains('\u{1b}') && !printed.contains(SECRET), "{printed}");
    assert!(!printed.contains("panic"), "{printed}");
}

#[test]
fn callers_who_say_nothing_keep_nobody_out_and_are_hung_up_on() {
    let scratch = Scratch::new("portal-slow");
    let portal = format!("127.0.0.1:{}", free_port());
    let _radmfa = serve(&scratch, &portal);
    // Fewer than one network may hold.
    let mut silent: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(&portal).unwrap()).collect();
    for stream in &mut silent {
        stream.write_all(b"POST /push/hook HTTP/1.1\r\nHost: x\r\n").unwrap();
    }
    assert_eq!(post(&format!("http://{portal}/push/hook"), &[], "{}").0, 403);
    let first = &mut silent[0];
    first.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut rest = Vec::new();
    let ended = first.read_to_end(&mut rest);
    assert!(ended.is_ok(), "still open after the time that a head may take: {ended:?}");
}

#[test]
fn strangers_who_sign_nothing_right_are_told_so_by_network() {
    let scratch = Scratch::new("portal-strangers");
    let portal = format!("127.0.0.1:{}", free_port());
    let _radmfa = serve(&scratch, &format!("listen={portal},proxies=127.0.0.1"));
    let ask = |from: &str, path: &str, time: u64| {
        let body = serde_json::json!({
            "user": "u1", "device": "1", "time": time.to_string(), "signature": "AAAA",
            "id": "ab".repeat(16), "verdict": "approve",
        });
        post(&format!("http://{portal}{path}"), &[("X-Forwarded-For", from)], &body.to_string()).0
    };
    let (one, other) = ("198.51.100.7", "198.51.100.8");
    // What is too old is not looked up, and costs nothing.
    for _ in 0..60 {
        assert_eq!(ask(one, "/device/api/questions", seconds_now() - 3600), 403);
    }
    for path in ["/device/api/questions", "/device/api/answer"].repeat(15) {
        assert_eq!(ask(one, path, seconds_now()), 403, "{path}");
    }
    for path in ["/device/api/questions", "/device/api/answer"] {
        assert_eq!(ask(one, path, seconds_now()), 429, "{path}");
        assert_eq!(ask(other, path, seconds_now()), 403, "{path}: another network");
    }
}

#[test]
fn a_portal_with_a_certificate_speaks_tls_and_nothing_else() {
    let scratch = Scratch::new("portal-tls");
    let mut openssl = Command::new(program("openssl"));
    openssl.current_dir(scratch.path()).args(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
         -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
            .split_whitespace(),
    );
    assert!(openssl.output().unwrap().status.success());
    let port = free_port();
    let portal = format!(
        "listen=127.0.0.1:{port},public-url=https://localhost:{port},tls-certificate={},tls-key={}",
        scratch.join("cert.pem").display(),
        scratch.join("key.pem").display()
    );
    let radmfa = serve(&scratch, &portal);
    assert!(radmfa.process.log().contains("by https"), "{}", radmfa.process.log());
    let asked = poll("curl", Duration::from_secs(20), || {
        let mut curl = Command::new(program("openssl"));
        curl.current_dir(scratch.path()).args(
            format!("s_client -connect 127.0.0.1:{port} -servername localhost -CAfile cert.pem -verify_return_error -quiet")
                .split_whitespace(),
        );
        curl.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        curl.stderr(std::process::Stdio::null());
        let mut child = curl.spawn().unwrap();
        let asks = b"POST /push/hook HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
        child.stdin.as_mut().unwrap().write_all(asks).unwrap();
        let output = child.wait_with_output().unwrap();
        Some(String::from_utf8_lossy(&output.stdout).into_owned()).filter(|text| !text.is_empty())
    });
    assert!(asked.starts_with("HTTP/1.1 403"), "{asked}");
    assert!(!raw(&format!("127.0.0.1:{port}"), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").contains("HTTP/1.1 4"));
}
