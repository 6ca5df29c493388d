//! Threads that read users who are not in memory, so that no runtime waits for a disk.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::oneshot::Sender;

use super::rows;
use super::seat::Seat;
use super::strangers::Stranger;
use super::view::View;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::store::keyring::Keyring;

/// The most questions that wait; beyond them the store is unavailable.
const QUEUE_MAX: usize = 16_384;

/// What waits for the readers.
#[derive(Default)]
pub(super) struct Readers {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    questions: VecDeque<(UserQuery, Sender<UserAnswer>)>,
    closing: bool,
}

impl Readers {
    /// Takes a question, or drops it, and with it the answer's sender, where too many wait.
    pub(super) fn ask(&self, query: UserQuery, answer: Sender<UserAnswer>) {
        let mut state = self.lock();
        if !state.closing && state.questions.len() < QUEUE_MAX {
            state.questions.push_back((query, answer));
            drop(state);
            self.bell.notify_one();
        }
    }

    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.bell.notify_all();
    }

    /// One reader; works until closed.
    pub(super) fn run(&self, connection: &Connection, view: &Arc<View>, key: &Keyring) {
        loop {
            let mut state = self.lock();
            let (query, sender) = loop {
                if state.closing {
                    return;
                }
                match state.questions.pop_front() {
                    Some(next) => break next,
                    None => state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(state);
            if sender.is_closed() {
                continue;
            }
            let answer = answer(connection, view, key, &query).unwrap_or_else(|error| {
                tracing::warn!(%error, "the store cannot be read");
                UserAnswer::Unavailable
            });
            let _gone = sender.send(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(
    connection: &Connection,
    view: &View,
    key: &Keyring,
    query: &UserQuery,
) -> rusqlite::Result<UserAnswer> {
    // It may have come in while the question waited.
    if let Some(answer) = view.answer(query, key) {
        return Ok(answer);
    }
    let epoch = view.strangers.epoch();
    let seat = view.read_in(connection, &query.user)?;
    if seat.as_ref().is_some_and(Seat::owns_tokens) {
        return Ok(seat.map_or(UserAnswer::Unavailable, |seat| seat.answer(query, key, view.clock_suspect())));
    }
    let resembles = if query.look_alikes { Some(rows::resembles(connection, &query.user)?) } else { None };
    view.strangers.put(&query.user, epoch, Stranger { unknown: seat.is_none(), resembles });
    Ok(rows::stranger(
        seat.map(|seat| seat.answer(query, key, view.clock_suspect())),
        resembles.unwrap_or(false),
    ))
}
