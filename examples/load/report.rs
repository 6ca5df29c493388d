//! What came of a run, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::histogram::Histogram;

/// The result of a run.
pub struct Report {
    /// Access-Accepts that ended a login.
    pub accepts: u64,
    pub rejects: u64,
    /// Replies that ended a login and should not have been there: an Accept without a code, a second challenge.
    pub unexpected: u64,
    /// Logins of which a request stayed without an answer.
    pub lost: u64,
    /// Logins left where the code is asked.
    pub parked: u64,
    pub retransmits: u64,
    /// Datagrams that answered nothing, or were not authentic.
    pub strays: u64,
    pub elapsed: Duration,
    /// What sending and checking took of this process's CPU.
    pub own_cpu: Duration,
    /// Password to answer.
    pub password: Histogram,
    /// Code to answer.
    pub code: Histogram,
}

impl Report {
    pub fn new() -> Report {
        Report {
            accepts: 0,
            rejects: 0,
            unexpected: 0,
            lost: 0,
            parked: 0,
            retransmits: 0,
            strays: 0,
            elapsed: Duration::ZERO,
            own_cpu: Duration::ZERO,
            password: Histogram::new(),
            code: Histogram::new(),
        }
    }

    /// Every login that was started.
    pub fn logins(&self) -> u64 {
        self.accepts + self.rejects + self.unexpected + self.lost + self.parked
    }

    pub fn per_second(&self) -> f64 {
        self.logins() as f64 / self.elapsed.as_secs_f64()
    }

    /// Whether every login ended as it should.
    pub fn is_clean(&self) -> bool {
        self.accepts + self.parked == self.logins()
    }

    pub fn json(&self) -> serde_json::Value {
        let step = |histogram: &Histogram| {
            json!({
                "replies": histogram.count(),
                "p50_us": microseconds(histogram.percentile(0.50)),
                "p99_us": microseconds(histogram.percentile(0.99)),
                "max_us": microseconds(histogram.longest()),
            })
        };
        json!({
            "logins": self.logins(),
            "accepts": self.accepts,
            "rejects": self.rejects,
            "unexpected": self.unexpected,
            "lost": self.lost,
            "parked": self.parked,
            "retransmits": self.retransmits,
            "strays": self.strays,
            "seconds": self.elapsed.as_secs_f64(),
            "logins_per_second": self.per_second(),
            "own_cpu_us_per_login": microseconds(self.own_cpu) / self.logins().max(1) as f64,
            "password": step(&self.password),
            "code": step(&self.code),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} logins in {:.2} s, {:.0} a second: {} accepted, {} rejected, {} lost",
            self.logins(),
            self.elapsed.as_secs_f64(),
            self.per_second(),
            self.accepts,
            self.rejects,
            self.lost
        )?;
        if self.parked > 0 {
            writeln!(formatter, "{} left where the code is asked", self.parked)?;
        }
        if self.unexpected > 0 {
            writeln!(
                formatter,
                "{} answered otherwise (an Accept without a code, a second challenge)",
                self.unexpected
            )?;
        }
        writeln!(formatter, "{} requests sent again, {} stray datagrams", self.retransmits, self.strays)?;
        writeln!(
            formatter,
            "own CPU {:.1} µs a login",
            microseconds(self.own_cpu) / self.logins().max(1) as f64
        )?;
        for (name, step) in [("password", &self.password), ("code", &self.code)] {
            if step.count() > 0 {
                writeln!(
                    formatter,
                    "{name:<9} p50 {:>9.0} µs   p99 {:>9.0} µs   max {:>9.0} µs",
                    microseconds(step.percentile(0.50)),
                    microseconds(step.percentile(0.99)),
                    microseconds(step.longest())
                )?;
            }
        }
        Ok(())
    }
}

pub fn microseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}
