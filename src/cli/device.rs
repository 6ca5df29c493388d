//! `radmfa device`: what users' pushes go to.

use clap::Subcommand;
use serde_json::json;

use super::failure::Failure;
use super::output::{FormatFlag, Listing, say};
use super::store::{Missing, open};
use super::user::show::account;
use super::user::user_name;
use crate::base::name::{Label, UserName};
use crate::config::flags::StoreFlags;
use crate::engine::special::Device as Known;
use crate::store::admin::{Admin, UserFilter};
use crate::store::user_act::UserAct;

/// Add, list and revoke the devices that pushes go to
#[derive(Debug, clap::Args)]
pub(crate) struct Device {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Give a user a device; one of the same name is taken back
    Add {
        /// The user
        #[arg(value_parser = user_name)]
        user: UserName,
        /// The channel that reaches it, by its name in the configuration
        #[arg(long, value_name = "NAME", value_parser = label)]
        channel: Label,
        /// Where the channel finds it
        #[arg(long, value_name = "ADDRESS")]
        address: String,
        /// What it is called (the address)
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// List the devices of a user, or of everybody
    List {
        /// The user
        #[arg(value_parser = user_name)]
        user: Option<UserName>,
        /// Those that were revoked, too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        format: FormatFlag,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Take a device back: its answers count no more, also one that is being waited for
    Revoke {
        /// The user
        #[arg(value_parser = user_name)]
        user: UserName,
        /// The device, by its name or number
        device: String,
        #[command(flatten)]
        store: StoreFlags,
    },
}

impl Device {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Add { user, channel, address, name, store } => {
                let name = name.unwrap_or_else(|| address.chars().take(NAME_MAX).collect());
                let act = UserAct::AddDevice { name: &name, channel: channel.clone(), address: &address };
                open(&store, Missing::Refuse)?.act_for(&user, &act).map_err(Failure::from)?;
                Ok(say(format!("added device {name} of {user}, reached by channel {channel}"))?)
            }
            Action::List { user, all, format, store } => {
                let mut admin = open(&store, Missing::Refuse)?;
                list(&mut *admin, user, all)?.print(format.format)
            }
            Action::Revoke { user, device, store } => {
                let act = UserAct::RevokeDevice { device: &device };
                open(&store, Missing::Refuse)?.act_for(&user, &act).map_err(Failure::from)?;
                Ok(say(format!("device {device} of {user} is revoked"))?)
            }
        }
    }
}

/// A name that is made of an address is cut at so many characters.
const NAME_MAX: usize = 32;

fn list(admin: &mut dyn Admin, user: Option<UserName>, all: bool) -> anyhow::Result<Listing> {
    let mut listing = Listing::new(&["user", "name", "channel", "address", "since", "status", "number"]);
    let users = if let Some(user) = user {
        vec![user]
    } else {
        let everybody = admin.users(&UserFilter::default()).map_err(Failure::from)?;
        everybody.into_iter().map(|details| details.name).collect()
    };
    for user in users {
        let special = account(admin, &user)?.special;
        let devices = special.iter().flat_map(|special| &special.devices);
        for device in devices.filter(|device| all || device.is_active()) {
            listing.row([
                json!(user.as_str()),
                json!(&*device.name),
                json!(device.channel.as_str()),
                json!(&*device.address),
                json!(device.since.to_string()),
                json!(status(device)),
                json!(device.id.to_string()),
            ]);
        }
    }
    Ok(listing)
}

fn status(device: &Known) -> String {
    device.revoked.map_or("active".to_owned(), |moment| format!("revoked {moment}"))
}

fn label(text: &str) -> Result<Label, String> {
    Label::new(text).map_err(|fault| fault.to_string())
}
