//! Passkeys: what is kept of one, what proves that its owner has used it, and whether somebody may log in by one at the portal.
//!
//! ```text
//! signature checked (portal/passkey) ─ Assertion ─┬─ judge ─ row ─ a seat at the portal
//!                                             └─ Answer::Asserted ─ phone::judge: this login's question alone
//! ```
//! A passkey is two factors at once: the authenticator has made sure of its user (WebAuthn §6.1, UV) and holds a key that leaves it never.
//! Invariants: a [`Assertion`] is made where the signature is checked and nowhere else; one that was made for a question answers no other.

use std::sync::Arc;

use super::account::{Account, UserId};
use super::asking::Reference;
use super::lockout::{self, Standing};
use super::policy::Lockout;
use super::reason::Reason;
use super::record::Guard;
use super::special::Special;
use crate::base::time::UnixTime;

/// The most passkeys of one user.
pub const PASSKEYS_MAX: usize = 10;
/// The longest name of a credential, in octets (WebAuthn §4).
pub const CREDENTIAL_MAX: usize = 1023;
/// The longest key as it is written down, in octets: one of RSA with 4096 bits, and some.
pub const KEY_MAX: usize = 2048;

/// A passkey of a user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// The store's own number, never used again.
    pub id: i64,
    /// What its owner calls it; no two of a user are called the same.
    pub name: Arc<str>,
    /// What the authenticator calls it, 1 to [`CREDENTIAL_MAX`] octets.
    pub credential: Arc<[u8]>,
    /// Its public key, as `portal/passkey` writes it: JSON, at most [`KEY_MAX`] octets.
    pub key: Arc<str>,
    /// How often it had signed when it was last used, as it says itself; 0 for those that do not count.
    pub counter: u32,
    /// Whether its owner may have copies of it on other devices, as it says itself.
    pub synced: bool,
    /// Since when.
    pub since: UnixTime,
    /// When it was last used.
    pub used: Option<UnixTime>,
}

impl Passkey {
    /// Whether a signature that it counts as the `counter`th comes after those that are known (WebAuthn §7.2, step 22): those that do not
    /// count say 0 each time.
    #[must_use]
    pub fn comes_after(&self, counter: u32) -> bool {
        counter > self.counter || (counter == 0 && self.counter == 0)
    }
}

/// That a passkey's owner was just there, before an authenticator that made sure of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    user: UserId,
    passkey: i64,
    question: Option<Reference>,
}

impl Assertion {
    /// Made where a signature over a challenge of ours is checked, nowhere else. `question` is what the challenge was made for.
    #[must_use]
    pub fn by_signature(user: UserId, passkey: i64, question: Option<Reference>) -> Assertion {
        Assertion { user, passkey, question }
    }

    /// Which passkey.
    #[must_use]
    pub fn passkey(&self) -> i64 {
        self.passkey
    }

    /// Whether it is a passkey that `account` has still, shown for `question`.
    #[must_use]
    pub fn answers(&self, question: Reference, account: &Account) -> bool {
        self.question == Some(question) && self.is_of(account)
    }

    fn is_of(&self, account: &Account) -> bool {
        account.id == self.user && account.passkeys().any(|passkey| passkey.id == self.passkey)
    }
}

impl Account {
    /// The user's passkeys, oldest first.
    pub fn passkeys(&self) -> impl Iterator<Item = &Passkey> {
        self.special.iter().flat_map(|special| &special.passkeys)
    }
}

impl Special {
    /// The passkey with this number.
    #[must_use]
    pub fn passkey(&self, id: i64) -> Option<&Passkey> {
        self.passkeys.iter().find(|passkey| passkey.id == id)
    }
}

