//! What a login costs with the store in a file and with one in PostgreSQL, side by side in one run; and how long the code
//! takes with two servers on one database.
//!
//! ```text
//! cargo bench --bench stores                 three to four minutes
//! cargo bench --bench stores -- --quick      fewer and shorter repetitions, a minute
//! ```
//! The measure is CPU time (user and kernel, by the kernel's clock for each process) divided by logins: radmfa's own, and that
//! of all of PostgreSQL's processes, which a store file does not have. The database is Debian's, as it is installed, with every
//! commit flushed to the same disk as the file. Repetitions go round the two in turn; the table gives medians, and as ratio
//! the median of each round's own. A login is a proxied password, a challenge, a TOTP code and a durable row.
//!
//! For two servers with `affinity = "shared"` both bear a steady load, while one login after the other is begun at one of them and
//! answered at the same or at the other one in turn; it is these that are timed.
#![allow(
    clippy::restriction,
    clippy::pedantic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "a benchmark stops where something is wrong, prints, reads the real clock, rounds its figures, and uses its part of \
              what benchmarks share"
)]

#[path = "stores/family.rs"]
mod family;
#[path = "../examples/load/mod.rs"]
mod load;
#[path = "compare/mod.rs"]
mod parts;
#[path = "../tests/postgres_support/mod.rs"]
mod postgres_support;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use load::run::Mode;
use parts::bench::{Bench, CONCURRENCY, Sizes, Store};
use parts::meter::median;
use parts::subject::{Load, PASSWORD, Sample, Subject, micros};
use parts::table::{Beside, Line, Table};
use postgres_support::Place;
use postgres_support::server::Server as Database;
use radmfa::wire::Code;
use support::gateway::Gateway;
use support::{Server, free_port};

// Users for all logins of a run, since radmfa takes nobody's code twice.

/// Logins a second at which latency is measured.
const RATE: f64 = 500.0;
/// The same at each of two servers, beside the logins that are timed: all in all, and with `--quick`.
const BESIDE: f64 = 100.0;
const BESIDE_QUICK: f64 = 25.0;

const FULL: Sizes =
    Sizes { users: 50_000, repetitions: 5, logins: 6_000, at_rate: 2_500, relayed: 2_000, ..Sizes::FULL };
const QUICK: Sizes =
    Sizes { users: 5_000, repetitions: 2, logins: 1_000, at_rate: 500, relayed: 200, ..Sizes::QUICK };

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let bench = Bench::new(if quick { QUICK } else { FULL });
    bench.describe();
    let database = Database::durable();
    let mut table = Table::new();
    costs(&bench, &database, &mut table);
    two_servers(&bench, &database, if quick { BESIDE_QUICK } else { BESIDE }, &mut table);
    println!("\n{table}");
}

/// A new database with the bench's users, and what radmfa is told of it.
fn in_database(bench: &Bench, database: &Database) -> Store {
    let place = Place::at(&bench.scratch, database);
    let began = Instant::now();
    let store = Store::at(["--store", &place.url, "--seal-key", &place.key].map(str::to_owned).to_vec());
    bench.fill(&store);
    eprintln!(
        "{} tokens imported into the database in {:.1} s",
        bench.sizes.users,
        began.elapsed().as_secs_f64()
    );
    store
}

/// A load's sample with what the database spent on it.
struct Both {
    sample: Sample,
    database: Duration,
}

impl Both {
    fn database(&self) -> f64 {
        self.database.as_secs_f64() * 1e6 / self.sample.report.logins() as f64
    }

    fn total(&self) -> f64 {
        self.sample.cost() + self.database()
    }
}

/// The same load on both stores in turn.
fn costs(bench: &Bench, database: &Database, table: &mut Table) {
    eprintln!("\n-- whole logins, {} users", bench.sizes.users);
    let (file, shared) = (bench.store("file"), in_database(bench, database));
    let (on_file, file_at) = bench.radmfa(&file, "");
    let (on_database, database_at) = bench.radmfa(&shared, "");
    let subjects = [
        Subject::new("sqlite", file_at, on_file.id(), &bench.users),
        Subject::new("postgres", database_at, on_database.id(), &bench.users),
    ];
    let fast = Load {
        mode: Mode::Login,
        logins: bench.sizes.logins,
        concurrency: CONCURRENCY,
        rate: None,
        shift: 0,
    };
    let steady = Load { logins: bench.sizes.at_rate, rate: Some(RATE), concurrency: 2048, ..fast };
    for subject in &subjects {
        let warm = Load { logins: bench.sizes.at_rate / 2, ..fast };
        subject.bear_until(warm, &AtomicBool::new(false));
    }
    let [fast, steady] = [fast, steady].map(|load| {
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..bench.sizes.repetitions {
            for (subject, samples) in subjects.iter().zip(&mut samples) {
                let before = family::cpu(database.process());
                let sample = subject.bear_until(load, &AtomicBool::new(false));
                let spent = family::cpu(database.process()).saturating_sub(before);
                samples.push(Both { sample, database: spent });
            }
        }
        samples
    });
    for (how, samples) in [("as fast as it goes", &fast), ("at 500/s", &steady)] {
        compare(table, &format!("CPU of a login, {how}: radmfa's own"), "µs", samples, |both| {
            both.sample.cost()
        });
        compare(table, "  and the database's", "µs", samples, Both::total);
        table.add(Line {
            what: "  the database's alone".to_owned(),
            radmfa: median(samples[1].iter().map(Both::database).collect()),
            unit: "µs",
            beside: None,
            must: None,
            aims: None,
        });
    }
    compare(table, "logins a second, with 128 under way", "/s", &fast, |both| {
        both.sample.report.per_second()
    });
    for (step, share) in [("password", 0.5), ("password", 0.99), ("code", 0.5), ("code", 0.99)] {
        let what = format!("latency of the {step} at 500/s, p{:.0}", share * 100.0);
        compare(table, &what, "µs", &steady, |both| {
            let report = &both.sample.report;
            micros(if step == "code" { &report.code } else { &report.password }.percentile(share))
        });
    }
}

