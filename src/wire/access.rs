//! What an Access-Request says, found in one walk over its attributes. All of it is what the client wrote, and in
//! an [`Unsigned`](super::Integrity::Unsigned) request what anybody wrote.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::base::secret::Secret;

use super::attribute::{Attribute, Attributes, VendorAttributes, number, vendor};
use super::code::Code;
use super::drop::DropReason;
use super::hide::{is_hidden_password, reveal_user_password};
use super::secret::{Digest16, SharedSecret};
use super::verified::{Integrity, Verified};

/// A view of a verified Access-Request.
///
/// It has at most one User-Name and at most one kind of credential: where two servers could read one packet in two
/// ways, an attacker would choose the way for each.
#[derive(Clone, Copy, Debug)]
pub struct AccessRequest<'a> {
    attributes: Attributes<'a>,
    authenticator: &'a Digest16,
    integrity: Integrity,
    credential: Credential<'a>,
    user_name: Option<&'a [u8]>,
    state: Option<&'a [u8]>,
    calling_station_id: Option<&'a [u8]>,
    called_station_id: Option<&'a [u8]>,
    nas_identifier: Option<&'a [u8]>,
    nas_ip_address: Option<Ipv4Addr>,
    nas_ipv6_address: Option<Ipv6Addr>,
    acct_session_id: Option<&'a [u8]>,
    service_type: Option<u32>,
}

/// What a user proves a password with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// User-Password (RFC 2865 §5.2).
    Pap(HiddenPassword<'a>),
    /// CHAP-Password (RFC 2865 §5.3).
    Chap {
        /// CHAP Identifier.
        identifier: u8,
        /// MD5 over identifier, password and challenge.
        response: &'a [u8; 16],
        /// CHAP-Challenge, or else the Request Authenticator (RFC 2865 §5.40).
        challenge: &'a [u8],
    },
    /// MS-CHAP-Response (RFC 2548 §2.1.3).
    MsChap {
        /// Identifier.
        identifier: u8,
        /// Whether the NT response counts (flag 1), or the LM one.
        flags: u8,
        /// The weak one of old.
        lm_response: &'a [u8; 24],
        /// The usual one.
        nt_response: &'a [u8; 24],
        /// MS-CHAP-Challenge.
        challenge: &'a [u8],
    },
    /// MS-CHAP2-Response (RFC 2548 §2.3.2).
    MsChap2 {
        /// Identifier.
        identifier: u8,
        /// The peer's own challenge.
        peer_challenge: &'a [u8; 16],
        /// The response.
        response: &'a [u8; 24],
        /// MS-CHAP-Challenge.
        challenge: &'a [u8],
    },
    /// EAP-Message (RFC 3579); what is within is not looked at.
    Eap,
    /// ARAP (RFC 2869), HTTP Digest (RFC 5090) or a change of password by MS-CHAP (RFC 2548 §2.1.4 to 2.3.4).
    Other,
    /// There is none.
    None,
}

impl Credential<'_> {
    /// The kind's name in logs, records and reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Credential::Pap(_) => "pap",
            Credential::Chap { .. } => "chap",
            Credential::MsChap { .. } => "ms-chap",
            Credential::MsChap2 { .. } => "ms-chap-v2",
            Credential::Eap => "eap",
            Credential::Other => "other",
            Credential::None => "none",
        }
    }
}

impl<'a> AccessRequest<'a> {
    /// Looks at `packet`, which must be an Access-Request.
    pub fn view<B: AsRef<[u8]>>(packet: &'a Verified<B>) -> Result<AccessRequest<'a>, DropReason> {
        if packet.code() != Code::ACCESS_REQUEST {
            return Err(DropReason::UnknownCode);
        }
        let authenticator = packet.authenticator();
        let mut view = AccessRequest {
            attributes: packet.attributes(),
            authenticator,
            integrity: packet.integrity(),
            credential: Credential::None,
            user_name: None,
            state: None,
            calling_station_id: None,
            called_station_id: None,
            nas_identifier: None,
            nas_ip_address: None,
            nas_ipv6_address: None,
            acct_session_id: None,
            service_type: None,
        };
        let mut responses = Responses::default();
        for attribute in view.attributes {
            let value = attribute.value();
            match attribute.number() {
                number::USER_NAME if view.user_name.is_some() => return Err(DropReason::TwoUserNames),
                number::USER_NAME => view.user_name = Some(value),
                number::STATE => view.state = Some(value),
                number::CALLING_STATION_ID => view.calling_station_id = Some(value),
                number::CALLED_STATION_ID => view.called_station_id = Some(value),
                number::NAS_IDENTIFIER => view.nas_identifier = Some(value),
                number::ACCT_SESSION_ID => view.acct_session_id = Some(value),
                number::SERVICE_TYPE => view.service_type = attribute.integer(),
                number::NAS_IP_ADDRESS => view.nas_ip_address = attribute.integer().map(Ipv4Addr::from),
                number::NAS_IPV6_ADDRESS => {
                    view.nas_ipv6_address = <[u8; 16]>::try_from(value).ok().map(Ipv6Addr::from);
                }
                _ => responses.note(attribute)?,
            }
        }
        view.credential = responses.credential(authenticator)?;
        Ok(view)
    }

    /// Every attribute, in order.
    pub const fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }

