//! `radmfa report usage`: how many logins, by whom, where, with what and when, as two ways of billing count them.

use std::io::IsTerminal as _;

use serde_json::json;

use super::{RowsFlags, caught_up};
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Listing, count, say};
use crate::cli::store::{Missing, open};
use crate::store::report::{By, Sum};

/// Count logins by user, client, method, day, hour or country of the phone, or all of them
///
/// Whole hours (UTC) are counted, and where users are told apart whole days. An authentication is a login that a second
/// factor decided, for or against; an active user was let in at least once.
#[derive(Debug, clap::Args)]
pub(crate) struct Usage {
    /// What is told apart
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    by: Apart,
    #[command(flatten)]
    rows: RowsFlags,
}

/// `--by`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Apart {
    /// Users
    User,
    /// Clients
    Client,
    /// Second factors
    Method,
    /// Days, UTC
    #[default]
    Day,
    /// Hours, UTC
    Hour,
    /// The country codes of users' telephone numbers, as they are now
    CountryOfPhone,
    /// Nothing: all of it in one line, with how many users are enabled and active
    Total,
}

/// Characters of the longest bar.
const BAR: u64 = 40;

impl Usage {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let by = match self.by {
            Apart::User => By::User,
            Apart::Client => By::Client,
            Apart::Method => By::Method,
            Apart::Day => By::Day,
            Apart::Hour => By::Hour,
            Apart::CountryOfPhone => By::Country,
            Apart::Total => return self.total(),
        };
        let filter = self.rows.filter.filter()?;
        let mut admin = open(&self.rows.store, Missing::Refuse)?;
        let reports = caught_up(&mut *admin)?;
        let sums = reports.sums(&filter, by).map_err(Failure::from)?;
        let table = self.rows.format.format == Format::Table;
        if table {
            let enabled = reports.enabled_users().map_err(Failure::from)?;
            let active = reports.active_users(&filter).map_err(Failure::from)?;
            let factors: u64 = sums.iter().map(|sum| sum.factors).sum();
            let [enabled, factors] =
                [enabled, factors].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
            say(format!(
                "{} enabled, {active} active; {}\n",
                count(enabled, "user"),
                count(factors, "authentication")
            ))?;
        }
        let bars = table && std::io::stdout().is_terminal();
        let mut listing = Listing::new(match (self.by, bars) {
            (Apart::User, false) => &["user", "accepted", "rejected", "authentications"],
            (Apart::User, true) => &["user", "accepted", "rejected", "authentications", "share"],
            (_, false) => &["key", "accepted", "rejected", "authentications", "active-users"],
            (_, true) => &["key", "accepted", "rejected", "authentications", "active-users", "share"],
        });
        let most = sums.iter().map(|sum| sum.accepted + sum.rejected).max().unwrap_or(0).max(1);
        for sum in &sums {
            let mut row = vec![json!(sum.key), json!(sum.accepted), json!(sum.rejected), json!(sum.factors)];
            if self.by != Apart::User {
                row.push(json!(sum.users));
            }
            if bars {
                row.push(json!(bar(sum.accepted + sum.rejected, most)));
            }
            listing.row(row);
        }
        listing.print(self.rows.format.format)
    }
}

impl Usage {
    /// Both ways of billing, in one line.
    fn total(&self) -> anyhow::Result<()> {
        let filter = self.rows.filter.filter()?;
        let mut admin = open(&self.rows.store, Missing::Refuse)?;
        let reports = caught_up(&mut *admin)?;
        let enabled = reports.enabled_users().map_err(Failure::from)?;
        let active = reports.active_users(&filter).map_err(Failure::from)?;
        let all = reports.sums(&filter, By::Method).map_err(Failure::from)?;
        let sum = |of: fn(&Sum) -> u64| json!(all.iter().map(of).sum::<u64>());
        let mut listing = Listing::new(&[
            "enabled-users",
            "active-users",
            "authentications",
            "accepted",
            "rejected",
            "retried",
        ]);
        listing.row([
            json!(enabled),
            json!(active),
            sum(|sum| sum.factors),
            sum(|sum| sum.accepted),
            sum(|sum| sum.rejected),
            sum(|sum| sum.retried),
        ]);
        listing.print(self.rows.format.format)
    }
}

/// A bar for `count`, the longest for `most`.
fn bar(count: u64, most: u64) -> String {
    let length = usize::try_from(count.saturating_mul(BAR).div_ceil(most)).unwrap_or(0);
    "█".repeat(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_is_as_long_as_bars_get_and_one_login_is_seen() {
        assert_eq!(bar(1_000_000, 1_000_000).chars().count(), 40);
        assert_eq!(bar(1, 1_000_000).chars().count(), 1);
        assert_eq!(bar(0, 1), "");
    }
}
