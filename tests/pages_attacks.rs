//! Every way in to the portal, the admins' pages and the interface for programs, attacked: forms of other sites, redirects that lead
//! away, guesses, methods and sizes that nobody asked for. What there is comes from the tables that the program serves by
//! (`portal/ways.rs`, `portal/admin/api/routes.rs`), so that a page cannot be there and not be attacked.

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

use pages_support::{House, PASSWORD, SEED, declared, guess, inspect, is_foreign, is_login, sample};
use radmfa::portal::admin::api::routes::ROUTES;
use radmfa::portal::ways::{ADMIN, Look, PORTAL, Proof, Way};
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

#[test]
fn a_form_of_another_site_or_without_the_token_of_its_own_page_changes_nothing_anywhere() {
    let house = House::open("attack-forms");
    let seats = [
        (house.seat(&house.portal, "alice", 2), house.seat(&house.portal, "bob", 3)),
        (house.seat(&house.admin, "olga", 2), house.seat(&house.admin, "ned", 3)),
        (house.invited("ivy", 4), house.invited("petra", 5)),
    ];
    let token_at =
        |caller: &Caller, path: &str| hidden(&caller.send("GET", path, &[], "").body, "form-token");
    let samples: Vec<_> = house.ways().into_iter().map(|(at, way)| (at, way, sample(way, &house))).collect();
    let before = house.state();
    let mut tried = 0;
    for (at, way, path) in &samples {
        let Some(proof @ (Proof::Visit | Proof::Seat)) = way.post else { continue };
        let own = if *at == house.admin { "/" } else { "/me" };
        let (caller, token, other) = if proof == Proof::Seat {
            let setup = path.starts_with("/setup");
            let (mine, theirs) = &seats[if setup { 2 } else { usize::from(own == "/") }];
            let page = if setup { "/setup/totp" } else { own };
            (mine.clone(), token_at(mine, page).unwrap(), token_at(theirs, page).unwrap())
        } else {
            let page = if way.get.is_some() { path.as_str() } else { own };
            let (mut mine, mut theirs) = (Caller::new(6, at), Caller::new(7, at));
            let token =
                |caller: &mut Caller| hidden(&caller.visit("GET", page, &[], "").body, "form-token").unwrap();
            let tokens = (token(&mut mine), token(&mut theirs));
            (mine, tokens.0, tokens.1)
        };
        assert_ne!(token, other, "{path}");
        // What it would do if it were taken: each field says something.
        let meant = |token: Option<&str>| {
            let mut pairs: Vec<(&str, &str)> = token.map(|token| ("form-token", token)).into_iter().collect();
            let value = |name: &str| match name {
                "name" => "carol",
                "act" => "disable",
                "serial" => "T-alice",
                "verdict" => "deny",
                _ => "1",
            };
            pairs.extend(way.fields.iter().map(|name| (*name, value(name))));
            fields(&pairs)
        };
        let right = meant(Some(&token));
        let port = at.rsplit(':').next().unwrap();
        let (twin, suffixed) =
            (format!("http://localhost.evil.example:{port}"), format!("https://localhost:{port}"));
        let foreign = [
            ("Origin", "https://evil.example"),
            ("Origin", "null"),
            ("Origin", ""),
            ("Origin", &twin),
            ("Origin", &suffixed),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
        ];
        for header in foreign {
            let answer = caller.send("POST", path, &[FORM, header], &right);
            inspect(at, path, &answer);
            assert!(is_foreign(&answer), "{path} {header:?}: {answer:?}");
        }
        for token in
            [None, Some(""), Some("0"), Some(other.as_str()), Some(&token[1..]), Some(&"0".repeat(64))]
        {
            let answer = caller.send("POST", path, &[FORM], &meant(token));
            inspect(at, path, &answer);
            assert!(is_foreign(&answer), "{path} with {token:?}: {answer:?}");
        }
        for kind in ["text/plain", "application/json", "multipart/form-data; boundary=x"] {
            let answer = caller.send("POST", path, &[("Content-Type", kind)], &right);
            inspect(at, path, &answer);
            assert_eq!(answer.status, 400, "{path} {kind}");
        }
        // The token stands in the form, and nowhere else; without the cookie it is worth nothing.
        let query = format!("{path}?{right}");
        assert!(is_foreign(&caller.send("POST", &query, &[FORM], &meant(None))), "{path}");
        let stranger = Caller::new(8, at);
        let answer = stranger.send("POST", path, &[FORM], &right);
        assert!(is_foreign(&answer) || is_login(&answer), "{path}: {answer:?}");
        tried += 1;
    }
    assert!(tried >= 13, "{tried}");
    // A look changes nothing either, whatever it says, and from wherever it comes.
    for (at, way, path) in &samples {
        let seated = [&seats[0].0, &seats[1].0, &seats[2].0].into_iter().filter(|caller| caller.host == **at);
        for caller in seated.filter(|_| way.get.is_some()) {
            let pairs: Vec<(&str, &str)> = way.fields.iter().map(|name| (*name, "deny")).collect();
            for method in ["GET", "HEAD"] {
                let query = format!("{path}?{}", fields(&pairs));
                inspect(at, path, &caller.send(method, &query, &[("Sec-Fetch-Site", "cross-site")], ""));
            }
        }
    }
    assert_eq!(house.state(), before);
    // None of it was refused for another reason: with the token of its page each form is taken.
    let again = [house.seat(&house.portal, "carol", 2), house.seat(&house.portal, "dave", 2)];
    let mut seats = [again.to_vec(), vec![seats[1].0.clone(), seats[1].1.clone()], vec![seats[2].0.clone()]];
    for (at, way, path) in &samples {
        if way.post != Some(Proof::Seat) {
            continue;
        }
        let setup = path.starts_with("/setup");
        let own = if *at == house.admin { "/" } else { "/me" };
        let pool = &mut seats[if setup { 2 } else { usize::from(own == "/") }];
        let page = if setup { "/setup/totp" } else { own };
        // A form may have ended the seat, as logging out does.
        while is_login(&pool[0].send("GET", page, &[], "")) {
            pool.remove(0);
        }
        let caller = &pool[0];
        let token = token_at(caller, page).unwrap();
        let answer = caller.send("POST", path, &[FORM], &fields(&[("form-token", &token)]));
        inspect(at, path, &answer);
        assert!(!is_foreign(&answer) && answer.status != 405, "{path}: {answer:?}");
    }
}

