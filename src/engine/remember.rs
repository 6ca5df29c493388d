//! Remembered factors: whose second factor was right is not asked for it again for a time, at the same client and station.
//!
//! A [`Session`] begins with the row of a login whose second factor was right, and with no other: a bypass and an exempt
//! login begin none, and a login that a session lets in makes none longer. It is bound to its user, whose it is in the
//! store, to the client, and to Calling-Station-Id; where a request has none, or proves nothing about it, nothing is
//! remembered. The password is checked as ever, and before this, so are blocks and a user's being disabled.
//!
//! Invariants: a session helps only as long as its user could be asked for the same factor, with all that the policy of the
//! moment wants beside it (a PIN, a passkey), and that policy still remembers; the row that lets somebody in stands only if the session was not ended by then; a user who is locked has
//! had somebody guess at codes with the password, so a lock holds.

use std::sync::Arc;
use std::time::Duration;

use super::account::{Account, TokenId};
use super::await_commit::{AwaitCommit, Then};
use super::delivery::Kind;
use super::lockout::{self, Standing};
use super::login::Facts;
use super::methods::{Factor, Offer, wants_passkey};
use super::policy::{LoginPolicy, PinWanted, Policy, Waiver};
use super::proof::{PrimaryPassed, SecondFactor};
use super::reason::Reason;
use super::record::{Guard, LoginId, Method, Record, Row, Verdict};
use super::special::Special;
use super::step::{Env, Step};
use crate::base::name::Label;
use crate::base::time::UnixTime;
use crate::wire::{AttributeList, Integrity};

/// The most sessions of one user; the oldest goes first.
pub const SESSIONS_MAX: usize = 32;
/// The longest station that is remembered, in octets; real ones are addresses of some kind.
pub const STATION_MAX: usize = 128;

/// The clocks of servers that share a store may be so far apart.
const SKEW: Duration = Duration::from_mins(2);

/// A second factor that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The login whose second factor was right; what the session goes by.
    pub id: LoginId,
    /// At this client alone.
    pub client: Label,
    /// From this station alone: Calling-Station-Id, escaped for print.
    pub station: Arc<str>,
    /// Since when.
    pub since: UnixTime,
    /// Until this moment, exclusively.
    pub until: UnixTime,
    /// The factor that was right.
    pub method: Method,
    /// The token that it was a code of, where it was one.
    pub token: Option<TokenId>,
    /// Whether the PIN was right beside it. One from before this was kept has none.
    pub pin: bool,
    /// Whether it was approved with a passkey. One from before this was kept was not.
    pub passkey: bool,
}

/// A second factor that was right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Right {
    pub(super) method: Method,
    pub(super) token: Option<TokenId>,
    pub(super) pin: bool,
    pub(super) passkey: bool,
}

impl Right {
    /// A code that was typed under `policy`, of `token` if it was a token's.
    pub(super) fn typed(method: Method, token: Option<TokenId>, policy: &LoginPolicy) -> Right {
        Right { method, token, pin: policy.pin == PinWanted::WithCode, passkey: false }
    }
}

/// A login by where it comes from, as far as sessions are bound to that.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The client.
    pub client: &'a Label,
    /// Calling-Station-Id, escaped for print.
    pub station: Option<&'a str>,
    /// What the request proved.
    pub integrity: Integrity,
    /// When.
    pub now: UnixTime,
}

impl Session {
    /// Whether it is open at `now`. A clock that was set back to well before its beginning opens none.
    #[must_use]
    pub fn is_open(&self, now: UnixTime) -> bool {
        self.since <= now + SKEW && now < self.until
    }

    /// Whether it is for `visit`.
    #[must_use]
    pub fn covers(&self, visit: &Visit<'_>) -> bool {
        self.is_open(visit.now) && self.client == *visit.client && visit.station == Some(&*self.station)
    }

    fn is_beside(&self, other: &Session) -> bool {
        self.client == other.client && self.station == other.station
    }

    /// What the row that it begins with says of it.
    pub(super) fn note(&self) -> Arc<str> {
        format!("remembered until {}", self.until).into()
    }
}

