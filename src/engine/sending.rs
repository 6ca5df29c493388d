//! Codes that are sent: made, recorded within the budget, brought on their way, and judged when they are typed.
//!
//! ```text
//! send ── Commit (budget) ── Wait, nothing told, delivery started ──┬─ Delivered: challenge ── code
//!   ▲           │ refused                                           └─ Failed: recorded ─┐
//!   └───────────┴────────────────── the next offer, or refused ◄─────────────────────────┘
//! ```
//! Invariants: a code lives in the parked login alone, in the memory of the server that made it; each send is recorded,
//! and counted against the user, before it leaves; a new code ends the one before it.

mod code;

use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, Contact, UserId};
use super::asking::{Question, Reference};
use super::await_commit::{AwaitCommit, Then};
use super::await_user::{ask_for_code, ask_for_token};
use super::delivery::{Delivery, DeliveryId, Kind, Message, Sent};
use super::kept;
use super::lockout::{self, Standing};
use super::login::{Facts, refuse};
use super::methods::{self, Factor, Offer};
use super::parked::{CodeRound, Parked, Stage};
use super::phone::{self, Asked};
use super::policy::{Choose, Lockout, PinWanted};
use super::proof::FactorPassed;
use super::reason::Reason;
use super::record::{Guard, Record, Row, Tally, Verdict};
use super::remember::{self, Session};
use super::step::{Env, Event, Receipt, Step, Wait};
use super::words::Line;
use crate::base::name::UserName;
use crate::base::system::random;
use crate::base::time::{Tick, UnixTime};
use code::Code;
pub use code::CodeKeys;
pub(super) use code::{SentCode, Typed, compare, make_code};

/// Digits of a code that is sent.
pub(super) const DIGITS: u8 = 6;
/// For so long after its lifetime a code is still known, to be refused as too late.
pub(super) const LATE: Duration = Duration::from_mins(5);
/// The longest that a request is held for a provider's answer; then the prompt is shown all the same.
pub const HELD: Duration = Duration::from_secs(8);

/// A send that is being recorded or made.
#[derive(Debug)]
pub(super) struct Dispatch {
    id: DeliveryId,
    user: UserName,
    to: Addressee,
    round: CodeRound,
    outgoing: Outgoing,
    /// The code before it, which is good until this one is on its way.
    before: Option<Box<SentCode>>,
    /// What to ask for if this fails, best first.
    rest: Vec<Offer>,
}

/// What is sent.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A code to be typed at the gateway.
    Code(Box<SentCode>),
    /// A question to be answered on the phone, and what is kept of it.
    Question(Box<Asked>, Box<Question>),
}

impl Outgoing {
    fn kind(&self) -> Kind {
        match self {
            Outgoing::Code(sent) => sent.kind,
            Outgoing::Question(asked, _) => asked.kind(),
        }
    }
}

/// Asks for what this user owns and this gateway can show, after the right password.
pub(super) fn begin(
    facts: Box<Facts>,
    user: UserName,
    account: &Account,
    offers: Vec<Offer>,
    round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    if facts.policy.login.choose == Choose::Menu && offers.len() > 1 && !facts.policy.admission.uniform_prompt
    {
        let text = methods::menu(&offers, facts.language());
        return ask_for_code(facts, user, round, &text, env);
    }
    let to = Addressee::of(account, env.unix);
    next(facts, user, to, offers, round, None, env)
}

/// Another factor than the one that was asked for, at the user's word.
pub(super) fn change(
    facts: Box<Facts>,
    user: UserName,
    account: &Account,
    offers: Vec<Offer>,
    mut round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    round.changes = round.changes.saturating_add(1);
    if round.changes > CHANGES_MAX {
        return refuse(&facts, Reason::TooManyRounds, env);
    }
    next(facts, user, Addressee::of(account, env.unix), offers, round, None, env)
}

/// How often a user may ask for something else in one login.
pub(super) const CHANGES_MAX: u8 = 5;

/// What of a user a message needs.
#[derive(Clone, Debug)]
pub(super) struct Addressee {
    pub(super) id: UserId,
    pub(super) contact: Option<Arc<Contact>>,
    failures: u32,
    last_failure: UnixTime,
    guesses: u32,
    /// When an admin last unlocked the user.
    unlocked: Option<UnixTime>,
}

impl Addressee {
    pub(super) fn of(account: &Account, now: UnixTime) -> Addressee {
        Addressee {
            id: account.id,
            contact: account.contact.clone(),
            failures: account.failures,
            last_failure: account.last_failure,
            guesses: account.guesses(now),
            unlocked: account.special.as_ref().and_then(|special| special.unlocked),
        }
    }

    /// Whether the user has to wait.
    pub(super) fn standing(&self, lockout: &Lockout, now: UnixTime) -> Standing {
        lockout::standing(lockout, self.guesses, self.failures, self.last_failure, now)
    }
}

