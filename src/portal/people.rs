//! What the pages for users share: who sits before one and what they may do, and the store's word on them.
//!
//! Invariants: a [`Seat`] is taken by an invitation's secret, by a code that was shown after the right password, or by a login
//! with password and second factor ([`crate::server::front`]), and by nothing else; whoever may not log in may not use one
//! either; what gives more rights asks for a second factor that is at most [`FRESH`] old; a seat by an invitation that is used up ends
//! [`ENROLLED`] after that, and any other than an invited one with the password or a factor that was there when it was taken.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};

use super::desk::{self, Desk, Person, Through};
use super::device::{Made, Offers};
use super::me::Checks;
use super::passkey::Passkeys;
use super::sight::Sight;
use super::web::session::{Held, Sessions};
use super::web::throttle::Throttle;
use super::web::{Visitor, Web, Words};
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::time::Tick;
use crate::engine::account::Account;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::Method;
use crate::server::answers::Answers;
use crate::server::front::Front;
use crate::store::StoreFault;
use crate::store::admin::{Admin, AdminFault};

/// How old a second factor may be where rights rise.
pub(super) const FRESH: Duration = Duration::from_mins(5);

/// For so long whoever has set up a first factor by an invitation may add others.
const ENROLLED: Duration = Duration::from_mins(15);

/// For so long whoever was led here from a gateway may set up a first factor.
const LED: Duration = Duration::from_mins(30);

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub(super) struct People(Arc<Inner>);

pub(super) struct Inner {
    pub(super) web: Web,
    pub(super) desk: Desk,
    pub(super) front: Front,
    pub(super) answers: Answers,
    pub(super) passkeys: Passkeys,
    /// Whether whoever has no telephone on file may give one.
    pub(super) adds_phones: bool,
    pub(super) seats: Sessions<Seat>,
    /// Devices that may be registered.
    pub(super) offers: Offers,
    /// Links and codes that were wrong, by network.
    pub(super) guesses: Throttle,
    /// Codes that were sent to a telephone to see that it works.
    pub(super) checks: Checks,
    /// How many were, by user.
    pub(super) checks_sent: Throttle,
    /// Wrong codes of users who were led here, whoever types them.
    pub(super) astray: Throttle,
    /// Logins, by network.
    pub(super) logins: Throttle,
    /// Codes that were to confirm something, by user.
    pub(super) confirmations: Throttle,
}

/// Somebody before a page.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) user: UserName,
    pub(super) right: Right,
    /// When the second factor was right, or the seat was taken.
    pub(super) proved: Tick,
    /// The second factor, where it was taken by a login.
    pub(super) method: Option<Method>,
    /// What is being set up.
    pub(super) pending: Option<Arc<Pending>>,
    /// What comes of the newest offer to register a device.
    pub(super) made: Option<Made>,
    /// What the user had when the seat was taken; `None` by an invitation, which is looked at itself.
    pub(super) sight: Option<Arc<Sight>>,
}

impl Seat {
    /// One that is taken at this moment; `sight` is of the user, and `None` by an invitation.
    pub(super) fn new(user: &UserName, right: Right, now: Tick, sight: Option<Sight>) -> Seat {
        let sight = sight.map(Arc::new);
        Seat { user: user.clone(), right, proved: now, method: None, pending: None, made: None, sight }
    }

    /// The same after a factor was set up, `account` being the user with it.
    pub(super) fn enrolled(&self, account: &Account, now: Tick) -> Seat {
        let after = Seat { pending: None, made: None, ..self.clone() };
        match self.right {
            Right::Invited(_) | Right::Led => Seat {
                right: Right::Enrolled,
                proved: now,
                sight: Some(Arc::new(Sight::of(account))),
                ..after
            },
            Right::Enrolled | Right::LoggedIn => after,
        }
    }
}

/// Why somebody may sit here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// By an invitation with this hash, which is not used up yet.
    Invited([u8; 32]),
    /// By a code that a gateway showed after the right password, which is used up: for a first factor, while the user owns none.
    Led,
    /// By what is used up: one factor was set up already.
    Enrolled,
    /// By a login.
    LoggedIn,
}

/// Whether somebody may set something up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Yes.
    Given,
    /// After another login.
    Again,
    /// The seat is over.
    Over,
}

impl Right {
    /// What it allows so long after the proof.
    fn leave(self, age: Duration) -> Leave {
        match self {
            Right::Invited(_) => Leave::Given,
            Right::Led if age < LED => Leave::Given,
            Right::Enrolled if age < ENROLLED => Leave::Given,
            Right::Led | Right::Enrolled => Leave::Over,
            Right::LoggedIn if age < FRESH => Leave::Given,
            Right::LoggedIn => Leave::Again,
        }
    }
}

