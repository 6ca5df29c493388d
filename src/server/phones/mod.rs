//! Questions that were asked on phones: which login each belongs to, who is being asked, and whose answers come late.
//!
//! ```text
//! engine: Commit ── claim (one a user) ── Deliver ── open ─┬─ hear: the login is woken
//!                                                          └─ the login goes on without it, or ends: kept for a while as over
//! ```
//! `question.rs` knows the questions, `fatigue.rs` how often somebody may be asked by push; this file knows who is asked, and about which
//! login. Invariants: one user is asked about one login at a time; nothing here is touched by logins that ask nobody.

mod fatigue;
mod question;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::fatigue::is_strike;
pub(super) use self::fatigue::{Fatigue, PAUSE, STRIKES_WITHIN};
use self::question::Questions;
pub(super) use self::question::{Denied, Found};
pub use self::question::{Shown, Sight};
use super::affinity::RoundId;
use super::intents::JOINED;
use super::slot::Original;
use crate::base::name::UserName;
use crate::base::time::Tick;
use crate::engine::asking::{Question, Reference};
use crate::engine::delivery::{Delivery, Kind};
use crate::engine::login::Facts;
use crate::engine::reason::Reason;

/// So many of a user's logins that asked are known to tell their copies.
const LATELY_MAX: usize = 4;

/// How often everybody who is asked is looked through; what counts is judged by its time anyway.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Every question, and everybody who is asked.
#[derive(Debug, Default)]
pub(super) struct Phones {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    users: HashMap<UserName, Person>,
    questions: Questions,
    /// When everybody was looked through for who is nobody any more.
    looked: Option<Tick>,
}

/// Somebody who is asked, or was of late.
#[derive(Debug, Default)]
struct Person {
    /// The login that they are asked about.
    asked: Option<RoundId>,
    /// The question that they were asked last, while anybody waits for the answer.
    question: Option<Reference>,
    /// Most who are being asked have none.
    past: Option<Box<Past>>,
}

/// What there was of late between a user and the phone.
#[derive(Debug, Default)]
struct Past {
    fatigue: Fatigue<Tick>,
    /// The requests of logins that they were asked about, and when those asked no more: for as long as a copy of one may be
    /// under way. At most [`LATELY_MAX`].
    lately: Vec<(Original, Tick)>,
}

/// Whether a login may ask its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It may.
    Yours,
    /// This one's user is being asked about it.
    Of(RoundId),
    /// Pushes have been ignored or denied too often.
    Paused,
}

/// What a slot keeps of the question that its login asks.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) user: UserName,
    pub(super) kind: Kind,
    pub(super) reference: Option<Reference>,
}

impl Phones {
    /// A login of `user` is about to ask by `kind`. What the user ignored or denied before `forgiven` does not count.
    pub(super) fn claim(
        &self,
        user: &UserName,
        round: RoundId,
        kind: Kind,
        forgiven: Option<Tick>,
        now: Tick,
    ) -> Claim {
        let mut inner = self.lock();
        let person = inner.users.entry(user.clone()).or_default();
        match person.asked {
            Some(other) if other != round => return Claim::Of(other),
            _ => {}
        }
        if let (Some(past), Some(forgiven)) = (&mut person.past, forgiven) {
            past.fatigue.forgive(forgiven);
        }
        if kind == Kind::Push && person.past.as_ref().is_some_and(|past| past.fatigue.is_paused(now)) {
            return Claim::Paused;
        }
        person.asked = Some(round);
        Claim::Yours
    }

    /// A question leaves.
    pub(super) fn open(&self, round: RoundId, delivery: &Delivery, question: &Question, facts: Arc<Facts>) {
        let mut inner = self.lock();
        if let Some(person) = facts.user.as_ref().and_then(|user| inner.users.get_mut(user)) {
            person.question = Some(question.reference);
        }
        inner.questions.open(round, delivery, question, facts);
    }

