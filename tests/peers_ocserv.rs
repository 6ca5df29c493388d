//! radmfa behind ocserv, a VPN server, with openconnect as its user and a real FreeRADIUS as the primary server.
//!
//! ocserv cuts a State at a NUL, needs a Reply-Message in a challenge, and answers from a new port.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use support::User;
use support::ocserv::Ocserv;
use support::site::Site;

#[test]
fn a_password_and_a_code_open_a_session_and_the_prompt_is_shown() {
    let alice = User::named("alice");
    let site = Site::start("ocserv", std::slice::from_ref(&alice), &[]);
    let ocserv = Ocserv::start(&site.scratch, site.server());
    let login = ocserv.login("alice", &[&alice.password, &alice.code()]);
    assert!(login.admitted, "{}", login.transcript);
}

#[test]
fn the_right_code_after_a_wrong_one_opens_a_session() {
    let alice = User::named("alice");
    let site = Site::start("ocserv-second-try", std::slice::from_ref(&alice), &[]);
    let ocserv = Ocserv::start(&site.scratch, site.server());
    let login = ocserv.login("alice", &[&alice.password, &alice.wrong_code(), &alice.code()]);
    assert!(login.admitted, "{}", login.transcript);
}

#[test]
fn wrong_codes_open_no_session() {
    let alice = User::named("alice");
    let site = Site::start("ocserv-wrong-code", std::slice::from_ref(&alice), &[]);
    let ocserv = Ocserv::start(&site.scratch, site.server());
    let wrong = alice.wrong_code();
    // The fourth entry, right as it is, comes after the verdict.
    let login = ocserv.login("alice", &[&alice.password, &wrong, &wrong, &wrong, &alice.code()]);
    assert!(!login.admitted, "{}", login.transcript);
}

#[test]
fn a_wrong_password_opens_no_session() {
    let alice = User::named("alice");
    let site = Site::start("ocserv-password", std::slice::from_ref(&alice), &[]);
    let ocserv = Ocserv::start(&site.scratch, site.server());
    let login = ocserv.login("alice", &["not hers", &alice.code()]);
    assert!(!login.admitted, "{}", login.transcript);
}
