//! Two servers, `mfa-a` and `mfa-b`, and what passes between them; nothing here has a socket or a clock.

mod late;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::answering::ToPeer;
use super::asking::{Pending, Unread};
use super::carrier::{Asked, HOP, pack};
use super::owning::{Taken, take};
use super::*;
use crate::base::secret::Secret;
use crate::base::system::{Entropy, Fixed, random};
use crate::base::time::{Tick, UnixTime};
use crate::engine::policy::{Lockout, Policy};
use crate::engine::question::{PeerAnswer, PeerRequest};
use crate::engine::step::{Entered, Env};
use crate::server::clients::Clients;
use crate::server::duplicates::PacketKey;
use crate::server::node::{Arrival, Origin};
use crate::server::settings::{Client, Limits, MessageAuthenticator};
use crate::wire::{
    AccessRequest, AttributeId, AttributeList, DropReason, Hidden, HideKind, MaRule, RequestBuilder,
    UpstreamReply,
};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const MONO: Tick = Tick(1 << 40);
const TUNNEL: AttributeId = AttributeId::Standard(number::TUNNEL_PASSWORD);

fn name(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn entropy() -> Fixed {
    Fixed { mono: MONO, unix: NOW, seed: 11 }
}

fn at(unix: UnixTime, entropy: &mut dyn Entropy) -> Env<'_> {
    Env { mono: MONO, unix, entropy }
}

/// The server called `own`, whose only peer, at 192.0.2.9, is the one called `other`.
fn server(own: &str, other: &str, secret: &str) -> Peers {
    Peers::new(&Settings {
        people: Arc::default(),
        server_name: name(own),
        listen: Vec::new(),
        workers: 1,
        clients: Vec::new(),
        limits: Limits::default(),
        affinity: Affinity::Relay,
        control: None,
        fronts: Vec::new(),
        peers: vec![settings::Peer {
            name: name(other),
            address: "192.0.2.9:1812".parse().unwrap(),
            secret: Secret::from(secret),
        }],
    })
}

fn clients() -> Clients {
    let policy = Policy::resolve(name("up"), Lockout::default(), &[]);
    Clients::new(&[Client {
        name: name("nas"),
        networks: vec!["198.51.100.1/32".parse().unwrap()],
        secret: Secret::from("testing123"),
        previous_secret: None,
        message_authenticator: MessageAuthenticator::Auto,
        limit_proxy_state: true,
        send_message_authenticator: true,
        profile: "generic",
        policy: Arc::new(policy),
        rules: None,
    }])
}

const GATEWAY: &str = "198.51.100.1:4000";

/// The second step of a login at `client`, as the gateway sent it.
fn step(client: &str, signed: bool, filling: usize) -> PeerRequest {
    step_of(client, signed, filling, b"the state", "123456")
}

fn step_of(client: &str, signed: bool, filling: usize, state: &[u8], code: &str) -> PeerRequest {
    let secret = SharedSecret::new(Secret::from("testing123"));
    let mut attributes = AttributeList::new();
    attributes.push_text(number::USER_NAME, "Alice").unwrap();
    let password = Secret::from(code);
    attributes
        .push_held(AttributeId::Standard(number::USER_PASSWORD), HideKind::UserPassword, &password)
        .unwrap();
    attributes.push(number::STATE, state).unwrap();
    attributes.push_text(number::CALLING_STATION_ID, "10.9.8.7").unwrap();
    for _ in 0..filling {
        attributes.push(number::VENDOR_SPECIFIC, &[7; 253]).unwrap();
    }
    let builder = RequestBuilder {
        code: Code::ACCESS_REQUEST,
        attributes: &attributes,
        proxy_state: Some(b"of the gateway"),
        secret: &secret,
    };
    let bytes = builder.build(9, [3; 16], &mut entropy()).unwrap().bytes;
    let packet = Parsed::parse(&bytes).unwrap().verify(&secret).unwrap();
    let packet = if signed { packet } else { packet.lowered() };
    PeerRequest {
        owner: name("mfa-a"),
        client: name(client),
        source: GATEWAY.parse().unwrap(),
        password,
        packet: Arc::new(packet.detach()),
        answer_by: MONO,
    }
}

