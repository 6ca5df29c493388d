//! Invitations that are made by a page or a server: the secret, its hash in the store, and the message that brings the link.
//!
//! Invariants: the link is in nobody's hands but the caller's and the message's; none goes to a telephone number that was changed of
//! late.

use std::sync::Arc;
use std::time::Duration;

use crate::base::secret::Secret;
use crate::base::system::random;
use crate::base::time::UnixTime;
use crate::engine::account::Account;
use crate::engine::delivery::{Delivery, DeliveryId, Kind, Message};
use crate::engine::record::LoginId;
use crate::factor::invite::Invitation;
use crate::server::system::SystemEntropy;
use crate::store::admin::{Admin, AdminFault};
use crate::store::user_act::UserAct;

/// How a link is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By mail.
    Email,
    /// By text message.
    Sms,
}

impl Way {
    /// Back from the words of forms and programs.
    #[must_use]
    pub fn parse(text: &str) -> Option<Way> {
        match text {
            "email" => Some(Way::Email),
            "sms" => Some(Way::Sms),
            _ => None,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Way::Email => Kind::Email,
            Way::Sms => Kind::Sms,
        }
    }

    /// Where it goes, if that is known and may be used at `now`.
    pub(super) fn address(self, account: &Account, now: UnixTime) -> Result<Arc<str>, AdminFault> {
        let contact = account.contact.as_deref();
        let held = account.special.as_deref().and_then(|special| special.holds_phone(now));
        let (known, what) = match self {
            Way::Email => (contact.and_then(|contact| contact.mail.as_deref()), "mail address"),
            Way::Sms if let Some(until) = held => {
                let what = format!("the telephone number was changed: nothing goes to it until {until}");
                return Err(AdminFault::Invalid(what));
            }
            Way::Sms => (contact.and_then(|contact| contact.phone.as_deref()), "telephone number"),
        };
        let missing = || AdminFault::Invalid(format!("no {what} of {} is known", account.name));
        Ok(known.filter(|known| !known.is_empty()).ok_or_else(missing)?.into())
    }
}

/// Invites the user of `account` to the portal at `url` for so long from `now`: the link, and the message that brings it where it is
/// to be sent.
pub(super) fn make(
    admin: &mut dyn Admin,
    account: &Account,
    url: &str,
    (span, way): (Duration, Option<Way>),
    now: UnixTime,
) -> Result<(String, Option<Box<Delivery>>), AdminFault> {
    let to = way.map(|way| Ok::<_, AdminFault>((way.kind(), way.address(account, now)?))).transpose()?;
    let mut entropy = SystemEntropy::new().map_err(|fault| AdminFault::Invalid(fault.to_string()))?;
    let invitation = Invitation::generate(account.name.clone(), &mut entropy);
    let link = format!("{url}/enrol/{}", *invitation.path());
    admin.act_for(&account.name, &UserAct::Invite { hash: invitation.hash(), span })?;
    let contact = account.contact.as_deref();
    let said = |text: Option<&str>| text.map(Arc::from);
    let delivery = to.map(|(kind, to)| {
        Box::new(Delivery {
            id: DeliveryId(0),
            kind,
            to,
            message: Message::Invited { link: Secret::from(link.as_str()) },
            attempt: 0,
            user: account.name.clone(),
            first: said(contact.and_then(|contact| contact.first.as_deref())),
            client: admin.origin().server.clone(),
            login: LoginId::from_round(random(&mut entropy)),
            language: said(contact.and_then(|contact| contact.language.as_deref())),
        })
    });
    Ok((link, delivery))
}
