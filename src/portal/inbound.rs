//! What providers bring: text messages that users sent, and keys that they pressed in a call.
//!
//! Providers name things each in their own way, so each value goes by any of several names; some sign in their own way too
//! (`inbound/provider.rs`). A text is its user's by the number
//! that it came from, which must be the one that the question went to, and by the code in it.

mod provider;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, Response, Uri};

use self::provider::{TWILIO, is_twilios, is_vonages};
use super::reply;
use super::request::{Read, field, read};
use crate::base::phone::Phone;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::delivery::settings::Signer;
use crate::engine::asking::Reference;
use crate::engine::delivery::Kind;
use crate::engine::step::Answer;
use crate::server::answers::{Answers, Outcome};

/// Who sent a text.
const FROM: &[&str] = &["from", "msisdn", "originator", "sender", "source", "fromNumber"];
/// What it says.
const TEXT: &[&str] = &["text", "body", "message", "content", "payload", "moText"];
/// Which question a call asked.
const ID: &[&str] = &["id", "reference"];
/// What was keyed in.
const DIGITS: &[&str] = &["digits", "dtmf", "keys", "key"];

/// `/sms/CHANNEL`
pub(super) async fn text(
    State(answers): State<Answers>,
    Extension(reached): Extension<Reached>,
    Path(channel): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let Some(request) = read(request).await else { return reply::malformed() };
    if !is_proven(&answers, &reached, &channel, Kind::Sms, &request) {
        return reply::forbidden();
    }
    let fields = request.fields();
    let (Some(from), Some(text)) = (field(&fields, FROM), field(&fields, TEXT)) else {
        return reply::malformed();
    };
    let Some(number) = number(from) else { return reply::malformed() };
    let mut outcome = Outcome::Late;
    for reference in answers.questions_to(&number) {
        if answers.sight(reference).is_some_and(|sight| sight.kind == Kind::Sms) {
            let one = answers.answer(reference, Answer::Typed(Secret::from(text))).await;
            outcome = if outcome == Outcome::Taken { outcome } else { one };
        }
    }
    reply::outcome(outcome)
}

/// `/voice/CHANNEL`
pub(super) async fn call(
    State(answers): State<Answers>,
    Extension(reached): Extension<Reached>,
    Path(channel): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let Some(request) = read(request).await else { return reply::malformed() };
    if !is_proven(&answers, &reached, &channel, Kind::Voice, &request) {
        return reply::forbidden();
    }
    let fields = request.fields();
    let Some(reference) = field(&fields, ID).and_then(Reference::parse) else { return reply::malformed() };
    let answer = match (field(&fields, &["verdict"]), field(&fields, DIGITS)) {
        (Some("deny"), _) => Answer::Denied,
        (Some("fraud"), _) => Answer::Fraud,
        (None, Some(digits)) => Answer::Typed(Secret::from(keyed(digits, &fields).as_str())),
        _ => return reply::malformed(),
    };
    match answers.sight(reference) {
        Some(sight) if sight.kind == Kind::Voice => reply::outcome(answers.answer(reference, answer).await),
        _ => reply::outcome(Outcome::Late),
    }
}

/// What was keyed in, with the `#` that ended it where the provider says so apart.
fn keyed(digits: &str, fields: &[(String, String)]) -> String {
    let digits = digits.trim();
    let ended = field(fields, &["finishedOnKey"]).is_some_and(|key| key.trim() == "#");
    if ended && !digits.ends_with('#') { format!("{digits}#") } else { digits.to_owned() }
}

/// An international number, as most providers write it: with `+`, with `00`, or the digits alone.
fn number(from: &str) -> Option<String> {
    let from = from.trim();
    let digits = from.bytes().all(|octet| octet.is_ascii_digit()) && !from.starts_with("00");
    let written = if digits { format!("+{from}") } else { from.to_owned() };
    Phone::parse(&written).ok().map(|phone| phone.number().to_owned())
}

fn is_proven(answers: &Answers, reached: &Reached, channel: &str, kind: Kind, request: &Read) -> bool {
    let known = answers.channel(channel).filter(|channel| channel.kind == kind);
    let proven = known.is_some_and(|channel| {
        let own = channel.secret.is_some_and(|secret| request.is_signed(&secret, answers.now()));
        let theirs = channel
            .signer
            .is_some_and(|(signer, secret)| reached.is_signed(signer, &secret, request, answers.now()));
        own | theirs | channel.inbound_token.is_some_and(|token| request.shows(&token))
    });
    if !proven {
        answers.forged(channel);
    }
    proven
}

/// How providers reach the portal: scheme, host and port, as they sign it.
#[derive(Clone, Debug)]
pub(super) struct Reached(pub(super) Arc<str>);

impl Reached {
    /// Whether a request is signed as its provider signs.
    fn is_signed(&self, signer: Signer, secret: &Secret, request: &Read, now: UnixTime) -> bool {
        let header =
            |name| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match signer {
            Signer::Twilio => {
                let signature = header(TWILIO);
                let fields = request.form();
                self.urls(&request.uri).iter().any(|url| is_twilios(secret, url, &fields, signature))
            }
            Signer::Vonage => {
                let token = header("authorization").strip_prefix("Bearer ").unwrap_or_default();
                is_vonages(secret, token, &request.body, now)
            }
        }
    }

    /// The URL that was called, as it is signed: with the port that it goes to anyway, or without.
    fn urls(&self, uri: &Uri) -> [String; 2] {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let base = self.0.trim_end_matches('/');
        let (host, port) = match base.split_once("://") {
            Some(("http", host)) => (host, ":80"),
            Some((_, host)) => (host, ":443"),
            None => (base, ""),
        };
        let says_port =
            host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|octet| octet.is_ascii_digit()));
        let port = if says_port { "" } else { port };
        [format!("{base}{path}"), format!("{base}{port}{path}")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_providers_write_them() {
        for text in ["+36301234567", "36301234567", "0036301234567", " +36 30 123 4567 "] {
            assert_eq!(number(text).as_deref(), Some("+36301234567"), "{text}");
        }
        for text in ["", "radmfa", "0", "+", "12", "tel:+36301234567"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn the_key_that_ended_the_digits_is_part_of_them() {
        let fields = |key: &str| vec![("FinishedOnKey".to_owned(), key.to_owned())];
        assert_eq!(keyed("", &fields("#")), "#");
        assert_eq!(keyed("2580", &fields("#")), "2580#");
        assert_eq!(keyed("2580#", &fields("#")), "2580#");
        assert_eq!(keyed("0", &fields("")), "0");
        assert_eq!(keyed(" # ", &[]), "#");
    }

    #[test]
    fn a_url_is_tried_with_the_port_that_it_goes_to_anyway() {
        let urls = |base: &str| Reached(base.into()).urls(&"/sms/sink?a=b".parse().unwrap());
        let both = ["https://mfa.example.com/sms/sink?a=b", "https://mfa.example.com:443/sms/sink?a=b"];
        assert_eq!(urls("https://mfa.example.com"), both);
        assert_eq!(urls("https://mfa.example.com/"), both);
        let own = "http://127.0.0.1:8443/sms/sink?a=b";
        assert_eq!(urls("http://127.0.0.1:8443"), [own, own]);
    }
}
