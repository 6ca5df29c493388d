//! From a scalar's text to a value: one parser for each type, with its bounds, and how the value is shown again.

use std::fmt::Display;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::origin::plain;
use super::schema::nearest;
use super::secret::SecretSource;
use super::tree::{Form, Scalar};
use crate::base::name::Label;
pub(crate) use crate::base::span::{parse_span, show_span};
use crate::base::text::is_unprintable;
use crate::base::time::UnixTime;

/// The port of Access-Requests (RFC 2865 §3).
pub(super) const PORT: u16 = 1812;

/// Why a scalar is not what a key takes.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) what: String,
    pub(super) hint: String,
}

impl Bad {
    pub(super) fn new(what: impl Into<String>, hint: impl Into<String>) -> Bad {
        Bad { what: what.into(), hint: hint.into() }
    }
}

/// What a parser answers.
pub(super) type Parsed<T> = Result<T, Bad>;

/// `true` or `false`.
pub(super) fn boolean(scalar: &Scalar) -> Parsed<bool> {
    match scalar.text.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        "yes" | "on" | "1" => {
            Err(Bad::new(format!("takes true or false, not {}", said(scalar)), "write true"))
        }
        "no" | "off" | "0" => {
            Err(Bad::new(format!("takes true or false, not {}", said(scalar)), "write false"))
        }
        _ => Err(Bad::new(format!("takes true or false, not {}", said(scalar)), "")),
    }
}

/// A whole number within `bounds`.
pub(super) fn integer<T>(bounds: RangeInclusive<T>) -> impl Fn(&Scalar) -> Parsed<T>
where
    T: std::str::FromStr + PartialOrd + Display + Copy,
{
    move |scalar| match scalar.text.parse::<T>() {
        Ok(number) if bounds.contains(&number) => Ok(number),
        _ => Err(Bad::new(format!("takes {} to {}, not {}", bounds.start(), bounds.end(), said(scalar)), "")),
    }
}

/// A duration within `bounds`: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub(super) fn duration(bounds: RangeInclusive<Duration>) -> impl Fn(&Scalar) -> Parsed<Duration> {
    move |scalar| {
        let Some(span) = parse_span(&scalar.text) else {
            let digits = !scalar.text.is_empty() && scalar.text.bytes().all(|octet| octet.is_ascii_digit());
            let hint = if digits {
                format!("say the unit: \"{}s\"", scalar.text.as_str())
            } else {
                "the units are ms, s, m, h and d".to_owned()
            };
            return Err(Bad::new(
                format!("takes a duration such as 30s, 5m or 300ms, not {}", said(scalar)),
                hint,
            ));
        };
        if bounds.contains(&span) {
            Ok(span)
        } else {
            let (least, most) = (show_span(*bounds.start()), show_span(*bounds.end()));
            Err(Bad::new(format!("takes {least} to {most}, not {}", scalar.text.as_str()), ""))
        }
    }
}

/// One of a few words, each with what it stands for.
pub(super) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&Scalar) -> Parsed<T> {
    move |scalar| {
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == scalar.text.as_str()) {
            return Ok(*value);
        }
        let known = words.iter().map(|(word, _)| *word);
        let hint = nearest(&scalar.text, known.clone())
            .map_or(String::new(), |near| format!("did you mean \"{near}\"?"));
        Err(Bad::new(format!("takes {}, not {}", either(known), said(scalar)), hint))
    }
}

/// Any text.
pub(super) fn text(scalar: &Scalar) -> Parsed<String> {
    match scalar.form {
        Form::Flag | Form::Text => Ok(scalar.text.to_string()),
        _ => Err(Bad::new("takes text", format!("put it in quotes: \"{}\"", plain(&scalar.text)))),
    }
}

/// A name.
pub(super) fn label(scalar: &Scalar) -> Parsed<Label> {
    let text = text(scalar)?;
    Label::new(&text).map_err(|_| {
        Bad::new(
            format!("takes 1 to 64 letters, digits, dots, underscores and hyphens, not {}", said(scalar)),
            "",
        )
    })
}

