//! Two implementations, one protocol: packets of ours are read by the `radius` crate, and packets of the `radius` crate
//! by us, wherever that crate can speak. It neither makes nor checks Message-Authenticator, cuts a password at its
//! first NUL, and hashes the datagram instead of the packet's own length, so the cases keep clear of these.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where it is wrong"
)]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use radius::core::avp::AVP;
use radius::core::code::Code as TheirCode;
use radius::core::packet::Packet;
use radius::core::{rfc2865, rfc2866};

use radmfa::base::secret::Secret;
use radmfa::base::system::Fixed;
use radmfa::base::time::{Tick, UnixTime};
use radmfa::wire::{
    AccessRequest, AttributeId, AttributeList, Code, Credential, HideKind, Integrity, MaRule, Parsed,
    ReplyTo, RequestBuilder, SharedSecret, UpstreamReply, UpstreamRequest, number,
};

fn entropy() -> Fixed {
    Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 }
}

fn shared(octets: &[u8]) -> Arc<SharedSecret> {
    Arc::new(SharedSecret::new(Secret::new(octets)))
}

fn ours(code: Code, attributes: &AttributeList, secret: &SharedSecret) -> UpstreamRequest {
    RequestBuilder { code, attributes, proxy_state: None, secret }
        .build(7, [0xA5; 16], &mut entropy())
        .unwrap()
}

/// Attributes that mean nothing special to either side: of any order, twice, unknown.
fn attributes() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let plain = (4_u8..=250).prop_filter("encrypted, or of one hop", |number| {
        !matches!(*number, number::STATE | number::VENDOR_SPECIFIC | number::PROXY_STATE)
            && !matches!(*number, number::ARAP_PASSWORD | number::EAP_MESSAGE | number::DIGEST_RESPONSE)
            && !matches!(*number, number::MESSAGE_AUTHENTICATOR | number::TUNNEL_PASSWORD)
    });
    vec((plain, vec(any::<u8>(), 1..40)), 0..12)
}

fn list_of(attributes: &[(u8, Vec<u8>)]) -> AttributeList {
    let mut list = AttributeList::new();
    for (number, value) in attributes {
        list.push(*number, value).unwrap();
    }
    list
}

/// A password without NULs, which the other side would cut at.
fn password() -> impl Strategy<Value = Vec<u8>> {
    vec(1_u8..=255, 1..=128)
}

fn secret() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..80)
}

