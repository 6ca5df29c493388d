//! What is made durable before a verdict leaves: one conditional append.
//!
//! The appended [`Row`] *is* the spent step, the counted failure and the audit trail; the [`Guard`]s say under which
//! conditions it may be appended. A guard that fails refuses its own record, never its neighbours in a transaction.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::account::{Contact, Token, TokenId, UserId};
use super::delivery::Kind;
use super::policy::SendLimits;
use super::reason::Reason;
use super::remember::Session;
use crate::base::crockford::ALPHABET;
use crate::base::name::{Label, UserName};
use crate::base::time::UnixTime;
use crate::factor::oath::{Drift, Moving};

/// One conditional append.
#[derive(Clone, Debug)]
pub struct Record {
    /// All of them must hold at the moment of the append.
    pub guards: Vec<Guard>,
    /// What is appended.
    pub row: Arc<Row>,
}

/// A condition on an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The token is there, enabled, belongs to the row's user, and `step` lies after its last accepted one.
    StepUnspent {
        /// Which token.
        token: TokenId,
        /// The time step or counter that this row spends.
        step: u64,
    },
    /// Fewer failures than `limit` stand against the user.
    FailuresBelow {
        /// Which user.
        user: UserId,
        /// The first count that is too many.
        limit: u32,
    },
    /// One more message may be sent to the user by now.
    MaySend {
        /// Which user.
        user: UserId,
        /// By which way.
        kind: Kind,
        /// How many there may be.
        limits: SendLimits,
    },
    /// The user is there, not disabled, and not blocked at the time of the row.
    UserActive {
        /// Which user.
        user: UserId,
    },
    /// What works once is the user's, and was not used.
    Unconsumed(Consumed),
    /// The session that began with this login is the user's, and was not ended.
    Remembered(LoginId),
}

/// Something beside a token's steps that works once, and which one: the store's own number, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consumed {
    /// A recovery code.
    Recovery(i64),
    /// A one-time bypass.
    Bypass(i64),
    /// A login that its user has armed.
    Arming(i64),
}

/// The guard that did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The step was spent meanwhile: the same code raced, or came before.
    StepSpent,
    /// The token was removed, disabled or given to somebody else meanwhile.
    TokenGone,
    /// Failures reached the limit meanwhile.
    TooManyFailures,
    /// The user was removed or disabled meanwhile.
    UserInactive,
    /// So many messages were sent, to the user or in all, that there may not be another yet.
    SentTooOften,
    /// The user was blocked meanwhile.
    UserBlocked,
    /// What works once was used or taken back meanwhile.
    Consumed,
    /// The session was ended meanwhile.
    SessionEnded,
    /// Another login of the user waits for an answer from the phone. The driver's word: no store judges it.
    LoginPending,
    /// So many pushes were ignored or denied of late that the user is not asked for a while. The driver's word.
    PushPaused,
}

/// The answer to an append.
#[derive(Debug)]
pub enum CommitAnswer {
    /// Appended and durable.
    Done(Recorded),
    /// A guard did not hold; nothing was appended.
    Refused(Conflict),
    /// Of a flood of refusals that count against nobody: one row stands for all of them when its minute is over.
    Counted,
    /// The store cannot say: full, away, or too slow. Nothing may be accepted on it.
    Unavailable,
}

/// Proof that a row is durable. Only a store's commit makes one (`tests/layering.rs` holds that).
#[derive(Debug)]
pub struct Recorded {
    sequence: u64,
    failures: u32,
    low: bool,
}

impl Recorded {
    /// For `store` alone: the row stands in the chain under `sequence` and would survive a power cut.
    pub(crate) fn certify(sequence: u64) -> Recorded {
        Recorded { sequence, failures: 0, low: false }
    }

    /// For `store` alone: with what [`Recorded::failures`] says.
    pub(crate) fn counted(self, failures: u32) -> Recorded {
        Recorded { failures, ..self }
    }

    /// For `store` alone: with what [`Recorded::is_budget_low`] says.
    pub(crate) fn sent(self, low: bool) -> Recorded {
        Recorded { low, ..self }
    }

    /// Whether the row sends one of the last fifth of the messages that may be sent to all within a day.
    pub fn is_budget_low(&self) -> bool {
        self.low
    }

