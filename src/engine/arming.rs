//! Arm first (`arm`): whoever made sure of the user has armed a login (`radmfa user arm`); the next one at that client is let in,
//! once, within a minute or two. Whoever is not armed is asked for nothing that is sent, so nobody can be worn out.
//!
//! What the gateway or the password server checked is checked by now. The lock and the wait after wrong codes hold as for anything else that
//! is typed. Invariant: what a user has armed counts only where the policy of the moment would take the factor that it was armed with, and,
//! where that wants to know (`arm-station`), at the address that it was armed from.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::account::Account;
use super::await_commit::{AwaitCommit, Then};
use super::delivery::Kind;
use super::lockout::{self, Standing};
use super::login::{Facts, refuse};
use super::methods::Factor;
use super::policy::{ArmStation, LoginPolicy, PinWanted, Require};
use super::proof::{FactorPassed, PrimaryPassed, SecondFactor};
use super::reason::Reason;
use super::record::{Consumed, Guard, Method, Record, Row, Tally, Verdict};
use super::remember;
use super::rule::station_address;
use super::step::{Env, Step};
use crate::wire::{AttributeList, Integrity};

/// Who armed a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmedBy {
    /// The help desk, sure of the user.
    Desk,
    /// The user.
    User {
        /// With which factor; [`Method::None`] where that was not kept, which no policy takes.
        method: Method,
        /// From which address.
        from: Option<IpAddr>,
    },
}

impl ArmedBy {
    /// Whether `policy` lets in on it: what it would not take from the user at this client is no second factor there. A passkey
    /// always is one. Whether a PIN was typed is not kept, so where one is wanted nothing else is taken.
    #[must_use]
    pub fn is_taken(&self, policy: &LoginPolicy) -> bool {
        let ArmedBy::User { method, .. } = *self else { return true };
        if method == Method::Passkey {
            return true;
        }
        if policy.pin == PinWanted::WithCode {
            return false;
        }
        let Some(factor) = remember::factor(method) else { return false };
        let passkey = factor == Factor::Sent(Kind::Push) && policy.require == Require::Passkey;
        policy.methods.contains(&factor) && !passkey
    }

    /// Whether the login comes from where `policy` wants it to. What an unsigned request says of its station proves nothing.
    fn is_there(&self, policy: &LoginPolicy, station: Option<&str>, integrity: Integrity) -> bool {
        match (self, policy.arm_station) {
            (ArmedBy::Desk, _) | (_, ArmStation::Any) => true,
            (ArmedBy::User { from, .. }, ArmStation::Same) => {
                let station = station.and_then(|station| station_address(station.as_bytes()));
                integrity == Integrity::Signed
                    && station.zip(*from).is_some_and(|(one, other)| subscriber(one) == subscriber(other))
            }
        }
    }
}

/// What stays the same of an address while its user does: of IPv6 the network, since a browser and a VPN client pick theirs anew.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

/// What was armed for this client, if anything that counts.
pub(super) fn open(account: &Account, facts: &Facts, env: &Env<'_>) -> Option<Consumed> {
    let special = account.special.as_ref()?;
    let (policy, station) = (&facts.policy.login, facts.station.as_deref());
    let armed = special.armed.iter().find(|armed| {
        armed.client == facts.client
            && env.unix < armed.until
            && armed.by.is_taken(policy)
            && armed.by.is_there(policy, station, facts.integrity)
    })?;
    Some(Consumed::Arming(armed.id))
}

/// Commits the use of it: it is used up with the row, or the login is not accepted.
pub(super) fn let_in(
    facts: Box<Facts>,
    account: &Account,
    thing: Consumed,
    password: PrimaryPassed,
    held: AttributeList,
    env: &mut Env<'_>,
) -> Step {
    let policy = &facts.policy.lockout;
    let standing = lockout::standing(
        policy,
        account.guesses(env.unix),
        account.failures,
        account.last_failure,
        env.unix,
    );
    match standing {
        Standing::Free => {}
        Standing::Waits(_) => return refuse(&facts, Reason::BackOff, env),
        Standing::Locked => return refuse(&facts, Reason::Locked, env),
    }
    let [active, unlocked] = lockout::guards(policy, account, env.unix);
    let guards = vec![active, unlocked, Guard::Unconsumed(thing)];
    let row = Arc::new(Row {
        user_id: Some(account.id),
        contact: account.contact.clone(),
        method: Method::Armed,
        consumed: Some(thing),
        tally: Tally::Keep,
        ..facts.row(Verdict::Accepted, Reason::ArmedUsed, env)
    });
    let factor = SecondFactor::Passed(FactorPassed::by_arming());
    let then = Then::Accept { facts, password, factor, held };
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::Label;
    use crate::engine::policy::{Lockout, Policy};

    fn policy(methods: &[Factor], require: Require) -> LoginPolicy {
        let policy = Policy::resolve(Label::new("up").unwrap(), Lockout::default(), &[]).login;
        LoginPolicy { methods: methods.into(), require, ..policy }
    }

    #[test]
    fn what_a_user_has_armed_with_counts_where_the_policy_would_take_it() {
        let by = |method| ArmedBy::User { method, from: None };
        let push = Factor::Sent(Kind::Push);
        let (codes, pushes) = (&[Factor::Token][..], &[push][..]);
        let (any, passkey) = (Require::Nothing, Require::Passkey);
        for (method, methods, require, taken) in [
            (Method::Totp, codes, any, true),
            (Method::Recovery, codes, any, true),
            (Method::Totp, codes, passkey, true),
            (Method::Totp, pushes, any, false),
            (Method::Sms, codes, any, false),
            (Method::Push, pushes, any, true),
            (Method::Push, pushes, passkey, false),
            (Method::Passkey, pushes, passkey, true),
            (Method::Passkey, codes, any, true),
            (Method::None, codes, any, false),
        ] {
            assert_eq!(
                by(method).is_taken(&policy(methods, require)),
                taken,
                "{method:?} {methods:?} {require:?}"
            );
        }
        assert!(ArmedBy::Desk.is_taken(&policy(pushes, passkey)));
    }

    #[test]
    fn where_the_station_counts_it_is_the_address_that_armed_and_signed() {
        let here = |from: &str| ArmedBy::User { method: Method::Totp, from: from.parse().ok() };
        let anywhere = policy(&[Factor::Token], Require::Nothing);
        let same = LoginPolicy { arm_station: ArmStation::Same, ..anywhere.clone() };
        let signed = Integrity::Signed;
        for (from, station, there) in [
            ("198.51.100.7", Some("198.51.100.7"), true),
            ("::ffff:198.51.100.7", Some(" 198.51.100.7"), true),
            ("198.51.100.7", Some("198.51.100.8"), false),
            ("2001:db8:1:2::5", Some("2001:db8:1:2::6"), true),
            ("2001:db8:1:2::5", Some("2001:db8:1:3::5"), false),
            ("2001:db8:1:2::5", Some("198.51.100.7"), false),
            ("198.51.100.7", Some("UserAuthType:PW"), false),
            ("198.51.100.7", None, false),
            ("", Some("198.51.100.7"), false),
            ("", None, false),
        ] {
            assert_eq!(here(from).is_there(&same, station, signed), there, "{from} {station:?}");
            assert!(here(from).is_there(&anywhere, station, Integrity::Unsigned));
        }
        let own = Some("198.51.100.7");
        assert!(!here("198.51.100.7").is_there(&same, own, Integrity::Unsigned));
        assert!(ArmedBy::Desk.is_there(&same, None, Integrity::Unsigned));
    }
}
