//! Whole logins, and proxied passwords: what they cost, how many there are in a second, how long they take.

use super::bench::{Bench, CONCURRENCY, RATE};
use super::meter::median;
use super::subject::{Load, Sample, Subject, micros};
use super::table::{Beside, Bound, Line, Table};
use crate::load::run::Mode;
use crate::support::{FreeRadius, radsecproxy::Radsecproxy};

/// Password, challenge, code, Accept.
pub fn logins(bench: &Bench, table: &mut Table) {
    eprintln!("\n-- whole logins, {} users", bench.sizes.users);
    let store = bench.store("logins");
    let (process, server) = bench.radmfa(&store, "");
    let freeradius = FreeRadius::challenge_totp(&bench.scratch, &bench.freeradius_users(), 2);
    let subjects = [
        Subject::new("radmfa", server, process.id(), &bench.users),
        Subject::new("freeradius", freeradius.server(), freeradius.process.id(), &bench.users),
    ];
    let [fast, steady] = rounds(bench, Mode::Login, &subjects);
    compare(table, "login", &fast, "freeradius", 1, Some(Bound::Ratio(0.55)), Some(Bound::Ratio(0.40)));
    compare(table, "login at 2,000/s", &steady, "freeradius", 1, None, None);
    let limit = 3_000.0 + micros(bench.flush());
    for (step, share) in [("password", 0.5), ("password", 0.99), ("code", 0.5), ("code", 0.99)] {
        let latency = |sample: &Sample| {
            let report = &sample.report;
            micros(if step == "code" { &report.code } else { &report.password }.percentile(share))
        };
        table.add(Line {
            what: format!("latency of the {step} at 2,000/s, p{:.0}", share * 100.0),
            radmfa: middle(&steady[0], latency),
            unit: "µs",
            beside: Some(beside("freeradius", &steady[0], &steady[1], latency)),
            must: (share > 0.9).then_some(Bound::Figure(limit)),
            aims: None,
        });
    }
}

/// The password of a user without a token, passed on to the primary server.
pub fn passwords(bench: &Bench, table: &mut Table) {
    eprintln!("\n-- proxied passwords");
    let store = bench.empty_store("passwords");
    let (process, server) = bench.radmfa(&store, ",unenrolled=allow");
    let freeradius = FreeRadius::proxy(&bench.scratch, bench.upstream(), 2);
    let radsecproxy = Radsecproxy::udp(&bench.scratch, bench.upstream());
    let subjects = [
        Subject::new("radmfa", server, process.id(), &bench.users),
        Subject::new("radsecproxy", radsecproxy.server(), radsecproxy.process.id(), &bench.users),
        Subject::new("freeradius proxy", freeradius.server(), freeradius.process.id(), &bench.users),
    ];
    let [fast, steady] = rounds(bench, Mode::Password, &subjects);
    compare(
        table,
        "proxied password",
        &fast,
        "radsecproxy",
        1,
        Some(Bound::Ratio(1.0)),
        Some(Bound::Ratio(0.7)),
    );
    compare(table, "proxied password", &fast, "freeradius proxy", 2, Some(Bound::Figure(18.0)), None);
    compare(table, "proxied password at 2,000/s", &steady, "radsecproxy", 1, None, None);
    for share in [0.5, 0.99] {
        let latency = |sample: &Sample| micros(sample.report.password.percentile(share));
        table.add(Line {
            what: format!("latency of a proxied password at 2,000/s, p{:.0}", share * 100.0),
            radmfa: middle(&steady[0], latency),
            unit: "µs",
            beside: Some(beside("radsecproxy", &steady[0], &steady[1], latency)),
            must: None,
            aims: None,
        });
    }
}

/// Rounds of loads over all subjects in turn, as fast as they go and at a steady rate: the samples by subject.
fn rounds(bench: &Bench, mode: Mode, subjects: &[Subject<'_>]) -> [Vec<Vec<Sample>>; 2] {
    let fast = Load { mode, logins: bench.sizes.logins, concurrency: CONCURRENCY, rate: None, shift: 0 };
    let steady = Load { logins: bench.sizes.at_rate, rate: Some(RATE), concurrency: 2048, ..fast };
    // What a process does once, and what fills its caches, belongs to no repetition.
    for subject in subjects {
        subject.bear(Load { logins: bench.sizes.at_rate / 2, ..fast });
    }
    [fast, steady].map(|load| {
        let mut samples: Vec<Vec<Sample>> = subjects.iter().map(|_| Vec::new()).collect();
        for _ in 0..bench.sizes.repetitions {
            for (subject, samples) in subjects.iter().zip(&mut samples) {
                samples.push(subject.bear(load));
            }
        }
        samples
    })
}

/// Cost and throughput of the first subject beside those of another.
fn compare(
    table: &mut Table,
    what: &str,
    samples: &[Vec<Sample>],
    name: &'static str,
    other: usize,
    must: Option<Bound>,
    aims: Option<Bound>,
) {
    table.add(Line {
        what: format!("CPU of a {what}"),
        radmfa: middle(&samples[0], Sample::cost),
        unit: "µs",
        beside: Some(beside(name, &samples[0], &samples[other], Sample::cost)),
        must,
        aims,
    });
    let kernel = |sample: &Sample| sample.cost() * sample.kernel;
    table.add(Line {
        what: "  of which in the kernel".to_owned(),
        radmfa: middle(&samples[0], kernel),
        unit: "µs",
        beside: Some(beside(name, &samples[0], &samples[other], kernel)),
        must: None,
        aims: None,
    });
    let rate = |sample: &Sample| sample.report.per_second();
    table.add(Line {
        what: "  reached".to_owned(),
        radmfa: middle(&samples[0], rate),
        unit: "/s",
        beside: Some(beside(name, &samples[0], &samples[other], rate)),
        must: None,
        aims: None,
    });
}

fn beside(
    name: &'static str,
    ours: &[Sample],
    theirs: &[Sample],
    figure: impl Fn(&Sample) -> f64 + Copy,
) -> Beside {
    let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| figure(ours) / figure(theirs));
    Beside { name, figure: middle(theirs, figure), ratio: median(ratios.collect()) }
}

fn middle(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(figure).collect())
}
