//! What an admin does for people, from the command line.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod cli_support;
mod support;

use cli_support::Desk;
use serde_json::Value;
use support::{Process, free_port};

fn shown(desk: &Desk, name: &str) -> Value {
    let shown: Value = serde_json::from_str(&desk.ok(&format!("user show {name} --format json"))).unwrap();
    shown[0].clone()
}

/// Why somebody cannot log in.
fn hindrances(desk: &Desk, name: &str) -> Vec<String> {
    let found = shown(desk, name)["cannot-log-in"].clone();
    found.as_array().unwrap().iter().map(|entry| entry["why"].as_str().unwrap().to_owned()).collect()
}

fn with_alice(name: &str) -> Desk {
    let desk = Desk::new(name);
    desk.ok("user add alice");
    desk.ok("token add alice --serial T-1");
    desk
}

#[test]
fn ten_recovery_codes_are_printed_once_and_new_ones_end_them() {
    let desk = with_alice("cli-recovery");
    let first = desk.ok("user recovery ALICE");
    let codes: Vec<&str> = first.lines().collect();
    assert_eq!(codes.len(), 10, "{first}");
    let groups = |code: &&str| code.split('-').map(str::len).collect::<Vec<_>>() == [4, 4, 4];
    assert!(codes.iter().all(groups), "{first}");
    assert_eq!(codes.iter().collect::<std::collections::HashSet<_>>().len(), 10, "each another");
    assert!(desk.ok("user show alice").contains("recovery codes  10 of 10 left, printed "));
    let second = desk.ok("user recovery alice");
    assert!(codes.iter().all(|code| !second.contains(code)));
    assert_eq!(shown(&desk, "alice")["recovery-codes-left"], 10);
    for file in ["store/radmfa.db", "store/radmfa.db-wal"] {
        let stored = std::fs::read(desk.scratch.join(file)).unwrap_or_default();
        for code in second.lines() {
            let bare = code.replace('-', "");
            let holds = |part: &str| stored.windows(part.len()).any(|window| window == part.as_bytes());
            assert!(!holds(code) && !holds(&bare), "{file} holds a code in the clear");
        }
    }

    desk.ok("token disable T-1");
    assert!(hindrances(&desk, "alice").is_empty(), "a lost phone, and codes to help");
    assert!(desk.fails("user recovery bob", 1).starts_with("error: there is no user bob"));
}

#[test]
fn a_bypass_is_opened_listed_and_cancelled() {
    let desk = with_alice("cli-bypass");
    let opened = desk.ok("user bypass alice --for 300s --client vpn --station 198.51.100.0/24 --reason lost");
    assert!(opened.starts_with("the next login of alice at vpn until 2"), "{opened}");
    let listed: Value = serde_json::from_str(&desk.ok("user bypass alice --list --format json")).unwrap();
    assert_eq!(
        (&listed[0]["client"], &listed[0]["station"], &listed[0]["reason"]),
        (&"vpn".into(), &"198.51.100.0/24".into(), &"lost".into())
    );
    assert_eq!(shown(&desk, "alice")["open-bypasses"], 1);
    assert!(desk.ok("user show alice").contains("bypass          at vpn from 198.51.100.0/24 for "));
    assert_eq!(desk.ok("user bypass alice --cancel"), "no bypass is open for alice any more\n");
    assert_eq!(desk.ok("user bypass alice --list --format json"), "[]\n");
    assert!(desk.fails("user bypass alice --cancel", 1).contains("there is no bypass open"));

    assert!(desk.fails("user bypass bob --for 300s --client vpn --reason x", 1).contains("no user bob"));
    for (line, said) in [
        ("alice --for 29s --client vpn --reason x", "30 s to 24 h"),
        ("alice --for 25h --client vpn --reason x", "30 s to 24 h"),
        ("alice --for 300s --client vpn --reason=", "a reason has 1 to 200 octets"),
        ("alice --for 300 --client vpn --reason x", "a number with a unit"),
        ("alice --for 300s --client v/n --reason x", "--client"),
        ("alice --for 300s --client vpn", "--reason"),
        ("alice --for 300s --reason x", "--client"),
        ("alice --for 300s --client vpn --reason x --station 198.51.100.7/24", "bits set beyond its prefix"),
        ("alice --for 300s --client vpn --reason x --station home", "an address or a CIDR block"),
        ("alice --list --cancel", "cannot be used with"),
    ] {
        assert!(desk.fails(&format!("user bypass {line}"), 2).contains(said), "{line}");
    }

    desk.ok("user set alice --disable");
    let warned = desk.run("user bypass alice --for 300s --client vpn --reason x");
    assert!(warned.stderr.contains("cannot log in all the same: disabled by an admin"), "{}", warned.stderr);
}

