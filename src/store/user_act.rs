//! What an admin does for one user, whichever store keeps it: an act changes the user's [`Special`] and leaves a row in
//! the trail, in one transaction.

use std::time::Duration;

use ipnet::IpNet;

use super::admin::AdminFault;
use super::keyring::Keyring;
use crate::base::name::Label;
use crate::base::secret::{Secret, same};
use crate::base::system::{Entropy, random};
use crate::base::time::UnixTime;
use crate::engine::account::UserId;
use crate::engine::reason::Reason;
use crate::engine::record::{LoginId, Method, Tally};
use crate::engine::role::Role;
use crate::engine::special::{
    Armed, Block, Bypass, Device, HashKey, HashKeys, Invite, Pin, Recovery, Special,
};
use crate::factor::pin;
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
    /// The answers of the active device of this name, or number, count no more.
    RevokeDevice {
        /// Which one.
        device: &'a str,
    },
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
            UserAct::CancelBypasses => Reason::BypassCancelled,
            UserAct::SetPin(_) => Reason::PinSet,
            UserAct::RemovePin => Reason::PinRemoved,
            UserAct::EndSessions { .. } => Reason::SessionEnded,
            UserAct::Invite { .. } => Reason::Invited,
            UserAct::RevokeInvite => Reason::InviteRevoked,
            UserAct::TakeInvite { .. } => Reason::InviteUsed,
            UserAct::AddDevice { .. } => Reason::DeviceAdded,
            UserAct::RevokeDevice { .. } | UserAct::DeviceGone { .. } => Reason::DeviceRevoked,
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
            UserAct::Arm { client, span } => format!("at {client} until {}", now + *span),
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
            UserAct::AddDevice { name, channel, .. } => format!("{name} by {channel}"),
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
            UserAct::Block { span, why } => {
                let why = reason_said(why)?;
                if span.is_zero() || *span > BLOCK_MOST {
                    return Err(AdminFault::Invalid("a block lasts up to ten years".to_owned()));
                }
                special.block = Some(Block { since: now, until: now + *span, why: why.into() });
                special.sessions.clear();
                special.armed.clear();
            }
            UserAct::Unblock { why } => {
                why.map(reason_said).transpose()?;
                special.block.take().ok_or_else(|| AdminFault::Missing("block that holds".to_owned()))?;
            }
            UserAct::Unlock => special.unlocked = Some(now),
            UserAct::Recovery { codes, why } => {
                why.map(reason_said).transpose()?;
                special.sessions.retain(|session| session.method != Method::Recovery);
                special.recovery = codes
                    .iter()
                    .map(|code| Recovery {
                        id: number(entropy),
                        hash: code.hash(&keys.present.recovery, user.0),
                        since: now,
                        used: false,
                    })
                    .collect();
            }
            UserAct::Bypass { client, station, span, why } => {
                let why = reason_said(why)?;
                if !(BYPASS_LEAST..=BYPASS_MOST).contains(span) {
                    return Err(AdminFault::Invalid("a bypass is open for 30 s to 24 h".to_owned()));
                }
                if special.bypasses.len() >= BYPASSES_MAX {
                    let what = format!("the user has {BYPASSES_MAX} bypasses open: cancel them first");
                    return Err(AdminFault::Invalid(what));
                }
                special.bypasses.push(Bypass {
                    id: number(entropy),
                    client: client.clone(),
                    station: *station,
                    since: now,
                    until: now + *span,
                    why: why.into(),
                });
            }
            UserAct::Arm { client, span } => {
                if !(ARM_LEAST..=ARM_MOST).contains(span) {
                    return Err(AdminFault::Invalid("a login is armed for 30 s to 10 min".to_owned()));
                }
                if DOORS.contains(&client.as_str()) {
                    let what = "a login on radmfa's own pages is never armed: it wants a second factor";
                    return Err(AdminFault::Invalid(what.to_owned()));
                }
                if special.blocked(now).is_some() {
                    return Err(AdminFault::Invalid("the user is blocked".to_owned()));
                }
                // Armed again is armed once.
                special.armed.retain(|armed| armed.client != *client);
                if special.armed.len() >= BYPASSES_MAX {
                    return Err(AdminFault::Invalid(
                        "too many logins are armed: wait a few minutes".to_owned(),
                    ));
                }
                let (client, until) = (client.clone(), now + *span);
                special.armed.push(Armed { id: number(entropy), client, since: now, until });
            }
            UserAct::CancelBypasses => {
                if special.bypasses.is_empty() {
                    return Err(AdminFault::Missing("bypass open".to_owned()));
                }
                special.bypasses.clear();
            }
            UserAct::SetPin(secret) => {
                set_pin(special, user, keys, now, secret)?;
                special.sessions.clear();
            }
            UserAct::RemovePin => {
                let old = special.pin.take().ok_or_else(|| AdminFault::Missing("PIN".to_owned()))?;
                remember(special, &old);
                special.sessions.clear();
            }
            UserAct::EndSessions { which, why } => {
                why.map(reason_said).transpose()?;
                let before = special.sessions.len();
                special.sessions.retain(|session| which.is_some_and(|login| session.id != login));
                if special.sessions.len() == before {
                    return Err(AdminFault::Missing("remembered factor of the user".to_owned()));
                }
            }
            UserAct::AddDevice { name, channel, address, key } => {
                let device = Device {
                    id: number(entropy),
                    name: said("a device's name", name, 64)?.into(),
                    channel: channel.clone(),
                    address: said("a device's address", address, ADDRESS_MAX)?.into(),
                    key: key.map(Into::into),
                    since: now,
                    revoked: None,
                };
                add_device(special, device, now)?;
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
            }
            UserAct::HoldPhone { span } => {
                if *span > HOLD_MOST {
                    return Err(AdminFault::Invalid("a number is held for thirty days at most".to_owned()));
                }
                special.phone_held = (!span.is_zero()).then(|| now + *span);
            }
            UserAct::Invite { hash, span } => {
                if !(INVITE_LEAST..=INVITE_MOST).contains(span) {
                    return Err(AdminFault::Invalid("an invitation is good for 1 min to 30 days".to_owned()));
                }
                special.invite = Some(Invite { hash: *hash, since: now, until: now + *span });
            }
            UserAct::RevokeInvite => {
                special.invite.take().ok_or_else(no_invite)?;
            }
            UserAct::TakeInvite { hash } => {
                special.invite.take_if(|invite| same(&invite.hash, hash)).ok_or_else(no_invite)?;
            }
            UserAct::RevokeDevice { device } => {
                let number = device.parse::<i64>().ok();
                revoke(special, now, |known| *known.name == **device || Some(known.id) == number)
                    .ok_or_else(|| AdminFault::Missing(format!("active device called {device}")))?;
            }
            UserAct::DeviceGone { device } => {
                revoke(special, now, |known| known.id == *device)
                    .ok_or_else(|| AdminFault::Missing(format!("active device {device}")))?;
            }
        }
        Ok(())
    }
}

