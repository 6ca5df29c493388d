//! What a handler gets as arguments: who sits before the page, and the form that was sent. Looked at before the handler begins.
//!
//! ```text
//! GET  ─ cookie ─ session ──────────────────────────────────── Sits::sits (rights, the store's word) ─► Sat<T>  ─► handler
//! POST ─ cookie ─ session ─ form of this site, its own token ─ Sits::sits ────────────────────────────► Sent<T> ─► handler
//! POST ─ cookie of a visit ─ form of this site, its own token ────────────────────────────────────────► Visited ─► handler
//! ```
//! Invariants: a handler that is given a form is given one that may be acted on, and by whom; what is refused is answered here, with the
//! page that says why, and no handler runs. The store is not asked for whoever sends a form of another site.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, Response};

use super::form::Form;
use super::session::{Held, Sessions};
use super::{Visitor, Web, see_other, with_cookie};

/// What a page loads in its own place is asked for with this query: it keeps nobody logged in.
pub const BY_ITSELF: &str = "auto";

/// The pages of one listener that somebody may sit before: the state of their router.
pub trait Site: Clone + Send + Sync + 'static {
    /// What is kept of whoever sits there.
    type Seat: Clone + Send + Sync + 'static;
    /// Where whoever has left finds themselves.
    const DOOR: &'static str;

    /// What all pages share.
    fn web(&self) -> &Web;
    /// Who sits there.
    fn sessions(&self) -> &Sessions<Self::Seat>;
    /// What whoever has no session is shown.
    fn stranger(&self, visitor: &Visitor) -> Response<Body>;
    /// Ends a session and all that hangs on it; the cookie that says so to the browser.
    fn leave(&self, held: &Held<Self::Seat>) -> HeaderValue;
}

/// Somebody before a page of `S`, with the right that this type stands for.
pub trait Sits<S: Site>: Sized + Send {
    /// Whoever has the session `held`, if that gives the right at this moment; or what they are shown.
    fn sits(
        site: &S,
        visitor: Visitor,
        held: Held<S::Seat>,
    ) -> impl Future<Output = Result<Self, Response<Body>>> + Send;
}

/// Whoever asks for a page that not everybody may see.
#[derive(Debug)]
pub struct Sat<T>(pub T);

/// A form of a session's page, and whoever sent it.
#[derive(Debug)]
pub struct Sent<T> {
    /// Who.
    pub by: T,
    /// What.
    pub form: Form,
}

/// A form of a page that needs no session, and whoever sent it.
#[derive(Debug)]
pub struct Visited {
    /// Who.
    pub visitor: Visitor,
    /// What.
    pub form: Form,
}

impl<S: Site, T: Sits<S>> FromRequestParts<S> for Sat<T> {
    type Rejection = Response<Body>;

    async fn from_request_parts(parts: &mut Parts, site: &S) -> Result<Sat<T>, Response<Body>> {
        let visitor = Visitor::of(parts);
        let found = match parts.uri.query() {
            Some(BY_ITSELF) => site.sessions().find_idle(&visitor),
            _ => site.sessions().find(&visitor),
        };
        let held = found.ok_or_else(|| site.stranger(&visitor))?;
        T::sits(site, visitor, held).await.map(Sat)
    }
}

impl<S: Site, T: Sits<S>> FromRequest<S> for Sent<T> {
    type Rejection = Response<Body>;

    async fn from_request(request: Request<Body>, site: &S) -> Result<Sent<T>, Response<Body>> {
        let (visitor, held, form) = of_session(request, site).await?;
        let by = T::sits(site, visitor, held).await?;
        Ok(Sent { by, form })
    }
}

impl<S: Site> FromRequest<S> for Visited {
    type Rejection = Response<Body>;

    async fn from_request(request: Request<Body>, site: &S) -> Result<Visited, Response<Body>> {
        let (parts, body) = request.into_parts();
        let visitor = Visitor::of(&parts);
        match Form::of_visitor(site.web(), &visitor, Request::from_parts(parts, body)).await {
            Ok(form) => Ok(Visited { visitor, form }),
            Err(refusal) => Err(refusal.show(site.web(), &visitor)),
        }
    }
}

async fn of_session<S: Site>(
    request: Request<Body>,
    site: &S,
) -> Result<(Visitor, Held<S::Seat>, Form), Response<Body>> {
    let (parts, body) = request.into_parts();
    let visitor = Visitor::of(&parts);
    let held = site.sessions().find(&visitor).ok_or_else(|| site.stranger(&visitor))?;
    match Form::of_session(site.web(), &held, Request::from_parts(parts, body)).await {
        Ok(form) => Ok((visitor, held, form)),
        Err(refusal) => Err(refusal.show(site.web(), &visitor)),
    }
}

/// `POST …/logout`. Whoever sits there may leave, also when the store cannot be asked who it is.
pub async fn logout<S: Site>(State(site): State<S>, request: Request<Body>) -> Response<Body> {
    match of_session(request, &site).await {
        Ok((_, held, _)) => with_cookie(see_other(S::DOOR), site.leave(&held)),
        Err(elsewhere) => elsewhere,
    }
}
