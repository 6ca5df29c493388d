//! The request that a login works on, and what repeats it.
//!
//! A gateway that asks again changes port, identifier and authenticator: what makes a copy is what lasts. Two measures stand
//! here: [`Original`], every lasting attribute of the packet itself, for who shares a verdict; and [`meaning`], a MAC over who
//! wants what from where, for who shares a message.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::affinity::Mint;
use super::super::intents::Intent;
use super::super::node::Arrival;
use super::super::peers::Answering;
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::engine::step::Entered;
use crate::wire::{Attribute, Verified, number};

/// The request that a login works on.
#[derive(Clone, Debug)]
pub(in super::super) struct Original {
    source: IpAddr,
    /// `None`: there is no credential, the gateway has checked it.
    pub(super) password: Option<Secret>,
    pub(super) packet: Arc<Verified<Box<[u8]>>>,
}

/// The MAC over what a request means.
pub(super) fn meaning(
    mint: &Mint,
    client: &Label,
    user: Option<&UserName>,
    station: Option<&str>,
    password: Option<&Secret>,
    packet: &Verified<Box<[u8]>>,
) -> Intent {
    let session = packet.attributes().find(|attribute| attribute.number() == ACCT_SESSION_ID);
    mint.intent(&[
        Some(client.as_str().as_bytes()),
        user.map(|user| user.as_str().as_bytes()),
        station.map(str::as_bytes),
        session.as_ref().map(Attribute::value),
        password.map(Secret::expose),
    ])
}

/// Acct-Session-Id (RFC 2866 §5.5).
const ACCT_SESSION_ID: u8 = 44;

/// Attributes that differ between a request and its copy under a new authenticator: the hidden password, the proxy's
/// marks, the signature and the time of sending (Event-Timestamp, 55).
const VOLATILE: [u8; 4] = [number::USER_PASSWORD, number::PROXY_STATE, number::MESSAGE_AUTHENTICATOR, 55];

impl Original {
    /// `arrival`, where it has a password or no credential at all, and came over a network: two browsers behind one address say the
    /// same, and neither is the other's copy.
    pub(in super::super) fn of(arrival: &Arrival) -> Option<Original> {
        if matches!(arrival.reply_to, Answering::Inside(_)) {
            return None;
        }
        let password = match &arrival.entered {
            Entered::Password(password) => Some(password.clone()),
            Entered::Unsupported("none") => None,
            Entered::Undecodable | Entered::Unsupported(_) => return None,
        };
        let packet = Arc::clone(&arrival.packet);
        Some(Original { source: arrival.origin.gateway.ip(), password, packet })
    }

    /// Whether it says where the user is.
    pub(super) fn names_station(&self) -> bool {
        self.packet.attributes().any(|attribute| attribute.number() == number::CALLING_STATION_ID)
    }

    /// Whether `other` is the same request.
    pub(super) fn equals(&self, other: &Original) -> bool {
        self.source == other.source
            && self.password == other.password
            && lasting(&self.packet).eq(lasting(&other.packet))
    }

    /// Whether `arrival` is this request again: source address, password and every attribute but the volatile ones.
    pub(super) fn is_repeated_by(&self, arrival: &Arrival) -> bool {
        let password = match &arrival.entered {
            Entered::Password(password) => Some(password),
            Entered::Unsupported("none") => None,
            Entered::Undecodable | Entered::Unsupported(_) => return false,
        };
        self.source == arrival.origin.gateway.ip()
            && self.password.as_ref() == password
            && lasting(&self.packet).eq(lasting(&arrival.packet))
    }
}

fn lasting(packet: &Verified<Box<[u8]>>) -> impl Iterator<Item = (u8, &[u8])> {
    packet
        .attributes()
        .filter(|attribute| !VOLATILE.contains(&attribute.number()))
        .map(|attribute| (attribute.number(), attribute.value()))
}
