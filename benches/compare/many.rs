//! A million users: their import while others log in, and what a login costs among them.

use std::sync::atomic::{AtomicBool, Ordering};

use super::bench::{Bench, CONCURRENCY};
use super::meter::{self, median};
use super::subject::{Load, Subject, micros};
use super::table::{Beside, Bound, Line, Table};
use crate::load::run::Mode;
use crate::load::users::{Users, made_up};

/// Logins a second beside the import.
const BESIDE: f64 = 1_000.0;
/// The few users that a million are compared with.
const FEW: usize = 1_000;

pub fn import(bench: &Bench, table: &mut Table) {
    let count = bench.sizes.imported;
    eprintln!("\n-- import of {count} tokens beside logins");
    let store = bench.store("many");
    let (mut process, server) = bench.radmfa(&store, "");
    let text = made_up(bench.sizes.users + 1..=bench.sizes.users + count);
    let csv = bench.scratch.write("many.csv", &text);
    let subject = Subject::new("radmfa, importing", server, process.id(), &bench.users);
    let load =
        Load { mode: Mode::Login, logins: usize::MAX, concurrency: 2048, rate: Some(BESIDE), shift: 0 };
    let stop = AtomicBool::new(false);
    let (took, sample) = std::thread::scope(|scope| {
        let importing = scope.spawn(|| {
            let took = store.import(&csv).expect_done();
            stop.store(true, Ordering::Relaxed);
            took
        });
        let sample = subject.bear_until(load, &stop);
        (importing.join().unwrap(), sample)
    });
    let report = &sample.report;
    let line = |what: &str, figure, unit, must| Line {
        what: what.to_owned(),
        radmfa: figure,
        unit,
        beside: None,
        must,
        aims: None,
    };
    let within = Some(Bound::Figure(20.0));
    table.add(line(
        &format!("import of {count} tokens beside 1,000 logins/s"),
        took.as_secs_f64(),
        "s",
        within,
    ));
    table.add(line(
        "  logins lost or refused",
        (report.logins() - report.accepts) as f64,
        "",
        Some(Bound::Figure(0.0)),
    ));
    table.add(line("  requests sent again", report.retransmits as f64, "", None));
    table.add(line("  latency of the code, p99", micros(report.code.percentile(0.99)), "µs", None));
    process.terminate();

    cost_by_size(bench, table, &store, &Users::from_csv(text, 1).unwrap());
}

/// What a login costs among many users and among few, each on a server that was just started. Few users have few
/// codes: each logs in three times, with the codes of three steps, of which the first warms the server up.
fn cost_by_size(bench: &Bench, table: &mut Table, store: &super::bench::Store, many: &Users) {
    eprintln!("\n-- a login among {} users and among {FEW}", many.len());
    let text = made_up(1..=FEW);
    let csv = bench.scratch.write("few.csv", &text);
    let few = Users::from_csv(text, 1).unwrap();
    let (mut costs, mut memory) = ([Vec::new(), Vec::new()], 0.0);
    for repetition in 0..bench.sizes.repetitions {
        let small = bench.empty_store(&format!("few-{repetition}"));
        small.import(&csv).expect_done();
        for ((name, store, users), costs) in
            [("radmfa, many users", store, many), ("radmfa, few users", &small, &few)]
                .into_iter()
                .zip(&mut costs)
        {
            let (process, server) = bench.radmfa(store, "");
            let subject = Subject::new(name, server, process.id(), users);
            // Other users in every repetition, for as long as there are others.
            subject.skip(repetition * 3 * FEW);
            let pass = |shift| {
                let load =
                    Load { mode: Mode::Login, logins: FEW, concurrency: CONCURRENCY, rate: None, shift };
                subject.bear(load)
            };
            pass(-1);
            let measured = [pass(0), pass(1)];
            costs.push(measured.iter().map(super::subject::Sample::cost).sum::<f64>() / 2.0);
            memory = f64::max(memory, meter::resident(process.id()));
        }
    }
    let ratio = median(costs[0].iter().zip(&costs[1]).map(|(many, few)| many / few).collect());
    let [many_cost, few_cost] = costs.map(median);
    table.add(Line {
        what: format!("CPU of a login among {} users, beside {FEW}", many.len()),
        radmfa: many_cost,
        unit: "µs",
        beside: Some(Beside { name: "few users", figure: few_cost, ratio }),
        must: Some(Bound::Ratio(1.2)),
        aims: None,
    });
    table.add(Line {
        what: format!("  memory with {} users", many.len()),
        radmfa: memory,
        unit: "MiB",
        beside: None,
        must: None,
        aims: None,
    });
}