#[test]
fn a_block_holds_until_its_time_or_an_admin_ends_it() {
    let desk = with_alice("cli-block");
    assert!(hindrances(&desk, "alice").is_empty());
    let blocked = desk.ok("user block alice --for 90d --reason left");
    assert!(blocked.starts_with("user alice is blocked until 2"), "{blocked}");
    let entry = shown(&desk, "alice")["cannot-log-in"][0].clone();
    assert_eq!(entry["why"], "blocked");
    assert!(entry["since"].is_string() && entry["until"].is_string(), "{entry}");
    assert!(desk.ok("user show alice").contains("cannot log in   blocked since 2"));
    assert_eq!(desk.ok("user unblock alice"), "user alice is not blocked any more\n");
    assert!(hindrances(&desk, "alice").is_empty());
    assert!(desk.fails("user unblock alice", 1).contains("there is no block that holds"));

    desk.ok("user set alice --disable");
    desk.ok("token disable T-1");
    assert_eq!(hindrances(&desk, "alice"), ["disabled", "no-usable-token"]);
    assert!(desk.fails("user block bob --for 1d --reason x", 1).contains("there is no user bob"));
    assert!(desk.fails("user block alice --for 0s --reason x", 2).contains("up to ten years"));
    assert!(desk.fails("user block alice --for 4000d --reason x", 2).contains("up to ten years"));
    assert!(desk.fails("user block alice --for ever --reason x", 2).contains("a number with a unit"));
    assert!(desk.fails("user block alice --for 1d", 2).contains("--reason"));
}

#[test]
fn a_pin_is_set_from_a_file_by_its_rules_and_taken_away() {
    let desk = with_alice("cli-pin");
    let set = |pin: &str, code: i32| {
        desk.write("pin", pin);
        let line = "user set alice --pin-file pin";
        if code == 0 { desk.ok(line) } else { desk.fails(line, code) }
    };
    assert_eq!(set("2580\n", 0), "changed user alice\n");
    for (pin, said) in [
        ("1234", "run up or down"),
        ("121212", "repeats itself"),
        ("258", "4 to 16 digits"),
        ("25 80", "4 to 16 digits"),
    ] {
        assert!(set(pin, 2).contains(said), "{pin}");
    }
    assert!(set("2580", 2).contains("one of the last 5; choose another"));
    assert_eq!(set("2590", 0), "changed user alice\n");
    assert!(set("2580", 2).contains("one of the last 5; choose another"));
    assert!(shown(&desk, "alice")["pin-set"].is_string());

    desk.write("radmfa.toml", "[[client]]\nname = \"vpn\"\npin = \"with-code\"\npin-max-age = \"90d\"\n");
    assert!(!desk.ok("user show alice --config radmfa.toml").contains("cannot log in"));
    assert_eq!(desk.ok("user set alice --no-pin"), "changed user alice\n");
    let said = desk.ok("user show alice --config radmfa.toml");
    assert!(said.contains("has no PIN since 2") && said.contains("which is wanted at vpn\n"), "{said}");
    assert!(desk.fails("user set alice --no-pin", 1).contains("there is no PIN"));
    assert!(desk.fails("user set alice --pin --no-pin", 2).contains("cannot be used with"));
    assert!(desk.fails("user set alice --pin", 2).contains("--pin-file FILE"));
    assert!(desk.fails("user set bob --no-pin", 1).contains("there is no user bob"));
}

