//! Who may log in, and with how little: blocks, bypasses, armed logins, remembered factors.

use std::time::Duration;

use ipnet::IpNet;

use super::{
    ARM_LEAST, ARM_MOST, BLOCK_MOST, BYPASS_LEAST, BYPASS_MOST, BYPASSES_MAX, DOORS, number, reason_said,
};
use crate::base::name::Label;
use crate::base::system::Entropy;
use crate::base::time::UnixTime;
use crate::engine::arming::ArmedBy;
use crate::engine::record::{LoginId, Method};
use crate::engine::special::{Armed, Block, Bypass, Special};
use crate::store::admin::AdminFault;

pub(super) fn block(
    special: &mut Special,
    now: UnixTime,
    span: Duration,
    why: &str,
) -> Result<(), AdminFault> {
    let why = reason_said(why)?;
    if span.is_zero() || span > BLOCK_MOST {
        return Err(AdminFault::Invalid("a block lasts up to ten years".to_owned()));
    }
    special.block = Some(Block { since: now, until: now + span, why: why.into() });
    special.sessions.clear();
    special.armed.clear();
    Ok(())
}

pub(super) fn open_bypass(
    special: &mut Special,
    now: UnixTime,
    bypass: (&Label, Option<IpNet>, Duration),
    why: &str,
    entropy: &mut dyn Entropy,
) -> Result<(), AdminFault> {
    let (client, station, span) = bypass;
    let why = reason_said(why)?;
    if !(BYPASS_LEAST..=BYPASS_MOST).contains(&span) {
        return Err(AdminFault::Invalid("a bypass is open for 30 s to 24 h".to_owned()));
    }
    if special.bypasses.len() >= BYPASSES_MAX {
        let what = format!("the user has {BYPASSES_MAX} bypasses open: cancel them first");
        return Err(AdminFault::Invalid(what));
    }
    special.bypasses.push(Bypass {
        id: number(entropy),
        client: client.clone(),
        station,
        since: now,
        until: now + span,
        why: why.into(),
    });
    Ok(())
}

pub(super) fn arm(
    special: &mut Special,
    now: UnixTime,
    (client, span, by): (&Label, Duration, ArmedBy),
    entropy: &mut dyn Entropy,
) -> Result<(), AdminFault> {
    if !(ARM_LEAST..=ARM_MOST).contains(&span) {
        return Err(AdminFault::Invalid("a login is armed for 30 s to 10 min".to_owned()));
    }
    if DOORS.contains(&client.as_str()) {
        let what = "a login on radmfa's own pages is never armed: it wants a second factor";
        return Err(AdminFault::Invalid(what.to_owned()));
    }
    if special.blocked(now).is_some() {
        return Err(AdminFault::Invalid("the user is blocked".to_owned()));
    }
    // Armed again is armed once.
    special.armed.retain(|armed| armed.client != *client);
    if special.armed.len() >= BYPASSES_MAX {
        return Err(AdminFault::Invalid("too many logins are armed: wait a few minutes".to_owned()));
    }
    let (client, until) = (client.clone(), now + span);
    special.armed.push(Armed { id: number(entropy), client, since: now, until, by });
    Ok(())
}

pub(super) fn disarm(special: &mut Special, client: &Label) -> Result<(), AdminFault> {
    let before = special.armed.len();
    special.armed.retain(|armed| armed.client != *client);
    if special.armed.len() == before {
        return Err(AdminFault::Missing(format!("login armed at {client}")));
    }
    Ok(())
}

/// A factor of this kind was taken away: what its user armed with one is armed no more.
pub(super) fn disarm_by(special: &mut Special, gone: Method) {
    special.armed.retain(|armed| !matches!(armed.by, ArmedBy::User { method, .. } if method == gone));
}

pub(super) fn cancel_bypasses(special: &mut Special) -> Result<(), AdminFault> {
    if special.bypasses.is_empty() {
        return Err(AdminFault::Missing("bypass open".to_owned()));
    }
    special.bypasses.clear();
    Ok(())
}

