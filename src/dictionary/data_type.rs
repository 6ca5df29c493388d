//! The data types of RFC 8044, and the few that FreeRADIUS's dictionaries use beside them.

use std::fmt;

/// What an attribute's value is made of.
///
/// [`fmt::Display`] gives the name of RFC 8044 where it has one. Dictionary files are FreeRADIUS's language, and
/// there `string` means [`DataType::Text`] and `octets` means [`DataType::String`]; see [`DataType::from_name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// Unsigned, 32 bits; 24 where the attribute carries a tag.
    Integer,
    /// As [`DataType::Integer`], all its values named.
    Enum,
    /// Seconds since 1970, 32 bits.
    Time,
    /// UTF-8 for people.
    Text,
    /// Octets that mean nothing here.
    String,
    /// Octets spread over several attributes of the same type (`EAP-Message`).
    Concat,
    /// Half of an IPv6 address, 64 bits.
    InterfaceId,
    /// IPv4 address.
    Ipv4Address,
    /// IPv6 address.
    Ipv6Address,
    /// IPv6 prefix: reserved octet, length, up to 16 octets.
    Ipv6Prefix,
    /// IPv4 prefix: reserved octet, length, 4 octets.
    Ipv4Prefix,
    /// Unsigned, 64 bits.
    Integer64,
    /// Attributes within the attribute, each with a one-octet type and length.
    Tlv,
    /// Attribute 26.
    VendorSpecific,
    /// Attributes 241 to 244 (RFC 6929 §2.1).
    Extended,
    /// Attributes 245 and 246, which can be fragmented (RFC 6929 §2.2).
    LongExtended,
    /// `Extended-Vendor-Specific` within an extended attribute (RFC 6929 §2.4).
    ExtendedVendorSpecific,
    /// Unsigned, 8 bits. Not in RFC 8044.
    Byte,
    /// Unsigned, 16 bits. Not in RFC 8044.
    Short,
    /// Two's complement, 32 bits. Not in RFC 8044.
    Signed,
    /// Six octets of an Ethernet address. Not in RFC 8044.
    Ethernet,
    /// An IPv4 or an IPv6 address, told apart by its length. Not in RFC 8044.
    ComboAddress,
}

/// Every name that a dictionary file may use. The first for each type is the one that RFC 8044 gives it,
/// save for `string`, which has to mean what it means in all the dictionaries that exist.
const NAMES: &[(&str, DataType)] = &[
    ("integer", DataType::Integer),
    ("uint32", DataType::Integer),
    ("enum", DataType::Enum),
    ("time", DataType::Time),
    ("date", DataType::Time),
    ("text", DataType::Text),
    ("string", DataType::Text),
    ("octets", DataType::String),
    ("abinary", DataType::String),
    ("concat", DataType::Concat),
    ("ifid", DataType::InterfaceId),
    ("ipv4addr", DataType::Ipv4Address),
    ("ipaddr", DataType::Ipv4Address),
    ("ipv6addr", DataType::Ipv6Address),
    ("ipv6prefix", DataType::Ipv6Prefix),
    ("ipv4prefix", DataType::Ipv4Prefix),
    ("integer64", DataType::Integer64),
    ("uint64", DataType::Integer64),
    ("tlv", DataType::Tlv),
    ("vsa", DataType::VendorSpecific),
    ("extended", DataType::Extended),
    ("long-extended", DataType::LongExtended),
    ("evs", DataType::ExtendedVendorSpecific),
    ("byte", DataType::Byte),
    ("uint8", DataType::Byte),
    ("short", DataType::Short),
    ("uint16", DataType::Short),
    ("signed", DataType::Signed),
    ("int32", DataType::Signed),
    ("ether", DataType::Ethernet),
    ("combo-ip", DataType::ComboAddress),
];

impl DataType {
    /// Reads the name that a dictionary file uses, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, data_type)| *data_type)
    }

    /// All names that [`DataType::from_name`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// Whether other attributes stand within it.
    pub fn is_container(self) -> bool {
        matches!(
            self,
            Self::Tlv
                | Self::VendorSpecific
                | Self::Extended
                | Self::LongExtended
                | Self::ExtendedVendorSpecific
        )
    }

    /// The largest number that a value of this type holds; `None` where it is no number that can be named.
    pub fn largest(self) -> Option<u64> {
        match self {
            Self::Byte => Some(u64::from(u8::MAX)),
            Self::Short => Some(u64::from(u16::MAX)),
            Self::Integer | Self::Enum => Some(u64::from(u32::MAX)),
            Self::Integer64 => Some(u64::MAX),
            _ => None,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::String => "string",
            other => {
                NAMES.iter().find(|(_, data_type)| data_type == other).map_or("unknown", |(name, _)| name)
            }
        };
        formatter.pad(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freeradius_says_string_where_the_rfc_says_text() {
        assert_eq!(DataType::from_name("string"), Some(DataType::Text));
        assert_eq!(DataType::from_name("Octets"), Some(DataType::String));
        assert_eq!(DataType::Text.to_string(), "text");
        assert_eq!(DataType::String.to_string(), "string");
    }

    #[test]
    fn every_type_prints_a_name_of_its_own() {
        for (_, data_type) in NAMES {
            assert_ne!(data_type.to_string(), "unknown");
        }
    }
}
