//! [`Special`] in a database: JSON in one column that is empty for almost everybody. Hashes are hexadecimal, times milliseconds since 1970.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::base::name::Label;
use crate::base::text::{hex, unhex};
use crate::base::time::UnixTime;
use crate::engine::account::TokenId;
use crate::engine::arming::ArmedBy;
use crate::engine::passkey::Passkey;
use crate::engine::record::{LoginId, Method};
use crate::engine::remember::Session;
use crate::engine::role::Role;
use crate::engine::special::{Armed, Block, Bypass, Device, Invite, Pin, Recovery, Special};
use crate::factor::keyed::KeyedHash;

/// What is written. A field that an older version has not written is empty; one that this version does not know is
/// damage, since nobody may be let in on half of what is said about a user.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<WrittenBlock>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bypasses: Vec<WrittenBypass>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    armed: Vec<WrittenArmed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recovery: Vec<WrittenRecovery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<WrittenPin>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pins_before: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sessions: Vec<WrittenSession>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<WrittenDevice>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passkeys: Vec<WrittenPasskey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unlocked: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_held: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invite: Option<WrittenInvite>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    withdrawn: bool,
}

/// For the database; `None` where there is nothing to say.
pub(super) fn write(special: &Special) -> Option<String> {
    if *special == Special::default() {
        return None;
    }
    let written = Written {
        block: special.block.as_ref().map(WrittenBlock::of),
        bypasses: special.bypasses.iter().map(WrittenBypass::of).collect(),
        armed: special.armed.iter().map(WrittenArmed::of).collect(),
        recovery: special.recovery.iter().map(WrittenRecovery::of).collect(),
        pin: special.pin.as_ref().map(WrittenPin::of),
        pins_before: special.pins_before.iter().map(|hash| hex(&hash.0)).collect(),
        sessions: special.sessions.iter().map(WrittenSession::of).collect(),
        devices: special.devices.iter().map(WrittenDevice::of).collect(),
        passkeys: special.passkeys.iter().map(WrittenPasskey::of).collect(),
        unlocked: special.unlocked.map(|time| time.0),
        role: special.role.map(|role| role.code().to_owned()),
        phone_held: special.phone_held.map(|time| time.0),
        invite: special.invite.as_ref().map(WrittenInvite::of),
        withdrawn: special.withdrawn,
    };
    #[expect(clippy::expect_used, reason = "structs of numbers and texts have a JSON form")]
    Some(serde_json::to_string(&written).expect("JSON"))
}

/// Back from [`write`]; `None` for anything else.
pub(super) fn read(text: &str) -> Option<Special> {
    let written: Written = serde_json::from_str(text).ok()?;
    let mut special = Special {
        block: written.block.map(WrittenBlock::read),
        bypasses: all(written.bypasses, WrittenBypass::read)?,
        armed: all(written.armed, WrittenArmed::read)?,
        recovery: all(written.recovery, WrittenRecovery::read)?,
        pin: any(written.pin, WrittenPin::read)?,
        pins_before: all(written.pins_before, |hash| keyed(&hash))?,
        sessions: all(written.sessions, WrittenSession::read)?,
        devices: all(written.devices, WrittenDevice::read)?,
        passkeys: all(written.passkeys, WrittenPasskey::read)?,
        unlocked: written.unlocked.map(UnixTime),
        role: any(written.role, |role| Role::parse(&role))?,
        phone_held: written.phone_held.map(UnixTime),
        invite: any(written.invite, WrittenInvite::read)?,
        withdrawn: written.withdrawn,
    };
    // A hundred thousand users may have a device each, and room for three more is most of what that takes.
    special.devices.shrink_to_fit();
    special.recovery.shrink_to_fit();
    special.sessions.shrink_to_fit();
    Some(special)
}

/// All of them, or none where one is damaged.
fn all<W, T>(written: Vec<W>, read: impl Fn(W) -> Option<T>) -> Option<Vec<T>> {
    written.into_iter().map(read).collect()
}

/// What is there, if anything is; `None` where it is damaged.
#[expect(clippy::option_option, reason = "nothing there, and what is there is nothing that can be read")]
fn any<W, T>(written: Option<W>, read: impl FnOnce(W) -> Option<T>) -> Option<Option<T>> {
    match written {
        None => Some(None),
        Some(written) => read(written).map(Some),
    }
}

