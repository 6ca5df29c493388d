//! Seeing what goes to password servers, and what comes back: for whoever traces a login.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Somebody who watches one login's questions. Called where packets are sent and taken in: it must not block.
pub trait Watch: Send + Sync {
    /// Something happened.
    fn seen(&self, seen: &Seen<'_>);
}

/// Nobody, almost always.
pub type Watcher = Option<Arc<dyn Watch>>;

/// What happened between radmfa and a password server.
pub enum Seen<'a> {
    /// A packet was sent.
    Sent {
        /// Where to.
        server: SocketAddr,
        /// The packet, the password in it encrypted.
        packet: &'a [u8],
        /// 1 the first time.
        tries: u8,
    },
    /// An answer came that is the server's.
    Received {
        /// Where from.
        server: SocketAddr,
        /// The answer.
        packet: &'a [u8],
        /// How long after the question was sent first.
        took: Duration,
    },
    /// An answer came that is not the server's, and was ignored.
    Ignored {
        /// Where from.
        server: SocketAddr,
        /// What is wrong with it.
        why: &'a dyn std::fmt::Display,
    },
}
