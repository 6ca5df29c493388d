//! Pushes by the organisation's own app or chat bot: a question as signed JSON, whose answer comes back to the portal signed
//! the same way. The contract is `docs/reference/webhook.md`.
//!
//! Invariants: the number that the gateway shows is in no question; what is signed is the very body that is sent; the secret is
//! in neither; no redirect is followed.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac};
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;
use sha2::Sha256;

use super::Fault;
use super::http::Http;
use super::order::{Handed, Order, Refusal};
use super::template::Template;
use crate::base::secret::{Secret, same};
use crate::base::text::{hex, unhex};
use crate::base::time::UnixTime;
use crate::engine::asking::{Asks, Question};
use crate::engine::delivery::Message;

/// The header with the second at which something was signed.
pub const TIMESTAMP: &str = "x-radmfa-timestamp";
/// The header with the signature: `sha256=` and 64 hexadecimal digits.
pub const SIGNATURE: &str = "x-radmfa-signature";
/// The header with the device's address, as it was enrolled.
const DEVICE: &str = "x-radmfa-device";
/// What is signed may be so old, or so far ahead, when it arrives.
pub const FRESH: Duration = Duration::from_mins(1);

/// Which way something goes: neither way's signature is good for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From radmfa.
    Out,
    /// To radmfa.
    In,
}

/// How a webhook is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where questions are posted; path and query may hold `{to}`.
    pub url: Template,
    /// The certification authorities to be trusted instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// A proxy to go through.
    pub proxy: Option<String>,
}

/// One webhook, ready to be asked.
#[derive(Debug)]
pub(super) struct Webhook {
    http: Http,
    secret: Secret,
}

impl Webhook {
    pub(super) fn open(settings: &Settings, secret: Secret, timeout: Duration) -> Result<Webhook, Fault> {
        let http =
            Http::post_to(settings.url.clone(), settings.ca_file.clone(), settings.proxy.clone(), timeout)?;
        Ok(Webhook { http, secret })
    }

    /// Taken when the answer is one of success.
    pub(super) async fn send(&self, order: &Order<'_>, now: UnixTime) -> Result<Handed, Refusal> {
        let body = body(order)?;
        let timestamp = now.secs().to_string();
        let signature = sign(&self.secret, Direction::Out, &timestamp, body.as_bytes());
        let fill = |request: reqwest::RequestBuilder| {
            let address = percent(&order.delivery.to);
            request
                .header(CONTENT_TYPE, "application/json")
                .header(TIMESTAMP, &timestamp)
                .header(SIGNATURE, &signature)
                .header(DEVICE, address)
                .body(body.clone())
        };
        self.http.send_with(order, &[self.secret.expose()], fill).await
    }

    pub(super) async fn probe(&self) -> Result<String, Refusal> {
        self.http.probe().await
    }
}

/// The question as it is posted. The order of the fields is part of nothing.
#[derive(Serialize)]
struct Body<'a> {
    id: String,
    user: &'a str,
    client: &'a str,
    station: Option<&'a str>,
    server: &'a str,
    #[serde(rename = "match")]
    matching: &'static str,
    choices: Option<[u8; 3]>,
    expires: u64,
    callback: &'a str,
}

/// The JSON of a push; what an admin tries a channel with is a question that nobody waits for.
pub(super) fn body(order: &Order<'_>) -> Result<String, Refusal> {
    let question = match &order.delivery.message {
        Message::Ask(question) => Some(&**question),
        Message::Test => None,
        Message::Code { .. } | Message::Told(_) | Message::Invited { .. } => {
            return Err(Refusal("a push brings no code".to_owned()));
        }
    };
    let (matching, choices) = match question.map(|question| &question.asks) {
        Some(Asks::Approval { matching, choices }) => (matching.word(), *choices),
        None => ("none", None),
        Some(_) => return Err(Refusal("a push brings no code".to_owned())),
    };
    let nobody = "0".repeat(32);
    let body = Body {
        id: question.map_or(nobody, |question: &Question| question.reference.to_string()),
        user: order.delivery.user.as_str(),
        client: order.delivery.client.as_str(),
        station: question.and_then(|question| question.station.as_deref()),
        server: order.server,
        matching,
        choices,
        expires: question.map_or(0, |question| question.expires.secs()),
        callback: order.callback,
    };
    serde_json::to_string(&body).map_err(|_| Refusal("the question cannot be written".to_owned()))
}

/// `sha256=HEX`: HMAC-SHA-256 of the direction, the timestamp and the body, a newline between.
#[must_use]
pub fn sign(secret: &Secret, direction: Direction, timestamp: &str, body: &[u8]) -> String {
    format!("sha256={}", hex(&mac(secret, direction, timestamp, body)))
}

/// Whether `signature` is what [`sign`] makes.
#[must_use]
pub fn is_signed(
    secret: &Secret,
    direction: Direction,
    timestamp: &str,
    body: &[u8],
    signature: &str,
) -> bool {
    let digits = signature.strip_prefix("sha256=").filter(|digits| digits.len() == 64);
    let given = digits.and_then(unhex).unwrap_or_default();
    // Made in any case, so that a signature that is none takes no less time.
    same(&mac(secret, direction, timestamp, body), &given)
}

fn mac(secret: &Secret, direction: Direction, timestamp: &str, body: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes any key");
    let word: &[u8] = match direction {
        Direction::Out => b"out",
        Direction::In => b"in",
    };
    let parts = [word, b"\n", timestamp.as_bytes(), b"\n", body];
    parts.iter().fold(mac, Hmac::chain_update).finalize().into_bytes().into()
}

/// An address fit for a header: what is no plain ASCII becomes `%XX`.
fn percent(text: &str) -> String {
    let mut coded = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_graphic() && octet != b'%' {
            coded.push(char::from(octet));
        } else {
            let _infallible = write!(coded, "%{octet:02X}");
        }
    }
    coded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_direction_its_time_its_body_and_its_secret_alone() {
        let secret = Secret::from("hook-secret");
        let signature = sign(&secret, Direction::In, "1800000000", b"{}");
        // By Python: hmac.new(b"hook-secret", b"in\n1800000000\n{}", "sha256").hexdigest()
        assert_eq!(signature, "sha256=3795ffecfab1a2eb576b4600a536622de036d4b7670429c1af594ec36601e443");
        assert!(is_signed(&secret, Direction::In, "1800000000", b"{}", &signature));
        assert!(!is_signed(&secret, Direction::Out, "1800000000", b"{}", &signature));
        assert!(!is_signed(&secret, Direction::In, "1800000001", b"{}", &signature));
        assert!(!is_signed(&secret, Direction::In, "1800000000", b"{} ", &signature));
        assert!(!is_signed(&Secret::from("hook"), Direction::In, "1800000000", b"{}", &signature));
        for other in ["", "sha256=", &signature.replace("sha256=", ""), &signature[..70], "sha256=zz"] {
            assert!(!is_signed(&secret, Direction::In, "1800000000", b"{}", other), "{other}");
        }
    }

    #[test]
    fn an_address_in_a_header_breaks_no_line() {
        assert_eq!(percent("u1-phone"), "u1-phone");
        assert_eq!(percent("a b\r\né%"), "a%20b%0D%0A%C3%A9%25");
    }
}
