//! What the pages for users share: who sits before one and what they may do, and the store's word on them.
//!
//! Invariants: a [`Seat`] is taken by an invitation's secret, by a code that was shown after the right password, or by a login
//! with password and second factor ([`crate::server::front`]), and by nothing else; whoever may not log in may not use one
//! either; what gives more rights asks for a second factor that is at most [`FRESH`] old.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::desk::{self, Desk, Person, Through};
use super::web::session::{Held, Sessions};
use super::web::throttle::Throttle;
use super::web::{Visitor, Web, Words};
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::time::Tick;
use crate::engine::account::Account;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::server::answers::Answers;
use crate::server::front::Front;
use crate::store::StoreFault;
use crate::store::admin::{Admin, AdminFault};

/// How old a second factor may be where rights rise.
pub(super) const FRESH: Duration = Duration::from_mins(5);

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub(super) struct People(Arc<Inner>);

pub(super) struct Inner {
    pub(super) web: Web,
    pub(super) desk: Desk,
    pub(super) front: Front,
    pub(super) answers: Answers,
    pub(super) seats: Sessions<Seat>,
    /// Links and codes that were wrong, by network.
    pub(super) guesses: Throttle,
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
    /// What is being set up.
    pub(super) pending: Option<Arc<Pending>>,
}

/// Why somebody may sit here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// By an invitation with this hash, which is not used up yet.
    Invited([u8; 32]),
    /// By what is used up: one factor was set up already.
    Enrolled,
    /// By a login.
    LoggedIn,
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
    pub(super) fn new(web: &Web, desk: Desk, front: Front, answers: Answers) -> People {
        People(Arc::new(Inner {
            web: web.clone(),
            desk,
            front,
            answers,
            seats: Sessions::new(web),
            guesses: Throttle::new(20, Duration::from_mins(10)),
            logins: Throttle::new(60, Duration::from_mins(10)),
            confirmations: Throttle::new(10, Duration::from_mins(10)),
        }))
    }

    /// Whoever logged in, or the page to log in at.
    pub(super) fn logged_in(&self, visitor: &Visitor) -> Result<Held<Seat>, &'static str> {
        let seat = self.seats.find(visitor).filter(|held| held.data.right == Right::LoggedIn);
        seat.ok_or("/me")
    }

    /// Whoever may set something up, or the page to go to first.
    pub(super) fn may_add(&self, visitor: &Visitor) -> Result<Held<Seat>, &'static str> {
        let held = self.seats.find(visitor).ok_or("/me")?;
        match held.data.right {
            Right::Invited(_) | Right::Enrolled => Ok(held),
            Right::LoggedIn if self.is_fresh(&held) => Ok(held),
            Right::LoggedIn => Err("/me/again"),
        }
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
