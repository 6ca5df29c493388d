//! What reports read is what the trail says.

use super::*;
use crate::store::admin::AuditRow;
use crate::store::report::{By, Filter, add_up};

const ALL: [By; 8] =
    [By::User, By::Client, By::Method, By::Day, By::Hour, By::Country, By::Reason, By::Protocol];

/// Rows over three days at two clients, of two users and of nobody.
fn fill(bench: &impl Bench) {
    let alice = enrol(bench, "alice");
    let bob = enrol(bench, "bob");
    let phone = Some("+36301234567".to_owned());
    bench.admin().set_user(&name("bob"), &mut |fields| fields.phone.clone_from(&phone)).unwrap();
    let start = UnixTime::from_secs(1_800_000_000);
    for number in 0..120_u64 {
        let account = if number % 3 == 0 { &bob } else { &alice };
        let accepted = number % 4 != 1;
        let mut row = row(account, Tally::Keep, None);
        row.time = start + Duration::from_secs(number * 2_000);
        row.login = LoginId::from_number(number / 2);
        row.client = Label::new(if number % 5 == 0 { "rdg" } else { "vpn" }).unwrap();
        row.verdict = if accepted { Verdict::Accepted } else { Verdict::Rejected };
        row.reason = if accepted { Reason::CodeAccepted } else { Reason::CodeWrong };
        row.method = if number % 7 == 0 { Method::Waived } else { Method::Totp };
        if number % 11 == 1 {
            (row.user, row.user_id, row.contact, row.count) = (None, None, None, 30);
        }
        if number % 13 == 2 {
            row.verdict = Verdict::Retried;
        }
        commit(bench, Record { guards: Vec::new(), row: Arc::new(row) }).unwrap();
    }
}

fn everything(admin: &mut dyn Admin) -> Vec<AuditRow> {
    let mut rows = admin.trail().page(0, 10_000).unwrap();
    rows.reverse();
    rows
}

pub(in crate::store) fn sums_are_what_the_rows_add_up_to<B: Bench>() {
    let bench = B::new();
    fill(&bench);
    let mut admin = bench.admin();
    let rows = everything(&mut *admin);
    let day = |number: u64| Some(UnixTime::from_secs(1_800_000_000 / 86_400 * 86_400 + number * 86_400));
    let filters = [
        Filter::default(),
        Filter { user: Some(name("bob")), ..Filter::default() },
        Filter { client: Some("rdg".to_owned()), ..Filter::default() },
        Filter { since: day(1), until: day(2), ..Filter::default() },
        Filter {
            method: Some("waived".to_owned()),
            result: Some("accepted".to_owned()),
            ..Filter::default()
        },
    ];
    let reports = admin.reports();
    let mut heard = (0, 0);
    reports.catch_up(&mut |done, total| heard = (done, total)).unwrap();
    assert_eq!(heard, (rows.len() as u64, rows.len() as u64));
    let phone = |user: &str| (user == "bob").then(|| "+36301234567".to_owned());
    for filter in &filters {
        for by in ALL {
            if by == By::Protocol && filter.user.is_some() {
                continue;
            }
            let sums = reports.sums(filter, by).unwrap();
            assert_eq!(sums, add_up(rows.iter(), filter, by, phone), "{by:?} under {filter:?}");
            assert!(!sums.is_empty());
        }
    }
    assert_eq!(reports.enabled_users().unwrap(), 2);
    // Caught up again, nothing is counted twice.
    reports.catch_up(&mut |_, _| ()).unwrap();
    assert_eq!(
        reports.sums(&filters[0], By::Client).unwrap(),
        add_up(rows.iter(), &filters[0], By::Client, phone)
    );
}

/// Rows over 150 days, of users who come now and then.
fn fill_months(bench: &impl Bench) {
    let users: Vec<_> = (0..5).map(|number| enrol(bench, &format!("user{number}"))).collect();
    let start = UnixTime::from_secs(1_800_000_000);
    for number in 0..300_u64 {
        let account = &users[usize::try_from(number * number % 5).unwrap()];
        let mut row = row(account, Tally::Keep, None);
        row.time = start + Duration::from_hours(number * 12);
        row.login = LoginId::from_number(number);
        row.client = Label::new(if number % 3 == 0 { "rdg" } else { "vpn" }).unwrap();
        (row.verdict, row.reason) = match number % 4 {
            1 => (Verdict::Rejected, Reason::CodeWrong),
            _ => (Verdict::Accepted, Reason::CodeAccepted),
        };
        row.method = if number % 7 == 0 { Method::Sms } else { Method::Totp };
        commit(bench, Record { guards: Vec::new(), row: Arc::new(row) }).unwrap();
    }
}

