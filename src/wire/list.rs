//! The attributes of a packet that we will send, in order, before anybody knows its identifier, its authenticator
//! or the secret that it goes out under.
//!
//! Those that travel encrypted are held as plain text in their place, wiped when dropped, and encrypted for the one
//! who gets them only when the packet is sealed. The same list can therefore be sealed for a second server, or after
//! a login was parked for minutes.
//!
//! Invariant: a list holds no Message-Authenticator and no Proxy-State. Those belong to one hop, and sealing alone
//! puts them in.

use std::fmt;

use zeroize::Zeroizing;

use crate::base::secret::Secret;
use crate::base::system::{Entropy, random};

use super::access::{AccessRequest, Credential};
use super::attribute::{Attribute, AttributeId, Attributes, VALUE_MAX, number};
use super::held::Held;
use super::hide::{Hidden, HideKind};
use super::reader::Reader;
use super::secret::{Digest16, SharedSecret};
use super::upstream::UpstreamReply;

/// Attributes to be sent, in order. `Debug` shows numbers and lengths alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AttributeList {
    /// Each held attribute, and how many octets of `plain` stand before it; in order.
    held: Vec<(usize, Held)>,
    /// The attributes that are not encrypted.
    plain: Vec<u8>,
}

/// One attribute of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// As it will be sent.
    Plain(Attribute<'a>),
    /// To be encrypted when it is sent.
    Held {
        /// Which it is.
        id: AttributeId,
        /// How long its text is, padding included.
        octets: usize,
    },
}

/// What differs between a client's request and the one that goes upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forward<'a> {
    /// What User-Password says; `None` sends none.
    pub password: Option<&'a Secret>,
    /// What User-Name says; `None` leaves the client's.
    pub user_name: Option<&'a [u8]>,
    /// The State of the upstream's own challenge, when this answers it. The client's is ours, and stays here.
    pub state: Option<&'a [u8]>,
}

/// An attribute cannot be put in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// More than fits in one attribute.
    #[error("the value is too long for an attribute")]
    TooLong,
    /// Type 0, Message-Authenticator or Proxy-State.
    #[error("this attribute cannot be set: it is put in when the packet is sealed")]
    Reserved,
}

/// The octets are no encoded list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an encoded list of attributes")]
pub struct Undecodable;

/// The first octet of an encoded list.
const VERSION: u8 = 1;
/// Stands where an attribute's type would, before one that is held.
const HELD: u8 = 0;

impl AttributeList {
    /// An empty one.
    pub const fn new() -> AttributeList {
        AttributeList { held: Vec::new(), plain: Vec::new() }
    }

    /// Adds an attribute of at most [`VALUE_MAX`](super::VALUE_MAX) octets.
    pub fn push(&mut self, number: u8, value: &[u8]) -> Result<(), Unfit> {
        self.push_pieces(number, &[value])
    }

    /// Adds a text; one that is too long is refused, not cut.
    pub fn push_text(&mut self, number: u8, text: &str) -> Result<(), Unfit> {
        self.push(number, text.as_bytes())
    }

    /// Adds a text for people; of one that is too long as many whole characters as fit.
    pub fn push_line(&mut self, number: u8, text: &str) -> Result<(), Unfit> {
        let end = text.floor_char_boundary(VALUE_MAX);
        self.push(number, text.as_bytes().get(..end).unwrap_or_default())
    }

    /// Adds an integer.
    pub fn push_u32(&mut self, number: u8, value: u32) -> Result<(), Unfit> {
        self.push(number, &value.to_be_bytes())
    }

    /// Adds a vendor's attribute, of at most 247 octets, in a Vendor-Specific one of its own (RFC 2865 §5.26).
    pub fn push_vendor(&mut self, vendor: u32, number: u8, value: &[u8]) -> Result<(), Unfit> {
        if number == 0 {
            return Err(Unfit::Reserved);
        }
        let length = u8::try_from(value.len().saturating_add(2)).map_err(|_| Unfit::TooLong)?;
        self.push_pieces(number::VENDOR_SPECIFIC, &[&vendor.to_be_bytes(), &[number, length], value])
    }