/// The carrier's datagram, under `secret`.
fn carry(attributes: &AttributeList, secret: &SharedSecret) -> Box<[u8]> {
    let builder = RequestBuilder { code: Code::ACCESS_REQUEST, attributes, proxy_state: None, secret };
    builder.build(1, [5; 16], &mut entropy()).unwrap().bytes
}

/// What the server with these peers hears of a datagram from its peer's address.
fn hear(peers: &Peers, datagram: &[u8]) -> Option<Heard> {
    match peers.carried(datagram, "192.0.2.9".parse().unwrap()) {
        Carried::From(heard) => Some(*heard),
        Carried::Unproven | Carried::Nothing => None,
    }
}

fn own(heard: Heard, replays: &Replays, now: UnixTime) -> Result<Taken, DropReason> {
    own_at(heard, replays, &mut at(now, &mut entropy()))
}

fn own_at(heard: Heard, replays: &Replays, env: &mut Env<'_>) -> Result<Taken, DropReason> {
    let Said::Ask(plain) = heard.said else { panic!("no request") };
    let way = ToPeer { peer: heard.peer, reply_to: heard.reply_to, nonce: heard.nonce };
    let source: SocketAddr = "192.0.2.9:5000".parse().unwrap();
    let local: SocketAddr = "192.0.2.1:1812".parse().unwrap();
    let origin = Origin {
        key: PacketKey { source, local, identifier: 1 },
        authenticator: heard.authenticator,
        gateway: source,
    };
    take(&plain, way, origin, &clients(), replays, env)
}

/// B hands a step to A: B's means to read the answer, and what A makes of it.
fn hand(
    request: &PeerRequest,
    b_time: UnixTime,
    a_time: UnixTime,
) -> (Peers, Pending, Result<Taken, DropReason>) {
    let (a, b) = (server("mfa-a", "mfa-b", "between"), server("mfa-b", "mfa-a", "between"));
    let (carrier, pending) = Pending::new(&b.list[0], request, &mut at(b_time, &mut entropy())).unwrap();
    let heard = hear(&a, &carry(&carrier, &b.list[0].secret)).unwrap();
    (b, pending, own(heard, &Replays::default(), a_time))
}

fn arrival(taken: Result<Taken, DropReason>) -> (Arrival, Box<[u8]>) {
    match taken {
        Ok(Taken::Arrival(arrival, state)) => (*arrival, state),
        Ok(Taken::Told(_)) => panic!("the peer was told something"),
        Err(reason) => panic!("{reason}"),
    }
}

/// B reads the datagram that answers its carrier.
fn read(b: &Peers, pending: &Pending, datagram: &[u8]) -> Result<PeerAnswer, Unread> {
    let secret = &b.list[0].secret;
    let reply = UpstreamReply::authenticate(datagram, 1, &[5; 16], secret, MaRule::Required).unwrap();
    assert_eq!(reply.code(), Code::ACCESS_ACCEPT);
    let kinds: crate::primary::Kinds =
        Arc::new(|id| (id == TUNNEL).then_some(Hidden::Salted { tagged: true }));
    pending.read(&b.list[0], &AttributeList::verbatim(reply.attributes()), &kinds, NOW)
}

