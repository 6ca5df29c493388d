//! PINs before codes: taken off what was typed, and compared, before the code is looked at.
//!
//! A wrong PIN and a wrong code must not be told apart by the user: both are always judged, and both count as one
//! failure.

use super::account::Account;
use super::policy::{LoginPolicy, PinWanted};
use super::reason::Reason;
use super::sending::DIGITS as SENT_DIGITS;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::factor::recovery;

/// Why a user cannot be asked for a PIN and a code, where the policy wants both.
pub(super) fn lacking(account: &Account, policy: &LoginPolicy, now: UnixTime) -> Option<Reason> {
    if policy.pin == PinWanted::Never {
        return None;
    }
    let Some(pin) = account.special.as_ref().and_then(|special| special.pin.as_ref()) else {
        return Some(Reason::PinMissing);
    };
    let over = policy.pin_max_age.is_some_and(|age| now.since(pin.since) > age);
    over.then_some(Reason::PinExpired)
}

/// Cuts `typed` into a PIN and a code, wherever the right PIN ends. The code as it stands behind it, and whether
/// the PIN was right. A code has as many digits as one of the user's tokens shows, as a `sent` one or as a recovery code has.
pub(super) fn take_off(account: &Account, typed: &Secret, sent: bool, now: UnixTime) -> (bool, Secret) {
    let octets = typed.expose().trim_ascii();
    let lengths = account.usable(now).map(|token| token.parameters.digits.count());
    // A bit for each length, so that ten tokens cost no more hashes than one.
    let lengths = lengths.chain(sent.then_some(SENT_DIGITS));
    let lengths = lengths.fold(0_u32, |set, length| set | 1_u32.checked_shl(length.into()).unwrap_or(0));
    let lengths = (0..32_usize).filter(|length| lengths >> length & 1 == 1);
    let cuts = lengths.filter_map(|length| octets.len().checked_sub(length)).chain(recovery::begins(octets));
    let known = account.special.as_ref().and_then(|special| special.pin.as_ref());
    let (mut right, mut code) = (false, octets);
    for cut in cuts {
        let (before, behind) = octets.split_at_checked(cut).unwrap_or((&[], octets));
        let same = match (known, &account.keys) {
            (Some(known), Some(keys)) => keys.is_pin(&known.hash, account.id.0, before.trim_ascii()),
            _ => false,
        };
        if same {
            (right, code) = (true, behind);
        }
    }
    (right, Secret::new(code))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::name::UserName;
    use crate::engine::account::{Token, TokenId, UserId};
    use crate::engine::special::{HashKey, HashKeys, Pin, Special};
    use crate::factor::oath::{Digits, Parameters};
    use crate::factor::pin;

    fn account(digits: &[u8]) -> Account {
        let key =
            |octet: u8| HashKey { recovery: Secret::new([octet; 32]), pin: Secret::new([octet + 1; 32]) };
        let keys = HashKeys { present: key(1), others: vec![key(3)] };
        let pin = Pin { hash: pin::hash(&keys.others[0].pin, 7, b"2580"), since: UnixTime(0) };
        let token = |digits: &u8| Token {
            id: TokenId(1),
            serial: "T".into(),
            enabled: true,
            parameters: Parameters { digits: Digits::new(*digits).unwrap(), ..Parameters::default() },
            last_step: None,
            drift: None,
            expires: None,
            starts: None,
            seed: None,
        };
        Account {
            id: UserId(7),
            name: UserName::canonical(b"alice").unwrap(),
            disabled: false,
            password_hash: None,
            failures: 0,
            last_failure: UnixTime(0),
            tokens: digits.iter().map(token).collect(),
            special: Some(Arc::new(Special { pin: Some(pin), ..Special::default() })),
            keys: Some(Box::new(keys)),
            groups: None,
            contact: None,
            resembles_another: false,
            clock_suspect: false,
        }
    }

    #[test]
    fn the_code_begins_where_the_right_pin_ends() {
        for (digits, typed, code) in [
            (&[6][..], "2580123456", "123456"),
            (&[8], " 258012345678 ", "12345678"),
            (&[6, 8], "2580123456", "123456"),
            (&[6, 8], "258012345678", "12345678"),
            (&[6], "2580 123456", "123456"),
            (&[6], "2580K7Q2-MX9T-R4AB", "K7Q2-MX9T-R4AB"),
            (&[], "2580 K7Q2MX9TR4AB", "K7Q2MX9TR4AB"),
        ] {
            assert_eq!(
                take_off(&account(digits), &Secret::from(typed), false, UnixTime(0)),
                (true, Secret::from(code)),
                "{typed}"
            );
        }
    }

    #[test]
    fn a_wrong_or_missing_pin_is_not_right_whatever_stands_behind_it() {
        for typed in ["", "123456", "2581123456", "2580", "25801", "2580K7Q2", "12345602580", "0123456"] {
            assert!(!take_off(&account(&[6, 8]), &Secret::from(typed), false, UnixTime(0)).0, "{typed}");
        }
        let none = Account { special: None, keys: None, ..account(&[6]) };
        assert!(!take_off(&none, &Secret::from("2580123456"), false, UnixTime(0)).0);
    }
}
