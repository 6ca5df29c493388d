//! Links by which users set up a second factor.

use std::time::Duration;

use super::{INVITE_LEAST, INVITE_MOST};
use crate::base::secret::same;
use crate::base::time::UnixTime;
use crate::engine::special::{Invite, Special};
use crate::store::admin::AdminFault;

pub(super) fn invite(
    special: &mut Special,
    now: UnixTime,
    hash: [u8; 32],
    span: Duration,
) -> Result<(), AdminFault> {
    if !(INVITE_LEAST..=INVITE_MOST).contains(&span) {
        return Err(AdminFault::Invalid("an invitation is good for 1 min to 30 days".to_owned()));
    }
    special.invite = Some(Invite { hash, since: now, until: now + span });
    Ok(())
}

pub(super) fn revoke(special: &mut Special) -> Result<(), AdminFault> {
    special.invite.take().ok_or_else(no_invite)?;
    Ok(())
}

pub(super) fn take(special: &mut Special, hash: &[u8; 32]) -> Result<(), AdminFault> {
    special.invite.take_if(|invite| same(&invite.hash, hash)).ok_or_else(no_invite)?;
    Ok(())
}

fn no_invite() -> AdminFault {
    AdminFault::Missing("invitation that is still good".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::UserAct;
    use super::super::tests::{NOW, act};
    use super::*;
    use crate::engine::role::Role;

    #[test]
    fn an_invitation_is_taken_once_in_its_time_and_a_new_one_ends_the_one_before() {
        let mut special = Special::default();
        let hour = Duration::from_hours(1);
        let invite = |hash, span| UserAct::Invite { hash: [hash; 32], span };
        let take = |hash| UserAct::TakeInvite { hash: [hash; 32] };
        assert!(act(&mut special, &take(0), NOW).is_err());
        assert_eq!(act(&mut special, &invite(1, hour), NOW), Ok(()));
        assert_eq!(act(&mut special, &invite(2, hour), NOW), Ok(()));
        assert!(act(&mut special, &take(1), NOW).is_err());
        assert_eq!(act(&mut special, &take(2), NOW), Ok(()));
        assert!(act(&mut special, &take(2), NOW).is_err(), "twice");
        assert_eq!(act(&mut special, &invite(3, hour), NOW), Ok(()));
        assert!(act(&mut special, &take(3), NOW + hour).is_err(), "too late");
        assert_eq!(act(&mut special, &invite(4, hour), NOW), Ok(()));
        assert_eq!(act(&mut special, &UserAct::RevokeInvite, NOW), Ok(()));
        assert!(
            act(&mut special, &take(4), NOW).is_err()
                && act(&mut special, &UserAct::RevokeInvite, NOW).is_err()
        );
        assert_eq!(act(&mut special, &invite(6, hour), NOW), Ok(()));
        assert_eq!(act(&mut special, &UserAct::SetRole { role: Some(Role::Admin) }, NOW), Ok(()));
        assert!(act(&mut special, &take(6), NOW).is_err(), "from before the role");
        for span in [Duration::ZERO, INVITE_MOST + Duration::from_secs(1)] {
            assert!(act(&mut special, &invite(5, span), NOW).is_err());
        }
    }
}