#[test]
fn a_step_arrives_at_its_owner_as_the_gateway_sent_it() {
    for signed in [true, false] {
        let (_, _, taken) = hand(&step("nas", signed, 0), NOW, NOW);
        let (arrival, state) = arrival(taken);
        assert_eq!(&*state, b"the state");
        assert_eq!(arrival.client, name("nas"));
        assert_eq!(arrival.user.as_ref().unwrap().as_str(), "alice");
        assert_eq!(arrival.station.as_deref(), Some("10.9.8.7"));
        assert_eq!(arrival.origin.gateway, GATEWAY.parse().unwrap());
        assert_eq!(arrival.packet.integrity() == Integrity::Signed, signed);
        assert!(matches!(&arrival.entered, Entered::Password(typed) if *typed == Secret::from("123456")));
        assert_eq!(arrival.packet.proxy_states().count(), 0, "those belong to the other hop");
    }
}

#[test]
fn the_answer_comes_back_with_what_is_encrypted_in_it() {
    let (b, pending, taken) = hand(&step("nas", true, 0), NOW, NOW);
    let mut granted = AttributeList::new();
    granted.push_text(number::REPLY_MESSAGE, "welcome").unwrap();
    let tunnel = HideKind::Salted { tag: Some(1) };
    granted.push_held(TUNNEL, tunnel, &Secret::from("tunnel secret")).unwrap();
    let answering = arrival(taken).0.reply_to;
    let datagram = answering.seal(Code::ACCESS_ACCEPT, &granted, &mut entropy()).unwrap();
    match read(&b, &pending, &datagram).unwrap() {
        PeerAnswer::Accepted { attributes } => assert_eq!(attributes, granted),
        other => panic!("{other:?}"),
    }
    assert!(!datagram.windows(7).any(|window| window == b"welcome"), "it travels sealed");
}

#[test]
fn an_answer_to_another_request_does_not_open() {
    let (b, _, taken) = hand(&step("nas", true, 0), NOW, NOW);
    let answering = arrival(taken).0.reply_to;
    let datagram = answering.seal(Code::ACCESS_ACCEPT, &AttributeList::new(), &mut entropy()).unwrap();
    let mut other = Fixed { seed: 12, ..entropy() };
    let (_, pending) = Pending::new(&b.list[0], &step("nas", true, 0), &mut at(NOW, &mut other)).unwrap();
    assert_eq!(read(&b, &pending, &datagram).unwrap_err(), Unread::Malformed);
}

#[test]
fn a_challenge_comes_back_with_the_owners_state_and_a_reject_as_it_is() {
    let (b, pending, taken) = hand(&step("nas", true, 0), NOW, NOW);
    let mut asked = AttributeList::new();
    asked.push_text(number::STATE, "a new state").unwrap();
    asked.push_text(number::REPLY_MESSAGE, "again").unwrap();
    let answering = arrival(taken).0.reply_to;
    let datagram = answering.seal(Code::ACCESS_CHALLENGE, &asked, &mut entropy()).unwrap();
    match read(&b, &pending, &datagram).unwrap() {
        PeerAnswer::Challenged { state, attributes } => {
            assert_eq!(&*state, b"a new state");
            assert_eq!(attributes.plain_attributes().count(), 1);
        }
        other => panic!("{other:?}"),
    }
    let (b, pending, taken) = hand(&step("nas", true, 0), NOW, NOW);
    let answering = arrival(taken).0.reply_to;
    let datagram = answering.seal(Code::ACCESS_REJECT, &AttributeList::new(), &mut entropy()).unwrap();
    assert!(matches!(read(&b, &pending, &datagram), Ok(PeerAnswer::Rejected { .. })));
}

