//! The page that a push opens, and what a browser needs to run and install it.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Response};
use maud::html;

use super::Devices;
use crate::portal::web::{Page, Words};

/// The script that takes pushes while no page is open. Beneath `/assets/` it could serve nothing else.
const WORKER: &str = include_str!("../web/assets/device-sw.js");
/// What makes the page an app of its own. Without `start_url`, which is then the page that it is installed from: an iPhone takes pushes
/// for installed pages alone, and so enrols in what was installed from the enrolment's link.
const MANIFEST: &str = r##"{"name":"radmfa","short_name":"radmfa","display":"standalone","scope":"/","background_color":"#f6f7f9","theme_color":"#0b5cad","icons":[{"src":"/assets/device-icon.svg","sizes":"any","type":"image/svg+xml"}]}"##;

/// `GET /device`
pub(super) async fn show(State(_): State<Devices>, headers: HeaderMap) -> Response<Body> {
    let words = Words::of(&headers);
    let say = |key| words.say(key);
    let body = html! {
        h1 { (say("device.title")) }
        noscript { p.notice.bad { (say("device.script")) } }
        p #device-status role="status" aria-live="polite" tabindex="-1" { (say("device.looking")) }
        div #device data-looking=(say("device.looking")) data-none=(say("device.none")) data-nothing=(say("device.nothing"))
            data-sent=(say("device.sent")) data-denied=(say("device.denied")) data-reported=(say("device.reported"))
            data-late=(say("device.late")) data-inactive=(say("device.inactive")) data-unknown=(say("device.unknown"))
            data-failed=(say("device.failed")) data-wrong=(say("approve.wrong")) data-refused=(say("approve.refused")) {
            div #device-questions {}
        }
        template #device-question {
            section.card aria-label=(say("device.question")) {
                p { (say("device.question")) }
                dl.facts {
                    (row("user", say("device.user")))
                    (row("client", say("device.client")))
                    (row("station", say("device.station")))
                    (row("time", say("device.time")))
                }
                form autocomplete="off" {
                    div data-match="type" {
                        label { (say("device.number"))
                            input.number type="text" inputmode="numeric" pattern="[0-9]*" maxlength="2" required;
                        }
                    }
                    a.button data-match="passkey" { (say("device.passkey")) }
                    fieldset.choices.actions.row data-match="choose" {
                        legend { (say("device.choose")) }
                    }
                    div.actions {
                        button type="submit" data-verdict="approve" { (say("device.approve")) }
                        button.quiet type="button" data-verdict="deny" { (say("device.deny")) }
                    }
                    // One slip of the thumb must not block an account.
                    details.card {
                        summary { (say("approve.not-me")) }
                        p { (say("approve.not-me-why")) }
                        div.actions {
                            button.danger type="button" data-verdict="fraud" { (say("approve.report")) }
                        }
                    }
                }
            }
        }
    };
    let page = Page::new(say("device.title"), body).manifest("/device/manifest.webmanifest");
    page.script("/assets/device-lib.js").script("/assets/device.js").show(words)
}

fn row(field: &str, label: &str) -> maud::Markup {
    html! { div.row data-row { dt { (label) } dd data-field=(field) {} } }
}

/// `GET /device/sw.js`
pub(super) async fn worker() -> Response<Body> {
    let mut response = file("text/javascript; charset=utf-8", WORKER);
    let allowed = HeaderName::from_static("service-worker-allowed");
    response.headers_mut().insert(allowed, HeaderValue::from_static("/device"));
    response
}

/// `GET /device/manifest.webmanifest`
pub(super) async fn manifest() -> Response<Body> {
    file("application/manifest+json", MANIFEST)
}

fn file(kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