    /// Adds an attribute that is encrypted when it is sent: as User-Password at most 128 octets, which are padded
    /// to blocks of 16; salted at most 239.
    pub fn push_held(&mut self, id: AttributeId, kind: HideKind, plain: &Secret) -> Result<(), Unfit> {
        self.put(Held::new(id, kind, plain.expose())?);
        Ok(())
    }

    /// Adds everything of another list.
    pub fn append(&mut self, other: &AttributeList) {
        let before = self.plain.len();
        self.plain.extend_from_slice(&other.plain);
        self.held.extend(other.held.iter().map(|(place, held)| (before + place, held.clone())));
    }

    /// All attributes of a packet but those of one hop: what a proxy sends on of an Accounting-Request.
    pub fn verbatim(attributes: Attributes<'_>) -> AttributeList {
        let mut list = AttributeList::with_room_for(attributes);
        attributes.filter(|attribute| !number::is_of_one_hop(attribute.number())).for_each(|attribute| {
            attribute.write(&mut list.plain);
        });
        list
    }

    /// What goes upstream of a client's request: everything in its order, except Message-Authenticator, Proxy-State
    /// and State, and with `changes`. CHAP that used the Request Authenticator as its challenge gets it as
    /// CHAP-Challenge, since the new request has another (RFC 2865 §5.40).
    ///
    /// Fails when the password or the name is too long.
    pub fn forward(request: &AccessRequest<'_>, changes: Forward<'_>) -> Result<AttributeList, Unfit> {
        let mut list = AttributeList::with_room_for(request.attributes());
        let Forward { mut password, mut user_name, state } = changes;
        for attribute in request.attributes() {
            match attribute.number() {
                number::USER_PASSWORD => list.push_password(password.take())?,
                number::USER_NAME if user_name.is_some() => {
                    list.push_some(number::USER_NAME, user_name.take())?;
                }
                number::STATE => {}
                number if number::is_of_one_hop(number) => {}
                _ => attribute.write(&mut list.plain),
            }
        }
        list.push_some(number::USER_NAME, user_name)?;
        list.push_password(password)?;
        let challenge = request.attributes().first(number::CHAP_CHALLENGE);
        if matches!(request.credential(), Credential::Chap { .. }) && challenge.is_none() {
            list.push(number::CHAP_CHALLENGE, request.authenticator())?;
        }
        list.push_some(number::STATE, state)?;
        Ok(list)
    }

    /// A client's request as another server is to see it: everything in its order, except what belongs to one hop, and
    /// with `password`, which only this server can read, in its place.
    ///
    /// Fails when the password is too long.
    pub fn relay(request: &AccessRequest<'_>, password: &Secret) -> Result<AttributeList, Unfit> {
        let mut list = AttributeList::with_room_for(request.attributes());
        for attribute in request.attributes() {
            match attribute.number() {
                number::USER_PASSWORD => list.push_password(Some(password))?,
                number if number::is_of_one_hop(number) => {}
                _ => attribute.write(&mut list.plain),
            }
        }
        Ok(list)
    }

