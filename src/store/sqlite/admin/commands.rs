//! The blocking face of a store file, command by command.

use std::net::IpAddr;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};

use super::super::rows::{self, visible};
use super::super::tables::{postures, token_columns, token_details, user_details, user_id};
use super::super::view::FRESH;
use super::super::{clocks, failures, import, people, sessions, user_act};
use super::{SqliteAdmin, Trouble, under_way};
use crate::base::name::{GroupName, Label, UserName};
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::account::{TokenId, UserId};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Record};
use crate::engine::special::Special;
use crate::store::act::{Act, Origin};
use crate::store::admin::{
    Admin, AdminFault, AuditFilter, AuditRow, Having, ImportReport, NewToken, Posture, Replacement,
    TokenDetails, TokenFields, TokenFilter, UserDetails, UserFields, UserFilter, UserRow, check_serial,
};
use crate::store::changes;
use crate::store::paged::{exported, paged};
use crate::store::report::Reports;
use crate::store::trail::Trail;
use crate::store::user_act::UserAct;

impl Admin for SqliteAdmin {
    fn add_user(&mut self, name: &UserName, fields: &UserFields) -> Result<UserId, AdminFault> {
        match self.alter(|tables| changes::add_user(tables, name, fields)) {
            Err(AdminFault::Store(_)) if self.is_hidden("user", "name", name.as_str()) => {
                self.sweep()?;
                let added = self.alter(|tables| changes::add_user(tables, name, fields));
                added.map_err(|fault| under_way(fault, &format!("user {name}")))
            }
            done => done,
        }
    }

    fn user(&mut self, name: &UserName) -> Result<UserDetails, AdminFault> {
        self.read(|connection, hot| {
            Ok(user_details(connection, hot, name)?.ok_or_else(|| AdminFault::no_user(name))?)
        })
    }

    fn users(&mut self, filter: &UserFilter) -> Result<Vec<UserDetails>, AdminFault> {
        let after = filter.after.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default();
        let key = |user: &UserDetails| user.name.as_str().to_owned();
        paged(filter.limit, after, key, |after, page| {
            self.read(|connection, hot| {
                let mut statement = connection.prepare_cached(concat!(
                    "SELECT name FROM user WHERE name > ?1 AND (?2 IS NULL OR instr(name, ?2) > 0)
                         AND (?4 IS NULL OR instr(char(10) || member_of || char(10), char(10) || ?4 || char(10)) > 0)
                         AND (?5 IS NULL OR disabled = 1 OR special IS NOT NULL
                              OR id IN (SELECT user FROM user_state WHERE failures > 0)
                              OR id IN (SELECT value FROM json_each(?5)))
                         AND ",
                    visible!("batch"),
                    " ORDER BY name LIMIT ?3"
                ))?;
                let group = filter.group.as_ref().map(GroupName::as_str);
                // Those of whom the state tables do not say yet that they failed.
                let failed = filter.kept_out.then(|| {
                    let failed = hot.users.iter().filter(|(_, count)| count.failures > 0);
                    format!("[{}]", failed.map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(","))
                });
                let page = i64::try_from(page).unwrap_or(i64::MAX);
                let wanted = params![after, filter.contains, page, group, failed];
                let names = statement.query_map(wanted, |row| row.get::<_, String>(0))?;
                let mut users = Vec::new();
                for name in names {
                    if let Ok(name) = UserName::canonical(name?.as_bytes()) {
                        users.extend(user_details(connection, hot, &name)?);
                    }
                }
                Ok(users)
            })
        })
    }

    fn set_user(&mut self, name: &UserName, edit: &mut dyn FnMut(&mut UserFields)) -> Result<(), AdminFault> {
        self.alter(|tables| changes::set_user(tables, name, edit))
    }

    fn remove_user(&mut self, name: &UserName) -> Result<Vec<Arc<str>>, AdminFault> {
        self.alter(|tables| changes::remove_user(tables, name))
    }

    fn failures_of_late(&mut self, name: &UserName) -> Result<u32, AdminFault> {
        let now = self.clock.unix();
        self.read(|connection, _| {
            let id = user_id(connection, name)?.ok_or_else(|| AdminFault::no_user(name))?;
            Ok(failures::of_late(connection, UserId(id), now)?)
        })
    }

    fn act_for(&mut self, name: &UserName, act: &UserAct<'_>) -> Result<(), AdminFault> {
        user_act::act_for(self, name, act)
    }

