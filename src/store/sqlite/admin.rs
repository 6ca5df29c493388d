//! What commands do to a store file, each in short transactions on a connection of its own.
//!
//! Every change leaves a row in the trail, in its own transaction, and goes into the `change` log under the name of the user it concerns, in the transaction that makes it;
//! the call returns [`FRESH`] later, when no running server's last look at the log is still good.

use std::net::IpAddr;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::clocks;
use super::failures;
use super::file::StoreFile;
use super::hot::Hot;
use super::import;
use super::pen::Pen;
use super::people;
use super::rows::{self, visible};
use super::tables::{
    delete_token, delete_user, insert_token, insert_user, log_change, log_owner, owner_of, postures,
    restore_steps, seal, serials_of, token_columns, token_details, token_id, update_user, user_details,
    user_fields, user_id,
};
use super::tokens;
use super::user_act;
use super::view::FRESH;
use super::{Salts, Settings};
use crate::base::name::{GroupName, Label, UserName};
use crate::base::secret::Secret;
use crate::base::system::{Clock, Entropy, random};
use crate::base::time::UnixTime;
use crate::engine::account::{TokenId, UserId};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Record, Recorded, Tally};
use crate::store::StoreFault;
use crate::store::act::{Act, Origin};
use crate::store::admin::{
    Admin, AdminFault, AuditFilter, AuditRow, ImportReport, NewToken, Posture, Replacement, TokenDetails,
    TokenFields, TokenFilter, UserDetails, UserFields, UserFilter, UserRow, check_serial,
};
use crate::store::fold::{apply, judge};
use crate::store::packed::Packer;
use crate::store::report::Reports;
use crate::store::seal::Purpose;
use crate::store::trail::Trail;
use crate::store::user_act::UserAct;

/// Rows of a list read in one transaction.
const PAGE: usize = 1_000;
/// Tokens exported in one transaction, a row of the trail each: some milliseconds.
const EXPORTED: usize = 50;

/// A command's hold on a store file.
pub struct SqliteAdmin {
    pub(super) file: StoreFile,
    pub(super) connection: Connection,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pen: Pen,
    /// The fold of the newest rows, read when first needed.
    hot: Option<Hot>,
}

/// Either the database or the request is at fault.
#[derive(Debug)]
pub(super) enum Trouble {
    Sql(rusqlite::Error),
    Fault(AdminFault),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        Trouble::Sql(error)
    }
}

impl From<AdminFault> for Trouble {
    fn from(fault: AdminFault) -> Trouble {
        Trouble::Fault(fault)
    }
}

impl SqliteAdmin {
    /// Opens the store.
    pub fn open(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        mut entropy: Box<dyn Entropy + Send>,
    ) -> Result<SqliteAdmin, StoreFault> {
        let file = StoreFile::open(&settings.path, &settings.key, settings.create, &mut *entropy)?;
        file.tell(settings.tell);
        let connection = file.connect(2_048)?;
        let salts = Salts(ChaCha20Rng::from_seed(random(&mut *entropy)));
        let packer = Packer::new(settings.recording, Box::new(salts));
        let pen = Pen { origin: settings.origin.clone(), packer, clock: Arc::clone(&clock), entropy };
        Ok(SqliteAdmin { file, connection, clock, pen, hot: None })
    }

    pub(super) fn blame<T>(&self, result: Result<T, Trouble>) -> Result<T, AdminFault> {
        result.map_err(|trouble| match trouble {
            Trouble::Sql(error) => AdminFault::Store(self.file.fault(&error)),
            Trouble::Fault(fault) => fault,
        })
    }

    /// Leaves a row of something that was done to the store as a whole.
    pub fn note(&mut self, act: Act) -> Result<(), AdminFault> {
        self.change(|transaction, pen| Ok(pen.act(transaction, act)?))
    }

