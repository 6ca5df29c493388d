//! `/api/v1`: the interface for programs. JSON in and out, a bearer's token with each request, errors as problem+json (RFC 9457).
//!
//! ```text
//! request ─ route (routes.rs) ─ token ─ parameters and body, bounded ─ Office ─ JSON
//! ```
//! Invariants: a route is reached only where it stands in [`routes::ROUTES`], which the description is made of too; nothing is looked up
//! for a caller whose token is not good; what is no token by its looks asks no store, and where too many were wrong the others are
//! looked for one after the other, so that whoever guesses is nobody else's delay at the desk; no answer lists more than [`PAGE_MAX`] things.

mod answers;
pub mod description;
pub mod routes;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Request, Response, StatusCode, Uri};
use axum::routing::any;
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::routes::{Found, Operation, ROUTES};
use super::office::{Fault, Office};
use super::read::PAGE_MAX;
use super::who::Caller;
use crate::base::secret::Secret;
use crate::base::text::is_unprintable;
use crate::portal::desk;
use crate::portal::request::{self, Read};
use crate::portal::serving::Caller as From;
use crate::portal::web::pace::Pace;
use crate::portal::web::throttle::{Throttle, network};
use crate::store::admin::AdminFault;
use crate::store::api_tokens;

/// Where it is.
pub const PREFIX: &str = "/api/v1";
/// How many wrong tokens one network may show …
const WRONG_MOST: u32 = 30;
/// … within so long.
const WRONG_WITHIN: Duration = Duration::from_mins(5);

/// How long a network that has shown more waits in its turn: 200 tokens a second are looked for, of all such networks together.
const PACE: Duration = Duration::from_millis(5);

/// What its requests share.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) office: Office,
    wrong: Arc<Throttle>,
    pace: Arc<Pace>,
}

/// What is wrong with a request.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into() }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    fn response(self) -> Response<Body> {
        let title = self.status.canonical_reason().unwrap_or_default();
        let body = json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = answer(self.status, "application/problem+json", &body);
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl std::convert::From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        let status = match &fault {
            Fault::Refused(_) => StatusCode::FORBIDDEN,
            Fault::Desk(desk::Fault::Store(AdminFault::Missing(_))) => StatusCode::NOT_FOUND,
            Fault::Desk(desk::Fault::Store(AdminFault::Exists(_))) => StatusCode::CONFLICT,
            Fault::Invalid(_) | Fault::Desk(desk::Fault::Store(AdminFault::Invalid(_))) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Fault::Desk(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let detail = match &fault {
            // What exactly is wrong with the store is for its log.
            Fault::Desk(desk::Fault::Store(AdminFault::Store(_))) => "the store cannot be reached".to_owned(),
            fault => fault.to_string(),
        };
        Problem { status, detail }
    }
}

/// A request whose route was found.
pub(super) struct Asked {
    /// What stands in the places of the path, in order.
    pub(super) places: Vec<String>,
    query: Vec<(String, String)>,
    body: Map<String, Value>,
}

impl Asked {
    /// A parameter of the query; `None` where it is absent.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// How many things to list.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.query("limit") else { return Ok(50) };
        let limit = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
        limit.ok_or_else(|| Problem::invalid(format!("limit takes 1 to {PAGE_MAX}")))
    }

    /// A text of the body.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str()
    }

    /// A text of the body that has to be there.
    pub(super) fn needed(&self, name: &str) -> Result<&str, Problem> {
        self.text(name).ok_or_else(|| Problem::invalid(format!("the body lacks {name}")))
    }
}

/// The routes of the interface.
pub(super) fn router(office: Office) -> Router {
    let (wrong, pace) = (Throttle::new(WRONG_MOST, WRONG_WITHIN), Pace::new(PACE));
    let api = Api { office, wrong: Arc::new(wrong), pace: Arc::new(pace) };
    Router::new().route("/api/{*rest}", any(handle)).with_state(api)
}

async fn handle(State(api): State<Api>, request: Request<Body>) -> Response<Body> {
    match serve(&api, request).await {
        Ok(response) => response,
        Err(problem) => problem.response(),
    }
}