#[test]
fn what_does_not_fit_into_a_carrier_gives_the_way_back() {
    let (b, pending, taken) = hand(&step("nas", true, 0), NOW, NOW);
    let mut large = AttributeList::new();
    for _ in 0..15 {
        large.push(number::CLASS, &[1; 253]).unwrap();
    }
    let answering = arrival(taken).0.reply_to;
    let back = answering.seal(Code::ACCESS_ACCEPT, &large, &mut entropy()).unwrap_err().0;
    let datagram = back.seal(Code::ACCESS_REJECT, &AttributeList::new(), &mut entropy()).unwrap();
    assert!(matches!(read(&b, &pending, &datagram), Ok(PeerAnswer::Rejected { .. })));

    let (.., taken) = hand(&step("nas", true, 14), NOW, NOW);
    assert_eq!(arrival(taken).0.packet.attributes().count(), 4 + 14 + 1, "all of it, and a signature");
    let (.., taken) = hand(&step("nas", true, 15), NOW, NOW);
    let (arrival, state) = arrival(taken);
    assert_eq!((arrival.packet.attributes().count(), &*state), (4 + 1, &b"the state"[..]), "what is needed");
}

#[test]
fn clocks_ninety_seconds_apart_do_and_three_minutes_do_not() {
    for (skew, fine) in [(0, true), (90, true), (180, false)] {
        let later = NOW + Duration::from_secs(skew);
        for (b_time, a_time) in [(NOW, later), (later, NOW)] {
            let (b, pending, taken) = hand(&step("nas", true, 0), b_time, a_time);
            match taken.unwrap() {
                Taken::Arrival(..) => assert!(fine, "{skew} s"),
                Taken::Told(datagram) => {
                    assert!(!fine, "{skew} s");
                    let told = read(&b, &pending, &datagram).unwrap_err();
                    assert_eq!(told, Unread::ClocksApart { theirs: a_time, ours: NOW });
                }
            }
        }
    }
}

#[test]
fn a_client_that_the_owner_does_not_know_is_told() {
    let (b, pending, taken) = hand(&step("another", true, 0), NOW, NOW);
    let Ok(Taken::Told(datagram)) = taken else { panic!("it was taken") };
    assert!(matches!(read(&b, &pending, &datagram), Ok(PeerAnswer::ClientUnknown)));
}

#[test]
fn the_same_payload_in_a_new_packet_is_refused() {
    let (a, b) = (server("mfa-a", "mfa-b", "between"), server("mfa-b", "mfa-a", "between"));
    let (carrier, _) = Pending::new(&b.list[0], &step("nas", true, 0), &mut at(NOW, &mut entropy())).unwrap();
    let replays = Replays::default();
    let secret = &b.list[0].secret;
    assert!(own(hear(&a, &carry(&carrier, secret)).unwrap(), &replays, NOW).is_ok());
    let builder =
        RequestBuilder { code: Code::ACCESS_REQUEST, attributes: &carrier, proxy_state: None, secret };
    let again = builder.build(2, [6; 16], &mut entropy()).unwrap().bytes;
    let refused = own(hear(&a, &again).unwrap(), &replays, NOW).err();
    assert_eq!(refused, Some(DropReason::RelayReplayed));
}

#[test]
fn only_what_the_peer_signed_and_sealed_for_this_server_is_heard() {
    let a = server("mfa-a", "mfa-b", "between");
    let carrier_of =
        |b: &Peers| Pending::new(&b.list[0], &step("nas", true, 0), &mut at(NOW, &mut entropy())).unwrap().0;
    let b = server("mfa-b", "mfa-a", "between");
    let good = carry(&carrier_of(&b), &b.list[0].secret);
    assert!(hear(&a, &good).is_some());
    assert!(hear(&b, &good).is_none(), "sent back to where it came from");
    let other = server("mfa-b", "mfa-a", "another");
    assert!(hear(&a, &carry(&carrier_of(&other), &other.list[0].secret)).is_none(), "another secret");
    assert!(hear(&a, &carry(&carrier_of(&other), &b.list[0].secret)).is_none(), "sealed with another");
    let stranger = server("mfa-c", "mfa-a", "between");
    assert!(hear(&a, &carry(&carrier_of(&stranger), &b.list[0].secret)).is_none(), "another name");
    let misled = server("mfa-b", "mfa-x", "between");
    assert!(hear(&a, &carry(&carrier_of(&misled), &b.list[0].secret)).is_none(), "for another server");
    let elsewhere = a.carried(&good, "192.0.2.8".parse().unwrap());
    assert!(matches!(elsewhere, Carried::Nothing), "from another address");

    // Without its Message-Authenticator, the first attribute.
    let length = u16::try_from(good.len() - 18).unwrap().to_be_bytes();
    let stripped = [&good[..2], &length, &good[4..20], &good[38..]].concat();
    assert!(hear(&a, &stripped).is_none());
    for place in 0..good.len() {
        let mut flipped = good.clone();
        flipped[place] ^= 1;
        assert!(hear(&a, &flipped).is_none(), "octet {place}");
    }
}

