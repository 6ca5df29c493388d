//! A real browser for tests of pages: headless Chromium, driven through chromedriver as a person would.
//!
//! ```text
//! test ─ Browser ─ WebDriver (JSON over HTTP, plain and blocking) ─ chromedriver ─ chromium ─ the portal under test
//! ```
//! A test binary says `mod support;` before `mod browser_support;`. Invariants: one browser at a time in a test binary, each with a
//! profile of its own in the test's scratch directory; every wait has a deadline that a slow machine keeps; whatever a browser started
//! ends with its guard; pictures go to `target/screenshots/`, and with `UPDATE_DOCS=1` those for the guides into `docs/guide/images/`.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "each test binary compiles this module and uses its own part of it; deadlines are real time"
)]

mod driver;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use self::driver::{Driver, Fault};
use super::support::Scratch;
use super::support::process::program;

/// How long a page or something on it may take to appear, on a machine that is busy with something else.
const APPEARS: Duration = Duration::from_secs(90);
/// A picture in a guide is no larger.
const PICTURE_MAX: u64 = 40 * 1024;

/// The keys of WebDriver (§17.4.2).
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";
pub const SPACE: &str = " ";

/// Two browsers at once are more than a small machine has memory and time for.
static ONE: Mutex<()> = Mutex::new(());

/// A browser with one page, as large as a phone.
pub struct Browser {
    driver: Driver,
    _one: MutexGuard<'static, ()>,
}

/// Something on the page.
#[derive(Clone, Debug)]
pub struct Element(String);

/// Light or dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

impl Browser {
    /// A phone of 360 by 740 pixels that speaks English.
    pub fn open(scratch: &Scratch) -> Browser {
        Browser::speaking(scratch, "en")
    }