/// A server whose only gateway is the test itself, and what logs in through it as `alice` with the right password.
fn serving(desk: &Desk, more: &str) -> (Process, String) {
    desk.write("secret", "a long shared secret");
    desk.write("password", "correct horse\n");
    let port = free_port();
    let server = desk.serve(&format!(
        "serve --server-name test --listen 127.0.0.1:{port} --primary name=here,type=local \
         --client name=nas,address=127.0.0.1,secret=file:secret,reject-delay=0s,tries=5 {more}"
    ));
    let login = format!(
        "login alice --server 127.0.0.1:{port} --secret file:secret --password-file password --timeout 20s"
    );
    (server, login)
}

#[test]
fn a_recovery_code_and_a_bypass_let_somebody_in_once_at_a_running_server() {
    let desk = with_alice("cli-people-server");
    desk.write("password", "correct horse\n");
    desk.ok("user set alice --password-file password");
    let (mut server, login) = serving(&desk, "");
    let codes = desk.ok("user recovery alice --reason lost");
    let code = codes.lines().next().unwrap();
    assert!(desk.ok(&format!("{login} --code {code}")).contains("Accepted after 2 round trips"));
    server.wait_for("ACCEPT recovery-code-accepted user=alice");
    assert!(desk.ok("user show alice").contains("9 of 10 left"));
    assert_eq!(desk.run(&format!("{login} --code {code}")).status.code(), Some(1), "used");

    desk.ok("user bypass alice --for 300s --client nas --reason forgotten");
    assert!(desk.ok(&login).contains("Accepted after 1 round trip"));
    server.wait_for("ACCEPT bypass-used user=alice");
    assert_eq!(desk.ok("user bypass alice --list --format json"), "[]\n");

    desk.ok("user block alice --for 1h --reason left");
    assert_eq!(desk.run(&login).status.code(), Some(1));
    server.wait_for("REJECT user-blocked user=alice");
}

#[test]
fn failures_that_add_up_are_said_in_the_log_with_their_row() {
    let desk = with_alice("cli-people-alarms");
    desk.write("password", "correct horse\n");
    desk.ok("user set alice --password-file password");
    let (mut server, login) = serving(&desk, "--lockout free=20,alarm=10,spray-users=3");
    let wrong = " --code 000000000000".repeat(5);
    for _ in 0..2 {
        assert_eq!(desk.run(&format!("{login}{wrong}")).status.code(), Some(1));
    }
    let line = server.wait_for("guessing-suspected");
    assert!(line.contains("WARN") && line.contains("user=alice") && line.contains("row="), "{line}");
    assert!(desk.ok("user show alice").contains("wrong codes     10, the last at "));

    for stranger in ["mallory", "trent"] {
        assert!(!server.log().contains("spray-suspected"));
        assert_eq!(desk.run(&login.replace("alice", stranger)).status.code(), Some(1));
    }
    let line = server.wait_for("spray-suspected");
    assert!(line.contains("WARN") && line.contains("client=nas") && line.contains("row="), "{line}");
}

#[test]
fn a_wait_looks_the_same_however_often_somebody_tries_and_its_flood_is_one_row() {
    let desk = with_alice("cli-people-flood");
    desk.write("password", "correct horse\n");
    desk.ok("user set alice --password-file password");
    let (mut server, login) = serving(&desk, "");
    let wrong = " --code 000000".repeat(5);
    // Five that count, then thirty in the wait: twenty rows of their own, and one for the other ten.
    for round in 0..7 {
        let said = desk.run(&format!("{login}{wrong}"));
        assert!(said.stdout.contains("Rejected after 6 round trips"), "{round}: {}", said.transcript());
    }
    server.terminate();
    let rows = desk.ok("audit export --since 1h --format jsonl");
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let counts: Vec<u64> = rows
        .iter()
        .filter(|row| row["reason"] == "back-off")
        .map(|row| {
            assert_eq!(row["user"], "alice");
            row["count"].as_u64().unwrap()
        })
        .collect();
    assert_eq!((counts.len(), counts.iter().sum::<u64>(), counts.last()), (21, 30, Some(&10)));
}

