//! One value as text, and text as one value, by the attribute's type.
//!
//! A value that is not well-formed for its type prints as `0x…`, never as a fault: it came from the network
//! and somebody has to see it. What is printed for a well-formed value reads back as the same octets, or, for
//! prefixes, as the same prefix written out in full.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::data_type::DataType;
use super::escape::{escape, unescape};
use super::fault::{did_you_mean, quote};
use super::model::{Attribute, Value};
use super::oid::number;

/// The largest value of an attribute (RFC 2865 §5), and of a vendor's, whose header takes six octets.
const MAX_VALUE: usize = 253;
const MAX_VENDOR_VALUE: usize = 247;
/// The largest value of a type that may be spread over several attributes of a packet.
const MAX_SPREAD_VALUE: usize = 4096 - 20 - 2;
/// A first octet above this one is not a tag but the text's first (RFC 2868 §3.3).
const MAX_TAG: u8 = 0x1f;

/// A text that is no value of the attribute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{attribute}: {what}{}", .hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
pub struct ValueFault {
    /// The attribute's name.
    pub attribute: String,
    /// What is wrong with the text.
    pub what: String,
    /// The remedy, where one is known.
    pub hint: Option<String>,
}

/// What is wrong, before the attribute's name is added.
struct Wrong(String, Option<String>);

impl Attribute {
    /// The value as text, its tag left out (see [`Attribute::split_tag`]).
    ///
    /// Whatever could move a cursor or imitate something else is escaped. The value of an encrypted attribute
    /// has to be decrypted before; it is printed as it stands, so ask [`Attribute::is_hidden`] first.
    pub fn print(&self, value: &[u8]) -> String {
        let (_, value) = self.split_tag(value);
        match self.element_octets() {
            Some(octets) if self.array && value.len() > octets && value.len().is_multiple_of(octets) => {
                let elements: Vec<String> =
                    value.chunks(octets).map(|element| self.print_one(element)).collect();
                elements.join(",")
            }
            _ => self.print_one(value),
        }
    }

    /// Reads a text as a value. An attribute that has a tag gets none, which on the wire is tag 0.
    ///
    /// Numbers are read by name, in decimal or as `0x…`; octets as `0x…` or as text; text with the
    /// escapes that [`Attribute::print`] writes.
    ///
    /// # Errors
    /// The text is no value of the type, or the value does not fit into an attribute.
    pub fn parse_text(&self, text: &str) -> Result<Vec<u8>, ValueFault> {
        self.parse_tagged(None, text)
    }

    /// As [`Attribute::parse_text`], with a tag from 0 to 31 (RFC 2868 §3).
    ///
    /// # Errors
    /// Also when the attribute has no tag, or there is no such tag.
    pub fn parse_tagged(&self, tag: Option<u8>, text: &str) -> Result<Vec<u8>, ValueFault> {
        self.parse(tag, text).map_err(|Wrong(what, hint)| ValueFault {
            attribute: self.name.to_string(),
            what,
            hint,
        })
    }

