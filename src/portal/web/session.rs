//! Who is logged in, in memory: a restart ends every session.
//!
//! The cookie holds 256 random bits, the table their SHA-256 alone. Invariants: at most `SESSIONS_MAX` sessions, `EACH_MAX` of
//! one subject; the one that was idle longest goes first; 15 minutes idle or 8 hours in all end one; whenever what it may do
//! rises it gets another cookie, so a cookie that was known before is worth nothing after.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::{Visitor, Web};
use crate::base::text::{hex, unhex};
use crate::base::time::Tick;

/// Nobody stays who does nothing for so long …
pub const IDLE: Duration = Duration::from_mins(15);
/// … nor anybody for longer than this.
pub const LIFETIME: Duration = Duration::from_hours(8);
/// The most sessions.
const SESSIONS_MAX: usize = 10_000;
/// The most of one subject.
const EACH_MAX: usize = 16;

type Key = [u8; 32];

/// The sessions of one listener; `D` is what its pages keep in one.
pub struct Sessions<D> {
    web: Web,
    cookie: String,
    table: Mutex<HashMap<Key, Entry<D>>>,
}

struct Entry<D> {
    subject: Arc<str>,
    data: D,
    began: Tick,
    seen: Tick,
}

/// A session as a request found it.
#[derive(Clone)]
pub struct Held<D> {
    key: Key,
    token: String,
    began: Tick,
    /// Whose it is.
    pub subject: Arc<str>,
    /// What the pages keep in it, as it was when it was found.
    pub data: D,
}

impl<D> Held<D> {
    /// The token of its forms.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl<D> fmt::Debug for Held<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Held").field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl<D> fmt::Debug for Sessions<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sessions").field("cookie", &self.cookie).finish_non_exhaustive()
    }
}

impl<D: Clone> Sessions<D> {
    /// None yet.
    #[must_use]
    pub fn new(web: &Web) -> Sessions<D> {
        Sessions { web: web.clone(), cookie: web.cookie_name("session"), table: Mutex::default() }
    }

    /// Begins one for `subject`; whatever session the visitor had ends. The cookie has to go with the response.
    #[must_use]
    pub fn begin(&self, visitor: &Visitor, subject: &str, data: D) -> (Held<D>, HeaderValue) {
        if let Some(key) = self.key_of(visitor) {
            self.lock().remove(&key);
        }
        self.insert(subject.into(), data, self.web.now())
    }

    /// The visitor's session, which is no longer idle by this.
    #[must_use]
    pub fn find(&self, visitor: &Visitor) -> Option<Held<D>> {
        self.look(visitor, true)
    }

    /// The visitor's session, as idle as before: for what a browser asks for with nobody there.
    #[must_use]
    pub fn find_idle(&self, visitor: &Visitor) -> Option<Held<D>> {
        self.look(visitor, false)
    }

    fn look(&self, visitor: &Visitor, somebody: bool) -> Option<Held<D>> {
        let key = self.key_of(visitor)?;
        let now = self.web.now();
        let mut table = self.lock();
        let entry = table.get_mut(&key)?;
        if !entry.is_alive(now) {
            table.remove(&key);
            return None;
        }
        if somebody {
            entry.seen = now;
        }
        Some(Held {
            key,
            token: self.web.token_of(visitor.cookie(&self.cookie)?),
            began: entry.began,
            subject: Arc::clone(&entry.subject),
            data: entry.data.clone(),
        })
    }

    /// It may do more from now on (or less): another cookie, the same time to live. `None` where it has ended meanwhile.
    #[must_use]
    pub fn rise(&self, held: &Held<D>, data: D) -> Option<(Held<D>, HeaderValue)> {
        self.lock().remove(&held.key)?;
        Some(self.insert(Arc::clone(&held.subject), data, held.began))
    }

