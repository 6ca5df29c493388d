//! `radmfa report failures`: why logins were refused, or whose.

use serde_json::json;

use super::{RowsFlags, caught_up};
use crate::cli::failure::Failure;
use crate::cli::output::Listing;
use crate::cli::store::{Missing, open};
use crate::engine::reason::Reason;
use crate::store::report::{By, Filter, Sum};

/// Count refusals by reason or by user, most first
#[derive(Debug, clap::Args)]
pub(crate) struct Failures {
    /// What is told apart
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    by: Apart,
    #[command(flatten)]
    rows: RowsFlags,
}

/// `--by`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Apart {
    /// Reasons
    #[default]
    Reason,
    /// Users
    User,
}

impl Failures {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let filter: Filter = self.rows.filter.filter()?;
        let mut admin = open(&self.rows.store, Missing::Refuse)?;
        let reports = caught_up(&mut *admin)?;
        let by = if self.by == Apart::User { By::User } else { By::Reason };
        let mut sums = reports.sums(&filter, by).map_err(Failure::from)?;
        let failed = |sum: &Sum| sum.rejected + sum.retried;
        sums.retain(|sum| failed(sum) > 0);
        sums.sort_by_key(|sum| std::cmp::Reverse(failed(sum)));
        let mut listing = Listing::new(match self.by {
            Apart::Reason => &["reason", "rejected", "retried", "meaning"],
            Apart::User => &["user", "rejected", "retried", "accepted"],
        });
        for sum in &sums {
            let last = match self.by {
                Apart::Reason => json!(Reason::parse(&sum.key).map_or("", Reason::sentence)),
                Apart::User => json!(sum.accepted),
            };
            listing.row([json!(sum.key), json!(sum.rejected), json!(sum.retried), last]);
        }
        listing.print(self.rows.format.format)
    }
}
