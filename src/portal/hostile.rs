//! What strangers send to pages, read as the handlers read it and done nothing with: for the fuzz targets alone.
//!
//! What can be fuzzed through its own face (webhook signatures, provider's answers, links, codes, cookies) is not here. Invariant: nothing
//! in the program calls this.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use webauthn_rs::Webauthn;
use webauthn_rs::prelude::{
    PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential, RegisterPublicKeyCredential, Uuid,
};

use super::passkey::{decoys, relying};
use super::{device, push, request};

/// The pairs of a form or a query.
#[must_use]
pub fn form(octets: &[u8]) -> Vec<(String, String)> {
    request::form(octets)
}

/// Whether a handler takes these octets for a body of JSON: an answer to a push, what a device's page sends.
#[must_use]
pub fn is_body(octets: &[u8]) -> bool {
    push::is_answer(octets) | device::is_body(octets)
}

/// Whether `signature` is that of the device with this public key over `lines`.
#[must_use]
pub fn is_signed(key: &[u8], lines: &[&str], signature: &str) -> bool {
    device::is_signed(key, lines, signature)
}

/// A passkey that is being made and one that is being asked for, for nobody.
pub struct Ceremony {
    party: Webauthn,
    making: PasskeyRegistration,
    asking: PasskeyAuthentication,
    /// What each is to sign: base64url.
    challenges: [Value; 2],
    credential: String,
}

impl fmt::Debug for Ceremony {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Ceremony(…)")
    }
}

/// The page that asks.
const ORIGIN: &str = "https://localhost";

impl Ceremony {
    /// Begins both; `None` where the library does not.
    #[must_use]
    pub fn begin() -> Option<Ceremony> {
        let party = relying(ORIGIN).ok()?;
        let (made, making) =
            party.start_passkey_registration(Uuid::from_bytes([7; 16]), "u1", "u1", None).ok()?;
        let known = decoys(&[7; 32], "u1");
        let credential = URL_SAFE_NO_PAD.encode(known.first()?.cred_id());
        let (asked, asking) = party.start_passkey_authentication(&known).ok()?;
        let challenge = |options: Value| options.get("publicKey")?.get("challenge").cloned();
        let made = challenge(serde_json::to_value(&made).ok()?)?;
        let asked = challenge(serde_json::to_value(&asked).ok()?)?;
        Some(Ceremony { party, making, asking, challenges: [made, asked], credential })
    }

    /// Whether an attestation object (CBOR, WebAuthn §6.5), sent with all else right, makes a passkey.
    #[must_use]
    pub fn makes(&self, credential: &[u8], object: &[u8]) -> bool {
        let name = URL_SAFE_NO_PAD.encode(credential);
        let [challenge, _] = &self.challenges;
        self.takes_new(&json!({
            "id": name, "rawId": name, "type": "public-key",
            "response": {
                "clientDataJSON": client("webauthn.create", challenge),
                "attestationObject": URL_SAFE_NO_PAD.encode(object),
            },
        }))
    }

    /// Whether authenticator data and a signature, sent with all else right, are those of the passkey that is asked for.
    #[must_use]
    pub fn shows(&self, data: &[u8], signature: &[u8]) -> bool {
        let [_, challenge] = &self.challenges;
        self.takes_old(&json!({
            "id": self.credential, "rawId": self.credential, "type": "public-key",
            "response": {
                "clientDataJSON": client("webauthn.get", challenge),
                "authenticatorData": URL_SAFE_NO_PAD.encode(data),
                "signature": URL_SAFE_NO_PAD.encode(signature),
                "userHandle": null,
            },
        }))
    }

    /// Whether a field of a form, as it is, makes a passkey or shows one.
    #[must_use]
    pub fn takes(&self, field: &str) -> bool {
        serde_json::from_str(field).is_ok_and(|value| self.takes_new(&value) | self.takes_old(&value))
    }

    fn takes_new(&self, value: &Value) -> bool {
        serde_json::from_value::<RegisterPublicKeyCredential>(value.clone())
            .is_ok_and(|sent| self.party.finish_passkey_registration(&sent, &self.making).is_ok())
    }

    fn takes_old(&self, value: &Value) -> bool {
        serde_json::from_value::<PublicKeyCredential>(value.clone())
            .is_ok_and(|sent| self.party.finish_passkey_authentication(&sent, &self.asking).is_ok())
    }
}

/// What a browser says of the page (WebAuthn §5.8.1).
fn client(kind: &str, challenge: &Value) -> String {
    let said = json!({ "type": kind, "challenge": challenge, "origin": ORIGIN, "crossOrigin": false });
    URL_SAFE_NO_PAD.encode(said.to_string())
}