/// Asks for the first of `offers`; where there is none, refuses for the reason that the one before `failed` with.
pub(super) fn next(
    facts: Box<Facts>,
    user: UserName,
    to: Addressee,
    mut offers: Vec<Offer>,
    round: CodeRound,
    failed: Option<Reason>,
    env: &mut Env<'_>,
) -> Step {
    if offers.is_empty() {
        return refuse(&facts, failed.unwrap_or(Reason::NoUsableToken), env);
    }
    let Offer { factor, to: address, device } = offers.remove(0);
    let asks = |kind| facts.policy.sending.as_ref().is_some_and(|sending| sending.asks(kind).is_some());
    match (factor, address) {
        (Factor::Sent(kind), Some(address)) if asks(kind) => {
            phone::ask(facts, user, to, phone::Way { kind, to: address, device }, offers, round, env)
        }
        (Factor::Sent(kind), Some(address)) => send(facts, user, to, (kind, address), offers, round, env),
        (Factor::Token | Factor::Sent(_), _) => {
            let round = CodeRound { sent: None, asked: None, ..round };
            let line = failed.map(|reason| match reason {
                Reason::NoAnswer => Line::NoAnswer,
                Reason::LoginPending => Line::Pending,
                _ => Line::Unsent,
            });
            ask_for_token(facts, user, round, line, env)
        }
    }
}

/// Makes a code and records that it is sent.
fn send(
    facts: Box<Facts>,
    user: UserName,
    to: Addressee,
    (kind, address): (Kind, Arc<str>),
    rest: Vec<Offer>,
    mut round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    let way =
        facts.policy.sending.as_ref().and_then(|sending| Some((sending.limits, sending.lifetime(kind)?)));
    let Some((limits, lifetime)) = way else {
        return next(facts, user, to, rest, round, Some(Reason::DeliveryFailed), env);
    };
    let before = round.sent.take();
    let sent = SentCode::made(make_code(env.entropy), kind, address, lifetime, env.mono);
    let row = Arc::new(Row {
        user_id: Some(to.id),
        contact: to.contact.clone(),
        method: methods::method(kind),
        sends: Some(kind),
        ..facts.row(Verdict::Noted, Reason::CodeSent, env)
    });
    let guards = vec![Guard::UserActive { user: to.id }, Guard::MaySend { user: to.id, kind, limits }];
    let id = DeliveryId(u32::from_be_bytes(random(env.entropy)));
    let dispatch = Box::new(Dispatch {
        before,
        ..Dispatch::new(id, user, to, round, Outgoing::Code(Box::new(sent)), rest)
    });
    Step::Commit(
        Record { guards, row: Arc::clone(&row) },
        AwaitCommit { row, then: Then::Send { facts, dispatch } },
    )
}

impl Dispatch {
    pub(super) fn new(
        id: DeliveryId,
        user: UserName,
        to: Addressee,
        round: CodeRound,
        outgoing: Outgoing,
        rest: Vec<Offer>,
    ) -> Dispatch {
        Dispatch { id, user, to, round, outgoing, before: None, rest }
    }

    /// The question that it asks, and how.
    pub(super) fn asks(&self) -> Option<(Reference, Kind)> {
        match &self.outgoing {
            Outgoing::Code(_) => None,
            Outgoing::Question(asked, _) => Some((asked.reference(), asked.kind())),
        }
    }

    /// Whatever its user did with questions before that is forgiven: an admin unlocked the user then.
    pub(super) fn forgiven(&self) -> Option<UnixTime> {
        self.to.unlocked
    }

    /// The send is recorded: off it goes, and the request is held until a provider has it.
    pub(super) fn start(mut self: Box<Self>, facts: Box<Facts>, env: &mut Env<'_>) -> Step {
        let said = |field: fn(&Contact) -> Option<&str>| {
            self.to.contact.as_deref().and_then(field).map(Arc::<str>::from)
        };
        let (to, message) = match &self.outgoing {
            Outgoing::Code(sent) => match &sent.code {
                Code::Known(code) => {
                    (&sent.to, Message::Code { code: code.clone(), lifetime: sent.lifetime })
                }
                // What is about to be sent was made here.
                Code::Hashed(..) => return self.refused(facts, Reason::InternalError, env),
            },
            Outgoing::Question(asked, question) => (asked.to(), Message::Ask(question.clone())),
        };
        let delivery = Delivery {
            id: self.id,
            kind: self.outgoing.kind(),
            to: Arc::clone(to),
            message,
            attempt: self.round.sends,
            user: self.user.clone(),
            first: said(|contact| contact.first.as_deref()),
            client: facts.client.clone(),
            app: facts.policy.display_name.clone(),
            login: facts.id,
            language: said(|contact| contact.language.as_deref()),
        };
        self.round.sends = self.round.sends.saturating_add(1);
        let until = facts.answer_by.min(env.mono + HELD);
        let wait = Wait { tell: None, start: Some(delivery), until };
        let user = self.user.clone();
        Step::Wait(wait, Box::new(Parked { facts, user, stage: Stage::Sending(self), since: env.mono }))
    }

