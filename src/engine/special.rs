//! What few users have: a block, bypasses, recovery codes, a PIN, remembered factors, devices, passkeys. Behind one pointer that is empty
//! for everybody else.
//!
//! The store keeps it as it stands here and judges guards by it; nothing in it is a secret in the clear.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::arming::ArmedBy;
use super::passkey::Passkey;
use super::record::Consumed;
use super::remember::Session;
use super::role::Role;
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::factor::keyed::KeyedHash;

/// What is rare about a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Special {
    /// May not log in for a time.
    pub block: Option<Block>,
    /// Logins that need no second factor.
    pub bypasses: Vec<Bypass>,
    /// Logins that their user has armed.
    pub armed: Vec<Armed>,
    /// The recovery codes of the newest set, the used ones too.
    pub recovery: Vec<Recovery>,
    /// The PIN.
    pub pin: Option<Pin>,
    /// Hashes of the PINs before it, oldest first, at most [`crate::factor::pin::HISTORY`].
    pub pins_before: Vec<KeyedHash>,
    /// Second factors that are remembered, oldest first, at most [`super::remember::SESSIONS_MAX`].
    pub sessions: Vec<Session>,
    /// What pushes go to, the revoked ones too, oldest first.
    pub devices: Vec<Device>,
    /// Passkeys, oldest first, at most [`super::passkey::PASSKEYS_MAX`].
    pub passkeys: Vec<Passkey>,
    /// When an admin last unlocked the user: wrong passwords from before are forgiven.
    pub unlocked: Option<UnixTime>,
    /// What the user may do at the admins' pages.
    pub role: Option<Role>,
    /// Until this moment no code goes to the telephone number, which somebody else has changed.
    pub phone_held: Option<UnixTime>,
    /// The invitation to set up a second factor, until it was used.
    pub invite: Option<Invite>,
    /// A token was taken from the user: who had a factor once is not led to another by the password alone.
    pub withdrawn: bool,
}

/// An invitation to set up a second factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Of the secret in its link ([`crate::factor::invite::Invitation::hash`]).
    pub hash: [u8; 32],
    /// Since when.
    pub since: UnixTime,
    /// Until this moment, exclusively.
    pub until: UnixTime,
}

/// For so long a user is blocked who says on the phone that somebody else is logging in.
pub const FRAUD_BLOCK: Duration = Duration::from_hours(24 * 90);

/// Something of the user's that pushes go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The store's own number, never used again: a device that is enrolled anew is another one.
    pub id: i64,
    /// What its owner and admins call it; no two active ones of a user are called the same.
    pub name: Arc<str>,
    /// The channel that reaches it.
    pub channel: Label,
    /// Where that channel finds it; the channel alone knows what this means.
    pub address: Arc<str>,
    /// What its answers are signed with, where it signs them: a public key of the curve P-256, 65 octets.
    pub key: Option<Arc<[u8]>>,
    /// Whether it approves nothing without a passkey of its owner's.
    pub passkey: bool,
    /// Since when.
    pub since: UnixTime,
    /// When it was taken back, if it was.
    pub revoked: Option<UnixTime>,
}

impl Device {
    /// Whether its answers count.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.revoked.is_none()
    }
}

/// Why a user is blocked who said so on the phone.
const FRAUD_WHY: &str = "somebody else's login, the user said on the phone";

/// A user who may not log in for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Since when.
    pub since: UnixTime,
    /// Until this moment, exclusively.
    pub until: UnixTime,
    /// Why, in an admin's words.
    pub why: Arc<str>,
}

/// A login that needs no second factor, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bypass {
    /// The store's own number.
    pub id: i64,
    /// At this client alone.
    pub client: Label,
    /// From these stations alone, by a Calling-Station-Id that is an address; `None`: from any.
    pub station: Option<IpNet>,
    /// Since when.
    pub since: UnixTime,
    /// Until this moment, exclusively.
    pub until: UnixTime,
    /// Why, in an admin's words.
    pub why: Arc<str>,
}

/// The next login at a client, which was armed for its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Armed {
    /// The store's own number.
    pub id: i64,
    /// At this client alone.
    pub client: Label,
    /// Since when.
    pub since: UnixTime,
    /// Until this moment, exclusively.
    pub until: UnixTime,
    /// Who armed it, and with what.
    pub by: ArmedBy,
}

/// A recovery code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The store's own number.
    pub id: i64,
    /// Its hash.
    pub hash: KeyedHash,
    /// When it was printed.
    pub since: UnixTime,
    /// It works no more.
    pub used: bool,
}

/// A PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Its hash.
    pub hash: KeyedHash,
    /// When it was set.
    pub since: UnixTime,
}

/// The keys that the hashes are made under: a store that was given a new key keeps what was hashed under the earlier ones.
#[derive(Clone, Debug)]
pub struct HashKeys {
    /// What new hashes are made under.
    pub present: HashKey,
    /// What older ones may have been made under.
    pub others: Vec<HashKey>,
}

/// Keys of one origin, each for one use.
#[derive(Clone, Debug)]
pub struct HashKey {
    /// Of recovery codes.
    pub recovery: Secret,
    /// Of PINs.
    pub pin: Secret,
}

impl HashKeys {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &HashKey> {
        std::iter::once(&self.present).chain(&self.others)
    }

    /// Whether `hash` is that of `pin` of the user with the store's number `owner`.
    #[must_use]
    pub fn is_pin(&self, hash: &KeyedHash, owner: i64, pin: &[u8]) -> bool {
        // Each is compared, whichever it is.
        self.iter().fold(false, |right, key| right | (KeyedHash::of(&key.pin, owner, pin) == *hash))
    }
}

