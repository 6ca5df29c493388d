//! What holds for every page, seen by a real browser.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod browser_support;
mod support;

use browser_support::{Browser, Scheme};
use support::{Radmfa, Scratch, free_port};

/// A server with a portal; its URL.
fn serve(scratch: &Scratch) -> (Radmfa, String) {
    let port = free_port();
    let portal = format!("listen=127.0.0.1:{port},public-url=http://localhost:{port}");
    let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
    let primary = "name=own,type=local";
    let radmfa = Radmfa::serve(
        scratch,
        &["--server-name", "mfa-a", "--store", &store, "--primary", primary, "--portal", &portal],
    );
    (radmfa, format!("http://localhost:{port}"))
}

#[test]
fn a_page_that_is_not_there_says_so_in_the_browsers_language_and_fits_a_phone() {
    let scratch = Scratch::new("browser-fault");
    let (_radmfa, url) = serve(&scratch);
    {
        let browser = Browser::speaking(&scratch, "hu");
        browser.go(&format!("{url}/nowhere"));
        assert!(browser.text().contains("Itt nincs semmi"), "{}", browser.text());
        assert_eq!(browser.attribute("html", "lang").as_deref(), Some("hu"));
    }
    let browser = Browser::open(&scratch);
    browser.go(&format!("{url}/nowhere"));
    assert!(browser.text().contains("Nothing here"), "{}", browser.text());
    assert!(!browser.overflows());
    let ground = || browser.run("return getComputedStyle(document.body).backgroundColor").to_string();
    browser.scheme(Scheme::Light);
    let light = ground();
    browser.picture("fault-light");
    browser.scheme(Scheme::Dark);
    assert_ne!(ground(), light, "dark is another colour");
    browser.picture("fault-dark");
    let foreign: Vec<String> = browser
        .requests()
        .into_iter()
        .filter(|asked| !asked.starts_with(&url) && asked != "data:,")
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let complaints: Vec<String> =
        browser.complaints().into_iter().filter(|line| !line.contains("404")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn the_policy_keeps_a_page_from_running_what_is_written_into_it_and_from_being_framed() {
    let scratch = Scratch::new("browser-policy");
    let (_radmfa, url) = serve(&scratch);
    let browser = Browser::open(&scratch);
    browser.go(&format!("{url}/nowhere"));
    browser.complaints();
    browser.run(
        "const script = document.createElement('script'); script.textContent = 'document.title = \"run\"';
         document.body.append(script);
         const style = document.createElement('style'); style.textContent = 'body { display: none }';
         document.head.append(style);",
    );
    assert_ne!(browser.title(), "run");
    assert_ne!(browser.run("return getComputedStyle(document.body).display"), "none");
    let refused = browser.complaints();
    assert!(refused.iter().any(|line| line.contains("Content Security Policy")), "{refused:?}");
    // Another origin: the name of the host is another one.
    let frame = format!("<iframe src='{url}/nowhere'></iframe>");
    let page = scratch.join("frame.html");
    std::fs::write(&page, frame).unwrap();
    browser.go(&format!("file://{}", page.display()));
    let refused = browser.complaints();
    assert!(
        refused.iter().any(|line| line.contains("frame-ancestors") || line.contains("X-Frame")),
        "{refused:?}"
    );
}
