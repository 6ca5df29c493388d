//! A message centre of npm's `smpp`, and what it prints.

use super::process::program;
use super::{Process, Scratch};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Beside the directory that cargo keeps for tests: the target directory, wherever it is.
pub fn target(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join(path);
    assert!(path.exists(), "{} is missing; tests/run makes it", path.display());
    path
}

/// The lines of JSON that a peer has printed.
pub fn lines(process: &Process) -> Vec<Value> {
    process.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// On `port`, for `radmfa` with the password `s3cret`; it sends a receipt for each message that asks for one.
pub fn message_centre(scratch: &Scratch, port: u16) -> Process {
    let mut command = Command::new(program("node"));
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smpp_centre.js"))
        .args([&port.to_string(), "radmfa", "s3cret"])
        .env("NODE_PATH", target("node/node_modules"));
    let mut centre = Process::spawn("centre", command, scratch);
    centre.wait_for("ready");
    centre
}
