//! `radmfa user erase`: a user leaves for good, the trail included.

use crate::base::name::UserName;
use crate::cli::failure::Failure;
use crate::cli::output::{printable, say};
use crate::cli::progress::bar;
use crate::cli::store::{Missing, open};
use crate::config::flags::StoreFlags;

/// Removes the user, and what the trail says of the person.
pub(super) fn run(name: &UserName, store: &StoreFlags) -> anyhow::Result<()> {
    let mut admin = open(store, Missing::Refuse)?;
    let bar = bar("erasing");
    let erased = admin.trail().erase_user(name, &mut |done, total| {
        bar.at(done, total);
    });
    drop(bar);
    let erased = erased.map_err(Failure::from)?;
    say(format!("erased user {name}"))?;
    say(format!("{} rows of the trail name nobody any more; the chain holds", erased.rows))?;
    for serial in erased.tokens {
        say(format!("token {} is assigned to nobody now", printable(&serial)))?;
    }
    Ok(())
}