/// 1 to 80 characters of printable ASCII, which every gateway shows.
pub(super) fn line(scalar: &Scalar) -> Parsed<String> {
    let text = text(scalar)?;
    if (1..=80).contains(&text.len()) && text.bytes().all(|octet| (b' '..=b'~').contains(&octet)) {
        Ok(text)
    } else {
        Err(Bad::new(
            format!("takes 1 to 80 characters of plain ASCII on one line, not {}", said(scalar)),
            "some gateways show nothing else",
        ))
    }
}

/// 1 to 64 characters that people can read, on one line.
pub(super) fn display(scalar: &Scalar) -> Parsed<String> {
    let text = text(scalar)?;
    if (1..=64).contains(&text.chars().count()) && !text.chars().any(is_unprintable) {
        Ok(text)
    } else {
        Err(Bad::new(
            format!("takes 1 to 64 characters on one line that can be seen, not {}", said(scalar)),
            "such as \"Office VPN\"",
        ))
    }
}

/// An address to listen on; without a port, port 1812.
pub(super) fn listen(scalar: &Scalar) -> Parsed<SocketAddr> {
    let text = text(scalar)?;
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse().or_else(|_| bare.parse().map(|address: IpAddr| SocketAddr::new(address, PORT))).map_err(
        |_| {
            Bad::new(
                format!("takes an address and a port, not {}", said(scalar)),
                "such as 127.0.0.1:1812, 0.0.0.0:1812 or [::]:1812",
            )
        },
    )
}

/// An address to listen on for this machine alone, unless another is said: a port alone is one of 127.0.0.1.
pub(super) fn local(scalar: &Scalar) -> Parsed<SocketAddr> {
    let text = text(scalar)?;
    let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    text.parse().or_else(|_| text.parse().map(local)).map_err(|_| {
        Bad::new(
            format!("takes an address and a port, not {}", said(scalar)),
            "such as 127.0.0.1:9464, or 9464 alone for a port of this machine",
        )
    })
}

/// A server: a host name or an address, and a port other than 0 where it is not 1812.
pub(super) fn host_and_port(scalar: &Scalar) -> Parsed<(String, u16)> {
    let text = text(scalar)?;
    let bad = || {
        Bad::new(
            format!("takes a host name or an address, and a port, not {}", said(scalar)),
            "such as 10.2.0.5:1812, nps.example:1812 or [2001:db8::5]:1812",
        )
    };
    let (host, port) = if let Ok(address) = text.parse::<SocketAddr>() {
        (address.ip().to_string(), address.port())
    } else if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<Ipv6Addr>() {
        (address.to_string(), PORT)
    } else if let Some((host, port)) = text.rsplit_once(':') {
        (host.to_owned(), port.parse().map_err(|_| bad())?)
    } else {
        (text.clone(), PORT)
    };
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_');
    let address = host.parse::<IpAddr>().is_ok();
    if port == 0 || host.is_empty() || host.len() > 253 || !(address || host.bytes().all(plain)) {
        return Err(bad());
    }
    Ok((host, port))
}

/// A local address.
pub(super) fn address(scalar: &Scalar) -> Parsed<IpAddr> {
    let text = text(scalar)?;
    text.parse().map_err(|_| Bad::new(format!("takes an address, not {}", said(scalar)), "such as 10.2.0.1"))
}

/// An address or a CIDR block; what maps IPv4 into IPv6 becomes IPv4.
pub(super) fn network(scalar: &Scalar) -> Parsed<IpNet> {
    let text = text(scalar)?;
    let bad = || {
        Bad::new(
            format!("takes an address or a CIDR block, not {}", said(scalar)),
            "such as 10.1.0.4 or 10.1.0.0/24; host names are not looked up",
        )
    };
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| bad())?,
    };
    if network.trunc() != network {
        return Err(Bad::new(
            format!("{text} has bits set beyond its prefix"),
            format!("write {} for the network, or {} for the one address", network.trunc(), network.addr()),
        ));
    }
    let unmapped = match network {
        IpNet::V6(six) if six.prefix_len() >= 96 => six
            .addr()
            .to_ipv4_mapped()
            .and_then(|four| IpNet::new(IpAddr::V4(four), six.prefix_len() - 96).ok()),
        _ => None,
    };
    Ok(unmapped.unwrap_or(network))
}

