//! `[[client]]`: a gateway that may ask.

use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::origin::{Fault, Findings, Origin};
use super::policy;
use super::reader::{Found, Reader};
use super::schema::{Key, Kind, key, nearest};
use super::tree::Scalar;
use super::value::{self, Bad, Parsed, Show, Shown, boolean, choice};
use crate::base::name::Label;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::policy::{Lockout, NO_PRIMARY, Policy};
use crate::server::profile::{PROFILES, Profile};
use crate::server::settings::{Client, MessageAuthenticator};

pub(super) const KEYS: &[Key] = &[
    key("name", Kind::One, "NAME", "its name in log and records"),
    key(
        "address",
        Kind::List,
        "ADDRESS",
        "the address or CIDR block that it asks from, the longest prefix wins",
    ),
    key("secret", Kind::Secret, "SECRET", "the shared secret: file:PATH, env:NAME or the secret itself"),
    key(
        "display-name",
        Kind::One,
        "TEXT",
        "what users know it by, in messages and on pages, up to 64 characters (its name)",
    ),
    key("previous-secret", Kind::Secret, "SECRET", "the secret before it, while it is being changed"),
    key("previous-secret-until", Kind::One, "DATE", "until when the previous one serves, such as 2026-08-31"),
    key("profile", Kind::One, "NAME", "what kind of gateway it is, such as cisco-asa (generic)"),
    key(
        "message-authenticator",
        Kind::One,
        "WORD",
        "auto (required once an address has shown one), required or optional (the profile's)",
    ),
    key("limit-proxy-state", Kind::One, "BOOL", "drop Proxy-State without Message-Authenticator (true)"),
    key("send-message-authenticator", Kind::One, "BOOL", "put Message-Authenticator into replies (true)"),
];

const POSTURES: &[(&str, MessageAuthenticator)] = &[
    ("auto", MessageAuthenticator::Auto),
    ("required", MessageAuthenticator::Required),
    ("optional", MessageAuthenticator::Optional),
];

/// What clients refer to.
pub(super) struct Shared<'a> {
    /// The names of all primaries, right or wrong in themselves.
    pub(super) primaries: &'a [Label],
    pub(super) lockout: Lockout,
    /// Whether anything is asked on the phone.
    pub(super) asks: bool,
}

/// A client, and what it is compared with the others by.
pub(super) struct Decoded {
    pub(super) client: Client,
    name: Origin,
    networks: Vec<Origin>,
}

impl Decoded {
    pub(super) fn name(&self) -> &Label {
        &self.client.name
    }

    /// Where its name was written.
    pub(super) fn name_origin(&self) -> &Origin {
        &self.name
    }
}

/// Reads one client; `None` after a fault.
pub(super) fn decode(reader: &mut Reader<'_>, shared: &Shared<'_>) -> Option<Decoded> {
    let name = reader.required("name", value::label);
    let display_name = reader.find("display-name", value::display).map(|found| {
        reader.record("display-name", &found.value, &Origin::Default);
        found.value
    });
    let networks = networks(reader);
    reader.demand("secret");
    let secret = reader.secret("secret");
    let previous_secret = previous_secret(reader, secret.as_ref());
    let profile =
        reader.find("profile", profile).map_or(Profile::by_name("generic"), |found| Some(found.value))?;
    reader.record("profile", profile.name, &Origin::Default);
    let mut posture = message_authenticator(reader, profile);
    let limit_proxy_state = reader.or("limit-proxy-state", boolean, true);
    let send_message_authenticator = reader.or("send-message-authenticator", boolean, true);
    if !send_message_authenticator {
        let origin = reader.origin_of("send-message-authenticator").unwrap_or(reader.origin());
        reader.warn(
            origin,
            "send-message-authenticator",
            "replies without Message-Authenticator can be forged (CVE-2024-3596, BlastRADIUS)",
            "update the gateway, then remove this line",
        );
    }
    let policy = resolve(reader, shared, profile);
    let remembers = policy.as_ref().is_some_and(|policy| !policy.login.remember.is_zero());
    if remembers && posture == MessageAuthenticator::Optional {
        let origin = reader.origin_of("remember").unwrap_or(reader.origin()).clone();
        reader.warn(
            &origin,
            "remember",
            "nothing is remembered of requests without Message-Authenticator, which prove nothing of their station",
            "turn it on at the gateway, then set message-authenticator = \"required\"",
        );
    }
    let (name, networks, secret, mut policy) = (name?, networks?, secret?, policy?);
    policy.display_name = display_name.map(Arc::from);
    let policy = Arc::new(policy);
    if policy.admission.trusts_gateway() {
        trusted(reader, &policy, posture, &networks);
        posture = MessageAuthenticator::Required;
    }
    let client = Client {
        name: name.value,
        networks: networks.iter().map(|network| network.value).collect(),
        secret: secret.value,
        previous_secret,
        message_authenticator: posture,
        limit_proxy_state,
        send_message_authenticator,
        profile: profile.name,
        policy,
        rules: None,
    };
    Some(Decoded {
        client,
        name: name.origin,
        networks: networks.into_iter().map(|network| network.origin).collect(),
    })
}