impl Special {
    /// Keeps `session`, in the place of an earlier one at its client and station; those whose time is over are forgotten.
    pub fn remember(&mut self, session: &Session) {
        let now = session.since;
        self.sessions.retain(|other| now < other.until && !other.is_beside(session));
        let excess = (self.sessions.len() + 1).saturating_sub(SESSIONS_MAX);
        self.sessions.drain(..excess);
        self.sessions.push(session.clone());
    }

    /// Whether the session that began with `login` was not ended.
    #[must_use]
    pub fn remembers(&self, login: LoginId) -> bool {
        self.sessions.iter().any(|session| session.id == login)
    }
}

/// The session that begins with a login whose second factor was right.
pub(super) fn begin(facts: &Facts, right: Right, env: &Env<'_>) -> Option<Arc<Session>> {
    let lasts = facts.policy.login.remember;
    // Where the gateway alone knows the password, a name would be enough later on.
    let useless = !facts.policy.admission.may_waive();
    if lasts.is_zero() || useless || facts.integrity != Integrity::Signed {
        return None;
    }
    let station = facts.station.as_ref().filter(|station| (1..=STATION_MAX).contains(&station.len()))?;
    Some(Arc::new(Session {
        id: facts.id,
        client: facts.client.clone(),
        station: Arc::clone(station),
        since: env.unix,
        until: env.unix + lasts,
        method: right.method,
        token: right.token,
        pin: right.pin,
        passkey: right.passkey,
    }))
}

/// The waiver that a session gives this login, and which session; `offers` is what the user could be asked for.
pub(super) fn open<'a>(
    account: &'a Account,
    facts: &Facts,
    offers: &[Offer],
    env: &Env<'_>,
) -> Option<(Waiver, &'a Session)> {
    let policy = &facts.policy;
    if policy.login.remember.is_zero() {
        return None;
    }
    let special = account.special.as_ref()?;
    let visit = Visit {
        client: &facts.client,
        station: facts.station.as_deref(),
        integrity: facts.integrity,
        now: env.unix,
    };
    let found = special.sessions.iter().find_map(|session| {
        let usable = |id| account.tokens.iter().any(|token| token.id == id && token.is_usable(env.unix));
        // What was enough then need not be by now.
        let enough = |offer: &Offer| is_enough(session, offer, &facts.policy);
        let owned = session.token.is_none_or(usable) && offers.iter().any(enough);
        Some((Waiver::by_session(session, &policy.login, &visit)?, session)).filter(|_| owned)
    })?;
    let (failures, last) = (account.failures, account.last_failure);
    match lockout::standing(&policy.lockout, account.guesses(env.unix), failures, last, env.unix) {
        Standing::Locked => None,
        Standing::Free | Standing::Waits(_) => Some(found),
    }
}

/// Whether what began `session` would be taken for `offer` as well.
fn is_enough(session: &Session, offer: &Offer, policy: &Policy) -> bool {
    let pin = match offer.factor {
        Factor::Sent(kind) if policy.sending.as_ref().is_some_and(|sending| sending.asks(kind).is_some()) => {
            let asking = policy.sending.as_ref().and_then(|sending| sending.asking.as_ref());
            asking.is_some_and(|asking| asking.wants_pin(kind))
        }
        Factor::Token | Factor::Sent(_) => policy.login.pin == PinWanted::WithCode,
    };
    let passkey = offer.device.as_ref().is_some_and(|device| wants_passkey(device, &policy.login));
    factor(session.method) == Some(offer.factor) && (session.pin || !pin) && (session.passkey || !passkey)
}

/// The factor that policies know a method by.
pub(super) fn factor(method: Method) -> Option<Factor> {
    match method {
        Method::Totp | Method::Hotp | Method::Recovery => Some(Factor::Token),
        Method::Sms => Some(Factor::Sent(Kind::Sms)),
        Method::Voice => Some(Factor::Sent(Kind::Voice)),
        Method::Email => Some(Factor::Sent(Kind::Email)),
        Method::Push => Some(Factor::Sent(Kind::Push)),
        Method::None
        | Method::Waived
        | Method::Bypass
        | Method::Remembered
        | Method::Armed
        | Method::Passkey => None,
    }
}

