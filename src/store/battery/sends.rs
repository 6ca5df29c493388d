//! How many messages every store lets out, and which of them it says are the last.

use super::*;
use crate::engine::delivery::Kind;
use crate::engine::policy::SendLimits;

/// A text to `account`, `seconds` after all began.
fn text(account: &Account, seconds: u64, limits: SendLimits) -> Record {
    let (user, kind) = (account.id, Kind::Sms);
    let row = Row {
        time: UnixTime(1_800_000_000_000) + Duration::from_secs(seconds),
        verdict: Verdict::Noted,
        reason: Reason::CodeSent,
        method: Method::Sms,
        device: None,
        sends: Some(kind),
        ..row(account, Tally::Keep, None)
    };
    let guards = vec![Guard::UserActive { user }, Guard::MaySend { user, kind, limits }];
    Record { guards, row: Arc::new(row) }
}

/// Whether it was let out, and as one of the last.
fn sends(bench: &impl Bench, record: Record) -> Option<bool> {
    match wait(bench.logins().commit(record)) {
        CommitAnswer::Done(recorded) => Some(recorded.is_budget_low()),
        CommitAnswer::Refused(Conflict::SentTooOften) => None,
        other => panic!("{other:?}"),
    }
}

pub(in crate::store) fn a_budget_of_all_is_said_to_be_low_at_four_fifths_and_leaves_one_to_who_had_none<
    B: Bench,
>() {
    let bench = B::new();
    let limits = SendLimits { budget: Some(5), ..SendLimits::default() };
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| enrol(&bench, name));
    let send = |account, seconds| sends(&bench, text(account, seconds, limits));
    assert_eq!(send(&alice, 0), Some(false));
    assert_eq!(send(&alice, 29), None, "too soon for her");
    assert_eq!(send(&alice, 30), Some(false));
    assert_eq!(send(&bob, 31), Some(false));
    assert_eq!(send(&bob, 61), Some(true), "the fourth of five");
    assert_eq!(send(&alice, 70), Some(true));
    assert_eq!(send(&alice, 110), None, "it is spent");
    assert_eq!(send(&carol, 111), Some(true), "she had none");
    assert_eq!(send(&carol, 150), None);
    assert_eq!(send(&bob, 86_500), Some(false), "a day later");
}
