//! The part of the trail that one server sends elsewhere: its own chain, and that of the commands, which every server sends,
//! under the same numbers.
//!
//! Each chain is sent in its own order, so that a row which is durable late is not missed. What was handed out counts as
//! sent once more is asked for behind it.

use super::schema::{CHAIN_ROWS, COMMANDS};
use super::session::{Trouble, Tx};
use super::trail::events_of_chain;
use crate::store::admin::AuditRow;
use crate::store::columns::{int, nat};

/// How far one server is.
pub(super) struct Feed {
    /// The server's chain.
    pub(super) chain: i64,
    /// The last row sent of it, and of the commands'.
    sent: [i64; 2],
    /// What was handed out last.
    page: Vec<i64>,
}

impl Feed {
    pub(super) fn new(chain: i64) -> Feed {
        Feed { chain, sent: [chain * CHAIN_ROWS, 0], page: Vec::new() }
    }

    /// How far it was when it was last kept; `None` where it never was.
    pub(super) fn load(&mut self, tx: &Tx<'_>) -> Result<Option<u64>, Trouble> {
        let sql = "SELECT forwarded, forwarded_commands FROM chain WHERE chain = $1";
        let Some(row) = tx.row(sql, &[&self.chain])? else { return Ok(None) };
        let (Some(own), Some(commands)) = (row.try_get(0)?, row.try_get(1)?) else { return Ok(None) };
        self.sent = [own, commands];
        Ok(Some(nat(own)))
    }

    /// From here on: what is there already counts as sent. The newest row of the server's own.
    pub(super) fn skip(&mut self, tx: &Tx<'_>) -> Result<u64, Trouble> {
        for (sent, chain) in self.sent.iter_mut().zip([self.chain, COMMANDS]) {
            let head = tx.number("SELECT head FROM chain WHERE chain = $1", &[&chain])?;
            *sent = chain * CHAIN_ROWS + head;
        }
        Ok(nat(self.sent[0]))
    }

    /// Rows up to number `last`, as they were handed out, are sent.
    fn acknowledge(&mut self, last: i64) {
        let Some(place) = self.page.iter().position(|number| *number == last) else { return };
        for number in self.page.drain(..=place) {
            let [own, commands] = &mut self.sent;
            let sent = if number / CHAIN_ROWS == COMMANDS { commands } else { own };
            *sent = number.max(*sent);
        }
    }

    /// What comes after number `after`.
    pub(super) fn page(&mut self, tx: &Tx<'_>, after: u64, limit: usize) -> Result<Vec<AuditRow>, Trouble> {
        self.acknowledge(int(after));
        let mut rows = Vec::new();
        for (sent, chain) in self.sent.iter().zip([self.chain, COMMANDS]) {
            rows.extend(events_of_chain(tx, chain, *sent, limit - rows.len())?);
        }
        self.page = rows.iter().map(|row| int(row.sequence)).collect();
        Ok(rows)
    }

    /// Keeps how far it is.
    pub(super) fn keep(&mut self, tx: &Tx<'_>, last: u64) -> Result<(), Trouble> {
        self.acknowledge(int(last));
        let [own, commands] = self.sent;
        let sql = "UPDATE chain SET forwarded = $2, forwarded_commands = $3 WHERE chain = $1";
        tx.run(sql, &[&self.chain, &own, &commands]).map(drop)
    }
}
