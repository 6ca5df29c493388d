//! Why somebody cannot log in, and since when: for the commands and the pages of admins.

use super::past::Past;
use super::people::{Asked, People};
use crate::base::name::UserName;
use crate::base::text::{count, printable};
use crate::base::time::UnixTime;
use crate::engine::account::Account;
use crate::engine::lockout::{Standing, standing};
use crate::engine::methods::lacks_passkey;
use crate::engine::policy::PinWanted;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::store::StoreFault;
use crate::store::admin::{Admin, AdminFault};

/// Why a user cannot log in now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// An admin disabled the user.
    Disabled {
        /// Since when, where the trail says so.
        since: Option<UnixTime>,
    },
    /// An admin, or the user's own report of fraud, blocked the user for a time.
    Blocked {
        /// Since when.
        since: UnixTime,
        /// Until when.
        until: UnixTime,
        /// Why, fit for a terminal.
        why: String,
    },
    /// So many codes were wrong that an admin has to unlock the user.
    Locked {
        /// Since when.
        since: UnixTime,
        /// Wrong codes in a row.
        failures: u32,
    },
    /// The user has to wait after wrong codes.
    Waits {
        /// When the last one was.
        since: UnixTime,
        /// Until when.
        until: UnixTime,
        /// Wrong codes in a row.
        failures: u32,
    },
    /// Passwords are held back from the directory.
    Withheld {
        /// Since when.
        since: UnixTime,
        /// Until when.
        until: UnixTime,
    },
    /// The user never had anything to be asked for.
    NoToken {
        /// Since when, where the trail says so.
        since: Option<UnixTime>,
    },
    /// Nothing of what the user has works.
    NoUsableToken {
        /// Since when, where it is known.
        since: Option<UnixTime>,
    },
    /// A PIN is wanted, and there is none.
    NoPin {
        /// Since when, where the trail says so.
        since: Option<UnixTime>,
        /// Where it is wanted.
        places: Vec<String>,
    },
    /// The PIN is older than it may be.
    PinExpired {
        /// Since when.
        since: UnixTime,
        /// Where.
        place: String,
    },
    /// Pushes are approved by passkey alone, and the user has none; nothing else would reach the user.
    NoPasskey {
        /// Where that is so.
        places: Vec<String>,
    },
    /// Pushes were ignored or denied too often, and nothing else would reach the user.
    PushPaused {
        /// Since when.
        since: UnixTime,
        /// Until when.
        until: UnixTime,
    },
    /// The telephone number was changed, and nothing else would reach the user.
    PhoneHeld {
        /// Until when.
        until: UnixTime,
    },
}

/// Why no push is sent.
pub const PAUSED: &str = "no push is sent, after three that were ignored or denied,";

/// The user as a login finds it.
pub fn account(admin: &mut dyn Admin, name: &UserName) -> Result<Account, AdminFault> {
    let query = UserQuery { user: name.clone(), seeds: false, look_alikes: false };
    match admin.account(&query) {
        UserAnswer::Found(account) => Ok(account),
        UserAnswer::Unknown { .. } => Err(AdminFault::Missing(format!("user {name}"))),
        UserAnswer::Unavailable => Err(AdminFault::Store(StoreFault {
            what: "the store cannot be read".to_owned(),
            hint: "its log says why".to_owned(),
        })),
    }
}

