//! Every route of the interface: what requests are matched against, and what the description is made of.

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The description of the interface.
    Description,
    /// Who the caller is.
    Whoami,
    /// Users by name.
    Users,
    /// One user.
    User,
    /// Forgives wrong codes and passwords.
    Unlock,
    /// Blocks for a time.
    Block,
    /// Ends a block.
    Unblock,
    /// Disables.
    Disable,
    /// Enables.
    Enable,
    /// Opens a bypass.
    Bypass,
    /// Closes bypasses.
    CancelBypasses,
    /// New recovery codes.
    Recovery,
    /// A link to set up a second factor by.
    Invite,
    /// Takes that back.
    RevokeInvite,
    /// Another telephone number.
    Phone,
    /// Lets a token be used.
    EnableToken,
    /// Lets a token be used no more.
    DisableToken,
    /// Removes a token.
    RemoveToken,
    /// Revokes a device.
    RevokeDevice,
    /// Removes a passkey.
    RemovePasskey,
    /// Ends remembered factors.
    EndSessions,
    /// Gives or takes a role.
    Role,
    /// Logins under way.
    Logins,
    /// Gateways.
    Clients,
    /// Usage.
    Usage,
    /// Failures.
    Failures,
    /// The trail.
    Audit,
}

/// A route.
#[derive(Debug)]
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Its path behind [`super::PREFIX`], places in braces.
    pub path: &'static str,
    /// What it does.
    pub operation: Operation,
    /// Its name in the description.
    pub id: &'static str,
    /// What it does, in a sentence without a full stop.
    pub summary: &'static str,
    /// What its query takes.
    pub query: &'static [Parameter],
    /// What its body takes; empty where there is none.
    pub body: &'static [Field],
    /// The schema of its answer.
    pub answers: &'static str,
}

/// A parameter of a query.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub help: &'static str,
    /// The words that it takes alone; empty: others.
    pub words: &'static [&'static str],
    /// Whether it is a number from 1 to [`super::PAGE_MAX`].
    pub counts: bool,
}

/// A field of a body. All are texts.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub help: &'static str,
    /// Whether it has to be there.
    pub needed: bool,
    /// Whether it may be null.
    pub nullable: bool,
}

/// What a request finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A route, and what stands in its places.
    Here(Operation, Vec<String>),
    /// A path that takes these methods.
    OtherMethods(String),
    /// Nothing.
    Nowhere,
}

const fn parameter(name: &'static str, help: &'static str) -> Parameter {
    Parameter { name, help, words: &[], counts: false }
}

const LIMIT: Parameter = Parameter { name: "limit", help: "how many at most (50)", words: &[], counts: true };
const CURSOR: Parameter = parameter("cursor", "what the page before said comes next");
const SINCE: Parameter = parameter("since", "from this moment on: RFC 3339, or how long ago, such as 7d");
const UNTIL: Parameter = parameter("until", "before this moment");
const USER: Parameter = parameter("user", "only this user");
const CLIENT: Parameter = parameter("client", "only this gateway");
const METHOD: Parameter = parameter("method", "only this second factor, such as totp");
const RESULT: Parameter = Parameter {
    name: "result",
    help: "only logins that ended so; noted: what admins did",
    words: &["accepted", "rejected", "retried", "noted"],
    counts: false,
};
const BY: Parameter = Parameter {
    name: "by",
    help: "what is told apart (day)",
    words: &["day", "hour", "user", "client", "method"],
    counts: false,
};

const fn field(name: &'static str, help: &'static str) -> Field {
    Field { name, help, needed: true, nullable: false }
}

const REASON: Field = field("reason", "why, for the audit trail: 1 to 200 octets of printable text");
const WHY: &[Field] = &[REASON];
const FOR: Field = field("for", "for how long: a number with a unit, such as 300s, 12h or 90d");

