//! Rules from the command line: what `explain` says of them, beside what the server does.

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

use cli_support::Desk;
use serde_json::Value;
use support::free_port;

const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// A desk with alice, who owns a token and is an admin, bob, who owns none, and a configuration with rules.
fn desk(name: &str, port: u16) -> Desk {
    let desk = Desk::new(name);
    desk.write("password", "correct horse\n");
    desk.write("secret", "a long shared secret");
    desk.write("tokens.csv", &format!("user,serial,secret\nalice,T-1,{SEED}\n"));
    desk.ok("token import tokens.csv");
    desk.ok("user set alice --password-file password --add-group admins");
    desk.ok("user add bob --password-file password");
    desk.write(
        "radmfa.toml",
        &format!(
            r#"
server-name = "mfa-a"
listen = "127.0.0.1:{port}"
[[client]]
name = "nas"
address = "127.0.0.1"
secret = "file:secret"
profile = "cisco-asa"
patience = "12s"
[[client]]
name = "other"
address = "127.0.0.2"
secret = "file:secret"
[[primary]]
name = "here"
type = "local"
[[rule]]
name = "elsewhere"
client = "other"
tries = 5
[[rule]]
name = "admins"
group = "Admins"
tries = 1
[[rule]]
name = "desk"
client = "nas"
station = "10.0.0.0/8"
attribute = "NAS-Identifier=radmfa-login"
exempt = true
[[rule]]
name = "rest"
reject-delay = "200ms"
prompt = "Code:"
"#
        ),
    );
    desk
}

