//! What a configuration depends on besides files and flags: the environment, names, the clock. Tests bring their own.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZero;
use std::sync::Arc;

use crate::base::system::Clock;
use crate::base::time::UnixTime;

/// What is asked of the machine while a configuration is read.
pub trait Surroundings {
    /// The environment variable `name`; `None` where it is unset or empty.
    fn variable(&self, name: &str) -> Option<String>;
    /// The machine's host name.
    fn host_name(&self) -> Option<String>;
    /// The addresses of `host`, with `port`. May wait for a name server.
    fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
    /// The wall clock.
    fn now(&self) -> UnixTime;
    /// How many threads can run at once; at least 1.
    fn cores(&self) -> usize;
}

/// The real machine.
#[derive(Clone)]
pub struct Machine(pub Arc<dyn Clock>);

impl Surroundings for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn host_name(&self) -> Option<String> {
        nix::unistd::gethostname().ok()?.into_string().ok()
    }

    fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((host, port).to_socket_addrs()?.collect())
    }

    fn now(&self) -> UnixTime {
        self.0.unix()
    }

    fn cores(&self) -> usize {
        std::thread::available_parallelism().map_or(1, NonZero::get)
    }
}