    /// The tag of a value and what follows it. `None` when the attribute has no tag or this value lacks it.
    pub fn split_tag<'a>(&self, value: &'a [u8]) -> (Option<u8>, &'a [u8]) {
        match value.split_first() {
            Some((tag, rest)) if self.has_tag && *tag <= MAX_TAG => (Some(*tag), rest),
            // A number always has the octet; what is no tag in it is to be ignored.
            Some((_, rest)) if self.has_tag && self.is_number() => (None, rest),
            _ => (None, value),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self.data_type, DataType::Integer | DataType::Enum)
    }

    /// Octets of one element, where the type fixes them.
    fn element_octets(&self) -> Option<usize> {
        match self.data_type {
            DataType::Byte => Some(1),
            DataType::Short => Some(2),
            DataType::Integer | DataType::Enum if self.has_tag => Some(3),
            DataType::Integer
            | DataType::Enum
            | DataType::Time
            | DataType::Signed
            | DataType::Ipv4Address => Some(4),
            DataType::Ethernet | DataType::Ipv4Prefix => Some(6),
            DataType::Integer64 | DataType::InterfaceId => Some(8),
            DataType::Ipv6Address => Some(16),
            _ => None,
        }
    }

    fn print_one(&self, value: &[u8]) -> String {
        self.print_well_formed(value).unwrap_or_else(|| hex(value))
    }

    fn print_well_formed(&self, value: &[u8]) -> Option<String> {
        if self.element_octets().is_some_and(|octets| octets != value.len()) {
            return None;
        }
        Some(match self.data_type {
            DataType::Integer | DataType::Enum | DataType::Byte | DataType::Short | DataType::Integer64 => {
                self.print_number(big_endian(value))
            }
            DataType::Signed => i32::from_be_bytes(value.try_into().ok()?).to_string(),
            DataType::Time => {
                jiff::Timestamp::from_second(i64::from(u32::from_be_bytes(value.try_into().ok()?)))
                    .ok()?
                    .to_string()
            }
            DataType::Text => escape(value),
            DataType::InterfaceId => print_interface_id(value),
            DataType::Ipv4Address => ipv4(value)?.to_string(),
            DataType::Ipv6Address => ipv6(value)?.to_string(),
            DataType::ComboAddress => match value.len() {
                4 => ipv4(value)?.to_string(),
                _ => ipv6(value)?.to_string(),
            },
            DataType::Ipv4Prefix => match value {
                [0, length @ 0..=32, address @ ..] => format!("{}/{length}", ipv4(address)?),
                _ => return None,
            },
            DataType::Ipv6Prefix => print_ipv6_prefix(value)?,
            DataType::Ethernet => {
                let octets: Vec<String> = value.iter().map(|octet| format!("{octet:02x}")).collect();
                octets.join(":")
            }
            _ => hex(value),
        })
    }

    /// A number goes by its name; where its digits are the name of another number it is written as `0x…`.
    fn print_number(&self, number: u64) -> String {
        match self.value_name(number) {
            Some(name) => name.to_owned(),
            None if self.values.number(&number.to_string()).is_some() => format!("{number:#x}"),
            None => number.to_string(),
        }
    }

    fn parse(&self, tag: Option<u8>, text: &str) -> Result<Vec<u8>, Wrong> {
        match tag {
            Some(_) if !self.has_tag => return Err(Wrong("has no tag".to_owned(), None)),
            Some(tag) if tag > MAX_TAG => {
                return Err(Wrong(
                    format!("there is no tag {tag}"),
                    Some(format!("tags are 0 to {MAX_TAG}")),
                ));
            }
            _ => {}
        }
        let mut value = if self.array && self.element_octets().is_some() {
            text.split(',').map(|element| self.parse_one(element)).collect::<Result<Vec<_>, _>>()?.concat()
        } else {
            self.parse_one(text)?
        };
        // Text may do without the tag, unless its own first octet would be taken for one.
        let needs_tag =
            self.has_tag && (self.is_number() || value.first().is_some_and(|first| *first <= MAX_TAG));
        if let Some(tag) = tag.or(needs_tag.then_some(0)) {
            value.insert(0, tag);
        }
        let largest = match (self.data_type, self.oid.vendor(), self.oid.outer_type()) {
            (DataType::Concat, ..) | (_, None, Some(245 | 246)) => MAX_SPREAD_VALUE,
            (_, Some(_), _) => MAX_VENDOR_VALUE,
            _ => MAX_VALUE,
        };
        if value.len() > largest {
            let what = format!("{} octets do not fit", value.len());
            return Err(Wrong(what, Some(format!("at most {largest} do"))));
        }
        Ok(value)
    }

    fn parse_one(&self, text: &str) -> Result<Vec<u8>, Wrong> {
        let no_value = |example: &str| {
            Wrong(
                format!("{} is no value of type {}", quote(text), self.data_type),
                Some(format!("write `{example}`")),
            )
        };
        Ok(match self.data_type {
            DataType::Byte | DataType::Short | DataType::Integer | DataType::Enum | DataType::Integer64 => {
                let number = self.parse_number(text)?;
                let octets = self.element_octets().unwrap_or(8);
                number.to_be_bytes().into_iter().skip(8 - octets).collect()
            }
            DataType::Signed => text.parse::<i32>().map_err(|_| no_value("-1"))?.to_be_bytes().to_vec(),
            DataType::Time => {
                parse_time(text).ok_or_else(|| no_value("2026-01-31T12:00:00Z"))?.to_be_bytes().to_vec()
            }
            DataType::Text => self.parse_octets(unescape_text(text)?)?,
            DataType::String | DataType::Concat => match hexadecimal(text) {
                Some(digits) => {
                    self.parse_octets(read_hexadecimal(digits).ok_or_else(|| no_value("0x0123"))?)?
                }
                None => self.parse_octets(unescape_text(text)?)?,
            },
            DataType::InterfaceId => parse_interface_id(text).ok_or_else(|| no_value("0:0:0:1"))?,
            DataType::Ipv4Address => {
                text.parse::<Ipv4Addr>().map_err(|_| no_value("192.0.2.1"))?.octets().to_vec()
            }
            DataType::Ipv6Address => {
                text.parse::<Ipv6Addr>().map_err(|_| no_value("2001:db8::1"))?.octets().to_vec()
            }
            DataType::ComboAddress => match text.parse() {
                Ok(std::net::IpAddr::V4(address)) => address.octets().to_vec(),
                Ok(std::net::IpAddr::V6(address)) => address.octets().to_vec(),
                Err(_) => return Err(no_value("192.0.2.1` or `2001:db8::1")),
            },
            DataType::Ipv4Prefix => {
                let (length, address) =
                    prefix::<Ipv4Addr>(text, 32).ok_or_else(|| no_value("192.0.2.0/24"))?;
                let masked = clear_beyond(&address.octets(), length);
                [vec![0, length], masked].concat()
            }
            DataType::Ipv6Prefix => {
                let (length, address) =
                    prefix::<Ipv6Addr>(text, 128).ok_or_else(|| no_value("2001:db8::/32"))?;
                let masked = clear_beyond(&address.octets(), length);
                [vec![0, length], masked].concat()
            }
            DataType::Ethernet => parse_ethernet(text).ok_or_else(|| no_value("00:11:22:33:44:55"))?,
            DataType::Tlv
            | DataType::VendorSpecific
            | DataType::Extended
            | DataType::LongExtended
            | DataType::ExtendedVendorSpecific => {
                let octets =
                    hexadecimal(text).and_then(read_hexadecimal).ok_or_else(|| no_value("0x0103ff"))?;
                self.parse_octets(octets)?
            }
        })
    }

    fn parse_number(&self, text: &str) -> Result<u64, Wrong> {
        if let Some(number) = self.values.number(text) {
            return Ok(number);
        }
        let largest = match self.data_type.largest() {
            Some(largest) if !self.has_tag => largest,
            _ => 0x00ff_ffff,
        };
        let Some(number) = number(text) else {
            let names = self.values.iter().map(|Value { name, .. }| &**name);
            let hint = did_you_mean(text, names).or_else(|| self.some_names());
            return Err(Wrong(format!("{} is no value that it has", quote(text)), hint));
        };
        if number > largest {
            return Err(Wrong(
                format!("{number} is too large"),
                Some(format!("its largest value is {largest}")),
            ));
        }
        Ok(number)
    }

    fn some_names(&self) -> Option<String> {
        const SHOWN: usize = 6;
        let names: Vec<&str> = self.values.iter().take(SHOWN).map(|value| &*value.name).collect();
        let more = if self.values.len() > SHOWN { ", …" } else { "" };
        (!names.is_empty()).then(|| format!("it has {}{more} and any number", names.join(", ")))
    }

    /// Octets whose number the type leaves open: never none (RFC 2865 §5), and as many as the dictionary says.
    fn parse_octets(&self, octets: Vec<u8>) -> Result<Vec<u8>, Wrong> {
        match self.length {
            Some(length) if octets.len() != usize::from(length) => {
                Err(Wrong(format!("has {length} octets, not {}", octets.len()), None))
            }
            _ if octets.is_empty() => Err(Wrong(
                "a value of no octets must not be sent".to_owned(),
                Some("leave the attribute out".to_owned()),
            )),
            _ => Ok(octets),
        }
    }
}

