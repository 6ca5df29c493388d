//! radmfa asked by pyrad, the second independent client, with a real FreeRADIUS as the primary server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use support::User;
use support::pyrad::{self, Reply};
use support::site::Site;

const ACCEPT: u8 = 2;
const REJECT: u8 = 3;
const CHALLENGE: u8 = 11;
const MESSAGE_AUTHENTICATOR: u8 = 80;

fn codes(replies: &[Reply]) -> Vec<u8> {
    replies.iter().map(|reply| reply.code).collect()
}

/// RFC 3579, section 3.2, and the place in the packet that closes CVE-2024-3596.
fn assert_signed_first(replies: &[Reply]) {
    for reply in replies {
        assert_eq!(reply.first, MESSAGE_AUTHENTICATOR, "the first attribute of {reply:?}");
        assert!(reply.signed, "{reply:?}");
    }
}

#[test]
fn a_password_and_a_code_log_in_and_every_reply_is_signed_first() {
    let alice = User::named("alice");
    let site = Site::start("pyrad", std::slice::from_ref(&alice), &[]);
    let replies =
        pyrad::login(&site.scratch, site.server(), "alice", &[&alice.password, &alice.code()], true);
    assert_eq!(codes(&replies), [CHALLENGE, ACCEPT]);
    assert_signed_first(&replies);
    assert_eq!(replies[0].messages.len(), 1, "one line to show: {replies:?}");
}

#[test]
fn wrong_codes_and_a_wrong_password_are_rejected_and_every_reply_is_signed_first() {
    let alice = User::named("alice");
    let site = Site::start("pyrad-reject", std::slice::from_ref(&alice), &[]);
    let wrong = alice.wrong_code();
    let entries = [alice.password.as_str(), &wrong, &wrong, &wrong];
    let replies = pyrad::login(&site.scratch, site.server(), "alice", &entries, true);
    assert_eq!(codes(&replies), [CHALLENGE, CHALLENGE, CHALLENGE, REJECT]);
    assert_signed_first(&replies);

    let replies = pyrad::login(&site.scratch, site.server(), "alice", &["not hers"], true);
    assert_eq!(codes(&replies), [REJECT]);
    assert_signed_first(&replies);
}

#[test]
fn a_gateway_that_signs_nothing_logs_in_and_gets_signed_replies_all_the_same() {
    let alice = User::named("alice");
    let site = Site::start("pyrad-unsigned", std::slice::from_ref(&alice), &[]);
    let replies =
        pyrad::login(&site.scratch, site.server(), "alice", &[&alice.password, &alice.code()], false);
    assert_eq!(codes(&replies), [CHALLENGE, ACCEPT]);
    assert_signed_first(&replies);
}
