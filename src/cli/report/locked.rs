//! `radmfa report locked`: who is kept out by an admin's word or by wrong codes, since when, and until when.
//!
//! The words are those of `user show`, and so are the figures: `[lockout]` of the configuration file.

use serde_json::json;

use super::in_order;
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::cli::failure::Failure;
use crate::cli::output::{FormatFlag, Listing};
use crate::cli::store::{Missing, clock, open, said};
use crate::cli::value::user_name;
use crate::cli::when::moment;
use crate::config::flags::StoreFlags;
use crate::server::hindrance::{Hindrance, account, hindrances};
use crate::server::past::Past;
use crate::store::admin::UserFilter;

/// Users read at a time.
const PAGE: usize = 1_000;

/// List users who are disabled, blocked, locked, or wait after wrong codes
///
/// Waiting times follow [lockout] of the configuration file: name the server's with --config.
#[derive(Debug, clap::Args)]
pub(crate) struct Locked {
    /// Only this user
    #[arg(long, value_parser = user_name, value_name = "NAME")]
    user: Option<UserName>,
    /// Only what began at this moment or later: a date, a date with time and offset, or how long ago (7d)
    #[arg(long, value_parser = moment, value_name = "WHEN")]
    since: Option<UnixTime>,
    /// Only what began before this moment
    #[arg(long, value_parser = moment, value_name = "WHEN")]
    until: Option<UnixTime>,
    #[command(flatten)]
    format: FormatFlag,
    #[command(flatten)]
    store: StoreFlags,
}

impl Locked {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        in_order(self.since, self.until)?;
        let settings = said(&self.store)?;
        let mut admin = open(&self.store, Missing::Refuse)?;
        let now = clock().unix();
        let mut listing = Listing::new(&["user", "why", "since", "until", "wrong-codes", "what"]);
        let mut filter = UserFilter { limit: PAGE, kept_out: true, ..UserFilter::default() };
        if let Some(name) = &self.user {
            // A name that is nobody's is a mistake, and no good news.
            admin.user(name).map_err(Failure::from)?;
            filter.contains = Some(name.as_str().to_owned());
        }
        loop {
            let users = admin.users(&filter).map_err(Failure::from)?;
            for user in users.iter().filter(|user| self.user.as_ref().is_none_or(|name| *name == user.name)) {
                let account = account(&mut *admin, &user.name).map_err(Failure::from)?;
                // Since when somebody is disabled stands in the trail alone.
                let mut past = Past::default();
                if account.disabled {
                    past.read_acts(&mut *admin, &user.name).map_err(Failure::from)?;
                }
                for hindrance in hindrances(&account, &settings.people, &past, now) {
                    if is_of_this_report(&hindrance) && self.takes(hindrance.since()) {
                        let time = |time: Option<UnixTime>| json!(time.map(|time| time.to_string()));
                        listing.row([
                            json!(user.name.as_str()),
                            json!(hindrance.code()),
                            time(hindrance.since()),
                            time(hindrance.until()),
                            json!(account.failures),
                            json!(hindrance.sentence()),
                        ]);
                    }
                }
            }
            match users.last().filter(|_| users.len() == PAGE) {
                Some(last) => filter.after = Some(last.name.clone()),
                None => return listing.print(self.format.format),
            }
        }
    }

    /// Whether something that began then is asked for; of what nobody knows when it began, only where no time is said.
    fn takes(&self, began: Option<UnixTime>) -> bool {
        let Some(began) = began else { return self.since.is_none() && self.until.is_none() };
        self.since.is_none_or(|since| began >= since) && self.until.is_none_or(|until| began < until)
    }
}

/// Somebody without a token or PIN was never let in; that is for `user list` and `user show`.
fn is_of_this_report(hindrance: &Hindrance) -> bool {
    match hindrance {
        Hindrance::Disabled { .. }
        | Hindrance::Blocked { .. }
        | Hindrance::Locked { .. }
        | Hindrance::Waits { .. } => true,
        Hindrance::Withheld { .. }
        | Hindrance::NoToken { .. }
        | Hindrance::NoUsableToken { .. }
        | Hindrance::NoPasskey { .. }
        | Hindrance::PushPaused { .. }
        | Hindrance::NoPin { .. }
        | Hindrance::PinExpired { .. }
        | Hindrance::PhoneHeld { .. } => false,
    }
}
