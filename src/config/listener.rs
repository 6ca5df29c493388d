//! What `[portal]` and `[admin]` have in common: a listener with pages, its certificate, and the proxies before it.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::origin::Origin;
use super::reader::Reader;
use super::schema::{Key, Kind, key};
use super::tree::Scalar;
use super::value::{self, Bad, Parsed};
use crate::portal::Settings;
use crate::portal::tls::Files;

pub(super) const TLS_CERTIFICATE: Key =
    key("tls-certificate", Kind::One, "FILE", "its certificate and those above it, PEM (plain HTTP)");
pub(super) const TLS_KEY: Key = key("tls-key", Kind::One, "FILE", "the certificate's key, PEM");
pub(super) const PROXIES: Key = key(
    "proxies",
    Kind::List,
    "ADDRESS[/LENGTH]",
    "reverse proxies whose X-Forwarded-For says where a request came from (none)",
);

/// What a listener is told, whose address `read` reads; `None` where there is none.
pub(super) fn decode(reader: &mut Reader<'_>, read: fn(&Scalar) -> Parsed<SocketAddr>) -> Option<Settings> {
    let listen = reader.find("listen", read).map(|found| found.value);
    let public = reader.find("public-url", url);
    let certificate = file(reader, "tls-certificate");
    let key = file(reader, "tls-key");
    let proxies = reader.find_list("proxies", value::network).unwrap_or_default();
    let Some(listen) = listen else {
        if reader.origin_of("listen").is_none()
            && let Some(origin) = ["public-url", "tls-certificate", "tls-key", "proxies", "add-phone"]
                .iter()
                .find_map(|key| reader.origin_of(key))
        {
            reader.fault(origin, "listen", "missing: it listens nowhere", "such as 127.0.0.1:8443");
        }
        return None;
    };
    reader.record("listen", &listen, &Origin::Default);
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Files { certificate, key }),
        (None, None) => None,
        _ => {
            let origin = reader.origin_of("tls-certificate").or(reader.origin_of("tls-key"));
            let origin = origin.unwrap_or(reader.origin());
            reader.fault(origin, "tls-key", "tls-certificate and tls-key go together", "");
            None
        }
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let said = public.is_some();
    let public_url = public.map_or_else(|| format!("{scheme}://{listen}"), |found| found.value);
    reader.record("public-url", &public_url, &Origin::Default);
    let proxies: Vec<IpNet> = proxies.iter().map(|found| found.value).collect();
    reader.record("proxies", &proxies, &Origin::Default);
    warn(reader, listen, tls.is_some(), said, &public_url);
    Some(Settings { listen, public_url: public_url.into(), tls, proxies: proxies.into(), adds_phones: false })
}

fn warn(reader: &mut Reader<'_>, listen: SocketAddr, tls: bool, said: bool, public_url: &str) {
    let origin = reader.origin_of("listen").unwrap_or(reader.origin());
    if !said && (listen.ip().is_unspecified() || listen.port() == 0) {
        let hint = "say how it is reached: public-url = \"https://mfa.example.com\"";
        reader.fault(origin, "public-url", format!("missing: nobody can be sent to {listen}"), hint);
    }
    if !tls && !listen.ip().is_loopback() && !public_url.starts_with("https://") {
        let hint =
            "give it a certificate (tls-certificate, tls-key), or let it listen on 127.0.0.1 behind a proxy";
        reader.warn(origin, "listen", "answers come in unencrypted", hint);
    }
}

fn file(reader: &mut Reader<'_>, key: &'static str) -> Option<PathBuf> {
    let found = reader.find(key, value::path)?;
    reader.record(key, &found.value, &Origin::Default);
    if let Err(error) = std::fs::File::open(&found.value) {
        let what = format!("{} cannot be read: {error}", found.value.display());
        reader.fault(&found.origin, key, what, "check the path and who may read the file");
    }
    Some(found.value)
}

/// Scheme, host and port perhaps.
pub(super) fn url(scalar: &Scalar) -> Parsed<String> {
    let text = value::text(scalar)?;
    let text = text.trim_end_matches('/');
    let host = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-.:[]".contains(&octet);
    match host {
        Some(host) if !host.is_empty() && host.len() <= 253 && host.bytes().all(plain) => Ok(text.to_owned()),
        _ => Err(Bad::new(
            format!("takes https:// or http:// and a host, not {}", value::said(scalar)),
            "such as https://mfa.example.com",
        )),
    }
}
