//! A login that is lost and goes through the motions: where `uniform-prompt` wants it, whoever had a wrong password is asked
//! for a code like everybody else, so that a challenge does not tell that the password was right.
//!
//! Invariants: what is typed is not looked at; the verdict was reached before and is what the record says; nothing is
//! counted against the user, whose password was not known.

use std::sync::Arc;

use super::login::{Facts, refuse};
use super::parked::{Parked, Stage};
use super::prompt;
use super::reason::Reason;
use super::step::{Challenge, Env, Step, Wait};
use super::words::Line;
use crate::base::name::UserName;

/// What such a login carries from code to code.
#[derive(Debug)]
pub(super) struct VainRound {
    /// Why it is refused in the end.
    pub(super) reason: Reason,
    /// Codes that may still be typed, at least 1 while parked.
    pub(super) tries: u8,
}

/// Refuses, at once or after as many codes as anybody may try; one stood behind the password where `behind` says so.
pub(super) fn refuse_late(
    facts: Box<Facts>,
    user: UserName,
    reason: Reason,
    behind: bool,
    env: &mut Env<'_>,
) -> Step {
    let admission = &facts.policy.admission;
    if !admission.uniform_prompt || !admission.challenge {
        return refuse(&facts, reason, env);
    }
    let round = VainRound { reason, tries: facts.policy.login.tries };
    if behind {
        return entered(facts, user, round, env);
    }
    let policy = Arc::clone(&facts.policy);
    let text = policy.login.question(facts.language());
    ask(facts, user, round, text, env)
}

/// Takes a code that was typed.
pub(super) fn entered(facts: Box<Facts>, user: UserName, mut round: VainRound, env: &mut Env<'_>) -> Step {
    round.tries = round.tries.saturating_sub(1);
    if round.tries == 0 {
        return refuse(&facts, round.reason, env);
    }
    let text = Line::Again.say(facts.language());
    ask(facts, user, round, text, env)
}

fn ask(facts: Box<Facts>, user: UserName, round: VainRound, text: &str, env: &mut Env<'_>) -> Step {
    let lifetime = facts.policy.login.code_lifetime;
    let tell = Challenge { attributes: prompt::question(text), lifetime, lead: None };
    let wait = Wait { tell: Some(tell), start: None, until: env.mono + lifetime };
    let stage = Stage::AskedInVain(round);
    Step::Wait(wait, Box::new(Parked { facts, user, stage, since: env.mono }))
}
