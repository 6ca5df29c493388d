//! A database of a test's own with a key for it, and what radmfa is told of both.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "each test binary uses its own part of this module, which fails by panicking"
)]

#[path = "../../src/store/postgres/tests/server.rs"]
pub mod server;

use server::Server;

use crate::support::process::Finished;
use crate::support::{FreeRadius, Radmfa, Scratch, User};

/// A key for the database, and the arguments that name both.
pub struct Place {
    pub url: String,
    pub key: String,
}

impl Place {
    /// A new database of the server that all tests of this process share.
    pub fn new(scratch: &Scratch) -> Place {
        Place::at(scratch, Server::shared())
    }

    /// A new database of `server`.
    pub fn at(scratch: &Scratch, server: &Server) -> Place {
        let key = scratch.write("seal.key", &"5a".repeat(32));
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        // It is not looked at, and is not to be seen either.
        let url = server.database().replace("postgres@", "postgres:hunter2@");
        Place { url, key: format!("file:{}", key.display()) }
    }

    /// `command` with the store and its key.
    pub fn arguments<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        [command, &["--store", &self.url, "--seal-key", &self.key]].concat()
    }

    /// Starts a server called `name`.
    pub fn serve(&self, scratch: &Scratch, name: &str, primary: &FreeRadius) -> Radmfa {
        let upstream = upstream(primary);
        Radmfa::serve(scratch, &self.arguments(&["--server-name", name, "--primary", &upstream]))
    }

    /// Runs a command.
    pub fn run(&self, scratch: &Scratch, command: &[&str]) -> Finished {
        let ran = Radmfa::run(scratch, &self.arguments(command));
        assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{}", ran.transcript());
        ran
    }

    /// Gives each of `users` a token.
    pub fn import_tokens(&self, scratch: &Scratch, users: &[User]) {
        let line = |user: &User| format!("{},T-{},{}", user.name, user.name, user.seed);
        let csv = users.iter().map(line).collect::<Vec<_>>().join("\n");
        let file = scratch.write("tokens.csv", &format!("user,serial,secret\n{csv}\n"));
        self.ok(scratch, &["token", "import", &file.to_string_lossy()]);
    }

    /// Runs a command that has to succeed; what it printed.
    pub fn ok(&self, scratch: &Scratch, command: &[&str]) -> String {
        self.run(scratch, command).expect_success(&command.join(" ")).stdout
    }
}

/// What `--primary` says of `primary`.
pub fn upstream(primary: &FreeRadius) -> String {
    let server = primary.server();
    format!("name=up,type=radius,server={},secret={}", server.address(), server.secret)
}
