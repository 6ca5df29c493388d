//! What passkeys do to logins: one lets its owner in at the portal, and an approval of a push may want one.
//!
//! ```text
//! portal/passkey ─ Assertion ─┬─ enter: engine::passkey::judge ─ row (durable) ─► a seat
//!                             └─ Answer::Asserted ─► Answers::answer, as any answer of a phone
//! ```
//! A login by a passkey asks nobody's password server anything, so it needs no place among the logins of the node: it is judged, recorded,
//! counted and said in the log as those are, as one at the client `portal`. Invariants: whoever is let in has a durable row; refusals that
//! anybody may cause are swallowed where they are a flood.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::answers::Answers;
use super::front::Door;
use super::worker::Shared;
use crate::base::name::{Label, UserName};
use crate::base::text::escape;
use crate::delivery::actions::Act;
use crate::engine::account::Account;
use crate::engine::asking::Reference;
use crate::engine::passkey::{Assertion, judge};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Conflict, LoginId, Method, Record, Row, Tally, Verdict};

/// Somebody who says to have a passkey.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The name that was typed.
    pub user: &'a UserName,
    /// Whose it is, where it is anybody's.
    pub account: Option<&'a Account>,
    /// Whose browser it is: Calling-Station-Id.
    pub from: IpAddr,
}

/// What becomes of them.
#[derive(Debug)]
pub enum ByPasskey<'a> {
    /// Come in.
    In(&'a Account),
    /// No; the number of the login, in the trail.
    Refused(LoginId),
    /// The row could not be written.
    Unavailable,
}

impl Answers {
    /// Whether `assertion` would let them in at this moment; nothing is written.
    pub fn may_enter(&self, entry: &Entry<'_>, assertion: &Assertion) -> Result<(), Reason> {
        let account = entry.account.ok_or(Reason::PasskeyWrong)?;
        judge(account, Some(assertion), &self.shared.live.load().lockout, self.now()).map(|_| ())
    }

    /// Lets somebody in at the portal who has shown a passkey, or refuses who has not (for the reason given), with a row. `number` is fresh
    /// randomness.
    pub async fn enter<'a>(
        &self,
        entry: &Entry<'a>,
        assertion: Result<Assertion, Reason>,
        number: [u8; 16],
    ) -> ByPasskey<'a> {
        let shared = &self.shared;
        let (now, lockout) = (self.now(), shared.live.load().lockout);
        let verdict = match (entry.account, assertion) {
            (Some(account), Ok(assertion)) => {
                let named = account.passkeys().find(|known| known.id == assertion.passkey());
                let named = named.map(|passkey| Arc::clone(&passkey.name));
                judge(account, Some(&assertion), &lockout, now).map(|guards| (account, guards, named))
            }
            // Who is kept out anyway is so for that.
            (Some(account), Err(reason)) => Err(account.barred(now).unwrap_or(reason)),
            (None, _) => Err(Reason::PasskeyWrong),
        };
        let Ok(door) = Label::new(Door::Portal.name()) else { return ByPasskey::Unavailable };
        let login = LoginId::from_round(number);
        let server = shared.node.server_name().clone();
        let station = escape(entry.from.to_canonical().to_string().as_bytes());
        let bare = Row {
            user: Some(entry.user.clone()),
            user_id: entry.account.map(|account| account.id),
            contact: entry.account.and_then(|account| account.contact.clone()),
            source: SocketAddr::new(entry.from, 0),
            station: Some(station.into()),
            method: Method::Passkey,
            protocol: "webauthn",
            ..Row::bare(now, login, server, door, Reason::PasskeyAccepted)
        };
        let reason = match verdict {
            Ok((account, guards, named)) => {
                let (verdict, tally) = (Verdict::Accepted, Tally::Clear);
                let row = Arc::new(Row { verdict, tally, device: named, ..bare.clone() });
                let record = Record { guards: guards.into(), row: Arc::clone(&row) };
                match shared.store.commit(record).get().await {
                    CommitAnswer::Done(recorded) => {
                        shared.journal.login(&row, Some(recorded.sequence()));
                        shared.counts.login(&row, true);
                        return ByPasskey::In(account);
                    }
                    CommitAnswer::Refused(Conflict::UserBlocked) => Reason::UserBlocked,
                    CommitAnswer::Refused(Conflict::TooManyFailures) => Reason::Locked,
                    CommitAnswer::Refused(_) => Reason::UserDisabled,
                    CommitAnswer::Counted | CommitAnswer::Unavailable => return ByPasskey::Unavailable,
                }
            }
            Err(reason) => reason,
        };
        if reason == Reason::PasskeyCopied {
            shared.counts.alarm(reason);
            let user = escape(entry.user.as_str().as_bytes());
            tracing::warn!(%user, %login, reason = reason.code(), "{}", reason.sentence());
        }
        let row = Arc::new(Row { verdict: Verdict::Rejected, reason, ..bare });
        let record = Record { guards: Vec::new(), row: Arc::clone(&row) };
        if shared.floods.swallows(&record, &*shared.clock) {
            shared.counts.login(&row, true);
            return ByPasskey::Refused(login);
        }
        let sequence = match shared.store.commit(record).get().await {
            CommitAnswer::Done(recorded) => Some(recorded.sequence()),
            CommitAnswer::Refused(_) | CommitAnswer::Counted | CommitAnswer::Unavailable => None,
        };
        shared.journal.login(&row, sequence);
        shared.counts.login(&row, sequence.is_some());
        ByPasskey::Refused(login)
    }

    /// An approval of `question` was not believed, for `reason`: recorded, a few times for each question.
    pub async fn unproved(&self, question: Reference, reason: Reason) {
        unproved(&self.shared, question, reason).await;
    }

    /// The path of the page on which `question` is answered, for whoever may answer it.
    #[must_use]
    pub fn page_of(&self, question: Reference) -> String {
        format!("/a/{}", self.shared.actions.token(question, Act::Open))
    }
}

/// [`Answers::unproved`].
pub(super) async fn unproved(shared: &Shared, question: Reference, reason: Reason) {
    if reason == Reason::PasskeyCopied {
        shared.counts.alarm(reason);
    }
    let Some(row) = shared.node.unproved(question, reason, &*shared.clock) else { return };
    let user = row.user.as_ref().map(|user| escape(user.as_str().as_bytes()));
    tracing::warn!(user, login = %row.login, client = %row.client, reason = reason.code(), "{}", reason.sentence());
    let record = Record { guards: Vec::new(), row: Arc::new(row) };
    if !matches!(shared.store.commit(record).get().await, CommitAnswer::Done(_)) {
        tracing::error!("an approval that was not believed could not be recorded");
    }
}