/// Everything that keeps the user out at `now`, gravest first.
pub fn hindrances(account: &Account, people: &People, past: &Past, now: UnixTime) -> Vec<Hindrance> {
    let mut found = Vec::new();
    if account.disabled {
        found.push(Hindrance::Disabled { since: past.disabled });
    }
    let special = account.special.as_deref();
    if let Some(block) = special.and_then(|special| special.blocked(now)) {
        let why = printable(&block.why);
        found.push(Hindrance::Blocked { since: block.since, until: block.until, why });
    }
    let (since, failures) = (account.last_failure, account.failures);
    match standing(&people.lockout, account.guesses(now), failures, since, now) {
        Standing::Free => {}
        Standing::Locked => found.push(Hindrance::Locked { since, failures }),
        Standing::Waits(until) => found.push(Hindrance::Waits { since, until, failures }),
    }
    if let Some((since, until)) = past.withheld {
        found.push(Hindrance::Withheld { since, until });
    }
    let held = special.and_then(|special| special.holds_phone(now));
    let reached = account.can_be_asked(now) || people.reaches(account, now);
    if !reached && let Some(until) = held {
        found.push(Hindrance::PhoneHeld { until });
    } else if !reached {
        let ended = account.tokens.iter().filter(|token| token.enabled).filter_map(|token| token.expires);
        let since = ended.chain(past.token_lost).max();
        let enrolled = account.is_enrolled();
        found.push(if enrolled { Hindrance::NoUsableToken { since } } else { Hindrance::NoToken { since } });
    }
    if reached && !account.can_be_asked(now) && !people.messages(account, now) {
        if let Some((since, until)) = past.paused {
            found.push(Hindrance::PushPaused { since, until });
        }
        let lacks = |asked: &&Asked| asked.concerns(account) && lacks_passkey(account, &asked.login);
        let places: Vec<String> =
            people.asked.iter().filter(lacks).map(|asked| printable(&asked.place())).collect();
        if account.passkeys().next().is_none() && !places.is_empty() {
            found.push(Hindrance::NoPasskey { places });
        }
    }
    let wanted = people.asked.iter().filter(|asked| asked.login.pin == PinWanted::WithCode);
    let mut wanted = wanted.filter(|asked| asked.concerns(account)).peekable();
    match special.and_then(|special| special.pin.as_ref()) {
        None if wanted.peek().is_some() => {
            let places = wanted.map(|asked| printable(&asked.place())).collect();
            found.push(Hindrance::NoPin { since: past.pin_removed, places });
        }
        None => {}
        Some(pin) => found.extend(wanted.filter_map(|asked| {
            let age = asked.login.pin_max_age.filter(|age| now.since(pin.since) > *age)?;
            Some(Hindrance::PinExpired { since: pin.since + age, place: printable(&asked.place()) })
        })),
    }
    found
}

impl Hindrance {
    /// Whether an open bypass does not help.
    pub fn bars_a_bypass(&self) -> bool {
        matches!(
            self,
            Hindrance::Disabled { .. }
                | Hindrance::Blocked { .. }
                | Hindrance::Locked { .. }
                | Hindrance::Withheld { .. }
        )
    }

