//! The attacks of the threat model that are met between the datagram and the store, each tried with real packets against
//! the server's own Node over the store in memory.
//!
//! Not here: what needs an upstream on the wire, a push, a durable store or a stopwatch.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test; the world is shared with others that use more of it"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use radmfa::base::secret::Secret;
use radmfa::base::system::Clock as _;
use radmfa::base::text::is_unprintable;
use radmfa::engine::policy::{Overrides, Unenrolled};
use radmfa::engine::question::PeerAnswer;
use radmfa::engine::reason::Reason;
use radmfa::engine::record::{Row, Verdict};
use radmfa::factor::oath::{Digits, Parameters};
use radmfa::server::settings::Affinity;
use radmfa::store::admin::Admin as _;
use radmfa::wire::{AttributeList, Code, DropReason, number};

#[path = "attacks/codes.rs"]
mod codes;
#[path = "attacks/states.rs"]
mod states;
#[path = "scenarios/world.rs"]
mod world;
use world::packets::without_message_authenticator;
use world::{Knock, Primary, Reply, World, client, state_of_server};

const SEED: &[u8] = b"12345678901234567890";

/// Clients `nas`, `other`, and `open`, where strangers may pass; alice and bob with a token each.
fn world() -> World {
    world_of(1000)
}

fn world_of(capacity: usize) -> World {
    let open = Overrides { unenrolled: Some(Unenrolled::Allow), ..Overrides::default() };
    let none = Overrides::default();
    let clients = vec![client("nas", 0, &none), client("other", 1, &none), client("open", 2, &open)];
    let mut world = World::new(clients, capacity);
    world.add_user("alice");
    world.add_token("alice", "T1", Secret::new(SEED), Parameters::default());
    world.add_user("bob");
    world.add_token("bob", "T2", Secret::new(*b"09876543210987654321"), Parameters::default());
    world
}

fn accept() -> Primary {
    Primary::Accept(AttributeList::new())
}

fn reject() -> Primary {
    Primary::Reject(AttributeList::new())
}

fn knock(user: &[u8], entered: &[u8]) -> Knock {
    Knock { user: Some(user.to_vec()), entered: Some(entered.to_vec()), ..Knock::default() }
}

/// The reply to what was just sent, the only one.
fn reply(world: &mut World) -> Reply {
    assert_eq!(world.faults, Vec::<String>::new());
    let reply = world.replies.pop_front().expect("a reply");
    assert!(world.replies.is_empty());
    reply
}

fn only_drop(world: &mut World, expected: DropReason) {
    assert_eq!(world.drops.drain(..).collect::<Vec<_>>(), [expected]);
    assert!(world.replies.is_empty());
}

/// Alice's password was right: the State of her challenge.
fn challenged(world: &mut World, user: &str) -> Vec<u8> {
    world.send(Knock { primary: Some(accept()), ..knock(user.as_bytes(), b"pin") });
    let reply = reply(world);
    assert_eq!(reply.code, Code::ACCESS_CHALLENGE);
    reply.first(number::STATE).unwrap().to_vec()
}

fn with_state(user: &str, code: &str, state: &[u8]) -> Knock {
    Knock { states: vec![state.to_vec()], ..knock(user.as_bytes(), code.as_bytes()) }
}

/// The trail without what admins did.
fn logins(world: &World) -> Vec<(u64, Arc<Row>)> {
    world.store.trail().into_iter().filter(|(_, row)| row.verdict != Verdict::Noted).collect()
}

fn last_reason(world: &World) -> Reason {
    world.store.trail().last().unwrap().1.reason
}

/// Sends it and expects Reject for this reason.
fn refused(world: &mut World, knock: Knock, reason: Reason) {
    world.send(knock);
    let reply = reply(world);
    assert_eq!((reply.code, last_reason(world)), (Code::ACCESS_REJECT, reason));
}

fn accepted(world: &mut World, knock: Knock) {
    world.send(knock);
    assert_eq!(reply(world).code, Code::ACCESS_ACCEPT);
}

/// Alice's own login still ends well, whatever was tried beside it.
fn alice_is_unharmed(world: &mut World, state: &[u8]) {
    let code = world.code("alice", None, 0).unwrap();
    accepted(world, with_state("alice", &code, state));
}

#[test]
fn attack_1_a_stripped_message_authenticator_meets_silence_and_leaves_nothing_in_the_cache() {
    let mut world = world();
    let state = challenged(&mut world, "alice");
    let known = world.duplicates.len();
    let source = world.sent[0].source;
    let stripped = without_message_authenticator(&world.sent[0].datagram);
    world.deliver(&stripped, source, None);
    only_drop(&mut world, DropReason::UnsignedNotAllowed);
    assert_eq!(world.duplicates.len(), known);
    alice_is_unharmed(&mut world, &state);
}

