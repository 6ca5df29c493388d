//! What holds for every packet, tried on many.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::base::secret::Secret;
use crate::base::system::Fixed;
use crate::base::time::{Tick, UnixTime};

use super::*;

fn entropy(seed: u64) -> Fixed {
    Fixed { mono: Tick(0), unix: UnixTime(0), seed }
}

fn shared(octets: &[u8]) -> SharedSecret {
    SharedSecret::new(Secret::new(octets))
}

/// Attributes that may stand in any list and are not encrypted.
fn plain_attributes() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let number = (4_u8..=255).prop_filter("of another kind", |number| {
        !matches!(
            *number,
            number::STATE | number::VENDOR_SPECIFIC | number::PROXY_STATE | number::TUNNEL_PASSWORD
        ) && !matches!(*number, number::ARAP_PASSWORD | number::EAP_MESSAGE | number::DIGEST_RESPONSE)
            && *number != number::MESSAGE_AUTHENTICATOR
    });
    vec((number, vec(any::<u8>(), 0..40)), 0..20)
}

fn list_of(attributes: &[(u8, Vec<u8>)]) -> AttributeList {
    let mut list = AttributeList::new();
    for (number, value) in attributes {
        list.push(*number, value).unwrap();
    }
    list
}

fn numbers_and_values<'a>(attributes: impl Iterator<Item = Attribute<'a>>) -> Vec<(u8, Vec<u8>)> {
    attributes.map(|attribute| (attribute.number(), attribute.value().to_vec())).collect()
}

fn access_request(
    list: &AttributeList,
    secret: &SharedSecret,
    proxy_state: Option<&[u8]>,
) -> UpstreamRequest {
    RequestBuilder { code: Code::ACCESS_REQUEST, attributes: list, proxy_state, secret }
        .build(7, [0xA5; 16], &mut entropy(1))
        .unwrap()
}

/// What a dictionary would say of the attributes used here.
fn kinds(id: AttributeId) -> Option<Hidden> {
    match id {
        AttributeId::Standard(number::TUNNEL_PASSWORD) => Some(Hidden::Salted { tagged: true }),
        AttributeId::Vendor(vendor::MICROSOFT, 12) => Some(Hidden::UserPassword),
        AttributeId::Vendor(vendor::MICROSOFT, 16 | 17) => Some(Hidden::Salted { tagged: false }),
        AttributeId::Vendor(529, 214) => Some(Hidden::Unsupported),
        _ => None,
    }
}