    /// The login of `before` goes on under `after`.
    pub(super) fn moved(
        &self,
        user: &UserName,
        reference: Option<Reference>,
        before: RoundId,
        after: RoundId,
    ) {
        let mut inner = self.lock();
        if let Some(person) = inner.users.get_mut(user).filter(|person| person.asked == Some(before)) {
            person.asked = Some(after);
        }
        if let Some(reference) = reference {
            inner.questions.moved(reference, after);
        }
    }

    /// Nobody waits for the answer to this any more.
    pub(super) fn end(&self, reference: Reference, now: Tick) {
        self.lock().end(reference, now);
    }

    /// The login of `round`, which began with `first`, asks nobody any more.
    pub(super) fn release(&self, user: &UserName, round: RoundId, first: Option<Original>, now: Tick) {
        let mut inner = self.lock();
        if let Some(person) = inner.users.get_mut(user).filter(|person| person.asked == Some(round)) {
            person.asked = None;
            person.question = None;
            if let Some(first) = first {
                let lately = &mut person.past.get_or_insert_default().lately;
                lately.truncate(LATELY_MAX - 1);
                lately.insert(0, (first, now));
            }
            if person.is_nobody() {
                inner.users.remove(user);
            }
        }
    }

    /// So much is known of what became of the login that asked `reference`.
    pub(super) fn became(&self, reference: Reference, fate: Reason) {
        self.lock().questions.became(reference, fate);
    }

    /// A login ended that had asked by `kind`, for `reason`.
    pub(super) fn ended(&self, user: &UserName, kind: Kind, reason: Reason, now: Tick) {
        let mut inner = self.lock();
        let person = inner.users.entry(user.clone()).or_default();
        if kind == Kind::Push && is_strike(reason) {
            person.past.get_or_insert_default().fatigue.ended(reason, now);
        } else if reason == Reason::PhoneApproved
            && let Some(past) = &mut person.past
        {
            past.fatigue.ended(reason, now);
        }
        if person.is_nobody() {
            inner.users.remove(user);
        }
    }

    /// The requests of logins that `user` was asked about of late, and when those asked no more.
    pub(super) fn lately(&self, user: &UserName) -> Vec<(Original, Tick)> {
        let inner = self.lock();
        let past = inner.users.get(user).and_then(|person| person.past.as_ref());
        past.map(|past| past.lately.clone()).unwrap_or_default()
    }

    /// The login that had `round` and was refused for what its phone said.
    pub(super) fn refused(&self, round: RoundId) -> Option<Denied> {
        self.lock().questions.refused(round)
    }

    /// What may be known of a question.
    pub(super) fn look(&self, reference: Reference) -> Option<Sight> {
        self.lock().questions.look(reference)
    }

    /// What whoever may answer a push is shown; `None` where there is no such question, or it is none to approve.
    pub(super) fn show(&self, reference: Reference) -> Option<Shown> {
        self.lock().questions.show(reference)
    }

    /// An approval of a push was not believed: what is known of its login, while that waits and not too often.
    pub(super) fn unproved(&self, reference: Reference) -> Option<Arc<Facts>> {
        self.lock().questions.unproved(reference)
    }

    /// The question that `user` is being asked.
    pub(super) fn question_of(&self, user: &UserName) -> Option<Reference> {
        self.lock().users.get(user)?.question
    }

    /// The questions that went to `number` and may be answered; where there is none, one whose answer is late.
    pub(super) fn to_number(&self, number: &str) -> Vec<Reference> {
        self.lock().questions.to_number(number)
    }

    /// An answer came; where it is `last`, no other is taken.
    pub(super) fn hear(&self, reference: Reference, last: bool, now: Tick) -> Found {
        let mut inner = self.lock();
        let found = inner.questions.hear(reference);
        if last && matches!(found, Found::Live(_)) {
            inner.end(reference, now);
        }
        found
    }

