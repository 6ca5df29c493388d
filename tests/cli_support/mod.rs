//! `radmfa` as an admin types it: in a directory of its own, with nothing of radmfa's in the environment.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test binary uses its own part of this module"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::process::{Finished, LOGIN, run};
use crate::support::{Process, Scratch};

/// The store that [`Desk::radmfa`] works on.
pub const STORE: &str = "sqlite:store/radmfa.db";

/// An admin's working directory.
pub struct Desk {
    pub scratch: Scratch,
}

impl Desk {
    pub fn new(name: &str) -> Desk {
        Desk { scratch: Scratch::new(name) }
    }

    /// `radmfa` with arguments that spaces divide, on this desk's store.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_radmfa"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RADMFA_") || name == "CARGO" {
                command.env_remove(name);
            }
        }
        command.env("RADMFA_STORE", STORE).current_dir(self.scratch.path());
        command.args(line.split_whitespace());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, line: &str) -> Finished {
        self.run_with(line, "")
    }

    /// The same with something on standard input.
    pub fn run_with(&self, line: &str, input: &str) -> Finished {
        run(self.command(line), input, &self.scratch, LOGIN)
    }

    /// Runs a command that has to succeed; what it printed.
    pub fn ok(&self, line: &str) -> String {
        self.run(line).expect_success(line).stdout
    }

    /// Runs a command that has to end with `code`; what it printed on standard error.
    pub fn fails(&self, line: &str, code: i32) -> String {
        let ran = self.run(line);
        assert_eq!(ran.status.code(), Some(code), "{line}: {}", ran.transcript());
        ran.stderr
    }

    /// Starts a server and waits until it is ready.
    pub fn serve(&self, line: &str) -> Process {
        let mut process = Process::spawn("serve", self.command(line), &self.scratch);
        process.wait_for_line("ready", |line| line.split_whitespace().last() == Some("ready"));
        process
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.scratch.join(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.scratch.join(name)).unwrap()
    }

    /// The permission bits of a file or directory.
    pub fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.scratch.join(name)).unwrap().permissions().mode() & 0o777
    }
}
