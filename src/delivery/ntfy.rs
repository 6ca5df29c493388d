//! `type = "ntfy"`: pushes by any ntfy server, the organisation's own or another, to its app.
//!
//! Whoever runs the server reads what it carries, so no message names anybody: it has buttons, each good for one question and once
//! ([`super::actions`]). Where a number has to be typed the button opens the portal's page. Invariants: a topic is 128 random bits; the
//! number that the gateway shows is in no message; no redirect is followed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use super::Fault;
use super::actions::{Act, Actions};
use super::http::{self, BodyType, Http, Verb};
use super::order::{Handed, Order, Refusal};
use super::template::Template;
use crate::base::messages::Language;
use crate::base::secret::Secret;
use crate::base::text::hex;
use crate::engine::asking::{Asks, Matching, Question};
use crate::engine::delivery::Message;

/// How an ntfy server is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its URL, without a topic.
    pub url: Template,
    /// Its access token.
    pub token: Option<Secret>,
    /// The certification authorities to be trusted instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// A proxy to go through.
    pub proxy: Option<String>,
}

/// What a topic begins with, so that its owner knows it among others.
const PREFIX: &str = "radmfa-";

/// A new topic, which nobody can guess.
#[must_use]
pub fn topic(octets: [u8; 16]) -> String {
    format!("{PREFIX}{}", hex(&octets))
}

/// Whether `text` is what [`topic`] makes.
#[must_use]
pub fn is_drawn(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX).unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|octet| octet.is_ascii_hexdigit())
}

/// Whether `text` can be a topic (ntfy's own rule).
fn is_topic(text: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// One ntfy server, ready to be asked.
#[derive(Debug)]
pub(super) struct Ntfy {
    http: Http,
    actions: Arc<Actions>,
    token: Option<Secret>,
}

impl Ntfy {
    pub(super) fn open(settings: &Settings, actions: Arc<Actions>, timeout: Duration) -> Result<Ntfy, Fault> {
        let asked = http::Settings {
            method: Verb::Post,
            url: settings.url.clone(),
            headers: Vec::new(),
            body: None,
            body_type: BodyType::Json,
            username: None,
            password: None,
            token: settings.token.clone(),
            token_scheme: "Bearer".to_owned(),
            ok_status: vec![(200, 299)],
            ok_body: Vec::new(),
            reference: super::answer::Pointer::parse("/id"),
            ca_file: settings.ca_file.clone(),
            proxy: settings.proxy.clone(),
        };
        Ok(Ntfy { http: Http::open(asked, timeout)?, actions, token: settings.token.clone() })
    }

    pub(super) async fn send(&self, order: &Order<'_>) -> Result<Handed, Refusal> {
        let (body, tokens) = self.message(order)?;
        let mut secrets: Vec<&[u8]> = tokens.iter().map(String::as_bytes).collect();
        // Answers repeat the message, and whoever knows the topic reads what comes there.
        secrets.push(order.delivery.to.as_bytes());
        secrets.extend(self.token.as_ref().map(Secret::expose));
        let fill = |request: reqwest::RequestBuilder| {
            request.header(CONTENT_TYPE, "application/json").body(body.to_string())
        };
        self.http.send_with(order, &secrets, fill).await
    }

    pub(super) async fn probe(&self) -> Result<String, Refusal> {
        self.http.probe().await
    }

    /// What is published (ntfy's JSON), and the tokens in it.
    fn message(&self, order: &Order<'_>) -> Result<(serde_json::Value, Vec<String>), Refusal> {
        let refused = |what: &str| Err(Refusal(what.to_owned()));
        if !is_topic(&order.delivery.to) {
            return refused("the device's address is no topic of ntfy");
        }
        let topic = &*order.delivery.to;
        let language = Language::find(&order.rendered.language).unwrap_or_default();
        let question = match &order.delivery.message {
            Message::Ask(question) => &**question,
            Message::Test => {
                let text = language.say("ntfy.test");
                return Ok((json!({ "topic": topic, "title": "radmfa", "message": text }), Vec::new()));
            }
            Message::Code { .. } | Message::Told(_) | Message::Invited { .. } => {
                return refused("a push brings no code");
            }
        };
        let Asks::Approval { matching, .. } = question.asks else { return refused("a push brings no code") };
        if order.portal.is_empty() {
            return refused("there is no portal that a button could lead to");
        }
        let page = self.link(order, question, Act::Open);
        let deny = self.link(order, question, Act::Deny);
        let press = |label: &str, url: &str| json!({ "action": "http", "label": label, "url": url, "method": "POST", "clear": true });
        let refuse = press(language.say("ntfy.deny"), &deny);
        let (text, actions, tokens) = if matching == Matching::None && !question.passkey {
            let approve = self.link(order, question, Act::Approve);
            let actions = json!([press(language.say("ntfy.approve"), &approve), refuse]);
            (language.say("ntfy.mine"), actions, vec![approve, deny])
        } else {
            let label = language.say("ntfy.open");
            let open = json!({ "action": "view", "label": label, "url": page, "clear": true });
            let text = language.say(if matching == Matching::None { "ntfy.look" } else { "ntfy.number" });
            (text, json!([open, refuse]), vec![deny])
        };
        let body = json!({
            "topic": topic, "title": language.say("ntfy.title"), "message": text, "priority": 5, "tags": ["key"], "click": page, "actions": actions,
        });
        Ok((body, tokens.into_iter().chain([page]).collect()))
    }

    /// Where a button leads.
    fn link(&self, order: &Order<'_>, question: &Question, act: Act) -> String {
        let token = self.actions.token(question.reference, act);
        // A page is shown to whoever opens it; a button is pressed by the app.
        let path = if act == Act::Open { "a" } else { "device/api/act" };
        format!("{}/{path}/{token}", order.portal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_one_of_ntfy_and_what_would_lead_elsewhere_is_none() {
        let made = topic([0xab; 16]);
        assert_eq!(made, format!("radmfa-{}", "ab".repeat(16)));
        assert!(is_topic(&made) && is_drawn(&made) && !is_drawn("radmfa-phones"));
        for text in ["", "a/b", "a b", "é", "../x", &"x".repeat(65)] {
            assert!(!is_topic(text), "{text}");
        }
    }
}