/// Whether whoever has shown a passkey (`None`: says to have one) may log in at a page, and what has to hold when that is recorded.
/// Who is barred, locked or has to wait after wrong codes is kept out, passkey or not.
pub fn judge(
    account: &Account,
    shown: Option<&Assertion>,
    lockout: &Lockout,
    now: UnixTime,
) -> Result<[Guard; 2], Reason> {
    if let Some(reason) = account.barred(now) {
        return Err(reason);
    }
    let standing =
        lockout::standing(lockout, account.guesses(now), account.failures, account.last_failure, now);
    match standing {
        Standing::Free => {}
        Standing::Waits(_) => return Err(Reason::BackOff),
        Standing::Locked => return Err(Reason::Locked),
    }
    match shown {
        // One that was made for a question lets nobody in anywhere else.
        Some(shown) if shown.question.is_none() && shown.is_of(account) => {
            Ok(lockout::guards(lockout, account, now))
        }
        _ => Err(Reason::PasskeyWrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::UserName;
    use crate::engine::special::Block;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn passkey(id: i64, counter: u32) -> Passkey {
        Passkey {
            id,
            name: "key".into(),
            credential: [7; 16].into(),
            key: "{}".into(),
            counter,
            synced: false,
            since: NOW,
            used: None,
        }
    }

    fn account(special: Special) -> Account {
        Account {
            id: UserId(1),
            name: UserName::canonical(b"u1").unwrap(),
            disabled: false,
            password_hash: None,
            contact: None,
            failures: 0,
            last_failure: UnixTime(0),
            tokens: Vec::new(),
            groups: None,
            special: Some(Arc::new(special)),
            keys: None,
            resembles_another: false,
            clock_suspect: false,
        }
    }

    #[test]
    fn a_count_that_goes_back_or_stands_still_is_no_next_one() {
        for (known, next, after) in
            [(0, 0, true), (0, 1, true), (5, 6, true), (5, 5, false), (5, 4, false), (5, 0, false)]
        {
            assert_eq!(passkey(1, known).comes_after(next), after, "{known} then {next}");
        }
    }

    #[test]
    fn a_passkey_lets_its_owner_in_unless_something_else_keeps_them_out() {
        let lockout = Lockout::default();
        let owner = account(Special { passkeys: vec![passkey(5, 0)], ..Special::default() });
        let shown = |user, passkey, question| Assertion::by_signature(UserId(user), passkey, question);
        let good = shown(1, 5, None);
        assert!(judge(&owner, Some(&good), &lockout, NOW).is_ok());
        assert_eq!(judge(&owner, None, &lockout, NOW), Err(Reason::PasskeyWrong));
        for wrong in [shown(2, 5, None), shown(1, 6, None), shown(1, 5, Some(Reference([1; 16])))] {
            assert_eq!(judge(&owner, Some(&wrong), &lockout, NOW), Err(Reason::PasskeyWrong), "{wrong:?}");
        }
        let disabled = Account { disabled: true, ..owner.clone() };
        assert_eq!(judge(&disabled, Some(&good), &lockout, NOW), Err(Reason::UserDisabled));
        let locked = Account { failures: lockout.limit, last_failure: NOW, ..owner.clone() };
        assert_eq!(judge(&locked, Some(&good), &lockout, NOW), Err(Reason::Locked));
        let waits = Account { failures: lockout.free, last_failure: NOW, ..owner.clone() };
        assert_eq!(judge(&waits, Some(&good), &lockout, NOW), Err(Reason::BackOff));
        let until = NOW + std::time::Duration::from_secs(1);
        let block = Some(Block { since: NOW, until, why: "left".into() });
        let blocked = account(Special { block, passkeys: vec![passkey(5, 0)], ..Special::default() });
        assert_eq!(judge(&blocked, Some(&good), &lockout, NOW), Err(Reason::UserBlocked));
    }

    #[test]
    fn a_passkey_that_was_shown_answers_its_own_question_while_its_owner_has_it() {
        let owner = account(Special { passkeys: vec![passkey(5, 0)], ..Special::default() });
        let (this, other) = (Reference([1; 16]), Reference([2; 16]));
        let shown = Assertion::by_signature(UserId(1), 5, Some(this));
        assert!(shown.answers(this, &owner));
        assert!(!shown.answers(other, &owner));
        assert!(
            !Assertion::by_signature(UserId(1), 5, None).answers(this, &owner),
            "made for a login at a page"
        );
        assert!(!shown.answers(this, &Account { id: UserId(2), ..owner }), "somebody else's");
        assert!(!shown.answers(this, &account(Special::default())), "taken back meanwhile");
    }
}
