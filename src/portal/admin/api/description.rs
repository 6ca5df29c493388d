//! The description of the interface (`OpenAPI` 3.1), made of its routes.

use serde_json::{Map, Value, json};

use super::PREFIX;
use super::routes::{Field, Parameter, Route};
use crate::portal::admin::read::PAGE_MAX;

/// The whole document.
#[must_use]
pub fn document(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(format!("{PREFIX}{}", route.path)).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(route.method.to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "radmfa", "version": env!("CARGO_PKG_VERSION"), "summary": "What admins of radmfa do, for programs" },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas(),
        },
        "security": [{ "token": [] }],
    })
}

fn operation(route: &Route) -> Value {
    let is_description = route.answers.is_empty();
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }))
        .collect();
    parameters.extend(route.query.iter().map(parameter));
    let schema = if is_description {
        json!({ "type": "object" })
    } else {
        json!({ "$ref": format!("#/components/schemas/{}", route.answers) })
    };
    let mut responses = Map::new();
    let done = json!({ "description": "Done", "content": { "application/json": { "schema": schema } } });
    responses.insert("200".to_owned(), done);
    for (status, what) in problems(route) {
        let content =
            json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
        responses.insert(status.to_owned(), json!({ "description": what, "content": content }));
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if let Value::Object(operation) = &mut operation {
        if is_description {
            operation.insert("security".to_owned(), json!([]));
        }
        if !route.body.is_empty() {
            let content = json!({ "application/json": { "schema": body(route.body) } });
            operation.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
        }
    }
    operation
}

/// What may go wrong with a route.
fn problems(route: &Route) -> Vec<(&'static str, &'static str)> {
    if route.answers.is_empty() {
        return Vec::new();
    }
    let mut problems = vec![
        ("401", "No token that is good"),
        ("403", "The token's role does not allow it"),
        ("413", "The body is too long"),
        ("422", "What was asked makes no sense"),
        ("429", "Too many wrong tokens from there"),
        ("503", "The store cannot be reached, or too many others are being served"),
    ];
    if route.path.contains('{') {
        problems.push(("404", "There is no such thing"));
    }
    if !route.body.is_empty() {
        problems.extend([
            ("400", "The body is no JSON object"),
            ("409", "There is such a thing already"),
            ("415", "The body is no JSON"),
        ]);
    }
    problems.sort_unstable();
    problems
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = if parameter.counts {
        json!({ "type": "integer", "minimum": 1, "maximum": PAGE_MAX })
    } else if parameter.words.is_empty() {
        json!({ "type": "string", "maxLength": 500 })
    } else {
        json!({ "type": "string", "enum": parameter.words })
    };
    json!({ "name": parameter.name, "in": "query", "description": parameter.help, "schema": schema })
}

fn body(fields: &[Field]) -> Value {
    let property = |field: &Field| {
        let kind = if field.nullable { json!(["string", "null"]) } else { json!("string") };
        (field.name.to_owned(), json!({ "type": kind, "description": field.help }))
    };
    let needed: Vec<&str> = fields.iter().filter(|field| field.needed).map(|field| field.name).collect();
    json!({
        "type": "object",
        "properties": fields.iter().map(property).collect::<Map<_, _>>(),
        "required": needed,
        "additionalProperties": false,
    })
}

/// An object of exactly these properties.
#[expect(clippy::needless_pass_by_value, reason = "it is made for this alone")]
fn object(properties: Value) -> Value {
    let required: Vec<String> =
        properties.as_object().map(|known| known.keys().cloned().collect()).unwrap_or_default();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn list(of: &str) -> Value {
    let items = json!({ "type": "array", "items": { "$ref": format!("#/components/schemas/{of}") }, "maxItems": PAGE_MAX });
    object(json!({ "items": items, "next": maybe("string") }))
}

fn maybe(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

fn schemas() -> Value {
    let (text, number, flag) = (
        json!({ "type": "string" }),
        json!({ "type": "integer", "minimum": 0 }),
        json!({ "type": "boolean" }),
    );
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let array =
        |of: &str| json!({ "type": "array", "items": { "$ref": format!("#/components/schemas/{of}") } });
    let line = json!({
        "name": text, "display_name": maybe("string"), "mail": maybe("string"), "disabled": flag,
        "wrong_codes": number, "tokens": texts,
    });
    let mut user = line.clone();
    if let (Some(user), Value::Object(more)) = (
        user.as_object_mut(),
        json!({
            "phone": maybe("string"), "phone_held_until": maybe("string"),
            "pushes_paused_until": maybe("string"), "groups": texts, "created": text,
            "role": maybe("string"), "local_password": flag, "wrong_codes_in_30_days": number,
            "recovery_codes_left": number, "invited_until": maybe("string"), "invitation_expired": flag, "cannot_log_in": array("Hindrance"), "token_details": array("Token"),
            "devices": array("Device"), "passkeys": array("Passkey"), "bypasses": array("Bypass"), "sessions": array("Session"),
        }),
    ) {
        user.extend(more);
    }
    json!({
        "Problem": object(json!({ "type": text, "title": text, "status": number, "detail": text })),
        "Caller": object(json!({ "name": text, "role": { "type": "string", "enum": ["admin", "helpdesk", "auditor"] } })),
        "Done": object(json!({ "user": text })),
        "Invitation": object(json!({ "user": text, "link": maybe("string"), "sent_to": maybe("string") })),
        "Codes": object(json!({ "user": text, "codes": texts })),
        "UserLine": object(line),
        "UserList": list("UserLine"),
        "User": object(user),
        "Hindrance": object(json!({ "why": text, "since": maybe("string"), "until": maybe("string"), "sentence": text })),
        "Token": object(json!({ "serial": text, "kind": { "type": "string", "enum": ["totp", "hotp"] }, "enabled": flag, "expires": maybe("string"), "created": text })),
        "Device": object(json!({ "id": text, "name": text, "channel": text, "since": text })),
        "Passkey": object(json!({ "id": text, "name": text, "since": text, "used": maybe("string") })),
        "Bypass": object(json!({ "client": text, "station": maybe("string"), "until": text, "reason": text })),
        "Session": object(json!({ "login": text, "client": text, "station": text, "until": text })),
        "Login": object(json!({ "login": text, "user": maybe("string"), "client": text, "station": maybe("string"), "seconds": number, "state": { "type": "string", "enum": ["working", "parked", "held", "shared"] } })),
        "LoginList": list("Login"),
        "Client": object(json!({ "client": text, "profile": text, "message_authenticator": text, "seen_from": texts, "protocols": texts, "logins": number, "patience": text, "advice": texts })),
        "ClientList": list("Client"),
        "Sum": object(json!({ "key": text, "accepted": number, "rejected": number, "retried": number, "authentications": number })),
        "Report": object(json!({ "lines": array("Sum") })),
        "AuditRow": object(json!({
            "row": number, "time": text, "login": text, "user": maybe("string"), "client": text,
            "station": maybe("string"), "result": text, "reason": text, "meaning": text, "method": text,
            "device": maybe("string"), "actor": maybe("string"), "note": maybe("string"),
        })),
        "AuditList": list("AuditRow"),
    })
}
