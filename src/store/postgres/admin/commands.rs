//! The blocking face of a store in a database, command by command.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::commit::{self, Author, Outcome, Task};
use super::super::link::Remedy;
use super::super::rows::{self, Odd};
use super::super::store::{resembles, suspect};
use super::super::tables::{postures, token_details, user_details, user_id};
use super::super::{import, people, sessions, sql, tables, trail};
use super::PostgresAdmin;
use crate::base::name::{Label, UserName};
use crate::base::secret::Secret;
use crate::base::time::UnixTime;
use crate::engine::account::{TokenId, UserId};
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::reason::Reason;
use crate::engine::record::{CommitAnswer, Record, Tally};
use crate::engine::special::Special;
use crate::store::act::{Act, Origin};
use crate::store::admin::{
    Admin, AdminFault, AuditFilter, AuditRow, Having, ImportReport, NewToken, Posture, Replacement,
    TokenDetails, TokenFields, TokenFilter, UserDetails, UserFields, UserFilter, UserRow, check_serial,
};
use crate::store::changes;
use crate::store::columns::{int, nat};
use crate::store::fold::{COUNTED_DAYS, day_of};
use crate::store::paged::{exported, paged};
use crate::store::report::Reports;
use crate::store::trail::Trail;
use crate::store::user_act::{UserAct, hash_keys};

impl Admin for PostgresAdmin {
    fn add_user(&mut self, name: &UserName, fields: &UserFields) -> Result<UserId, AdminFault> {
        let added = self.alter(|tables| changes::add_user(tables, name, fields));
        added.map_err(|fault| under_way(fault, &format!("user {name}")))
    }

    fn user(&mut self, name: &UserName) -> Result<UserDetails, AdminFault> {
        self.read(|tx| Ok(user_details(tx, name)?.ok_or_else(|| AdminFault::no_user(name))?))
    }

    fn users(&mut self, filter: &UserFilter) -> Result<Vec<UserDetails>, AdminFault> {
        let after = filter.after.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default();
        let key = |user: &UserDetails| user.name.as_str().to_owned();
        paged(filter.limit, after, key, |after, page| self.read(|tx| tables::users(tx, filter, after, page)))
    }

    fn set_user(&mut self, name: &UserName, edit: &mut dyn FnMut(&mut UserFields)) -> Result<(), AdminFault> {
        self.alter(|tables| changes::set_user(tables, name, edit))
    }

    fn remove_user(&mut self, name: &UserName) -> Result<Vec<Arc<str>>, AdminFault> {
        self.alter(|tables| changes::remove_user(tables, name))
    }

    fn failures_of_late(&mut self, name: &UserName) -> Result<u32, AdminFault> {
        let from = int(day_of(self.clock.unix())) - int(COUNTED_DAYS);
        self.read(|tx| {
            let id = user_id(tx, name)?.ok_or_else(|| AdminFault::no_user(name))?;
            let sql = "SELECT CAST(coalesce(sum(count), 0) AS BIGINT) FROM failure_day WHERE account = $1 AND day > $2";
            Ok(u32::try_from(tx.number(sql, &[&id, &from])?).unwrap_or(u32::MAX))
        })
    }

    fn act_for(&mut self, name: &UserName, act: &UserAct<'_>) -> Result<(), AdminFault> {
        let keys = hash_keys(&self.key);
        let now = self.clock.unix();
        self.change(|tx, pen| {
            let row =
                tx.row("SELECT id, special FROM account WHERE name = $1 FOR UPDATE", &[&name.as_str()])?;
            let row = row.ok_or_else(|| AdminFault::no_user(name))?;
            let id: i64 = row.try_get(0)?;
            let known = rows::special_of(row.try_get(1)?)?;
            let mut special = known.map(|special| Special::clone(&special)).unwrap_or_default();
            act.apply(&mut special, UserId(id), &keys, now, pen.entropy)?;
            tx.wait(commit::keep_special(tx.client, id, Some(&special)))?;
            if act.tally() == Tally::Clear {
                tx.run("UPDATE account SET failures = 0, last_failure = 0 WHERE id = $1", &[&id])?;
            }
            let row = Act::new(act.reason()).on(name, UserId(id)).note(act.note(now));
            pen.act(tx, row.tally(act.tally()))
        })
    }

    fn users_with(&mut self, what: Having) -> Result<Vec<(UserName, Arc<Special>)>, AdminFault> {
        self.read(|tx| sessions::who(tx, what))
    }