/// Takes back the first active device that is `wanted`; `None` where there is none.
fn revoke(special: &mut Special, now: UnixTime, wanted: impl Fn(&Device) -> bool) -> Option<()> {
    let device = special.devices.iter_mut().find(|known| known.is_active() && wanted(known))?;
    device.revoked = Some(now);
    // Which device it was, a session does not know.
    special.sessions.retain(|session| session.method != Method::Push);
    Some(())
}

fn no_invite() -> AdminFault {
    AdminFault::Missing("invitation that is still good".to_owned())
}

/// One more device; one of the same name is enrolled anew, and the old one's answers count no more.
fn add_device(special: &mut Special, device: Device, now: UnixTime) -> Result<(), AdminFault> {
    for old in special.devices.iter_mut().filter(|old| old.is_active() && old.name == device.name) {
        old.revoked = Some(now);
        special.sessions.retain(|session| session.method != Method::Push);
    }
    if special.active_devices().count() >= DEVICES_MAX {
        let what = format!("the user has {DEVICES_MAX} devices: revoke one first");
        return Err(AdminFault::Invalid(what));
    }
    special.devices.push(device);
    while special.devices.iter().filter(|device| !device.is_active()).count() > REVOKED_MAX {
        let oldest = special.devices.iter().position(|device| !device.is_active());
        oldest.map(|place| special.devices.remove(place));
    }
    Ok(())
}

