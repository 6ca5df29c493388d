//! The `radmfa` program that cargo built for these tests.

use super::process::{Finished, LOGIN, run};
use super::{Process, Scratch, Server, free_port};
use std::path::Path;
use std::process::Command;

/// The secret that radmfa and the test's gateways share.
pub const SECRET: &str = "testing123";

/// A running `radmfa serve`.
pub struct Radmfa {
    pub process: Process,
    server: Server,
}

impl Radmfa {
    /// Runs a command of radmfa to its end.
    pub fn run(scratch: &Scratch, arguments: &[&str]) -> Finished {
        run(Self::command(arguments), "", scratch, LOGIN)
    }

    /// Starts `radmfa serve` on a free port with one client, 127.0.0.1, and `arguments` besides, and waits for
    /// its `ready`.
    pub fn serve(scratch: &Scratch, arguments: &[&str]) -> Radmfa {
        let server = Server { port: free_port(), secret: SECRET };
        Self::serve_at(scratch, server, arguments)
    }

    /// The same at a known place: the second start of a server that was stopped.
    pub fn serve_at(scratch: &Scratch, server: Server, arguments: &[&str]) -> Radmfa {
        Self::serve_to(scratch, server, "nas", arguments)
    }

    /// The same with its client called `client`.
    pub fn serve_to(scratch: &Scratch, server: Server, client: &str, arguments: &[&str]) -> Radmfa {
        let listen = server.address().to_string();
        let client = format!("name={client},address=127.0.0.1,secret={}", server.secret);
        let mut command = Self::command(&["serve", "--listen", &listen, "--client", &client]);
        command.args(arguments);
        Self::ready(scratch, server, command)
    }

    /// Starts `radmfa serve` as a file says, which has it listen where `server` is.
    pub fn configured(scratch: &Scratch, file: &Path, server: Server) -> Radmfa {
        Self::ready(scratch, server, Self::command(&["serve", "--config", &file.to_string_lossy()]))
    }

    fn ready(scratch: &Scratch, server: Server, command: Command) -> Radmfa {
        let mut process = Process::spawn("radmfa", command, scratch);
        process.wait_for_line("ready", |line| line.split_whitespace().last() == Some("ready"));
        Radmfa { process, server }
    }

    pub fn server(&self) -> Server {
        self.server
    }

    /// radmfa without the settings that the caller's environment may hold.
    fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_radmfa"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RADMFA_") {
                command.env_remove(name);
            }
        }
        command.args(arguments);
        command
    }
}
