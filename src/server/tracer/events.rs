//! What there is to tell, and what of it is told: an event each.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{REQUESTS_MAX, Tracer, Whose};
use crate::base::name::{Label, UserName};
use crate::base::time::Tick;
use crate::engine::delivery::{Arrival as Arrived, Sent};
use crate::engine::question::{PeerAnswer, PrimaryAnswer, UserAnswer};
use crate::engine::record::{CommitAnswer, LoginId, Row};
use crate::primary::watch::{Seen, Watch, Watcher};
use crate::server::affinity::RoundId;
use crate::server::node::{Arrival, Ask, Node, Origin, Output};
use crate::wire::{Code, DropReason, Integrity};

impl Tracer {
    /// A datagram that goes no further.
    pub(in crate::server) fn dropped(&self, reason: DropReason, source: SocketAddr, client: Option<&Label>) {
        let whose = Whose { client: client.cloned(), user: None };
        self.tell(&whose, "dropped", || {
            json!({ "source": source.to_string(), "reason": reason.code(), "sentence": reason.to_string() })
        });
    }

    /// A request that becomes a login or goes on with one.
    pub(in crate::server) fn request(&self, arrival: &Arrival) {
        let whose = Whose { client: Some(arrival.client.clone()), user: arrival.user.clone() };
        let mut readers = self.readers();
        if readers.requests.len() >= REQUESTS_MAX {
            readers.requests.clear();
        }
        readers.requests.insert(arrival.origin.key, whose.clone());
        drop(readers);
        self.tell(&whose, "request", || {
            json!({
                "code": Code::ACCESS_REQUEST.to_string(),
                "source": arrival.origin.key.source.to_string(),
                "local": arrival.origin.key.local.to_string(),
                "identifier": arrival.origin.key.identifier,
                "signed": arrival.packet.integrity() == Integrity::Signed,
                "rule": arrival.policy.by.admission.as_ref().map(Label::as_str),
                "attributes": self.attributes(arrival.packet.attributes().as_bytes()),
            })
        });
    }

    /// A request that was answered before gets the same reply again.
    pub(in crate::server) fn repeated(&self, client: &Label, user: Option<&[u8]>, origin: &Origin) {
        let user = user.and_then(|name| UserName::canonical(name).ok());
        self.tell(
            &Whose { client: Some(client.clone()), user },
            "repeated",
            || json!({ "source": origin.key.source.to_string(), "identifier": origin.key.identifier }),
        );
    }

    /// What a step of a login brought about.
    pub(in crate::server) fn output(&self, node: &Node, output: &Output, now: Tick) {
        match output {
            Output::Reply { to, datagram, not_before } => {
                self.reply(to, datagram, not_before.since(now).as_millis());
            }
            Output::Ended { row, sequence } => self.ended(row, *sequence),
            Output::Deliver { round, delivery } => self.of(
                node,
                *round,
                "sends",
                || json!({ "kind": delivery.kind.word(), "attempt": delivery.attempt }),
            ),
            // Said where the log hears of it; not a thing of one login.
            Output::Held { .. }
            | Output::Oversized { .. }
            | Output::TurnedAway { .. }
            | Output::Released { .. }
            | Output::Tell { .. } => {}
        }
    }

    /// A reply, that leaves after so many milliseconds.
    fn reply(&self, origin: &Origin, datagram: &[u8], wait: u128) {
        let Some(whose) = self.readers().requests.remove(&origin.key) else { return };
        self.tell(&whose, "reply", || {
            let code = datagram.first().map(|code| Code(*code).to_string());
            json!({
                "code": code,
                "target": origin.key.source.to_string(),
                "identifier": origin.key.identifier,
                "wait_ms": u64::try_from(wait).unwrap_or(u64::MAX),
                "attributes": self.attributes(datagram.get(20..).unwrap_or_default()),
            })
        });
    }

    /// A question leaves.
    pub(in crate::server) fn asks(&self, node: &Node, ask: &Ask) {
        match ask {
            Ask::Primary(check, _) => {
                self.of(
                    node,
                    ask.round(),
                    "primary-asked",
                    || json!({ "primary": check.primary.as_str(), "dialog": check.state.is_some() }),
                );
            }
            Ask::User(..) => {}
            Ask::Park(..) => self.of(node, ask.round(), "parked", || json!({})),
            Ask::Unpark(..) => self.of(node, ask.round(), "taken-up", || json!({})),
            Ask::Claim(..) => self.of(node, ask.round(), "claimed", || json!({})),
            Ask::Relay(request, _) => {
                self.of(node, ask.round(), "peer-asked", || json!({ "peer": request.owner.as_str() }));
            }
            Ask::Commit(record, _) => self.of(node, ask.round(), "judged", || decision(&record.row)),
        }
    }

    /// What the primary said.
    fn primary(&self, node: &Node, round: RoundId, answer: &PrimaryAnswer) {
        self.of(node, round, "primary-answered", || {
            let (word, attributes) = match answer {
                PrimaryAnswer::Accepted { attributes } => ("accepted", Some(attributes)),
                PrimaryAnswer::Rejected { attributes } => ("rejected", Some(attributes)),
                PrimaryAnswer::Challenged { attributes, .. } => ("challenged", Some(attributes)),
                PrimaryAnswer::Withheld => ("withheld", None),
                PrimaryAnswer::Unavailable => ("unavailable", None),
            };
            json!({ "answer": word, "attributes": attributes.map(|list| self.list(list)).unwrap_or_default() })
        });
    }

