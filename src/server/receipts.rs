//! What a provider says later of a message that it took over: a line in the log, and, once it is final, a row in the trail
//! under the number of the login that the message belongs to.
//!
//! Invariants: a row for each message at most, since the channel forgets a message with its last receipt; a provider's
//! words are cut and escaped; the channels' thread never waits for the store.

use std::sync::Arc;

use super::tracer::Tracer;
use crate::base::name::Label;
use crate::base::system::Clock;
use crate::base::text::escape;
use crate::engine::delivery::Arrival;
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Record, Row};
use crate::store::Logins;

/// As much of a provider's own name for a message is kept, in characters.
const SHOWN: usize = 64;

/// Where receipts go.
pub(super) struct Receipts {
    pub(super) server: Label,
    pub(super) store: Arc<dyn Logins>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tracer: Arc<Tracer>,
}

impl Receipts {
    /// Takes one, within the channels' runtime.
    pub(super) fn take(&self, arrival: &Arrival) {
        let Arrival { login, provider, arrived, .. } = arrival;
        let reference: String = escape(arrival.reference.as_bytes()).chars().take(SHOWN).collect();
        let state = escape(arrival.state.as_bytes());
        tracing::info!(
            %login, channel = %provider, reference, state, arrived,
            "a provider tells what became of a message"
        );
        if self.tracer.is_on() {
            self.tracer.arrived(arrival);
        }
        if !arrival.last {
            return;
        }
        let note = format!("{provider} says {state} of {reference}");
        let row = self.row(arrival, note);
        let record = Record { guards: Vec::new(), row: Arc::new(row) };
        let (kept, login) = (self.store.commit(record), *login);
        tokio::spawn(async move {
            if !matches!(kept.get().await, CommitAnswer::Done(_)) {
                tracing::error!(%login, "what became of a message could not be recorded");
            }
        });
    }

    fn row(&self, arrival: &Arrival, note: String) -> Row {
        let reason = if arrival.arrived { Reason::MessageArrived } else { Reason::MessageLost };
        let (server, client) = (self.server.clone(), arrival.client.clone());
        Row {
            user: Some(arrival.user.clone()),
            method: arrival.kind.method(),
            note: Some(note.into()),
            ..Row::bare(self.clock.unix(), arrival.login, server, client, reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::UserName;
    use crate::base::system::Fixed;
    use crate::base::time::{Tick, UnixTime};
    use crate::dictionary::Dictionary;
    use crate::engine::delivery::{DeliveryId, Kind};
    use crate::engine::record::LoginId;
    use crate::store::admin::{Admin as _, AuditFilter};
    use crate::store::memory::MemoryStore;

    #[test]
    fn a_final_receipt_becomes_a_row_of_its_login_and_an_interim_one_does_not() {
        let fixed = Fixed { mono: Tick(0), unix: UnixTime(1_800_000_000_000), seed: 1 };
        let clock: Arc<dyn Clock> = Arc::new(fixed.clone());
        let mut store = MemoryStore::new(Arc::clone(&clock), Box::new(fixed));
        let tracer = Tracer::new(Arc::new(Dictionary::embedded().unwrap()), Arc::clone(&clock));
        let server = Label::new("mfa-a").unwrap();
        let receipts = Receipts { server, store: Arc::new(store.clone()), clock, tracer };
        let arrival = |state: &str, last, arrived| Arrival {
            provider: Label::new("centre").unwrap(),
            reference: format!("17AB\n\u{1b}[31m{}", "x".repeat(500)).into(),
            login: LoginId::from_number(7),
            delivery: DeliveryId(1),
            user: UserName::canonical(b"mary").unwrap(),
            client: Label::new("vpn").unwrap(),
            kind: Kind::Sms,
            arrived,
            last,
            state: state.into(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            receipts.take(&arrival("ENROUTE", false, false));
            receipts.take(&arrival("DELIVRD", true, true));
            receipts.take(&arrival("EXPIRED", true, false));
        });
        let rows = store.audit(&AuditFilter::default()).unwrap();
        let said: Vec<_> = rows.iter().map(|row| (row.reason.as_str(), row.method.as_str())).collect();
        assert_eq!(said, [("message-not-arrived", "sms"), ("message-arrived", "sms")]);
        assert!(rows.iter().all(|row| row.login == LoginId::from_number(7) && row.client == "vpn"));
        assert!(rows.iter().all(|row| row.user.as_deref() == Some("mary") && row.verdict == "noted"));
        let note = rows[1].note.as_deref().unwrap();
        assert!(
            note.starts_with(r"centre says DELIVRD of 17AB\u{a}\u{1b}[31mx") && note.len() < 100,
            "{note}"
        );
    }
}
