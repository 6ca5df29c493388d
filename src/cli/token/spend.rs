//! Codes that an admin types for a user: found, and used up as by a login, by the same conditional append.

use std::sync::Arc;

use crate::base::secret::Secret;
use crate::base::system::random;
use crate::base::time::UnixTime;
use crate::cli::failure::Failure;
use crate::cli::output::printable;
use crate::cli::store::{clock, entropy};
use crate::engine::account::{Account, Token};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Conflict, Guard, Method, Record, Row};
use crate::factor::oath::{self, Drift};
use crate::store::act::Act;
use crate::store::admin::{Admin, TokenDetails};

/// A usable token, opened.
pub(super) struct Opened {
    /// Whose it is; `None`: nobody's yet.
    pub(super) account: Option<Account>,
    pub(super) token: Token,
    pub(super) now: UnixTime,
}

/// Opens the token with this serial.
pub(super) fn open_token(admin: &mut dyn Admin, serial: &str) -> anyhow::Result<Opened> {
    let details = admin.token(serial).map_err(Failure::from)?;
    let shown = printable(serial);
    let nobodys = || {
        Failure::failed(format!("token {shown} belongs to nobody"))
            .hint(format!("radmfa token assign {shown} USER"))
    };
    let user = details.user.ok_or_else(nobodys)?;
    let query = UserQuery { user, seeds: true, look_alikes: false };
    let UserAnswer::Found(account) = admin.account(&query) else {
        return Err(Failure::failed(format!("token {shown} cannot be read")).into());
    };
    let token = account.tokens.iter().find(|token| token.serial == details.serial).cloned();
    Opened { account: Some(account), token: token.ok_or_else(nobodys)?, now: clock().unix() }.usable()
}

/// A token in stock, whose seed is `seed`.
pub(super) fn open_stock(details: &TokenDetails, seed: &Secret) -> anyhow::Result<Opened> {
    let token = Token {
        id: details.id,
        serial: Arc::clone(&details.serial),
        enabled: details.enabled,
        parameters: details.parameters,
        last_step: details.last_step,
        drift: details.drift,
        expires: details.fields.expires,
        starts: details.fields.starts,
        seed: Some(seed.clone()),
    };
    Opened { account: None, token, now: clock().unix() }.usable()
}

/// What was found.
pub(super) struct Found {
    pub(super) step: u64,
    pub(super) drift: Option<Drift>,
    pub(super) reason: Reason,
}

impl Opened {
    fn usable(self) -> anyhow::Result<Opened> {
        let Opened { token, now, .. } = &self;
        let shown = printable(&token.serial);
        let fault = if !token.enabled {
            Failure::failed(format!("token {shown} is disabled")).hint(format!("radmfa token enable {shown}"))
        } else if token.is_early(*now) {
            Failure::failed(format!("token {shown} is not good yet"))
                .hint(format!("radmfa token set {shown} --starts DATE"))
        } else if token.is_expired(*now) {
            Failure::failed(format!("token {shown} has expired"))
                .hint(format!("radmfa token set {shown} --expires DATE"))
        } else {
            return Ok(self);
        };
        Err(fault.into())
    }

    /// `code` as a number.
    pub(super) fn number(&self, code: &str) -> anyhow::Result<u32> {
        let digits = self.token.parameters.digits;
        oath::parse_entry(code.as_bytes(), digits).ok_or_else(|| {
            let shown = printable(&self.token.serial);
            Failure::usage(format!("a code of token {shown} has {} digits", digits.count())).into()
        })
    }

    /// The seed.
    pub(super) fn seed(&self) -> anyhow::Result<&[u8]> {
        let seed = self.token.seed.as_ref();
        let shown = printable(&self.token.serial);
        Ok(seed.ok_or_else(|| Failure::failed(format!("token {shown} cannot be opened")))?.expose())
    }

    /// Uses up what was found, with a row in the trail.
    pub(super) fn spend(&self, admin: &mut dyn Admin, found: &Found) -> anyhow::Result<()> {
        let Opened { account, token, now } = self;
        let whose = account.as_ref().map(|account| (&account.name, account.id));
        let act = Act::new(found.reason).on_any(whose).token(&token.serial);
        let act = act.row(admin.origin(), *now, random(&mut entropy()?));
        let row =
            Row { method: Method::of(token), spent: Some((token.id, found.step)), drift: found.drift, ..act };
        let guards = vec![Guard::StepUnspent { token: token.id, step: found.step }];
        match admin.append(&Record { guards, row: Arc::new(row) }) {
            CommitAnswer::Done(_) => Ok(()),
            CommitAnswer::Refused(Conflict::StepSpent) => Err(self.used().into()),
            CommitAnswer::Refused(_) => {
                let shown = printable(&token.serial);
                Err(Failure::failed(format!("token {shown} was changed meanwhile")).into())
            }
            CommitAnswer::Counted | CommitAnswer::Unavailable => {
                Err(Failure::failed("the store cannot be written").into())
            }
        }
    }

    /// Says that a code, or one after it, was used.
    pub(super) fn used(&self) -> Failure {
        let shown = printable(&self.token.serial);
        Failure::failed(format!("wrong: this code of token {shown}, or a later one, was used already"))
            .hint("wait for the next code; each works once")
    }
}
