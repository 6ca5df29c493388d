//! `radmfa channel`: the ways out to users' phones and mailboxes, and trying one.

mod send;

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use clap::Subcommand;
use serde_json::json;

use super::output::{FormatFlag, Listing};
use super::store::{clock, entropy, machine, warn, wrong};
use crate::base::system::random;
use crate::config::flags::ServeFlags;
use crate::config::{self, Effective};
use crate::delivery::actions::Actions;
use crate::delivery::{Channels, Means};

/// See the channels that codes are sent over, and try one
#[derive(Debug, clap::Args)]
pub(crate) struct Channel {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the channels, those of one kind in the order in which they are tried
    List {
        #[command(flatten)]
        format: FormatFlag,
        #[command(flatten)]
        flags: ServeFlags,
    },
    Send(send::Send),
}

impl Channel {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::List { format, flags } => {
                let mut listing = Listing::new(&["name", "kind", "type", "timeout", "countries", "from"]);
                for channel in &load(&flags)?.delivery.channels {
                    listing.row([
                        json!(channel.name.as_str()),
                        json!(channel.kind.word()),
                        json!(channel.way.word()),
                        json!(format!("{}ms", channel.timeout.as_millis())),
                        json!(channel.countries.iter().map(|prefix| &**prefix).collect::<Vec<_>>()),
                        json!(channel.from.iter().map(|sender| &*sender.sender).collect::<Vec<_>>()),
                    ]);
                }
                listing.print(format.format)
            }
            Action::Send(send) => send.run(),
        }
    }
}

/// The configuration, its warnings printed.
fn load(flags: &ServeFlags) -> anyhow::Result<Effective> {
    let (effective, warnings) = config::load(flags, &machine()).map_err(|errors| wrong(&errors))?;
    warn(&warnings);
    Ok(effective)
}

/// The channels of a command: when it is done with them, providers are taken leave of before the process ends.
pub(crate) struct Opened(Channels);

impl Deref for Opened {
    type Target = Channels;

    fn deref(&self) -> &Channels {
        &self.0
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Every channel, for a command that tries them and does not wait for receipts.
pub(crate) fn open(effective: &Effective) -> anyhow::Result<Opened> {
    let mut entropy = entropy()?;
    // No button that it sends leads anywhere, and no browser takes a push from it.
    let actions = Arc::new(Actions::new(random(&mut entropy)));
    let means = Means {
        clock: clock(),
        arrived: Arc::new(|_| ()),
        gone: Arc::new(|_| ()),
        entropy: Arc::new(Mutex::new(entropy)),
        vapid: None,
        actions,
    };
    let channels = Channels::open(&effective.delivery, means).map_err(|fault| {
        let failure = super::failure::Failure::failed(fault.what);
        if fault.hint.is_empty() { failure.into() } else { failure.hint(fault.hint).into() }
    });
    channels.map(Opened)
}
