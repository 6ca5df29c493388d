//! Attributes as they stand in a packet: a number, a length, a value (RFC 2865 §5), in order, unknown ones too.

use std::fmt;
use std::iter::FusedIterator;

use super::reader::Reader;

/// The longest value of an attribute, in octets (RFC 2865 §5).
pub const VALUE_MAX: usize = 253;

/// Numbers of the standard attributes that the proxy itself has an opinion about.
pub mod number {
    #![expect(missing_docs, reason = "each is named as its RFC names it")]
    pub const USER_NAME: u8 = 1;
    pub const USER_PASSWORD: u8 = 2;
    pub const CHAP_PASSWORD: u8 = 3;
    pub const NAS_IP_ADDRESS: u8 = 4;
    pub const NAS_PORT: u8 = 5;
    pub const SERVICE_TYPE: u8 = 6;
    pub const REPLY_MESSAGE: u8 = 18;
    pub const STATE: u8 = 24;
    pub const CLASS: u8 = 25;
    pub const VENDOR_SPECIFIC: u8 = 26;
    pub const SESSION_TIMEOUT: u8 = 27;
    pub const CALLED_STATION_ID: u8 = 30;
    pub const CALLING_STATION_ID: u8 = 31;
    pub const NAS_IDENTIFIER: u8 = 32;
    pub const PROXY_STATE: u8 = 33;
    pub const ACCT_SESSION_ID: u8 = 44;
    pub const CHAP_CHALLENGE: u8 = 60;
    pub const TUNNEL_PASSWORD: u8 = 69;
    pub const ARAP_PASSWORD: u8 = 70;
    pub const PROMPT: u8 = 76;
    pub const EAP_MESSAGE: u8 = 79;
    pub const MESSAGE_AUTHENTICATOR: u8 = 80;
    pub const NAS_IPV6_ADDRESS: u8 = 95;
    pub const DIGEST_RESPONSE: u8 = 103;
    /// Of the range that is left to implementations (RFC 2865 §5): what one radmfa says to another, sealed.
    pub const RELAY: u8 = 224;

    /// Whether it belongs to one hop, so that whoever seals a packet puts it in: Message-Authenticator, Proxy-State.
    pub(in crate::wire) const fn is_of_one_hop(number: u8) -> bool {
        matches!(number, MESSAGE_AUTHENTICATOR | PROXY_STATE)
    }
}

/// Vendors (IANA private enterprise numbers) whose attributes the proxy itself reads.
pub mod vendor {
    /// RFC 2548.
    pub const MICROSOFT: u32 = 311;
}

/// Names an attribute: a standard one, or a vendor's in the usual format of one octet for type and length
/// (RFC 2865 §5.26).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttributeId {
    /// By number.
    Standard(u8),
    /// By vendor and the vendor's number.
    Vendor(u32, u8),
}

impl fmt::Display for AttributeId {
    /// `18` or `26.311.16`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttributeId::Standard(number) => write!(formatter, "{number}"),
            AttributeId::Vendor(vendor, number) => write!(formatter, "26.{vendor}.{number}"),
        }
    }
}

/// One attribute of a packet, or one sub-attribute of a vendor's. Its value is what somebody else wrote.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    number: u8,
    /// Of the whole attribute, as it stands there.
    length: u8,
    value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Its number, never 0.
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// Its value, 0 to [`VALUE_MAX`] octets.
    pub const fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The value as an integer; `None` unless it has four octets.
    pub fn integer(&self) -> Option<u32> {
        self.value.try_into().ok().map(u32::from_be_bytes)
    }

    /// The vendor's attributes within, when this is a Vendor-Specific one in the usual format.
    pub fn vendor(&self) -> Option<VendorAttributes<'a>> {
        (self.number == number::VENDOR_SPECIFIC).then(|| VendorAttributes::parse(self.value)).flatten()
    }

    /// The next attribute; `None` when nothing is left, when it is longer than what is left, shorter than its
    /// own head, or of type 0.
    pub(super) fn read(reader: &mut Reader<'a>) -> Option<Attribute<'a>> {
        let &[number, length] = reader.array()?;
        let value = reader.take(usize::from(length.checked_sub(2)?))?;
        (number != 0).then_some(Attribute { number, length, value })
    }

    /// Appends it as it came.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.number, self.length]);
        out.extend_from_slice(self.value);
    }
}

impl fmt::Debug for Attribute<'_> {
    /// Number and length alone: the value may be a secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}[{}]", self.number, self.value.len())
    }
}

/// Walks attributes in their order.
#[derive(Clone, Copy)]
pub struct Attributes<'a>(Reader<'a>);

impl<'a> Attributes<'a> {
    /// `octets` are known to be attributes that fill them exactly.
    pub(super) const fn of(octets: &'a [u8]) -> Attributes<'a> {
        Attributes(Reader::new(octets))
    }

    /// The same, after looking whether it is so; `None` when it is not.
    pub fn parse(octets: &'a [u8]) -> Option<Attributes<'a>> {
        let mut reader = Reader::new(octets);
        while !reader.is_empty() {
            Attribute::read(&mut reader)?;
        }
        Some(Attributes::of(octets))
    }

    /// The octets of those not yet walked.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0.rest()
    }

    /// The value of the first one with this number.
    pub fn first(mut self, number: u8) -> Option<&'a [u8]> {
        self.find(|attribute| attribute.number == number).map(|attribute| attribute.value)
    }

    /// The values of those with this number, in order.
    pub fn all(self, number: u8) -> impl Iterator<Item = &'a [u8]> {
        self.filter(move |attribute| attribute.number == number).map(|attribute| attribute.value)
    }
}

#[expect(clippy::copy_iterator, reason = "two words; a copy walks on from where the original stands")]
impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        Attribute::read(&mut self.0)
    }
}

impl FusedIterator for Attributes<'_> {}

impl fmt::Debug for Attributes<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(*self).finish()
    }
}

/// What a Vendor-Specific attribute holds (RFC 2865 §5.26): the vendor, and attributes in the recommended format.
#[derive(Clone, Copy, Debug)]
pub struct VendorAttributes<'a> {
    /// The vendor's IANA private enterprise number.
    pub vendor: u32,
    /// Its attributes, in order.
    pub attributes: Attributes<'a>,
}

impl<'a> VendorAttributes<'a> {
    /// `None` when the value has no vendor, or the vendor keeps to a format of its own.
    pub fn parse(value: &'a [u8]) -> Option<VendorAttributes<'a>> {
        let mut reader = Reader::new(value);
        let vendor = u32::from_be_bytes(*reader.array()?);
        Attributes::parse(reader.rest()).map(|attributes| VendorAttributes { vendor, attributes })
    }

    /// What each of its attributes is, in order.
    pub fn ids(self) -> impl Iterator<Item = AttributeId> {
        self.attributes.map(move |attribute| AttributeId::Vendor(self.vendor, attribute.number()))
    }
}
