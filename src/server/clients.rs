//! Which client a datagram belongs to, and what its source must prove.
//!
//! The source address decides, never an attribute (RFC 2865 §3). The ratchet against CVE-2024-3596 lives here: an
//! address that has once shown a valid Message-Authenticator on a non-EAP Access-Request must always show one, and that
//! is stored, so a restart does not lower it.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;
use foldhash::quality::RandomState;
use ipnet::IpNet;

use super::manners::Manner;
use super::settings::{Client, MessageAuthenticator};
use crate::base::name::Label;
use crate::base::time::UnixTime;
use crate::engine::policy::Policy;
use crate::engine::rule::RuleSet;
use crate::wire::{AccessRequest, Code, Credential, DropReason, Integrity, Parsed, SharedSecret, Verified};

/// A client, ready to serve.
#[derive(Debug)]
pub struct Gateway {
    /// Its name.
    pub name: Label,
    /// What its logins need; logins under way keep theirs through a reload.
    pub policy: Arc<Policy>,
    /// What rules change of that; `None` where none can match.
    pub rules: Option<Arc<RuleSet>>,
    /// Put Message-Authenticator into replies.
    pub send_message_authenticator: bool,
    /// How it asks.
    pub manner: Manner,
    rule: MessageAuthenticator,
    limit_proxy_state: bool,
    current: Arc<SharedSecret>,
    previous: Option<(Arc<SharedSecret>, UnixTime)>,
}

/// A verified packet and the secret that verified it, or that it must be answered with.
#[derive(Debug)]
pub struct Authentic<'a> {
    /// The packet.
    pub packet: Verified<&'a [u8]>,
    /// The secret.
    pub secret: Arc<SharedSecret>,
}

/// Every client, by source address.
#[derive(Debug, Default)]
pub struct Clients {
    exact: HashMap<IpAddr, Arc<Gateway>>,
    /// Longest prefix first.
    networks: Vec<(IpNet, Arc<Gateway>)>,
    named: HashMap<Label, Arc<Gateway>>,
}

impl Clients {
    /// From settings. Two clients of one network are refused by the configuration before.
    #[must_use]
    pub fn new(clients: &[Client]) -> Clients {
        let mut table = Clients::default();
        for client in clients {
            let gateway = Arc::new(Gateway {
                name: client.name.clone(),
                policy: Arc::clone(&client.policy),
                rules: client.rules.clone(),
                send_message_authenticator: client.send_message_authenticator,
                manner: Manner::default(),
                rule: client.message_authenticator,
                limit_proxy_state: client.limit_proxy_state,
                current: Arc::new(SharedSecret::new(client.secret.clone())),
                previous: client
                    .previous_secret
                    .as_ref()
                    .map(|(secret, until)| (Arc::new(SharedSecret::new(secret.clone())), *until)),
            });
            table.named.insert(client.name.clone(), Arc::clone(&gateway));
            for network in &client.networks {
                if network.prefix_len() == network.max_prefix_len() {
                    table.exact.insert(network.addr(), Arc::clone(&gateway));
                } else {
                    table.networks.push((*network, Arc::clone(&gateway)));
                }
            }
        }
        table.networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        table
    }

    /// The client of this name.
    pub fn named(&self, name: &Label) -> Option<&Arc<Gateway>> {
        self.named.get(name)
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Gateway> {
        self.named.values().map(|gateway| &**gateway)
    }

    /// The client that `address` belongs to; an IPv4 address in IPv6 form is the IPv4 address.
    pub fn find(&self, address: IpAddr) -> Option<&Arc<Gateway>> {
        let address = address.to_canonical();
        self.exact.get(&address).or_else(|| {
            self.networks.iter().find(|(network, _)| network.contains(&address)).map(|(_, gateway)| gateway)
        })
    }
}

/// What source addresses have shown: the ratchet's memory. It goes by the address alone, so that a client's new name
/// lowers nothing.
#[derive(Debug, Default)]
pub struct Ratchet {
    raised: DashMap<IpAddr, (), RandomState>,
    /// Where both secrets of a client serve: whether this source last proved the previous one.
    proved_previous: DashMap<IpAddr, bool>,
}

impl Ratchet {
    /// With what the store remembers.
    #[must_use]
    pub fn new(raised: impl IntoIterator<Item = (Label, IpAddr)>) -> Ratchet {
        let raised = raised.into_iter().map(|(_, address)| (address, ())).collect();
        Ratchet { raised, proved_previous: DashMap::new() }
    }

