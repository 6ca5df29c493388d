//! The blocking face of a store file, command by command.

use std::net::IpAddr;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::super::rows::{self, visible};
use super::super::tables::{
    delete_token, delete_user, insert_token, insert_user, log_change, log_owner, owner_of, postures,
    restore_steps, seal, serials_of, token_columns, token_details, token_id, update_user, user_details,
    user_fields, user_id,
};
use super::super::view::FRESH;
use super::super::{clocks, failures, import, pen::Pen, people, sessions, tokens, user_act};
use super::{SqliteAdmin, Trouble, fold, under_way};
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
use crate::store::paged::{exported, paged};
use crate::store::report::Reports;
use crate::store::seal::Purpose;
use crate::store::session::Ends;
use crate::store::trail::Trail;
use crate::store::user_act::UserAct;

impl Admin for SqliteAdmin {
    fn add_user(&mut self, name: &UserName, fields: &UserFields) -> Result<UserId, AdminFault> {
        let now = self.clock.unix();
        let add = |transaction: &Transaction<'_>, pen: &mut Pen| {
            if user_id(transaction, name)?.is_some() {
                return Err(AdminFault::user_exists(name).into());
            }
            let id = insert_user(transaction, name, fields, now, None)?;
            pen.act(transaction, Act::new(Reason::UserAdded).on(name, id))?;
            log_change(transaction, Some(name))?;
            Ok(id)
        };
        match self.change(add) {
            Err(AdminFault::Store(_)) if self.is_hidden("user", "name", name.as_str()) => {
                self.sweep()?;
                self.change(add).map_err(|fault| under_way(fault, &format!("user {name}")))
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
        self.change(|transaction, pen| {
            let id = user_id(transaction, name)?.ok_or_else(|| AdminFault::no_user(name))?;
            let before = user_fields(transaction, id)?.0;
            let mut fields = before.clone();
            edit(&mut fields);
            update_user(transaction, id, &fields)?;
            sessions::end(transaction, Some(id), Ends::Change(&before, &fields))?;
            let act = Act::new(Reason::UserChanged).on(name, UserId(id)).note(before.changes(&fields));
            pen.act(transaction, act)?;
            Ok(log_change(transaction, Some(name))?)
        })
    }

    fn remove_user(&mut self, name: &UserName) -> Result<Vec<Arc<str>>, AdminFault> {
        self.change(|transaction, pen| {
            let id = user_id(transaction, name)?.ok_or_else(|| AdminFault::no_user(name))?;
            let serials = serials_of(transaction, id)?;
            delete_user(transaction, id)?;
            pen.act(transaction, Act::new(Reason::UserRemoved).on(name, UserId(id)))?;
            log_change(transaction, Some(name))?;
            Ok(serials)
        })
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
        let now = self.clock.unix();
        let sealed = seal(&self.file.key, token, &mut *self.pen.entropy);
        let add = |transaction: &Transaction<'_>, pen: &mut Pen| {
            if token_id(transaction, &token.serial)?.is_some() {
                return Err(AdminFault::token_exists(&token.serial).into());
            }
            let user = match &token.user {
                Some(name) => Some(user_id(transaction, name)?.ok_or_else(|| AdminFault::no_user(name))?),
                None => None,
            };
            let id = insert_token(transaction, token, &sealed, user, now, None)?;
            restore_steps(transaction, id, None)?;
            let act = Act::new(Reason::TokenAdded).token(&token.serial);
            pen.act(transaction, act.on_any(token.user.as_ref().zip(user.map(UserId))))?;
            if let Some(name) = &token.user {
                log_change(transaction, Some(name))?;
            }
            Ok(id)
        };
        match self.change(add) {
            Err(AdminFault::Store(_)) if self.is_hidden("token", "serial", &token.serial) => {
                self.sweep()?;
                self.change(add).map_err(|fault| under_way(fault, &format!("token {}", token.serial)))
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
        self.change(|transaction, pen| {
            let (id, before) = token_id(transaction, serial)?.ok_or_else(|| AdminFault::no_token(serial))?;
            let after = match user {
                Some(name) => Some(user_id(transaction, name)?.ok_or_else(|| AdminFault::no_user(name))?),
                None => None,
            };
            transaction.execute("UPDATE token SET user = ?2 WHERE id = ?1", params![id, after])?;
            sessions::end(transaction, before.filter(|_| before != after), Ends::Gone(TokenId(id)))?;
            let act = match user.zip(after) {
                Some((name, id)) => Act::new(Reason::TokenAssigned).on(name, UserId(id)),
                None => Act::new(Reason::TokenUnassigned).on_any(owner_of(transaction, before)?),
            };
            pen.act(transaction, act.token(serial))?;
            log_owner(transaction, before)?;
            Ok(log_owner(transaction, after)?)
        })
    }

    fn enable_token(&mut self, serial: &str, enabled: bool) -> Result<(), AdminFault> {
        self.change(|transaction, pen| {
            let (id, owner) = token_id(transaction, serial)?.ok_or_else(|| AdminFault::no_token(serial))?;
            transaction.execute("UPDATE token SET enabled = ?2 WHERE id = ?1", params![id, enabled])?;
            if !enabled {
                sessions::end(transaction, owner, Ends::Token(TokenId(id)))?;
            }
            let reason = if enabled { Reason::TokenEnabled } else { Reason::TokenDisabled };
            pen.act(transaction, Act::new(reason).token(serial).on_any(owner_of(transaction, owner)?))?;
            Ok(log_owner(transaction, owner)?)
        })
    }

    fn set_token(&mut self, serial: &str, edit: &mut dyn FnMut(&mut TokenFields)) -> Result<(), AdminFault> {
        self.change(|transaction, pen| {
            let owner = tokens::set(transaction, serial, edit)?;
            let act = Act::new(Reason::TokenChanged).token(serial).on_any(owner_of(transaction, owner)?);
            pen.act(transaction, act)?;
            Ok(log_owner(transaction, owner)?)
        })
    }

    fn verify_stock(
        &mut self,
        serial: &str,
        judge: &mut dyn FnMut(&TokenDetails, &Secret) -> Option<u64>,
    ) -> Result<(), AdminFault> {
        let key = self.file.key.clone();
        // The long part before the lock is taken; the rest of it is what came in between.
        self.read(|_, _| Ok(()))?;
        let mut recent = self.hot.take();
        let done = self.change(|transaction, pen| {
            let hot = fold(&mut recent, transaction)?;
            let Some((token, seed)) = tokens::stock(transaction, serial, &key, hot)? else {
                return Err(AdminFault::somebodys(serial).into());
            };
            let Some(step) = judge(&token, &seed) else { return Ok(()) };
            tokens::use_up(transaction, token.id, step)?;
            pen.act(transaction, Act::new(Reason::TokenVerified).token(serial))?;
            Ok(())
        });
        self.hot = recent;
        done
    }

    fn rename_token(&mut self, serial: &str, new: &Arc<str>) -> Result<(), AdminFault> {
        check_serial(new)?;
        let key = self.file.key.clone();
        // The long part before the lock is taken; the rest of it is what came in between.
        let (id, seed) = self.read(|connection, _| tokens::seed(connection, serial, &key))?;
        let sealed = key.seal(Purpose::TokenSeed, new, &seed, &mut *self.pen.entropy);
        let mut recent = self.hot.take();
        let done = self.change(|transaction, pen| {
            let hot = fold(&mut recent, transaction)?;
            let recent = hot.tokens.get(&id).map(|spent| spent.step);
            let owner = tokens::rename(transaction, id, (serial, new), &sealed, recent)?;
            let act = Act::new(Reason::TokenRenamed).token(new).on_any(owner_of(transaction, owner)?);
            pen.act(transaction, act.note(format!("was {serial}")))?;
            Ok(log_owner(transaction, owner)?)
        });
        self.hot = recent;
        done
    }

    fn replace_token(&mut self, serial: &str, by: &Replacement) -> Result<UserName, AdminFault> {
        let now = self.clock.unix();
        let sealed = match by {
            Replacement::Stock(_) => Box::default(),
            Replacement::Made(token) => seal(&self.file.key, token, &mut *self.pen.entropy),
        };
        self.change(|transaction, pen| {
            let user = tokens::replace(transaction, serial, by, &sealed, now)?;
            let whose = user_id(transaction, &user)?.map(|id| (&user, UserId(id)));
            let act = Act::new(Reason::TokenReplaced).token(serial).on_any(whose);
            pen.act(transaction, act.note(format!("by {}", by.serial())))?;
            log_change(transaction, Some(&user))?;
            Ok(user)
        })
    }

    fn remove_token(&mut self, serial: &str) -> Result<(), AdminFault> {
        // The long part before the lock is taken; the rest of it is what came in between.
        self.read(|_, _| Ok(()))?;
        let mut recent = self.hot.take();
        let done = self.change(|transaction, pen| {
            let (id, owner) = token_id(transaction, serial)?.ok_or_else(|| AdminFault::no_token(serial))?;
            let hot = fold(&mut recent, transaction)?;
            delete_token(transaction, id, hot.tokens.get(&id).map(|spent| spent.step))?;
            sessions::end(transaction, owner, Ends::Gone(TokenId(id)))?;
            let act = Act::new(Reason::TokenRemoved).token(serial).on_any(owner_of(transaction, owner)?);
            pen.act(transaction, act)?;
            Ok(log_owner(transaction, owner)?)
        });
        self.hot = recent;
        done
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
        let key = self.file.key.clone();
        let record = |admin: &mut SqliteAdmin, serials: &[Arc<str>]| {
            admin.change(|transaction, pen| {
                let mut seeds = Vec::with_capacity(serials.len());
                for serial in serials {
                    seeds.push(tokens::seed(transaction, serial, &key)?.1);
                    let (_, owner) =
                        token_id(transaction, serial)?.ok_or_else(|| AdminFault::no_token(serial))?;
                    let act = Act::new(Reason::TokenExported).token(serial);
                    pen.act(transaction, act.on_any(owner_of(transaction, owner)?))?;
                }
                Ok(seeds)
            })
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
