//! What an answer comes to, beside what was asked.

use super::super::account::Account;
use super::super::step::Answer;
use super::{Asked, Expects};
use crate::base::secret::{Secret, same};

/// What an answer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Right,
    Denied,
    Fraud,
    OtherNumber,
    WrongCode,
    WrongPin,
    NoPasskey,
}

impl Asked {
    pub(super) fn find(&self, answer: &Answer, account: &Account) -> Finding {
        match (answer, &self.expects) {
            (Answer::Fraud, _) => Finding::Fraud,
            (Answer::Approved(_), _) if self.passkey => Finding::NoPasskey,
            (Answer::Asserted(_, shown), _) if !shown.answers(self.reference, account) => Finding::NoPasskey,
            (Answer::Approved(_) | Answer::Asserted(..), Expects::Approval) => Finding::Right,
            (Answer::Approved(number) | Answer::Asserted(number, _), Expects::Number { shown, .. }) => {
                if *number == Some(u32::from(*shown)) {
                    Finding::Right
                } else {
                    Finding::OtherNumber
                }
            }
            (Answer::Typed(text), Expects::Code { code, pin }) => code_back(text, code, *pin, account),
            (Answer::Typed(keys), Expects::Key { pin, fraud }) => key(keys, *pin, *fraud, account),
            // Or a contract that was not kept: nobody has said yes.
            (Answer::Denied, _)
            | (Answer::Approved(_) | Answer::Asserted(..), Expects::Code { .. } | Expects::Key { .. })
            | (Answer::Typed(_), Expects::Approval | Expects::Number { .. }) => Finding::Denied,
        }
    }
}

/// What was sent back: the code, spaces aside, and the PIN behind it where it is wanted. Both are compared, whichever is
/// wrong.
fn code_back(text: &Secret, code: &Secret, pin: bool, account: &Account) -> Finding {
    let digits: Vec<u8> =
        text.expose().iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    let digits = Secret::new(digits);
    let (head, tail) = digits.expose().split_at_checked(code.len()).unwrap_or((digits.expose(), &[]));
    let right = same(head, code.expose());
    let pin_right = if pin { is_pin(tail, account) } else { tail.is_empty() };
    match (right, pin_right) {
        (true, true) => Finding::Right,
        (true, false) if pin => Finding::WrongPin,
        _ => Finding::WrongCode,
    }
}

/// What was keyed in: the digit that reports fraud, alone, or the PIN where it is wanted; a `#` at the end is no part of it.
fn key(keys: &Secret, pin: bool, fraud: Option<u8>, account: &Account) -> Finding {
    let keys = keys.expose().trim_ascii();
    let plain = keys.strip_suffix(b"#").unwrap_or(keys);
    if let (Some(fraud), [digit]) = (fraud, plain)
        && *digit == b'0' + fraud
    {
        return Finding::Fraud;
    }
    if pin {
        return if is_pin(plain, account) { Finding::Right } else { Finding::WrongPin };
    }
    if keys == b"#" { Finding::Right } else { Finding::WrongCode }
}

fn is_pin(typed: &[u8], account: &Account) -> bool {
    let known = account.special.as_ref().and_then(|special| special.pin.as_ref());
    match (known, &account.keys) {
        (Some(known), Some(keys)) => keys.is_pin(&known.hash, account.id.0, typed),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::UserName;
    use crate::base::time::UnixTime;

    #[test]
    fn the_digit_that_reports_fraud_is_none_where_it_is_off_or_part_of_more() {
        use crate::engine::account::{Account, UserId};
        let account = Account {
            id: UserId(1),
            name: UserName::canonical(b"u1").unwrap(),
            disabled: false,
            password_hash: None,
            contact: None,
            failures: 0,
            last_failure: UnixTime(0),
            tokens: Vec::new(),
            groups: None,
            special: None,
            keys: None,
            resembles_another: false,
            clock_suspect: false,
        };
        let said = |keys: &str, fraud| key(&Secret::from(keys), false, fraud, &account);
        assert_eq!(said("#", Some(0)), Finding::Right);
        assert_eq!(said(" # ", Some(0)), Finding::Right);
        assert_eq!(said("0", Some(0)), Finding::Fraud);
        assert_eq!(said("0#", Some(0)), Finding::Fraud);
        assert_eq!(said("0#", Some(9)), Finding::WrongCode);
        assert_eq!(said("0", None), Finding::WrongCode);
        for other in ["", "1", "00", "0 #", "*", "##"] {
            assert_eq!(said(other, Some(0)), Finding::WrongCode, "{other}");
        }
        let back = |text: &str| code_back(&Secret::from(text), &Secret::from("123456"), false, &account);
        assert_eq!(back(" 123 456\n"), Finding::Right);
        for other in ["", "12345", "1234567", "123457"] {
            assert_eq!(back(other), Finding::WrongCode, "{other}");
        }
        let pinned = |text: &str| code_back(&Secret::from(text), &Secret::from("123456"), true, &account);
        assert_eq!(pinned("1234562580"), Finding::WrongPin, "a user without a PIN has no right one");
    }
}
