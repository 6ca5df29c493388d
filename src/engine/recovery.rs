//! Recovery codes at the prompt: typed in place of a token's code, each good once.

use std::sync::Arc;

use super::account::Account;
use super::await_commit::{AwaitCommit, Then};
use super::lockout;
use super::login::Facts;
use super::parked::CodeRound;
use super::proof::FactorPassed;
use super::reason::Reason;
use super::record::{Consumed, Guard, Method, Record, Row, Tally, Verdict};
use super::remember::{self, Session};
use super::step::{Env, Step};
use crate::base::name::UserName;
use crate::factor::recovery::RecoveryCode;

/// What an entry is among a user's recovery codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// One that was not used.
    Unused(i64),
    /// One that was.
    Used,
    /// None.
    Nothing,
}

/// Compares `typed` with every code of the user, whichever it is.
pub(super) fn find(account: &Account, typed: &[u8]) -> Found {
    let (Some(special), Some(keys)) = (&account.special, &account.keys) else { return Found::Nothing };
    let Some(code) = RecoveryCode::parse(typed) else { return Found::Nothing };
    let mut found = Found::Nothing;
    for key in keys.iter() {
        let hash = code.hash(&key.recovery, account.id.0);
        for known in &special.recovery {
            if known.hash == hash {
                found = if known.used { Found::Used } else { Found::Unused(known.id) };
            }
        }
    }
    found
}

/// Commits a right recovery code: it is used up with the row, or the login is not accepted.
pub(super) fn spend(
    facts: Box<Facts>,
    user: UserName,
    account: &Account,
    id: i64,
    round: CodeRound,
    env: &mut Env<'_>,
) -> Step {
    let thing = Consumed::Recovery(id);
    let limit = lockout::guard_limit(&facts.policy.lockout, round.guesses, account.failures);
    let guards = vec![
        Guard::UserActive { user: account.id },
        Guard::FailuresBelow { user: account.id, limit },
        Guard::Unconsumed(thing),
    ];
    let right = remember::Right::typed(Method::Recovery, None, &facts.policy.login);
    let session = remember::begin(&facts, right, env);
    let row = Arc::new(Row {
        user_id: Some(account.id),
        contact: account.contact.clone(),
        method: Method::Recovery,
        note: session.as_deref().map(Session::note),
        remembers: session,
        consumed: Some(thing),
        tally: Tally::Clear,
        ..facts.row(Verdict::Accepted, Reason::RecoveryAccepted, env)
    });
    let then = Then::AcceptCode { facts, user, round, factor: FactorPassed::by_code() };
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}