    /// The send was not recorded: the next offer, or refused.
    pub(super) fn refused(self, facts: Box<Facts>, reason: Reason, env: &mut Env<'_>) -> Step {
        let Dispatch { user, to, mut round, rest, before, outgoing, .. } = self;
        if reason == Reason::SendLimit
            && matches!(outgoing, Outgoing::Code(_))
            && let Some(refused) = kept::too_soon(&facts, &to, reason, env)
        {
            return refused;
        }
        if rest.is_empty() && before.is_some() {
            round.sent = before;
            // Another code was asked for before there may be one.
            let text = Line::TooSoon.say(facts.language());
            return ask_for_code(facts, user, round, text, env);
        }
        next(facts, user, to, rest, round, Some(reason), env)
    }

    /// What happens while the provider is waited for.
    pub(super) fn resume(
        self: Box<Self>,
        mut facts: Box<Facts>,
        event: Event,
        (since, until): (Tick, Tick),
        env: &mut Env<'_>,
    ) -> (Receipt, Step) {
        let delivered = matches!(&event, Event::Delivered(id, _) if *id == self.id);
        if delivered || matches!(event, Event::Expired) {
            facts.durations.sending += env.mono.since(since);
        }
        match event {
            // Quicker than whoever carried the question.
            Event::Phone(answer) if self.asks().is_some() => {
                let Dispatch { user, mut round, outgoing, .. } = *self;
                if let Outgoing::Question(asked, _) = outgoing {
                    round.asked = Some(asked);
                }
                (Receipt::Taken, phone::heard(facts, user, round, answer, (true, since), env))
            }
            Event::Delivered(id, Sent::Failed) if id == self.id => (Receipt::Taken, self.failed(facts, env)),
            Event::Delivered(id, Sent::Accepted { .. }) if id == self.id => {
                (Receipt::Taken, self.ask(facts, env))
            }
            // It may still arrive, and the gateway waits no longer.
            Event::Expired => (Receipt::Taken, self.ask(facts, env)),
            Event::Delivered(..) | Event::Entry(_) | Event::Phone(_) => {
                let user = self.user.clone();
                let parked = Box::new(Parked { facts, user, stage: Stage::Sending(self), since });
                (Receipt::NotAwaited, Step::Wait(Wait { tell: None, start: None, until }, parked))
            }
        }
    }

    fn ask(self, facts: Box<Facts>, env: &mut Env<'_>) -> Step {
        let Dispatch { user, to, mut round, outgoing, rest, .. } = self;
        let sent = match outgoing {
            Outgoing::Code(sent) if kept::may_keep(&facts.policy) => {
                return kept::keep(&facts, &to, *sent, env);
            }
            Outgoing::Code(sent) => sent,
            Outgoing::Question(mut asked, _) => {
                asked.follow(rest);
                return phone::delivered(facts, user, round, asked, env);
            }
        };
        let pin = facts.policy.login.pin == PinWanted::WithCode && !round.enrols;
        let line = match (sent.kind, pin) {
            (Kind::Sms | Kind::Email | Kind::Push, false) => Line::Sent,
            (Kind::Sms | Kind::Email | Kind::Push, true) => Line::SentPin,
            (Kind::Voice, false) => Line::Called,
            (Kind::Voice, true) => Line::CalledPin,
        };
        let text = line.to(facts.language(), &sent.to, "");
        round.asked = None;
        round.sent = Some(sent);
        ask_for_code(facts, user, round, &text, env)
    }

    /// No provider took it: recorded, and the next offer is made.
    fn failed(self: Box<Self>, facts: Box<Facts>, env: &mut Env<'_>) -> Step {
        let row = Arc::new(Row {
            user_id: Some(self.to.id),
            contact: self.to.contact.clone(),
            method: methods::method(self.outgoing.kind()),
            ..facts.row(Verdict::Noted, Reason::DeliveryFailed, env)
        });
        let record = Record { guards: Vec::new(), row: Arc::clone(&row) };
        Step::Commit(record, AwaitCommit { row, then: Then::SendNext { facts, dispatch: self } })
    }
}

/// How long a sent code's answer is good for, and how long it is waited for: beyond that, so that a late one is told from
/// none.
pub(super) fn patience(round: &CodeRound, now: Tick) -> Option<(Duration, Duration)> {
    if let Some(asked) = &round.asked {
        let left = asked.left(now);
        return Some((left.max(Duration::from_secs(1)), left));
    }
    round.sent.as_ref().map(|sent| (sent.lifetime, sent.lifetime + LATE))
}

/// Commits a right code.
pub(super) fn spend(
    facts: Box<Facts>,
    user: UserName,
    account: &Account,
    kind: Kind,
    round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    let limit = lockout::guard_limit(&facts.policy.lockout, round.guesses, account.failures);
    let guards =
        vec![Guard::UserActive { user: account.id }, Guard::FailuresBelow { user: account.id, limit }];
    let right = remember::Right::typed(methods::method(kind), None, &facts.policy.login);
    let session = remember::begin(&facts, right, env);
    let row = Arc::new(Row {
        user_id: Some(account.id),
        contact: account.contact.clone(),
        method: methods::method(kind),
        tally: Tally::Clear,
        note: session.as_deref().map(Session::note),
        remembers: session,
        ..facts.row(Verdict::Accepted, Reason::CodeAccepted, env)
    });
    let then = Then::AcceptCode { facts, user, round, factor: FactorPassed::by_code() };
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}