#[test]
fn attack_2_a_proxy_state_without_message_authenticator_is_dropped() {
    let mut world = world();
    world.send(Knock {
        unsigned: true,
        proxy_state: Some(b"injected".to_vec()),
        primary: Some(accept()),
        ..knock(b"alice", b"pin")
    });
    only_drop(&mut world, DropReason::ProxyStateUnsigned);
    assert!(world.primary_asked.is_empty());
}

#[test]
fn attack_3_a_restart_does_not_lower_what_an_address_has_shown() {
    let mut world = world();
    challenged(&mut world, "alice");
    world.restart(1000);
    world.send(Knock { unsigned: true, primary: Some(accept()), ..knock(b"alice", b"pin") });
    only_drop(&mut world, DropReason::UnsignedNotAllowed);
    // Another address of no such history is none the worse.
    world.send(Knock { client: 1, unsigned: true, primary: Some(reject()), ..knock(b"alice", b"pin") });
    assert_eq!(reply(&mut world).code, Code::ACCESS_REJECT);
}

#[test]
fn attack_4_a_bad_message_authenticator_touches_neither_a_cached_reply_nor_a_pending_login() {
    let mut world = world();
    let state = challenged(&mut world, "alice");
    let answered = world.sent.len() - 1;
    world.holding.commit = true;
    let code = world.code("alice", None, 0).unwrap();
    let pending = world.send(with_state("alice", &code, &state));
    for target in [answered, pending] {
        let mut datagram = world.sent[target].datagram.clone();
        let source = world.sent[target].source;
        datagram[25] ^= 1;
        world.deliver(&datagram, source, None);
        only_drop(&mut world, DropReason::BadMessageAuthenticator);
        // With another authenticator it would be a new packet under the same key, were it genuine.
        datagram[4] ^= 1;
        world.deliver(&datagram, source, None);
        only_drop(&mut world, DropReason::BadMessageAuthenticator);
    }
    world.resend(answered);
    assert_eq!(reply(&mut world).first(number::STATE), Some(&*state));
    world.resend(pending);
    only_drop(&mut world, DropReason::DuplicatePending);
    world.release_all();
    assert_eq!(reply(&mut world).code, Code::ACCESS_ACCEPT);
}

#[test]
fn attack_13_hostile_names_and_passwords_are_refused_or_dropped_and_leave_clean_rows() {
    let mut world = world();
    let hostile: [&[u8]; 9] = [
        b"",
        b"alice\0",
        b"alice\r\nAccess-Accept",
        b"\x1b[2Jalice",
        b"\xff\xfe",
        b" ",
        "ali\u{202e}ce".as_bytes(),
        "ali\u{200b}ce".as_bytes(),
        b"a\tb",
    ];
    for user in hostile {
        refused(&mut world, knock(user, b"pin"), Reason::BadUserName);
    }
    assert!(world.primary_asked.is_empty());
    for user in [b"*)(uid=*".as_slice(), &[b'x'; 253], b"'; DROP TABLE users; --", b"../../etc/passwd"] {
        refused(
            &mut world,
            Knock { primary: Some(reject()), ..knock(user, b"pin") },
            Reason::PrimaryRejected,
        );
    }
    refused(&mut world, knock(b"alice", b""), Reason::EmptyPassword);
    let station = b"\x1b]0;owned\x07\r\n\0\xff\xe2\x80\xae".to_vec();
    let odd = Knock { station: Some(station), primary: Some(reject()), ..knock(b"alice", b"\r\n\x1b") };
    refused(&mut world, odd, Reason::PrimaryRejected);
    for (_, row) in logins(&world) {
        let texts = [row.user.as_ref().map(ToString::to_string), row.station.as_deref().map(str::to_owned)];
        for text in texts.into_iter().flatten() {
            assert!(!text.chars().any(is_unprintable), "{text:?}");
        }
    }
}

#[test]
fn attack_13_two_kinds_of_credential_or_two_names_are_no_request() {
    let mut world = world();
    let mut eap = AttributeList::new();
    eap.push(number::EAP_MESSAGE, &[2, 1, 0, 10, 1, b'a', b'l', b'i', b'c', b'e']).unwrap();
    let mut chap = AttributeList::new();
    chap.push(number::CHAP_PASSWORD, &[7; 17]).unwrap();
    let mut name = AttributeList::new();
    name.push(number::USER_NAME, b"bob").unwrap();
    for (extra, expected) in [
        (eap.clone(), DropReason::TwoCredentials),
        (chap.clone(), DropReason::TwoCredentials),
        (name, DropReason::TwoUserNames),
    ] {
        world.send(Knock { extra, ..knock(b"alice", b"pin") });
        only_drop(&mut world, expected);
    }
    // Alone they are refused aloud, until somebody serves them.
    for extra in [eap, chap] {
        let alone = Knock { entered: None, extra, ..knock(b"alice", b"") };
        refused(&mut world, alone, Reason::CredentialNotSupported);
    }
    assert!(world.primary_asked.is_empty());
}

