//! The peers without radmfa: each logs in with a password and a code at FreeRADIUS, which challenges and has
//! `rlm_totp` check the code, and stays out with a wrong one.
//!
//! When one of these fails, the peer or the harness is at fault and what the other `peers_*` tests say is void.
//! They also hold the servers that `benches/compare` measures beside radmfa.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use support::ocserv::Ocserv;
use support::pam::Pam;
use support::radclient::{Radclient, Signing};
use support::radsecproxy::Radsecproxy;
use support::{FreeRadius, Scratch, User, code, pyrad};

#[test]
fn radclient_logs_in_at_freeradius_and_stays_out_with_a_wrong_code() {
    let scratch = Scratch::new("control-radclient");
    let alice = User::named("alice");
    let other = FreeRadius::challenge_totp(&scratch, [&alice], 2);
    let radclient = Radclient::new(&scratch, other.server(), Signing::Signed);

    let challenge = radclient.password("alice", &alice.password);
    assert!(challenge.challenges(), "{challenge:?}");
    assert_eq!(challenge.one("Reply-Message"), "Your code, please");
    assert!(radclient.answer("alice", &alice.wrong_code(), &challenge).rejects());
    assert!(radclient.answer("alice", &code::fresh(&alice.seed), &challenge).accepts());
    assert!(radclient.password("alice", "not hers").rejects());
}

#[test]
fn radclient_logs_in_through_radsecproxy_and_through_a_freeradius_that_relays() {
    let scratch = Scratch::new("control-relay");
    let alice = User::named("alice");
    let primary = FreeRadius::primary(&scratch, std::slice::from_ref(&alice));
    let freeradius = FreeRadius::proxy(&scratch, primary.server(), 2);
    let radsecproxy = Radsecproxy::udp(&scratch, primary.server());
    let direct =
        Radclient::new(&scratch, primary.server(), Signing::Signed).password("alice", &alice.password);
    let relayed =
        Radclient::new(&scratch, freeradius.server(), Signing::Signed).password("alice", &alice.password);
    assert_eq!(relayed.by_name(), direct.by_name(), "FreeRADIUS keeps and hides again what it relays");
    for server in [freeradius.server(), radsecproxy.server()] {
        let radclient = Radclient::new(&scratch, server, Signing::Signed);
        let accept = radclient.password("alice", &alice.password);
        assert!(accept.accepts(), "{accept:?}");
        assert_eq!(accept.all("Tunnel-Password:1"), ["tunnel secret"]);
        assert!(radclient.password("alice", "not hers").rejects());
    }
}

#[test]
fn pyrad_logs_in_at_freeradius_and_stays_out_with_a_wrong_code() {
    let scratch = Scratch::new("control-pyrad");
    let alice = User::named("alice");
    let other = FreeRadius::challenge_totp(&scratch, [&alice], 2);
    let codes = |entries: &[&str]| -> Vec<u8> {
        pyrad::login(&scratch, other.server(), "alice", entries, false)
            .iter()
            .map(|reply| reply.code)
            .collect()
    };
    assert_eq!(codes(&[&alice.password, &code::fresh(&alice.seed)]), [11, 2]);
    assert_eq!(codes(&[&alice.password, &alice.wrong_code()]), [11, 3]);
    assert_eq!(codes(&["not hers"]), [3]);
}

#[test]
fn openconnect_logs_in_at_ocserv_with_freeradius_behind_and_stays_out_with_a_wrong_code() {
    let scratch = Scratch::new("control-ocserv");
    let alice = User::named("alice");
    let other = FreeRadius::challenge_totp(&scratch, [&alice], 2);
    let ocserv = Ocserv::start(&scratch, other.server());

    let login = ocserv.login("alice", &[&alice.password, &code::fresh(&alice.seed)]);
    assert!(login.admitted, "{}", login.transcript);
    assert!(login.transcript.contains("Your code, please"), "{}", login.transcript);
    let login = ocserv.login("alice", &[&alice.password, &alice.wrong_code()]);
    assert!(!login.admitted, "{}", login.transcript);
    let login = ocserv.login("alice", &["not hers"]);
    assert!(!login.admitted, "{}", login.transcript);
}

#[test]
fn pamtester_logs_in_with_freeradius_behind_and_stays_out_with_a_wrong_code() {
    let scratch = Scratch::new("control-pam");
    let alice = User::named("alice");
    let other = FreeRadius::challenge_totp(&scratch, [&alice], 2);
    let pam = Pam::new(&scratch, other.server());

    let login = pam.login("alice", &[&alice.password, &code::fresh(&alice.seed)]);
    assert!(login.admitted, "{}", login.transcript);
    assert!(login.transcript.contains("Your code, please"), "{}", login.transcript);
    let login = pam.login("alice", &[&alice.password, &alice.wrong_code()]);
    assert!(!login.admitted, "{}", login.transcript);
    let login = pam.login("alice", &["not hers"]);
    assert!(!login.admitted, "{}", login.transcript);
}
