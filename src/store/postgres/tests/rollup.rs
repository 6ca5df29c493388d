//! Roll-ups in a database that several servers roll up at once.

use super::*;
use crate::base::time::UnixTime;
use crate::store::report::{By, DAY, Filter, add_up};

/// Rows of `account`, half a day apart from `first` on.
fn fill(bench: &InDatabase, account: &crate::engine::account::Account, days: std::ops::Range<u64>) {
    let pending: Vec<_> = days
        .map(|number| {
            let record = spend(account, number + 1);
            let time = UnixTime(1_800_000_000_000 + number * DAY / 2);
            let row = Row { time, login: LoginId::from_number(number), ..Row::clone(&record.row) };
            bench.logins().commit(Record { guards: Vec::new(), row: Arc::new(row) })
        })
        .collect();
    for kept in pending {
        outcome(wait(kept)).unwrap();
    }
}

#[test]
fn servers_that_roll_up_at_once_count_every_row_once() {
    let a = InDatabase::new();
    let b = InDatabase::at(a.url.clone(), "mfa-b");
    let (alice, bob) = (enrol(&a, "alice"), enrol(&a, "bob"));
    // More than a step each, of two chains, while it is rolled up.
    let done = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (bench, account, days) in [(&a, &alice, 0..1_300), (&b, &bob, 100..1_400)] {
            let done = &done;
            scope.spawn(move || {
                fill(bench, account, days);
                done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            });
        }
        for _ in 0..3 {
            scope.spawn(|| {
                let mut admin = a.admin();
                for _ in 0..10_000 {
                    if done.load(std::sync::atomic::Ordering::Relaxed) == 2 {
                        break;
                    }
                    admin.reports().catch_up(&mut |_, _| ()).unwrap();
                }
            });
        }
    });
    let mut admin = b.admin();
    admin.reports().catch_up(&mut |_, _| ()).unwrap();
    let rows = admin.trail().page(0, 10_000).unwrap();
    assert!(rows.len() > 2_600);
    let of = |user: &str| Filter { user: Some(name(user)), ..Filter::default() };
    for filter in [Filter::default(), of("alice"), of("bob")] {
        for by in [By::User, By::Day, By::Client, By::Reason] {
            let sums = admin.reports().sums(&filter, by).unwrap();
            assert_eq!(sums, add_up(rows.iter(), &filter, by, |_| None), "{by:?} under {filter:?}");
        }
    }
}

#[test]
fn what_is_pruned_is_in_no_sum_any_more_from_the_first_whole_day_on() {
    let bench = InDatabase::new();
    let alice = enrol(&bench, "alice");
    fill(&bench, &alice, 0..40);
    let mut admin = bench.admin();
    admin.reports().catch_up(&mut |_, _| ()).unwrap();
    let start = 1_800_000_000_000 / DAY * DAY;
    let from = UnixTime(start + 10 * DAY);
    while admin.trail().prune(from, 7).unwrap() == 7 {}
    let rows = admin.trail().page(0, 10_000).unwrap();
    let filter = Filter { since: Some(from), ..Filter::default() };
    for by in [By::User, By::Day, By::Client] {
        let expected = add_up(rows.iter().filter(|row| row.time >= from), &Filter::default(), by, |_| None);
        assert_eq!(admin.reports().sums(&filter, by).unwrap(), expected, "{by:?}");
    }
    let days = admin.reports().sums(&Filter::default(), By::Day).unwrap();
    assert_eq!(days.first().map(|sum| sum.accepted), Some(2), "{days:?}");
    // What comes now is counted all the same.
    admin.reports().catch_up(&mut |_, _| ()).unwrap();
    assert_eq!(admin.reports().sums(&Filter::default(), By::Day).unwrap(), days);
}
