//! Users who never had a second factor are led to the page where they set one up (`unenrolled = "enrol"`).
//!
//! ```text
//! right password ─┬─ station in enrol-networks, signed ─────────────┬─ Commit ─ the address and a code are shown
//!                 ├─ a phone or mail on file ─ a code sent, typed ──┘
//!                 └─ neither: refused
//! ```
//! The code ([`Lead`]) is kept by the server that shows it, and worth something on its page alone: it lets nobody in here. Invariants:
//! whoever knows the password and nothing else gets none from outside the networks; who ever had a factor gets none at all
//! ([`Account::is_enrolled`]), nor does anybody where the gateway alone has seen the password, or a prompt must not tell that it was right.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::await_commit::{AwaitCommit, Then};
use super::delivery::Kind;
use super::in_vain::{VainRound, refuse_late};
use super::lockout::{self, Standing};
use super::login::{Facts, refuse};
use super::methods;
use super::parked::{CodeRound, Parked, Stage};
use super::prompt;
use super::proof::{Outcome, PrimaryPassed, Reject};
use super::reason::Reason;
use super::record::{Guard, Method, Record, Row, Verdict};
use super::sending::{self, Addressee};
use super::step::{Challenge, Env, Step, Wait};
use super::words::Line;
use crate::base::name::UserName;
use crate::base::time::Tick;
use crate::factor::enrol_code::EnrolCode;
use crate::wire::{AttributeList, Integrity};

/// How long a code is good for.
pub const LIFETIME: Duration = Duration::from_mins(10);
/// The longest address of the page, in octets: the line around it has to fit into a Reply-Message.
pub const PLACE_MAX: usize = 150;

/// What leads one user to a first factor.
#[derive(Clone, Debug)]
pub struct Lead {
    /// Whom.
    pub user: UserName,
    /// The code that the page takes.
    pub code: EnrolCode,
    /// Until when it does.
    pub until: Tick,
}

/// Goes on with a user who never had a factor, after the right password.
pub(super) fn lead(
    facts: Box<Facts>,
    user: UserName,
    account: Option<&Account>,
    (password, held): (PrimaryPassed, AttributeList),
    behind: bool,
    env: &mut Env<'_>,
) -> Step {
    let admission = &facts.policy.admission;
    if admission.uniform_prompt || facts.policy.enrol_at.is_none() {
        return refuse_late(facts, user, Reason::Unenrolled, behind, env);
    }
    // Wrong codes to the phone on file are what such a user can have on the books.
    let standing = account.map_or(Standing::Free, |account| {
        let Account { failures, last_failure, .. } = account;
        lockout::standing(
            &facts.policy.lockout,
            account.guesses(env.unix),
            *failures,
            *last_failure,
            env.unix,
        )
    });
    match standing {
        Standing::Free => {}
        Standing::Waits(_) => return refuse(&facts, Reason::BackOff, env),
        Standing::Locked => return refuse(&facts, Reason::Locked, env),
    }
    if !admission.challenge && !admission.reference {
        return refuse(&facts, Reason::EnrolNotShown, env);
    }
    if is_near(&facts) {
        return show(facts, user, account, Method::None, env);
    }
    // Where logins are armed first nothing is sent that could wear anybody out.
    let sends = admission.challenge && facts.policy.login.arm.is_zero();
    let reached = account
        .filter(|_| sends)
        .map(|account| (account, methods::on_file(account, &facts.policy, env.unix)));
    match reached {
        Some((account, offers)) if !offers.is_empty() => {
            let mut round = CodeRound::new(password, held, facts.policy.login.tries);
            round.enrols = true;
            sending::next(facts, user, Addressee::of(account, env.unix), offers, round, None, env)
        }
        _ => refuse(&facts, Reason::EnrolElsewhere, env),
    }
}

/// Whether the request comes from where a password is enough to begin. An unsigned one proves nothing about its station
/// (CVE-2024-3596).
fn is_near(facts: &Facts) -> bool {
    let station = facts.station.as_deref().and_then(|station| station.trim().parse::<IpAddr>().ok());
    let networks = &facts.policy.login.enrol_networks;
    facts.integrity == Integrity::Signed
        && station.is_some_and(|station| networks.iter().any(|net| net.contains(&station.to_canonical())))
}

/// The code that was sent to the phone or mail on file came back.
pub(super) fn proved(
    facts: Box<Facts>,
    user: UserName,
    account: &Account,
    kind: Kind,
    env: &mut Env<'_>,
) -> Step {
    if account.is_enrolled() {
        return refuse(&facts, Reason::Unenrolled, env);
    }
    show(facts, user, Some(account), methods::method(kind), env)
}

/// Makes a code, and records that it is shown.
fn show(
    facts: Box<Facts>,
    user: UserName,
    account: Option<&Account>,
    method: Method,
    env: &mut Env<'_>,
) -> Step {
    let Some(place) = &facts.policy.enrol_at else { return refuse(&facts, Reason::Unenrolled, env) };
    let code = EnrolCode::generate(env.entropy);
    let shown = code.to_string();
    let text = Line::Enrol.with(facts.language(), &[("place", place), ("code", &shown)]);
    let lead = Box::new(Lead { user: user.clone(), code, until: env.mono + LIFETIME });
    let guards: Vec<Guard> = account
        .map(|account| lockout::guards(&facts.policy.lockout, account, env.unix))
        .into_iter()
        .flatten()
        .collect();
    let verdict = if facts.policy.admission.challenge { Verdict::Noted } else { Verdict::Rejected };
    let row = Arc::new(Row {
        user_id: account.map(|account| account.id),
        contact: account.and_then(|account| account.contact.clone()),
        method,
        ..facts.row(verdict, Reason::EnrolCodeShown, env)
    });
    let then = Then::Lead { facts, user, lead, text };
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}

/// The record stands: shows the line, at a prompt where there is one, whose answer is not looked at.
pub(super) fn tell(
    facts: Box<Facts>,
    user: UserName,
    (lead, text): (Box<Lead>, String),
    (row, sequence): (Arc<Row>, u64),
    env: &mut Env<'_>,
) -> Step {
    if !facts.policy.admission.challenge {
        let attributes = AttributeList::default();
        let reject = Reject { message: text, attributes, row, sequence: Some(sequence), lead: Some(lead) };
        return Step::Decided(Outcome::Reject(reject));
    }
    let lifetime = facts.policy.login.code_lifetime;
    let tell = Challenge { attributes: prompt::question(&text), lifetime, lead: Some(lead) };
    let wait = Wait { tell: Some(tell), start: None, until: env.mono + lifetime };
    let stage = Stage::AskedInVain(VainRound { reason: Reason::Unenrolled, tries: 1 });
    Step::Wait(wait, Box::new(Parked { facts, user, stage, since: env.mono }))
}
