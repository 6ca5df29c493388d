//! [`Special`] in a database: JSON in one column that is empty for almost everybody. Hashes are hexadecimal.

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
    #[serde(skip_serializing_if = "is_false")]
    withdrawn: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde wants")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenInvite {
    hash: String,
    since: u64,
    until: u64,
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
    #[serde(skip_serializing_if = "is_false", default)]
    pin: bool,
    #[serde(skip_serializing_if = "is_false", default)]
    passkey: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBlock {
    since: u64,
    until: u64,
    why: String,
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRecovery {
    id: i64,
    hash: String,
    since: u64,
    used: bool,
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPin {
    hash: String,
    since: u64,
}

/// For the database; `None` where there is nothing to say.
pub(super) fn write(special: &Special) -> Option<String> {
    if *special == Special::default() {
        return None;
    }
    let Special {
        block,
        bypasses,
        armed,
        recovery,
        pin,
        pins_before,
        sessions,
        devices,
        passkeys,
        unlocked,
        role,
        phone_held,
        invite,
        withdrawn,
    } = special;
    let text = |hash: &KeyedHash| hex(&hash.0);
    let written = Written {
        block: block.as_ref().map(|block| WrittenBlock {
            since: block.since.0,
            until: block.until.0,
            why: block.why.as_ref().to_owned(),
        }),
        bypasses: bypasses
            .iter()
            .map(|bypass| WrittenBypass {
                id: bypass.id,
                client: bypass.client.to_string(),
                station: bypass.station.map(|net| net.to_string()),
                since: bypass.since.0,
                until: bypass.until.0,
                why: bypass.why.as_ref().to_owned(),
            })
            .collect(),
        armed: armed
            .iter()
            .map(|armed| WrittenArmed {
                id: armed.id,
                client: armed.client.to_string(),
                since: armed.since.0,
                until: armed.until.0,
                by: Some(match armed.by {
                    ArmedBy::Desk => HELP_DESK.to_owned(),
                    ArmedBy::User { method, .. } => method.code().to_owned(),
                }),
                from: match armed.by {
                    ArmedBy::Desk => None,
                    ArmedBy::User { from, .. } => from,
                },
            })
            .collect(),
        recovery: recovery
            .iter()
            .map(|code| WrittenRecovery {
                id: code.id,
                hash: text(&code.hash),
                since: code.since.0,
                used: code.used,
            })
            .collect(),
        pin: pin.as_ref().map(|pin| WrittenPin { hash: text(&pin.hash), since: pin.since.0 }),
        pins_before: pins_before.iter().map(text).collect(),
        sessions: sessions.iter().map(write_session).collect(),
        devices: devices
            .iter()
            .map(|device| WrittenDevice {
                id: device.id,
                name: device.name.as_ref().to_owned(),
                channel: device.channel.to_string(),
                address: device.address.as_ref().to_owned(),
                key: device.key.as_deref().map(hex),
                passkey: device.passkey,
                since: device.since.0,
                revoked: device.revoked.map(|moment| moment.0),
            })
            .collect(),
        passkeys: passkeys.iter().map(write_passkey).collect(),
        unlocked: unlocked.map(|time| time.0),
        role: role.map(|role| role.code().to_owned()),
        phone_held: phone_held.map(|time| time.0),
        invite: invite.as_ref().map(|invite| WrittenInvite {
            hash: hex(&invite.hash),
            since: invite.since.0,
            until: invite.until.0,
        }),
        withdrawn: *withdrawn,
    };
    #[expect(clippy::expect_used, reason = "structs of numbers and texts have a JSON form")]
    Some(serde_json::to_string(&written).expect("JSON"))
}

/// Back from [`write`]; `None` for anything else.
pub(super) fn read(text: &str) -> Option<Special> {
    let Written {
        block,
        bypasses,
        armed,
        recovery,
        pin,
        pins_before,
        sessions,
        devices,
        passkeys,
        unlocked,
        role,
        phone_held,
        invite,
        withdrawn,
    } = serde_json::from_str(text).ok()?;
    let hash = |text: &str| Some(KeyedHash(unhex(text)?.try_into().ok()?));
    let mut special = Special {
        block: block.map(|block| Block {
            since: UnixTime(block.since),
            until: UnixTime(block.until),
            why: block.why.into(),
        }),
        bypasses: bypasses
            .into_iter()
            .map(|bypass| {
                Some(Bypass {
                    id: bypass.id,
                    client: Label::new(&bypass.client).ok()?,
                    station: match bypass.station {
                        None => None,
                        Some(net) => Some(net.parse().ok()?),
                    },
                    since: UnixTime(bypass.since),
                    until: UnixTime(bypass.until),
                    why: bypass.why.into(),
                })
            })
            .collect::<Option<_>>()?,
        armed: armed
            .into_iter()
            .map(|armed| {
                let (since, until) = (UnixTime(armed.since), UnixTime(armed.until));
                let by = match armed.by.as_deref() {
                    Some(HELP_DESK) => ArmedBy::Desk,
                    // What nobody knows lets nobody in.
                    None => ArmedBy::User { method: Method::None, from: armed.from },
                    Some(method) => ArmedBy::User { method: Method::parse(method)?, from: armed.from },
                };
                Some(Armed { id: armed.id, client: Label::new(&armed.client).ok()?, since, until, by })
            })
            .collect::<Option<_>>()?,
        recovery: recovery
            .into_iter()
            .map(|code| {
                let since = UnixTime(code.since);
                Some(Recovery { id: code.id, hash: hash(&code.hash)?, since, used: code.used })
            })
            .collect::<Option<_>>()?,
        pin: match pin {
            None => None,
            Some(pin) => Some(Pin { hash: hash(&pin.hash)?, since: UnixTime(pin.since) }),
        },
        pins_before: pins_before.iter().map(|text| hash(text)).collect::<Option<_>>()?,
        sessions: sessions.into_iter().map(read_session).collect::<Option<_>>()?,
        devices: devices
            .into_iter()
            .map(|device| {
                Some(Device {
                    id: device.id,
                    name: device.name.into(),
                    channel: Label::new(&device.channel).ok()?,
                    address: device.address.into(),
                    key: match device.key {
                        None => None,
                        Some(key) => Some(unhex(&key)?.into()),
                    },
                    passkey: device.passkey,
                    since: UnixTime(device.since),
                    revoked: device.revoked.map(UnixTime),
                })
            })
            .collect::<Option<_>>()?,
        passkeys: passkeys.into_iter().map(read_passkey).collect::<Option<_>>()?,
        unlocked: unlocked.map(UnixTime),
        role: match role {
            None => None,
            Some(role) => Some(Role::parse(&role)?),
        },
        phone_held: phone_held.map(UnixTime),
        invite: match invite {
            None => None,
            Some(invite) => Some(Invite {
                hash: unhex(&invite.hash)?.try_into().ok()?,
                since: UnixTime(invite.since),
                until: UnixTime(invite.until),
            }),
        },
        withdrawn,
    };
    // A hundred thousand users may have a device each, and room for three more is most of what that takes.
    special.devices.shrink_to_fit();
    special.recovery.shrink_to_fit();
    special.sessions.shrink_to_fit();
    Some(special)
}

fn write_passkey(passkey: &Passkey) -> WrittenPasskey {
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

fn read_passkey(passkey: WrittenPasskey) -> Option<Passkey> {
    Some(Passkey {
        id: passkey.id,
        name: passkey.name.into(),
        credential: URL_SAFE_NO_PAD.decode(passkey.credential).ok()?.into(),
        key: passkey.key.to_string().into(),
        counter: passkey.counter,
        synced: passkey.synced,
        since: UnixTime(passkey.since),
        used: passkey.used.map(UnixTime),
    })
}

fn write_session(session: &Session) -> WrittenSession {
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

fn read_session(session: WrittenSession) -> Option<Session> {
    Some(Session {
        id: LoginId::from_number(session.login),
        client: Label::new(&session.client).ok()?,
        station: session.station.into(),
        since: UnixTime(session.since),
        until: UnixTime(session.until),
        method: Method::parse(&session.method)?,
        token: session.token.map(TokenId),
        pin: session.pin,
        passkey: session.passkey,
    })
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
