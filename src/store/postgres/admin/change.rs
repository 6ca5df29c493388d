//! The tables of a database as the changes of commands want them ([`Tables`]).

use std::sync::Arc;

use super::super::rows::Odd;
use super::super::session::{Trouble, Tx};
use super::super::sessions;
use super::super::tables::{
    TOKEN, delete_user, insert_token, insert_user, keep_steps, owner_of, restore_steps, serials_of, take_ids,
    taken, token_details, token_fields, token_id, update_user, user_fields, user_id,
};
use super::Pen;
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::account::UserId;
use crate::store::act::Act;
use crate::store::admin::{AdminFault, NewToken, TokenDetails, TokenFields, UserFields};
use crate::store::changes::Tables;
use crate::store::columns::{int, nat};
use crate::store::keyring::Keyring;
use crate::store::seal::Purpose;
use crate::store::session::Ends;

/// A command's transaction on a database.
pub(super) struct Change<'a, 'pen> {
    pub(super) tx: &'a Tx<'a>,
    pub(super) pen: &'a mut Pen<'pen>,
    pub(super) key: &'a Keyring,
    pub(super) now: UnixTime,
}

impl Tables for Change<'_, '_> {
    type Trouble = Trouble;

    fn now(&self) -> UnixTime {
        self.now
    }

    fn user_id(&self, name: &UserName) -> Result<Option<i64>, Trouble> {
        user_id(self.tx, name)
    }

    fn owner(&self, user: Option<i64>) -> Result<Option<(UserName, UserId)>, Trouble> {
        owner_of(self.tx, user)
    }

    fn user_fields(&self, user: i64) -> Result<UserFields, Trouble> {
        Ok(user_fields(self.tx, user)?.0)
    }

    fn serials_of(&self, user: i64) -> Result<Vec<Arc<str>>, Trouble> {
        serials_of(self.tx, user)
    }

    fn insert_user(&self, name: &UserName, fields: &UserFields) -> Result<i64, Trouble> {
        let id = take_ids(self.tx, "account", 1)?;
        let inserted = insert_user(self.tx, id, name, fields, self.now);
        taken(inserted, || AdminFault::user_exists(name))?;
        Ok(id)
    }

    fn update_user(&self, user: i64, fields: &UserFields) -> Result<(), Trouble> {
        update_user(self.tx, user, fields)
    }

    fn delete_user(&self, user: i64) -> Result<(), Trouble> {
        delete_user(self.tx, user)
    }

    fn end_sessions(&self, user: Option<i64>, ends: Ends<'_>) -> Result<(), Trouble> {
        sessions::end(self.tx, user, ends)
    }

    fn token_id(&self, serial: &str) -> Result<Option<(i64, Option<i64>)>, Trouble> {
        token_id(self.tx, serial)
    }

    fn token_fields(&self, token: i64) -> Result<TokenFields, Trouble> {
        let sql = "SELECT label, manufacturer, model, starts, expires, drift_said FROM token
            WHERE id = $1 FOR UPDATE";
        Ok(token_fields(&self.tx.row(sql, &[&token])?.ok_or(GONE)?, 0)?)
    }

    fn token_details(&mut self, token: i64) -> Result<TokenDetails, Trouble> {
        let sql = format!("{TOKEN} WHERE token.id = $1");
        token_details(&self.tx.row(&sql, &[&token])?.ok_or(GONE)?)
    }

    fn usable(&self, token: i64) -> Result<(bool, Option<UnixTime>), Trouble> {
        let row = self.tx.row("SELECT enabled, expires FROM token WHERE id = $1", &[&token])?.ok_or(GONE)?;
        let expires: Option<i64> = row.try_get(1)?;
        Ok((row.try_get(0)?, expires.map(|expires| UnixTime(nat(expires)))))
    }

    fn insert_token(&self, token: &NewToken, sealed: &[u8], owner: Option<i64>) -> Result<i64, Trouble> {
        let id = take_ids(self.tx, "token", 1)?;
        let inserted = insert_token(self.tx, id, token, sealed, owner, self.now);
        taken(inserted, || AdminFault::token_exists(&token.serial))?;
        restore_steps(self.tx, id, id)?;
        Ok(id)
    }

    fn update_token(&self, token: i64, fields: &TokenFields) -> Result<(), Trouble> {
        let time = |time: Option<UnixTime>| time.map(|time| int(time.0));
        let done = self.tx.run(
            "UPDATE token SET label = $2, manufacturer = $3, model = $4, starts = $5, expires = $6, drift_said = $7
             WHERE id = $1",
            &[
                &token,
                &fields.label.as_deref(),
                &fields.manufacturer.as_deref(),
                &fields.model.as_deref(),
                &time(fields.starts),
                &time(fields.expires),
                &fields.drift.map(|drift| i32::from(drift.sixteenths())),
            ],
        );
        done.map(drop)
    }

    fn give_token(&self, token: i64, owner: Option<i64>) -> Result<(), Trouble> {
        self.tx.run("UPDATE token SET account = $2 WHERE id = $1", &[&token, &owner]).map(drop)
    }

    fn enable_token(&self, token: i64, enabled: bool) -> Result<(), Trouble> {
        self.tx.run("UPDATE token SET enabled = $2 WHERE id = $1", &[&token, &enabled]).map(drop)
    }

    fn use_up(&self, token: i64, step: u64) -> Result<(), Trouble> {
        let sql = "UPDATE token SET last_step = greatest(coalesce(last_step, $2), $2) WHERE id = $1";
        self.tx.run(sql, &[&token, &int(step)]).map(drop)
    }

    fn rename_token(&mut self, token: i64, new: &str, sealed: &[u8]) -> Result<(), Trouble> {
        keep_steps(self.tx, token)?;
        let sql = "UPDATE token SET serial = $2, seed = $3 WHERE id = $1";
        taken(self.tx.run(sql, &[&token, &new, &sealed]), || AdminFault::token_exists(new))?;
        restore_steps(self.tx, token, token)
    }

    fn delete_token(&mut self, token: i64) -> Result<(), Trouble> {
        keep_steps(self.tx, token)?;
        self.tx.run("DELETE FROM token WHERE id = $1", &[&token]).map(drop)
    }

    fn seed(&self, token: i64, serial: &str) -> Result<Secret, Trouble> {
        let row = self.tx.row("SELECT seed FROM token WHERE id = $1 FOR UPDATE", &[&token])?.ok_or(GONE)?;
        let opened = self.key.open(Purpose::TokenSeed, serial, row.try_get(0)?);
        Ok(opened.map_err(|_| AdminFault::seed_damaged(serial))?)
    }

    fn seal(&mut self, serial: &str, seed: &Secret) -> Box<[u8]> {
        self.key.seal(Purpose::TokenSeed, serial, seed, self.pen.entropy)
    }

    fn act(&mut self, act: Act) -> Result<(), Trouble> {
        self.pen.act(self.tx, act)
    }

    /// Nobody remembers users between logins.
    fn tell(&self, _user: &UserName) -> Result<(), Trouble> {
        Ok(())
    }
}

/// Commands go one after the other, and no login removes a token.
const GONE: Odd = Odd::Damaged("a token is gone");
