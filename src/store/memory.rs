//! A store that dies with its process: for tests, simulations and a first look.
//!
//! It keeps every promise of the trait but durability. One lock, no thread; every answer is there at once.
//! Invariant: seeds are sealed here too, under a key that exists nowhere else.

mod report;
mod trail;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::act::{Act, Origin};
use super::admin::{
    Admin, AdminFault, AuditFilter, AuditRow, ImportConflict, ImportReport, NewToken, Posture, Replacement,
    TokenDetails, TokenFields, TokenFilter, UserDetails, UserFields, UserFilter, UserRow, check_serial,
};
use super::budget::{DAY, Sends, class};
use super::fold::{self, Facts, TokenFacts, judge, tally};
use super::keyring::Keyring;
use super::pending::Pending;
use super::report::Reports;
use super::seal::{Purpose, SealKey};
use super::trail::Trail;
use super::user_act::{UserAct, hash_keys};
use super::{Logins, StoreFault};
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::system::{Clock, Entropy, random};
use crate::base::time::UnixTime;
use crate::engine::account::{Account, Token, TokenId, UserId};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Conflict, Guard, Record, Recorded, Row, Tally};
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
    /// Messages of the last day: to whom, of which class, when.
    sent: Vec<(UserId, i64, UnixTime)>,
    sequence: u64,
    /// The newest row that was sent elsewhere.
    forwarded: Option<u64>,
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
            sent: Vec::new(),
            sequence: 0,
            forwarded: None,
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
}

impl State {
    /// Whether somebody else who owns a token, or recovery codes, looks like `name`.
    fn resembles(&self, name: &UserName) -> bool {
        let skeleton = name.skeleton();
        let recoverable =
            |user: &User| user.special.as_ref().is_some_and(|special| !special.recovery.is_empty());
        self.users.iter().any(|(other, user)| {
            other != name && user.skeleton == skeleton && (!user.tokens.is_empty() || recoverable(user))
        })
    }

