//! Stores that break a promise, so that the checks can be seen to find it.

use std::net::IpAddr;
use std::sync::Arc;

use super::Broken;
use crate::base::name::Label;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::{CommitAnswer, Guard, LoginId, Record};
use crate::store::memory::MemoryStore;
use crate::store::parking::{Claim, Claimed, Parking, Spot, Unparked};
use crate::store::pending::Pending;
use crate::store::{Logins, StoreFault};

/// The store as a server sees it.
pub(super) fn store_of(memory: &MemoryStore, aside: MemoryStore, broken: Broken) -> Arc<dyn Logins> {
    match broken {
        Broken::StoreForgetsSteps
        | Broken::StoreLosesRows
        | Broken::StoreGivesLoginsTwice
        | Broken::StoreForgetsClaims
        | Broken::StoreForgetsRevocations => Arc::new(Flawed { memory: memory.clone(), aside, broken }),
        _ => Arc::new(memory.clone()),
    }
}

struct Flawed {
    memory: MemoryStore,
    aside: MemoryStore,
    broken: Broken,
}

impl Logins for Flawed {
    fn find(&self, query: &UserQuery) -> Pending<UserAnswer> {
        let mut found = self.memory.find(query);
        if let (Broken::StoreForgetsSteps, Pending::Ready(UserAnswer::Found(account))) =
            (self.broken, &mut found)
        {
            account.tokens.iter_mut().for_each(|token| token.last_step = None);
        }
        if let (Broken::StoreForgetsRevocations, Pending::Ready(UserAnswer::Found(account))) =
            (self.broken, &mut found)
            && let Some(special) = &mut account.special
        {
            Arc::make_mut(special).devices.iter_mut().for_each(|device| device.revoked = None);
        }
        found
    }

    fn commit(&self, mut record: Record) -> Pending<CommitAnswer> {
        match self.broken {
            Broken::StoreForgetsSteps => {
                record.guards.retain(|guard| !matches!(guard, Guard::StepUnspent { .. }));
            }
            Broken::StoreLosesRows if record.row.spent.is_some() => {
                // Kept where nobody looks.
                record.guards.clear();
                return self.aside.commit(record);
            }
            _ => {}
        }
        self.memory.commit(record)
    }

    fn raise(&self, client: &Label, address: IpAddr) -> Pending<bool> {
        self.memory.raise(client, address)
    }

    fn raised(&self) -> Result<Vec<(Label, IpAddr)>, StoreFault> {
        self.memory.raised()
    }

    fn park(&self, login: Parking) -> Pending<bool> {
        if self.broken == Broken::StoreGivesLoginsTwice {
            let _kept = self.aside.park(login.clone());
        }
        self.memory.park(login)
    }

    fn unpark(&self, spot: Spot) -> Pending<Unparked> {
        match self.memory.unpark(spot) {
            // Once more to whoever asks next.
            Pending::Ready(Unparked::Gone) if self.broken == Broken::StoreGivesLoginsTwice => {
                self.aside.unpark(spot)
            }
            answer => answer,
        }
    }

    fn claim(&self, claim: Claim) -> Pending<Claimed> {
        if self.broken == Broken::StoreForgetsClaims {
            return Pending::Ready(Claimed::Ours);
        }
        self.memory.claim(claim)
    }

    fn release(&self, intent: [u8; 16], login: LoginId) {
        self.memory.release(intent, login);
    }
}