/// `0x` and two digits an octet.
pub(super) fn hex(value: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * value.len());
    text.push_str("0x");
    for octet in value {
        write!(text, "{octet:02x}").unwrap_or_default();
    }
    text
}

/// The digits of what is written as octets.
fn hexadecimal(text: &str) -> Option<&str> {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
}

/// Pairs of digits, one pair an octet.
fn read_hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let octet = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(octet).collect()
}

fn unescape_text(text: &str) -> Result<Vec<u8>, Wrong> {
    unescape(text).map_err(|place| {
        let what = format!(
            "the backslash at character {} begins no escape",
            text.get(..place).unwrap_or_default().chars().count() + 1
        );
        Wrong(what, Some("write `\\\\` for a backslash".to_owned()))
    })
}

fn big_endian(value: &[u8]) -> u64 {
    value.iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

fn print_interface_id(value: &[u8]) -> String {
    let groups: Vec<String> = value.chunks(2).map(|group| format!("{:x}", big_endian(group))).collect();
    groups.join(":")
}

fn ipv4(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

fn ipv6(value: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(value).ok().map(Ipv6Addr::from)
}

/// The address may be cut behind the prefix (RFC 3162 §2.3); bits beyond it are nothing (RFC 8044 §3.10).
fn print_ipv6_prefix(value: &[u8]) -> Option<String> {
    let [0, length @ 0..=128, written @ ..] = value else { return None };
    if written.len() > 16 || written.len() * 8 < usize::from(*length) {
        return None;
    }
    let mut address = [0; 16];
    for (octet, given) in address.iter_mut().zip(clear_beyond(written, *length)) {
        *octet = given;
    }
    Some(format!("{}/{length}", Ipv6Addr::from(address)))
}

/// The octets with every bit behind the prefix cleared.
fn clear_beyond(octets: &[u8], length: u8) -> Vec<u8> {
    let mut left = u32::from(length);
    octets
        .iter()
        .map(|octet| {
            let kept = left.min(8);
            left -= kept;
            // A shift by eight clears the octet, which is what a prefix without it means.
            octet & !0xff_u8.checked_shr(kept).unwrap_or(0)
        })
        .collect()
}

fn prefix<A: std::str::FromStr>(text: &str, largest: u8) -> Option<(u8, A)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, u8::try_from(number(length)?).ok()?),
        None => (text, largest),
    };
    (length <= largest).then_some((length, address.parse().ok()?))
}

/// RFC 3339, or seconds since 1970.
fn parse_time(text: &str) -> Option<u32> {
    if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        return text.parse().ok();
    }
    u32::try_from(text.parse::<jiff::Timestamp>().ok()?.as_second()).ok()
}

fn parse_interface_id(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(8);
    for word in text.split(':') {
        if word.is_empty() || word.len() > 4 || !word.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        octets.extend(u16::from_str_radix(word, 16).ok()?.to_be_bytes());
    }
    (octets.len() == 8).then_some(octets)
}

fn parse_ethernet(text: &str) -> Option<Vec<u8>> {
    let octets: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|word| match word.len() {
            2 if word.bytes().all(|digit| digit.is_ascii_hexdigit()) => u8::from_str_radix(word, 16).ok(),
            _ => None,
        })
        .collect();
    octets.filter(|octets| octets.len() == 6)
}
