//! Puts a RADIUS server under load: whole logins over UDP (PAP password, Access-Challenge, TOTP code,
//! Access-Accept) from a file of users and seeds, in random order, every reply authenticated.
//!
//! For a test server of your own. Three terminals:
//! ```text
//! cargo run --release --example load -- --make-users 100000 users.csv
//! cargo run --release --example load -- --upstream-listen 127.0.0.1:11812 --upstream-secret upsecret
//!
//! radmfa token import users.csv --store sqlite:/tmp/load/radmfa.db
//! radmfa serve --listen 127.0.0.1:1812 --store sqlite:/tmp/load/radmfa.db \
//!   --client name=load,address=127.0.0.1,secret=testing123 \
//!   --primary name=up,type=radius,server=127.0.0.1:11812,secret=upsecret
//!
//! cargo run --release --example load -- --server 127.0.0.1:1812 --secret testing123 --users users.csv --logins 50000
//! ```
//! A server that takes each code once lets a user in once in a step of 30 s: have as many users as logins in that
//! time. A run that starts within 30 s of another begins further on with `--first`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    missing_docs,
    unreachable_pub,
    reason = "a tool for test servers: it stops where something is wrong, reads the real clock, and rounds its figures"
)]

#[path = "load/mod.rs"]
mod load;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::Parser;

use load::run::{Mode, Plan, run};
use load::{upstream, users};

/// Puts a RADIUS server under load with whole logins. For a test server of your own.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Arguments {
    /// Where the RADIUS server listens.
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present_any = ["make_users", "upstream_listen"])]
    server: Option<SocketAddr>,
    /// The secret shared with it.
    #[arg(long, default_value = "testing123")]
    secret: String,
    /// CSV with the columns user, secret (Base32) and perhaps interval (seconds).
    #[arg(long, value_name = "FILE", required_unless_present_any = ["make_users", "upstream_listen"])]
    users: Option<PathBuf>,
    /// How many logins.
    #[arg(long, default_value_t = 10_000)]
    logins: usize,
    /// Position in the order of users to begin at.
    #[arg(long, default_value_t = 0)]
    first: usize,
    /// Chooses the random order of users.
    #[arg(long, default_value_t = 1)]
    order: u64,
    /// Requests without an answer at most.
    #[arg(long, default_value_t = 128)]
    concurrency: usize,
    /// Logins to start a second; as fast as they end when not given.
    #[arg(long)]
    rate: Option<f64>,
    /// Every user's password.
    #[arg(long, default_value = "pin")]
    password: String,
    /// How far a login goes.
    #[arg(long, value_enum, default_value = "login")]
    mode: Mode,
    /// Sockets to send from, each with 256 identifiers.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    sockets: u16,
    /// Send the code of so many steps after (negative: before) the present one.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    shift: i64,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Write a CSV file of so many made-up users instead.
    #[arg(long, num_args = 2, value_names = ["N", "FILE"], exclusive = true)]
    make_users: Option<Vec<String>>,
    /// Be a primary server instead, which says yes to everybody.
    #[arg(long, value_name = "ADDRESS:PORT")]
    upstream_listen: Option<SocketAddr>,
    /// The secret of those who ask the primary server.
    #[arg(long, default_value = "upsecret")]
    upstream_secret: String,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some([count, file]) = arguments.make_users.as_deref() {
        let count = count.parse().context("--make-users N FILE: N is not a number")?;
        std::fs::write(file, users::made_up(1..=count)).with_context(|| file.clone())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(listen) = arguments.upstream_listen {
        let socket = upstream::bind(listen).with_context(|| listen.to_string())?;
        eprintln!("accepting everybody on {listen}; end with Ctrl-C");
        upstream::answer_all(&socket, &arguments.upstream_secret, &AtomicBool::new(false));
    }
    let (Some(server), Some(file)) = (arguments.server, &arguments.users) else {
        unreachable!("clap has required both");
    };
    let users = users::Users::read(file, arguments.order)?;
    let plan = Plan {
        server,
        secret: &arguments.secret,
        users: &users,
        first: arguments.first,
        logins: arguments.logins,
        password: &arguments.password,
        mode: arguments.mode,
        concurrency: arguments.concurrency,
        rate: arguments.rate,
        sockets: usize::from(arguments.sockets),
        shift: arguments.shift,
    };
    let report = run(&plan, &AtomicBool::new(false))?;
    if arguments.json {
        println!("{:#}", report.json());
    } else {
        print!("{report}");
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