    fn users_with(&mut self, what: Having) -> Result<Vec<(UserName, Arc<Special>)>, AdminFault> {
        self.blame(sessions::who(&self.connection, what).map_err(Trouble::Sql))
    }

    fn add_token(&mut self, token: &NewToken) -> Result<TokenId, AdminFault> {
        token.check()?;
        match self.alter(|tables| changes::add_token(tables, token)) {
            Err(AdminFault::Store(_)) if self.is_hidden("token", "serial", &token.serial) => {
                self.sweep()?;
                let added = self.alter(|tables| changes::add_token(tables, token));
                added.map_err(|fault| under_way(fault, &format!("token {}", token.serial)))
            }
            done => done,
        }
    }

    fn token(&mut self, serial: &str) -> Result<TokenDetails, AdminFault> {
        self.read(|connection, hot| {
            let mut statement = connection.prepare_cached(concat!(
                token_columns!(),
                "serial = ?1 AND ",
                visible!("token.batch")
            ))?;
            let found = statement.query_row([serial], |row| token_details(row, hot)).optional()?;
            Ok(found.ok_or_else(|| AdminFault::no_token(serial))?)
        })
    }

    fn tokens(&mut self, filter: &TokenFilter) -> Result<Vec<TokenDetails>, AdminFault> {
        let after: Arc<str> = filter.after.clone().unwrap_or_default();
        let key = |token: &TokenDetails| Arc::clone(&token.serial);
        paged(filter.limit, after, key, |after, page| {
            self.read(|connection, hot| {
                let user = match &filter.user {
                    Some(name) => Some(user_id(connection, name)?.unwrap_or(-1)),
                    None => None,
                };
                let mut statement = connection.prepare_cached(concat!(
                    token_columns!(),
                    "serial > ?1 AND (?2 IS NULL OR token.user = ?2) AND NOT (?3 AND token.user IS NOT NULL)
                         AND (?4 IS NULL OR instr(serial, ?4) > 0) AND ",
                    visible!("token.batch"),
                    " ORDER BY serial LIMIT ?5"
                ))?;
                let limit = i64::try_from(page).unwrap_or(i64::MAX);
                let wanted = params![after, user, filter.unassigned, filter.contains, limit];
                let tokens = statement.query_map(wanted, |row| token_details(row, hot))?;
                Ok(tokens.collect::<Result<Vec<_>, _>>()?)
            })
        })
    }

    fn assign_token(&mut self, serial: &str, user: Option<&UserName>) -> Result<(), AdminFault> {
        self.alter(|tables| changes::assign_token(tables, serial, user))
    }

    fn enable_token(&mut self, serial: &str, enabled: bool) -> Result<(), AdminFault> {
        self.alter(|tables| changes::enable_token(tables, serial, enabled))
    }

    fn set_token(&mut self, serial: &str, edit: &mut dyn FnMut(&mut TokenFields)) -> Result<(), AdminFault> {
        self.alter(|tables| changes::set_token(tables, serial, edit))
    }

    fn verify_stock(
        &mut self,
        serial: &str,
        judge: &mut dyn FnMut(&TokenDetails, &Secret) -> Option<u64>,
    ) -> Result<(), AdminFault> {
        self.catch_up()?;
        self.alter(|tables| changes::verify_stock(tables, serial, judge))
    }

    fn rename_token(&mut self, serial: &str, new: &Arc<str>) -> Result<(), AdminFault> {
        check_serial(new)?;
        self.catch_up()?;
        self.alter(|tables| changes::rename_token(tables, serial, new))
    }

    fn replace_token(&mut self, serial: &str, by: &Replacement) -> Result<UserName, AdminFault> {
        self.alter(|tables| changes::replace_token(tables, serial, by))
    }

    fn remove_token(&mut self, serial: &str) -> Result<(), AdminFault> {
        self.catch_up()?;
        self.alter(|tables| changes::remove_token(tables, serial))
    }

