//! Who pushes, told to the push service (VAPID, RFC 8292): a token signed by a key that the browser was shown when it subscribed.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};

use crate::base::secret::Secret;
use crate::base::system::{Entropy, random};
use crate::base::time::UnixTime;

/// How long a token is good for: RFC 8292 §2 allows a day, and clocks differ.
const LIFETIME: Duration = Duration::from_hours(12);

/// The key that pushes are signed with. Whoever subscribed did so for this key alone, so it is for good.
#[derive(Clone)]
pub struct Vapid {
    key: SigningKey,
    public: Arc<str>,
}

impl Vapid {
    /// The key of 32 octets; `None` for what is none.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Option<Vapid> {
        let key = SigningKey::from_slice(octets).ok().filter(|_| octets.len() == 32)?;
        let public = URL_SAFE_NO_PAD.encode(key.verifying_key().to_sec1_bytes());
        Some(Vapid { key, public: public.into() })
    }

    /// A new key.
    pub fn generate(entropy: &mut (impl Entropy + ?Sized)) -> Vapid {
        loop {
            // All but one in 2³² draws is a key.
            if let Some(key) = Vapid::parse(&*zeroize::Zeroizing::new(random::<32>(entropy))) {
                break key;
            }
        }
    }

    /// The octets of the key, for whoever keeps it.
    #[must_use]
    pub fn octets(&self) -> Secret {
        Secret::new(self.key.to_bytes().as_slice())
    }

    /// What a browser is told when it subscribes: the public key, base64url.
    #[must_use]
    pub fn public(&self) -> &Arc<str> {
        &self.public
    }

    /// The header Authorization for a message to the push service at `origin` (RFC 8292 §3). `contact` is where the service's people
    /// can ask: a `mailto:` or `https:` URL.
    #[must_use]
    pub fn authorization(&self, origin: &str, contact: Option<&str>, now: UnixTime) -> String {
        let expires = (now + LIFETIME).secs();
        let mut claims = serde_json::json!({ "aud": origin, "exp": expires });
        if let (Some(contact), Some(claims)) = (contact, claims.as_object_mut()) {
            claims.insert("sub".to_owned(), contact.into());
        }
        let head = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"ES256"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature: Signature = self.key.sign(signed.as_bytes());
        format!("vapid t={signed}.{}, k={}", URL_SAFE_NO_PAD.encode(signature.to_bytes()), self.public)
    }
}

impl std::fmt::Debug for Vapid {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Vapid").field(&self.public).finish()
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::VerifyingKey;
    use p256::ecdsa::signature::Verifier as _;

    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::Tick;

    /// Whether the token of a header `vapid t=…, k=…` is signed by the key in it; its claims.
    fn claims(header: &str) -> Option<serde_json::Value> {
        let rest = header.strip_prefix("vapid t=")?;
        let (token, key) = rest.split_once(", k=").or(rest.split_once(",k="))?;
        let (signed, signature) = token.rsplit_once('.')?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let key = VerifyingKey::from_sec1_bytes(&decode(key)?).ok()?;
        key.verify(signed.as_bytes(), &Signature::from_slice(&decode(signature)?).ok()?).ok()?;
        let (head, body) = signed.split_once('.')?;
        let head: serde_json::Value = serde_json::from_slice(&decode(head)?).ok()?;
        assert_eq!(head, serde_json::json!({ "typ": "JWT", "alg": "ES256" }));
        serde_json::from_slice(&decode(body)?).ok()
    }

    #[test]
    fn the_example_of_rfc_8292_and_ours_pass_the_same_check() {
        let example = "vapid t=eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1\
            MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtm\
            ysazNjjvW2L9OkSSHzvoD1oA, k=BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs";
        let wanted = serde_json::json!({
            "aud": "https://push.example.net", "exp": 1_453_523_768, "sub": "mailto:push@example.com"
        });
        assert_eq!(claims(example), Some(wanted.clone()));
        assert_eq!(claims(&example.replace("t=eyJ0", "t=eyJ1")), None);

        let vapid = Vapid::generate(&mut Fixed { mono: Tick(0), unix: UnixTime(0), seed: 7 });
        let now = UnixTime::from_secs(1_453_523_768 - 12 * 3600);
        let header = vapid.authorization("https://push.example.net", Some("mailto:push@example.com"), now);
        assert_eq!(claims(&header), Some(wanted));
        assert!(header.ends_with(&format!(", k={}", vapid.public())));
        let bare = claims(&vapid.authorization("https://push.example.net", None, now)).unwrap();
        assert_eq!(bare.get("sub"), None);
    }

    #[test]
    fn a_key_reads_back_from_its_octets_and_rubbish_is_none() {
        let vapid = Vapid::parse(&[7; 32]).unwrap();
        let again = Vapid::parse(vapid.octets().expose()).unwrap();
        assert_eq!(vapid.public(), again.public());
        assert_eq!(format!("{vapid:?}"), format!("Vapid({:?})", &**vapid.public()));
        for octets in [&[][..], &[0; 32], &[0xff; 32], &[7; 31], &[7; 33]] {
            assert!(Vapid::parse(octets).is_none(), "{octets:?}");
        }
    }
}
