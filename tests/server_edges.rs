//! A real server at its edges: a store that is held, addresses that were asked, two secrets for one gateway.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and asks the real clock"
)]

mod cli_support;
mod support;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cli_support::Desk;
use md5::{Digest, Md5};
use radmfa::wire::Code;
use rusqlite::Connection;
use support::gateway::Gateway;
use support::{Process, Server, User, code, free_port};

const SECRET: &str = "a long shared secret";
const OLD_SECRET: &str = "the secret from before";

/// A desk with alice, her local password and her token.
fn desk(name: &str) -> Desk {
    let desk = Desk::new(name);
    desk.write("password", "correct horse\n");
    desk.write("secret", SECRET);
    desk.write("old-secret", OLD_SECRET);
    desk.write("other-secret", "none of the two secrets");
    let seed = seed();
    desk.write("seed", &seed);
    desk.write(
        "tokens.csv",
        &format!("user,serial,secret\nalice,T-1,{seed}\nbob,T-2,{}\n", User::named("bob").seed),
    );
    desk.ok("token import tokens.csv");
    desk.ok("user set alice --password-file password");
    desk.ok("user set bob --password-file password");
    desk
}

fn seed() -> String {
    User::named("alice").seed
}

fn serve(desk: &Desk, listen: &str, client: &str) -> Process {
    desk.serve(&format!(
        "serve --server-name test {listen} --client name=nas,{client},secret=file:secret --primary name=here,type=local"
    ))
}

#[test]
fn a_locked_store_silences_no_login_beyond_its_time_and_is_used_again_when_it_is_free() {
    let desk = desk("edge-locked");
    let port = free_port();
    let mut server = serve(&desk, &format!("--listen 127.0.0.1:{port}"), "address=127.0.0.1,patience=3s");
    let mut gateway = Gateway::new(Server { port, secret: SECRET }, Duration::from_secs(10));
    let challenge = gateway.ask("alice", "correct horse", None).unwrap();
    assert_eq!(challenge.code, Code::ACCESS_CHALLENGE);

    let mut other = Connection::open(desk.scratch.join("store/radmfa.db")).unwrap();
    let lock = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let patience = Duration::from_secs(3);
    let timed = |gateway: &mut Gateway, user: &str, typed: &str, state: Option<&[u8]>| {
        let began = Instant::now();
        let answer = gateway.ask(user, typed, state).expect("an answer, not silence");
        assert!(began.elapsed() < patience, "answered after {:?}", began.elapsed());
        answer
    };
    let right = code::now(&seed());
    let refused = timed(&mut gateway, "alice", &right, challenge.state.as_deref());
    assert_eq!(refused.code, Code::ACCESS_REJECT);
    server.wait_for("REJECT store-unavailable user=alice");
    // Whatever needs no record goes on; a refusal leaves without one.
    let asked = timed(&mut gateway, "bob", "correct horse", None);
    assert_eq!(asked.code, Code::ACCESS_CHALLENGE);
    assert_eq!(timed(&mut gateway, "bob", "battery staple", None).code, Code::ACCESS_REJECT);
    drop(lock);

    // The code was not spent, and nobody has to restart anything.
    let again = gateway.ask("alice", "correct horse", None).unwrap();
    let accepted = gateway.ask("alice", &code::now(&seed()), again.state.as_deref()).unwrap();
    assert_eq!(accepted.code, Code::ACCESS_ACCEPT);
}

#[test]
fn a_wildcard_listener_answers_from_the_address_that_was_asked() {
    let desk = desk("edge-wildcard");
    let (four, six) = (free_port(), free_port());
    let listen = format!("--listen 0.0.0.0:{four} --listen [::]:{six}");
    let _server = serve(&desk, &listen, "address=127.0.0.0/8,address=::1");
    let mapped = |last: u8| SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0x7f00, u16::from(last)], six));
    let places = [
        SocketAddr::from(([127, 0, 0, 1], four)),
        SocketAddr::from(([127, 0, 0, 5], four)),
        SocketAddr::from(([127, 250, 1, 9], four)),
        SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1_u16], six)),
        SocketAddr::from(([127, 0, 0, 5], six)),
        mapped(7),
    ];
    for place in places {
        // Connected: the kernel passes on what comes from exactly this address and port, and nothing else.
        let mut gateway = Gateway::at(place, SECRET, Duration::from_secs(10));
        let challenge =
            gateway.ask("alice", "correct horse", None).unwrap_or_else(|| panic!("{place} was silent"));
        assert_eq!(challenge.code, Code::ACCESS_CHALLENGE, "{place}");
        let refused = gateway.ask("alice", &code::wrong(&seed()), challenge.state.as_deref());
        assert_eq!(
            refused.unwrap_or_else(|| panic!("{place} fell silent")).code,
            Code::ACCESS_CHALLENGE,
            "{place}"
        );
        desk.ok("user unlock alice");
    }
}

fn login(desk: &Desk, port: u16, secret: &str, more: &str) -> support::process::Finished {
    desk.run(&format!(
        "login alice --server 127.0.0.1:{port} --secret file:{secret} --password-file password --retries 0 {more}"
    ))
}

fn in_seconds(seconds: u64) -> String {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds;
    radmfa::base::time::UnixTime::from_secs(at).to_string()
}

