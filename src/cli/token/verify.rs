//! `radmfa token verify`: whether a code is right. A right one is used up, as by a login.

use super::spend::{Found, Opened, open_token};
use super::why::Why;
use crate::cli::failure::Failure;
use crate::cli::output::{printable, say};
use crate::config::flags::StoreFlags;
use crate::engine::reason::Reason;
use crate::factor::oath::{self, LOOK_AHEAD, Moving};

/// Check a code of a token; a right one is used up
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The serial number
    serial: String,
    /// The code that the token shows
    code: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    store: StoreFlags,
}

/// How far from the window a wrong code is looked for, to tell a clock that is off from a wrong token: steps.
const FAR: u64 = 120;

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut admin = self.why.open(&self.store)?;
        let opened = open_token(&mut *admin, &self.serial)?;
        let step = find(&opened, &self.code)?;
        opened.spend(&mut *admin, &Found { step, drift: None, reason: Reason::TokenVerified })?;
        Ok(say(format!("right: token {} of {}", printable(&self.serial), opened.account.name))?)
    }
}

/// The step that `code` belongs to, unspent and within the window.
fn find(opened: &Opened, code: &str) -> anyhow::Result<u64> {
    let Opened { token, now, .. } = opened;
    let shown = printable(&token.serial);
    let (entered, seed) = (opened.number(code)?, opened.seed()?);
    let look = |steps| oath::scan(seed, &token.parameters, steps, token.last_step, entered);
    let near = match token.parameters.moving {
        Moving::Time { .. } => {
            oath::window(&token.parameters, now.secs(), token.drift.unwrap_or_default(), 1)
        }
        Moving::Counter => oath::look_ahead(token.last_step, LOOK_AHEAD.into()),
    };
    match look(near) {
        oath::Found { fresh: Some(step), .. } => return Ok(step),
        oath::Found { spent: Some(_), .. } => return Err(opened.used().into()),
        oath::Found { .. } => {}
    }
    let Moving::Time { interval } = token.parameters.moving else {
        return Err(Failure::failed(format!("wrong: none of the next codes of token {shown}"))
            .hint(format!("is it the right token? If it ran ahead: radmfa token resync {shown} CODE1 CODE2"))
            .into());
    };
    let present = token.parameters.step_at(now.secs());
    let far = look(present.saturating_sub(FAR)..=present.saturating_add(FAR));
    let wrong = Failure::failed(format!("wrong: no code of token {shown} at this time"));
    Err(match far.fresh.or(far.spent) {
        Some(step) => {
            let off = step.abs_diff(present).saturating_mul(interval.into());
            let (side, other) = if step < present { ("behind", "ahead") } else { ("ahead", "behind") };
            wrong.hint(format!(
                "it is the code of another time: the token's clock is {off} s {side}, or this machine's is {other} \
                 (now it reads {now})"
            ))
        }
        None => wrong.hint("is it the right token, and does it have the interval, digits and algorithm that it shows?"),
    }
    .into())
}
