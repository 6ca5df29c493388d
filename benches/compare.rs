//! radmfa beside Debian's FreeRADIUS and radsecproxy: the same load, the same machine, one run.
//!
//! ```text
//! cargo bench --bench compare                     everything, some five minutes
//! cargo bench --bench compare -- --quick          fewer and shorter repetitions, half a minute
//! cargo bench --bench compare -- login password   some parts: login, password, relay, memory, import
//! ```
//! The measure is the CPU time of the server's process (user and kernel, all its threads, by the kernel's clock for
//! that process) divided by logins: another program on the machine makes a run slower but hardly dearer. Repetitions
//! go round the subjects in turn; the table gives medians, and as ratio the median of each round's own. The load generator and the primary server that says
//! yes to everybody run in this process and are the same for all; so is what they cost.
//!
//! What is equal and what is not: all subjects check Message-Authenticators, have 100,000 users and answer from
//! 127.0.0.1; FreeRADIUS has two threads, as many as radmfa here. For a login FreeRADIUS looks the password up itself
//! and keeps neither trail nor spent codes; radmfa asks the primary server, makes a row durable on disk and writes a
//! log line.
#![allow(
    clippy::restriction,
    clippy::pedantic,
    clippy::disallowed_methods,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark stops where something is wrong, prints, reads the real clock, and rounds its figures"
)]

#[path = "../examples/load/mod.rs"]
mod load;
#[path = "compare/mod.rs"]
mod parts;
#[path = "../tests/support/mod.rs"]
mod support;

use parts::bench::{Bench, Sizes};
use parts::table::Table;

fn main() {
    // cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let parts: Vec<&str> = arguments.iter().filter(|a| !a.starts_with("--")).map(String::as_str).collect();
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);

    let sizes = if quick { Sizes::QUICK } else { Sizes::FULL };
    let bench = Bench::new(sizes);
    bench.describe();
    let mut table = Table::new();
    if wanted("login") {
        parts::logins::logins(&bench, &mut table);
    }
    if wanted("password") {
        parts::logins::passwords(&bench, &mut table);
    }
    if wanted("relay") {
        parts::relay::relay(&bench, &mut table);
    }
    if wanted("memory") {
        parts::memory::memory(&bench, &mut table);
    }
    if wanted("import") {
        parts::many::import(&bench, &mut table);
    }
    println!("\n{table}");
}
