//! Entered codes and the tokens of a user: which token, if any, a code is right for.
//!
//! Every usable token is looked at, in full and in constant time, whichever the code belongs to; what is decided about
//! the first one that knows it follows in [`super::await_user`].
//!
//! What several tokens give to somebody who guesses: each entry is compared with the windows of all of them, so it is
//! as many guesses as there are tokens of its length. The lockout's arithmetic counts it as so many ([`super::lockout`]).
//!
//! What following a counter token gives: a code beyond the look-ahead, up to [`RESYNC_WINDOW`] counters away, is refused
//! and counted like any wrong one; only the very next entry of the same login, if it is the very next code, is accepted.
//! A guesser hits the first with one in a thousand at six digits, without being told, and then the one right successor
//! with one in a million: together less than a thousandth of what guessing within the look-ahead gives. Nothing is
//! remembered while the user has to wait, nor from login to login, and a user's counter tokens share the window. Somebody
//! who was told two codes in a row gets in with them, as with one code within the look-ahead.

use std::ops::RangeInclusive;

use super::account::{Account, Token, TokenId};
use super::policy::LoginPolicy;
use super::record::Method;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::factor::oath::{self, Drift, Moving, RESYNC_WINDOW};

/// A counter token that has run ahead: the code that would prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) token: TokenId,
    /// The counter whose code has to come next.
    pub(super) next: u64,
}

/// What an entered code is.
pub(super) enum Judgement<'a> {
    /// A code of this token for a step not used before.
    Right(&'a Token, u64),
    /// The code after one far ahead that came just before it.
    Followed(&'a Token, u64),
    /// A code of this token whose step, or a later one, was accepted before.
    Reused(&'a Token),
    /// A code of this counter token beyond the look-ahead.
    Ahead(&'a Token, Ahead),
    /// A code of none.
    Wrong,
}

/// Looks at every usable token; the first one that the code is right for counts. `before` is what the entry before
/// this one was.
pub(super) fn compare<'a>(
    account: &'a Account,
    code: &Secret,
    policy: &LoginPolicy,
    before: Option<Ahead>,
    now: UnixTime,
) -> Judgement<'a> {
    let mut judgement = Judgement::Wrong;
    for token in account.usable(now) {
        let Some((entered, seed)) = entry(token, code) else { continue };
        let steps = near(token, policy, now);
        let found = oath::scan(seed.expose(), &token.parameters, steps, token.last_step, entered);
        let next = before.filter(|ahead| ahead.token == token.id).map(|ahead| ahead.next);
        let followed =
            next.and_then(|next| oath::find_step(seed.expose(), &token.parameters, next..=next, entered));
        match (&judgement, found.fresh, followed, found.spent) {
            (Judgement::Right(..) | Judgement::Followed(..), ..) => {}
            (_, Some(step), ..) => judgement = Judgement::Right(token, step),
            (_, None, Some(step), _) => judgement = Judgement::Followed(token, step),
            (Judgement::Wrong, None, None, Some(_)) => judgement = Judgement::Reused(token),
            _ => {}
        }
    }
    match judgement {
        Judgement::Wrong => far(account, code, policy, now),
        Judgement::Right(token, step) | Judgement::Followed(token, step) => {
            twin(account, token, step).map_or(judgement, Judgement::Reused)
        }
        judgement => judgement,
    }
}

/// Another token of the user, usable or not, with the same seed, that has accepted `step` or a later one: a device that was
/// imported under two numbers must not have each of its codes accepted twice.
fn twin<'a>(account: &'a Account, token: &Token, step: u64) -> Option<&'a Token> {
    let alike = |other: &&Token| {
        other.id != token.id && other.parameters == token.parameters && other.seed == token.seed
    };
    let used = |other: &&Token| other.last_step.is_some_and(|last| step <= last);
    account.tokens.iter().filter(used).find(alike)
}

/// Looks for a code of a counter token that has run ahead.
fn far<'a>(account: &'a Account, code: &Secret, policy: &LoginPolicy, now: UnixTime) -> Judgement<'a> {
    let counted = || account.usable(now).filter(|token| token.parameters.moving == Moving::Counter);
    let share = RESYNC_WINDOW / u64::try_from(counted().count().max(1)).unwrap_or(u64::MAX);
    let mut judgement = Judgement::Wrong;
    for token in counted() {
        let Some((entered, seed)) = entry(token, code) else { continue };
        let after = near(token, policy, now).end().saturating_add(1);
        let steps = after..=after.saturating_add(share - 1);
        let found = oath::find_step(seed.expose(), &token.parameters, steps, entered);
        if let (Judgement::Wrong, Some(step)) = (&judgement, found) {
            let next = step.saturating_add(1);
            judgement = Judgement::Ahead(token, Ahead { token: token.id, next });
        }
    }
    judgement
}

/// The entry as a number of the token's length, and the seed to compare it under.
fn entry<'a>(token: &'a Token, code: &Secret) -> Option<(u32, &'a Secret)> {
    Some((oath::parse_entry(code.expose(), token.parameters.digits)?, token.seed.as_ref()?))
}

/// The steps or counters of a token that a code may belong to.
fn near(token: &Token, policy: &LoginPolicy, now: UnixTime) -> RangeInclusive<u64> {
    match token.parameters.moving {
        Moving::Time { .. } => {
            oath::window(&token.parameters, now.secs(), token.drift.unwrap_or_default(), policy.window)
        }
        Moving::Counter => oath::look_ahead(token.last_step, policy.look_ahead.into()),
    }
}

/// What a right code of `step` teaches about the token's clock: `None` for nothing new.
pub(super) fn learned(account: &Account, token: &Token, step: u64, now: UnixTime) -> Option<Drift> {
    token.parameters.interval()?;
    if account.clock_suspect {
        return None;
    }
    let present = token.parameters.step_at(now.secs());
    let drift = token.drift.unwrap_or_default().learn(step.cast_signed().wrapping_sub(present.cast_signed()));
    (token.drift != Some(drift)).then_some(drift)
}

/// The method that a judged code was for; whoever has no token to use was asked for a recovery code.
pub(super) fn method(account: &Account, judgement: &Judgement<'_>, now: UnixTime) -> Method {
    let decided = match judgement {
        Judgement::Right(token, _)
        | Judgement::Followed(token, _)
        | Judgement::Reused(token)
        | Judgement::Ahead(token, _) => Some(*token),
        Judgement::Wrong => account.usable(now).next(),
    };
    decided.map_or(Method::Recovery, Method::of)
}
