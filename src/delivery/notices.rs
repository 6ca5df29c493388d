//! What users are told of things that were done in their name, so that nobody else does them unnoticed: where its words stand
//! in `messages/*.toml`.

use crate::engine::delivery::Notice;

/// The keys of its subject and of its text.
pub(super) fn keys(notice: Notice) -> [&'static str; 2] {
    match notice {
        Notice::RecoveryUsed => ["sent.recovery-used-subject", "sent.recovery-used"],
        Notice::RecoveryIssued => ["sent.recovery-issued-subject", "sent.recovery-issued"],
        Notice::PhoneChanged => ["sent.phone-changed-subject", "sent.phone-changed"],
        Notice::Enrolled => ["sent.enrolled-subject", "sent.enrolled"],
        Notice::Reported => ["sent.reported-subject", "sent.reported"],
    }
}
