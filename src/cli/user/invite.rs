//! `radmfa user invite`: a link by which a user sets up a second factor, shown as a QR code too, or sent to the user.

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use crate::base::name::UserName;
use crate::base::phone::redact;
use crate::base::secret::Secret;
use crate::base::system::random;
use crate::cli::channel;
use crate::cli::failure::Failure;
use crate::cli::output::{note, say};
use crate::cli::store::{clock, entropy, machine, said};
use crate::cli::token::make::show;
use crate::cli::value::{span, user_name};
use crate::cli::why::Why;
use crate::config::flags::StoreFlags;
use crate::config::{self, Effective};
use crate::engine::delivery::{Delivery, DeliveryId, Kind, Message, Sent};
use crate::engine::record::LoginId;
use crate::factor::invite::Invitation;
use crate::server::hindrance::account;
use crate::store::admin::UserDetails;
use crate::store::user_act::UserAct;

/// Invite a user to set up a second factor: a link that works once
///
/// It ends the invitation before it. Whoever has the link can set up a second factor for the user, so it belongs to nobody else.
#[derive(Debug, clap::Args)]
pub(crate) struct Invite {
    /// The user
    #[arg(value_parser = user_name)]
    name: UserName,
    /// For how long the link is good, 1m to 30d
    #[arg(long = "for", value_name = "TIME", value_parser = span, default_value = "24h")]
    span: Duration,
    /// Send the link to the user's address or telephone, by the configuration's channels, rather than show it
    #[arg(long, value_name = "WAY", value_enum)]
    send: Option<Way>,
    /// How the portal is reached, where the configuration does not say: scheme, host and port
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Take the invitation back instead
    #[arg(long, conflicts_with_all = ["send", "url"])]
    revoke: bool,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    store: StoreFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    Email,
    Sms,
}

impl Way {
    fn kind(self) -> Kind {
        match self {
            Way::Email => Kind::Email,
            Way::Sms => Kind::Sms,
        }
    }
}

impl Invite {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Invite { name, span, send, url, revoke, why, store } = self;
        if revoke {
            why.open(&store)?.act_for(&name, &UserAct::RevokeInvite).map_err(Failure::from)?;
            return Ok(say(format!("the invitation of {name} works no more"))?);
        }
        // Read before the store is opened, which may give root up.
        let configured = said(&store)?.public_url;
        let url = url.map(|url| url.trim_end_matches('/').to_owned());
        let url = url.or_else(|| configured.as_deref().map(str::to_owned)).ok_or_else(|| {
            Failure::usage("nobody knows how the portal is reached, so there is no link")
                .hint("[portal] public-url in the configuration, or --url https://mfa.example.com")
        })?;
        let effective = send.map(|_| configuration(&store)).transpose()?;
        let mut random_source = entropy()?;
        let invitation = Invitation::generate(name.clone(), &mut random_source);
        let link = format!("{url}/enrol/{}", *invitation.path());
        let mut admin = why.open(&store)?;
        let user = admin.user(&name).map_err(Failure::from)?;
        let address = send.map(|way| address(&user, way)).transpose()?;
        if send == Some(Way::Sms) {
            let now = clock().unix();
            let account = account(&mut *admin, &name).map_err(Failure::from)?;
            if let Some(until) = account.special.as_deref().and_then(|special| special.holds_phone(now)) {
                let what = format!("the telephone number was changed: nothing goes to it until {until}");
                return Err(Failure::failed(what).hint("without --send the link is shown").into());
            }
        }
        admin.act_for(&name, &UserAct::Invite { hash: invitation.hash(), span }).map_err(Failure::from)?;
        let until = clock().unix() + span;
        if let (Some(way), Some(address), Some(effective)) = (send, address, effective) {
            let message = Message::Invited { link: Secret::from(link.as_str()) };
            let delivery = Delivery {
                id: DeliveryId(0),
                kind: way.kind(),
                to: address,
                message,
                attempt: 0,
                user: name.clone(),
                first: user.fields.first_name.as_deref().map(Into::into),
                client: effective.server.server_name.clone(),
                app: None,
                login: LoginId::from_round(random(&mut random_source)),
                language: user.fields.language.as_deref().map(Into::into),
            };
            let to = redact(&delivery.to);
            if !sent(&effective, delivery)? {
                // A link that nobody has is good for nobody.
                admin.act_for(&name, &UserAct::RevokeInvite).map_err(Failure::from)?;
                return Err(Failure::failed(format!(
                    "no channel took the message to {to}; nothing is good now"
                ))
                .hint("radmfa channel send tries one; without --send the link is shown")
                .into());
            }
            return Ok(say(format!("{name} was sent a link to {to}, good once until {until}"))?);
        }
        note(format!("a link for {name} alone, good once until {until}; it is shown this once:"));
        show(&link)
    }
}

fn address(user: &UserDetails, way: Way) -> anyhow::Result<Arc<str>> {
    let (known, what, flag) = match way {
        Way::Email => (&user.fields.mail, "mail address", "--mail"),
        Way::Sms => (&user.fields.phone, "telephone number", "--phone"),
    };
    let missing = || {
        Failure::failed(format!("no {what} of {} is known", user.name))
            .hint(format!("radmfa user set {} {flag} …", user.name))
    };
    Ok(known.as_deref().ok_or_else(missing)?.into())
}

fn configuration(store: &StoreFlags) -> anyhow::Result<Effective> {
    let loaded = config::load(&store.server(), &machine());
    let wrong = |_| {
        Failure::usage("the configuration that the message would be sent by is wrong")
            .hint("radmfa check says what; nothing was changed")
    };
    Ok(loaded.map_err(wrong)?.0)
}

fn sent(effective: &Effective, delivery: Delivery) -> anyhow::Result<bool> {
    let channels = channel::open(effective).map_err(|fault| Failure::failed(fault.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(matches!(runtime.block_on(channels.send(delivery)), Sent::Accepted { .. }))
}
