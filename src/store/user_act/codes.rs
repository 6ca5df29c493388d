//! What a user types and the store knows by a hash: recovery codes and the PIN.

use super::{number, reason_said};
use crate::base::secret::Secret;
use crate::base::system::Entropy;
use crate::base::time::UnixTime;
use crate::engine::account::UserId;
use crate::engine::record::Method;
use crate::engine::special::{HashKeys, Pin, Recovery, Special};
use crate::factor::pin;
use crate::factor::recovery::RecoveryCode;
use crate::store::admin::AdminFault;

pub(super) fn issue(
    special: &mut Special,
    user: UserId,
    keys: &HashKeys,
    now: UnixTime,
    codes: (&[RecoveryCode], Option<&str>),
    entropy: &mut dyn Entropy,
) -> Result<(), AdminFault> {
    let (codes, why) = codes;
    why.map(reason_said).transpose()?;
    special.sessions.retain(|session| session.method != Method::Recovery);
    special.recovery = codes
        .iter()
        .map(|code| Recovery {
            id: number(entropy),
            hash: code.hash(&keys.present.recovery, user.0),
            since: now,
            used: false,
        })
        .collect();
    Ok(())
}

pub(super) fn set_pin(
    special: &mut Special,
    user: UserId,
    keys: &HashKeys,
    now: UnixTime,
    secret: &Secret,
) -> Result<(), AdminFault> {
    pin::check(secret).map_err(|fault| AdminFault::Invalid(fault.to_string()))?;
    let hash = pin::hash(&keys.present.pin, user.0, secret.expose());
    let present = special.pin.iter().map(|pin| &pin.hash);
    let mut known = special.pins_before.iter().chain(present);
    if known.any(|before| keys.is_pin(before, user.0, secret.expose())) {
        let what = format!("this PIN is one of the last {}; choose another", pin::HISTORY);
        return Err(AdminFault::Invalid(what));
    }
    if let Some(old) = special.pin.replace(Pin { hash, since: now }) {
        remember(special, &old);
    }
    special.sessions.clear();
    Ok(())
}

pub(super) fn remove_pin(special: &mut Special) -> Result<(), AdminFault> {
    let old = special.pin.take().ok_or_else(|| AdminFault::Missing("PIN".to_owned()))?;
    remember(special, &old);
    special.sessions.clear();
    Ok(())
}

/// Keeps a PIN that is no more, the present one being one of the [`pin::HISTORY`].
fn remember(special: &mut Special, old: &Pin) {
    special.pins_before.push(old.hash);
    let most = if special.pin.is_some() { pin::HISTORY - 1 } else { pin::HISTORY };
    let excess = special.pins_before.len().saturating_sub(most);
    special.pins_before.drain(..excess);
}

#[cfg(test)]
mod tests {
    use super::super::UserAct;
    use super::super::tests::{NOW, act};
    use super::*;

    #[test]
    fn the_last_five_pins_are_not_taken_again() {
        let mut special = Special::default();
        let mut set = |pin: &str| act(&mut special, &UserAct::SetPin(&Secret::from(pin)), NOW);
        for pin in ["2580", "2581", "2582", "2583", "2584"] {
            assert_eq!(set(pin), Ok(()), "{pin}");
        }
        for pin in ["2580", "2584"] {
            assert_eq!(set(pin), Err("this PIN is one of the last 5; choose another".to_owned()), "{pin}");
        }
        assert_eq!(set("2585"), Ok(()));
        assert_eq!(set("2580"), Ok(()), "the sixth last");
        assert!(set("2582").is_err());
        assert!(set("1111").is_err_and(|fault| fault.contains("repeats itself")));
        assert_eq!(act(&mut special, &UserAct::RemovePin, NOW), Ok(()));
        assert!(
            act(&mut special, &UserAct::SetPin(&Secret::from("2580")), NOW).is_err(),
            "removed is not forgotten"
        );
        assert_eq!(act(&mut special, &UserAct::RemovePin, NOW), Err("there is no PIN".to_owned()));
    }
}
