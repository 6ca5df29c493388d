//! Cases that a peer would notice, one by one.

use std::sync::Arc;

use crate::base::secret::Secret;
use crate::base::system::Fixed;
use crate::base::time::{Tick, UnixTime};

use super::*;

fn entropy() -> Fixed {
    Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 }
}

fn shared() -> Arc<SharedSecret> {
    Arc::new(SharedSecret::new(Secret::from("xyzzy5461")))
}

fn list(attributes: &[(u8, &[u8])]) -> AttributeList {
    let mut list = AttributeList::new();
    for (number, value) in attributes {
        list.push(*number, value).unwrap();
    }
    list
}

/// A request without Message-Authenticator, which may hold anything.
fn unsigned(attributes: &[(u8, &[u8])]) -> Vec<u8> {
    let mut datagram = vec![1, 7, 0, 0];
    datagram.extend([0xA5; 16]);
    for (number, value) in attributes {
        datagram.extend([*number, u8::try_from(value.len() + 2).unwrap()]);
        datagram.extend(*value);
    }
    let length = u16::try_from(datagram.len()).unwrap();
    datagram[2..4].copy_from_slice(&length.to_be_bytes());
    datagram
}

fn numbers(datagram: &[u8]) -> Vec<u8> {
    Parsed::parse(datagram).unwrap().attributes().map(|attribute| attribute.number()).collect()
}

fn forwarded(datagram: &[u8], changes: Forward<'_>) -> Vec<(u8, Vec<u8>)> {
    let verified = Parsed::parse(datagram).unwrap().verify(&shared()).unwrap();
    let view = AccessRequest::view(&verified).unwrap();
    let list = AttributeList::forward(&view, changes).unwrap();
    let describe = |entry| match entry {
        Entry::Plain(attribute) => (attribute.number(), attribute.value().to_vec()),
        Entry::Held { id: AttributeId::Standard(number), .. } => (number, b"held".to_vec()),
        Entry::Held { .. } => panic!("no vendor's attribute is held in a request"),
    };
    list.iter().map(describe).collect()
}

#[test]
fn two_hundred_attributes_pass_and_one_more_does_not() {
    let some = |count| unsigned(&vec![(number::CLASS, b"".as_slice()); count]);
    assert_eq!(Parsed::parse(&some(MAX_ATTRIBUTES)).unwrap().attributes().count(), MAX_ATTRIBUTES);
    assert_eq!(Parsed::parse(&some(MAX_ATTRIBUTES + 1)).unwrap_err(), DropReason::TooManyAttributes);
}

#[test]
fn octets_behind_the_packet_are_ignored() {
    let mut datagram = unsigned(&[(number::USER_NAME, b"alice")]);
    datagram.extend(b"\0\0rubbish");
    assert_eq!(numbers(&datagram), [number::USER_NAME]);
}

#[test]
fn a_packet_that_fails_one_secret_can_be_tried_with_another() {
    let request = RequestBuilder {
        code: Code::ACCESS_REQUEST,
        attributes: &list(&[(number::USER_NAME, b"alice")]),
        proxy_state: None,
        secret: &shared(),
    };
    let bytes = request.build(1, [3; 16], &mut entropy()).unwrap().bytes;
    let parsed = Parsed::parse(&bytes).unwrap();
    let other = SharedSecret::new(Secret::from("another"));
    assert_eq!(parsed.verify(&other).unwrap_err(), DropReason::BadMessageAuthenticator);
    assert_eq!(parsed.verify(&shared()).unwrap().integrity(), Integrity::Signed);
}

#[test]
fn a_password_decodes_cleanly_under_its_own_secret_alone() {
    let mut hidden = Vec::new();
    hide_user_password("pässword".as_bytes(), &[0xA5; 16], &shared(), &mut hidden).unwrap();
    let datagram = unsigned(&[(number::USER_PASSWORD, &hidden)]);
    let verified = Parsed::parse(&datagram).unwrap().verify(&shared()).unwrap();
    let Credential::Pap(password) = AccessRequest::view(&verified).unwrap().credential() else { panic!() };
    assert!(password.decodes_cleanly(&shared()));
    assert!(!password.decodes_cleanly(&SharedSecret::new(Secret::from("previous"))));
    assert_eq!(hide_user_password(&[b'a'; 129], &[0; 16], &shared(), &mut hidden), Err(Unfit::TooLong));
}