    /// Changes what it keeps, where what it may do stays the same. `false` where it has ended meanwhile.
    pub fn change(&self, held: &Held<D>, change: impl FnOnce(&mut D)) -> bool {
        self.lock().get_mut(&held.key).map(|entry| change(&mut entry.data)).is_some()
    }

    /// Ends it; the cookie that says so to the browser.
    #[must_use]
    pub fn end(&self, held: &Held<D>) -> HeaderValue {
        self.lock().remove(&held.key);
        self.web.cookie(&self.cookie, "", "Strict")
    }

    /// Ends those of `subject`, but for `kept`: for a changed password, a user who was disabled, another role.
    pub fn end_all_of(&self, subject: &str, kept: Option<&Held<D>>) {
        let kept = kept.map(|held| held.key);
        self.lock().retain(|key, entry| &*entry.subject != subject || Some(*key) == kept);
    }

    fn insert(&self, subject: Arc<str>, data: D, began: Tick) -> (Held<D>, HeaderValue) {
        let value = hex(&self.web.random::<32>());
        let key = Sha256::digest(value.as_bytes()).into();
        let now = self.web.now();
        let mut table = self.lock();
        if table.len() >= SESSIONS_MAX {
            table.retain(|_, entry| entry.is_alive(now));
        }
        let own = table.iter().filter(|(_, entry)| entry.subject == subject).count();
        let crowded = own >= EACH_MAX;
        if crowded || table.len() >= SESSIONS_MAX {
            let idle = table.iter().filter(|(_, entry)| !crowded || entry.subject == subject);
            let longest = idle.min_by_key(|(_, entry)| entry.seen).map(|(key, _)| *key);
            longest.map(|key| table.remove(&key));
        }
        let entry = Entry { subject: Arc::clone(&subject), data: data.clone(), began, seen: now };
        table.insert(key, entry);
        let cookie = self.web.cookie(&self.cookie, &value, "Strict");
        (Held { key, token: self.web.token_of(&value), began, subject, data }, cookie)
    }