proptest! {
    #[test]
    fn they_read_our_password_and_our_attributes(
        attributes in attributes(), password in password(), secret in secret(), name in "[a-z]{1,30}",
    ) {
        let mut list = list_of(&attributes);
        list.push_text(number::USER_NAME, &name).unwrap();
        let id = AttributeId::Standard(number::USER_PASSWORD);
        list.push_held(id, HideKind::UserPassword, &Secret::new(password.as_slice())).unwrap();
        let request = ours(Code::ACCESS_REQUEST, &list, &shared(&secret));

        let theirs = Packet::decode(&request.bytes, &secret).unwrap();
        prop_assert_eq!(theirs.get_code(), TheirCode::AccessRequest);
        prop_assert_eq!(theirs.get_identifier(), 7);
        prop_assert_eq!(theirs.get_authenticator().as_slice(), &request.authenticator);
        prop_assert_eq!(rfc2865::lookup_user_name(&theirs).unwrap().unwrap(), name);
        prop_assert_eq!(rfc2865::lookup_user_password(&theirs).unwrap().unwrap(), password);
        for (number, _) in &attributes {
            let found: Vec<_> = theirs.lookup_all(*number).into_iter().map(AVP::encode_bytes).collect();
            let sent: Vec<_> =
                attributes.iter().filter(|(other, _)| other == number).map(|(_, value)| value.clone()).collect();
            prop_assert_eq!(found, sent);
        }
    }

    #[test]
    fn we_read_their_password_and_their_attributes(
        attributes in attributes(), password in password(), secret in secret(), name in "[a-z]{1,30}",
    ) {
        let mut theirs = Packet::new(TheirCode::AccessRequest, &secret);
        rfc2865::add_user_name(&mut theirs, &name);
        rfc2865::add_user_password(&mut theirs, &password).unwrap();
        for (number, value) in &attributes {
            theirs.add(AVP::from_bytes(*number, value));
        }
        let bytes = theirs.encode().unwrap();

        let shared = shared(&secret);
        let verified = Parsed::parse(&bytes).unwrap().verify(&shared).unwrap();
        prop_assert_eq!(verified.integrity(), Integrity::Unsigned);
        prop_assert_eq!(verified.identifier(), theirs.get_identifier());
        let view = AccessRequest::view(&verified).unwrap();
        prop_assert_eq!(view.user_name(), Some(name.as_bytes()));
        let Credential::Pap(hidden) = view.credential() else { panic!("no password") };
        prop_assert_eq!(hidden.reveal(&shared), Secret::new(password));
        let read: Vec<_> =
            view.attributes().skip(2).map(|attribute| (attribute.number(), attribute.value().to_vec())).collect();
        prop_assert_eq!(read, attributes);
    }

    #[test]
    fn they_find_our_replies_authentic(attributes in attributes(), secret in secret(), stamped in any::<bool>()) {
        let theirs = Packet::new(TheirCode::AccessRequest, &secret);
        let request = theirs.encode().unwrap();
        let shared = shared(&secret);
        let verified = Parsed::parse(&request).unwrap().verify(&shared).unwrap();
        for code in [Code::ACCESS_ACCEPT, Code::ACCESS_REJECT, Code::ACCESS_CHALLENGE] {
            let reply = ReplyTo::new(&verified, Arc::clone(&shared), stamped)
                .seal(code, &list_of(&attributes), &mut entropy()).unwrap();
            prop_assert!(Packet::is_authentic_response(&reply, &request, &secret));
            prop_assert_eq!(Packet::decode(&reply, &secret).unwrap().get_code() as u8, code.0);
        }
    }

    #[test]
    fn we_find_their_replies_authentic_and_forged_ones_not(
        attributes in attributes(), secret in secret(), other in secret(),
    ) {
        prop_assume!(secret != other);
        let shared = shared(&secret);
        let request = ours(Code::ACCESS_REQUEST, &AttributeList::new(), &shared);
        let answer = |secret: &[u8]| {
            let mut reply = Packet::decode(&request.bytes, secret).unwrap().make_response_packet(TheirCode::AccessAccept);
            for (number, value) in &attributes {
                reply.add(AVP::from_bytes(*number, value));
            }
            reply.encode().unwrap()
        };
        let check = |bytes: &[u8]| {
            UpstreamReply::authenticate(bytes, 7, &request.authenticator, &shared, MaRule::IfPresent)
                .map(|reply| AttributeList::verbatim(reply.attributes()))
        };
        prop_assert_eq!(check(&answer(&secret)), Ok(list_of(&attributes)));
        prop_assert!(check(&answer(&other)).is_err());
    }

    #[test]
    fn accounting_is_authentic_both_ways(attributes in attributes(), secret in secret(), session in "[0-9A-F]{8}") {
        let shared = shared(&secret);
        let request = ours(Code::ACCOUNTING_REQUEST, &list_of(&attributes), &shared);
        prop_assert!(Packet::is_authentic_request(&request.bytes, &secret));

        let mut theirs = Packet::new(TheirCode::AccountingRequest, &secret);
        rfc2866::add_acct_session_id(&mut theirs, &session);
        let bytes = theirs.encode().unwrap();
        let verified = Parsed::parse(&bytes).unwrap().verify(&shared).unwrap();
        prop_assert_eq!(verified.attributes().first(number::ACCT_SESSION_ID), Some(session.as_bytes()));
        let reply = ReplyTo::new(&verified, Arc::clone(&shared), true)
            .seal(Code::ACCOUNTING_RESPONSE, &AttributeList::new(), &mut entropy()).unwrap();
        prop_assert!(Packet::is_authentic_response(&reply, &bytes, &secret));
    }
}