#[test]
fn message_authenticator_comes_first_and_proxy_states_last_in_their_order() {
    let datagram = unsigned(&[
        (number::PROXY_STATE, b"first"),
        (number::USER_NAME, b"alice"),
        (number::PROXY_STATE, b"second"),
    ]);
    let secret = shared();
    let verified = Parsed::parse(&datagram).unwrap().verify(&secret).unwrap();
    let attributes = list(&[(number::REPLY_MESSAGE, b"Code:"), (number::STATE, b"s")]);
    let bytes = ReplyTo::new(&verified, shared(), true)
        .seal(Code::ACCESS_CHALLENGE, &attributes, &mut entropy())
        .unwrap();
    let expected = [number::MESSAGE_AUTHENTICATOR, number::REPLY_MESSAGE, number::STATE];
    assert_eq!(numbers(&bytes)[..3], expected);
    let reply = UpstreamReply::authenticate(&bytes, 7, verified.authenticator(), &secret, MaRule::Required);
    let states: Vec<_> = reply.unwrap().attributes().all(number::PROXY_STATE).map(<[u8]>::to_vec).collect();
    assert_eq!(states, [b"first".to_vec(), b"second".to_vec()]);
}

#[test]
fn a_client_may_be_spared_message_authenticator_but_not_with_eap() {
    let datagram = unsigned(&[(number::USER_NAME, b"alice")]);
    let verified = Parsed::parse(&datagram).unwrap().verify(&shared()).unwrap();
    let seal = |attributes: &AttributeList| {
        ReplyTo::new(&verified, shared(), false)
            .seal(Code::ACCESS_REJECT, attributes, &mut entropy())
            .unwrap()
    };
    assert!(numbers(&seal(&AttributeList::new())).is_empty());
    let eap = list(&[(number::EAP_MESSAGE, b"\x04\x01\x00\x04")]);
    assert_eq!(numbers(&seal(&eap)), [number::MESSAGE_AUTHENTICATOR, number::EAP_MESSAGE]);
}

#[test]
fn a_reply_that_is_too_large_can_still_be_replaced_by_a_shorter_one() {
    let datagram = unsigned(&[(number::USER_NAME, b"alice")]);
    let verified = Parsed::parse(&datagram).unwrap().verify(&shared()).unwrap();
    let large = list(&vec![(number::CLASS, [0; VALUE_MAX].as_slice()); 16]);
    let TooLarge(reply_to) = ReplyTo::new(&verified, shared(), true)
        .seal(Code::ACCESS_ACCEPT, &large, &mut entropy())
        .unwrap_err();
    let reject = reply_to.seal(Code::ACCESS_REJECT, &AttributeList::new(), &mut entropy()).unwrap();
    assert_eq!(Parsed::parse(&reject).unwrap().code(), Code::ACCESS_REJECT);
}

#[test]
fn an_upstream_gets_the_request_but_nothing_of_its_hop() {
    let password = Secret::from("secret");
    let datagram = unsigned(&[
        (number::PROXY_STATE, b"theirs"),
        (number::USER_NAME, b"CORP\\alice"),
        (number::USER_PASSWORD, &[0; 16]),
        (250, b"unknown"),
        (number::STATE, b"ours"),
        (number::CLASS, b""),
    ]);
    let changes =
        Forward { password: Some(&password), user_name: Some(b"alice"), state: Some(b"upstream's") };
    let expected: [(u8, &[u8]); 5] = [
        (number::USER_NAME, b"alice"),
        (number::USER_PASSWORD, b"held"),
        (250, b"unknown"),
        (number::CLASS, b""),
        (number::STATE, b"upstream's"),
    ];
    assert_eq!(forwarded(&datagram, changes), expected.map(|(number, value)| (number, value.to_vec())));
    // Without a password to send, none is: the client's is hidden from the upstream by another secret.
    let none = forwarded(&datagram, Forward::default());
    assert!(none.iter().all(|(number, _)| *number != number::USER_PASSWORD && *number != number::STATE));
}

