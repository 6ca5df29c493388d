//! What is known of an upstream server, shared by all workers: atomics alone, no lock.
//!
//! A server dies after [`SILENCE_MAX`] questions in a row without an answer to anything, and is passed over for the
//! dead-time. After that one question, not all, tries it again; any answer, also to a Status-Server probe
//! (RFC 5997), brings it back. Only replies that authenticate get here: a forged one changes nothing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::base::time::Tick;

/// So many questions in a row without any answer, and a server is dead. One alone may be a request that the server
/// does not like to answer.
const SILENCE_MAX: u32 = 3;
/// How often a dead server is probed, where it is known to answer probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// At most one line about bad replies in so long a time.
const COMPLAINT_INTERVAL: Duration = Duration::from_mins(1);

const NEVER: u64 = u64::MAX;

/// One upstream server's state.
#[derive(Debug)]
pub(super) struct Health {
    address: SocketAddr,
    /// 0 while it lives.
    dead_until: AtomicU64,
    /// Questions in a row that had no answer.
    silent: AtomicU32,
    last_answer: AtomicU64,
    /// 0 at the start: at once.
    next_probe: AtomicU64,
    answers_probes: AtomicBool,
    shows_message_authenticator: AtomicBool,
    response: AtomicU64,
    ignored: AtomicU64,
    complained: AtomicU64,
}

/// An upstream server's state at one moment, for an admin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// Which server.
    pub address: SocketAddr,
    /// Whether it is asked: not passed over for silence.
    pub alive: bool,
    /// Whether anything it sent ever authenticated.
    pub heard: bool,
    /// Whether it ever answered Status-Server.
    pub answers_status_server: bool,
    /// Whether it has shown Message-Authenticator in a reply, and therefore must in all.
    pub shows_message_authenticator: bool,
    /// What nineteen of twenty answers take at most, by a smoothed estimate; zero before the first.
    pub response_time: Duration,
    /// Datagrams that were no answer: late, forged, of a wrong secret.
    pub ignored: u64,
}

/// What a moment did to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    Dead,
    Alive,
    Neither,
}

impl Health {
    pub(super) fn new(address: SocketAddr) -> Health {
        Health {
            address,
            dead_until: AtomicU64::new(0),
            silent: AtomicU32::new(0),
            last_answer: AtomicU64::new(0),
            next_probe: AtomicU64::new(0),
            answers_probes: AtomicBool::new(false),
            shows_message_authenticator: AtomicBool::new(false),
            response: AtomicU64::new(0),
            ignored: AtomicU64::new(0),
            complained: AtomicU64::new(0),
        }
    }

