//! Codes that were sent ahead, by whom they are for: one for each user at each client and station.
//!
//! The engine makes and judges them (`engine/kept.rs`); this keeps them between one login and the next, in memory alone.
//! Invariants: found under the same client, canonical user and station alone, with none where the first login named none; a
//! new one ends the one before it; bounded, and where it is full the one that ends soonest goes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::name::{Label, UserName};
use crate::base::time::Tick;
use crate::engine::kept::Kept;
use crate::engine::login::Facts;

/// So many are kept at most.
const KEPT_MAX: usize = 10_000;

/// Every code that was sent ahead.
#[derive(Debug, Default)]
pub(super) struct KeptCodes {
    codes: Mutex<HashMap<Whose, Arc<Kept>>>,
    /// How many there are: mostly none, and then nobody takes the lock.
    count: AtomicUsize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Whose {
    client: Label,
    user: UserName,
    station: Option<Arc<str>>,
}

impl Whose {
    fn of(facts: &Facts) -> Option<Whose> {
        let Facts { client, user, station, .. } = facts;
        Some(Whose { client: client.clone(), user: user.clone()?, station: station.clone() })
    }
}

impl KeptCodes {
    /// Keeps a code for whoever the login of `facts` is of.
    pub(super) fn keep(&self, facts: &Facts, code: Arc<Kept>, now: Tick) {
        if let Some(whose) = Whose::of(facts) {
            self.put(whose, code, now);
        }
    }

    fn put(&self, whose: Whose, code: Arc<Kept>, now: Tick) {
        let mut codes = self.codes();
        if codes.len() >= KEPT_MAX && !codes.contains_key(&whose) {
            codes.retain(|_, code| now < code.until());
        }
        if codes.len() >= KEPT_MAX && !codes.contains_key(&whose) {
            let soonest = codes.iter().min_by_key(|(_, code)| code.until()).map(|(whose, _)| whose.clone());
            if let Some(code) = soonest.and_then(|soonest| codes.remove(&soonest)) {
                code.end();
            }
        }
        if let Some(before) = codes.insert(whose, code) {
            before.end();
        }
        self.count.store(codes.len(), Ordering::Release);
    }

    /// The code that was sent ahead for whoever the login of `facts` is of.
    pub(super) fn find(&self, facts: &Facts) -> Option<Arc<Kept>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let whose = Whose::of(facts)?;
        self.codes().get(&whose).map(Arc::clone)
    }

    /// Forgets those whose time is long over.
    pub(super) fn sweep(&self, now: Tick) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut codes = self.codes();
        codes.retain(|_, code| now < code.until());
        self.count.store(codes.len(), Ordering::Release);
    }

    fn codes(&self) -> MutexGuard<'_, HashMap<Whose, Arc<Kept>>> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::secret::Secret;
    use crate::engine::kept;

    fn whose(user: usize, station: Option<&str>) -> Whose {
        let user = UserName::canonical(format!("u{user}").as_bytes()).unwrap();
        Whose { client: Label::new("nas").unwrap(), user, station: station.map(Arc::from) }
    }

    fn code(seconds: u64) -> Arc<Kept> {
        Arc::new(kept::sample(&Secret::from("123456"), Tick(0) + Duration::from_secs(seconds)))
    }

    #[test]
    fn a_new_code_ends_the_one_before_it_and_what_is_over_is_forgotten() {
        let codes = KeptCodes::default();
        let (first, second, elsewhere) = (code(100), code(200), code(100));
        codes.put(whose(1, None), Arc::clone(&first), Tick(1));
        codes.put(whose(1, Some("a")), Arc::clone(&elsewhere), Tick(1));
        assert!(!first.is_over());
        codes.put(whose(1, None), Arc::clone(&second), Tick(1));
        assert!(first.is_over() && !second.is_over() && !elsewhere.is_over());
        codes.sweep(elsewhere.until());
        let left: Vec<Whose> = codes.codes().keys().cloned().collect();
        assert_eq!(left, [whose(1, None)]);
        codes.sweep(second.until());
        assert_eq!((codes.codes().len(), codes.count.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_full_table_forgets_the_one_that_ends_soonest() {
        let codes = KeptCodes::default();
        let soonest = code(50);
        codes.put(whose(0, None), Arc::clone(&soonest), Tick(1));
        for user in 1..KEPT_MAX {
            codes.put(whose(user, None), code(100), Tick(1));
        }
        codes.put(whose(1, None), code(100), Tick(1));
        assert!(!soonest.is_over(), "there was room");
        codes.put(whose(KEPT_MAX, None), code(100), Tick(1));
        assert!(soonest.is_over());
        assert_eq!(codes.codes().len(), KEPT_MAX);
    }
}