    /// Failures against the row's user in the thirty days up to it, successes between or not; 0 where the row is none.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The row's place in its chain, from 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// The number that a login goes by in the log, the audit trail and the reference shown to a refused user:
/// 50 random bits, printed as ten characters of Crockford's Base32, `K7Q2M-X9TR4`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginId(u64);

impl LoginId {
    /// The login whose first round is named by `octets`: their first 50 bits.
    #[must_use]
    pub fn from_round(octets: [u8; 16]) -> LoginId {
        LoginId(
            u64::from_be_bytes([
                octets[0], octets[1], octets[2], octets[3], octets[4], octets[5], octets[6], octets[7],
            ]) >> 14,
        )
    }

    /// As a number below 2⁵⁰, for storage.
    pub fn number(self) -> u64 {
        self.0
    }

    /// Back from storage; bits beyond the fiftieth are dropped.
    #[must_use]
    pub fn from_number(number: u64) -> LoginId {
        LoginId(number & ((1 << 50) - 1))
    }

    /// Back from what [`fmt::Display`] printed, in either case, with or without the hyphen.
    #[must_use]
    pub fn parse(text: &str) -> Option<LoginId> {
        let mut number = 0_u64;
        let mut digits = 0;
        for letter in text.bytes().filter(|letter| *letter != b'-') {
            let value = ALPHABET.iter().position(|known| *known == letter.to_ascii_uppercase())?;
            number = (number << 5) | u64::try_from(value).ok()?;
            digits += 1;
            if digits > 10 {
                return None;
            }
        }
        (digits == 10).then_some(LoginId(number))
    }
}

impl fmt::Display for LoginId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for place in (0..10_u32).rev() {
            let digit = (self.0 >> (place * 5)) & 31;
            let letter = usize::try_from(digit).ok().and_then(|digit| ALPHABET.get(digit));
            formatter.write_char(letter.map_or('?', |letter| char::from(*letter)))?;
            if place == 5 {
                formatter.write_char('-')?;
            }
        }
        Ok(())
    }
}

/// How an authentication, or one guess in it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Access-Accept.
    Accepted,
    /// Access-Reject, or given up.
    Rejected,
    /// A wrong code that may be tried again in the same login.
    Retried,
    /// No login: an admin's act that belongs in the trail.
    Noted,
}

impl Verdict {
    /// The word in logs, audit rows and reports.
    pub fn code(self) -> &'static str {
        match self {
            Verdict::Accepted => "accepted",
            Verdict::Rejected => "rejected",
            Verdict::Retried => "retried",
            Verdict::Noted => "noted",
        }
    }

    /// Back from [`Verdict::code`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Verdict> {
        [Verdict::Accepted, Verdict::Rejected, Verdict::Retried, Verdict::Noted]
            .into_iter()
            .find(|verdict| verdict.code() == text)
    }
}

/// What a row does to the count of failures against its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tally {
    /// Nothing.
    #[default]
    Keep,
    /// One more.
    Count,
    /// Back to none: a success, or an admin's unlock.
    Clear,
}

/// The second factor that an authentication used or would have used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// None was reached.
    None,
    /// An OATH TOTP token.
    Totp,
    /// An OATH HOTP token.
    Hotp,
    /// None was asked for: the policy waived it.
    Waived,
    /// A code sent by text message.
    Sms,
    /// A code told by a call.
    Voice,
    /// A code sent by e-mail.
    Email,
    /// A recovery code in place of a token's.
    Recovery,
    /// None was asked for: an admin had opened a bypass.
    Bypass,
    /// None was asked for: one was right at the same station a while ago.
    Remembered,
    /// An answer to a notification on a device of the user's.
    Push,
    /// One that was passed on the portal just before.
    Armed,
    /// A passkey: password and second factor at once.
    Passkey,
}

impl Method {
    /// Every method.
    pub const ALL: [Method; 13] = [
        Method::None,
        Method::Totp,
        Method::Hotp,
        Method::Waived,
        Method::Sms,
        Method::Voice,
        Method::Email,
        Method::Recovery,
        Method::Bypass,
        Method::Remembered,
        Method::Push,
        Method::Armed,
        Method::Passkey,
    ];

    /// The word in logs, audit rows and reports.
    pub fn code(self) -> &'static str {
        match self {
            Method::None => "none",
            Method::Totp => "totp",
            Method::Hotp => "hotp",
            Method::Waived => "waived",
            Method::Sms => "sms",
            Method::Voice => "voice",
            Method::Email => "email",
            Method::Recovery => "recovery",
            Method::Bypass => "bypass",
            Method::Remembered => "remembered",
            Method::Push => "push",
            Method::Armed => "armed",
            Method::Passkey => "passkey",
        }
    }

    /// The one that a token stands for.
    #[must_use]
    pub fn of(token: &Token) -> Method {
        match token.parameters.moving {
            Moving::Time { .. } => Method::Totp,
            Moving::Counter => Method::Hotp,
        }
    }

    /// Back from [`Method::code`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.code() == text)
    }
}

