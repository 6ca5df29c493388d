//! `type = "webhook"` of a channel.

use super::super::origin::Origin;
use super::super::reader::Reader;
use super::super::tree::Scalar;
use super::super::value::{self, Bad, Parsed};
use super::{ca_file, only};
use crate::delivery::http::fixed_url;
use crate::delivery::template::{Slot, Template};
use crate::delivery::webhook::Settings;
use crate::engine::delivery::Kind;

/// Reads what a channel of `type = "webhook"` is told.
pub(super) fn decode(reader: &mut Reader<'_>, kind: Kind) -> Option<Settings> {
    only(reader, "webhook", &["url", "ca-file", "proxy"]);
    if kind != Kind::Push {
        let origin = reader.origin_of("type").unwrap_or(reader.origin());
        reader.fault(origin, "type", format!("a webhook brings pushes, not {kind}"), "kind = \"push\"");
    }
    reader.demand("url");
    let url = reader.find("url", template);
    if let Some(url) = &url {
        reader.record("url", url.value.written(), &Origin::Default);
        let fixed = fixed_url(&url.value);
        match &fixed {
            Err(fault) => {
                reader.fault(&url.origin, "url", fault.to_string(), "such as https://bot.example.com/push");
            }
            Ok(fixed) if fixed.scheme() == "http" && !is_here(fixed.host_str().unwrap_or_default()) => {
                reader.warn(
                    &url.origin,
                    "url",
                    "who logs in, and from where, is sent unencrypted",
                    "use https://, or a webhook on this machine",
                );
            }
            Ok(_) => {}
        }
        fixed.ok()?;
    }
    let ca_file = ca_file(reader);
    let proxy = reader.find("proxy", value::text).map(|found| found.value);
    if let Some(proxy) = &proxy {
        reader.record("proxy", proxy, &Origin::Default);
    }
    Some(Settings { url: url?.value, ca_file, proxy })
}

pub(super) fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn template(scalar: &Scalar) -> Parsed<Template> {
    let text = value::text(scalar)?;
    Template::parse(&text, &[Slot::To])
        .map_err(|fault| Bad::new(fault.to_string(), "there is {to}, the device's address"))
}