/// A token that is no token yet.
pub(super) struct Pending {
    pub(super) seed: Secret,
    pub(super) serial: Arc<str>,
}

impl std::ops::Deref for People {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl People {
    pub(super) fn new(
        web: &Web,
        desk: Desk,
        front: Front,
        answers: Answers,
        offers: Offers,
        passkeys: Passkeys,
        adds_phones: bool,
    ) -> People {
        People(Arc::new(Inner {
            web: web.clone(),
            desk,
            front,
            answers,
            passkeys,
            adds_phones,
            seats: Sessions::new(web),
            offers,
            guesses: Throttle::new(20, Duration::from_mins(10)),
            checks: Checks::default(),
            checks_sent: Throttle::new(3, Duration::from_hours(1)),
            // So many that nobody shuts the page for others from a few networks, and of 2^40 still as good as none.
            astray: Throttle::new(20_000, Duration::from_mins(10)),
            logins: Throttle::new(60, Duration::from_mins(10)),
            confirmations: Throttle::new(10, Duration::from_mins(10)),
        }))
    }

    /// Whether whoever sits there may set something up.
    pub(super) fn leave_of(&self, held: &Held<Seat>) -> Leave {
        held.data.right.leave(self.web.now().since(held.data.proved))
    }

    /// Ends a seat, and what was offered from it; the cookie that says so.
    #[must_use]
    pub(super) fn end(&self, held: &Held<Seat>) -> HeaderValue {
        self.offers.forget(&held.data.user);
        self.seats.end(held)
    }

    /// Whether the second factor is as new as a rise of rights wants it.
    pub(super) fn is_fresh(&self, held: &Held<Seat>) -> bool {
        self.web.now().since(held.data.proved) < FRESH
    }

    /// The user as a login finds them; `None` where there is none, or none who may log in.
    pub(super) async fn account(&self, user: &UserName) -> Result<Option<Account>, desk::Fault> {
        let (user, now) = (user.clone(), self.web.unix());
        let found = self.desk.read(move |admin| read(admin, &user)).await?;
        Ok(found.filter(|account| account.barred(now).is_none()))
    }

    /// The same for whoever sits there; `None` too where the seat is over, because of what was taken away.
    pub(super) async fn account_of(&self, held: &Held<Seat>) -> Result<Option<Account>, desk::Fault> {
        let found = self.account(&held.data.user).await?;
        Ok(found.filter(|account| self.stands(held, account)))
    }

    /// Whether the user has what they had when they took the seat.
    pub(super) fn stands(&self, held: &Held<Seat>, account: &Account) -> bool {
        account.barred(self.web.unix()).is_none()
            && held.data.sight.as_ref().is_none_or(|sight| sight.holds(&Sight::of(account)))
    }

    /// The store did not do it.
    pub(super) fn failed(&self, visitor: &Visitor, fault: &desk::Fault) -> Response<Body> {
        if !matches!(fault, desk::Fault::Busy) {
            tracing::warn!(%fault, "a page could not use the store");
        }
        self.web.fault(visitor.words, StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// A page in the user's own language.
pub(super) fn words(visitor: &Visitor, account: &Account) -> Words {
    let own = account.contact.as_deref().and_then(|contact| contact.language.as_deref());
    Words::for_user(own, &visitor.headers)
}

/// Who acts on these pages.
pub(super) fn person(user: &UserName) -> Person {
    Person { name: user.as_str().into(), through: Through::Portal }
}

/// The user as a login finds them.
pub(super) fn read(admin: &mut dyn Admin, user: &UserName) -> Result<Option<Account>, AdminFault> {
    let query = UserQuery { user: user.clone(), seeds: false, look_alikes: false };
    match admin.account(&query) {
        UserAnswer::Found(account) => Ok(Some(account)),
        UserAnswer::Unknown { .. } => Ok(None),
        UserAnswer::Unavailable => Err(AdminFault::Store(StoreFault {
            what: "a user cannot be read".to_owned(),
            hint: "the lines around it say more".to_owned(),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_by_an_invitation_that_is_used_up_is_soon_over_and_a_login_wants_another_code() {
        let (after, before) = (Duration::from_mins, |minutes: u64| Duration::from_secs(minutes * 60 - 1));
        assert_eq!(Right::Invited([0; 32]).leave(after(60)), Leave::Given);
        assert_eq!(Right::Led.leave(before(30)), Leave::Given);
        assert_eq!(Right::Led.leave(after(30)), Leave::Over);
        assert_eq!(Right::Enrolled.leave(before(15)), Leave::Given);
        assert_eq!(Right::Enrolled.leave(after(15)), Leave::Over);
        assert_eq!(Right::LoggedIn.leave(before(5)), Leave::Given);
        assert_eq!(Right::LoggedIn.leave(after(5)), Leave::Again);
    }
}
