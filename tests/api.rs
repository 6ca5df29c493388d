//! The interface for programs, over HTTP.

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

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pages_support::Office;
use serde_json::{Value, json};
use support::http::{get, request};
use support::process::run;

fn why() -> Value {
    json!({ "reason": "ticket 4711" })
}

/// Whether `value` is as `schema` of `document` says; what is wrong where it is not.
fn fits(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target =
            document.pointer(reference.trim_start_matches('#')).ok_or_else(|| format!("no {reference}"))?;
        return fits(document, target, value, place);
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return Err(format!("{place}: the schema has no type")),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !kinds.contains(&kind) {
        return Err(format!("{place}: {value} is no {kinds:?}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{place}: {value} is none of {words:?}"));
    }
    if let Value::Array(items) = value {
        for (index, item) in items.iter().enumerate() {
            fits(document, &schema["items"], item, &format!("{place}[{index}]"))?;
        }
    }
    if let (Value::Object(found), Some(known)) = (value, schema["properties"].as_object()) {
        for needed in schema["required"].as_array().into_iter().flatten() {
            let needed = needed.as_str().unwrap();
            found.get(needed).ok_or_else(|| format!("{place} lacks {needed}"))?;
        }
        for (name, inner) in found {
            let schema = known.get(name).ok_or_else(|| format!("{place} has an unknown {name}"))?;
            fits(document, schema, inner, &format!("{place}.{name}"))?;
        }
    }
    Ok(())
}

#[test]
fn every_route_of_the_description_is_there_and_answers_as_it_says() {
    let office = Office::open("api-description");
    let document = get(&office.host, "/api/v1/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let bodies = |id: &str| match id {
        "blockUser" => json!({ "reason": "test", "for": "1h" }),
        "openBypass" => json!({ "reason": "test", "for": "1h", "client": "nas", "station": null }),
        "inviteUser" => json!({ "reason": "test", "for": "1h", "send": null }),
        "changePhone" => json!({ "reason": "test", "phone": "+36309999999" }),
        "setRole" => json!({ "reason": "test", "role": null }),
        _ => json!({ "reason": "test" }),
    };
    let mut walked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let concrete = path
            .replace("{name}", "alice")
            .replace("{serial}", "T-1")
            .replace("{device}", "phone")
            .replace("{passkey}", "key");
        let short = concrete.strip_prefix("/api/v1").unwrap();
        for (method, operation) in methods.as_object().unwrap() {
            walked += 1;
            let (method, id) = (method.to_uppercase(), operation["operationId"].as_str().unwrap());
            if id == "description" {
                continue;
            }
            let body = if method == "POST" { bodies(id).to_string() } else { String::new() };
            let answer = office.ask("admin", &method, short, &body);
            let responses = operation["responses"].as_object().unwrap();
            let said = responses.get(&answer.status.to_string());
            let said =
                said.unwrap_or_else(|| panic!("{id} answers {}, which is not described", answer.status));
            let kind = answer.header("content-type");
            let schema = &said["content"][kind]["schema"];
            fits(&document, schema, &answer.json(), id).unwrap_or_else(|fault| panic!("{id}: {fault}"));
            // Without a token, or another method, nothing is done.
            let bare =
                request(&office.host, &method, &concrete, &[("Content-Type", "application/json")], &body);
            assert_eq!((bare.status, bare.header("content-type")), (401, "application/problem+json"), "{id}");
            let other = office.ask("admin", "DELETE", short, "");
            assert_eq!((other.status, other.header("allow")), (405, &*method), "{id}");
        }
    }
    assert_eq!(walked, radmfa::portal::admin::api::routes::ROUTES.len());
    for path in ["", "/", "/nothing", "/users//unlock", "/../../etc/passwd"] {
        assert_eq!(office.ask("admin", "GET", path, "").status, 404, "{path}");
    }
}

