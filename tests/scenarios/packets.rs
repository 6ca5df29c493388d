//! Packets as gateways make and read them: requests are built, every reply is decoded and held to what each must be.

use std::sync::Arc;

use radmfa::base::secret::Secret;
use radmfa::base::system::{Clock, Fixed};
use radmfa::base::time::Tick;
use radmfa::server::duplicates::PacketKey;
use radmfa::server::node::Output;
use radmfa::wire::{
    AttributeId, AttributeList, Code, HideKind, MaRule, RequestBuilder, SharedSecret, UpstreamReply, number,
};

use super::{Knock, Reply, START, Sent, World};

impl World {
    pub(super) fn take(&mut self, out: &mut Vec<Output>) {
        let before = self.replies.len();
        for output in out.drain(..) {
            match output {
                Output::Reply { to, datagram, not_before } => {
                    let leaves = not_before.max(self.time.mono());
                    if let Some(reply) = self.read(to.key, to.authenticator, &datagram) {
                        self.check_moment(&reply, not_before);
                    }
                    self.duplicates.answered(to.key, &to.authenticator, &datagram.into(), leaves);
                }
                Output::Ended { row, sequence } => {
                    let ends =
                        |reply: &&mut Reply| reply.row.is_none() && reply.code != Code::ACCESS_CHALLENGE;
                    for reply in self.replies.range_mut(before..).filter(ends) {
                        reply.row = Some((Arc::clone(&row), sequence));
                    }
                    self.ended.push((row, sequence));
                }
                Output::Deliver { round, delivery } => self.deliveries.push_back((round, *delivery)),
                Output::Held { key } => self.duplicates.set_aside(key),
                Output::Tell { .. } => panic!("nobody knocks at a page here"),
                Output::Released { .. } => panic!("this server shares its logins with nobody"),
                Output::Oversized { .. } => self.oversized += 1,
                Output::TurnedAway { .. } => self.turned_away += 1,
            }
        }
    }

    /// Reads a reply as the gateway does that it goes to.
    pub(super) fn read(&mut self, key: PacketKey, authenticator: [u8; 16], datagram: &[u8]) -> Option<Reply> {
        let asked = |sent: &Sent| sent.source == key.source && sent.authenticator == authenticator;
        let Some(to) = self.sent.iter().rposition(asked) else {
            self.faults.push("a reply to nobody's request".to_owned());
            return None;
        };
        let sent = &self.sent[to];
        let client = &self.clients[sent.knock.client];
        let rule = if client.send_message_authenticator { MaRule::Required } else { MaRule::IfPresent };
        let reply = match UpstreamReply::authenticate(
            datagram,
            sent.identifier,
            &authenticator,
            &sent.secret,
            rule,
        ) {
            Ok(reply) => reply,
            Err(fault) => {
                self.faults.push(format!("request {to}: its reply does not authenticate: {fault}"));
                return None;
            }
        };
        let mut attributes: Vec<_> =
            reply.attributes().map(|attribute| (attribute.number(), attribute.value().to_vec())).collect();
        if client.send_message_authenticator && attributes[0].0 != number::MESSAGE_AUTHENTICATOR {
            self.faults.push(format!("request {to}: Message-Authenticator does not come first"));
        }
        attributes.retain(|(number, _)| *number != number::MESSAGE_AUTHENTICATOR);
        let reply = Reply { to, code: reply.code(), attributes, datagram: datagram.into(), row: None };
        if let Some(fault) = fault_of(&reply, &sent.knock) {
            self.faults.push(format!("request {to}: {fault}"));
        }
        self.replies.push_back(reply.clone());
        Some(reply)
    }

    /// Rejects leave between their floor and an eighth more, everything else at once.
    fn check_moment(&mut self, reply: &Reply, not_before: Tick) {
        let sent = &self.sent[reply.to];
        let floor = self.clients[sent.knock.client].policy.admission.reject_after();
        let uniform = self.clients[sent.knock.client].policy.admission.uniform_prompt;
        let in_time = |came: &Tick| (floor..=floor + floor / 8).contains(&not_before.since(*came));
        let right = match reply.code {
            Code::ACCESS_REJECT => sent.came.iter().any(in_time),
            Code::ACCESS_CHALLENGE if uniform => sent.came.iter().any(in_time),
            _ => not_before <= self.time.mono(),
        };
        if !right {
            let after = sent.came.last().map(|came| not_before.since(*came));
            self.faults.push(format!("request {}: {} leaves after {after:?}", reply.to, reply.code));
        }
    }
}

/// What is wrong with a reply, whatever it answers.
fn fault_of(reply: &Reply, knock: &Knock) -> Option<String> {
    let count = |number| reply.all(number).count();
    let proxy_states: Vec<_> = reply.all(number::PROXY_STATE).collect();
    if proxy_states != knock.proxy_state.as_deref().into_iter().collect::<Vec<_>>() {
        return Some("Proxy-State is not echoed".to_owned());
    }
    if reply.code != Code::ACCESS_CHALLENGE {
        return (count(number::STATE) > 0).then(|| "a State without a challenge".to_owned());
    }
    let [state, message, timeout] =
        [number::STATE, number::REPLY_MESSAGE, number::SESSION_TIMEOUT].map(count);
    let long = reply.all(number::STATE).any(|state| state.len() > 64 || !state.is_ascii());
    let prompt_only_once = state == 1 && message == 1 && timeout == 1 && !long;
    (!prompt_only_once).then(|| {
        format!("a challenge with {state} State, {message} Reply-Message, {timeout} Session-Timeout")
    })
}

pub(super) fn build(
    knock: &Knock,
    identifier: u8,
    authenticator: [u8; 16],
    secret: &SharedSecret,
) -> Box<[u8]> {
    let mut attributes = AttributeList::new();
    if let Some(user) = &knock.user {
        attributes.push(number::USER_NAME, user).unwrap();
    }
    if let Some(entered) = &knock.entered {
        let id = AttributeId::Standard(number::USER_PASSWORD);
        attributes.push_held(id, HideKind::UserPassword, &Secret::new(entered.as_slice())).unwrap();
    }
    for state in &knock.states {
        attributes.push(number::STATE, state).unwrap();
    }
    if let Some(station) = &knock.station {
        attributes.push(number::CALLING_STATION_ID, station).unwrap();
    }
    attributes.append(&knock.extra);
    let proxy_state = knock.proxy_state.as_deref();
    let builder = RequestBuilder { code: Code::ACCESS_REQUEST, attributes: &attributes, proxy_state, secret };
    let mut none = Fixed { mono: Tick(0), unix: START, seed: 3 };
    let signed = builder.build(identifier, authenticator, &mut none).unwrap().bytes;
    if knock.unsigned { without_message_authenticator(&signed) } else { signed }
}

/// A request that the wire module built, without the Message-Authenticator that it begins with.
pub fn without_message_authenticator(signed: &[u8]) -> Box<[u8]> {
    assert_eq!(signed[20], number::MESSAGE_AUTHENTICATOR);
    let length = u16::try_from(signed.len() - 18).unwrap().to_be_bytes();
    [&signed[..2], &length, &signed[4..20], &signed[38..]].concat().into()
}
