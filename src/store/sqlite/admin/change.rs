//! The tables of a store file as the changes of commands want them ([`Tables`]).

use std::sync::Arc;

use rusqlite::{Transaction, params};

use super::super::hot::Hot;
use super::super::pen::Pen;
use super::super::sessions;
use super::super::tables::{
    delete_token, delete_user, insert_token, insert_user, keep_steps, log_change, owner_of, restore_steps,
    serials_of, token_columns, token_details, token_fields, token_id, update_user, user_fields, user_id,
};
use super::{Trouble, fold};
use crate::base::name::UserName;
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::account::{TokenId, UserId};
use crate::factor::oath::Drift;
use crate::store::act::Act;
use crate::store::admin::{AdminFault, NewToken, TokenDetails, TokenFields, UserFields};
use crate::store::changes::Tables;
use crate::store::columns::{int, nat};
use crate::store::keyring::Keyring;
use crate::store::seal::Purpose;
use crate::store::session::Ends;

/// A command's transaction on a store file.
pub(super) struct Change<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) pen: &'a mut Pen,
    pub(super) key: &'a Keyring,
    /// The fold of the newest rows, read when first needed.
    pub(super) hot: &'a mut Option<Hot>,
    pub(super) now: UnixTime,
}

impl Change<'_> {
    /// A token's last step where rows after the watermark say so.
    fn recent_step(&mut self, token: i64) -> Result<Option<u64>, Trouble> {
        let hot = fold(self.hot, self.transaction)?;
        Ok(hot.tokens.get(&token).map(|spent| spent.step))
    }
}

impl Tables for Change<'_> {
    type Trouble = Trouble;

    fn now(&self) -> UnixTime {
        self.now
    }

    fn user_id(&self, name: &UserName) -> Result<Option<i64>, Trouble> {
        Ok(user_id(self.transaction, name)?)
    }

    fn owner(&self, user: Option<i64>) -> Result<Option<(UserName, UserId)>, Trouble> {
        Ok(owner_of(self.transaction, user)?)
    }

    fn user_fields(&self, user: i64) -> Result<UserFields, Trouble> {
        Ok(user_fields(self.transaction, user)?.0)
    }

    fn serials_of(&self, user: i64) -> Result<Vec<Arc<str>>, Trouble> {
        Ok(serials_of(self.transaction, user)?)
    }

    fn insert_user(&self, name: &UserName, fields: &UserFields) -> Result<i64, Trouble> {
        Ok(insert_user(self.transaction, name, fields, self.now, None)?.0)
    }

    fn update_user(&self, user: i64, fields: &UserFields) -> Result<(), Trouble> {
        Ok(update_user(self.transaction, user, fields)?)
    }

    fn delete_user(&self, user: i64) -> Result<(), Trouble> {
        Ok(delete_user(self.transaction, user)?)
    }

    fn end_sessions(&self, user: Option<i64>, ends: Ends<'_>) -> Result<(), Trouble> {
        Ok(sessions::end(self.transaction, user, ends)?)
    }

    fn token_id(&self, serial: &str) -> Result<Option<(i64, Option<i64>)>, Trouble> {
        Ok(token_id(self.transaction, serial)?)
    }

    fn token_fields(&self, token: i64) -> Result<TokenFields, Trouble> {
        let sql = "SELECT label, manufacturer, model, starts, expires, drift_said FROM token WHERE id = ?1";
        Ok(self.transaction.query_row(sql, [token], |row| token_fields(row, 0))?)
    }

    fn token_details(&mut self, token: i64) -> Result<TokenDetails, Trouble> {
        let hot = fold(self.hot, self.transaction)?;
        let mut statement = self.transaction.prepare_cached(concat!(token_columns!(), "token.id = ?1"))?;
        Ok(statement.query_row([token], |row| token_details(row, hot))?)
    }

    fn usable(&self, token: i64) -> Result<(bool, Option<UnixTime>), Trouble> {
        let sql = "SELECT enabled, expires FROM token WHERE id = ?1";
        let found = self.transaction.query_row(sql, [token], |row| Ok((row.get(0)?, row.get(1)?)));
        let (enabled, expires): (bool, Option<i64>) = found?;
        Ok((enabled, expires.map(|expires| UnixTime(nat(expires)))))
    }

    fn insert_token(&self, token: &NewToken, sealed: &[u8], owner: Option<i64>) -> Result<i64, Trouble> {
        let id = insert_token(self.transaction, token, sealed, owner, self.now, None)?;
        restore_steps(self.transaction, id, None)?;
        Ok(id.0)
    }

    fn update_token(&self, token: i64, fields: &TokenFields) -> Result<(), Trouble> {
        self.transaction.execute(
            "UPDATE token SET label = ?2, manufacturer = ?3, model = ?4, starts = ?5, expires = ?6, drift_said = ?7
             WHERE id = ?1",
            params![
                token,
                fields.label,
                fields.manufacturer,
                fields.model,
                fields.starts.map(|starts| int(starts.0)),
                fields.expires.map(|expires| int(expires.0)),
                fields.drift.map(Drift::sixteenths),
            ],
        )?;
        Ok(())
    }

    fn give_token(&self, token: i64, owner: Option<i64>) -> Result<(), Trouble> {
        self.transaction.execute("UPDATE token SET user = ?2 WHERE id = ?1", params![token, owner])?;
        Ok(())
    }

    fn enable_token(&self, token: i64, enabled: bool) -> Result<(), Trouble> {
        self.transaction.execute("UPDATE token SET enabled = ?2 WHERE id = ?1", params![token, enabled])?;
        Ok(())
    }

    fn use_up(&self, token: i64, step: u64) -> Result<(), Trouble> {
        self.transaction.execute(
            "INSERT INTO token_state (token, last_step) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET last_step = max(last_step, excluded.last_step)",
            params![token, int(step)],
        )?;
        Ok(())
    }

    fn rename_token(&mut self, token: i64, new: &str, sealed: &[u8]) -> Result<(), Trouble> {
        let recent = self.recent_step(token)?;
        keep_steps(self.transaction, token, recent)?;
        let sql = "UPDATE token SET serial = ?2, seed = ?3 WHERE id = ?1";
        self.transaction.execute(sql, params![token, new, sealed])?;
        Ok(restore_steps(self.transaction, TokenId(token), Some(TokenId(token)))?)
    }

    fn delete_token(&mut self, token: i64) -> Result<(), Trouble> {
        let recent = self.recent_step(token)?;
        Ok(delete_token(self.transaction, token, recent)?)
    }

    fn seed(&self, token: i64, serial: &str) -> Result<Secret, Trouble> {
        let sql = "SELECT seed FROM token WHERE id = ?1";
        let sealed: Vec<u8> = self.transaction.query_row(sql, [token], |row| row.get(0))?;
        let opened = self.key.open(Purpose::TokenSeed, serial, &sealed);
        Ok(opened.map_err(|_| AdminFault::seed_damaged(serial))?)
    }

    fn seal(&mut self, serial: &str, seed: &Secret) -> Box<[u8]> {
        self.key.seal(Purpose::TokenSeed, serial, seed, &mut *self.pen.entropy)
    }

    fn act(&mut self, act: Act) -> Result<(), Trouble> {
        Ok(self.pen.act(self.transaction, act)?)
    }

    fn tell(&self, user: &UserName) -> Result<(), Trouble> {
        Ok(log_change(self.transaction, Some(user))?)
    }
}
