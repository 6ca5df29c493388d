//! `radmfa user bypass`: the next login needs the password alone, once, for somebody whose phone is at home.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::json;

use crate::base::name::{Label, UserName};
use crate::cli::failure::Failure;
use crate::cli::output::{FormatFlag, Listing, note, say};
use crate::cli::store::{clock, said};
use crate::cli::value::{label, span, user_name};
use crate::cli::why::{Why, why};
use crate::config::flags::StoreFlags;
use crate::server::hindrance::{account, hindrances};
use crate::server::past::Past;
use crate::store::admin::Admin;
use crate::store::user_act::UserAct;

/// Let a user's next login at a client in without a second factor, once
#[derive(Debug, clap::Args)]
pub(crate) struct Bypass {
    /// The user
    #[arg(value_parser = user_name)]
    name: UserName,
    /// For how long it is open, 30s to 24h
    #[arg(long = "for", value_name = "TIME", value_parser = span, required_unless_present_any = ["list", "cancel"])]
    span: Option<Duration>,
    /// The client that the login comes from, by its name in the configuration
    #[arg(long, value_name = "NAME", value_parser = label, required_unless_present_any = ["list", "cancel"])]
    client: Option<Label>,
    /// The address or block that Calling-Station-Id has to lie in
    #[arg(long, value_name = "NET", value_parser = network)]
    station: Option<IpNet>,
    /// Why, for whoever wonders later
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["list", "cancel"])]
    reason: Option<String>,
    /// List what is open
    #[arg(long, conflicts_with_all = ["span", "client", "station", "reason", "cancel"])]
    list: bool,
    /// Close what is open
    #[arg(long, conflicts_with_all = ["span", "client", "station"])]
    cancel: bool,
    #[command(flatten)]
    format: FormatFlag,
    #[command(flatten)]
    store: StoreFlags,
}

impl Bypass {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Bypass { name, span, client, station, reason, list, cancel, format, store } = self;
        let settings = said(&store)?;
        let why = Why {
            reason: if cancel {
                reason.as_deref().map(why).transpose().map_err(Failure::usage)?
            } else {
                None
            },
        };
        let mut admin = why.open(&store)?;
        if list {
            return listing(&mut *admin, &name)?.print(format.format);
        }
        if cancel {
            admin.act_for(&name, &UserAct::CancelBypasses).map_err(Failure::from)?;
            return Ok(say(format!("no bypass is open for {name} any more"))?);
        }
        let (Some(span), Some(client), Some(reason)) = (span, client, reason) else {
            return Err(Failure::usage("a bypass takes --for, --client and --reason").into());
        };
        let act = UserAct::Bypass { client: client.clone(), station, span, why: &reason };
        admin.act_for(&name, &act).map_err(Failure::from)?;
        let now = clock().unix();
        let until = now + span;
        say(format!("the next login of {name} at {client} until {until} needs the password alone, once"))?;
        let known = &settings.people.asked;
        if !known.is_empty() && known.iter().all(|asked| asked.client != client) {
            note(format!("warning: the configuration has no client {client}; nobody comes in by this"));
        }
        let account = account(&mut *admin, &name).map_err(Failure::from)?;
        let past = Past::read(&mut *admin, &account, &settings.people, now).map_err(Failure::from)?;
        for hindrance in hindrances(&account, &settings.people, &past, now) {
            if hindrance.bars_a_bypass() {
                note(format!("warning: {name} cannot log in all the same: {}", hindrance.sentence()));
            }
        }
        Ok(())
    }
}

fn listing(admin: &mut dyn Admin, name: &UserName) -> anyhow::Result<Listing> {
    let now = clock().unix();
    let special = account(admin, name).map_err(Failure::from)?.special;
    let mut listing = Listing::new(&["client", "station", "since", "until", "reason"]);
    let open = special.iter().flat_map(|special| &special.bypasses);
    for bypass in open.filter(|bypass| now < bypass.until) {
        listing.row([
            json!(bypass.client.as_str()),
            json!(bypass.station.map(|net| net.to_string())),
            json!(bypass.since.to_string()),
            json!(bypass.until.to_string()),
            json!(&*bypass.why),
        ]);
    }
    Ok(listing)
}

/// An address or a block without stray bits.
fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address.to_canonical()),
        Err(_) => text.parse::<IpNet>().map_err(|_| "takes an address or a CIDR block".to_owned())?,
    };
    if network.trunc() == network {
        Ok(network)
    } else {
        Err(format!("has bits set beyond its prefix: write {} or {}", network.trunc(), network.addr()))
    }
}
