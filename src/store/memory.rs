//! A store that dies with its process: for tests, simulations and a first look.
//!
//! It keeps every promise of the trait but durability. One lock, no thread; every answer is there at once.
//! Invariant: seeds are sealed here too, under a key that exists nowhere else.

mod admin;
mod parking;
mod report;
mod tokens;
mod trail;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::act::{Act, Origin};
use super::admin::{AdminFault, NewToken, TokenFields, UserFields};
use super::budget::{DAY, Leave, Sends, class};
use super::fold::{self, Facts, TokenFacts, judge, tally};
use super::keyring::Keyring;
use super::parking::{Claim, Claimed, Parking, Spot, Unparked};
use super::pending::Pending;
use super::seal::{Purpose, SealKey};
use super::user_act::hash_keys;
use super::{Logins, StoreFault};
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::system::{Clock, Entropy, random};
use crate::base::time::UnixTime;
use crate::engine::account::{Account, Token, TokenId, UserId};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::{CommitAnswer, Conflict, Guard, LoginId, Record, Recorded, Row, Tally};
use crate::engine::special::Special;
use crate::factor::oath::{Drift, Moving, Parameters};

/// The longest trail kept, in rows; the oldest go first.
pub const TRAIL_MAX: usize = 1_000_000;

/// The store in memory. Clones are handles to the same store.
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    origin: Origin,
    state: Arc<Mutex<State>>,
}

struct State {
    entropy: Box<dyn Entropy + Send>,
    key: SealKey,
    users: BTreeMap<UserName, User>,
    tokens: BTreeMap<Arc<str>, Held>,
    /// The last steps of tokens that are gone, by serial and interval, for those that come back under the same serial.
    removed: HashMap<(Arc<str>, Moving), u64>,
    trail: VecDeque<(u64, Arc<Row>)>,
    postures: BTreeMap<(Label, IpAddr), UnixTime>,
    /// Logins that wait for any of the servers that share this store.
    lot: parking::Lot,
    /// Messages of the last day: to whom, of which class, when.
    sent: Vec<(UserId, i64, UnixTime)>,
    sequence: u64,
    /// The newest row that was sent elsewhere.
    forwarded: Option<u64>,
    /// What a server notes, by name.
    memos: HashMap<String, String>,
    last_user: i64,
    last_token: i64,
}

struct User {
    id: UserId,
    fields: UserFields,
    skeleton: String,
    failures: u32,
    last_failure: UnixTime,
    created: UnixTime,
    tokens: Vec<Arc<str>>,
    special: Option<Arc<Special>>,
    /// Failures by day.
    days: BTreeMap<u64, u32>,
}

impl User {
    fn count_failure(&mut self, time: UnixTime) -> u32 {
        let day = fold::day_of(time);
        *self.days.entry(day).or_insert(0) += 1;
        self.days.retain(|counted, _| counted + fold::COUNTED_DAYS > day);
        self.failures_of_late(time)
    }

    fn failures_of_late(&self, now: UnixTime) -> u32 {
        let counted = self.days.iter().filter(|(day, _)| **day + fold::COUNTED_DAYS > fold::day_of(now));
        counted.map(|(_, count)| count).sum()
    }
}

struct Held {
    id: TokenId,
    user: Option<UserName>,
    enabled: bool,
    parameters: Parameters,
    last_step: Option<u64>,
    drift: Option<Drift>,
    sealed: Box<[u8]>,
    created: UnixTime,
    fields: TokenFields,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>, mut entropy: Box<dyn Entropy + Send>) -> MemoryStore {
        let key = SealKey::generate(&mut *entropy);
        let state = State {
            entropy,
            key,
            users: BTreeMap::new(),
            tokens: BTreeMap::new(),
            removed: HashMap::new(),
            trail: VecDeque::new(),
            postures: BTreeMap::new(),
            lot: parking::Lot::default(),
            sent: Vec::new(),
            sequence: 0,
            forwarded: None,
            memos: HashMap::new(),
            last_user: 0,
            last_token: 0,
        };
        MemoryStore { clock, origin: Origin::default(), state: Arc::new(Mutex::new(state)) }
    }

    /// The key that this store's server makes State attributes under.
    #[must_use]
    pub fn state_key(&self) -> Secret {
        self.lock().key.derive(super::STATE)
    }

    /// The rows of the trail, oldest first, as they were appended: for simulations, which look at all of them.
    pub fn trail(&self) -> Vec<(u64, Arc<Row>)> {
        self.lock().trail.iter().cloned().collect()
    }

    /// Appends the row of an act.
    fn act(&self, state: &mut State, act: Act) {
        let row = act.row(&self.origin, self.clock.unix(), random(&mut *state.entropy));
        state.commit(&Record { guards: Vec::new(), row: Arc::new(row) });
    }

    /// A panic while the lock was held left no half-done change that a reader could not live with: every change is
    /// a few assignments.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Logins for MemoryStore {
    fn find(&self, query: &UserQuery) -> Pending<UserAnswer> {
        Pending::Ready(self.lock().find(query))
    }

    fn commit(&self, record: Record) -> Pending<CommitAnswer> {
        Pending::Ready(self.lock().commit(&record))
    }

    fn raise(&self, client: &Label, address: IpAddr) -> Pending<bool> {
        let now = self.clock.unix();
        self.lock().postures.entry((client.clone(), address)).or_insert(now);
        Pending::Ready(true)
    }

    fn raised(&self) -> Result<Vec<(Label, IpAddr)>, StoreFault> {
        Ok(self.lock().postures.keys().cloned().collect())
    }

    fn park(&self, login: Parking) -> Pending<bool> {
        Pending::Ready(self.park_login(login))
    }

    fn unpark(&self, spot: Spot) -> Pending<Unparked> {
        Pending::Ready(self.unpark_login(spot))
    }

    fn claim(&self, claim: Claim) -> Pending<Claimed> {
        Pending::Ready(self.claim_intent(claim))
    }

    fn release(&self, intent: [u8; 16], login: LoginId) {
        self.release_intent(intent, login);
    }
}