#[test]
fn an_unlock_forgives_the_passwords_that_a_directory_was_spared() {
    let desk = with_alice("cli-people-spared");
    desk.write("upstream", "another long shared secret");
    desk.write("right", "correct horse\n");
    desk.write("wrong", "battery staple\n");
    // The directory is another radmfa, with a store of its own.
    let port = free_port();
    let store = "--store sqlite:directory/radmfa.db";
    desk.ok(&format!("user add alice --password-file right {store}"));
    let _directory = desk.serve(&format!(
        "serve {store} --server-name up --listen 127.0.0.1:{port} --primary name=here,type=local \
         --client name=up,address=127.0.0.1,secret=file:upstream,reject-delay=0s,unenrolled=allow"
    ));
    desk.write("secret", "a long shared secret");
    desk.write(
        "radmfa.toml",
        &format!(
            "[[primary]]\nname = \"up\"\ntype = \"radius\"\nserver = \"127.0.0.1:{port}\"\nsecret = \"file:upstream\"\n\
             [[client]]\nname = \"nas\"\naddress = \"127.0.0.1\"\nsecret = \"file:secret\"\nreject-delay = \"0s\"\n"
        ),
    );
    let own = free_port();
    let serve = format!("serve --config radmfa.toml --server-name front --listen 127.0.0.1:{own}");
    let mut server = desk.serve(&serve);
    let login = |password: &str| {
        desk.run(&format!(
            "login alice --server 127.0.0.1:{own} --secret file:secret --password-file {password} --timeout 20s --code 0"
        ))
        .stdout
    };
    for _ in 0..4 {
        assert!(login("wrong").contains("Rejected after 1 round trip"));
    }
    server.wait_for("REJECT password-withheld user=alice");
    assert!(login("right").contains("Rejected after 1 round trip"), "held back, though right");
    let said = desk.ok("user show alice --config radmfa.toml");
    assert!(said.contains("cannot log in   passwords are held back from the directory since 2"), "{said}");
    assert_eq!(hindrances(&desk, "alice"), Vec::<String>::new(), "without the configuration nobody can tell");

    // A restart gives nobody a fresh start.
    server.terminate();
    let mut server = desk.serve(&serve);
    assert!(login("right").contains("Rejected after 1 round trip"), "held back, though right");
    server.wait_for("REJECT password-withheld user=alice");

    desk.ok("user unlock alice --config radmfa.toml --reason called-back");
    assert!(!desk.ok("user show alice --config radmfa.toml").contains("cannot log in"));
    assert!(login("right").contains("Access-Challenge"), "passed on again");
    let rows = desk.ok("audit export --since 1h --format jsonl");
    let unlocked = rows.lines().find(|row| row.contains("\"unlocked\"")).unwrap();
    assert!(unlocked.contains("called-back"), "{unlocked}");
}

#[test]
fn what_keeps_somebody_out_is_said_with_since_when_and_by_which_rule() {
    let desk = with_alice("cli-people-since");
    desk.write(
        "radmfa.toml",
        "[[client]]\nname = \"vpn\"\n[[rule]]\nname = \"admins\"\nuser = \"al*\"\npin = \"with-code\"\npin-max-age = \"1d\"\n\
         [[rule]]\nname = \"others\"\nuser = \"bob\"\npin = \"with-code\"\n",
    );
    let said = desk.ok("user show alice --config radmfa.toml");
    assert!(said.contains("has no PIN, which is wanted at vpn (rule admins)\n"), "{said}");
    desk.write("pin", "2580");
    desk.ok("user set alice --pin-file pin --reason=asked-for");
    desk.ok("user set alice --no-pin");
    let said = desk.ok("user show alice --config radmfa.toml");
    assert!(said.contains("has no PIN since 2"), "{said}");

    desk.ok("user set alice --disable --reason=left,for-good");
    desk.ok("token disable T-1");
    let entries = shown(&desk, "alice")["cannot-log-in"].clone();
    for (place, why) in ["disabled", "no-usable-token"].iter().enumerate() {
        assert_eq!(entries[place]["why"], *why);
        assert!(entries[place]["since"].as_str().is_some_and(|since| since.starts_with('2')), "{entries}");
    }
    // A telephone that codes can be sent to is as good as a token.
    desk.ok("user set alice --phone +36301234567");
    desk.write("sms.toml", "[[channel]]\nname = \"a\"\nkind = \"sms\"\n");
    assert!(!desk.ok("user show alice --config sms.toml").contains("every token"));

    desk.ok("user bypass alice --for 300s --client vpn --reason lost");
    desk.ok("user bypass alice --cancel --reason found");
    desk.ok("user remove alice --reason=gone");
    let rows = desk.ok("audit export --since 1h --format jsonl");
    for note in ["asked-for", "disabled; left,for-good", "found", "gone"] {
        assert!(rows.contains(&format!("\"{note}\"")), "{note}: {rows}");
    }
}