    pub(super) fn status(&self) -> ServerStatus {
        ServerStatus {
            address: self.address,
            alive: !self.is_dead(),
            heard: self.last_answer.load(Relaxed) != 0,
            answers_status_server: self.answers_probes.load(Relaxed),
            shows_message_authenticator: self.shows_message_authenticator(),
            response_time: Response::of(self.response.load(Relaxed)).slow(),
            ignored: self.ignored.load(Relaxed),
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead_until.load(Relaxed) != 0
    }

    /// Whether to ask it. Of a server whose dead-time is over one question alone learns so, until it answers.
    pub(super) fn admits(&self, now: Tick, dead_time: Duration) -> bool {
        let until = self.dead_until.load(Relaxed);
        let Tick(next) = now + dead_time;
        until == 0
            || (until <= now.0 && self.dead_until.compare_exchange(until, next, Relaxed, Relaxed).is_ok())
    }

    /// It answered; after `took`, where that is known for certain.
    pub(super) fn answered(&self, now: Tick, took: Option<Duration>) -> Turned {
        self.last_answer.store(now.0, Relaxed);
        if self.silent.load(Relaxed) != 0 {
            self.silent.store(0, Relaxed);
        }
        if let Some(took) = took {
            let response = Response::of(self.response.load(Relaxed)).with(took);
            self.response.store(response.packed(), Relaxed);
        }
        if self.is_dead() {
            self.dead_until.store(0, Relaxed);
            self.next_probe.store(NEVER, Relaxed);
            return Turned::Alive;
        }
        Turned::Neither
    }

    /// A question of the moment `asked`, sent more than once, had no answer.
    pub(super) fn was_silent(&self, asked: Tick, now: Tick, dead_time: Duration) -> Turned {
        if self.last_answer.load(Relaxed) > asked.0 {
            return Turned::Neither;
        }
        if self.silent.fetch_add(1, Relaxed).saturating_add(1) < SILENCE_MAX {
            return Turned::Neither;
        }
        let Tick(until) = now + dead_time;
        if self.dead_until.swap(until, Relaxed) == 0 {
            self.next_probe.store(now.0, Relaxed);
            return Turned::Dead;
        }
        Turned::Neither
    }

    /// Whether a probe is to be sent: at the start, then while it is dead. Told to one worker alone.
    pub(super) fn probe_due(&self, now: Tick, dead_time: Duration) -> bool {
        let due = self.next_probe.load(Relaxed);
        if due > now.0 {
            return false;
        }
        let Tick(next) = match (self.is_dead(), self.answers_probes.load(Relaxed)) {
            (false, _) => Tick(NEVER),
            (true, true) => now + PROBE_INTERVAL.min(dead_time),
            (true, false) => now + dead_time,
        };
        self.next_probe.compare_exchange(due, next, Relaxed, Relaxed).is_ok()
    }

    pub(super) fn answers_probes(&self) {
        self.answers_probes.store(true, Relaxed);
    }

    pub(super) fn shows_message_authenticator(&self) -> bool {
        self.shows_message_authenticator.load(Relaxed)
    }

    /// From now on its replies need Message-Authenticator. Whether that is news.
    pub(super) fn raise(&self) -> bool {
        !self.shows_message_authenticator() && !self.shows_message_authenticator.swap(true, Relaxed)
    }

    /// A datagram was no answer.
    pub(super) fn ignored(&self) {
        self.ignored.fetch_add(1, Relaxed);
    }

    /// Whether it is time for one more line about what goes wrong with this server.
    pub(super) fn may_complain(&self, now: Tick) -> bool {
        let last = self.complained.load(Relaxed);
        (last == 0 || now.since(Tick(last)) >= COMPLAINT_INTERVAL)
            && self.complained.compare_exchange(last, now.0, Relaxed, Relaxed).is_ok()
    }
}

/// Smoothed response time and its mean deviation (the estimators of RFC 6298 §2), in microseconds, in one word so that
/// two workers never mix their halves.
#[derive(Clone, Copy)]
struct Response {
    smoothed: u32,
    deviation: u32,
}

impl Response {
    fn of(packed: u64) -> Response {
        let half = |octets: u64| u32::try_from(octets & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Response { smoothed: half(packed >> 32), deviation: half(packed) }
    }

    fn packed(self) -> u64 {
        u64::from(self.smoothed) << 32 | u64::from(self.deviation)
    }

    fn with(self, took: Duration) -> Response {
        let sample = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
        if self.smoothed == 0 {
            return Response { smoothed: sample, deviation: sample / 2 };
        }
        let apart = self.smoothed.abs_diff(sample);
        let deviation = self.deviation - self.deviation / 4 + apart / 4;
        let smoothed =
            if sample >= self.smoothed { self.smoothed + apart / 8 } else { self.smoothed - apart / 8 };
        Response { smoothed: smoothed.max(1), deviation }
    }

    /// Two mean deviations above the mean: the 95th percentile of a normal distribution.
    fn slow(self) -> Duration {
        Duration::from_micros(u64::from(self.smoothed) + 2 * u64::from(self.deviation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD_TIME: Duration = Duration::from_secs(30);
    const START: Tick = Tick(1_000_000_000);

    fn health() -> Health {
        Health::new("127.0.0.1:1812".parse().unwrap())
    }

    fn kill(health: &Health, now: Tick) {
        while health.was_silent(now, now, DEAD_TIME) != Turned::Dead {}
    }

    #[test]
    fn three_unanswered_questions_in_a_row_make_a_server_dead() {
        let health = health();
        assert_eq!(health.was_silent(START, START, DEAD_TIME), Turned::Neither);
        assert_eq!(health.was_silent(START, START, DEAD_TIME), Turned::Neither);
        assert_eq!(health.was_silent(START, START, DEAD_TIME), Turned::Dead);
        assert!(!health.admits(START, DEAD_TIME));
    }

    #[test]
    fn an_answer_between_them_starts_the_count_again() {
        let health = health();
        health.was_silent(START, START, DEAD_TIME);
        health.was_silent(START, START, DEAD_TIME);
        health.answered(START, None);
        let later = START + Duration::from_secs(1);
        assert_eq!(health.was_silent(later, later, DEAD_TIME), Turned::Neither);
        assert!(health.admits(later, DEAD_TIME));
    }

    #[test]
    fn silence_to_one_question_does_not_count_when_another_was_answered_meanwhile() {
        let health = health();
        health.answered(START + Duration::from_secs(1), None);
        for _ in 0..10 {
            let now = START + Duration::from_secs(2);
            assert_eq!(health.was_silent(START, now, DEAD_TIME), Turned::Neither);
        }
    }

    #[test]
    fn after_the_dead_time_one_question_tries_and_the_others_pass_by() {
        let health = health();
        kill(&health, START);
        let over = START + DEAD_TIME;
        assert!(health.admits(over, DEAD_TIME));
        assert!(!health.admits(over, DEAD_TIME));
        assert_eq!(health.answered(over, None), Turned::Alive);
        assert!(health.admits(over, DEAD_TIME));
        assert!(health.admits(over, DEAD_TIME));
    }

    #[test]
    fn one_probe_goes_out_at_the_start_and_then_only_to_the_dead() {
        let health = health();
        assert!(health.probe_due(START, DEAD_TIME));
        assert!(!health.probe_due(START + DEAD_TIME * 100, DEAD_TIME));
        health.answers_probes();
        kill(&health, START);
        assert!(health.probe_due(START, DEAD_TIME));
        assert!(!health.probe_due(START, DEAD_TIME));
        assert!(health.probe_due(START + PROBE_INTERVAL, DEAD_TIME));
        health.answered(START, None);
        assert!(!health.probe_due(START + DEAD_TIME * 100, DEAD_TIME));
    }

    #[test]
    fn the_response_time_follows_what_is_measured() {
        let health = health();
        for _ in 0..200 {
            health.answered(START, Some(Duration::from_millis(40)));
        }
        let steady = health.status().response_time;
        assert!(steady.abs_diff(Duration::from_millis(40)) < Duration::from_millis(2), "{steady:?}");
        for _ in 0..200 {
            health.answered(START, Some(Duration::from_millis(4)));
        }
        assert!(health.status().response_time < Duration::from_millis(8));
    }

    #[test]
    fn complaints_are_a_minute_apart() {
        let health = health();
        assert!(health.may_complain(START));
        assert!(!health.may_complain(START + COMPLAINT_INTERVAL / 2));
        assert!(health.may_complain(START + COMPLAINT_INTERVAL));
    }
}
