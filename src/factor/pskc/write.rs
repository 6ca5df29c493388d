//! Writing a container: every seed encrypted under a passphrase, with a MAC beside it (RFC 6030 §6.2).
//!
//! AES in CBC mode under a key from PBKDF2 with HMAC-SHA-256, MACs by HMAC-SHA-256 under a random key of their own. Each seed
//! has an initialisation vector of its own. Package by package, so that a million tokens need no memory.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::escape::escape;

use super::crypto::{self, Cipher};
use super::{NAMESPACE, PBKDF2};
use crate::base::secret::Secret;
use crate::base::system::{Entropy, random};
use crate::factor::described::Described;
use crate::factor::oath::{Algorithm, Moving};

/// Rounds of PBKDF2 with HMAC-SHA-256 that make a guess at a passphrase dear (OWASP, 2023).
pub const ITERATIONS: u32 = 600_000;

/// How a container is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// AES with keys of 128 bits.
    Aes128,
    /// AES with keys of 256 bits.
    Aes256,
}

/// Writes one container.
#[derive(Debug)]
pub struct Writer {
    cipher: Cipher,
    key: Secret,
    mac_key: Secret,
}

const HASH: Algorithm = Algorithm::Sha256;

impl Writer {
    /// Derives the keys from `passphrase` in so many rounds, and answers what the file begins with.
    pub fn new(
        passphrase: &Secret,
        strength: Strength,
        iterations: u32,
        entropy: &mut dyn Entropy,
    ) -> (Writer, String) {
        let cipher = match strength {
            Strength::Aes128 => Cipher::Aes128,
            Strength::Aes256 => Cipher::Aes256,
        };
        let salt: [u8; 16] = random(entropy);
        let key = crypto::derive(HASH, passphrase.expose(), &salt, iterations, cipher.key_length());
        let mac_key = Secret::new(zeroize::Zeroizing::new(random::<32>(entropy)).as_slice());
        let writer = Writer { cipher, key, mac_key };
        let head = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<pskc:KeyContainer Version="1.0"
    xmlns:pskc="{NAMESPACE}"
    xmlns:pkcs5="http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#"
    xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"
    xmlns:xenc11="http://www.w3.org/2009/xmlenc11#">
  <pskc:EncryptionKey>
    <xenc11:DerivedKey>
      <xenc11:KeyDerivationMethod Algorithm="{derivation}">
        <pkcs5:PBKDF2-params>
          <Salt><Specified>{salt}</Specified></Salt>
          <IterationCount>{iterations}</IterationCount>
          <KeyLength>{length}</KeyLength>
          <PRF Algorithm="{hash}"/>
        </pkcs5:PBKDF2-params>
      </xenc11:KeyDerivationMethod>
      <xenc11:MasterKeyName>radmfa</xenc11:MasterKeyName>
    </xenc11:DerivedKey>
  </pskc:EncryptionKey>
  <pskc:MACMethod Algorithm="{hash}">
    <pskc:MACKey>{mac_key}</pskc:MACKey>
  </pskc:MACMethod>
"#,
            derivation = PBKDF2.first().copied().unwrap_or_default(),
            salt = STANDARD.encode(salt),
            length = cipher.key_length(),
            hash = crypto::hash_uri(HASH),
            mac_key = writer.sealed(&writer.mac_key, entropy).1,
        );
        (writer, head)
    }

    /// What the file ends with.
    pub const END: &'static str = "</pskc:KeyContainer>\n";

    /// One token.
    pub fn package(&self, token: &Described, entropy: &mut dyn Entropy) -> String {
        let mut text = String::with_capacity(1_600);
        let serial = escape(&*token.serial);
        text.push_str("  <pskc:KeyPackage>\n    <pskc:DeviceInfo>");
        element(&mut text, "Manufacturer", token.manufacturer.as_deref());
        element(&mut text, "SerialNo", Some(&token.serial));
        element(&mut text, "Model", token.model.as_deref());
        let (name, data) = match token.parameters.moving {
            Moving::Time { interval } => {
                let mut data = plain("Time", 0) + &plain("TimeInterval", interval.into());
                if token.drift != 0 {
                    data.push_str(&plain("TimeDrift", token.drift.into()));
                }
                ("totp", data)
            }
            Moving::Counter => ("hotp", plain("Counter", i64::try_from(token.counter).unwrap_or(i64::MAX))),
        };
        let suite = match token.parameters.algorithm {
            // What RFC 6030 means without a word of it.
            Algorithm::Sha1 => String::new(),
            other => format!("<pskc:Suite>HMAC-{}</pskc:Suite>", other.name()),
        };
        let (octets, sealed) = self.sealed(&token.seed, entropy);
        let mac = crypto::mac(HASH, self.mac_key.expose(), &octets);
        let _infallible = write!(
            text,
            r#"</pskc:DeviceInfo>
    <pskc:Key Id="{serial}" Algorithm="{NAMESPACE}:{name}">
      <pskc:AlgorithmParameters>{suite}<pskc:ResponseFormat Length="{digits}" Encoding="DECIMAL"/></pskc:AlgorithmParameters>"#,
            digits = token.parameters.digits.count(),
        );
        text.push_str("\n      ");
        element(&mut text, "FriendlyName", token.label.as_deref());
        let _infallible = write!(
            text,
            "<pskc:Data>
        <pskc:Secret>
          <pskc:EncryptedValue>{sealed}</pskc:EncryptedValue>
          <pskc:ValueMAC>{mac}</pskc:ValueMAC>
        </pskc:Secret>{data}
      </pskc:Data>",
            mac = STANDARD.encode(mac),
        );
        if let Some(user) = &token.user {
            element(&mut text, "UserId", Some(&format!("UID={}", escape_name(user.as_str()))));
        }
        let dates = [("StartDate", token.starts), ("ExpiryDate", token.expires)];
        let dates: String = dates
            .into_iter()
            .filter_map(|(name, date)| Some(format!("<pskc:{name}>{}</pskc:{name}>", date?)))
            .collect();
        if !dates.is_empty() {
            let _infallible = write!(text, "<pskc:Policy>{dates}</pskc:Policy>");
        }
        text.push_str("\n    </pskc:Key>\n  </pskc:KeyPackage>\n");
        text
    }

    /// `secret` encrypted: its octets, and the elements that carry them.
    fn sealed(&self, secret: &Secret, entropy: &mut dyn Entropy) -> (Vec<u8>, String) {
        #[expect(clippy::expect_used, reason = "the key was made for this cipher")]
        let octets =
            self.cipher.seal(self.key.expose(), random(entropy), secret.expose()).expect("a key that fits");
        let text = format!(
            r#"<xenc:EncryptionMethod Algorithm="{}"/><xenc:CipherData><xenc:CipherValue>{}</xenc:CipherValue></xenc:CipherData>"#,
            self.cipher.uri(),
            STANDARD.encode(&octets)
        );
        (octets, text)
    }
}

fn element(text: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _infallible = write!(text, "<pskc:{name}>{}</pskc:{name}>", escape(value));
    }
}

fn plain(name: &str, value: i64) -> String {
    format!("\n        <pskc:{name}><pskc:PlainValue>{value}</pskc:PlainValue></pskc:{name}>")
}

/// A value in a distinguished name (RFC 4514 §2.4).
fn escape_name(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for letter in value.chars() {
        if matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' | '#') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}
