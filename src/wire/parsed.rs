//! The first look at a datagram: is it a RADIUS packet? Nothing here is believed yet.

use std::fmt;

use crate::base::secret::same;

use super::attribute::{Attribute, Attributes, number};
use super::code::Code;
use super::drop::DropReason;
use super::reader::Reader;
use super::secret::{Digest16, SharedSecret};
use super::verified::Verified;

/// The longest packet, in octets (RFC 2865 §3).
pub const MAX_PACKET: usize = 4096;
/// The most attributes that a packet may hold: an honest one has some twenty, and each costs us a walk.
pub const MAX_ATTRIBUTES: usize = 200;
/// Code, Identifier, Length, Authenticator.
pub(super) const HEADER: usize = 20;

/// A well-formed packet that anybody may have sent.
///
/// It is small and borrows the datagram, so it can be verified against a second secret when the first one fails.
#[derive(Clone, Copy)]
pub struct Parsed<'a> {
    pub(super) head: &'a [u8; 4],
    pub(super) authenticator: &'a Digest16,
    pub(super) attributes: &'a [u8],
    stamp: Option<Stamp<'a>>,
    has_eap: bool,
    has_proxy_state: bool,
}

/// A Message-Authenticator's value, and the attributes' octets on both sides of it.
#[derive(Clone, Copy)]
struct Stamp<'a> {
    before: &'a [u8],
    value: &'a Digest16,
    after: &'a [u8],
}

impl<'a> Stamp<'a> {
    /// `attribute` is the one of `attributes` that `after` follows; `None` when its value has not 16 octets.
    fn between(attributes: &'a [u8], attribute: Attribute<'a>, after: &'a [u8]) -> Option<Stamp<'a>> {
        let value = attribute.value().try_into().ok()?;
        let behind_head = after.len() + attribute.value().len();
        let (before, _) = attributes.split_at_checked(attributes.len().checked_sub(behind_head)?)?;
        Some(Stamp { before, value, after })
    }
}

impl<'a> Parsed<'a> {
    /// Takes `datagram` apart. Octets after the packet's own length are ignored (RFC 2865 §3).
    pub fn parse(datagram: &'a [u8]) -> Result<Parsed<'a>, DropReason> {
        let mut reader = Reader::new(datagram);
        let (Some(head), Some(authenticator)) = (reader.array::<4>(), reader.array()) else {
            return Err(DropReason::TooShort);
        };
        let &[_, _, length @ ..] = head;
        let length = usize::from(u16::from_be_bytes(length));
        if !(HEADER..=MAX_PACKET).contains(&length) {
            return Err(DropReason::BadLength);
        }
        let attributes = reader.take(length - HEADER).ok_or(DropReason::BadLength)?;

        let mut packet =
            Parsed { head, authenticator, attributes, stamp: None, has_eap: false, has_proxy_state: false };
        let mut walk = Reader::new(attributes);
        let (mut count, mut has_state) = (0, false);
        while !walk.is_empty() {
            let attribute = Attribute::read(&mut walk).ok_or(DropReason::BadAttribute)?;
            count += 1;
            if count > MAX_ATTRIBUTES {
                return Err(DropReason::TooManyAttributes);
            }
            match attribute.number() {
                number::STATE if has_state => return Err(DropReason::TwoStates),
                number::STATE => has_state = true,
                number::EAP_MESSAGE => packet.has_eap = true,
                number::PROXY_STATE => packet.has_proxy_state = true,
                number::MESSAGE_AUTHENTICATOR if packet.stamp.is_some() => {
                    return Err(DropReason::TwoMessageAuthenticators);
                }
                number::MESSAGE_AUTHENTICATOR => {
                    let stamp = Stamp::between(attributes, attribute, walk.rest());
                    packet.stamp = Some(stamp.ok_or(DropReason::BadMessageAuthenticator)?);
                }
                _ => {}
            }
        }
        Ok(packet)
    }

    /// What kind of packet it says it is.
    pub const fn code(&self) -> Code {
        let &[code, ..] = self.head;
        Code(code)
    }

    /// The sender's number for it.
    pub const fn identifier(&self) -> u8 {
        let &[_, identifier, ..] = self.head;
        identifier
    }

    /// The Authenticator field.
    pub const fn authenticator(&self) -> &'a [u8; 16] {
        self.authenticator
    }

    /// Its attributes, in order.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::of(self.attributes)
    }

    /// Whether a Message-Authenticator is there; whether it is right, only [`Parsed::verify`] tells.
    pub const fn has_message_authenticator(&self) -> bool {
        self.stamp.is_some()
    }

    /// Whether EAP is spoken.
    pub const fn has_eap(&self) -> bool {
        self.has_eap
    }

    /// Whether it came through another proxy, by its own account.
    pub const fn has_proxy_state(&self) -> bool {
        self.has_proxy_state
    }

    /// Checks the request against the secret of the address that it came from.
    ///
    /// An Access-Request or Status-Server is proven by its Message-Authenticator (RFC 3579 §3.2), which EAP and
    /// Status-Server (RFC 5997 §2.1) must have; an Access-Request without one passes as
    /// [`Unsigned`](super::Integrity::Unsigned), which proves nothing. An Accounting-Request is proven by its
    /// Request Authenticator (RFC 2866 §3).
    pub fn verify(self, secret: &SharedSecret) -> Result<Verified<&'a [u8]>, DropReason> {
        Verified::check(self, secret)
    }

    /// Whether the Message-Authenticator is the one of this packet when `authenticator` stands in its header;
    /// `None` without one.
    pub(super) fn stamp_holds(&self, authenticator: &Digest16, secret: &SharedSecret) -> Option<bool> {
        let Stamp { before, value, after } = self.stamp?;
        let computed = secret.hmac(&[self.head, authenticator, before, &[0; 16], after]);
        Some(same(&computed, value))
    }

    /// Whether the Authenticator field is the MD5 of this packet with `authenticator` in its place, then the
    /// secret: a reply's Response Authenticator, or an Accounting-Request's own.
    pub(super) fn authenticator_holds(&self, authenticator: &Digest16, secret: &SharedSecret) -> bool {
        let computed = secret.md5_after(&[self.head, authenticator, self.attributes]);
        same(&computed, self.authenticator)
    }
}

impl fmt::Debug for Parsed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {:?}", self.code(), self.identifier(), self.attributes())
    }
}