    fn add_token(&mut self, token: &NewToken) -> Result<TokenId, AdminFault> {
        token.check()?;
        let added = self.alter(|tables| changes::add_token(tables, token));
        added.map_err(|fault| under_way(fault, &format!("token {}", token.serial)))
    }

    fn token(&mut self, serial: &str) -> Result<TokenDetails, AdminFault> {
        self.read(|tx| {
            let sql = format!("{} WHERE serial = $1", tables::TOKEN);
            let row = tx.row(&sql, &[&serial])?.ok_or_else(|| AdminFault::no_token(serial))?;
            token_details(&row)
        })
    }

    fn tokens(&mut self, filter: &TokenFilter) -> Result<Vec<TokenDetails>, AdminFault> {
        let after: Arc<str> = filter.after.clone().unwrap_or_default();
        let key = |token: &TokenDetails| Arc::clone(&token.serial);
        paged(filter.limit, after, key, |after, page| {
            self.read(|tx| {
                let user = match &filter.user {
                    Some(name) => Some(user_id(tx, name)?.unwrap_or(-1)),
                    None => None,
                };
                let sql = format!(
                    "{} WHERE serial > $1 AND ($2::BIGINT IS NULL OR token.account = $2)
                         AND NOT ($3 AND token.account IS NOT NULL)
                         AND ($4::TEXT IS NULL OR strpos(serial, $4) > 0) ORDER BY serial LIMIT $5",
                    tables::TOKEN
                );
                let limit = i64::try_from(page).unwrap_or(i64::MAX);
                let rows =
                    tx.rows(&sql, &[&&**after, &user, &filter.unassigned, &filter.contains, &limit])?;
                rows.iter().map(token_details).collect()
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
        self.alter(|tables| changes::verify_stock(tables, serial, judge))
    }

    fn rename_token(&mut self, serial: &str, new: &Arc<str>) -> Result<(), AdminFault> {
        check_serial(new)?;
        self.alter(|tables| changes::rename_token(tables, serial, new))
    }

    fn replace_token(&mut self, serial: &str, by: &Replacement) -> Result<UserName, AdminFault> {
        self.alter(|tables| changes::replace_token(tables, serial, by))
    }

    fn remove_token(&mut self, serial: &str) -> Result<(), AdminFault> {
        self.alter(|tables| changes::remove_token(tables, serial))
    }

    fn import(
        &mut self,
        rows: &[NewToken],
        dry_run: bool,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ImportReport, AdminFault> {
        import::run(self, rows, dry_run, progress)
    }

    fn import_users(
        &mut self,
        rows: &[UserRow],
        update: bool,
        dry_run: bool,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ImportReport, AdminFault> {
        people::run(self, rows, (update, dry_run), progress)
    }

    fn export(
        &mut self,
        serials: &[Arc<str>],
        take: &mut dyn FnMut(&TokenDetails, &Secret) -> bool,
    ) -> Result<(), AdminFault> {
        let record = |admin: &mut PostgresAdmin, serials: &[Arc<str>]| {
            admin.alter(|tables| changes::export(tables, serials))
        };
        exported(self, serials, record, take)
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

    fn reports(&mut self) -> &mut dyn Reports {
        self
    }

    fn account(&mut self, query: &UserQuery) -> UserAnswer {
        let key = self.key.clone();
        let read = self.read(|tx| {
            let found = tx.rows(sql::USER, &[&query.user.as_str()])?;
            let account = rows::account(&found, query, &key, false)?;
            let owns = account.as_ref().is_some_and(|account| !account.tokens.is_empty());
            let resembles =
                query.look_alikes && !owns && tx.wait(resembles(tx.client, sql::RESEMBLES, &query.user))?;
            Ok(rows::answer(account, resembles))
        });
        read.unwrap_or_else(|error| {
            tracing::warn!(%error, "the store cannot be read");
            UserAnswer::Unavailable
        })
    }

    fn append(&mut self, record: &Record) -> CommitAnswer {
        let mut tried = 0;
        loop {
            tried += 1;
            let odd = match self.try_append(record) {
                Ok(answer) => return answer,
                Err(odd) => odd,
            };
            if odd.remedy() != Remedy::Again || tried >= super::TRIES {
                tracing::warn!(error = %odd, "the store cannot be written");
                return CommitAnswer::Unavailable;
            }
        }
    }

    fn audit(&mut self, filter: &AuditFilter) -> Result<Vec<AuditRow>, AdminFault> {
        let read = self.session.tx().and_then(|tx| trail::audit(&tx, filter));
        self.blame(read)
    }

    fn clock_suspect(&mut self) -> Result<bool, AdminFault> {
        self.read(|tx| Ok(tx.wait(suspect(tx.client))?))
    }

    fn newest_row_time(&mut self) -> Result<Option<UnixTime>, AdminFault> {
        self.read(|tx| {
            let sql = "SELECT time FROM event ORDER BY time DESC, number DESC LIMIT 1";
            let row = tx.row(sql, &[])?;
            Ok(row.map(|row| row.try_get(0).map(|time| UnixTime(nat(time)))).transpose()?)
        })
    }

    fn postures(&mut self) -> Result<Vec<Posture>, AdminFault> {
        self.read(postures)
    }

    fn memo(&mut self, name: &str) -> Result<Option<String>, AdminFault> {
        let name = format!("memo/{name}");
        self.read(|tx| {
            let row = tx.row("SELECT value FROM meta WHERE name = $1", &[&name])?;
            let octets: Option<Vec<u8>> = row.map(|row| row.try_get(0)).transpose()?;
            Ok(octets.and_then(|octets| String::from_utf8(octets).ok()))
        })
    }

    fn set_memo(&mut self, name: &str, text: &str) -> Result<(), AdminFault> {
        let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let (name, octets) = (format!("memo/{name}"), text.as_bytes());
        let kept = self.session.tx().and_then(|tx| tx.run(sql, &[&name, &octets]));
        self.blame(kept.map(drop))
    }

    fn memo_once(&mut self, name: &str, text: &str) -> Result<String, AdminFault> {
        let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET value = meta.value";
        let (whole, octets) = (format!("memo/{name}"), text.as_bytes());
        let kept = self.session.tx().and_then(|tx| tx.run(sql, &[&whole, &octets]));
        self.blame(kept.map(drop))?;
        self.memo(name)?.ok_or_else(|| AdminFault::Missing(format!("note {name}")))
    }

    fn change_memo(
        &mut self,
        name: &str,
        edit: &mut dyn FnMut(Option<&str>) -> Result<String, AdminFault>,
        act: Act,
    ) -> Result<(), AdminFault> {
        let name = format!("memo/{name}");
        self.change(|tx, pen| {
            let row = tx.row("SELECT value FROM meta WHERE name = $1 FOR UPDATE", &[&name])?;
            let octets: Option<Vec<u8>> = row.map(|row| row.try_get(0)).transpose()?;
            let before = octets.and_then(|octets| String::from_utf8(octets).ok());
            let octets = edit(before.as_deref())?.into_bytes();
            let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)
                ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            tx.run(sql, &[&name, &octets])?;
            pen.act(tx, act.clone())
        })
    }

    fn relax(&mut self, client: &Label, address: Option<IpAddr>) -> Result<usize, AdminFault> {
        let address = address.map(|address| address.to_string());
        self.change(|tx, pen| {
            let sql = "DELETE FROM posture WHERE client = $1 AND ($2::TEXT IS NULL OR address = $2)";
            let relaxed = usize::try_from(tx.run(sql, &[&client.as_str(), &address])?).unwrap_or(usize::MAX);
            if relaxed > 0 {
                let what = format!("{client} {}", address.as_deref().unwrap_or("every address"));
                pen.act(tx, Act::new(Reason::ClientRelaxed).count(relaxed).note(what))?;
            }
            Ok(relaxed)
        })
    }
}

impl PostgresAdmin {
    fn try_append(&mut self, record: &Record) -> Result<CommitAnswer, Odd> {
        let PostgresAdmin { session, packer, .. } = self;
        let tasks = [Task::Commit(record)];
        let outcome = session
            .linked(|runtime, link| runtime.block_on(commit::run(link, Author::COMMAND, packer, &tasks)))??;
        let answer = match outcome {
            Outcome::Done(mut answers) => answers.pop(),
            Outcome::Unsure(unsure) => {
                let done = session
                    .linked(|runtime, link| runtime.block_on(unsure.resolve(link, Author::COMMAND)))??;
                unsure.answers().pop().filter(|_| done)
            }
            Outcome::Usurped => None,
        };
        Ok(answer.unwrap_or(CommitAnswer::Unavailable))
    }
}

/// What holds a name or a serial for as long as nothing else does is an import.
fn under_way(fault: AdminFault, what: &str) -> AdminFault {
    match fault {
        AdminFault::Store(store) if store.what.contains("lock timeout") => {
            AdminFault::Invalid(format!("an import under way brings {what}: wait until it is done"))
        }
        other => other,
    }
}
