//! What rows add up to: the state of one user, what guards say about it, and what a row does to it.
//!
//! All stores judge and fold through here, so that they cannot differ. Invariant: folding the same rows in the
//! same order gives the same state, whoever does it and however often it was interrupted by snapshots.

use std::sync::Arc;

use crate::base::time::UnixTime;
use crate::engine::account::{TokenId, UserId};
use crate::engine::reason::Reason;
use crate::engine::record::{Conflict, Guard, Record, Row, Tally};
use crate::engine::special::Special;
use crate::factor::oath::Drift;

/// The part of a user that guards look at and rows change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) user: UserId,
    pub(super) disabled: bool,
    pub(super) failures: u32,
    pub(super) last_failure: UnixTime,
    pub(super) tokens: Vec<TokenFacts>,
    pub(super) special: Option<Arc<Special>>,
}

/// The part of a token that guards look at and rows change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenFacts {
    pub(super) id: TokenId,
    pub(super) enabled: bool,
    pub(super) last_step: Option<u64>,
    pub(super) drift: Option<Drift>,
}

/// Whether every guard of `record` holds; `facts` are those of the row's user, `None` where there is no such user.
pub(super) fn judge(record: &Record, facts: Option<&Facts>) -> Result<(), Conflict> {
    for guard in &record.guards {
        match *guard {
            // Judged by each store before this: what was sent to users is not among their facts.
            Guard::MaySend { .. } => {}
            Guard::UserActive { user } => match facts {
                Some(facts) if facts.user == user && !facts.disabled => {
                    let special = facts.special.as_ref();
                    if special.is_some_and(|special| special.blocked(record.row.time).is_some()) {
                        return Err(Conflict::UserBlocked);
                    }
                }
                _ => return Err(Conflict::UserInactive),
            },
            Guard::Unconsumed(thing) => {
                let special = facts.and_then(|facts| facts.special.as_ref());
                if !special.is_some_and(|special| special.holds(thing)) {
                    return Err(Conflict::Consumed);
                }
            }
            Guard::Remembered(login) => {
                let special = facts.and_then(|facts| facts.special.as_ref());
                if !special.is_some_and(|special| special.remembers(login)) {
                    return Err(Conflict::SessionEnded);
                }
            }
            Guard::FailuresBelow { user, limit } => match facts {
                Some(facts) if facts.user == user && facts.failures < limit => {}
                Some(facts) if facts.user == user => return Err(Conflict::TooManyFailures),
                _ => return Err(Conflict::UserInactive),
            },
            Guard::StepUnspent { token, step } => {
                let held =
                    facts.and_then(|facts| facts.tokens.iter().find(|held| held.id == token && held.enabled));
                match held {
                    None => return Err(Conflict::TokenGone),
                    Some(held) if held.last_step.is_some_and(|last| step <= last) => {
                        return Err(Conflict::StepSpent);
                    }
                    Some(_) => {}
                }
            }
        }
    }
    Ok(())
}

/// Folds `row`, a row of this user, into `facts`.
pub(super) fn apply(row: &Row, facts: &mut Facts) {
    tally(row.tally, row.time, &mut facts.failures, &mut facts.last_failure);
    if let Some((token, step)) = row.spent
        && let Some(held) = facts.tokens.iter_mut().find(|held| held.id == token)
    {
        held.last_step = held.last_step.max(Some(step));
        held.drift = row.drift.or(held.drift);
    }
    make_special(row, &mut facts.special);
}

/// What a row does to what is special about its user. Changes it if [`Row::changes_special`].
pub(super) fn make_special(row: &Row, special: &mut Option<Arc<Special>>) {
    if let (Some(thing), Some(special)) = (row.consumed, &mut *special) {
        Arc::make_mut(special).consume(thing);
    }
    if let Some(session) = &row.remembers {
        Arc::make_mut(special.get_or_insert_default()).remember(session);
    }
    if row.reason == Reason::FraudReported {
        Arc::make_mut(special.get_or_insert_default()).report_fraud(row.time);
    }
}

/// What a row written at `time` does to a count of failures.
pub(super) fn tally(tally: Tally, time: UnixTime, failures: &mut u32, last_failure: &mut UnixTime) {
    match tally {
        Tally::Keep => {}
        Tally::Count => {
            *failures = failures.saturating_add(1);
            *last_failure = time;
        }
        Tally::Clear => {
            *failures = 0;
            *last_failure = UnixTime::default();
        }
    }
}

/// Fewer tokens say nothing about our own clock.
const CLOCKS_MIN: u64 = 5;

/// Whether the median of all tokens' drifts, given in ascending order with how many tokens have each, exceeds a step:
/// then it is our clock that is off, not theirs.
pub(super) fn clock_suspect(drifts: impl Iterator<Item = (Drift, u64)> + Clone) -> bool {
    let tokens: u64 = drifts.clone().map(|(_, count)| count).sum();
    let mut passed = 0;
    let median = drifts.into_iter().find(|(_, count)| {
        passed += count;
        passed > tokens / 2
    });
    let step = Drift::of_steps(1).sixteenths();
    tokens >= CLOCKS_MIN && median.is_some_and(|(drift, _)| drift.sixteenths().abs() > step)
}

/// Says so in the log when our clock has come under suspicion, or out of it.
pub(super) fn say_suspect(before: bool, now: bool) {
    match (before, now) {
        (false, true) => tracing::error!(
            "most tokens' clocks are off by more than a step, so it is this machine's clock that is wrong: no drift is \
             learned until it is set"
        ),
        (true, false) => tracing::info!("the tokens' clocks agree with this machine's again"),
        _ => {}
    }
}

/// For how long the count lasts that no success ends.
pub(super) const COUNTED_DAYS: u64 = 30;

/// The day that a failure is counted in.
pub(super) fn day_of(time: UnixTime) -> u64 {
    time.secs() / 86_400
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_clock_is_suspect_where_most_tokens_are_off_by_more_than_a_step() {
        let suspect = |steps: &[i64]| {
            let mut drifts: Vec<_> = steps.iter().map(|steps| (Drift::of_steps(*steps), 1)).collect();
            drifts.sort_unstable();
            clock_suspect(drifts.into_iter())
        };
        assert!(!suspect(&[]));
        assert!(!suspect(&[3, 3, 3, 3]), "too few to say");
        assert!(suspect(&[3, 3, 3, 3, 3]));
        assert!(suspect(&[0, -2, -2, 0, -2]));
        assert!(!suspect(&[0, 0, 0, 5, 9]), "tokens drift each its own way");
        assert!(!suspect(&[1, 1, 1, 1, 1, 1]), "a step is not more than a step");
        assert!(clock_suspect([(Drift::of_steps(0), 10), (Drift::of_steps(2), 1_000_000)].into_iter()));
    }
}