    /// Everything of an upstream's reply but Message-Authenticator, Proxy-State and State, in its order: unknown
    /// attributes as they are, and those that `kinds` knows to be encrypted as plain text.
    ///
    /// An encrypted one that cannot be opened could not be read by the client either; it is left out, and counted
    /// in the second value. A Vendor-Specific attribute with something encrypted in it becomes one for each of its
    /// sub-attributes.
    pub fn hold(
        reply: &UpstreamReply<'_>,
        kinds: impl Fn(AttributeId) -> Option<Hidden>,
    ) -> (AttributeList, usize) {
        let mut list = AttributeList::with_room_for(reply.attributes());
        let mut dropped = 0;
        for attribute in reply.attributes() {
            let number = attribute.number();
            if number == number::STATE || number::is_of_one_hop(number) {
                continue;
            }
            if let Some(inner) = attribute.vendor()
                && inner.ids().any(|id| kinds(id).is_some())
            {
                for (id, attribute) in inner.ids().zip(inner.attributes) {
                    let kept = match kinds(id) {
                        None => list.push_vendor(inner.vendor, attribute.number(), attribute.value()).is_ok(),
                        Some(hidden) => list.open(id, attribute.value(), hidden, reply),
                    };
                    dropped += usize::from(!kept);
                }
                continue;
            }
            let id = AttributeId::Standard(number);
            match kinds(id) {
                None => attribute.write(&mut list.plain),
                Some(hidden) => dropped += usize::from(!list.open(id, attribute.value(), hidden, reply)),
            }
        }
        (list, dropped)
    }

    /// Takes every attribute of this number out that is not encrypted.
    pub fn remove(&mut self, number: u8) {
        self.rewrite(|attribute, plain| {
            if attribute.number() != number {
                attribute.write(plain);
            }
        });
    }

    /// Makes one text of all attributes of this number that are not encrypted, where the first of them stands: a space
    /// between two, cut where it would not fit into an attribute.
    pub fn join_texts(&mut self, number: u8) {
        let mut joined = String::new();
        for attribute in self.plain_attributes().filter(|attribute| attribute.number() == number) {
            let text = String::from_utf8_lossy(attribute.value());
            if !joined.is_empty() && !text.is_empty() {
                joined.push(' ');
            }
            joined.push_str(&text);
        }
        joined.truncate(joined.floor_char_boundary(VALUE_MAX));
        let mut first = true;
        self.rewrite(|attribute, plain| {
            if attribute.number() != number {
                attribute.write(plain);
            } else if std::mem::take(&mut first)
                && let Ok(length) = u8::try_from(joined.len() + 2)
            {
                plain.extend_from_slice(&[number, length]);
                plain.extend_from_slice(joined.as_bytes());
            }
        });
    }