#[test]
fn roles_are_kept_to_and_what_is_done_stands_in_the_trail_with_who_and_why() {
    let office = Office::open("api-roles");
    assert_eq!(office.read("auditor", "/self"), json!({ "name": "token auditor", "role": "auditor" }));
    assert_eq!(office.act("auditor", "/users/alice/unlock", &why()), 403);
    assert_eq!(office.act("helpdesk", "/users/alice/unlock", &why()), 200);
    for path in ["/users/ned/unlock", "/users/olga/disable", "/users/olga/recovery-codes"] {
        assert_eq!(office.act("helpdesk", path, &why()), 403, "{path}");
    }
    let role = json!({ "reason": "x", "role": "admin" });
    assert_eq!(office.act("helpdesk", "/users/alice/role", &role), 403);
    assert_eq!(office.act("admin", "/users/ned/unlock", &why()), 200);
    assert_eq!(office.act("admin", "/users/nobody/unlock", &why()), 404);

    let codes = office.ask("helpdesk", "POST", "/users/alice/recovery-codes", &why().to_string()).json();
    assert_eq!(codes["codes"].as_array().unwrap().len(), 10);
    let block = json!({ "reason": "left the building", "for": "90d" });
    assert_eq!(office.act("helpdesk", "/users/alice/block", &block), 200);
    let alice = office.read("auditor", "/users/alice");
    assert_eq!(alice["cannot_log_in"][0]["why"], "blocked");
    assert_eq!(alice["recovery_codes_left"], 10);
    assert_eq!(office.act("helpdesk", "/users/alice/unblock", &why()), 200);
    assert_eq!(office.act("helpdesk", "/users/alice/tokens/T-1/disable", &why()), 200);
    assert_eq!(office.act("helpdesk", "/users/alice/tokens/T-2/disable", &why()), 404, "another user's");

    let phone = json!({ "reason": "new telephone", "phone": "+36309999999" });
    assert_eq!(office.act("helpdesk", "/users/alice/phone", &phone), 200);
    let alice = office.read("auditor", "/users/alice");
    assert_eq!(alice["phone"], "+36309999999");
    assert!(alice["phone_held_until"].is_string(), "{alice}");

    let rows = office.read("auditor", "/audit?user=alice&result=noted&limit=50");
    let done: Vec<(&str, &str)> = rows["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["actor"] == "token helpdesk")
        .map(|row| (row["reason"].as_str().unwrap(), row["note"].as_str().unwrap_or_default()))
        .collect();
    for (reason, note) in [
        ("unlocked", "ticket 4711"),
        ("recovery-codes-issued", "ticket 4711"),
        ("blocked", "left the building"),
        ("phone-held", "new telephone"),
        ("user-changed", "phone; new telephone"),
        ("token-disabled", "ticket 4711"),
    ] {
        assert!(
            done.iter().any(|(found, said)| *found == reason && said.contains(note)),
            "{reason}: {done:?}"
        );
    }
    assert!(rows["items"].as_array().unwrap().iter().all(|row| row["client"] != "nas"));
}

#[test]
fn an_invitation_is_shown_or_sent_and_taken_back_by_whoever_may() {
    let office = Office::open("api-invite");
    let invite = |role: &str, user: &str, more: Value| {
        let mut body = json!({ "reason": "ticket 4711", "for": "1h" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        office.ask(role, "POST", &format!("/users/{user}/invitation"), &body.to_string())
    };
    assert_eq!(invite("auditor", "alice", json!({})).status, 403);
    assert_eq!(invite("helpdesk", "olga", json!({})).status, 403, "an admin");
    assert_eq!(invite("helpdesk", "nobody", json!({})).status, 404);
    assert_eq!(invite("helpdesk", "alice", json!({ "for": "31d" })).status, 422);
    assert_eq!(invite("helpdesk", "alice", json!({ "send": "pigeon" })).status, 422);
    let shown = invite("helpdesk", "alice", json!({ "send": null })).json();
    let link = shown["link"].as_str().unwrap().to_owned();
    assert!(link.contains("/enrol/") && shown["sent_to"].is_null(), "{shown}");
    let (host, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
    assert_eq!(get(host, &format!("/{path}")).status, 200);
    assert!(office.read("auditor", "/users/alice")["invited_until"].is_string());
    // No address, and no channel to the telephone: nothing is good after it, the one before neither.
    assert_eq!(invite("helpdesk", "alice", json!({ "send": "email" })).status, 422);
    assert_eq!(get(host, &format!("/{path}")).status, 200, "nothing was done");
    assert_eq!(invite("helpdesk", "alice", json!({ "send": "sms" })).status, 422);
    assert_eq!(get(host, &format!("/{path}")).status, 404);
    assert!(office.read("auditor", "/users/alice")["invited_until"].is_null());
    office.desk.ok("user set alice --mail alice@example.com");
    let sent = invite("helpdesk", "alice", json!({ "send": "email" })).json();
    assert_eq!((&sent["link"], sent["sent_to"].as_str()), (&Value::Null, Some("a···@example.com")));
    let mail = office.desk.read("sent");
    let link =
        mail.split_whitespace().find(|word| word.starts_with("http://")).unwrap_or_else(|| panic!("{mail}"));
    let path = link.strip_prefix(&format!("http://{host}")).unwrap();
    assert_eq!(get(host, path).status, 200);
    // A number that was talked out of the help desk is sent nothing either.
    let phone = json!({ "reason": "new telephone", "phone": "+36309999999" });
    assert_eq!(office.act("helpdesk", "/users/alice/phone", &phone), 200);
    assert_eq!(invite("helpdesk", "alice", json!({ "send": "sms" })).status, 422);
    assert_eq!(get(host, path).status, 200, "nothing was done");
    assert_eq!(office.act("auditor", "/users/alice/invitation/revoke", &why()), 403);
    assert_eq!(office.act("helpdesk", "/users/alice/invitation/revoke", &why()), 200);
    assert_eq!(get(host, path).status, 404);
    assert_eq!(office.act("helpdesk", "/users/alice/invitation/revoke", &why()), 404);
    let rows = office.read("auditor", "/audit?user=alice&result=noted&limit=50").to_string();
    for part in ["\"invited\"", "\"invite-revoked\"", "ticket 4711", "token helpdesk"] {
        assert!(rows.contains(part), "no {part} in {rows}");
    }
}

#[test]
fn what_makes_no_sense_is_a_problem_and_nothing_is_done() {
    let office = Office::open("api-problems");
    let post = |path: &str, body: &str| office.ask("admin", "POST", path, body);
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(20_000));
    for (path, body, status) in [
        ("/users/alice/unlock", "", 400),
        ("/users/alice/unlock", "[]", 400),
        ("/users/alice/unlock", "{}", 422),
        ("/users/alice/unlock", r#"{"reason":""}"#, 422),
        ("/users/alice/unlock", r#"{"reason":"a\nb"}"#, 422),
        ("/users/alice/unlock", r#"{"reason":7}"#, 422),
        ("/users/alice/unlock", r#"{"reason":"x","more":"y"}"#, 422),
        ("/users/alice/unlock", &long, 413),
        ("/users/alice/block", r#"{"reason":"x","for":"9999999d"}"#, 422),
        ("/users/alice/block", r#"{"reason":"x","for":"soon"}"#, 422),
        ("/users/alice/bypasses", r#"{"reason":"x","for":"1h","client":"a b"}"#, 422),
        ("/users/alice/bypasses", r#"{"reason":"x","for":"1h","client":"nas","station":"10.0.0.1/8"}"#, 422),
        ("/users/alice/phone", r#"{"reason":"x","phone":"1234"}"#, 422),
        ("/users/alice/role", r#"{"reason":"x","role":"king"}"#, 422),
        ("/users/alice/sessions/end", r#"{"reason":"x","login":"?"}"#, 422),
        ("/users/%00/unlock", r#"{"reason":"x"}"#, 404),
    ] {
        let answer = post(path, body);
        assert_eq!(answer.status, status, "{path} {}: {answer:?}", &body[..body.len().min(60)]);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["status"], status);
    }
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=x",
        "since=yesterday",
        "method=pigeon",
        "result=x",
        "page=2",
    ] {
        assert_eq!(office.ask("admin", "GET", &format!("/audit?{query}"), "").status, 422, "{query}");
    }
    let plain = request(
        &office.host,
        "POST",
        "/api/v1/users/alice/unlock",
        &[
            ("Authorization", &format!("Bearer {}", office.desk.read("admin"))),
            ("Content-Type", "text/plain"),
        ],
        r#"{"reason":"x"}"#,
    );
    assert_eq!(plain.status, 415);
    let rows = office.read("admin", "/audit?user=alice&result=noted");
    assert!(rows["items"].as_array().unwrap().iter().all(|row| row["actor"] != "token admin"), "{rows}");

    // A token that is over is good for nothing; many wrong ones, and no further one from there is, while a good one is.
    office.desk.ok("admin token revoke auditor");
    assert_eq!(office.ask("auditor", "GET", "/users", "").status, 401);
    let wrong =
        || request(&office.host, "GET", "/api/v1/users", &[("Authorization", "Bearer radmfa_x")], "").status;
    let statuses: Vec<u16> = (0..40).map(|_| wrong()).collect();
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    assert_eq!(
        statuses.iter().position(|status| *status == 429),
        Some(29),
        "one was wrong before: {statuses:?}"
    );
    let shaped = format!("Bearer radmfa_{}", "a".repeat(52));
    for _ in 0..5 {
        let guess = request(&office.host, "GET", "/api/v1/users", &[("Authorization", &shaped)], "");
        assert_eq!(guess.status, 429);
    }
    assert_eq!(office.ask("admin", "GET", "/users", "").status, 200);
}

#[test]
fn lists_come_a_page_at_a_time() {
    let office = Office::open("api-pages");
    let mut names = Vec::new();
    let mut path = "/users?limit=1".to_owned();
    loop {
        let page = office.read("auditor", &path);
        names.extend(
            page["items"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/users?limit=1&cursor={next}");
    }
    assert_eq!(names, ["alice", "ned", "olga"]);
    assert_eq!(office.read("auditor", "/users?contains=li")["items"][0]["name"], "alice");
    let first = office.read("auditor", "/audit?limit=3");
    let next = first["next"].as_str().unwrap();
    let second = office.read("auditor", &format!("/audit?limit=3&cursor={next}"));
    assert!(second["items"][0]["row"].as_u64() < first["items"][2]["row"].as_u64());
}

/// Schemathesis makes requests of the description, right ones and wrong ones, and holds every answer to it: the status is described, the
/// body is as its schema says, what is wrong is refused, nothing goes without a token, and nothing is a 500.
#[test]
fn schemathesis_finds_no_answer_that_is_not_described() {
    let office = Office::open("api-schemathesis");
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("python/bin/schemathesis");
    assert!(python.is_file(), "{} is missing; tests/run makes it", python.display());
    let mut command = Command::new(python);
    let header = format!("Authorization: Bearer {}", office.desk.read("admin"));
    command.current_dir(office.desk.scratch.path()).args([
        "run",
        &format!("http://{}/api/v1/openapi.json", office.host),
        "--header",
        &header,
        "--max-examples",
        "20",
        "--generation-deterministic",
        // What a reason or a span of time may be, a schema of texts does not say.
        "--exclude-checks",
        "positive_data_acceptance",
    ]);
    run(command, "", &office.desk.scratch, Duration::from_mins(5)).expect_success("schemathesis");
    assert_eq!(get(&office.host, "/api/v1/openapi.json").status, 200, "it lives");
}
