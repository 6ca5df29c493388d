//! `type = "web"`: pushes to a web page on the user's phone (Web Push: RFC 8030, 8291, 8292). The browser's maker runs the service that
//! carries them, and can read nothing of them.
//!
//! What is sent is the question's name, and nothing that names a user: the page asks for the rest with its device's key
//! (`portal/device`). Invariants: see [`places`] for where anything is posted to; a subscription that its service does not know any more
//! takes its device back; who wants a rest gets it (`rests`).

pub mod encrypt;
pub mod places;
mod rests;
pub mod subscription;
pub mod vapid;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use p256::SecretKey;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};

use super::http::{client, place, read};
use super::order::{Handed, Order, Refusal, one_line};
use super::{Fault, Gone, Means};
use crate::base::system::{Entropy, random};
use crate::base::time::UnixTime;
use crate::engine::asking::Question;
use crate::engine::delivery::Message;
use places::{Places, Resolver};
use rests::Rests;
use subscription::Subscription;
use vapid::Vapid;

/// Whatever waits for the phone at the service, a newer message takes its place (RFC 8030 §5.4).
const TOPIC: &str = "radmfa-login";

/// How pushes go out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The services that may be posted to.
    pub places: Places,
    /// The certification authorities to be trusted instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// A proxy to go through.
    pub proxy: Option<String>,
}

/// The way to push services, ready to be asked.
pub(super) struct WebPush {
    places: Places,
    client: Client,
    timeout: Duration,
    /// A command that tries channels has none: nobody else may push.
    vapid: Option<Vapid>,
    entropy: Arc<Mutex<dyn Entropy + Send>>,
    gone: Arc<dyn Fn(Gone) + Send + Sync>,
    rests: Mutex<Rests>,
}

impl WebPush {
    pub(super) fn open(settings: &Settings, timeout: Duration, means: &Means) -> Result<WebPush, Fault> {
        let places = Arc::new(Resolver(settings.places.clone()));
        let client = client(settings.proxy.as_deref(), settings.ca_file.as_deref(), timeout, |builder| {
            builder.https_only(true).dns_resolver(places)
        })?;
        Ok(WebPush {
            places: settings.places.clone(),
            client,
            timeout,
            vapid: means.vapid.clone(),
            entropy: Arc::clone(&means.entropy),
            gone: Arc::clone(&means.gone),
            rests: Mutex::default(),
        })
    }

    pub(super) async fn send(&self, order: &Order<'_>, now: UnixTime) -> Result<Handed, Refusal> {
        let question = match &order.delivery.message {
            Message::Ask(question) => Some(&**question),
            Message::Test => None,
            Message::Code { .. } | Message::Told(_) | Message::Invited { .. } => {
                return Err(Refusal("a push brings no code".to_owned()));
            }
        };
        let refused = |what: &str| Refusal(what.to_owned());
        let vapid = self.vapid.as_ref().ok_or_else(|| refused("only a running server pushes to browsers"))?;
        let subscription = Subscription::parse(&order.delivery.to)
            .ok_or_else(|| refused("the device's address is no subscription of a browser"))?;
        let url = self.places.admit(&subscription.endpoint).ok_or_else(|| {
            refused("the device's endpoint is at none of the push-services that are listed")
        })?;
        let origin = url.origin().ascii_serialization();
        if let Some(left) = self.rests().left(&url, now) {
            return Err(Refusal(format!("{} wants no pushes for another {} s", place(&url), left.as_secs())));
        }
        let body = self
            .sealed(question, &subscription)
            .ok_or_else(|| refused("the message cannot be encrypted for this browser"))?;
        let contact = Some(order.from).filter(|from| !from.is_empty()).or(Some(order.portal));
        let contact =
            contact.filter(|contact| contact.starts_with("https://") || contact.starts_with("mailto:"));
        let ttl = question.map_or(Duration::from_mins(1), |question| question.expires.since(now));
        let request = self
            .client
            .post(url.clone())
            .timeout(self.timeout)
            .header(AUTHORIZATION, vapid.authorization(&origin, contact, now))
            .header(CONTENT_ENCODING, "aes128gcm")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header("ttl", ttl.as_secs())
            .header("urgency", "high")
            .header("topic", TOPIC)
            .body(body);
        let response = request.send().await.map_err(|fault| unreachable(&url, &fault))?;
        let status = response.status();
        if status.is_success() {
            return Ok(Handed { reference: None, answer: format!("{}: {}", place(&url), status.as_u16()) });
        }
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                if let Some(device) = question.and_then(|question| question.device.as_ref()) {
                    (self.gone)(Gone { user: order.delivery.user.clone(), device: device.id });
                }
                Err(Refusal(format!(
                    "{} does not know the browser any more ({}); the device is taken back",
                    place(&url),
                    status.as_u16()
                )))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let whole = status == StatusCode::SERVICE_UNAVAILABLE;
                let rest = self.rests().wanted(&url, whole, retry_after(response.headers()), now).as_secs();
                let (place, status) = (place(&url), status.as_u16());
                let whom = if whole { "it" } else { "this browser" };
                Err(Refusal(format!("{place} answered {status}; {whom} is left alone for {rest} s")))
            }
            _ => {
                let said = read(response).await.map(|body| order.scrub(&body, &[])).unwrap_or_default();
                let redirected = if status.is_redirection() { " (redirects are not followed)" } else { "" };
                Err(Refusal(format!("{} answered {}{redirected}: {said}", place(&url), status.as_u16())))
            }
        }
    }

    /// Nobody can be asked without an endpoint.
    pub(super) fn probe() -> String {
        "nothing to try: each browser names its own push service".to_owned()
    }

    /// What the page is told, encrypted for its browser.
    fn sealed(&self, question: Option<&Question>, to: &Subscription) -> Option<Vec<u8>> {
        let id = question.map(|question| question.reference.to_string());
        let plain = serde_json::json!({ "id": id }).to_string();
        let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        let own = loop {
            // All but one in 2³² draws is a key.
            if let Ok(key) = SecretKey::from_slice(&*zeroize::Zeroizing::new(random::<32>(&mut *entropy))) {
                break key;
            }
        };
        encrypt::encrypt(plain.as_bytes(), to, &own, random(&mut *entropy))
    }

    fn rests(&self) -> MutexGuard<'_, Rests> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a service says in seconds; a date is not read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    said.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs)
}

fn unreachable(url: &Url, fault: &reqwest::Error) -> Refusal {
    if fault.is_timeout() {
        return Refusal(format!("{} did not answer in time", place(url)));
    }
    // Only the causes: the error itself names the URL, and its path is as good as a password at some services.
    Refusal(format!("{} cannot be asked: {}", place(url), one_line(&super::http::causes(fault))))
}
