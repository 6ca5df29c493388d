//! Codes that were sent ahead, for gateways that cannot ask: a login says behind its password where to send one (`password,sms`)
//! and is refused; the user's next login there brings the code (`password,123456`).
//!
//! ```text
//! password,sms ──── CheckPrimary ─ FindUser ─ Commit (budget) ─ Wait (delivery) ─ Keep ─ Commit ─ refused, saying how to go on
//! password,123456 ─ CheckPrimary ─ FindUser ─ one try of what was kept ─────────────── Commit ─ accepted
//! ```
//! Invariants: a code is kept in the memory of the server that made it, for one user at one client and station; it is looked at
//! after the password was right, by as many tries as one login has; it is right once. Whoever lends a login what was kept
//! (`server/kept.rs`) knows nothing of what is in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::append::Append;
use super::await_commit::{AwaitCommit, Then};
use super::delivery::Kind;
use super::login::Facts;
use super::methods::{Factor, Offer};
use super::policy::{PinWanted, Policy};
use super::reason::Reason;
use super::record::{Method, Record, Row, Verdict};
use super::sending::{Addressee, LATE, SentCode, Typed};
use super::step::{Env, Step};
use super::words::Line;
use crate::base::secret::Secret;
use crate::base::time::Tick;
use crate::wire::AttributeList;

/// A code that was sent for its user's next login. Logins side by side may look at the same one.
#[derive(Debug)]
pub struct Kept {
    sent: SentCode,
    /// Tries that are left.
    tries: AtomicU8,
    /// It has let somebody in, or another one came after it.
    over: AtomicBool,
}

impl Kept {
    /// Until when it has to be known, if only to say that it came too late.
    pub fn until(&self) -> Tick {
        self.sent.until + LATE
    }

    /// It is good no more: another one took its place.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// Whether it has let somebody in, or another one took its place.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Whether it was sent where one of `offers` would be: what the user has no more, or is not asked for here, lets nobody in.
    pub(super) fn is_among(&self, offers: &[Offer]) -> bool {
        offers.iter().any(|offer| {
            offer.factor == Factor::Sent(self.sent.kind) && offer.to.as_ref() == Some(&self.sent.to)
        })
    }

    /// Compares an entry with it, which takes one of its tries.
    pub(super) fn try_once(&self, entry: &Secret, now: Tick) -> Typed {
        let left = self.tries.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        // Compared all the same where none is left, so that it takes its time.
        let right = self.sent.is(entry.expose().trim_ascii());
        if !right || left.is_err() {
            return Typed::Other;
        }
        if now >= self.sent.until {
            return Typed::Late;
        }
        // Of two that are right at once one is.
        if self.over.swap(true, Ordering::SeqCst) { Typed::Other } else { Typed::Right(self.sent.kind) }
    }

    /// What an entry in its place is recorded as.
    pub(super) fn method(&self) -> Method {
        self.sent.method()
    }

    /// Whether it may still let somebody in.
    fn is_good(&self, now: Tick) -> bool {
        now < self.sent.until && !self.is_over() && self.tries.load(Ordering::SeqCst) > 0
    }
}

/// Whether logins under `policy` may ask for a code ahead, and bring it later.
#[must_use]
pub fn may_keep(policy: &Policy) -> bool {
    mark(policy).is_some()
}

/// What a password and a code are divided by, where a code is asked for ahead.
fn mark(policy: &Policy) -> Option<char> {
    match policy.admission.append {
        Append::Behind(mark) if !policy.admission.challenge => Some(mark),
        Append::Behind(_) | Append::Last(_) | Append::Never => None,
    }
}

/// Whether a code can be sent ahead for `offer`: where it brings one, rather than a question.
pub(super) fn can_be_sent(offer: &Offer, policy: &Policy) -> bool {
    let Factor::Sent(kind) = offer.factor else { return false };
    let asks = policy.sending.as_ref().is_some_and(|sending| sending.asks(kind).is_some());
    may_keep(policy) && !asks
}

