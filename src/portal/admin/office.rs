//! What the admins' pages and the interface for programs work with, and the one way by which either changes anything.
//!
//! ```text
//! page ─┐                                   ┌─ may they? (who.rs)
//!       ├─ Office::perform ─ one desk turn ─┼─ the act, and its row with the person and why
//! API ──┘                                   └─ whoever has to hear of it
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::who::{Caller, Need, Refusal, Target};
use crate::base::name::{Label, UserName};
use crate::base::phone::{Phone, redact};
use crate::base::system::random;
use crate::base::text::is_unprintable;
use crate::base::time::UnixTime;
use crate::engine::account::Account;
use crate::engine::delivery::{Delivery, DeliveryId, Kind, Message, Notice, Sent};
use crate::engine::record::LoginId;
use crate::engine::role::Role;
use crate::factor::recovery::{RecoveryCode, SET};
use crate::portal::desk::{self, Desk};
use crate::portal::invite::{self, Way};
use crate::server::hindrance::account;
use crate::server::pulse::Pulse;
use crate::server::system::SystemEntropy;
use crate::store::admin::{Admin, AdminFault, UserFields};
use crate::store::user_act::passkeys::PasskeyAct;
use crate::store::user_act::{UserAct, WHY_MAX};

/// What pages and programs share.
#[derive(Clone)]
pub struct Office {
    /// The way to the store.
    pub desk: Desk,
    /// How the server stands.
    pub pulse: Pulse,
    /// For how long no code goes to a telephone number that was changed here.
    pub phone_hold: Duration,
    /// How users reach the portal; `None` where there is none.
    pub portal_url: Option<Arc<str>>,
}

/// Something that is done to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Wrong codes and wrong passwords are forgiven.
    Unlock,
    /// The user may not log in for so long.
    Block(Duration),
    /// A block ends.
    Unblock,
    /// The user may not log in at all.
    Disable,
    /// The user may log in again.
    Enable,
    /// The next login at a client needs no second factor, once.
    Bypass {
        /// Where.
        client: Label,
        /// From these stations alone.
        station: Option<IpNet>,
        /// For how long it is open.
        span: Duration,
    },
    /// No bypass is open any more.
    CancelBypasses,
    /// Ten new recovery codes, which end the earlier ones.
    Recovery,
    /// A link by which the user sets up a second factor, once; it ends the one before it.
    Invite {
        /// For how long it is good.
        span: Duration,
        /// How it is sent; `None`: it is shown.
        send: Option<Way>,
    },
    /// The link works no more.
    RevokeInvite,
    /// Another telephone number, or none.
    Phone(Option<String>),
    /// A token may be used, or not.
    SwitchToken {
        /// Which one.
        serial: Arc<str>,
        /// Whether.
        enabled: bool,
    },
    /// A token is removed with its seed.
    RemoveToken(Arc<str>),
    /// A device's answers count no more.
    RevokeDevice(String),
    /// The user has a passkey no more.
    RemovePasskey(String),
    /// A remembered factor, or with `None` every one, is so no more.
    EndSessions(Option<LoginId>),
    /// What the user may do at these pages.
    Role(Option<Role>),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is done.
    Plainly,
    /// These recovery codes, which are shown this once.
    Codes(Vec<String>),
    /// This link, which is shown this once.
    Link(String),
    /// The link went to this address, of which a stranger may see as much.
    Sent(String),
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// They may not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The store says no, or nobody has time.
    #[error(transparent)]
    Desk(#[from] desk::Fault),
}

impl Act {
    /// What it takes.
    #[must_use]
    pub fn need(&self) -> Need {
        match self {
            Act::Role(_) => Need::Manage,
            _ => Need::Help,
        }
    }
}

