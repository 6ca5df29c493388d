//! Answers on their way from the writer to a runtime's thread: one wake-up a group instead of one an answer.
//!
//! Waking a runtime from outside costs a system call each time. So the writer puts all answers of a group for one
//! thread into its mailbox and rings once; a task there hands them out, and wakes their tasks from within.
//! Invariant: an answer put into a mailbox is delivered or its sender dropped, also when its runtime ends meanwhile.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::oneshot::Sender;

use crate::engine::record::CommitAnswer;

type Letter = (Sender<CommitAnswer>, CommitAnswer);

/// One runtime thread's mailbox.
#[derive(Default)]
pub(super) struct Mailbox {
    letters: Mutex<Letters>,
    bell: Notify,
}

#[derive(Default)]
struct Letters {
    waiting: Vec<Letter>,
    /// The task that hands them out has ended with its runtime.
    closed: bool,
}

thread_local! {
    static HERE: RefCell<Option<Arc<Mailbox>>> = const { RefCell::new(None) };
}

impl Mailbox {
    /// The mailbox of the calling thread, made at its first call; `None` outside of a runtime.
    pub(super) fn here() -> Option<Arc<Mailbox>> {
        HERE.with_borrow_mut(|here| {
            if let Some(mailbox) = here.as_ref().filter(|mailbox| !mailbox.lock().closed) {
                return Some(Arc::clone(mailbox));
            }
            let runtime = tokio::runtime::Handle::try_current().ok()?;
            let mailbox = Arc::<Mailbox>::default();
            runtime.spawn(Postman(Arc::clone(&mailbox)).deliver());
            *here = Some(Arc::clone(&mailbox));
            Some(mailbox)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands out what comes in, to its runtime's end.
struct Postman(Arc<Mailbox>);

impl Postman {
    async fn deliver(self) {
        let mut letters = Vec::new();
        loop {
            self.0.bell.notified().await;
            std::mem::swap(&mut self.0.lock().waiting, &mut letters);
            letters.drain(..).for_each(hand_over);
        }
    }
}

impl Drop for Postman {
    fn drop(&mut self) {
        let mut letters = self.0.lock();
        letters.closed = true;
        letters.waiting.clear();
    }
}

/// Whoever asked may have gone; the record stands all the same.
fn hand_over((sender, answer): Letter) {
    let _gone = sender.send(answer);
}

/// The answers of one group, sorted by mailbox.
#[derive(Default)]
pub(super) struct Post {
    bags: Vec<(Arc<Mailbox>, Vec<Letter>)>,
}

impl Post {
    /// Takes an answer along; one for nobody's mailbox is handed over at once.
    pub(super) fn add(
        &mut self,
        mailbox: Option<Arc<Mailbox>>,
        sender: Sender<CommitAnswer>,
        answer: CommitAnswer,
    ) {
        let Some(mailbox) = mailbox else { return hand_over((sender, answer)) };
        match self.bags.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &mailbox)) {
            Some((_, letters)) => letters.push((sender, answer)),
            None => self.bags.push((mailbox, vec![(sender, answer)])),
        }
    }

    /// Puts everything where it belongs, and rings once at each door.
    pub(super) fn send(&mut self) {
        for (mailbox, letters) in &mut self.bags {
            let mut waiting = mailbox.lock();
            if waiting.closed {
                letters.clear();
            }
            waiting.waiting.append(letters);
            drop(waiting);
            mailbox.bell.notify_one();
        }
        // Few threads ever commit: their bags are kept, unless somebody makes runtimes without end.
        if self.bags.len() > 64 {
            self.bags.clear();
        }
    }
}
