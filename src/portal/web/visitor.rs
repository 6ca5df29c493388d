//! Whoever asks for a page: address, language, cookies.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response};

use super::{Web, Words, with_cookie};
use crate::base::text::{hex, unhex};
use crate::portal::serving::Caller;

/// What a handler knows of whoever asks; an argument of it like any other.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Where from; without a connection (in tests) 0.0.0.0.
    pub address: IpAddr,
    /// The language of the browser; [`Words::for_user`] where the user is known.
    pub words: Words,
    /// What came with the request.
    pub headers: HeaderMap,
}

/// The token that a form carries before anybody is logged in, and the cookie that it goes with where there was none.
#[derive(Debug)]
pub struct Slip {
    /// The value of the form's field.
    pub token: String,
    /// To be set along with the page.
    pub cookie: Option<HeaderValue>,
}

impl Slip {
    /// The page with such a form, along with the cookie.
    #[must_use]
    pub fn on(self, shown: Response<Body>) -> Response<Body> {
        match self.cookie {
            Some(cookie) => with_cookie(shown, cookie),
            None => shown,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visitor, Infallible> {
        Ok(Visitor::of(parts))
    }
}

impl Visitor {
    /// Whoever sent a request with this head.
    pub(super) fn of(parts: &Parts) -> Visitor {
        let caller = parts.extensions.get::<Caller>().copied();
        Visitor {
            address: caller.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |caller| caller.0),
            words: Words::of(&parts.headers),
            headers: parts.headers.clone(),
        }
    }

    /// The value of a cookie.
    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// For a form on a page that needs no session. Its cookie lets nobody in: it only tells this browser from others, so links
    /// from elsewhere may bring it along and two pages of one browser go by the same.
    #[must_use]
    pub fn slip(&self, web: &Web) -> Slip {
        if let Some(token) = self.slip_token(web) {
            return Slip { token, cookie: None };
        }
        let value = hex(&web.random::<16>());
        let cookie = web.cookie(&web.cookie_name("visit"), &value, "Lax");
        Slip { token: web.token_of(&value), cookie: Some(cookie) }
    }

    /// What the form's field has to be; `None` where the cookie did not come back.
    pub(in crate::portal) fn slip_token(&self, web: &Web) -> Option<String> {
        let value = self.cookie(&web.cookie_name("visit"))?;
        let plain = value.len() == 32 && unhex(value).is_some();
        plain.then(|| web.token_of(value))
    }
}