/// One line of the audit trail.
#[derive(Clone, Debug)]
pub struct Row {
    /// When it was decided.
    pub time: UnixTime,
    /// Which login.
    pub login: LoginId,
    /// The server that decided.
    pub server: Label,
    /// The address and port that was asked; unspecified in an admin's act.
    pub local: SocketAddr,
    /// The RADIUS client that asked, by its configured name.
    pub client: Label,
    /// The address and port it asked from.
    pub source: SocketAddr,
    /// The canonical user name; `None` where the request carried none that could be one.
    pub user: Option<UserName>,
    /// The user's number, where the user is known: what [`Row::tally`] and [`Row::spent`] apply to.
    pub user_id: Option<UserId>,
    /// Who that is, where it was read and something is known.
    pub contact: Option<Arc<Contact>>,
    /// Calling-Station-Id as received, escaped for print, at most 253 characters.
    pub station: Option<Arc<str>>,
    /// How it ended.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// With which factor.
    pub method: Method,
    /// The kind of credential in the request: `pap`, `chap`, …
    pub protocol: &'static str,
    /// The serial number of the token that decided.
    pub device: Option<Arc<str>>,
    /// The token and the step or counter that this row spends.
    pub spent: Option<(TokenId, u64)>,
    /// What is known from now on of the drift of the token in [`Row::spent`]; `None` leaves it as it was.
    pub drift: Option<Drift>,
    /// The message that leaves with this row, and counts against what may be sent.
    pub sends: Option<Kind>,
    /// What else works once and was used with this row.
    pub consumed: Option<Consumed>,
    /// The session that begins with this row.
    pub remembers: Option<Arc<Session>>,
    /// What this row does to the count of failures.
    pub tally: Tally,
    /// From the first Access-Request of the login to this decision.
    pub took: Duration,
    /// Which parts of it were whose.
    pub durations: Durations,
    /// How many refusals, or imported things, this row stands for; 1 for itself alone.
    pub count: u32,
    /// Who did it, where an admin did: the system user.
    pub actor: Option<Arc<str>>,
    /// What an admin did, or why; the server that has the login, the rule that exempts it, or the login whose factor is
    /// remembered.
    pub note: Option<Arc<str>>,
}

impl Row {
    /// A row that something happened, with all that there is to say of it beside this yet to be laid over it: it spends,
    /// counts and names nothing, and nobody was asked.
    #[must_use]
    pub fn bare(time: UnixTime, login: LoginId, server: Label, client: Label, reason: Reason) -> Row {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Row {
            time,
            login,
            server,
            local: nowhere,
            client,
            source: nowhere,
            user: None,
            user_id: None,
            contact: None,
            station: None,
            verdict: Verdict::Noted,
            reason,
            method: Method::None,
            protocol: "none",
            device: None,
            spent: None,
            drift: None,
            sends: None,
            consumed: None,
            remembers: None,
            tally: Tally::Keep,
            took: Duration::ZERO,
            durations: Durations::default(),
            count: 1,
            actor: None,
            note: None,
        }
    }

    /// What the login took, but for the time that its user did.
    #[must_use]
    pub fn without_user(&self) -> Duration {
        self.took.saturating_sub(self.durations.typing)
    }

    /// Whether it changes what is special about its user.
    #[must_use]
    pub fn changes_special(&self) -> bool {
        self.consumed.is_some() || self.remembers.is_some() || self.reason == Reason::FraudReported
    }
}

/// Whose the time of a login was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// The primary authentication was waited for, in all its rounds.
    pub primary: Duration,
    /// The user was waited for: a code typed, a call taken.
    pub typing: Duration,
    /// Providers were waited for, to take a message.
    pub sending: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_id_reads_back_what_it_printed() {
        let id = LoginId::from_round([0xff, 0, 0xab, 0xcd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let text = id.to_string();
        assert_eq!(text.len(), 11);
        assert_eq!(LoginId::parse(&text), Some(id));
        assert_eq!(LoginId::parse(&text.to_lowercase().replace('-', "")), Some(id));
        assert_eq!(LoginId::from_number(id.number()), id);
        assert_eq!(LoginId::parse("K7Q2M"), None);
        assert_eq!(LoginId::parse("K7Q2M-X9TR4-0"), None);
        assert_eq!(LoginId::parse("K7Q2M-X9TRU"), None);
    }
}
