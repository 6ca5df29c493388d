//! What could be guessed at the portal, at the admins' pages and at the interface for programs, and what must not be read from them:
//! whoever guesses is stopped at every door, no route of the interface goes without a token, and no secret leaves by a log or a referer.
//! What there is comes from the tables that the program serves by (`portal/ways.rs`, `portal/admin/api/routes.rs`), so that a door cannot
//! be there and not be tried.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and asks the real clock for the codes of this moment"
)]

mod cli_support;
mod pages_support;
mod support;

use std::collections::BTreeSet;

use pages_support::estate::{PASSWORD, guess};
use pages_support::rules::inspect;
use pages_support::{Estate, SEED};
use radmfa::portal::admin::api::routes::ROUTES;
use radmfa::portal::ways::{ADMIN, Look, PORTAL, Proof};
use serde_json::json;
use support::caller::{Caller, FORM, JSON, encoded, fields, hidden};
use support::http::Answer;
use support::push_service::Browser;
use support::webhook::seconds_now;

#[test]
fn what_can_be_guessed_is_declared_to_be_counted() {
    for way in PORTAL.iter().chain(ADMIN) {
        let secret = way.path.contains("{secret}") || way.path.contains("{token}");
        let typed = way.fields.iter().any(|name| ["password", "code", "pin", "secret"].contains(name));
        assert!(!(secret || typed) || way.counted, "{} takes what could be guessed", way.path);
        assert!(way.get.is_some() || way.post.is_some(), "{}", way.path);
        assert!(
            way.post != Some(Proof::Seat) || way.get.is_none_or(|look| look == Look::Seat),
            "{}",
            way.path
        );
    }
    let paths: BTreeSet<_> = PORTAL.iter().map(|way| way.path).collect();
    assert_eq!(paths.len(), PORTAL.len(), "a path stands there once");
}