/// A date (until its end in UTC) or a date with time and offset (RFC 3339).
pub(super) fn moment(scalar: &Scalar) -> Parsed<UnixTime> {
    let bad = || {
        Bad::new(
            format!("takes a date, or a date with time and offset, not {}", said(scalar)),
            "such as 2026-08-31 (until the end of that day in UTC) or 2026-08-31T12:00:00Z",
        )
    };
    end_of(&scalar.text).ok_or_else(bad)
}

/// The beginning of a day, `2026-01-31` (UTC), or a moment, `2026-01-31T12:00:00Z`.
pub(crate) fn begin_of(text: &str) -> Option<UnixTime> {
    let timestamp = match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) if text.len() == 10 => {
            let day = text.parse::<jiff::civil::Date>().ok()?;
            day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
        }
        Err(_) => return None,
    };
    u64::try_from(timestamp.as_millisecond()).map(UnixTime).ok()
}

/// A date stands for its end in UTC, a date with time and offset for itself.
pub(crate) fn end_of(text: &str) -> Option<UnixTime> {
    let timestamp = if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        timestamp
    } else if text.len() == 10 {
        let next = text.parse::<jiff::civil::Date>().ok()?.tomorrow().ok()?;
        next.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
    } else {
        return None;
    };
    u64::try_from(timestamp.as_millisecond()).map(UnixTime).ok()
}

/// A path; a relative one starts from the directory of the file that names it.
pub(super) fn path(scalar: &Scalar) -> Parsed<PathBuf> {
    let text = text(scalar)?;
    if text.is_empty() || text.contains('\0') {
        return Err(Bad::new(format!("takes a path, not {}", said(scalar)), ""));
    }
    Ok(scalar.origin.directory().map_or_else(|| PathBuf::from(&text), |directory| directory.join(&text)))
}

/// Where a secret is kept.
pub(super) fn secret(scalar: &Scalar) -> Parsed<SecretSource> {
    match scalar.form {
        Form::Flag | Form::Text => Ok(SecretSource::parse(&scalar.text, scalar.origin.directory())),
        _ => Err(Bad::new("takes text", "put it in quotes, or keep it in a file: \"file:PATH\"")),
    }
}

/// `a, b or c`.
pub(super) fn either<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// What was written, in quotes where it is text, cut where it is long.
pub(super) fn said(scalar: &Scalar) -> String {
    let mut text = plain(&scalar.text);
    if text.chars().count() > 60 {
        text = text.chars().take(60).chain(['…']).collect();
    }
    match scalar.form {
        Form::Flag | Form::Text => format!("\"{text}\""),
        _ => text,
    }
}

/// A value as `check` and a saved file show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Text, in quotes.
    Text(String),
    /// A number or a truth value.
    Bare(String),
    /// Several.
    List(Vec<Shown>),
    /// Where a secret is kept.
    Secret(SecretSource),
}

impl Shown {
    /// In TOML's notation; a literal secret as `"…"`.
    #[must_use]
    pub fn toml(&self) -> String {
        match self {
            Shown::Text(text) => toml_text(text),
            Shown::Bare(text) => text.clone(),
            Shown::List(items) => {
                format!("[{}]", items.iter().map(Shown::toml).collect::<Vec<_>>().join(", "))
            }
            Shown::Secret(source) => toml_text(&source.to_string()),
        }
    }
}

