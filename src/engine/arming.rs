//! Arm first (`arm`): whoever made sure of the user has armed a login (`radmfa user arm`); the next one at that client is let in,
//! once, within a minute or two. Whoever is not armed is asked for nothing that is sent, so nobody can be worn out.
//!
//! What the gateway or the password server checked is checked by now. The lock and the wait after wrong codes hold as for anything else that
//! is typed.

use std::sync::Arc;

use super::account::Account;
use super::await_commit::{AwaitCommit, Then};
use super::lockout::{self, Standing};
use super::login::{Facts, refuse};
use super::proof::{FactorPassed, PrimaryPassed, SecondFactor};
use super::reason::Reason;
use super::record::{Consumed, Guard, Method, Record, Row, Tally, Verdict};
use super::step::{Env, Step};
use crate::wire::AttributeList;

/// What the user armed for this client, if anything.
pub(super) fn open(account: &Account, facts: &Facts, env: &Env<'_>) -> Option<Consumed> {
    let special = account.special.as_ref()?;
    let armed = special.armed.iter().find(|armed| armed.client == facts.client && env.unix < armed.until)?;
    Some(Consumed::Arming(armed.id))
}

/// Commits the use of it: it is used up with the row, or the login is not accepted.
pub(super) fn let_in(
    facts: Box<Facts>,
    account: &Account,
    thing: Consumed,
    password: PrimaryPassed,
    held: AttributeList,
    env: &mut Env<'_>,
) -> Step {
    let policy = &facts.policy.lockout;
    let standing = lockout::standing(
        policy,
        account.guesses(env.unix),
        account.failures,
        account.last_failure,
        env.unix,
    );
    match standing {
        Standing::Free => {}
        Standing::Waits(_) => return refuse(&facts, Reason::BackOff, env),
        Standing::Locked => return refuse(&facts, Reason::Locked, env),
    }
    let [active, unlocked] = lockout::guards(policy, account, env.unix);
    let guards = vec![active, unlocked, Guard::Unconsumed(thing)];
    let row = Arc::new(Row {
        user_id: Some(account.id),
        contact: account.contact.clone(),
        method: Method::Armed,
        consumed: Some(thing),
        tally: Tally::Keep,
        ..facts.row(Verdict::Accepted, Reason::ArmedUsed, env)
    });
    let factor = SecondFactor::Passed(FactorPassed::by_arming());
    let then = Then::Accept { facts, password, factor, held };
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}
