//! What callers are answered: a status and a word, the same for everybody who has proved nothing.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};

use crate::server::answers::Outcome;

/// 204, or a status with `{"error": WORD}`.
pub(super) fn of(status: StatusCode, word: &'static str) -> Response<Body> {
    let body =
        if word.is_empty() { Body::empty() } else { Body::from(format!("{{\"error\":\"{word}\"}}\n")) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if !word.is_empty() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

/// For whoever has proved nothing.
pub(super) fn forbidden() -> Response<Body> {
    of(StatusCode::FORBIDDEN, "forbidden")
}

/// For what is no answer.
pub(super) fn malformed() -> Response<Body> {
    of(StatusCode::BAD_REQUEST, "malformed")
}

/// What became of an answer.
pub(super) fn outcome(outcome: Outcome) -> Response<Body> {
    match outcome {
        Outcome::Taken => of(StatusCode::NO_CONTENT, ""),
        Outcome::Late => of(StatusCode::CONFLICT, "answer-late"),
        Outcome::NotActive => of(StatusCode::CONFLICT, "device-not-active"),
        Outcome::PasskeyRequired => of(StatusCode::FORBIDDEN, "passkey-required"),
        Outcome::Unavailable => of(StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    }
}
