//! One layout, and the one place where headers are set.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use maud::{DOCTYPE, Markup, html};

use super::sent::BY_ITSELF;
use super::words::Words;

/// What a browser may load, run, call and be framed by: what comes from this site, and nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; \
                      manifest-src 'self'; worker-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// On every response. With a policy of `no-referrer` browsers say `null` for the origin of our own forms, so ours is the
/// next stricter one: no other site learns an address of ours.
static HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Sets the headers of a response; what is not said to be kept is kept by nobody.
pub(super) fn harden(headers: &mut HeaderMap) {
    for (name, value) in &HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// A page about to be shown.
#[must_use]
pub struct Page {
    title: String,
    body: Markup,
    nav: Option<Markup>,
    scripts: Vec<&'static str>,
    manifest: Option<&'static str>,
    refresh: Option<String>,
    wide: bool,
}

impl Page {
    /// A page with this title (its first heading is the body's own) and this content, narrow as a phone.
    pub fn new(title: impl Into<String>, body: Markup) -> Page {
        Page {
            title: title.into(),
            body,
            nav: None,
            scripts: Vec::new(),
            manifest: None,
            refresh: None,
            wide: false,
        }
    }

    /// Links to the pages beside it: `a` elements, the present one with `aria-current="page"`.
    pub fn nav(self, nav: Markup) -> Page {
        Page { nav: Some(nav), ..self }
    }

    /// Loads a script of this site, such as `/assets/left.js`.
    pub fn script(mut self, path: &'static str) -> Page {
        self.scripts.push(path);
        self
    }

    /// Can be installed, by the manifest at `path`.
    pub fn manifest(self, path: &'static str) -> Page {
        Page { manifest: Some(path), ..self }
    }

    /// Is loaded anew after so many seconds.
    pub fn refresh(self, seconds: u64) -> Page {
        Page { refresh: Some(seconds.to_string()), ..self }
    }

    /// The page at `path` is loaded in its place after so many seconds, which keeps nobody logged in.
    pub fn by_itself(self, seconds: u64, path: &'static str) -> Page {
        Page { refresh: Some(format!("{seconds};url={path}?{BY_ITSELF}")), ..self }
    }

    /// As wide as tables want.
    pub fn wide(self) -> Page {
        Page { wide: true, ..self }
    }

    /// The response, 200.
    pub fn show(self, words: Words) -> Response<Body> {
        self.show_as(words, StatusCode::OK)
    }

    /// The response with another status.
    pub fn show_as(self, words: Words, status: StatusCode) -> Response<Body> {
        let markup = html! {
            (DOCTYPE)
            html lang=(words.code()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    @if let Some(when) = &self.refresh { meta http-equiv="refresh" content=(when); }
                    title { (self.title) " · radmfa" }
                    link rel="stylesheet" href="/assets/style.css";
                    // Asks nobody for a picture.
                    link rel="icon" href="data:,";
                    @if let Some(path) = self.manifest { link rel="manifest" href=(path); }
                    @for path in &self.scripts { script src=(path) defer {} }
                }
                body {
                    a.skip href="#content" { (words.say("page.skip")) }
                    @if let Some(nav) = &self.nav { header { nav { (nav) } } }
                    main #content .wide[self.wide] tabindex="-1" { (self.body) }
                }
            }
        };
        let mut response = Response::new(Body::from(markup.into_string()));
        *response.status_mut() = status;
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, html);
        response
    }
}

/// A time for people to read: `2026-01-31 12:00 UTC`, of what RFC 3339 writes as `2026-01-31T12:00:00.000Z`.
#[must_use]
pub fn moment(time: impl std::fmt::Display) -> String {
    cut(&time.to_string(), "12:00".len())
}

/// The same to the second.
#[must_use]
pub fn second(time: impl std::fmt::Display) -> String {
    cut(&time.to_string(), "12:00:00".len())
}

fn cut(written: &str, length: usize) -> String {
    match written.split_once('T').map(|(day, rest)| (day, rest.get(..length))) {
        Some((day, Some(clock))) => format!("{day} {clock} UTC"),
        _ => written.to_owned(),
    }
}

/// A column of a table, by the words above it.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Of text.
    Of(&'static str),
    /// Of figures, which stand one beneath the other.
    Figures(&'static str),
}

/// A table of these rows, which scrolls by itself where the screen is too narrow.
pub fn table<const N: usize>(
    words: Words,
    columns: [Column; N],
    caption: Option<&str>,
    rows: &Markup,
) -> Markup {
    html! {
        div.scroll tabindex="0" { table {
            @if let Some(caption) = caption { caption { (caption) } }
            thead { tr {
                @for column in columns {
                    @match column {
                        Column::Of(key) => th scope="col" { (words.say(key)) },
                        Column::Figures(key) => th.figure scope="col" { (words.say(key)) },
                    }
                }
            } }
            tbody { (rows) }
        } }
    }
}

/// The page of an error; `why` says more than its usual sentence.
pub(super) fn fault(words: Words, status: StatusCode, why: Option<String>) -> Response<Body> {
    let (title, sentence) = match status {
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => ("fault.forbidden-title", "fault.forbidden"),
        StatusCode::NOT_FOUND => ("fault.not-found-title", "fault.not-found"),
        StatusCode::TOO_MANY_REQUESTS => ("fault.too-many-title", "fault.too-many"),
        status if status.is_server_error() => ("fault.internal-title", "fault.internal"),
        _ => ("fault.bad-request-title", "fault.bad-request"),
    };
    let title = words.say(title);
    let sentence = why.unwrap_or_else(|| words.say(sentence).to_owned());
    let body = html! {
        h1 { (title) }
        p.notice.bad role="alert" { (sentence) }
    };
    Page::new(title, body).show_as(words, status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixTime;

    #[test]
    fn a_time_is_read_to_the_minute_or_the_second_and_whatever_is_none_stays() {
        assert_eq!(moment(UnixTime(1_767_225_660_042)), "2026-01-01 00:01 UTC");
        assert_eq!(second("2026-01-01T00:01:02.042Z"), "2026-01-01 00:01:02 UTC");
        assert_eq!(moment("soon"), "soon");
        assert_eq!(moment("T"), "T");
    }
}
