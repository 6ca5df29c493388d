//! `radmfa report locked`: who cannot log in for having been switched off, or for wrong codes.

use serde_json::json;

use crate::base::time::UnixTime;
use crate::cli::failure::Failure;
use crate::cli::output::{FormatFlag, Listing};
use crate::cli::store::{Missing, clock, open};
use crate::config::flags::StoreFlags;
use crate::engine::lockout::{Standing, standing};
use crate::engine::policy::Lockout;
use crate::store::admin::{UserDetails, UserFilter};

/// Users read at a time.
const PAGE: usize = 1_000;

/// List users who are disabled, locked, or wait after wrong codes
///
/// Waiting times are told by the default figures of [lockout].
#[derive(Debug, clap::Args)]
pub(crate) struct Locked {
    #[command(flatten)]
    format: FormatFlag,
    #[command(flatten)]
    store: StoreFlags,
}

impl Locked {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut admin = open(&self.store, Missing::Refuse)?;
        let now = clock().unix();
        let mut listing = Listing::new(&["user", "why", "until", "failures", "last-failure"]);
        let mut filter = UserFilter { limit: PAGE, ..UserFilter::default() };
        loop {
            let users = admin.users(&filter).map_err(Failure::from)?;
            for user in &users {
                if let Some((why, until)) = hindered(user, now) {
                    let last = (user.failures > 0).then(|| user.last_failure.to_string());
                    let until = until.map(|until| until.to_string());
                    let name = user.name.as_str();
                    listing.row([json!(name), json!(why), json!(until), json!(user.failures), json!(last)]);
                }
            }
            match users.last().filter(|_| users.len() == PAGE) {
                Some(last) => filter.after = Some(last.name.clone()),
                None => return listing.print(self.format.format),
            }
        }
    }
}

/// What keeps a user out, and until when if it ends by itself.
fn hindered(user: &UserDetails, now: UnixTime) -> Option<(&'static str, Option<UnixTime>)> {
    if user.fields.disabled {
        return Some(("disabled", None));
    }
    match standing(&Lockout::default(), 1, user.failures, user.last_failure, now) {
        Standing::Free => None,
        Standing::Waits(until) => Some(("back-off", Some(until))),
        Standing::Locked => Some(("locked", None)),
    }
}
