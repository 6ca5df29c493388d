//! `radmfa report`: who got in, who did not and why, and what is billed.

mod auth;
mod clients;
mod failures;
mod locked;
mod tokens;
mod usage;

use clap::Subcommand;

use super::failure::Failure;
use super::output::FormatFlag;
use super::progress::bar;
use super::value::user_name;
use super::when::moment;
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::config::flags::StoreFlags;
use crate::engine::record::{Method, Verdict};
use crate::store::admin::Admin;
use crate::store::report::{Filter, Reports};

/// Answer who got in, who did not, and how much
#[derive(Debug, clap::Args)]
pub(crate) struct Report {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Auth(auth::Auth),
    Usage(usage::Usage),
    Failures(failures::Failures),
    Locked(locked::Locked),
    Tokens(tokens::Tokens),
    Clients(clients::Clients),
}

/// Which rows of the trail a report is about.
#[derive(Debug, clap::Args)]
struct FilterFlags {
    /// From this moment on: a date, a date with time and offset, or how long ago (7d)
    #[arg(long, value_parser = moment, value_name = "WHEN")]
    since: Option<UnixTime>,
    /// Before this moment
    #[arg(long, value_parser = moment, value_name = "WHEN")]
    until: Option<UnixTime>,
    /// Only this user
    #[arg(long, value_parser = user_name, value_name = "NAME")]
    user: Option<UserName>,
    /// Only this client
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Only this second factor, such as totp, sms or waived
    #[arg(long, value_parser = method, value_name = "METHOD")]
    method: Option<String>,
    /// Only accepted, rejected, retried or noted
    #[arg(long, value_parser = result, value_name = "RESULT")]
    result: Option<String>,
}

/// What a report about rows of the trail takes.
#[derive(Debug, clap::Args)]
struct RowsFlags {
    #[command(flatten)]
    filter: FilterFlags,
    #[command(flatten)]
    format: FormatFlag,
    #[command(flatten)]
    store: StoreFlags,
}

fn method(text: &str) -> Result<String, String> {
    let known = Method::parse(text).map(|method| method.code().to_owned());
    known.ok_or_else(|| format!("takes {}", Method::ALL.map(Method::code).join(", ")))
}

fn result(text: &str) -> Result<String, String> {
    let known = Verdict::parse(text).map(|verdict| verdict.code().to_owned());
    known.ok_or_else(|| "takes accepted, rejected, retried or noted".to_owned())
}

/// Refuses a time that ends before it begins, in which nothing can have happened.
fn in_order(since: Option<UnixTime>, until: Option<UnixTime>) -> Result<(), Failure> {
    match (since, until) {
        (Some(since), Some(until)) if until <= since => {
            Err(Failure::usage(format!("--until {until} does not lie after --since {since}")))
        }
        _ => Ok(()),
    }
}

impl FilterFlags {
    fn filter(&self) -> Result<Filter, Failure> {
        in_order(self.since, self.until)?;
        Ok(Filter {
            since: self.since,
            until: self.until,
            user: self.user.clone(),
            client: self.client.clone(),
            method: self.method.clone(),
            result: self.result.clone(),
            login: None,
        })
    }
}

impl Report {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Auth(report) => report.run(),
            Action::Usage(report) => report.run(),
            Action::Failures(report) => report.run(),
            Action::Locked(report) => report.run(),
            Action::Tokens(report) => report.run(),
            Action::Clients(report) => report.run(),
        }
    }
}

/// The store's reports, brought up to the newest row.
fn caught_up(admin: &mut dyn Admin) -> Result<&mut dyn Reports, Failure> {
    let reports = admin.reports();
    let bar = bar("rolling up the trail");
    reports.catch_up(&mut |done, total| {
        bar.at(done, total);
    })?;
    Ok(reports)
}
