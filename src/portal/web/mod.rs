//! What all pages share: layout and headers, words, visitors, sessions, forms, throttling, assets, errors.
//!
//! ```text
//! request ─ guard ─┬─ Visitor (address, language, cookies) ─ handler ─ Page ─┐
//!                  └─ nothing here, not allowed, a panic ─ error page ───────┴─ headers ─► response
//! ```
//! Who sits before a page and what was sent from it reach a handler as arguments ([`sent`]).
//!
//! One [`Web`] a listener (its `area`): cookies do not tell ports of a host apart, so their names do. Invariants: every response
//! leaves with the headers of `page::harden`; whatever changes something is a POST read by [`form`], from this site and with
//! the token of its own cookie; every table is bounded; no page needs a script unless it says so.

mod assets;
pub mod form;
pub mod pace;
pub mod page;
pub mod sent;
pub mod session;
pub mod throttle;
mod visitor;
pub mod words;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use axum::middleware::{self, Next};
use axum::routing::get;
use futures_util::FutureExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub use self::page::Page;
pub use self::visitor::Visitor;
pub use self::words::Words;
use super::reply;
use super::ways::{SHARED, Way};
use crate::base::system::{Clock, random};
use crate::base::text::hex;
use crate::base::time::{Tick, UnixTime};
use crate::server::system::{EntropyFault, SystemEntropy};

/// What the pages of one listener share. Cheap to clone.
#[derive(Clone)]
pub struct Web(Arc<Inner>);

struct Inner {
    area: &'static str,
    public_url: Arc<str>,
    clock: Arc<dyn Clock>,
    entropy: Mutex<SystemEntropy>,
    /// What the tokens of forms are made under; another one with every start.
    key: [u8; 32],
}

impl Web {
    /// For the listener called `area` (a word of cookie names), reached as `public_url` (scheme, host and port).
    pub fn new(area: &'static str, public_url: &str, clock: Arc<dyn Clock>) -> Result<Web, EntropyFault> {
        let mut entropy = SystemEntropy::new()?;
        let key = random(&mut entropy);
        let entropy = Mutex::new(entropy);
        Ok(Web(Arc::new(Inner { area, public_url: public_url.into(), clock, entropy, key })))
    }

    /// Scheme, host and port, without a slash at the end: what links begin with.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.0.public_url
    }

    /// The monotonic clock.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.0.clock.mono()
    }

    /// The wall clock.
    #[must_use]
    pub fn unix(&self) -> UnixTime {
        self.0.clock.unix()
    }

    /// Fresh random octets.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        random(&mut *self.0.entropy.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether browsers reach it by HTTPS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.public_url.starts_with("https://")
    }

    /// The name of this listener's cookie for `what`.
    fn cookie_name(&self, what: &str) -> String {
        // Only HTTPS may set a cookie with this prefix, and no other host of the domain.
        let prefix = if self.is_secure() { "__Host-" } else { "" };
        format!("{prefix}radmfa-{}-{what}", self.0.area)
    }

    /// A cookie for as long as the browser runs. `same_site` is `Strict` for whatever lets anybody in.
    fn cookie(&self, name: &str, value: &str, same_site: &str) -> HeaderValue {
        let secure = if self.is_secure() { "; Secure" } else { "" };
        let ended = if value.is_empty() { "; Max-Age=0" } else { "" };
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}{secure}{ended}");
        #[expect(
            clippy::expect_used,
            reason = "names and values are made here of letters, digits and dashes"
        )]
        HeaderValue::from_str(&text).expect("a cookie is printable")
    }

    /// The token of forms on a page that was shown to whoever has the cookie `value`.
    fn token_of(&self, value: &str) -> String {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0.key).expect("any length");
        mac.update(b"form\0");
        mac.update(value.as_bytes());
        hex(&mac.finalize().into_bytes())
    }

    /// An error page in the visitor's language, for 400, 403, 404, 429 and 500; other states read as one of these.
    #[must_use]
    pub fn fault(&self, words: Words, status: StatusCode) -> Response<Body> {
        page::fault(words, status, None)
    }

    /// Adds what every listener has to its routes: assets, errors, and the headers of every response. A route that is not among
    /// `ways` is not served.
    pub fn finish(&self, routes: Router, ways: &'static [Way]) -> Router {
        routes
            .route("/assets/{name}", get(assets::serve))
            .fallback(|| async { StatusCode::NOT_FOUND })
            .layer(middleware::from_fn_with_state((self.clone(), ways), guard))
    }
}

