//! What an admin does for one user, whichever store keeps it: an act changes the user's [`Special`] and leaves a row in
//! the trail, in one transaction.

mod access;
mod codes;
mod devices;
mod invitations;
pub mod passkeys;

use std::time::Duration;

use ipnet::IpNet;

use self::passkeys::PasskeyAct;
use super::admin::AdminFault;
use super::keyring::Keyring;
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::system::{Entropy, random};
use crate::base::time::UnixTime;
use crate::engine::account::UserId;
use crate::engine::arming::ArmedBy;
use crate::engine::reason::Reason;
use crate::engine::record::{LoginId, Method, Tally};
use crate::engine::role::Role;
use crate::engine::special::{HashKey, HashKeys, Special};
use crate::factor::recovery::RecoveryCode;

/// The longest "why", in octets.
pub const WHY_MAX: usize = 200;
/// How long a bypass may be open.
pub const BYPASS_LEAST: Duration = Duration::from_secs(30);
/// How long a bypass may be open.
pub const BYPASS_MOST: Duration = Duration::from_hours(24);
/// How long a login may be armed.
pub const ARM_LEAST: Duration = Duration::from_secs(30);
/// How long a login may be armed.
pub const ARM_MOST: Duration = Duration::from_mins(10);
/// The names under which people log in on radmfa's own pages; nothing is armed there, since an arming counts as the second factor.
pub const DOORS: [&str; 2] = ["portal", "admin"];
/// Bypasses that a user may have open at once.
pub const BYPASSES_MAX: usize = 16;
/// How long a user may be blocked: ten years.
pub const BLOCK_MOST: Duration = Duration::from_hours(24 * 3653);

/// How long no code may go to a telephone number that somebody else changed: thirty days.
pub const HOLD_MOST: Duration = Duration::from_hours(24 * 30);

/// How long an unlock is remembered: no wrong password counts for longer.
const FORGIVEN: Duration = Duration::from_hours(24);

