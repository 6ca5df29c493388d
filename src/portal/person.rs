//! Somebody before a page of the portal, with a right: the argument of every handler that shows or changes what is a user's own.
//!
//! ```text
//! session ─ Gate (which seat, how long ago the proof) ─ store: may log in, has what the seat was taken with ─► Person<Gate>
//! ```
//! Invariants: nobody has a [`Person`] whom the store does not let log in at that moment, or from whose seat something was taken away;
//! what is done as one stands in the trail as theirs, and is done from a form of theirs alone ([`Sent`]).

use std::marker::PhantomData;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use maud::html;

use super::desk;
use super::people::{Leave, People, Right, Seat, person, read, words};
use super::sight::Sight;
use super::web::sent::{Sent, Site, Sits};
use super::web::session::{Held, Sessions};
use super::web::{Page, Visitor, Web, Words, see_other, with_cookie};
use crate::base::name::UserName;
use crate::engine::account::Account;
use crate::store::admin::{Admin, AdminFault};

/// Which seats may.
pub(super) trait Gate: Send + 'static {
    /// Where whoever may not goes first.
    fn open(people: &People, held: &Held<Seat>) -> Result<(), &'static str>;
}

/// Whoever logged in: for what shows or takes away.
#[derive(Debug)]
pub(super) struct LoggedIn;

/// Whoever showed a second factor of late: for what gives more rights.
#[derive(Debug)]
pub(super) struct Proved;

/// Whoever may set up a factor: after a login of late, by an invitation, or led here by a gateway.
#[derive(Debug)]
pub(super) struct SetsUp;

impl Gate for LoggedIn {
    fn open(_: &People, held: &Held<Seat>) -> Result<(), &'static str> {
        (held.data.right == Right::LoggedIn).then_some(()).ok_or("/me")
    }
}

impl Gate for Proved {
    fn open(people: &People, held: &Held<Seat>) -> Result<(), &'static str> {
        LoggedIn::open(people, held)?;
        people.is_fresh(held).then_some(()).ok_or("/me/again")
    }
}

impl Gate for SetsUp {
    fn open(people: &People, held: &Held<Seat>) -> Result<(), &'static str> {
        match people.leave_of(held) {
            Leave::Given => Ok(()),
            Leave::Again => Err("/me/again"),
            Leave::Over => {
                drop(people.end(held));
                Err("/me")
            }
        }
    }
}

/// Whoever sits there, and what the store knows of them.
pub(super) struct Person<G> {
    pub(super) people: People,
    pub(super) visitor: Visitor,
    pub(super) held: Held<Seat>,
    pub(super) account: Account,
    /// In their own language.
    pub(super) words: Words,
    gate: PhantomData<G>,
}

impl Site for People {
    type Seat = Seat;
    const DOOR: &'static str = "/me";

    fn web(&self) -> &Web {
        &self.web
    }

    fn sessions(&self) -> &Sessions<Seat> {
        &self.seats
    }

    fn stranger(&self, _: &Visitor) -> Response<Body> {
        see_other("/me")
    }

    fn leave(&self, held: &Held<Seat>) -> HeaderValue {
        self.end(held)
    }
}

impl<G: Gate> Sits<People> for Person<G> {
    async fn sits(people: &People, visitor: Visitor, held: Held<Seat>) -> Result<Self, Response<Body>> {
        G::open(people, &held).map_err(see_other)?;
        let found = people.account_of(&held).await.map_err(|fault| people.failed(&visitor, &fault))?;
        let Some(account) = found else {
            let gone =
                if held.data.right == Right::LoggedIn { see_other("/me") } else { unusable(visitor.words) };
            return Err(with_cookie(gone, people.end(&held)));
        };
        let words = words(&visitor, &account);
        Ok(Person { people: people.clone(), visitor, held, account, words, gate: PhantomData })
    }
}

impl<G> Person<G> {
    /// An error page.
    pub(super) fn fault(&self, status: StatusCode) -> Response<Body> {
        self.people.web.fault(self.words, status)
    }

    /// What is shown where the store did not do it.
    pub(super) fn failed(&self, fault: &desk::Fault) -> Response<Body> {
        self.people.failed(&self.visitor, fault)
    }
}

impl<G> Sent<Person<G>> {
    /// Does something as whoever sent this.
    pub(super) async fn act<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Admin, &UserName) -> Result<T, AdminFault> + Send + 'static,
    ) -> Result<T, desk::Fault> {
        let Person { people, held, .. } = &self.by;
        let user = held.data.user.clone();
        people.desk.act(&person(&held.data.user), None, move |admin| work(admin, &user)).await
    }

    /// Does something to what is theirs, and shows their page again.
    pub(super) async fn done(
        &self,
        work: impl FnOnce(&mut dyn Admin, &UserName) -> Result<(), AdminFault> + Send + 'static,
    ) -> Response<Body> {
        let done = self.act(move |admin, user| {
            let before = read(admin, user)?;
            work(admin, user)?;
            Ok((before, read(admin, user)?))
        });
        match done.await {
            // What the user takes away ends no seat but the others.
            Ok((Some(before), Some(after))) => {
                let (before, after) = (Sight::of(&before), Sight::of(&after));
                self.by.people.seats.change(&self.by.held, |seat| {
                    seat.sight = seat.sight.as_ref().map(|sight| Arc::new(sight.less(&before, &after)));
                });
                see_other("/me")
            }
            // What is gone already need not be taken away.
            Ok(_) | Err(desk::Fault::Store(AdminFault::Missing(_))) => see_other("/me"),
            Err(desk::Fault::Store(AdminFault::Invalid(_))) => self.by.fault(StatusCode::BAD_REQUEST),
            Err(fault) => self.by.failed(&fault),
        }
    }
}

/// A link or a code that leads nowhere, or no more: all look the same.
pub(super) fn unusable(words: Words) -> Response<Body> {
    let title = words.say("enrol.gone-title");
    let body = html! {
        h1 { (title) }
        p.notice.bad role="alert" { (words.say("enrol.gone")) }
    };
    Page::new(title, body).show_as(words, StatusCode::NOT_FOUND)
}