    /// The same in another language.
    pub fn speaking(scratch: &Scratch, language: &str) -> Browser {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = scratch.join(&format!("chromium-{language}"));
        let flags: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--disable-extensions",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
        ]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("--user-data-dir={}", profile.display()), format!("--lang={language}")])
        .collect();
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": program("chromium"),
                "args": flags,
                "prefs": { "intl.accept_languages": language },
            },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "timeouts": { "pageLoad": 120_000, "script": 60_000, "implicit": 0 },
        } } });
        let driver = Driver::start(Command::new(program("chromedriver")), scratch, &capabilities);
        let browser = Browser { driver, _one: one };
        // What a new browser shows and asks for by itself is none of a test's.
        browser.go("about:blank");
        browser.width(360);
        browser.requests();
        browser.complaints();
        browser
    }

    /// Goes to `url`, and waits until it is loaded.
    pub fn go(&self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url }));
    }

    pub fn reload(&self) {
        self.command("POST", "/refresh", &json!({}));
    }

    pub fn back(&self) {
        self.command("POST", "/back", &json!({}));
    }

    pub fn url(&self) -> String {
        self.command("GET", "/url", &Value::Null).as_str().unwrap().to_owned()
    }

    pub fn title(&self) -> String {
        self.command("GET", "/title", &Value::Null).as_str().unwrap().to_owned()
    }

    /// The page's HTML as the browser has it.
    pub fn source(&self) -> String {
        self.command("GET", "/source", &Value::Null).as_str().unwrap().to_owned()
    }

    /// What a person reads on the page.
    pub fn text(&self) -> String {
        self.read("body")
    }

    /// Waits until the page says `text`; returns all that it says.
    pub fn wait_for_text(&self, text: &str) -> String {
        let mut last = String::new();
        let found = poll_or(APPEARS, || {
            last = self.try_read("body")?;
            last.contains(text).then(|| last.clone())
        });
        found.unwrap_or_else(|| panic!("{text:?} did not appear at {}; the page says:\n{last}", self.url()))
    }

    /// Waits for the first element that `css` selects.
    pub fn find(&self, css: &str) -> Element {
        poll_or(APPEARS, || self.all(css).into_iter().next())
            .unwrap_or_else(|| panic!("no {css} at {}:\n{}", self.url(), self.source()))
    }

    /// All that `css` selects at this moment.
    pub fn all(&self, css: &str) -> Vec<Element> {
        let found = self.attempt("POST", "/elements", &json!({ "using": "css selector", "value": css }));
        let Ok(found) = found else { return Vec::new() };
        let id = |element: &Value| element.as_object()?.values().next()?.as_str().map(str::to_owned);
        found.as_array().unwrap().iter().filter_map(id).map(Element).collect()
    }

    pub fn has(&self, css: &str) -> bool {
        !self.all(css).is_empty()
    }

    /// What is read of the first element that `css` selects.
    pub fn read(&self, css: &str) -> String {
        poll_or(APPEARS, || self.try_read(css)).unwrap_or_else(|| panic!("no {css} at {}", self.url()))
    }

    /// An attribute of it; `None` where it has none.
    pub fn attribute(&self, css: &str, name: &str) -> Option<String> {
        let Element(id) = self.find(css);
        let value = self.command("GET", &format!("/element/{id}/attribute/{name}"), &Value::Null);
        value.as_str().map(str::to_owned)
    }

    /// What assistive technology calls it (accessible name).
    pub fn label(&self, css: &str) -> String {
        let Element(id) = self.find(css);
        let value = self.command("GET", &format!("/element/{id}/computedlabel"), &Value::Null);
        value.as_str().unwrap().to_owned()
    }

    /// Types into it.
    pub fn fill(&self, css: &str, text: &str) {
        self.on(css, "/value", &json!({ "text": text }));
    }

    /// Clicks it.
    pub fn click(&self, css: &str) {
        self.on(css, "/click", &json!({}));
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub fn press(&self, keys: &[&str]) {
        let actions: Vec<Value> = keys
            .iter()
            .flat_map(|key| {
                [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
            })
            .collect();
        let source = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.command("POST", "/actions", &json!({ "actions": [source] }));
    }

    /// Lets `origin` show notifications, as a person does who is asked.
    pub fn may_notify(&self, origin: &str) {
        self.cdp("Browser.grantPermissions", &json!({ "origin": origin, "permissions": ["notifications"] }));
    }

    /// Runs `script` in every page from the next one on, before the page's own.
    pub fn before_pages(&self, script: &str) {
        self.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }));
    }

    /// Brings `data` to the service workers of `origin`, as a push service does whose messages this browser cannot get here.
    pub fn push(&self, origin: &str, data: &str) {
        self.cdp("ServiceWorker.enable", &json!({}));
        // Numbered from 0 in a new profile; a number that is nobody's is passed over.
        for number in 0..3 {
            let message = json!({ "origin": origin, "registrationId": number.to_string(), "data": data });
            let _nobody = self.attempt(
                "POST",
                "/goog/cdp/execute",
                &json!({ "cmd": "ServiceWorker.deliverPushMessage", "params": message }),
            );
        }
    }

    /// Runs a script in the page (WebDriver's own: the page's policy does not hold for it); what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Runs a script that calls its last argument when it is done.
    pub fn run_async(&self, script: &str) -> Value {
        self.command("POST", "/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// A command of the Chrome DevTools Protocol.
    pub fn cdp(&self, command: &str, parameters: &Value) -> Value {
        self.command("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// A command of WebDriver beneath `/session/ID`, such as `POST /webauthn/authenticator`.
    pub fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.attempt(method, path, body).unwrap_or_else(|fault| panic!("{method} {path}: {fault:?}"))
    }

    /// The same where it may fail.
    pub fn attempt(&self, method: &str, path: &str, body: &Value) -> Result<Value, Fault> {
        self.driver.session(method, path, body)
    }

    /// A page so many CSS pixels wide.
    pub fn width(&self, pixels: u32) {
        let size = json!({ "width": pixels, "height": 740, "deviceScaleFactor": 1, "mobile": pixels < 600 });
        self.cdp("Emulation.setDeviceMetricsOverride", &size);
    }

    pub fn scheme(&self, scheme: Scheme) {
        let value = if scheme == Scheme::Dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.cdp("Emulation.setEmulatedMedia", &features);
    }

    /// Whether the page is wider than the screen, so that a person would have to scroll sideways.
    pub fn overflows(&self) -> bool {
        let wider = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        self.run(wider).as_bool().unwrap()
    }

    /// Scripts of pages run, or not, from the next page on.
    pub fn scripts(&self, run: bool) {
        self.cdp("Emulation.setScriptExecutionDisabled", &json!({ "value": !run }));
    }

    /// A picture of what is on the screen, as `target/screenshots/NAME.png`.
    pub fn picture(&self, name: &str) -> PathBuf {
        save(name, &self.shot())
    }

    /// A picture of one element, whole, as `target/screenshots/NAME.png`.
    pub fn picture_of(&self, css: &str, name: &str) -> PathBuf {
        use base64::Engine as _;
        let Element(id) = self.find(css);
        let picture = self.command("GET", &format!("/element/{id}/screenshot"), &Value::Null);
        save(name, &base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap()).unwrap())
    }

    /// A picture for a guide: kept like any other, and written to `docs/guide/images/` where `UPDATE_DOCS` says so. It has to be
    /// there already, or the guide shows nothing.
    pub fn picture_for_guide(&self, name: &str) {
        let picture = self.shot();
        save(name, &picture);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/guide/images/{name}.png"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &picture).unwrap();
        }
        // Another machine has other fonts: what is in the repository counts.
        let kept = fs::metadata(&path)
            .unwrap_or_else(|_| panic!("{} is missing; UPDATE_DOCS=1 makes it", path.display()));
        assert!(kept.len() < PICTURE_MAX, "{} has {} octets", path.display(), kept.len());
    }

    /// Everything that pages asked for since this was asked last: URLs, in order.
    pub fn requests(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", &json!({ "type": "performance" }));
        let entries = log.as_array().unwrap().iter();
        let messages =
            entries.filter_map(|entry| serde_json::from_str::<Value>(entry["message"].as_str()?).ok());
        messages
            .filter(|message| message["message"]["method"] == "Network.requestWillBeSent")
            .filter_map(|message| message["message"]["params"]["request"]["url"].as_str().map(str::to_owned))
            .collect()
    }

    /// What the browser complains of since this was asked last: what a policy refused, scripts that failed, pages that were not
    /// there.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", &json!({ "type": "browser" }));
        let severe = log.as_array().unwrap().iter().filter(|entry| entry["level"] != "INFO");
        severe.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn try_read(&self, css: &str) -> Option<String> {
        let Element(id) = self.all(css).into_iter().next()?;
        // It may have gone with its page meanwhile.
        let text = self.attempt("GET", &format!("/element/{id}/text"), &Value::Null).ok()?;
        text.as_str().map(str::to_owned)
    }

    /// Does something to an element, also where its page is replaced by the next one in between.
    fn on(&self, css: &str, path: &str, body: &Value) {
        let mut last = None;
        let done = poll_or(APPEARS, || {
            let Element(id) = self.all(css).into_iter().next()?;
            match self.attempt("POST", &format!("/element/{id}{path}"), body) {
                Ok(_) => Some(()),
                Err(fault) if fault.may_pass() => {
                    last = Some(fault);
                    None
                }
                Err(fault) => panic!("{css}: {fault:?}"),
            }
        });
        assert!(done.is_some(), "{css} at {}: {last:?}\n{}", self.url(), self.source());
    }

    fn shot(&self) -> Vec<u8> {
        use base64::Engine as _;
        let picture = self.command("GET", "/screenshot", &Value::Null);
        base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap()).unwrap()
    }
}

/// What `attempt` has in the end; `None` where it had nothing within so long.
fn poll_or<T>(within: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = std::time::Instant::now();
    loop {
        if let Some(found) = attempt() {
            return Some(found);
        }
        if begin.elapsed() >= within {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn save(name: &str, picture: &[u8]) -> PathBuf {
    // Beside the program under test: target/debug/radmfa.
    let target = Path::new(env!("CARGO_BIN_EXE_radmfa")).ancestors().nth(2).unwrap();
    let folder = target.join("screenshots");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.png"));
    fs::write(&path, picture).unwrap();
    path
}
