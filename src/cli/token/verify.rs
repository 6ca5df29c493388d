//! `radmfa token verify`: whether a code is right. A right one is used up, as by a login: the step is spent by the same
//! conditional append.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::name::Label;
use crate::base::system::random;
use crate::base::time::UnixTime;
use crate::cli::failure::Failure;
use crate::cli::output::{printable, say};
use crate::cli::store::{Missing, clock, entropy, open};
use crate::config::flags::StoreFlags;
use crate::engine::account::{Account, Token};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Conflict, Guard, LoginId, Method, Record, Row, Tally, Verdict};
use crate::factor::oath::{self, Found, LOOK_AHEAD, Moving};

/// Check a code of a token; a right one is used up
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The serial number
    serial: String,
    /// The code that the token shows
    code: String,
    #[command(flatten)]
    store: StoreFlags,
}

/// How far from the window a wrong code is looked for, to tell a clock that is off from a wrong token: steps.
const DRIFT: u64 = 120;

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut admin = open(&self.store, Missing::Refuse)?;
        let details = admin.token(&self.serial).map_err(Failure::from)?;
        let shown = printable(&self.serial);
        let Some(user) = details.user else {
            return Err(Failure::failed(format!("token {shown} belongs to nobody"))
                .hint(format!("radmfa token assign {shown} USER"))
                .into());
        };
        let query = UserQuery { user, seeds: true, look_alikes: false };
        let UserAnswer::Found(account) = admin.account(&query) else {
            return Err(Failure::failed(format!("token {shown} cannot be read")).into());
        };
        let Some(token) = account.tokens.iter().find(|token| token.serial == details.serial) else {
            return Err(Failure::failed(format!("token {shown} belongs to nobody")).into());
        };
        if !token.enabled {
            return Err(Failure::failed(format!("token {shown} is disabled"))
                .hint(format!("radmfa token enable {shown}"))
                .into());
        }
        let now = clock().unix();
        let step = find(token, &self.code, now)?;
        let login = LoginId::from_round(random(&mut entropy()?));
        match admin.append(&record(&account, token, step, now, login)?) {
            CommitAnswer::Done(_) => Ok(say(format!("right: token {shown} of {}", account.name))?),
            CommitAnswer::Refused(Conflict::StepSpent) => Err(used(&shown).into()),
            CommitAnswer::Refused(_) => {
                Err(Failure::failed(format!("token {shown} was changed meanwhile")).into())
            }
            CommitAnswer::Unavailable => Err(Failure::failed("the store cannot be written").into()),
        }
    }
}

fn used(serial: &str) -> Failure {
    Failure::failed(format!("wrong: this code of token {serial}, or a later one, was used already"))
        .hint("wait for the next code; each works once")
}

/// The step that `code` belongs to, unspent and within the window.
fn find(token: &Token, code: &str, now: UnixTime) -> anyhow::Result<u64> {
    let shown = printable(&token.serial);
    let Some(entered) = oath::parse_entry(code.as_bytes(), token.parameters.digits) else {
        return Err(Failure::usage(format!(
            "a code of token {shown} has {} digits",
            token.parameters.digits.count()
        ))
        .into());
    };
    let Some(seed) = &token.seed else {
        return Err(Failure::failed(format!("token {shown} cannot be opened")).into());
    };
    let look = |steps| oath::scan(seed.expose(), &token.parameters, steps, token.last_step, entered);
    let near = match token.parameters.moving {
        Moving::Time { .. } => {
            oath::window(&token.parameters, now.secs(), token.drift.unwrap_or_default(), 1)
        }
        Moving::Counter => oath::look_ahead(token.last_step, LOOK_AHEAD.into()),
    };
    match look(near) {
        Found { fresh: Some(step), .. } => return Ok(step),
        Found { spent: Some(_), .. } => return Err(used(&shown).into()),
        Found { .. } => {}
    }
    let wrong = Failure::failed(format!("wrong: no code of token {shown} at this time"));
    let Moving::Time { interval } = token.parameters.moving else {
        return Err(Failure::failed(format!("wrong: none of the next codes of token {shown}"))
            .hint("is it the right token? One that ran ahead follows two codes: radmfa token resync")
            .into());
    };
    let present = token.parameters.step_at(now.secs());
    let far = look(present.saturating_sub(DRIFT)..=present.saturating_add(DRIFT));
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

fn record(
    account: &Account,
    token: &Token,
    step: u64,
    now: UnixTime,
    login: LoginId,
) -> anyhow::Result<Record> {
    let row = Row {
        time: now,
        login,
        client: Label::new("command-line")?,
        source: SocketAddr::from(([0, 0, 0, 0], 0)),
        user: Some(account.name.clone()),
        user_id: Some(account.id),
        station: None,
        verdict: Verdict::Noted,
        reason: Reason::CodeAccepted,
        method: Method::of(token),
        protocol: "none",
        device: Some(Arc::clone(&token.serial)),
        spent: Some((token.id, step)),
        drift: None,
        tally: Tally::Keep,
        took: Duration::ZERO,
    };
    Ok(Record { guards: vec![Guard::StepUnspent { token: token.id, step }], row: Arc::new(row) })
}
