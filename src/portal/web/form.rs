//! Forms as they come back: bounded, from this site, with the token of the page that they were on.
//!
//! Three things stand between a form and somebody else's page: the browser's word on where it was sent from
//! (Sec-Fetch-Site, Origin), the `SameSite` attribute of the cookies, and a token that only our own page has.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use maud::{Markup, html};
use zeroize::Zeroizing;

use super::session::Held;
use super::{Visitor, Web, page};
use crate::base::secret::{Secret, same};
use crate::portal::request;

/// The name of the field with the token.
const TOKEN: &str = "form-token";

/// A form that may be acted on. Its values are wiped when it is dropped.
pub struct Form {
    fields: Vec<(String, Zeroizing<String>)>,
}

/// Why a form is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too long, too slow, or no form.
    Malformed,
    /// Sent by another site, or without the token of its page.
    Foreign,
}

/// The hidden field of a form, of a `Slip` or a session.
#[must_use]
pub fn token(token: &str) -> Markup {
    html! { input type="hidden" name=(TOKEN) value=(token); }
}

impl Form {
    /// Reads a form of a page that needs no session. Handlers get one as [`Visited`](super::sent::Visited).
    pub(in crate::portal) async fn of_visitor(
        web: &Web,
        visitor: &Visitor,
        request: Request<Body>,
    ) -> Result<Form, Refusal> {
        read(web, visitor.slip_token(web).as_deref(), request).await
    }

    /// Reads a form of a page of a session, for [`Sent`](super::sent::Sent) alone.
    pub(super) async fn of_session<D>(
        web: &Web,
        held: &Held<D>,
        request: Request<Body>,
    ) -> Result<Form, Refusal> {
        read(web, Some(held.token()), request).await
    }

    /// One that came with these fields.
    #[cfg(test)]
    pub(in crate::portal) fn made_of(fields: &[(&str, &str)]) -> Form {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), Zeroizing::new((*value).to_owned()));
        Form { fields: fields.iter().map(owned).collect() }
    }

    /// The first value of a field, without the space around it; empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The first value of a field as it was typed: for passwords.
    #[must_use]
    pub fn secret(&self, name: &str) -> Secret {
        Secret::from(self.raw(name))
    }

    /// Every value of a field: boxes that may be ticked together.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a field is there: a box that was ticked, the button that was pressed.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    fn raw(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }
}

impl std::fmt::Debug for Form {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Form(…)")
    }
}

impl Refusal {
    /// The page that says so.
    #[must_use]
    pub fn show(self, web: &Web, visitor: &Visitor) -> Response<Body> {
        match self {
            Refusal::Malformed => web.fault(visitor.words, StatusCode::BAD_REQUEST),
            Refusal::Foreign => {
                let why = visitor.words.with("fault.foreign", &[("url", web.public_url())]);
                page::fault(visitor.words, StatusCode::FORBIDDEN, Some(why))
            }
        }
    }
}

/// Whether the browser says that another site sent this. For requests that a script of ours makes, too.
#[must_use]
pub fn is_foreign(web: &Web, headers: &HeaderMap) -> bool {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if header("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    header(ORIGIN.as_str()).is_some_and(|origin| !origin.eq_ignore_ascii_case(web.public_url()))
}

async fn read(web: &Web, expected: Option<&str>, request: Request<Body>) -> Result<Form, Refusal> {
    if is_foreign(web, request.headers()) {
        return Err(Refusal::Foreign);
    }
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refusal::Malformed);
    }
    let read = request::read(request).await.ok_or(Refusal::Malformed)?;
    let fields = request::form(&read.body);
    let form =
        Form { fields: fields.into_iter().map(|(name, value)| (name, Zeroizing::new(value))).collect() };
    match expected {
        Some(expected) if same(form.raw(TOKEN).as_bytes(), expected.as_bytes()) => Ok(form),
        _ => Err(Refusal::Foreign),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::COOKIE;

    use super::*;
    use crate::portal::web::tests::web;

    fn visitor(cookie: Option<&str>) -> Visitor {
        let mut headers = HeaderMap::new();
        if let Some(cookie) = cookie {
            headers.insert(COOKIE, cookie.parse().unwrap());
        }
        Visitor { address: [127, 0, 0, 1].into(), words: super::super::Words::choose(["en"]), headers }
    }

    fn post(web: &Web, visitor: &Visitor, headers: &[(&str, &str)], body: &str) -> Result<Form, Refusal> {
        let mut request = Request::builder().method("POST").uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(Form::of_visitor(web, visitor, request))
    }

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    #[test]
    fn a_form_of_our_own_page_is_read_and_one_without_its_token_or_from_elsewhere_is_not() {
        let web = web("https://mfa.example.com");
        let slip = visitor(None).slip(&web);
        let cookie = slip.cookie.unwrap();
        let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
        let known = visitor(Some(&format!("other=1; {cookie}")));
        assert!(known.slip(&web).cookie.is_none(), "the cookie is kept");
        assert_eq!(known.slip(&web).token, slip.token);
        let body = format!("number=+47+&form-token={}&pass=+a%2Bb+", slip.token);
        let form = post(&web, &known, &[FORM], &body).unwrap();
        assert_eq!((form.text("number"), form.text("absent")), ("47", ""));
        assert_eq!(form.secret("pass").expose(), b" a+b ");
        assert!(form.has("number") && !form.has("absent"));
        for fine in [("origin", "https://mfa.example.com"), ("sec-fetch-site", "same-origin")] {
            assert!(post(&web, &known, &[FORM, fine], &body).is_ok(), "{fine:?}");
        }
        for foreign in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "https://mfa.example.com.evil.example"),
            ("origin", "http://mfa.example.com"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(
                post(&web, &known, &[FORM, foreign], &body).unwrap_err(),
                Refusal::Foreign,
                "{foreign:?}"
            );
        }
        let other = visitor(None);
        assert_eq!(post(&web, &other, &[FORM], &body).unwrap_err(), Refusal::Foreign, "no cookie");
        for wrong in ["number=47", "form-token=", "form-token=00", "form-token=%ff"] {
            assert_eq!(post(&web, &known, &[FORM], wrong).unwrap_err(), Refusal::Foreign, "{wrong}");
        }
        let forged = visitor(Some("__Host-radmfa-portal-visit=guessed"));
        assert_eq!(post(&web, &forged, &[FORM], &body).unwrap_err(), Refusal::Foreign);
    }

    #[test]
    fn what_is_no_form_or_too_long_is_malformed() {
        let web = web("http://localhost:8443");
        let visitor = visitor(None);
        for kind in ["text/plain", "application/json", "multipart/form-data; boundary=x"] {
            let refusal = post(&web, &visitor, &[("content-type", kind)], "a=b").unwrap_err();
            assert_eq!(refusal, Refusal::Malformed, "{kind}");
        }
        assert_eq!(post(&web, &visitor, &[], "a=b").unwrap_err(), Refusal::Malformed);
        let long = "a".repeat(request::BODY_MAX + 1);
        assert_eq!(post(&web, &visitor, &[FORM], &long).unwrap_err(), Refusal::Malformed);
    }
}
