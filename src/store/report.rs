//! What reports ask of a store: rows of the trail, newest first, and sums over them.
//!
//! Sums come from roll-ups that are made behind the trail, so that a report over millions of rows reads hundreds.
//! [`Reports::catch_up`] brings them up to the newest row. Whole hours and, where users are told apart, whole days (UTC)
//! are summed: a filter's ends are rounded outwards to them.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::admin::{AdminFault, AuditRow};
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::engine::record::LoginId;

/// Which rows a report is about. What is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// From this moment on.
    pub since: Option<UnixTime>,
    /// Before this moment.
    pub until: Option<UnixTime>,
    /// The canonical user name.
    pub user: Option<UserName>,
    /// The client's name.
    pub client: Option<String>,
    /// [`crate::engine::record::Method::code`].
    pub method: Option<String>,
    /// [`crate::engine::record::Verdict::code`].
    pub result: Option<String>,
    /// The login's number.
    pub login: Option<LoginId>,
}

/// What sums are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The canonical user name.
    User,
    /// The client.
    Client,
    /// The second factor.
    Method,
    /// The day, UTC.
    Day,
    /// The hour, UTC.
    Hour,
    /// The country code of the user's telephone number, `+36`, as it is now.
    Country,
    /// Why.
    Reason,
    /// The kind of credential.
    Protocol,
}

/// One line of sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// What it is about; empty where nobody knows.
    pub key: String,
    /// Logins let in.
    pub accepted: u64,
    /// Logins refused.
    pub rejected: u64,
    /// Wrong codes that were asked for again.
    pub retried: u64,
    /// Logins that a second factor decided: what is billed by the authentication.
    pub factors: u64,
    /// Users let in at least once; `None` where the roll-ups do not know.
    pub users: Option<u64>,
}

impl Sum {
    /// Adds what another one counts.
    pub(super) fn add(&mut self, other: &Sum) {
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.retried += other.retried;
        self.factors += other.factors;
    }
}

/// The reading side of a store's trail.
pub trait Reports {
    /// Brings the roll-ups up to the newest row. `progress` hears how many rows of how many are done.
    fn catch_up(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), AdminFault>;

    /// Rows that fit, newest first: up to `limit` of those before number `before`. Call [`Reports::catch_up`] first.
    fn rows(
        &mut self,
        filter: &Filter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditRow>, AdminFault>;

    /// Sums over the rows that fit, by key in ascending order. Call [`Reports::catch_up`] first.
    fn sums(&mut self, filter: &Filter, by: By) -> Result<Vec<Sum>, AdminFault>;

    /// Users who were let in at least once. Call [`Reports::catch_up`] first.
    fn active_users(&mut self, filter: &Filter) -> Result<u64, AdminFault> {
        Ok(self.sums(filter, By::User)?.iter().filter(|sum| sum.accepted > 0).count() as u64)
    }

    /// Users who are not disabled: what is billed by the user.
    fn enabled_users(&mut self) -> Result<u64, AdminFault>;
}

pub(super) const HOUR: u64 = 3_600_000;
pub(super) const DAY: u64 = 24 * HOUR;

/// Methods that are no second factor.
pub(super) const NO_FACTOR: [&str; 4] = ["none", "waived", "bypass", "remembered"];

impl Filter {
    /// Whether `row` fits.
    pub(super) fn takes(&self, row: &AuditRow) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        self.since.is_none_or(|since| row.time >= since)
            && self.until.is_none_or(|until| row.time < until)
            && self.user.as_ref().is_none_or(|user| row.user.as_deref() == Some(user.as_str()))
            && is(&self.client, &row.client)
            && is(&self.method, &row.method)
            && is(&self.result, &row.verdict)
            && self.login.is_none_or(|login| row.login == login)
    }

    /// The same with its ends rounded outwards to whole units of so many milliseconds.
    pub(super) fn rounded(&self, unit: u64) -> Filter {
        let down = |time: UnixTime| UnixTime(time.0 - time.0 % unit);
        let up = |time: UnixTime| UnixTime(time.0.div_ceil(unit).saturating_mul(unit));
        Filter { since: self.since.map(down), until: self.until.map(up), ..self.clone() }
    }
}

