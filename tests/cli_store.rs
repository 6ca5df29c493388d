//! Keeping the store safe: backup, restore, a new key, on the real program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and asks the real clock for the codes of this moment"
)]

mod cli_support;
mod support;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use cli_support::Desk;
use rusqlite::Connection;
use serde_json::Value;
use support::code;
use support::process::{Process, poll};
use support::{User, free_port};

/// A desk with a user and a token for each of `users`.
fn desk(name: &str, users: &[User]) -> Desk {
    let desk = Desk::new(name);
    let mut rows = String::from("user,serial,secret\n");
    for (number, user) in users.iter().enumerate() {
        writeln!(rows, "{},T-{number},{}", user.name, user.seed).unwrap();
    }
    desk.write("tokens.csv", &rows);
    desk.ok("token import tokens.csv");
    desk
}

fn users(count: usize) -> Vec<User> {
    (0..count).map(|number| User::named(&format!("user{number}"))).collect()
}

fn info(desk: &Desk) -> Value {
    let listed: Value = serde_json::from_str(&desk.ok("store info --format json")).unwrap();
    listed[0].clone()
}

fn files(desk: &Desk, part: &str) -> Vec<String> {
    let entries = fs::read_dir(desk.scratch.join("store")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(part))
        .collect();
    names.sort();
    names
}

fn serve(desk: &Desk) -> Process {
    desk.write("secret", "a long shared secret");
    desk.serve(&format!(
        "serve --server-name test --listen 127.0.0.1:{} --client name=nas,address=127.0.0.1,secret=file:secret \
         --primary name=here,type=local",
        free_port()
    ))
}

#[test]
fn a_backup_is_whole_private_without_the_key_and_never_replaces_a_file_unasked() {
    let desk = desk("keep-backup", &users(3));
    let said = desk.ok("store backup copy.db");
    assert!(said.starts_with("backed up store/radmfa.db to copy.db: 3 users, 3 tokens, "), "{said}");
    let fingerprint = info(&desk)["key-fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(fingerprint.len(), 32);
    assert!(
        said.contains(&format!("the key is not in it: store/radmfa.db.key, fingerprint {fingerprint}.")),
        "{said}"
    );
    assert_eq!(desk.mode("copy.db"), 0o600);
    let key = desk.read("store/radmfa.db.key");
    let copy = fs::read(desk.scratch.join("copy.db")).unwrap();
    assert!(!copy.windows(64).any(|window| window == key.trim().as_bytes()));

    let again = desk.fails("store backup copy.db", 1);
    assert_eq!(
        again,
        "error: copy.db is there already\n  hint: name another file, or replace it with --force\n"
    );
    assert_eq!(fs::read(desk.scratch.join("copy.db")).unwrap(), copy);
    desk.ok("user add another");
    assert!(desk.ok("store backup copy.db --force").contains("4 users"));
    assert_ne!(fs::read(desk.scratch.join("copy.db")).unwrap(), copy);
    assert_eq!(desk.mode("copy.db"), 0o600);
    let left = fs::read_dir(desk.scratch.path()).unwrap();
    let left =
        left.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("copy.db"));
    assert_eq!(left.count(), 1, "nothing is left beside the backup");

    assert!(desk.fails("store backup none/copy.db", 1).contains("its directory does not exist"));
    assert!(desk.fails("store backup store", 1).contains("is no file"));
    for ours in ["store/radmfa.db", "store/radmfa.db.key"] {
        assert!(
            desk.fails(&format!("store backup {ours} --force"), 1).contains("belongs to the store itself")
        );
    }
    assert!(desk.fails("store backup x.db --store sqlite:none.db", 1).contains("none.db: does not exist"));
    assert!(desk.fails("store backup x.db --store memory:", 1).contains("nothing to keep"));
    assert!(!desk.scratch.join("x.db").exists());
    assert!(desk.ok("store info").contains("in use by    nobody"));
}