/// What a gateway must be that checks passwords itself: whoever could speak for it could log anybody in but for the second
/// factor.
fn trusted(
    reader: &mut Reader<'_>,
    policy: &Policy,
    posture: MessageAuthenticator,
    networks: &[Found<IpNet>],
) {
    let at = |reader: &Reader<'_>, key| reader.origin_of(key).unwrap_or(reader.origin()).clone();
    if posture != MessageAuthenticator::Required && reader.origin_of("message-authenticator").is_some() {
        let origin = at(reader, "message-authenticator");
        let what =
            "must be required where the gateway checks the password: an unsigned request proves nothing";
        reader.fault(&origin, "message-authenticator", what, "remove it");
    }
    if policy.login.unenrolled == crate::engine::policy::Unenrolled::Allow {
        let origin = at(reader, "unenrolled");
        let what = "would let anybody in by a name alone, since primary = \"none\"";
        reader.fault(&origin, "unenrolled", what, "unenrolled = \"deny\"");
    }
    if policy.login.unenrolled == crate::engine::policy::Unenrolled::Enrol {
        let origin = at(reader, "unenrolled");
        let what = "would lead anybody to a factor by a name alone, since primary = \"none\"";
        reader.fault(&origin, "unenrolled", what, "unenrolled = \"deny\"");
    }
    if !policy.login.remember.is_zero() {
        let origin = at(reader, "remember");
        let what = "would let users in by a name alone, since primary = \"none\"";
        reader.fault(&origin, "remember", what, "remove it");
    }
    for network in networks.iter().filter(|network| network.value.prefix_len() == 0) {
        let what = "must name the gateways where they check the password themselves";
        reader.fault(&network.origin, "address", what, "such as 10.1.0.4");
    }
}

/// Refuses two clients of one name, and a network that belongs to two (or twice to one).
pub(super) fn compare(clients: &[Decoded], findings: &mut Findings) {
    let mut names: HashMap<&Label, &Origin> = HashMap::new();
    let mut networks: HashMap<IpNet, (&Label, &Origin)> = HashMap::new();
    for decoded in clients {
        let name = &decoded.client.name;
        if let Some(first) = names.get(name) {
            findings.faults.push(Fault::new(
                &decoded.name,
                "client.name",
                format!("\"{name}\" is named twice, first at {first}"),
                "give each client its own name",
            ));
        } else {
            names.insert(name, &decoded.name);
        }
        for (network, origin) in decoded.client.networks.iter().zip(&decoded.networks) {
            if let Some((other, first)) = networks.get(network) {
                findings.faults.push(Fault::new(
                    origin,
                    "client.address",
                    format!("{network} belongs to client \"{other}\" already, at {first}"),
                    "a source address chooses one client; where blocks overlap, the longest prefix wins",
                ));
            } else {
                networks.insert(*network, (name, origin));
            }
        }
    }
}

fn networks(reader: &mut Reader<'_>) -> Option<Vec<Found<IpNet>>> {
    reader.demand("address");
    let networks = reader.find_list("address", value::network)?;
    reader.record("address", &networks.iter().map(|found| found.value).collect::<Vec<_>>(), &Origin::Default);
    for network in &networks {
        if network.value.prefix_len() == 0 {
            reader.warn(
                &network.origin,
                "address",
                format!("{} lets anybody try this client's secret", network.value),
                "name the gateways' addresses",
            );
        }
    }
    Some(networks)
}