#[test]
fn chap_without_a_challenge_takes_the_request_authenticator_along() {
    let chap = unsigned(&[(number::CHAP_PASSWORD, &[1; 17])]);
    assert_eq!(forwarded(&chap, Forward::default())[1], (number::CHAP_CHALLENGE, vec![0xA5; 16]));
    let challenged = unsigned(&[(number::CHAP_PASSWORD, &[1; 17]), (number::CHAP_CHALLENGE, b"twenty")]);
    assert_eq!(forwarded(&challenged, Forward::default())[1], (number::CHAP_CHALLENGE, b"twenty".to_vec()));
    assert_eq!(forwarded(&challenged, Forward::default()).len(), 2);
}

#[test]
fn what_cannot_be_opened_is_dropped_and_counted() {
    let secret = shared();
    let request = RequestBuilder {
        code: Code::ACCESS_REQUEST,
        attributes: &AttributeList::new(),
        proxy_state: None,
        secret: &secret,
    };
    let request = request.build(1, [3; 16], &mut entropy()).unwrap();
    let verified = Parsed::parse(&request.bytes).unwrap().verify(&secret).unwrap();
    let mut sent =
        list(&[(number::STATE, b"theirs"), (number::CLASS, b"c"), (number::TUNNEL_PASSWORD, b"\x01junk")]);
    // Two of a vendor's in one: an encrypted one of a wrong shape, and a plain one.
    sent.push(number::VENDOR_SPECIFIC, b"\0\0\x01\x37\x10\x05abc\x07\x04xy").unwrap();
    sent.push_vendor(529, 214, b"ascend").unwrap();
    let answer = ReplyTo::new(&verified, Arc::clone(&secret), true)
        .seal(Code::ACCESS_ACCEPT, &sent, &mut entropy())
        .unwrap();
    let reply =
        UpstreamReply::authenticate(&answer, 1, &request.authenticator, &secret, MaRule::Required).unwrap();
    let (held, dropped) = AttributeList::hold(&reply, |id| match id {
        AttributeId::Standard(69) => Some(Hidden::Salted { tagged: true }),
        AttributeId::Vendor(311, 16) => Some(Hidden::Salted { tagged: false }),
        AttributeId::Vendor(529, 214) => Some(Hidden::Unsupported),
        _ => None,
    });
    assert_eq!(dropped, 3);
    let mut expected = list(&[(number::CLASS, b"c")]);
    expected.push_vendor(311, 7, b"xy").unwrap();
    assert_eq!(held, expected);
}

#[test]
fn salts_within_a_packet_differ_and_have_their_highest_bit_set() {
    let secret = shared();
    let mut keys = AttributeList::new();
    for number in [16, 17] {
        let kind = HideKind::Salted { tag: None };
        keys.push_held(AttributeId::Vendor(vendor::MICROSOFT, number), kind, &Secret::from("key")).unwrap();
    }
    let request =
        RequestBuilder { code: Code::ACCESS_REQUEST, attributes: &keys, proxy_state: None, secret: &secret };
    for seed in 0..100 {
        let mut entropy = Fixed { seed, ..entropy() };
        let bytes = request.build(1, [3; 16], &mut entropy).unwrap().bytes;
        let salts: Vec<_> = Parsed::parse(&bytes)
            .unwrap()
            .attributes()
            .filter_map(|attribute| attribute.vendor()?.attributes.clone().next())
            .map(|key| u16::from_be_bytes([key.value()[0], key.value()[1]]))
            .collect();
        assert!(salts.len() == 2 && salts[0] != salts[1] && salts.iter().all(|salt| salt & 0x8000 != 0));
    }
}

#[test]
fn a_reply_is_refused_for_what_is_wrong_with_it() {
    let secret = shared();
    let datagram = unsigned(&[(number::USER_NAME, b"alice")]);
    let verified = Parsed::parse(&datagram).unwrap().verify(&secret).unwrap();
    let seal = |code, stamped| {
        ReplyTo::new(&verified, Arc::clone(&secret), stamped)
            .seal(code, &AttributeList::new(), &mut entropy())
            .unwrap()
    };
    let check = |bytes: &[u8], identifier, authenticator: [u8; 16], rule| {
        UpstreamReply::authenticate(bytes, identifier, &authenticator, &secret, rule).err()
    };
    let (good, bare) = (seal(Code::ACCESS_ACCEPT, true), seal(Code::ACCESS_ACCEPT, false));
    assert_eq!(check(&good, 7, [0xA5; 16], MaRule::Required), None);
    assert_eq!(check(&good, 8, [0xA5; 16], MaRule::Required), Some(ReplyFault::Identifier));
    assert_eq!(check(&good, 7, [0xA6; 16], MaRule::Required), Some(ReplyFault::ResponseAuthenticator));
    assert_eq!(check(&bare, 7, [0xA5; 16], MaRule::IfPresent), None);
    assert_eq!(check(&bare, 7, [0xA5; 16], MaRule::Required), Some(ReplyFault::NoMessageAuthenticator));
    assert_eq!(check(&datagram, 7, [0xA5; 16], MaRule::Required), Some(ReplyFault::Code));
    let challenge_for_accept = [&[Code::ACCESS_CHALLENGE.0], &good[1..]].concat();
    let fault = check(&challenge_for_accept, 7, [0xA5; 16], MaRule::Required);
    assert_eq!(fault, Some(ReplyFault::ResponseAuthenticator));
}