    /// One change, durable and seen by every server when this returns.
    pub(super) fn change<T>(
        &mut self,
        body: impl FnOnce(&Transaction<'_>, &mut Pen) -> Result<T, Trouble>,
    ) -> Result<T, AdminFault> {
        let result = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = body(&transaction, &mut self.pen)?;
            transaction.commit()?;
            Ok(done)
        })();
        if result.is_ok() {
            std::thread::sleep(FRESH);
        }
        self.blame(result)
    }

    /// Reads in one transaction, with the fold brought up to it.
    fn read<T>(
        &mut self,
        body: impl FnOnce(&Connection, &Hot) -> Result<T, Trouble>,
    ) -> Result<T, AdminFault> {
        let result = (|| {
            let transaction = self.connection.unchecked_transaction()?;
            let hot = fold(&mut self.hot, &transaction)?;
            body(&transaction, hot)
        })();
        self.blame(result)
    }

    fn try_append(&mut self, record: &Record) -> rusqlite::Result<CommitAnswer> {
        // The long part before the lock is taken; the rest of it is what came in between.
        fold(&mut self.hot, &*self.connection.unchecked_transaction()?)?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let hot = fold(&mut self.hot, &transaction)?;
        let row = &record.row;
        let seat = match (&row.user, row.user_id) {
            (Some(user), Some(id)) => rows::seat(&transaction, user)?.filter(|seat| seat.id == id),
            _ => None,
        };
        let mut facts = seat.map(|mut seat| {
            hot.overlay(&mut seat);
            seat.facts()
        });
        if let Err(conflict) = judge(record, facts.as_ref()) {
            return Ok(CommitAnswer::Refused(conflict));
        }
        if let Some(facts) = facts.as_mut().filter(|_| row.consumed.is_some()) {
            apply(row, facts);
            rows::keep_special(&transaction, facts.user, facts.special.as_deref())?;
        }
        let seq = hot.head + 1;
        self.pen.append(&transaction, seq, &hot.mac, row)?;
        let counted = row.user_id.filter(|_| row.tally == Tally::Count);
        let failures = counted.map_or(Ok(0), |user| failures::count(&transaction, user, row.time))?;
        // Rows of strangers change nothing that a server remembers.
        if let Some(user) = &row.user {
            log_change(&transaction, Some(user))?;
        }
        transaction.commit()?;
        std::thread::sleep(FRESH);
        Ok(CommitAnswer::Done(Recorded::certify(seq).counted(failures)))
    }

    /// Frees names and serials that an abandoned import still holds.
    fn sweep(&mut self) -> Result<(), AdminFault> {
        let swept = import::sweep(&mut self.connection, &*self.clock, &|| false);
        self.blame(swept.map_err(Trouble::Sql))
    }
}

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
        let mut found: Vec<UserDetails> = Vec::new();
        let mut after = filter.after.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default();
        while found.len() < filter.limit {
            let page = PAGE.min(filter.limit - found.len());
            let users = self.read(|connection, hot| {
                let mut statement = connection.prepare_cached(concat!(
                    "SELECT name FROM user WHERE name > ?1 AND (?2 IS NULL OR instr(name, ?2) > 0)
                         AND (?4 IS NULL OR instr(char(10) || member_of || char(10), char(10) || ?4 || char(10)) > 0)
                         AND ",
                    visible!("batch"),
                    " ORDER BY name LIMIT ?3"
                ))?;
                let group = filter.group.as_ref().map(GroupName::as_str);
                let wanted = params![after, filter.contains, i64::try_from(page).unwrap_or(i64::MAX), group];
                let names = statement.query_map(wanted, |row| row.get::<_, String>(0))?;
                let mut users = Vec::new();
                for name in names {
                    if let Ok(name) = UserName::canonical(name?.as_bytes()) {
                        users.extend(user_details(connection, hot, &name)?);
                    }
                }
                Ok(users)
            })?;
            let count = users.len();
            found.extend(users);
            match found.last() {
                Some(last) if count == page => last.name.as_str().clone_into(&mut after),
                _ => break,
            }
        }
        Ok(found)
    }

    fn set_user(&mut self, name: &UserName, edit: &mut dyn FnMut(&mut UserFields)) -> Result<(), AdminFault> {
        self.change(|transaction, pen| {
            let id = user_id(transaction, name)?.ok_or_else(|| AdminFault::no_user(name))?;
            let before = user_fields(transaction, id)?.0;
            let mut fields = before.clone();
            edit(&mut fields);
            update_user(transaction, id, &fields)?;
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

    fn unlock(&mut self, name: &UserName) -> Result<(), AdminFault> {
        self.change(|transaction, pen| {
            let id = user_id(transaction, name)?.ok_or_else(|| AdminFault::no_user(name))?;
            let act = Act::new(Reason::Unlocked).on(name, UserId(id)).tally(Tally::Clear);
            pen.act(transaction, act)?;
            Ok(log_change(transaction, Some(name))?)
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
        let mut found: Vec<TokenDetails> = Vec::new();
        let mut after: Arc<str> = filter.after.clone().unwrap_or_default();
        while found.len() < filter.limit {
            let page = PAGE.min(filter.limit - found.len());
            let tokens = self.read(|connection, hot| {
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
            })?;
            let count = tokens.len();
            found.extend(tokens);
            match found.last() {
                Some(last) if count == page => after = Arc::clone(&last.serial),
                _ => break,
            }
        }
        Ok(found)
    }

    fn assign_token(&mut self, serial: &str, user: Option<&UserName>) -> Result<(), AdminFault> {
        self.change(|transaction, pen| {
            let (id, before) = token_id(transaction, serial)?.ok_or_else(|| AdminFault::no_token(serial))?;
            let after = match user {
                Some(name) => Some(user_id(transaction, name)?.ok_or_else(|| AdminFault::no_user(name))?),
                None => None,
            };
            transaction.execute("UPDATE token SET user = ?2 WHERE id = ?1", params![id, after])?;
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
        for chunk in serials.chunks(EXPORTED) {
            let tokens = chunk.iter().map(|serial| self.token(serial)).collect::<Result<Vec<_>, _>>()?;
            let seeds = self.change(|transaction, pen| {
                let mut seeds = Vec::with_capacity(chunk.len());
                for serial in chunk {
                    seeds.push(tokens::seed(transaction, serial, &key)?.1);
                    let (_, owner) =
                        token_id(transaction, serial)?.ok_or_else(|| AdminFault::no_token(serial))?;
                    let act = Act::new(Reason::TokenExported).token(serial);
                    pen.act(transaction, act.on_any(owner_of(transaction, owner)?))?;
                }
                Ok(seeds)
            })?;
            if !tokens.iter().zip(&seeds).all(|(token, seed)| take(token, seed)) {
                return Ok(());
            }
        }
        Ok(())
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

impl SqliteAdmin {
    /// Whether an import that is not finished holds the name or serial.
    fn is_hidden(&self, table: &str, column: &str, value: &str) -> bool {
        let sql = format!("SELECT 1 FROM {table} WHERE {column} = ?1 AND batch IN (SELECT id FROM batch)");
        self.connection.prepare(&sql).and_then(|mut statement| statement.exists([value])).unwrap_or(false)
    }
}

fn under_way(fault: AdminFault, what: &str) -> AdminFault {
    match fault {
        AdminFault::Store(_) => {
            AdminFault::Invalid(format!("an import under way brings {what}: wait until it is done"))
        }
        other => other,
    }
}

fn fold<'a>(hot: &'a mut Option<Hot>, connection: &Connection) -> rusqlite::Result<&'a Hot> {
    match hot {
        Some(hot) => {
            hot.extend(connection, |_| {})?;
            Ok(hot)
        }
        None => Ok(hot.insert(Hot::load(connection)?)),
    }
}
