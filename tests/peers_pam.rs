//! radmfa behind `pam_radius`, driven by pamtester, with a real FreeRADIUS as the primary server.
//!
//! `pam_radius` needs State and Reply-Message in a challenge, shows the first Reply-Message only, and says
//! `Service-Type = Authenticate-Only` in the first step but not in the second.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use support::User;
use support::pam::Pam;
use support::site::Site;

#[test]
fn a_password_and_a_code_authenticate() {
    let alice = User::named("alice");
    let site = Site::start("pam", std::slice::from_ref(&alice), &[]);
    let login = Pam::new(&site.scratch, site.server()).login("alice", &[&alice.password, &alice.code()]);
    assert!(login.admitted, "{}", login.transcript);
}

#[test]
fn the_right_code_after_a_wrong_one_authenticates() {
    let alice = User::named("alice");
    let site = Site::start("pam-second-try", std::slice::from_ref(&alice), &[]);
    let pam = Pam::new(&site.scratch, site.server());
    let login = pam.login("alice", &[&alice.password, &alice.wrong_code(), &alice.code()]);
    assert!(login.admitted, "{}", login.transcript);
}

#[test]
fn wrong_codes_do_not_authenticate() {
    let alice = User::named("alice");
    let site = Site::start("pam-wrong-code", std::slice::from_ref(&alice), &[]);
    let wrong = alice.wrong_code();
    let login = Pam::new(&site.scratch, site.server())
        .login("alice", &[&alice.password, &wrong, &wrong, &wrong, &alice.code()]);
    assert!(!login.admitted, "{}", login.transcript);
}

#[test]
fn a_wrong_password_does_not_authenticate() {
    let alice = User::named("alice");
    let site = Site::start("pam-password", std::slice::from_ref(&alice), &[]);
    let login = Pam::new(&site.scratch, site.server()).login("alice", &["not hers", &alice.code()]);
    assert!(!login.admitted, "{}", login.transcript);
}