impl Office {
    /// Reads something. Whoever has a role may.
    pub async fn read<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce(&mut dyn Admin) -> Result<T, AdminFault> + Send + 'static,
    ) -> Result<T, Fault> {
        caller.may(Need::Read, None)?;
        Ok(self.desk.read(work).await?)
    }

    /// Does something to `user`, because of `why`.
    pub async fn perform(
        &self,
        caller: &Caller,
        user: &UserName,
        act: Act,
        why: &str,
    ) -> Result<Done, Fault> {
        // Whoever only reads need not say why.
        caller.may(act.need(), None)?;
        let why = said(why)?;
        let own = has_own_why(&act);
        let (who, name) = (caller.clone(), user.clone());
        let house = House { hold: self.phone_hold, portal: self.portal_url.clone(), now: self.pulse.now() };
        let reason: Arc<str> = why.into();
        let work = move |admin: &mut dyn Admin| {
            let account = account(admin, &name)?;
            let role = account.special.as_ref().and_then(|special| special.role);
            if let Err(refusal) = who.may(act.need(), Some(Target { name: &name, role })) {
                return Ok(Err(refusal));
            }
            carry_out(admin, &account, &act, &reason, &house).map(Ok)
        };
        let (done, mail) = self.desk.act(&caller.person(), (!own).then_some(why), work).await??;
        match mail {
            None => {}
            Some(Mail::Told(delivery)) => self.tell(*delivery),
            Some(Mail::Invited(delivery)) => return self.send(caller, user, *delivery).await,
        }
        Ok(done)
    }

    /// Sends a link; one that nobody has is good for nobody.
    async fn send(&self, caller: &Caller, user: &UserName, delivery: Delivery) -> Result<Done, Fault> {
        let (channels, to) = (self.pulse.channels(), redact(&delivery.to));
        if channels.reaches(delivery.kind, &delivery.to)
            && let Sent::Accepted { .. } = channels.send(delivery).await
        {
            return Ok(Done::Sent(to));
        }
        let name = user.clone();
        let revoke = move |admin: &mut dyn Admin| admin.act_for(&name, &UserAct::RevokeInvite);
        self.desk.act(&caller.person(), Some("no channel took it"), revoke).await?;
        Err(Fault::Invalid(format!("no channel took the message to {to}, so no link is good now")))
    }

    /// Has the old number hear of the new one; nobody waits for it.
    fn tell(&self, delivery: Delivery) {
        let channels = self.pulse.channels();
        let user = delivery.user.clone();
        let Some(kind) =
            [Kind::Sms, Kind::Voice].into_iter().find(|kind| channels.reaches(*kind, &delivery.to))
        else {
            tracing::warn!(%user, "no channel could tell the old telephone number that there is a new one");
            return;
        };
        let sending = channels.send(Delivery { kind, ..delivery });
        tokio::spawn(async move {
            match sending.await {
                Sent::Accepted { .. } => {
                    tracing::info!(%user, "the old telephone number was told of the new one");
                }
                Sent::Failed => {
                    tracing::warn!(%user, "the old telephone number could not be told of the new one");
                }
            }
        });
    }
}

/// Whether the act's own row says why.
fn has_own_why(act: &Act) -> bool {
    matches!(act, Act::Block(_) | Act::Unblock | Act::Bypass { .. } | Act::Recovery | Act::EndSessions(_))
}

/// What holds here, for an act.
struct House {
    hold: Duration,
    portal: Option<Arc<str>>,
    now: UnixTime,
}

/// A message that an act leaves.
enum Mail {
    /// Nobody waits for it.
    Told(Box<Delivery>),
    /// The act is nothing without it.
    Invited(Box<Delivery>),
}

type Carried = (Done, Option<Mail>);

fn carry_out(
    admin: &mut dyn Admin,
    account: &Account,
    act: &Act,
    why: &str,
    house: &House,
) -> Result<Carried, AdminFault> {
    let name = &account.name;
    let plainly = Ok((Done::Plainly, None));
    let user_act = match act {
        Act::Unlock => UserAct::Unlock,
        Act::Block(span) => UserAct::Block { span: *span, why },
        Act::Unblock => UserAct::Unblock { why: Some(why) },
        Act::Bypass { client, station, span } => {
            UserAct::Bypass { client: client.clone(), station: *station, span: *span, why }
        }
        Act::CancelBypasses => UserAct::CancelBypasses,
        Act::RevokeInvite => UserAct::RevokeInvite,
        Act::Invite { span, send } => {
            let nowhere =
                || AdminFault::Invalid("there is no portal here that a link could lead to".to_owned());
            let url = house.portal.as_deref().ok_or_else(nowhere)?;
            let (link, delivery) = invite::make(admin, account, url, (*span, *send), house.now)?;
            return Ok((Done::Link(link), delivery.map(Mail::Invited)));
        }
        Act::RevokeDevice(device) => UserAct::RevokeDevice { device },
        Act::RemovePasskey(passkey) => UserAct::Passkey(PasskeyAct::Remove { passkey }),
        Act::EndSessions(which) => UserAct::EndSessions { which: *which, why: Some(why) },
        Act::Role(role) => UserAct::SetRole { role: *role },
        Act::Disable | Act::Enable => {
            let disabled = *act == Act::Disable;
            admin.set_user(name, &mut |fields| fields.disabled = disabled)?;
            return plainly;
        }
        Act::SwitchToken { serial, enabled } => {
            owns(account, serial)?;
            admin.enable_token(serial, *enabled)?;
            return plainly;
        }
        Act::RemoveToken(serial) => {
            owns(account, serial)?;
            admin.remove_token(serial)?;
            return plainly;
        }
        Act::Recovery => return recovery(admin, name, why),
        Act::Phone(phone) => return change_phone(admin, account, phone.as_deref(), house.hold),
    };
    admin.act_for(name, &user_act)?;
    plainly
}

