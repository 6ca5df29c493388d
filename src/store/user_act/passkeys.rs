//! What is done with a user's passkeys, as [`super`] does the rest: a change of [`Special`] and a row in the trail, in one
//! transaction. Whether an authenticator has counted back is judged here, under the write lock, so that of two copies one is found.

use std::borrow::Cow;

use crate::base::system::{Entropy, random};
use crate::base::time::UnixTime;
use crate::engine::passkey::{CREDENTIAL_MAX, KEY_MAX, PASSKEYS_MAX, Passkey};
use crate::engine::reason::Reason;
use crate::engine::record::Method;
use crate::engine::special::Special;
use crate::store::admin::AdminFault;

/// The longest name of a passkey, in octets.
pub const NAME_MAX: usize = 64;
/// What is said of a passkey that counted back.
pub const COPIED: &str = "the passkey has counted back: somebody may have a copy of it";

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub enum PasskeyAct<'a> {
    /// The user has this passkey from now on. [`AdminFault::Exists`] where there is one of that name, or the very same.
    Add {
        /// What its owner calls it, 1 to [`NAME_MAX`] octets of printable text.
        name: &'a str,
        /// [`Passkey::credential`].
        credential: &'a [u8],
        /// [`Passkey::key`].
        key: &'a str,
        /// [`Passkey::counter`].
        counter: u32,
        /// [`Passkey::synced`].
        synced: bool,
    },
    /// It was used, and has counted so far. [`AdminFault::Invalid`] with [`COPIED`] where that is no further than it was.
    Use {
        /// Which one, by its number.
        passkey: i64,
        /// What it says to have counted.
        counter: u32,
        /// [`Passkey::synced`].
        synced: bool,
        /// What for.
        what: &'a str,
    },
    /// The user has the passkey of this name, or number, no more.
    Remove {
        /// Which one.
        passkey: &'a str,
    },
    /// Whether the active device of this name, or number, approves with a passkey alone.
    Demand {
        /// Which one.
        device: &'a str,
        /// Whether.
        passkey: bool,
    },
}

impl PasskeyAct<'_> {
    /// What the row in the trail says.
    pub(super) fn reason(&self) -> Reason {
        match self {
            PasskeyAct::Add { .. } => Reason::PasskeyAdded,
            PasskeyAct::Use { .. } => Reason::PasskeyUsed,
            PasskeyAct::Remove { .. } => Reason::PasskeyRemoved,
            PasskeyAct::Demand { .. } => Reason::DeviceChanged,
        }
    }

    /// What the row says beside its reason.
    pub(super) fn note(&self) -> String {
        match self {
            PasskeyAct::Add { name, .. } => (*name).trim().to_owned(),
            PasskeyAct::Use { passkey, what, .. } => format!("{passkey}, {what}"),
            PasskeyAct::Remove { passkey } => (*passkey).to_owned(),
            PasskeyAct::Demand { device, passkey } => {
                format!("{device}: {}", if *passkey { "passkey" } else { "none" })
            }
        }
    }

    /// Does it.
    pub(super) fn apply(
        &self,
        special: &mut Special,
        now: UnixTime,
        entropy: &mut dyn Entropy,
    ) -> Result<(), AdminFault> {
        match *self {
            PasskeyAct::Add { name, credential, key, counter, synced } => {
                let name = plain(name)?;
                if credential.is_empty() || credential.len() > CREDENTIAL_MAX || key.len() > KEY_MAX {
                    return Err(AdminFault::Invalid("the passkey is longer than any known one".to_owned()));
                }
                if special.passkeys.iter().any(|known| *known.credential == *credential) {
                    return Err(AdminFault::Exists("this passkey".to_owned()));
                }
                if special.passkeys.iter().any(|known| *known.name == *name) {
                    return Err(AdminFault::Exists(format!("passkey {name} of the user")));
                }
                if special.passkeys.len() >= PASSKEYS_MAX {
                    let what = format!("the user has {PASSKEYS_MAX} passkeys: remove one first");
                    return Err(AdminFault::Invalid(what));
                }
                special.passkeys.push(Passkey {
                    id: i64::from_be_bytes(random(entropy)) & i64::MAX,
                    name: name.into(),
                    credential: credential.into(),
                    key: key.into(),
                    counter,
                    synced,
                    since: now,
                    used: None,
                });
            }
            PasskeyAct::Use { passkey, counter, synced, .. } => {
                let known = special.passkeys.iter_mut().find(|known| known.id == passkey);
                let known = known.ok_or_else(|| AdminFault::Missing(format!("passkey {passkey}")))?;
                if !known.comes_after(counter) {
                    return Err(AdminFault::Invalid(COPIED.to_owned()));
                }
                (known.counter, known.synced, known.used) = (counter, synced, Some(now));
            }
            PasskeyAct::Remove { passkey } => {
                let place = find(special.passkeys.iter().map(|known| (known.id, &*known.name)), passkey);
                let place = place.ok_or_else(|| AdminFault::Missing(format!("passkey called {passkey}")))?;
                special.passkeys.remove(place);
                special.withdrawn = true;
                // Which factor a push was approved with, a session does not know.
                special.sessions.retain(|session| session.method != Method::Push);
            }
            PasskeyAct::Demand { device, passkey } => {
                let active = special.devices.iter_mut().filter(|known| known.is_active());
                let mut active: Vec<_> = active.collect();
                let place = find(active.iter().map(|known| (known.id, &*known.name)), device);
                let known = place.and_then(|place| active.get_mut(place));
                let known =
                    known.ok_or_else(|| AdminFault::Missing(format!("active device called {device}")))?;
                known.passkey = passkey;
                if passkey {
                    special.sessions.retain(|session| session.method != Method::Push);
                }
            }
        }
        Ok(())
    }
}