#[test]
fn a_code_used_since_the_backup_does_not_work_again_after_restore() {
    let people = users(2);
    let desk = desk("keep-restore", &people);
    desk.ok("store backup copy.db");
    let used = code::fresh(&people[0].seed);
    desk.ok(&format!("token verify T-0 {used}"));
    desk.ok("user add late");

    let said = desk.ok("store restore copy.db");
    assert!(said.starts_with("restored store/radmfa.db from copy.db: 2 users, 2 tokens, "), "{said}");
    assert!(said.contains("at risk:\n") && said.contains("is gone: users, tokens"), "{said}");
    assert!(desk.fails(&format!("token verify T-0 {used}"), 1).contains("was used already"));
    assert!(desk.fails("user show late", 1).contains("there is no user late"));
    let aside = files(&desk, ".before-");
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(said.contains(&format!("what was there before is store/{}", aside[0])), "{said}");
    let before = Connection::open(desk.scratch.join("store").join(&aside[0])).unwrap();
    let late: i64 =
        before.query_row("SELECT count(*) FROM user WHERE name = 'late'", [], |row| row.get(0)).unwrap();
    assert_eq!(late, 1);

    // On another machine nothing is known of what was used, so nothing that could have been is good.
    for name in ["copy.db", "store/radmfa.db.key"] {
        let bytes = fs::read(desk.scratch.join(name)).unwrap();
        fs::create_dir_all(desk.scratch.join("new")).unwrap();
        fs::write(desk.scratch.join("new").join(name.rsplit('/').next().unwrap()), bytes).unwrap();
    }
    fs::rename(desk.scratch.join("new/radmfa.db.key"), desk.scratch.join("new/other.db.key")).unwrap();
    fs::set_permissions(desk.scratch.join("new/other.db.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let elsewhere = "--store sqlite:new/other.db";
    assert!(!desk.ok(&format!("store restore new/copy.db {elsewhere}")).contains("what was there before"));
    for (serial, user) in [("T-0", &people[0]), ("T-1", &people[1])] {
        let now = code::now(&user.seed);
        let refused = desk.fails(&format!("token verify {serial} {now} {elsewhere}"), 1);
        assert!(refused.contains("was used already"), "{refused}");
    }
    assert_eq!(desk.mode("new/other.db"), 0o600);
}

#[test]
fn bypasses_of_a_backup_are_void_and_its_recovery_codes_are_named() {
    let desk = desk("keep-restore-special", &users(3));
    let path = desk.scratch.join("store/radmfa.db");
    let special = |user: &str| -> Option<String> {
        let store = Connection::open(&path).unwrap();
        store.query_row("SELECT special FROM user WHERE name = ?1", [user], |row| row.get(0)).unwrap()
    };
    {
        let store = Connection::open(&path).unwrap();
        let column = "SELECT count(*) FROM pragma_table_info('user') WHERE name = 'special'";
        if store.query_row(column, [], |row| row.get::<_, i64>(0)).unwrap() == 0 {
            store.execute("ALTER TABLE user ADD COLUMN special TEXT", []).unwrap();
        }
        let bypass =
            r#"{"id":1,"client":"vpn","station":null,"since":1,"until":99999999999999,"why":"lost phone"}"#;
        let code = format!(r#"{{"id":2,"hash":"{}","since":1,"used":false}}"#, "00".repeat(32));
        let set = "UPDATE user SET special = ?2 WHERE name = ?1";
        let both = format!(r#"{{"bypasses":[{bypass},{bypass}],"recovery":[{code}]}}"#);
        store.execute(set, ["user0", &both]).unwrap();
        store.execute(set, ["user1", &format!(r#"{{"recovery":[{code}]}}"#)]).unwrap();
    }
    let untouched = special("user1");
    desk.ok("store backup copy.db");
    let said = desk.ok("store restore copy.db");
    assert!(said.contains("2 one-time bypasses are void now"), "{said}");
    assert!(said.contains("recovery codes used since the backup work again"), "{said}");
    let kept = special("user0").unwrap();
    assert!(!kept.contains("bypasses") && kept.contains("recovery"), "{kept}");
    assert_eq!((special("user1"), special("user2")), (untouched, None));
}

#[test]
fn nothing_is_restored_under_a_running_server() {
    let desk = desk("keep-restore-live", &users(1));
    desk.ok("store backup copy.db");
    let mut server = serve(&desk);
    let refused = desk.fails("store restore copy.db", 1);
    let who = format!("radmfa (process {})", server.id());
    assert!(refused.contains("is in use by") && refused.contains(&who), "{refused}");
    assert!(refused.contains("hint: stop the server"), "{refused}");
    assert!(info(&desk)["in-use-by"][0].as_str().unwrap().contains(&who));
    assert!(files(&desk, "draft").is_empty() && files(&desk, "before").is_empty());
    // However it ends.
    server.kill();
    desk.ok("store restore copy.db");
    drop(serve(&desk));
}

#[test]
fn what_is_no_backup_is_not_restored() {
    let desk = desk("keep-restore-bad", &users(40));
    desk.ok("store backup copy.db");
    let whole = fs::read(desk.scratch.join("copy.db")).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(desk.scratch.join(name), bytes).unwrap();
    put("text.db", b"this is no database, and long enough to be looked at as if it were one");
    put("empty.db", b"");
    put("short.db", &whole[..whole.len() / 2]);
    let mut broken = whole.clone();
    let middle = 4096 * 3;
    broken[middle..middle + 64].fill(0xa5);
    put("broken.db", &broken);
    Connection::open(desk.scratch.join("other.db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    put("newer.db", &whole);
    Connection::open(desk.scratch.join("newer.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for (file, planted) in [
        ("trigger.db", "CREATE TRIGGER t AFTER INSERT ON event BEGIN DELETE FROM user; END"),
        ("view.db", "ALTER TABLE removed RENAME TO r; CREATE VIEW removed AS SELECT * FROM r"),
    ] {
        put(file, &whole);
        Connection::open(desk.scratch.join(file)).unwrap().execute_batch(planted).unwrap();
    }
    let made = Command::new("mkfifo").arg(desk.scratch.join("pipe.db")).status().unwrap();
    assert!(made.success());
    let before = desk.ok("user list --format json");
    for (file, words) in [
        ("trigger.db", "trigger.db: holds the trigger t, which no radmfa makes"),
        ("view.db", "view.db: holds the view removed, which no radmfa makes"),
        ("pipe.db", "pipe.db is no file"),
        ("none.db", "none.db does not exist"),
        ("store", "is no file"),
        ("text.db", "text.db is no backup"),
        ("empty.db", "empty.db is damaged"),
        ("short.db", "short.db is damaged"),
        ("broken.db", "broken.db is damaged"),
        ("other.db", "other.db: is another program's database"),
        ("newer.db", "newer.db: has schema version 99; this radmfa knows versions up to "),
    ] {
        let refused = desk.fails(&format!("store restore {file}"), 1);
        assert!(refused.contains(words) && refused.contains("hint: "), "{file}: {refused}");
    }
    assert_eq!(desk.ok("user list --format json"), before);
    assert!(files(&desk, "draft").is_empty() && files(&desk, "before").is_empty());
    assert!(
        desk.fails("store restore copy.db --store sqlite:other.db", 1).contains("another program's database")
    );

    // Without its key a backup is of no use, and nothing is changed.
    desk.ok("user add alice --store sqlite:own/radmfa.db");
    let refused = desk.fails("store restore copy.db --store sqlite:own/radmfa.db", 1);
    let wanted = info(&desk)["key-fingerprint"].as_str().unwrap().to_owned();
    assert!(refused.contains(&format!("copy.db needs the key with fingerprint {wanted}")), "{refused}");
    assert!(desk.ok("user list --store sqlite:own/radmfa.db").contains("alice"));
}

#[test]
fn a_damaged_store_is_replaced_by_its_backup_and_kept() {
    let people = users(2);
    let desk = desk("keep-damaged", &people);
    desk.ok("store backup copy.db");
    let path = desk.scratch.join("store/radmfa.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..].fill(0);
    fs::write(&path, &bytes).unwrap();
    let damaged = desk.fails("user list", 1);
    assert!(damaged.contains("is damaged") && damaged.contains("radmfa store restore BACKUP"), "{damaged}");
    let said = desk.ok("store restore copy.db");
    assert!(!said.contains("taken over"), "{said}");
    assert_eq!(fs::read(desk.scratch.join("store").join(&files(&desk, ".before-")[0])).unwrap(), bytes);
    assert!(desk.ok("user list").contains("user1"));
}

#[test]
fn missing_foreign_newer_and_wrongly_keyed_stores_are_told_apart() {
    let desk = desk("keep-faults", &users(1));
    let says = |what: &[&str]| {
        let said = desk.fails("user list", 1);
        for words in what.iter().chain(&["hint: ", "store/radmfa.db"]) {
            assert!(said.contains(words), "{words}: {said}");
        }
    };
    let path = desk.scratch.join("store/radmfa.db");
    let key = desk.scratch.join("store/radmfa.db.key");
    let (good, good_key) = (fs::read(&path).unwrap(), fs::read(&key).unwrap());
    fs::write(&key, "00".repeat(32)).unwrap();
    says(&["was sealed with another key: it wants the one with fingerprint"]);
    fs::write(&key, &good_key).unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let version = info_version(&desk);
    says(&["has schema version 99", &format!("knows versions up to {version}")]);
    fs::write(&path, "not a database, but some text that somebody put here").unwrap();
    says(&["is no store"]);
    fs::write(&path, &good[..2048]).unwrap();
    says(&["is damaged"]);
    fs::remove_file(&path).unwrap();
    says(&["does not exist"]);
    fs::write(&path, &good).unwrap();
    assert!(desk.ok("user list").contains("user0"));
}

/// The version that this program makes of a store, learnt from a fresh one.
fn info_version(desk: &Desk) -> String {
    desk.ok("user add somebody --store sqlite:fresh/radmfa.db");
    let said: Value =
        serde_json::from_str(&desk.ok("store info --format json --store sqlite:fresh/radmfa.db")).unwrap();
    said[0]["version"].to_string()
}

#[test]
fn a_new_key_seals_everything_and_backups_from_before_can_still_be_restored() {
    let people = users(30);
    let desk = desk("keep-rekey", &people);
    desk.ok("store backup old.db");
    let before = info(&desk)["key-fingerprint"].as_str().unwrap().to_owned();
    let old_key = desk.read("store/radmfa.db.key");
    let said = desk.ok("store rekey");
    assert!(said.starts_with("30 values re-sealed; "), "{said}");
    let now = info(&desk);
    assert_ne!(now["key-fingerprint"], before.as_str());
    assert_eq!((&now["rekey-under-way"], &now["earlier-keys"]), (&Value::Bool(false), &1.into()));
    assert_ne!(desk.read("store/radmfa.db.key"), old_key);
    let kept = format!("store/radmfa.db.key.{before}");
    assert_eq!(desk.read(&kept), old_key);
    assert!(said.contains(&format!("the key from before is {kept}")), "{said}");
    assert_eq!((desk.mode("store/radmfa.db.key"), desk.mode(&kept)), (0o600, 0o600));
    desk.ok(&format!("token verify T-7 {}", code::now(&people[7].seed)));

    // The old key opens nothing any more, and is named as what it is.
    let new_key = desk.read("store/radmfa.db.key");
    desk.write("store/radmfa.db.key", &old_key);
    let refused = desk.fails("user list", 1);
    assert!(refused.contains("the one from before `store rekey`"), "{refused}");
    let store = Connection::open(desk.scratch.join("store/radmfa.db")).unwrap();
    let heirs: i64 = store
        .query_row("SELECT count(*) FROM meta WHERE name LIKE 'radmfa/heir/%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(heirs, 0, "nobody with the old key learns the new one");
    drop(store);
    desk.write("store/radmfa.db.key", &new_key);

    desk.ok("store backup new.db");
    let said = desk.ok("store restore old.db");
    assert!(said.contains("the backup's own key is in place"), "{said}");
    assert_eq!(desk.read("store/radmfa.db.key"), old_key);
    desk.ok("token list");
    desk.ok("store restore new.db");
    assert_eq!(desk.read("store/radmfa.db.key"), new_key);

    // A second time, and then over again with what was there.
    assert!(desk.ok("store rekey").starts_with("30 values re-sealed; "));
    assert_eq!(info(&desk)["earlier-keys"], 2);
    desk.ok("user list");
}

#[test]
fn a_key_that_is_kept_elsewhere_is_exchanged_for_a_named_one() {
    let desk = Desk::new("keep-rekey-given");
    desk.write("one", &"11".repeat(32));
    desk.write("two", &"22".repeat(32));
    desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{}\n", User::named("alice").seed));
    desk.ok("token import tokens.csv --seal-key file:one");
    let unnamed = desk.fails("store rekey --seal-key file:one", 2);
    assert!(unnamed.contains("has to be named") && unnamed.contains("--new-seal-key"), "{unnamed}");
    let shown = desk.fails(&format!("store rekey --seal-key file:one --new-seal-key {}", "22".repeat(32)), 2);
    assert!(shown.contains("seen by everybody"), "{shown}");
    assert!(desk.fails("store rekey --seal-key file:two --new-seal-key file:one", 1).contains("another key"));
    assert!(desk.fails("store rekey --seal-key file:one --new-seal-key file:one", 1).contains("had before"));
    let said = desk.ok("store rekey --seal-key file:one --new-seal-key file:two");
    assert!(said.contains("set seal-key to the new key"), "{said}");
    assert!(desk.fails("user list --seal-key file:one", 1).contains("before `store rekey`"));
    let code = code::now(&User::named("alice").seed);
    desk.ok(&format!("token verify T-1 {code} --seal-key file:two"));
    assert!(!desk.scratch.join("store/radmfa.db.key").exists());
}

#[test]
fn a_rekey_that_is_killed_leaves_a_readable_store_and_is_gone_on_with() {
    let people = users(40);
    let desk = desk("keep-rekey-killed", &people);
    let mut many = String::from("serial,secret\n");
    for number in 0..20_000 {
        writeln!(many, "M-{number},{}", people[0].seed).unwrap();
    }
    desk.write("many.csv", &many);
    desk.ok("token import many.csv");
    let began = Instant::now();
    desk.ok("store rekey");
    let takes = began.elapsed();
    let mut cut_short = 0;
    for round in 0..10_u32 {
        let mut rekey = Process::spawn("rekey", desk.command("store rekey"), &desk.scratch);
        // Somewhere on its way, each time somewhere else.
        let until = takes * (round * 2 + 1) / 20;
        let began = Instant::now();
        poll("a moment of the rekey", Duration::from_mins(1), || {
            (began.elapsed() >= until || rekey.try_wait().is_some()).then_some(())
        });
        rekey.kill();
        cut_short += u32::from(info(&desk)["rekey-under-way"] == Value::Bool(true));
        let user = usize::try_from(round).unwrap();
        for number in [user, 39 - user] {
            desk.ok(&format!("token verify T-{number} {}", code::now(&people[number].seed)));
        }
    }
    assert!(cut_short >= 5, "only {cut_short} of ten were ended half-way");
    desk.ok("store rekey");
    assert_eq!(files(&desk, "key.draft"), Vec::<String>::new(), "what a killed one left is gone");
    let now = info(&desk);
    assert_eq!(now["rekey-under-way"], Value::Bool(false));
    assert!(now["key"].as_str().unwrap().ends_with("radmfa.db.key"));
    for (number, user) in people.iter().enumerate().take(20).skip(10) {
        desk.ok(&format!("token verify T-{number} {}", code::now(&user.seed)));
    }
    // Everything is under the last key: without the earlier ones nothing is missing.
    let store = Connection::open(desk.scratch.join("store/radmfa.db")).unwrap();
    store.execute("DELETE FROM meta WHERE name LIKE 'radmfa/%'", []).unwrap();
    drop(store);
    for number in [0, 1, 9_999, 19_999] {
        let said = desk.run(&format!("token verify M-{number} {}", code::now(&people[0].seed)));
        assert!(!said.transcript().contains("damaged"), "{}", said.transcript());
    }
}

#[test]
fn a_store_says_what_it_is() {
    let desk = desk("keep-info", &users(2));
    let said = desk.ok("store info");
    for words in
        ["store/radmfa.db\n", "  version ", "  users        2 users", "  tokens       2 tokens", "  key "]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(desk.ok("store migrate").contains("already"));
    assert!(desk.fails("store info --store sqlite:none.db", 1).contains("does not exist"));
    assert!(desk.fails("store migrate --store sqlite:none.db", 1).contains("does not exist"));
    assert!(desk.fails("store rekey --store sqlite:none.db", 1).contains("does not exist"));
    assert!(!desk.scratch.join("none.db").exists() && !desk.scratch.join("none.db.key").exists());
    // No key is needed to look.
    fs::rename(desk.scratch.join("store/radmfa.db.key"), desk.scratch.join("elsewhere")).unwrap();
    assert!(desk.ok("store info").contains("not beside the store"));
}

#[test]
fn what_is_done_to_the_store_as_a_whole_is_in_its_trail_with_who_did_it() {
    let desk = desk("keep-rows", &users(2));
    desk.ok("store backup copy.db");
    desk.ok("store rekey");
    desk.write("passphrase", "correct horse battery staple\n");
    desk.ok("token export --with-secrets out.xml --passphrase-file passphrase");
    let rows = || -> Vec<Value> {
        let exported = desk.ok("audit export --since 1d");
        exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let before = rows();
    let of = |rows: &[Value], reason: &str| -> Vec<Value> {
        rows.iter().filter(|row| row["reason"] == reason).cloned().collect()
    };
    assert_eq!(of(&before, "store-backed-up")[0]["note"], "copy.db");
    assert_eq!(of(&before, "store-rekeyed").len(), 1);
    let left: Vec<_> = of(&before, "token-exported").iter().map(|row| row["device"].clone()).collect();
    assert_eq!(left, ["T-0", "T-1"]);
    assert!(before.iter().all(|row| row["actor"].is_string() && row["result"] == "noted"), "{before:?}");
    desk.ok("store restore copy.db");
    let after = rows();
    assert!(of(&after, "store-backed-up").is_empty(), "a backup ends before its own row");
    let restored = of(&after, "store-restored");
    assert_eq!((&restored[0]["note"], restored[0]["actor"].is_string()), (&"copy.db".into(), true));
    assert!(desk.ok("audit verify").contains("holds together"));
}