const fn get(
    path: &'static str,
    operation: Operation,
    id: &'static str,
    summary: &'static str,
    query: &'static [Parameter],
    answers: &'static str,
) -> Route {
    Route { method: "GET", path, operation, id, summary, query, body: &[], answers }
}

const fn post(
    path: &'static str,
    operation: Operation,
    id: &'static str,
    summary: &'static str,
    body: &'static [Field],
) -> Route {
    Route { method: "POST", path, operation, id, summary, query: &[], body, answers: "Done" }
}

/// Every route.
pub static ROUTES: [Route; 27] = [
    get("/openapi.json", Operation::Description, "description", "This description", &[], ""),
    get("/self", Operation::Whoami, "whoami", "Who the caller is, and their role", &[], "Caller"),
    get(
        "/users",
        Operation::Users,
        "listUsers",
        "Users by name",
        &[parameter("contains", "only names that contain this"), LIMIT, CURSOR],
        "UserList",
    ),
    get(
        "/users/{name}",
        Operation::User,
        "showUser",
        "All that is known of a user, and why the user cannot log in",
        &[],
        "User",
    ),
    post(
        "/users/{name}/unlock",
        Operation::Unlock,
        "unlockUser",
        "Forget wrong codes, wrong passwords and denied pushes",
        WHY,
    ),
    post(
        "/users/{name}/block",
        Operation::Block,
        "blockUser",
        "Let the user log in no more, for a time",
        &[FOR, REASON],
    ),
    post("/users/{name}/unblock", Operation::Unblock, "unblockUser", "End a block", WHY),
    post("/users/{name}/disable", Operation::Disable, "disableUser", "Let the user log in no more", WHY),
    post("/users/{name}/enable", Operation::Enable, "enableUser", "Let the user log in again", WHY),
    post(
        "/users/{name}/bypasses",
        Operation::Bypass,
        "openBypass",
        "Let the next login at a client in without a second factor, once",
        &[
            field("client", "the client's name"),
            Field {
                name: "station",
                help: "an address or a block that it has to come from",
                needed: false,
                nullable: true,
            },
            FOR,
            REASON,
        ],
    ),
    post(
        "/users/{name}/bypasses/cancel",
        Operation::CancelBypasses,
        "cancelBypasses",
        "Close what bypasses are open",
        WHY,
    ),
    Route {
        answers: "Codes",
        ..post(
            "/users/{name}/recovery-codes",
            Operation::Recovery,
            "makeRecoveryCodes",
            "Ten new recovery codes, shown this once; earlier ones work no more",
            WHY,
        )
    },
    Route {
        answers: "Invitation",
        ..post(
            "/users/{name}/invitation",
            Operation::Invite,
            "inviteUser",
            "A link by which the user sets up a second factor, once: shown this once, or sent; it ends the one before it",
            &[
                Field {
                    name: "send",
                    help: "email or sms: to the address or number on file; null: it is shown",
                    needed: false,
                    nullable: true,
                },
                FOR,
                REASON,
            ],
        )
    },
    post(
        "/users/{name}/invitation/revoke",
        Operation::RevokeInvite,
        "revokeInvitation",
        "Have the link work no more",
        WHY,
    ),
    post(
        "/users/{name}/phone",
        Operation::Phone,
        "changePhone",
        "Change the telephone number: the old one is told, and codes go to the new one only after a while",
        &[
            Field {
                name: "phone",
                help: "the number with + and its country code; null: none",
                needed: true,
                nullable: true,
            },
            REASON,
        ],
    ),
    post(
        "/users/{name}/tokens/{serial}/enable",
        Operation::EnableToken,
        "enableToken",
        "Let a token be used again",
        WHY,
    ),
    post(
        "/users/{name}/tokens/{serial}/disable",
        Operation::DisableToken,
        "disableToken",
        "Let a token be used no more",
        WHY,
    ),
    post(
        "/users/{name}/tokens/{serial}/revoke",
        Operation::RemoveToken,
        "revokeToken",
        "Remove a token with its seed",
        WHY,
    ),
    post(
        "/users/{name}/devices/{device}/revoke",
        Operation::RevokeDevice,
        "revokeDevice",
        "Have a device's answers count no more",
        WHY,
    ),
    post(
        "/users/{name}/passkeys/{passkey}/remove",
        Operation::RemovePasskey,
        "removePasskey",
        "Remove a passkey",
        WHY,
    ),
    post(
        "/users/{name}/sessions/end",
        Operation::EndSessions,
        "endSessions",
        "End remembered factors",
        &[
            Field {
                name: "login",
                help: "only the one that began with this login",
                needed: false,
                nullable: true,
            },
            REASON,
        ],
    ),
    post(
        "/users/{name}/role",
        Operation::Role,
        "setRole",
        "Give the user a role at the admins' pages, or take it away",
        &[
            Field {
                name: "role",
                help: "admin, helpdesk or auditor; null: none",
                needed: true,
                nullable: true,
            },
            REASON,
        ],
    ),
    get("/logins", Operation::Logins, "listLogins", "Logins under way at this server", &[USER], "LoginList"),
    get(
        "/clients",
        Operation::Clients,
        "listClients",
        "Gateways, and what would make each safer",
        &[SINCE],
        "ClientList",
    ),
    get(
        "/reports/usage",
        Operation::Usage,
        "reportUsage",
        "How many logins, and how they ended",
        &[BY, SINCE, UNTIL, USER, CLIENT, METHOD],
        "Report",
    ),
    get(
        "/reports/failures",
        Operation::Failures,
        "reportFailures",
        "Why logins failed",
        &[SINCE, UNTIL, USER, CLIENT, METHOD],
        "Report",
    ),
    get(
        "/audit",
        Operation::Audit,
        "searchAudit",
        "The audit trail, newest first",
        &[SINCE, UNTIL, USER, CLIENT, METHOD, RESULT, LIMIT, CURSOR],
        "AuditList",
    ),
];

