//! The pages' way to the store: one hold on it, used in turn, on a thread that may block.
//!
//! ```text
//! page ─ Desk::read ─┐
//! page ─ Desk::act ──┴─ in turn, WAITING at most ─ spawn_blocking ─ store::Admin
//! ```
//! Invariants: whatever a page changes stands in the trail with the person who did it, and the pages where a RADIUS client
//! would; no more than [`WAITING`] callers wait, and none for longer than [`WITHIN`]; a panic ends one call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::base::name::Label;
use crate::store::act::Origin;
use crate::store::admin::{Admin, AdminFault};

/// How many calls may be under way or wait.
pub const WAITING: usize = 64;
/// How long a call may wait for its turn.
pub const WITHIN: Duration = Duration::from_secs(10);

/// A hold on the store that pages share.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    admin: Mutex<Box<dyn Admin>>,
    /// Who does what nobody in particular does.
    nobody: Origin,
    turn: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Who acts, as the trail names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The user name, or the name of a token of the interface for programs.
    pub name: Arc<str>,
    /// The pages that the person uses.
    pub through: Through,
}

/// Pages, by the name that they have among RADIUS clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// What users see.
    Portal,
    /// What admins see, and what programs use in their place.
    Admin,
}

impl Through {
    /// The reserved name.
    #[must_use]
    pub fn label(self) -> Label {
        match self {
            Through::Portal => reserved("portal"),
            Through::Admin => reserved("admin"),
        }
    }
}

fn reserved(name: &'static str) -> Label {
    #[expect(clippy::expect_used, reason = "literals that fit")]
    Label::new(name).expect("a label")
}

/// Why a page's call did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Too many others are being served.
    #[error("too many others are being served: try again in a moment")]
    Busy,
    /// A fault of this program, of which the log knows more.
    #[error("a fault in radmfa: see its log")]
    Broken,
    /// The store says no.
    #[error(transparent)]
    Store(#[from] AdminFault),
}

impl Desk {
    /// A desk at which `admin` is used from here on.
    #[must_use]
    pub fn new(mut admin: Box<dyn Admin>) -> Desk {
        let nobody = Origin { actor: None, why: None, ..admin.origin().clone() };
        admin.work_as(nobody.clone());
        let inner = Inner {
            admin: Mutex::new(admin),
            nobody,
            turn: Arc::new(Semaphore::new(1)),
            waiting: AtomicUsize::new(0),
        };
        Desk { inner: Arc::new(inner) }
    }

    /// Reads something. What is changed here is nobody's act.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Admin) -> Result<T, AdminFault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.run(self.inner.nobody.clone(), work).await
    }

    /// Does something as `person`, who says `why` perhaps: added to what the act says of itself.
    pub async fn act<T: Send + 'static>(
        &self,
        person: &Person,
        why: Option<&str>,
        work: impl FnOnce(&mut dyn Admin) -> Result<T, AdminFault> + Send + 'static,
    ) -> Result<T, Fault> {
        let origin = Origin {
            through: person.through.label(),
            actor: Some(Arc::clone(&person.name)),
            why: why.map(Into::into),
            ..self.inner.nobody.clone()
        };
        self.run(origin, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        origin: Origin,
        work: impl FnOnce(&mut dyn Admin) -> Result<T, AdminFault> + Send + 'static,
    ) -> Result<T, Fault> {
        let turn = self.turn().await?;
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || {
            // A caller who hangs up meanwhile frees the place only when this is over.
            let _turn = turn;
            let mut admin = inner.admin.lock().unwrap_or_else(PoisonError::into_inner);
            admin.work_as(origin);
            let done = catch_unwind(AssertUnwindSafe(|| work(&mut **admin)));
            admin.work_as(inner.nobody.clone());
            done
        });
        let Ok(Ok(done)) = done.await else {
            tracing::error!("a fault in this program: what a page asked of the store was not done");
            return Err(Fault::Broken);
        };
        Ok(done?)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let waiting = &self.inner.waiting;
        let _place = Place::take(waiting).ok_or(Fault::Busy)?;
        let turn = timeout(WITHIN, Arc::clone(&self.inner.turn).acquire_owned()).await;
        turn.map_err(|_| Fault::Busy)?.map_err(|_| Fault::Broken)
    }
}

/// Somebody who waits.
struct Place<'a>(&'a AtomicUsize);

impl Place<'_> {
    fn take(waiting: &AtomicUsize) -> Option<Place<'_>> {
        let place = Place(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::base::name::UserName;
    use crate::server::system::{SystemClock, SystemEntropy};
    use crate::store::admin::{AuditFilter, UserFields};
    use crate::store::memory::MemoryStore;

    fn desk() -> Desk {
        let store = MemoryStore::new(Arc::new(SystemClock), Box::new(SystemEntropy::new().unwrap()));
        Desk::new(Box::new(store))
    }

    fn alice() -> UserName {
        UserName::canonical(b"alice").unwrap()
    }

    fn olga() -> Person {
        Person { name: "olga".into(), through: Through::Admin }
    }

    #[tokio::test]
    async fn what_a_page_changes_stands_in_the_trail_with_the_person() {
        let desk = desk();
        let add = |admin: &mut dyn Admin| admin.add_user(&alice(), &UserFields::default());
        desk.act(&olga(), Some("new colleague"), add).await.unwrap();
        desk.read(|admin| admin.unlock(&alice())).await.unwrap();
        let rows = desk.read(|admin| admin.audit(&AuditFilter::default())).await.unwrap();
        let who: Vec<_> = rows.iter().map(|row| (row.actor.as_deref(), row.client.as_str())).collect();
        assert_eq!(who, [(None, "command-line"), (Some("olga"), "admin")]);
        assert_eq!(rows[1].note.as_deref(), Some("new colleague"));
        assert!(matches!(desk.act(&olga(), None, add).await, Err(Fault::Store(AdminFault::Exists(_)))));
    }

    #[tokio::test]
    async fn a_panic_ends_one_call_and_no_name_outlives_it() {
        let desk = desk();
        let broken: Result<(), Fault> = desk.act(&olga(), None, |_| panic!("on purpose")).await;
        assert!(matches!(broken, Err(Fault::Broken)));
        desk.read(|admin| admin.add_user(&alice(), &UserFields::default()).map(drop)).await.unwrap();
        let rows = desk.read(|admin| admin.audit(&AuditFilter::default())).await.unwrap();
        assert_eq!(rows[0].actor, None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_wait_than_may_and_whoever_hung_up_keeps_no_place() {
        let desk = desk();
        let (go, released) = mpsc::channel::<()>();
        let (tell, began) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let desk = desk.clone();
            async move {
                let hold = move |_: &mut dyn Admin| {
                    tell.send(()).unwrap();
                    released.recv().unwrap();
                    Ok(())
                };
                desk.read(hold).await
            }
        });
        began.recv().unwrap();
        let waits = || {
            let desk = desk.clone();
            tokio::spawn(async move { desk.read(|_| Ok(())).await })
        };
        let waiting: Vec<_> = (0..WAITING).map(|_| waits()).collect();
        while desk.inner.waiting.load(Ordering::Relaxed) < WAITING {
            tokio::task::yield_now().await;
        }
        assert!(matches!(desk.read(|_| Ok(())).await, Err(Fault::Busy)));
        for task in waiting {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        go.send(()).unwrap();
        assert!(first.await.unwrap().is_ok());
        assert!(desk.read(|_| Ok(())).await.is_ok());
    }
}
