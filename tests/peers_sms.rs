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
use support::sink::Sink;
use support::smpp_centre::{lines, message_centre};
use support::{Ground, Radmfa, Scratch, Server, Site, User, free_port};

/// A server whose users' codes go to `sink`, and whose store knows the user's phone alone.
fn start(name: &str, user: &User) -> (Site, Sink) {
    let sink = Sink::start();
    let channel = sink.channel();
    (known(Scratch::new(name), user).serve(&["--channel", &channel]), sink)
}

/// A directory and a store that know `user`.
fn known(scratch: Scratch, user: &User) -> Ground {
    let ground = Ground::new(scratch, std::slice::from_ref(user));
    ground.command(&["user", "add", &user.name, "--phone", "+36301234567"]);
    ground
}

/// Whose gateway shows no challenge: what else its users have to say stands behind the password.
fn mute(name: &str, user: &User) -> (Site, Sink) {
    let (sink, ground) = (Sink::start(), known(Scratch::new(name), user));
    let server = Server { port: free_port(), secret: "testing123" };
    let upstream = ground.primary.server();
    let text = format!(
        "listen = [\"{}\"]\nserver-name = \"mfa-a\"\nstore = \"{}\"\n\
         [[client]]\nname = \"nas\"\naddress = \"127.0.0.1\"\nsecret = \"{}\"\n\
         challenge = false\nappend = \",\"\n\
         [[primary]]\nname = \"up\"\ntype = \"radius\"\nserver = [\"{}\"]\nsecret = \"{}\"\n\
         [sms]\nbudget = 1\n{}",
        server.address(),
        ground.store,
        server.secret,
        upstream.address(),
        upstream.secret,
        sink.table(),
    );
    let file = ground.scratch.write("radmfa.toml", &text);
    let radmfa = Radmfa::configured(&ground.scratch, &file, server);
    (ground.site(radmfa), sink)
}

#[test]
fn a_code_goes_out_after_the_right_password_and_lets_its_user_in_once() {
    let user = User::named("u1");
    let (site, sink) = start("sms", &user);

    assert!(site.gateway().password("u1", "wrong").rejects());
    assert_eq!(sink.count(), 0, "a message for a wrong password");

    let challenge = site.gateway().password("u1", &user.password);
    assert!(challenge.challenges(), "{challenge:?}");
    assert!(challenge.one("Reply-Message").contains("67. Enter it:"), "{challenge:?}");
    assert_eq!(challenge.one("Session-Timeout"), "300");
    let (to, code) = sink.code(0);
    assert_eq!(to, "+36301234567");

    let again = site.gateway().answer("u1", "000000", &challenge);
    assert!(again.challenges(), "{again:?}");
    let accept = site.gateway().answer("u1", &code, &again);
    assert!(accept.accepts(), "{accept:?}");
    assert!(site.gateway().answer("u1", &code, &again).rejects(), "a State was good twice");
    assert_eq!(sink.count(), 1);

    let log = site.radmfa.process.log();
    assert!(!log.contains(&code) && !log.contains("1234567"), "a code or a number in the log:\n{log}");
}

#[test]
fn a_gateway_that_tries_again_from_a_new_port_gets_its_user_one_message() {
    let user = User::named("u2");
    let (site, sink) = start("sms-again", &user);
    let first = site.gateway().password("u2", &user.password);
    let second = site.gateway().password("u2", &user.password);
    assert!(first.challenges() && second.challenges(), "{first:?} {second:?}");
    assert_eq!(first.one("State"), second.one("State"));
    assert_eq!(sink.count(), 1);
    let (_, code) = sink.code(0);
    assert!(site.gateway().answer("u2", &code, &second).accepts());
}

#[test]
fn at_a_gateway_that_cannot_ask_a_word_behind_the_password_sends_the_code_that_the_next_login_brings() {
    let user = User::named("u1");
    let (site, sink) = mute("sms-ahead", &user);
    let typed = |behind: &str| format!("{},{behind}", user.password);

    assert!(site.gateway().password("u1", "wrong,sms").rejects());
    assert_eq!(sink.count(), 0, "a message for a wrong password");

    let refused = site.gateway().password("u1", &typed("sms"));
    assert!(refused.rejects(), "{refused:?}");
    let said = "We sent a code to ···67. Log in again with your password,code";
    assert_eq!(radclient_text(refused.one("Reply-Message")), said);
    let (to, code) = sink.code(0);
    assert_eq!(to, "+36301234567");

    assert!(site.gateway().password("u1", &format!("wrong,{code}")).rejects());
    assert!(site.gateway().password("u1", &typed("000000x")).rejects());
    let accept = site.gateway().password("u1", &typed(&code));
    assert!(accept.accepts(), "{accept:?}");
    assert!(site.gateway().password("u1", &typed(&code)).rejects(), "a code was good twice");
    assert_eq!(sink.count(), 1);

    let log = site.radmfa.process.log();
    assert!(!log.contains(&code) && !log.contains("1234567"), "a code or a number in the log:\n{log}");
    // The one message is more than four fifths of what may be sent in a day.
    let rows = site.rows("budget-low");
    let count = |reason: &str| rows.iter().filter(|row| row["reason"] == reason).count();
    assert_eq!(count("budget-low"), 1, "{rows:?}");
    assert_eq!((count("code-sent-ahead"), count("code-accepted"), count("code-wrong")), (1, 1, 2));
}

/// What radclient prints of a text, which escapes what is no ASCII.
fn radclient_text(printed: &str) -> String {
    printed.replace("\\302\\267", "·")
}

#[test]
fn a_trace_says_which_channel_took_the_message_and_shows_no_code() {
    let user = User::named("u1");
    let (site, sink) = start("sms-trace", &user);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_radmfa"));
    command.args(["trace", "--for", "10m", "--store", &site.store]);
    let mut trace = support::Process::spawn("trace", command, &site.scratch);
    trace.wait_for("tracing mfa-a");
    let challenge = site.gateway().password("u1", &user.password);
    let (_, code) = sink.code(0);
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
    let site = known(scratch, &user).serve(&["--channel", &channel]);
    let challenge = site.gateway().password("u1", &user.password);
    let text = poll("a message", Duration::from_secs(10), || {
        lines(&centre).iter().find_map(|line| line["text"].as_str().map(str::to_owned))
    });
    let code = text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6).unwrap();
    assert!(site.gateway().answer("u1", code, &challenge).accepts());
    let rows = site.rows("message-arrived");
    let row = |reason: &str| rows.iter().find(|row| row["reason"] == reason).unwrap();
    assert_eq!(row("message-arrived")["login"], row("code-accepted")["login"]);
    assert_eq!(row("message-arrived")["user"], "u1");
    assert!(!format!("{rows:?}").contains(code), "a code in the trail: {rows:?}");
}