    /// Forgets what is long over.
    pub(super) fn sweep(&self, now: Tick) {
        let mut inner = self.lock();
        inner.questions.forget(now);
        if inner.looked.is_some_and(|looked| now.since(looked) < LOOK_EVERY) {
            return;
        }
        inner.looked = Some(now);
        inner.users.retain(|_, person| {
            if let Some(past) = &mut person.past {
                past.fatigue.forget(now);
                // A copy that began in time may take as long as a login to get here.
                past.lately.retain(|(_, ended)| now <= *ended + JOINED);
            }
            person.past.take_if(|past| past.is_over());
            !person.is_nobody()
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Person {
    fn is_nobody(&self) -> bool {
        self.asked.is_none() && self.past.as_ref().is_none_or(|past| past.is_over())
    }
}

impl Past {
    fn is_over(&self) -> bool {
        self.fatigue.is_none() && self.lately.is_empty()
    }
}

impl Inner {
    fn end(&mut self, reference: Reference, now: Tick) {
        let user = self.questions.end(reference, now);
        if let Some(person) = user.and_then(|user| self.users.get_mut(&user))
            && person.question == Some(reference)
        {
            person.question = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: [RoundId; 3] = [RoundId([1; 16]), RoundId([2; 16]), RoundId([3; 16])];

    fn name(text: &str) -> UserName {
        UserName::canonical(text.as_bytes()).unwrap()
    }

    fn after(seconds: u64) -> Tick {
        Tick(1 << 40) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_user_is_asked_about_one_login_at_a_time() {
        let (phones, user) = (Phones::default(), name("u1"));
        assert_eq!(phones.claim(&user, ROUNDS[0], Kind::Push, None, after(0)), Claim::Yours);
        assert_eq!(
            phones.claim(&user, ROUNDS[0], Kind::Sms, None, after(0)),
            Claim::Yours,
            "its next device"
        );
        assert_eq!(phones.claim(&user, ROUNDS[1], Kind::Voice, None, after(0)), Claim::Of(ROUNDS[0]));
        assert_eq!(phones.claim(&name("u2"), ROUNDS[1], Kind::Push, None, after(0)), Claim::Yours);
        phones.moved(&user, None, ROUNDS[0], ROUNDS[2]);
        assert_eq!(phones.claim(&user, ROUNDS[1], Kind::Push, None, after(0)), Claim::Of(ROUNDS[2]));
        phones.release(&user, ROUNDS[0], None, after(0));
        assert_eq!(phones.claim(&user, ROUNDS[1], Kind::Push, None, after(0)), Claim::Of(ROUNDS[2]));
        phones.release(&user, ROUNDS[2], None, after(0));
        assert_eq!(phones.claim(&user, ROUNDS[1], Kind::Push, None, after(0)), Claim::Yours);
    }

    #[test]
    fn three_pushes_ignored_or_denied_in_ten_minutes_stop_them_for_a_while() {
        let (phones, user) = (Phones::default(), name("u1"));
        let claim = |seconds| {
            let claim = phones.claim(&user, ROUNDS[0], Kind::Push, None, after(seconds));
            phones.release(&user, ROUNDS[0], None, after(0));
            claim
        };
        let ended = |reason, seconds| phones.ended(&user, Kind::Push, reason, after(seconds));
        ended(Reason::PhoneDenied, 0);
        ended(Reason::NoAnswer, 1);
        ended(Reason::CodeAccepted, 2);
        ended(Reason::Abandoned, 601);
        assert_eq!(claim(602), Claim::Yours, "the first two are long ago");
        ended(Reason::NumberWrong, 603);
        assert_eq!(claim(604), Claim::Yours);
        ended(Reason::PhoneDenied, 605);
        assert_eq!(claim(606), Claim::Paused);
        assert_eq!(
            phones.claim(&user, ROUNDS[0], Kind::Sms, None, after(606)),
            Claim::Yours,
            "a text is no push"
        );
        phones.release(&user, ROUNDS[0], None, after(0));
        assert_eq!(claim(605 + 15 * 60), Claim::Yours);
        ended(Reason::PhoneDenied, 2000);
        ended(Reason::PhoneDenied, 2001);
        ended(Reason::PhoneApproved, 2002);
        ended(Reason::PhoneDenied, 2003);
        assert_eq!(claim(2004), Claim::Yours, "an approval begins anew");
        phones.sweep(after(10_000));
        assert!(phones.lock().users.is_empty());
    }
}
