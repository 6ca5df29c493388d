//! Phones: questions ring there, and are answered right, wrong, late, twice, by whoever is asked, by a device that was
//! revoked, or by nobody; and strangers try to answer for them.

use super::Broken;
use super::check::Request;
use super::people::{in_state, number_in, server_number};
use super::person::DEVICE;
use super::server::STORE_LEAST;
use super::world::{Doing, World};
use crate::base::secret::Secret;
use crate::base::system::random;
use crate::base::time::Tick;
use crate::engine::asking::{Asks, Matching, Question, Reference};
use crate::engine::delivery::Delivery;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::{LoginId, Record};
use crate::engine::step::Answer;
use crate::server::node::{Heard, Origin};
use crate::store::Logins as _;
use crate::store::admin::Admin as _;
use crate::store::pending::Pending;
use crate::store::user_act::UserAct;
use crate::wire::number;

/// A question at its phone.
pub(super) struct Ring {
    at: usize,
    life: u32,
    person: usize,
    pub(super) login: LoginId,
    question: Box<Question>,
    /// When its time is over.
    over: Tick,
    /// A late answer to it has its row.
    recorded: bool,
}

impl World {
    /// A question reaches its phone, which may take its time.
    pub(super) fn ring(&mut self, at: usize, delivery: &Delivery, question: &Question) {
        let login = delivery.login;
        let life = self.servers[at].life;
        let Some(person) = self.people.iter().position(|person| person.name == delivery.user) else { return };
        let over = self.now() + question.lifetime;
        let question = Box::new(question.clone());
        self.rings.push(Ring { at, life, person, login, question, over, recorded: false });
        let ring = self.rings.len() - 1;
        let lifetime = u64::try_from(self.rings[ring].question.lifetime.as_millis()).unwrap();
        let takes = match self.dice.below(100) {
            // Nobody looks.
            0..8 => None,
            8..18 => Some(self.dice.millis(lifetime + 1000, lifetime + 60_000)),
            _ => Some(self.dice.millis(200, 9000)),
        };
        if let Some(takes) = takes {
            self.later(takes, Doing::Answered { ring });
        }
        if self.dice.chance(25) {
            let again = self.dice.millis(200, 20_000);
            self.later(again, Doing::Answered { ring });
        }
        if self.dice.chance(25) {
            let forged = self.dice.millis(100, 9000);
            self.later(forged, Doing::Forged { ring });
        }
        if !self.plan.challenge
            && let Some(&(life, request, came)) = self.firsts.get(&login)
        {
            self.ledger.count("held");
            self.waits_for(at, life, request, came);
        }
    }

    /// From here on the request must be answered before its gateway has waited for long enough.
    pub(super) fn waits_for(&mut self, at: usize, life: u32, request: Request, came: Tick) {
        let patience = match self.broken {
            Broken::GatewaysGiveUpSooner => self.plan.patience / 2,
            _ => self.plan.patience,
        };
        let left = (came + patience).since(self.now());
        self.later(left, Doing::Impatient { at, life, request });
    }

    /// A gateway's patience is over.
    pub(super) fn impatient(&mut self, at: usize, life: u32, request: Request) {
        if self.plan.is_prompt() && !self.ledger.is_answered((at, life), request) {
            let (from, ..) = request;
            self.ledger.fault("patience", format!("{at} lets the request from {from} wait for too long"));
        }
    }

