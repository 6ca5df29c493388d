//! A request as it is read, and what it proves.
//!
//! Invariant: no more of a body is read than it may have, and no longer than a caller may take; each proof is compared in
//! constant time.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, Uri};
use base64::Engine as _;
use tokio::time::timeout;

use crate::base::secret::{Secret, same};
use crate::base::time::UnixTime;
use crate::delivery::webhook::{Direction, FRESH, SIGNATURE, TIMESTAMP, is_signed};

/// The longest body, in octets.
pub(super) const BODY_MAX: usize = 16 * 1024;
/// How long it may take.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// A request that was read whole.
pub(super) struct Read {
    pub(super) headers: HeaderMap,
    pub(super) uri: Uri,
    pub(super) body: Bytes,
}

/// Reads it; `None` where it is too long or too slow.
pub(super) async fn read(request: Request<Body>) -> Option<Read> {
    let (head, body) = request.into_parts();
    let body = timeout(BODY_WITHIN, to_bytes(body, BODY_MAX)).await.ok()?.ok()?;
    Some(Read { headers: head.headers, uri: head.uri, body })
}

impl Read {
    /// Whether it is signed under `secret`, of late.
    pub(super) fn is_signed(&self, secret: &Secret, now: UnixTime) -> bool {
        let header = |name| self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (timestamp, signature) = (header(TIMESTAMP), header(SIGNATURE));
        let plain = timestamp.len() <= 12 && timestamp.bytes().all(|octet| octet.is_ascii_digit());
        let at = timestamp.parse::<u64>().ok().filter(|_| plain).map(UnixTime::from_secs);
        let fresh = at.is_some_and(|at| at.since(now).max(now.since(at)) <= FRESH);
        is_signed(secret, Direction::In, timestamp, &self.body, signature) && fresh
    }

    /// Whether it shows `token`: as a bearer's, as the password of basic authentication, or in the query.
    pub(super) fn shows(&self, token: &Secret) -> bool {
        let header =
            self.headers.get(axum::http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, rest) = header.and_then(|header| header.split_once(' ')).unwrap_or_default();
        let shown = if scheme.eq_ignore_ascii_case("bearer") {
            rest.trim().as_bytes().to_vec()
        } else if scheme.eq_ignore_ascii_case("basic") {
            let pair = base64::engine::general_purpose::STANDARD.decode(rest.trim()).unwrap_or_default();
            let colon = pair.iter().position(|octet| *octet == b':');
            colon.and_then(|colon| pair.get(colon + 1..)).unwrap_or_default().to_vec()
        } else {
            let query = form(self.uri.query().unwrap_or_default().as_bytes());
            query
                .into_iter()
                .find(|(name, _)| name == "token")
                .map(|(_, token)| token.into_bytes())
                .unwrap_or_default()
        };
        same(&shown, token.expose())
    }

    /// The fields of the form that its body is.
    pub(super) fn form(&self) -> Vec<(String, String)> {
        form(&self.body)
    }

    /// The named values of a JSON object, a form or the query, whichever there is.
    pub(super) fn fields(&self) -> Vec<(String, String)> {
        let json = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&self.body).ok();
        let mut fields: Vec<(String, String)> = match json {
            Some(object) => object
                .into_iter()
                .filter_map(|(name, value)| match value {
                    serde_json::Value::String(text) => Some((name, text)),
                    serde_json::Value::Number(number) => Some((name, number.to_string())),
                    _ => None,
                })
                .collect(),
            None => form(&self.body),
        };
        fields.extend(form(self.uri.query().unwrap_or_default().as_bytes()));
        fields
    }
}

/// The first of `names` that is among `fields`, in either case.
pub(super) fn field<'a>(fields: &'a [(String, String)], names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|wanted| {
        fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
    })
}

/// `application/x-www-form-urlencoded`, or nothing.
pub(super) fn form(octets: &[u8]) -> Vec<(String, String)> {
    let Ok(text) = std::str::from_utf8(octets) else { return Vec::new() };
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .take(64)
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// `%XX` and `+` as what they stand for; what is neither stays.
pub(super) fn decoded(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped =
            digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
        octets.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str, headers: &[(&str, &str)], body: &str) -> Read {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(axum::http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        Read { headers: map, uri: uri.parse().unwrap(), body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn a_token_is_shown_in_three_ways_and_no_part_of_it_in_any() {
        let token = Secret::from("t0ken+with/signs");
        let basic = |password: &str| {
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("any:{password}")))
        };
        assert!(read("/", &[("authorization", "bearer t0ken+with/signs")], "").shows(&token));
        assert!(read("/", &[("authorization", &basic("t0ken+with/signs"))], "").shows(&token));
        assert!(read("/?a=b&token=t0ken%2Bwith%2Fsigns", &[], "").shows(&token));
        for (uri, header) in [
            ("/", "Bearer "),
            ("/", "Bearer t0ken"),
            ("/", "Basic !"),
            ("/?token=", "x"),
            ("/?token=t0ken+with/signs", ""),
        ] {
            assert!(!read(uri, &[("authorization", header)], "").shows(&token), "{uri} {header}");
        }
        assert!(!read("/", &[], "").shows(&token));
    }

    #[test]
    fn fields_are_read_from_json_a_form_and_the_query() {
        let read_field =
            |uri, body| field(&read(uri, &[], body).fields(), &["From", "msisdn"]).map(str::to_owned);
        assert_eq!(read_field("/", r#"{"from":"+36301234567"}"#).as_deref(), Some("+36301234567"));
        assert_eq!(read_field("/", r#"{"msisdn":36301234567}"#).as_deref(), Some("36301234567"));
        assert_eq!(read_field("/", "Body=a&From=%2B36").as_deref(), Some("+36"));
        assert_eq!(read_field("/?from=x", "").as_deref(), Some("x"));
        assert_eq!(read_field("/", "[1]"), None);
        assert_eq!(decoded("a%zz%4"), "a%zz%4");
    }

    #[test]
    fn a_signature_is_fresh_for_a_minute_to_either_side() {
        use crate::delivery::webhook::sign;
        let secret = Secret::from("hook-secret");
        let signed = |timestamp: &str| {
            let signature = sign(&secret, Direction::In, timestamp, b"{}");
            let headers = [(TIMESTAMP, timestamp), (SIGNATURE, signature.as_str())];
            read("/", &headers, "{}").is_signed(&secret, UnixTime::from_secs(1000))
        };
        assert!(signed("1000") && signed("940") && signed("1060"));
        for other in ["939", "1061", "", "-1000", "+1000", "1e3", " 1000", "9999999999999"] {
            assert!(!signed(other), "{other}");
        }
    }
}