pub(super) fn end_sessions(
    special: &mut Special,
    which: Option<LoginId>,
    why: Option<&str>,
) -> Result<(), AdminFault> {
    why.map(reason_said).transpose()?;
    let before = special.sessions.len();
    special.sessions.retain(|session| which.is_some_and(|login| session.id != login));
    if special.sessions.len() == before {
        return Err(AdminFault::Missing("remembered factor of the user".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, act};
    use super::super::{
        ARM_MOST, BLOCK_MOST, BYPASS_LEAST, BYPASS_MOST, BYPASSES_MAX, DOORS, UserAct, WHY_MAX,
    };
    use super::*;

    #[test]
    fn a_login_on_our_own_pages_is_never_armed() {
        let arm =
            |client| UserAct::Arm { client: Label::new(client).unwrap(), span: ARM_MOST, by: ArmedBy::Desk };
        let mut special = Special::default();
        for door in DOORS {
            assert!(act(&mut special, &arm(door), NOW).is_err_and(|fault| fault.contains("never armed")));
        }
        assert_eq!((special.armed.len(), act(&mut special, &arm("vpn"), NOW)), (0, Ok(())));
    }

    #[test]
    fn what_was_armed_is_taken_back_at_its_client_alone_and_once() {
        let label = |name| Label::new(name).unwrap();
        let mut special = Special::default();
        for client in ["vpn", "rdg"] {
            let arm = UserAct::Arm { client: label(client), span: ARM_LEAST, by: ArmedBy::Desk };
            assert_eq!(act(&mut special, &arm, NOW), Ok(()));
        }
        let disarm = UserAct::Disarm { client: label("vpn") };
        assert_eq!(act(&mut special, &disarm, NOW), Ok(()));
        assert!(special.armed.iter().map(|armed| armed.client.as_str()).eq(["rdg"]));
        assert!(act(&mut special, &disarm, NOW).is_err());
        let late = UserAct::Disarm { client: label("rdg") };
        assert!(act(&mut special, &late, NOW + ARM_LEAST).is_err(), "its time is over");
    }

    #[test]
    fn spans_and_reasons_have_bounds() {
        let mut special = Special::default();
        let mut bypass = |span, why: &str| {
            let client = Label::new("vpn").unwrap();
            act(&mut special, &UserAct::Bypass { client, station: None, span, why }, NOW)
        };
        let second = Duration::from_secs(1);
        assert!(bypass(BYPASS_LEAST / 2, "lost").is_err());
        assert!(bypass(BYPASS_MOST + second, "lost").is_err());
        for why in ["", "  ", "a\nb", "\u{202e}x", &"x".repeat(WHY_MAX + 1)] {
            assert!(bypass(BYPASS_LEAST, why).is_err(), "{why:?}");
        }
        for _ in 0..BYPASSES_MAX {
            assert_eq!(bypass(BYPASS_MOST, "lost"), Ok(()));
        }
        assert!(bypass(BYPASS_MOST, "lost").is_err_and(|fault| fault.contains("cancel")));
        let block = |span| UserAct::Block { span, why: "left" };
        assert!(act(&mut special, &block(Duration::ZERO), NOW).is_err());
        assert!(act(&mut special, &block(BLOCK_MOST + second), NOW).is_err());
        assert_eq!(act(&mut special, &block(BLOCK_MOST), NOW), Ok(()));
    }

    #[test]
    fn what_time_has_ended_is_neither_ended_again_nor_kept() {
        let mut special = Special::default();
        let hour = Duration::from_hours(1);
        let client = Label::new("vpn").unwrap();
        act(&mut special, &UserAct::Block { span: hour, why: "x" }, NOW).unwrap();
        act(&mut special, &UserAct::Bypass { client, station: None, span: hour, why: "x" }, NOW).unwrap();
        assert!(act(&mut special, &UserAct::Unblock { why: None }, NOW + hour).is_err());
        assert!(act(&mut special, &UserAct::CancelBypasses, NOW + hour).is_err());
        assert_eq!(special, Special::default());
    }
}