#[test]
fn attack_16_refusals_look_alike_whatever_their_reason() {
    let mut world = world();
    let mut shapes = Vec::new();
    let mut note = |world: &mut World, knock: Knock, expected: Reason| {
        world.send(knock);
        let reply = reply(world);
        assert_eq!((reply.code, last_reason(world)), (Code::ACCESS_REJECT, expected));
        // The reference in it differs, as it does for any two.
        shapes
            .push(reply.attributes.iter().map(|(number, value)| (*number, value.len())).collect::<Vec<_>>());
    };
    note(&mut world, Knock { primary: Some(reject()), ..knock(b"nobody", b"x") }, Reason::PrimaryRejected);
    note(&mut world, Knock { primary: Some(reject()), ..knock(b"alice", b"x") }, Reason::PrimaryRejected);
    note(&mut world, Knock { primary: Some(accept()), ..knock(b"nobody", b"x") }, Reason::Unenrolled);
    note(
        &mut world,
        Knock { primary: Some(Primary::Unavailable), ..knock(b"alice", b"x") },
        Reason::PrimaryUnavailable,
    );
    note(&mut world, knock(b"\0", b"x"), Reason::BadUserName);
    for expected in [Reason::CodeWrong, Reason::BackOff] {
        let mut state = challenged(&mut world, "bob");
        for _ in 0..2 {
            world.send(with_state("bob", &world.wrong_code(), &state));
            state = reply(&mut world).first(number::STATE).unwrap().to_vec();
        }
        let last = with_state("bob", &world.wrong_code(), &state);
        note(&mut world, last, expected);
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
}

#[test]
fn attack_17_a_flood_of_new_users_keeps_memory_flat_and_parked_logins_finish() {
    let mut world = world_of(50);
    let state = challenged(&mut world, "alice");
    world.holding.primary = true;
    for number in 0..5000 {
        world.send(Knock { primary: Some(reject()), ..knock(format!("u{number}").as_bytes(), b"x") });
    }
    assert_eq!(world.node.logins(), 50);
    assert_eq!(world.held.len(), 49);
    assert_eq!(world.turned_away, 4951);
    assert!(world.replies.drain(..).all(|reply| reply.code == Code::ACCESS_REJECT));
    assert!(logins(&world).is_empty(), "no row for what was never looked at");
    alice_is_unharmed(&mut world, &state);
    world.release_all();
    assert_eq!(world.node.logins(), 0);
}

#[test]
fn attack_17_the_table_of_duplicates_forgets_the_oldest_instead_of_growing() {
    let mut world = world();
    world.duplicates = radmfa::server::duplicates::Duplicates::new(100, Duration::from_secs(10));
    for number in 0..1000 {
        world.send(Knock { primary: Some(reject()), ..knock(format!("u{number}").as_bytes(), b"x") });
    }
    assert_eq!(world.duplicates.len(), 100);
}

#[test]
fn attack_20_an_enrolled_user_in_another_form_is_asked_or_refused_where_strangers_may_pass() {
    let mut world = world();
    let forms = [
        "alice",
        "ALICE",
        "Alice ",
        "ａｌｉｃｅ",
        "𝐚𝐥𝐢𝐜𝐞",
        "álice",
        "alice.",
        "alice@corp.example",
        "CORP\\alice",
        "corp\\Alice@x",
        "аlice",
        "alicе",
        "ⓐlice",
    ];
    for form in forms {
        world.send(Knock { client: 2, primary: Some(accept()), ..knock(form.as_bytes(), b"pin") });
        let reply = reply(&mut world);
        assert_ne!(reply.code, Code::ACCESS_ACCEPT, "{form}");
    }
    accepted(&mut world, Knock { client: 2, primary: Some(accept()), ..knock(b"charlie", b"pin") });
}

#[test]
fn attack_21_an_unsigned_request_without_a_credential_is_refused_and_asks_nobody() {
    let mut world = world();
    let bare = Knock { unsigned: true, entered: None, client: 2, ..knock(b"alice", b"") };
    refused(&mut world, bare, Reason::CredentialNotSupported);
    assert!(world.primary_asked.is_empty());
    assert!(logins(&world).iter().all(|(_, row)| row.verdict == Verdict::Rejected));
}

#[test]
fn a_datagram_from_an_unknown_address_gets_no_answer() {
    let mut world = world();
    challenged(&mut world, "alice");
    let datagram = world.sent[0].datagram.clone();
    world.deliver(&datagram, SocketAddr::from(([198, 51, 100, 9], 4000)), None);
    only_drop(&mut world, DropReason::UnknownClient);
}
