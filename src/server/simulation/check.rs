//! What must never be, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::people::Attempt;
use super::person::Typed;
use super::plan::Allowed;
use super::world::World;
use crate::base::time::Tick;
use crate::engine::delivery::Kind;
use crate::engine::methods::Factor;
use crate::engine::reason::Reason;
use crate::engine::record::{LoginId, Method, Row, Verdict};
use crate::server::affinity::RoundId;
use crate::server::node::Origin;
use crate::server::settings::Affinity;
use crate::wire::{Code, DropReason};

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
    /// What may let it in.
    pub(super) allowed: Allowed,
    pub(super) wants_push: bool,
}

/// A request: from where, identifier, authenticator.
pub(super) type Request = (SocketAddr, u8, [u8; 16]);
/// One life of a server.
pub(super) type Life = (usize, u32);

/// What was answered, and when it left.
type Reply = (Arc<[u8]>, Tick);

/// A first request that brings its code.
#[derive(Clone, Copy)]
struct Copied {
    attempt: usize,
    by: Life,
    request: Request,
    came: Tick,
}

/// A message that left.
#[derive(Clone, Copy)]
struct Message {
    login: LoginId,
    by: Life,
    kind: Kind,
}

/// A question that was asked.
#[derive(Clone, Copy)]
struct Asked {
    login: LoginId,
    by: Life,
    kind: Kind,
}