    /// Something that sees what goes to password servers for the login of this round.
    pub(in crate::server) fn eye(self: &Arc<Self>, node: &Node, round: RoundId) -> Watcher {
        let facts = node.facts(round)?;
        Some(Arc::new(Eye { tracer: Arc::clone(self), whose: Whose::from(&*facts), login: facts.id }))
    }

    /// What the store knows of the user.
    fn user(&self, node: &Node, round: RoundId, answer: &UserAnswer) {
        self.of(node, round, "user-read", || match answer {
            UserAnswer::Found(account) => json!({
                "found": true,
                "disabled": account.disabled,
                "tokens": account.tokens.len(),
                "usable": account.usable(self.clock.unix()).count(),
                "wrong-codes": account.failures,
            }),
            UserAnswer::Unknown { resembles } => json!({ "found": false, "resembles-another": resembles }),
            UserAnswer::Unavailable => json!({ "found": null }),
        });
    }

    /// What the store did with a record.
    fn kept(&self, node: &Node, round: RoundId, answer: &CommitAnswer) {
        self.of(node, round, "record", || match answer {
            CommitAnswer::Done(recorded) => json!({ "answer": "kept", "row": recorded.sequence() }),
            CommitAnswer::Refused(conflict) => {
                json!({ "answer": "refused", "why": format!("{conflict:?}") })
            }
            CommitAnswer::Counted => json!({ "answer": "counted" }),
            CommitAnswer::Unavailable => json!({ "answer": "unavailable" }),
        });
    }

    /// A login ended.
    fn ended(&self, row: &Row, sequence: Option<u64>) {
        let whose = Whose { client: Some(row.client.clone()), user: row.user.clone() };
        self.tell(&whose, "decided", || {
            let mut decided = decision(row);
            if let Value::Object(fields) = &mut decided {
                fields.insert("row".into(), json!(sequence));
            }
            decided
        });
    }

    /// How a delivery ended.
    pub(in crate::server) fn delivered(&self, node: &Node, round: RoundId, sent: &Sent) {
        self.of(node, round, "delivered", || match sent {
            Sent::Accepted { provider, reference } => {
                json!({ "channel": provider.as_str(), "reference": reference.as_deref() })
            }
            Sent::Failed => json!({ "channel": null }),
        });
    }

    /// What a provider says later of a message.
    pub(in crate::server) fn arrived(&self, arrival: &Arrived) {
        let whose = Whose { client: Some(arrival.client.clone()), user: Some(arrival.user.clone()) };
        self.tell(&whose, "receipt", || {
            json!({
                "login": arrival.login.to_string(),
                "channel": arrival.provider.as_str(),
                "reference": &*arrival.reference,
                "state": &*arrival.state,
                "arrived": arrival.arrived,
            })
        });
    }

    /// A new login was refused because there are too many.
    pub(in crate::server) fn turned_away(&self, client: &Label) {
        let whose = Whose { client: Some(client.clone()), user: None };
        self.tell(&whose, "turned-away", || json!({}));
    }
}

/// Sees what goes to password servers for one login.
struct Eye {
    tracer: Arc<Tracer>,
    whose: Whose,
    login: LoginId,
}

impl Watch for Eye {
    fn seen(&self, seen: &Seen<'_>) {
        let packet = |packet: &[u8]| {
            json!({
                "login": self.login.to_string(),
                "code": packet.first().map(|code| Code(*code).to_string()),
                "identifier": packet.get(1),
                "attributes": self.tracer.attributes(packet.get(20..).unwrap_or_default()),
            })
        };
        let with = |mut object: Value, more: Value| {
            if let (Value::Object(fields), Value::Object(more)) = (&mut object, more) {
                fields.extend(more);
            }
            object
        };
        match seen {
            Seen::Sent { server, packet: octets, tries } => self.tracer.tell(&self.whose, "upstream-sent", || {
                with(packet(octets), json!({ "server": server.to_string(), "tries": tries }))
            }),
            Seen::Received { server, packet: octets, took } => {
                self.tracer.tell(&self.whose, "upstream-answered", || {
                    let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                    with(packet(octets), json!({ "server": server.to_string(), "took_ms": took }))
                });
            }
            Seen::Ignored { server, why } => self.tracer.tell(&self.whose, "upstream-ignored", || {
                json!({ "login": self.login.to_string(), "server": server.to_string(), "why": why.to_string() })
            }),
        }
    }
}

/// What of a record is no more than its line in the log says.
fn decision(row: &Row) -> Value {
    json!({
        "login": row.login.to_string(),
        "verdict": row.verdict.code(),
        "reason": row.reason.code(),
        "sentence": row.reason.sentence(),
        "method": row.method.code(),
        "device": row.device.as_deref(),
        "took_ms": u64::try_from(row.without_user().as_millis()).unwrap_or(u64::MAX),
    })
}

/// An answer that a login got.
pub(in crate::server) trait Traced {
    /// Tells whoever watches.
    fn trace(&self, tracer: &Tracer, node: &Node, round: RoundId);
}

impl Traced for PrimaryAnswer {
    fn trace(&self, tracer: &Tracer, node: &Node, round: RoundId) {
        tracer.primary(node, round, self);
    }
}

impl Traced for UserAnswer {
    fn trace(&self, tracer: &Tracer, node: &Node, round: RoundId) {
        tracer.user(node, round, self);
    }
}

impl Traced for CommitAnswer {
    fn trace(&self, tracer: &Tracer, node: &Node, round: RoundId) {
        tracer.kept(node, round, self);
    }
}

impl Traced for PeerAnswer {
    /// What another server answered is what leaves now.
    fn trace(&self, _: &Tracer, _: &Node, _: RoundId) {}
}
