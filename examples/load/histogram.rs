//! Latencies in buckets of which each is at most 1/32 wider than the one before: a percentile is at most 3 % off.

use std::time::Duration;

/// Bits of a value that choose the bucket within a power of two.
const FINE: u32 = 5;
/// Enough for 2^40 ns, 18 minutes.
const BUCKETS: usize = 40 << FINE;

/// How often each latency was seen.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u32>,
    count: u64,
    longest: Duration,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram { buckets: vec![0; BUCKETS], count: 0, longest: Duration::ZERO }
    }

    pub fn add(&mut self, latency: Duration) {
        let nanoseconds = (latency.as_nanos() as u64).max(1 << FINE);
        let power = nanoseconds.ilog2();
        let fine = (nanoseconds >> (power - FINE)) as usize & ((1 << FINE) - 1);
        let bucket = (((power - FINE) as usize) << FINE) + fine;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.count += 1;
        self.longest = self.longest.max(latency);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// The upper end of the bucket below which `share` (0 to 1) of all latencies lie; zero without any.
    pub fn percentile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, &count) in self.buckets.iter().enumerate() {
            seen += u64::from(count);
            if count > 0 && seen >= wanted {
                let (power, fine) = ((bucket >> FINE) as u32 + FINE, bucket as u64 & ((1 << FINE) - 1));
                let end = ((1 << FINE) + fine + 1) << (power - FINE);
                return Duration::from_nanos(end).min(self.longest);
            }
        }
        Duration::ZERO
    }
}