    fn key_of(&self, visitor: &Visitor) -> Option<Key> {
        let value = visitor.cookie(&self.cookie)?;
        let plain = value.len() == 64 && unhex(value).is_some();
        plain.then(|| Sha256::digest(value.as_bytes()).into())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry<D>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D> Entry<D> {
    fn is_alive(&self, now: Tick) -> bool {
        now.since(self.seen) < IDLE && now.since(self.began) < LIFETIME
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::http::HeaderMap;
    use axum::http::header::COOKIE;

    use super::*;
    use crate::base::system::Clock;
    use crate::base::time::UnixTime;
    use crate::portal::web::Words;

    /// A clock that is moved.
    #[derive(Default)]
    struct Moved(AtomicU64);

    impl Clock for Moved {
        fn mono(&self) -> Tick {
            Tick(1 << 40) + Duration::from_secs(self.0.load(Ordering::Relaxed))
        }

        fn unix(&self) -> UnixTime {
            UnixTime(0)
        }
    }

    fn sessions() -> (Arc<Moved>, Sessions<u8>) {
        let clock = Arc::new(Moved::default());
        let shared: Arc<dyn Clock> = Arc::<Moved>::clone(&clock);
        let web = Web::new("portal", "https://mfa.example.com", shared).unwrap();
        (clock, Sessions::new(&web))
    }

    fn visitor(cookie: Option<&HeaderValue>) -> Visitor {
        let mut headers = HeaderMap::new();
        if let Some(cookie) = cookie {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            headers.insert(COOKIE, pair.parse().unwrap());
        }
        Visitor { address: [127, 0, 0, 1].into(), words: Words::choose(["en"]), headers }
    }

    #[test]
    fn a_session_lives_while_it_is_used_and_no_longer_than_a_day_at_work() {
        let (clock, sessions) = sessions();
        let (_, cookie) = sessions.begin(&visitor(None), "u1", 0);
        let comes_back = |seconds| {
            clock.0.store(seconds, Ordering::Relaxed);
            sessions.find(&visitor(Some(&cookie))).is_some()
        };
        assert!((0..32).all(|quarter| comes_back(quarter * 899)));
        assert!(!comes_back(8 * 3600));
        let (_, cookie) = sessions.begin(&visitor(None), "u1", 0);
        clock.0.fetch_add(900, Ordering::Relaxed);
        assert!(sessions.find(&visitor(Some(&cookie))).is_none());
    }

    #[test]
    fn what_a_browser_asks_for_by_itself_keeps_nobody_logged_in() {
        let (clock, sessions) = sessions();
        let (_, cookie) = sessions.begin(&visitor(None), "u1", 0);
        for minute in 1..15 {
            clock.0.store(minute * 60, Ordering::Relaxed);
            assert!(sessions.find_idle(&visitor(Some(&cookie))).is_some(), "{minute}");
        }
        clock.0.store(15 * 60, Ordering::Relaxed);
        assert!(sessions.find_idle(&visitor(Some(&cookie))).is_none());
    }

    #[test]
    fn more_rights_are_another_cookie_and_the_old_one_is_worth_nothing() {
        let (_, sessions) = sessions();
        let (held, before) = sessions.begin(&visitor(None), "u1", 1);
        let (risen, after) = sessions.rise(&held, 2).unwrap();
        assert_ne!(held.token(), risen.token());
        assert!(sessions.find(&visitor(Some(&before))).is_none());
        assert_eq!(sessions.find(&visitor(Some(&after))).unwrap().data, 2);
        assert!(sessions.rise(&held, 3).is_none());
        assert!(sessions.change(&risen, |data| *data = 7));
        assert_eq!(sessions.find(&visitor(Some(&after))).unwrap().data, 7);
        let gone = sessions.end(&risen);
        assert!(gone.to_str().unwrap().contains("Max-Age=0"));
        assert!(sessions.find(&visitor(Some(&after))).is_none() && !sessions.change(&risen, |_| {}));
    }

    #[test]
    fn whoever_brings_a_cookie_of_their_own_making_has_no_session() {
        let (_, sessions) = sessions();
        let (_, cookie) = sessions.begin(&visitor(None), "u1", 1);
        let mut hash = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        hash.replace_range(hash.len() - 1.., if hash.ends_with('0') { "1" } else { "0" });
        for made in [hash.as_str(), "__Host-radmfa-portal-session=", "__Host-radmfa-portal-session=xyz"] {
            assert!(sessions.find(&visitor(Some(&made.parse().unwrap()))).is_none(), "{made}");
        }
        let (_, second) = sessions.begin(&visitor(Some(&cookie)), "u2", 2);
        assert!(sessions.find(&visitor(Some(&cookie))).is_none(), "logging in ends what was before");
        assert_eq!(&*sessions.find(&visitor(Some(&second))).unwrap().subject, "u2");
    }

    #[test]
    fn one_subject_pushes_out_only_its_own_sessions_and_can_be_logged_out_everywhere() {
        let (clock, sessions) = sessions();
        let (_, other) = sessions.begin(&visitor(None), "u2", 0);
        let mut cookies = Vec::new();
        for number in 0..=EACH_MAX {
            clock.0.fetch_add(1, Ordering::Relaxed);
            cookies.push(sessions.begin(&visitor(None), "u1", u8::try_from(number).unwrap()).1);
        }
        assert!(sessions.find(&visitor(Some(&cookies[0]))).is_none(), "the one that was idle longest");
        assert!(sessions.find(&visitor(Some(&cookies[1]))).is_some());
        let kept = sessions.find(&visitor(Some(&cookies[2]))).unwrap();
        sessions.end_all_of("u1", Some(&kept));
        assert!(sessions.find(&visitor(Some(&cookies[1]))).is_none());
        assert!(sessions.find(&visitor(Some(&cookies[2]))).is_some());
        assert!(sessions.find(&visitor(Some(&other))).is_some());
    }
}