fn owns(account: &Account, serial: &str) -> Result<(), AdminFault> {
    let owns = account.tokens.iter().any(|token| *token.serial == *serial);
    owns.then_some(()).ok_or_else(|| AdminFault::Missing(format!("token {serial} of {}", account.name)))
}

fn recovery(admin: &mut dyn Admin, name: &UserName, why: &str) -> Result<Carried, AdminFault> {
    let mut entropy = SystemEntropy::new().map_err(|fault| AdminFault::Invalid(fault.to_string()))?;
    let codes: Vec<_> = (0..SET).map(|_| RecoveryCode::generate(&mut entropy)).collect();
    admin.act_for(name, &UserAct::Recovery { codes: &codes, why: Some(why) })?;
    Ok((Done::Codes(codes.iter().map(ToString::to_string).collect()), None))
}

/// The new number is held before it is there, so that no code ever goes to it too soon.
fn change_phone(
    admin: &mut dyn Admin,
    account: &Account,
    phone: Option<&str>,
    hold: Duration,
) -> Result<Carried, AdminFault> {
    let bad = |fault: crate::base::phone::PhoneFault| AdminFault::Invalid(fault.to_string());
    let phone = phone.map(|phone| Phone::parse(phone).map(|phone| phone.number().to_owned())).transpose();
    let phone = phone.map_err(bad)?;
    let contact = account.contact.as_deref();
    let old = contact.and_then(|contact| contact.phone.clone());
    if old.as_deref() == phone.as_deref() {
        return Err(AdminFault::Invalid("that is the number already".to_owned()));
    }
    if phone.is_some() && !hold.is_zero() {
        admin.act_for(&account.name, &UserAct::HoldPhone { span: hold })?;
    }
    let mut edit = |fields: &mut UserFields| {
        fields.phone.clone_from(&phone);
        // An extension belongs to its number.
        fields.extension = None;
    };
    admin.set_user(&account.name, &mut edit)?;
    let mut entropy = SystemEntropy::new().map_err(|fault| AdminFault::Invalid(fault.to_string()))?;
    let text = |text: Option<&str>| text.map(Arc::from);
    let told = old.map(|old| {
        Mail::Told(Box::new(Delivery {
            id: DeliveryId(0),
            kind: Kind::Sms,
            to: (&*old).into(),
            message: Message::Told(Notice::PhoneChanged),
            attempt: 0,
            user: account.name.clone(),
            first: text(contact.and_then(|contact| contact.first.as_deref())),
            client: admin.origin().server.clone(),
            app: None,
            login: LoginId::from_round(random(&mut entropy)),
            language: text(contact.and_then(|contact| contact.language.as_deref())),
        }))
    });
    Ok((Done::Plainly, told))
}

/// Refuses a reason that says nothing or too much.
fn said(why: &str) -> Result<&str, Fault> {
    let why = why.trim();
    if why.is_empty() || why.len() > WHY_MAX || why.chars().any(is_unprintable) {
        return Err(Fault::Invalid(format!("a reason has 1 to {WHY_MAX} octets of printable text")));
    }
    Ok(why)
}

/// An address or a block of addresses without stray bits.
pub fn network(text: &str) -> Result<IpNet, Fault> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => text.parse::<IpNet>().ok(),
    };
    network.filter(|network| network.trunc() == *network).ok_or_else(|| {
        Fault::Invalid("a station is an address or a block of them, such as 198.51.100.0/24".to_owned())
    })
}
