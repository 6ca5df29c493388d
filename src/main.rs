//! The `radmfa` program: parse arguments, return the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    radmfa::cli::run(std::env::args_os())
}
