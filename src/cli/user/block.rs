//! `radmfa user block` and `unblock`: nobody logs in under a name for a time.

use std::time::Duration;

use crate::base::name::UserName;
use crate::cli::failure::Failure;
use crate::cli::output::say;
use crate::cli::store::{Missing, clock, open};
use crate::cli::value::{span, user_name};
use crate::config::flags::StoreFlags;
use crate::store::user_act::UserAct;

/// Let a user log in no more, for a time
#[derive(Debug, clap::Args)]
pub(crate) struct Block {
    /// The user
    #[arg(value_parser = user_name)]
    name: UserName,
    /// For how long, such as 12h or 90d, at most 3653d
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    span: Duration,
    /// Why, for whoever wonders later
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    store: StoreFlags,
}

/// End a block before its time
#[derive(Debug, clap::Args)]
pub(crate) struct Unblock {
    /// The user
    #[arg(value_parser = user_name)]
    name: UserName,
    /// Why, for whoever wonders later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    store: StoreFlags,
}

impl Block {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Block { name, span, reason, store } = self;
        let act = UserAct::Block { span, why: &reason };
        open(&store, Missing::Refuse)?.act_for(&name, &act).map_err(Failure::from)?;
        Ok(say(format!("user {name} is blocked until {}", clock().unix() + span))?)
    }
}

impl Unblock {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let act = UserAct::Unblock { why: self.reason.as_deref() };
        open(&self.store, Missing::Refuse)?.act_for(&self.name, &act).map_err(Failure::from)?;
        Ok(say(format!("user {} is not blocked any more", self.name))?)
    }
}
