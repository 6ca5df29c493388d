//! `radmfa user show`: all that is known of a user, and above all why somebody cannot log in, and since when.

use serde_json::{Value, json};

use super::past::Past;
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Listing, count, printable, say};
use crate::cli::session::open_ones;
use crate::cli::store::{Missing, clock, open, said};
use crate::config::asked::People;
use crate::config::flags::StoreFlags;
use crate::config::show_span;
use crate::engine::account::Account;
use crate::engine::lockout::{Standing, standing};
use crate::engine::policy::PinWanted;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::special::Special;
use crate::store::admin::{Admin, UserDetails};

/// Why a user cannot log in now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hindrance {
    Disabled { since: Option<UnixTime> },
    Blocked { since: UnixTime, until: UnixTime, why: String },
    Locked { since: UnixTime, failures: u32 },
    Waits { since: UnixTime, until: UnixTime, failures: u32 },
    Withheld { since: UnixTime, until: UnixTime },
    NoToken { since: Option<UnixTime> },
    NoUsableToken { since: Option<UnixTime> },
    NoPin { since: Option<UnixTime>, places: Vec<String> },
    PinExpired { since: UnixTime, place: String },
}

pub(super) fn run(name: &UserName, format: Format, store: &StoreFlags) -> anyhow::Result<()> {
    let settings = said(store)?;
    let mut admin = open(store, Missing::Refuse)?;
    let user = admin.user(name).map_err(Failure::from)?;
    let of_late = admin.failures_of_late(name).map_err(Failure::from)?;
    let account = account(&mut *admin, name)?;
    let now = clock().unix();
    let past = Past::read(&mut *admin, &account, &settings.people, now)?;
    let hindrances = hindrances(&account, &settings.people, &past, now);
    let special = account.special.unwrap_or_default();
    if format == Format::Table {
        return table(&user, of_late, &special, &hindrances, now);
    }
    let mut listing = Listing::new(super::columns!(
        "wrong-codes-in-30-days",
        "recovery-codes-left",
        "pin-set",
        "open-bypasses",
        "cannot-log-in",
        "remembered",
    ));
    let cells = super::cells(&user).into_iter().chain([json!(of_late)]);
    let mut cells = cells.chain(more_cells(&special, &hindrances, now));
    listing.row(std::array::from_fn::<_, 21, _>(|_| cells.next().unwrap_or_default()));
    listing.print(format)
}

/// The user as a login finds it.
pub(crate) fn account(admin: &mut dyn Admin, name: &UserName) -> anyhow::Result<Account> {
    let query = UserQuery { user: name.clone(), seeds: false, look_alikes: false };
    match admin.account(&query) {
        UserAnswer::Found(account) => Ok(account),
        UserAnswer::Unknown { .. } => Err(Failure::failed(format!("there is no user {name}")).into()),
        UserAnswer::Unavailable => Err(Failure::failed("the store cannot be read").into()),
    }
}

/// Everything that keeps the user out at `now`, gravest first.
pub(crate) fn hindrances(account: &Account, people: &People, past: &Past, now: UnixTime) -> Vec<Hindrance> {
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
    if !account.can_be_asked(now) && !people.reaches(account) {
        let ended = account.tokens.iter().filter(|token| token.enabled).filter_map(|token| token.expires);
        let since = ended.chain(past.token_lost).max();
        let enrolled = account.is_enrolled();
        found.push(if enrolled { Hindrance::NoUsableToken { since } } else { Hindrance::NoToken { since } });
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
    pub(super) fn bars_a_bypass(&self) -> bool {
        matches!(
            self,
            Hindrance::Disabled { .. }
                | Hindrance::Blocked { .. }
                | Hindrance::Locked { .. }
                | Hindrance::Withheld { .. }
        )
    }

    pub(crate) fn code(&self) -> &'static str {
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
        }
    }

    pub(crate) fn since(&self) -> Option<UnixTime> {
        match self {
            Hindrance::Blocked { since, .. }
            | Hindrance::Locked { since, .. }
            | Hindrance::Waits { since, .. }
            | Hindrance::Withheld { since, .. }
            | Hindrance::PinExpired { since, .. } => Some(*since),
            Hindrance::Disabled { since }
            | Hindrance::NoToken { since }
            | Hindrance::NoUsableToken { since }
            | Hindrance::NoPin { since, .. } => *since,
        }
    }

    pub(crate) fn until(&self) -> Option<UnixTime> {
        match self {
            Hindrance::Blocked { until, .. }
            | Hindrance::Waits { until, .. }
            | Hindrance::Withheld { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// For people.
    pub(crate) fn sentence(&self) -> String {
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
                format!("owns no token{}: let in only where a client has unenrolled = allow", after(since))
            }
            Hindrance::NoUsableToken { since } => {
                format!(
                    "every token is disabled, has expired or is not good yet{}, and no recovery code is left",
                    after(since)
                )
            }
            Hindrance::NoPin { since, places } => {
                format!("has no PIN{}, which is wanted at {}", after(since), places.join(", "))
            }
            Hindrance::PinExpired { since, place } => {
                format!("the PIN is too old at {place} since {since}: radmfa user set --pin")
            }
        }
    }
}

