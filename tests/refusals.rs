//! What a refusal looks like to gateways that did not send a password.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test; the world is shared with others that use more of it"
)]

use radmfa::base::secret::Secret;
use radmfa::engine::policy::Overrides;
use radmfa::engine::reason::Reason;
use radmfa::factor::oath::Parameters;
use radmfa::wire::{AttributeList, Code, number};

#[path = "scenarios/world.rs"]
mod world;
use world::{Knock, Primary, Reply, World, client};

fn world_of(capacity: usize) -> World {
    let mut world = World::new(vec![client("nas", 0, &Overrides::default())], capacity);
    world.add_user("alice");
    world.add_token("alice", "T1", Secret::new(*b"12345678901234567890"), Parameters::default());
    world
}

/// A request of alice's with these attributes and no password.
fn with(attributes: &[(u8, &[u8])]) -> Knock {
    let mut extra = AttributeList::new();
    for (number, value) in attributes {
        extra.push(*number, value).unwrap();
    }
    Knock { user: Some(b"alice".to_vec()), extra, ..Knock::default() }
}

/// EAP-Response/Identity with identifier 77 (RFC 3748 §4.1).
fn eap() -> Knock {
    with(&[(number::EAP_MESSAGE, &[2, 77, 0, 10, 1, b'a', b'l', b'i', b'c', b'e'])])
}

fn refused(world: &mut World) -> Reply {
    assert_eq!(world.faults, Vec::<String>::new());
    let reply = world.replies.pop_front().expect("a reply");
    assert_eq!((reply.code, world.replies.len()), (Code::ACCESS_REJECT, 0));
    reply
}

fn last_reason(world: &World) -> Reason {
    world.store.trail().last().unwrap().1.reason
}

/// An EAP-Failure for identifier 77, and nothing beside it (RFC 3579 §2.6.3, §2.6.5).
fn failure() -> Vec<(u8, Vec<u8>)> {
    vec![(number::EAP_MESSAGE, vec![4, 77, 0, 4])]
}

#[test]
fn eap_that_cannot_be_served_ends_with_an_eap_failure_and_no_reply_message() {
    let mut world = world_of(100);
    world.send(eap());
    assert_eq!(refused(&mut world).attributes, failure());
    assert_eq!(last_reason(&world), Reason::CredentialNotSupported);

    // In the middle of a login that began with a password, too.
    let password = Some(b"pin".to_vec());
    let primary = Some(Primary::Accept(AttributeList::new()));
    world.send(Knock { user: Some(b"alice".to_vec()), entered: password, primary, ..Knock::default() });
    let state = world.replies.pop_front().unwrap().first(number::STATE).unwrap().to_vec();
    world.send(Knock { states: vec![state], ..eap() });
    assert_eq!(refused(&mut world).attributes, failure());
    // Its State is spent by that; whoever uses it once more is told in the same way.
    world.send(Knock { states: vec![b"no state of ours".to_vec()], ..eap() });
    assert_eq!(refused(&mut world).attributes, failure());
    assert_eq!(last_reason(&world), Reason::StateForged);
}

#[test]
fn eap_that_is_turned_away_gets_a_failure_as_well() {
    let mut world = world_of(0);
    world.send(eap());
    assert_eq!(refused(&mut world).attributes, failure());
    assert_eq!(world.turned_away, 1);
}

#[test]
fn chap_and_ms_chap_get_a_plain_reject() {
    let mut world = world_of(100);
    let mut ms_chap = with(&[]);
    // MS-CHAP-Challenge and MS-CHAP-Response (RFC 2548 §2.1).
    ms_chap.extra.push_vendor(311, 11, &[7; 8]).unwrap();
    ms_chap.extra.push_vendor(311, 1, &[1; 50]).unwrap();
    for knock in [with(&[(number::CHAP_PASSWORD, &[9; 17])]), ms_chap] {
        world.send(knock);
        let reply = refused(&mut world);
        assert_eq!(reply.all(number::EAP_MESSAGE).count(), 0);
        assert!(reply.text().starts_with("Login refused."), "{:?}", reply.attributes);
        assert_eq!(last_reason(&world), Reason::CredentialNotSupported);
    }
}
