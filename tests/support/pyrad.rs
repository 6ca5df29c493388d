//! pyrad, the Python client, through `tests/pyrad_login.py`: an implementation of RADIUS that shares nothing
//! with FreeRADIUS, and which refuses a reply without a Message-Authenticator.

use super::process::{LOGIN, run};
use super::{Scratch, Server};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// One reply, as pyrad saw it.
#[derive(Debug, Deserialize)]
pub struct Reply {
    /// The packet's code: 2 Accept, 3 Reject, 11 Challenge.
    pub code: u8,
    /// The type of the packet's first attribute.
    pub first: u8,
    /// Whether there is a Message-Authenticator and it is right, computed by the script itself.
    pub signed: bool,
    /// Every Reply-Message.
    pub messages: Vec<String>,
}

/// Logs in: the password, then an entry for as long as the server asks and there are entries. `signed` adds a
/// Message-Authenticator to every request and demands one in every reply.
pub fn login(scratch: &Scratch, server: Server, user: &str, entries: &[&str], signed: bool) -> Vec<Reply> {
    // Beside the directory that cargo keeps for tests: the target directory, wherever it is.
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("python/bin/python");
    assert!(python.is_file(), "{} is missing; tests/run makes it", python.display());
    let mut command = Command::new(python);
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pyrad_login.py"))
        .args([&server.port.to_string(), server.secret, user])
        .args(signed.then_some("--signed"));
    let finished =
        run(command, &(entries.join("\n") + "\n"), scratch, LOGIN).expect_success("pyrad_login.py");
    finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