impl std::fmt::Debug for Web {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Web").field("area", &self.0.area).finish_non_exhaustive()
    }
}

/// Stands around every handler.
async fn guard(
    State((web, ways)): State<(Web, &'static [Way])>,
    request: Request<Body>,
    next: Next,
) -> Response<Body> {
    let words = Words::of(request.headers());
    let reads_pages = reads_pages(request.headers());
    let mut response = match undeclared(ways, &request) {
        Some(refusal) => refusal,
        None => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("a request ended in a panic");
            status_alone(StatusCode::INTERNAL_SERVER_ERROR)
        }),
    };
    let status = response.status();
    if (status.is_client_error() || status.is_server_error()) && !is_made_here(response.headers()) {
        let plain = if reads_pages { web.fault(words, status) } else { reply::of(status, word(status)) };
        response = carry(&response, plain);
    }
    page::harden(response.headers_mut());
    response
}

/// What is said where the router has a route, or takes a method, that nobody declared.
fn undeclared(ways: &[Way], request: &Request<Body>) -> Option<Response<Body>> {
    // Without a match it is the fallback's.
    let matched = request.extensions().get::<MatchedPath>()?;
    let Some(way) = ways.iter().chain(SHARED).find(|way| way.path == matched.as_str()) else {
        tracing::error!(
            path = matched.as_str(),
            "a route is not declared in src/portal/ways.rs, and so not served"
        );
        return Some(status_alone(StatusCode::NOT_FOUND));
    };
    // The interface for programs says itself what each of its paths takes.
    if way.takes(request.method()) || way.path.starts_with("/api/") {
        return None;
    }
    let mut response = status_alone(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(way.methods()));
    Some(response)
}

/// Whether the body is a page or JSON, and not what the router says of a request that leads nowhere.
fn is_made_here(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/html") || kind.starts_with("application/")
}

/// Keeps what the router said beside its status (`Allow`).
fn carry(from: &Response<Body>, mut to: Response<Body>) -> Response<Body> {
    if let Some(allow) = from.headers().get(ALLOW) {
        to.headers_mut().insert(ALLOW, allow.clone());
    }
    to
}

/// Whether a person sits before it.
fn reads_pages(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("text/html"))
}

fn word(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::TOO_MANY_REQUESTS => "too-many",
        status if status.is_server_error() => "failed",
        _ => "malformed",
    }
}

fn status_alone(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Sends the browser on to a page of this site, with GET. Invariant: only paths that stand in the program.
#[must_use]
pub fn see_other(path: &'static str) -> Response<Body> {
    let mut response = status_alone(StatusCode::SEE_OTHER);
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(path));
    response
}

