//! One attribute whose text we hold in the clear, to be encrypted when it is sent.

use zeroize::Zeroizing;

use crate::base::secret::Secret;

use super::attribute::{Attribute, AttributeId, VALUE_MAX, number};
use super::hide::{Hidden, HideKind, conceal, is_hidden_password, pad, reveal_salted, reveal_user_password};
use super::list::Unfit;
use super::reader::Reader;
use super::secret::{Digest16, SharedSecret};

/// An attribute with its text in whole blocks, ready to be encrypted; it fits in 255 octets.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Held {
    id: AttributeId,
    kind: HideKind,
    /// Of the attribute, or the vendor's within; a vendor's has room for six octets more.
    length: u8,
    text: Secret,
}

impl Held {
    /// Holds `plain`, or says why such an attribute cannot be.
    pub(super) fn new(id: AttributeId, kind: HideKind, plain: &[u8]) -> Result<Held, Unfit> {
        let text = match kind {
            HideKind::UserPassword => pad(&[], plain),
            HideKind::Salted { .. } => {
                let length = u8::try_from(plain.len()).map_err(|_| Unfit::TooLong)?;
                pad(&[length], plain)
            }
        };
        Held::of_text(id, kind, text)
    }

    /// Holds what `value` hides; `None` when it cannot be opened.
    pub(super) fn open(
        id: AttributeId,
        value: &[u8],
        hidden: Hidden,
        authenticator: &Digest16,
        secret: &SharedSecret,
    ) -> Option<Held> {
        let (kind, hidden) = match hidden {
            Hidden::UserPassword => (HideKind::UserPassword, value),
            Hidden::Salted { tagged: false } => (HideKind::Salted { tag: None }, value),
            Hidden::Salted { tagged: true } => {
                let (&tag, value) = value.split_first()?;
                (HideKind::Salted { tag: Some(tag) }, value)
            }
            Hidden::Unsupported => return None,
        };
        let plain = match kind {
            // All of it: a key may end with the octets that pad a password.
            HideKind::UserPassword if !is_hidden_password(hidden) => return None,
            HideKind::UserPassword => reveal_user_password(hidden, authenticator, secret),
            HideKind::Salted { .. } => reveal_salted(hidden, authenticator, secret)?,
        };
        Held::new(id, kind, plain.expose()).ok()
    }

    fn of_text(id: AttributeId, kind: HideKind, text: Secret) -> Result<Held, Unfit> {
        if matches!(kind, HideKind::UserPassword) && !is_hidden_password(text.expose()) {
            return Err(Unfit::TooLong);
        }
        let (tag, salt) = match &kind {
            HideKind::UserPassword => (None, 0),
            HideKind::Salted { tag } => (*tag, SALT),
        };
        let value = usize::from(tag.is_some()) + salt + text.len();
        // Of the attribute, or the vendor's within.
        let length = u8::try_from(value + 2).map_err(|_| Unfit::TooLong)?;
        match id {
            AttributeId::Standard(0 | number::VENDOR_SPECIFIC) | AttributeId::Vendor(_, 0) => {
                Err(Unfit::Reserved)
            }
            AttributeId::Standard(number) if number::is_of_one_hop(number) => Err(Unfit::Reserved),
            AttributeId::Vendor(..) if length.checked_add(OUTER).is_none() => Err(Unfit::TooLong),
            _ => Ok(Held { id, kind, length, text }),
        }
    }

    /// Appends what goes before salt and text: type and length, the vendor's too, and the tag.
    fn write_head(&self, out: &mut Vec<u8>) {
        match self.id {
            AttributeId::Standard(number) => out.extend_from_slice(&[number, self.length]),
            AttributeId::Vendor(vendor, number) => {
                out.extend_from_slice(&[number::VENDOR_SPECIFIC, self.length + OUTER]);
                out.extend_from_slice(&vendor.to_be_bytes());
                out.extend_from_slice(&[number, self.length]);
            }
        }
        if let HideKind::Salted { tag } = self.kind {
            out.extend(tag);
        }
    }

    pub(super) const fn id(&self) -> AttributeId {
        self.id
    }

    pub(super) const fn text(&self) -> &Secret {
        &self.text
    }

    /// How many octets [`Held::write`] appends.
    pub(super) fn wire_len(&self) -> usize {
        let outer = if matches!(self.id, AttributeId::Vendor(..)) { OUTER } else { 0 };
        usize::from(self.length) + usize::from(outer)
    }

    /// Appends the attribute, its text encrypted; `salt` is unique within the packet, but for its highest bit.
    pub(super) fn write(
        &self,
        salt: u16,
        authenticator: &Digest16,
        secret: &SharedSecret,
        out: &mut Vec<u8>,
    ) {
        self.write_head(out);
        let text = self.text.expose().iter().copied();
        match self.kind {
            HideKind::UserPassword => conceal(text, authenticator, &[], secret, out),
            HideKind::Salted { .. } => {
                let salt = (salt | 0x8000).to_be_bytes();
                out.extend_from_slice(&salt);
                conceal(text, authenticator, &salt, secret, out);
            }
        }
    }

    /// Appends how it is encrypted, then the attribute with its text in the clear and a salt of zeros.
    pub(super) fn encode(&self, out: &mut Zeroizing<Vec<u8>>) {
        let (kind, salt): (u8, &[u8]) = match self.kind {
            HideKind::UserPassword => (0, &[]),
            HideKind::Salted { tag: None } => (1, &[0; SALT]),
            HideKind::Salted { tag: Some(_) } => (2, &[0; SALT]),
        };
        out.push(kind);
        self.write_head(out);
        out.extend_from_slice(salt);
        out.extend_from_slice(self.text.expose());
    }

    /// Reads what [`Held::encode`] wrote, and nothing else.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Held> {
        let kind = reader.octet()?;
        let attribute = Attribute::read(reader)?;
        let (id, value) = if attribute.number() == number::VENDOR_SPECIFIC {
            let inner = attribute.vendor()?;
            let mut attributes = inner.attributes;
            let only = attributes.next().filter(|_| attributes.as_bytes().is_empty())?;
            (AttributeId::Vendor(inner.vendor, only.number()), only.value())
        } else {
            (AttributeId::Standard(attribute.number()), attribute.value())
        };
        let mut value = Reader::new(value);
        let kind = match kind {
            0 => HideKind::UserPassword,
            1 => HideKind::Salted { tag: None },
            2 => HideKind::Salted { tag: Some(value.octet()?) },
            _ => return None,
        };
        let plain = match kind {
            HideKind::UserPassword => value.rest(),
            HideKind::Salted { .. } => {
                value.array::<SALT>().filter(|salt| **salt == [0; SALT])?;
                let length = value.octet()?;
                value.rest().get(..usize::from(length))?
            }
        };
        let held = Held::new(id, kind, plain).ok()?;
        // One octet more or less of padding, and it would be another attribute on the wire.
        (held.wire_len() == attribute.value().len() + 2).then_some(held)
    }
}

/// Octets around a vendor's attribute: type, length and the vendor (RFC 2865 §5.26).
const OUTER: u8 = 6;
/// Octets of a salt (RFC 2868 §3.5).
const SALT: usize = 2;
const _: () =
    assert!(VALUE_MAX + 2 == u8::MAX as usize, "a length that fits in an octet fits in an attribute");