/// The route of a method and a path behind the prefix, and what stands in its places, decoded.
#[must_use]
pub fn find(method: &str, path: &str) -> Found {
    let mut others: Vec<&str> = Vec::new();
    for route in &ROUTES {
        if let Some(places) = matches(route.path, path) {
            if route.method == method {
                return Found::Here(route.operation, places);
            }
            others.push(route.method);
        }
    }
    if others.is_empty() { Found::Nowhere } else { Found::OtherMethods(others.join(", ")) }
}

fn matches(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (mut wanted, mut found) = (pattern.split('/'), path.split('/'));
    let mut places = Vec::new();
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return Some(places),
            (Some(want), Some(part)) if want.starts_with('{') && !part.is_empty() => {
                places.push(crate::portal::request::decoded(&part.replace('+', "%2B")));
            }
            (Some(want), Some(part)) if want == part => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_has_one_route_and_is_found_by_it() {
        for route in &ROUTES {
            let path = route
                .path
                .replace("{name}", "a%40b")
                .replace("{serial}", "T+1")
                .replace("{device}", "7")
                .replace("{passkey}", "8");
            let Found::Here(operation, places) = find(route.method, &path) else { panic!("{path}") };
            assert_eq!(operation, route.operation);
            assert_eq!(places.first().map(String::as_str), route.path.contains("{name}").then_some("a@b"));
            assert_eq!(places.get(1).is_some_and(|place| place == "T+1"), route.path.contains("{serial}"));
            let twice =
                ROUTES.iter().filter(|other| other.operation == route.operation || other.id == route.id);
            assert_eq!(twice.count(), 1, "{}", route.id);
            assert_eq!(find("DELETE", &path), Found::OtherMethods(route.method.to_owned()));
        }
        for path in ["", "/", "/users/", "/users//unlock", "/users/a/unlock/", "/user"] {
            assert_eq!(find("GET", path), Found::Nowhere, "{path}");
        }
    }
}
