//! Every way in to the portal and the admins' pages, attacked: forms of other sites, redirects that lead away, methods and sizes that
//! nobody asked for. What there is comes from the table that the program serves by (`portal/ways.rs`), so that a page cannot be there and
//! not be attacked. Guesses, and what must stay secret: `pages_secrets.rs`.

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

use pages_support::Estate;
use pages_support::estate::sample;
use pages_support::rules::{declared, inspect, is_foreign, is_login};
use radmfa::portal::ways::{ADMIN, PORTAL, Proof, Way};
use support::caller::{Caller, FORM, JSON, fields, hidden};

#[test]
fn a_form_of_another_site_or_without_the_token_of_its_own_page_changes_nothing_anywhere() {
    let estate = Estate::open("attack-forms");
    let seats = [
        (estate.seat(&estate.portal, "alice", 2), estate.seat(&estate.portal, "bob", 3)),
        (estate.seat(&estate.admin, "olga", 2), estate.seat(&estate.admin, "ned", 3)),
        (estate.invited("ivy", 4), estate.invited("petra", 5)),
    ];
    let token_at =
        |caller: &Caller, path: &str| hidden(&caller.send("GET", path, &[], "").body, "form-token");
    let samples: Vec<_> =
        estate.ways().into_iter().map(|(at, way)| (at, way, sample(way, &estate))).collect();
    let before = estate.state();
    let mut tried = 0;
    for (at, way, path) in &samples {
        let Some(proof @ (Proof::Visit | Proof::Seat)) = way.post else { continue };
        let own = if *at == estate.admin { "/" } else { "/me" };
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
    assert_eq!(estate.state(), before);
    // None of it was refused for another reason: with the token of its page each form is taken.
    let again = [estate.seat(&estate.portal, "carol", 2), estate.seat(&estate.portal, "dave", 2)];
    let mut seats = [again.to_vec(), vec![seats[1].0.clone(), seats[1].1.clone()], vec![seats[2].0.clone()]];
    for (at, way, path) in &samples {
        if way.post != Some(Proof::Seat) {
            continue;
        }
        let setup = path.starts_with("/setup");
        let own = if *at == estate.admin { "/" } else { "/me" };
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
    let estate = Estate::open("attack-redirects");
    let seats = [
        estate.seat(&estate.portal, "alice", 2),
        estate.invited("ivy", 3),
        estate.seat(&estate.admin, "olga", 2),
        Caller::new(4, &estate.portal),
        Caller::new(4, &estate.admin),
    ];
    let mut shown = 0;
    for (at, way) in estate.ways() {
        let ways: Vec<Way> = if at == estate.admin { ADMIN.to_vec() } else { PORTAL.to_vec() };
        let path = sample(way, &estate);
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
                        &caller.send("GET", if at == estate.admin { "/" } else { "/me" }, &[], "").body,
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
    for host in [&estate.portal, &estate.admin] {
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

#[test]
fn methods_and_sizes_that_nobody_asked_for_are_refused_and_break_nothing() {
    let estate = Estate::open("attack-methods");
    for (at, way) in estate.ways() {
        let path = sample(way, &estate);
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
    for host in [&estate.portal, &estate.admin] {
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
