//! `type = "web"` of a channel.

use super::super::origin::Origin;
use super::super::reader::Reader;
use super::super::tree::Scalar;
use super::super::value::{self, Bad, Parsed};
use super::{ca_file, only};
use crate::delivery::web_push::Settings;
use crate::delivery::web_push::places::{KNOWN, Place, Places};
use crate::engine::delivery::Kind;

/// Reads what a channel of `type = "web"` is told.
pub(super) fn decode(reader: &mut Reader<'_>, kind: Kind) -> Settings {
    only(reader, "web", &["push-services", "ca-file", "proxy"]);
    if kind != Kind::Push {
        let origin = reader.origin_of("type").unwrap_or(reader.origin());
        reader.fault(origin, "type", format!("a web page is pushed to, not {kind}"), "kind = \"push\"");
    }
    let places = if let Some(found) = reader.find_list("push-services", place) {
        let shown: Vec<String> = found.iter().map(|found| found.value.0.clone()).collect();
        reader.record("push-services", &shown, &Origin::Default);
        Places::new(found.into_iter().map(|found| found.value.1).collect())
    } else {
        reader.record_list("push-services", KNOWN.iter().map(|text| (*text).to_owned()));
        Places::known()
    };
    let ca_file = ca_file(reader);
    let proxy = reader.find("proxy", value::text).map(|found| found.value);
    if let Some(proxy) = &proxy {
        reader.record("proxy", proxy, &Origin::Default);
    }
    Settings { places, ca_file, proxy }
}

fn place(scalar: &Scalar) -> Parsed<(String, Place)> {
    let text = value::text(scalar)?;
    let place = Place::parse(&text).ok_or_else(|| {
        Bad::new(
            format!(
                "takes a host, *.domain, or an address or block of one's own, not {}",
                value::said(scalar)
            ),
            "such as push.example.com, push.example.com:8443, *.push.example.com or 10.1.0.7",
        )
    })?;
    Ok((text, place))
}
