//! Connections: made when they are needed, thrown away when anything is odd about them.
//!
//! Invariant: a certificate is checked wherever a connection is encrypted ([`super::tls`]).

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Address;
use super::{sql, tls};
use crate::store::StoreFault;

/// What a connection needs beside the address.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) address: Address,
    tls: MakeRustlsConnect,
}

impl Door {
    pub(super) fn new(address: &Address) -> Result<Door, StoreFault> {
        let tls = MakeRustlsConnect::new(tls::settings(address)?);
        Ok(Door { address: address.clone(), tls })
    }

    /// A connection. Call it on the runtime that is to drive it.
    pub(super) async fn connect(&self) -> Result<Client, Error> {
        let (client, connection) = self.address.config().connect(self.tls.clone()).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database ended");
            }
        });
        // A server that dies in the middle of a transaction is not to hold its locks for long.
        client.batch_execute("SET idle_in_transaction_session_timeout = 15000").await?;
        Ok(client)
    }

    /// The same with all that logins run prepared.
    pub(super) async fn link(&self) -> Result<Link, Error> {
        let client = self.connect().await?;
        let prepare = |sql: &'static str| client.prepare(sql);
        Ok(Link {
            user: prepare(sql::USER).await?,
            resembles: prepare(sql::RESEMBLES).await?,
            chain: prepare(sql::CHAIN).await?,
            accounts: prepare(sql::ACCOUNTS).await?,
            tokens: prepare(sql::TOKENS).await?,
            append: prepare(sql::APPEND).await?,
            client,
        })
    }

    /// What `error` means to an admin.
    pub(super) fn explain(&self, error: &Error) -> StoreFault {
        let Some(database) = error.as_db_error() else {
            let why =
                std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
            let what = format!("cannot be reached ({error}{why})");
            let hint = if what.contains("certificate") {
                "name the certificates that sign the database's, sslrootcert=PATH, and the host by a name that is in its own"
            } else if what.contains("TLS") {
                "say ssl = on in postgresql.conf, with a certificate"
            } else {
                "does the database run, at this address, and does a firewall stand between?"
            };
            return self.address.fault(&what, hint);
        };
        let what = database.message();
        let hint = match database.code() {
            &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                "is it the right user and password, and does pg_hba.conf let this machine in?"
            }
            &SqlState::INVALID_CATALOG_NAME => "make it: createdb --owner=USER DATABASE",
            &SqlState::INSUFFICIENT_PRIVILEGE => "the database and its tables belong to radmfa's own user",
            &SqlState::DISK_FULL => "make room; radmfa goes on by itself",
            &SqlState::READ_ONLY_SQL_TRANSACTION => {
                "this is a standby, or a read-only copy: name the primary's address"
            }
            _ => "see the database's log",
        };
        self.address.fault(&format!("the database says: {what}"), hint)
    }
}

/// A connection with the statements of logins prepared.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) user: Statement,
    pub(super) resembles: Statement,
    pub(super) chain: Statement,
    pub(super) accounts: Statement,
    pub(super) tokens: Statement,
    pub(super) append: Statement,
}

/// What to do about a transaction that did not go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// It got in another's way: once more, at once.
    Again,
    /// The database is away, or going: once more when it is back.
    Reconnect,
    /// It will not do it.
    None,
}

/// What to do about `error`.
pub(super) fn remedy(error: &Error) -> Remedy {
    let Some(code) = error.code() else {
        // A reply that does not fit is no matter of the connection.
        let odd = error.to_string().contains("deserializing") || error.to_string().contains("serializing");
        return if odd { Remedy::None } else { Remedy::Reconnect };
    };
    match *code {
        // The last of them: an import, or another command, is in the way of a command.
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE => Remedy::Again,
        // The tables were changed, and statements are to be prepared anew; a primary that was demoted, or a standby that is about
        // to be promoted; a transaction that stood still.
        SqlState::FEATURE_NOT_SUPPORTED
        | SqlState::INVALID_SQL_STATEMENT_NAME
        | SqlState::READ_ONLY_SQL_TRANSACTION
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Remedy::Reconnect,
        // Class 08, connection; 53, resources; 57, operator: shutting down, starting up.
        _ if ["08", "53", "57"].iter().any(|class| code.code().starts_with(class)) => Remedy::Reconnect,
        _ => Remedy::None,
    }
}

/// How long a statement or a transaction may take before its connection is given up.
pub(super) const ATTEMPT: Duration = Duration::from_secs(10);
