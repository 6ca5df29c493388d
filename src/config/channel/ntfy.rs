//! `type = "ntfy"` of a channel.

use super::super::origin::Origin;
use super::super::reader::Reader;
use super::super::tree::Scalar;
use super::super::value::{self, Bad, Parsed};
use super::webhook::is_here;
use super::{ca_file, credential, only};
use crate::delivery::http::fixed_url;
use crate::delivery::ntfy::Settings;
use crate::delivery::template::Template;
use crate::engine::delivery::Kind;

/// Reads what a channel of `type = "ntfy"` is told.
pub(super) fn decode(reader: &mut Reader<'_>, kind: Kind) -> Option<Settings> {
    only(reader, "ntfy", &["url", "token", "ca-file", "proxy"]);
    if kind != Kind::Push {
        let origin = reader.origin_of("type").unwrap_or(reader.origin());
        reader.fault(origin, "type", format!("ntfy brings pushes, not {kind}"), "kind = \"push\"");
    }
    reader.demand("url");
    let url = reader.find("url", template);
    if let Some(url) = &url {
        reader.record("url", url.value.written(), &Origin::Default);
        match fixed_url(&url.value) {
            Ok(fixed) if fixed.path() == "/" && fixed.query().is_none() => {
                if fixed.scheme() == "http" && !is_here(fixed.host_str().unwrap_or_default()) {
                    let hint = "use https://: whoever reads a message can press its buttons";
                    reader.warn(&url.origin, "url", "pushes are sent unencrypted", hint);
                }
            }
            Ok(_) => {
                let hint = "such as https://ntfy.example.com: each device has a topic of its own";
                reader.fault(&url.origin, "url", "takes the server alone, without a topic", hint);
                return None;
            }
            Err(fault) => {
                reader.fault(&url.origin, "url", fault.to_string(), "such as https://ntfy.example.com");
                return None;
            }
        }
    }
    let token = credential(reader, "token");
    let ca_file = ca_file(reader);
    let proxy = reader.find("proxy", value::text).map(|found| found.value);
    if let Some(proxy) = &proxy {
        reader.record("proxy", proxy, &Origin::Default);
    }
    Some(Settings { url: url?.value, token, ca_file, proxy })
}

/// A URL without places.
fn template(scalar: &Scalar) -> Parsed<Template> {
    let text = value::text(scalar)?;
    Template::parse(&text, &[]).map_err(|fault| {
        Bad::new(fault.to_string(), "nothing is filled in: each device has a topic of its own")
    })
}