/// A name like `wanted` that none of the user's passkeys has yet: `key`, `key 2`.
#[must_use]
pub fn free_name<'a>(special: Option<&Special>, wanted: &'a str) -> Cow<'a, str> {
    let taken =
        |name: &str| special.is_some_and(|special| special.passkeys.iter().any(|known| *known.name == *name));
    if !taken(wanted) {
        return Cow::Borrowed(wanted);
    }
    let numbered = (2..=PASSKEYS_MAX + 1).map(|number| format!("{wanted} {number}"));
    numbered.into_iter().find(|name| !taken(name)).map_or(Cow::Borrowed(wanted), Cow::Owned)
}

/// Where the one with this number stands, or else the one of this name.
fn find<'a>(mut known: impl Iterator<Item = (i64, &'a str)> + Clone, wanted: &str) -> Option<usize> {
    let number = wanted.parse::<i64>().ok();
    let by_number = known.clone().position(|(id, _)| Some(id) == number);
    by_number.or_else(|| known.position(|(_, name)| name == wanted))
}

/// A name without the space around it, if it is one.
fn plain(name: &str) -> Result<&str, AdminFault> {
    let name = name.trim();
    let printable = !name.chars().any(crate::base::text::is_unprintable);
    if name.is_empty() || name.len() > NAME_MAX || !printable {
        let what = format!("a passkey's name has 1 to {NAME_MAX} octets of printable text");
        return Err(AdminFault::Invalid(what));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::Tick;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn act(special: &mut Special, act: PasskeyAct<'_>) -> Result<(), String> {
        let seed = special.passkeys.len() as u64;
        let mut entropy = Fixed { mono: Tick(0), unix: NOW, seed };
        act.apply(special, NOW, &mut entropy).map_err(|fault| fault.to_string())
    }

    fn add(name: &'static str, credential: &'static [u8]) -> PasskeyAct<'static> {
        PasskeyAct::Add { name, credential, key: "{}", counter: 7, synced: false }
    }

    #[test]
    fn a_passkey_has_a_name_of_its_own_and_there_are_ten_at_most() {
        let mut special = Special::default();
        assert_eq!(act(&mut special, add(" key ", b"1")), Ok(()));
        assert!(act(&mut special, add("key", b"2")).is_err_and(|fault| fault.contains("passkey key")));
        assert!(act(&mut special, add("other", b"1")).is_err(), "the very same");
        for name in ["", " ", "a\nb", "\u{202e}"] {
            let wrong = PasskeyAct::Add { name, credential: b"3", key: "{}", counter: 0, synced: false };
            assert!(act(&mut special, wrong).is_err(), "{name:?}");
        }
        assert_eq!(free_name(Some(&special), "key"), "key 2");
        assert_eq!((free_name(Some(&special), "new"), free_name(None, "key")), ("new".into(), "key".into()));
        for number in 2..=PASSKEYS_MAX {
            let name = format!("key {number}");
            let credential = [u8::try_from(number).unwrap()];
            let more = PasskeyAct::Add {
                name: &name,
                credential: &credential,
                key: "{}",
                counter: 0,
                synced: false,
            };
            assert_eq!(act(&mut special, more), Ok(()));
        }
        assert!(act(&mut special, add("one more", b"xx")).is_err_and(|fault| fault.contains("10 passkeys")));
        let long = [1; CREDENTIAL_MAX + 1];
        let too_long =
            PasskeyAct::Add { name: "long", credential: &long, key: "{}", counter: 0, synced: false };
        assert!(act(&mut Special::default(), too_long).is_err());
    }

    #[test]
    fn a_passkey_that_counts_back_is_not_believed_and_one_that_counts_nothing_is() {
        let mut special = Special::default();
        act(&mut special, add("key", b"1")).unwrap();
        let id = special.passkeys[0].id;
        let mut used = |counter| {
            act(&mut special, PasskeyAct::Use { passkey: id, counter, synced: false, what: "a test" })
        };
        assert_eq!(used(8), Ok(()));
        for back in [8, 7, 0] {
            assert_eq!(used(back), Err(COPIED.to_owned()), "{back}");
        }
        assert_eq!(used(9), Ok(()));
        assert_eq!((special.passkeys[0].counter, special.passkeys[0].used), (9, Some(NOW)));
        special.passkeys[0].counter = 0;
        let silent = PasskeyAct::Use { passkey: id, counter: 0, synced: true, what: "a test" };
        assert_eq!((act(&mut special, silent), act(&mut special, silent)), (Ok(()), Ok(())));
        assert!(special.passkeys[0].synced);
        let gone = PasskeyAct::Use { passkey: id ^ 1, counter: 10, synced: false, what: "a test" };
        assert!(act(&mut special, gone).is_err());
    }

    #[test]
    fn one_is_removed_by_its_number_before_anybody_elses_name() {
        let mut special = Special::default();
        act(&mut special, add("key", b"1")).unwrap();
        act(&mut special, add("other", b"2")).unwrap();
        let number = special.passkeys[1].id.to_string();
        special.passkeys[0].name = number.as_str().into();
        assert_eq!(act(&mut special, PasskeyAct::Remove { passkey: &number }), Ok(()));
        assert_eq!(&*special.passkeys[0].credential, b"1");
        assert_eq!(act(&mut special, PasskeyAct::Remove { passkey: &number }), Ok(()), "by its name now");
        assert!(act(&mut special, PasskeyAct::Remove { passkey: &number }).is_err());
    }
}