#[test]
fn a_user_is_told_by_mail_of_new_recovery_codes_and_of_each_that_was_used() {
    let desk = with_alice("cli-people-told");
    desk.write("password", "correct horse\n");
    desk.write("secret", "a long shared secret");
    desk.ok("user set alice --password-file password");
    let port = free_port();
    desk.write(
        "radmfa.toml",
        &format!(
            "server-name = \"mfa\"\nlisten = [\"127.0.0.1:{port}\"]\n[[primary]]\nname = \"here\"\ntype = \"local\"\n\
             [[client]]\nname = \"nas\"\naddress = \"127.0.0.1\"\nsecret = \"file:secret\"\nreject-delay = \"0s\"\n\
             [[channel]]\nname = \"post\"\nkind = \"email\"\ntype = \"command\"\nargv = [\"/usr/bin/tee\", \"-a\", \"{}\"]\n",
            desk.scratch.join("mails").display()
        ),
    );
    let issued =
        |desk: &Desk| desk.run("user recovery alice --config radmfa.toml").expect_success("recovery");
    let nowhere = desk.run("user recovery alice").expect_success("recovery").stderr;
    assert!(nowhere.contains("alice was not told by mail: there is no channel for mails"), "{nowhere}");
    let unknown = issued(&desk).stderr;
    assert!(unknown.contains("alice was not told by mail: no address is known"), "{unknown}");
    desk.ok("user set alice --mail alice@example.com");
    let told = issued(&desk);
    assert!(told.stderr.ends_with("alice was told by mail\n"), "{}", told.stderr);
    assert!(desk.read("mails").starts_with("An administrator has made new recovery codes for you."));
    for code in told.stdout.lines() {
        assert!(!desk.read("mails").contains(code), "a mail holds no code");
    }

    let mut server = desk.serve("serve --config radmfa.toml");
    let code = told.stdout.lines().next().unwrap();
    desk.ok(&format!(
        "login alice --server 127.0.0.1:{port} --secret file:secret --password-file password --timeout 20s --code {code}"
    ));
    let line = server.wait_for("the user was told that a recovery code was used");
    assert!(line.contains("user=alice") && line.contains("channel=post"), "{line}");
    assert!(
        desk.read("mails").contains("logged in at nas with your password and one of your recovery codes")
    );
    let rows = desk.ok("audit export --since 1h --format jsonl");
    let used = rows.lines().find(|row| row.contains("recovery-code-accepted")).unwrap();
    assert!(used.contains("alice@example.com"), "who it was stands in the row: {used}");

    // A trial of a channel stands in the trail, with who and why, before anything leaves.
    desk.ok("channel send post bob@example.com --config radmfa.toml --reason=set-up");
    let rows = desk.ok("audit export --since 1h --format jsonl");
    let tried = rows.lines().find(|row| row.contains("channel-tried")).unwrap();
    assert!(tried.contains("post to b···@example.com; set-up"), "{tried}");
    let said = desk.run("channel send post bob@example.com --config radmfa.toml --store sqlite:none/x.db");
    assert!(said.success() && said.stderr.contains("there is no store yet"), "{}", said.transcript());
    assert!(!desk.scratch.join("none").exists());
}