fn keyed(text: &str) -> Option<KeyedHash> {
    Some(KeyedHash(unhex(text)?.try_into().ok()?))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBlock {
    since: u64,
    until: u64,
    why: String,
}

impl WrittenBlock {
    fn of(block: &Block) -> WrittenBlock {
        WrittenBlock { since: block.since.0, until: block.until.0, why: block.why.as_ref().to_owned() }
    }

    fn read(self) -> Block {
        Block { since: UnixTime(self.since), until: UnixTime(self.until), why: self.why.into() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBypass {
    id: i64,
    client: String,
    station: Option<String>,
    since: u64,
    until: u64,
    why: String,
}

impl WrittenBypass {
    fn of(bypass: &Bypass) -> WrittenBypass {
        WrittenBypass {
            id: bypass.id,
            client: bypass.client.to_string(),
            station: bypass.station.map(|net| net.to_string()),
            since: bypass.since.0,
            until: bypass.until.0,
            why: bypass.why.as_ref().to_owned(),
        }
    }

    fn read(self) -> Option<Bypass> {
        Some(Bypass {
            id: self.id,
            client: Label::new(&self.client).ok()?,
            station: any(self.station, |net| net.parse().ok())?,
            since: UnixTime(self.since),
            until: UnixTime(self.until),
            why: self.why.into(),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenArmed {
    id: i64,
    client: String,
    since: u64,
    until: u64,
    /// [`HELP_DESK`], or the method that its user armed it with; absent in what was written before that was kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    from: Option<IpAddr>,
}

/// Who armed a login, where its user did not; no method is called so.
const HELP_DESK: &str = "help-desk";

impl WrittenArmed {
    fn of(armed: &Armed) -> WrittenArmed {
        let (by, from) = match armed.by {
            ArmedBy::Desk => (HELP_DESK, None),
            ArmedBy::User { method, from } => (method.code(), from),
        };
        WrittenArmed {
            id: armed.id,
            client: armed.client.to_string(),
            since: armed.since.0,
            until: armed.until.0,
            by: Some(by.to_owned()),
            from,
        }
    }

    fn read(self) -> Option<Armed> {
        let by = match self.by.as_deref() {
            Some(HELP_DESK) => ArmedBy::Desk,
            // What nobody knows lets nobody in.
            None => ArmedBy::User { method: Method::None, from: self.from },
            Some(method) => ArmedBy::User { method: Method::parse(method)?, from: self.from },
        };
        let (since, until) = (UnixTime(self.since), UnixTime(self.until));
        Some(Armed { id: self.id, client: Label::new(&self.client).ok()?, since, until, by })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRecovery {
    id: i64,
    hash: String,
    since: u64,
    used: bool,
}

impl WrittenRecovery {
    fn of(code: &Recovery) -> WrittenRecovery {
        WrittenRecovery { id: code.id, hash: hex(&code.hash.0), since: code.since.0, used: code.used }
    }

    fn read(self) -> Option<Recovery> {
        let (hash, since) = (keyed(&self.hash)?, UnixTime(self.since));
        Some(Recovery { id: self.id, hash, since, used: self.used })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPin {
    hash: String,
    since: u64,
}

impl WrittenPin {
    fn of(pin: &Pin) -> WrittenPin {
        WrittenPin { hash: hex(&pin.hash.0), since: pin.since.0 }
    }

    fn read(self) -> Option<Pin> {
        Some(Pin { hash: keyed(&self.hash)?, since: UnixTime(self.since) })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSession {
    login: u64,
    client: String,
    station: String,
    since: u64,
    until: u64,
    method: String,
    token: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pin: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    passkey: bool,
}

impl WrittenSession {
    fn of(session: &Session) -> WrittenSession {
        WrittenSession {
            login: session.id.number(),
            client: session.client.to_string(),
            station: session.station.as_ref().to_owned(),
            since: session.since.0,
            until: session.until.0,
            method: session.method.code().to_owned(),
            token: session.token.map(|token| token.0),
            pin: session.pin,
            passkey: session.passkey,
        }
    }

    fn read(self) -> Option<Session> {
        Some(Session {
            id: LoginId::from_number(self.login),
            client: Label::new(&self.client).ok()?,
            station: self.station.into(),
            since: UnixTime(self.since),
            until: UnixTime(self.until),
            method: Method::parse(&self.method)?,
            token: self.token.map(TokenId),
            pin: self.pin,
            passkey: self.passkey,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDevice {
    id: i64,
    name: String,
    channel: String,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    key: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    passkey: bool,
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    revoked: Option<u64>,
}

impl WrittenDevice {
    fn of(device: &Device) -> WrittenDevice {
        WrittenDevice {
            id: device.id,
            name: device.name.as_ref().to_owned(),
            channel: device.channel.to_string(),
            address: device.address.as_ref().to_owned(),
            key: device.key.as_deref().map(hex),
            passkey: device.passkey,
            since: device.since.0,
            revoked: device.revoked.map(|moment| moment.0),
        }
    }

    fn read(self) -> Option<Device> {
        Some(Device {
            id: self.id,
            name: self.name.into(),
            channel: Label::new(&self.channel).ok()?,
            address: self.address.into(),
            key: any(self.key, |key| unhex(&key))?.map(Into::into),
            passkey: self.passkey,
            since: UnixTime(self.since),
            revoked: self.revoked.map(UnixTime),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPasskey {
    id: i64,
    name: String,
    /// Base64url.
    credential: String,
    key: serde_json::Value,
    counter: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    synced: bool,
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    used: Option<u64>,
}

impl WrittenPasskey {
    fn of(passkey: &Passkey) -> WrittenPasskey {
        WrittenPasskey {
            id: passkey.id,
            name: passkey.name.as_ref().to_owned(),
            credential: URL_SAFE_NO_PAD.encode(&passkey.credential),
            // What is no JSON stays a text.
            key: serde_json::from_str(&passkey.key).unwrap_or_else(|_| passkey.key.as_ref().into()),
            counter: passkey.counter,
            synced: passkey.synced,
            since: passkey.since.0,
            used: passkey.used.map(|time| time.0),
        }
    }

    fn read(self) -> Option<Passkey> {
        Some(Passkey {
            id: self.id,
            name: self.name.into(),
            credential: URL_SAFE_NO_PAD.decode(self.credential).ok()?.into(),
            key: self.key.to_string().into(),
            counter: self.counter,
            synced: self.synced,
            since: UnixTime(self.since),
            used: self.used.map(UnixTime),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenInvite {
    hash: String,
    since: u64,
    until: u64,
}

impl WrittenInvite {
    fn of(invite: &Invite) -> WrittenInvite {
        WrittenInvite { hash: hex(&invite.hash), since: invite.since.0, until: invite.until.0 }
    }

    fn read(self) -> Option<Invite> {
        let hash = unhex(&self.hash)?.try_into().ok()?;
        Some(Invite { hash, since: UnixTime(self.since), until: UnixTime(self.until) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_reads_back_and_half_of_it_does_not() {
        let pin = Pin { hash: KeyedHash([1; 32]), since: UnixTime(5) };
        let bypass = |station: Option<&str>| Bypass {
            id: i64::MAX,
            client: Label::new("vpn").unwrap(),
            station: station.map(|net| net.parse().unwrap()),
            since: UnixTime(1),
            until: UnixTime(2),
            why: "lost \"phone\"".into(),
        };
        let session = |token| Session {
            id: LoginId::from_number(u64::MAX),
            client: Label::new("vpn").unwrap(),
            station: "\\x1b \"desk\"".into(),
            since: UnixTime(7),
            until: UnixTime(8),
            method: Method::Email,
            token,
            pin: token.is_some(),
            passkey: token.is_none(),
        };
        let device = |revoked: Option<UnixTime>| Device {
            id: 9,
            name: "phone".into(),
            channel: Label::new("hook").unwrap(),
            address: "u1-phone".into(),
            key: revoked.map(|_| [4; 65].into()),
            passkey: revoked.is_none(),
            since: UnixTime(7),
            revoked,
        };
        let passkey = |used: Option<UnixTime>| Passkey {
            id: 11,
            name: "blue \"key\"".into(),
            credential: [0xfe; 20].into(),
            key: r#"{"alg":-7,"x":"AA"}"#.into(),
            counter: u32::MAX,
            synced: used.is_some(),
            since: UnixTime(3),
            used,
        };
        let special = Special {
            passkeys: vec![passkey(None), passkey(Some(UnixTime(4)))],
            devices: vec![device(None), device(Some(UnixTime(8)))],
            block: Some(Block { since: UnixTime(3), until: UnixTime(4), why: "left".into() }),
            bypasses: vec![bypass(None), bypass(Some("2001:db8::/32"))],
            armed: [ArmedBy::Desk, ArmedBy::User { method: Method::Totp, from: "::1".parse().ok() }]
                .map(|by| Armed {
                    id: 3,
                    client: Label::new("rdg").unwrap(),
                    since: UnixTime(1),
                    until: UnixTime(2),
                    by,
                })
                .into(),
            recovery: vec![Recovery { id: 1, hash: KeyedHash([2; 32]), since: UnixTime(6), used: true }],
            pin: Some(pin),
            pins_before: vec![KeyedHash([3; 32])],
            sessions: [Some(TokenId(9)), None].map(session).into(),
            unlocked: Some(UnixTime(7)),
            role: Some(Role::HelpDesk),
            phone_held: Some(UnixTime(9)),
            invite: Some(Invite { hash: [4; 32], since: UnixTime(8), until: UnixTime(9) }),
            withdrawn: true,
        };
        let text = write(&special).unwrap();
        assert_eq!(read(&text), Some(special));
        assert_eq!(write(&Special::default()), None);
        assert_eq!(read("{}"), Some(Special::default()));
        for damaged in [
            "",
            "null",
            "{",
            r#"{"blocked":1}"#,
            r#"{"pins-before":["00"]}"#,
            &text.replace("vpn", "v p"),
            &text.replace("\"email\"", "\"pigeon\""),
            &text.replace("helpdesk", "king"),
        ] {
            assert_eq!(read(damaged), None, "{damaged}");
        }
    }
}