#[test]
fn nothing_leads_away_and_nothing_that_is_said_is_taken_for_markup() {
    const NAMES: &[&str] = &[
        "next",
        "url",
        "uri",
        "return",
        "returnTo",
        "return_to",
        "return_url",
        "redirect",
        "redirect_uri",
        "redirect_url",
        "continue",
        "to",
        "goto",
        "go",
        "back",
        "dest",
        "destination",
        "target",
        "rd",
        "u",
        "r",
        "ref",
        "referer",
        "callback",
        "page",
        "path",
        "service",
        "from",
        "file",
        "link",
        "site",
        "view",
    ];
    const EVIL: &[&str] = &[
        "//evil.example/",
        "https://evil.example/",
        "https:evil.example",
        "\\\\evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "%2F%2Fevil.example",
        "javascript:alert(1)//evil.example",
        "\r\nLocation: https://evil.example/",
        "\"><script src=https://evil.example/></script>",
        "'><img src=x onerror=evil.example>",
    ];
    let house = House::open("attack-redirects");
    let seats = [
        house.seat(&house.portal, "alice", 2),
        house.invited("ivy", 3),
        house.seat(&house.admin, "olga", 2),
        Caller::new(4, &house.portal),
        Caller::new(4, &house.admin),
    ];
    let mut shown = 0;
    for (at, way) in house.ways() {
        let ways: Vec<Way> = if at == house.admin { ADMIN.to_vec() } else { PORTAL.to_vec() };
        let path = sample(way, &house);
        for caller in seats.iter().filter(|caller| caller.host == at) {
            for evil in EVIL {
                let pairs: Vec<(&str, &str)> =
                    NAMES.iter().chain(way.fields).map(|name| (*name, *evil)).collect();
                let said = fields(&pairs);
                let headers = [
                    ("X-Forwarded-Host", "evil.example"),
                    ("X-Original-URL", evil.trim_start_matches("\r\n")),
                    ("Referer", "https://evil.example/"),
                ];
                let headers = &headers[..if evil.contains(['\r', '\t']) { 1 } else { 3 }];
                let mut answers = Vec::new();
                if way.get.is_some() {
                    answers.push(caller.send("GET", &format!("{path}?{said}"), headers, ""));
                }
                if matches!(way.post, Some(Proof::Seat | Proof::Visit)) && !way.counted {
                    let token = hidden(
                        &caller.send("GET", if at == house.admin { "/" } else { "/me" }, &[], "").body,
                        "form-token",
                    );
                    let form = format!("form-token={}&{said}", token.unwrap_or_default());
                    answers.push(caller.send("POST", &path, &[FORM], &form));
                }
                for answer in answers {
                    inspect(at, &path, &answer);
                    assert!(!answer.head.contains("evil.example"), "{path}: {answer:?}");
                    if answer.header("content-type").starts_with("text/html") {
                        assert!(
                            !answer.body.contains("<script src=https") && !answer.body.contains("<img src=x"),
                            "{path}: {}",
                            answer.body
                        );
                        shown += declared(&path, &ways, way, &answer.body);
                    }
                }
            }
        }
    }
    assert!(shown > 100, "{shown} forms were seen");
    for host in [&house.portal, &house.admin] {
        let caller = Caller::new(5, host);
        for path in [
            "//evil.example/",
            "//evil.example/me",
            "/%2f%2fevil.example",
            "/me//evil.example",
            "/me/",
            "/%5cevil.example",
            "/.//evil.example",
            "/assets/..%2f..%2fetc%2fpasswd",
        ] {
            let answer = caller.send("GET", path, &[("Host", "evil.example")], "");
            inspect(host, path, &answer);
            assert!([303, 400, 404].contains(&answer.status), "{path}: {answer:?}");
            assert!(!answer.body.contains("evil.example"), "{path}: {}", answer.body);
        }
    }
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
    let house = House::open("attack-guesses");
    let phone = Browser::new(&house.service, "phone");
    let mut last = 20;
    for (at, way) in house.ways().into_iter().filter(|(_, way)| way.counted) {
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
                    let token = visit(&mut caller, if at == house.admin { "/" } else { "/me" });
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
                    caller = house.invited("ivy", last);
                    let token = visit(&mut caller, "/setup/totp");
                    (vec![FORM], fields(&[("form-token", &token), ("code", "000000")]))
                }
                ("/me/phone/code", _) => {
                    caller = house.seat(&house.portal, "alice", last);
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
                    caller = house.invited("ivy", last);
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
fn methods_and_sizes_that_nobody_asked_for_are_refused_and_break_nothing() {
    let house = House::open("attack-methods");
    for (at, way) in house.ways() {
        let path = sample(way, &house);
        let caller = Caller::new(2, at);
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
            let takes = match method {
                "GET" | "HEAD" => way.get.is_some(),
                "POST" => way.post.is_some(),
                _ => false,
            };
            let headers = [
                FORM,
                ("X-HTTP-Method-Override", "POST"),
                ("Access-Control-Request-Method", "POST"),
                ("Origin", "https://evil.example"),
            ];
            let answer = caller.send(method, &format!("{path}?_method=POST"), &headers, "");
            inspect(at, &path, &answer);
            assert_eq!(
                answer.status == 405,
                !takes || (way.path.starts_with("/api/") && method != "GET"),
                "{method} {path}: {answer:?}"
            );
            assert!(answer.status != 405 || !answer.header("allow").is_empty(), "{method} {path}");
            assert!(method != "HEAD" || answer.body.is_empty(), "{path}");
        }
        if way.post.is_some() {
            for body in
                ["x".repeat(16 * 1024 + 1), "a=b&".repeat(4096), "{\"a\":".repeat(3000), "\u{0}".repeat(1000)]
            {
                for kind in [FORM, JSON] {
                    // Whoever says too much may be hung up on.
                    let Some(answer) = caller.try_send("POST", &path, &[kind], &body) else { continue };
                    inspect(at, &path, &answer);
                    assert!((300..500).contains(&answer.status) || is_login(&answer), "{path}: {answer:?}");
                }
            }
        }
        let long = format!("{path}?{}", "a=b&".repeat(2000));
        inspect(at, &path, &caller.send("GET", &long, &[], ""));
    }
    for host in [&house.portal, &house.admin] {
        let caller = Caller::new(3, host);
        for odd in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET /me HTTP/9.9\r\nHost: x\r\n\r\n",
            "\u{0}\u{1}\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n",
        ] {
            let answer = caller.raw(odd.as_bytes());
            assert!(answer.is_none_or(|answer| answer.status < 500), "{odd:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(20_000));
        assert!(caller.raw(long.as_bytes()).is_none_or(|answer| (400..500).contains(&answer.status)));
        let many = caller.request("GET", "/", &[("X-More", "x"); 100], "");
        assert!(caller.raw(many.as_bytes()).is_none_or(|answer| (400..500).contains(&answer.status)));
        // Two lengths, or a length and chunks: what one end takes for a body another may take for a request.
        for twice in ["Content-Length: 4", "Transfer-Encoding: chunked"] {
            let smuggled = format!(
                "POST /me/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n{twice}\r\n\r\n0\r\n\r\nGET /me HTTP/1.1\r\n\r\n"
            );
            let answer = caller.raw(smuggled.as_bytes());
            assert!(answer.is_none_or(|answer| (400..500).contains(&answer.status)), "{twice}");
        }
        assert_eq!(caller.send("GET", "/assets/style.css", &[], "").status, 200, "it stands");
    }
}

#[test]
fn every_route_of_the_interface_wants_a_token_and_no_cookie_stands_for_one() {
    let house = House::open("attack-api");
    let admin = house.seat(&house.admin, "olga", 2);
    let before = house.state();
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
        let callers = [admin.clone(), Caller::new(3, &house.admin)];
        for caller in &callers {
            for header in [JSON, ("Authorization", "Basic b2xnYTpjb3JyZWN0"), ("Cookie", "token=x")] {
                let answer =
                    caller.send(route.method, &path, &[header, ("Origin", "https://evil.example")], &body);
                inspect(&house.admin, &path, &answer);
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
            inspect(&house.admin, &path, &answer);
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    assert_eq!(house.state(), before);
}

#[test]
fn no_secret_is_in_the_log_and_none_goes_out_in_a_referer() {
    let house = House::open("attack-log");
    let link = house.invitation("petra");
    let (page, button) = house.notification();
    let mut secrets: Vec<String> =
        [&link, &page, &button].map(|path| path.rsplit('/').next().unwrap().to_owned()).into();
    for caller in [house.seat(&house.portal, "alice", 2), house.seat(&house.admin, "olga", 2)] {
        secrets.extend(caller.cookies.values().cloned());
        let own = caller.send("GET", if caller.host == house.admin { "/" } else { "/me" }, &[], "");
        secrets.extend(hidden(&own.body, "form-token"));
    }
    let mut ivy = house.invited("ivy", 3);
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
        let shown = Caller::new(4, &house.portal).send("GET", path, &[], "");
        assert_eq!(shown.status, 200, "{shown:?}");
        // A link to another site would be told where it was followed from by nobody but ourselves.
        assert_eq!(shown.header("referrer-policy"), "same-origin");
        secrets.extend(hidden(&shown.body, "form-token"));
        // A broken request, and one that is refused, are where a log would show what was asked for.
        Caller::new(4, &house.portal).send("PUT", path, &[], "");
        Caller::new(4, &house.portal).send("POST", path, &[FORM], "form-token=x");
    }
    Caller::new(4, &house.portal).send("POST", &button, &[], "");
    // Logs are written behind what they tell of: this comes after all of it.
    house.desk.ok("user block alice --for 1h --reason end-of-the-test");
    Caller::new(4, &house.portal).send("GET", "/me", &[], "");
    let mut server = house.server;
    server.terminate();
    let log = server.log();
    assert!(log.lines().count() > 5 && log.contains("alice"), "{log}");
    for secret in secrets {
        assert!(secret.len() > 12 && !log.contains(&secret), "{secret} is in the log:\n{log}");
    }
}
