//! What commands change about users and tokens, step by step, whichever database it is in.
//!
//! ```text
//! Admin (sqlite/admin/, postgres/admin/) ─ a transaction ─ a change of this file ─ Tables: single statements
//! ```
//! Invariants, for every database alike: a change leaves its row in its own transaction; it ends the remembered factors that rest on what
//! was taken away; running servers are told whom it concerns; steps that a token has spent stay spent under each serial it ever had.

use std::sync::Arc;

use super::act::Act;
use super::admin::{AdminFault, NewToken, Replacement, TokenDetails, TokenFields, UserFields};
use super::session::Ends;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::account::{TokenId, UserId};
use crate::engine::reason::Reason;

/// The tables of users and tokens, within one transaction of a command. Users and tokens are told by their numbers; no statement but the
/// named ones looks for others that it would break.
pub(super) trait Tables {
    /// Either the database or the request is at fault.
    type Trouble: From<AdminFault>;

    /// When the transaction began.
    fn now(&self) -> UnixTime;

    fn user_id(&self, name: &UserName) -> Result<Option<i64>, Self::Trouble>;
    /// Who this is; nobody has no name.
    fn owner(&self, user: Option<i64>) -> Result<Option<(UserName, UserId)>, Self::Trouble>;
    fn user_fields(&self, user: i64) -> Result<UserFields, Self::Trouble>;
    fn serials_of(&self, user: i64) -> Result<Vec<Arc<str>>, Self::Trouble>;
    fn insert_user(&self, name: &UserName, fields: &UserFields) -> Result<i64, Self::Trouble>;
    fn update_user(&self, user: i64, fields: &UserFields) -> Result<(), Self::Trouble>;
    /// Removes a user; its tokens stay, and belong to nobody.
    fn delete_user(&self, user: i64) -> Result<(), Self::Trouble>;
    /// Ends remembered factors of `user`, if that is anybody.
    fn end_sessions(&self, user: Option<i64>, ends: Ends<'_>) -> Result<(), Self::Trouble>;

    /// Number and owner.
    fn token_id(&self, serial: &str) -> Result<Option<(i64, Option<i64>)>, Self::Trouble>;
    fn token_fields(&self, token: i64) -> Result<TokenFields, Self::Trouble>;
    fn token_details(&mut self, token: i64) -> Result<TokenDetails, Self::Trouble>;
    /// Whether it is enabled, and when it is over.
    fn usable(&self, token: i64) -> Result<(bool, Option<UnixTime>), Self::Trouble>;
    /// Adds a token whose seed is `sealed`, with the steps that were spent under its serial before.
    fn insert_token(&self, token: &NewToken, sealed: &[u8], owner: Option<i64>)
    -> Result<i64, Self::Trouble>;
    fn update_token(&self, token: i64, fields: &TokenFields) -> Result<(), Self::Trouble>;
    fn give_token(&self, token: i64, owner: Option<i64>) -> Result<(), Self::Trouble>;
    fn enable_token(&self, token: i64, enabled: bool) -> Result<(), Self::Trouble>;
    /// A step, or counter, of a token was shown.
    fn use_up(&self, token: i64, step: u64) -> Result<(), Self::Trouble>;
    /// Gives a token another serial, under which its seed is `sealed` anew.
    fn rename_token(&mut self, token: i64, new: &str, sealed: &[u8]) -> Result<(), Self::Trouble>;
    /// Removes a token with its seed, and keeps its last step.
    fn delete_token(&mut self, token: i64) -> Result<(), Self::Trouble>;
    fn seed(&self, token: i64, serial: &str) -> Result<Secret, Self::Trouble>;
    fn seal(&mut self, serial: &str, seed: &Secret) -> Box<[u8]>;

    /// Appends the row of an act.
    fn act(&mut self, act: Act) -> Result<(), Self::Trouble>;
    /// Tells running servers that they know too little of this user from here on.
    fn tell(&self, user: &UserName) -> Result<(), Self::Trouble>;
}

/// Makes a user.
pub(super) fn add_user<T: Tables>(
    tables: &mut T,
    name: &UserName,
    fields: &UserFields,
) -> Result<UserId, T::Trouble> {
    if tables.user_id(name)?.is_some() {
        return Err(AdminFault::user_exists(name).into());
    }
    let id = UserId(tables.insert_user(name, fields)?);
    tables.act(Act::new(Reason::UserAdded).on(name, id))?;
    tables.tell(name)?;
    Ok(id)
}

/// Changes a user's fields as `edit` does.
pub(super) fn set_user<T: Tables>(
    tables: &mut T,
    name: &UserName,
    edit: &mut dyn FnMut(&mut UserFields),
) -> Result<(), T::Trouble> {
    let id = known_user(tables, name)?;
    let before = tables.user_fields(id)?;
    let mut fields = before.clone();
    edit(&mut fields);
    tables.update_user(id, &fields)?;
    tables.end_sessions(Some(id), Ends::Change(&before, &fields))?;
    tables.act(Act::new(Reason::UserChanged).on(name, UserId(id)).note(before.changes(&fields)))?;
    tables.tell(name)
}

/// Removes a user; answers the serials of the tokens that nobody has from here on.
pub(super) fn remove_user<T: Tables>(tables: &mut T, name: &UserName) -> Result<Vec<Arc<str>>, T::Trouble> {
    let id = known_user(tables, name)?;
    let serials = tables.serials_of(id)?;
    tables.delete_user(id)?;
    tables.act(Act::new(Reason::UserRemoved).on(name, UserId(id)))?;
    tables.tell(name)?;
    Ok(serials)
}

/// Adds a token.
pub(super) fn add_token<T: Tables>(tables: &mut T, token: &NewToken) -> Result<TokenId, T::Trouble> {
    if tables.token_id(&token.serial)?.is_some() {
        return Err(AdminFault::token_exists(&token.serial).into());
    }
    let owner = token.user.as_ref().map(|name| known_user(tables, name)).transpose()?;
    let sealed = tables.seal(&token.serial, &token.seed);
    let id = tables.insert_token(token, &sealed, owner)?;
    let act = Act::new(Reason::TokenAdded).token(&token.serial);
    tables.act(act.on_any(token.user.as_ref().zip(owner.map(UserId))))?;
    if let Some(name) = &token.user {
        tables.tell(name)?;
    }
    Ok(TokenId(id))
}

/// Gives a token to a user, or to nobody.
pub(super) fn assign_token<T: Tables>(
    tables: &mut T,
    serial: &str,
    user: Option<&UserName>,
) -> Result<(), T::Trouble> {
    let (id, before) = known_token(tables, serial)?;
    let after = user.map(|name| known_user(tables, name)).transpose()?;
    tables.end_sessions(before.filter(|_| before != after), Ends::Gone(TokenId(id)))?;
    tables.give_token(id, after)?;
    let had = tables.owner(before)?;
    let act = match user.zip(after) {
        Some((name, id)) => Act::new(Reason::TokenAssigned).on(name, UserId(id)),
        None => Act::new(Reason::TokenUnassigned).on_any(had.as_ref().map(|(name, id)| (name, *id))),
    };
    tables.act(act.token(serial))?;
    for name in had.iter().map(|(name, _)| name).chain(user) {
        tables.tell(name)?;
    }
    Ok(())
}

/// Switches a token on or off.
pub(super) fn enable_token<T: Tables>(tables: &mut T, serial: &str, enabled: bool) -> Result<(), T::Trouble> {
    let (id, owner) = known_token(tables, serial)?;
    if !enabled {
        tables.end_sessions(owner, Ends::Token(TokenId(id)))?;
    }
    tables.enable_token(id, enabled)?;
    let reason = if enabled { Reason::TokenEnabled } else { Reason::TokenDisabled };
    done(tables, Act::new(reason).token(serial), owner)
}

/// Changes what is known of a token as `edit` does.
pub(super) fn set_token<T: Tables>(
    tables: &mut T,
    serial: &str,
    edit: &mut dyn FnMut(&mut TokenFields),
) -> Result<(), T::Trouble> {
    let (id, owner) = known_token(tables, serial)?;
    let mut fields = tables.token_fields(id)?;
    edit(&mut fields);
    tables.update_token(id, &fields)?;
    done(tables, Act::new(Reason::TokenChanged).token(serial), owner)
}

/// Shows a token that is nobody's to `judge`, with its seed, and uses up the step or counter that is answered; `None` changes nothing.
pub(super) fn verify_stock<T: Tables>(
    tables: &mut T,
    serial: &str,
    judge: &mut dyn FnMut(&TokenDetails, &Secret) -> Option<u64>,
) -> Result<(), T::Trouble> {
    let (id, owner) = known_token(tables, serial)?;
    if owner.is_some() {
        return Err(AdminFault::somebodys(serial).into());
    }
    let seed = tables.seed(id, serial)?;
    let Some(step) = judge(&tables.token_details(id)?, &seed) else { return Ok(()) };
    tables.use_up(id, step)?;
    tables.act(Act::new(Reason::TokenVerified).token(serial))
}

/// Gives a token another serial, to which its seed is bound.
pub(super) fn rename_token<T: Tables>(tables: &mut T, serial: &str, new: &str) -> Result<(), T::Trouble> {
    let (id, owner) = known_token(tables, serial)?;
    if tables.token_id(new)?.is_some() {
        return Err(AdminFault::token_exists(new).into());
    }
    let seed = tables.seed(id, serial)?;
    let sealed = tables.seal(new, &seed);
    tables.rename_token(id, new, &sealed)?;
    done(tables, Act::new(Reason::TokenRenamed).token(new).note(format!("was {serial}")), owner)
}

/// Disables a user's token and gives the user another one; answers the user.
pub(super) fn replace_token<T: Tables>(
    tables: &mut T,
    serial: &str,
    by: &Replacement,
) -> Result<UserName, T::Trouble> {
    let (old, owner) = known_token(tables, serial)?;
    let owner = owner.ok_or_else(|| AdminFault::nobodys(serial))?;
    let (user, _) = tables
        .owner(Some(owner))?
        .ok_or_else(|| AdminFault::Invalid(format!("the owner of token {serial} has no name")))?;
    match by {
        Replacement::Stock(new) if **new == *serial => return Err(AdminFault::itself(serial).into()),
        Replacement::Stock(new) => {
            let (id, held_by) = known_token(tables, new)?;
            let held_by = tables.owner(held_by)?.map(|(name, _)| name);
            let (enabled, expires) = tables.usable(id)?;
            let over = expires.is_some_and(|expires| expires <= tables.now());
            Replacement::fits(new, held_by.as_ref(), &user, enabled, over)?;
            tables.give_token(id, Some(owner))?;
        }
        Replacement::Made(token) => {
            token.check()?;
            if tables.token_id(&token.serial)?.is_some() {
                return Err(AdminFault::token_exists(&token.serial).into());
            }
            let sealed = tables.seal(&token.serial, &token.seed);
            tables.insert_token(token, &sealed, Some(owner))?;
        }
    }
    tables.end_sessions(Some(owner), Ends::Token(TokenId(old)))?;
    tables.enable_token(old, false)?;
    let act = Act::new(Reason::TokenReplaced).token(serial).on(&user, UserId(owner));
    tables.act(act.note(format!("by {}", by.serial())))?;
    tables.tell(&user)?;
    Ok(user)
}

/// Removes a token with its seed.
pub(super) fn remove_token<T: Tables>(tables: &mut T, serial: &str) -> Result<(), T::Trouble> {
    let (id, owner) = known_token(tables, serial)?;
    tables.end_sessions(owner, Ends::Gone(TokenId(id)))?;
    tables.delete_token(id)?;
    done(tables, Act::new(Reason::TokenRemoved).token(serial), owner)
}

/// The seeds of tokens, each of which leaves a row for it. Nothing changes that running servers know.
pub(super) fn export<T: Tables>(tables: &mut T, serials: &[Arc<str>]) -> Result<Vec<Secret>, T::Trouble> {
    let mut seeds = Vec::with_capacity(serials.len());
    for serial in serials {
        let (id, owner) = known_token(tables, serial)?;
        seeds.push(tables.seed(id, serial)?);
        let owner = tables.owner(owner)?;
        tables.act(Act::new(Reason::TokenExported).token(serial).on_any(owner))?;
    }
    Ok(seeds)
}

fn known_user<T: Tables>(tables: &T, name: &UserName) -> Result<i64, T::Trouble> {
    Ok(tables.user_id(name)?.ok_or_else(|| AdminFault::no_user(name))?)
}

fn known_token<T: Tables>(tables: &T, serial: &str) -> Result<(i64, Option<i64>), T::Trouble> {
    Ok(tables.token_id(serial)?.ok_or_else(|| AdminFault::no_token(serial))?)
}

/// Something was done to a token of `owner`.
fn done<T: Tables>(tables: &mut T, act: Act, owner: Option<i64>) -> Result<(), T::Trouble> {
    let owner = tables.owner(owner)?;
    tables.act(act.on_any(owner.as_ref().map(|(name, id)| (name, *id))))?;
    owner.map_or(Ok(()), |(name, _)| tables.tell(&name))
}
