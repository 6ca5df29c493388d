//! `radmfa token resync`: two codes in a row bring a token back that has lost its step. Both are used up.

use super::spend::{Found, Opened, open_token};
use crate::cli::failure::Failure;
use crate::cli::output::{printable, say};
use crate::cli::why::Why;
use crate::config::flags::StoreFlags;
use crate::engine::reason::Reason;
use crate::factor::oath::{self, Drift, Moving, RESYNC_STEPS, RESYNC_WINDOW};

/// Bring a token back in step with two codes that it shows one after the other; both are used up
///
/// A counter token is looked for among its next 1000 codes, another one up to ten steps to either side of now.
#[derive(Debug, clap::Args)]
pub(super) struct Resync {
    /// The serial number
    serial: String,
    /// The code that it shows
    first: String,
    /// The code that it shows next
    second: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    store: StoreFlags,
}

impl Resync {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut admin = self.why.open(&self.store)?;
        let opened = open_token(&mut *admin, &self.serial)?;
        let found = find(&opened, [&self.first, &self.second])?;
        if found.drift.is_some() && admin.clock_suspect().map_err(Failure::from)? {
            return Err(Failure::failed(
                "most tokens' clocks are off by more than a step, so it is this machine's clock that is wrong; nothing \
                 was changed",
            )
            .hint("set the clock (chronyc makestep, timedatectl), then see whether the token is still refused")
            .into());
        }
        opened.spend(&mut *admin, &found)?;
        let shown = printable(&self.serial);
        let now = match found.drift {
            Some(drift) => format!("its clock is off by {drift} steps"),
            None => format!("its next counter is {}", found.step.saturating_add(1)),
        };
        Ok(say(format!("token {shown} is in step again; {now}"))?)
    }
}

/// The second of two codes in a row, neither of them used before.
fn find(opened: &Opened, codes: [&String; 2]) -> anyhow::Result<Found> {
    let Opened { token, now, .. } = opened;
    let codes = [opened.number(codes[0])?, opened.number(codes[1])?];
    let present = token.parameters.step_at(now.secs());
    let fresh = token.last_step.map_or(0, |last| last.saturating_add(1));
    let (steps, range) = match token.parameters.moving {
        Moving::Time { .. } => {
            let steps = present.saturating_sub(RESYNC_STEPS)..=present.saturating_add(RESYNC_STEPS - 1);
            (steps, format!("within {RESYNC_STEPS} steps of now"))
        }
        Moving::Counter => {
            let steps = fresh..=fresh.saturating_add(RESYNC_WINDOW - 1);
            (steps, format!("among its next {RESYNC_WINDOW} codes"))
        }
    };
    let Some(first) = oath::find_pair(opened.seed()?, &token.parameters, steps, codes) else {
        let shown = printable(&token.serial);
        return Err(Failure::failed(format!(
            "wrong: token {shown} does not show these two in a row {range}"
        ))
        .hint("type the code it shows, wait for the next one or press the button once more, and type that")
        .into());
    };
    if first < fresh {
        return Err(opened.used().into());
    }
    let step = first.saturating_add(1);
    let drift = token.parameters.interval().map(|_| {
        Drift::of_steps(i64::try_from(step).unwrap_or(i64::MAX) - i64::try_from(present).unwrap_or(i64::MAX))
    });
    Ok(Found { step, drift, reason: Reason::TokenResynchronised })
}
