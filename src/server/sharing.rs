//! A worker's way to the store that servers share: logins kept there, taken from there, and intents claimed there.

use std::sync::Arc;
use std::time::Duration;

use super::node::{Ask, AwaitClaim, AwaitLogin, AwaitPark, Ticket, resolved};
use super::worker::Worker;
use crate::base::name::Label;
use crate::base::time::Tick;
use crate::engine::parked::Ruled;
use crate::store::parking::{Claim, Claimed, Parking, Spot, Unparked};
use crate::store::pending::Pending;

/// How soon a login asks again whether the one that has its intent has told its challenge.
const CLAIM_AGAIN: Duration = Duration::from_millis(200);

impl Worker {
    /// Has a login kept, and goes on with it.
    pub(super) async fn park(
        self: Arc<Self>,
        parking: Parking,
        ticket: Ticket<AwaitPark>,
        answer_by: Tick,
    ) -> Option<Ask> {
        let kept = self.soon(self.shared.store.park(parking), answer_by, false).await;
        self.step(|env, out| self.shared.node.parked(ticket, kept, env, out))
    }

    /// Takes a login up, and goes on with it.
    pub(super) async fn unpark(
        self: Arc<Self>,
        spot: Spot,
        ticket: Ticket<AwaitLogin>,
        answer_by: Tick,
    ) -> Option<Ask> {
        let taken = self.soon(self.shared.store.unpark(spot), answer_by, Unparked::Unavailable).await;
        let live = self.shared.live.load_full();
        let policy = |client: &Label, ruled: &Ruled| {
            let page = live.fronts.named(client).is_some();
            resolved(if page { &live.fronts } else { &live.clients }, client, ruled)
        };
        self.step(|env, out| self.shared.node.unparked(ticket, taken, &policy, env, out))
    }

    /// Asks who has an intent until that can be said, or the time is over, and goes on.
    pub(super) async fn claim(
        self: Arc<Self>,
        claim: Claim,
        ticket: Ticket<AwaitClaim>,
        answer_by: Tick,
    ) -> Option<Ask> {
        let claimed = loop {
            let asked = self.shared.store.claim(claim);
            match self.soon(asked, answer_by, Claimed::Unavailable).await {
                Claimed::Theirs(None) if self.shared.clock.mono() + CLAIM_AGAIN < answer_by => {
                    tokio::time::sleep(CLAIM_AGAIN).await;
                }
                claimed => break claimed,
            }
        };
        self.step(|env, out| self.shared.node.claimed(ticket, claimed, env, out))
    }

    async fn soon<T>(&self, pending: Pending<T>, answer_by: Tick, late: T) -> T {
        match pending {
            Pending::Ready(answer) => answer,
            Pending::Later(coming) => self.in_time(coming, answer_by, late).await,
        }
    }
}
