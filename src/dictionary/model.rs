//! What a dictionary holds: attributes, their named values, vendors.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::data_type::DataType;
use super::oid::Oid;

/// Where a definition stands. [`fmt::Display`] writes `file:line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's path, or its name for one that the program carries.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

/// How a value is hidden on the wire, with the shared secret and the Request Authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Encryption {
    /// It travels in the clear.
    #[default]
    None,
    /// `encrypt=1`: as User-Password (RFC 2865 §5.2).
    UserPassword,
    /// `encrypt=2`: as Tunnel-Password, with a salt (RFC 2868 §3.5).
    TunnelPassword,
    /// `encrypt=3`: Ascend-Send-Secret's own way.
    Ascend,
}

impl fmt::Display for Encryption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::None => "none",
            Self::UserPassword => "user-password",
            Self::TunnelPassword => "tunnel-password",
            Self::Ascend => "ascend",
        })
    }
}

/// One attribute as a dictionary defines it.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Its name, as it was written.
    pub name: Box<str>,
    /// Its number.
    pub oid: Oid,
    /// What its value is made of.
    pub data_type: DataType,
    /// The number of octets that its value must have, where the dictionary says so (`octets[16]`).
    pub length: Option<u16>,
    /// How its value is hidden on the wire. Whoever proxies must open and hide it again (protocol.md 28).
    pub encryption: Encryption,
    /// Whether the value begins with a tag (RFC 2868 §3).
    pub has_tag: bool,
    /// Whether the value is a row of values of the type, without anything between them.
    pub array: bool,
    /// Whether the value, though not encrypted, helps whoever wants to find a password out.
    pub secret: bool,
    /// The names of its values.
    pub values: Values,
    /// Where it was defined.
    pub source: Place,
}

impl Attribute {
    /// The name of a number, where the dictionary has one. A number named twice goes by its last name.
    pub fn value_name(&self, number: u64) -> Option<&str> {
        self.values.name(number)
    }

    /// Whether the value must not be shown: it is encrypted, or gives a password away.
    pub fn is_hidden(&self) -> bool {
        self.secret || self.encryption != Encryption::None
    }
}

/// One named number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The name, as it was written.
    pub name: Box<str>,
    /// The number that goes on the wire.
    pub number: u64,
    /// Where it was defined.
    pub source: Place,
}

/// The named numbers of an attribute, in the order of their definition.
#[derive(Clone, Debug, Default)]
pub struct Values {
    list: Vec<Value>,
    by_name: HashMap<Box<str>, usize>,
    by_number: HashMap<u64, usize>,
}

impl Values {
    /// Every value, aliases included.
    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.list.iter()
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether no value has a name.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The last name given to a number.
    pub fn name(&self, number: u64) -> Option<&str> {
        let value = self.list.get(*self.by_number.get(&number)?)?;
        Some(&value.name)
    }

    /// The number of a name, in any case.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.find(name).map(|value| value.number)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Value> {
        self.list.get(*self.by_name.get(fold(name).as_str())?)
    }

    /// Adds a value; a name that is there already keeps its entry, and `Err` gives it when its number differs.
    pub(super) fn insert(&mut self, value: Value) -> Result<(), Value> {
        let folded = fold(&value.name);
        if let Some(place) = self.by_name.get(folded.as_str()).copied() {
            let known = self.list.get(place);
            return match known {
                Some(known) if known.number != value.number => Err(known.clone()),
                _ => {
                    self.by_number.insert(value.number, place);
                    Ok(())
                }
            };
        }
        let place = self.list.len();
        self.by_name.insert(folded.into(), place);
        self.by_number.insert(value.number, place);
        self.list.push(value);
        Ok(())
    }
}

/// How a vendor lays out what follows its number in a type 26 attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VendorFormat {
    /// Octets of the type: 1, 2 or 4.
    pub type_octets: u8,
    /// Octets of the length: 0 (one attribute fills the rest), 1 or 2.
    pub length_octets: u8,
    /// Whether an octet with a "more follows" bit stands after the length (`WiMAX`).
    pub continuation: bool,
}

impl Default for VendorFormat {
    /// What RFC 2865 §5.26 recommends and nearly all follow.
    fn default() -> Self {
        Self { type_octets: 1, length_octets: 1, continuation: false }
    }
}

impl VendorFormat {
    /// The largest type number that fits.
    pub fn largest(self) -> u32 {
        match self.type_octets {
            1 => u32::from(u8::MAX),
            2 => u32::from(u16::MAX),
            _ => u32::MAX,
        }
    }
}

/// A vendor: its private enterprise number, and how its attributes are laid out.
#[derive(Clone, Debug)]
pub struct Vendor {
    /// Its name, as it was written.
    pub name: Box<str>,
    /// Its number in IANA's list of private enterprises.
    pub number: u32,
    /// How its attributes are laid out.
    pub format: VendorFormat,
    /// Where it was defined.
    pub source: Place,
}

/// The key that names are compared by: dictionaries and people agree on the letters, not on their case.
pub(super) fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}