impl State {
    /// Whether somebody else looks like `name` who was ever given a factor, or, where nobody is called so, who has a phone or mail that
    /// codes may go to.
    fn resembles(&self, name: &UserName) -> bool {
        let skeleton = name.skeleton();
        let given = |user: &User| {
            let special = user.special.as_ref();
            !user.tokens.is_empty() || special.is_some_and(|special| special.was_given_any())
        };
        let unknown = !self.users.contains_key(name);
        let reached = |user: &User| unknown && (user.fields.phone.is_some() || user.fields.mail.is_some());
        self.users
            .iter()
            .any(|(other, user)| other != name && user.skeleton == skeleton && (given(user) || reached(user)))
    }

    fn may_send(&self, guard: &Guard, now: UnixTime) -> Leave {
        let Guard::MaySend { user, kind, limits } = guard else { return Leave::One };
        let mut sends = Sends::default();
        for (whose, _, when) in
            self.sent.iter().filter(|(_, of, when)| *of == class(*kind) && *when > now - DAY)
        {
            sends.all += 1;
            if whose == user {
                sends.today += 1;
                sends.lately += u32::from(*when > now - limits.within);
                sends.newest = sends.newest.max(Some(*when));
            }
        }
        sends.leave_one(*kind, limits, now)
    }

    fn find(&self, query: &UserQuery) -> UserAnswer {
        let Some(user) = self.users.get(&query.user) else {
            return UserAnswer::Unknown { resembles: query.look_alikes && self.resembles(&query.user) };
        };
        let mut tokens = Vec::with_capacity(user.tokens.len());
        for (serial, held) in self.held_by(user) {
            let seed = match query.seeds.then(|| self.key.open(Purpose::TokenSeed, serial, &held.sealed)) {
                None => None,
                Some(Ok(seed)) => Some(seed),
                Some(Err(_)) => return UserAnswer::Unavailable,
            };
            tokens.push(Token {
                id: held.id,
                serial: serial.clone(),
                enabled: held.enabled,
                parameters: held.parameters,
                last_step: held.last_step,
                drift: held.drift.or(held.fields.drift),
                expires: held.fields.expires,
                starts: held.fields.starts,
                seed,
            });
        }
        UserAnswer::Found(Account {
            id: user.id,
            name: query.user.clone(),
            disabled: user.fields.disabled,
            password_hash: user.fields.password_hash.clone(),
            contact: user.fields.contact(),
            failures: user.failures,
            last_failure: user.last_failure,
            groups: user.fields.groups.clone(),
            resembles_another: query.look_alikes && tokens.is_empty() && self.resembles(&query.user),
            tokens,
            keys: user
                .special
                .as_ref()
                .filter(|special| query.seeds && special.has_hashes())
                .map(|_| Box::new(hash_keys(&Keyring::new(self.key.clone())))),
            special: user.special.clone(),
            clock_suspect: query.seeds && self.clock_suspect(),
        })
    }

    fn clock_suspect(&self) -> bool {
        let mut drifts: Vec<_> = self.tokens.values().filter_map(|held| held.drift).collect();
        drifts.sort_unstable();
        fold::clock_suspect(drifts.into_iter().map(|drift| (drift, 1)))
    }

