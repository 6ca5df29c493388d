//! The style sheet and the scripts, embedded. A browser asks each time whether its copy is the present one.

use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::status_alone;
use crate::base::text::hex;

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name beneath `/assets/`, type, content.
const FILES: &[(&str, &str, &str)] = &[
    ("style.css", STYLE, include_str!("assets/style.css")),
    ("device-icon.svg", "image/svg+xml", include_str!("assets/device-icon.svg")),
    ("device-lib.js", SCRIPT, include_str!("assets/device-lib.js")),
    ("device.js", SCRIPT, include_str!("assets/device.js")),
    ("device-enrol.js", SCRIPT, include_str!("assets/device-enrol.js")),
    ("passkey.js", SCRIPT, include_str!("assets/passkey.js")),
    ("left.js", SCRIPT, include_str!("assets/left.js")),
];

/// The tag of each file: what is in it.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    FILES.iter().map(|(_, _, text)| format!("\"{}\"", &hex(&Sha256::digest(text.as_bytes()))[..16])).collect()
});

pub(super) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response<Body> {
    let found = FILES.iter().zip(TAGS.iter()).find(|((known, _, _), _)| *known == name);
    let Some(((_, kind, text), tag)) = found else { return status_alone(StatusCode::NOT_FOUND) };
    let known = headers.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response =
        if known { status_alone(StatusCode::NOT_MODIFIED) } else { Response::new(Body::from(*text)) };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    #[expect(clippy::expect_used, reason = "quotes and hexadecimal digits")]
    headers.insert(ETAG, HeaderValue::from_str(tag).expect("printable"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_sent_once_and_then_known() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ask = |name: &str, headers| runtime.block_on(serve(Path(name.to_owned()), headers));
        let first = ask("style.css", HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(ask("style.css", headers).status(), StatusCode::NOT_MODIFIED);
        for other in ["", "STYLE.CSS", "../web/mod.rs", "style.css/"] {
            assert_eq!(ask(other, HeaderMap::new()).status(), StatusCode::NOT_FOUND, "{other}");
        }
    }

    #[test]
    fn no_file_asks_another_site_for_anything() {
        for (name, _, text) in FILES {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://") && !text.contains("@import"), "{name}");
        }
    }
}