    /// Takes what the store remembers now in place of what was known: an admin may have relaxed an address.
    pub fn replace(&self, raised: impl IntoIterator<Item = (Label, IpAddr)>) {
        let raised: HashSet<_> = raised.into_iter().map(|(_, address)| address).collect();
        self.raised.retain(|address, ()| raised.contains(address));
        for address in raised {
            self.raised.insert(address, ());
        }
    }

    /// Whether `address` must show a Message-Authenticator.
    pub fn is_raised(&self, address: IpAddr) -> bool {
        self.raised.contains_key(&address)
    }

    /// Raises `address`; true if it was not raised before, and so has to be stored.
    pub fn raise(&self, address: IpAddr) -> bool {
        // Read first: almost every packet of a gateway finds it raised.
        !self.is_raised(address) && self.raised.insert(address, ()).is_none()
    }

    /// Takes back [`Ratchet::raise`] where the store could not keep it, so that the next packet tries again.
    pub fn unraise(&self, address: IpAddr) {
        self.raised.remove(&address);
    }
}

impl Gateway {
    /// Checks a packet from `address` against the client's secrets and its posture.
    pub fn verify<'a>(
        &self,
        parsed: &Parsed<'a>,
        address: IpAddr,
        ratchet: &Ratchet,
        now: UnixTime,
    ) -> Result<Authentic<'a>, DropReason> {
        let authentic = self.authenticate(parsed, address, ratchet, now)?;
        let code = authentic.packet.code();
        if authentic.packet.integrity() == Integrity::Signed {
            return Ok(authentic);
        }
        if code == Code::STATUS_SERVER || parsed.has_eap() {
            return Err(DropReason::NoMessageAuthenticator);
        }
        let required = match self.rule {
            MessageAuthenticator::Required => true,
            MessageAuthenticator::Auto => ratchet.is_raised(address),
            MessageAuthenticator::Optional => false,
        };
        if required {
            return Err(DropReason::UnsignedNotAllowed);
        }
        if self.limit_proxy_state && parsed.has_proxy_state() {
            return Err(DropReason::ProxyStateUnsigned);
        }
        Ok(authentic)
    }

    /// Whether this packet raises its source to required. Status-Server and EAP always carry a Message-Authenticator
    /// and so show nothing about the others.
    pub fn raises(&self, parsed: &Parsed<'_>, integrity: Integrity) -> bool {
        self.rule == MessageAuthenticator::Auto
            && integrity == Integrity::Signed
            && parsed.code() == Code::ACCESS_REQUEST
            && !parsed.has_eap()
    }

    fn authenticate<'a>(
        &self,
        parsed: &Parsed<'a>,
        address: IpAddr,
        ratchet: &Ratchet,
        now: UnixTime,
    ) -> Result<Authentic<'a>, DropReason> {
        let previous = self.previous.as_ref().filter(|(_, until)| now < *until).map(|(secret, _)| secret);
        let Some(previous) = previous else {
            return Ok(Authentic {
                packet: parsed.verify(&self.current)?,
                secret: Arc::clone(&self.current),
            });
        };
        match parsed.verify(&self.current) {
            Ok(packet) if packet.integrity() == Integrity::Signed => {
                ratchet.proved_previous.insert(address, false);
                Ok(Authentic { packet, secret: Arc::clone(&self.current) })
            }
            Ok(packet) => {
                let proved = ratchet.proved_previous.get(&address).is_some_and(|proved| *proved);
                let secret = if self.decodes_with_previous(&packet, previous, proved) {
                    previous
                } else {
                    &self.current
                };
                Ok(Authentic { packet, secret: Arc::clone(secret) })
            }
            Err(fault) => {
                let packet = parsed.verify(previous).map_err(|_| fault)?;
                ratchet.proved_previous.insert(address, true);
                Ok(Authentic { packet, secret: Arc::clone(previous) })
            }
        }
    }

    /// Unsigned PAP proves no secret by itself: the one under which the password decodes cleanly is it, and where
    /// both do, the one that this source last proved.
    fn decodes_with_previous(&self, packet: &Verified<&[u8]>, previous: &SharedSecret, proved: bool) -> bool {
        let Ok(request) = AccessRequest::view(packet) else { return false };
        let Credential::Pap(password) = request.credential() else { return false };
        match (password.decodes_cleanly(&self.current), password.decodes_cleanly(previous)) {
            (true, true) => proved,
            (current, previous) => previous && !current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_s_new_name_lowers_nothing_and_an_admin_s_word_does() {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let ratchet = Ratchet::new([(Label::new("old-name").unwrap(), address)]);
        assert!(ratchet.is_raised(address));
        assert!(!ratchet.raise(address), "it was raised already, so nothing is to be stored");
        ratchet.replace([]);
        assert!(!ratchet.is_raised(address));
        assert!(ratchet.raise(address));
    }
}