pub(in crate::store) fn sums_over_months_are_what_the_rows_add_up_to<B: Bench>() {
    let bench = B::new();
    fill_months(&bench);
    let mut admin = bench.admin();
    let rows = everything(&mut *admin);
    let day = |number: u64| Some(UnixTime::from_secs((1_800_000_000 / 86_400 + number) * 86_400));
    admin.reports().catch_up(&mut |_, _| ()).unwrap();
    for (since, until) in [
        (None, None),
        (day(1), None),
        (None, day(149)),
        (day(3), day(20)),
        (day(5), day(101)),
        (day(40), day(41)),
        (day(149), day(9_000)),
        (day(400), None),
    ] {
        for user in [None, Some(name("user1"))] {
            for (client, result) in [(None, None), (Some("rdg"), None), (Some("vpn"), Some("accepted"))] {
                let (client, result) = (client.map(str::to_owned), result.map(str::to_owned));
                let filter = Filter { since, until, user: user.clone(), client, result, ..Filter::default() };
                for by in ALL.into_iter().filter(|by| *by != By::Protocol || user.is_none()) {
                    let sums = admin.reports().sums(&filter, by).unwrap();
                    assert_eq!(sums, add_up(rows.iter(), &filter, by, |_| None), "{by:?} under {filter:?}");
                }
                let active = add_up(rows.iter(), &filter, By::User, |_| None);
                let active = active.iter().filter(|sum| sum.accepted > 0).count() as u64;
                assert_eq!(admin.reports().active_users(&filter).unwrap(), active, "{filter:?}");
                let found: Vec<u64> = admin
                    .reports()
                    .rows(&filter, None, 500)
                    .unwrap()
                    .iter()
                    .map(|row| row.sequence)
                    .collect();
                let expected: Vec<u64> =
                    rows.iter().filter(|row| filter.takes(row)).map(|row| row.sequence).collect();
                assert_eq!(found, expected, "{filter:?}");
            }
        }
    }
}

pub(in crate::store) fn rows_come_newest_first_a_page_at_a_time<B: Bench>() {
    let bench = B::new();
    fill(&bench);
    let mut admin = bench.admin();
    let all = everything(&mut *admin);
    let middle = UnixTime::from_secs(1_800_000_000 + 100_000);
    let reports = admin.reports();
    reports.catch_up(&mut |_, _| ()).unwrap();
    for filter in [
        Filter::default(),
        Filter { user: Some(name("alice")), ..Filter::default() },
        Filter { client: Some("rdg".to_owned()), result: Some("rejected".to_owned()), ..Filter::default() },
        Filter { since: Some(middle), ..Filter::default() },
        Filter { until: Some(middle), ..Filter::default() },
        Filter { login: Some(LoginId::from_number(17)), ..Filter::default() },
    ] {
        let expected: Vec<u64> = all.iter().filter(|row| filter.takes(row)).map(|row| row.sequence).collect();
        let mut found = Vec::new();
        loop {
            let page = reports.rows(&filter, found.last().copied(), 7).unwrap();
            found.extend(page.iter().map(|row| row.sequence));
            if page.len() < 7 {
                break;
            }
        }
        assert_eq!(found, expected, "{filter:?}");
        assert!(!found.is_empty());
    }
}

pub(in crate::store) fn who_was_erased_is_in_no_report<B: Bench>() {
    let bench = B::new();
    fill(&bench);
    let mut admin = bench.admin();
    admin.reports().catch_up(&mut |_, _| ()).unwrap();
    admin.trail().erase_user(&name("bob"), &mut |_, _| ()).unwrap();
    let reports = admin.reports();
    reports.catch_up(&mut |_, _| ()).unwrap();
    let users: Vec<String> =
        reports.sums(&Filter::default(), By::User).unwrap().into_iter().map(|sum| sum.key).collect();
    assert_eq!(users, ["alice"]);
    let filter = Filter { user: Some(name("bob")), ..Filter::default() };
    assert_eq!(reports.rows(&filter, None, 10).unwrap(), []);
    // Nor is anybody who was let in counted in who is gone.
    let rows = everything(&mut *admin);
    for by in [By::Day, By::Client, By::Method, By::User] {
        let users = |sums: Vec<crate::store::report::Sum>| -> Vec<_> {
            sums.into_iter().map(|sum| (sum.key, sum.users)).filter(|(_, users)| *users != Some(0)).collect()
        };
        let sums = admin.reports().sums(&Filter::default(), by).unwrap();
        assert_eq!(users(sums), users(add_up(rows.iter(), &Filter::default(), by, |_| None)), "{by:?}");
    }
}
