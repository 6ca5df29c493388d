//! Passkeys as the store keeps them and as `webauthn-rs` wants them, and such as nobody has.
//!
//! Of a credential only its name, its public key and what it counts are kept: an attestation is not asked for, and what the rest says is
//! the same for all. It goes in and out by the library's own form for storage (JSON).

use hkdf::Hkdf;
use serde_json::{Value, json};
use sha2::Sha256;
use webauthn_rs::prelude::Passkey as Credential;

use crate::engine::passkey::Passkey;

/// What of a new credential is kept.
pub(super) struct Parts {
    pub(super) credential: Vec<u8>,
    pub(super) key: String,
    pub(super) counter: u32,
    pub(super) synced: bool,
}

/// What of `credential` is kept; `None` where the library writes something else than it did.
pub(super) fn parts(credential: &Credential) -> Option<Parts> {
    let whole = serde_json::to_value(credential).ok()?;
    let inner = whole.get("cred")?;
    Some(Parts {
        credential: credential.cred_id().clone(),
        key: serde_json::to_value(credential.get_public_key()).ok()?.to_string(),
        counter: inner.get("counter")?.as_u64()?.try_into().ok()?,
        synced: inner.get("backup_eligible")?.as_bool()?,
    })
}

/// Back from [`parts`]; `None` where the key is damaged.
pub(super) fn whole(passkey: &Passkey) -> Option<Credential> {
    let key: Value = serde_json::from_str(&passkey.key).ok()?;
    credential(&passkey.credential, &key, passkey.counter, passkey.synced)
}

fn credential(name: &[u8], key: &Value, counter: u32, synced: bool) -> Option<Credential> {
    use base64::Engine as _;
    let name = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(name);
    let whole = json!({ "cred": {
        "cred_id": name,
        "cred": key,
        "counter": counter,
        "transports": null,
        "user_verified": true,
        "backup_eligible": synced,
        "backup_state": synced,
        "registration_policy": "required",
        "extensions": {},
        "attestation": { "data": "None", "metadata": "None" },
        "attestation_format": "none",
    } });
    serde_json::from_value(whole).ok()
}

/// The lengths of names that authenticators in wide use give: password managers, Apple's, Windows', security keys, Android's.
const LENGTHS: [usize; 8] = [16, 20, 20, 32, 32, 64, 65, 65];
/// A public key that a decoy shows nobody: the base point of P-256, in the library's form. What would sign for it is known, and a decoy
/// lets nobody in whatever is signed.
const NOBODYS: &str = r#"{"type_":"ES256","key":{"EC_EC2":{"curve":"SECP256R1","x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY","y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}}}"#;

/// Credentials for a name that has none, the same each time: nobody is to see which names have some. `secret` is this installation's.
pub(in crate::portal) fn decoys(secret: &[u8; 32], name: &str) -> Vec<Credential> {
    let drawn = |label: &str| {
        let mut octets = [0_u8; 66];
        #[expect(clippy::expect_used, reason = "66 octets are fewer than HKDF can draw (RFC 5869 §2.3)")]
        Hkdf::<Sha256>::new(Some(label.as_bytes()), secret)
            .expand(name.as_bytes(), &mut octets)
            .expect("short enough");
        octets
    };
    let [first, ..] = drawn("count");
    // One in four has two.
    let count = if first < 64 { 2 } else { 1 };
    let key: Value = serde_json::from_str(NOBODYS).unwrap_or_default();
    let made = (0..count).filter_map(|place| {
        let octets = drawn(&format!("passkey {place}"));
        let (kind, rest) = octets.split_first()?;
        let length = LENGTHS.get(usize::from(*kind) % LENGTHS.len())?;
        credential(rest.get(..*length)?, &key, 0, false)
    });
    made.collect()
}

/// What an authenticator is told for the user's number (WebAuthn §5.4.3: nothing that says who it is): 16 octets.
pub(super) fn handle(secret: &[u8; 32], name: &str) -> [u8; 16] {
    let mut octets = [0; 16];
    #[expect(clippy::expect_used, reason = "16 octets are fewer than HKDF can draw (RFC 5869 §2.3)")]
    Hkdf::<Sha256>::new(Some(b"handle"), secret).expand(name.as_bytes(), &mut octets).expect("short enough");
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixTime;

    #[test]
    fn a_name_without_passkeys_has_the_same_decoys_each_time_and_others_elsewhere() {
        let names = |secret: u8, user: &str| -> Vec<Vec<u8>> {
            decoys(&[secret; 32], user).iter().map(|decoy| decoy.cred_id().clone()).collect()
        };
        let mut counts = [0; 3];
        for number in 0..200 {
            let user = format!("u{number}");
            let first = names(1, &user);
            assert_eq!(first, names(1, &user));
            assert_ne!(first, names(2, &user));
            assert!(first.iter().all(|name| LENGTHS.contains(&name.len())));
            counts[first.len()] += 1;
        }
        assert!(counts[0] == 0 && counts[1] > 100 && counts[2] > 20, "{counts:?}");
        assert_ne!(handle(&[1; 32], "u1"), handle(&[1; 32], "u2"));
    }

    #[test]
    fn what_is_kept_of_a_credential_is_all_that_the_library_needs() {
        let decoy = decoys(&[1; 32], "u1").remove(0);
        let Parts { credential, key, counter, synced } = parts(&decoy).unwrap();
        assert_eq!((&credential, counter, synced), (decoy.cred_id(), 0, false));
        let kept = Passkey {
            id: 1,
            name: "key".into(),
            credential: credential.into(),
            key: key.into(),
            counter: 7,
            synced: true,
            since: UnixTime(0),
            used: None,
        };
        let back = whole(&kept).unwrap();
        assert_eq!((back.cred_id(), back.get_public_key()), (decoy.cred_id(), decoy.get_public_key()));
        let again = parts(&back).unwrap();
        assert_eq!((again.counter, again.synced, again.key.as_str()), (7, true, &*kept.key));
        for damaged in ["", "{}", "null", "{\"type_\":\"ES256\"}"] {
            assert!(whole(&Passkey { key: damaged.into(), ..kept.clone() }).is_none(), "{damaged}");
        }
    }
}
