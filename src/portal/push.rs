//! Answers to pushes: `docs/reference/webhook.md`.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, Response};
use serde::Deserialize;

use super::reply;
use super::request::read;
use crate::engine::asking::Reference;
use crate::engine::delivery::Kind;
use crate::engine::step::Answer;
use crate::server::answers::{Answers, Outcome};

/// The answer as it is posted. Fields that are not known say nothing.
#[derive(Deserialize)]
struct Said {
    id: String,
    verdict: Verdict,
    #[serde(default)]
    number: Option<Number>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Approve,
    Deny,
    Fraud,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u32),
    Digits(String),
}

impl Said {
    fn answer(&self) -> Answer {
        match self.verdict {
            Verdict::Approve => Answer::Approved(match &self.number {
                Some(Number::Number(number)) => Some(*number),
                Some(Number::Digits(digits)) => digits.trim().parse().ok(),
                None => None,
            }),
            Verdict::Deny => Answer::Denied,
            Verdict::Fraud => Answer::Fraud,
        }
    }
}

/// Whether `octets` are such an answer.
pub(super) fn is_answer(octets: &[u8]) -> bool {
    serde_json::from_slice::<Said>(octets).is_ok_and(|said| Reference::parse(&said.id).is_some())
}

/// `POST /push/CHANNEL`
pub(super) async fn answer(
    State(answers): State<Answers>,
    Path(channel): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let Some(request) = read(request).await else { return reply::malformed() };
    let known = answers.channel(&channel).filter(|channel| channel.kind == Kind::Push);
    let secret = known.as_ref().and_then(|channel| channel.secret.as_ref());
    let (Some(known), true) = (&known, secret.is_some_and(|secret| request.is_signed(secret, answers.now())))
    else {
        answers.forged(&channel);
        return reply::forbidden();
    };
    let Ok(said) = serde_json::from_slice::<Said>(&request.body) else { return reply::malformed() };
    let Some(reference) = Reference::parse(&said.id) else { return reply::malformed() };
    match answers.sight(reference) {
        None => reply::outcome(Outcome::Late),
        // Signed by one channel for a question that another one brought.
        Some(sight) if sight.kind != Kind::Push || sight.channel.as_ref() != Some(&known.name) => {
            answers.forged(&channel);
            reply::forbidden()
        }
        Some(_) => reply::outcome(answers.answer(reference, said.answer()).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_or_a_number_and_an_unknown_verdict_is_none() {
        let read = |text: &str| serde_json::from_str::<Said>(text).ok().map(|said| said.answer());
        let of = |verdict: &str, rest: &str| read(&format!(r#"{{"id":"x","verdict":"{verdict}"{rest}}}"#));
        assert_eq!(of("approve", r#","number":"47""#), Some(Answer::Approved(Some(47))));
        assert_eq!(of("approve", r#","number":47"#), Some(Answer::Approved(Some(47))));
        assert_eq!(of("approve", r#","number":null"#), Some(Answer::Approved(None)));
        assert_eq!(of("approve", r#","number":"4 7""#), Some(Answer::Approved(None)));
        assert_eq!(of("approve", ""), Some(Answer::Approved(None)));
        assert_eq!(of("deny", r#","number":"47","more":{}"#), Some(Answer::Denied));
        assert_eq!(of("fraud", ""), Some(Answer::Fraud));
        assert_eq!(of("approved", ""), None);
        assert_eq!(of("approve", r#","number":[47]"#), None);
        assert_eq!(read("{}"), None);
    }
}
