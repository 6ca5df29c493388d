//! `radmfa user import`, good and bad, as an admin types it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod cli_support;
mod support;

use cli_support::Desk;
use serde_json::Value;

fn users(desk: &Desk) -> Value {
    serde_json::from_str(&desk.ok("user list --format json")).unwrap()
}

#[test]
fn a_file_of_users_is_imported_whole_and_again_changes_nothing() {
    let desk = Desk::new("users-import");
    desk.write(
        "export.csv",
        "\u{feff}User Name;First Name;Email;Country Code;Phone;Mode;PIN;Enabled\r\n\
         CORP\\Anna;Anna;anna@example.com;49;030 1234567;Text Message;1234;Yes\r\n\
         bob;Bob;;;;;;No\r\n",
    );
    let dry = desk.run("user import export.csv --dry-run").expect_success("dry");
    assert_eq!(dry.stdout, "2 users would be made, 0 would be changed, 0 unchanged\n");
    assert!(dry.stderr.contains("note: export.csv: columns left out: PIN"), "{}", dry.stderr);
    assert!(!dry.stderr.contains("1234"), "nobody's PIN is shown");
    assert!(!desk.scratch.join("store").exists(), "a dry run makes nothing");
    assert_eq!(desk.ok("user import export.csv"), "2 users made, 0 changed, 0 unchanged\n");
    assert_eq!(desk.ok("user import export.csv"), "0 users made, 0 changed, 2 unchanged\n");
    let users = users(&desk);
    assert_eq!((&users[1]["name"], &users[1]["phone"]), (&"corp\\anna".into(), &"+49301234567".into()));
    assert_eq!((&users[0]["name"], &users[0]["disabled"]), (&"bob".into(), &true.into()));
    assert_eq!((&users[1]["first-name"], &users[1]["method"]), (&"Anna".into(), &"sms".into()));
    desk.ok("user set bob --language German --method call --extension 7,1 --last-name B");
    let bob = desk.ok("user show bob");
    assert!(bob.contains("language        de\n") && bob.contains("method          call\n"), "{bob}");
    assert!(desk.fails("user set bob --method pigeon", 2).contains("takes totp, push, sms, call, mail"));
    desk.ok("user set bob --language=");
    assert!(!desk.ok("user show bob").contains("language"));
    let piped = desk.run_with("user import -", "user,display-name\ncarol,Carol C.\n");
    assert_eq!(piped.stdout, "1 user made, 0 changed, 0 unchanged\n", "{}", piped.transcript());
}

#[test]
fn users_that_are_there_are_changed_only_where_the_admin_says_so() {
    let desk = Desk::new("users-update");
    desk.ok("user add alice --mail alice@example.com --phone +4930111");
    desk.write("users.csv", "user,mail,phone\nalice,,+4930222\nbob,bob@example.com,\n");
    let said = desk.fails("user import users.csv", 1);
    assert!(
        said.contains("users.csv: line 2: user alice is there already and is described otherwise; --update"),
        "{said}"
    );
    assert!(said.contains("error: 1 of 2 rows cannot be imported; nothing was changed"), "{said}");
    assert_eq!(users(&desk).as_array().unwrap().len(), 1);
    assert_eq!(desk.ok("user import users.csv --update"), "1 user made, 1 changed, 0 unchanged\n");
    let users = users(&desk);
    assert_eq!((&users[0]["mail"], &users[0]["phone"]), (&"alice@example.com".into(), &"+4930222".into()));
    assert_eq!(desk.ok("user import users.csv"), "0 users made, 0 changed, 2 unchanged\n");
}

#[test]
fn bad_rows_are_named_and_can_be_left_out_into_a_file() {
    let desk = Desk::new("users-bad");
    desk.ok("user add alice --mail a@example.com");
    desk.write(
        "users.csv",
        "user,mail,phone,method\nalice,b@example.com,,\nbob,nobody,,\ncarol,,call me,\ndave,,,pigeon\nerin,e@example.com,,sms\n\
         erin,f@example.com,,sms\n",
    );
    let said = desk.fails("user import users.csv", 1);
    for expected in [
        "users.csv: line 3: mail: is no e-mail address\n",
        "users.csv: line 4: phone: is no telephone number such as +49 30 1234567\n",
        "users.csv: line 5: method: takes totp, push, sms, call, mail\n",
        "users.csv: line 7: user erin stands in an earlier row and is described otherwise there\n",
        "nothing was changed",
    ] {
        assert!(said.contains(expected), "{expected}:\n{said}");
    }
    assert_eq!(users(&desk).as_array().unwrap().len(), 1);
    let ran = desk.ok("user import users.csv --skip-bad bad.csv");
    assert_eq!(ran, "1 user made, 0 changed, 0 unchanged\n5 rows refused: see bad.csv\n");
    assert_eq!(desk.mode("bad.csv"), 0o600);
    let bad = desk.read("bad.csv");
    assert_eq!(bad.lines().count(), 6, "{bad}");
    assert!(
        bad.starts_with("user,mail,phone,method,refused\nalice,b@example.com,,,line 2: user alice is there"),
        "{bad}"
    );
    desk.write(
        "mended.csv",
        &bad.replace("nobody", "bob@example.com").replace("call me", "+493012").replace("pigeon", "Push"),
    );
    let ran = desk.ok("user import mended.csv --update --skip-bad rest.csv");
    assert_eq!(ran, "3 users made, 2 changed, 0 unchanged\n");
    assert!(!desk.scratch.join("rest.csv").exists());

    desk.write("header.csv", "mail\na@example.com\n");
    assert!(
        desk.fails("user import header.csv", 1)
            .contains("line 1: user: the first line does not name this column")
    );
    desk.write("empty.csv", "user,mail\n");
    assert!(desk.fails("user import empty.csv", 1).contains("there are no users in it"));
    assert!(desk.fails("user import missing.csv", 2).contains("missing.csv cannot be read"));
}
