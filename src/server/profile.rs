//! Profiles: what is known of each kind of gateway, so that an admin need not be told by an outage.

use std::time::Duration;

use super::settings::MessageAuthenticator;
use crate::engine::policy::Overrides;

/// What is known of a kind of gateway.
#[derive(Debug)]
pub struct Profile {
    /// The word in `profile = "…"`.
    pub name: &'static str,
    /// Which products it stands for.
    pub products: &'static str,
    /// Whether the product shows an Access-Challenge to its user.
    pub challenge: bool,
    /// How long it waits in all with its own defaults, in milliseconds.
    pub patience_ms: u64,
    /// What this server requires of its requests.
    pub message_authenticator: MessageAuthenticator,
    /// Whether its requests carry no credential: it has checked the password itself.
    pub bare: bool,
    /// What an admin should set on the product, for `check`; empty where nothing is known to be needed.
    pub advice: &'static str,
}

impl Profile {
    /// The profile called `name`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Profile> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// Its stage of the policy's cascade.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            patience: Some(Duration::from_millis(self.patience_ms)),
            challenge: Some(self.challenge),
            bare: self.bare.then_some(true),
            ..Overrides::default()
        }
    }
}

const fn asks(name: &'static str, products: &'static str, patience_ms: u64, advice: &'static str) -> Profile {
    Profile {
        name,
        products,
        challenge: true,
        patience_ms,
        message_authenticator: MessageAuthenticator::Auto,
        bare: false,
        advice,
    }
}

const fn cannot_ask(
    name: &'static str,
    products: &'static str,
    patience_ms: u64,
    advice: &'static str,
) -> Profile {
    Profile { challenge: false, ..asks(name, products, patience_ms, advice) }
}

/// Every profile; `generic` is the default.
pub const PROFILES: &[Profile] = &[
    asks("generic", "any gateway; radclient, radtest", 10_000, ""),
    asks(
        "cisco-asa",
        "Cisco ASA and Secure Firewall with AnyConnect",
        10_000,
        "raise the AAA timeout and the client's authentication timeout to 30 s",
    ),
    asks(
        "fortigate",
        "Fortinet FortiGate",
        5_000,
        "raise `remoteauthtimeout` to 30 s; six silences in a row mark the server dead for 5 minutes",
    ),
    asks(
        "palo-alto",
        "Palo Alto GlobalProtect",
        9_000,
        "raise the RADIUS server profile's timeout to 30 s with 1 retry, and choose PAP",
    ),
    asks("netscaler", "Citrix NetScaler Gateway", 3_000, "raise the authentication time-out to 30 s"),
    asks(
        "check-point",
        "Check Point",
        15_000,
        "some releases drop replies that carry Message-Authenticator: update, or set send-message-authenticator = false",
    ),
    asks(
        "sonicwall",
        "SonicWall",
        15_000,
        "some releases drop replies that carry Message-Authenticator: update, or set send-message-authenticator = false",
    ),
    Profile {
        message_authenticator: MessageAuthenticator::Required,
        bare: true,
        ..cannot_ask(
            "rd-gateway",
            "Remote Desktop Gateway through NPS",
            30_000,
            "NPS adds Proxy-State without Message-Authenticator by default: turn it on there (KB5040268)",
        )
    },
    asks(
        "nps",
        "Windows NPS and RRAS (PAP)",
        60_000,
        "NPS adds Proxy-State without Message-Authenticator by default: turn it on there (KB5040268)",
    ),
    cannot_ask(
        "openvpn",
        "OpenVPN with openvpn-auth-radius",
        1_000,
        "the plugin retries each second from a new port: raise its `wait`",
    ),
    cannot_ask("pfsense", "pfSense and OPNsense", 5_000, "set the authentication server's timeout to 30 s"),
    asks("ocserv", "ocserv (OpenConnect server)", 30_000, ""),
    asks("pam", "libpam-radius-auth", 3_000, "raise the timeout in its server file to 10 s"),
    asks("strongswan", "strongSwan eap-radius", 14_000, ""),
    asks("guacamole", "Apache Guacamole", 300_000, ""),
    asks("horizon", "VMware Horizon", 15_000, "turn accounting off"),
    cannot_ask("mikrotik", "MikroTik RouterOS", 900, "raise the RADIUS timeout from 300 ms to 3 s or more"),
    asks(
        "radsecproxy",
        "radsecproxy in front of other gateways",
        15_000,
        "version 1.9 adds no Message-Authenticator of its own",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_found_by_its_name_once() {
        for profile in PROFILES {
            assert_eq!(
                PROFILES.iter().filter(|other| other.name == profile.name).count(),
                1,
                "{}",
                profile.name
            );
            assert!(Profile::by_name(profile.name).is_some());
        }
    }

    #[test]
    fn who_cannot_show_a_challenge_is_never_sent_one() {
        for name in ["rd-gateway", "openvpn", "pfsense", "mikrotik"] {
            assert_eq!(Profile::by_name(name).unwrap().overrides().challenge, Some(false), "{name}");
        }
    }
}
