//! An owner that is slow: the peer that passed an answer on has told its gateway by then that there was none.

use super::*;
use crate::engine::account::{Account, Token, TokenId, UserId};
use crate::engine::question::{PrimaryAnswer, UserAnswer};
use crate::engine::reason::Reason;
use crate::engine::record::Verdict;
use crate::factor::oath::{self, Parameters};
use crate::server::affinity::Mint;
use crate::server::node::{Ask, Node, Output};
use crate::server::pipeline::enter;

const SEED: &[u8] = b"12345678901234567890";

fn alice() -> Account {
    let token = Token {
        id: TokenId(1),
        serial: "T1".into(),
        enabled: true,
        parameters: Parameters::default(),
        last_step: None,
        drift: None,
        expires: None,
        starts: None,
        seed: Some(Secret::new(SEED)),
    };
    Account {
        id: UserId(1),
        name: crate::base::name::UserName::canonical(b"alice").unwrap(),
        disabled: false,
        password_hash: None,
        contact: None,
        failures: 0,
        last_failure: UnixTime(0),
        tokens: vec![token],
        groups: None,
        special: None,
        keys: None,
        resembles_another: false,
        clock_suspect: false,
    }
}

fn later(span: Duration, entropy: &mut dyn Entropy) -> Env<'_> {
    Env { mono: MONO + span, unix: NOW + span, entropy }
}

/// A's login of alice's that waits for her code, and its State.
fn challenged(node: &Node) -> Vec<u8> {
    let (mut entropy, mut out) = (entropy(), Vec::new());
    let (clients, secret) = (clients(), Arc::new(SharedSecret::new(Secret::from("testing123"))));
    let mut attributes = AttributeList::new();
    attributes.push_text(number::USER_NAME, "alice").unwrap();
    let id = AttributeId::Standard(number::USER_PASSWORD);
    attributes.push_held(id, HideKind::UserPassword, &Secret::from("pin")).unwrap();
    attributes.push_text(number::CALLING_STATION_ID, "10.9.8.7").unwrap();
    let builder = RequestBuilder {
        code: Code::ACCESS_REQUEST,
        attributes: &attributes,
        proxy_state: None,
        secret: &secret,
    };
    let bytes = builder.build(3, [4; 16], &mut entropy).unwrap().bytes;
    let packet = Parsed::parse(&bytes).unwrap().verify(&secret).unwrap();
    let source: SocketAddr = GATEWAY.parse().unwrap();
    let origin = Origin {
        key: PacketKey { source, local: source, identifier: 3 },
        authenticator: [4; 16],
        gateway: source,
    };
    let reply_to = ReplyTo::new(&packet, Arc::clone(&secret), true);
    let view = AccessRequest::view(&packet).unwrap();
    let gateway = clients.named(&name("nas")).unwrap();
    let arrival = crate::server::pipeline::arrival(gateway, &view, &packet, &secret, origin, reply_to, MONO);
    let ask = node.begin(arrival, &mut at(NOW, &mut entropy), &mut out);
    let Some(Ask::Primary(_, ticket)) = ask else { panic!("{ask:?}") };
    let right = PrimaryAnswer::Accepted { attributes: AttributeList::new() };
    let ask = node.answer(ticket, right, &mut at(NOW, &mut entropy), &mut out);
    let Some(Ask::User(_, ticket)) = ask else { panic!("{ask:?}") };
    let found = UserAnswer::Found(alice());
    assert!(node.answer(ticket, found, &mut at(NOW, &mut entropy), &mut out).is_none());
    let [Output::Reply { datagram, .. }] = &out[..] else { panic!("{out:?}") };
    let reply = UpstreamReply::authenticate(datagram, 3, &[4; 16], &secret, MaRule::Required).unwrap();
    assert_eq!(reply.code(), Code::ACCESS_CHALLENGE);
    reply.attributes().first(number::STATE).unwrap().to_vec()
}

/// What A is about to record when B passed alice's right code on, A read it after `read` and its store answered after
/// `found`; or why it took nothing.
fn recorded(read: Duration, found: Duration) -> Result<(Verdict, Reason, bool), DropReason> {
    let node = Node::new(Mint::new(&name("mfa-a"), &Secret::new([7; 32])), 10);
    let state = challenged(&node);
    let parameters = Parameters::default();
    let code = oath::code(SEED, &parameters, parameters.step_at(NOW.secs())).to_string();
    let (a, b) = (server("mfa-a", "mfa-b", "between"), server("mfa-b", "mfa-a", "between"));
    let (mut entropy, mut out) = (entropy(), Vec::new());
    // How far the clocks lie apart is known from a request before.
    a.list[0].lag.of(NOW, MONO);
    let request = step_of("nas", true, 0, &state, &code);
    let (carrier, _) = Pending::new(&b.list[0], &request, &mut at(NOW, &mut entropy)).unwrap();
    let heard = hear(&a, &carry(&carrier, &b.list[0].secret)).unwrap();
    let (arrival, state) = arrival(Ok(own_at(heard, &Replays::default(), &mut later(read, &mut entropy))?));
    assert!(arrival.answer_by() <= MONO + RELAY_PATIENCE);
    let mut env = later(read, &mut entropy);
    let ask = enter(&node, &Peers::default(), arrival, Some(&state), &mut env, &mut out);
    let Some(Ask::User(_, ticket)) = ask else { panic!("{ask:?}") };
    let ask = node.answer(ticket, UserAnswer::Found(alice()), &mut later(found, &mut entropy), &mut out);
    let Some(Ask::Commit(record, _)) = ask else { panic!("{ask:?}") };
    Ok((record.row.verdict, record.row.reason, record.row.spent.is_some()))
}

#[test]
fn an_owner_accepts_while_its_peer_waits_and_spends_no_code_afterwards() {
    let seconds = Duration::from_secs_f64;
    let accepted = Ok((Verdict::Accepted, Reason::CodeAccepted, true));
    let refused = Ok((Verdict::Rejected, Reason::RelayedTooLate, false));
    assert_eq!(recorded(seconds(0.0), seconds(0.1)), accepted);
    assert_eq!(recorded(seconds(0.0), seconds(2.4)), accepted);
    assert_eq!(recorded(seconds(0.0), seconds(2.6)), refused, "its store was slow");
    assert_eq!(recorded(seconds(2.0), seconds(2.4)), accepted);
    assert_eq!(
        recorded(seconds(2.0), seconds(2.6)),
        refused,
        "it read the request late, and its store was slow"
    );
    assert_eq!(recorded(seconds(2.6), seconds(2.6)), Err(DropReason::RelayLate), "it stood still");
}