    /// The Request Authenticator.
    pub const fn authenticator(&self) -> &'a [u8; 16] {
        self.authenticator
    }

    /// What the check against the secret proved of all this.
    pub const fn integrity(&self) -> Integrity {
        self.integrity
    }

    /// What the user proves a password with.
    pub const fn credential(&self) -> Credential<'a> {
        self.credential
    }

    /// User-Name, as written.
    pub const fn user_name(&self) -> Option<&'a [u8]> {
        self.user_name
    }

    /// State, which makes this the answer to a challenge.
    pub const fn state(&self) -> Option<&'a [u8]> {
        self.state
    }

    /// Calling-Station-Id: where the user is, by the gateway's account.
    pub const fn calling_station_id(&self) -> Option<&'a [u8]> {
        self.calling_station_id
    }

    /// Called-Station-Id: what the user came to.
    pub const fn called_station_id(&self) -> Option<&'a [u8]> {
        self.called_station_id
    }

    /// NAS-Identifier. It never chooses a secret (RFC 2865 §5.32).
    pub const fn nas_identifier(&self) -> Option<&'a [u8]> {
        self.nas_identifier
    }

    /// NAS-IP-Address. It never chooses a secret (RFC 2865 §5.4).
    pub const fn nas_ip_address(&self) -> Option<Ipv4Addr> {
        self.nas_ip_address
    }

    /// NAS-IPv6-Address (RFC 3162 §2.1).
    pub const fn nas_ipv6_address(&self) -> Option<Ipv6Addr> {
        self.nas_ipv6_address
    }

    /// Acct-Session-Id, where the gateway sends it before the session began.
    pub const fn acct_session_id(&self) -> Option<&'a [u8]> {
        self.acct_session_id
    }

    /// Service-Type (RFC 2865 §5.6).
    pub const fn service_type(&self) -> Option<u32> {
        self.service_type
    }

    /// The values of its Proxy-States, in order.
    pub fn proxy_states(&self) -> impl Iterator<Item = &'a [u8]> {
        self.attributes.all(number::PROXY_STATE)
    }
}

/// MS-CHAP-Response, MS-CHAP-Challenge, MS-CHAP2-Response.
const MS_RESPONSE: u8 = 1;
const MS_CHALLENGE: u8 = 11;
const MS_RESPONSE_2: u8 = 25;

