//! What is measured: a server process, and the load put on it.

use std::cell::Cell;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::meter;
use crate::load::report::Report;
use crate::load::run::{Mode, Plan, run};
use crate::load::users::Users;
use crate::support::Server;

/// What every user's password is.
pub const PASSWORD: &str = "pin";

/// A server under load.
pub struct Subject<'a> {
    pub name: &'static str,
    pub server: Server,
    pub process: u32,
    pub users: &'a Users,
    /// Whose turn it is: nobody logs in twice in a run before everybody has.
    turn: Cell<usize>,
}

/// How a load goes.
#[derive(Clone, Copy)]
pub struct Load {
    pub mode: Mode,
    pub logins: usize,
    pub concurrency: usize,
    pub rate: Option<f64>,
    pub shift: i64,
}

/// What came of one load.
pub struct Sample {
    pub report: Report,
    pub cpu: Duration,
    /// The kernel's share of it.
    pub kernel: f64,
}

impl Sample {
    /// CPU microseconds a login.
    pub fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.report.logins() as f64
    }
}

impl<'a> Subject<'a> {
    pub fn new(name: &'static str, server: Server, process: u32, users: &'a Users) -> Subject<'a> {
        Subject { name, server, process, users, turn: Cell::new(0) }
    }

    /// Lets so many users not have their turn.
    pub fn skip(&self, users: usize) {
        self.turn.set(self.turn.get() + users);
    }

    /// Puts one load on it, and sees that (almost) every login got in: figures of a server that refuses are none.
    ///
    /// FreeRADIUS takes codes of the present step alone: the load waits for a step that it has room in.
    pub fn bear(&self, load: Load) -> Sample {
        if load.mode == Mode::Login {
            wait_for_room(load.rate.map_or(SHORT, |rate| SHORT + load.logins as f64 / rate));
        }
        self.bear_until(load, &AtomicBool::new(false))
    }

    /// The same until `stop` is set.
    pub fn bear_until(&self, load: Load, stop: &AtomicBool) -> Sample {
        let plan = Plan {
            server: self.server.address(),
            secret: self.server.secret,
            users: self.users,
            first: self.turn.get(),
            logins: load.logins,
            password: PASSWORD,
            mode: load.mode,
            concurrency: load.concurrency,
            rate: load.rate,
            sockets: 8.max(load.concurrency / 128),
            shift: load.shift,
        };
        let (cpu, ticks) = (meter::cpu(self.process), meter::ticks(self.process));
        let report = run(&plan, stop).unwrap();
        let (cpu_after, ticks_after) = (meter::cpu(self.process), meter::ticks(self.process));
        self.turn.set(self.turn.get() + report.logins() as usize);
        let (user, kernel) = (ticks_after.0 - ticks.0, ticks_after.1 - ticks.1);
        let got_in = report.accepts + report.parked;
        assert!(
            got_in * 100 >= report.logins() * 98,
            "{}: more than 2 of 100 logins did not end as they should:\n{report}",
            self.name
        );
        let sample = Sample {
            report,
            cpu: cpu_after.saturating_sub(cpu),
            kernel: kernel as f64 / (user + kernel).max(1) as f64,
        };
        eprintln!(
            "{:<22} {:>6} logins {:>7.0}/s {:>7.1} µs CPU a login   password p50 {:>5.0} p99 {:>6.0} µs   code p50 {:>5.0} p99 {:>6.0} µs{}",
            self.name,
            sample.report.logins(),
            sample.report.per_second(),
            sample.cost(),
            micros(sample.report.password.percentile(0.5)),
            micros(sample.report.password.percentile(0.99)),
            micros(sample.report.code.percentile(0.5)),
            micros(sample.report.code.percentile(0.99)),
            blemishes(&sample.report),
        );
        sample
    }
}

/// Seconds in which a load as fast as it goes is done.
const SHORT: f64 = 2.0;

/// Waits until the present step of 30 s has `seconds` left.
fn wait_for_room(seconds: f64) {
    const STEP: f64 = 30.0;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let left = STEP - now % STEP;
    if left < seconds {
        std::thread::sleep(Duration::from_secs_f64(left));
    }
}

pub fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

fn blemishes(report: &Report) -> String {
    let counts = [
        ("rejected", report.rejects),
        ("lost", report.lost),
        ("unexpected", report.unexpected),
        ("sent again", report.retransmits),
        ("stray", report.strays),
    ];
    let there = counts.iter().filter(|(_, count)| *count > 0);
    there.fold(String::new(), |text, (name, count)| text + &format!("   {count} {name}"))
}
