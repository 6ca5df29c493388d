//! The one writer of a server's share in a database.
//!
//! Invariants: everybody who asked is answered; a transaction whose end was not heard is found out about before anybody is
//! told, and never done twice.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{GROUP_MAX, PAUSE, Shared, Write, say_usurped};
use crate::engine::record::CommitAnswer;
use crate::store::packed::Packer;
use crate::store::postgres::commit::{self, Author, Outcome, Task, Unsure};
use crate::store::postgres::link::{ATTEMPT, Link, Remedy};
use crate::store::postgres::rows::Odd;

/// Takes what has queued into one transaction, and then what has queued meanwhile.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) packer: Packer,
    pub(super) author: Author,
    pub(super) link: Option<Link>,
    pub(super) taken: mpsc::UnboundedReceiver<Write>,
}

impl Writer {
    /// Works until nobody can ask any more.
    pub(super) async fn run(mut self) {
        let mut jobs = Vec::new();
        while self.taken.recv_many(&mut jobs, GROUP_MAX).await > 0 {
            self.work(&mut jobs).await;
        }
    }

    /// Has every one of `jobs` answered.
    async fn work(&mut self, jobs: &mut Vec<Write>) {
        loop {
            self.dismiss(jobs);
            if jobs.is_empty() {
                return;
            }
            match self.attempt(jobs).await {
                Ok(Outcome::Done(answers)) => {
                    self.shared.is_back();
                    return deliver(jobs, answers);
                }
                Ok(Outcome::Unsure(unsure)) => {
                    if self.find_out(&unsure, jobs).await {
                        return deliver(jobs, unsure.answers());
                    }
                }
                Ok(Outcome::Usurped) => {
                    say_usurped();
                    return deliver(jobs, Vec::new());
                }
                Err(odd) => match odd.remedy() {
                    Remedy::Again => tokio::task::yield_now().await,
                    Remedy::Reconnect => self.wait(&odd, jobs).await,
                    Remedy::None if jobs.len() > 1 => {
                        // Whichever is at fault is not to take the others along.
                        for job in std::mem::take(jobs) {
                            Box::pin(self.work(&mut vec![job])).await;
                        }
                        return;
                    }
                    Remedy::None => {
                        tracing::error!(error = %odd, "the store cannot be written, so a login is refused");
                        return deliver(jobs, Vec::new());
                    }
                },
            }
        }
    }

    /// Lets those go who do not wait any more.
    fn dismiss(&self, jobs: &mut Vec<Write>) {
        let now = self.shared.clock.mono();
        for job in jobs.extract_if(.., |job| job.is_gone(now)) {
            job.answer(CommitAnswer::Unavailable);
        }
    }

    async fn attempt(&mut self, jobs: &[Write]) -> Result<Outcome, Odd> {
        let Writer { shared, packer, author, link, .. } = self;
        let link = match link {
            Some(link) => link,
            // Whatever it says, it may say otherwise a moment later.
            None => link.insert(shared.door.link().await.map_err(|error| Odd::Away(error.to_string()))?),
        };
        let now = shared.clock.unix();
        let tasks: Vec<Task<'_>> = jobs
            .iter()
            .map(|job| match job {
                Write::Commit(record, _) => Task::Commit(record),
                Write::Raise(client, address, _) => Task::Raise(client, *address, now),
            })
            .collect();
        commit::run(link, *author, packer, &tasks).await
    }

    /// The database is away: others may join those who wait.
    async fn wait(&mut self, odd: &Odd, jobs: &mut Vec<Write>) {
        self.link = None;
        self.shared.is_away(odd);
        tokio::time::sleep(PAUSE).await;
        while jobs.len() < GROUP_MAX {
            let Ok(job) = self.taken.try_recv() else { break };
            jobs.push(job);
        }
    }

    /// Whether a transaction went through whose end was not heard. Not known while the database is away; nobody is let in on it
    /// then.
    async fn find_out(&mut self, unsure: &Unsure, jobs: &[Write]) -> bool {
        self.shared.is_away(&"the connection was lost in a commit");
        loop {
            self.link = None;
            let now = self.shared.clock.mono();
            if jobs.iter().all(|job| job.is_gone(now)) {
                return false;
            }
            if let Ok(link) = self.shared.door.link().await {
                let asked = tokio::time::timeout(ATTEMPT, unsure.resolve(&link, self.author)).await;
                if let Ok(Ok(done)) = asked {
                    self.link = Some(link);
                    return done;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Hands the answers out; whoever has none is told that there is none.
fn deliver(jobs: &mut Vec<Write>, answers: Vec<CommitAnswer>) {
    let mut answers = answers.into_iter();
    for job in jobs.drain(..) {
        job.answer(answers.next().unwrap_or(CommitAnswer::Unavailable));
    }
}