/// What `user list` does not have.
fn more_cells(special: &Special, hindrances: &[Hindrance], now: UnixTime) -> [Value; 5] {
    let time = |time: Option<UnixTime>| json!(time.map(|time| time.to_string()));
    let hindrances = hindrances.iter().map(|hindrance| {
        json!({
            "why": hindrance.code(),
            "since": time(hindrance.since()),
            "until": time(hindrance.until()),
            "sentence": hindrance.sentence(),
        })
    });
    [
        json!(special.recovery_left()),
        time(special.pin.as_ref().map(|pin| pin.since)),
        json!(special.bypasses.iter().filter(|bypass| now < bypass.until).count()),
        Value::Array(hindrances.collect()),
        json!(open_ones(special, now).count()),
    ]
}

fn table(
    user: &UserDetails,
    of_late: u32,
    special: &Special,
    hindrances: &[Hindrance],
    now: UnixTime,
) -> anyhow::Result<()> {
    let fields = &user.fields;
    let line = |label: &str, text: &str| say(format!("  {label:<15} {text}"));
    say(&user.name)?;
    for (label, text) in [
        ("display name", &fields.display_name),
        ("first name", &fields.first_name),
        ("last name", &fields.last_name),
        ("mail", &fields.mail),
        ("phone", &fields.phone),
        ("extension", &fields.extension),
        ("language", &fields.language),
        ("method", &fields.method),
    ] {
        if let Some(text) = text {
            line(label, &printable(text))?;
        }
    }
    let groups: Vec<&str> = super::groups::names(fields).collect();
    if !groups.is_empty() {
        line("groups", &groups.join(", "))?;
    }
    line("local password", if fields.password_hash.is_some() { "yes" } else { "no" })?;
    if user.failures > 0 {
        line("wrong codes", &format!("{}, the last at {}", user.failures, user.last_failure))?;
    }
    if of_late > user.failures {
        line("in 30 days", &count(of_late as usize, "wrong code"))?;
    }
    line("created", &user.created.to_string())?;
    let tokens: Vec<String> = user.tokens.iter().map(|serial| printable(serial)).collect();
    line("tokens", &if tokens.is_empty() { "none".into() } else { tokens.join(", ") })?;
    if let Some(code) = special.recovery.first() {
        let (left, all) = (special.recovery_left(), special.recovery.len());
        line("recovery codes", &format!("{left} of {all} left, printed {}", code.since))?;
    }
    if let Some(pin) = &special.pin {
        line("pin", &format!("set {}", pin.since))?;
    }
    for device in special.active_devices() {
        let (name, channel) = (printable(&device.name), &device.channel);
        line("device", &format!("{name} by {channel} since {}", device.since))?;
    }
    for bypass in special.bypasses.iter().filter(|bypass| now < bypass.until) {
        let station = bypass.station.map(|net| format!(" from {net}")).unwrap_or_default();
        let left = show_span(std::time::Duration::from_secs(bypass.until.since(now).as_secs()));
        let why = printable(&bypass.why);
        line("bypass", &format!("at {}{station} for {left} yet: {why}", bypass.client))?;
    }
    for session in open_ones(special, now) {
        let (client, station) = (&session.client, printable(&session.station));
        let (factor, since, until) = (session.method.code(), session.since, session.until);
        line("remembered", &format!("{factor} at {client} from {station} since {since} until {until}"))?;
    }
    for hindrance in hindrances {
        line("cannot log in", &hindrance.sentence())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::base::name::Label;
    use crate::config::asked::Asked;
    use crate::engine::account::{Token, TokenId, UserId};
    use crate::engine::policy::{Lockout, LoginPolicy, Policy};
    use crate::engine::special::{Block, Pin};
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
