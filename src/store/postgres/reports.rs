//! Reports over a store in a database.

use std::collections::HashMap;

use super::admin::PostgresAdmin;
use super::events::{self, Events};
use super::session::{Trouble, Tx};
use crate::store::admin::{AdminFault, AuditRow};
use crate::store::columns::{int, nat};
use crate::store::report::{By, DAY, Filter, HOUR, Reports, Sum, add_up};

impl Reports for PostgresAdmin {
    fn catch_up(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), AdminFault> {
        let rows = self.read(|tx| Ok(nat(tx.number("SELECT count(*) FROM event", &[])?)))?;
        progress(rows, rows);
        Ok(())
    }

    fn rows(
        &mut self,
        filter: &Filter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditRow>, AdminFault> {
        self.read(|tx| {
            let place = match before {
                Some(number) => events::place(tx, number)?,
                None => None,
            };
            let mut found = Vec::new();
            if limit > 0 {
                events_of(filter).each(tx, place, &mut |row| {
                    if filter.takes(&row) {
                        found.push(row);
                    }
                    found.len() < limit
                })?;
            }
            Ok(found)
        })
    }

    fn sums(&mut self, filter: &Filter, by: By) -> Result<Vec<Sum>, AdminFault> {
        self.read(|tx| {
            let rounded = filter.rounded(if by.tells_users(filter) { DAY } else { HOUR });
            let mut rows = Vec::new();
            events_of(&rounded).each(tx, None, &mut |row| {
                rows.push(row);
                true
            })?;
            let phones = if by == By::Country { phones(tx)? } else { HashMap::new() };
            Ok(add_up(rows.iter(), filter, by, |name| phones.get(name).cloned()))
        })
    }

    fn enabled_users(&mut self) -> Result<u64, AdminFault> {
        self.read(|tx| Ok(nat(tx.number("SELECT count(*) FROM account WHERE NOT disabled", &[])?)))
    }
}

/// The rows that an index leads to.
fn events_of(filter: &Filter) -> Events {
    Events::default()
        .with("name =", filter.user.as_ref().map(|user| user.as_str().to_owned()))
        .with("login =", filter.login.map(|login| int(login.number())))
        .with("time >=", filter.since.map(|since| int(since.0)))
        .with("time <", filter.until.map(|until| int(until.0)))
}

/// Telephone numbers by user name.
fn phones(tx: &Tx<'_>) -> Result<HashMap<String, String>, Trouble> {
    let mut phones = HashMap::new();
    for row in tx.rows("SELECT name, phone FROM account WHERE phone IS NOT NULL", &[])? {
        phones.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(phones)
}
