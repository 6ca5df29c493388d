//! Every way in to the portal and the admins' pages: path, what may be asked of it, and by what whoever changes something is known.
//!
//! ```text
//! request ─ router ─ matched path ─ is it a way of this listener, with this method? ─ handler
//! ```
//! What stands here is served, and nothing else: a route that is not declared answers 404, a method 405 (`web::guard`). So a test that
//! goes through these tables (`tests/pages_attacks.rs`, `pages_secrets.rs`) has been everywhere, and a new page is attacked like all others
//! before anybody sees it. `/api/v1` has a table of its own (`admin/api/routes.rs`), from which its router and its description are made.

use axum::http::Method;

/// One path.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// As the router has it, places in braces.
    pub path: &'static str,
    /// What a GET asks for; `None`: none is taken.
    pub get: Option<Look>,
    /// By what a POST is known to be meant; `None`: none is taken.
    pub post: Option<Proof>,
    /// What its query or form is read for.
    pub fields: &'static [&'static str],
    /// Whether something that others could guess is typed or shown here, so that wrong ones are counted and then refused with 429.
    pub counted: bool,
}

/// What a GET asks for. It changes nothing, whoever has it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The same for everybody.
    Open,
    /// What a secret in the path opens.
    Link,
    /// What somebody who is logged in, or was invited, may see.
    Seat,
    /// The act of a program, by its proof: providers of texts and calls may send GET.
    Proof,
}

/// By what a POST is known to be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A form of a page that needs no session, with the token of the browser's own cookie (`web::sent::Visited`).
    Visit,
    /// A form of a page of a session, with the session's token (`web::sent::Sent`).
    Seat,
    /// A signature, a token or a secret that no browser sends along by itself; cookies mean nothing.
    Shown,
}

impl Way {
    /// Whether a request with this method is taken. HEAD is a GET whose body nobody reads. What is beneath a path that ends in any
    /// other has a table of its own, which knows the methods of each.
    #[must_use]
    pub fn takes(&self, method: &Method) -> bool {
        self.path.ends_with("{*rest}")
            || (self.get.is_some() && (method == Method::GET || method == Method::HEAD))
            || (self.post.is_some() && method == Method::POST)
    }

    /// What is taken, for `Allow`.
    #[must_use]
    pub fn methods(&self) -> &'static str {
        match (self.get.is_some(), self.post.is_some()) {
            (true, true) => "GET,HEAD,POST",
            (true, false) => "GET,HEAD",
            _ => "POST",
        }
    }
}

const fn look(path: &'static str, look: Look) -> Way {
    Way { path, get: Some(look), post: None, fields: &[], counted: false }
}

const fn act(path: &'static str, proof: Proof, fields: &'static [&'static str]) -> Way {
    Way { path, get: None, post: Some(proof), fields, counted: false }
}

const fn both(path: &'static str, look: Look, proof: Proof, fields: &'static [&'static str]) -> Way {
    Way { path, get: Some(look), post: Some(proof), fields, counted: false }
}

const fn reads(way: Way, fields: &'static [&'static str]) -> Way {
    Way { fields, ..way }
}

const fn counted(way: Way) -> Way {
    Way { counted: true, ..way }
}

/// Beneath every listener with pages.
pub static SHARED: &[Way] = &[look("/assets/{name}", Look::Open)];

/// The portal's.
pub static PORTAL: &[Way] = &[
    look("/", Look::Open),
    // What reaches logins without a page.
    act("/push/{channel}", Proof::Shown, &[]),
    both("/sms/{channel}", Look::Proof, Proof::Shown, &[]),
    both("/voice/{channel}", Look::Proof, Proof::Shown, &[]),
    // What a notification opens.
    counted(both(
        "/a/{token}",
        Look::Link,
        Proof::Visit,
        &["verdict", "number", "choice", "ceremony", "credential"],
    )),
    counted(act("/a/{token}/passkey", Proof::Visit, &[])),
    // A device of the channel `web`.
    look("/device", Look::Open),
    look("/device/sw.js", Look::Open),
    look("/device/manifest.webmanifest", Look::Open),
    look("/device/api/about", Look::Open),
    counted(act("/device/api/register", Proof::Shown, &[])),
    counted(act("/device/api/questions", Proof::Shown, &[])),
    counted(act("/device/api/answer", Proof::Shown, &[])),
    counted(act("/device/api/act/{token}", Proof::Shown, &[])),
    // Setting up a factor.
    counted(both("/enrol", Look::Open, Proof::Visit, &["user", "code"])),
    counted(both("/enrol/{secret}", Look::Link, Proof::Visit, &[])),
    look("/setup", Look::Seat),
    counted(both("/setup/totp", Look::Seat, Proof::Seat, &["code"])),
    look("/setup/qr.svg", Look::Seat),
    both("/setup/phone", Look::Seat, Proof::Seat, &["device"]),
    both("/setup/passkey", Look::Seat, Proof::Seat, &["name", "ceremony", "credential"]),
    counted(act("/setup/passkey/begin", Proof::Seat, &["name"])),
    // Self-service.
    look("/me", Look::Seat),
    look("/me/again", Look::Seat),
    counted(act("/me/login", Proof::Visit, &["user", "password", "state", "code"])),
    counted(act("/me/passkey", Proof::Visit, &["user", "ceremony", "credential"])),
    counted(act("/me/passkey/begin", Proof::Visit, &["user"])),
    act("/me/passkey/remove", Proof::Seat, &["passkey"]),
    act("/me/logout", Proof::Seat, &[]),
    act("/me/device", Proof::Seat, &["device"]),
    act("/me/device/name", Proof::Seat, &["device", "name"]),
    act("/me/phone", Proof::Seat, &[]),
    act("/me/phone/add", Proof::Seat, &["phone"]),
    counted(act("/me/phone/code", Proof::Seat, &["code"])),
    act("/me/sessions", Proof::Seat, &["login"]),
    act("/me/token", Proof::Seat, &["serial"]),
    act("/me/settings", Proof::Seat, &["method", "language"]),
    act("/me/codes", Proof::Seat, &[]),
    act("/me/arm", Proof::Seat, &["client"]),
    act("/me/disarm", Proof::Seat, &["client"]),
    act("/me/report", Proof::Seat, &["login"]),
];

/// The admins'.
pub static ADMIN: &[Way] = &[
    look("/", Look::Seat),
    counted(act("/login", Proof::Visit, &["user", "password", "state", "code"])),
    act("/logout", Proof::Seat, &[]),
    reads(look("/users", Look::Seat), &["q", "after"]),
    both("/user", Look::Seat, Proof::Seat, &["name", "act", "reason", "for", "client", "station", "phone"]),
    look("/reports", Look::Seat),
    look("/clients", Look::Seat),
    reads(look("/audit", Look::Seat), &["user", "result", "before"]),
    // Which of these there are stands in `admin/api/routes.rs`.
    counted(both("/api/{*rest}", Look::Proof, Proof::Shown, &[])),
];
