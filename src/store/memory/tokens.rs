//! Changes to tokens that take more than one step, imports among them, and what an admin sees of users and tokens.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Held, State, User};
use crate::base::name::UserName;
use crate::base::time::UnixTime;
use crate::engine::account::UserId;
use crate::store::admin::{
    AdminFault, ImportConflict, ImportReport, NewToken, Replacement, TokenDetails, UserDetails,
};
use crate::store::seal::Purpose;
use crate::store::session::Ends;

impl State {
    pub(super) fn rename(&mut self, serial: &str, new: &Arc<str>) -> Result<(), AdminFault> {
        let held = self.tokens.get(serial).ok_or_else(|| AdminFault::no_token(serial))?;
        if self.tokens.contains_key(new) {
            return Err(AdminFault::token_exists(new));
        }
        let opened = self.key.open(Purpose::TokenSeed, serial, &held.sealed);
        let seed = opened.map_err(|_| AdminFault::seed_damaged(serial))?;
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

    pub(super) fn replace(
        &mut self,
        serial: &str,
        by: &Replacement,
        now: UnixTime,
    ) -> Result<UserName, AdminFault> {
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
            let id = old.id;
            self.end_sessions(Some(&user), Ends::Token(id));
        }
        Ok(user)
    }

    /// Ends what a code of the token began for its owner.
    pub(super) fn end_sessions(&mut self, owner: Option<&UserName>, ends: Ends<'_>) {
        if let Some(user) = owner.and_then(|name| self.users.get_mut(name)) {
            ends.take_out(&mut user.special);
        }
    }

    /// A user with the number.
    pub(super) fn numbered(&self, user: Option<&UserName>) -> Option<(UserName, UserId)> {
        let (name, user) = self.users.get_key_value(user?)?;
        Some((name.clone(), user.id))
    }

    /// Oldest token first, whoever had it before.
    pub(super) fn order_tokens(&mut self, user: Option<&UserName>) {
        let State { users, tokens, .. } = self;
        if let Some(user) = user.and_then(|name| users.get_mut(name)) {
            user.tokens.sort_by_key(|serial| tokens.get(serial).map(|held| held.id));
        }
    }

    /// What an import of `rows` would do, and the rows that are new.
    pub(super) fn plan<'a>(&self, rows: &'a [NewToken]) -> (ImportReport, Vec<&'a NewToken>) {
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

pub(super) fn details_of(name: &UserName, user: &User) -> UserDetails {
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

pub(super) fn token_details(serial: &Arc<str>, held: &Held) -> TokenDetails {
    TokenDetails {
        id: held.id,
        serial: Arc::clone(serial),
        user: held.user.clone(),
        enabled: held.enabled,
        parameters: held.parameters,
        last_step: held.last_step,
        drift: held.drift.or(held.fields.drift),
        created: held.created,
        fields: held.fields.clone(),
    }
}