/// What is to be done.
#[derive(Clone, Debug)]
pub enum UserAct<'a> {
    /// The user may not log in for a time. Replaces a block that holds already.
    Block {
        /// For how long from now, at most [`BLOCK_MOST`].
        span: Duration,
        /// Why.
        why: &'a str,
    },
    /// A block ends before its time.
    Unblock {
        /// Why, if said.
        why: Option<&'a str>,
    },
    /// Wrong codes and wrong passwords are forgiven.
    Unlock,
    /// These recovery codes work from now on, earlier ones do not.
    Recovery {
        /// The codes.
        codes: &'a [RecoveryCode],
        /// Why, if said.
        why: Option<&'a str>,
    },
    /// The next login needs no second factor.
    Bypass {
        /// At this client.
        client: Label,
        /// From these stations, if said.
        station: Option<IpNet>,
        /// For how long from now, [`BYPASS_LEAST`] to [`BYPASS_MOST`].
        span: Duration,
        /// Why.
        why: &'a str,
    },
    /// The next login at a client that wants to be armed first is let in.
    Arm {
        /// Which client.
        client: Label,
        /// For how long from now, [`ARM_LEAST`] to [`ARM_MOST`].
        span: Duration,
        /// Who says so, and with what.
        by: ArmedBy,
    },
    /// What was armed is so no more.
    Disarm {
        /// At this client.
        client: Label,
    },
    /// No bypass is open any more.
    CancelBypasses,
    /// This is the user's PIN from now on.
    SetPin(&'a Secret),
    /// The user has no PIN any more.
    RemovePin,
    /// Second factors that are remembered are so no more.
    EndSessions {
        /// The one that began with this login; `None` for all.
        which: Option<LoginId>,
        /// Why, if said.
        why: Option<&'a str>,
    },
    /// Pushes go to this from now on. An active device of that name is taken back.
    AddDevice {
        /// What it is called, 1 to 64 octets of printable text.
        name: &'a str,
        /// The channel that reaches it.
        channel: Label,
        /// Where that finds it, 1 to [`ADDRESS_MAX`] octets of printable text.
        address: &'a str,
        /// What it signs its answers with, where it does: a public key of the curve P-256, 65 octets.
        key: Option<&'a [u8]>,
    },
    /// The user may do this at the admins' pages from now on, and what the role before allowed no more.
    SetRole {
        /// `None`: nothing.
        role: Option<Role>,
    },
    /// No code goes to the user's telephone number for so long from now, at most [`HOLD_MOST`]; zero ends that.
    HoldPhone {
        /// How long.
        span: Duration,
    },
    /// Whoever has the link may set up a second factor, once. Ends the invitation before it.
    Invite {
        /// What is kept of its secret.
        hash: [u8; 32],
        /// For how long from now, [`INVITE_LEAST`] to [`INVITE_MOST`].
        span: Duration,
    },
    /// The invitation works no more.
    RevokeInvite,
    /// The user sets up a second factor by the invitation of this hash, which is used up.
    TakeInvite {
        /// Of the secret that was shown.
        hash: [u8; 32],
    },
    /// The active device with this number is called so from now on.
    RenameDevice {
        /// Which one.
        device: i64,
        /// 1 to 64 octets of printable text; no other active device of the user is called so.
        name: &'a str,
    },
    /// The answers of the active device of this name, or number, count no more.
    RevokeDevice {
        /// Which one.
        device: &'a str,
    },
    /// Something is done with a passkey.
    Passkey(PasskeyAct<'a>),
    /// The same of the device with this number, whose channel cannot reach it any more.
    DeviceGone {
        /// Which one.
        device: i64,
    },
}

/// The longest address of a device, in octets.
pub const ADDRESS_MAX: usize = 1024;
/// How long an invitation may be good.
pub const INVITE_LEAST: Duration = Duration::from_mins(1);
/// How long an invitation may be good: thirty days.
pub const INVITE_MOST: Duration = Duration::from_hours(24 * 30);
/// The most active devices of one user.
pub const DEVICES_MAX: usize = 10;
/// How many revoked ones are remembered.
const REVOKED_MAX: usize = 20;

/// Derives the keys that recovery codes and PINs are hashed under.
pub(super) fn hash_keys(ring: &Keyring) -> HashKeys {
    let [recovery, pin] = ["recovery", "pin"];
    let others = ring.derive_others(recovery).into_iter().zip(ring.derive_others(pin));
    HashKeys {
        present: HashKey { recovery: ring.derive(recovery), pin: ring.derive(pin) },
        others: others.map(|(recovery, pin)| HashKey { recovery, pin }).collect(),
    }
}

impl UserAct<'_> {
    /// What the row in the trail says.
    pub(super) fn reason(&self) -> Reason {
        match self {
            UserAct::Block { .. } => Reason::Blocked,
            UserAct::Unblock { .. } => Reason::Unblocked,
            UserAct::Unlock => Reason::Unlocked,
            UserAct::Recovery { .. } => Reason::RecoveryIssued,
            UserAct::Bypass { .. } => Reason::BypassOpened,
            UserAct::Arm { .. } => Reason::Armed,
            UserAct::Disarm { .. } => Reason::Disarmed,
            UserAct::CancelBypasses => Reason::BypassCancelled,
            UserAct::SetPin(_) => Reason::PinSet,
            UserAct::RemovePin => Reason::PinRemoved,
            UserAct::EndSessions { .. } => Reason::SessionEnded,
            UserAct::Invite { .. } => Reason::Invited,
            UserAct::RevokeInvite => Reason::InviteRevoked,
            UserAct::TakeInvite { .. } => Reason::InviteUsed,
            UserAct::AddDevice { .. } => Reason::DeviceAdded,
            UserAct::RevokeDevice { .. } | UserAct::DeviceGone { .. } => Reason::DeviceRevoked,
            UserAct::Passkey(act) => act.reason(),
            UserAct::RenameDevice { .. } => Reason::DeviceRenamed,
            UserAct::SetRole { .. } => Reason::RoleChanged,
            UserAct::HoldPhone { .. } => Reason::PhoneHeld,
        }
    }

    /// What the row does to the count of wrong codes.
    pub(super) fn tally(&self) -> Tally {
        if matches!(self, UserAct::Unlock) { Tally::Clear } else { Tally::Keep }
    }

    /// What the row says beside its reason: how long, where, and why.
    pub(super) fn note(&self, now: UnixTime) -> String {
        match self {
            UserAct::Block { span, why } => format!("until {}: {}", now + *span, why.trim()),
            UserAct::Bypass { client, station, span, why } => {
                let station = station.map(|net| format!(" from {net}")).unwrap_or_default();
                format!("at {client}{station} until {}: {}", now + *span, why.trim())
            }
            UserAct::Arm { client, span, by } => {
                let by = match by {
                    ArmedBy::Desk => String::new(),
                    ArmedBy::User { method, .. } => format!(" by {}", method.code()),
                };
                format!("at {client} until {}{by}", now + *span)
            }
            UserAct::Disarm { client } => format!("at {client}"),
            UserAct::Unblock { why } | UserAct::Recovery { why, .. } => {
                why.unwrap_or_default().trim().to_owned()
            }
            UserAct::EndSessions { which, why } => {
                let which = which.map_or_else(|| "all".to_owned(), |login| login.to_string());
                let why = why.map(|why| format!(": {}", why.trim())).unwrap_or_default();
                format!("{which}{why}")
            }
            UserAct::Unlock
            | UserAct::CancelBypasses
            | UserAct::SetPin(_)
            | UserAct::RemovePin
            | UserAct::RevokeInvite
            | UserAct::TakeInvite { .. } => String::new(),
            UserAct::Passkey(act) => act.note(),
            UserAct::AddDevice { name, channel, .. } => format!("{name} by {channel}"),
            UserAct::RenameDevice { device, name } => format!("{device}: {}", name.trim()),
            UserAct::RevokeDevice { device } => (*device).to_owned(),
            UserAct::DeviceGone { device } => format!("{device}: its push service does not know it any more"),
            UserAct::SetRole { role } => role.map_or("none", Role::code).to_owned(),
            UserAct::HoldPhone { span } if span.is_zero() => "no more".to_owned(),
            UserAct::Invite { span, .. } | UserAct::HoldPhone { span } => format!("until {}", now + *span),
        }
    }

    /// Does it. Whatever time has ended is forgotten on the way.
    pub(super) fn apply(
        &self,
        special: &mut Special,
        user: UserId,
        keys: &HashKeys,
        now: UnixTime,
        entropy: &mut dyn Entropy,
    ) -> Result<(), AdminFault> {
        special.bypasses.retain(|bypass| now < bypass.until);
        special.armed.retain(|armed| now < armed.until);
        special.block.take_if(|block| block.until <= now);
        special.sessions.retain(|session| now < session.until);
        special.phone_held.take_if(|until| *until <= now);
        special.unlocked.take_if(|unlocked| now.since(*unlocked) > FORGIVEN);
        special.invite.take_if(|invite| invite.until <= now);
        match self {
            UserAct::Block { span, why } => access::block(special, now, *span, why)?,
            UserAct::Unblock { why } => {
                why.map(reason_said).transpose()?;
                special.block.take().ok_or_else(|| AdminFault::Missing("block that holds".to_owned()))?;
                special.unlocked = Some(now);
            }
            UserAct::Unlock => special.unlocked = Some(now),
            UserAct::Recovery { codes, why } => {
                codes::issue(special, user, keys, now, (codes, *why), entropy)?;
            }
            UserAct::Bypass { client, station, span, why } => {
                access::open_bypass(special, now, (client, *station, *span), why, entropy)?;
            }
            UserAct::Arm { client, span, by } => access::arm(special, now, (client, *span, *by), entropy)?,
            UserAct::Disarm { client } => access::disarm(special, client)?,
            UserAct::CancelBypasses => access::cancel_bypasses(special)?,
            UserAct::SetPin(secret) => codes::set_pin(special, user, keys, now, secret)?,
            UserAct::RemovePin => codes::remove_pin(special)?,
            UserAct::EndSessions { which, why } => access::end_sessions(special, *which, *why)?,
            UserAct::AddDevice { name, channel, address, key } => {
                devices::add(special, now, (name, channel, address, *key), entropy)?;
            }
            UserAct::Passkey(act) => {
                act.apply(special, now, entropy)?;
                if matches!(act, PasskeyAct::Remove { .. }) {
                    access::disarm_by(special, Method::Passkey);
                }
            }
            UserAct::SetRole { role } => {
                if special.role == *role {
                    let what = role.map_or_else(
                        || "the user has no role".to_owned(),
                        |role| format!("the user is {role} already"),
                    );
                    return Err(AdminFault::Invalid(what));
                }
                special.role = *role;
                if role.is_some() {
                    // It may be in the hands of somebody who may invite users, but not whoever has a role.
                    special.invite = None;
                }
            }
            UserAct::HoldPhone { span } => {
                if *span > HOLD_MOST {
                    return Err(AdminFault::Invalid("a number is held for thirty days at most".to_owned()));
                }
                special.phone_held = (!span.is_zero()).then(|| now + *span);
            }
            UserAct::Invite { hash, span } => invitations::invite(special, now, *hash, *span)?,
            UserAct::RevokeInvite => invitations::revoke(special)?,
            UserAct::TakeInvite { hash } => invitations::take(special, hash)?,
            UserAct::RenameDevice { device, name } => devices::rename(special, *device, name)?,
            UserAct::RevokeDevice { device } => {
                let number = device.parse::<i64>().ok();
                // The number first: users name their devices, and a name may be another's number.
                devices::revoke(special, now, |known| Some(known.id) == number)
                    .or_else(|| devices::revoke(special, now, |known| *known.name == **device))
                    .ok_or_else(|| AdminFault::Missing(format!("active device called {device}")))?;
                access::disarm_by(special, Method::Push);
            }
            UserAct::DeviceGone { device } => {
                devices::revoke(special, now, |known| known.id == *device)
                    .ok_or_else(|| AdminFault::Missing(format!("active device {device}")))?;
                access::disarm_by(special, Method::Push);
            }
        }
        Ok(())
    }
}

