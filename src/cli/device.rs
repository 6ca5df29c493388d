//! `radmfa device`: what users' pushes go to.

use clap::Subcommand;
use serde_json::json;

use super::failure::Failure;
use super::output::{FormatFlag, Listing, note, say};
use super::store::{Missing, entropy, open, said};
use super::value::{label, user_name};
use crate::base::name::{Label, UserName};
use crate::base::system::random;
use crate::config::flags::StoreFlags;
use crate::delivery::ntfy::{is_drawn, topic};
use crate::delivery::web_push::subscription::Subscription;
use crate::engine::special::Device as Known;
use crate::portal::device::public_key as device_key;
use crate::server::hindrance::account;
use crate::store::admin::{Admin, UserFilter};
use crate::store::user_act::UserAct;
use crate::store::user_act::passkeys::PasskeyAct;

/// Add, list and revoke the devices that pushes go to, and revoke passkeys
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
        /// Where the channel finds it; for ntfy a new topic, which is printed
        #[arg(long, value_name = "ADDRESS")]
        address: Option<String>,
        /// What it signs its answers with: a public key of the curve P-256, base64url of 65 octets
        #[arg(long, value_name = "KEY", value_parser = public_key, requires = "address")]
        key: Option<[u8; 65]>,
        /// What it is called (the address; ntfy where that is a topic)
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// List the devices and passkeys of a user, or of everybody
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
    /// Say what a device approves with: a passkey of its user's, or nothing else
    Require {
        /// The user
        #[arg(value_parser = user_name)]
        user: UserName,
        /// The device, by its name or number
        device: String,
        /// passkey or none
        #[arg(value_enum)]
        what: Required,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// Take a device back, or a passkey: its answers count no more, also one that is being waited for
    Revoke {
        /// The user
        #[arg(value_parser = user_name)]
        user: UserName,
        /// The device or passkey, by its name or number
        device: String,
        #[command(flatten)]
        store: StoreFlags,
    },
}

/// What a device approves with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Required {
    Passkey,
    None,
}

impl Device {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Add { user, channel, address, key, name, store } => {
                let topic = if address.is_none() { Some(Topic::draw(&channel, &store)?) } else { None };
                // Read before the store is opened, which may give root up.
                let channels = said(&store)?.people.channels;
                let address = address
                    .unwrap_or_else(|| topic.as_ref().map(|topic| topic.0.clone()).unwrap_or_default());
                let called = if topic.is_some() { "ntfy" } else { &address };
                let key = key.as_ref().map(<[u8; 65]>::as_slice);
                let name = name.unwrap_or_else(|| called.chars().take(NAME_MAX).collect());
                let act =
                    UserAct::AddDevice { name: &name, channel: channel.clone(), address: &address, key };
                open(&store, Missing::Refuse)?.act_for(&user, &act).map_err(Failure::from)?;
                say(format!("added device {name} of {user}, reached by channel {channel}"))?;
                if !channels.is_empty() && channels.iter().all(|known| known.name != channel) {
                    note(format!(
                        "note: the configuration has no channel {channel}: nothing reaches this device"
                    ));
                }
                topic.map_or(Ok(()), |topic| topic.tell())
            }
            Action::List { user, all, format, store } => {
                let mut admin = open(&store, Missing::Refuse)?;
                list(&mut *admin, user, all)?.print(format.format)
            }
            Action::Revoke { user, device, store } => {
                let mut admin = open(&store, Missing::Refuse)?;
                let special = account(&mut *admin, &user).map_err(Failure::from)?.special;
                let number = device.parse::<i64>().ok();
                let named = |id: i64, name: &str| Some(id) == number || (name == device && number.is_none());
                let special = special.as_deref();
                let is_device = special.is_some_and(|special| {
                    special.active_devices().any(|known| named(known.id, &known.name))
                });
                let is_passkey = special
                    .is_some_and(|special| special.passkeys.iter().any(|known| named(known.id, &known.name)));
                let (act, what) = match (is_device, is_passkey) {
                    (true, true) => {
                        let hint = format!("say its number: radmfa device list {user}");
                        let what = format!("a device and a passkey of {user} are called {device}");
                        return Err(Failure::usage(what).hint(hint).into());
                    }
                    (false, true) => (UserAct::Passkey(PasskeyAct::Remove { passkey: &device }), "passkey"),
                    (_, false) => (UserAct::RevokeDevice { device: &device }, "device"),
                };
                admin.act_for(&user, &act).map_err(Failure::from)?;
                Ok(say(format!("{what} {device} of {user} is revoked"))?)
            }
            Action::Require { user, device, what, store } => {
                let passkey = what == Required::Passkey;
                let act = UserAct::Passkey(PasskeyAct::Demand { device: &device, passkey });
                open(&store, Missing::Refuse)?.act_for(&user, &act).map_err(Failure::from)?;
                let how = if passkey { "with a passkey alone" } else { "without a passkey" };
                Ok(say(format!("device {device} of {user} approves {how}"))?)
            }
        }
    }
}

