//! What commands ask of the store in memory, each under its one lock.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::tokens::{details_of, token_details};
use super::trail::audit_row;
use super::{Held, MemoryStore, State, User};
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::account::{TokenId, UserId};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Record, Row};
use crate::engine::special::Special;
use crate::store::act::{Act, Origin};
use crate::store::admin::{
    Admin, AdminFault, AuditFilter, AuditRow, ImportConflict, ImportReport, NewToken, Posture, Replacement,
    TokenDetails, TokenFields, TokenFilter, UserDetails, UserFields, UserFilter, UserRow, check_serial,
};
use crate::store::keyring::Keyring;
use crate::store::report::Reports;
use crate::store::seal::Purpose;
use crate::store::session::Ends;
use crate::store::trail::Trail;
use crate::store::user_act::{UserAct, hash_keys};

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
        Ends::Change(&before, &user.fields).take_out(&mut user.special);
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
        let row = Act::new(act.reason()).on(name, user.id).note(act.note(now)).tally(act.tally());
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
        let id = held.id;
        state.end_sessions(before.as_ref().filter(|_| before.as_ref() != user), Ends::Gone(id));
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
        let (owner, id) = (held.user.clone(), held.id);
        if !enabled {
            state.end_sessions(owner.as_ref(), Ends::Token(id));
        }
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

    fn verify_stock(
        &mut self,
        serial: &str,
        judge: &mut dyn FnMut(&TokenDetails, &Secret) -> Option<u64>,
    ) -> Result<(), AdminFault> {
        let mut state = self.lock();
        let (known, held) = state.tokens.get_key_value(serial).ok_or_else(|| AdminFault::no_token(serial))?;
        if held.user.is_some() {
            return Err(AdminFault::somebodys(serial));
        }
        let opened = state.key.open(Purpose::TokenSeed, serial, &held.sealed);
        let seed = opened.map_err(|_| AdminFault::seed_damaged(serial))?;
        let Some(step) = judge(&token_details(known, held), &seed) else { return Ok(()) };
        if let Some(held) = state.tokens.get_mut(serial) {
            held.last_step = held.last_step.max(Some(step));
        }
        self.act(&mut state, Act::new(Reason::TokenVerified).token(serial));
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
        state.end_sessions(held.user.as_ref(), Ends::Gone(held.id));
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

    fn work_as(&mut self, origin: Origin) {
        self.origin = origin;
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
                Some(user) => {
                    let before = std::mem::replace(&mut user.fields, fields);
                    Ends::Change(&before, &user.fields).take_out(&mut user.special);
                }
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
            let seed = seed.map_err(|_| AdminFault::seed_damaged(serial))?;
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

    fn memo(&mut self, name: &str) -> Result<Option<String>, AdminFault> {
        Ok(self.lock().memos.get(name).cloned())
    }

    fn set_memo(&mut self, name: &str, text: &str) -> Result<(), AdminFault> {
        self.lock().memos.insert(name.to_owned(), text.to_owned());
        Ok(())
    }

    fn memo_once(&mut self, name: &str, text: &str) -> Result<String, AdminFault> {
        Ok(self.lock().memos.entry(name.to_owned()).or_insert_with(|| text.to_owned()).clone())
    }

    fn change_memo(
        &mut self,
        name: &str,
        edit: &mut dyn FnMut(Option<&str>) -> Result<String, AdminFault>,
        act: Act,
    ) -> Result<(), AdminFault> {
        let mut state = self.lock();
        let text = edit(state.memos.get(name).map(String::as_str))?;
        state.memos.insert(name.to_owned(), text);
        self.act(&mut state, act);
        Ok(())
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