fn toml_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if is_unprintable(character) => {
                let _infallible = write!(quoted, "\\U{:08X}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// What can be shown.
pub(super) trait Show {
    fn shown(&self) -> Shown;
}

impl Show for bool {
    fn shown(&self) -> Shown {
        Shown::Bare(self.to_string())
    }
}

macro_rules! show_as {
    ($form:ident: $($kind:ty),+) => {$(
        impl Show for $kind {
            fn shown(&self) -> Shown {
                Shown::$form(self.to_string())
            }
        }
    )+};
}

show_as!(Bare: u8, u32, usize);
show_as!(Text: str, String, Label, SocketAddr, IpAddr, UnixTime);

impl Show for Duration {
    fn shown(&self) -> Shown {
        Shown::Text(show_span(*self))
    }
}

impl Show for IpNet {
    fn shown(&self) -> Shown {
        let alone = self.prefix_len() == self.max_prefix_len();
        Shown::Text(if alone { self.addr().to_string() } else { self.to_string() })
    }
}

impl Show for PathBuf {
    fn shown(&self) -> Shown {
        Shown::Text(self.display().to_string())
    }
}

impl Show for SecretSource {
    fn shown(&self) -> Shown {
        Shown::Secret(self.clone())
    }
}

impl<T: Show> Show for Vec<T> {
    fn shown(&self) -> Shown {
        Shown::List(self.iter().map(Show::shown).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::origin::Origin;

    fn scalar(text: &str) -> Scalar {
        Scalar { text: text.to_owned().into(), form: Form::Flag, origin: Origin::Default }
    }

    fn any_span(text: &str) -> Parsed<Duration> {
        duration(Duration::ZERO..=Duration::MAX)(&scalar(text))
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(any_span("300ms").unwrap(), Duration::from_millis(300));
        assert_eq!(any_span("90d").unwrap(), Duration::from_hours(90 * 24));
        for text in
            ["", "30", "s", "1.5s", "-1s", "5 m", "5M", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(any_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_date_lasts_until_its_end() {
        let at = |text: &str| moment(&scalar(text)).map(|moment| moment.to_string()).map_err(|bad| bad.what);
        assert_eq!(at("2026-08-31").unwrap(), "2026-09-01T00:00:00.000Z");
        assert_eq!(at("2026-08-31T12:00:00+02:00").unwrap(), "2026-08-31T10:00:00.000Z");
        assert!(at("2026-08-31T12:00:00").is_err());
        assert!(at("2026-02-30").is_err());
        assert!(at("1960-01-01").is_err());
    }

    #[test]
    fn a_server_has_a_port_even_where_none_is_written() {
        let at = |text: &str| host_and_port(&scalar(text)).ok();
        assert_eq!(at("10.2.0.5"), Some(("10.2.0.5".into(), 1812)));
        assert_eq!(at("nps.example:1645"), Some(("nps.example".into(), 1645)));
        assert_eq!(at("[2001:db8::5]:99"), Some(("2001:db8::5".into(), 99)));
        assert_eq!(at("2001:db8::5"), Some(("2001:db8::5".into(), 1812)));
        for text in ["", ":1812", "a:b", "a:0", "a:70000", "a b:1", "2001:db8::5]:1812x"] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn networks_hold_no_stray_bits_and_mapped_addresses_are_ipv4() {
        let at = |text: &str| network(&scalar(text)).map(|network| network.shown()).map_err(|bad| bad.hint);
        assert_eq!(at("::ffff:10.0.0.1").unwrap(), Shown::Text("10.0.0.1".into()));
        assert_eq!(at("::ffff:10.0.0.0/120").unwrap(), Shown::Text("10.0.0.0/24".into()));
        assert_eq!(
            at("10.1.0.4/24").unwrap_err(),
            "write 10.1.0.0/24 for the network, or 10.1.0.4 for the one address"
        );
    }

    proptest! {
        #[test]
        fn a_shown_duration_is_read_back(milliseconds in 0u64..1_000_000_000_000) {
            let span = Duration::from_millis(milliseconds);
            prop_assert_eq!(any_span(&show_span(span)).unwrap(), span);
        }

        #[test]
        fn shown_text_is_toml(text in "\\PC*|.*") {
            let table: toml::Table = format!("key = {}", text.as_str().shown().toml()).parse().unwrap();
            prop_assert_eq!(table["key"].as_str(), Some(text.as_str()));
        }
    }
}