#[test]
fn an_explanation_says_each_rule_each_key_and_what_would_be_asked() {
    let desk = desk("cli-explain", free_port());
    let said = desk.ok("explain Alice --client nas --station 10.9.8.7 --config radmfa.toml");
    for line in [
        "alice at nas (profile cisco-asa) from 10.9.8.7",
        "elsewhere  no   only at other",
        "admins     yes  the first that matches: it counts, after the password",
        "desk       no   the request lacks NAS-Identifier=radmfa-login",
        "rest       yes  matches, and counts until the password was checked: the first that names no group",
        "groups    admins",
        "standing  may log in",
        "tokens    T-1: usable",
        "After the right password alice is asked \"Enter the code from your authenticator app:\" and has one try within \
         120 s.",
    ] {
        assert!(said.contains(line), "{line} is missing:\n{said}");
    }
    let key = |key: &str| {
        let line = said.lines().find(|line| line.trim_start().starts_with(&format!("{key} ")));
        line.unwrap_or_else(|| panic!("no {key}:\n{said}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(key("patience"), "patience \"12s\" client nas, radmfa.toml:9");
    assert_eq!(key("challenge"), "challenge true profile cisco-asa");
    assert_eq!(key("tries"), "tries 1 rule admins, radmfa.toml:24");
    assert_eq!(key("reject-delay"), "reject-delay \"200ms\" rule rest, radmfa.toml:33");
    assert_eq!(key("window"), "window 1 default");
    assert!(!said.contains("a long shared secret"));
}

#[test]
fn an_explanation_goes_by_the_user_s_standing_and_tokens() {
    let desk = desk("cli-explain-standing", free_port());
    let explain = |rest: &str| desk.ok(&format!("explain {rest} --client nas --config radmfa.toml"));
    assert!(explain("bob").contains("Whatever the password, bob is refused (unenrolled): "));
    assert!(explain("zoe").contains("unknown in the store"));
    assert!(
        explain("bob --client name=unused,address=127.0.0.9,secret=file:secret").contains("(unenrolled)")
    );
    let exempt = "bob --station 10.1.1.1 --attribute NAS-Identifier=radmfa-login";
    assert!(explain(exempt).contains("bob is let in and asked for nothing more (exempt): "));
    let unsigned = explain(&format!("{exempt} --no-message-authenticator"));
    assert!(unsigned.contains("desk       no   it reads the station or attributes"), "{unsigned}");
    assert!(unsigned.contains("bob is refused (unenrolled)"), "{unsigned}");
    desk.ok("user set alice --method sms --phone +36301234567");
    desk.ok("device add alice --channel hook --address alices-phone");
    let said = explain("alice");
    assert!(said.contains("device    alices-phone by hook"), "{said}");
    assert!(said.contains("method    wants to be asked for sms first\n"), "{said}");
    let said = explain("alice --client name=nas,choose=first");
    assert!(said.contains("asked for sms first, which counts for nothing here"), "{said}");
    let channel =
        "[[channel]]\nname = \"mail\"\nkind = \"email\"\ntype = \"command\"\nargv = [\"/bin/true\"]\n";
    desk.write("mail.toml", &(desk.read("radmfa.toml") + channel));
    let added = desk.run("device add bob --channel hok --address x --config mail.toml");
    assert!(added.stderr.contains("the configuration has no channel hok"), "{}", added.transcript());
    desk.ok("device revoke bob x");
    desk.ok("device revoke alice alices-phone");
    desk.ok("token disable T-1");
    let disabled = explain("alice");
    assert!(disabled.contains("T-1: disabled") && disabled.contains("alice is refused (no-usable-token)"));
    desk.ok("user set alice --disable");
    let said = explain("alice");
    assert!(
        said.contains("standing  disabled by an admin since 2") && said.contains("; every token is disabled"),
        "{said}"
    );
    desk.ok("user set alice --enable");
    desk.ok("user block alice --for 1d --reason lost-laptop");
    let blocked = explain("alice");
    assert!(blocked.contains("standing  blocked since ") && blocked.contains(": lost-laptop"), "{blocked}");
    assert!(blocked.contains("Whatever the password, alice is refused (user-blocked): "), "{blocked}");

    let json: Value = serde_json::from_str(&explain(&format!("{exempt} --format json"))).unwrap();
    assert_eq!(json["outcome"]["result"], "accepted");
    assert_eq!(json["outcome"]["reason"], "exempt");
    assert_eq!(json["rules"][2]["name"], "desk");
    assert_eq!(json["rules"][2]["counts"], true);
    let exempt = json["policy"].as_array().unwrap().iter().find(|said| said["key"] == "exempt").unwrap();
    assert_eq!(exempt["by"], "rule desk, radmfa.toml:30");
}

#[test]
fn what_cannot_be_explained_is_said_with_a_hint() {
    let desk = desk("cli-explain-wrong", free_port());
    for (line, said) in [
        ("explain alice --config radmfa.toml", "hint: --client NAME"),
        (
            "explain alice --client nax --config radmfa.toml",
            "no client is called nax\n  hint: there is nas, other",
        ),
        ("explain alice --client nas --attribute Nas-Prot=1 --config radmfa.toml", "no attribute is called"),
        ("explain alice --client nas --group x --config radmfa.toml", "primary here names no groups"),
        ("explain alice --client nas --format csv --config radmfa.toml", "hint: --format json"),
    ] {
        let ran = desk.run(line);
        assert!(matches!(ran.status.code(), Some(1 | 2)), "{}", ran.transcript());
        assert!(ran.stderr.contains(said), "{line}: {}", ran.transcript());
    }
}

#[test]
fn a_server_does_what_its_rules_say_and_sees_a_changed_group_at_once() {
    let port = free_port();
    let desk = desk("cli-rules", port);
    let mut server = desk.serve("serve --config radmfa.toml");
    assert!(
        server
            .log()
            .contains("rule desk: client nas, station 10.0.0.0/8, attribute NAS-Identifier=radmfa-login: no")
    );
    let login = |user: &str, rest: &str| {
        desk.run(&format!(
            "login {user} --server 127.0.0.1:{port} --secret file:secret --password-file password --timeout 20s {rest}"
        ))
    };
    let exempt = login("bob", "--calling-station-id 10.1.2.3");
    assert!(exempt.stdout.contains("Accepted after 1 round trip"), "{}", exempt.transcript());
    assert!(server.wait_for("ACCEPT exempt user=bob").contains(" rule=desk "));
    let elsewhere = login("bob", "--calling-station-id 192.0.2.1");
    assert!(elsewhere.stdout.contains("Rejected after 1 round trip"), "{}", elsewhere.transcript());
    let wrong = support::code::wrong(SEED);
    let once = login("alice", &format!("--calling-station-id 192.0.2.1 --code {wrong} --code {wrong}"));
    assert!(once.stdout.contains("Rejected after 2 round trips"), "{}", once.transcript());
    desk.ok("user set alice --remove-group admins");
    let twice = login(
        "alice",
        &format!("--calling-station-id 192.0.2.1 --code {wrong} --code {wrong} --code {wrong}"),
    );
    assert!(twice.stdout.contains("Rejected after 4 round trips"), "{}", twice.transcript());
    assert!(twice.stdout.contains("Reply-Message = \"Code:\""), "{}", twice.stdout);
}

#[test]
fn a_check_gives_advice_and_names_rules_that_never_match() {
    let desk = desk("cli-check-rules", free_port());
    let toml = desk.read("radmfa.toml");
    desk.write("radmfa.toml", &format!("{toml}[[rule]]\nname = \"late\"\nuser = \"bob\"\ntries = 2\n"));
    let checked = desk.run("check --config radmfa.toml");
    assert!(checked.stdout.contains("  advice for cisco-asa: raise the AAA timeout"), "{}", checked.stdout);
    assert!(checked.stdout.contains("rule late: user bob"), "{}", checked.stdout);
    assert!(checked.stderr.contains("rule late can never match: rule rest at"), "{}", checked.stderr);
    desk.write("radmfa.toml", &toml.replace("client = \"nas\"", "client = \"nass\""));
    let refused = desk.fails("check --config radmfa.toml", 2);
    assert!(
        refused.contains("no client is called \"nass\"") && refused.contains("did you mean \"nas\"?"),
        "{refused}"
    );
}

#[test]
fn each_error_of_a_refused_reload_has_a_line_of_the_log() {
    let desk = desk("cli-reload-lines", free_port());
    let mut server = desk.serve("serve --config radmfa.toml");
    let toml = desk.read("radmfa.toml");
    desk.write("radmfa.toml", &toml.replace("tries = 5", "tries = 6").replace("tries = 1", "tries = 0"));
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for(
        "ERROR not reloaded, what ran before goes on: radmfa.toml:20: rule.tries: takes 1 to 5, not 6",
    );
    server.wait_for("ERROR |   20 | tries = 6");
    server.wait_for("ERROR | error: radmfa.toml:24: rule.tries: takes 1 to 5, not 0");
}
