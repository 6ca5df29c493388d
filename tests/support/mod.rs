//! The harness of the tests with real peers, and of `benches/compare`.
//!
//! A peer is a program that somebody else wrote and that speaks RADIUS with radmfa: `radclient`, pyrad, ocserv
//! with openconnect, and `pam_radius` as gateways; FreeRADIUS as the primary server, as a second proxy and as the
//! other product that asks for a code. The harness writes their configuration into a [`Scratch`] directory,
//! starts them on free ports of 127.0.0.1 and says what they answered.
//!
//! Where a test stands:
//! ```text
//! radclient │ pyrad │ openconnect → ocserv │ openvpn │ pamtester → pam_radius      the gateway
//!                     │
//!                  Radmfa          a Site starts this and what is below it
//!                     │
//!          FreeRadius::primary     the first factor
//! ```
//! Invariants: every process that a test starts is ended when its guard is dropped, and no other; every wait has
//! a deadline, and its failure shows what the peer printed; a program that is missing fails the test by name
//! (`tests/run` installs them); nothing is written outside the scratch directory but one PAM service file, which
//! is removed again.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    clippy::missing_panics_doc,
    reason = "each test binary compiles this module and uses its own part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a harness fails by panicking, and reads the real clock for its deadlines"
)]

pub mod accounting;
pub mod caller;
pub mod code;
pub mod freeradius;
pub mod gateway;
pub mod http;
pub mod inside;
pub mod ocserv;
pub mod openvpn;
pub mod pam;
pub mod process;
pub mod push_service;
pub mod pyrad;
pub mod radclient;
pub mod radmfa;
pub mod radsecproxy;
pub mod scratch;
pub mod sink;
pub mod site;
pub mod smpp_centre;
pub mod tap;
pub mod webhook;

pub use freeradius::FreeRadius;
pub use process::Process;
pub use radmfa::Radmfa;
pub use scratch::Scratch;
pub use site::{Ground, Site};

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// A RADIUS server as its clients know it: a port on 127.0.0.1 and the secret shared with it.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    pub port: u16,
    pub secret: &'static str,
}

impl Server {
    pub fn address(self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

/// Somebody who logs in: a name, a password that the primary server knows, a TOTP seed in Base32.
#[derive(Debug, Clone)]
pub struct User {
    pub name: String,
    pub password: String,
    pub seed: String,
}

impl User {
    /// A user with a password and a seed of their own, both made from the name, so that one user's can never
    /// pass for another's.
    pub fn named(name: &str) -> User {
        use sha1::{Digest, Sha1};
        let seed = Sha1::digest(name.as_bytes());
        User {
            name: name.to_owned(),
            password: format!("{name}'s horse"),
            seed: base32::encode(base32::Alphabet::Rfc4648 { padding: false }, &seed),
        }
    }

    /// The code of this moment.
    pub fn code(&self) -> String {
        code::now(&self.seed)
    }

    /// Six digits that are no code of this user's anywhere near this moment.
    pub fn wrong_code(&self) -> String {
        code::wrong(&self.seed)
    }
}

/// A port of 127.0.0.1 that is free for UDP and for TCP.
///
/// Ports are taken below the range that the kernel hands out to outgoing sockets (32768 and up), so that no
/// peer's client socket takes the port between this call and the server's start, and from a place that differs
/// from one test process to the next.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from((std::process::id().wrapping_mul(97)) % u32::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let port = FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = (Ipv4Addr::LOCALHOST, port);
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
