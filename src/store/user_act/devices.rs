//! What pushes go to.

use super::{ADDRESS_MAX, DEVICES_MAX, REVOKED_MAX, number, said};
use crate::base::name::Label;
use crate::base::system::Entropy;
use crate::base::time::UnixTime;
use crate::engine::record::Method;
use crate::engine::special::{Device, Special};
use crate::store::admin::AdminFault;

pub(super) fn add(
    special: &mut Special,
    now: UnixTime,
    device: (&str, &Label, &str, Option<&[u8]>),
    entropy: &mut dyn Entropy,
) -> Result<(), AdminFault> {
    let (name, channel, address, key) = device;
    let device = Device {
        id: number(entropy),
        name: said("a device's name", name, 64)?.into(),
        channel: channel.clone(),
        address: said("a device's address", address, ADDRESS_MAX)?.into(),
        key: key.map(Into::into),
        passkey: false,
        since: now,
        revoked: None,
    };
    add_device(special, device, now)
}

/// Gives an active device another name.
pub(super) fn rename(special: &mut Special, id: i64, name: &str) -> Result<(), AdminFault> {
    let name = said("a device's name", name, 64)?;
    if special.active_devices().any(|other| other.id != id && *other.name == *name) {
        return Err(AdminFault::Invalid("another device is called so".to_owned()));
    }
    let device = special.devices.iter_mut().find(|known| known.id == id && known.is_active());
    device.ok_or_else(|| AdminFault::Missing(format!("active device {id}")))?.name = name.into();
    Ok(())
}

/// Takes back the first active device that is `wanted`; `None` where there is none.
pub(super) fn revoke(special: &mut Special, now: UnixTime, wanted: impl Fn(&Device) -> bool) -> Option<()> {
    let device = special.devices.iter_mut().find(|known| known.is_active() && wanted(known))?;
    device.revoked = Some(now);
    // Which device it was, a session does not know.
    special.sessions.retain(|session| session.method != Method::Push);
    Some(())
}

/// One more device; one of the same name is enrolled anew, and the old one's answers count no more.
fn add_device(special: &mut Special, mut device: Device, now: UnixTime) -> Result<(), AdminFault> {
    for old in special.devices.iter_mut().filter(|old| old.is_active() && old.name == device.name) {
        old.revoked = Some(now);
        // What was asked of the device is asked of the one in its place.
        device.passkey |= old.passkey;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::UserAct;
    use super::super::tests::{NOW, act};
    use super::*;

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
        for (name, after) in [("a", 1), ("b", 2)] {
            let at = later + Duration::from_secs(after);
            assert_eq!(act(&mut special, &add(name, "x"), at), Ok(()));
        }
        let of = |special: &Special, name: &str| {
            special.active_devices().find(|device| *device.name == *name).map(|device| device.id)
        };
        let (a, revoked) = (of(&special, "a").unwrap(), special.devices[0].id);
        assert_eq!(act(&mut special, &UserAct::RenameDevice { device: a, name: " work " }, later), Ok(()));
        assert_eq!(of(&special, "work"), Some(a));
        for (device, name) in [(a, "b"), (a, ""), (a, "a\nb"), (revoked, "old"), (7, "new")] {
            assert!(act(&mut special, &UserAct::RenameDevice { device, name }, later).is_err(), "{name:?}");
        }
        special = Special::default();
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
    fn a_device_in_the_place_of_one_that_wants_a_passkey_wants_one_too() {
        let mut special = Special::default();
        let add = |address| UserAct::AddDevice {
            name: "phone",
            channel: Label::new("hook").unwrap(),
            address,
            key: None,
        };
        let wants = |special: &Special| -> Vec<bool> {
            special.active_devices().map(|device| device.passkey).collect()
        };
        assert_eq!(act(&mut special, &add("a"), NOW), Ok(()));
        assert_eq!(wants(&special), [false]);
        special.devices[0].passkey = true;
        assert_eq!(act(&mut special, &add("b"), NOW + Duration::from_secs(1)), Ok(()));
        assert_eq!(wants(&special), [true]);
    }

    #[test]
    fn a_device_that_is_called_by_the_number_of_another_is_not_taken_for_it() {
        let mut special = Special::default();
        let channel = || Label::new("hook").unwrap();
        let add = |name, address| UserAct::AddDevice { name, channel: channel(), address, key: None };
        assert_eq!(act(&mut special, &add("old", "a"), NOW), Ok(()));
        assert_eq!(act(&mut special, &add("new", "b"), NOW + Duration::from_secs(1)), Ok(()));
        let [old, new] = [0, 1].map(|place| special.devices[place].id);
        assert_ne!(old, new);
        let number = new.to_string();
        special.devices[0].name = number.as_str().into();
        let revoke = UserAct::RevokeDevice { device: &number };
        assert_eq!(act(&mut special, &revoke, NOW), Ok(()));
        assert!(special.active_devices().map(|device| device.id).eq([old]));
        assert_eq!(act(&mut special, &revoke, NOW), Ok(()), "by its name");
        assert_eq!(special.active_devices().count(), 0);
    }
}
