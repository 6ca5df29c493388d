//! Codes by text message: radclient as the gateway, FreeRADIUS as the primary, and a provider that takes HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use support::process::poll;
use support::radclient::{Radclient, Signing};
use support::sink::Sink;
use support::smpp_centre::{lines, message_centre};
use support::{FreeRadius, Radmfa, Scratch, Server, User, free_port};

/// A primary that knows `user`, and a server whose store knows the user's phone alone.
struct Site {
    radmfa: Radmfa,
    sink: Sink,
    _primary: FreeRadius,
    scratch: Scratch,
}

impl Site {
    fn start(name: &str, user: &User, more: &[&str]) -> Site {
        let sink = Sink::start();
        let channel = sink.channel();
        Site::reached_by(Scratch::new(name), user, sink, &channel, more)
    }

    /// Whose messages go out by `channel`.
    fn reached_by(scratch: Scratch, user: &User, sink: Sink, channel: &str, more: &[&str]) -> Site {
        let primary = FreeRadius::primary(&scratch, std::slice::from_ref(user));
        let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
        Radmfa::run(&scratch, &["user", "add", &user.name, "--phone", "+36301234567", "--store", &store])
            .expect_success("radmfa user add");
        let server = primary.server();
        let upstream = format!("name=up,type=radius,server={},secret={}", server.address(), server.secret);
        let mut arguments = vec!["--server-name", "mfa-a", "--store", &store, "--primary", &upstream];
        arguments.extend(["--channel", channel]);
        arguments.extend(more);
        let radmfa = Radmfa::serve(&scratch, &arguments);
        Site { radmfa, sink, _primary: primary, scratch }
    }

    /// Whose gateway shows no challenge: what else its users have to say stands behind the password.
    fn mute(name: &str, user: &User) -> Site {
        let sink = Sink::start();
        let scratch = Scratch::new(name);
        let primary = FreeRadius::primary(&scratch, std::slice::from_ref(user));
        let store = format!("sqlite:{}", scratch.join("radmfa.db").display());
        Radmfa::run(&scratch, &["user", "add", &user.name, "--phone", "+36301234567", "--store", &store])
            .expect_success("radmfa user add");
        let server = Server { port: free_port(), secret: "testing123" };
        let upstream = primary.server();
        let file = scratch.join("radmfa.toml");
        let text = format!(
            "listen = [\"{}\"]\nserver-name = \"mfa-a\"\nstore = \"{store}\"\n\
             [[client]]\nname = \"nas\"\naddress = \"127.0.0.1\"\nsecret = \"{}\"\n\
             challenge = false\nappend = \",\"\n\
             [[primary]]\nname = \"up\"\ntype = \"radius\"\nserver = [\"{}\"]\nsecret = \"{}\"\n\
             [sms]\nbudget = 1\n{}",
            server.address(),
            server.secret,
            upstream.address(),
            upstream.secret,
            sink.table(),
        );
        std::fs::write(&file, text).unwrap();
        let radmfa = Radmfa::configured(&scratch, &file, server);
        Site { radmfa, sink, _primary: primary, scratch }
    }

    fn gateway(&self) -> Radclient<'_> {
        Radclient::new(&self.scratch, self.radmfa.server(), Signing::Signed)
    }
}

#[test]
fn a_code_goes_out_after_the_right_password_and_lets_its_user_in_once() {
    let user = User::named("u1");
    let site = Site::start("sms", &user, &[]);

    assert!(site.gateway().password("u1", "wrong").rejects());
    assert_eq!(site.sink.count(), 0, "a message for a wrong password");

    let challenge = site.gateway().password("u1", &user.password);
    assert!(challenge.challenges(), "{challenge:?}");
    assert!(challenge.one("Reply-Message").contains("67. Enter it:"), "{challenge:?}");
    assert_eq!(challenge.one("Session-Timeout"), "300");
    let (to, code) = site.sink.code(0);
    assert_eq!(to, "+36301234567");

    let again = site.gateway().answer("u1", "000000", &challenge);
    assert!(again.challenges(), "{again:?}");
    let accept = site.gateway().answer("u1", &code, &again);
    assert!(accept.accepts(), "{accept:?}");
    assert!(site.gateway().answer("u1", &code, &again).rejects(), "a State was good twice");
    assert_eq!(site.sink.count(), 1);

    let log = site.radmfa.process.log();
    assert!(!log.contains(&code) && !log.contains("1234567"), "a code or a number in the log:\n{log}");
}

#[test]
fn a_gateway_that_tries_again_from_a_new_port_gets_its_user_one_message() {
    let user = User::named("u2");
    let site = Site::start("sms-again", &user, &[]);
    let first = site.gateway().password("u2", &user.password);
    let second = site.gateway().password("u2", &user.password);
    assert!(first.challenges() && second.challenges(), "{first:?} {second:?}");
    assert_eq!(first.one("State"), second.one("State"));
    assert_eq!(site.sink.count(), 1);
    let (_, code) = site.sink.code(0);
    assert!(site.gateway().answer("u2", &code, &second).accepts());
}