/// Hands the browser a cookie along with `response`.
#[must_use]
pub fn with_cookie(mut response: Response<Body>, cookie: HeaderValue) -> Response<Body> {
    response.headers_mut().append(SET_COOKIE, cookie);
    response
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use tower_service::Service as _;

    use super::*;
    use crate::base::system::Fixed;
    use crate::portal::ways::Look;

    pub(in crate::portal) fn web(public_url: &str) -> Web {
        let clock = Fixed { mono: Tick(1 << 40), unix: UnixTime::from_secs(1_000_000), seed: 1 };
        Web::new("portal", public_url, Arc::new(clock)).unwrap()
    }

    fn router() -> Router {
        static WAYS: &[Way] = &[
            Way { path: "/fine", get: Some(Look::Open), post: None, fields: &[], counted: false },
            Way { path: "/broken", get: Some(Look::Open), post: None, fields: &[], counted: false },
            Way { path: "/number/{number}", get: Some(Look::Open), post: None, fields: &[], counted: false },
        ];
        async fn broken() -> StatusCode {
            panic!("of the test")
        }
        let fine = || async { "fine" };
        let number = |axum::extract::Path(_): axum::extract::Path<u8>| async { "one" };
        let routes = Router::new()
            .route("/fine", get(fine).post(fine))
            .route("/forgotten", get(fine))
            .route("/broken", get(broken))
            .route("/number/{number}", get(number));
        web("http://localhost:8443").finish(routes, WAYS)
    }

    fn ask(method: &str, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let response = router().call(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = to_bytes(body, 1 << 20).await.unwrap();
            (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
        })
    }

    #[test]
    fn every_response_leaves_with_the_headers_whatever_it_is() {
        for path in ["/fine", "/broken", "/nowhere", "/number/x", "/assets/style.css", "/assets/nothing"] {
            let (_, headers, _) = ask("GET", path, &[]);
            let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
            assert!(header("content-security-policy").starts_with("default-src 'none'"), "{path}");
            assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
            assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(header("x-frame-options"), "DENY", "{path}");
            assert_eq!(header("referrer-policy"), "same-origin", "{path}");
            assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
            let cached = if path == "/assets/style.css" { "no-cache" } else { "no-store" };
            assert_eq!(header("cache-control"), cached, "{path}");
        }
    }

    #[test]
    fn a_person_reads_a_page_in_their_language_and_a_program_a_word() {
        let page = [("accept", "text/html,*/*"), ("accept-language", "hu-HU,en;q=0.5")];
        let (status, _, body) = ask("GET", "/nowhere", &page);
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(body.contains("<html lang=\"hu\"") && body.contains("Itt nincs semmi"), "{body}");
        let (_, _, body) = ask("GET", "/nowhere", &page[..1]);
        assert!(body.contains("<html lang=\"en\"") && body.contains("Nothing here"), "{body}");
        let (status, _, body) = ask("GET", "/nowhere", &[]);
        assert_eq!((status, body.as_str()), (StatusCode::NOT_FOUND, "{\"error\":\"not-found\"}\n"));
        let (status, _, body) = ask("GET", "/number/x", &page);
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body.contains("Ez nem sikerült"), "{body}");
        let (status, headers, _) = ask("DELETE", "/fine", &page);
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert!(headers.contains_key("allow"));
    }

    #[test]
    fn what_nobody_declared_is_not_served() {
        assert_eq!(ask("GET", "/fine", &[]).0, StatusCode::OK);
        assert_eq!(ask("HEAD", "/fine", &[]).0, StatusCode::OK);
        assert_eq!(ask("GET", "/forgotten", &[]).0, StatusCode::NOT_FOUND);
        let (status, headers, body) = ask("POST", "/fine", &[]);
        assert_eq!(
            (status, body.as_str()),
            (StatusCode::METHOD_NOT_ALLOWED, "{\"error\":\"method-not-allowed\"}\n")
        );
        assert_eq!(headers["allow"], "GET,HEAD");
    }

    #[test]
    fn a_panic_is_an_error_page_and_the_next_request_is_answered() {
        let (status, _, body) = ask("GET", "/broken", &[("accept", "text/html")]);
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.contains("Something failed") && !body.contains("of the test"), "{body}");
        assert_eq!(ask("GET", "/fine", &[]).0, StatusCode::OK);
    }

    #[test]
    fn cookies_are_bound_to_host_and_https_where_there_is_https() {
        let (plain, secure) = (web("http://localhost:8443"), web("https://mfa.example.com"));
        let cookie =
            |web: &Web| web.cookie(&web.cookie_name("session"), "ab", "Strict").to_str().unwrap().to_owned();
        assert_eq!(cookie(&plain), "radmfa-portal-session=ab; Path=/; HttpOnly; SameSite=Strict");
        assert_eq!(
            cookie(&secure),
            "__Host-radmfa-portal-session=ab; Path=/; HttpOnly; SameSite=Strict; Secure"
        );
    }
}
