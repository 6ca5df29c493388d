//! What a State is worth in other hands, at other servers and after its verdict: attacks 5 to 7.

use super::*;

#[test]
fn attack_5_anothers_state_is_refused_also_with_ones_own_right_code() {
    let mut world = world();
    let state = challenged(&mut world, "alice");
    let code = world.code("bob", None, 0).unwrap();
    refused(&mut world, with_state("bob", &code, &state), Reason::StateForged);
    alice_is_unharmed(&mut world, &state);
}

#[test]
fn attack_6_a_state_that_was_changed_moved_or_made_up_is_refused_and_never_a_first_step() {
    let mut world = world();
    let state = challenged(&mut world, "alice");
    let code = world.code("alice", None, 0).unwrap();
    refused(&mut world, Knock { client: 1, ..with_state("alice", &code, &state) }, Reason::StateForged);
    for place in 0..state.len() {
        for bit in 0..8 {
            let mut changed = state.clone();
            changed[place] ^= 1 << bit;
            world.send(with_state("alice", &code, &changed));
            assert_eq!(reply(&mut world).code, Code::ACCESS_REJECT);
            let expected = [Reason::StateForged, Reason::IssuedByAnotherServer];
            assert!(expected.contains(&last_reason(&world)), "bit {bit} of octet {place}");
        }
        refused(&mut world, with_state("alice", &code, &state[..place]), Reason::StateForged);
    }
    let elsewhere = state_of_server("mfa-b", &world.clients[0].name, "alice", world.time.unix());
    refused(&mut world, with_state("alice", &code, &elsewhere), Reason::IssuedByAnotherServer);
    world.send(Knock { states: vec![state.clone(), elsewhere], ..with_state("alice", &code, &state) });
    only_drop(&mut world, DropReason::TwoStates);
    assert_eq!(world.primary_asked.len(), 1, "no code was ever sent to the primary as a password");
    assert_eq!(world.node.logins(), 1);
    alice_is_unharmed(&mut world, &state);
}

/// Client `nas` and alice's answer to a challenge of the server called `server`.
fn answer_to(world: &World, server: &str) -> Knock {
    let now = world.time.unix();
    with_state("alice", "123456", &state_of_server(server, &world.clients[0].name, "alice", now))
}

#[test]
fn attack_6_another_servers_state_is_refused_by_name_or_number_where_nothing_is_relayed() {
    let mut world = world();
    let noted = |world: &World| world.store.trail().last().unwrap().1.note.as_deref().unwrap().to_owned();
    for affinity in [Affinity::Deny, Affinity::Relay] {
        world.with_peer("mfa-b", affinity);
        let knock = answer_to(&world, "mfa-c");
        refused(&mut world, knock, Reason::IssuedByAnotherServer);
        assert!(noted(&world).starts_with("server "), "{}", noted(&world));
    }
    world.with_peer("mfa-b", Affinity::Deny);
    let knock = answer_to(&world, "mfa-b");
    refused(&mut world, knock, Reason::IssuedByAnotherServer);
    assert_eq!(noted(&world), "mfa-b");
    assert!(world.owners_asked.is_empty() && world.primary_asked.is_empty());
}

#[test]
fn attack_6_a_peers_state_is_handed_to_it_and_its_word_is_told_without_a_record_here() {
    let mut world = world();
    world.with_peer("mfa-b", Affinity::Relay);
    let before = world.store.trail().len();
    let mut granted = AttributeList::new();
    granted.push_text(number::REPLY_MESSAGE, "welcome").unwrap();
    let again = || {
        let mut again = AttributeList::new();
        again.push_text(number::REPLY_MESSAGE, "again").unwrap();
        again.push_u32(number::SESSION_TIMEOUT, 60).unwrap();
        again
    };
    world.owners.push_back(PeerAnswer::Challenged { state: (*b"of mfa-b").into(), attributes: again() });
    world.owners.push_back(PeerAnswer::Accepted { attributes: granted.clone() });
    world.owners.push_back(PeerAnswer::Rejected { attributes: granted });
    for (code, state) in [
        (Code::ACCESS_CHALLENGE, Some(&b"of mfa-b"[..])),
        (Code::ACCESS_ACCEPT, None),
        (Code::ACCESS_REJECT, None),
    ] {
        let knock = Knock { proxy_state: Some(b"mine".to_vec()), ..answer_to(&world, "mfa-b") };
        world.send(knock);
        let reply = reply(&mut world);
        assert_eq!((reply.code, reply.first(number::STATE)), (code, state));
    }
    assert_eq!(world.store.trail().len(), before, "the owner records");
    assert_eq!(world.node.logins(), 0, "nothing of it stays here");
    let asked = &world.owners_asked[0];
    assert_eq!((asked.owner.as_str(), asked.client.as_str()), ("mfa-b", "nas"));
    assert_eq!(asked.password, Secret::from("123456"));
    assert!(world.primary_asked.is_empty());
}

#[test]
fn attack_6_an_owner_that_says_nothing_or_knows_no_such_client_ends_in_a_recorded_reject() {
    let mut world = world();
    world.with_peer("mfa-b", Affinity::Relay);
    let knock = answer_to(&world, "mfa-b");
    refused(&mut world, knock, Reason::OwnerUnavailable);
    assert_eq!(world.store.trail().last().unwrap().1.note.as_deref(), Some("mfa-b"));
    world.owners.push_back(PeerAnswer::ClientUnknown);
    let knock = answer_to(&world, "mfa-b");
    refused(&mut world, knock, Reason::ClientUnknownAtOwner);
    let empty = Knock { entered: None, ..answer_to(&world, "mfa-b") };
    let asked = world.owners_asked.len();
    refused(&mut world, empty, Reason::CredentialNotSupported);
    assert_eq!(world.owners_asked.len(), asked, "nothing to hand on");
}

#[test]
fn attack_7_a_state_is_worth_nothing_after_its_accept() {
    let mut world = world();
    let state = challenged(&mut world, "alice");
    alice_is_unharmed(&mut world, &state);
    for offset in [0, 1] {
        let code = world.code("alice", None, offset).unwrap();
        refused(&mut world, with_state("alice", &code, &state), Reason::StateSpent);
    }
}
