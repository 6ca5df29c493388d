//! The codes by which users who never had a factor set one up ([`crate::engine::enrol`]), kept by the server that showed them.
//!
//! In memory alone: they are good for minutes, and worth nothing to whoever reads the store. A user has the few newest, since a
//! gateway that tries again in another packet shows one of several. Invariants: a code is taken once and ends its user's others;
//! after [`TRIES`] wrong ones there is none left; at most [`USERS_MAX`] users, of whom those nearest to their end go first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::base::name::UserName;
use crate::base::time::Tick;
use crate::engine::enrol::Lead;
use crate::factor::enrol_code::EnrolCode;

/// Codes of one user that are good at the same time.
const CODES_MAX: usize = 3;
/// Wrong codes since the newest was shown.
const TRIES: u8 = 5;
/// Users who have any.
const USERS_MAX: usize = 10_000;

/// The codes of everybody.
#[derive(Default)]
pub(super) struct Leads(Mutex<HashMap<UserName, Entry>>);

struct Entry {
    /// Oldest first.
    codes: Vec<(EnrolCode, Tick)>,
    tries: u8,
}

impl Entry {
    fn until(&self) -> Tick {
        self.codes.iter().map(|(_, until)| *until).max().unwrap_or_default()
    }
}

impl Leads {
    /// Keeps a code that is about to be shown.
    pub(super) fn put(&self, lead: &Lead, now: Tick) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= USERS_MAX && !table.contains_key(&lead.user) {
            table.retain(|_, entry| now < entry.until());
            if table.len() >= USERS_MAX
                && let Some(first) =
                    table.iter().min_by_key(|(_, entry)| entry.until()).map(|(user, _)| user.clone())
            {
                table.remove(&first);
            }
        }
        let entry =
            table.entry(lead.user.clone()).or_insert_with(|| Entry { codes: Vec::new(), tries: TRIES });
        entry.tries = TRIES;
        entry.codes.retain(|(_, until)| now < *until);
        if entry.codes.len() >= CODES_MAX {
            entry.codes.remove(0);
        }
        entry.codes.push((lead.code.clone(), lead.until));
    }

    /// Whether `typed` is a code of `user` that is good at `now`; it is good no more.
    pub(super) fn take(&self, user: &UserName, typed: &EnrolCode, now: Tick) -> bool {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = table.get_mut(user) else { return false };
        entry.codes.retain(|(_, until)| now < *until);
        // Each is compared, whichever it is.
        let right = entry.codes.iter().fold(false, |right, (code, _)| right | code.is(typed));
        entry.tries = entry.tries.saturating_sub(1);
        if right || entry.tries == 0 || entry.codes.is_empty() {
            table.remove(user);
        }
        right
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::system::Fixed;
    use crate::base::time::UnixTime;
    use crate::engine::enrol::LIFETIME;

    const NOW: Tick = Tick(1 << 40);

    fn user(name: &str) -> UserName {
        UserName::canonical(name.as_bytes()).unwrap()
    }

    fn code(seed: u64) -> EnrolCode {
        EnrolCode::generate(&mut Fixed { mono: NOW, unix: UnixTime(0), seed })
    }

    fn put(leads: &Leads, name: &str, seed: u64, at: Tick) {
        leads.put(&Lead { user: user(name), code: code(seed), until: at + LIFETIME }, at);
    }

    #[test]
    fn a_code_is_taken_once_by_its_user_in_its_time_and_ends_the_others() {
        let leads = Leads::default();
        put(&leads, "u1", 1, NOW);
        put(&leads, "u1", 2, NOW);
        assert!(!leads.take(&user("u2"), &code(1), NOW), "somebody else's");
        assert!(leads.take(&user("u1"), &code(1), NOW));
        assert!(!leads.take(&user("u1"), &code(1), NOW), "again");
        assert!(!leads.take(&user("u1"), &code(2), NOW), "its neighbour");
        put(&leads, "u1", 3, NOW);
        assert!(!leads.take(&user("u1"), &code(3), NOW + LIFETIME), "too late");
        for seed in 4..8 {
            put(&leads, "u1", seed, NOW);
        }
        assert!(!leads.take(&user("u1"), &code(4), NOW), "older than the newest three");
        assert!(leads.take(&user("u1"), &code(5), NOW));
    }

    #[test]
    fn five_wrong_codes_end_it_also_for_the_right_one() {
        let leads = Leads::default();
        put(&leads, "u1", 1, NOW);
        put(&leads, "u2", 2, NOW);
        for wrong in 10..14 {
            assert!(!leads.take(&user("u1"), &code(wrong), NOW));
            assert!(!leads.take(&user("u2"), &code(wrong), NOW));
        }
        assert!(leads.take(&user("u2"), &code(2), NOW), "the fifth try");
        assert!(!leads.take(&user("u1"), &code(14), NOW));
        assert!(!leads.take(&user("u1"), &code(1), NOW), "the sixth");
    }

    #[test]
    fn where_there_is_no_room_those_whose_time_is_over_go_and_then_the_oldest() {
        let leads = Leads::default();
        let second = Duration::from_secs(1);
        put(&leads, "first", 1, NOW);
        for number in 1..USERS_MAX {
            put(&leads, &format!("u{number}"), 2, NOW + second);
        }
        put(&leads, "late", 3, NOW + second);
        assert!(!leads.take(&user("first"), &code(1), NOW + second));
        assert!(leads.take(&user("late"), &code(3), NOW + second));
        put(&leads, "later", 4, NOW + second);
        put(&leads, "after", 5, NOW + second + LIFETIME);
        assert_eq!(leads.0.lock().unwrap().len(), 1);
    }
}
