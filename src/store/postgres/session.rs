//! A command's connection: one statement after another, each waited for.

use std::cell::RefCell;
use std::collections::HashMap;

use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::link::{Door, Link};
use super::rows::Odd;
use crate::store::StoreFault;
use crate::store::admin::AdminFault;

/// Parameters of a statement.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Either the database or the request is at fault.
#[derive(Debug)]
pub(super) enum Trouble {
    Odd(Odd),
    Fault(AdminFault),
}

impl From<Odd> for Trouble {
    fn from(odd: Odd) -> Trouble {
        Trouble::Odd(odd)
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Trouble {
        Trouble::Odd(Odd::Sql(error))
    }
}

impl From<AdminFault> for Trouble {
    fn from(fault: AdminFault) -> Trouble {
        Trouble::Fault(fault)
    }
}

/// A connection that is made when it is needed, and anew when it was lost.
pub(super) struct Session {
    runtime: Runtime,
    pub(super) door: Door,
    client: Option<Client>,
    /// With what logins run prepared.
    link: Option<Link>,
    /// What was run on the connection before, prepared.
    prepared: RefCell<HashMap<String, Statement>>,
}

impl Session {
    pub(super) fn new(door: Door) -> Result<Session, StoreFault> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
                door.address.fault(
                    &format!("no runtime to reach it: {error}"),
                    "raise the limit of open files (ulimit -n)",
                )
            })?;
        Ok(Session { runtime, door, client: None, link: None, prepared: RefCell::default() })
    }

    /// The connection.
    pub(super) fn tx(&mut self) -> Result<Tx<'_>, Trouble> {
        let Session { runtime, door, client, prepared, .. } = self;
        if client.as_ref().is_some_and(Client::is_closed) {
            *client = None;
        }
        let client = match client {
            Some(client) => client,
            lost @ None => {
                let made = runtime.block_on(door.connect())?;
                // Shorter than the database takes to look for a deadlock: a command gives way to an import, which has more to
                // lose.
                runtime.block_on(made.batch_execute("SET lock_timeout = 700"))?;
                prepared.get_mut().clear();
                lost.insert(made)
            }
        };
        Ok(Tx { runtime, client, prepared })
    }

    /// Does what logins do.
    pub(super) fn linked<T>(&mut self, body: impl FnOnce(&Runtime, &Link) -> T) -> Result<T, Odd> {
        let Session { runtime, door, link, .. } = self;
        if link.as_ref().is_some_and(|link| link.client.is_closed()) {
            *link = None;
        }
        let link = match link {
            Some(link) => link,
            lost @ None => lost.insert(runtime.block_on(door.link())?),
        };
        Ok(body(runtime, link))
    }

    /// What is wrong, for an admin to read.
    pub(super) fn blame(&self, trouble: Trouble) -> AdminFault {
        match trouble {
            Trouble::Fault(fault) => fault,
            Trouble::Odd(Odd::Sql(error)) => AdminFault::Store(self.door.explain(&error)),
            Trouble::Odd(odd) => {
                AdminFault::Store(self.door.address.fault(&odd.to_string(), "see the database's log"))
            }
        }
    }
}

/// A connection to run statements on, within a transaction or each for itself.
pub(super) struct Tx<'a> {
    runtime: &'a Runtime,
    pub(super) client: &'a Client,
    prepared: &'a RefCell<HashMap<String, Statement>>,
}

impl Tx<'_> {
    /// Runs what logins run.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn prepared(&self, sql: &str) -> Result<Statement, Trouble> {
        if let Some(known) = self.prepared.borrow().get(sql) {
            return Ok(known.clone());
        }
        let made = self.wait(self.client.prepare(sql))?;
        self.prepared.borrow_mut().insert(sql.to_owned(), made.clone());
        Ok(made)
    }

    pub(super) fn rows(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Trouble> {
        let statement = self.prepared(sql)?;
        Ok(self.wait(self.client.query(&statement, values))?)
    }

    pub(super) fn row(&self, sql: &str, values: Values<'_>) -> Result<Option<Row>, Trouble> {
        let statement = self.prepared(sql)?;
        Ok(self.wait(self.client.query_opt(&statement, values))?)
    }

    /// The number that a statement answers with.
    pub(super) fn number(&self, sql: &str, values: Values<'_>) -> Result<i64, Trouble> {
        let statement = self.prepared(sql)?;
        Ok(self.wait(self.client.query_one(&statement, values))?.try_get(0)?)
    }

    pub(super) fn run(&self, sql: &str, values: Values<'_>) -> Result<u64, Trouble> {
        let statement = self.prepared(sql)?;
        Ok(self.wait(self.client.execute(&statement, values))?)
    }

    pub(super) fn batch(&self, sql: &str) -> Result<(), Trouble> {
        Ok(self.wait(self.client.batch_execute(sql))?)
    }

    /// Runs `body` in a transaction that leaves nothing where it fails.
    pub(super) fn all_or_nothing<T>(&self, body: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
        self.batch("BEGIN")?;
        let done = body().and_then(|done| self.batch("COMMIT").map(|()| done));
        if done.is_err() {
            // The connection may be gone, and the transaction with it.
            drop(self.batch("ROLLBACK"));
        }
        done
    }

    /// Reads as of one moment.
    pub(super) fn at_once<T>(&self, body: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
        self.batch("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")?;
        let done = body();
        drop(self.batch("COMMIT"));
        done
    }
}
