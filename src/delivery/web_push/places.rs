//! Which endpoints are posted to. They come from users' browsers, so whoever may enrol could else have this server ask anything that it
//! can reach.
//!
//! Invariants: https alone; a host that is listed, at its port; an address of one's own network only where it is listed as such, whatever
//! a name resolves to; no redirect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// One place of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A host, and its port.
    Host(Box<str>, u16),
    /// Every host whose name ends so, with the dot before it; port 443.
    Under(Box<str>),
    /// Addresses, at any port: also those of one's own network.
    Net(IpNet),
}

/// The push services of Chrome, Edge, Firefox and Safari.
pub const KNOWN: &[&str] = &[
    "fcm.googleapis.com",
    "android.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.notify.windows.com",
    "*.push.apple.com",
];

/// The list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places(Arc<[Place]>);

impl Place {
    /// Reads `push.example.com`, `push.example.com:8443`, `*.push.example.com`, `10.1.0.7` or `10.1.0.0/16`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Place> {
        if let Ok(net) = text.parse::<IpNet>() {
            return Some(Place::Net(net.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Place::Net(address.into()));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse::<u16>().ok().filter(|port| *port != 0)?),
            None => (text, 443),
        };
        if let Some(rest) = host.strip_prefix("*.") {
            // All of a top-level domain is nobody's push service.
            let fits = port == 443 && is_name(rest) && rest.contains('.');
            return fits.then(|| Place::Under(format!(".{}", rest.to_ascii_lowercase()).into()));
        }
        is_name(host).then(|| Place::Host(host.to_ascii_lowercase().into(), port))
    }
}

/// Whether `host` is letters, digits, hyphens and dots, as a name has them, and no number.
fn is_name(host: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253 && host.split('.').all(label) && !last.bytes().all(|octet| octet.is_ascii_digit())
}

impl Places {
    /// A list of these.
    #[must_use]
    pub fn new(places: Vec<Place>) -> Places {
        Places(places.into())
    }

    /// [`KNOWN`].
    #[must_use]
    pub fn known() -> Places {
        Places(KNOWN.iter().filter_map(|text| Place::parse(text)).collect())
    }

    /// The URL of `endpoint`, if that may be posted to.
    #[must_use]
    pub fn admit(&self, endpoint: &str) -> Option<Url> {
        let url = Url::parse(endpoint).ok()?;
        let plain = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
        let port = url.port_or_known_default()?;
        let host = url.host_str()?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let listed = match bare.parse::<IpAddr>() {
            Ok(address) => self.is_listed(address),
            Err(_) => self.0.iter().any(|place| match place {
                Place::Host(name, at) => **name == *host && *at == port,
                Place::Under(end) => port == 443 && host.len() > end.len() && host.ends_with(&**end),
                Place::Net(_) => false,
            }),
        };
        (plain && listed).then_some(url)
    }

    /// Whether a name may stand for `address`.
    fn admits_address(&self, address: IpAddr) -> bool {
        is_public(address) || self.is_listed(address)
    }

    fn is_listed(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|place| matches!(place, Place::Net(net) if net.contains(&address)))
    }
}

/// Whether it is an address of the Internet, and no one of this machine, this network or a tunnel into one.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    !(first == 0
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || (first == 100 && second & 0xc0 == 64)
        || (first == 192 && second == 0 && (third == 0 || third == 2))
        || (first == 192 && second == 88 && third == 99)
        || (first == 198 && second & 0xfe == 18)
        || (first == 198 && second == 51 && third == 100)
        || (first == 203 && second == 0 && third == 113)
        || first >= 224)
}

/// Global unicast alone (`2000::/3`), without what carries an IPv4 address, examples and benchmarks.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    first & 0xe000 == 0x2000
        && !(first == 0x2001 && second < 0x0200)
        && !(first == 0x2001 && second == 0x0db8)
        && first != 0x2002
        && !(first == 0x3fff && second < 0x1000)
}

/// Resolves names as the system does, and leaves out addresses that are nobody's push service.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Places);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let places = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|at| places.admits_address(at.ip())).collect();
            if public.is_empty() {
                return Err("its name stands for no address of the Internet".into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(list: &[&str]) -> Places {
        Places::new(list.iter().map(|text| Place::parse(text).unwrap()).collect())
    }

    #[test]
    fn the_services_of_the_browsers_are_known_and_what_looks_like_them_is_not() {
        let known = Places::known();
        for endpoint in [
            "https://fcm.googleapis.com/fcm/send/abc:def",
            "https://FCM.googleapis.com:443/wp/x",
            "https://updates.push.services.mozilla.com/wpush/v2/g",
            "https://wns2-par02p.notify.windows.com/w/?token=x",
            "https://web.push.apple.com/Q",
        ] {
            assert!(known.admit(endpoint).is_some(), "{endpoint}");
        }
        for endpoint in [
            "http://fcm.googleapis.com/x",
            "https://fcm.googleapis.com:8443/x",
            "https://fcm.googleapis.com.evil.example/x",
            "https://evil.example/fcm.googleapis.com",
            "https://user@fcm.googleapis.com/x",
            "https://:p@fcm.googleapis.com/x",
            "https://fcm.googleapis.com@evil.example/x",
            "https://notify.windows.com/x",
            "https://.notify.windows.com/x",
            "https://evilnotify.windows.com/x",
            "https://127.0.0.1/x",
            "https://2130706433/x",
            "https://0x7f.1/x",
            "https://[::1]/x",
            "https://[::ffff:127.0.0.1]/x",
            "https://localhost/x",
            "ftp://fcm.googleapis.com/x",
            "file:///etc/passwd",
            "//fcm.googleapis.com/x",
            "",
        ] {
            assert!(known.admit(endpoint).is_none(), "{endpoint}");
        }
    }

    #[test]
    fn a_name_stands_for_addresses_of_the_internet_and_for_listed_ones() {
        let listed = places(&["push.example.com:8443", "10.1.0.0/16", "::1"]);
        assert!(listed.admit("https://push.example.com:8443/x").is_some());
        assert!(listed.admit("https://push.example.com/x").is_none());
        assert!(listed.admit("https://10.1.2.3:9000/x").is_some());
        assert!(listed.admit("https://[::1]:9000/x").is_some());
        assert!(listed.admit("https://10.2.0.1/x").is_none());
        let admits = |text: &str| listed.admits_address(text.parse().unwrap());
        for address in ["142.250.1.1", "2a00:1450::1", "10.1.0.7", "::ffff:10.1.0.7", "::1"] {
            assert!(admits(address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.2.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(!admits(address), "{address}");
        }
    }

    #[test]
    fn what_is_no_host_is_no_place() {
        for text in [
            "",
            "*",
            "*.com",
            "*.example.com:1",
            "https://a.b",
            "a.b/c",
            "a..b",
            "a_b",
            "a:0",
            "a:x",
            "1.2.3",
        ] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
        assert_eq!(Place::parse("Push.Example.com"), Some(Place::Host("push.example.com".into(), 443)));
    }
}
