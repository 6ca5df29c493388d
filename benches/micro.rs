//! The small costs of a login, one by one: what a packet takes on its way in and out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a benchmark stops where it is wrong"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};

use radmfa::base::secret::Secret;
use radmfa::base::system::Fixed;
use radmfa::base::time::{Tick, UnixTime};
use radmfa::wire::{
    AccessRequest, AttributeId, AttributeList, Code, Credential, Forward, HideKind, MaRule, Parsed, ReplyTo,
    RequestBuilder, SharedSecret, UpstreamReply, number,
};

/// A PAP request of some 160 octets and ten attributes, as a VPN gateway sends it.
fn gateway_request(secret: &SharedSecret, entropy: &mut Fixed) -> Box<[u8]> {
    let mut attributes = AttributeList::new();
    attributes.push_text(number::USER_NAME, "alice@corp.example").unwrap();
    let id = AttributeId::Standard(number::USER_PASSWORD);
    attributes.push_held(id, HideKind::UserPassword, &Secret::from("correct horse")).unwrap();
    attributes.push_u32(number::NAS_IP_ADDRESS, 0x0A01_0004).unwrap();
    attributes.push_u32(number::NAS_PORT, 4096).unwrap();
    attributes.push_u32(number::SERVICE_TYPE, 2).unwrap();
    attributes.push_text(number::CALLED_STATION_ID, "198.51.100.4").unwrap();
    attributes.push_text(number::CALLING_STATION_ID, "203.0.113.77").unwrap();
    attributes.push_text(number::NAS_IDENTIFIER, "vpn-hq-1").unwrap();
    attributes.push_vendor(3076, 146, b"Employees").unwrap();
    RequestBuilder { code: Code::ACCESS_REQUEST, attributes: &attributes, proxy_state: None, secret }
        .build(7, [0xA5; 16], entropy)
        .unwrap()
        .bytes
}

fn wire(criterion: &mut Criterion) {
    let mut entropy = Fixed { mono: Tick(0), unix: UnixTime(0), seed: 1 };
    let secret = Arc::new(SharedSecret::new(Secret::from("a shared secret of 32 octets ...")));
    let datagram = gateway_request(&secret, &mut entropy);
    let verified = Parsed::parse(&datagram).unwrap().verify(&secret).unwrap();
    let view = AccessRequest::view(&verified).unwrap();
    let Credential::Pap(hidden) = view.credential() else { panic!("the request is PAP") };
    let password = hidden.reveal(&secret);

    criterion.bench_function("parse", |bench| bench.iter(|| Parsed::parse(black_box(&datagram)).unwrap()));
    criterion.bench_function("parse, verify, view", |bench| {
        bench.iter(|| {
            let verified = Parsed::parse(black_box(&datagram)).unwrap().verify(&secret).unwrap();
            AccessRequest::view(&verified).unwrap().user_name().map(<[u8]>::len)
        });
    });
    criterion.bench_function("reveal a password", |bench| bench.iter(|| black_box(&hidden).reveal(&secret)));
    criterion.bench_function("forward upstream", |bench| {
        bench.iter(|| {
            let changes = Forward { password: Some(&password), ..Forward::default() };
            let attributes = AttributeList::forward(black_box(&view), changes).unwrap();
            let builder = RequestBuilder {
                code: Code::ACCESS_REQUEST,
                attributes: &attributes,
                proxy_state: None,
                secret: &secret,
            };
            builder.build(9, [0x5A; 16], &mut entropy).unwrap()
        });
    });

    let mut challenge = AttributeList::new();
    challenge.push(number::STATE, &[b'x'; 64]).unwrap();
    challenge.push_text(number::REPLY_MESSAGE, "Enter the code from your authenticator app:").unwrap();
    challenge.push_u32(number::PROMPT, 0).unwrap();
    challenge.push_u32(number::SESSION_TIMEOUT, 60).unwrap();
    criterion.bench_function("seal a challenge", |bench| {
        bench.iter(|| {
            let to = ReplyTo::new(black_box(&verified), Arc::clone(&secret), true);
            to.seal(Code::ACCESS_CHALLENGE, &challenge, &mut entropy).unwrap()
        });
    });

    let answer = ReplyTo::new(&verified, Arc::clone(&secret), true)
        .seal(Code::ACCESS_ACCEPT, &challenge, &mut entropy)
        .unwrap();
    criterion.bench_function("authenticate a reply and hold it", |bench| {
        bench.iter(|| {
            let asked = verified.authenticator();
            let reply =
                UpstreamReply::authenticate(black_box(&answer), 7, asked, &secret, MaRule::Required).unwrap();
            AttributeList::hold(&reply, |_| None)
        });
    });
}

criterion_group!(micro, wire);
criterion_main!(micro);