/// Refuses a reason that says nothing or too much.
fn reason_said(why: &str) -> Result<&str, AdminFault> {
    said("a reason", why, WHY_MAX)
}

/// Refuses a text that says nothing or too much; `what` is what it is.
fn said<'a>(what: &str, text: &'a str, most: usize) -> Result<&'a str, AdminFault> {
    let text = text.trim();
    let plain = !text.chars().any(crate::base::text::is_unprintable);
    if text.is_empty() || text.len() > most || !plain {
        return Err(AdminFault::Invalid(format!("{what} has 1 to {most} octets of printable text")));
    }
    Ok(text)
}

/// A number never used again.
fn number(entropy: &mut dyn Entropy) -> i64 {
    i64::from_be_bytes(random(entropy)) & i64::MAX
}

#[cfg(test)]
mod tests {
    use super::super::seal::SealKey;
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::Tick;

    pub(super) const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    /// Does `act` to `special`, as of `now`.
    pub(super) fn act(special: &mut Special, act: &UserAct<'_>, now: UnixTime) -> Result<(), String> {
        let keys = hash_keys(&Keyring::new(SealKey::parse(&[7; 32]).unwrap()));
        let mut entropy = Fixed { mono: Tick(0), unix: NOW, seed: now.0 };
        act.apply(special, UserId(1), &keys, now, &mut entropy).map_err(|fault| fault.to_string())
    }
}