/// What stops a request that is sent again and again, at most a hundred times. Refusals take their time, so many are under way at once.
fn stopped(
    caller: &Caller,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Answer> {
    let send = || caller.send(method, path, headers, body);
    (0..10).find_map(|_| {
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let under_way: Vec<_> = (0..10).map(|_| scope.spawn(send)).collect();
            under_way.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        answers.into_iter().find(|answer| answer.status == 429)
    })
}

#[test]
fn whoever_guesses_is_stopped_and_told_so_at_every_door() {
    let estate = Estate::open("attack-guesses");
    let phone = Browser::new(&estate.service, "phone");
    let mut last = 20;
    for (at, way) in estate.ways().into_iter().filter(|(_, way)| way.counted) {
        let methods = [("GET", way.get.is_some_and(|look| look != Look::Seat)), ("POST", way.post.is_some())];
        for (method, _) in methods.into_iter().filter(|(_, is)| *is) {
            // From an address of its own: what is counted for one door is not what stops another.
            last += 1;
            let mut caller = Caller::new(last, at);
            let visit = |caller: &mut Caller, path: &str| {
                hidden(&caller.visit("GET", path, &[], "").body, "form-token").unwrap_or_default()
            };
            let path = guess(way);
            let (headers, body) = match (way.path, method) {
                ("/me/login" | "/login", _) => {
                    let token = visit(&mut caller, if at == estate.admin { "/" } else { "/me" });
                    // A State that is none: no password is asked for, and it counts all the same.
                    let pairs = [
                        ("form-token", token.as_str()),
                        ("user", "alice"),
                        ("state", "00"),
                        ("code", "123456"),
                    ];
                    (vec![FORM], fields(&pairs))
                }
                ("/setup/totp", _) => {
                    caller = estate.invited("ivy", last);
                    let token = visit(&mut caller, "/setup/totp");
                    (vec![FORM], fields(&[("form-token", &token), ("code", "000000")]))
                }
                ("/me/phone/code", _) => {
                    caller = estate.seat(&estate.portal, "alice", last);
                    let token = visit(&mut caller, "/me");
                    (vec![FORM], fields(&[("form-token", &token), ("code", "000000")]))
                }
                // The form alone.
                ("/enrol", "GET") => continue,
                ("/enrol", _) => {
                    let token = visit(&mut caller, "/enrol");
                    let pairs = [("form-token", token.as_str()), ("user", "alice"), ("code", "ABCD-EFGH")];
                    (vec![FORM], fields(&pairs))
                }
                ("/setup/passkey/begin", _) => {
                    caller = estate.invited("ivy", last);
                    let token = visit(&mut caller, "/setup/passkey");
                    (vec![FORM], fields(&[("form-token", &token)]))
                }
                ("/me/passkey" | "/me/passkey/begin", _) => {
                    let token = visit(&mut caller, "/me");
                    (vec![FORM], fields(&[("form-token", &token), ("user", "alice")]))
                }
                ("/a/{token}" | "/a/{token}/passkey" | "/enrol/{secret}", "POST") => {
                    let token = visit(&mut caller, "/me");
                    (vec![FORM], fields(&[("form-token", &token)]))
                }
                ("/device/api/register", _) => {
                    let address = phone.address();
                    let parts: Vec<&str> = address.split(' ').collect();
                    let (key, secret) = (phone.public_key(), "0".repeat(32));
                    let signature = phone.sign(&["radmfa register", &secret, &key, parts[0]]);
                    let body = json!({
                        "secret": secret, "name": "x", "key": key, "endpoint": parts[0], "p256dh": parts[1], "auth": parts[2],
                        "signature": signature,
                    });
                    (vec![JSON], body.to_string())
                }
                ("/device/api/questions", _) => {
                    (vec![JSON], phone.asks("alice", "1", seconds_now()).to_string())
                }
                ("/device/api/answer", _) => {
                    (vec![JSON], phone.answers(("alice", "1"), &"0".repeat(32), "approve", "47").to_string())
                }
                ("/api/{*rest}", "GET") => (vec![("Authorization", "Bearer radmfa-guess")], String::new()),
                ("/api/{*rest}", _) => continue,
                ("/device/api/act/{token}" | "/a/{token}" | "/enrol/{secret}", _) => (vec![], String::new()),
                (path, method) => panic!("say here what a guess at {method} {path} is"),
            };
            let stopped = stopped(&caller, method, &path, &headers, &body);
            let stopped =
                stopped.unwrap_or_else(|| panic!("nobody stops who guesses at {method} {}", way.path));
            inspect(at, &path, &stopped);
            let says = ["Too many attempts", "too-many", "too many"]
                .iter()
                .any(|words| stopped.body.contains(words));
            assert!(says, "{}: {}", way.path, stopped.body);
            // Others are not.
            let other = Caller::new(199, at).send(method, &path, &headers, &body);
            assert!(other.status != 429, "{}: {other:?}", way.path);
        }
    }
}

#[test]
fn every_route_of_the_interface_wants_a_token_and_no_cookie_stands_for_one() {
    let estate = Estate::open("attack-api");
    let admin = estate.seat(&estate.admin, "olga", 2);
    let before = estate.state();
    for route in &ROUTES {
        let path = format!("/api/v1{}", route.path.replace("{name}", "carol"));
        let path = path
            .replace("{serial}", "T-carol")
            .replace("{device}", "1")
            .replace("{passkey}", "1")
            .replace("{id}", "1");
        assert!(!path.contains('{'), "say here what stands in the places of {path}");
        let body = if route.method == "POST" {
            let pairs = route.body.iter().map(|field| (field.name.to_owned(), json!("1h")));
            serde_json::Value::Object(pairs.collect()).to_string()
        } else {
            String::new()
        };
        // A route of its own for each: wrong tokens are counted.
        let callers = [admin.clone(), Caller::new(3, &estate.admin)];
        for caller in &callers {
            for header in [JSON, ("Authorization", "Basic b2xnYTpjb3JyZWN0"), ("Cookie", "token=x")] {
                let answer =
                    caller.send(route.method, &path, &[header, ("Origin", "https://evil.example")], &body);
                inspect(&estate.admin, &path, &answer);
                let open = path.ends_with("/openapi.json");
                assert_eq!(
                    answer.status,
                    if open { 200 } else { 401 },
                    "{} {path}: {answer:?}",
                    route.method
                );
            }
        }
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            if ROUTES.iter().any(|other| other.path == route.path && other.method == method) {
                continue;
            }
            let answer = callers[1].send(method, &path, &[JSON], &body);
            inspect(&estate.admin, &path, &answer);
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    assert_eq!(estate.state(), before);
}

#[test]
fn no_secret_is_in_the_log_and_none_goes_out_in_a_referer() {
    let estate = Estate::open("attack-log");
    let link = estate.invitation("petra");
    let (page, button) = estate.notification();
    let mut secrets: Vec<String> =
        [&link, &page, &button].map(|path| path.rsplit('/').next().unwrap().to_owned()).into();
    for caller in [estate.seat(&estate.portal, "alice", 2), estate.seat(&estate.admin, "olga", 2)] {
        secrets.extend(caller.cookies.values().cloned());
        let own = caller.send("GET", if caller.host == estate.admin { "/" } else { "/me" }, &[], "");
        secrets.extend(hidden(&own.body, "form-token"));
    }
    let mut ivy = estate.invited("ivy", 3);
    let setup = ivy.visit("GET", "/setup/totp", &[], "");
    let letters = setup.body.split("id=\"letters\">").nth(1).unwrap().split('<').next().unwrap();
    secrets.extend([
        letters.to_owned(),
        letters.replace(' ', ""),
        PASSWORD.to_owned(),
        encoded(PASSWORD),
        SEED.to_owned(),
    ]);
    for path in [&link, &page] {
        let shown = Caller::new(4, &estate.portal).send("GET", path, &[], "");
        assert_eq!(shown.status, 200, "{shown:?}");
        // A link to another site would be told where it was followed from by nobody but ourselves.
        assert_eq!(shown.header("referrer-policy"), "same-origin");
        secrets.extend(hidden(&shown.body, "form-token"));
        // A broken request, and one that is refused, are where a log would show what was asked for.
        Caller::new(4, &estate.portal).send("PUT", path, &[], "");
        Caller::new(4, &estate.portal).send("POST", path, &[FORM], "form-token=x");
    }
    Caller::new(4, &estate.portal).send("POST", &button, &[], "");
    // Logs are written behind what they tell of: this comes after all of it.
    estate.desk.ok("user block alice --for 1h --reason end-of-the-test");
    Caller::new(4, &estate.portal).send("GET", "/me", &[], "");
    let mut server = estate.server;
    server.terminate();
    let log = server.log();
    assert!(log.lines().count() > 5 && log.contains("alice"), "{log}");
    for secret in secrets {
        assert!(secret.len() > 12 && !log.contains(&secret), "{secret} is in the log:\n{log}");
    }
}