/// A figure of PostgreSQL beside that of the file.
fn compare(
    table: &mut Table,
    what: &str,
    unit: &'static str,
    samples: &[Vec<Both>; 2],
    figure: impl Fn(&Both) -> f64,
) {
    let [file, database] =
        samples.each_ref().map(|samples| samples.iter().map(&figure).collect::<Vec<f64>>());
    let ratio = median(database.iter().zip(&file).map(|(database, file)| database / file).collect());
    table.add(Line {
        what: what.to_owned(),
        radmfa: median(database),
        unit,
        beside: Some(Beside { name: "sqlite", figure: median(file), ratio }),
        must: None,
        aims: None,
    });
}

/// Two servers that share their logins, each under load; logins that are answered where they began, and elsewhere.
fn two_servers(bench: &Bench, database: &Database, beside: f64, table: &mut Table) {
    eprintln!("\n-- two servers on one database, affinity shared, {beside} logins a second at each beside");
    let store = in_database(bench, database);
    let servers = [0; 2].map(|_| Server { port: free_port(), secret: "testing123" });
    let started: Vec<_> = ["mfa-a", "mfa-b"]
        .iter()
        .zip(servers)
        .map(|(name, server)| bench.serve(&store, name, server, "", &["--affinity", "shared"]))
        .collect();
    let subjects: Vec<Subject<'_>> = started
        .iter()
        .map(|(process, server)| Subject::new("two servers", *server, process.id(), &bench.users))
        .collect();
    // Users of their own for each, and for the logins that are timed.
    subjects[1].skip(bench.sizes.users / 3);
    let own = bench.sizes.users * 2 / 3;
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let spent = family::cpu(database.process());
    let took = std::thread::scope(|scope| {
        for subject in subjects {
            let stop = &stop;
            // More than there is time for: stopped when the rest is done.
            let load = Load {
                mode: Mode::Login,
                logins: usize::MAX / 2,
                concurrency: 2048,
                rate: Some(beside),
                shift: 0,
            };
            scope.spawn(move || subject.bear_until(load, stop));
        }
        let mut gateways = servers.map(|server| Gateway::new(server, Duration::from_secs(20)));
        let ends = Ends(&stop);
        // By whether the code went elsewhere.
        let mut took = [Vec::new(), Vec::new()];
        for number in 0..bench.sizes.relayed {
            let user = bench.users.nth(own + number % (bench.sizes.users / 3));
            let (first, elsewhere) = ((number / 2) % 2, number % 2);
            let challenge = gateways[first].ask(user.name, PASSWORD, None).expect("an answer to a password");
            let state = challenge.state.expect("a State in the challenge");
            let code = user.code(0);
            let began = Instant::now();
            let verdict = gateways[(first + elsewhere) % 2].ask(user.name, &code, Some(&state));
            took[elsewhere].push(micros(began.elapsed()));
            assert_eq!(verdict.expect("a verdict").code, Code::ACCESS_ACCEPT, "{}", user.name);
        }
        drop(ends);
        took
    });
    let spent = family::cpu(database.process()).saturating_sub(spent);
    let logins = beside * 2.0 * began.elapsed().as_secs_f64() + bench.sizes.relayed as f64;
    let [here, elsewhere] = took;
    for (word, share) in [("p50", 0.5), ("p99", 0.99)] {
        let (here, elsewhere) = (percentile(&here, share), percentile(&elsewhere, share));
        table.add(Line {
            what: format!("two servers, shared: code taken by the other one, {word}"),
            radmfa: elsewhere,
            unit: "µs",
            beside: Some(Beside::plain("the same one", elsewhere, here)),
            must: None,
            aims: None,
        });
    }
    table.add(Line {
        what: "  the database's CPU of a login".to_owned(),
        radmfa: micros(spent) / logins,
        unit: "µs",
        beside: None,
        must: None,
        aims: None,
    });
}

/// Ends the load, also where what it was for has failed.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn percentile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
