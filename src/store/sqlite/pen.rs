//! What writes a command's rows: who it is, the clock, randomness, and the buffers that rows are packed in.

use std::sync::Arc;

use rusqlite::Transaction;

use super::rows;
use crate::base::system::{Clock, Entropy, random};
use crate::engine::record::Row;
use crate::store::act::{Act, Origin};
use crate::store::chain::Mac;
use crate::store::packed::Packer;

pub(super) struct Pen {
    pub(super) origin: Origin,
    pub(super) packer: Packer,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Box<dyn Entropy + Send>,
}

impl Pen {
    /// Appends the row of an act, in the transaction that does it.
    pub(super) fn act(&mut self, transaction: &Transaction<'_>, act: Act) -> rusqlite::Result<()> {
        let row = act.row(&self.origin, self.clock.unix(), random(&mut *self.entropy));
        let (head, mac) = rows::head(transaction)?;
        self.append(transaction, head + 1, &mac, &row).map(drop)
    }

    /// Appends `row` as number `seq` behind the row whose link is `before`; answers its own link.
    pub(super) fn append(
        &mut self,
        transaction: &Transaction<'_>,
        seq: u64,
        before: &Mac,
        row: &Row,
    ) -> rusqlite::Result<Mac> {
        rows::append(&mut rows::appender(transaction)?, &mut self.packer, before, seq, row)
    }
}