    /// Writes the attributes that are not encrypted anew, as `edit` wants each; the others keep their places among them.
    fn rewrite(&mut self, mut edit: impl FnMut(Attribute<'_>, &mut Vec<u8>)) {
        let mut new = AttributeList { held: Vec::new(), plain: Vec::with_capacity(self.plain.len()) };
        for (plain, held) in self.runs() {
            Attributes::of(plain).for_each(|attribute| edit(attribute, &mut new.plain));
            if let Some(held) = held {
                new.put(held.clone());
            }
        }
        *self = new;
    }

    /// Its attributes, in order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.runs().flat_map(|(plain, held)| {
            let held = held.map(|held| Entry::Held { id: held.id(), octets: held.text().len() });
            Attributes::of(plain).map(Entry::Plain).chain(held)
        })
    }

    /// Its attributes that are not encrypted, in order.
    pub fn plain_attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        Attributes::of(&self.plain)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.plain.is_empty()
    }

    /// A plain, versioned encoding, secrets included: for a login that is parked, never for a peer.
    ///
    /// After the version come the attributes as in a packet. No attribute is of type 0, so a 0 says that one follows
    /// whose text is not encrypted yet.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Sized beforehand: growing would leave copies of the secrets behind.
        let mut out = Zeroizing::new(Vec::with_capacity(1 + self.wire_len() + 2 * self.held.len()));
        out.push(VERSION);
        for (plain, held) in self.runs() {
            out.extend_from_slice(plain);
            if let Some(held) = held {
                out.push(HELD);
                held.encode(&mut out);
            }
        }
        out
    }

    /// What [`AttributeList::to_bytes`] made; anything else is refused.
    pub fn from_bytes(octets: &[u8]) -> Result<AttributeList, Undecodable> {
        let mut reader = Reader::new(octets);
        if reader.octet() != Some(VERSION) {
            return Err(Undecodable);
        }
        let mut list = AttributeList::new();
        while !reader.is_empty() {
            if let Some(behind) = reader.rest().strip_prefix(&[HELD]) {
                reader = Reader::new(behind);
                list.put(Held::decode(&mut reader).ok_or(Undecodable)?);
            } else {
                let attribute = Attribute::read(&mut reader).ok_or(Undecodable)?;
                list.push(attribute.number(), attribute.value()).map_err(|_| Undecodable)?;
            }
        }
        Ok(list)
    }

    /// How many octets it takes in a packet.
    pub fn wire_len(&self) -> usize {
        self.held.iter().map(|(_, held)| held.wire_len()).sum::<usize>() + self.plain.len()
    }

    /// Whether there is an EAP-Message.
    pub(super) fn has_eap(&self) -> bool {
        self.plain_attributes().any(|attribute| attribute.number() == number::EAP_MESSAGE)
    }

    /// Appends the attributes as they go out, those held encrypted under `secret` with `authenticator`.
    pub(super) fn write(
        &self,
        authenticator: &Digest16,
        secret: &SharedSecret,
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) {
        let mut salt = if self.held.is_empty() { 0 } else { u16::from_be_bytes(random(entropy)) };
        for (plain, held) in self.runs() {
            out.extend_from_slice(plain);
            if let Some(held) = held {
                held.write(salt, authenticator, secret, out);
                // Counted on, no two in a packet are the same (RFC 2868 §3.5).
                salt = salt.wrapping_add(1);
            }
        }
    }

    /// Each held attribute behind the plain ones that stand between it and the held one before; last the plain ones
    /// after all of them.
    fn runs(&self) -> impl Iterator<Item = (&[u8], Option<&Held>)> {
        let places = self.held.iter().map(|(place, held)| (*place, Some(held)));
        let mut start = 0;
        places.chain([(self.plain.len(), None)]).map(move |(end, held)| {
            let plain = self.plain.get(start..end).unwrap_or_default();
            start = end;
            (plain, held)
        })
    }

    /// Room for what will be left of `attributes`, so that a list is allocated once.
    fn with_room_for(attributes: Attributes<'_>) -> AttributeList {
        AttributeList { held: Vec::new(), plain: Vec::with_capacity(attributes.as_bytes().len()) }
    }

    fn put(&mut self, held: Held) {
        self.held.push((self.plain.len(), held));
    }

    /// Holds what `value` hides; `false` when it cannot be opened.
    fn open(&mut self, id: AttributeId, value: &[u8], hidden: Hidden, reply: &UpstreamReply<'_>) -> bool {
        let held = Held::open(id, value, hidden, reply.request_authenticator(), reply.secret());
        held.map(|held| self.put(held)).is_some()
    }

    fn push_some(&mut self, number: u8, value: Option<&[u8]>) -> Result<(), Unfit> {
        value.map_or(Ok(()), |value| self.push(number, value))
    }

    fn push_password(&mut self, password: Option<&Secret>) -> Result<(), Unfit> {
        let id = AttributeId::Standard(number::USER_PASSWORD);
        password.map_or(Ok(()), |password| self.push_held(id, HideKind::UserPassword, password))
    }

    /// Adds an attribute whose value is all the pieces.
    fn push_pieces(&mut self, number: u8, pieces: &[&[u8]]) -> Result<(), Unfit> {
        if number == 0 || number::is_of_one_hop(number) {
            return Err(Unfit::Reserved);
        }
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let length = u8::try_from(length.saturating_add(2)).map_err(|_| Unfit::TooLong)?;
        self.plain.extend_from_slice(&[number, length]);
        for piece in pieces {
            self.plain.extend_from_slice(piece);
        }
        Ok(())
    }
}

impl fmt::Debug for AttributeList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = formatter.debug_list();
        for entry in self.iter() {
            match entry {
                Entry::Plain(attribute) => list.entry(&attribute),
                Entry::Held { id, octets } => list.entry(&format_args!("{id}[{octets}]…")),
            };
        }
        list.finish()
    }
}
