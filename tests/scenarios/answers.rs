//! Answers the node's questions as a knock scripts them, at once or when the test says so.

use radmfa::engine::question::{PeerAnswer, PrimaryAnswer, UserAnswer};
use radmfa::engine::record::CommitAnswer;
use radmfa::server::node::{Ask, Output};
use radmfa::store::Logins;

use super::{Held, Holding, Primary, World, lend, now};

impl World {
    /// Answers questions until there is none, or until one is held.
    pub(super) fn go_on(&mut self, request: Option<usize>, mut ask: Option<Ask>, mut out: Vec<Output>) {
        loop {
            self.take(&mut out);
            let Some(present) = ask else { return };
            let holds = match &present {
                Ask::Primary(..) => self.holding.primary,
                Ask::User(..) => self.holding.user,
                Ask::Commit(..) => self.holding.commit,
                Ask::Relay(..) | Ask::Park(..) | Ask::Unpark(..) | Ask::Claim(..) => false,
            };
            if holds {
                self.held.push_back(Held { ask: present, request });
                return;
            }
            ask = self.answer(Held { ask: present, request }, &mut out);
        }
    }

    /// Answers the held question at `place`, and goes on.
    pub fn release(&mut self, place: usize) {
        let Some(held) = self.held.remove(place) else { return };
        let request = held.request;
        let mut out = Vec::new();
        let ask = self.answer(held, &mut out);
        self.go_on(request, ask, out);
    }

    /// Answers every held question, and those that follow from them.
    pub fn release_all(&mut self) {
        self.holding = Holding::default();
        while !self.held.is_empty() {
            self.release(0);
        }
    }

    fn answer(&mut self, held: Held, out: &mut Vec<Output>) -> Option<Ask> {
        let Held { ask, request } = held;
        match ask {
            Ask::Primary(check, ticket) => {
                let asked = (
                    check.user.to_string(),
                    check.password.expose().to_vec(),
                    check.state.as_deref().map(<[u8]>::to_vec),
                );
                let scripted = request.and_then(|request| self.sent[request].knock.primary.clone());
                let answer = match scripted {
                    Some(Primary::Accept(attributes)) => {
                        let family = self.family(request.unwrap());
                        self.passed.insert(family);
                        PrimaryAnswer::Accepted { attributes }
                    }
                    Some(Primary::Reject(attributes)) => PrimaryAnswer::Rejected { attributes },
                    Some(Primary::Challenge(state, attributes)) => {
                        PrimaryAnswer::Challenged { state: state.into(), attributes }
                    }
                    Some(Primary::Unavailable) => PrimaryAnswer::Unavailable,
                    Some(Primary::Withheld) => PrimaryAnswer::Withheld,
                    None => {
                        self.faults.push(format!("the primary was asked about {}, unexpectedly", asked.0));
                        PrimaryAnswer::Unavailable
                    }
                };
                self.primary_asked.push(asked);
                let (node, mut env) = lend(&self.node, &self.time, &mut self.entropy);
                node.answer(ticket, answer, &mut env, out)
            }
            Ask::User(query, ticket) => {
                let answer =
                    if self.reads_fail { UserAnswer::Unavailable } else { now(self.store.find(&query)) };
                let (node, mut env) = lend(&self.node, &self.time, &mut self.entropy);
                node.answer(ticket, answer, &mut env, out)
            }
            Ask::Relay(request, ticket) => {
                self.owners_asked.push(request);
                let answer = self.owners.pop_front().unwrap_or(PeerAnswer::Unavailable);
                let (node, mut env) = lend(&self.node, &self.time, &mut self.entropy);
                node.answer(ticket, answer, &mut env, out)
            }
            Ask::Park(..) | Ask::Unpark(..) | Ask::Claim(..) => {
                panic!("this server shares its logins with nobody")
            }
            Ask::Commit(record, ticket) => {
                let answer = if self.commits_fail {
                    CommitAnswer::Unavailable
                } else {
                    now(self.store.commit(record))
                };
                let (node, mut env) = lend(&self.node, &self.time, &mut self.entropy);
                node.answer(ticket, answer, &mut env, out)
            }
        }
    }
}