/// What was seen on the walk that bears on the credential.
#[derive(Default)]
struct Responses<'a> {
    found: Option<Found<'a>>,
    chap_challenge: Option<&'a [u8]>,
    ms_challenge: Option<&'a [u8]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Found<'a> {
    Password(&'a [u8]),
    Chap(&'a [u8]),
    MsChap(&'a [u8]),
    MsChap2(&'a [u8]),
    Eap,
    Other,
}

impl<'a> Responses<'a> {
    fn note(&mut self, attribute: Attribute<'a>) -> Result<(), DropReason> {
        let value = attribute.value();
        match attribute.number() {
            number::USER_PASSWORD => self.found(Found::Password(value)),
            number::CHAP_PASSWORD => self.found(Found::Chap(value)),
            number::CHAP_CHALLENGE => {
                self.chap_challenge = Some(value);
                Ok(())
            }
            number::ARAP_PASSWORD | number::DIGEST_RESPONSE => self.found(Found::Other),
            // In as many pieces as it takes (RFC 3579 §3.1).
            number::EAP_MESSAGE if self.found == Some(Found::Eap) => Ok(()),
            number::EAP_MESSAGE => self.found(Found::Eap),
            number::VENDOR_SPECIFIC if is_microsoft(value) => {
                // In a format of its own, some reader might find a second credential in it.
                let microsoft = VendorAttributes::parse(value).ok_or(DropReason::MalformedCredential)?;
                microsoft.attributes.into_iter().try_for_each(|attribute| self.note_microsoft(attribute))
            }
            _ => Ok(()),
        }
    }

    fn note_microsoft(&mut self, attribute: Attribute<'a>) -> Result<(), DropReason> {
        match attribute.number() {
            MS_RESPONSE => self.found(Found::MsChap(attribute.value())),
            MS_RESPONSE_2 => self.found(Found::MsChap2(attribute.value())),
            MS_CHALLENGE => {
                self.ms_challenge = Some(attribute.value());
                Ok(())
            }
            // MS-CHAP-CPW-1, MS-CHAP-CPW-2, MS-CHAP2-CPW.
            3 | 4 | 27 => self.found(Found::Other),
            _ => Ok(()),
        }
    }

    fn found(&mut self, found: Found<'a>) -> Result<(), DropReason> {
        match self.found.replace(found) {
            None => Ok(()),
            Some(_) => Err(DropReason::TwoCredentials),
        }
    }

    fn credential(self, authenticator: &'a Digest16) -> Result<Credential<'a>, DropReason> {
        let Some(found) = self.found else { return Ok(Credential::None) };
        let ms_challenge = self.ms_challenge;
        let credential = match found {
            Found::Password(octets) => {
                let password = HiddenPassword::new(octets, authenticator);
                return password.map(Credential::Pap).ok_or(DropReason::MalformedPassword);
            }
            Found::Chap(octets) => chap(octets, self.chap_challenge.unwrap_or(authenticator)),
            Found::MsChap(octets) => ms_challenge.and_then(|challenge| ms_chap(octets, challenge)),
            Found::MsChap2(octets) => ms_challenge.and_then(|challenge| ms_chap2(octets, challenge)),
            Found::Eap => Some(Credential::Eap),
            Found::Other => Some(Credential::Other),
        };
        credential.ok_or(DropReason::MalformedCredential)
    }
}

fn is_microsoft(value: &[u8]) -> bool {
    value.first_chunk().is_some_and(|vendor| u32::from_be_bytes(*vendor) == vendor::MICROSOFT)
}

fn chap<'a>(octets: &'a [u8], challenge: &'a [u8]) -> Option<Credential<'a>> {
    let (&identifier, response) = octets.split_first()?;
    Some(Credential::Chap { identifier, response: response.try_into().ok()?, challenge })
}

fn ms_chap<'a>(octets: &'a [u8], challenge: &'a [u8]) -> Option<Credential<'a>> {
    let (&[identifier, flags], responses) = octets.split_first_chunk()?;
    let (lm_response, nt_response) = responses.split_first_chunk()?;
    let nt_response = nt_response.try_into().ok()?;
    Some(Credential::MsChap { identifier, flags, lm_response, nt_response, challenge })
}

fn ms_chap2<'a>(octets: &'a [u8], challenge: &'a [u8]) -> Option<Credential<'a>> {
    let (&[identifier, _flags], octets) = octets.split_first_chunk()?;
    let (peer_challenge, octets) = octets.split_first_chunk()?;
    let (_reserved, response) = octets.split_first_chunk::<8>()?;
    let response = response.try_into().ok()?;
    Some(Credential::MsChap2 { identifier, peer_challenge, response, challenge })
}

/// A User-Password as it came: 16 to 128 octets in blocks of 16, and the authenticator that it was hidden with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HiddenPassword<'a> {
    octets: &'a [u8],
    authenticator: &'a Digest16,
}

impl<'a> HiddenPassword<'a> {
    fn new(octets: &'a [u8], authenticator: &'a Digest16) -> Option<HiddenPassword<'a>> {
        is_hidden_password(octets).then_some(HiddenPassword { octets, authenticator })
    }

    /// The password, without the NULs that fill its last block; one within it is kept.
    ///
    /// Under the wrong secret this is garbage: it must never be logged.
    pub fn reveal(&self, secret: &SharedSecret) -> Secret {
        let padded = reveal_user_password(self.octets, self.authenticator, secret);
        Secret::new(without_padding(padded.expose()))
    }

    /// Whether what it decodes to looks like a password: UTF-8, then nothing but NULs.
    ///
    /// Chooses between two secrets for a request that proves neither (see
    /// [`Integrity::Unsigned`]); under a wrong one, one password of 16 octets in some thousands passes.
    pub fn decodes_cleanly(&self, secret: &SharedSecret) -> bool {
        let password = self.reveal(secret);
        !password.expose().contains(&0) && std::str::from_utf8(password.expose()).is_ok()
    }
}

impl fmt::Debug for HiddenPassword<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

fn without_padding(padded: &[u8]) -> &[u8] {
    match padded {
        [kept @ .., 0] => without_padding(kept),
        _ => padded,
    }
}
