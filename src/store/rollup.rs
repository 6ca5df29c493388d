//! What roll-ups of the trail are made of, whichever store keeps them.
//!
//! Rows are counted by hour, client, method, verdict, reason and protocol; by day and user; the same by [`SPAN`] days, so that a
//! year of everybody is not read day by day; and users who were let in on a day, at a client, with a method, or at any and with
//! any (`""`), are counted once each.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::admin::AuditRow;
use super::report::{DAY, Filter, HOUR};

/// Days that are rolled up together for each user.
pub(super) const SPAN: u64 = 32;

/// Hour or day, and what else a count is told apart by.
pub(super) type Key<'a> = (u64, [&'a str; 5]);

/// At which client and with which method a user was let in, by day and user.
pub(super) type Ways<'a> = BTreeMap<(u64, &'a str), HashSet<(&'a str, &'a str)>>;

/// What some rows add up to.
#[derive(Default)]
pub(super) struct Sums<'a> {
    /// By hour, client, method, verdict, reason and protocol: the count, and the first and the last row counted.
    pub(super) hours: HashMap<Key<'a>, (u64, u64, u64)>,
    /// By day, user, client, method, verdict and reason.
    pub(super) users: HashMap<Key<'a>, u64>,
}

impl<'a> Sums<'a> {
    pub(super) fn add(&mut self, row: &'a AuditRow) {
        let key = [&*row.client, &*row.method, &*row.verdict, &*row.reason, &*row.protocol];
        let hour = self.hours.entry((row.time.0 / HOUR, key)).or_insert((0, row.sequence, row.sequence));
        *hour = (hour.0 + u64::from(row.count), hour.1, row.sequence);
        if let Some(user) = &row.user {
            let key = [user, &*row.client, &*row.method, &*row.verdict, &*row.reason];
            *self.users.entry((row.time.0 / DAY, key)).or_default() += u64::from(row.count);
        }
    }

    /// What is told apart by users, by so many days.
    pub(super) fn by_days(&self, unit: u64) -> BTreeMap<Key<'a>, u64> {
        let mut sums: BTreeMap<Key<'_>, u64> = BTreeMap::new();
        for ((day, key), count) in &self.users {
            *sums.entry((day / unit, *key)).or_default() += count;
        }
        sums
    }

    /// How users were let in.
    pub(super) fn ways(&self) -> Ways<'a> {
        let mut ways = Ways::new();
        for (day, [user, client, method, verdict, _]) in self.users.keys() {
            if *verdict == "accepted" {
                ways.entry((*day, user)).or_default().insert((client, method));
            }
        }
        ways
    }
}

/// The cells of the count of users that somebody who was let in so counts in; `""` is any.
pub(super) fn cells<'a>(ways: &HashSet<(&'a str, &'a str)>) -> HashSet<(&'a str, &'a str)> {
    ways.iter()
        .flat_map(|(client, method)| [(*client, *method), (*client, ""), ("", *method), ("", "")])
        .collect()
}

/// The days of a filter that anything is known of.
#[derive(Clone, Copy)]
pub(super) struct Days {
    pub(super) first: u64,
    /// The day after the last.
    pub(super) end: u64,
    /// Nothing is known of later days, so that a span that goes on beyond `end` is whole.
    open: bool,
}

impl Days {
    /// Those of `filter` between the first day and the last that anything is `known` of.
    pub(super) fn of(known: Option<[u64; 2]>, filter: &Filter) -> Option<Days> {
        let [first, last] = known?;
        let Filter { since, until, .. } = filter.rounded(DAY);
        let first = since.map_or(first, |since| first.max(since.0 / DAY));
        let wanted = until.map_or(u64::MAX, |until| until.0 / DAY);
        let (end, open) = (wanted.min(last + 1), wanted > last);
        (first < end).then_some(Days { first, end, open })
    }

    /// Spans that lie within them whole, and the days beside those.
    pub(super) fn split(self) -> (Vec<u64>, Vec<u64>) {
        let Days { first, end, open } = self;
        let low = first.div_ceil(SPAN);
        let high = if open { end.div_ceil(SPAN) } else { end / SPAN };
        if low >= high {
            return (Vec::new(), (first..end).collect());
        }
        ((low..high).collect(), (first..low * SPAN).chain((high * SPAN).min(end)..end).collect())
    }
}