#[test]
fn what_works_once_works_once_at_two_servers_on_one_store() {
    let desk = with_alice("cli-people-race");
    desk.write("password", "correct horse\n");
    desk.write("secret", "a long shared secret");
    desk.ok("user set alice --password-file password");
    let ports = [free_port(), free_port()];
    let serve = |(place, port): (usize, u16)| {
        desk.serve(&format!(
            "serve --server-name mfa-{place} --listen 127.0.0.1:{port} --primary name=here,type=local --control off \
             --client name=nas,address=127.0.0.1,secret=file:secret,reject-delay=0s,tries=1 --lockout free=20"
        ))
    };
    let _servers = [serve((0, ports[0])), serve((1, ports[1]))];
    // How many of two logins at once get in, one at each server.
    let race = |code: &str| {
        let login = |port: u16| {
            format!(
                "login alice --server 127.0.0.1:{port} --secret file:secret --password-file password --timeout 20s \
                 --code {code}"
            )
        };
        std::thread::scope(|scope| {
            let (desk, login) = (&desk, &login);
            let both = ports.map(|port| scope.spawn(move || desk.run(&login(port)).success()));
            both.into_iter().map(|one| usize::from(one.join().unwrap())).sum::<usize>()
        })
    };
    let codes = desk.ok("user recovery alice");
    for code in codes.lines() {
        assert_eq!(race(code), 1, "a recovery code");
    }
    assert_eq!(shown(&desk, "alice")["recovery-codes-left"], 0);
    for _ in 0..5 {
        desk.ok("user bypass alice --for 300s --client nas --reason forgotten");
        assert_eq!(race("000000"), 1, "a bypass");
        assert_eq!(shown(&desk, "alice")["open-bypasses"], 0);
    }
    desk.write("tokens.csv", "user,serial,secret\nalice,T-2,GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n");
    desk.ok("token import tokens.csv");
    assert_eq!(race(&support::code::now("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")), 1, "a token's code");
    desk.ok("audit verify");
}

#[test]
fn an_invitation_is_sent_by_mail_or_text_and_one_that_nobody_takes_is_good_for_nothing() {
    let desk = Desk::new("cli-invite");
    desk.write("secret", "a long shared secret");
    let take = |kind: &str| {
        format!(
            "[[channel]]\nname = \"{kind}\"\nkind = \"{kind}\"\ntype = \"command\"\nargv = [\"/usr/bin/tee\", \"-a\", \"{}\"]\n",
            desk.scratch.join(kind).display()
        )
    };
    let around = "server-name = \"mfa\"\n[portal]\nlisten = \"127.0.0.1:8443\"\npublic-url = \"https://mfa.example.com\"\n\
         [[primary]]\nname = \"here\"\ntype = \"local\"\n\
         [[client]]\nname = \"nas\"\naddress = \"127.0.0.1\"\nsecret = \"file:secret\"\n";
    desk.write("radmfa.toml", &format!("{around}{}{}", take("email"), take("sms")));
    desk.write(
        "broken.toml",
        &format!("{around}{}", take("email").replace("/usr/bin/tee", "/usr/bin/false")),
    );
    desk.ok("user add alice");
    let nobody = desk.fails("user invite alice --send email --config radmfa.toml", 1);
    assert!(nobody.contains("no mail address of alice is known"), "{nobody}");
    assert!(!desk.ok("user show alice").contains("invited"));
    desk.ok("user set alice --mail alice@example.com --phone +36301234567 --first-name Alice");

    for (way, to) in [("email", "a···@example.com"), ("sms", "···67")] {
        let said = desk.ok(&format!("user invite alice --for 1h --send {way} --config radmfa.toml"));
        assert!(said.contains(&format!("alice was sent a link to {to}, good once until ")), "{said}");
        assert!(!said.contains("/enrol/"), "the link goes to its user alone: {said}");
        let sent = desk.read(way);
        let link = sent.split_whitespace().find(|word| word.starts_with("https://mfa.example.com/enrol/"));
        assert!(link.is_some(), "{sent}");
        assert!(desk.ok("user show alice").contains("invited"));
    }
    let failed = desk.fails("user invite alice --send email --config broken.toml", 1);
    assert!(
        failed.contains("no channel took the message to a···@example.com; nothing is good now"),
        "{failed}"
    );
    assert!(!desk.ok("user show alice").contains("invited"), "neither the one before");
    let rows = desk.ok("audit export --since 1h --format jsonl");
    let count = |reason: &str| rows.lines().filter(|row| row.contains(&format!("\"{reason}\""))).count();
    assert_eq!((count("invited"), count("invite-revoked")), (3, 1), "{rows}");
}