#[test]
fn at_a_gateway_that_cannot_ask_a_word_behind_the_password_sends_the_code_that_the_next_login_brings() {
    let user = User::named("u1");
    let site = Site::mute("sms-ahead", &user);
    let typed = |behind: &str| format!("{},{behind}", user.password);

    assert!(site.gateway().password("u1", "wrong,sms").rejects());
    assert_eq!(site.sink.count(), 0, "a message for a wrong password");

    let refused = site.gateway().password("u1", &typed("sms"));
    assert!(refused.rejects(), "{refused:?}");
    let said = "We sent a code to ···67. Log in again with your password,code";
    assert_eq!(radclient_text(refused.one("Reply-Message")), said);
    let (to, code) = site.sink.code(0);
    assert_eq!(to, "+36301234567");

    assert!(site.gateway().password("u1", &format!("wrong,{code}")).rejects());
    assert!(site.gateway().password("u1", &typed("000000x")).rejects());
    let accept = site.gateway().password("u1", &typed(&code));
    assert!(accept.accepts(), "{accept:?}");
    assert!(site.gateway().password("u1", &typed(&code)).rejects(), "a code was good twice");
    assert_eq!(site.sink.count(), 1);

    let log = site.radmfa.process.log();
    assert!(!log.contains(&code) && !log.contains("1234567"), "a code or a number in the log:\n{log}");
    let store = format!("sqlite:{}", site.scratch.join("radmfa.db").display());
    let arguments = ["report", "auth", "--format", "json", "--store", &store];
    let report = Radmfa::run(&site.scratch, &arguments).expect_success("radmfa report").stdout;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&report).unwrap();
    let count = |reason: &str| rows.iter().filter(|row| row["reason"] == reason).count();
    assert_eq!((count("code-sent-ahead"), count("code-accepted"), count("code-wrong")), (1, 1, 2));
    // The one message is more than four fifths of what may be sent in a day.
    assert_eq!(count("budget-low"), 1, "{report}");
}

/// What radclient prints of a text, which escapes what is no ASCII.
fn radclient_text(printed: &str) -> String {
    printed.replace("\\302\\267", "·")
}

#[test]
fn a_trace_says_which_channel_took_the_message_and_shows_no_code() {
    let user = User::named("u1");
    let site = Site::start("sms-trace", &user, &[]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_radmfa"));
    let store = format!("sqlite:{}", site.scratch.join("radmfa.db").display());
    command.args(["trace", "--for", "10m", "--store", &store]);
    let mut trace = support::Process::spawn("trace", command, &site.scratch);
    trace.wait_for("tracing mfa-a");
    let challenge = site.gateway().password("u1", &user.password);
    let (_, code) = site.sink.code(0);
    assert!(site.gateway().answer("u1", &code, &challenge).accepts());
    let line = trace.wait_for(" message taken by ");
    assert!(line.contains("  login "), "{line}");
    trace.wait_for("sends a code by sms");
    trace.wait_for("accepted code-accepted");
    assert!(!trace.log().contains(&code), "{}", trace.log());
}

#[test]
fn what_the_message_centre_says_of_a_message_is_in_the_trail_of_its_login() {
    let user = User::named("u1");
    let scratch = Scratch::new("sms-receipt");
    let port = free_port();
    let centre = message_centre(&scratch, port);
    let channel = format!(
        "name=centre,kind=sms,type=smpp,server=127.0.0.1:{port},username=radmfa,password=s3cret,from=radmfa"
    );
    let site = Site::reached_by(scratch, &user, Sink::default(), &channel, &[]);
    let challenge = site.gateway().password("u1", &user.password);
    let text = poll("a message", Duration::from_secs(10), || {
        lines(&centre).iter().find_map(|line| line["text"].as_str().map(str::to_owned))
    });
    let code = text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6).unwrap();
    assert!(site.gateway().answer("u1", code, &challenge).accepts());
    let store = format!("sqlite:{}", site.scratch.join("radmfa.db").display());
    let report = poll("a receipt", Duration::from_secs(10), || {
        let arguments = ["report", "auth", "--format", "json", "--store", &store];
        let printed = Radmfa::run(&site.scratch, &arguments).expect_success("radmfa report").stdout;
        printed.contains("message-arrived").then_some(printed)
    });
    let rows: Vec<serde_json::Value> = serde_json::from_str(&report).unwrap();
    let row = |reason: &str| rows.iter().find(|row| row["reason"] == reason).unwrap();
    assert_eq!(row("message-arrived")["login"], row("code-accepted")["login"]);
    assert_eq!(row("message-arrived")["user"], "u1");
    assert!(!report.contains(code), "a code in the trail: {report}");
}
