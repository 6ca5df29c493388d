//! Invitations that are made by a page or a server: the secret, its hash in the store, and the message that brings the link.
//!
//! Invariants: the link is in nobody's hands but the caller's and the message's; none goes to a telephone number that was changed of
//! late.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use super::desk::{self, Desk, Person, Through};
use super::people::read;
use super::web::throttle::Throttle;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::system::random;
use crate::base::time::UnixTime;
use crate::engine::account::Account;
use crate::engine::delivery::{Delivery, DeliveryId, Kind, Message, Sent};
use crate::engine::record::LoginId;
use crate::factor::invite::Invitation;
use crate::server::answers::Answers;
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
            app: None,
            login: LoginId::from_round(random(&mut entropy)),
            language: said(contact.and_then(|contact| contact.language.as_deref())),
        })
    });
    Ok((link, delivery))
}

/// How long such an invitation is good.
const AGAIN: Duration = Duration::from_hours(24);
/// Why it was made.
const WITHDRAWN: &str = "the last second factor was taken away";

/// Invites users who have shown the right password and whose last factor was taken away, by the mail or phone on file: each once a day,
/// a hundred an hour in all.
pub(super) async fn whoever_lost_all(
    mut lost: Receiver<UserName>,
    desk: Desk,
    answers: Answers,
    url: Arc<str>,
) {
    let (of_one, of_all) = (Throttle::new(1, AGAIN), Throttle::new(100, Duration::from_hours(1)));
    let this_server = Person { name: "this server".into(), through: Through::Portal };
    while let Some(user) = lost.recv().await {
        let now = answers.clock().mono();
        if of_one.is_spent(&user, now) || !of_all.admits((), now) {
            continue;
        }
        match invite_again(&user, &desk, &answers, (&url, &this_server)).await {
            Ok(true) => {
                of_one.count(&user, now);
            }
            Ok(false) => {}
            Err(fault) => tracing::warn!(%user, %fault, "a user who lost all factors could not be invited"),
        }
    }
}

/// Whether somebody was invited who had to be.
async fn invite_again(
    user: &UserName,
    desk: &Desk,
    answers: &Answers,
    (url, who): (&Arc<str>, &Person),
) -> Result<bool, desk::Fault> {
    let (name, now) = (user.clone(), answers.now());
    let account = desk.read(move |admin| read(admin, &name)).await?;
    let needs = |account: &Account| {
        let special = account.special.as_deref();
        let is_invited = special.is_some_and(|special| special.invited(now).is_some());
        account.barred(now).is_none() && account.has_lost_all() && !is_invited
    };
    let Some(account) = account.filter(needs) else { return Ok(false) };
    let way = [Way::Email, Way::Sms]
        .into_iter()
        .find(|way| way.address(&account, now).is_ok() && answers.reaches(way.kind(), &account));
    let Some(way) = way else {
        tracing::warn!(%user, "the user lost all factors, and no mail or phone is on file: radmfa user invite");
        return Ok(false);
    };
    let (whom, at) = (account.clone(), Arc::clone(url));
    let made =
        desk.act(who, Some(WITHDRAWN), move |admin| make(admin, &whom, &at, (AGAIN, Some(way)), now)).await?;
    if let (_, Some(delivery)) = made
        && let Sent::Accepted { provider, .. } = answers.deliver(*delivery).await
    {
        tracing::info!(%user, channel = %provider, "the user lost all factors and was sent an invitation");
        return Ok(true);
    }
    // A link that nobody has is good for nobody.
    let name = user.clone();
    desk.act(who, Some("no channel took it"), move |admin| admin.act_for(&name, &UserAct::RevokeInvite))
        .await?;
    Ok(false)
}
