//! What survives: users, tokens, spent steps, failure counts, client posture, the audit trail.
//!
//! Two faces. [`Logins`] is what a running server needs, fast and without blocking; an admin's commands use
//! a blocking face of their own. Invariants: a verdict leaves only after its [`Record`](crate::engine::record::Record) is durable; seeds are
//! sealed wherever they rest; what another process writes is seen at the next login.

pub mod admin;
#[cfg(test)]
mod battery;
mod fold;
pub mod memory;
pub mod pending;
pub mod seal;
pub mod sqlite;

use std::net::IpAddr;

use crate::base::name::Label;
use crate::engine::question::{UserAnswer, UserQuery};
use crate::engine::record::{CommitAnswer, Record};
use pending::Pending;

/// What a running server asks of its store. No call blocks the thread that makes it.
pub trait Logins: Send + Sync {
    /// Reads a user. At once where the user is in memory.
    fn find(&self, query: &UserQuery) -> Pending<UserAnswer>;

    /// Appends a record if its guards hold. Dropping the answer before the record's transaction has begun withdraws
    /// the record; afterwards it stands whether or not anybody hears of it.
    fn commit(&self, record: Record) -> Pending<CommitAnswer>;

    /// Remembers durably that `address` of `client` has shown a valid Message-Authenticator (CVE-2024-3596
    /// ratchet). `true` once it is durable, `false` where the store cannot.
    fn raise(&self, client: &Label, address: IpAddr) -> Pending<bool>;

    /// Every raised address, for a server that starts.
    fn raised(&self) -> Result<Vec<(Label, IpAddr)>, StoreFault>;
}

/// Why the store cannot do what was asked, for an admin to read.
#[derive(Debug, thiserror::Error)]
#[error("{what}\n  hint: {hint}")]
pub struct StoreFault {
    /// What is wrong and where.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}
