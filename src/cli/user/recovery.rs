//! `radmfa user recovery`: codes to be kept on paper, each good once in place of a token's code.

use super::user_name;
use crate::base::name::UserName;
use crate::cli::failure::Failure;
use crate::cli::output::{note, say};
use crate::cli::store::{Missing, entropy, open};
use crate::config::flags::StoreFlags;
use crate::factor::recovery::{RecoveryCode, SET};
use crate::store::user_act::UserAct;

/// Give a user ten recovery codes, each good once; earlier ones work no more
#[derive(Debug, clap::Args)]
pub(crate) struct Recovery {
    /// The user
    #[arg(value_parser = user_name)]
    name: UserName,
    /// Why, for whoever wonders later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    store: StoreFlags,
}

impl Recovery {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut random = entropy()?;
        let codes: Vec<_> = (0..SET).map(|_| RecoveryCode::generate(&mut random)).collect();
        let act = UserAct::Recovery { codes: &codes, why: self.reason.as_deref() };
        open(&self.store, Missing::Refuse)?.act_for(&self.name, &act).map_err(Failure::from)?;
        note(format!("recovery codes of {}, each good once; they are shown this once:", self.name));
        for code in &codes {
            say(code)?;
        }
        Ok(())
    }
}