/// A carrier of B's with `asked` in it, as a server of another mind would send it.
fn crafted(change: impl Fn(&mut Asked)) -> Result<Taken, DropReason> {
    let (a, b) = (server("mfa-a", "mfa-b", "between"), server("mfa-b", "mfa-a", "between"));
    let secret = &b.list[0].secret;
    let attributes = AttributeList::relay(
        &AccessRequest::view(&step("nas", true, 0).packet).unwrap(),
        &Secret::from("123456"),
    )
    .unwrap();
    let mut asked = Asked {
        hop: HOP,
        signed: true,
        time: NOW,
        source: GATEWAY.parse().unwrap(),
        client: name("nas"),
        packet: zeroize::Zeroizing::new(build(&attributes, None, secret)),
    };
    change(&mut asked);
    let (_, sealed) = b.list[0].ask.seal(&[], &asked.encode(), &mut entropy());
    own(hear(&a, &carry(&pack(&sealed), secret)).unwrap(), &Replays::default(), NOW)
}

fn build(attributes: &AttributeList, proxy_state: Option<&[u8]>, secret: &SharedSecret) -> Vec<u8> {
    let builder = RequestBuilder { code: Code::ACCESS_REQUEST, attributes, proxy_state, secret };
    builder.build(0, random(&mut entropy()), &mut entropy()).unwrap().bytes.into()
}

#[test]
fn what_was_passed_on_twice_or_would_begin_a_login_is_dropped() {
    assert!(crafted(|_| {}).is_ok());
    let dropped = |change: &dyn Fn(&mut Asked)| crafted(change).err();
    assert_eq!(dropped(&|asked| asked.hop = 2), Some(DropReason::RelayRefused));
    assert_eq!(dropped(&|asked| asked.hop = 0), Some(DropReason::RelayRefused));
    let secret = SharedSecret::new(Secret::from("between"));
    let mut first = AttributeList::new();
    first.push_text(number::USER_NAME, "alice").unwrap();
    let without = build(&first, None, &secret);
    let no_state = dropped(&|asked| asked.packet = zeroize::Zeroizing::new(without.clone()));
    assert_eq!(no_state, Some(DropReason::RelayRefused));
    first.push_text(number::STATE, "the state").unwrap();
    let proxied = build(&first, Some(b"x"), &secret);
    let proxied = dropped(&|asked| asked.packet = zeroize::Zeroizing::new(proxied.clone()));
    assert_eq!(proxied, Some(DropReason::RelayRefused));
    let foreign = build(&first, None, &SharedSecret::new(Secret::from("another")));
    let foreign = dropped(&|asked| asked.packet = zeroize::Zeroizing::new(foreign.clone()));
    assert_eq!(foreign, Some(DropReason::BadMessageAuthenticator));
    let garbage = dropped(&|asked| asked.packet = zeroize::Zeroizing::new(vec![1, 2, 3]));
    assert_eq!(garbage, Some(DropReason::TooShort));
}

#[test]
fn an_owners_answer_is_debug_printed_without_what_it_says() {
    let (.., taken) = hand(&step("nas", true, 0), NOW, NOW);
    let shown = format!("{:?}", arrival(taken).0.reply_to);
    assert_eq!(shown, "ReplyTo 0 through mfa-b");
}