async fn serve(api: &Api, request: Request<Body>) -> Result<Response<Body>, Problem> {
    let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    let (operation, places) = match routes::find(request.method().as_str(), &path) {
        Found::Here(operation, places) => (operation, places),
        Found::OtherMethods(methods) => {
            let mut response =
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not for this path").response();
            if let Ok(methods) = HeaderValue::from_str(&methods) {
                response.headers_mut().insert(ALLOW, methods);
            }
            return Ok(response);
        }
        Found::Nowhere => return Err(Problem::new(StatusCode::NOT_FOUND, "there is no such path")),
    };
    if operation == Operation::Description {
        return Ok(answer(StatusCode::OK, "application/json", &description::document(&ROUTES)));
    }
    // A body is nobody's to share while others are waited for.
    let from = request.extensions().get::<From>().map(|from| network(from.0));
    let shown = bearer(request.headers());
    let caller = api.caller(from, shown).await?;
    let asked = read(operation, places, request).await?;
    answers::answer(&api.office, &caller, operation, &asked).await
}

impl Api {
    async fn caller(&self, from: Option<IpAddr>, shown: Option<Secret>) -> Result<Caller, Problem> {
        let unauthorized =
            || Problem::new(StatusCode::UNAUTHORIZED, "a bearer's token that is good is needed");
        let now = self.office.pulse.clock().mono();
        let secret = shown.ok_or_else(unauthorized)?;
        // Wrong ones alone are refused: a good one behind the same address is no guess.
        let wrong = || {
            if self.wrong.admits(from, now) {
                return unauthorized();
            }
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens: wait a few minutes")
        };
        if !api_tokens::is_shaped(&secret) {
            return Err(wrong());
        }
        // The desk is used in turn. Whoever guesses has one place in it at most.
        let _turn = if self.wrong.is_spent(from, now) { Some(self.pace.turn().await) } else { None };
        let at = self.office.pulse.now();
        let found = self.office.desk.read(move |admin| api_tokens::find(admin, &secret, at)).await;
        let token = found.map_err(Fault::from)?.ok_or_else(wrong)?;
        Ok(Caller::program(token.name.as_str(), token.role))
    }
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && token.len() <= 256).then(|| Secret::from(token.trim()))
}

async fn read(operation: Operation, places: Vec<String>, request: Request<Body>) -> Result<Asked, Problem> {
    let route = ROUTES.iter().find(|route| route.operation == operation);
    let takes_body = route.is_some_and(|route| !route.body.is_empty());
    let query = parameters(request.uri())?;
    let is_json =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|kind| {
            kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
        });
    let too_long = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or came too slowly");
    let Read { body, .. } = request::read(request).await.ok_or_else(too_long)?;
    let body = if takes_body {
        if !is_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body has to be application/json",
            ));
        }
        let malformed = |_| Problem::new(StatusCode::BAD_REQUEST, "the body is no JSON object");
        serde_json::from_slice::<Map<String, Value>>(&body).map_err(malformed)?
    } else {
        Map::new()
    };
    if let Some(route) = route {
        for (name, value) in &body {
            let field = route.body.iter().find(|field| field.name == name);
            let field = field.ok_or_else(|| Problem::invalid(format!("there is no {}", plain(name))))?;
            if !(value.is_string() || value.is_null() && field.nullable) {
                return Err(Problem::invalid(format!("{} has to be a text", field.name)));
            }
        }
        if let Some(lacking) = route.body.iter().find(|field| field.needed && !body.contains_key(field.name))
        {
            return Err(Problem::invalid(format!("the body lacks {}", lacking.name)));
        }
        for (name, _) in &query {
            if !route.query.iter().any(|known| known.name == name) {
                return Err(Problem::invalid(format!("there is no parameter {}", plain(name))));
            }
        }
    }
    Ok(Asked { places, query, body })
}

fn plain(name: &str) -> String {
    name.chars().take(40).map(|c| if is_unprintable(c) { '?' } else { c }).collect()
}

fn parameters(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let query = uri.query().unwrap_or_default();
    let pairs = request::form(query.as_bytes());
    if pairs.iter().any(|(_, value)| value.len() > 500) {
        return Err(Problem::invalid("a parameter is too long"));
    }
    Ok(pairs)
}

/// JSON with a status.
pub(super) fn answer(status: StatusCode, kind: &'static str, body: &impl Serialize) -> Response<Body> {
    // Structs of texts and numbers always have a JSON form.
    let text = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
