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

    /// The reply's octets: Message-Authenticator first (CVE-2024-3596), `attributes`, then the request's
    /// Proxy-States in their order. `entropy` is asked for a salt when something is encrypted.
    pub fn seal(
        self,
        code: Code,
        attributes: &AttributeList,
        entropy: &mut dyn Entropy,
    ) -> Result<Box<[u8]>, TooLarge<ReplyTo>> {
        let mut body = Vec::with_capacity(attributes.wire_len() + self.proxy_states.len());
        attributes.write(&self.authenticator, &self.secret, entropy, &mut body);
        body.extend_from_slice(&self.proxy_states);
        let stamped = self.send_message_authenticator || attributes.has_eap();
        let Some(draft) = Draft::new(code, self.identifier, stamped, body) else {
            return Err(TooLarge(self));
        };
        let stamp = draft.stamp(&self.authenticator, &self.secret);
        let authenticator = draft.authenticator(&self.authenticator, &stamp, &self.secret);
        Ok(draft.finish(&authenticator, &stamp))
    }
}

impl fmt::Debug for ReplyTo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReplyTo {}", self.identifier)
    }
}

/// A packet that is not signed yet: its first four octets, and its attributes but the Message-Authenticator.
pub(super) struct Draft {
    head: [u8; 4],
    body: Vec<u8>,
    stamped: bool,
}

/// The Message-Authenticator attribute, or nothing.
pub(super) struct Stamp(Option<[u8; STAMP]>);

/// Type, length and value of a Message-Authenticator.
const STAMP: usize = 18;
const STAMP_HEAD: [u8; 2] = [number::MESSAGE_AUTHENTICATOR, 18];

impl Stamp {
    fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |stamp| stamp)
    }
}

impl Draft {
    /// `None` when it would be longer than [`MAX_PACKET`].
    pub(super) fn new(code: Code, identifier: u8, stamped: bool, body: Vec<u8>) -> Option<Draft> {
        let stamped = stamped && code.is_stamped();
        let length = HEADER + if stamped { STAMP } else { 0 } + body.len();
        let [high, low] = u16::try_from(length).ok().filter(|_| length <= MAX_PACKET)?.to_be_bytes();
        Some(Draft { head: [code.0, identifier, high, low], body, stamped })
    }

    /// Message-Authenticator with `authenticator` in the header (RFC 3579 §3.2).
    pub(super) fn stamp(&self, authenticator: &Digest16, secret: &SharedSecret) -> Stamp {
        Stamp(self.stamped.then(|| {
            let value = secret.hmac(&[&self.head, authenticator, &STAMP_HEAD, &[0; 16], &self.body]);
            let mut stamp = [0; STAMP];
            for (octet, made) in stamp.iter_mut().zip(STAMP_HEAD.into_iter().chain(value)) {
                *octet = made;
            }
            stamp
        }))
    }

    /// Response Authenticator (RFC 2865 §3), or with zeros an Accounting-Request's own (RFC 2866 §3).
    pub(super) fn authenticator(
        &self,
        authenticator: &Digest16,
        stamp: &Stamp,
        secret: &SharedSecret,
    ) -> Digest16 {
        secret.md5_after(&[&self.head, authenticator, stamp.as_bytes(), &self.body])
    }

    pub(super) fn finish(&self, authenticator: &Digest16, stamp: &Stamp) -> Box<[u8]> {
        [&self.head, authenticator.as_slice(), stamp.as_bytes(), &self.body].concat().into()
    }
}