    fn commit(&mut self, record: &Record) -> CommitAnswer {
        let row = &record.row;
        let user = row.user.as_ref().and_then(|name| self.users.get(name));
        let user = user.filter(|user| Some(user.id) == row.user_id);
        let facts = user.map(|user| Facts {
            user: user.id,
            disabled: user.fields.disabled,
            failures: user.failures,
            last_failure: user.last_failure,
            tokens: self
                .held_by(user)
                .map(|(_, held)| TokenFacts {
                    id: held.id,
                    enabled: held.enabled,
                    last_step: held.last_step,
                    drift: held.drift,
                })
                .collect(),
            special: user.special.clone(),
        });
        let mut low = false;
        for guard in &record.guards {
            match self.may_send(guard, row.time) {
                Leave::Nothing => return CommitAnswer::Refused(Conflict::SentTooOften),
                Leave::One => {}
                Leave::OneOfTheLast => low = true,
            }
        }
        if let Err(conflict) = judge(record, facts.as_ref()) {
            return CommitAnswer::Refused(conflict);
        }
        let mut counted = 0;
        if let Some(name) = row.user.as_ref().filter(|_| facts.is_some())
            && let Some(user) = self.users.get_mut(name)
        {
            tally(row.tally, row.time, &mut user.failures, &mut user.last_failure);
            if row.tally == Tally::Count {
                counted = user.count_failure(row.time);
            }
            fold::make_special(row, &mut user.special);
            if let Some((token, step)) = row.spent {
                for serial in &user.tokens {
                    if let Some(held) = self.tokens.get_mut(serial).filter(|held| held.id == token) {
                        held.last_step = held.last_step.max(Some(step));
                        held.drift = row.drift.or(held.drift);
                    }
                }
            }
        }
        if let (Some(kind), Some(user)) = (row.sends, row.user_id) {
            self.sent.retain(|(_, _, when)| *when > row.time - DAY);
            self.sent.push((user, class(kind), row.time));
        }
        self.sequence += 1;
        if self.trail.len() == TRAIL_MAX {
            self.trail.pop_front();
        }
        self.trail.push_back((self.sequence, Arc::clone(row)));
        CommitAnswer::Done(Recorded::certify(self.sequence).counted(counted).sent(low))
    }

    fn held_by<'a>(&'a self, user: &'a User) -> impl Iterator<Item = (&'a Arc<str>, &'a Held)> {
        user.tokens.iter().filter_map(|serial| self.tokens.get_key_value(serial))
    }

    fn user_mut(&mut self, name: &UserName) -> Result<&mut User, AdminFault> {
        self.users.get_mut(name).ok_or_else(|| AdminFault::no_user(name))
    }

    fn make_user(&mut self, name: &UserName, fields: UserFields, now: UnixTime) -> UserId {
        self.last_user += 1;
        let id = UserId(self.last_user);
        let user = User {
            id,
            fields,
            skeleton: name.skeleton(),
            failures: 0,
            last_failure: UnixTime::default(),
            created: now,
            tokens: Vec::new(),
            special: None,
            days: BTreeMap::new(),
        };
        self.users.insert(name.clone(), user);
        id
    }

    fn make_token(&mut self, token: &NewToken, now: UnixTime) -> TokenId {
        self.last_token += 1;
        let id = TokenId(self.last_token);
        let sealed = self.key.seal(Purpose::TokenSeed, &token.serial, &token.seed, &mut *self.entropy);
        if let Some(user) = token.user.as_ref().and_then(|name| self.users.get_mut(name)) {
            user.tokens.push(Arc::clone(&token.serial));
        }
        let kept = self.removed.get(&(Arc::clone(&token.serial), token.parameters.moving)).copied();
        let held = Held {
            id,
            user: token.user.clone(),
            enabled: true,
            parameters: token.parameters,
            last_step: kept.max(token.last_counter()),
            drift: None,
            sealed,
            created: now,
            fields: token.fields.clone(),
        };
        self.tokens.insert(Arc::clone(&token.serial), held);
        id
    }

    /// Whether `token` stands in the store exactly so; `None` where its serial does not.
    fn equals(&self, token: &NewToken) -> Option<bool> {
        let held = self.tokens.get(&token.serial)?;
        let seed = self.key.open(Purpose::TokenSeed, &token.serial, &held.sealed);
        let same = held.user == token.user && held.parameters == token.parameters;
        Some(same && seed.is_ok_and(|seed| seed == token.seed))
    }
}

/// A certificate for who tests what follows from one.
#[cfg(test)]
pub(crate) fn certified(low: bool) -> Recorded {
    Recorded::certify(1).sent(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::admin::Admin;
    use crate::store::battery::{Bench, RealClock, battery, entropy, shared_battery};

    struct InMemory(MemoryStore);

    impl Bench for InMemory {
        fn new() -> InMemory {
            InMemory(MemoryStore::new(RealClock::shared(), entropy()))
        }

        fn logins(&self) -> &dyn Logins {
            &self.0
        }

        fn admin(&self) -> Box<dyn Admin> {
            Box::new(self.0.clone())
        }

        fn restart(self) -> InMemory {
            self
        }
    }

    battery!(InMemory);
    shared_battery!(InMemory);
}