impl By {
    /// Whether this, under `filter`, needs users told apart.
    pub(super) fn tells_users(self, filter: &Filter) -> bool {
        filter.user.is_some() || matches!(self, By::User | By::Country)
    }
}

/// An hour or a day since 1970 as reports print it.
pub(super) fn moment(number: u64, unit: u64) -> String {
    let text = (UnixTime(0) + Duration::from_millis(number.saturating_mul(unit))).to_string();
    let length = if unit == DAY { 10 } else { 13 };
    let text: String = text.chars().take(length).collect();
    if unit == DAY { text } else { format!("{text}:00") }
}

/// The country code of an international number: `+36`; empty for what is none (ITU-T E.164).
pub(super) fn country(phone: &str) -> String {
    let Some(number) = phone.trim().strip_prefix('+') else { return String::new() };
    let digits: String = number.chars().filter(char::is_ascii_digit).take(3).collect();
    let two = digits.get(..2).unwrap_or_default();
    let length = match two {
        _ if digits.starts_with(['1', '7']) => 1,
        "20" | "27" | "28" | "36" | "39" | "40" | "41" | "98" => 2,
        _ if matches!(
            two.parse::<u8>(),
            Ok(30..=34 | 43..=49 | 51..=58 | 60..=66 | 81 | 82 | 84 | 86 | 90..=95)
        ) =>
        {
            2
        }
        _ => 3,
    };
    digits.get(..length).map(|code| format!("+{code}")).unwrap_or_default()
}

/// Sums as they follow from the rows themselves: for a store without roll-ups, and to hold those to.
pub(super) fn add_up<'a>(
    rows: impl Iterator<Item = &'a AuditRow>,
    filter: &Filter,
    by: By,
    phone: impl Fn(&str) -> Option<String>,
) -> Vec<Sum> {
    let by_users = by.tells_users(filter);
    let filter = filter.rounded(if by_users { DAY } else { HOUR });
    let mut sums: BTreeMap<String, (Sum, HashSet<&str>)> = BTreeMap::new();
    let counts = |row: &&AuditRow| row.verdict != "noted" && (row.user.is_some() || !by_users);
    for row in rows.filter(|row| filter.takes(row)).filter(counts) {
        let key = match by {
            By::User => row.user.clone().unwrap_or_default(),
            By::Client => row.client.clone(),
            By::Method => row.method.clone(),
            By::Day => moment(row.time.0 / DAY, DAY),
            By::Hour if by_users => moment(row.time.0 / DAY, DAY),
            By::Hour => moment(row.time.0 / HOUR, HOUR),
            By::Country => {
                row.user.as_deref().and_then(&phone).map(|phone| country(&phone)).unwrap_or_default()
            }
            By::Reason => row.reason.clone(),
            By::Protocol => row.protocol.clone(),
        };
        let (sum, users) = sums.entry(key.clone()).or_default();
        sum.key = key;
        let count = u64::from(row.count);
        match row.verdict.as_str() {
            "accepted" => {
                sum.accepted += count;
                users.extend(row.user.as_deref());
            }
            "rejected" => sum.rejected += count,
            _ => sum.retried += count,
        }
        if row.verdict != "retried" && !NO_FACTOR.contains(&row.method.as_str()) {
            sum.factors += count;
        }
    }
    let known = !matches!(by, By::Hour | By::Protocol) || by_users;
    let finish =
        |(sum, users): (Sum, HashSet<&str>)| Sum { users: known.then_some(users.len() as u64), ..sum };
    sums.into_values().map(finish).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_code_has_one_to_three_digits() {
        for (phone, code) in [
            ("+36301234567", "+36"),
            ("+1 212 555 0100", "+1"),
            ("+7 495", "+7"),
            ("+353 1 234", "+353"),
            ("+420123", "+420"),
            ("+44 20", "+44"),
            ("+599", "+599"),
            ("06301234567", ""),
            ("", ""),
            ("+", ""),
        ] {
            assert_eq!(country(phone), code, "{phone}");
        }
    }

    #[test]
    fn hours_and_days_print_as_their_beginnings() {
        assert_eq!(moment(1_800_000_000_000 / DAY, DAY), "2027-01-15");
        assert_eq!(moment(1_800_000_000_000 / HOUR, HOUR), "2027-01-15T08:00");
    }
}
