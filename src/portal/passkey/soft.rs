//! An authenticator in software, for tests: one key of P-256 (ES256), which signs whatever it is told to, right or wrong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What it says of itself and of where it is.
pub(crate) struct Soft {
    key: SigningKey,
    pub(crate) credential: Vec<u8>,
    /// The origin of the page that asks.
    pub(crate) origin: String,
    /// The relying party that it takes that for.
    pub(crate) party: String,
    /// Whether it has made sure of its user.
    pub(crate) verified: bool,
    /// What it counts next.
    pub(crate) counter: u32,
}

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;

impl Soft {
    /// One with a key made of `seed`, before the page of `origin`.
    pub(crate) fn new(seed: u8, origin: &str) -> Soft {
        let key = SigningKey::from_slice(&[seed; 32]).expect("a scalar");
        let host = origin.split("://").nth(1).unwrap_or_default().split(':').next().unwrap_or_default();
        let (party, origin) = (host.to_owned(), origin.to_owned());
        Soft { key, credential: vec![seed; 32], origin, party, verified: true, counter: 1 }
    }

    /// What a script sends of a passkey that was made for `options` (`publicKey` of what `/setup/passkey/begin` answers).
    pub(crate) fn make(&mut self, options: &Value) -> Value {
        let mut data = self.data(ATTESTED);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.credential.len()).expect("short").to_be_bytes());
        data.extend(&self.credential);
        let point = self.key.verifying_key().to_sec1_point(false);
        let (x, y) = (point.x().expect("whole"), point.y().expect("whole"));
        // COSE (RFC 9053 §7.1.1): EC2, ES256, P-256, x, y.
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(x);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(y);
        // {"fmt": "none", "attStmt": {}, "authData": …}
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x59");
        object.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        object.extend(data);
        let client = self.client("webauthn.create", options);
        json!({
            "id": text(&self.credential), "rawId": text(&self.credential), "type": "public-key",
            "response": { "clientDataJSON": text(&client), "attestationObject": text(&object) },
        })
    }

    /// What a script sends of the passkey, shown for `options`.
    pub(crate) fn show(&mut self, options: &Value) -> Value {
        let data = self.data(0);
        let client = self.client("webauthn.get", options);
        let signed = [&data[..], &Sha256::digest(&client)].concat();
        let signature: Signature = self.key.sign(&signed);
        json!({
            "id": text(&self.credential), "rawId": text(&self.credential), "type": "public-key",
            "response": {
                "clientDataJSON": text(&client), "authenticatorData": text(&data),
                "signature": text(signature.to_der().as_bytes()), "userHandle": null,
            },
        })
    }

    fn data(&mut self, flags: u8) -> Vec<u8> {
        let verified = if self.verified { VERIFIED } else { 0 };
        let mut data = Sha256::digest(self.party.as_bytes()).to_vec();
        data.push(PRESENT | verified | flags);
        data.extend(self.counter.to_be_bytes());
        self.counter += 1;
        data
    }

    fn client(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = &options["challenge"];
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false })
            .to_string()
            .into_bytes()
    }
}

fn text(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}