fn previous_secret(reader: &mut Reader<'_>, secret: Option<&Found<Secret>>) -> Option<(Secret, UnixTime)> {
    let previous = reader.secret("previous-secret");
    let until = reader.find("previous-secret-until", value::moment);
    if let Some(until) = &until {
        reader.record("previous-secret-until", &until.value, &Origin::Default);
    }
    match (reader.origin_of("previous-secret"), reader.origin_of("previous-secret-until")) {
        (Some(origin), None) => reader.fault(
            origin,
            "previous-secret",
            "has no end",
            "say until when it serves: previous-secret-until, such as 2026-08-31",
        ),
        (None, Some(origin)) => {
            reader.fault(origin, "previous-secret-until", "stands without previous-secret", "remove it");
        }
        _ => {}
    }
    let (previous, until) = (previous?, until?);
    if until.value <= reader.around.now() {
        reader.warn(
            &until.origin,
            "previous-secret-until",
            "is over: the previous secret serves no more",
            "remove both keys",
        );
    }
    if secret.is_some_and(|secret| secret.value == previous.value) {
        reader.warn(&previous.origin, "previous-secret", "is the same as secret", "remove it");
    }
    Some((previous.value, until.value))
}

fn message_authenticator(reader: &mut Reader<'_>, profile: &Profile) -> MessageAuthenticator {
    let posture = reader
        .find("message-authenticator", choice(POSTURES))
        .map_or(profile.message_authenticator, |found| found.value);
    let otherwise = if profile.message_authenticator == MessageAuthenticator::default() {
        Origin::Default
    } else {
        Origin::Profile(profile.name)
    };
    reader.record("message-authenticator", &posture, &otherwise);
    if posture == MessageAuthenticator::Optional {
        let origin = reader.origin_of("message-authenticator").unwrap_or(reader.origin());
        reader.warn(
            origin,
            "message-authenticator",
            "requests without Message-Authenticator can be forged (CVE-2024-3596, BlastRADIUS)",
            "use auto, which requires it once the gateway has sent one, or required",
        );
    }
    posture
}

/// What the cascade comes to. A fault where the client's primary is not one of those that there are.
fn resolve(reader: &mut Reader<'_>, shared: &Shared<'_>, profile: &'static Profile) -> Option<Policy> {
    let own = policy::decode(reader);
    let known = || value::either(shared.primaries.iter().map(Label::as_str));
    let none = Label::new(NO_PRIMARY).ok();
    let primary = match (&own.primary, shared.primaries) {
        (Some(named), _) if Some(named) == none.as_ref() => Some(named),
        (Some(named), primaries) => known_primary(reader, named, primaries).then_some(named),
        (None, [only]) => Some(only),
        // That there is none at all is said once, not for every client; a wrong value has been cited already.
        (None, []) => None,
        (None, _) if reader.origin_of("primary").is_some() => None,
        (None, _) => {
            reader.fault(
                reader.origin(),
                "primary",
                "missing: there is more than one primary",
                format!("say which one checks this client's passwords: {}", known()),
            );
            None
        }
    }?;
    let stage = profile.overrides();
    let policy = Policy::resolve(primary.clone(), shared.lockout, &[&stage, &own]);
    policy::record(reader, &policy, (profile.name, &stage));
    policy::warn(reader, &policy, shared.asks);
    Some(policy)
}

/// Whether there is a primary called `named`; a fault where there is none.
pub(super) fn known_primary(reader: &mut Reader<'_>, named: &Label, primaries: &[Label]) -> bool {
    if primaries.contains(named) {
        return true;
    }
    let known = || primaries.iter().map(Label::as_str);
    let hint = match nearest(named.as_str(), known()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if primaries.is_empty() => format!("add --primary name={named},…"),
        None => format!("there is {}", value::either(known())),
    };
    let origin = reader.origin_of("primary").unwrap_or(reader.origin());
    reader.fault(origin, "primary", format!("\"{named}\" is not configured"), hint);
    false
}

fn profile(scalar: &Scalar) -> Parsed<&'static Profile> {
    let name = value::text(scalar)?;
    Profile::by_name(&name).ok_or_else(|| {
        let known = PROFILES.iter().map(|profile| profile.name);
        let hint = match nearest(&name, known.clone()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("the profiles are {}", known.collect::<Vec<_>>().join(", ")),
        };
        Bad::new(format!("no profile is called {}", value::said(scalar)), hint)
    })
}

impl Show for MessageAuthenticator {
    fn shown(&self) -> Shown {
        let word = POSTURES.iter().find(|(_, posture)| posture == self).map_or("", |(word, _)| *word);
        Shown::Text(word.to_owned())
    }
}
