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

#[test]
fn a_database_becomes_a_store_file_again_with_all_that_was_spent() {
    let scratch = Scratch::new("postgres-back");
    let users = [User::named("alice"), User::named("bob"), User::named("carol")];
    let primary = FreeRadius::primary(&scratch, &users);
    let place = Place::new(&scratch);
    place.import_tokens(&scratch, &users);
    place.ok(&scratch, &["user", "block", "bob", "--for", "1h", "--reason", "away"]);
    let file = format!("sqlite:{}", scratch.join("back/radmfa.db").display());
    let copy = || Radmfa::run(&scratch, &["store", "copy", &place.url, &file, "--seal-key", &place.key]);
    let (code, other) = (users[0].code(), users[2].code());
    {
        let (a, b) = (place.serve(&scratch, "mfa-a", &primary), place.serve(&scratch, "mfa-b", &primary));
        assert_eq!(log_in(&a, &users[0], &code), Code::ACCESS_ACCEPT);
        assert_eq!(log_in(&b, &users[2], &other), Code::ACCESS_ACCEPT);
        let early = copy();
        assert_eq!(early.status.code(), Some(1), "{}", early.transcript());
        assert!(early.stderr.contains("servers run on it"), "{}", early.transcript());
        assert!(!scratch.join("back/radmfa.db").exists());
    }
    let done = copy().expect_success("store copy").stdout;
    for said in ["3 users", "3 tokens", "start one server on the file", "compared"] {
        assert!(done.contains(said), "{said}: {done}");
    }
    assert!(!done.contains("hunter2"));
    let on_file = |command: &[&str]| {
        let ran = Radmfa::run(&scratch, &[command, &["--store", &file]].concat());
        ran.expect_success(&command.join(" ")).stdout
    };
    for list in [["user", "list", "--format", "json"], ["token", "list", "--format", "json"]] {
        assert_eq!(on_file(&list), place.ok(&scratch, &list));
    }
    let usage = ["report", "usage", "--by", "user", "--format", "csv"];
    assert_eq!(on_file(&usage), place.ok(&scratch, &usage));
    assert!(on_file(&["audit", "verify"]).contains("holds together"));
    let left: Vec<_> = std::fs::read_dir(scratch.join("back")).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().contains("draft")), "{left:?}");
    let arguments = ["--server-name", "mfa-a", "--store", &file, "--primary", &upstream(&primary)];
    let radmfa = Radmfa::serve(&scratch, &arguments);
    assert_eq!(log_in(&radmfa, &users[0], &code), Code::ACCESS_CHALLENGE, "spent at one server");
    assert_eq!(log_in(&radmfa, &users[2], &other), Code::ACCESS_CHALLENGE, "and at the other");
    assert_eq!(log_in(&radmfa, &users[1], &users[1].code()), Code::ACCESS_REJECT, "who was blocked is");
    let again = copy();
    assert!(again.stderr.contains("is there already"), "{}", again.transcript());
}

#[test]
fn a_store_gets_a_new_key_while_two_servers_let_users_in() {
    let scratch = Scratch::new("postgres-rekey");
    let users: Vec<User> = (0..6).map(|number| User::named(&format!("user{number}"))).collect();
    let primary = FreeRadius::primary(&scratch, &users);
    let place = Place::new(&scratch);
    place.import_tokens(&scratch, &users[..5]);
    let (a, b) = (place.serve(&scratch, "mfa-a", &primary), place.serve(&scratch, "mfa-b", &primary));
    assert_eq!(log_in(&a, &users[0], &users[0].code()), Code::ACCESS_ACCEPT);
    let new = scratch.write("new.key", &"6b".repeat(32));
    std::fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let new = format!("file:{}", new.display());
    let unnamed = place.run(&scratch, &["store", "rekey"]);
    assert_eq!(unnamed.status.code(), Some(2), "{}", unnamed.transcript());
    assert!(unnamed.stderr.contains("--new-seal-key"), "{}", unnamed.transcript());
    let done = place.ok(&scratch, &["store", "rekey", "--new-seal-key", &new]);
    for said in ["5 values re-sealed", "servers run on it and go on", "set seal-key to the new key"] {
        assert!(done.contains(said), "{said}: {done}");
    }
    // Both have the old key, and know the new one.
    assert_eq!(log_in(&a, &users[1], &users[1].code()), Code::ACCESS_ACCEPT);
    assert_eq!(log_in(&b, &users[2], &users[2].code()), Code::ACCESS_ACCEPT);
    let late = place.run(&scratch, &["user", "list"]);
    assert!(late.stderr.contains("the one from before `store rekey`"), "{}", late.transcript());
    let place = Place { key: new, ..place };
    assert!(place.ok(&scratch, &["user", "list"]).contains("user4"));
    let info = place.ok(&scratch, &["store", "info"]);
    assert!(info.contains("1 earlier key remembered") && !info.contains("begun"), "{info}");
    // One is restarted; what is sealed from now on opens for the other one too.
    drop(a);
    let a = place.serve(&scratch, "mfa-a", &primary);
    place.import_tokens(&scratch, &users[5..]);
    assert_eq!(log_in(&a, &users[3], &users[3].code()), Code::ACCESS_ACCEPT);
    assert_eq!(log_in(&b, &users[5], &users[5].code()), Code::ACCESS_ACCEPT);
    assert!(place.ok(&scratch, &["audit", "verify"]).contains("holds together"));
}

#[test]
fn check_says_what_a_database_holds_and_who_runs_on_it() {
    let scratch = Scratch::new("postgres-check");
    let users = [User::named("alice")];
    let primary = FreeRadius::primary(&scratch, &users);
    let place = Place::new(&scratch);
    let upstream = upstream(&primary);
    let client = "name=nas,address=127.0.0.1,secret=a-secret-of-the-nas-and-us";
    let check = ["check", "--listen", "127.0.0.1:0", "--primary", &upstream, "--client", client];
    let empty = place.run(&scratch, &check);
    assert_eq!(empty.status.code(), Some(1), "{}", empty.transcript());
    assert!(empty.stderr.contains("has no store in it"), "{}", empty.transcript());
    place.import_tokens(&scratch, &users);
    let running = place.serve(&scratch, "mfa-a", &primary);
    let said = place.ok(&scratch, &check);
    for part in ["1 user, 1 token", "not encrypted", "mfa-a, which runs"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    drop(running);
    assert!(place.ok(&scratch, &check).contains("servers on it: mfa-a\n"));
    let key = scratch.write("other.key", &"6b".repeat(32));
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let other = Place { url: place.url.clone(), key: format!("file:{}", key.display()) };
    let refused = other.run(&scratch, &check);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.transcript());
    assert!(refused.stderr.contains("was sealed with another key"), "{}", refused.transcript());
    let gone = Place { url: "postgres://u@127.0.0.1:1/d".to_owned(), key: place.key.clone() };
    let refused = gone.run(&scratch, &check);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.transcript());
    assert!(refused.stderr.contains("cannot be reached"), "{}", refused.transcript());
}
