//! A login that is walked through the server's own code, and never happens.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Question;
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::system::{Clock, Entropy, random};
use crate::base::text::escape;
use crate::cli::failure::Failure;
use crate::config::Effective;
use crate::engine::policy::Policy;
use crate::engine::question::{PrimaryAnswer, UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::{Method, Verdict};
use crate::engine::rule::{Miss, Subject};
use crate::engine::step::Env;
use crate::server::affinity::Mint;
use crate::server::clients::Clients;
use crate::server::duplicates::PacketKey;
use crate::server::node::{Ask, Node, Origin, Output};
use crate::server::pipeline::arrival;
use crate::server::settings::Client;
use crate::server::system::SystemClock;
use crate::wire::{
    AccessRequest, AttributeId, AttributeList, Attributes, Code, HideKind, Parsed, ReplyTo, RequestBuilder,
    SharedSecret, number,
};

/// How far the walk came.
pub(super) struct Walked {
    /// What holds after the password.
    pub(super) policy: Arc<Policy>,
    /// What keeps each rule of this client from matching, groups aside.
    pub(super) misses: Vec<(Label, Option<Miss>)>,
    pub(super) outcome: Outcome,
}

/// What would come after the right password.
pub(super) enum Outcome {
    /// A question, in the words that the user would see.
    Asked { text: String },
    /// A code that is sent, and asked for.
    Sent(Method),
    /// A question that is answered on the phone.
    OnPhone(Method),
    /// An Accept.
    Accepted(Reason),
    /// A Reject.
    Refused(Reason),
}

/// Walks `question` at `client`. `read` reads users; nothing is written.
pub(super) fn walk(
    question: &Question,
    client: &Client,
    effective: &Effective,
    read: &mut dyn FnMut(&UserQuery) -> UserAnswer,
    entropy: &mut dyn Entropy,
) -> anyhow::Result<Walked> {
    let cannot =
        |what: &dyn std::fmt::Display| Failure::failed(format!("no request can be made of this: {what}"));
    let secret = SharedSecret::new(client.secret.clone());
    let datagram = request(question, &secret, entropy).map_err(|fault| cannot(&fault))?;
    let parsed = Parsed::parse(&datagram).map_err(|fault| cannot(&fault))?;
    let packet = parsed.verify(&secret).map_err(|fault| cannot(&fault))?;
    let view = AccessRequest::view(&packet).map_err(|fault| cannot(&fault))?;
    let table = Clients::new(std::slice::from_ref(client));
    let address = client.networks.first().map(ipnet::IpNet::addr);
    let Some((address, gateway)) = address.and_then(|address| Some((address, table.find(address)?))) else {
        return Err(Failure::failed(format!("client {} has no address", client.name)).into());
    };
    let (source, local) = (SocketAddr::new(address, 0), SocketAddr::new(address, 0));
    let key = PacketKey { source, local, identifier: 0 };
    let origin = Origin { key, authenticator: *packet.authenticator(), gateway: source };
    let (mono, unix) = (SystemClock.mono(), SystemClock.unix());
    let reply_to = ReplyTo::new(&packet, Arc::new(SharedSecret::new(client.secret.clone())), true);
    let arrival = arrival(gateway, &view, &packet, &secret, origin, reply_to, mono);
    let before = (Arc::clone(&arrival.policy), arrival.ruling.clone());

    let held = accept(question, effective, &before.0).map_err(|fault| cannot(&fault))?;
    let node = Node::new(Mint::new(&effective.server.server_name, &Secret::new(random::<32>(entropy))), 1);
    let mut env = Env { mono, unix, entropy };
    let mut out = Vec::new();
    let mut groups = Vec::new();
    let mut ask = node.begin(arrival, &mut env, &mut out);
    let outcome = loop {
        ask = match ask {
            Some(Ask::Primary(_, ticket)) => {
                let answer = PrimaryAnswer::Accepted { attributes: held.clone() };
                node.answer(ticket, answer, &mut env, &mut out)
            }
            Some(Ask::User(query, ticket)) => {
                let answer = read(&query);
                if let UserAnswer::Found(account) = &answer {
                    groups = account.groups.iter().flat_map(|all| all.iter()).cloned().collect();
                }
                node.answer(ticket, answer, &mut env, &mut out)
            }
            Some(Ask::Commit(record, _)) => {
                break match record.row.verdict {
                    Verdict::Accepted => Outcome::Accepted(record.row.reason),
                    Verdict::Rejected | Verdict::Retried => Outcome::Refused(record.row.reason),
                    Verdict::Noted if record.row.reason == Reason::PhoneAsked => {
                        Outcome::OnPhone(record.row.method)
                    }
                    // What is recorded before a code leaves.
                    Verdict::Noted => Outcome::Sent(record.row.method),
                };
            }
            Some(Ask::Park(..) | Ask::Unpark(..) | Ask::Claim(..)) => {
                return Err(cannot(&"a login that is explained is shared with nobody").into());
            }
            Some(Ask::Relay(..)) => return Err(cannot(&"a first request belongs to no other server").into()),
            None => {
                let text = out.iter().find_map(question_in).ok_or_else(|| cannot(&"nothing is asked"))?;
                break Outcome::Asked { text };
            }
        };
    };
    let policy = match &before.1 {
        Some(ruling) => ruling.settle(&groups, &held),
        None => before.0,
    };
    let subject = Subject {
        user: Some(&question.user),
        station: view.calling_station_id(),
        attributes: packet.attributes(),
        integrity: packet.integrity(),
    };
    let misses = effective.rules.iter().map(|rule| (rule.name.clone(), rule.miss(&subject))).collect();
    Ok(Walked { policy, misses, outcome })
}

/// An Access-Request such as the gateway would send; the password in it goes nowhere.
fn request(
    question: &Question,
    secret: &SharedSecret,
    entropy: &mut dyn Entropy,
) -> Result<Box<[u8]>, Box<dyn std::error::Error>> {
    let mut attributes = AttributeList::new();
    attributes.push_text(number::USER_NAME, question.user.as_str())?;
    let password = AttributeId::Standard(number::USER_PASSWORD);
    attributes.push_held(password, HideKind::UserPassword, &Secret::from("explained"))?;
    if let Some(station) = &question.station {
        attributes.push_text(number::CALLING_STATION_ID, station)?;
    }
    for wanted in &question.attributes {
        match wanted.id {
            AttributeId::Standard(number) => attributes.push(number, &wanted.value)?,
            AttributeId::Vendor(vendor, number) => attributes.push_vendor(vendor, number, &wanted.value)?,
        }
    }
    let builder =
        RequestBuilder { code: Code::ACCESS_REQUEST, attributes: &attributes, proxy_state: None, secret };
    let authenticator = random(entropy);
    let signed = builder.build(0, authenticator, entropy)?.bytes;
    Ok(if question.signed { signed } else { unsigned(&signed) })
}

/// The request without the Message-Authenticator that it begins with.
fn unsigned(signed: &[u8]) -> Box<[u8]> {
    const HEADER: usize = 20;
    const SIGNATURE: usize = 18;
    let (header, attributes) = signed.split_at_checked(HEADER).unwrap_or((signed, &[]));
    let rest = attributes.get(SIGNATURE..).unwrap_or_default();
    let length = u16::try_from(HEADER + rest.len()).unwrap_or(u16::MAX).to_be_bytes();
    let (head, authenticator) = header.split_at_checked(4).unwrap_or_default();
    [head.get(..2).unwrap_or_default(), &length, authenticator, rest].concat().into()
}

/// The primary's Accept, with the groups that were said on the command line.
fn accept(
    question: &Question,
    effective: &Effective,
    policy: &Policy,
) -> Result<AttributeList, Box<dyn std::error::Error>> {
    let mut held = AttributeList::new();
    if question.groups.is_empty() {
        return Ok(held);
    }
    let primary = &policy.admission.primary;
    let Some(id) = effective.group_attributes.get(primary) else {
        return Err(format!("primary {primary} names no groups: it has no group-attribute").into());
    };
    for group in &question.groups {
        match id {
            AttributeId::Standard(number) => held.push_text(*number, group.as_str())?,
            AttributeId::Vendor(vendor, number) => {
                held.push_vendor(*vendor, *number, group.as_str().as_bytes())?;
            }
        }
    }
    Ok(held)
}

/// The line that a challenge shows.
fn question_in(output: &Output) -> Option<String> {
    let Output::Reply { datagram, .. } = output else { return None };
    let attributes = Attributes::parse(datagram.get(20..)?)?;
    (datagram.first() == Some(&Code::ACCESS_CHALLENGE.0))
        .then(|| attributes.first(number::REPLY_MESSAGE).map(escape).unwrap_or_default())
}
