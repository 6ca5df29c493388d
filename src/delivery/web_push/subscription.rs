//! What a browser hands over when it lets somebody push: an endpoint and the keys for what is sent there.
//!
//! All of it comes from the user's browser, so none of it is believed: see [`super::places`].

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Where a browser gets its pushes (`PushSubscription` of the Push API).
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The URL to post to.
    pub endpoint: Box<str>,
    /// The browser's public key: `p256dh`.
    pub key: [u8; 65],
    /// What both know besides: `auth`.
    pub auth: [u8; 16],
}

/// The longest endpoint, in octets.
pub const ENDPOINT_MAX: usize = 800;

impl Subscription {
    /// From the three texts of a browser; `None` where they cannot be one. Whether the endpoint is a place to post to is said
    /// elsewhere.
    #[must_use]
    pub fn new(endpoint: &str, key: &str, auth: &str) -> Option<Subscription> {
        let plain = endpoint.len() <= ENDPOINT_MAX && endpoint.bytes().all(|octet| octet.is_ascii_graphic());
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
        let key: [u8; 65] = decode(key)?.try_into().ok()?;
        let auth = decode(auth)?.try_into().ok()?;
        let on_curve = p256::PublicKey::from_sec1_bytes(&key).is_ok();
        (plain && on_curve).then(|| Subscription { endpoint: endpoint.into(), key, auth })
    }

    /// Back from [`Subscription::print`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Subscription> {
        let mut parts = text.split(' ');
        let found = Subscription::new(parts.next()?, parts.next()?, parts.next()?);
        found.filter(|_| parts.next().is_none())
    }

    /// The address of a device that is reached so.
    #[must_use]
    pub fn print(&self) -> String {
        let Subscription { endpoint, key, auth } = self;
        format!("{endpoint} {} {}", URL_SAFE_NO_PAD.encode(key), URL_SAFE_NO_PAD.encode(auth))
    }
}

impl std::fmt::Debug for Subscription {
    /// An endpoint's path is as good as a password at some services.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Subscription(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    #[test]
    fn a_subscription_reads_back_what_it_printed_and_rubbish_is_none() {
        let known = Subscription::new("https://push.example.net/a?b=c", KEY, &format!("{AUTH}==")).unwrap();
        assert_eq!(Subscription::parse(&known.print()), Some(known.clone()));
        assert_eq!(format!("{known:?}"), "Subscription(…)");
        let off_curve = URL_SAFE_NO_PAD.encode([4; 65]);
        for (endpoint, key, auth) in [
            ("https://a b", KEY, AUTH),
            ("https://é", KEY, AUTH),
            ("https://a", "", AUTH),
            ("https://a", AUTH, AUTH),
            ("https://a", KEY, KEY),
            ("https://a", KEY, "*"),
            ("https://a", &off_curve, AUTH),
            (&"x".repeat(ENDPOINT_MAX + 1), KEY, AUTH),
        ] {
            assert_eq!(Subscription::new(endpoint, key, auth), None, "{endpoint} {key} {auth}");
        }
        for text in ["", "a", &known.print().replace(' ', "  "), &format!("{} x", known.print())] {
            assert_eq!(Subscription::parse(text), None, "{text}");
        }
    }
}
