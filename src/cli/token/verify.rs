//! `radmfa token verify`: whether a code is right. A right one is used up, as by a login.

use std::ops::RangeInclusive;

use super::spend::{Found, Opened, open_stock, open_token};
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::cli::failure::Failure;
use crate::cli::output::{note, printable, say};
use crate::cli::store::said;
use crate::cli::value::label;
use crate::cli::why::Why;
use crate::config::flags::StoreFlags;
use crate::engine::reason::Reason;
use crate::factor::oath::{self, Moving};
use crate::server::people::{Asked, People};
use crate::store::admin::{Admin, TokenDetails};

/// Check a code of a token; a right one is used up
///
/// How far from its time a code may be is what the clients of the configuration say (window, look-ahead): the one that
/// --client names, or whichever takes the most.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The serial number
    serial: String,
    /// The code that the token shows
    code: String,
    /// As a login at this client would take it
    #[arg(long, value_name = "NAME", value_parser = label)]
    client: Option<Label>,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    store: StoreFlags,
}

/// How far from the window a wrong code is looked for, to tell a clock that is off from a wrong token: steps.
const FAR: u64 = 120;

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let people = said(&self.store)?.people;
        let reach = people.reach(self.client.as_ref()).ok_or_else(|| {
            let known: Vec<String> = people.asked.iter().map(Asked::place).collect();
            let hint = if known.is_empty() { "--config FILE".to_owned() } else { known.join(", ") };
            let client = self.client.as_ref().map_or("", Label::as_str);
            Failure::usage(format!("the configuration has no client {client}")).hint(hint)
        })?;
        let mut admin = self.why.open(&self.store)?;
        let in_stock = admin.token(&self.serial).map_err(Failure::from)?.user.is_none();
        let (opened, step) = if in_stock {
            let found = stock(&mut *admin, &self.serial, &self.code, reach)?;
            say(format!("right: token {}, which is nobody's yet", printable(&self.serial)))?;
            found
        } else {
            let opened = open_token(&mut *admin, &self.serial)?;
            let step = find(&opened, &self.code, reach)?;
            opened.spend(&mut *admin, &Found { step, drift: None, reason: Reason::TokenVerified })?;
            let owner = opened.account.as_ref().map_or_else(String::new, |owner| owner.name.to_string());
            say(format!("right: token {} of {owner}", printable(&self.serial)))?;
            (opened, step)
        };
        let narrower = narrower(&opened, &people, step);
        if self.client.is_none() && !narrower.is_empty() {
            note(format!("note: too far from its time for {}", narrower.join(", ")));
        }
        Ok(())
    }
}

/// Looks at a token that nobody owns, before it is handed out; what it showed is used up there, too.
fn stock(admin: &mut dyn Admin, serial: &str, code: &str, reach: (u8, u8)) -> anyhow::Result<(Opened, u64)> {
    let mut judged = Err(Failure::failed("the token was not read").into());
    let mut judge = |details: &TokenDetails, seed: &Secret| {
        judged = open_stock(details, seed).and_then(|opened| {
            let step = find(&opened, code, reach)?;
            Ok((opened, step))
        });
        judged.as_ref().ok().map(|(_, step)| *step)
    };
    admin.verify_stock(serial, &mut judge).map_err(Failure::from)?;
    judged
}

/// Where a login would not take the code of `step`.
fn narrower(opened: &Opened, people: &People, step: u64) -> Vec<String> {
    let concerns = |asked: &&Asked| opened.account.as_ref().is_none_or(|owner| asked.concerns(owner));
    let asked = people.asked.iter().filter(concerns);
    let narrow =
        asked.filter(|asked| !near(opened, (asked.login.window, asked.login.look_ahead)).contains(&step));
    narrow.map(Asked::place).collect()
}

/// The steps or counters that a code may belong to.
fn near(Opened { token, now, .. }: &Opened, (window, ahead): (u8, u8)) -> RangeInclusive<u64> {
    match token.parameters.moving {
        Moving::Time { .. } => {
            oath::window(&token.parameters, now.secs(), token.drift.unwrap_or_default(), window)
        }
        Moving::Counter => oath::look_ahead(token.last_step, ahead.into()),
    }
}

/// The step that `code` belongs to, unspent and within reach.
fn find(opened: &Opened, code: &str, reach: (u8, u8)) -> anyhow::Result<u64> {
    let Opened { token, now, .. } = opened;
    let shown = printable(&token.serial);
    let (entered, seed) = (opened.number(code)?, opened.seed()?);
    let look = |steps| oath::scan(seed, &token.parameters, steps, token.last_step, entered);
    match look(near(opened, reach)) {
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
