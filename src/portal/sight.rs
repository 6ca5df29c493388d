//! What a user had to log in with when a seat was taken: a seat ends when some of it is gone or the password is another, since whoever took
//! it away means whoever may sit there by it.

use sha2::{Digest as _, Sha256};

use crate::engine::account::{Account, TokenId};

/// A password and second factors, by what tells them from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// Of the hash of the local password.
    password: Option<[u8; 32]>,
    /// Those that are enabled.
    tokens: Vec<TokenId>,
    /// Those that are active.
    devices: Vec<i64>,
    passkeys: Vec<i64>,
}

impl Sight {
    /// As they are.
    pub(super) fn of(account: &Account) -> Sight {
        let devices = account.special.iter().flat_map(|special| special.active_devices());
        Sight {
            password: account.password_hash.as_ref().map(|hash| Sha256::digest(hash.as_bytes()).into()),
            tokens: account.tokens.iter().filter(|token| token.enabled).map(|token| token.id).collect(),
            devices: devices.map(|device| device.id).collect(),
            passkeys: account.passkeys().map(|passkey| passkey.id).collect(),
        }
    }

    /// Whether the password is the same `now` and nothing is gone. What was added does not matter.
    pub(super) fn holds(&self, now: &Sight) -> bool {
        self.password == now.password
            && self.tokens.iter().all(|token| now.tokens.contains(token))
            && self.devices.iter().all(|device| now.devices.contains(device))
            && self.passkeys.iter().all(|passkey| now.passkeys.contains(passkey))
    }

    /// Without what one act, before and after which it was so, took away.
    pub(super) fn less(&self, before: &Sight, after: &Sight) -> Sight {
        let mut left = self.clone();
        left.tokens.retain(|token| after.tokens.contains(token) || !before.tokens.contains(token));
        left.devices.retain(|device| after.devices.contains(device) || !before.devices.contains(device));
        left.passkeys
            .retain(|passkey| after.passkeys.contains(passkey) || !before.passkeys.contains(passkey));
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(password: u8, tokens: &[i64], devices: &[i64]) -> Sight {
        let tokens = tokens.iter().copied().map(TokenId).collect();
        Sight {
            password: Some([password; 32]),
            tokens,
            devices: devices.to_vec(),
            passkeys: devices.to_vec(),
        }
    }

    #[test]
    fn what_is_added_changes_nothing_and_what_is_gone_or_another_password_does() {
        let seen = sight(1, &[1, 2], &[7]);
        assert!(seen.holds(&seen) && seen.holds(&sight(1, &[3, 2, 1], &[7, 8])));
        for now in [sight(2, &[1, 2], &[7]), sight(1, &[2, 3], &[7]), sight(1, &[1, 2], &[8])] {
            assert!(!seen.holds(&now), "{now:?}");
        }
        assert!(!seen.holds(&Sight { password: None, ..seen.clone() }));
    }

    #[test]
    fn what_the_user_takes_away_is_missed_no_more_and_what_somebody_else_took_is() {
        let seen = sight(1, &[1, 2], &[7]);
        let (before, after) = (sight(1, &[1], &[7]), sight(1, &[1], &[]));
        let left = seen.less(&before, &after);
        assert_eq!(left, sight(1, &[1, 2], &[]));
        assert!(!left.holds(&after), "token 2 went before");
    }
}
