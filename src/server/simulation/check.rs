//! What must never be, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::people::Typed;
use super::world::World;
use crate::engine::record::{LoginId, Method, Row, Verdict};
use crate::server::node::Origin;
use crate::server::settings::Affinity;
use crate::wire::DropReason;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: &'static str,
    pub(super) what: String,
}

/// What a gateway heard: that this attempt is let in.
pub(super) struct Claim {
    pub(super) attempt: usize,
    pub(super) person: usize,
    pub(super) right: bool,
    pub(super) typed: Typed,
    pub(super) login: Option<LoginId>,
    /// Whose store has the login.
    pub(super) store: Option<usize>,
    pub(super) crossed: Option<usize>,
}

/// A request as one life of a server gets it: which life, from where, identifier, authenticator.
type Request = ((usize, u32), SocketAddr, u8, [u8; 16]);

/// Everything that is remembered to be compared.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) faults: Vec<Fault>,
    /// Logins by the attempt that began them.
    began: BTreeMap<LoginId, usize>,
    /// Logins whose password the primary found right.
    passed: BTreeSet<LoginId>,
    /// Who was let in with a code: by store, person and step, or by the login that a message was for.
    used: BTreeMap<(usize, usize, String), BTreeSet<LoginId>>,
    /// Messages by login, each with the server that sent it.
    sent: Vec<(LoginId, (usize, u32))>,
    /// Replies by server and request: no two differ.
    replies: BTreeMap<Request, Arc<[u8]>>,
    /// How often what happened, so that nobody takes an idle world for a safe one.
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl Ledger {
    pub(super) fn fault(&mut self, kind: &'static str, what: String) {
        self.faults.push(Fault { kind, what });
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn dropped(&mut self, reason: DropReason) {
        self.count(match reason {
            DropReason::DuplicatePending => "dropped as pending",
            DropReason::RelayReplayed => "dropped as replayed",
            _ => "dropped",
        });
    }

    pub(super) fn began(&mut self, login: LoginId, attempt: usize) {
        self.began.insert(login, attempt);
    }

    pub(super) fn passed(&mut self, login: LoginId) {
        self.passed.insert(login);
    }

    pub(super) fn sent(&mut self, login: LoginId, by: (usize, u32)) {
        self.count("messages");
        self.sent.push((login, by));
    }

    pub(super) fn left(&mut self, by: (usize, u32), to: &Origin, datagram: &Arc<[u8]>) {
        let request = (by, to.key.source, to.key.identifier, to.authenticator);
        let first = self.replies.entry(request).or_insert_with(|| Arc::clone(datagram));
        if *first != *datagram {
            self.fault("reply", format!("{by:?} answers one request of {} in two ways", to.key.source));
        }
    }

    /// An Accept reached a gateway.
    pub(super) fn accepted(&mut self, claim: &Claim, trail: &[(u64, Arc<Row>)]) {
        let Claim { attempt, person, right, typed, login, store, crossed } = claim;
        self.count("accepts heard");
        if *right && crossed.is_some() {
            self.count("accepts with the right password");
        }
        let Some(login) = *login else {
            return self.fault("factor", format!("attempt {attempt} is let in without a challenge"));
        };
        if !right || !self.passed.contains(&login) {
            self.fault("password", format!("attempt {attempt} is let in without the right password"));
        }
        let row = trail.iter().find(|(_, row)| row.login == login && row.verdict == Verdict::Accepted);
        let Some((_, row)) = row else {
            return self.fault("row", format!("attempt {attempt} is let in, and no row says so"));
        };
        let code = match typed {
            Typed::App(step) if row.method == Method::Totp => {
                if row.spent.map(|(_, spent)| spent) != Some(*step) {
                    self.fault("factor", format!("attempt {attempt}: another step was spent than was typed"));
                }
                format!("app {step}")
            }
            Typed::Message(of, code) if row.method == Method::Sms => {
                if *of != login {
                    self.fault("factor", format!("attempt {attempt} is let in with another login's message"));
                }
                format!("message {of} {code}")
            }
            typed => {
                return self.fault("factor", format!("attempt {attempt} is let in with {typed:?}"));
            }
        };
        let users = self.used.entry((store.unwrap_or_default(), *person, code.clone())).or_default();
        users.insert(login);
        if users.len() > 1 {
            self.fault("twice", format!("{code} of user{person} lets a second login in"));
        }
    }
}

impl World {
    /// What must hold once nothing can be left to happen.
    pub(super) fn settle(&mut self) {
        let stores = if self.plan.one_store { 1 } else { self.servers.len() };
        for place in 0..stores {
            let trail = self.servers[place].memory.trail();
            let mut steps = BTreeSet::new();
            let mut logins = BTreeSet::new();
            for (_, row) in trail.iter().filter(|(_, row)| row.verdict == Verdict::Accepted) {
                if row.spent.is_some_and(|spent| !steps.insert(spent)) {
                    self.ledger.fault("twice", format!("two rows of store {place} spend {:?}", row.spent));
                }
                if !logins.insert(row.login) {
                    self.ledger.fault("twice", format!("two rows of store {place} accept {}", row.login));
                }
                if !self.ledger.passed.contains(&row.login) {
                    self.ledger.fault("password", format!("{} is accepted without its password", row.login));
                }
                if row.method != Method::Totp && row.method != Method::Sms {
                    self.ledger.fault("factor", format!("{} is accepted by {:?}", row.login, row.method));
                }
            }
        }
        for server in &self.servers {
            if server.node.logins() > 0 {
                let what = format!("{} logins of {} never end", server.node.logins(), server.name);
                self.ledger.faults.push(Fault { kind: "end", what });
            }
        }
        if self.servers[0].memory.parked() > 0 {
            self.ledger.fault("end", "a login waits in the store for ever".to_owned());
        }
        self.settle_messages();
    }

    /// One login of a user brings one message, and each word for another one more.
    fn settle_messages(&mut self) {
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        for (login, by) in &self.ledger.sent {
            if let Some(attempt) = self.ledger.began.get(login) {
                // Servers that share a store tell each other; others cannot know.
                let scope = if self.plan.affinity == Affinity::Shared { (0, 0) } else { *by };
                *counts.entry((*attempt, scope)).or_default() += 1;
            }
        }
        for ((attempt, scope), count) in counts {
            let allowed = usize::from(self.plan.sends_first()) + self.attempts[attempt].words();
            if count > allowed {
                let what = format!("attempt {attempt} brought {count} messages by {scope:?}, not {allowed}");
                self.ledger.fault("message", what);
            }
        }
    }
}
