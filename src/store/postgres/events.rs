//! Rows of the trail by what they are about, a page at a time.
//!
//! Chains grow side by side, so the trail as a whole is in the order of time, and of numbers where that is the same.

use std::fmt::Write as _;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::rows::Odd;
use super::session::{Trouble, Tx};
use crate::base::time::UnixTime;
use crate::store::admin::AuditRow;
use crate::store::columns::{int, nat};
use crate::store::packed;

/// Rows read at once.
pub(super) const PAGE: usize = 1_000;

/// A row's place in the trail as a whole.
pub(super) type Place = (i64, i64);

/// Conditions on rows.
#[derive(Default)]
pub(super) struct Events {
    conditions: String,
    values: Vec<Box<dyn ToSql + Sync>>,
}

impl Events {
    /// Rows for which `condition` and what follows it is true: `time >=`, of a column of `event`.
    pub(super) fn with(mut self, condition: &str, value: Option<impl ToSql + Sync + 'static>) -> Events {
        if let Some(value) = value {
            self.values.push(Box::new(value));
            let and = if self.conditions.is_empty() { "WHERE" } else { "AND" };
            let _infallible = write!(self.conditions, " {and} {condition} ${}", self.values.len());
        }
        self
    }

    /// Up to `limit` of them, newest first, before `place`.
    pub(super) fn newest(
        &self,
        tx: &Tx<'_>,
        place: Option<Place>,
        limit: usize,
    ) -> Result<Vec<AuditRow>, Trouble> {
        self.page(tx, place, limit, ("<", "DESC"))
    }

    /// Up to `limit` of them, oldest first, after `place`.
    pub(super) fn oldest(
        &self,
        tx: &Tx<'_>,
        place: Option<Place>,
        limit: usize,
    ) -> Result<Vec<AuditRow>, Trouble> {
        self.page(tx, place, limit, (">", "ASC"))
    }

    fn page(
        &self,
        tx: &Tx<'_>,
        place: Option<Place>,
        limit: usize,
        (beyond, order): (&str, &str),
    ) -> Result<Vec<AuditRow>, Trouble> {
        let mut values: Vec<&(dyn ToSql + Sync)> = self.values.iter().map(|value| &**value).collect();
        let count = values.len();
        let mut sql = format!("SELECT number, body, person FROM event{}", self.conditions);
        if let Some((time, number)) = &place {
            let and = if count == 0 { "WHERE" } else { "AND" };
            let _infallible = write!(sql, " {and} (time, number) {beyond} (${}, ${})", count + 1, count + 2);
            values.push(time);
            values.push(number);
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let _infallible = write!(sql, " ORDER BY time {order}, number {order} LIMIT ${}", values.len() + 1);
        values.push(&limit);
        tx.rows(&sql, &values)?.iter().map(audit_row).collect()
    }

    /// All of them, newest first, to `take` until it says false.
    pub(super) fn each(
        &self,
        tx: &Tx<'_>,
        place: Option<Place>,
        take: &mut dyn FnMut(AuditRow) -> bool,
    ) -> Result<(), Trouble> {
        let mut place = place;
        loop {
            let page = self.newest(tx, place, PAGE)?;
            let count = page.len();
            for row in page {
                place = Some(place_of(&row));
                if !take(row) {
                    return Ok(());
                }
            }
            if count < PAGE {
                return Ok(());
            }
        }
    }
}

/// Where a row stands.
pub(super) fn place_of(row: &AuditRow) -> Place {
    (int(row.time.0), int(row.sequence))
}

/// Where the row `number` stands; `None` where there is none.
pub(super) fn place(tx: &Tx<'_>, number: u64) -> Result<Option<Place>, Trouble> {
    let number = int(number);
    let row = tx.row("SELECT time FROM event WHERE number = $1", &[&number])?;
    Ok(row.map(|row| row.try_get(0).map(|time| (time, number))).transpose()?)
}

/// The number of the newest row, or of the newest before `time`; 0 where there is none.
pub(super) fn newest(tx: &Tx<'_>, before: Option<UnixTime>) -> Result<u64, Trouble> {
    let before = before.map_or(i64::MAX, |time| int(time.0));
    let sql = "SELECT number FROM event WHERE time < $1 ORDER BY time DESC, number DESC LIMIT 1";
    let row = tx.row(sql, &[&before])?;
    Ok(row.map(|row| row.try_get(0).map(nat)).transpose()?.unwrap_or(0))
}

/// A row from number, body and person.
pub(super) fn audit_row(row: &Row) -> Result<AuditRow, Trouble> {
    let read = packed::read(nat(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?);
    read.map_err(|_| Odd::Damaged("a row of the trail").into())
}
