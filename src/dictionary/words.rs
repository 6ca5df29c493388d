//! The words of a dictionary's lines, each read on its own: names, types, options, formats.

use super::Fault;
use super::data_type::DataType;
use super::fault::{did_you_mean, quote};
use super::model::{Attribute, Encryption, Place, VendorFormat};
use super::oid::number;

/// Octets of one name.
pub(super) const MAX_NAME_OCTETS: usize = 128;

/// What a line has wrong; the reader adds where it stands.
pub(super) struct Wrong {
    what: String,
    hint: Option<String>,
}

pub(super) fn wrong(what: impl Into<String>) -> Wrong {
    Wrong { what: what.into(), hint: None }
}

impl Wrong {
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn maybe(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    pub(super) fn at(self, place: &Place) -> Fault {
        Fault { file: place.file.to_string(), line: place.line, what: self.what, hint: self.hint }
    }
}

pub(super) fn check_name(name: &str) -> Result<(), Wrong> {
    let good = name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_./:".contains(&octet));
    if good && name.len() <= MAX_NAME_OCTETS {
        return Ok(());
    }
    Err(wrong(format!("{} cannot be a name", quote(name)))
        .hint(format!("a letter or digit, then letters, digits and `-_./:`, at most {MAX_NAME_OCTETS}")))
}

/// A type, and the length that may stand behind it: `octets[16]`.
pub(super) fn read_type(word: &str) -> Result<(DataType, Option<u16>), Wrong> {
    let (name, length) = match word.strip_suffix(']').and_then(|word| word.split_once('[')) {
        Some((name, length)) => (name, Some(length)),
        None => (word, None),
    };
    let data_type = DataType::from_name(name).ok_or_else(|| {
        wrong(format!("unknown type {}", quote(name))).maybe(did_you_mean(name, DataType::names()))
    })?;
    let Some(length) = length else { return Ok((data_type, None)) };
    match length.parse::<u16>() {
        Ok(length @ 1..=253) if matches!(data_type, DataType::Text | DataType::String) => {
            Ok((data_type, Some(length)))
        }
        _ => Err(wrong(format!("a value of {} cannot have the length {}", quote(name), quote(length)))
            .hint("`octets[1]` to `octets[253]`")),
    }
}

pub(super) fn read_option(option: &str, attribute: &mut Attribute) -> Result<(), Wrong> {
    match option {
        "has_tag" => attribute.has_tag = true,
        "array" => attribute.array = true,
        "secret" => attribute.secret = true,
        "encrypt=1" | "encrypt=User-Password" => attribute.encryption = Encryption::UserPassword,
        "encrypt=2" | "encrypt=Tunnel-Password" => attribute.encryption = Encryption::TunnelPassword,
        "encrypt=3" | "encrypt=Ascend-Secret" => attribute.encryption = Encryption::Ascend,
        "concat" if attribute.data_type == DataType::String => attribute.data_type = DataType::Concat,
        "concat" => return Err(wrong("`concat` goes with `octets` alone")),
        "long" if attribute.data_type == DataType::Extended => attribute.data_type = DataType::LongExtended,
        "evs" if attribute.data_type == DataType::VendorSpecific => {
            attribute.data_type = DataType::ExtendedVendorSpecific;
        }
        // Ways of FreeRADIUS's own to hold or compare what never is on the wire.
        "long" | "evs" | "virtual" | "internal" => {}
        _ => {
            let known = [
                "has_tag",
                "array",
                "secret",
                "encrypt=1",
                "encrypt=2",
                "encrypt=3",
                "concat",
                "virtual",
                "long",
                "evs",
            ];
            let hint = did_you_mean(option, known.into_iter()).unwrap_or_else(|| {
                "a vendor's attributes stand between BEGIN-VENDOR and END-VENDOR".to_owned()
            });
            return Err(wrong(format!("unknown option {}", quote(option))).hint(hint));
        }
    }
    Ok(())
}

pub(super) fn read_format(word: &str) -> Option<VendorFormat> {
    let mut words = word.strip_prefix("format=")?.split(',');
    let type_octets = words.next().and_then(number).filter(|octets| matches!(octets, 1 | 2 | 4))?;
    let length_octets = words.next().and_then(number).filter(|octets| *octets <= 2)?;
    let continuation = match words.next() {
        None => false,
        Some("c") if (type_octets, length_octets) == (1, 1) => true,
        Some(_) => return None,
    };
    if words.next().is_some() {
        return None;
    }
    let (type_octets, length_octets) = (u8::try_from(type_octets).ok()?, u8::try_from(length_octets).ok()?);
    Some(VendorFormat { type_octets, length_octets, continuation })
}