    fn may_send(&self, guard: &Guard, now: UnixTime) -> bool {
        let Guard::MaySend { user, kind, limits } = guard else { return true };
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
                drift: held.drift,
                expires: held.fields.expires,
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
                .filter(|_| query.seeds)
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
        if !record.guards.iter().all(|guard| self.may_send(guard, record.row.time)) {
            return CommitAnswer::Refused(Conflict::SentTooOften);
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
            if let (Some(thing), Some(special)) = (row.consumed, &mut user.special) {
                Arc::make_mut(special).consume(thing);
            }
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
        CommitAnswer::Done(Recorded::certify(self.sequence).counted(counted))
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

impl Admin for MemoryStore {
    fn add_user(&mut self, name: &UserName, fields: &UserFields) -> Result<UserId, AdminFault> {
        let now = self.clock.unix();
        let mut state = self.lock();
        if state.users.contains_key(name) {
            return Err(AdminFault::user_exists(name));
        }
        let id = state.make_user(name, fields.clone(), now);
        self.act(&mut state, Act::new(Reason::UserAdded).on(name, id));
        Ok(id)
    }

    fn user(&mut self, name: &UserName) -> Result<UserDetails, AdminFault> {
        let state = self.lock();
        let user = state.users.get(name).ok_or_else(|| AdminFault::no_user(name))?;
        Ok(details_of(name, user))
    }

    fn users(&mut self, filter: &UserFilter) -> Result<Vec<UserDetails>, AdminFault> {
        let fits = |name: &UserName, user: &User| {
            filter.group.as_ref().is_none_or(|group| user.fields.is_in(group))
                && filter.after.as_ref().is_none_or(|after| name > after)
                && filter.contains.as_ref().is_none_or(|part| name.as_str().contains(part))
        };
        let state = self.lock();
        let found = state.users.iter().filter(|(name, user)| fits(name, user)).take(filter.limit);
        Ok(found.map(|(name, user)| details_of(name, user)).collect())
    }

    fn set_user(&mut self, name: &UserName, edit: &mut dyn FnMut(&mut UserFields)) -> Result<(), AdminFault> {
        let mut state = self.lock();
        let user = state.user_mut(name)?;
        let before = user.fields.clone();
        edit(&mut user.fields);
        let act = Act::new(Reason::UserChanged).on(name, user.id).note(before.changes(&user.fields));
        self.act(&mut state, act);
        Ok(())
    }

    fn remove_user(&mut self, name: &UserName) -> Result<Vec<Arc<str>>, AdminFault> {
        let mut state = self.lock();
        let user = state.users.remove(name).ok_or_else(|| AdminFault::no_user(name))?;
        for serial in &user.tokens {
            if let Some(held) = state.tokens.get_mut(serial) {
                held.user = None;
            }
        }
        self.act(&mut state, Act::new(Reason::UserRemoved).on(name, user.id));
        Ok(user.tokens)
    }

    fn unlock(&mut self, name: &UserName) -> Result<(), AdminFault> {
        let mut state = self.lock();
        let id = state.user_mut(name)?.id;
        self.act(&mut state, Act::new(Reason::Unlocked).on(name, id).tally(Tally::Clear));
        Ok(())
    }

    fn failures_of_late(&mut self, name: &UserName) -> Result<u32, AdminFault> {
        let now = self.clock.unix();
        let state = self.lock();
        let user = state.users.get(name).ok_or_else(|| AdminFault::no_user(name))?;
        Ok(user.failures_of_late(now))
    }

    fn act_for(&mut self, name: &UserName, act: &UserAct<'_>) -> Result<(), AdminFault> {
        let now = self.clock.unix();
        let mut state = self.lock();
        let State { users, key, entropy, .. } = &mut *state;
        let user = users.get_mut(name).ok_or_else(|| AdminFault::no_user(name))?;
        let mut special = user.special.as_deref().cloned().unwrap_or_default();
        act.apply(&mut special, user.id, &hash_keys(&Keyring::new(key.clone())), now, &mut **entropy)?;
        user.special = (special != Special::default()).then(|| Arc::new(special));
        let row = Act::new(act.reason()).on(name, user.id).note(act.note(now));
        self.act(&mut state, row);
        Ok(())
    }

    fn add_token(&mut self, token: &NewToken) -> Result<TokenId, AdminFault> {
        token.check()?;
        let now = self.clock.unix();
        let mut state = self.lock();
        if state.tokens.contains_key(&token.serial) {
            return Err(AdminFault::token_exists(&token.serial));
        }
        let user = match &token.user {
            Some(name) => Some((name, state.user_mut(name)?.id)),
            None => None,
        };
        let id = state.make_token(token, now);
        self.act(&mut state, Act::new(Reason::TokenAdded).token(&token.serial).on_any(user));
        Ok(id)
    }

    fn token(&mut self, serial: &str) -> Result<TokenDetails, AdminFault> {
        let state = self.lock();
        let (serial, held) =
            state.tokens.get_key_value(serial).ok_or_else(|| AdminFault::no_token(serial))?;
        Ok(token_details(serial, held))
    }

    fn tokens(&mut self, filter: &TokenFilter) -> Result<Vec<TokenDetails>, AdminFault> {
        let fits = |serial: &Arc<str>, held: &Held| {
            filter.after.as_ref().is_none_or(|after| serial > after)
                && filter.contains.as_ref().is_none_or(|part| serial.contains(part.as_str()))
                && filter.user.as_ref().is_none_or(|user| held.user.as_ref() == Some(user))
                && !(filter.unassigned && held.user.is_some())
        };
        let state = self.lock();
        let found = state.tokens.iter().filter(|(serial, held)| fits(serial, held)).take(filter.limit);
        Ok(found.map(|(serial, held)| token_details(serial, held)).collect())
    }

    fn assign_token(&mut self, serial: &str, user: Option<&UserName>) -> Result<(), AdminFault> {
        let mut state = self.lock();
        if let Some(name) = user {
            state.user_mut(name)?;
        }
        let key = state.tokens.get_key_value(serial).map(|(key, _)| Arc::clone(key));
        let (Some(key), Some(held)) = (key, state.tokens.get_mut(serial)) else {
            return Err(AdminFault::no_token(serial));
        };
        let before = std::mem::replace(&mut held.user, user.cloned());
        let act = match user {
            Some(_) => Act::new(Reason::TokenAssigned),
            None => Act::new(Reason::TokenUnassigned),
        };
        let whose = state.numbered(user.or(before.as_ref()));
        self.act(&mut state, act.token(serial).on_any(whose));
        if before.as_ref() == user {
            return Ok(());
        }
        if let Some(old) = before.and_then(|name| state.users.get_mut(&name)) {
            old.tokens.retain(|other| **other != *serial);
        }
        if let Some(new) = user.and_then(|name| state.users.get_mut(name)) {
            new.tokens.push(key);
        }
        state.order_tokens(user);
        Ok(())
    }

    fn enable_token(&mut self, serial: &str, enabled: bool) -> Result<(), AdminFault> {
        let mut state = self.lock();
        let held = state.tokens.get_mut(serial).ok_or_else(|| AdminFault::no_token(serial))?;
        held.enabled = enabled;
        let owner = held.user.clone();
        let whose = state.numbered(owner.as_ref());
        let reason = if enabled { Reason::TokenEnabled } else { Reason::TokenDisabled };
        self.act(&mut state, Act::new(reason).token(serial).on_any(whose));
        Ok(())
    }

    fn set_token(&mut self, serial: &str, edit: &mut dyn FnMut(&mut TokenFields)) -> Result<(), AdminFault> {
        let mut state = self.lock();
        let held = state.tokens.get_mut(serial).ok_or_else(|| AdminFault::no_token(serial))?;
        edit(&mut held.fields);
        let owner = held.user.clone();
        let whose = state.numbered(owner.as_ref());
        self.act(&mut state, Act::new(Reason::TokenChanged).token(serial).on_any(whose));
        Ok(())
    }

    fn rename_token(&mut self, serial: &str, new: &Arc<str>) -> Result<(), AdminFault> {
        check_serial(new)?;
        let mut state = self.lock();
        state.rename(serial, new)?;
        let owner = state.tokens.get(new).and_then(|held| held.user.clone());
        let whose = state.numbered(owner.as_ref());
        let act = Act::new(Reason::TokenRenamed).token(new).on_any(whose);
        self.act(&mut state, act.note(format!("was {serial}")));
        Ok(())
    }

    fn replace_token(&mut self, serial: &str, by: &Replacement) -> Result<UserName, AdminFault> {
        let now = self.clock.unix();
        let mut state = self.lock();
        let user = state.replace(serial, by, now)?;
        let whose = state.numbered(Some(&user));
        let act = Act::new(Reason::TokenReplaced).token(serial).on_any(whose);
        self.act(&mut state, act.note(format!("by {}", by.serial())));
        Ok(user)
    }

    fn remove_token(&mut self, serial: &str) -> Result<(), AdminFault> {
        let mut state = self.lock();
        let (serial, held) = state.tokens.remove_entry(serial).ok_or_else(|| AdminFault::no_token(serial))?;
        let whose = state.numbered(held.user.as_ref());
        self.act(&mut state, Act::new(Reason::TokenRemoved).token(&serial).on_any(whose));
        if let Some(user) = held.user.and_then(|name| state.users.get_mut(&name)) {
            user.tokens.retain(|other| *other != serial);
        }
        if let Some(step) = held.last_step {
            // It began with what was kept, so it is never less.
            state.removed.insert((serial, held.parameters.moving), step);
        }
        Ok(())
    }

    fn import(
        &mut self,
        rows: &[NewToken],
        dry_run: bool,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ImportReport, AdminFault> {
        let now = self.clock.unix();
        let mut state = self.lock();
        let (mut report, fresh) = state.plan(rows);
        if !report.conflicts.is_empty() || dry_run {
            return Ok(report);
        }
        if !progress(rows.len()) {
            report.abandoned = true;
            return Ok(report);
        }
        for token in fresh {
            if let Some(name) = token.user.as_ref().filter(|name| !state.users.contains_key(*name)) {
                state.make_user(name, UserFields::default(), now);
            }
            state.make_token(token, now);
        }
        if report.added > 0 {
            self.act(&mut state, Act::new(Reason::TokensImported).count(report.added));
        }
        Ok(report)
    }

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn trail(&mut self) -> &mut dyn Trail {
        self
    }

    fn import_users(
        &mut self,
        rows: &[UserRow],
        update: bool,
        dry_run: bool,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ImportReport, AdminFault> {
        let now = self.clock.unix();
        let mut state = self.lock();
        let mut report = ImportReport::default();
        let mut wanted: BTreeMap<UserName, UserFields> = BTreeMap::new();
        for (row, said) in rows.iter().enumerate() {
            let known = state.users.get(&said.name).map(|user| &user.fields);
            let after = said.over(known.unwrap_or(&UserFields::default()));
            let what = if let Some(earlier) = wanted.get(&said.name) {
                (*earlier != after).then(|| ImportConflict::user_twice(&said.name))
            } else if known.is_some_and(|known| *known != after) && !update {
                Some(ImportConflict::user_exists(&said.name))
            } else {
                match known {
                    None => report.users_made += 1,
                    Some(known) if *known == after => report.unchanged += 1,
                    Some(_) => report.users_changed += 1,
                }
                wanted.insert(said.name.clone(), after);
                None
            };
            report.conflicts.extend(what.map(|what| ImportConflict { row, what }));
        }
        if !report.conflicts.is_empty() || dry_run {
            return Ok(report);
        }
        if !progress(rows.len()) {
            report.abandoned = true;
            return Ok(report);
        }
        for (name, fields) in wanted {
            match state.users.get_mut(&name) {
                Some(user) => user.fields = fields,
                None => {
                    state.make_user(&name, fields, now);
                }
            }
        }
        let count = report.users_made + report.users_changed;
        if count > 0 {
            self.act(&mut state, Act::new(Reason::UsersImported).count(count));
        }
        Ok(report)
    }

    fn export(
        &mut self,
        serials: &[Arc<str>],
        take: &mut dyn FnMut(&TokenDetails, &Secret) -> bool,
    ) -> Result<(), AdminFault> {
        for serial in serials {
            let mut state = self.lock();
            let held = state.tokens.get(serial).ok_or_else(|| AdminFault::no_token(serial))?;
            let seed = state.key.open(Purpose::TokenSeed, serial, &held.sealed);
            let seed =
                seed.map_err(|_| AdminFault::Invalid(format!("the seed of token {serial} is damaged")))?;
            let (details, owner) = (token_details(serial, held), held.user.clone());
            let whose = state.numbered(owner.as_ref());
            self.act(&mut state, Act::new(Reason::TokenExported).token(serial).on_any(whose));
            drop(state);
            if !take(&details, &seed) {
                break;
            }
        }
        Ok(())
    }

    fn reports(&mut self) -> &mut dyn Reports {
        self
    }

    fn account(&mut self, query: &UserQuery) -> UserAnswer {
        self.lock().find(query)
    }

    fn append(&mut self, record: &Record) -> CommitAnswer {
        self.lock().commit(record)
    }

    fn audit(&mut self, filter: &AuditFilter) -> Result<Vec<AuditRow>, AdminFault> {
        let fits = |row: &Row| {
            filter.since.is_none_or(|since| row.time >= since)
                && filter.user.as_ref().is_none_or(|user| row.user.as_ref() == Some(user))
                && filter.login.is_none_or(|login| row.login == login)
        };
        let state = self.lock();
        let found = state.trail.iter().rev().filter(|(_, row)| fits(row)).take(filter.limit);
        Ok(found.map(|(sequence, row)| audit_row(*sequence, row)).collect())
    }

    fn clock_suspect(&mut self) -> Result<bool, AdminFault> {
        Ok(self.lock().clock_suspect())
    }

    fn newest_row_time(&mut self) -> Result<Option<UnixTime>, AdminFault> {
        Ok(self.lock().trail.back().map(|(_, row)| row.time))
    }

    fn postures(&mut self) -> Result<Vec<Posture>, AdminFault> {
        let state = self.lock();
        let raised = state.postures.iter();
        Ok(raised
            .map(|((client, address), raised)| Posture {
                client: client.clone(),
                address: *address,
                raised: *raised,
            })
            .collect())
    }

    fn relax(&mut self, client: &Label, address: Option<IpAddr>) -> Result<usize, AdminFault> {
        let mut state = self.lock();
        let before = state.postures.len();
        state
            .postures
            .retain(|(held, at), _| held != client || address.is_some_and(|address| address != *at));
        Ok(before - state.postures.len())
    }
}

impl State {
    fn rename(&mut self, serial: &str, new: &Arc<str>) -> Result<(), AdminFault> {
        let held = self.tokens.get(serial).ok_or_else(|| AdminFault::no_token(serial))?;
        if self.tokens.contains_key(new) {
            return Err(AdminFault::token_exists(new));
        }
        let opened = self.key.open(Purpose::TokenSeed, serial, &held.sealed);
        let seed =
            opened.map_err(|_| AdminFault::Invalid(format!("the seed of token {serial} is damaged")))?;
        let Some((old, mut held)) = self.tokens.remove_entry(serial) else { return Ok(()) };
        held.sealed = self.key.seal(Purpose::TokenSeed, new, &seed, &mut *self.entropy);
        if let Some(step) = held.last_step {
            self.removed.insert((old, held.parameters.moving), step);
        }
        held.last_step =
            held.last_step.max(self.removed.get(&(Arc::clone(new), held.parameters.moving)).copied());
        if let Some(user) = held.user.as_ref().and_then(|name| self.users.get_mut(name)) {
            user.tokens.iter_mut().filter(|held| ***held == *serial).for_each(|held| *held = Arc::clone(new));
        }
        self.tokens.insert(Arc::clone(new), held);
        Ok(())
    }

    fn replace(&mut self, serial: &str, by: &Replacement, now: UnixTime) -> Result<UserName, AdminFault> {
        let old = self.tokens.get(serial).ok_or_else(|| AdminFault::no_token(serial))?;
        let user = old.user.clone().ok_or_else(|| AdminFault::nobodys(serial))?;
        match by {
            Replacement::Stock(new) if **new == *serial => return Err(AdminFault::itself(serial)),
            Replacement::Stock(new) => {
                let held = self.tokens.get_mut(new).ok_or_else(|| AdminFault::no_token(new))?;
                let expired = held.fields.expires.is_some_and(|expires| expires <= now);
                Replacement::fits(new, held.user.as_ref(), &user, held.enabled, expired)?;
                held.user = Some(user.clone());
                if let Some(owner) = self.users.get_mut(&user).filter(|owner| !owner.tokens.contains(new)) {
                    owner.tokens.push(Arc::clone(new));
                }
                self.order_tokens(Some(&user));
            }
            Replacement::Made(token) => {
                token.check()?;
                if self.tokens.contains_key(&token.serial) {
                    return Err(AdminFault::token_exists(&token.serial));
                }
                self.make_token(&NewToken { user: Some(user.clone()), ..NewToken::clone(token) }, now);
            }
        }
        if let Some(old) = self.tokens.get_mut(serial) {
            old.enabled = false;
        }
        Ok(user)
    }

    /// A user with the number.
    fn numbered(&self, user: Option<&UserName>) -> Option<(UserName, UserId)> {
        let (name, user) = self.users.get_key_value(user?)?;
        Some((name.clone(), user.id))
    }

    /// Oldest token first, whoever had it before.
    fn order_tokens(&mut self, user: Option<&UserName>) {
        let State { users, tokens, .. } = self;
        if let Some(user) = user.and_then(|name| users.get_mut(name)) {
            user.tokens.sort_by_key(|serial| tokens.get(serial).map(|held| held.id));
        }
    }

    /// What an import of `rows` would do, and the rows that are new.
    fn plan<'a>(&self, rows: &'a [NewToken]) -> (ImportReport, Vec<&'a NewToken>) {
        let mut report = ImportReport::default();
        let mut fresh: Vec<&NewToken> = Vec::new();
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut users = std::collections::HashSet::new();
        for (row, token) in rows.iter().enumerate() {
            let fault = token.check().err().map(|fault| fault.to_string());
            let first = seen.get(&*token.serial).and_then(|first| rows.get(*first));
            let conflict = match (fault, first, self.equals(token)) {
                (Some(fault), ..) => Some(fault),
                (None, Some(first), _) if first.same_as(token) => {
                    report.unchanged += 1;
                    None
                }
                (None, Some(_), _) => Some(ImportConflict::twice(&token.serial)),
                (None, None, Some(true)) => {
                    report.unchanged += 1;
                    None
                }
                (None, None, Some(false)) => Some(ImportConflict::differs(&token.serial)),
                (None, None, None) => {
                    fresh.push(token);
                    users.extend(token.user.as_ref().filter(|name| !self.users.contains_key(*name)));
                    None
                }
            };
            seen.entry(&token.serial).or_insert(row);
            report.conflicts.extend(conflict.map(|what| ImportConflict { row, what }));
        }
        report.added = fresh.len();
        report.users_made = users.len();
        (report, fresh)
    }
}

fn details_of(name: &UserName, user: &User) -> UserDetails {
    UserDetails {
        id: user.id,
        name: name.clone(),
        fields: user.fields.clone(),
        failures: user.failures,
        last_failure: user.last_failure,
        created: user.created,
        tokens: user.tokens.clone(),
    }
}

fn token_details(serial: &Arc<str>, held: &Held) -> TokenDetails {
    TokenDetails {
        id: held.id,
        serial: Arc::clone(serial),
        user: held.user.clone(),
        enabled: held.enabled,
        parameters: held.parameters,
        last_step: held.last_step,
        drift: held.drift,
        created: held.created,
        fields: held.fields.clone(),
    }
}

fn audit_row(sequence: u64, row: &Row) -> AuditRow {
    let contact = row.contact.as_deref().cloned().unwrap_or_default();
    let owned = |text: Option<Box<str>>| text.map(String::from);
    let address = |address: std::net::SocketAddr| {
        let nowhere = address.ip().is_unspecified() && address.port() == 0;
        if nowhere { String::new() } else { address.to_string() }
    };
    AuditRow {
        sequence,
        time: row.time,
        login: row.login,
        server: row.server.to_string(),
        local: address(row.local),
        client: row.client.to_string(),
        source: address(row.source),
        user: row.user.as_ref().map(ToString::to_string),
        user_id: row.user_id,
        display_name: owned(contact.display),
        first_name: owned(contact.first),
        last_name: owned(contact.last),
        mail: owned(contact.mail),
        phone: owned(contact.phone),
        station: row.station.as_deref().map(str::to_owned),
        verdict: row.verdict.code().to_owned(),
        reason: row.reason.code().to_owned(),
        method: row.method.code().to_owned(),
        protocol: row.protocol.to_owned(),
        device: row.device.as_deref().map(str::to_owned),
        spent: row.spent,
        took: row.took,
        durations: row.durations,
        count: row.count,
        actor: row.actor.as_deref().map(str::to_owned),
        note: row.note.as_deref().map(str::to_owned),
        erased: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::battery::{Bench, RealClock, battery, entropy};

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
}
