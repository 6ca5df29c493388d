//! Memory with all users, and logins left where the code is asked.

use super::bench::{Bench, CONCURRENCY};
use super::meter;
use super::subject::{Load, Subject};
use super::table::{Beside, Bound, Line, Table};
use crate::load::run::Mode;
use crate::support::{FreeRadius, Scratch};

pub fn memory(bench: &Bench, table: &mut Table) {
    let parked = bench.sizes.parked;
    eprintln!("\n-- memory with {} users and {parked} parked logins", bench.sizes.users);
    let store = bench.store("memory");
    let (process, server) = bench.radmfa(&store, "");
    let scratch = Scratch::new("compare-memory");
    let freeradius = FreeRadius::challenge_totp(&scratch, &bench.freeradius_users(), 2);
    let park = Load { mode: Mode::Park, logins: parked, concurrency: CONCURRENCY, rate: None, shift: 0 };
    let [ours, theirs] = [
        Subject::new("radmfa", server, process.id(), &bench.users),
        Subject::new("freeradius", freeradius.server(), freeradius.process.id(), &bench.users),
    ]
    .map(|subject| {
        subject.bear(park);
        (meter::resident(subject.process), meter::peak(subject.process))
    });
    let what = format!("memory with {} users, {parked} parked logins", bench.sizes.users);
    let beside = Some(Beside::plain("freeradius", ours.0, theirs.0));
    let (must, aims) = (Some(Bound::Figure(96.0)), Some(Bound::Figure(64.0)));
    table.add(Line { what, radmfa: ours.0, unit: "MiB", beside, must, aims });
    let what = "  at its peak".to_owned();
    let beside = Some(Beside::plain("freeradius", ours.1, theirs.1));
    table.add(Line { what, radmfa: ours.1, unit: "MiB", beside, must: None, aims: None });
}
