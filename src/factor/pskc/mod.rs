//! Portable Symmetric Key Containers (PSKC, RFC 6030): the XML in which makers of tokens deliver seeds, read and written.
//!
//! Reading has two steps, so that a key or passphrase is asked for only where one is needed: [`Pskc::parse`] reads the
//! file, [`Pskc::open`] checks each value's MAC and decrypts it. Files come from outside: nothing is taken that is not
//! understood, no MAC is left unchecked, and nothing expands (module `xml`). What is wrong with one key is a [`Fault`] with
//! its element and line, beside the keys that are fine; what concerns the file is the only answer. No IO, no clock.

mod crypto;
mod key;
mod parts;
mod read;
#[cfg(test)]
mod tests;
mod write;
mod xml;

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Arc;

use self::crypto::Cipher;
use self::key::{Closed, RawKey};
use super::described::Described;
use super::oath::Algorithm;
use crate::base::secret::Secret;
use crate::base::table::Fault;

pub use self::write::{ITERATIONS, Strength, Writer};

/// The longest file taken, in octets.
pub const FILE_MAX: usize = 64 << 20;
/// The most rounds of PBKDF2 taken: some ten seconds of one processor.
pub const ITERATIONS_MAX: u32 = 10_000_000;

/// The most reasons written beside a package that is refused.
const REASONS_MAX: usize = 20;

const ROOT: &str = "KeyContainer";
const NAMESPACE: &str = "urn:ietf:params:xml:ns:keyprov:pskc";
const PBKDF2: [&str; 2] = [
    "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#pbkdf2",
    // Where W3C's XML Encryption 1.1 moved it.
    "http://www.w3.org/2009/xmlenc11#pbkdf2",
];

/// A file that was read and not opened yet.
#[derive(Debug)]
pub struct Pskc {
    protection: Protection,
    derivation: Option<Derivation>,
    mac: Option<MacMethod>,
    keys: Vec<RawKey>,
    faults: Vec<Fault>,
    notes: Vec<Note>,
    packages: Vec<Package>,
    /// Where the first package begins, and the root's closing tag.
    head: usize,
    tail: String,
}

/// What it takes to open a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing: all values stand as they are.
    None,
    /// A key that was agreed on, of 16, 24 or 32 octets.
    Key {
        /// What the file calls it.
        name: Option<String>,
    },
    /// A passphrase.
    Passphrase {
        /// What the file calls it.
        name: Option<String>,
    },
}

/// Something about keys that is good to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The line, from 1.
    pub line: u64,
    /// What there is to know.
    pub what: String,
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Opened {
    /// The tokens, in the file's order.
    pub tokens: Vec<Described>,
    /// Keys that cannot be taken, by line.
    pub faults: Vec<Fault>,
    /// What there is to know beside them, by line.
    pub notes: Vec<Note>,
}

#[derive(Debug)]
struct Derivation {
    hash: Algorithm,
    salt: Vec<u8>,
    iterations: u32,
    /// In octets; `None` where the file leaves it to the cipher.
    length: Option<usize>,
}

#[derive(Debug)]
struct MacMethod {
    line: u64,
    hash: Algorithm,
    /// `None` where the MACs are made under the key that the values are sealed with.
    key: Option<Sealed>,
}

/// An encrypted value.
#[derive(Debug)]
struct Sealed {
    cipher: Cipher,
    octets: Vec<u8>,
}

#[derive(Debug)]
struct Package {
    span: std::ops::Range<usize>,
    lines: RangeInclusive<u64>,
}

impl Pskc {
    /// Reads a file.
    pub fn parse(octets: &[u8]) -> Result<Pskc, Fault> {
        if octets.len() > FILE_MAX {
            return Err(Fault::whole(1, format!("the file is longer than {} MiB", FILE_MAX >> 20)));
        }
        if octets.starts_with(b"\xff\xfe") || octets.starts_with(b"\xfe\xff") {
            return Err(Fault::whole(1, "the file is UTF-16; save it in UTF-8"));
        }
        match std::str::from_utf8(octets) {
            Ok(document) => read::container(document.strip_prefix('\u{feff}').unwrap_or(document)),
            Err(error) => {
                let before = octets.get(..error.valid_up_to()).unwrap_or_default();
                let line = before.split(|octet| *octet == b'\n').count();
                Err(Fault::whole(u64::try_from(line).unwrap_or(1), "the file is not UTF-8"))
            }
        }
    }

    /// What [`Pskc::open`] wants.
    pub fn protection(&self) -> &Protection {
        &self.protection
    }