#[test]
fn while_a_secret_is_rotated_either_serves_with_and_without_message_authenticator() {
    let desk = desk("edge-secrets");
    let port = free_port();
    let until = in_seconds(3600);
    let client = format!(
        "address=127.0.0.1,message-authenticator=optional,previous-secret=file:old-secret,previous-secret-until={until}"
    );
    let server = serve(&desk, &format!("--listen 127.0.0.1:{port}"), &client);
    // Wrong codes: each of these logins is walked to its challenge and back under its own secret.
    let wrong = code::wrong(&seed());
    let codes = format!("--code {wrong} --code {wrong} --code {wrong}");
    for secret in ["secret", "old-secret"] {
        for unsigned in ["", "--no-message-authenticator"] {
            let said = login(&desk, port, secret, &format!("{codes} {unsigned} --timeout 20s"));
            assert!(
                said.stdout.contains("Rejected after 4 round trips"),
                "{secret} {unsigned}: {}",
                said.transcript()
            );
            desk.ok("user unlock alice");
        }
    }
    let token = "--totp-secret-file seed --no-message-authenticator --timeout 20s";
    assert!(login(&desk, port, "old-secret", token).success());
    // A third secret: silence with Message-Authenticator, and without it garbage that is told as such.
    let silent = login(&desk, port, "other-secret", "--code 1 --timeout 500ms");
    assert!(silent.stdout.contains("No answer"), "{}", silent.transcript());
    let garbage = login(&desk, port, "other-secret", "--code 1 --no-message-authenticator --timeout 20s");
    assert!(!garbage.success() && !garbage.stdout.contains("Access-Challenge"), "{}", garbage.transcript());
    assert!(server.log().contains("REJECT password-undecodable user=alice"), "{}", server.log());
}

#[test]
fn the_secret_from_before_is_worth_nothing_once_its_time_is_over() {
    let desk = desk("edge-secret-over");
    let port = free_port();
    let until = in_seconds(4);
    let client = format!("address=127.0.0.1,previous-secret=file:old-secret,previous-secret-until={until}");
    let _server = serve(&desk, &format!("--listen 127.0.0.1:{port}"), &client);
    let ask = |secret: &'static str, patience: u64| {
        let mut gateway = Gateway::new(Server { port, secret }, Duration::from_millis(patience));
        gateway.ask("alice", "correct horse", None).map(|answer| answer.code)
    };
    support::process::poll("the end of the old secret", Duration::from_secs(30), || {
        ask(OLD_SECRET, 700).is_none().then_some(())
    });
    assert_eq!(ask(SECRET, 10_000), Some(Code::ACCESS_CHALLENGE));
    assert_eq!(ask(OLD_SECRET, 700), None);
}

/// `password` of 16 octets hidden under `secret` (RFC 2865 §5.2); the same again shows it.
fn hide(password: [u8; 16], secret: &str, authenticator: &[u8; 16]) -> [u8; 16] {
    let pad = Md5::new().chain_update(secret).chain_update(authenticator).finalize();
    std::array::from_fn(|place| password[place] ^ pad[place])
}

/// What a server takes for a password: UTF-8, padded with zeros at its end alone.
fn decodes(octets: [u8; 16]) -> bool {
    let text = std::str::from_utf8(&octets);
    text.is_ok_and(|text| !text.trim_end_matches('\0').contains('\0'))
}

#[test]
fn where_a_password_decodes_under_both_secrets_the_one_last_proved_is_taken() {
    let desk = desk("edge-secrets-both");
    let port = free_port();
    let until = in_seconds(3600);
    let client = format!(
        "address=127.0.0.1,message-authenticator=optional,previous-secret=file:old-secret,previous-secret-until={until}"
    );
    let _server = serve(&desk, &format!("--listen 127.0.0.1:{port}"), &client);
    // A password that fills its block, so that chance can make UTF-8 of it under the other secret too.
    desk.write("password", "correct horse 16\n");
    desk.ok("user set alice --password-file password");
    let password = *b"correct horse 16";

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut identifier = 0_u8;
    let mut tried = 0_u64;
    // An authenticator under which alice's password, hidden with `with`, decodes under both.
    let mut unsigned = |with: &str, other: &str| -> u8 {
        let (authenticator, hidden) = loop {
            tried += 1;
            let digest = Md5::digest(tried.to_be_bytes());
            let authenticator: [u8; 16] = digest.into();
            let hidden = hide(password, with, &authenticator);
            if decodes(hide(hidden, other, &authenticator)) {
                break (authenticator, hidden);
            }
        };
        identifier = identifier.wrapping_add(1);
        let mut packet = vec![1, identifier, 0, 0];
        packet.extend(authenticator);
        packet.extend([1, 7]);
        packet.extend(b"alice");
        packet.extend([2, 18]);
        packet.extend(hidden);
        let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
        packet[2..4].copy_from_slice(&length);
        socket.send(&packet).unwrap();
        let mut buffer = [0; 4096];
        loop {
            match socket.recv(&mut buffer) {
                Ok(length) if length >= 20 && buffer[1] == identifier => return buffer[0],
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("no answer: {error}"),
            }
        }
    };
    let prove = |secret: &'static str| {
        let mut gateway = Gateway::new(Server { port, secret }, Duration::from_secs(10));
        assert_eq!(gateway.ask("alice", "correct horse 16", None).unwrap().code, Code::ACCESS_CHALLENGE);
    };
    let (challenge, reject) = (11, 3);
    prove(OLD_SECRET);
    assert_eq!(unsigned(OLD_SECRET, SECRET), challenge);
    assert_eq!(
        unsigned(SECRET, OLD_SECRET),
        reject,
        "read with the secret that was proved, it is another password"
    );
    prove(SECRET);
    assert_eq!(unsigned(SECRET, OLD_SECRET), challenge);
    assert_eq!(unsigned(OLD_SECRET, SECRET), reject);
}
