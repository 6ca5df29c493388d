//! A login whose password is being checked.

use std::time::Duration;

use super::await_user::{AwaitUser, Looking};
use super::login::{Facts, refuse, refuse_with};
use super::parked::{Parked, Stage};
use super::prompt;
use super::proof::PrimaryPassed;
use super::question::{PrimaryAnswer, UserQuery};
use super::reason::Reason;
use super::step::{Challenge, Env, Step, Wait};
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::time::Tick;

/// How many challenges of the primary's own are relayed in one login.
pub const PRIMARY_ROUNDS_MAX: u8 = 50;

/// How long a user has to answer a challenge of the primary's own: choosing a new password takes a while.
const DIALOG_LIFETIME: Duration = Duration::from_mins(2);

/// Takes the primary's answer.
#[derive(Debug)]
pub struct AwaitPrimary {
    pub(super) facts: Box<Facts>,
    pub(super) user: UserName,
    /// Challenges of the primary's own relayed so far.
    pub(super) rounds: u8,
    /// When this was asked.
    pub(super) asked: Tick,
    /// What was typed behind the password.
    pub(super) behind: Option<Secret>,
}

impl AwaitPrimary {
    /// Goes on with `answer`.
    pub fn resume(self, answer: PrimaryAnswer, env: &mut Env<'_>) -> Step {
        let AwaitPrimary { mut facts, user, rounds, asked, behind } = self;
        facts.durations.primary += env.mono.since(asked);
        match answer {
            PrimaryAnswer::Accepted { attributes } => {
                let look_alikes = facts.may_waive();
                let query = UserQuery { user: user.clone(), seeds: behind.is_some(), look_alikes };
                let password = PrimaryPassed::by_answer();
                let looking = Looking::ForMethods { password, held: attributes, behind };
                Step::FindUser(query, AwaitUser { facts, user, looking })
            }
            // Outside a dialog the primary's own words would tell a wrong password from the other refusals.
            PrimaryAnswer::Rejected { attributes } if rounds > 0 => {
                refuse_with(&facts, Reason::PrimaryRejected, attributes, env)
            }
            PrimaryAnswer::Rejected { .. } => {
                lost(facts, user, Reason::PrimaryRejected, behind.is_some(), env)
            }
            PrimaryAnswer::Challenged { .. } if rounds >= PRIMARY_ROUNDS_MAX => {
                refuse(&facts, Reason::TooManyRounds, env)
            }
            PrimaryAnswer::Challenged { .. } if !facts.policy.admission.challenge => {
                refuse(&facts, Reason::CannotAsk, env)
            }
            PrimaryAnswer::Challenged { state, attributes } => {
                let attributes = prompt::relayed(attributes, facts.language());
                let tell = Challenge { attributes, lifetime: DIALOG_LIFETIME, lead: None };
                let wait = Wait { tell: Some(tell), start: None, until: env.mono + DIALOG_LIFETIME };
                let stage = Stage::PrimaryAsks { state, rounds: rounds + 1 };
                Step::Wait(wait, Box::new(Parked { facts, user, stage, since: env.mono }))
            }
            // Whoever is told it apart learns that the passwords before it were wrong: the right one clears the count.
            PrimaryAnswer::Withheld => lost(facts, user, Reason::PasswordWithheld, behind.is_some(), env),
            PrimaryAnswer::Unavailable => refuse(&facts, Reason::PrimaryUnavailable, env),
        }
    }
}

/// The password was wrong, or is taken for wrong: refused, or asked for a code in vain.
fn lost(facts: Box<Facts>, user: UserName, reason: Reason, behind: bool, env: &mut Env<'_>) -> Step {
    if !facts.policy.admission.uniform_prompt {
        return refuse(&facts, reason, env);
    }
    // The user is read all the same: what groups change of the prompt is changed for everybody.
    let query = UserQuery { user: user.clone(), seeds: false, look_alikes: false };
    Step::FindUser(query, AwaitUser { facts, user, looking: Looking::InVain { reason, behind } })
}