/// The code is on its way: kept for the next login, while this one is refused.
pub(super) fn keep(facts: &Facts, to: &Addressee, sent: SentCode, env: &mut Env<'_>) -> Step {
    let pin = facts.policy.login.pin == PinWanted::WithCode;
    let line = match (sent.kind, pin) {
        (Kind::Sms | Kind::Email | Kind::Push, false) => Line::AheadSent,
        (Kind::Sms | Kind::Email | Kind::Push, true) => Line::AheadSentPin,
        (Kind::Voice, false) => Line::AheadCalled,
        (Kind::Voice, true) => Line::AheadCalledPin,
    };
    let message = go_on(line, &sent.to, facts);
    let row = Arc::new(Row {
        user_id: Some(to.id),
        contact: to.contact.clone(),
        method: sent.method(),
        ..facts.row(Verdict::Rejected, Reason::CodeSentAhead, env)
    });
    let tries = AtomicU8::new(facts.policy.login.tries);
    let kept = Arc::new(Kept { sent, tries, over: AtomicBool::new(false) });
    Step::Keep(kept, Box::new(refuse(row, message)))
}

/// Another code was asked for before there may be one: where the one before it is good, that is said.
pub(super) fn too_soon(facts: &Facts, to: &Addressee, reason: Reason, env: &mut Env<'_>) -> Option<Step> {
    let kept = facts.kept.as_ref().filter(|kept| kept.is_good(env.mono))?;
    let row = Row {
        user_id: Some(to.id),
        contact: to.contact.clone(),
        method: kept.method(),
        ..facts.row(Verdict::Rejected, reason, env)
    };
    let line = match facts.policy.login.pin {
        PinWanted::Never => Line::AheadAlready,
        PinWanted::WithCode => Line::AheadAlreadyPin,
    };
    Some(refuse(Arc::new(row), go_on(line, &kept.sent.to, facts)))
}

/// Says where a code went, and what to do with it: whoever reads that had the right password.
fn go_on(line: Line, to: &str, facts: &Facts) -> String {
    let mark = mark(&facts.policy).unwrap_or(',');
    line.to(facts.language(), to, mark.encode_utf8(&mut [0; 4]))
}

fn refuse(row: Arc<Row>, message: String) -> Step {
    let record = Record { guards: Vec::new(), row: Arc::clone(&row) };
    let then = Then::Reject { message, attributes: AttributeList::default(), alarm: 0 };
    Step::Commit(record, AwaitCommit { row, then })
}

/// One for who tests what keeps them: good until then, with three tries.
#[cfg(test)]
pub(crate) fn sample(code: &Secret, until: Tick) -> Kept {
    let sent = SentCode::made(code.clone(), Kind::Sms, "+36301234542".into(), until.since(Tick(0)), Tick(0));
    Kept { sent, tries: AtomicU8::new(3), over: AtomicBool::new(false) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn kept() -> Kept {
        sample(&Secret::from("123456"), Tick(0) + Duration::from_mins(5))
    }

    fn entry(text: &str) -> Secret {
        Secret::from(text)
    }

    #[test]
    fn a_code_is_right_once_and_within_its_tries_and_time() {
        let now = Tick(0) + Duration::from_secs(299);
        let once = kept();
        assert_eq!(once.try_once(&entry("123457"), now), Typed::Other);
        assert_eq!(once.try_once(&entry(" 123456\r\n"), now), Typed::Right(Kind::Sms));
        assert_eq!(once.try_once(&entry("123456"), now), Typed::Other);
        let guessed = kept();
        for guess in ["000000", "", "12345"] {
            assert_eq!(guessed.try_once(&entry(guess), now), Typed::Other);
        }
        assert_eq!(guessed.try_once(&entry("123456"), now), Typed::Other);
        let late = Tick(0) + Duration::from_mins(5);
        assert_eq!(kept().try_once(&entry("123456"), late), Typed::Late);
        assert_eq!(kept().try_once(&entry("123450"), late), Typed::Other);
        let replaced = kept();
        replaced.end();
        assert_eq!(replaced.try_once(&entry("123456"), now), Typed::Other);
    }

    #[test]
    fn of_many_who_bring_it_at_once_one_is_let_in() {
        for _ in 0..50 {
            let kept = kept();
            let rights = std::thread::scope(|scope| {
                let tries: Vec<_> =
                    (0..8).map(|_| scope.spawn(|| kept.try_once(&entry("123456"), Tick(1)))).collect();
                tries.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            let right = rights.iter().filter(|typed| **typed == Typed::Right(Kind::Sms)).count();
            assert_eq!(right, 1, "{rights:?}");
        }
    }
}
