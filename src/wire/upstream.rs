//! Our side as a client of an upstream server: its request, and what came back.

use std::fmt;

use crate::base::system::Entropy;

use super::attribute::{Attributes, number};
use super::code::Code;
use super::drop::DropReason;
use super::list::AttributeList;
use super::parsed::Parsed;
use super::reply::{Draft, TooLarge};
use super::secret::{Digest16, SharedSecret};

/// What a request to an upstream is made of, before a source port and identifier are free for it.
#[derive(Clone, Copy, Debug)]
pub struct RequestBuilder<'a> {
    /// Access-Request, Accounting-Request or Status-Server.
    pub code: Code,
    /// What it says.
    pub attributes: &'a AttributeList,
    /// One Proxy-State of ours, to be told apart by (RFC 2865 §2.3). The client's are never sent: we answer them.
    pub proxy_state: Option<&'a [u8]>,
    /// The upstream's secret.
    pub secret: &'a SharedSecret,
}

/// A request as it is sent, and sent again: the same octets each time (RFC 5080 §2.2.1).
#[derive(Clone)]
pub struct UpstreamRequest {
    /// The datagram.
    pub bytes: Box<[u8]>,
    /// Its identifier.
    pub identifier: u8,
    /// Its Request Authenticator, which the reply is checked against.
    pub authenticator: [u8; 16],
}

impl RequestBuilder<'_> {
    /// Signs it: Message-Authenticator first, on all but accounting, whose Request Authenticator is computed and
    /// replaces `authenticator`. Otherwise `authenticator` must be fresh and random: passwords are hidden with it.
    pub fn build(
        &self,
        identifier: u8,
        authenticator: [u8; 16],
        entropy: &mut dyn Entropy,
    ) -> Result<UpstreamRequest, TooLarge> {
        let is_computed = self.code == Code::ACCOUNTING_REQUEST;
        let header = if is_computed { [0; 16] } else { authenticator };
        let room = self.attributes.wire_len() + self.proxy_state.map_or(0, |value| value.len() + 2);
        let mut draft = Draft::new(self.code, identifier, &header, true, room);
        self.attributes.write(&authenticator, self.secret, entropy, draft.body());
        if let Some(value) = self.proxy_state {
            let length = u8::try_from(value.len().saturating_add(2)).map_err(|_| TooLarge(()))?;
            draft.body().extend_from_slice(&[number::PROXY_STATE, length]);
            draft.body().extend_from_slice(value);
        }
        draft.close()?;
        draft.stamp(self.secret);
        let authenticator = if is_computed { draft.authenticate(self.secret) } else { authenticator };
        Ok(UpstreamRequest { bytes: draft.finish(), identifier, authenticator })
    }
}

impl fmt::Debug for UpstreamRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "UpstreamRequest {} of {} octets", self.identifier, self.bytes.len())
    }
}

/// Whether a reply needs a Message-Authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaRule {
    /// It does: the upstream has shown that it sends it, or is configured to.
    Required,
    /// One that is there must be right. Without one, somebody between us and the upstream can turn a Reject into
    /// an Accept (CVE-2024-3596). The only rule for accounting, whose replies have none.
    IfPresent,
}

/// Why what came back is not the answer. Nothing changes through it: the right one may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyFault {
    /// Not a packet.
    #[error("{0}")]
    Malformed(DropReason),
    /// Not a reply.
    #[error("the packet is no reply")]
    Code,
    /// To another request.
    #[error("the identifier is another request's")]
    Identifier,
    /// Not from somebody who knows the secret, or to another request.
    #[error("the Response Authenticator is wrong; is the shared secret right?")]
    ResponseAuthenticator,
    /// Changed on its way.
    #[error("the Message-Authenticator is wrong")]
    MessageAuthenticator,
    /// Perhaps changed on its way.
    #[error("there is no Message-Authenticator, and this server is required to send it (CVE-2024-3596)")]
    NoMessageAuthenticator,
}

/// An upstream's answer to one request of ours. [`UpstreamReply::authenticate`] is its only maker.
#[derive(Clone, Copy)]
pub struct UpstreamReply<'a> {
    packet: Parsed<'a>,
    request_authenticator: &'a Digest16,
    secret: &'a SharedSecret,
}

impl<'a> UpstreamReply<'a> {
    /// Checks `datagram` against the request that it would answer. The caller has looked at the address it came from.
    ///
    /// EAP always needs a Message-Authenticator (RFC 3579 §3.2).
    pub fn authenticate(
        datagram: &'a [u8],
        identifier: u8,
        request_authenticator: &'a [u8; 16],
        secret: &'a SharedSecret,
        rule: MaRule,
    ) -> Result<UpstreamReply<'a>, ReplyFault> {
        let packet = Parsed::parse(datagram).map_err(ReplyFault::Malformed)?;
        if packet.identifier() != identifier {
            return Err(ReplyFault::Identifier);
        }
        let code = packet.code();
        if !matches!(
            code,
            Code::ACCESS_ACCEPT | Code::ACCESS_REJECT | Code::ACCESS_CHALLENGE | Code::ACCOUNTING_RESPONSE
        ) {
            return Err(ReplyFault::Code);
        }
        if !packet.authenticator_holds(request_authenticator, secret) {
            return Err(ReplyFault::ResponseAuthenticator);
        }
        // What a Message-Authenticator in accounting is computed over, no RFC says.
        let stamp = code.is_stamped().then(|| packet.stamp_holds(request_authenticator, secret)).flatten();
        match stamp {
            Some(false) => Err(ReplyFault::MessageAuthenticator),
            None if rule == MaRule::Required || packet.has_eap() => Err(ReplyFault::NoMessageAuthenticator),
            Some(true) | None => Ok(UpstreamReply { packet, request_authenticator, secret }),
        }
    }

    /// Accept, Reject, Challenge or Accounting-Response.
    pub const fn code(&self) -> Code {
        self.packet.code()
    }

    /// Its attributes, in order.
    pub const fn attributes(&self) -> Attributes<'a> {
        self.packet.attributes()
    }

    /// Whether it carried a Message-Authenticator, which was right.
    pub const fn has_message_authenticator(&self) -> bool {
        self.packet.has_message_authenticator()
    }

    pub(super) const fn request_authenticator(&self) -> &'a Digest16 {
        self.request_authenticator
    }

    pub(super) const fn secret(&self) -> &'a SharedSecret {
        self.secret
    }
}

impl fmt::Debug for UpstreamReply<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.packet.fmt(formatter)
    }
}