#[test]
fn accounting_goes_both_ways_without_message_authenticator() {
    let secret = shared();
    let attributes = list(&[(40, &[0, 0, 0, 1]), (number::ACCT_SESSION_ID, b"5A")]);
    let builder = RequestBuilder {
        code: Code::ACCOUNTING_REQUEST,
        attributes: &attributes,
        proxy_state: Some(b"ours"),
        secret: &secret,
    };
    let request = builder.build(1, [9; 16], &mut entropy()).unwrap();
    assert_eq!(numbers(&request.bytes), [40, number::ACCT_SESSION_ID, number::PROXY_STATE]);
    let verified = Parsed::parse(&request.bytes).unwrap().verify(&secret).unwrap();
    assert_eq!(verified.integrity(), Integrity::Signed);
    assert_eq!(AttributeList::verbatim(verified.attributes()), attributes);
    let response = ReplyTo::new(&verified, Arc::clone(&secret), true)
        .seal(Code::ACCOUNTING_RESPONSE, &AttributeList::new(), &mut entropy())
        .unwrap();
    assert_eq!(numbers(&response), [number::PROXY_STATE]);
    UpstreamReply::authenticate(&response, 1, &request.authenticator, &secret, MaRule::IfPresent).unwrap();
}

#[test]
fn what_sealing_puts_in_cannot_be_put_in_a_list() {
    let mut list = AttributeList::new();
    for number in [0, number::MESSAGE_AUTHENTICATOR, number::PROXY_STATE] {
        assert_eq!(list.push(number, b"x"), Err(Unfit::Reserved));
        let held = list.push_held(AttributeId::Standard(number), HideKind::UserPassword, &Secret::from("x"));
        assert_eq!(held, Err(Unfit::Reserved));
    }
    assert_eq!(list.push(number::CLASS, &[0; VALUE_MAX + 1]), Err(Unfit::TooLong));
    assert_eq!(list.push_vendor(9, 1, &[0; 248]), Err(Unfit::TooLong));
    let held = list.push_held(AttributeId::Standard(2), HideKind::UserPassword, &Secret::new([0; 129]));
    assert_eq!(held, Err(Unfit::TooLong));
    let held =
        list.push_held(AttributeId::Vendor(311, 16), HideKind::Salted { tag: None }, &Secret::new([0; 240]));
    assert_eq!(held, Err(Unfit::TooLong));
    assert!(list.is_empty());
    assert_eq!(AttributeList::from_bytes(&[1, number::PROXY_STATE, 3, b'x']), Err(Undecodable));
    assert_eq!(AttributeList::from_bytes(&[2]), Err(Undecodable));
}

#[test]
fn debug_shows_numbers_and_lengths_and_nothing_secret() {
    let mut list = list(&[(number::CLASS, b"visible")]);
    list.push_held(AttributeId::Vendor(311, 16), HideKind::Salted { tag: None }, &Secret::from("hunter2"))
        .unwrap();
    assert_eq!(format!("{list:?}"), "[25[7], 26.311.16[16]…]");
    let datagram = unsigned(&[(number::USER_NAME, b"alice"), (number::USER_PASSWORD, &[0x41; 16])]);
    let verified = Parsed::parse(&datagram).unwrap().verify(&shared()).unwrap();
    assert_eq!(format!("{verified:?}"), "Access-Request 7 Unsigned [1[5], 2[16]]");
    assert!(format!("{:?}", AccessRequest::view(&verified).unwrap().credential()).contains('…'));
    assert_eq!(format!("{:?}", shared()), "…");
}
