//! The real clock and the real randomness: the one place that reads them. Everything else is handed
//! [`Clock`] and [`Entropy`].
//!
//! Invariants: [`Tick`]s of all [`SystemClock`]s in the process count from one origin and are never 0; an octet of
//! [`SystemEntropy`] is given out once, to one caller.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use zeroize::Zeroizing;

use crate::base::system::{Clock, Entropy};
use crate::base::time::{Tick, UnixTime};

/// How far the monotonic clock is at its origin, so that 0 can mean "never".
const HEAD_START: Duration = Duration::from_mins(1);

static ORIGIN: LazyLock<Instant> = LazyLock::new(now);

#[expect(clippy::disallowed_methods, reason = "the one reader of the monotonic clock")]
fn now() -> Instant {
    Instant::now()
}

/// Both clocks of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn mono(&self) -> Tick {
        // The origin first: it must not lie after the moment that is asked for.
        let origin = *ORIGIN;
        Tick(0) + HEAD_START + now().saturating_duration_since(origin)
    }

    /// A clock before 1970 reads as 1970.
    #[expect(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
    fn unix(&self) -> UnixTime {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixTime(0) + since_1970
    }
}

/// How many octets are given out before the kernel is asked for a new seed.
const RESEED_AFTER: usize = 1 << 20;

/// `ChaCha20` in user space, seeded by the kernel: a login needs some 50 random octets in several pieces, and a
/// system call for each would cost more than all that is computed from them. One for each thread.
pub struct SystemEntropy {
    generator: ChaCha20Rng,
    /// Octets until the next seed.
    left: usize,
}

impl SystemEntropy {
    /// A generator with a fresh seed. Fails where the kernel has no randomness to give, as in a sandbox that
    /// forbids to ask for it.
    pub fn new() -> Result<SystemEntropy, EntropyFault> {
        Ok(SystemEntropy { generator: ChaCha20Rng::from_seed(*seed()?), left: RESEED_AFTER })
    }

    /// Mixes a new seed with the old stream, so that neither alone tells what follows. Where the kernel refuses, the
    /// old stream goes on: it is as hard to guess as before.
    fn reseed(&mut self) {
        self.left = RESEED_AFTER;
        if let Ok(mut seed) = seed() {
            let mut old = Zeroizing::new([0; 32]);
            self.generator.fill_bytes(old.as_mut());
            seed.iter_mut().zip(old.iter()).for_each(|(new, old)| *new ^= old);
            self.generator = ChaCha20Rng::from_seed(*seed);
        }
    }
}

impl Entropy for SystemEntropy {
    fn fill(&mut self, buffer: &mut [u8]) {
        if self.left < buffer.len() {
            self.reseed();
        }
        self.left = self.left.saturating_sub(buffer.len());
        self.generator.fill_bytes(buffer);
    }
}

impl fmt::Debug for SystemEntropy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

/// The kernel gives no randomness.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system gives no random octets: {0}\n  hint: allow the getrandom system call")]
pub struct EntropyFault(getrandom::Error);

#[expect(clippy::disallowed_methods, reason = "the one caller of the kernel's generator")]
fn seed() -> Result<Zeroizing<[u8; 32]>, EntropyFault> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(EntropyFault)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::system::random;

    #[test]
    fn all_clocks_count_from_one_origin_and_never_read_zero() {
        let first = SystemClock.mono();
        let second = SystemClock.mono();
        assert!(first >= Tick(0) + HEAD_START);
        assert!(second >= first);
        assert!(second.since(first) < HEAD_START);
    }

    #[test]
    fn the_wall_clock_is_past_the_year_in_which_this_was_written() {
        assert!(SystemClock.unix() > UnixTime(1_750_000_000_000));
    }

    #[test]
    fn octets_differ_between_calls_and_generators_also_across_a_new_seed() {
        let mut entropy = SystemEntropy::new().unwrap();
        let first: [u8; 32] = random(&mut entropy);
        let second: [u8; 32] = random(&mut entropy);
        let mut large = vec![0; RESEED_AFTER];
        entropy.fill(&mut large);
        assert_eq!(entropy.left, 0);
        let third: [u8; 32] = random(&mut entropy);
        assert_eq!(entropy.left, RESEED_AFTER - 32);
        let other: [u8; 32] = random(&mut SystemEntropy::new().unwrap());
        let mut all = [first, second, third, other];
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