    /// Checks and decrypts every value with the key or passphrase that [`Pskc::protection`] asks for. Takes as long as the
    /// file's PBKDF2 does.
    pub fn open(&self, secret: Option<&Secret>) -> Result<Opened, Fault> {
        let keys = self.opening(secret)?;
        let mut opened =
            Opened { tokens: Vec::new(), faults: self.faults.clone(), notes: self.notes.clone() };
        let (mut sealed, mut mismatched) = (0_usize, 0_usize);
        let mut serials = std::collections::HashMap::new();
        for raw in &self.keys {
            sealed += usize::from(raw.is_sealed());
            match raw.open(keys.as_ref()) {
                Ok(mut token) => {
                    // One device may hold several keys, and a serial number names one token.
                    let earlier: &mut usize = serials.entry(Arc::clone(&token.serial)).or_default();
                    *earlier += 1;
                    if *earlier > 1 {
                        token.serial = raw.another_serial(&token.serial, *earlier);
                    }
                    opened.tokens.push(token);
                }
                Err(Closed::Mismatch(fault)) => {
                    mismatched += 1;
                    opened.faults.push(fault);
                }
                Err(Closed::Wrong(fault)) => opened.faults.push(fault),
            }
        }
        if sealed > 0 && mismatched == sealed {
            let line = self.mac.as_ref().map_or(1, |mac| mac.line);
            let secret = if self.derivation.is_some() { "passphrase" } else { "key" };
            return Err(Fault::of(
                line,
                "<MACMethod>",
                format!("no MAC is right: the {secret} is wrong, or the file was changed"),
            ));
        }
        opened.faults.sort_by_key(|fault| fault.line);
        opened.notes.sort_by_key(|note| note.line);
        Ok(opened)
    }

    /// The keys to open values with; `None` where nothing is sealed.
    fn opening(&self, secret: Option<&Secret>) -> Result<Option<Opening>, Fault> {
        let wanted = match &self.protection {
            Protection::None => return Ok(None),
            Protection::Key { .. } => "a key",
            Protection::Passphrase { .. } => "a passphrase",
        };
        let Some(secret) = secret else {
            return Err(Fault::whole(1, format!("the file is encrypted, and {wanted} is needed to open it")));
        };
        let key = match &self.derivation {
            None => secret.clone(),
            Some(derivation) => {
                // Every value of one container is sealed under one key.
                let cipher = self.ciphers().next();
                let length = derivation.length.or(cipher.map(Cipher::key_length)).unwrap_or(16);
                crypto::derive(
                    derivation.hash,
                    secret.expose(),
                    &derivation.salt,
                    derivation.iterations,
                    length,
                )
            }
        };
        if let Some(cipher) = self.ciphers().find(|cipher| cipher.key_length() != key.len()) {
            return Err(Fault::whole(
                1,
                format!(
                    "the key has {} octets, and the file's cipher takes {}",
                    key.len(),
                    cipher.key_length()
                ),
            ));
        }
        let mac = match &self.mac {
            None => None,
            Some(MacMethod { hash, key: None, .. }) => Some((*hash, key.clone())),
            Some(MacMethod { line, hash, key: Some(sealed) }) => {
                let opened = sealed.cipher.open(key.expose(), &sealed.octets).ok_or_else(|| {
                    let secret = if self.derivation.is_some() { "passphrase" } else { "key" };
                    Fault::of(
                        *line,
                        "<MACKey>",
                        format!("cannot be decrypted: the {secret} is wrong, or the file was changed"),
                    )
                })?;
                Some((*hash, opened))
            }
        };
        Ok(Some(Opening { key, mac }))
    }

    fn ciphers(&self) -> impl Iterator<Item = Cipher> {
        let mac = self.mac.iter().filter_map(|mac| mac.key.as_ref()).map(|sealed| sealed.cipher);
        mac.chain(self.keys.iter().flat_map(RawKey::ciphers))
    }

    /// A file of the packages in which `faults` lie, as they stand in `octets`, which is what was parsed, each after its
    /// faults in a comment. It can be read again, with the same key or passphrase. Its secrets are those of `octets`.
    pub fn refused(&self, octets: &[u8], faults: &[Fault]) -> Vec<u8> {
        let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
        let mut file = octets.get(..self.head).unwrap_or_default().to_vec();
        let mut faults: Vec<&Fault> = faults.iter().collect();
        faults.sort_by_key(|fault| fault.line);
        for package in &self.packages {
            let mut reasons = String::new();
            let from = faults.partition_point(|fault| fault.line < *package.lines.start());
            let here = faults.iter().skip(from).take_while(|fault| package.lines.contains(&fault.line));
            // Where many packages share a line, each is taken for what is wrong on it.
            for fault in here.take(REASONS_MAX) {
                // Two hyphens would end the comment.
                let _infallible =
                    write!(reasons, "<!-- {} -->\n    ", fault.to_string().replace("--", "- -"));
            }
            if !reasons.is_empty() {
                file.extend_from_slice(reasons.as_bytes());
                file.extend_from_slice(octets.get(package.span.clone()).unwrap_or_default());
                file.extend_from_slice(b"\n    ");
            }
        }
        file.extend_from_slice(self.tail.as_bytes());
        file
    }
}

/// What opens a file's values.
struct Opening {
    key: Secret,
    mac: Option<(Algorithm, Secret)>,
}
