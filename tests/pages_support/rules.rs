//! What holds for every answer and every page, whatever was asked.

use radmfa::portal::ways::Way;

use crate::support::caller::{forms, tags};
use crate::support::http::Answer;

/// What holds for every answer.
pub fn inspect(at: &str, path: &str, answer: &Answer) {
    let place = format!("{path} at {at}, {}", answer.status);
    assert!(answer.status < 500, "{place}: {}", answer.body);
    let policy = answer.header("content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{place}: {part}");
    }
    for part in ["unsafe", "*", "http"] {
        assert!(!policy.contains(part), "{place}: {policy}");
    }
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), value, "{place}: {name}");
    }
    let kept = answer.header("cache-control");
    let ours =
        path.starts_with("/assets/") || ["/device/sw.js", "/device/manifest.webmanifest"].contains(&path);
    assert!(kept == "no-store" || (ours && kept == "no-cache"), "{place}: {kept}");
    let head = answer.head.to_ascii_lowercase();
    for name in ["access-control-", "server:", "x-powered-by", "refresh:"] {
        assert!(!head.lines().any(|line| line.starts_with(name)), "{place}: {name}");
    }
    for cookie in head.lines().filter(|line| line.starts_with("set-cookie:")) {
        assert!(
            cookie.contains("; httponly") && cookie.contains("; samesite=") && cookie.contains("; path=/"),
            "{cookie}"
        );
    }
    let location = answer.header("location");
    assert!(location.is_empty() || is_here(location), "{place}: {location}");
    if answer.header("content-type").starts_with("text/html") {
        inspect_page(&place, &answer.body);
    }
}

/// Whether it is a path of this site, however a browser reads it.
pub fn is_here(target: &str) -> bool {
    let plain = target.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'\\');
    plain && target.starts_with('/') && !target.starts_with("//")
}

/// What holds for every page: nothing inline, nothing from elsewhere.
pub fn inspect_page(place: &str, html: &str) {
    for tag in tags(html) {
        assert!(
            !["style", "iframe", "object", "embed", "base"].contains(&tag.name.as_str()),
            "{place}: {tag:?}"
        );
        assert!(!tag.is("script") || tag.attribute("src").is_some(), "{place}: {tag:?}");
        for (name, value) in &tag.attributes {
            assert!(name != "style" && !name.starts_with("on"), "{place}: {tag:?}");
            let target = match name.as_str() {
                "content" if tag.attribute("http-equiv") == Some("refresh") => {
                    value.split_once("url=").map_or("/", |(_, target)| target)
                }
                "src" | "href" | "action" | "formaction" | "data" | "poster" | "srcset" | "ping" => value,
                _ => continue,
            };
            let own = is_here(target) || target.starts_with('#') || target == "data:,";
            assert!(own, "{place}: {tag:?}");
        }
    }
}

/// Every form of a page goes to a way that is declared, with the fields that are declared.
pub fn declared(place: &str, ways: &[Way], shown_at: &Way, html: &str) -> usize {
    let found = forms(html);
    for form in &found {
        let target = if form.action.is_empty() { shown_at.path } else { &form.action };
        let way = ways.iter().find(|way| way.path == target);
        let way = way.unwrap_or_else(|| panic!("{place}: a form goes to {target}, which is not declared"));
        let takes = if form.method == "post" { way.post.is_some() } else { way.get.is_some() };
        assert!(takes, "{place}: {form:?}");
        for name in form.names.iter().filter(|name| *name != "form-token") {
            assert!(way.fields.contains(&name.as_str()), "{place}: {target} has no field {name}");
        }
        let token = form.hidden.iter().any(|(name, value)| name == "form-token" && value.len() == 64);
        assert!(token || form.method != "post", "{place}: {form:?} has no token");
    }
    found.len()
}

/// Whether it is what a form from elsewhere is told.
pub fn is_foreign(answer: &Answer) -> bool {
    answer.status == 403 && answer.body.contains("sent from another site")
}

/// Whether it is for somebody to log in first.
pub fn is_login(answer: &Answer) -> bool {
    ["/me", "/"].contains(&answer.header("location")) || answer.body.contains("current-password")
}