fn set_pin(
    special: &mut Special,
    user: UserId,
    keys: &HashKeys,
    now: UnixTime,
    secret: &Secret,
) -> Result<(), AdminFault> {
    pin::check(secret).map_err(|fault| AdminFault::Invalid(fault.to_string()))?;
    let hash = pin::hash(&keys.present.pin, user.0, secret.expose());
    let present = special.pin.iter().map(|pin| &pin.hash);
    let mut known = special.pins_before.iter().chain(present);
    if known.any(|before| keys.is_pin(before, user.0, secret.expose())) {
        let what = format!("this PIN is one of the last {}; choose another", pin::HISTORY);
        return Err(AdminFault::Invalid(what));
    }
    if let Some(old) = special.pin.replace(Pin { hash, since: now }) {
        remember(special, &old);
    }
    Ok(())
}

/// Keeps a PIN that is no more, the present one being one of the [`pin::HISTORY`].
fn remember(special: &mut Special, old: &Pin) {
    special.pins_before.push(old.hash);
    let most = if special.pin.is_some() { pin::HISTORY - 1 } else { pin::HISTORY };
    let excess = special.pins_before.len().saturating_sub(most);
    special.pins_before.drain(..excess);
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

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn act(special: &mut Special, act: &UserAct<'_>, now: UnixTime) -> Result<(), String> {
        let keys = hash_keys(&Keyring::new(SealKey::parse(&[7; 32]).unwrap()));
        let mut entropy = Fixed { mono: Tick(0), unix: NOW, seed: now.0 };
        act.apply(special, UserId(1), &keys, now, &mut entropy).map_err(|fault| fault.to_string())
    }

    #[test]
    fn the_last_five_pins_are_not_taken_again() {
        let mut special = Special::default();
        let mut set = |pin: &str| act(&mut special, &UserAct::SetPin(&Secret::from(pin)), NOW);
        for pin in ["2580", "2581", "2582", "2583", "2584"] {
            assert_eq!(set(pin), Ok(()), "{pin}");
        }
        for pin in ["2580", "2584"] {
            assert_eq!(set(pin), Err("this PIN is one of the last 5; choose another".to_owned()), "{pin}");
        }
        assert_eq!(set("2585"), Ok(()));
        assert_eq!(set("2580"), Ok(()), "the sixth last");
        assert!(set("2582").is_err());
        assert!(set("1111").is_err_and(|fault| fault.contains("repeats itself")));
        assert_eq!(act(&mut special, &UserAct::RemovePin, NOW), Ok(()));
        assert!(
            act(&mut special, &UserAct::SetPin(&Secret::from("2580")), NOW).is_err(),
            "removed is not forgotten"
        );
        assert_eq!(act(&mut special, &UserAct::RemovePin, NOW), Err("there is no PIN".to_owned()));
    }

    #[test]
    fn a_device_of_the_same_name_takes_the_place_of_the_old_one_and_a_revoked_one_stays_so() {
        let mut special = Special::default();
        let channel = || Label::new("hook").unwrap();
        let add = |name, address| UserAct::AddDevice { name, channel: channel(), address, key: None };
        assert_eq!(act(&mut special, &add("phone", "a"), NOW), Ok(()));
        let later = NOW + Duration::from_secs(1);
        assert_eq!(act(&mut special, &add("phone", "b"), later), Ok(()));
        let addresses = |special: &Special| -> Vec<String> {
            special.active_devices().map(|device| device.address.to_string()).collect()
        };
        assert_eq!(addresses(&special), ["b"]);
        assert_eq!(special.devices[0].revoked, Some(later));
        assert_ne!(special.devices[0].id, special.devices[1].id);
        let revoke = UserAct::RevokeDevice { device: "phone" };
        assert_eq!(act(&mut special, &revoke, later), Ok(()));
        assert_eq!(addresses(&special), Vec::<String>::new());
        assert!(act(&mut special, &revoke, later).is_err(), "it is revoked already");
        for number in 0..DEVICES_MAX {
            let name = format!("p{number}");
            let act_of = UserAct::AddDevice { name: &name, channel: channel(), address: "c", key: None };
            assert_eq!(act(&mut special, &act_of, later), Ok(()));
        }
        assert!(act(&mut special, &add("one more", "c"), later).is_err());
        for (name, address) in [("", "a"), ("a\nb", "a"), ("a", ""), ("a", "\u{202e}")] {
            assert!(act(&mut Special::default(), &add(name, address), NOW).is_err(), "{name:?} {address:?}");
        }
    }

    #[test]
    fn an_invitation_is_taken_once_in_its_time_and_a_new_one_ends_the_one_before() {
        let mut special = Special::default();
        let hour = Duration::from_hours(1);
        let invite = |hash, span| UserAct::Invite { hash: [hash; 32], span };
        let take = |hash| UserAct::TakeInvite { hash: [hash; 32] };
        assert!(act(&mut special, &take(0), NOW).is_err());
        assert_eq!(act(&mut special, &invite(1, hour), NOW), Ok(()));
        assert_eq!(act(&mut special, &invite(2, hour), NOW), Ok(()));
        assert!(act(&mut special, &take(1), NOW).is_err());
        assert_eq!(act(&mut special, &take(2), NOW), Ok(()));
        assert!(act(&mut special, &take(2), NOW).is_err(), "twice");
        assert_eq!(act(&mut special, &invite(3, hour), NOW), Ok(()));
        assert!(act(&mut special, &take(3), NOW + hour).is_err(), "too late");
        assert_eq!(act(&mut special, &invite(4, hour), NOW), Ok(()));
        assert_eq!(act(&mut special, &UserAct::RevokeInvite, NOW), Ok(()));
        assert!(
            act(&mut special, &take(4), NOW).is_err()
                && act(&mut special, &UserAct::RevokeInvite, NOW).is_err()
        );
        for span in [Duration::ZERO, INVITE_MOST + Duration::from_secs(1)] {
            assert!(act(&mut special, &invite(5, span), NOW).is_err());
        }
    }

    #[test]
    fn a_login_on_our_own_pages_is_never_armed() {
        let arm = |client| UserAct::Arm { client: Label::new(client).unwrap(), span: ARM_MOST };
        let mut special = Special::default();
        for door in DOORS {
            assert!(act(&mut special, &arm(door), NOW).is_err_and(|fault| fault.contains("never armed")));
        }
        assert_eq!((special.armed.len(), act(&mut special, &arm("vpn"), NOW)), (0, Ok(())));
    }

    #[test]
    fn spans_and_reasons_have_bounds() {
        let mut special = Special::default();
        let mut bypass = |span, why: &str| {
            let client = Label::new("vpn").unwrap();
            act(&mut special, &UserAct::Bypass { client, station: None, span, why }, NOW)
        };
        let second = Duration::from_secs(1);
        assert!(bypass(BYPASS_LEAST / 2, "lost").is_err());
        assert!(bypass(BYPASS_MOST + second, "lost").is_err());
        for why in ["", "  ", "a\nb", "\u{202e}x", &"x".repeat(WHY_MAX + 1)] {
            assert!(bypass(BYPASS_LEAST, why).is_err(), "{why:?}");
        }
        for _ in 0..BYPASSES_MAX {
            assert_eq!(bypass(BYPASS_MOST, "lost"), Ok(()));
        }
        assert!(bypass(BYPASS_MOST, "lost").is_err_and(|fault| fault.contains("cancel")));
        let block = |span| UserAct::Block { span, why: "left" };
        assert!(act(&mut special, &block(Duration::ZERO), NOW).is_err());
        assert!(act(&mut special, &block(BLOCK_MOST + second), NOW).is_err());
        assert_eq!(act(&mut special, &block(BLOCK_MOST), NOW), Ok(()));
    }

    #[test]
    fn what_time_has_ended_is_neither_ended_again_nor_kept() {
        let mut special = Special::default();
        let hour = Duration::from_hours(1);
        let client = Label::new("vpn").unwrap();
        act(&mut special, &UserAct::Block { span: hour, why: "x" }, NOW).unwrap();
        act(&mut special, &UserAct::Bypass { client, station: None, span: hour, why: "x" }, NOW).unwrap();
        assert!(act(&mut special, &UserAct::Unblock { why: None }, NOW + hour).is_err());
        assert!(act(&mut special, &UserAct::CancelBypasses, NOW + hour).is_err());
        assert_eq!(special, Special::default());
    }
}