impl Special {
    /// Whether the user was ever given a factor beside tokens, usable or not, or had a token once.
    #[must_use]
    pub fn was_given_any(&self) -> bool {
        self.withdrawn || !self.recovery.is_empty() || !self.devices.is_empty() || !self.passkeys.is_empty()
    }

    /// The block that holds at `now`.
    #[must_use]
    pub fn blocked(&self, now: UnixTime) -> Option<&Block> {
        self.block.as_ref().filter(|block| now < block.until)
    }

    /// Until when no code goes to the telephone number, where that holds at `now`.
    #[must_use]
    pub fn holds_phone(&self, now: UnixTime) -> Option<UnixTime> {
        self.phone_held.filter(|until| now < *until)
    }

    /// The invitation that may be used at `now`.
    #[must_use]
    pub fn invited(&self, now: UnixTime) -> Option<&Invite> {
        self.invite.as_ref().filter(|invite| now < invite.until)
    }

    /// The devices whose answers count, oldest first.
    pub fn active_devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| device.is_active())
    }

    /// Blocks the user, who said at `now` that somebody else is logging in. A block that lasts longer stands.
    /// Nothing is remembered of whoever came in before.
    pub fn report_fraud(&mut self, now: UnixTime) {
        self.sessions.clear();
        self.armed.clear();
        let until = now + FRAUD_BLOCK;
        if self.block.as_ref().is_none_or(|block| block.until < until) {
            self.block = Some(Block { since: now, until, why: FRAUD_WHY.into() });
        }
    }

    /// Whether anything in it is compared with what a user types, so that the keys of the hashes are needed.
    #[must_use]
    pub fn has_hashes(&self) -> bool {
        !self.recovery.is_empty() || self.pin.is_some()
    }

    /// Recovery codes that were not used.
    #[must_use]
    pub fn recovery_left(&self) -> usize {
        self.recovery.iter().filter(|code| !code.used).count()
    }

    /// Whether `thing` is there and was not used.
    #[must_use]
    pub fn holds(&self, thing: Consumed) -> bool {
        match thing {
            Consumed::Recovery(id) => self.recovery.iter().any(|code| code.id == id && !code.used),
            Consumed::Bypass(id) => self.bypasses.iter().any(|bypass| bypass.id == id),
            Consumed::Arming(id) => self.armed.iter().any(|armed| armed.id == id),
        }
    }

    /// Uses `thing` up.
    pub fn consume(&mut self, thing: Consumed) {
        match thing {
            Consumed::Recovery(id) => {
                self.recovery.iter_mut().filter(|code| code.id == id).for_each(|code| code.used = true);
            }
            Consumed::Bypass(id) => self.bypasses.retain(|bypass| bypass.id != id),
            Consumed::Arming(id) => self.armed.retain(|armed| armed.id != id),
        }
    }
}

impl Bypass {
    /// Whether it is for a login at `client` from `station` at `now`. A station that is no address is in no network.
    #[must_use]
    pub fn covers(&self, client: &Label, station: Option<&str>, now: UnixTime) -> bool {
        let there = |net: &IpNet| {
            let address = station.and_then(|station| station.trim().parse::<IpAddr>().ok());
            address.is_some_and(|address| net.contains(&address.to_canonical()))
        };
        now < self.until && self.client == *client && self.station.as_ref().is_none_or(there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bypass(station: Option<&str>) -> Bypass {
        Bypass {
            id: 1,
            client: Label::new("vpn").unwrap(),
            station: station.map(|net| net.parse().unwrap()),
            since: UnixTime(0),
            until: UnixTime(1000),
            why: "".into(),
        }
    }

    #[test]
    fn a_bypass_is_for_its_client_its_stations_and_its_time() {
        let (vpn, wifi) = (Label::new("vpn").unwrap(), Label::new("wifi").unwrap());
        assert!(bypass(None).covers(&vpn, None, UnixTime(999)));
        assert!(!bypass(None).covers(&vpn, None, UnixTime(1000)));
        assert!(!bypass(None).covers(&wifi, None, UnixTime(0)));
        let home = bypass(Some("198.51.100.0/24"));
        for inside in ["198.51.100.7", " 198.51.100.255 ", "::ffff:198.51.100.7"] {
            assert!(home.covers(&vpn, Some(inside), UnixTime(0)), "{inside}");
        }
        for outside in [None, Some(""), Some("198.51.101.7"), Some("00-11-22-33-44-55"), Some("2001:db8::1")]
        {
            assert!(!home.covers(&vpn, outside, UnixTime(0)), "{outside:?}");
        }
    }

    #[test]
    fn a_report_of_fraud_blocks_for_ninety_days_and_shortens_no_block() {
        let (mut special, at) = (Special::default(), UnixTime::from_secs(1000));
        special.report_fraud(at);
        let until = at + FRAUD_BLOCK;
        assert_eq!(special.block.as_ref().map(|block| block.until), Some(until));
        let longer = Block { since: UnixTime(0), until: until + FRAUD_BLOCK, why: "left".into() };
        special.block = Some(longer.clone());
        special.report_fraud(at);
        assert_eq!(special.block, Some(longer));
    }

    #[test]
    fn what_works_once_is_held_until_it_is_consumed() {
        let code = Recovery { id: 5, hash: KeyedHash([0; 32]), since: UnixTime(0), used: false };
        let mut special =
            Special { bypasses: vec![bypass(None)], recovery: vec![code], ..Special::default() };
        for thing in [Consumed::Recovery(5), Consumed::Bypass(1)] {
            assert!(special.holds(thing));
            special.consume(thing);
            assert!(!special.holds(thing));
        }
        assert_eq!(special.recovery_left(), 0);
        assert!(!special.holds(Consumed::Recovery(1)) && !special.holds(Consumed::Bypass(5)));
    }
}
