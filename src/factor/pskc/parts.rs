//! Small parts of elements: texts, moments, and users as distinguished names.

use std::sync::Arc;

use super::xml::Element;
use crate::base::name::UserName;
use crate::base::table::Fault;
use crate::base::time::UnixTime;
use crate::factor::described;

pub(super) fn text(element: &Element, name: &str) -> Result<Option<Arc<str>>, Fault> {
    let Some(child) = element.child(name)? else { return Ok(None) };
    described::text(child.text()).map_err(|what| child.fault(what))
}

/// `UserId` is a distinguished name (RFC 6030 §4.2.1.1); of its parts UID is the login's name. Files in the field have
/// the login's name alone, too.
pub(super) fn user(element: &Element) -> Result<Option<UserName>, Fault> {
    let Some(id) = element.child("UserId")? else { return Ok(None) };
    let written = id.text();
    let name = if written.contains('=') { uid(written) } else { Some(written.to_owned()) };
    match name.filter(|name| !name.is_empty()) {
        None => Ok(None),
        Some(name) => {
            UserName::canonical(name.as_bytes()).map(Some).map_err(|fault| id.fault(fault.to_string()))
        }
    }
}

/// The UID of a distinguished name (RFC 4514), its escapes undone.
fn uid(name: &str) -> Option<String> {
    let mut parts = vec![String::new()];
    let mut letters = name.chars();
    let mut octets = Vec::new();
    let flush = |octets: &mut Vec<u8>, parts: &mut Vec<String>| {
        if let Some(part) = parts.last_mut() {
            part.push_str(&String::from_utf8_lossy(octets));
        }
        octets.clear();
    };
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                let escaped = letters.next()?;
                let second = letters.clone().next().and_then(|next| next.to_digit(16));
                if let (Some(high), Some(low)) = (escaped.to_digit(16), second) {
                    octets.push(u8::try_from(high * 16 + low).ok()?);
                    letters.next();
                } else {
                    flush(&mut octets, &mut parts);
                    parts.last_mut()?.push(escaped);
                }
            }
            ',' | '+' => {
                flush(&mut octets, &mut parts);
                parts.push(String::new());
            }
            _ => {
                flush(&mut octets, &mut parts);
                parts.last_mut()?.push(letter);
            }
        }
    }
    flush(&mut octets, &mut parts);
    parts.iter().find_map(|part| {
        let (kind, value) = part.split_once('=')?;
        kind.trim().eq_ignore_ascii_case("uid").then(|| value.trim().to_owned())
    })
}

/// A moment as XML Schema writes it; in UTC where it does not say.
pub(super) fn date(element: &Element, name: &str) -> Result<Option<UnixTime>, Fault> {
    let Some(child) = element.child(name)? else { return Ok(None) };
    let written = child.text();
    let moment = written.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil = written.parse::<jiff::civil::DateTime>().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    let moment = moment.ok_or_else(|| child.fault("is no date such as 2030-12-31T00:00:00Z"))?;
    Ok(Some(UnixTime(u64::try_from(moment.as_millisecond()).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_name_is_the_uid_of_a_distinguished_name() {
        assert_eq!(uid("UID=jsmith,DC=example-bank,DC=net").as_deref(), Some("jsmith"));
        assert_eq!(uid("CN=John\\, Smith+uid= j\\2Bs ,O=x").as_deref(), Some("j+s"));
        assert_eq!(uid("UID=zo\\C3\\AB").as_deref(), Some("zoë"));
        assert_eq!(uid("DC=example-bank,DC=net"), None);
        assert_eq!(uid("UID=a\\"), None);
    }
}