/// Commits a login that a session lets in: the session is still there with the row, or the login is not accepted.
pub(super) fn let_in(
    facts: Box<Facts>,
    account: &Account,
    (waiver, session): (Waiver, &Session),
    password: PrimaryPassed,
    held: AttributeList,
    env: &mut Env<'_>,
) -> Step {
    let [active, unlocked] = lockout::guards(&facts.policy.lockout, account, env.unix);
    let guards = vec![active, unlocked, Guard::Remembered(session.id)];
    let device = session.token.and_then(|id| account.tokens.iter().find(|token| token.id == id));
    let row = Arc::new(Row {
        user_id: Some(account.id),
        contact: account.contact.clone(),
        method: Method::Remembered,
        device: device.map(|token| Arc::clone(&token.serial)),
        note: Some(session.id.to_string().into()),
        ..facts.row(Verdict::Accepted, Reason::Remembered, env)
    });
    let then = Then::Accept { facts, password, factor: SecondFactor::Waived(waiver), held };
    Step::Commit(Record { guards, row: Arc::clone(&row) }, AwaitCommit { row, then })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::policy::Lockout;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_hours(hours)
    }

    fn session(id: u64, station: &str) -> Session {
        Session {
            id: LoginId::from_number(id),
            client: label("vpn"),
            station: station.into(),
            since: NOW,
            until: NOW + hours(8),
            method: Method::Totp,
            token: Some(TokenId(1)),
            pin: false,
            passkey: false,
        }
    }

    fn policy(remember: u64) -> LoginPolicy {
        let policy = Policy::resolve(label("up"), Lockout::default(), &[]).login;
        LoginPolicy { remember: hours(remember), ..policy }
    }

    #[test]
    fn a_session_is_for_its_client_its_station_its_time_and_signed_requests() {
        let (vpn, wifi) = (label("vpn"), label("wifi"));
        let visit = Visit {
            client: &vpn,
            station: Some("10.0.0.7"),
            integrity: Integrity::Signed,
            now: NOW + hours(7),
        };
        let waived = |visit: &Visit<'_>, hours| {
            Waiver::by_session(&session(1, "10.0.0.7"), &policy(hours), visit).is_some()
        };
        assert!(waived(&visit, 8) && waived(&visit, 24));
        assert!(waived(&Visit { now: NOW - SKEW, ..visit }, 8), "another server's clock");
        for other in [
            Visit { client: &wifi, ..visit },
            Visit { station: Some("10.0.0.70"), ..visit },
            Visit { station: None, ..visit },
            Visit { integrity: Integrity::Unsigned, ..visit },
            Visit { now: NOW + hours(8), ..visit },
            Visit { now: NOW - hours(1), ..visit },
            Visit { now: NOW - SKEW - Duration::from_millis(1), ..visit },
        ] {
            assert!(!waived(&other, 8), "{other:?}");
        }
        assert!(!waived(&visit, 0), "the policy remembers nothing any more");
        assert!(!waived(&visit, 7), "nor for so long");
    }

    #[test]
    fn a_user_has_one_session_for_a_station_and_no_more_than_the_most() {
        let mut special = Special::default();
        special.remember(&session(0, "desk"));
        special.remember(&session(1, "desk"));
        assert!(special.remembers(LoginId::from_number(1)) && !special.remembers(LoginId::from_number(0)));
        for id in 2..60 {
            special.remember(&session(id, &format!("10.0.0.{id}")));
        }
        assert_eq!(special.sessions.len(), SESSIONS_MAX);
        assert!(special.remembers(LoginId::from_number(59)) && !special.remembers(LoginId::from_number(1)));
        let later = Session { since: NOW + hours(8), until: NOW + hours(16), ..session(99, "desk") };
        special.remember(&later);
        assert_eq!(special.sessions, [later], "the others' time is over");
    }
}
