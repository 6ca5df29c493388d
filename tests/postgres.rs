//! Real radmfa processes on a real PostgreSQL: what servers share, what a second one of a name is told, and the way there
//! from a store file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and holds answers to real time"
)]

mod postgres_support;
mod support;

use std::time::Duration;

use postgres_support::{Place, upstream};
use radmfa::wire::Code;
use support::gateway::Gateway;
use support::site::import_tokens;
use support::{FreeRadius, Radmfa, Scratch, User};

/// A password and a code; the last answer.
fn log_in(radmfa: &Radmfa, user: &User, code: &str) -> Code {
    let mut gateway = Gateway::new(radmfa.server(), Duration::from_secs(20));
    let challenge = gateway.ask(&user.name, &user.password, None).expect("an answer to the password");
    let Some(state) = challenge.state else { return challenge.code };
    gateway.ask(&user.name, code, Some(&state)).expect("an answer to the code").code
}

#[test]
fn two_servers_on_one_database_know_the_same_users_and_take_a_code_once() {
    let scratch = Scratch::new("postgres-two");
    let users = [User::named("alice"), User::named("bob")];
    let primary = FreeRadius::primary(&scratch, &users);
    let place = Place::new(&scratch);
    let line = |user: &User| format!("{},T-{},{}", user.name, user.name, user.seed);
    let csv = users.iter().map(line).collect::<Vec<_>>().join("\n");
    let file = scratch.write("users.csv", &format!("user,serial,secret\n{csv}\n"));
    let file = file.to_string_lossy();
    assert!(place.ok(&scratch, &["token", "import", &file, "--dry-run"]).contains('2'));
    place.ok(&scratch, &["token", "import", &file]);
    let (a, b) = (place.serve(&scratch, "mfa-a", &primary), place.serve(&scratch, "mfa-b", &primary));
    let code = users[0].code();
    assert_eq!(log_in(&a, &users[0], &code), Code::ACCESS_ACCEPT);
    assert_eq!(log_in(&b, &users[0], &code), Code::ACCESS_CHALLENGE, "spent, so it is asked for again");
    assert_eq!(log_in(&b, &users[1], &users[1].code()), Code::ACCESS_ACCEPT);
    place.ok(&scratch, &["user", "set", "bob", "--disable"]);
    assert_eq!(log_in(&a, &users[1], &users[1].code()), Code::ACCESS_REJECT, "seen at the next login");

    let upstream = upstream(&primary);
    let again = place.arguments(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--server-name",
        "mfa-a",
        "--primary",
        &upstream,
    ]);
    let client = ["--client", "name=nas,address=127.0.0.1,secret=testing123"];
    let refused = Radmfa::run(&scratch, &[&again[..], &client[..]].concat());
    assert_eq!(refused.status.code(), Some(1), "{}", refused.transcript());
    assert!(
        refused.transcript().contains("another server runs on it under the name mfa-a"),
        "{}",
        refused.transcript()
    );

    let info = place.ok(&scratch, &["store", "info"]);
    for said in ["2 users", "2 tokens", "mfa-a, which runs", "mfa-b, which runs", "commands"] {
        assert!(info.contains(said), "{said}: {info}");
    }
    assert!(place.ok(&scratch, &["store", "migrate"]).contains("already"));
    assert!(place.ok(&scratch, &["audit", "verify"]).contains("in 3 chains"));
    let backup = Radmfa::run(&scratch, &place.arguments(&["store", "backup", "x"]));
    assert!(
        backup.stderr.contains("pg_dump") && !backup.stderr.contains("hunter2"),
        "{}",
        backup.transcript()
    );
}

#[test]
fn a_store_file_moves_into_a_database_with_all_that_was_spent() {
    let scratch = Scratch::new("postgres-copy");
    let users = [User::named("alice"), User::named("bob")];
    let primary = FreeRadius::primary(&scratch, &users);
    let place = Place::new(&scratch);
    let file = format!("sqlite:{}", scratch.join("radmfa.db").display());
    import_tokens(&scratch, &file, &users);
    let on_file = |command: &[&str]| {
        let ran = Radmfa::run(&scratch, &[command, &["--store", &file]].concat());
        ran.expect_success(&command.join(" ")).stdout
    };
    on_file(&["user", "block", "bob", "--for", "1h", "--reason", "away"]);
    let copy = || Radmfa::run(&scratch, &["store", "copy", &file, &place.url, "--seal-key", &place.key]);
    let code = users[0].code();
    {
        let upstream = upstream(&primary);
        let arguments = ["--server-name", "mfa-a", "--store", &file, "--primary", &upstream];
        let radmfa = Radmfa::serve(&scratch, &arguments);
        assert_eq!(log_in(&radmfa, &users[0], &code), Code::ACCESS_ACCEPT);
        let early = copy();
        assert_eq!(early.status.code(), Some(1), "{}", early.transcript());
        assert!(early.stderr.contains("stop the server, and run this again"), "{}", early.transcript());
        let half = Radmfa::run(&scratch, &place.arguments(&["user", "list"]));
        assert!(half.stderr.contains("a copy that is not finished"), "{}", half.transcript());
    }
    let done = copy().expect_success("store copy").stdout;
    for said in ["2 users", "2 tokens", "were there from before"] {
        assert!(done.contains(said), "{said}: {done}");
    }
    assert!(!done.contains("hunter2"));
    let list = ["user", "list", "--format", "json"];
    assert_eq!(on_file(&list), place.ok(&scratch, &list));
    let tokens = ["token", "list", "--format", "json"];
    assert_eq!(on_file(&tokens), place.ok(&scratch, &tokens));
    assert!(place.ok(&scratch, &["audit", "verify"]).contains("holds together"));
    let radmfa = place.serve(&scratch, "mfa-a", &primary);
    assert_eq!(
        log_in(&radmfa, &users[0], &code),
        Code::ACCESS_CHALLENGE,
        "what was spent in the file is spent"
    );
    assert_eq!(log_in(&radmfa, &users[1], &users[1].code()), Code::ACCESS_REJECT, "who was blocked is");
    let again = copy();
    assert!(again.stderr.contains("has a store in it already"), "{}", again.transcript());
}
