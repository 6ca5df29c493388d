//! radmfa between radclient, as the gateway, and a real FreeRADIUS, as the primary server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use nix::sys::signal::Signal;
use support::radclient::{Radclient, Signing, credentials};
use support::radsecproxy::Radsecproxy;
use support::site::Site;
use support::{FreeRadius, Radmfa, Server, User, code};

fn gateway(site: &Site) -> Radclient<'_> {
    Radclient::new(&site.scratch, site.server(), Signing::Signed)
}

/// The octets of an attribute that radclient prints in hexadecimal.
fn octets(value: &str) -> Vec<u8> {
    let digits = value.strip_prefix("0x").expect("hexadecimal");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_password_and_a_code_log_in_with_every_attribute_that_the_upstream_sent() {
    let alice = User::named("alice");
    let site = Site::start("accept", std::slice::from_ref(&alice), &[]);
    let upstream = Radclient::new(&site.scratch, site.primary.server(), Signing::Signed)
        .password("alice", &alice.password);
    assert!(upstream.accepts());

    let challenge = gateway(&site).password("alice", &alice.password);
    assert!(challenge.challenges(), "{challenge:?}");
    let accept = gateway(&site).answer("alice", &alice.code(), &challenge);
    assert!(accept.accepts(), "{accept:?}");
    assert_eq!(accept.by_name(), upstream.by_name());
}

#[test]
fn a_challenge_has_what_gateways_need_and_nothing_that_the_upstream_granted() {
    let alice = User::named("alice");
    let site = Site::start("challenge", std::slice::from_ref(&alice), &[]);
    let challenge = gateway(&site).password("alice", &alice.password);

    let state = octets(challenge.one("State"));
    assert!(state.len() <= 64 && state.iter().all(u8::is_ascii_graphic), "State {state:?}");
    assert!(!challenge.one("Reply-Message").is_empty());
    assert_eq!(challenge.one("Prompt"), "No-Echo");
    assert!(challenge.one("Session-Timeout").parse::<u32>().unwrap() > 0);
    assert_eq!(challenge.attributes.len(), 5, "these four and Message-Authenticator: {challenge:?}");
}

#[test]
fn a_prompt_in_the_users_language_arrives_as_it_is() {
    let alice = User::named("alice");
    let site = Site::start("language", std::slice::from_ref(&alice), &[]);
    let store = format!("sqlite:{}", site.scratch.join("radmfa.db").display());
    Radmfa::run(&site.scratch, &["user", "set", "alice", "--language", "hu", "--store", &store])
        .expect_success("radmfa user set");
    let challenge = gateway(&site).password("alice", &alice.password);
    assert_eq!(challenge.one("Reply-Message"), "Írja be a hitelesítő alkalmazás kódját:");
    let refused = gateway(&site).password("alice", "not hers");
    assert!(refused.one("Reply-Message").starts_with("Login refused. Reference "), "{refused:?}");
    assert!(gateway(&site).answer("alice", &alice.code(), &challenge).accepts());
}

#[test]
fn a_wrong_password_is_rejected_without_the_attributes_of_the_upstreams_reject() {
    let alice = User::named("alice");
    let site = Site::start("password", std::slice::from_ref(&alice), &[]);
    for name in ["alice", "nobody"] {
        let reject = gateway(&site).password(name, "not hers");
        assert!(reject.rejects(), "{reject:?}");
        assert!(reject.by_name().keys().all(|name| *name == "Reply-Message"), "{reject:?}");
        assert!(!reject.all("Reply-Message").contains(&"Welcome"), "{reject:?}");
    }
}

#[test]
fn three_wrong_codes_are_three_states_and_then_a_reject() {
    let alice = User::named("alice");
    let site = Site::start("three", std::slice::from_ref(&alice), &[]);
    let first = gateway(&site).password("alice", &alice.password);
    let second = gateway(&site).answer("alice", &alice.wrong_code(), &first);
    let third = gateway(&site).answer("alice", &alice.wrong_code(), &second);
    assert!(
        first.challenges() && second.challenges() && third.challenges(),
        "{first:?} {second:?} {third:?}"
    );
    let mut states = [first.one("State"), second.one("State"), third.one("State")];
    states.sort_unstable();
    assert!(states[0] != states[1] && states[1] != states[2], "{states:?}");

    let verdict = gateway(&site).answer("alice", &alice.wrong_code(), &third);
    assert!(verdict.rejects(), "{verdict:?}");
    let late = gateway(&site).answer("alice", &alice.code(), &third);
    assert!(late.rejects(), "the right code after the last try: {late:?}");
}

#[test]
fn the_right_code_after_a_wrong_one_logs_in() {
    let alice = User::named("alice");
    let site = Site::start("second-try", std::slice::from_ref(&alice), &[]);
    let first = gateway(&site).password("alice", &alice.password);
    let second = gateway(&site).answer("alice", &alice.wrong_code(), &first);
    let accept = gateway(&site).answer("alice", &alice.code(), &second);
    assert!(accept.accepts(), "{accept:?}");
}

#[test]
fn a_code_that_logged_in_once_never_does_again() {
    let alice = User::named("alice");
    let site = Site::start("replay", std::slice::from_ref(&alice), &[]);
    let code = alice.code();
    assert!(gateway(&site).login(&alice, &code).accepts());
    let verdict = gateway(&site).login(&alice, &code);
    assert!(verdict.rejects(), "{verdict:?}");
}

#[test]
fn the_codes_beside_the_present_one_log_in_and_those_further_away_do_not() {
    let [early, late, too_early, too_late] = ["early", "late", "too-early", "too-late"].map(User::named);
    let users = [early, late, too_early, too_late];
    let site = Site::start("window", &users, &[]);
    code::settle();
    for (user, steps, accepted) in
        [(&users[0], -1, true), (&users[1], 1, true), (&users[2], -3, false), (&users[3], 3, false)]
    {
        let challenge = gateway(&site).password(&user.name, &user.password);
        let reply = gateway(&site).answer(&user.name, &code::beside(&user.seed, steps), &challenge);
        assert_eq!(reply.accepts(), accepted, "{steps} steps away: {reply:?}");
    }
}

#[test]
fn a_state_works_once_for_its_own_user_and_unchanged() {
    let [alice, bob] = ["alice", "bob"].map(User::named);
    let site = Site::start("state", &[alice.clone(), bob.clone()], &[]);
    let challenge = gateway(&site).password("alice", &alice.password);

    let stolen = gateway(&site).answer("bob", &bob.code(), &challenge);
    assert!(stolen.rejects(), "bob's code for alice's State: {stolen:?}");
    let mut forged = challenge.clone();
    let state = forged.attributes.iter_mut().find(|(name, _)| name == "State").unwrap();
    // Another letter in place of the last one: base64url has both.
    let last = if state.1.ends_with("41") { "42" } else { "41" };
    state.1.replace_range(state.1.len() - 2.., last);
    let refused = gateway(&site).answer("alice", &alice.code(), &forged);
    assert!(refused.rejects(), "a State that nobody issued: {refused:?}");

    let accept = gateway(&site).answer("alice", &alice.code(), &challenge);
    assert!(accept.accepts(), "alice's own login is unharmed: {accept:?}");
    let again = gateway(&site).answer("alice", &code::beside(&alice.seed, 1), &challenge);
    assert!(again.rejects(), "a State that has had its verdict: {again:?}");
}

#[test]
fn a_code_without_a_state_is_a_wrong_password() {
    let alice = User::named("alice");
    let site = Site::start("no-state", std::slice::from_ref(&alice), &[]);
    assert!(gateway(&site).password("alice", &alice.password).challenges());
    let reject = gateway(&site).password("alice", &alice.code());
    assert!(reject.rejects(), "{reject:?}");
}

#[test]
fn a_user_without_a_token_is_rejected() {
    let [alice, bob] = ["alice", "bob"].map(User::named);
    let site = Site::start("unenrolled", &[alice], std::slice::from_ref(&bob));
    let reject = gateway(&site).password("bob", &bob.password);
    assert!(reject.rejects(), "{reject:?}");
}

#[test]
fn chap_is_rejected() {
    let alice = User::named("alice");
    let site = Site::start("chap", std::slice::from_ref(&alice), &[]);
    let request = ["User-Name = \"alice\"".to_owned(), format!("CHAP-Password = \"{}\"", alice.password)];
    let reject = gateway(&site).send("auth", &request);
    assert!(reject.rejects(), "{reject:?}");
}

#[test]
fn a_gateway_that_signs_nothing_logs_in() {
    let alice = User::named("alice");
    let site = Site::start("unsigned", std::slice::from_ref(&alice), &[]);
    let legacy = Radclient::new(&site.scratch, site.server(), Signing::Unsigned);
    let accept = legacy.login(&alice, &alice.code());
    assert!(accept.accepts(), "{accept:?}");
    assert_eq!(accept.all("Message-Authenticator").len(), 1, "our replies are signed for it too");
}

#[test]
fn an_address_that_has_signed_once_gets_no_answer_without_a_signature() {
    let alice = User::named("alice");
    let site = Site::start("ratchet", std::slice::from_ref(&alice), &[]);
    assert!(gateway(&site).password("alice", &alice.password).challenges());
    let legacy = Radclient::new(&site.scratch, site.server(), Signing::Unsigned);
    let answer = legacy.try_send("auth", &credentials("alice", &alice.password), 2);
    assert_eq!(answer, None);
}

#[test]
fn an_admin_may_relax_a_gateway_that_has_signed() {
    let alice = User::named("alice");
    let mut site = Site::start("relax", std::slice::from_ref(&alice), &[]);
    assert!(gateway(&site).password("alice", &alice.password).challenges());
    let store = format!("sqlite:{}", site.scratch.join("radmfa.db").display());
    let client = |arguments: &[&str]| {
        Radmfa::run(&site.scratch, &[&["client"], arguments, &["--store", &store]].concat())
            .expect_success("radmfa client")
            .stdout
    };
    site.radmfa.process.wait_for("required of this address from now on");
    let listed = client(&["list", "--format", "csv"]);
    assert!(listed.contains("nas,127.0.0.1,"), "{listed}");
    assert!(client(&["relax", "nas", "127.0.0.1"]).starts_with("1 source of nas"));
    let again = ["client", "relax", "nas", "--store", &store];
    assert_eq!(Radmfa::run(&site.scratch, &again).status.code(), Some(1));
    assert!(!client(&["list", "--format", "csv"]).contains("nas"));
    site.radmfa.process.signal(Signal::SIGHUP);
    site.radmfa.process.wait_for("reloaded");
    let legacy = Radclient::new(&site.scratch, site.server(), Signing::Unsigned);
    assert!(legacy.password("alice", &alice.password).challenges());
}

#[test]
fn another_secret_gets_no_answer() {
    let alice = User::named("alice");
    let site = Site::start("secret", std::slice::from_ref(&alice), &[]);
    let stranger = Server { secret: "testing124", ..site.server() };
    let stranger = Radclient::new(&site.scratch, stranger, Signing::Signed);
    assert_eq!(stranger.try_send("auth", &credentials("alice", &alice.password), 2), None);
}

#[test]
fn status_server_is_answered_and_signed() {
    let alice = User::named("alice");
    let site = Site::start("status", &[alice], &[]);
    let answer = gateway(&site).send("status", &[]);
    assert!(answer.accepts(), "{answer:?}");
    assert_eq!(answer.all("Message-Authenticator").len(), 1, "{answer:?}");
}

#[test]
fn every_proxy_state_comes_back_in_order_and_no_other() {
    let alice = User::named("alice");
    let site = Site::start("proxy-state", std::slice::from_ref(&alice), &[]);
    let states = ["Proxy-State = 0x6f6e65", "Proxy-State = 0x0074776f00"].map(str::to_owned);
    let expected = ["0x6f6e65", "0x0074776f00"];

    let challenge =
        gateway(&site).send("auth", &[&credentials("alice", &alice.password)[..], &states].concat());
    assert_eq!(challenge.all("Proxy-State"), expected);
    let mut second = credentials("alice", &alice.code());
    second.push(format!("State = {}", challenge.one("State")));
    let accept = gateway(&site).send("auth", &[&second[..], &states].concat());
    assert!(accept.accepts(), "{accept:?}");
    assert_eq!(accept.all("Proxy-State"), expected);
}

#[test]
fn a_login_goes_through_a_freeradius_that_relays_to_radmfa() {
    let alice = User::named("alice");
    let site = Site::start("behind-freeradius", std::slice::from_ref(&alice), &[]);
    let relay = FreeRadius::proxy(&site.scratch, site.server(), 2);
    let radclient = Radclient::new(&site.scratch, relay.server(), Signing::Signed);
    assert!(radclient.login(&alice, &alice.wrong_code()).rejects());
    let accept = radclient.login(&alice, &alice.code());
    assert!(accept.accepts(), "{accept:?}");
    assert_eq!(accept.all("Tunnel-Password:1"), ["tunnel secret"]);
}

#[test]
fn a_login_goes_through_radsecproxy_to_radmfa() {
    let alice = User::named("alice");
    let site = Site::start("behind-radsecproxy", std::slice::from_ref(&alice), &[]);
    let relay = Radsecproxy::udp(&site.scratch, site.server());
    let radclient = Radclient::new(&site.scratch, relay.server(), Signing::Unsigned);
    assert!(radclient.login(&alice, &alice.wrong_code()).rejects());
    let accept = radclient.login(&alice, &alice.code());
    assert!(accept.accepts(), "{accept:?}");
    assert_eq!(accept.all("Tunnel-Password:1"), ["tunnel secret"]);
}