/// A topic of ntfy that was drawn, and the server's URL where the configuration says it.
struct Topic(String, Option<String>);

impl Topic {
    fn draw(channel: &Label, store: &StoreFlags) -> anyhow::Result<Topic> {
        let known = said(store)?.people.channels.into_iter().find(|known| known.name == *channel);
        match known.as_ref().map(|known| known.way.as_str()) {
            Some("ntfy") | None => {}
            Some("web") => {
                return Err(Failure::usage(format!("a browser enrols itself for channel {channel}"))
                    .hint("radmfa user invite USER makes the link for it")
                    .into());
            }
            Some(_) => {
                return Err(Failure::usage(format!("channel {channel} finds a device by its address"))
                    .hint("--address ADDRESS")
                    .into());
            }
        }
        let url = known.map(|known| known.url.trim_end_matches('/').to_owned());
        Ok(Topic(topic(random(&mut entropy()?)), url))
    }

    fn tell(&self) -> anyhow::Result<()> {
        let Topic(topic, url) = self;
        if let Some(url) = url {
            say(format!("in the ntfy app subscribe to {url}/{topic}"))?;
        } else {
            say(format!("in the ntfy app subscribe to the topic {topic}"))?;
            note("note: with the configuration (--config) this names the server, too");
        }
        note(
            "whoever knows the topic sees that a login waits, and can press its buttons: give it to the user alone",
        );
        Ok(())
    }
}

/// What of an address is shown: a browser's keys and an ntfy topic are for nobody's eyes.
fn shown(device: &Known) -> String {
    if let Some(browser) = Subscription::parse(&device.address) {
        let host = browser.endpoint.split('/').nth(2).unwrap_or_default();
        return format!("a browser, by {host}");
    }
    if is_drawn(&device.address) { "a topic of ntfy".to_owned() } else { device.address.as_ref().to_owned() }
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
        let special = account(admin, &user).map_err(Failure::from)?.special;
        let devices = special.iter().flat_map(|special| &special.devices);
        for device in devices.filter(|device| all || device.is_active()) {
            listing.row([
                json!(user.as_str()),
                json!(&*device.name),
                json!(device.channel.as_str()),
                json!(shown(device)),
                json!(device.since.to_string()),
                json!(status(device)),
                json!(device.id.to_string()),
            ]);
        }
        for passkey in special.iter().flat_map(|special| &special.passkeys) {
            let last = passkey.used.map_or("never used".to_owned(), |moment| format!("used {moment}"));
            listing.row([
                json!(user.as_str()),
                json!(&*passkey.name),
                json!("passkey"),
                json!(if passkey.synced { "may be on several devices" } else { "on one device" }),
                json!(passkey.since.to_string()),
                json!(format!("active, {last}")),
                json!(passkey.id.to_string()),
            ]);
        }
    }
    Ok(listing)
}

fn status(device: &Known) -> String {
    let active = if device.passkey { "active, with a passkey alone" } else { "active" };
    device.revoked.map_or(active.to_owned(), |moment| format!("revoked {moment}"))
}

fn public_key(text: &str) -> Result<[u8; 65], String> {
    device_key(text).ok_or_else(|| "takes a point of the curve P-256: base64url of 65 octets".to_owned())
}