/// Everything that is remembered to be compared.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) faults: Vec<Fault>,
    /// Logins by the attempt that began them.
    began: BTreeMap<LoginId, (usize, Tick)>,
    /// Logins by their later rounds.
    rounds: BTreeMap<[u8; 16], LoginId>,
    /// When logins ended.
    ended: BTreeMap<LoginId, Tick>,
    /// Logins whose password the primary found right.
    passed: BTreeSet<LoginId>,
    /// Who was let in with a code: by store, person and step, or by the login that a message was for.
    used: BTreeMap<(usize, usize, String), BTreeSet<LoginId>>,
    /// Messages, in their order.
    sent: Vec<Message>,
    asked: Vec<Asked>,
    /// Logins that somebody approved who was asked about them, on what they were asked.
    approved: BTreeSet<LoginId>,
    /// Logins that somebody denied before anybody approved them.
    denied: BTreeSet<LoginId>,
    /// The numbers that gateways show.
    pub(super) numbers: BTreeMap<LoginId, u32>,
    copies: Vec<Copied>,
    /// Which login an Accept was decided for.
    decided: BTreeMap<(usize, Request), LoginId>,
    /// Replies by server and request, with when they left: no two differ.
    replies: BTreeMap<(Life, Request), Reply>,
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

    pub(super) fn began(&mut self, login: LoginId, attempt: usize, now: Tick) {
        self.began.insert(login, (attempt, now));
    }

    /// A challenge of this round leaves for this login.
    pub(super) fn goes_on(&mut self, round: RoundId, login: LoginId) {
        self.rounds.insert(round.0, login);
    }

    /// The login that a round is of; of the first one it is named by.
    pub(super) fn login_of(&self, round: RoundId) -> LoginId {
        self.rounds.get(&round.0).copied().unwrap_or_else(|| LoginId::from_round(round.0))
    }

    /// The attempt that a login began with.
    pub(super) fn attempt(&self, login: LoginId) -> Option<usize> {
        self.began.get(&login).map(|(attempt, _)| *attempt)
    }

    pub(super) fn ended(&mut self, login: LoginId, now: Tick) {
        self.ended.insert(login, now);
    }

    /// A login was decided, and these requests hear of it.
    pub(super) fn decide(&mut self, server: usize, request: Request, login: LoginId) {
        self.decided.insert((server, request), login);
    }

    pub(super) fn decided(&self, server: usize, request: Request) -> Option<LoginId> {
        self.decided.get(&(server, request)).copied()
    }

    pub(super) fn approved(&mut self, login: LoginId) {
        self.approved.insert(login);
    }

    pub(super) fn denied(&mut self, login: LoginId) {
        if !self.approved.contains(&login) {
            self.denied.insert(login);
        }
    }

    /// A first request with its code behind the password.
    pub(super) fn copied(&mut self, attempt: usize, by: Life, request: Request, came: Tick) {
        self.copies.push(Copied { attempt, by, request, came });
    }

    /// Whether a request was answered.
    pub(super) fn is_answered(&self, by: Life, request: Request) -> bool {
        self.replies.contains_key(&(by, request))
    }

    pub(super) fn passed(&mut self, login: LoginId) {
        self.passed.insert(login);
    }

    pub(super) fn sent(&mut self, login: LoginId, by: Life, kind: Kind) {
        self.count("messages");
        self.sent.push(Message { login, by, kind });
    }

    /// A question leaves. While a login asks, and as long after it as a copy may be under way, nothing that its gateway
    /// sends again brings its user another.
    pub(super) fn asked(&mut self, login: LoginId, by: Life, kind: Kind, once: bool) {
        self.count("questions");
        let earlier =
            self.asked.iter().filter(|asked| (asked.by, asked.kind) == (by, kind) && asked.login != login);
        let another = earlier.filter(|asked| self.attempt(asked.login) == self.attempt(login)).any(|asked| {
            let (_, began) = self.began[&login];
            self.ended.get(&asked.login).is_none_or(|ended| began <= *ended + CROSSED)
        });
        if another && once {
            self.fault("question", format!("{login} asks by {kind} beside another login of its attempt"));
        }
        self.asked.push(Asked { login, by, kind });
    }

    pub(super) fn left(&mut self, by: Life, to: &Origin, datagram: &Arc<[u8]>, now: Tick) {
        let request = (to.key.source, to.key.identifier, to.authenticator);
        let (first, when) = self.replies.entry((by, request)).or_insert_with(|| (Arc::clone(datagram), now));
        // A datagram that comes again after that is a new one.
        if *first != *datagram && now.since(*when) < REMEMBERED {
            self.fault("reply", format!("{by:?} answers one request of {} in two ways", to.key.source));
        }
    }

    /// An Accept reached a gateway.
    pub(super) fn accepted(&mut self, claim: &Claim, trail: &[(u64, Arc<Row>)]) {
        let Claim { attempt, person, right, typed, login, store, crossed, allowed, wants_push } = claim;
        self.count("accepts heard");
        if *right && crossed.is_some() {
            self.count("accepts with the right password");
        }
        let Some(login) = *login else {
            return self.fault("factor", format!("attempt {attempt} is let in without a login"));
        };
        if !right || !self.passed.contains(&login) {
            self.fault("password", format!("attempt {attempt} is let in without the right password"));
        }
        let row = trail.iter().find(|(_, row)| row.login == login && row.verdict == Verdict::Accepted);
        let Some((_, row)) = row else {
            return self.fault("row", format!("attempt {attempt} is let in, and no row says so"));
        };
        if let Err(what) = is_allowed(row, allowed) {
            return self.fault("factor", format!("attempt {attempt} is let in {what}"));
        }
        if row.method == Method::Waived {
            return self.count("exempt");
        }
        let code = match typed.code() {
            _ if row.reason == Reason::PhoneApproved => {
                if self.attempt(login) != Some(*attempt) && !wants_push {
                    self.fault("verdict", format!("attempt {attempt} is let in by the answer to {login}"));
                }
                self.count("accepts by phone");
                format!("phone {login}")
            }
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
        if matches!(typed, Typed::Password { .. }) && row.reason != Reason::PhoneApproved {
            self.count("accepts at once");
        }
        let users = self.used.entry((store.unwrap_or_default(), *person, code.clone())).or_default();
        users.insert(login);
        if users.len() > 1 {
            self.fault("twice", format!("{code} of user{person} lets a second login in"));
        }
    }

    /// Two packets of one request that brings its code are one login: where one is let in that the other came beside, so is
    /// the other.
    fn settle_copies(&mut self) {
        let answer = |copy: &Copied| self.replies.get(&(copy.by, copy.request));
        let torn = self.copies.iter().find(|one| {
            let Some((_, left)) = answer(one).filter(|(reply, _)| is(reply, Code::ACCESS_ACCEPT)) else {
                return false;
            };
            let beside =
                |other: &&Copied| (other.attempt, other.by) == (one.attempt, one.by) && other.came < *left;
            // One that came only after the other was refused is a login of its own: what kept that one out may be over.
            let refused = |other: &Copied| {
                answer(other).is_some_and(|(reply, gone)| is(reply, Code::ACCESS_REJECT) && one.came < *gone)
            };
            self.copies.iter().filter(beside).any(refused)
        });
        if let Some(Copied { attempt, .. }) = torn {
            let what = format!("attempt {attempt} is let in, and its second try refused");
            self.fault("copy", what);
        }
    }
}