    fn import(
        &mut self,
        rows: &[NewToken],
        dry_run: bool,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ImportReport, AdminFault> {
        let result = import::run(self, rows, dry_run, progress);
        std::thread::sleep(FRESH);
        self.blame(result)
    }

    fn origin(&self) -> &Origin {
        &self.pen.origin
    }

    fn work_as(&mut self, origin: Origin) {
        self.pen.origin = origin;
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
        let result = people::run(self, rows, (update, dry_run), progress);
        std::thread::sleep(FRESH);
        self.blame(result)
    }

    fn export(
        &mut self,
        serials: &[Arc<str>],
        take: &mut dyn FnMut(&TokenDetails, &Secret) -> bool,
    ) -> Result<(), AdminFault> {
        let record = |admin: &mut SqliteAdmin, serials: &[Arc<str>]| {
            admin.alter(|tables| changes::export(tables, serials))
        };
        exported(self, serials, record, take)
    }

    fn reports(&mut self) -> &mut dyn Reports {
        self
    }

    fn account(&mut self, query: &UserQuery) -> UserAnswer {
        let key = self.file.key.clone();
        let answer = self.read(|connection, hot| {
            let mut seat = rows::seat(connection, &query.user)?;
            if let Some(seat) = &mut seat {
                hot.overlay(seat);
                if seat.owns_tokens() {
                    return Ok(seat.answer(query, &key, false));
                }
            }
            let resembles = query.look_alikes && rows::resembles(connection, &query.user)?;
            Ok(rows::stranger(seat.map(|seat| seat.answer(query, &key, false)), resembles))
        });
        answer.unwrap_or_else(|error| {
            tracing::warn!(%error, "the store cannot be read");
            UserAnswer::Unavailable
        })
    }

    fn append(&mut self, record: &Record) -> CommitAnswer {
        self.try_append(record).unwrap_or_else(|error| {
            tracing::warn!(%error, "the store cannot be written");
            CommitAnswer::Unavailable
        })
    }

    fn audit(&mut self, filter: &AuditFilter) -> Result<Vec<AuditRow>, AdminFault> {
        self.blame(rows::audit(&self.connection, filter).map_err(Trouble::Sql))
    }

    fn clock_suspect(&mut self) -> Result<bool, AdminFault> {
        self.read(|connection, hot| Ok(clocks::is_suspect(connection, clocks::recent(hot))?))
    }

    fn newest_row_time(&mut self) -> Result<Option<UnixTime>, AdminFault> {
        self.blame(rows::newest_time(&self.connection).map_err(Trouble::Sql))
    }

    fn postures(&mut self) -> Result<Vec<Posture>, AdminFault> {
        self.blame(postures(&self.connection).map_err(Trouble::Sql))
    }

    fn memo(&mut self, name: &str) -> Result<Option<String>, AdminFault> {
        let sql = "SELECT value FROM meta WHERE name = 'memo/' || ?1";
        let found = self.connection.query_row(sql, [name], |row| row.get(0)).optional();
        self.blame(found.map_err(Trouble::Sql))
    }

    fn set_memo(&mut self, name: &str, text: &str) -> Result<(), AdminFault> {
        let sql = "REPLACE INTO meta (name, value) VALUES ('memo/' || ?1, ?2)";
        let kept = self.connection.execute(sql, [name, text]);
        self.blame(kept.map(drop).map_err(Trouble::Sql))
    }

    fn memo_once(&mut self, name: &str, text: &str) -> Result<String, AdminFault> {
        let sql = "INSERT INTO meta (name, value) VALUES ('memo/' || ?1, ?2)
            ON CONFLICT DO UPDATE SET value = value RETURNING value";
        let kept = self.connection.query_row(sql, [name, text], |row| row.get(0));
        self.blame(kept.map_err(Trouble::Sql))
    }

    fn change_memo(
        &mut self,
        name: &str,
        edit: &mut dyn FnMut(Option<&str>) -> Result<String, AdminFault>,
        act: Act,
    ) -> Result<(), AdminFault> {
        self.change(|transaction, pen| {
            let sql = "SELECT value FROM meta WHERE name = 'memo/' || ?1";
            let before: Option<String> = transaction.query_row(sql, [name], |row| row.get(0)).optional()?;
            let text = edit(before.as_deref())?;
            let sql = "REPLACE INTO meta (name, value) VALUES ('memo/' || ?1, ?2)";
            transaction.execute(sql, [name, &text])?;
            Ok(pen.act(transaction, act)?)
        })
    }

    fn relax(&mut self, client: &Label, address: Option<IpAddr>) -> Result<usize, AdminFault> {
        let address = address.map(|address| address.to_string());
        self.change(|transaction, pen| {
            let relaxed = transaction.execute(
                "DELETE FROM posture WHERE client = ?1 AND (?2 IS NULL OR address = ?2)",
                params![client.as_str(), address],
            )?;
            if relaxed > 0 {
                let what = format!("{client} {}", address.as_deref().unwrap_or("every address"));
                pen.act(transaction, Act::new(Reason::ClientRelaxed).count(relaxed).note(what))?;
            }
            Ok(relaxed)
        })
    }
}
