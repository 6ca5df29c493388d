//! What is asked over the connections that read, tried again for as long as anybody waits for the answer.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc as blocking};
use std::time::Duration;

use super::{Asker, PAUSE, READERS, Shared, resembles};
use crate::base::name::Label;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::LoginId;
use crate::store::StoreFault;
use crate::store::parking::{Claim, Claimed, Spot, Unparked};
use crate::store::postgres::keys;
use crate::store::postgres::link::{ATTEMPT, Link, Remedy};
use crate::store::postgres::parking::{self, Sealed};
use crate::store::postgres::rows::{self, Odd};

impl Shared {
    /// Reads a user.
    pub(super) async fn find(self: Arc<Self>, query: UserQuery, asker: Asker<UserAnswer>) {
        let found = self.insist(&asker, |link| self.read(link, &query)).await;
        asker.answer(found.unwrap_or(UserAnswer::Unavailable));
    }

    /// Asks over one of the connections that read, however often it is lost on the way, for as long as anybody waits for the
    /// answer. What is asked twice then has to come to the same as once.
    async fn insist<A, T, F: Future<Output = Result<T, Odd>>>(
        &self,
        asker: &Asker<A>,
        question: impl Fn(Arc<Link>) -> F,
    ) -> Option<T> {
        let place = self.turn.fetch_add(1, Ordering::Relaxed) % READERS;
        while !asker.is_gone(self.clock.mono()) {
            if let Some(answer) = self.reading(place, &question).await {
                return answer.ok();
            }
        }
        None
    }

    /// How long somebody has waited.
    fn waited<T>(&self, asker: &Asker<T>) -> Duration {
        self.clock.mono().since(asker.since)
    }

    /// Asks over a connection that reads: what it says, an error that no other connection helps against, or nothing, and the
    /// next one will be another.
    pub(super) async fn reading<T, F: Future<Output = Result<T, Odd>>>(
        &self,
        place: usize,
        question: impl FnOnce(Arc<Link>) -> F,
    ) -> Option<Result<T, ()>> {
        let slot = self.readers.get(place % READERS)?;
        let link = {
            let mut slot = slot.lock().await;
            match &*slot {
                Some(link) => Arc::clone(link),
                None => match self.door.link().await {
                    Ok(link) => Arc::clone(slot.insert(Arc::new(link))),
                    Err(error) => {
                        drop(slot);
                        self.is_away(&error);
                        tokio::time::sleep(PAUSE).await;
                        return None;
                    }
                },
            }
        };
        let answered =
            tokio::time::timeout(ATTEMPT, question(Arc::clone(&link))).await.unwrap_or(Err(Odd::Late));
        let odd = match answered {
            Ok(answer) => {
                self.is_back();
                return Some(Ok(answer));
            }
            Err(odd) => odd,
        };
        match odd.remedy() {
            Remedy::Again => {}
            Remedy::Reconnect => {
                let mut slot = slot.lock().await;
                if slot.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, &link)) {
                    *slot = None;
                }
                drop(slot);
                self.is_away(&odd);
                tokio::time::sleep(PAUSE).await;
            }
            Remedy::None => {
                tracing::error!(error = %odd, "the store cannot be read, so a login is refused");
                return Some(Err(()));
            }
        }
        None
    }

    /// Written over what an attempt whose answer was lost has left.
    pub(super) async fn park(self: Arc<Self>, parked: Sealed, asker: Asker<bool>) {
        let (parked, waited) = (&parked, || self.waited(&asker));
        let park = |link: Arc<Link>| async move { parking::park(&link.client, parked, waited()).await };
        let done = self.insist(&asker, park).await;
        asker.answer(done.is_some());
    }

    /// Taken away once: where the answer of an attempt is lost, so is the login, the next one finds nothing, and its user begins
    /// anew.
    pub(super) async fn unpark(self: Arc<Self>, spot: Spot, asker: Asker<Unparked>) {
        let key = &self.key;
        let unpark = |link: Arc<Link>| async move { parking::unpark(&link.client, spot, key).await };
        let taken = self.insist(&asker, unpark).await;
        asker.answer(taken.unwrap_or(Unparked::Unavailable));
    }

    /// A login that claims again what it has claimed has it.
    pub(super) async fn claim(self: Arc<Self>, claim: Claim, asker: Asker<Claimed>) {
        let key = &self.key;
        let waited = || self.waited(&asker);
        let ask = |link: Arc<Link>| async move {
            let claim = Claim { ran: claim.ran + waited(), ..claim };
            parking::claim(&link.client, claim, key).await
        };
        let claimed = self.insist(&asker, ask).await;
        asker.answer(claimed.unwrap_or(Claimed::Unavailable));
    }

    pub(super) async fn release(self: Arc<Self>, intent: [u8; 16], login: LoginId) {
        let release = |link: Arc<Link>| async move { parking::release(&link.client, intent, login).await };
        // Where it is lost, time ends the claim.
        let _lost = self.reading(0, release).await;
    }

    async fn read(&self, link: Arc<Link>, query: &UserQuery) -> Result<UserAnswer, Odd> {
        let found = link.client.query(&link.user, &[&query.user.as_str()]).await?;
        let read = || rows::account(&found, query, &self.key, self.suspect.load(Ordering::Relaxed));
        let account = match read() {
            // Sealed with a key that a rekey has brought since the last look, perhaps.
            Err(Odd::Damaged(_)) => {
                keys::learn(&link.client, &self.key).await?;
                read()?
            }
            read => read?,
        };
        let owns = account.as_ref().is_some_and(|account| !account.tokens.is_empty());
        let resembles =
            query.look_alikes && !owns && resembles(&link.client, &link.resembles, &query.user).await?;
        Ok(rows::answer(account, resembles))
    }

    pub(super) async fn raised(
        self: Arc<Self>,
        answer: blocking::Sender<Result<Vec<(Label, IpAddr)>, StoreFault>>,
    ) {
        let read = |link: Arc<Link>| async move {
            Ok(link.client.query("SELECT client, address FROM posture", &[]).await?)
        };
        let Some(Ok(found)) = self.reading(0, read).await else { return };
        let pair = |row: &tokio_postgres::Row| {
            let (client, address): (&str, &str) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
            Some((Label::new(client).ok()?, address.parse().ok()?))
        };
        drop(answer.send(Ok(found.iter().filter_map(pair).collect())));
    }
}
