//! When a request is sent again (RFC 5080 §2.2.1, within the patience of the gateway that waits).
//!
//! Arithmetic alone: the moments come from the caller, and so does the jitter.

use std::time::Duration;

use crate::base::time::Tick;

/// How often a packet is sent at most.
pub(super) const TRIES_MAX: u8 = 5;
/// The bounds of the first interval.
const FIRST_MIN: Duration = Duration::from_millis(150);
const FIRST_MAX: Duration = Duration::from_secs(2);
/// The bound of those after it.
const INTERVAL_MAX: Duration = Duration::from_secs(16);

/// The sendings of one packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    interval: Duration,
    next: Option<Tick>,
    give_up: Tick,
    sent: u8,
}

impl Schedule {
    /// For a packet that is to be sent `now` and whose answer is of no use after `give_up`. The first interval will
    /// be a sixth of the time that is left, 150 ms to 2 s.
    pub(super) fn start(now: Tick, give_up: Tick) -> Schedule {
        let interval = (give_up.since(now) / 6).clamp(FIRST_MIN, FIRST_MAX);
        Schedule { interval, next: Some(now), give_up, sent: 0 }
    }

    /// When to send; `None` when not any more.
    pub(super) fn next(&self) -> Option<Tick> {
        self.next
    }

    /// How often it was sent.
    pub(super) fn tries(&self) -> u8 {
        self.sent
    }

    /// It was sent. `jitter` is random.
    pub(super) fn sent(&mut self, now: Tick, jitter: u8) {
        if self.sent > 0 {
            self.interval = (self.interval * 2).min(INTERVAL_MAX);
        }
        self.sent = self.sent.saturating_add(1);
        // 90 % to 110 %.
        let next = now + self.interval * 9 / 10 + self.interval / 5 * u32::from(jitter) / 255;
        self.next = (self.sent < TRIES_MAX && next < self.give_up).then_some(next);
    }

    /// Never again.
    pub(super) fn stop(&mut self) {
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The intervals between the sendings, in milliseconds.
    fn intervals(patience: Duration, jitter: u8) -> Vec<u128> {
        let mut last = Tick(1);
        let give_up = last + patience;
        let mut schedule = Schedule::start(last, give_up);
        let mut intervals = Vec::new();
        while let Some(next) = schedule.next() {
            assert!(next < give_up, "nothing is sent once the answer is of no use");
            intervals.push(next.since(last).as_millis());
            last = next;
            schedule.sent(last, jitter);
        }
        assert_eq!(usize::from(schedule.tries()), intervals.len());
        intervals
    }

    #[test]
    fn a_patient_gateway_sees_the_intervals_of_rfc_5080() {
        assert_eq!(intervals(seconds(600), 0), [0, 1800, 3600, 7200, 14400]);
        assert_eq!(intervals(seconds(600), 255), [0, 2200, 4400, 8800, 17600]);
    }

    #[test]
    fn an_impatient_one_makes_them_shorter_down_to_150_ms() {
        assert_eq!(intervals(seconds(3), 0), [0, 450, 900]);
        assert_eq!(intervals(Duration::from_millis(600), 0), [0, 135, 270]);
    }

    #[test]
    fn one_that_could_not_be_sent_is_still_due() {
        let schedule = Schedule::start(Tick(7), Tick(7) + seconds(60));
        assert_eq!((schedule.next(), schedule.tries()), (Some(Tick(7)), 0));
    }
}
