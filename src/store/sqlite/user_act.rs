//! What an admin does for one user, in a store file: the change, its row in the trail and the note to running servers are
//! one transaction.

use super::admin::SqliteAdmin;
use super::rows;
use super::tables::log_change;
use crate::base::name::UserName;
use crate::engine::special::Special;
use crate::store::act::Act;
use crate::store::admin::AdminFault;
use crate::store::user_act::{UserAct, hash_keys};

pub(super) fn act_for(admin: &mut SqliteAdmin, name: &UserName, act: &UserAct<'_>) -> Result<(), AdminFault> {
    let keys = hash_keys(&admin.file.key);
    let now = admin.clock.unix();
    admin.change(|transaction, pen| {
        let seat = rows::seat(transaction, name)?.ok_or_else(|| AdminFault::no_user(name))?;
        let mut special = seat.special().map(|special| Special::clone(special)).unwrap_or_default();
        act.apply(&mut special, seat.id, &keys, now, &mut *pen.entropy)?;
        rows::keep_special(transaction, seat.id, Some(&special))?;
        pen.act(
            transaction,
            Act::new(act.reason()).on(name, seat.id).note(act.note(now)).tally(act.tally()),
        )?;
        Ok(log_change(transaction, Some(name))?)
    })
}
