//! The `radmfa` program: parse arguments, return the exit code.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Gives what a login lets go to the next one while it is still in the processor's cache, also where a hundred thousand held requests have
/// left holes all over the heap.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    radmfa::cli::run(std::env::args_os())
}