    /// The word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Hindrance::Disabled { .. } => "disabled",
            Hindrance::Blocked { .. } => "blocked",
            Hindrance::Locked { .. } => "locked",
            Hindrance::Waits { .. } => "waits",
            Hindrance::Withheld { .. } => "password-withheld",
            Hindrance::NoToken { .. } => "no-token",
            Hindrance::NoUsableToken { .. } => "no-usable-token",
            Hindrance::NoPin { .. } => "no-pin",
            Hindrance::PinExpired { .. } => "pin-expired",
            Hindrance::NoPasskey { .. } => "no-passkey",
            Hindrance::PushPaused { .. } => "push-paused",
            Hindrance::PhoneHeld { .. } => "phone-held",
        }
    }

    /// Since when, where it is known.
    #[must_use]
    pub fn since(&self) -> Option<UnixTime> {
        match self {
            Hindrance::Blocked { since, .. }
            | Hindrance::Locked { since, .. }
            | Hindrance::Waits { since, .. }
            | Hindrance::Withheld { since, .. }
            | Hindrance::PushPaused { since, .. }
            | Hindrance::PinExpired { since, .. } => Some(*since),
            Hindrance::PhoneHeld { .. } | Hindrance::NoPasskey { .. } => None,
            Hindrance::Disabled { since }
            | Hindrance::NoToken { since }
            | Hindrance::NoUsableToken { since }
            | Hindrance::NoPin { since, .. } => *since,
        }
    }

    /// Until when, where it ends by itself.
    #[must_use]
    pub fn until(&self) -> Option<UnixTime> {
        match self {
            Hindrance::Blocked { until, .. }
            | Hindrance::Waits { until, .. }
            | Hindrance::Withheld { until, .. }
            | Hindrance::PushPaused { until, .. }
            | Hindrance::PhoneHeld { until } => Some(*until),
            _ => None,
        }
    }

    /// What there is to say beside the times: why, how many codes were wrong, where.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Hindrance::Blocked { why, .. } => Some(why.clone()),
            Hindrance::Locked { failures, .. } | Hindrance::Waits { failures, .. } => {
                Some(failures.to_string())
            }
            Hindrance::NoPin { places, .. } | Hindrance::NoPasskey { places } => Some(places.join(", ")),
            Hindrance::PinExpired { place, .. } => Some(place.clone()),
            _ => None,
        }
    }

    /// For people.
    pub fn sentence(&self) -> String {
        let after =
            |since: &Option<UnixTime>| since.map(|since| format!(" since {since}")).unwrap_or_default();
        match self {
            Hindrance::Disabled { since } => format!("disabled by an admin{}", after(since)),
            Hindrance::Blocked { since, until, why } => {
                format!("blocked since {since} until {until}: {why}")
            }
            Hindrance::Locked { since, failures } => {
                let wrong = count(*failures as usize, "wrong code");
                format!("locked since {since}, after {wrong} in a row: radmfa user unlock")
            }
            Hindrance::Waits { since, until, failures } => {
                let wrong = count(*failures as usize, "wrong code");
                format!("has to wait until {until}, after {wrong}, the last at {since}")
            }
            Hindrance::Withheld { since, until } => format!(
                "passwords are held back from the directory since {since} until {until}, after too many wrong ones: \
                 radmfa user unlock"
            ),
            Hindrance::NoToken { since } => {
                format!(
                    "owns nothing to be asked for{}: let in only where a client has unenrolled = allow, and led to the portal where it \
                     has enrol; radmfa user invite",
                    after(since)
                )
            }
            Hindrance::NoUsableToken { since } => {
                format!(
                    "every token is disabled, has expired, is not good yet or was taken away{}, and no recovery code is left: \
                     radmfa user invite",
                    after(since)
                )
            }
            Hindrance::NoPin { since, places } => {
                format!("has no PIN{}, which is wanted at {}", after(since), places.join(", "))
            }
            Hindrance::NoPasskey { places } => format!(
                "pushes are approved by passkey alone at {}, and the user has none: radmfa user invite",
                places.join(", ")
            ),
            Hindrance::PushPaused { since, until } => {
                format!("{PAUSED} since {since} until {until}")
            }
            Hindrance::PhoneHeld { until } => {
                format!("the telephone number was changed: codes go to the new one from {until} on")
            }
            Hindrance::PinExpired { since, place } => {
                format!("the PIN is too old at {place} since {since}: radmfa user set --pin")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::base::name::Label;
    use crate::engine::account::{Token, TokenId, UserId};
    use crate::engine::policy::{Lockout, LoginPolicy, Policy, Require};
    use crate::engine::special::{Block, Pin, Special};
    use crate::factor::keyed::KeyedHash;
    use crate::factor::oath::Parameters;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn account() -> Account {
        let token = Token {
            id: TokenId(1),
            serial: "T-1".into(),
            enabled: true,
            parameters: Parameters::default(),
            last_step: None,
            drift: None,
            expires: None,
            starts: None,
            seed: None,
        };
        Account {
            id: UserId(1),
            name: UserName::canonical(b"alice").unwrap(),
            disabled: false,
            password_hash: None,
            failures: 0,
            last_failure: UnixTime(0),
            tokens: vec![token],
            groups: None,
            contact: None,
            special: None,
            keys: None,
            resembles_another: false,
            clock_suspect: false,
        }
    }

    fn codes(account: &Account, pins: Vec<(&str, Option<Duration>)>) -> Vec<&'static str> {
        let asked = pins.into_iter().map(|(client, pin_max_age)| {
            let client = Label::new(client).unwrap();
            let login = Policy::resolve(client.clone(), Lockout::default(), &[]).login;
            let login = LoginPolicy { pin: PinWanted::WithCode, pin_max_age, ..login };
            Asked { client, rule: None, login }
        });
        let people = People { asked: asked.collect(), ..People::default() };
        hindrances(account, &people, &Past::default(), NOW).iter().map(Hindrance::code).collect()
    }

    #[test]
    fn whoever_may_log_in_is_hindered_by_nothing() {
        assert!(codes(&account(), Vec::new()).is_empty());
        let over = Block { since: UnixTime(0), until: NOW, why: "".into() };
        let special = Some(Arc::new(Special { block: Some(over), ..Special::default() }));
        assert!(codes(&Account { special, ..account() }, Vec::new()).is_empty());
    }

    #[test]
    fn everything_that_keeps_a_user_out_is_said() {
        let block = Block { since: UnixTime(0), until: NOW + Duration::from_secs(1), why: "left".into() };
        let special = Some(Arc::new(Special { block: Some(block), ..Special::default() }));
        let (disabled, tokens) = (true, Vec::new());
        let (failures, last_failure) = (50, NOW);
        let out = Account { disabled, failures, last_failure, tokens, special, ..account() };
        assert_eq!(codes(&out, Vec::new()), ["disabled", "blocked", "locked", "no-token"]);
        let off = vec![Token { enabled: false, ..account().tokens.remove(0) }];
        let waits = Account { failures: 5, last_failure: NOW, tokens: off, ..account() };
        assert_eq!(codes(&waits, Vec::new()), ["waits", "no-usable-token"]);
    }

    #[test]
    fn whoever_is_reached_by_pushes_alone_needs_the_passkey_that_approves_them() {
        let device = crate::engine::special::Device {
            id: 7,
            name: "phone".into(),
            channel: Label::new("web").unwrap(),
            address: "a".into(),
            key: None,
            passkey: false,
            since: NOW,
            revoked: None,
        };
        let said = |passkey, tokens: Vec<Token>, require| {
            let devices = vec![crate::engine::special::Device { passkey, ..device.clone() }];
            let special = Some(Arc::new(Special { devices, ..Special::default() }));
            let owner = Account { tokens, special, ..account() };
            let client = Label::new("vpn").unwrap();
            let login = Policy::resolve(client.clone(), Lockout::default(), &[]).login;
            let asked = vec![Asked { client, rule: None, login: LoginPolicy { require, ..login } }];
            let people = People { asked, ..People::default() };
            let found = hindrances(&owner, &people, &Past::default(), NOW);
            found.iter().map(Hindrance::code).collect::<Vec<_>>()
        };
        assert!(said(false, Vec::new(), Require::Nothing).is_empty());
        assert_eq!(said(false, Vec::new(), Require::Passkey), ["no-passkey"]);
        assert_eq!(said(true, Vec::new(), Require::Nothing), ["no-passkey"]);
        assert!(said(true, account().tokens, Require::Passkey).is_empty(), "a code works");
    }

    #[test]
    fn a_pin_is_too_old_where_a_client_says_so() {
        let day = Duration::from_hours(24);
        let pins = || vec![("vpn", Some(day)), ("wifi", None)];
        assert_eq!(codes(&account(), pins()), ["no-pin"]);
        let at = |since| {
            let pin = Some(Pin { hash: KeyedHash([0; 32]), since });
            Account { special: Some(Arc::new(Special { pin, ..Special::default() })), ..account() }
        };
        assert!(codes(&at(NOW - day), pins()).is_empty());
        assert_eq!(codes(&at(NOW - 2 * day), pins()), ["pin-expired"]);
    }
}