proptest! {
    #[test]
    fn no_datagram_whatever_makes_trouble(datagram in vec(any::<u8>(), 0..300), secret in vec(any::<u8>(), 0..80)) {
        let secret = shared(&secret);
        if let Ok(parsed) = Parsed::parse(&datagram) {
            let _ = format!("{parsed:?}");
            if let Ok(verified) = parsed.verify(&secret) {
                let _ = AccessRequest::view(&verified);
            }
        }
        let _ = UpstreamReply::authenticate(&datagram, 1, &[0; 16], &secret, MaRule::IfPresent);
        let _ = AttributeList::from_bytes(&datagram);
    }

    #[test]
    fn no_attributes_whatever_make_trouble(
        code in prop_oneof![Just(1_u8), Just(4), Just(12), any::<u8>()],
        pairs in vec((prop_oneof![Just(1_u8), Just(2), Just(3), Just(26), Just(60), Just(79), any::<u8>()],
                      vec(any::<u8>(), 0..60)), 0..30),
    ) {
        let mut datagram = vec![code, 1, 0, 0];
        datagram.extend([7; 16]);
        for (number, value) in &pairs {
            datagram.push(*number);
            datagram.push(u8::try_from(value.len() + 2).unwrap());
            datagram.extend(value);
        }
        let length = u16::try_from(datagram.len()).unwrap();
        datagram[2..4].copy_from_slice(&length.to_be_bytes());
        if let Ok(parsed) = Parsed::parse(&datagram) {
            prop_assert_eq!(numbers_and_values(parsed.attributes()), pairs);
            if let Ok(verified) = parsed.verify(&shared(b"s")) {
                let detached = verified.detach();
                if let Ok(view) = AccessRequest::view(&detached) {
                    if let Credential::Pap(password) = view.credential() {
                        prop_assert!(password.reveal(&shared(b"s")).len() <= PASSWORD_MAX);
                    }
                    AttributeList::forward(&view, Forward::default()).unwrap();
                }
            }
        }
    }

    #[test]
    fn what_is_built_is_what_is_parsed(
        attributes in plain_attributes(),
        password in vec(any::<u8>(), 0..=PASSWORD_MAX),
        secret in vec(any::<u8>(), 1..80),
    ) {
        prop_assume!(password.last() != Some(&0));
        let secret = shared(&secret);
        let mut list = list_of(&attributes);
        let id = AttributeId::Standard(number::USER_PASSWORD);
        list.push_held(id, HideKind::UserPassword, &Secret::new(password.as_slice())).unwrap();
        let request = access_request(&list, &secret, Some(b"ours"));

        let verified = Parsed::parse(&request.bytes).unwrap().verify(&secret).unwrap();
        prop_assert_eq!(verified.integrity(), Integrity::Signed);
        prop_assert_eq!(verified.attributes().next().unwrap().number(), number::MESSAGE_AUTHENTICATOR);
        let mut found = numbers_and_values(verified.attributes().skip(1));
        prop_assert_eq!(found.pop().unwrap(), (number::PROXY_STATE, b"ours".to_vec()));
        prop_assert_eq!(found.pop().unwrap().0, number::USER_PASSWORD);
        prop_assert_eq!(found, attributes);
        // No CHAP-Password among them, so PAP is the one credential.
        let view = AccessRequest::view(&verified).unwrap();
        let Credential::Pap(hidden) = view.credential() else { panic!("no password") };
        prop_assert_eq!(hidden.reveal(&secret), Secret::new(password));
    }

    #[test]
    fn a_signed_packet_with_any_bit_flipped_is_refused(
        attributes in plain_attributes(),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let secret = shared(b"xyzzy5461");
        let mut bytes = access_request(&list_of(&attributes), &secret, None).bytes;
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // A packet whose Message-Authenticator became another attribute is no longer Signed, nor is one whose length ends
        // before its first attribute: what trails is ignored (RFC 2865 §3).
        let verified = Parsed::parse(&bytes).and_then(|packet| packet.verify(&secret));
        let without = at == 20 || bytes[2..4] == [0, 20];
        prop_assert!(verified.is_err() || verified.unwrap().integrity() == Integrity::Unsigned && without);
    }

    #[test]
    fn a_reply_with_any_bit_flipped_is_refused(
        attributes in plain_attributes(),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let secret = Arc::new(shared(b"xyzzy5461"));
        let request = access_request(&AttributeList::new(), &secret, None);
        let verified = Parsed::parse(&request.bytes).unwrap().verify(&secret).unwrap();
        let mut bytes = ReplyTo::new(&verified, Arc::clone(&secret), true)
            .seal(Code::ACCESS_REJECT, &list_of(&attributes), &mut entropy(1)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let reply = UpstreamReply::authenticate(&bytes, 7, &request.authenticator, &secret, MaRule::IfPresent);
        prop_assert!(reply.is_err());
    }

    #[test]
    fn what_an_upstream_sent_reaches_the_client_readable_and_in_order(
        before in plain_attributes(),
        between in plain_attributes(),
        tunnel in vec(any::<u8>(), 0..=230),
        key in vec(any::<u8>(), 0..=200),
        block in vec(any::<u8>(), 32),
        tag in any::<u8>(),
        seed in any::<u64>(),
    ) {
        // The upstream's side: it seals what it has for us.
        let theirs = Arc::new(shared(b"upstream secret"));
        let request = access_request(&AttributeList::new(), &theirs, Some(b"ours"));
        let asked = Parsed::parse(&request.bytes).unwrap().verify(&theirs).unwrap();
        let mut sent = list_of(&before);
        let held = |id, kind, plain: &[u8]| (id, kind, Secret::new(plain));
        let secrets = [
            held(AttributeId::Standard(69), HideKind::Salted { tag: Some(tag) }, &tunnel),
            held(AttributeId::Vendor(311, 16), HideKind::Salted { tag: None }, &key),
            held(AttributeId::Vendor(311, 12), HideKind::UserPassword, &block),
        ];
        for (id, kind, plain) in &secrets {
            sent.push_held(*id, *kind, plain).unwrap();
        }
        sent.append(&list_of(&between));
        let answer = ReplyTo::new(&asked, Arc::clone(&theirs), true)
            .seal(Code::ACCESS_ACCEPT, &sent, &mut entropy(seed)).unwrap();

        // Ours: held, parked as octets, sealed for the client.
        let reply =
            UpstreamReply::authenticate(&answer, 7, &request.authenticator, &theirs, MaRule::Required).unwrap();
        let (list, dropped) = AttributeList::hold(&reply, kinds);
        prop_assert_eq!(dropped, 0);
        prop_assert_eq!(&list, &sent);
        let list = AttributeList::from_bytes(&list.to_bytes()).unwrap();
        prop_assert_eq!(&list, &sent);
        let ours = Arc::new(shared(b"client secret"));
        let from_client = RequestBuilder {
            code: Code::ACCESS_REQUEST, attributes: &AttributeList::new(), proxy_state: Some(b"theirs"), secret: &ours,
        }.build(9, [0x5A; 16], &mut entropy(1)).unwrap();
        let asked = Parsed::parse(&from_client.bytes).unwrap().verify(&ours).unwrap();
        let answer = ReplyTo::new(&asked, Arc::clone(&ours), true)
            .seal(Code::ACCESS_ACCEPT, &list, &mut entropy(seed)).unwrap();

        // The client's: it reads it all.
        let reply =
            UpstreamReply::authenticate(&answer, 9, &from_client.authenticator, &ours, MaRule::Required).unwrap();
        let (read, dropped) = AttributeList::hold(&reply, kinds);
        prop_assert_eq!(dropped, 0);
        prop_assert_eq!(read, list);
        let numbers: Vec<u8> = reply.attributes().map(|attribute| attribute.number()).collect();
        prop_assert_eq!(numbers.first(), Some(&number::MESSAGE_AUTHENTICATOR));
        prop_assert_eq!(reply.attributes().last().unwrap().value(), b"theirs");
    }

    #[test]
    fn an_encoded_list_that_was_cut_is_refused_or_shorter(
        attributes in plain_attributes(),
        key in vec(any::<u8>(), 0..=64),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut list = list_of(&attributes);
        list.push_held(AttributeId::Vendor(311, 17), HideKind::Salted { tag: None }, &Secret::new(key)).unwrap();
        let encoded = list.to_bytes();
        let cut = &encoded[..cut.index(encoded.len())];
        prop_assert_ne!(AttributeList::from_bytes(cut), Ok(list));
    }
}
