//! The `radmfa` program: parse arguments, return the exit code.

fn main() {}