    /// Which login a challenge is of, and the number that a gateway is about to show, and to whom.
    pub(super) fn shows(&mut self, to: &Origin, datagram: &[u8]) {
        const CHALLENGE: u8 = 11;
        if datagram[0] != CHALLENGE || !self.gateways.iter().any(|nas| nas.address.ip() == to.key.source.ip())
        {
            return;
        }
        let (mut rest, mut shown, mut state) = (&datagram[20..], None, None);
        while let [kind, length, ..] = *rest {
            let (attribute, next) = rest.split_at(length.into());
            match kind {
                number::REPLY_MESSAGE => shown = number_in(&attribute[2..]),
                number::STATE => state = in_state(&attribute[2..]),
                _ => {}
            }
            rest = next;
        }
        let Some((owner, round)) = state else { return };
        let owner = self.servers.iter().find(|server| server_number(&server.name) == owner);
        if let Some(facts) = owner.and_then(|owner| owner.node.facts(round)) {
            self.ledger.goes_on(round, facts.id);
        }
        let Some(shown) = shown else { return };
        let (attempt, _) = self.asked_by(to.key.source, to.key.identifier);
        let login = self.ledger.login_of(round);
        // Who says nothing of where they are may share a texted code's prompt, and ask for a push there.
        if self.ledger.attempt(login).is_some_and(|of| of != attempt) && !self.attempts[attempt].wants_push()
        {
            self.ledger.fault("number", format!("attempt {attempt} is shown the number of {login}"));
        }
        self.ledger.numbers.insert(login, shown);
    }

    /// Whoever has the phone answers.
    pub(super) fn answers(&mut self, ring: usize) {
        let Ring { at, person, login, .. } = self.rings[ring];
        let own = self.ledger.attempt(login).is_some_and(|attempt| !self.attempts[attempt].thief);
        let answer = self.said(ring, own);
        let device = self.rings[ring].question.device.as_ref().map(|device| device.id);
        if device.is_some() && self.dice.chance(self.plan.revoked) {
            let (memory, name) = (&mut self.servers[at].memory, &self.people[person].name);
            if memory.act_for(name, &UserAct::RevokeDevice { device: DEVICE }).is_ok() {
                self.ledger.count("revoked");
            }
            if self.dice.chance(50) {
                let person = &self.people[person];
                person.enrol_device(&mut self.servers[at].memory);
            }
        }
        let right = self.is_right(ring, &answer) && self.is_owned(ring);
        let in_time = self.now() < self.rings[ring].over;
        let no = matches!(answer, Answer::Denied | Answer::Fraud);
        let heard = self.brings(ring, answer);
        match (heard, right, no) {
            (true, true, _) if in_time => {
                self.ledger.count("approved");
                self.ledger.approved(login);
            }
            (true, _, true) => {
                self.ledger.count("denied");
                self.ledger.denied(login);
            }
            (true, ..) => self.ledger.count("answered wrong"),
            (false, ..) => self.ledger.count("answered in vain"),
        }
    }

    /// What they say, who know whether it is their own login.
    fn said(&mut self, ring: usize, own: bool) -> Answer {
        let login = self.rings[ring].login;
        let dice = self.dice.below(100);
        let shown = self.ledger.attempt(login).and_then(|attempt| self.attempts[attempt].shown);
        match (&self.rings[ring].question.asks, dice) {
            (Asks::Approval { .. } | Asks::Key { .. }, 0..6) => Answer::Denied,
            (Asks::Approval { .. }, 6..9) => Answer::Fraud,
            (Asks::Approval { .. }, 9..18) => Answer::Approved(Some(1)),
            // Some approve whatever they are asked.
            (Asks::Approval { .. }, 18..70) if !own => Answer::Denied,
            (Asks::Approval { matching: Matching::None, .. }, _) => Answer::Approved(None),
            // Who sees no number chooses any.
            (Asks::Approval { choices: Some(choices), .. }, _) => {
                let known = self.ledger.numbers.contains_key(&login);
                Answer::Approved(shown.or(known.then_some(choices[0].into())).or(Some(1)))
            }
            (Asks::Approval { .. }, _) => Answer::Approved(shown.or(Some(1))),
            (Asks::CodeBack { .. }, 0..15) => Answer::Typed(Secret::from("9999999")),
            (Asks::CodeBack { code, .. }, _) if own || dice < 30 => Answer::Typed(code.clone()),
            (Asks::CodeBack { .. }, _) => Answer::Typed(Secret::from("who is this?")),
            (Asks::Key { .. }, 6..12) => Answer::Typed(Secret::from("5")),
            (Asks::Key { .. }, 12..16) => Answer::Typed(Secret::from("0")),
            (Asks::Key { .. }, _) if own || dice < 40 => Answer::Typed(Secret::from("#")),
            (Asks::Key { .. }, _) => Answer::Denied,
        }
    }

