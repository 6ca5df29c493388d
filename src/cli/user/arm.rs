//! `radmfa user arm`: the help desk lets a user's next login at a client in whose gateway is armed first.

use std::time::Duration;

use crate::base::name::{Label, UserName};
use crate::cli::failure::Failure;
use crate::cli::output::{note, say};
use crate::cli::store::{clock, said};
use crate::cli::value::{label, user_name};
use crate::cli::why::Why;
use crate::config::flags::StoreFlags;
use crate::engine::arming::ArmedBy;
use crate::store::user_act::UserAct;

/// For so long where the configuration was not read.
const USUAL: Duration = Duration::from_mins(2);

/// Let a user's next login at a client in that wants to be armed first (`arm`), once
///
/// It is open for as long as the client's `arm` says.
#[derive(Debug, clap::Args)]
pub(crate) struct Arm {
    /// The user
    #[arg(value_parser = user_name)]
    name: UserName,
    /// The client that the login comes from, by its name in the configuration
    #[arg(long, value_name = "NAME", value_parser = label)]
    client: Label,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    store: StoreFlags,
}

impl Arm {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Arm { name, client, why, store } = self;
        let known = said(&store)?.people.asked;
        let asked = known.iter().filter(|asked| asked.client == client);
        let longest = asked.map(|asked| asked.login.arm).max();
        let span = longest.filter(|span| !span.is_zero()).unwrap_or(USUAL);
        let mut admin = why.open(&store)?;
        admin
            .act_for(&name, &UserAct::Arm { client: client.clone(), span, by: ArmedBy::Desk })
            .map_err(Failure::from)?;
        let until = clock().unix() + span;
        say(format!("the next login of {name} at {client} until {until} is let in, once"))?;
        match longest {
            Some(longest) if longest.is_zero() => {
                note(format!(
                    "warning: client {client} does not ask to be armed (arm); nobody comes in by this"
                ));
            }
            None if !known.is_empty() => {
                note(format!("warning: the configuration has no client {client}; nobody comes in by this"));
            }
            _ => {}
        }
        Ok(())
    }
}
