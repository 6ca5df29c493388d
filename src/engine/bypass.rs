//! One-time bypasses: an admin lets a user's next login at a client in on the password alone, for a few minutes.
//!
//! The password was right by now. A user who is locked has had somebody guess at codes with that password, so a lock
//! holds; a wait, which a lost phone may bring about as well, does not.

use std::sync::Arc;

use super::account::Account;
use super::await_commit::{AwaitCommit, Then};
use super::lockout::{self, Standing};
use super::login::Facts;
use super::policy::Waiver;
use super::proof::{PrimaryPassed, SecondFactor};
use super::reason::Reason;
use super::record::{Consumed, Guard, Method, Record, Row, Verdict};
use super::step::{Env, Step};
use crate::wire::AttributeList;

/// The waiver that an open bypass gives this login, and which one it is.
pub(super) fn open(account: &Account, facts: &Facts, env: &Env<'_>) -> Option<(Waiver, Consumed)> {
    let special = account.special.as_ref()?;
    let waiver = special.bypasses.iter().find_map(|bypass| {
        let waiver =
            Waiver::by_bypass(bypass, &facts.client, facts.station.as_deref(), facts.integrity, env.unix)?;
        Some((waiver, Consumed::Bypass(bypass.id)))
    })?;
    let policy = &facts.policy.lockout;
    match lockout::standing(
        policy,
        account.guesses(env.unix),
        account.failures,
        account.last_failure,
        env.unix,
    ) {
        Standing::Locked => None,
        Standing::Free | Standing::Waits(_) => Some(waiver),
    }
}

/// Commits the use of a bypass: it is used up with the row, or the login is not accepted.
pub(super) fn let_in(
    facts: Box<Facts>,
    account: &Account,
    (waiver, thing): (Waiver, Consumed),
    password: PrimaryPassed,
    held: AttributeList,
    env: &mut Env<'_>,
) -> Step {
    let [active, unlocked] = lockout::guards(&facts.policy.lockout, account, env.unix);
    let guards = vec![active, unlocked, Guard::Unconsumed(thing)];
    let row = Arc::new(Row {
        user_id: Some(account.id),
        contact: account.contact.clone(),
        method: Method::Bypass,
        consumed: Some(thing),
        ..facts.row(Verdict::Accepted, Reason::BypassUsed, env)
    });
    let then = Then::Accept { facts, password, factor: SecondFactor::Waived(waiver), held };
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}