    /// Whether an answer is the one that lets the login in.
    fn is_right(&self, ring: usize, answer: &Answer) -> bool {
        let Ring { login, question, .. } = &self.rings[ring];
        match (&question.asks, answer) {
            (Asks::Approval { matching: Matching::None, .. }, Answer::Approved(_)) => true,
            (Asks::Approval { .. }, Answer::Approved(Some(number))) => {
                self.ledger.numbers.get(login) == Some(number)
            }
            (Asks::CodeBack { code, .. }, Answer::Typed(typed)) => code == typed,
            (Asks::Key { .. }, Answer::Typed(typed)) => typed.expose() == b"#",
            _ => false,
        }
    }

    /// Whether the device that was asked is the user's at this moment; numbers stay.
    fn is_owned(&self, ring: usize) -> bool {
        let Ring { at, person, question, .. } = &self.rings[ring];
        let Some(device) = &question.device else { return true };
        let query = UserQuery { user: self.people[*person].name.clone(), seeds: false, look_alikes: false };
        let Pending::Ready(UserAnswer::Found(account)) = self.servers[*at].memory.find(&query) else {
            panic!("everybody is in every store")
        };
        let special = account.special.as_ref();
        special.is_some_and(|special| special.active_devices().any(|active| active.id == device.id))
    }

    /// Brings an answer to the server that asked; whether its login has it.
    fn brings(&mut self, ring: usize, answer: Answer) -> bool {
        let Ring { at, life, ref question, .. } = self.rings[ring];
        if !self.servers[at].up || self.servers[at].life != life {
            return false;
        }
        match self.hears(at, question.reference, answer) {
            Heard::Taken => true,
            Heard::Unknown => false,
            Heard::Late(row) => {
                self.ledger.count("late answers");
                let Some(row) = row else { return false };
                if std::mem::replace(&mut self.rings[ring].recorded, true) {
                    self.ledger.fault("late", "one question has two rows for late answers".to_owned());
                }
                if !self.servers[at].store_away {
                    let record = Record { guards: Vec::new(), row: std::sync::Arc::new(*row) };
                    drop(self.servers[at].store.commit(record));
                }
                false
            }
        }
    }

    fn hears(&mut self, at: usize, reference: Reference, answer: Answer) -> Heard {
        let by = self.servers[at].clocks(&self.clock).0 + STORE_LEAST;
        let mut heard = Heard::Unknown;
        self.step(at, Some(by), |node, _, env, out| {
            let (what, ask) = node.hear(reference, answer, env, out);
            heard = what;
            ask
        });
        heard
    }

    /// Somebody who was not asked answers: to a question of their own making, or at a server that did not ask it. Whoever
    /// has no more than that is turned away before; but what if not?
    pub(super) fn forges(&mut self, ring: usize) {
        let Ring { at, login, ref question, .. } = self.rings[ring];
        let (reference, asks) = (question.reference, question.asks.clone());
        let answer = match asks {
            Asks::Approval { .. } => Answer::Approved(self.ledger.numbers.get(&login).copied()),
            Asks::CodeBack { code, .. } => Answer::Typed(code),
            Asks::Key { .. } => Answer::Typed(Secret::from("#")),
        };
        if self.broken == Broken::AnswersAreNotProven {
            self.brings(ring, answer);
            return;
        }
        let other = (at + 1) % self.servers.len();
        let (at, reference) = if other == at || self.dice.chance(50) {
            (at, Reference(random(&mut self.servers[at].entropy)))
        } else {
            (other, reference)
        };
        if !self.servers[at].up {
            return;
        }
        self.ledger.count("forged");
        if !matches!(self.hears(at, reference, answer), Heard::Unknown) {
            self.ledger.fault("forged", format!("{at} takes an answer to what it did not ask"));
        }
    }
}
