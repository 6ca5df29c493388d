//! Parked logins in memory: the servers that share them are nodes of this process, which is what simulations run.

use std::collections::HashMap;

use super::MemoryStore;
use crate::base::time::UnixTime;
use crate::engine::record::LoginId;
use crate::store::keyring::Keyring;
use crate::store::parking::{Claim, Claimed, LOGIN_MAX, Parking, Spot, Told, Unparked, open_told, seal_told};

/// The most logins that wait, and the most intents that are claimed.
const PARKED_MAX: usize = 1_000_000;

#[derive(Default)]
pub(super) struct Lot {
    parked: HashMap<Spot, Waiting>,
    claims: HashMap<[u8; 16], Claimant>,
}

struct Waiting {
    sealed: Box<[u8]>,
    intent: Option<[u8; 16]>,
    since: UnixTime,
    until: UnixTime,
}

struct Claimant {
    login: LoginId,
    until: UnixTime,
    ended: Option<UnixTime>,
    told: Option<Box<[u8]>>,
}

impl Lot {
    fn sweep(&mut self, now: UnixTime) {
        self.parked.retain(|_, waiting| now < waiting.until);
        self.claims.retain(|_, claimant| now < claimant.until);
    }
}

impl MemoryStore {
    /// Logins that wait here.
    pub fn parked(&self) -> usize {
        let now = self.clock.unix();
        let mut state = self.lock();
        state.lot.sweep(now);
        state.lot.parked.len()
    }

    pub(super) fn park_login(&self, login: Parking) -> bool {
        let Parking { spot, login, keep, told } = login;
        let now = self.clock.unix();
        let mut state = self.lock();
        let state = &mut *state;
        if state.lot.parked.len() >= PARKED_MAX {
            state.lot.sweep(now);
        }
        if state.lot.parked.len() >= PARKED_MAX || login.len() > LOGIN_MAX {
            return false;
        }
        let keys = Keyring::new(state.key.clone());
        let sealed = spot.seal(&login, &keys, &mut *state.entropy);
        let intent = told.as_ref().map(|told| told.intent);
        state.lot.parked.insert(spot, Waiting { sealed, intent, since: now, until: now + keep });
        if let Some(Told { intent, login, attributes }) = told
            && let Some(claimant) = state.lot.claims.get_mut(&intent)
            && claimant.login == login
        {
            claimant.told = Some(seal_told(intent, &attributes, &keys, &mut *state.entropy));
        }
        true
    }

    pub(super) fn unpark_login(&self, spot: Spot) -> Unparked {
        let now = self.clock.unix();
        let mut state = self.lock();
        let Some(waiting) = state.lot.parked.remove(&spot).filter(|waiting| now < waiting.until) else {
            return Unparked::Gone;
        };
        let age = now.since(waiting.since);
        match spot.open(&waiting.sealed, &Keyring::new(state.key.clone())) {
            Some(login) => Unparked::Login { login, age, intent: waiting.intent },
            None => Unparked::Unavailable,
        }
    }

    pub(super) fn claim_intent(&self, claim: Claim) -> Claimed {
        let Claim { intent, login, keep, ran } = claim;
        let now = self.clock.unix();
        let mut state = self.lock();
        if let Some(claimant) = state.lot.claims.get(&intent).filter(|claimant| now < claimant.until)
            && claimant.login != login
            && claimant.ended.is_none_or(|ended| now - ran <= ended)
        {
            if claimant.ended.is_some() {
                return Claimed::Over;
            }
            let keys = Keyring::new(state.key.clone());
            let Some(told) = &claimant.told else { return Claimed::Theirs(None) };
            return match open_told(intent, told, &keys) {
                Some(told) => Claimed::Theirs(Some(told)),
                None => Claimed::Unavailable,
            };
        }
        if state.lot.claims.len() >= PARKED_MAX {
            state.lot.sweep(now);
        }
        if state.lot.claims.len() >= PARKED_MAX {
            return Claimed::Unavailable;
        }
        let told = state.lot.claims.remove(&intent).filter(|claimant| claimant.login == login);
        let told = told.and_then(|claimant| claimant.told);
        state.lot.claims.insert(intent, Claimant { login, until: now + keep, ended: None, told });
        Claimed::Ours
    }

    pub(super) fn release_intent(&self, intent: [u8; 16], login: LoginId) {
        let now = self.clock.unix();
        if let Some(claimant) =
            self.lock().lot.claims.get_mut(&intent).filter(|claimant| claimant.login == login)
        {
            claimant.ended = Some(now);
        }
    }
}
