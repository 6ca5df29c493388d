//! What only the shell has and lends to the rest: the clocks and randomness.
//!
//! One implementation reads the real ones (`server/system.rs`); tests and simulations bring their own.

use super::time::{Tick, UnixTime};

/// Both clocks.
pub trait Clock: Send + Sync {
    /// The monotonic clock.
    fn mono(&self) -> Tick;
    /// The wall clock.
    fn unix(&self) -> UnixTime;
}

/// A source of octets that an attacker cannot guess.
pub trait Entropy {
    /// Fills `buffer` with them.
    fn fill(&mut self, buffer: &mut [u8]);
}

/// An array of `N` fresh random octets.
pub fn random<const N: usize>(entropy: &mut (impl Entropy + ?Sized)) -> [u8; N] {
    let mut octets = [0; N];
    entropy.fill(&mut octets);
    octets
}

/// Clock and entropy of tests: time stands still until it is moved, and the octets follow from a seed.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// What [`Clock::mono`] answers.
    pub mono: Tick,
    /// What [`Clock::unix`] answers.
    pub unix: UnixTime,
    /// The state of the (guessable) generator.
    pub seed: u64,
}

impl Clock for Fixed {
    fn mono(&self) -> Tick {
        self.mono
    }

    fn unix(&self) -> UnixTime {
        self.unix
    }
}

impl Entropy for Fixed {
    /// `SplitMix64`: fine for tests, guessable by anybody.
    fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.seed;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^= mixed >> 31;
            for (target, source) in chunk.iter_mut().zip(mixed.to_le_bytes()) {
                *target = source;
            }
        }
    }
}
