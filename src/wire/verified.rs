//! The second look: was it sent by somebody who knows the secret?

use std::fmt;

use super::attribute::{Attributes, number};
use super::code::Code;
use super::drop::DropReason;
use super::parsed::Parsed;
use super::secret::{Digest16, SharedSecret};

/// What the check against the secret proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// The sender knows the secret, and nobody changed the packet.
    Signed,
    /// Nothing: an Access-Request without Message-Authenticator does not depend on the secret (CVE-2024-3596).
    /// Whatever reads the station, or lets anybody in without a password, needs more than this.
    Unsigned,
}

/// A request that was checked. [`Parsed::verify`] is its only maker.
///
/// In the receive loop it borrows the datagram; [`Verified::detach`] makes one that lives on.
#[derive(Clone)]
pub struct Verified<B> {
    code: Code,
    identifier: u8,
    integrity: Integrity,
    authenticator: Digest16,
    attributes: B,
}

impl<'a> Verified<&'a [u8]> {
    pub(super) fn check(packet: Parsed<'a>, secret: &SharedSecret) -> Result<Verified<&'a [u8]>, DropReason> {
        let integrity = match packet.code() {
            // The whole packet is under its authenticator, a Message-Authenticator included.
            Code::ACCOUNTING_REQUEST if packet.authenticator_holds(&[0; 16], secret) => Integrity::Signed,
            Code::ACCOUNTING_REQUEST => return Err(DropReason::BadRequestAuthenticator),
            Code::ACCESS_REQUEST | Code::STATUS_SERVER => {
                match packet.stamp_holds(packet.authenticator, secret) {
                    Some(true) => Integrity::Signed,
                    Some(false) => return Err(DropReason::BadMessageAuthenticator),
                    None if packet.has_eap() || packet.code() == Code::STATUS_SERVER => {
                        return Err(DropReason::NoMessageAuthenticator);
                    }
                    None => Integrity::Unsigned,
                }
            }
            _ => return Err(DropReason::UnknownCode),
        };
        Ok(Verified {
            code: packet.code(),
            identifier: packet.identifier(),
            integrity,
            authenticator: *packet.authenticator,
            attributes: packet.attributes,
        })
    }
}

impl<B: AsRef<[u8]>> Verified<B> {
    /// What kind of request it is: Access-Request, Accounting-Request or Status-Server.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The client's number for it, which comes round again after 256 requests.
    pub const fn identifier(&self) -> u8 {
        self.identifier
    }

    /// The Request Authenticator.
    pub const fn authenticator(&self) -> &[u8; 16] {
        &self.authenticator
    }

    /// What the check proved.
    pub const fn integrity(&self) -> Integrity {
        self.integrity
    }

    /// The same request, trusted less: one that somebody else checked and found unsigned.
    #[must_use]
    pub fn lowered(self) -> Verified<B> {
        Verified { integrity: Integrity::Unsigned, ..self }
    }

    /// Its attributes, in order.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes::of(self.attributes.as_ref())
    }

    /// The values of its Proxy-States, in order.
    pub fn proxy_states(&self) -> impl Iterator<Item = &[u8]> {
        self.attributes().all(number::PROXY_STATE)
    }

    /// A copy that does not borrow the datagram, made before the first wait.
    #[must_use]
    pub fn detach(&self) -> Verified<Box<[u8]>> {
        Verified {
            code: self.code,
            identifier: self.identifier,
            integrity: self.integrity,
            authenticator: self.authenticator,
            attributes: self.attributes.as_ref().into(),
        }
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for Verified<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verified { code, identifier, integrity, .. } = self;
        write!(formatter, "{code} {identifier} {integrity:?} {:?}", self.attributes())
    }
}