/// For so long after an end a copy may still be under way; a little less than what servers keep in mind.
const CROSSED: Duration = Duration::from_millis(2900);

/// For so long a server remembers what it answered.
pub(super) const REMEMBERED: Duration = Duration::from_secs(10);

fn is(reply: &[u8], code: Code) -> bool {
    reply.first() == Some(&code.0)
}

/// Whether a row lets in whoever may be, by what may be.
fn is_allowed(row: &Row, allowed: &Allowed) -> Result<(), String> {
    let factor = match row.method {
        Method::Totp => Factor::Token,
        Method::Sms => Factor::Sent(Kind::Sms),
        Method::Voice => Factor::Sent(Kind::Voice),
        Method::Push => Factor::Sent(Kind::Push),
        Method::Waived if allowed.exempt && row.reason == Reason::Exempt => return Ok(()),
        method => return Err(format!("by {method:?}")),
    };
    if allowed.methods.contains(&factor) {
        Ok(())
    } else {
        Err(format!("by {factor:?}, which is not asked for"))
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
                self.settle_row(row);
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
        self.ledger.settle_copies();
        self.settle_messages();
    }

    fn settle_row(&mut self, row: &Row) {
        let login = row.login;
        if !self.ledger.passed.contains(&login) {
            self.ledger.fault("password", format!("{login} is accepted without its password"));
        }
        if row.reason == Reason::PhoneApproved {
            if !self.ledger.approved.contains(&login) {
                self.ledger.fault("answer", format!("{login} is accepted, and nobody approved it"));
            }
            if self.ledger.denied.contains(&login) {
                self.ledger.fault("answer", format!("{login} is accepted after it was denied"));
            }
        }
        if let Some(attempt) = self.ledger.attempt(login) {
            let Attempt { person, station, .. } = &self.attempts[attempt];
            if let Err(what) = is_allowed(row, &self.plan.allowed(*person, station.as_deref())) {
                self.ledger.fault("factor", format!("{login} is accepted {what}"));
            }
        }
    }

    /// One login of a user brings one message, and each word for another one more.
    fn settle_messages(&mut self) {
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        for Message { login, by, kind } in &self.ledger.sent {
            if let Some(attempt) = self.ledger.attempt(*login) {
                // Servers that share a store tell each other; others cannot know.
                let scope = if self.plan.affinity == Affinity::Shared { (0, 0) } else { *by };
                *counts.entry((attempt, scope, *kind)).or_default() += 1;
            }
        }
        for ((attempt, scope, kind), count) in counts {
            let found = &self.attempts[attempt];
            let allowed = self.plan.allowed(found.person, found.station.as_deref());
            // Whoever says the same of where they are shares its challenge, and may ask for another message there.
            let joined = |other: &&Attempt| {
                other.login.is_some_and(|login| self.ledger.attempt(login) == Some(attempt))
            };
            let others = self.attempts.iter().filter(joined).filter(|other| !std::ptr::eq(*other, found));
            let words = found.words(kind) + others.map(|other| other.words(kind)).sum::<usize>();
            let allowed = allowed.sends(kind, &found.steps[0].typed) + words;
            if count > allowed {
                let what = format!("attempt {attempt} brought {count} messages by {scope:?}, not {allowed}");
                self.ledger.fault("message", what);
            }
        }
    }
}
