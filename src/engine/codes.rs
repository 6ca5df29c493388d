//! Entered codes and the tokens of a user: which token, if any, a code is right for.
//!
//! Every usable token is looked at, in full and in constant time, whichever the code belongs to; what is decided about
//! the first one that knows it follows in [`super::await_user`].

use super::account::{Account, Token};
use super::policy::LoginPolicy;
use super::record::Method;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::factor::oath::{self, Moving};

/// What an entered code is.
pub(super) enum Judgement<'a> {
    /// A code of this token for a step not used before.
    Right(&'a Token, u64),
    /// A code of this token whose step, or a later one, was accepted before.
    Reused(&'a Token),
    /// A code of none.
    Wrong,
}

/// Looks at every enabled token; the first one that the code is right for counts.
pub(super) fn compare<'a>(
    account: &'a Account,
    code: &Secret,
    policy: &LoginPolicy,
    now: UnixTime,
) -> Judgement<'a> {
    let mut judgement = Judgement::Wrong;
    for token in account.tokens.iter().filter(|token| token.enabled) {
        let Some(entered) = oath::parse_entry(code.expose(), token.parameters.digits) else { continue };
        let Some(seed) = &token.seed else { continue };
        let steps = match token.parameters.moving {
            Moving::Time { .. } => oath::window(&token.parameters, now.secs(), policy.window),
            Moving::Counter => oath::look_ahead(token.last_step, policy.look_ahead.into()),
        };
        let found = oath::scan(seed.expose(), &token.parameters, steps, token.last_step, entered);
        match (&judgement, found.fresh, found.spent) {
            (Judgement::Right(..), ..) => {}
            (_, Some(step), _) => judgement = Judgement::Right(token, step),
            (Judgement::Wrong, None, Some(_)) => judgement = Judgement::Reused(token),
            _ => {}
        }
    }
    judgement
}

/// The method that a judged code was for.
pub(super) fn method(account: &Account, judgement: &Judgement<'_>) -> Method {
    let decided = match judgement {
        Judgement::Right(token, _) | Judgement::Reused(token) => Some(*token),
        Judgement::Wrong => account.tokens.iter().find(|token| token.enabled),
    };
    decided.map_or(Method::None, method_of)
}

/// The method that a token stands for.
pub(super) fn method_of(token: &Token) -> Method {
    match token.parameters.moving {
        Moving::Time { .. } => Method::Totp,
        Moving::Counter => Method::Hotp,
    }
}
