//! What commands do to a store in a database, each change in a transaction with its row in the trail, which goes to the one
//! chain of all commands.
//!
//! Nobody remembers users between logins, so what has returned is seen at the next one, by every server.

mod change;
mod commands;

use std::sync::Arc;

use self::change::Change;
use super::commit::Author;
use super::link::Remedy;
use super::rows::Odd;
use super::session::{Session, Trouble, Tx};
use crate::base::name::UserName;
use crate::base::system::{Clock, Entropy, random};
use crate::store::act::{Act, Origin};
use crate::store::admin::AdminFault;
use crate::store::chain::{GENESIS, Mac};
use crate::store::columns::{int, nat};
use crate::store::keyring::Keyring;
use crate::store::packed::Packer;

/// A change that others are in the way of is tried so often; each try waits most of a second.
const TRIES: usize = 10;

/// A command's hold on a store in a database.
pub struct PostgresAdmin {
    pub(super) session: Session,
    pub(super) key: Keyring,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) origin: Origin,
    pub(super) packer: Packer,
    pub(super) entropy: Box<dyn Entropy + Send>,
    /// Of a running server: what it looks after.
    pub(super) server: Option<super::feed::Feed>,
}

/// What writes a command's rows within a transaction.
pub(super) struct Pen<'a> {
    origin: &'a Origin,
    packer: &'a mut Packer,
    clock: &'a dyn Clock,
    pub(super) entropy: &'a mut (dyn Entropy + Send),
    /// The chain's head and the link there, once it is locked.
    head: Option<(i64, Mac)>,
    wrote: bool,
}

impl Pen<'_> {
    /// Holds the chain against other commands to the transaction's end.
    pub(super) fn lock(&mut self, tx: &Tx<'_>) -> Result<(i64, Mac), Trouble> {
        if let Some(head) = self.head {
            return Ok(head);
        }
        let chain = Author::COMMAND.chain;
        let row = tx.row("SELECT head, mac FROM chain WHERE chain = $1 FOR UPDATE", &[&chain])?;
        let row = row.ok_or(Odd::Damaged("the chain of commands is gone"))?;
        let mac = row.try_get::<_, &[u8]>(1)?.try_into().unwrap_or(GENESIS);
        Ok(*self.head.insert((row.try_get(0)?, mac)))
    }

    /// Appends the row of an act, in the transaction that does it.
    pub(super) fn act(&mut self, tx: &Tx<'_>, act: Act) -> Result<(), Trouble> {
        let row = act.row(self.origin, self.clock.unix(), random(self.entropy));
        let (head, mac) = self.lock(tx)?;
        let number = head + 1;
        let mac = self.packer.pack(&mac, nat(number), &row);
        let (time, login) = (int(row.time.0), int(row.login.number()));
        let name = row.user.as_ref().map(UserName::as_str);
        let (body, person) = (&self.packer.body, &self.packer.person);
        tx.run(
            "INSERT INTO event (number, time, login, name, body, person, mac) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &[&number, &time, &login, &name, body, person, &mac.as_slice()],
        )?;
        (self.head, self.wrote) = (Some((number, mac)), true);
        Ok(())
    }

    /// Notes how far the chain goes now.
    fn finish(&self, tx: &Tx<'_>) -> Result<(), Trouble> {
        let Some((head, mac)) = self.head.filter(|_| self.wrote) else { return Ok(()) };
        let sql = "UPDATE chain SET head = $2, mac = $3 WHERE chain = $1";
        tx.run(sql, &[&Author::COMMAND.chain, &head, &mac.as_slice()]).map(drop)
    }
}

impl PostgresAdmin {
    pub(super) fn blame<T>(&self, result: Result<T, Trouble>) -> Result<T, AdminFault> {
        result.map_err(|trouble| self.session.blame(trouble))
    }

    /// One change, durable and seen by every server when this returns.
    pub(super) fn change<T>(
        &mut self,
        mut body: impl FnMut(&Tx<'_>, &mut Pen<'_>) -> Result<T, Trouble>,
    ) -> Result<T, AdminFault> {
        self.change_late(|tx, pen| {
            pen.lock(tx)?;
            body(tx, pen)
        })
    }

    /// The same for one that takes long: other commands are held up only from its row on.
    pub(super) fn change_late<T>(
        &mut self,
        mut body: impl FnMut(&Tx<'_>, &mut Pen<'_>) -> Result<T, Trouble>,
    ) -> Result<T, AdminFault> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.try_change(&mut body) {
                Err(Trouble::Odd(odd)) if odd.remedy() == Remedy::Again && tried < TRIES => {}
                done => return self.blame(done),
            }
        }
    }

    /// One change of users or tokens.
    fn alter<T>(
        &mut self,
        mut body: impl FnMut(&mut Change<'_, '_>) -> Result<T, Trouble>,
    ) -> Result<T, AdminFault> {
        let (now, key) = (self.clock.unix(), self.key.clone());
        self.change(|tx, pen| body(&mut Change { tx, pen, key: &key, now }))
    }

    fn try_change<T>(
        &mut self,
        body: &mut impl FnMut(&Tx<'_>, &mut Pen<'_>) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let PostgresAdmin { session, clock, origin, packer, entropy, .. } = self;
        let mut pen =
            Pen { origin, packer, clock: &**clock, entropy: &mut **entropy, head: None, wrote: false };
        let tx = session.tx()?;
        tx.all_or_nothing(|| {
            let done = body(&tx, &mut pen)?;
            pen.finish(&tx)?;
            Ok(done)
        })
    }

    /// Reads as of one moment.
    pub(super) fn read<T>(
        &mut self,
        body: impl FnOnce(&Tx<'_>) -> Result<T, Trouble>,
    ) -> Result<T, AdminFault> {
        let done = self.session.tx().and_then(|tx| tx.at_once(|| body(&tx)));
        self.blame(done)
    }

    /// Leaves a row of something that was done to the store as a whole.
    pub fn note(&mut self, act: &Act) -> Result<(), AdminFault> {
        self.change(|tx, pen| pen.act(tx, act.clone()))
    }
}
