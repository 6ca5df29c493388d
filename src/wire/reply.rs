//! Sealing: the head of a packet that we send, its Message-Authenticator and its authenticator; and [`ReplyTo`], what
//! an answer to one request needs.

use std::fmt;
use std::sync::Arc;

use crate::base::system::Entropy;

use super::attribute::number;
use super::code::Code;
use super::list::AttributeList;
use super::parsed::{HEADER, MAX_PACKET};
use super::secret::{Digest16, SharedSecret};
use super::verified::Verified;

/// What it takes to answer one request, once: sealing consumes it.
///
/// A duplicate with another authenticator has a `ReplyTo` of its own.
pub struct ReplyTo {
    identifier: u8,
    authenticator: Digest16,
    /// The request's Proxy-State attributes as they came (RFC 2865 §5.33).
    proxy_states: Box<[u8]>,
    secret: Arc<SharedSecret>,
    send_message_authenticator: bool,
}

/// A packet would be longer than [`MAX_PACKET`]. A reply gives back its [`ReplyTo`], so that something shorter
/// can be said.
#[derive(Debug, thiserror::Error)]
#[error("the packet would be longer than {MAX_PACKET} octets")]
pub struct TooLarge<T = ()>(pub T);

impl ReplyTo {
    /// For an answer to `request`, under the secret that it was verified with.
    ///
    /// `send_message_authenticator` is false only for a client that drops what carries it; EAP has it all the same
    /// (RFC 3579 §3.1), and accounting never.
    pub fn new<B: AsRef<[u8]>>(
        request: &Verified<B>,
        secret: Arc<SharedSecret>,
        send_message_authenticator: bool,
    ) -> ReplyTo {
        let mut proxy_states = Vec::new();
        request
            .attributes()
            .filter(|attribute| attribute.number() == number::PROXY_STATE)
            .for_each(|attribute| attribute.write(&mut proxy_states));
        ReplyTo {
            identifier: request.identifier(),
            authenticator: *request.authenticator(),
            proxy_states: proxy_states.into(),
            secret,
            send_message_authenticator,
        }
    }

    /// Whether `attributes` fit into the reply, beside what it carries anyway.
    pub fn fits(&self, attributes: &AttributeList) -> bool {
        let stamp = if self.send_message_authenticator || attributes.has_eap() { STAMP } else { 0 };
        HEADER + stamp + attributes.wire_len() + self.proxy_states.len() <= MAX_PACKET
    }

    /// The reply's octets: Message-Authenticator first (CVE-2024-3596), `attributes`, then the request's
    /// Proxy-States in their order. `entropy` is asked for a salt when something is encrypted.
    pub fn seal(
        self,
        code: Code,
        attributes: &AttributeList,
        entropy: &mut dyn Entropy,
    ) -> Result<Box<[u8]>, TooLarge<ReplyTo>> {
        let stamped = self.send_message_authenticator || attributes.has_eap();
        let room = attributes.wire_len() + self.proxy_states.len();
        let mut draft = Draft::new(code, self.identifier, &self.authenticator, stamped, room);
        attributes.write(&self.authenticator, &self.secret, entropy, draft.body());
        draft.body().extend_from_slice(&self.proxy_states);
        if draft.close().is_err() {
            return Err(TooLarge(self));
        }
        draft.stamp(&self.secret);
        draft.authenticate(&self.secret);
        Ok(draft.finish())
    }
}

impl fmt::Debug for ReplyTo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReplyTo {}", self.identifier)
    }
}

/// A packet being made, in the one place where it is then sent from.
///
/// In this order: attributes are appended to [`Draft::body`], [`Draft::close`] says how many, [`Draft::stamp`], and
/// where its authenticator is computed, [`Draft::authenticate`].
pub(super) struct Draft {
    /// Until `authenticate`, its authenticator is the one that both hashes are computed with; until `stamp`, its
    /// Message-Authenticator is zeros.
    packet: Vec<u8>,
    stamped: bool,
}

/// Type, length and value of a Message-Authenticator.
const STAMP: usize = 18;
const STAMP_HEAD: [u8; 2] = [number::MESSAGE_AUTHENTICATOR, 18];

impl Draft {
    /// With `authenticator` in its header, and `room` for so many octets of attributes besides the
    /// Message-Authenticator.
    pub(super) fn new(
        code: Code,
        identifier: u8,
        authenticator: &Digest16,
        stamped: bool,
        room: usize,
    ) -> Draft {
        let stamped = stamped && code.is_stamped();
        let mut packet = Vec::with_capacity(HEADER + if stamped { STAMP } else { 0 } + room);
        packet.extend_from_slice(&[code.0, identifier, 0, 0]);
        packet.extend_from_slice(authenticator);
        if stamped {
            packet.extend_from_slice(&STAMP_HEAD);
            packet.extend_from_slice(&[0; 16]);
        }
        Draft { packet, stamped }
    }

    /// Where attributes are appended.
    pub(super) const fn body(&mut self) -> &mut Vec<u8> {
        &mut self.packet
    }

    /// Writes down the length, if it is at most [`MAX_PACKET`].
    pub(super) fn close(&mut self) -> Result<(), TooLarge> {
        let length = self.packet.len();
        let length = u16::try_from(length).ok().filter(|_| length <= MAX_PACKET).ok_or(TooLarge(()))?;
        if let Some([_, _, place @ ..]) = self.packet.first_chunk_mut::<4>() {
            *place = length.to_be_bytes();
        }
        Ok(())
    }

    /// Message-Authenticator with the authenticator that is in the header (RFC 3579 §3.2).
    pub(super) fn stamp(&mut self, secret: &SharedSecret) {
        if self.stamped {
            let stamp = secret.hmac(&[&self.packet]);
            if let Some((_, place)) = self.packet.split_first_chunk_mut::<{ HEADER + STAMP_HEAD.len() }>()
                && let Some(place) = place.first_chunk_mut()
            {
                *place = stamp;
            }
        }
    }

    /// Response Authenticator when the request's is in the header (RFC 2865 §3); an Accounting-Request's own when
    /// zeros are (RFC 2866 §3).
    pub(super) fn authenticate(&mut self, secret: &SharedSecret) -> Digest16 {
        let authenticator = secret.md5_after(&[&self.packet]);
        if let Some((_, place)) = self.packet.split_first_chunk_mut::<4>()
            && let Some(place) = place.first_chunk_mut()
        {
            *place = authenticator;
        }
        authenticator
    }

    /// The datagram.
    pub(super) fn finish(self) -> Box<[u8]> {
        self.packet.into()
    }
}
